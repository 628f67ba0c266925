package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
)

// importCommands take over the people and clients of another server.
type importCommands struct {
	Keycloak importKeycloak `cmd:"" help:"Take over the users and clients of an export of a Keycloak realm."`
	Auth0    importAuth0    `cmd:"" name:"auth0" help:"Take over users or clients of an export of Auth0."`
	AuthGate importAuthGate `cmd:"" name:"authgate" help:"Take over the users and clients of an AuthGate database."`
}

// importFlags say what is imported, and how.
type importFlags struct {
	File    string `arg:"" help:"The file."`
	DryRun  bool   `help:"Check everything and store nothing."`
	OnError string `enum:"stop,skip" default:"stop" help:"stop stores nothing unless the whole file is right; skip leaves wrong lines out."`
	Results string `placeholder:"FILE" help:"Write what became of each line to this file, as JSON lines. It holds new secrets of clients."`
	Only    string `enum:",users,clients" default:"" placeholder:"users|clients" help:"Take over users or clients only."`
}

type importKeycloak struct{ importFlags }

// Run imports the file.
func (f *importKeycloak) Run(ctx context.Context, c *call) error {
	open, done, err := c.reopened(f.File)
	if err != nil {
		return err
	}
	defer done()
	return f.run(ctx, c, admin.FormatKeycloak, open)
}

type importAuth0 struct{ importFlags }

// Run imports the file.
func (f *importAuth0) Run(ctx context.Context, c *call) error {
	open, done, err := c.reopened(f.File)
	if err != nil {
		return err
	}
	defer done()
	return f.run(ctx, c, admin.FormatAuth0, open)
}

type importAuthGate struct{ importFlags }

// Run imports the database, or a file with its rows.
func (f *importAuthGate) Run(ctx context.Context, c *call) error {
	rows, done, err := c.authGateRows(ctx, f.File)
	if err != nil {
		return err
	}
	defer done()
	return f.run(ctx, c, admin.FormatAuthGate, rows)
}

// authGateRows returns a function that returns the rows of a database from their beginning each
// time. They are copied to a file that nobody else can open.
func (c *call) authGateRows(
	ctx context.Context, name string,
) (open func() (io.Reader, error), done func(), err error) {
	if name == "-" {
		return c.reopened(name)
	}
	is, err := c.AuthGate.IsDatabase(name)
	if err != nil || !is {
		if err != nil {
			return nil, nil, err
		}
		return c.reopened(name)
	}
	file, err := os.CreateTemp("", "gatehouse-import-")
	if err != nil {
		return nil, nil, err
	}
	_ = os.Remove(file.Name()) // the file stays until it is closed
	out := bufio.NewWriter(file)
	if err = c.AuthGate.Rows(ctx, name, out); err == nil {
		err = out.Flush()
	}
	if err != nil {
		_ = file.Close()
		return nil, nil, err
	}
	open = func() (io.Reader, error) {
		_, err := file.Seek(0, io.SeekStart)
		return file, err
	}
	return open, func() { _ = file.Close() }, nil
}

// clientLine is what became of one client.
type clientLine struct {
	Line   int       `json:"line"`
	ID     client.ID `json:"client_id,omitempty"`
	Result string    `json:"result"`
	Secret string    `json:"client_secret,omitempty"`
	Note   string    `json:"note,omitempty"`
	Field  string    `json:"field,omitempty"`
	Error  string    `json:"error,omitempty"`
}

// takeover is an import in progress.
type takeover struct {
	*importFlags
	c       *call
	open    func() (io.Reader, error)
	format  admin.UserFormat
	results *bufio.Writer // or nil
	shown   int           // errors and notes on stderr

	Users   importView   `json:"users"`
	Clients importView   `json:"clients"`
	Secrets []clientLine `json:"new_secrets"`
}

// run imports users, and clients after them.
func (f *importFlags) run(
	ctx context.Context, c *call, format admin.UserFormat, open func() (io.Reader, error),
) (err error) {
	x := &takeover{importFlags: f, c: c, open: open, format: format, Secrets: []clientLine{}}
	if f.Results != "" {
		file, err := os.OpenFile(f.Results, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer file.Close()
		x.results = bufio.NewWriter(file)
	}
	err = c.manage(ctx, func(ops operations, a admin.Actor) error { return x.all(ctx, ops, a) })
	if x.results != nil {
		err = errors.Join(err, x.results.Flush())
	}
	if err != nil && x.Clients.Lines+x.Users.Lines == 0 {
		return explainQuery(err)
	}
	// Secrets are shown even if something failed later: nobody can see them again.
	return errors.Join(err, x.show())
}

// all checks the clients first where one wrong line stops everything.
func (x *takeover) all(ctx context.Context, ops operations, a admin.Actor) (err error) {
	stop := x.OnError == "stop" && !x.DryRun
	if stop && x.Only != "users" {
		if err := x.clients(ctx, ops, a, true); err != nil {
			return err
		}
		if x.Clients.Failed > 0 {
			x.Clients.Stopped, x.Clients.Created, x.Clients.Unchanged = true, 0, 0
			return nil
		}
	}
	if x.Only != "clients" {
		if err := x.users(ctx, ops, a); err != nil || x.Users.Stopped {
			return err
		}
	}
	if x.Only != "users" {
		return x.clients(ctx, ops, a, x.DryRun)
	}
	return nil
}

func (x *takeover) users(ctx context.Context, ops operations, a admin.Actor) error {
	in := admin.ImportOptions{Format: x.format, DryRun: x.DryRun, StopOnError: x.OnError == "stop"}
	sum, err := ops.ImportUsers(ctx, a, in, x.open, func(r admin.LineResult) error {
		x.note(r.Line, r.Error)
		return x.write(lineView{r.Line, r.ID, r.Result, r.Field, r.Error})
	})
	x.Users = importView{sum.Lines, sum.Created, sum.Unchanged, sum.Failed, sum.Stopped}
	return err
}

func (x *takeover) clients(ctx context.Context, ops operations, a admin.Actor, dry bool) error {
	first := dry && !x.DryRun // a check before the import: it reports errors only
	in := admin.ClientImport{Format: x.format, DryRun: dry}
	sum, err := ops.ImportClients(ctx, a, in, x.open, func(r admin.ClientResult) error {
		if first && r.Error == "" {
			return nil
		}
		x.note(r.Line, r.Error)
		if r.Note != "" {
			x.c.note("client %s: %s", printable(string(r.ID)), printable(r.Note))
		}
		line := clientLine{r.Line, r.ID, r.Result, r.Secret, r.Note, r.Field, r.Error}
		if r.Secret != "" {
			x.Secrets = append(x.Secrets, line)
		}
		return x.write(line)
	})
	x.Clients = importView{sum.Lines, sum.Created, sum.Unchanged, sum.Failed, false}
	return err
}

// note prints the first errors.
func (x *takeover) note(line int, text string) {
	const most = 20
	if text == "" {
		return
	}
	if x.shown++; x.shown <= most {
		x.c.note("line %d: %s", line, printable(text))
	}
}

func (x *takeover) write(line any) error {
	if x.results == nil {
		return nil
	}
	return encode(x.results, line, "")
}

// show prints the sums and the new secrets.
func (x *takeover) show() error {
	err := x.c.show(x, func(s *table) {
		for _, v := range []struct {
			name string
			sum  importView
		}{{"users", x.Users}, {"clients", x.Clients}} {
			s.pair(v.name, fmt.Sprintf("%d created, %d unchanged, %d failed", v.sum.Created, v.sum.Unchanged, v.sum.Failed))
		}
		for _, l := range x.Secrets {
			s.pair("client_secret", string(l.ID)+" "+l.Secret)
		}
	})
	failed := x.Users.Failed + x.Clients.Failed
	var stopped []string
	if x.Users.Stopped {
		stopped = append(stopped, "users")
	}
	if x.Clients.Stopped || x.Users.Stopped && x.Only != "users" {
		stopped = append(stopped, "clients")
	}
	switch {
	case err != nil:
		return err
	case len(stopped) > 0:
		return fmt.Errorf("nothing was stored of the %s; correct the lines, or leave them out with --on-error=skip",
			strings.Join(stopped, " and "))
	case failed > 0:
		return fmt.Errorf("%d lines were not stored", failed)
	}
	return nil
}
