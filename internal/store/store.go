// Package store reads and writes the database. All SQL is here, one file per subject.
//
// A *DB serves the protocol, the login, the key ring and the gateway, each of which declares what
// it needs as an interface of its own, and the management operations. The columns of an entity
// are listed once, in its table; the statements that read and write it derive from that list. A
// change of a credential's state is a single conditional statement, an update writes only the
// fields that its caller changed, and the audit events of a change commit with it.
//
// Clients, scopes, routes and revocations are also in memory. A change made through a DB is in
// its memory when the method returns; changes made by other processes arrive through Follow,
// within a second.
package store

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

//go:embed migrations/*.sql
var embedded embed.FS

var (
	_ oauth.Store = (*DB)(nil)
	_ token.Store = (*DB)(nil)
	_ login.Store = (*DB)(nil)
	_ jose.Store  = (*DB)(nil)
)

// Options configures Open.
type Options struct {
	URL string // as for sqldb.Open

	// IdleTimeout ends browser sessions that have not been seen for longer. 0: only their
	// absolute end counts.
	IdleTimeout       time.Duration
	MaxPendingDevices int         // device authorizations at a time. Default 20,000
	UnknownNames      int         // counters of names that nobody has. Default 250,000
	AuditKey          []byte      // marks the pages of the audit log that this server has written
	NoAuditTree       bool        // keeps no proof of the audit log; for measurements
	Readers           int         // connections; see sqldb.Options
	Report            func(error) // receives errors in the background, if set

	// Observer watches the operations on the database, OnEvent gets the events that are written to
	// the audit log, and OnRevocation the times of revocations by any server when they are in
	// force here. They are called by several goroutines, and may be nil.
	Observer     sqldb.Observer
	OnEvent      func(*audit.Event)
	OnRevocation func(at time.Time)

	// Statements, ListenURL, Notice and what concerns schemas are for PostgreSQL; see
	// sqldb.Options.
	Statements string
	ListenURL  string
	Schema     string
	Notice     func(text string)

	SchemaExists bool
	Shared       *sqldb.SharedPool
	// ExternalCheckpoint and Image are for SQLite; see sqldb.Options.
	ExternalCheckpoint bool
	Image              string

	Restoring bool // a restore completes the database
	// OnMigration receives what each migration took, if set.
	OnMigration func(sqldb.AppliedMigration)
}

// Operation is one operation on the database, for Options.Observer.
type Operation = sqldb.Operation

// DB is the store. It is safe for concurrent use.
type DB struct {
	sql    sqldb.DB
	files  fs.FS
	o      Options
	memory memory

	recorder *sqldb.Batcher[storedEvent]
	pages    atomic.Int64 // how many it has begun to write
	lastPage atomic.Int64 // the time in the id of the last one
	sealers  sync.Pool
	erased   sync.Map // users whose audit events are erased, by their ids
	tree     tree
	attempts attempts
	users    *otter.Cache[identity.UserID, cachedUser]
	writer   string // names this process: among those that change counters, and in the audit log

	nested bool // its statements are part of a transaction; see Together
}

// Migrations returns the files of the schema, in the order of their names.
func Migrations() fs.FS {
	files, err := fs.Sub(embedded, "migrations")
	if err != nil { // not for a constant name
		panic(err)
	}
	return files
}

// Schema returns the name of the newest migration of this program.
func Schema() string { return sqldb.Newest(Migrations()) }

// Open opens the database and, if its schema is up to date, loads what is in memory. It does not
// migrate: see Pending and Migrate.
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.MaxPendingDevices <= 0 {
		o.MaxPendingDevices = 20_000
	}
	if o.Report == nil {
		o.Report = func(error) {}
	}
	files := Migrations()
	var err error
	d := &DB{files: files, o: o, users: newUserCache(), writer: secret.NewID(time.Now())}
	d.sql, err = sqldb.Open(ctx, o.URL, sqldb.Options{
		Readers:    o.Readers,
		Statements: o.Statements,
		ListenURL:  o.ListenURL,
		Schema:     o.Schema,
		Notice:     o.Notice,

		SchemaExists:       o.SchemaExists,
		Shared:             o.Shared,
		ExternalCheckpoint: o.ExternalCheckpoint,
		Image:              o.Image,
		Seal:               d.seal,
	})
	if err != nil {
		return nil, err
	}
	if o.Observer != nil {
		d.sql = sqldb.Observe(d.sql, o.Observer)
	}
	d.recorder = newRecorder(d.sql)
	d.memory.start()
	d.attempts.start()
	pending, err := d.Pending(ctx)
	if err == nil && len(pending) == 0 {
		err = d.Load(ctx)
	}
	if err != nil {
		_ = d.sql.Close()
		return nil, err
	}
	return d, nil
}

// Pending returns the names of the migrations that Migrate would apply. It fails where Migrate
// would fail.
func (d *DB) Pending(ctx context.Context) ([]string, error) {
	all, err := d.PendingMigrations(ctx)
	names := make([]string, len(all))
	for i, m := range all {
		names[i] = m.Name
	}
	return names, err
}

// PendingMigrations returns what Migrate would apply, and which programs may use the schema then.
func (d *DB) PendingMigrations(ctx context.Context) ([]sqldb.Migration, error) {
	return sqldb.Pending(ctx, d.sql, d.files)
}

// Migrate brings the schema and the login keys up to date, creates the system scopes and roles that
// are missing and loads what is in memory. It returns the names of the migrations it applied. On
// the schema of a newer program it changes nothing.
func (d *DB) Migrate(ctx context.Context) ([]string, error) {
	m := sqldb.Migrator{
		DB:      d.sql,
		Files:   d.files,
		Allow:   d.allowMigration,
		Notice:  d.o.Notice,
		Applied: d.o.OnMigration,
	}
	if d.o.Restoring { // the servers that the database names run elsewhere
		m.Allow = nil
	}
	applied, err := m.Run(ctx)
	if err != nil {
		return applied, err
	}
	newer, err := sqldb.IsNewer(ctx, d.sql, d.files)
	if err != nil {
		return applied, err
	}
	if !newer {
		if err := d.seed(ctx); err != nil {
			return applied, err
		}
	}
	return applied, d.Load(ctx)
}

// seed writes what this release has besides the schema.
func (d *DB) seed(ctx context.Context) error {
	for _, f := range []func(context.Context) error{d.renewLoginKeys, d.writeTerms} {
		if err := f(ctx); err != nil {
			return err
		}
	}
	mark := seedMark()
	if at, err := d.Meta(ctx, metaSeeds); at == mark || err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	for _, f := range []func(context.Context) error{d.seedScopes, d.seedRoles} {
		if err := f(ctx); err != nil {
			return err
		}
	}
	return d.SetMeta(ctx, metaSeeds, mark)
}

// metaSeeds has the mark of the system scopes and roles that have been written.
const metaSeeds = "seeds"

// seedMark names the system scopes and roles of this release.
func seedMark() string {
	h := sha256.New()
	fmt.Fprintf(h, "%+v %+v", systemScopes(), admin.SystemRoles())
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// allowMigration returns an error while servers run that could not use the schema afterwards.
func (d *DB) allowMigration(ctx context.Context, c sqldb.Conn, m sqldb.Migration) error {
	if m.Oldest < firstWithServers { // before there was a list of servers
		return nil
	}
	has, err := d.hasServers(ctx, c)
	if err != nil || !has {
		return err
	}
	all, err := servers(ctx, c, d.Engine())
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.Active() && s.Schema != "" && sqldb.Number(s.Schema) < m.Oldest {
			return fault.New(fault.Conflict, "migration %s ends the use of the database by programs "+
				"without migration %s, "+
				"and a server of %s is running; stop it first, and start it with this release", m.Name, m.Oldest, s.Version)
		}
	}
	return nil
}

// Engine returns the database engine in use.
func (d *DB) Engine() sqldb.Engine { return d.sql.Engine() }

// Ping returns an error unless the database answers.
func (d *DB) Ping(ctx context.Context) error { return d.sql.Ping(ctx) }

// Writable returns an error unless the database answers and can be changed.
func (d *DB) Writable(ctx context.Context) error { return d.sql.Writable(ctx) }

// Status returns how the database is used now.
func (d *DB) Status() sqldb.Status { return d.sql.Status() }

// Usage returns how much of the database is in use now.
func (d *DB) Usage() sqldb.Usage { return d.sql.Usage() }

// Size returns the size of the database in bytes, and on SQLite that of its write-ahead log.
func (d *DB) Size(ctx context.Context) (main, wal int64, err error) { return d.sql.Size(ctx) }

// Close waits for the changes that have begun, then closes the database.
func (d *DB) Close() error { return d.sql.Close() }
