package admin

import (
	"context"
	"maps"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// A subject is what a change touches, gives or takes. It returns what that confers on whoever has
// it, by the rows of the transaction.
type subject func(ctx context.Context, d decision) (oauth.Rights, error)

// decision is what a change is decided by.
type decision struct {
	rows audit.Rows
	defs oauth.Definitions
	a    Actor

	named map[string]bool // scopes that the request itself names, which a denial may repeat
}

// covers returns the guard of a change: nobody touches, gives or takes what confers more than they
// have. It is the one place that decides so. In the transaction of the change it computes what the
// actor may do by then, checks that this has the scope of the operation, and that it covers what
// each subject confers.
func (o *Operations) covers(a Actor, s Scope, subjects ...subject) audit.Guard {
	return coverGuard(a, s, subjects...)
}

// coverGuard returns the guard that covers describes.
func coverGuard(a Actor, s Scope, subjects ...subject) audit.Guard {
	if a.trusted() {
		return nil
	}
	return func(ctx context.Context, rows audit.Rows) error {
		defs, err := definitionsOf(ctx, rows)
		if err != nil {
			return err
		}
		d := decision{rows: rows, defs: defs, a: a, named: map[string]bool{}}
		have, err := d.rights(ctx)
		if err != nil {
			return err
		}
		// An actor without scopes was let in by another permission, such as a token for registering
		// clients, and may touch only what confers nothing.
		if len(a.Scopes) > 0 && !have.Has(string(s)) {
			return insufficientScope(s, "this operation needs the scope "+string(s))
		}
		for _, subject := range subjects {
			needed, err := subject(ctx, d)
			if err != nil {
				return err
			}
			if missing := have.Missing(needed); missing != "" {
				return uncovered(a, missing, d.named[missing])
			}
		}
		return nil
	}
}

// uncovered returns the denial of a change of what confers a scope that the actor does not have. It
// names the scope where the request did, or where the actor may read what roles and scopes there
// are: else it would tell what somebody has.
func uncovered(a Actor, missing string, named bool) error {
	if named || a.Can(ScopeRolesRead) && a.Can(ScopeScopesRead) {
		return insufficientScope(Scope(missing), "this concerns what confers the scope "+missing+
			", which you do not have")
	}
	return &AccessError{
		Unnamed: true,
		cause: &fault.Error{
			Kind:   fault.Denied,
			Reason: ReasonInsufficientScope,
			Text:   "this concerns what confers more than you have",
		},
	}
}

// decide calls a guard ahead of its transaction, where the operation would do or tell something
// before that.
func (o *Operations) decide(ctx context.Context, g audit.Guard) error {
	if g == nil {
		return nil
	}
	return o.store.Decide(ctx, g)
}

// trusted reports whether the actor is the command line on the database, or the server itself.
func (a Actor) trusted() bool {
	return a.User == "" && a.Client == "" && (a.Can(ScopeAll) || a.name == audit.ActorSystem)
}

// definitionsOf returns the scopes and roles as the transaction reads them.
func definitionsOf(ctx context.Context, rows audit.Rows) (oauth.Definitions, error) {
	rules, err := rows.ScopeRules(ctx)
	if err != nil {
		return oauth.Definitions{}, err
	}
	roles, err := rows.RoleScopes(ctx)
	d := oauth.Definitions{
		Scopes: make(map[string]*oauth.Scope, len(rules)),
		Roles:  make(map[string]*identity.Role, len(roles)),
	}
	for name, rule := range rules {
		d.Scopes[name] = &oauth.Scope{Name: name, Requires: rule.Requires, Role: rule.Role}
	}
	for name, scopes := range roles {
		d.Roles[name] = &identity.Role{Name: name, Scopes: scopes}
	}
	return d, err
}

// rights returns what the actor may do: of the scopes that they came with, those that the person
// and the client have in the transaction. Those that are disabled or locked by then have none.
func (d decision) rights(ctx context.Context) (oauth.Rights, error) {
	var names []string
	for _, s := range d.a.Scopes {
		names = append(names, string(s))
	}
	bound := d.defs.Closure(names...)
	if d.a.User != "" {
		roles, err := d.rows.ActiveUserRoles(ctx, string(d.a.User))
		if err != nil && !fault.Is(err, fault.NotFound) {
			return nil, err
		}
		bound = bound.And(d.defs.RoleRights(roles))
	}
	if d.a.Client != "" {
		scopes, err := d.rows.ActiveClient(ctx, string(d.a.Client))
		if err != nil && !fault.Is(err, fault.NotFound) {
			return nil, err
		}
		bound = bound.And(d.defs.Closure(scopes...))
	}
	return bound, nil
}

// conferred returns what roles confer on whoever has them. The system role admin confers
// everything: only a super_admin manages administrators.
func (d decision) conferred(roles []string) oauth.Rights {
	r := d.defs.RoleRights(roles)
	for _, role := range roles {
		if role == identity.RoleAdmin {
			r[oauth.ScopeAdmin] = true
		}
	}
	return r
}

// account returns the subject of an account: who can change it can become its person. People manage
// their own account by what they have themselves.
func account(id identity.UserID) subject {
	return func(ctx context.Context, d decision) (oauth.Rights, error) {
		roles, err := d.rows.UserRoles(ctx, string(id))
		if err != nil {
			return nil, err
		}
		if d.a.User == id {
			return d.defs.RoleRights(roles), nil
		}
		return d.conferred(roles), nil
	}
}

// sessionOf returns the subject of the account of a session's person.
func sessionOf(id identity.SessionID) subject {
	return func(ctx context.Context, d decision) (oauth.Rights, error) {
		of, err := d.rows.SessionUser(ctx, string(id))
		if err != nil || identity.UserID(of) == d.a.User {
			return nil, err // ending one's own session gives nothing
		}
		return account(identity.UserID(of))(ctx, d)
	}
}

// ofRoles returns the subject of roles that somebody gets.
func ofRoles(names ...string) subject {
	return func(_ context.Context, d decision) (oauth.Rights, error) { return d.conferred(names), nil }
}

// ofScopes returns the subject of scopes that a role, a client or another scope gets.
func ofScopes(names ...string) subject {
	return func(_ context.Context, d decision) (oauth.Rights, error) {
		for _, name := range names {
			d.named[name] = true
		}
		return d.defs.Powers(names...), nil
	}
}

// storedClient returns the subject of a client as it is stored.
func storedClient(id client.ID) subject {
	return func(ctx context.Context, d decision) (oauth.Rights, error) {
		scopes, roles, err := d.rows.Client(ctx, string(id))
		out := d.conferred(roles)
		maps.Copy(out, d.defs.Powers(scopes...))
		return out, err
	}
}

// rolesBut returns the subject of all roles but some, for a change of everybody who has none of
// these.
func rolesBut(except []string) subject {
	return func(_ context.Context, d decision) (oauth.Rights, error) {
		return d.conferred(without(slices.Collect(maps.Keys(d.defs.Roles)), except)), nil
	}
}

// strongerRoles returns the names of the roles that confer more than an actor has, for changes of
// many accounts at once: those with one of these roles are left out.
func (o *Operations) strongerRoles(a Actor) []string {
	if a.Can(ScopeAll) {
		return nil
	}
	have := oauth.Rights{}
	for _, s := range a.Scopes {
		have[string(s)] = true
	}
	d := decision{defs: o.definitions(), a: a}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(d.defs.Roles)) {
		if have.Missing(d.conferred([]string{name})) != "" {
			out = append(out, name)
		}
	}
	return out
}
