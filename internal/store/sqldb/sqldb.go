// Package sqldb runs SQL on either of two engines: SQLite inside this process, or PostgreSQL.
//
// One SQL text serves both. Parameters are written $1, $2, … in order of first appearance; they
// are strings, 64-bit integers and booleans, or nil. Results are scanned into pointers to those
// types or to types of their kind, into **string where NULL is possible, or into any value with a
// method Scan(any) error.
//
// Every error that leaves this package carries a fault kind where the cause is understood:
//
//	no row                                          NotFound
//	unique or primary key violated                  Conflict (Violated names the constraint)
//	foreign key violated                            NotFound: the parent row does not exist
//	text that is not valid UTF-8 (PostgreSQL)       Invalid
//	busy, full, unreachable, shutting down, cancelled  Unavailable
//
// All foreign keys of the schema cascade on deletion, so a violation always means a missing
// parent.
package sqldb

import (
	"context"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Row is the first row of a result. Scan returns NotFound when there is none.
type Row interface {
	Scan(dest ...any) error
}

// Rows is a result that is read row by row. Close may be called more than once, and need not be
// called once Next has returned false.
type Rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close()
}

// Conn runs statements: on a database, or inside a transaction.
type Conn interface {
	// Exec runs a statement and returns the number of rows it changed.
	Exec(ctx context.Context, sql string, args ...any) (rows int64, err error)
	// Row runs a statement with at most one row: a SELECT, or a change with RETURNING.
	Row(ctx context.Context, sql string, args ...any) Row
	// Rows runs a statement with many rows. A change with RETURNING is complete when Rows
	// returns.
	Rows(ctx context.Context, sql string, args ...any) (Rows, error)
}

// A Statement is a text of SQL with its arguments.
type Statement struct {
	Text string
	Args []any
}

// A Conditional is a change of one row, and a statement that runs only if the change changed the
// row.
type Conditional struct {
	Key    string // names the row: batches lock rows in the order of their keys
	Change string
	Then   string
	// Both is the two statements as one, for PostgreSQL. Its parameters are those of Change,
	// followed by those of Then. It reports the number of rows that Then changed.
	Both                 string
	ChangeArgs, ThenArgs []any
	// Attach is attached to the transaction if the change changed the row, as by Tx.Attach. nil:
	// nothing.
	Attach any
}

// Tx is a transaction. It is valid only until the function that received it returns, and only in
// that function's goroutine.
type Tx interface {
	Conn
	// Notify wakes the watchers of all processes when, and only if, the transaction commits.
	Notify(ctx context.Context) error
	// Attach passes a value to Options.Seal, if the change succeeds.
	Attach(v any)
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
	// Write runs f in a transaction: all of it is committed when Write returns nil, none of it
	// otherwise. f may run more than once (PostgreSQL: after a deadlock), so that it must set
	// results and not add to them. It uses only its Tx; on SQLite a call of the DB would wait for
	// itself. A panic in f is raised in the caller.
	Write(ctx context.Context, f func(Tx) error) error
	// Read reads the one row of a query into dest, or returns NotFound, as Row does. It is for
	// reads that many callers do at a time: on PostgreSQL they share round trips, on SQLite they
	// read all columns as one. After an error the contents of dest are undefined.
	Read(ctx context.Context, dest []any, q *RowQuery, args ...any) error
	// ExecAll runs one statement with each of the lists of arguments, sent together: all or none.
	// It attaches the values of attach, as by Tx.Attach.
	ExecAll(ctx context.Context, sql string, args [][]any, attach ...any) error
	// ExecIfChanged runs both statements of a Conditional or neither. It returns the number of
	// rows that the change changed.
	ExecIfChanged(ctx context.Context, c Conditional) (rows int64, err error)
	// Scrub asks that what the next changes delete is soon gone from the disk as well. On SQLite
	// the write-ahead log is emptied once there is time; PostgreSQL does so by VACUUM and
	// checkpoints of its own.
	Scrub()
	// Engine returns which engine this is.
	Engine() Engine
	// Watch calls wake whenever something may have been committed, by this process or another,
	// within a second of it, until ctx ends. It survives the loss of its connection.
	Watch(ctx context.Context, wake func())
	// Ping returns an error unless the database answers.
	Ping(ctx context.Context) error
	// Writable returns an error unless the database answers and can be changed. A server of
	// PostgreSQL that has become a standby answers, with what it knew.
	Writable(ctx context.Context) error
	// Status returns how the database is used now.
	Status() Status
	// Usage returns how much is in use now.
	Usage() Usage
	// Size returns the size of the database in bytes, and on SQLite that of its write-ahead log.
	Size(ctx context.Context) (main, wal int64, err error)
	// Close waits for the statements that have begun, then closes all connections.
	Close() error
}

// A Status is how a database is used: what depends on the way to it.
type Status struct {
	Pooler     bool   // PostgreSQL is reached through a connection pooler
	Statements string // how statements are sent to PostgreSQL: one of the Statements… words
	Changes    string // how commits by other processes are noticed: ChangesListen or ChangesPoll
}

// Usage is how much of what a database has is in use.
type Usage struct {
	InUse, Idle, Max int   // connections: all on PostgreSQL, those that read on SQLite
	Queue            int   // changes that wait for SQLite's writer
	Waits            int64 // operations that had to wait for a connection to PostgreSQL
}

// How statements are sent to PostgreSQL. Behind a pooler that changes the server connection between
// transactions, as PgBouncer does in transaction mode, prepared statements get lost.
const (
	StatementsAuto     = "auto"     // prepared, but exec behind a pooler
	StatementsPrepared = "prepared" // each connection prepares a statement once
	StatementsExec     = "exec"     // each time anew, with separate parameters, in one round trip
	StatementsSimple   = "simple"   // as one text with quoted parameters
)

// How commits by other processes are noticed.
const (
	ChangesListen = "listen"
	ChangesPoll   = "poll"
)

// Options configures Open. The zero value is valid.
type Options struct {
	// Readers is the number of reads at a time. Default for SQLite: four, or the number of
	// processors if that is more. Default for PostgreSQL, whose connections also write: sixteen,
	// or four times the number of processors.
	Readers int
	// Statements is one of the Statements… words. Default: StatementsAuto.
	Statements string
	// ListenURL is where Watch listens for notifications if that is not the database's URL, whose
	// pooler may not pass them on.
	ListenURL string
	// Schema is the schema of PostgreSQL that the URL's search_path names, and that is created if
	// it is missing. "": none is created.
	Schema string
	// SchemaExists makes a schema that is missing an error: nothing is created.
	SchemaExists bool
	// Shared has the connections to PostgreSQL if there is a Schema. nil: the database has its own.
	Shared *SharedPool
	// Notice receives what the operator should know about the way to the database, if set.
	Notice func(text string)
	// ExternalCheckpoint leaves SQLite's write-ahead log to another program, which moves it into
	// the main file.
	ExternalCheckpoint bool
	// Seal returns the statement that ends a transaction to whose changes values were attached. On
	// SQLite it gets those of all changes that are committed together. It is called by several
	// goroutines. nil: nothing is ever attached.
	Seal func(attached []any) Statement
	// Image is the database file that sqlite::memory: begins as a copy of, or "".
	Image string
	// Queue is the number of changes that may wait for SQLite's writer before further ones fail.
	// Default 4096.
	Queue int
}

// Open opens the database that url names:
//
//	sqlite:path      a file, created with its directory (modes 0600 and 0700) if it does not exist
//	sqlite::memory:  a new database, which is deleted by Close
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

// Clock returns a term for the time by the clock of the database, in Unix milliseconds: what
// several servers compare with it does not depend on their own clocks.
func Clock(e Engine) string {
	if e == Postgres {
		return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
	}
	return "CAST((julianday('now') - 2440587.5) * 86400000 AS BIGINT)"
}
