package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
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
	},
}

var (
	insertScope = scopeTable.insert()
	seedScope   = insertScope + " ON CONFLICT (name) DO UPDATE SET is_system = TRUE WHERE scopes.is_system = FALSE"
	createScope = insertScope + " ON CONFLICT (name) DO NOTHING"
)

// systemScopes returns the scopes of OpenID Connect Core (§5.4, §11), and those that give a
// person's roles. Each description completes
// the sentence "This application wants to …".
func systemScopes() []oauth.Scope {
	return []oauth.Scope{
		{Name: "openid", Description: "confirm your identity"},
		{Name: "profile", Description: "view your name and photo"},
		{Name: "email", Description: "view your email address"},
		{Name: "address", Description: "view your postal address"},
		{Name: "phone", Description: "view your phone number"},
		{Name: "offline_access", Description: "keep access when you're not using it"},
		{Name: "roles", Description: "view your roles"},
		{Name: "groups", Description: "view your groups"},
	}
}

// seedScopes creates the system scopes that do not exist. Existing ones keep the description and
// default that an operator gave them.
func (d *DB) seedScopes(ctx context.Context) error {
	return d.sql.Write(ctx, func(tx sqldb.Tx) error {
		added := int64(0)
		for _, s := range systemScopes() {
			s.System, s.CreatedAt = true, time.Now()
			n, err := tx.Exec(ctx, seedScope, scopeTable.args(&s)...)
			if err != nil {
				return err
			}
			added += n
		}
		if added == 0 {
			return nil
		}
		_, err := bump(ctx, tx, TopicScopes, 1)
		return err
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

func (d *DB) changeScopes(ctx context.Context, ev []audit.Event, f func(tx sqldb.Tx) error) error {
	err := d.write(ctx, ev, func(tx sqldb.Tx) error {
		if _, err := bump(ctx, tx, TopicScopes, 1); err != nil {
			return err
		}
		return f(tx)
	})
	if err == nil {
		d.committed(ctx)
	}
	return err
}

// CreateScope stores a new scope, or returns Conflict if the name is taken. It never creates a
// system scope.
func (d *DB) CreateScope(ctx context.Context, s *oauth.Scope, ev ...audit.Event) error {
	custom := *s
	custom.System = false
	return d.changeScopes(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, createScope, scopeTable.args(&custom)...)
		if err == nil && n == 0 {
			err = fault.New(fault.Conflict, "there is a scope %q already", s.Name)
		}
		return err
	})
}

// UpdateScope stores the description and the default of a scope where they differ in new and old.
func (d *DB) UpdateScope(ctx context.Context, old, new *oauth.Scope, ev ...audit.Event) error {
	next := *old
	next.Description, next.Default = new.Description, new.Default
	if len(scopeTable.differences(old, &next)) == 0 {
		return d.Record(ctx, ev...)
	}
	return d.changeScopes(ctx, ev, func(tx sqldb.Tx) error {
		n, err := scopeTable.update(ctx, tx, old, &next)
		return requireOne(n, err, "scope")
	})
}

// DeleteScope deletes a scope. It returns Denied for a system scope.
func (d *DB) DeleteScope(ctx context.Context, name string, ev ...audit.Event) error {
	return d.changeScopes(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "DELETE FROM scopes WHERE name = $1 AND is_system = FALSE", name)
		if err != nil || n > 0 {
			return err
		}
		found, err := exists(ctx, tx, "SELECT 1 FROM scopes WHERE name = $1", name)
		if err == nil && found {
			return fault.New(fault.Denied, "the scope %s belongs to the system and cannot be deleted", name)
		}
		return requireOne(0, err, "scope")
	})
}
