// Package cli is the command line: it reads flags, calls the operations of the program and shows
// what they return.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/doctor"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Exit statuses; scripts depend on them.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	// exitChanges is the status of plan --detailed-exitcode if something would change.
	exitChanges = 2
	// exitUnchecked is the status of backup --verify without a SECRET_KEY.
	exitUnchecked = 3
	// exitStopFirst is the status of upgrade --rehearse if servers must be stopped before it.
	exitStopFirst = 3
)

// program is the name in usage texts and messages, whatever the file of the binary is called.
const program = "gatehouse"

// Program holds what the command line needs from the rest of the program.
type Program struct {
	Version string
	Now     func() time.Time
	// Getenv returns a variable of the environment, or "". nil: there is none.
	Getenv func(name string) string
	// Settings reads the settings. The flags are those of the command line, by flag name; file
	// names a YAML file, or is "". realm names the realm of the server that they are of, or is "".
	Settings func(flags map[string]string, file, realm string) (*config.Config, error)
	// Realms manages the realms of a server.
	Realms Realms
	// Rules hold what clients may choose from; flags and their help derive from it.
	Rules client.Rules
	// Open opens the database, brings its schema up to date and returns the operations on it.
	// Close ends them.
	Open func(ctx context.Context, cfg *config.Config) (ops *admin.Operations, close func() error, err error)
	// Migrate brings the schema up to date and returns the migrations applied, or with dryRun
	// those that are pending.
	Migrate func(ctx context.Context, cfg *config.Config, dryRun bool) ([]Migration, error)
	// Rehearse tries upgrades on copies.
	Rehearse Rehearsals
	// Breached works with lists of breached passwords.
	Breached BreachedLists
	// PreviewMail composes a message with invented values, in a language, or the default with "".
	PreviewMail func(cfg *config.Config, message, locale string) (*PreviewedMail, error)
	// AuthGate reads databases of AuthGate servers.
	AuthGate AuthGateDatabases
	// Examine looks for what is wrong with the installation on this machine. It changes nothing.
	Examine func(ctx context.Context, cfg *config.Config) *doctor.Report
	// Repair does what doctor.Finding.Repair says.
	Repair func(ctx context.Context, what string) error
	// Backups reads backups and restores them.
	Backups Backups
	// Serve runs the server until ctx ends.
	Serve func(ctx context.Context, cfg *config.Config) error
}

// AuthGateDatabases reads databases of AuthGate servers.
type AuthGateDatabases struct {
	// IsDatabase reports whether a file is a database, and not a text.
	IsDatabase func(path string) (bool, error)
	// Rows writes the people and applications of a database as lines of JSON.
	Rows func(ctx context.Context, path string, w io.Writer) error
}

// Streams are the standard streams of a command.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// env is what a command runs with: a program and streams.
type env struct {
	Program
	stdin          io.Reader
	stdout, stderr io.Writer
	width          int // of the terminal that stdout is, in columns, or 0
}

// Main runs one command line, given without the program's name, and returns the exit status: 0
// for success, 1 for failure, 2 for wrong usage. An error is one line on the error stream.
func Main(ctx context.Context, p Program, s Streams, args []string) int {
	e := &env{
		Program: p,
		stdin:   s.In,
		stdout:  s.Out,
		stderr:  s.Err,
	}
	e.width = e.screenWidth()
	if len(args) == 0 {
		e.stdout = s.Err
		if err := run(ctx, e, []string{"--help"}); err != nil {
			return printError(s.Err, err, false)
		}
		return exitUsage
	}
	err := run(ctx, e, args)
	switch {
	case errors.Is(err, errChanges):
		return exitChanges
	case err != nil:
		return printError(s.Err, err, wantsJSON(args))
	}
	return exitDone
}

// wantsJSON reports whether a command line asks for JSON, whatever else is wrong with it.
func wantsJSON(args []string) bool {
	for _, arg := range args {
		switch arg {
		case "--json", "--json=true", "-j":
			return true
		case "--":
			return false
		}
	}
	return false
}

// grammar has the flags of every command, besides the settings.
type grammar struct {
	JSON   bool   `name:"json" short:"j" help:"Print one JSON document, also for an error."`
	Quiet  bool   `name:"quiet" short:"q" help:"Print only the ids or names of a list, one a line."`
	Config string `placeholder:"FILE" help:"Read settings from this YAML file."`
	Server string `placeholder:"URL" help:"Work on this server, as whoever gatehouse login signed in. Default: GATEHOUSE_SERVER, or the database of this machine."`
	Realm  string `name:"realm" placeholder:"NAME" help:"Work on this realm of REALMS_FILE."`
}

// run reads the arguments and runs the command that they name.
func run(ctx context.Context, e *env, args []string) error {
	if len(args) > 0 && (args[0] == "--version" || args[0] == "-v") { // only in this place: commands have a flag of this name
		args = append([]string{"version"}, args[1:]...)
	}
	if len(args) > 0 && args[0] == completeWord {
		return complete(ctx, e, args[1:])
	}
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
	c := &call{
		env:     e,
		command: commandOf(parsed),
		json:    l.grammar.JSON,
		quiet:   l.grammar.Quiet,
		flags:   l.settings.given(),
		file:    l.grammar.Config,
		server:  l.grammar.Server,
		realm:   l.grammar.Realm,
	}
	if err := c.checkServer(); err != nil {
		return err
	}
	return parsed.Run(c)
}

// line is a parsed command line.
type line struct {
	grammar  grammar
	settings settingFlags
	helped   bool // the usage text has been printed
}

// parser returns the parser of the table of commands for these arguments.
func (l *line) parser(ctx context.Context, e *env, args []string) (*kong.Kong, error) {
	l.settings.args = args
	options := []kong.Option{
		kong.Name(program),
		kong.Description("Gatehouse is a self-hosted OAuth 2 and OpenID Connect server with an API gateway.\n\n" +
			"Every command takes the settings as flags too: see \"" + program + " help settings\"."),
		kong.Writers(e.stdout, e.stderr),
		kong.Exit(func(int) { l.helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{
			Compact:             true,
			NoExpandSubcommands: true,
			WrapUpperBound:      100,
		}),
		kong.Help(helpWithExamples),
		kong.PostBuild(attachFields),
		kong.PostBuild(l.settings.attach),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Vars{"cliClient": admin.CommandLineClient},
	}
	for _, c := range named(commands(e.Rules), args) {
		options = append(options, kong.DynamicCommand(c.name, c.help, "", c.grammar))
	}
	return kong.New(&l.grammar, options...)
}

// named returns the command that the first argument names, or all: reading the flags of all takes a
// fifth of the time in which a server starts.
func named(all []command, args []string) []command {
	for i := range all {
		if len(args) > 0 && all[i].name == args[0] {
			return all[i : i+1]
		}
	}
	return all
}

// helpFor returns the command whose help explains a parse error.
func helpFor(err error) string {
	var pe *kong.ParseError
	if errors.As(err, &pe) && pe.Context != nil {
		if n := pe.Context.Selected(); n != nil {
			return pathOf(n)
		}
	}
	return program
}

// call is one run of one command.
type call struct {
	*env
	command string // its words, such as "user list"
	json    bool
	quiet   bool              // of a list, only what names its items
	flags   map[string]string // the settings given as flags
	file    string            // the YAML file with settings, or ""
	server  string            // the flag --server, or ""
	realm   string            // the realm of the server, or ""
}

func (c *call) config() (*config.Config, error) { return c.Settings(c.flags, c.file, c.realm) }

// manage runs f with the operations of administrators: of the server that --server or
// GATEHOUSE_SERVER names, or on the database, which it closes after that.
func (c *call) manage(ctx context.Context, f func(ops operations, a admin.Actor) error) error {
	if c.remote() != "" {
		ops, err := c.connect()
		if err != nil {
			return err
		}
		return f(ops, admin.Actor{})
	}
	cfg, err := c.config()
	if err != nil {
		return err
	}
	ops, closeAll, err := c.Open(ctx, cfg)
	if err != nil {
		return err
	}
	return errors.Join(f(ops, admin.CommandLine()), closeAll())
}

// withHint adds what to do next to an error of a kind. Others stay as they are.
func withHint(err error, k fault.Kind, format string, args ...any) error {
	if !fault.Is(err, k) {
		return err
	}
	return fmt.Errorf("%w; %s", err, fmt.Sprintf(format, args...))
}

// usageError is the error of a command line that is wrong in itself.
type usageError struct{ error }

// Unwrap returns the reason.
func (e usageError) Unwrap() error { return e.error }

// wrong returns a usageError.
func wrong(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// failure is the JSON form of an error.
type failure struct {
	Error       string `json:"error"` // its reason, or its kind
	Description string `json:"error_description"`
	Field       string `json:"field,omitempty"` // that it is about
	Status      int    `json:"exit_status"`
}

// printError writes an error in one line, as text or JSON, and returns its exit status.
func printError(w io.Writer, err error, asJSON bool) int {
	text := userMessage(err)
	var problems config.Problems
	if errors.As(err, &problems) {
		text = strings.Join(problems, "; ")
	}
	if errors.Is(err, context.Canceled) {
		text = "interrupted"
	}
	text = strings.NewReplacer("\n\t", " ", "\n", "; ").Replace(strings.TrimSpace(text))
	status := exitStatus(err, problems)
	if !asJSON {
		fmt.Fprintf(w, "%s: %s\n", program, printable(text))
		return status
	}
	out := failure{Error: fault.Reason(err), Description: printable(text), Status: status}
	var f *fault.Error
	if errors.As(err, &f) {
		out.Field = f.Field
	}
	if out.Error == "" {
		out.Error = codeOf(err, status)
	}
	_ = encode(w, out, "")
	return status
}

// exitStatus returns the status with which a command ends that returned an error.
func exitStatus(err error, problems config.Problems) int {
	switch {
	case errors.Is(err, errUnchecked):
		return exitUnchecked
	case errors.Is(err, errStopFirst):
		return exitStopFirst
	case wrongUsage(err, problems):
		return exitUsage
	}
	return exitFailed
}

// codeOf returns a word for an error that has no reason.
func codeOf(err error, status int) string {
	switch kind := fault.KindOf(err); {
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case status == exitUsage:
		return "usage"
	case kind == fault.Internal:
		return "failed"
	default:
		return strings.ReplaceAll(kind.String(), " ", "_")
	}
}

// userMessage returns the text of an error for a person. Where the text says it all, the cause
// below it, such as the message of the database, is left out.
func userMessage(err error) string {
	var f *fault.Error
	if errors.As(err, &f) && f.Cause != nil {
		switch f.Kind {
		case fault.NotFound, fault.Conflict, fault.Consumed, fault.Denied, fault.Limited:
			return strings.TrimSuffix(err.Error(), ": "+f.Cause.Error())
		}
	}
	return err.Error()
}

// wrongUsage reports whether the command line is wrong in itself. Problems with settings name the
// place that they come from.
func wrongUsage(err error, problems config.Problems) bool {
	for _, p := range problems {
		if !strings.HasPrefix(p, "command line: ") {
			return false
		}
	}
	var u usageError
	return len(problems) > 0 || errors.As(err, &u)
}
