package sqldb

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// maxLost is how often a statement is sent that a pooler loses. The first repetition is enough,
// unless another caller's connection was made before the mode changed.
const maxLost = 3

// statementModes returns the modes of the driver by their words.
func statementModes() map[string]pgx.QueryExecMode {
	return map[string]pgx.QueryExecMode{
		StatementsAuto:     pgx.QueryExecModeCacheStatement,
		StatementsPrepared: pgx.QueryExecModeCacheStatement,
		StatementsExec:     pgx.QueryExecModeExec,
		StatementsSimple:   pgx.QueryExecModeSimpleProtocol,
	}
}

// A statementMode is how new connections send statements.
type statementMode struct {
	auto   bool // exec replaces prepared when a pooler is found
	mode   atomic.Int32
	pooler atomic.Bool
	mu     sync.Mutex // one inspection at a time
}

// init sets the mode that the operator chose by a word or, for the driver, in the URL.
func (s *statementMode) init(word, url string, c *pgx.ConnConfig) error {
	if word == "" {
		word = StatementsAuto
	}
	mode, ok := statementModes()[word]
	if !ok {
		return fault.InvalidField("DATABASE_STATEMENTS", "unknown way to send statements: %s", word)
	}
	s.auto = word == StatementsAuto
	if s.auto && strings.Contains(url, "default_query_exec_mode=") {
		s.auto, mode = false, c.DefaultQueryExecMode
	}
	s.mode.Store(int32(mode))
	return nil
}

func (s *statementMode) get() pgx.QueryExecMode { return pgx.QueryExecMode(s.mode.Load()) }

// word returns the name of the mode.
func (s *statementMode) word() string {
	switch s.get() {
	case pgx.QueryExecModeCacheStatement:
		return StatementsPrepared
	case pgx.QueryExecModeSimpleProtocol:
		return StatementsSimple
	}
	return StatementsExec
}

// inspect connects and finds out whether a pooler answers. Behind one, new connections prepare no
// statements, and the existing ones are closed.
func (db *postgresDB) inspect(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	conn, err := db.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	pooler, err := behindPooler(ctx, conn.Conn())
	if err != nil || !pooler {
		return err
	}
	s := &db.statements
	if s.auto {
		s.mode.Store(int32(pgx.QueryExecModeExec))
		db.pool.Reset()
	}
	if !s.pooler.Swap(true) {
		text := "the database is reached through a connection pooler; statements are sent without preparing them, " +
			"which works in its transaction mode; if it keeps sessions or prepared statements, " +
			"DATABASE_STATEMENTS=prepared is faster"
		if !s.auto {
			text = "the database is reached through a connection pooler, and statements are sent as DATABASE_STATEMENTS says"
		}
		db.notice(text)
	}
	return nil
}

// behindPooler reports whether the server process that runs this connection's statements is another
// than the one that PostgreSQL named when it connected. A pooler names one that does not exist.
func behindPooler(ctx context.Context, conn *pgx.Conn) (bool, error) {
	var pid int64
	err := conn.QueryRow(ctx, "SELECT pg_backend_pid()", pgx.QueryExecModeSimpleProtocol).Scan(&pid)
	return pid != int64(conn.PgConn().PID()), err
}

// lostStatement reports whether a statement was not executed because the server did not have it
// prepared, or had another of its name, and can be sent again. The transaction is undone then. It
// is how a pooler shows that takes the database's address while this process runs.
func (db *postgresDB) lostStatement(ctx context.Context, err error) bool {
	var pe *pgconn.PgError
	if !errors.As(err, &pe) || pe.Code != "26000" && pe.Code != "42P05" || !db.statements.auto {
		return false // not invalid_sql_statement_name, nor duplicate_prepared_statement
	}
	s := &db.statements
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.get() == pgx.QueryExecModeExec {
		return true // another caller has found the pooler
	}
	db.pool.Reset() // a new connection must answer
	return db.inspect(ctx) == nil
}

// Status returns what inspections have found.
func (db *postgresDB) Status() Status {
	s := Status{
		Pooler:     db.statements.pooler.Load(),
		Statements: db.statements.word(),
		Changes:    ChangesPoll,
	}
	listening := db.listening.Load()
	if own, ok := db.pool.(*schemaConns); ok {
		listening = own.shared.listening()
	}
	if listening {
		s.Changes = ChangesListen
	}
	return s
}
