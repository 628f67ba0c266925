package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/term"
)

// BreachedLists are what the command line does with lists of breached passwords.
type BreachedLists struct {
	// Build makes a filter of a list of lines and returns what it has made.
	Build func(ctx context.Context, input, output string) (BreachedFilter, error)
	// Contains reports whether the list in a file has a password.
	Contains func(ctx context.Context, list, password string) (bool, error)
}

// BreachedFilter is a filter of breached passwords.
type BreachedFilter struct {
	Entries int64   `json:"entries"`
	Size    int64   `json:"bytes"`
	Rate    float64 `json:"false_positive_rate"`
}

// passwordCommands work with lists of breached passwords.
type passwordCommands struct {
	Build passwordsBuild `cmd:"" help:"Make a small filter of a list of breached passwords, for BREACHED_PASSWORDS."`
	Check passwordsCheck `cmd:"" help:"Look a password up in BREACHED_PASSWORDS. It is read from stdin."`
}

// passwordsBuild makes a filter.
type passwordsBuild struct {
	Input  string `arg:"" help:"A file of lines SHA1HEX:COUNT in the order of the hashes."`
	Output string `arg:"" help:"The filter. It is about 2 bytes for each line."`
}

// Run builds the filter and prints its size.
func (f *passwordsBuild) Run(ctx context.Context, c *call) error {
	made, err := c.Breached.Build(ctx, f.Input, f.Output)
	if err != nil {
		return err
	}
	return c.show(made, func(s *table) {
		s.pair("entries", strconv.FormatInt(made.Entries, 10))
		s.pair("bytes", strconv.FormatInt(made.Size, 10))
		s.pair("false_positive_rate", strconv.FormatFloat(made.Rate, 'f', 6, 64))
	})
}

// passwordsCheck looks a password up.
type passwordsCheck struct{}

// Run prints whether the password is in the list.
func (*passwordsCheck) Run(ctx context.Context, c *call) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	list := cfg.Passwords.Breached
	if list == "" {
		return errors.New("no list is set; set BREACHED_PASSWORDS, or --breached-passwords FILE")
	}
	password, err := c.knownPassword()
	if err != nil {
		return err
	}
	found, err := c.Breached.Contains(ctx, list, password)
	if err != nil {
		return err
	}
	answer := "This password is not in the list."
	if found {
		answer = "This password is in the list: do not use it."
	}
	return c.done(map[string]bool{"breached": found}, "%s", answer)
}

// knownPassword reads a password that exists from stdin: typed once without echo at a terminal, or
// else all of the input without one newline at its end.
func (c *call) knownPassword() (string, error) {
	fd, ok := terminal(c.stdin)
	if !ok {
		return c.password()
	}
	fmt.Fprint(c.stderr, "Password: ")
	raw, err := term.ReadPassword(fd)
	fmt.Fprintln(c.stderr)
	if err != nil {
		return "", fmt.Errorf("no password was typed: %w", err)
	}
	return string(raw), nil
}
