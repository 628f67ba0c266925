package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// terminal returns the file descriptor of a stream if it is a terminal.
func terminal(r io.Reader) (fd int, ok bool) {
	f, isFile := r.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	return int(f.Fd()), true
}

// screenWidth returns how many columns the terminal has that stdout is, or 0 if it is none. COLUMNS
// takes precedence.
func (e *env) screenWidth() int {
	const least = 20 // what is narrower is not a screen for tables
	file, ok := e.stdout.(*os.File)
	if !ok {
		return 0
	}
	fd, ok := terminal(file)
	if !ok {
		return 0
	}
	if e.Getenv != nil {
		if n, err := strconv.Atoi(e.Getenv("COLUMNS")); err == nil && n >= least {
			return n
		}
	}
	if n, _, err := term.GetSize(fd); err == nil && n >= least {
		return n
	}
	return 0
}

// now returns the time, or zero in a program without a clock.
func (e *env) now() time.Time {
	if e.Now == nil {
		return time.Time{}
	}
	return e.Now()
}

// password reads a password from stdin: typed without echo at a terminal, or else all of the input
// without one newline at its end.
func (c *call) password() (string, error) {
	if fd, ok := terminal(c.stdin); ok {
		return c.typedPassword(fd)
	}
	// One byte more than the maximum, so that a longer password is rejected and not cut.
	raw, err := io.ReadAll(io.LimitReader(c.stdin, identity.MaxPassword+int64(len("\r\n"))+1))
	if err != nil {
		return "", fmt.Errorf("the password cannot be read from stdin: %w", err)
	}
	s, cut := strings.CutSuffix(string(raw), "\n")
	if cut {
		s = strings.TrimSuffix(s, "\r")
	}
	if s == "" {
		return "", errors.New("stdin has no password; send it there, as in: " +
			"printf %s \"$PASSWORD\" | " + program + " … --password-stdin")
	}
	return s, nil
}

// typedPassword prompts twice, because the input is not shown.
func (c *call) typedPassword(fd int) (string, error) {
	var typed [2]string
	for i, prompt := range []string{"New password: ", "Confirm password: "} {
		fmt.Fprint(c.stderr, prompt)
		raw, err := term.ReadPassword(fd)
		fmt.Fprintln(c.stderr)
		if err != nil {
			return "", fmt.Errorf("no password was typed: %w", err)
		}
		typed[i] = string(raw)
	}
	if typed[0] != typed[1] {
		return "", errors.New("the two passwords differ; nothing was changed")
	}
	return typed[0], nil
}

// confirm returns nil if --yes was given, or if a person at a terminal types the name of the thing
// to delete.
func (c *call) confirm(yes bool, what, name string) error {
	if yes {
		return nil
	}
	if _, ok := terminal(c.stdin); !ok {
		return wrong("deleting %s %s cannot be undone; use --yes to skip the confirmation", what, name)
	}
	fmt.Fprintf(c.stderr, "Deleting %s %s cannot be undone. Type its name to continue: ", what, printable(name))
	typed, err := bufio.NewReader(c.stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(typed) != name {
		return fmt.Errorf("nothing was deleted: the name is %s", name)
	}
	return nil
}
