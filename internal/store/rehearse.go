package store

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/backup"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// An UpgradeState describes a database that a newer program is to use. It was read without a
// change.
type UpgradeState struct {
	Schema     string // the newest migration that is applied, or "" for an empty database
	Migrations []sqldb.Migration
	Servers    []Server // that are probably running
}

// Upgrade returns what an upgrade of the database to this program would do.
func (d *DB) Upgrade(ctx context.Context) (*UpgradeState, error) {
	todo, err := d.PendingMigrations(ctx)
	if err != nil {
		return nil, err
	}
	out := &UpgradeState{Migrations: todo}
	if len(todo) > 0 && todo[0].Name == firstMigration() {
		return out, nil
	}
	err = d.sql.Row(ctx, "SELECT COALESCE(MAX(name), '') FROM migrations").Scan(&out.Schema)
	if err != nil {
		return nil, err
	}
	if has, err := d.hasServers(ctx, d.sql); err != nil || !has {
		return out, err
	}
	all, err := d.Servers(ctx)
	for i := range all {
		if all[i].Active() {
			out.Servers = append(out.Servers, all[i])
		}
	}
	return out, err
}

// firstMigration returns the name of the oldest migration.
func firstMigration() string {
	all, _, err := steps()
	if err != nil || len(all) == 0 {
		return ""
	}
	return all[0].Name
}

// A Copied is what CopyTo has copied.
type Copied struct {
	Header backup.Header
	Counts []backup.Count
}

// CopyTo fills an empty database with the rows of this one as they are at one moment, while others
// read and write. Nothing is written to this one, whose schema may be that of an earlier program.
// The other one is marked until FinishRestore.
func (d *DB) CopyTo(ctx context.Context, h backup.Header, o BackupOptions, to Options) (*Copied, error) {
	key := make([]byte, 32)
	rand.Read(key)
	out := &Copied{Header: h}
	from, into := io.Pipe()
	o.ReadOnly = true
	o.Begin = func(h *backup.Header) (*backup.Writer, error) { return backup.NewWriter(into, h, key, nil) }
	written := make(chan error, 1)
	go func() {
		_, err := d.WriteBackup(ctx, &out.Header, o)
		_ = into.CloseWithError(err)
		written <- err
	}()
	r, err := backup.NewReader(from)
	if err == nil {
		defer r.Stop()
		err = LoadBackup(ctx, LoadOptions{Options: to, Mark: h.ID, Key: key}, r)
	}
	_ = from.CloseWithError(errors.New("the copy was given up"))
	if failed := <-written; failed != nil && (err == nil || !errors.Is(failed, io.ErrClosedPipe)) {
		return nil, errors.Join(failed, err)
	}
	if err != nil {
		return nil, err
	}
	out.Counts = r.Counts()
	return out, nil
}

// RehearsalSchema is how the names of the schemas begin in which an upgrade is rehearsed.
const RehearsalSchema = "gatehouse_rehearsal_"

// DropRehearsal drops a schema in which an upgrade was rehearsed.
func DropRehearsal(ctx context.Context, url, name string) error {
	if !strings.HasPrefix(name, RehearsalSchema) {
		return fault.New(fault.Denied, "the schema %s is not one of a rehearsal", name)
	}
	db, err := sqldb.Open(ctx, url, sqldb.Options{Readers: 2})
	if err != nil {
		return err
	}
	defer db.Close()
	return sqldb.DropSchema(ctx, db, name)
}

// Rehearsals returns the names of the schemas of a PostgreSQL database in which upgrades are or
// were rehearsed.
func Rehearsals(ctx context.Context, url string) (names []string, err error) {
	db, err := sqldb.Open(ctx, url, sqldb.Options{Readers: 2})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	err = each(ctx, db, func(r sqldb.Row) error {
		var name string
		err := r.Scan(&name)
		names = append(names, name)
		return err
	}, "SELECT CAST(nspname AS TEXT) FROM pg_namespace WHERE starts_with(CAST(nspname AS TEXT), $1) ORDER BY 1", RehearsalSchema)
	return names, err
}

// A Renewable is an approval that its client could renew now, and its client.
type Renewable struct {
	ID     oauth.GrantID
	Client string
}

// RenewableGrants returns some of the approvals whose refresh tokens are in use and bound to no
// key, of people whose accounts are enabled, the ones used last first.
func (d *DB) RenewableGrants(ctx context.Context, now time.Time) ([]Renewable, error) {
	return list(ctx, d.sql, func(r sqldb.Row) (*Renewable, error) {
		var g Renewable
		err := r.Scan((*string)(&g.ID), &g.Client)
		return &g, err
	}, "SELECT grants.id, client_id FROM grants JOIN users ON users.id = grants.user_id"+
		" WHERE refresh_hash <> '' AND bound = '' AND actor = '' AND grants.expires_at > $1"+
		" AND users.disabled = FALSE AND users.locked_at = 0 AND "+notRevoked+
		" ORDER BY grants.last_used_at DESC LIMIT 50", unixMilli(now))
}

// SetRefreshHash changes the refresh token of an approval, in a copy for trying things out only.
func (d *DB) SetRefreshHash(ctx context.Context, id oauth.GrantID, h secret.Hash) error {
	n, err := d.sql.Exec(ctx, "UPDATE grants SET refresh_hash = $1, prev_hash = '', attempt = '' WHERE id = $2"+
		" AND EXISTS (SELECT 1 FROM meta WHERE name = $3)", string(h), string(id), metaCopy)
	if err == nil && n == 0 {
		return fault.New(fault.Denied, "only a copy for trying things out gets refresh tokens in this way")
	}
	return err
}
