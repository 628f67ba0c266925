package admin

import (
	"bufio"
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
)

// ClientImport says how clients of another program are imported.
type ClientImport struct {
	Format UserFormat // FormatAuth0, FormatAuthGate or FormatKeycloak
	DryRun bool       // check every client and store nothing
}

// ClientResult is what became of one client of an import.
type ClientResult struct {
	Line   int // or the number of the object
	ID     client.ID
	Result string
	Secret string // a new secret, shown this once; "" where the client keeps its own or has none
	Note   string // what of the client was left out, or ""
	Field  string // that the error is about, or ""
	Error  string
}

// foreignClient is a client as a file has it.
type foreignClient struct {
	id     client.ID
	values map[string][]string // by the names of client.Fields
	secret string              // in plain text, or "": it gets a new one
	notes  []string
}

// ImportClients registers the clients of an export of another program, under their ids, and reports
// each, in order. What else the file has is left alone. Each client is stored whole or not at all;
// what is here already is unchanged, so that an import can be repeated. The function open returns
// the file.
func (o *Operations) ImportClients(
	ctx context.Context, a Actor, in ClientImport, open func() (io.Reader, error),
	report func(ClientResult) error,
) (sum ImportSummary, err error) {
	if err := o.authorize(a, ScopeClientsWrite); err != nil {
		return sum, err
	}
	r, err := open()
	if err != nil {
		return sum, err
	}
	next, err := clientReader(r, in.Format)
	if err != nil {
		return sum, err
	}
	for {
		c, n, err := next()
		out := ClientResult{Line: n}
		switch {
		case errors.Is(err, io.EOF):
			return sum, nil
		case err == nil && c == nil: // not a client
			continue
		case err == nil:
			out.ID, out.Note = c.id, strings.Join(c.notes, "; ")
			err = o.importClient(ctx, a, c, in.DryRun, &out)
		}
		if err != nil && !isAboutLine(err) {
			return sum, err
		}
		sum.Lines++
		switch {
		case err != nil:
			out.Result, out.Error = ImportError, fault.Text(err)
			var e *fault.Error
			if errors.As(err, &e) {
				out.Field = e.Field
			}
			sum.Failed++
		case out.Result == ImportUnchanged:
			sum.Unchanged++
		default:
			sum.Created++
		}
		if err := report(out); err != nil {
			return sum, err
		}
	}
}

// isAboutLine reports whether an error is about one line of a file, and the others can go on.
func isAboutLine(err error) bool {
	return fault.Is(err, fault.Invalid) || fault.Is(err, fault.Conflict) || fault.Is(err, fault.Denied)
}

// importClient registers a client unless it is here as the file says.
func (o *Operations) importClient(
	ctx context.Context, a Actor, c *foreignClient, dry bool, out *ClientResult,
) error {
	fields := client.Fields(o.parts.Rules)
	new := NewClient{ID: c.id, secret: c.secret}
	names := make([]string, 0, len(c.values))
	for name := range c.values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		f, ok := field.Named(fields, name)
		if !ok || len(c.values[name]) == 0 || c.values[name][0] == "" {
			continue
		}
		if err := new.Fields.Set(f, c.values[name]...); err != nil {
			return err
		}
	}
	draft, err := o.draftClient(new, o.parts.Now())
	if err != nil {
		return err
	}
	known, err := o.store.Client(ctx, c.id)
	if err == nil {
		out.Result = ImportUnchanged
		for _, name := range new.Fields.Names {
			if f, ok := field.Named(fields, name); ok && !f.Equal(known, draft) {
				return conflictOf(name, "is different in the client that exists already")
			}
		}
		return nil
	}
	if !fault.Is(err, fault.NotFound) {
		return err
	}
	if err := o.checkChosenID(ctx, a, c.id); err != nil {
		return err
	}
	out.Result = ImportCreated
	if dry {
		return nil
	}
	done, err := o.createClient(ctx, a, new)
	if err == nil {
		out.Secret = done.Secret
	}
	return err
}

// clientReader returns a function that returns the next client of a file with its number, or nil
// for something else.
func clientReader(r io.Reader, format UserFormat) (func() (*foreignClient, int, error), error) {
	b := bufio.NewReaderSize(r, 64<<10)
	if mark, err := b.Peek(3); err == nil && string(mark) == "\uFEFF" {
		_, _ = b.Discard(3)
	}
	members, read := []string{"clients"}, auth0Client
	switch format {
	case FormatAuth0:
	case FormatKeycloak:
		read = keycloakClient
	case FormatAuthGate:
		members, read = []string{"oauth_applications", "clients"}, authGateClient
	default:
		return nil, fault.InvalidField("format",
			"there is no format %q of clients; the formats are auth0, authgate and keycloak", format)
	}
	objects, err := newObjectReader(b, members...)
	if err != nil {
		return nil, err
	}
	return func() (*foreignClient, int, error) {
		raw, n, err := objects.next()
		if err != nil {
			return nil, n, err
		}
		c, err := read(raw)
		return c, n, err
	}, nil
}
