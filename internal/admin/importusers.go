package admin

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// importChunk is how many accounts are stored in one transaction.
const importChunk = 500

// ImportOptions say how accounts are imported.
type ImportOptions struct {
	Format UserFormat
	// DryRun checks every line and stores nothing.
	DryRun bool
	// StopOnError checks the whole file first and stores nothing unless all of it is right.
	StopOnError bool
	Firebase    *FirebaseParameters // of a project whose hashes the file has, or nil
}

// Results of lines.
const (
	ImportCreated   = "created"
	ImportUnchanged = "unchanged" // the account is here already, as the line says
	ImportError     = "error"     // nothing of the line was stored
)

// LineResult is what became of one line of an import.
type LineResult struct {
	Line   int
	ID     identity.UserID
	Result string
	Field  string // that the error is about, or ""
	Error  string
}

// ImportSummary counts the lines of an import.
type ImportSummary struct {
	Lines, Created, Unchanged, Failed int
	// Stopped reports that nothing was stored because of an error.
	Stopped bool
}

// KnownUsers are the accounts that an import meets.
type KnownUsers struct {
	ByID                map[identity.UserID]*identity.User
	ByEmail, ByUsername map[string]*identity.User // by identity.LoginKey
	Taken               map[string]bool           // names that no new account may have
}

// ImportUsers creates the accounts of a file and reports each line, in order. Each line is stored
// whole or not at all, so that an import that was interrupted can be repeated: what is here already
// is reported as unchanged. The function open is called once, or twice with StopOnError, and
// returns the file from its beginning.
func (o *Operations) ImportUsers(
	ctx context.Context, a Actor, in ImportOptions, open func() (io.Reader, error), report func(LineResult) error,
) (ImportSummary, error) {
	if err := o.authorize(a, ScopeUsersWrite); err != nil {
		return ImportSummary{}, err
	}
	if in.StopOnError && !in.DryRun {
		var wrong []LineResult
		check := &importer{o: o, a: a, in: in, dry: true, report: func(r LineResult) error {
			if r.Result == ImportError {
				wrong = append(wrong, r)
			}
			if len(wrong) == maxImportErrors {
				return errImportStop
			}
			return nil
		}}
		err := check.run(ctx, open)
		if err != nil && !errors.Is(err, errImportStop) {
			return ImportSummary{}, err
		}
		if len(wrong) > 0 {
			check.sum.Stopped, check.sum.Created, check.sum.Unchanged = true, 0, 0
			for _, r := range wrong {
				if err := report(r); err != nil {
					return check.sum, err
				}
			}
			return check.sum, nil
		}
	}
	im := &importer{o: o, a: a, in: in, dry: in.DryRun, report: report}
	err := im.run(ctx, open)
	if errors.Is(err, errImportStop) {
		im.sum.Stopped, err = true, nil
	}
	return im.sum, err
}

// maxImportErrors is how many wrong lines are named before an import stops.
const maxImportErrors = 100

// errImportStop ends an import early.
var errImportStop = errors.New("the import stops")

// importer is an import in progress.
type importer struct {
	o      *Operations
	a      Actor
	in     ImportOptions
	dry    bool
	report func(LineResult) error
	sum    ImportSummary

	chunk []importLine
	keys  map[string]bool // the names and ids in chunk
}

// importLine is one line, with its account unless it is wrong.
type importLine struct {
	record userRecord
	result LineResult
}

func (im *importer) run(ctx context.Context, open func() (io.Reader, error)) error {
	r, err := open()
	if err != nil {
		return err
	}
	records, err := newUserReader(r, im.in)
	if err != nil {
		return err
	}
	im.keys = make(map[string]bool)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		rec, err := records.next()
		if errors.Is(err, io.EOF) {
			return im.flush(ctx)
		}
		line := importLine{record: rec, result: LineResult{Line: rec.line}}
		switch {
		case err != nil && fault.Is(err, fault.Invalid):
			line.fail(err)
		case err != nil:
			return errors.Join(im.flush(ctx), err)
		default:
			if err := im.prepare(&line.record); err != nil {
				line.fail(err)
			}
		}
		if err := im.add(ctx, line); err != nil {
			return err
		}
	}
}

func (l *importLine) fail(err error) {
	l.result.Result, l.result.Error = ImportError, fault.Text(err)
	var e *fault.Error
	if errors.As(err, &e) {
		l.result.Field = e.Field
	}
	if l.result.Error == "" {
		l.result.Error = err.Error()
	}
}

// prepare completes an account and checks what can be checked without storage.
func (im *importer) prepare(rec *userRecord) error {
	now, u := im.o.parts.Now(), &rec.user
	if u.CreatedAt.IsZero() || u.CreatedAt.After(now) {
		u.CreatedAt = now
	}
	u.UpdatedAt = now
	u.NormalizeEmail()
	if err := u.Validate(); err != nil {
		return err
	}
	if u.PasswordHash != "" {
		if err := secret.CheckHash(u.PasswordHash); err != nil {
			return fault.InvalidField("password_hash", "%s", fault.Text(err))
		}
		u.PasswordChangedAt = u.CreatedAt
	}
	return im.o.mayConfer(im.a, u.Roles)
}

// mayConfer returns a denial for roles that confer more than the actor has.
func (o *Operations) mayConfer(a Actor, roles []string) error {
	if len(roles) == 0 || a.Can(ScopeAll) {
		return nil
	}
	have := o.definitions().Closure(scopeNames(a.Scopes)...)
	needed := o.definitions().RoleRights(roles)
	missing := have.Missing(needed)
	if missing == "" && (slices.Contains(roles, identity.RoleAdmin) || slices.Contains(roles, identity.RoleSuperAdmin)) {
		missing = string(ScopeAll)
	}
	if missing != "" {
		return uncovered(a, missing, false)
	}
	return nil
}

func scopeNames(scopes []Scope) []string {
	out := make([]string, len(scopes))
	for i, s := range scopes {
		out[i] = string(s)
	}
	return out
}

// add appends a line to the chunk, which is stored when it is full, or when the line names what
// another line of it names.
func (im *importer) add(ctx context.Context, l importLine) error {
	if l.result.Result == "" {
		names := l.record.names()
		for _, name := range names {
			if im.keys[name] {
				if err := im.flush(ctx); err != nil {
					return err
				}
				break
			}
		}
		for _, name := range names {
			im.keys[name] = true
		}
	}
	im.chunk = append(im.chunk, l)
	if len(im.chunk) >= importChunk {
		return im.flush(ctx)
	}
	return nil
}

// names returns what no other account may have.
func (r *userRecord) names() []string {
	var out []string
	if r.user.ID != "" {
		out = append(out, "i"+string(r.user.ID))
	}
	if r.user.Email != "" {
		out = append(out, "e"+identity.LoginKey(r.user.Email))
	}
	if r.user.Username != "" {
		out = append(out, "u"+identity.LoginKey(r.user.Username))
	}
	return out
}

// flush stores the chunk and reports its lines.
func (im *importer) flush(ctx context.Context) error {
	chunk := im.chunk
	im.chunk = nil
	clear(im.keys)
	if err := im.store(ctx, chunk); err != nil {
		return err
	}
	for i := range chunk {
		r := chunk[i].result
		im.sum.Lines++
		switch r.Result {
		case ImportCreated:
			im.sum.Created++
		case ImportUnchanged:
			im.sum.Unchanged++
		default:
			im.sum.Failed++
		}
		if err := im.report(r); err != nil {
			return err
		}
		if r.Result == ImportError && im.in.StopOnError && !im.in.DryRun && !im.dry {
			return errImportStop
		}
	}
	return nil
}

// store compares the lines of a chunk with what is here, and stores the new accounts.
func (im *importer) store(ctx context.Context, chunk []importLine) error {
	var open []*identity.User
	for i := range chunk {
		if chunk[i].result.Result == "" {
			open = append(open, &chunk[i].record.user)
		}
	}
	if len(open) == 0 {
		return nil
	}
	now := im.o.parts.Now()
	known, err := im.o.store.KnownUsers(ctx, open, now)
	if err != nil {
		return err
	}
	var fresh []*importLine
	for i := range chunk {
		l := &chunk[i]
		if l.result.Result != "" {
			continue
		}
		if same, err := known.find(&l.record); err != nil {
			l.fail(err)
		} else if same != nil {
			l.result.Result, l.result.ID = ImportUnchanged, same.ID
		} else if taken, err := im.clientHas(ctx, l.record.user.ID); err != nil {
			return err
		} else if taken {
			l.fail(conflictOf(memberID, "is the id of a client"))
		} else {
			fresh = append(fresh, l)
		}
	}
	for _, l := range fresh {
		if l.record.user.ID == "" {
			l.record.user.ID = identity.UserID(secret.NewID(now))
		}
		l.result.Result, l.result.ID = ImportCreated, l.record.user.ID
	}
	if im.dry || len(fresh) == 0 {
		return nil
	}
	return im.create(ctx, fresh, now)
}

// clientHas reports whether an id is a client's. An account with such an id could be taken for the
// client, since the tokens of both would name the same subject.
func (im *importer) clientHas(ctx context.Context, id identity.UserID) (bool, error) {
	if id == "" {
		return false, nil
	}
	_, err := im.o.store.Client(ctx, client.ID(id))
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	return err == nil, err
}

// create stores new accounts together, or one by one where another account has taken a name.
func (im *importer) create(ctx context.Context, fresh []*importLine, now time.Time) error {
	users, events := make([]*identity.User, len(fresh)), make([][]audit.Event, len(fresh))
	var roles []string
	for i, l := range fresh {
		u := &l.record.user
		ev := im.a.event(audit.UserCreated, now)
		ev.User, ev.Detail = string(u.ID), createdDetail(u)
		ev.Detail["by"] = "import"
		users[i] = u
		events[i] = append([]audit.Event{ev}, im.o.administratorEvents(im.a, u.ID, now, nil, u.Roles)...)
		roles = append(roles, u.Roles...)
	}
	slices.Sort(roles)
	// One guard decides for all of them.
	events[0][0].Guard = im.o.covers(im.a, ScopeUsersWrite, ofRoles(slices.Compact(roles)...))
	err := im.o.store.ImportUsers(ctx, users, slices.Concat(events...))
	if !fault.Is(err, fault.Conflict) {
		return err
	}
	for i, l := range fresh {
		events[i][0].Guard = im.o.covers(im.a, ScopeUsersWrite, ofRoles(users[i].Roles...))
		err := im.o.store.CreateUser(ctx, users[i], events[i]...)
		switch {
		case fault.Is(err, fault.Conflict), fault.Is(err, fault.Invalid):
			l.fail(err)
		case err != nil:
			return err
		}
	}
	return nil
}

// find returns the account of a line if it is here as the line says, nil if it is new, or a
// Conflict.
func (k *KnownUsers) find(r *userRecord) (*identity.User, error) {
	u := &r.user
	email, username := identity.LoginKey(u.Email), identity.LoginKey(u.Username)
	var found *identity.User
	for _, c := range []struct {
		field string
		user  *identity.User
	}{{"id", k.ByID[u.ID]}, {"email", k.ByEmail[email]}, {"username", k.ByUsername[username]}} {
		if c.user == nil {
			continue
		}
		if found != nil && found.ID != c.user.ID {
			return nil, conflictOf(c.field, "belongs to another account")
		}
		found = c.user
	}
	if found == nil {
		switch {
		case email != "" && k.Taken[email]:
			return nil, conflictOf("email", "belongs to another account")
		case username != "" && k.Taken[username]:
			return nil, conflictOf("username", "is taken")
		}
		return nil, nil
	}
	if u.ID != "" && found.ID != u.ID {
		return nil, conflictOf("email", "or the username belongs to another account, with the id "+string(found.ID))
	}
	fields := identity.UserFields()
	for _, name := range r.fields {
		if f, ok := field.Named(fields, name); ok && !sameValue(f, found, u) {
			return nil, conflictOf(name, "is different in the account that exists already")
		}
	}
	return found, nil
}

// sameValue reports whether two accounts have the same value of a field. The order of a list does
// not count.
func sameValue(f field.Field[identity.User], a, b *identity.User) bool {
	switch {
	case f.Name == "email" || f.Name == "username":
		return identity.LoginKey(*f.Text(a)) == identity.LoginKey(*f.Text(b))
	case f.List == nil:
		return f.Equal(a, b)
	}
	return slices.Equal(slices.Sorted(slices.Values(*f.List(a))), slices.Sorted(slices.Values(*f.List(b))))
}

func conflictOf(name, text string) error {
	return &fault.Error{Kind: fault.Conflict, Field: name, Text: "the " + strings.ReplaceAll(name, "_", " ") + " " + text}
}

// ExportOptions say which accounts are exported, and how.
type ExportOptions struct {
	Query  UserQuery
	Format UserFormat
	Hashes bool // with the hashes of passwords, which needs ScopeBackup
}

// ExportUsers writes accounts in a form that ImportUsers reads. They are read page by page, so that
// a slow receiver holds nothing. It returns how many it has written.
func (o *Operations) ExportUsers(ctx context.Context, a Actor, in ExportOptions, w io.Writer) (n int, err error) {
	if err := o.authorize(a, ScopeUsersRead); err != nil {
		return 0, err
	}
	if in.Hashes {
		if err := o.authorize(a, ScopeBackup); err != nil {
			return 0, err
		}
	}
	if in.Query, err = o.checkUserQuery(in.Query); err != nil {
		return 0, err
	}
	out, err := newUserWriter(w, in)
	if err != nil {
		return 0, err
	}
	ev := a.event(audit.UsersExported, o.parts.Now())
	ev.Detail = map[string]string{"format": string(in.Format)}
	if in.Hashes {
		ev.Detail["hashes"] = "true"
	}
	if err := o.store.Record(ctx, ev); err != nil {
		return 0, err
	}
	err = o.store.ExportUsers(ctx, in.Query, func(u *identity.User) error {
		n++
		return out.write(u)
	})
	if err != nil {
		return n, err
	}
	return n, out.end(n)
}
