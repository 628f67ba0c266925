package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

var scopeTable = table[oauth.Scope]{
	name: "scopes",
	columns: []column[oauth.Scope]{
		{"name", func(s *oauth.Scope) any { return &s.Name }},
		{"description", func(s *oauth.Scope) any { return &s.Description }},
		{"is_default", func(s *oauth.Scope) any { return &s.Default }},
		{"is_system", func(s *oauth.Scope) any { return &s.System }},
		{"created_at", func(s *oauth.Scope) any { return unixMillis{&s.CreatedAt} }},
		{"id", func(s *oauth.Scope) any { return &s.ID }},
		{"requires", func(s *oauth.Scope) any { return spaceList{&s.Requires} }},
		{"role", func(s *oauth.Scope) any { return &s.Role }},
		{"icon", func(s *oauth.Scope) any { return &s.Icon }},
		{"version", func(s *oauth.Scope) any { return &s.Version }},
	},
}

var (
	insertScope = scopeTable.insert()
	seedScope   = insertScope + " ON CONFLICT (name) DO UPDATE SET is_system = TRUE WHERE scopes.is_system = FALSE"
	createScope = insertScope + " ON CONFLICT (name) DO NOTHING"
)

// systemScopes returns the scopes of OpenID Connect Core (§5.4, §11), those that give a person's
// roles, and those of the management API. Each description completes the sentence "This application
// wants to …".
func systemScopes() []oauth.Scope {
	own := []oauth.Scope{
		{Name: "openid", Description: "confirm your identity"},
		{Name: "profile", Description: "view your name and photo"},
		{Name: "email", Description: "view your email address"},
		{Name: "address", Description: "view your postal address"},
		{Name: "phone", Description: "view your phone number"},
		{Name: "offline_access", Description: "keep access when you're not using it"},
		{Name: "roles", Description: "view your roles"},
		{Name: "groups", Description: "view your groups"},
	}
	return append(own, admin.SystemScopes()...)
}

// seedScopes creates the system scopes that do not exist. Existing ones keep the description and
// default that an operator gave them.
func (d *DB) seedScopes(ctx context.Context) error {
	return d.sql.Write(ctx, func(tx sqldb.Tx) error {
		added, opened := int64(0), []string{}
		for _, s := range systemScopes() {
			s.System, s.CreatedAt, s.Version = true, time.Now(), 1
			s.ID = secret.NewID(s.CreatedAt)
			n, err := tx.Exec(ctx, seedScope, scopeTable.args(&s)...)
			if err != nil {
				return err
			}
			if added += n; n > 0 && oauth.IsAdminScope(s.Name) {
				opened = append(opened, s.Name)
			}
		}
		if err := forgetScopes(ctx, tx, opened); err != nil {
			return err
		}
		if added == 0 {
			return nil
		}
		return bump(ctx, tx, TopicScopes)
	})
}

// Scopes returns all defined scopes by name, from memory. The map is shared and must not be
// changed.
func (d *DB) Scopes() map[string]*oauth.Scope { return *d.memory.scopes.Load() }

// loadScopes replaces the scopes in memory by those in the database.
func (d *DB) loadScopes(ctx context.Context) error {
	all := make(map[string]*oauth.Scope)
	err := each(ctx, d.sql, func(r sqldb.Row) error {
		s, err := scopeTable.scan(r)
		all[s.Name] = s
		return err
	}, "SELECT "+scopeTable.list()+" FROM scopes")
	if err == nil {
		d.memory.scopes.Store(&all)
	}
	return err
}

// changeScopes runs a change of scopes. show makes the change in what a store of Together has in
// memory; one that was changed by other processes, too, reads it anew.
func (d *DB) changeScopes(
	ctx context.Context, ev []audit.Event, f func(tx sqldb.Tx) error, show func(map[string]*oauth.Scope),
) error {
	err := d.write(ctx, ev, func(tx sqldb.Tx) error {
		if err := bump(ctx, tx, TopicScopes); err != nil {
			return err
		}
		return f(tx)
	})
	if err == nil && d.nested {
		show(d.Scopes())
	}
	if err == nil {
		d.committed(ctx)
	}
	return err
}

// CreateScope stores a new scope, or returns Conflict if the name is taken; with admin.ReasonHeld
// if the scope requires others and a client or a role has its name already. It never creates a
// system scope.
func (d *DB) CreateScope(ctx context.Context, s *oauth.Scope, ev ...audit.Event) error {
	s.Version = max(s.Version, 1)
	custom := *s
	custom.System = false
	return d.changeScopes(ctx, ev, func(tx sqldb.Tx) error {
		if len(custom.Requires) > 0 {
			if err := scopeFree(ctx, tx, custom.Name); err != nil {
				return err
			}
		}
		n, err := tx.Exec(ctx, createScope, scopeTable.args(&custom)...)
		if err == nil && n == 0 {
			err = fault.New(fault.Conflict, "there is a scope %q already", s.Name)
		}
		return err
	}, func(all map[string]*oauth.Scope) { all[custom.Name] = &custom })
}

// UpdateScope stores the fields of a scope that can be set where they differ in new and old.
func (d *DB) UpdateScope(ctx context.Context, old, new *oauth.Scope, ev ...audit.Event) error {
	return d.UpdateScopeAt(ctx, 0, old, new, ev...)
}

// UpdateScopeAt does what UpdateScope does, or returns Stale unless the scope has a version; 0 is
// any.
func (d *DB) UpdateScopeAt(
	ctx context.Context, version int64, old, new *oauth.Scope, ev ...audit.Event,
) error {
	next := *old
	next.Description, next.Default = new.Description, new.Default
	next.Requires, next.Role, next.Icon = slices.Clone(new.Requires), new.Role, new.Icon
	if len(scopeTable.differences(old, &next)) == 0 {
		return d.Record(ctx, ev...)
	}
	return d.changeScopes(ctx, ev, func(tx sqldb.Tx) error {
		if err := atVersion(ctx, tx, scopeTable.name, "name", old.Name, version); err != nil {
			return asNotFound(err, "scope")
		}
		// Changes of scopes come one after another: nothing comes between these two statements.
		err := tx.Row(ctx, "SELECT version FROM scopes WHERE name = $1", old.Name).Scan(&next.Version)
		if err != nil {
			return asNotFound(err, "scope")
		}
		next.Version++
		n, err := scopeTable.update(ctx, tx, old, &next)
		new.Version = next.Version
		return requireOne(n, err, "scope")
	}, func(all map[string]*oauth.Scope) { all[next.Name] = &next })
}

// DeleteScope deletes a scope, also from what people have allowed and from what was granted. It
// returns Denied for a system scope, and Conflict with admin.ReasonHeld for one that a client, a
// role or another scope names.
func (d *DB) DeleteScope(ctx context.Context, name string, ev ...audit.Event) error {
	return d.DeleteScopeAt(ctx, 0, name, ev...)
}

// DeleteScopeAt does what DeleteScope does, or returns Stale unless the scope has a version; 0 is
// any.
func (d *DB) DeleteScopeAt(ctx context.Context, version int64, name string, ev ...audit.Event) error {
	return d.changeScopes(ctx, ev, func(tx sqldb.Tx) error {
		if err := atVersion(ctx, tx, scopeTable.name, "name", name, version); err != nil {
			return asNotFound(err, "scope")
		}
		n, err := tx.Exec(ctx, "DELETE FROM scopes WHERE name = $1 AND is_system = FALSE", name)
		if err != nil {
			return err
		}
		if n > 0 {
			return errors.Join(scopeFree(ctx, tx, name),
				forgetScope(ctx, tx, "consents", name), forgetScope(ctx, tx, "grants", name))
		}
		found, err := exists(ctx, tx, "SELECT 1 FROM scopes WHERE name = $1", name)
		if err == nil && found {
			return fault.New(fault.Denied, "the scope %s belongs to the system and cannot be deleted", name)
		}
		return requireOne(0, err, "scope")
	}, func(all map[string]*oauth.Scope) { delete(all, name) })
}

// ScopeUse returns up to limit clients, roles and scopes each that name a scope.
func (d *DB) ScopeUse(ctx context.Context, name string, limit int) (*admin.ScopeUse, error) {
	return scopeUse(ctx, d.sql, name, limit)
}

func scopeUse(ctx context.Context, c sqldb.Conn, name string, limit int) (*admin.ScopeUse, error) {
	out := &admin.ScopeUse{}
	var errs [3]error
	out.Clients, errs[0] = holders(ctx, c, "SELECT id FROM clients WHERE "+hasRole("scopes", "$1"), name, limit)
	out.Roles, errs[1] = holders(ctx, c, "SELECT name FROM roles WHERE "+hasRole("scopes", "$1"), name, limit)
	out.Scopes, errs[2] = holders(ctx, c, "SELECT name FROM scopes WHERE "+hasRole("requires", "$1"), name, limit)
	return out, errors.Join(errs[:]...)
}

// holders returns up to limit things, in the order of their names.
func holders(ctx context.Context, c sqldb.Conn, query, name string, limit int) (admin.Holders, error) {
	found, err := listStrings[string](ctx, c, query+" ORDER BY 1 LIMIT $2", name, int64(limit))
	return admin.HoldersOf(found), err
}

// scopeFree returns Conflict with admin.ReasonHeld if a client, a role or another scope names a
// scope. The error does not say what that is: not everybody may know it.
func scopeFree(ctx context.Context, tx sqldb.Tx, name string) error {
	use, err := scopeUse(ctx, tx, name, 1)
	if err == nil && !use.None() {
		err = held("the scope %s is still in use; change that first", name)
	}
	return err
}

// forgetScopes takes names that open the management API from now on from the lists of clients,
// from what people have allowed and from what was granted: no client has them by accident.
func forgetScopes(ctx context.Context, tx sqldb.Tx, names []string) error {
	if len(names) == 0 {
		return nil
	}
	for _, table := range []string{"clients", "consents", "grants"} {
		const some = " WHERE scopes LIKE '%" + oauth.ScopeAdmin + "%'" // most often there are none
		if found, err := exists(ctx, tx, "SELECT 1 FROM "+table+some+" LIMIT 1"); err != nil || !found {
			if err != nil {
				return err
			}
			continue
		}
		for _, name := range names {
			if err := forgetScope(ctx, tx, table, name); err != nil {
				return err
			}
		}
	}
	return bump(ctx, tx, TopicClients)
}

// forgetScope takes the name of a scope from the lists of scopes in a table.
func forgetScope(ctx context.Context, tx sqldb.Tx, table, name string) error {
	_, err := tx.Exec(ctx, "UPDATE "+table+" SET scopes = "+withoutWord("scopes", "$1")+
		" WHERE "+hasRole("scopes", "$1"), name)
	return err
}

// withoutWord returns a list of words without the word in a parameter.
func withoutWord(column, param string) string {
	return "TRIM(REPLACE(' ' || " + column + " || ' ', ' ' || " + param + " || ' ', ' '))"
}
