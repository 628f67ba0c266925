// Package store keeps everything that must survive: all of our SQL, one file per subject.
//
// A *DB serves the protocol, the login and the key ring, which each name what they need of it as an interface of
// their own, and the administration on top. Changes of a credential's state are single conditional
// statements; what a change needs to say in the audit log commits with it.
//
// Clients, scopes, routes and revocations are also held in memory. A change made through a DB is in its memory when the
// method returns; changes made by other processes arrive through Follow, within a second.
package store

import (
	"context"
	"embed"
	"io/fs"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

//go:embed migrations/*.sql
var embedded embed.FS

var (
	_ oauth.Store = (*DB)(nil)
	_ login.Store = (*DB)(nil)
	_ jose.Store  = (*DB)(nil)
)

// Options say which database to use, and the few durations that storage must know.
type Options struct {
	URL string // as for sqldb.Open

	IdleTimeout       time.Duration // a browser session unseen for longer has ended. 0: only the absolute end counts
	MaxPendingDevices int           // device authorizations held at once. Default 20,000
	AuditRetention    time.Duration // how long Sweep leaves audit events. 0: for ever
	Readers           int           // connections; see sqldb.Options
	Report            func(error)   // told of trouble in the background, if set
}

// DB is the store. It is safe for concurrent use.
type DB struct {
	sql    sqldb.DB
	files  fs.FS
	o      Options
	memory memory

	recorder *sqldb.Batcher[[]any]
	users    *otter.Cache[identity.UserID, lately]
}

// Open opens the database and, if its schema is up to date, loads what is held in memory.
// It does not migrate: see Pending and Migrate.
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.MaxPendingDevices <= 0 {
		o.MaxPendingDevices = 20_000
	}
	if o.Report == nil {
		o.Report = func(error) {}
	}
	files, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return nil, err
	}
	db, err := sqldb.Open(ctx, o.URL, sqldb.Options{Readers: o.Readers})
	if err != nil {
		return nil, err
	}
	d := &DB{sql: db, files: files, o: o, recorder: newRecorder(db), users: newLately()}
	d.memory.start()
	pending, err := d.Pending(ctx)
	if err == nil && len(pending) == 0 {
		err = d.Load(ctx)
	}
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return d, nil
}

// Pending names the migrations that Migrate would apply. It fails where Migrate would refuse.
func (d *DB) Pending(ctx context.Context) ([]string, error) {
	return sqldb.Pending(ctx, d.sql, d.files)
}

// Migrate brings the schema up to date, makes sure of the system scopes and loads what is held in memory.
// It returns the names of the migrations it applied.
func (d *DB) Migrate(ctx context.Context) ([]string, error) {
	applied, err := sqldb.Migrate(ctx, d.sql, d.files)
	if err != nil {
		return applied, err
	}
	if err := d.seedScopes(ctx); err != nil {
		return applied, err
	}
	return applied, d.Load(ctx)
}

// Engine tells which database engine is in use.
func (d *DB) Engine() sqldb.Engine { return d.sql.Engine() }

// Ping proves that the database answers.
func (d *DB) Ping(ctx context.Context) error { return d.sql.Ping(ctx) }

// Close finishes what has begun and lets go of the database.
func (d *DB) Close() error { return d.sql.Close() }

// each reads a result to its end, one call of f a row.
func each(ctx context.Context, c sqldb.Conn, f func(sqldb.Row) error, sql string, args ...any) error {
	rows, err := c.Rows(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// list reads a result to its end.
func list[T any](ctx context.Context, c sqldb.Conn, scan func(sqldb.Row) (*T, error), sql string, args ...any) ([]T, error) {
	var out []T
	err := each(ctx, c, func(r sqldb.Row) error {
		v, err := scan(r)
		if err == nil {
			out = append(out, *v)
		}
		return err
	}, sql, args...)
	return out, err
}

// exists reports whether a query gives a row.
func exists(ctx context.Context, c sqldb.Conn, sql string, args ...any) (bool, error) {
	var one int
	switch err := c.Row(ctx, sql, args...).Scan(&one); {
	case err == nil:
		return true, nil
	case fault.Is(err, fault.NotFound):
		return false, nil
	default:
		return false, err
	}
}

// one turns the count of a change of a single row into NotFound when it found none.
func one(n int64, err error, what string) error {
	if err == nil && n == 0 {
		return notFound(what)
	}
	return err
}

func notFound(what string) error { return fault.New(fault.NotFound, "there is no such %s", what) }

func spent(what string) error {
	return fault.New(fault.Consumed, "this %s has been used before", what)
}

// named puts what was looked for into a NotFound.
func named(err error, what string) error {
	if fault.Is(err, fault.NotFound) {
		return notFound(what)
	}
	return err
}
