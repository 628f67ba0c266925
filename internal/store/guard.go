package store

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// checkGuards calls the guards of events in the transaction of their change, before it. They hold
// the lock of decisions about who administers the server, so that they are called one after
// another.
func checkGuards(ctx context.Context, tx sqldb.Tx, ev []audit.Event) error {
	locked := false
	for i := range ev {
		if ev[i].Guard == nil {
			continue
		}
		if !locked {
			if err := lockAdmins(ctx, tx); err != nil {
				return err
			}
			locked = true
		}
		if err := ev[i].Guard(ctx, guardRows{tx}); err != nil {
			return err
		}
	}
	return nil
}

// guardRows reads rows, in the transaction of a change.
type guardRows struct{ tx sqldb.Conn }

// UserRoles returns the roles of a user, or NotFound.
func (r guardRows) UserRoles(ctx context.Context, id string) (roles []string, err error) {
	err = r.tx.Row(ctx, "SELECT roles FROM users WHERE id = $1", id).Scan(spaceList{&roles})
	return roles, asNotFound(err, "user")
}

// ActiveUserRoles returns the roles of a user who is neither disabled nor locked by an
// administrator, or NotFound.
func (r guardRows) ActiveUserRoles(ctx context.Context, id string) (roles []string, err error) {
	err = r.tx.Row(ctx, "SELECT roles FROM users WHERE id = $1 AND disabled = FALSE AND locked_at = 0", id).
		Scan(spaceList{&roles})
	return roles, asNotFound(err, "user")
}

// Client returns the scopes that a client may have and its roles, or NotFound.
func (r guardRows) Client(ctx context.Context, id string) (scopes, roles []string, err error) {
	err = r.tx.Row(ctx, "SELECT scopes, roles FROM clients WHERE id = $1", id).
		Scan(spaceList{&scopes}, spaceList{&roles})
	return scopes, roles, asNotFound(err, "client")
}

// ActiveClient returns the scopes that a client may have which is not disabled, or NotFound.
func (r guardRows) ActiveClient(ctx context.Context, id string) (scopes []string, err error) {
	err = r.tx.Row(ctx, "SELECT scopes FROM clients WHERE id = $1 AND disabled = FALSE", id).
		Scan(spaceList{&scopes})
	return scopes, asNotFound(err, "client")
}

// SessionUser returns whose session it is, or NotFound.
func (r guardRows) SessionUser(ctx context.Context, id string) (user string, err error) {
	err = r.tx.Row(ctx, "SELECT user_id FROM sessions WHERE id = $1", id).Scan(&user)
	return user, asNotFound(err, "session")
}

// RoleScopes returns the scopes of all roles by their names.
func (r guardRows) RoleScopes(ctx context.Context) (map[string][]string, error) {
	t, together := r.tx.(*togetherTx)
	if together && t.roles != nil {
		return t.roles, nil
	}
	roles, err := readRoles(ctx, r.tx)
	out := make(map[string][]string, len(roles))
	for name, role := range roles {
		out[name] = role.Scopes
	}
	if together && err == nil {
		t.roles = out
	}
	return out, err
}

// ScopeRules returns what all scopes require, by their names.
func (r guardRows) ScopeRules(ctx context.Context) (map[string]audit.ScopeRule, error) {
	t, together := r.tx.(*togetherTx)
	if together && t.rules != nil {
		return t.rules, nil
	}
	out := map[string]audit.ScopeRule{}
	err := each(ctx, r.tx, func(row sqldb.Row) error {
		var name string
		var rule audit.ScopeRule
		err := row.Scan(&name, spaceList{&rule.Requires}, &rule.Role)
		out[name] = rule
		return err
	}, "SELECT name, requires, role FROM scopes")
	if together && err == nil {
		t.rules = out
	}
	return out, err
}
