package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// systemScopes are those of OpenID Connect Core (§5.4, §11). Each description completes «This application wants to …».
func systemScopes() []oauth.Scope {
	return []oauth.Scope{
		{Name: "openid", Description: "confirm your identity"},
		{Name: "profile", Description: "view your name and photo"},
		{Name: "email", Description: "view your email address"},
		{Name: "address", Description: "view your postal address"},
		{Name: "phone", Description: "view your phone number"},
		{Name: "offline_access", Description: "keep access when you're not using it"},
	}
}

// seedScopes makes sure that the system scopes exist. Those that do keep what an operator made of them.
func (d *DB) seedScopes(ctx context.Context) error {
	return d.sql.Write(ctx, func(tx sqldb.Tx) error {
		added := int64(0)
		for _, s := range systemScopes() {
			n, err := tx.Exec(ctx, "INSERT INTO scopes (name, description, is_default, is_system, created_at) VALUES ($1, $2, FALSE, TRUE, $3) "+
				"ON CONFLICT (name) DO UPDATE SET is_system = TRUE WHERE scopes.is_system = FALSE", s.Name, s.Description, ms(time.Now()))
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

// Scopes gives all defined scopes by name, from memory. Never change it.
func (d *DB) Scopes() map[string]*oauth.Scope { return *d.memory.scopes.Load() }

func (d *DB) loadScopes(ctx context.Context) error {
	all := make(map[string]*oauth.Scope)
	err := each(ctx, d.sql, func(r sqldb.Row) error {
		var s oauth.Scope
		err := r.Scan(&s.Name, &s.Description, &s.Default, &s.System, stamp{&s.CreatedAt})
		all[s.Name] = &s
		return err
	}, "SELECT name, description, is_default, is_system, created_at FROM scopes")
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

// PutScope stores a scope, or what is new about one that exists. Whether it is ours is not the caller's to change.
func (d *DB) PutScope(ctx context.Context, s *oauth.Scope, ev ...audit.Event) error {
	return d.changeScopes(ctx, ev, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO scopes (name, description, is_default, is_system, created_at) VALUES ($1, $2, $3, FALSE, $4) "+
			"ON CONFLICT (name) DO UPDATE SET description = excluded.description, is_default = excluded.is_default",
			s.Name, s.Description, s.Default, ms(s.CreatedAt))
		return err
	})
}

// DeleteScope deletes a scope: Denied if it is one of ours.
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
		return one(0, err, "scope")
	})
}
