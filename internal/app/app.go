package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/login"
)

// Exit statuses; scripts depend on them.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// program is what the usage text and messages call us, whatever the binary is named.
const program = "gatehouse"

// Main runs one command line, given without the program's name, and returns the exit status: 0 done, 1 failed, 2
// wrong usage. What went wrong is one line on stderr.
func Main(ctx context.Context, args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	e := &env{
		stdin: stdin, stdout: stdout, stderr: stderr,
		getenv: lookup(environ), environ: environ, now: time.Now, version: version(),
	}
	if len(args) == 0 {
		e.stdout = stderr
		args = []string{"--help"}
		if err := run(ctx, e, args); err != nil {
			return complain(stderr, err)
		}
		return exitUsage
	}
	if err := run(ctx, e, args); err != nil {
		return complain(stderr, err)
	}
	return exitDone
}

// lookup reads a list of NAME=value as the system does: the last one counts.
func lookup(environ []string) func(string) string {
	vars := make(map[string]string, len(environ))
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok {
			vars[k] = v
		}
	}
	return func(name string) string { return vars[name] }
}

// grammar is what every command takes, besides the settings.
type grammar struct {
	JSON   bool   `name:"json" help:"Answer with one JSON document."`
	Config string `placeholder:"FILE" help:"Read settings from this YAML file."`
}

// run reads the arguments and runs the command that they name.
func run(ctx context.Context, e *env, args []string) error {
	var l line
	parser, err := l.parser(ctx, e, args)
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(args)
	switch {
	case l.helped:
		return nil
	case err != nil:
		return usageError{fmt.Errorf("%w; see %s --help", err, helpFor(err))}
	}
	return parsed.Run(&call{env: e, json: l.grammar.JSON, flags: l.settings.given(l.grammar.Config)})
}

// line is what a command line is read into.
type line struct {
	grammar  grammar
	settings settingFlags
	helped   bool // the usage text was asked for, and has been printed
}

// parser makes the parser for the table of commands, ready for these arguments.
func (l *line) parser(ctx context.Context, e *env, args []string) (*kong.Kong, error) {
	l.settings.args = args
	options := []kong.Option{
		kong.Name(program),
		kong.Description("Gatehouse signs people and programs in: a self-hosted OAuth 2 and OpenID Connect server.\n\n" +
			"Every command takes the settings as flags too: see \"" + program + " help settings\"."),
		kong.Writers(e.stdout, e.stderr),
		kong.Exit(func(int) { l.helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 100}),
		kong.PostBuild(l.settings.attach),
		kong.BindTo(ctx, (*context.Context)(nil)),
	}
	for _, c := range commands() {
		options = append(options, kong.DynamicCommand(c.name, c.help, "", c.grammar))
	}
	return kong.New(&l.grammar, options...)
}

// helpFor is the command line whose help explains a refused one.
func helpFor(err error) string {
	var pe *kong.ParseError
	if errors.As(err, &pe) && pe.Context != nil {
		if n := pe.Context.Selected(); n != nil {
			return n.FullPath()
		}
	}
	return program
}

// call is one run of one command.
type call struct {
	*env
	json  bool
	flags map[string]string // the settings given as flags, and "config"
}

// with opens the parts for a command and closes them after it.
func (c *call) with(ctx context.Context, f func(p *parts) error) error {
	p, err := open(ctx, c.env, c.flags)
	if err != nil {
		return err
	}
	return errors.Join(f(p), p.Close())
}

// actor is who the audit log names for what is done on the command line.
const actor = "cli"

// event is an administrative change of this moment.
func (c *call) event(t audit.Type, now time.Time) audit.Event {
	return audit.Event{At: now, Type: t, Actor: actor}
}

// visit is how the login sees the command line.
func visit(now time.Time) login.Visit { return login.Visit{Now: now, Actor: actor} }

// usageError is a command line that cannot be run, whatever the database holds.
type usageError struct{ error }

// Unwrap gives the reason.
func (e usageError) Unwrap() error { return e.error }

// wrong makes a usageError.
func wrong(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// complain writes an error in one line and gives the exit status that it stands for.
func complain(w io.Writer, err error) int {
	text := spoken(err)
	var problems config.Problems
	if errors.As(err, &problems) {
		text = strings.Join(problems, "; ")
	}
	if errors.Is(err, context.Canceled) {
		text = "interrupted"
	}
	fmt.Fprintf(w, "%s: %s\n", program, printable(strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ")))
	if wrongUsage(err, problems) {
		return exitUsage
	}
	return exitFailed
}

// spoken is what a person is told of an error. Where the words say it all, the cause below them, such as the
// database's own message, is left out.
func spoken(err error) string {
	var f *fault.Error
	if errors.As(err, &f) && f.Cause != nil {
		switch f.Kind {
		case fault.NotFound, fault.Conflict, fault.Consumed, fault.Denied, fault.Limited:
			return strings.TrimSuffix(err.Error(), ": "+f.Cause.Error())
		}
	}
	return err.Error()
}

// wrongUsage tells a command line that is wrong in itself from one that failed. The settings name the place
// that each problem comes from.
func wrongUsage(err error, problems config.Problems) bool {
	for _, p := range problems {
		if !strings.HasPrefix(p, "command line: ") {
			return false
		}
	}
	var u usageError
	return len(problems) > 0 || errors.As(err, &u)
}
