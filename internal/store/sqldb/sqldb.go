// Package sqldb is the seam between our SQL and the engine that runs it: SQLite inside this process, or PostgreSQL.
//
// One SQL text serves both. Parameters are written $1, $2, … in order of first appearance; they are strings,
// 64-bit integers and booleans, or nil. What is scanned is the same, into pointers to those or to types of their
// kind, into **string where NULL may stand, or into anything with Scan(any) error.
//
// Every error that leaves this package carries a fault kind where the cause is understood:
//
//	no row                                          NotFound
//	unique or primary key violated                  Conflict (Violated names the constraint)
//	foreign key violated                            NotFound: what the row points to does not exist, or no longer
//	text that is no valid UTF-8 (PostgreSQL)       Invalid
//	busy, full, unreachable, shutting down, cancelled  Unavailable
//
// All foreign keys of the schema cascade on deletion, so a violation always means a missing parent.
package sqldb

import (
	"context"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Row is the first row of a result. Scan gives NotFound when there is none.
type Row interface {
	Scan(dest ...any) error
}

// Rows is a result read row by row. Close is idempotent, and needless once Next has answered false.
type Rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close()
}

// Conn runs statements: on a database, or inside a transaction.
type Conn interface {
	// Exec runs a statement and tells how many rows it changed.
	Exec(ctx context.Context, sql string, args ...any) (rows int64, err error)
	// Row runs a statement that gives at most one row: a SELECT, or a change with RETURNING.
	Row(ctx context.Context, sql string, args ...any) Row
	// Rows runs a statement that gives many. A change with RETURNING is complete when Rows returns.
	Rows(ctx context.Context, sql string, args ...any) (Rows, error)
}

// Statement is a text and its arguments.
type Statement struct {
	Text string
	Args []any
}

// Tx is a change of several statements. It is valid only until the function that received it returns, and
// only in that function's goroutine.
type Tx interface {
	Conn
	// Notify wakes the watchers of all processes when, and only if, the change commits.
	Notify(ctx context.Context) error
}

// Engine names a database engine.
type Engine string

// The engines.
const (
	SQLite   Engine = "sqlite"
	Postgres Engine = "postgres"
)

// DB is a database. It is safe for concurrent use.
type DB interface {
	Conn
	// Write runs f as one change: all of it is committed when Write returns nil, none of it otherwise.
	// f may run more than once (PostgreSQL: after a deadlock), so it sets results and adds to none; it uses
	// only its Tx, never the DB, which on SQLite would wait for itself. A panic in f is raised in the caller.
	Write(ctx context.Context, f func(Tx) error) error
	// Read reads the one row of a SELECT into dest, or gives NotFound, as Row does. It is for what many callers read at a time: on
	// PostgreSQL they share round trips. When it gives an error, dest must not be looked at.
	Read(ctx context.Context, dest []any, sql string, args ...any) error
	// ExecAll runs one statement with each of the lists of arguments, sent together: all of them or none.
	ExecAll(ctx context.Context, sql string, args [][]any) error
	// ExecIfChanged runs change, which concerns the one row that key names, and, if it changed the row, then; both or neither. It tells how many
	// rows change changed. Then is an INSERT INTO … SELECT $1, … without a FROM, so that PostgreSQL can be sent both as one statement.
	ExecIfChanged(ctx context.Context, key string, change, then Statement) (rows int64, err error)
	// Engine tells which engine this is.
	Engine() Engine
	// Watch calls wake whenever something may have been committed, by this process or another, within a
	// second of it, until ctx ends. It survives the loss of its connection.
	Watch(ctx context.Context, wake func())
	// Ping proves that the database answers.
	Ping(ctx context.Context) error
	// Close finishes what has begun and lets go of the database.
	Close() error
}

// Options are the settings of Open. The zero value is good.
type Options struct {
	// Readers is how many reads may run at once. Default: SQLite four or as many as processors, PostgreSQL eight
	// or four times the processors (its connections also write).
	Readers int
	// Queue is how many changes may wait for SQLite's writer before further ones are refused. Default 4096.
	Queue int
}

// Open opens the database that url names:
//
//	sqlite:path      a file, created with its directory (modes 0600 and 0700) if it does not exist
//	sqlite::memory:  a fresh database of its own that is gone after Close
//	postgres://…     PostgreSQL, with the parameters of libpq and pool_max_conns
func Open(ctx context.Context, url string, o Options) (DB, error) {
	switch {
	case strings.HasPrefix(url, "sqlite:"):
		return openSQLite(strings.TrimPrefix(url, "sqlite:"), o)
	case strings.HasPrefix(url, "postgres://"), strings.HasPrefix(url, "postgresql://"):
		return openPostgres(ctx, url, o)
	}
	return nil, fault.InvalidField("DATABASE_URL", "the database URL must begin with sqlite: or postgres://")
}
