package sqldb

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

const (
	channel      = "gatehouse"     // of LISTEN and NOTIFY
	writeTries   = 5               // for changes that PostgreSQL gives up in favour of others
	answerWithin = 5 * time.Second // as long as SQLite waits for a lock: a database that hangs is as good as gone
	commitWithin = 5 * time.Second // beyond that
	listenEvery  = time.Second     // polling in between: a notice that a broken line lost is found so
)

// postgresDB is a PostgreSQL database through a pool of connections.
type postgresDB struct {
	pool   *pgxpool.Pool
	joined sync.Map // the texts of two statements → that of both as one
	turns  *Batcher[*turn]
	reads  *Batcher[*read]
}

func openPostgres(ctx context.Context, url string, o Options) (DB, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		// The parser's message may quote the URL, and the URL holds a password.
		return nil, fault.InvalidField("DATABASE_URL", "the postgres:// URL cannot be read")
	}
	switch {
	case o.Readers > 0:
		cfg.MaxConns = int32(min(o.Readers, 1000))
	case !strings.Contains(url, "pool_max_conns"):
		cfg.MaxConns = int32(max(16, 4*runtime.GOMAXPROCS(0)))
	}
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	if cfg.ConnConfig.RuntimeParams["application_name"] == "" {
		cfg.ConnConfig.RuntimeParams["application_name"] = "gatehouse"
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, postgresError(err)
	}
	db := &postgresDB{pool: pool}
	db.turns, db.reads = NewBatcher(maxTurns, turnsPens, db.sendTurns), NewBatcher(maxReads, readsPens, db.sendReads)
	if err := db.Ping(ctx); err != nil {
		pool.Close()
		at := fmt.Sprintf("%s:%d", cfg.ConnConfig.Host, cfg.ConnConfig.Port)
		return nil, fault.Wrap(fault.Unavailable, err, "the PostgreSQL server at %s cannot be used", at)
	}
	return db, nil
}

// Engine is PostgreSQL.
func (db *postgresDB) Engine() Engine { return Postgres }

// Ping asks for an answer.
func (db *postgresDB) Ping(ctx context.Context) error {
	ctx, cancel := patient(ctx)
	defer cancel()
	return postgresError(db.pool.Ping(ctx))
}

// Close waits for the connections in use and closes all.
func (db *postgresDB) Close() error {
	db.pool.Close()
	return nil
}

// Exec runs a statement.
func (db *postgresDB) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	return pgConn{pgPool{db.pool}}.Exec(ctx, text, args...)
}

// Row runs a statement that gives one row.
func (db *postgresDB) Row(ctx context.Context, text string, args ...any) Row {
	return pgConn{pgPool{db.pool}}.Row(ctx, text, args...)
}

// Rows runs a statement that gives many.
func (db *postgresDB) Rows(ctx context.Context, text string, args ...any) (Rows, error) {
	return pgConn{pgPool{db.pool}}.Rows(ctx, text, args...)
}

// Write runs f in a transaction, anew if PostgreSQL chose it as the victim of a deadlock.
func (db *postgresDB) Write(ctx context.Context, f func(Tx) error) error {
	for try := 1; ; try++ {
		err := db.write(ctx, f)
		if err == nil || try == writeTries || !retriable(err) {
			return postgresError(err)
		}
		pause := time.Duration(rand.Int64N(int64(try) * int64(5*time.Millisecond)))
		select {
		case <-ctx.Done():
			return cancelled(ctx.Err())
		case <-time.After(pause):
		}
	}
}

func (db *postgresDB) write(ctx context.Context, f func(Tx) error) error {
	ctx, cancel := patient(ctx)
	defer cancel()
	tx, err := db.pool.Begin(ctx)
	if err != nil {
		return err
	}
	// Commit and Rollback get time of their own: a caller who leaves must not make the answer a guess.
	defer func() { // no-op after a commit; also on panic
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitWithin)
		defer cancel()
		_ = tx.Rollback(end)
	}()
	if err := f(pgTx{pgConn{tx}}); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	end, stop := context.WithTimeout(context.WithoutCancel(ctx), commitWithin)
	defer stop()
	return tx.Commit(end)
}

// patient bounds how long somebody with a deadline waits for an answer. Who has none, as a migration, waits as long as it takes.
func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); !ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, answerWithin)
}

// pgPool is the pool for statements outside of transactions.
type pgPool struct{ *pgxpool.Pool }

// Query waits for a connection and for the whole result no longer than is patient.
func (p pgPool) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	ctx, cancel := patient(ctx)
	rows, err := p.Pool.Query(ctx, sql, args...)
	if err != nil {
		cancel()
		return nil, err
	}
	return pgBounded{rows, cancel}, nil
}

// pgBounded is a result that must be read in time.
type pgBounded struct {
	pgx.Rows
	cancel context.CancelFunc
}

// Next moves to the next row.
func (r pgBounded) Next() bool {
	more := r.Rows.Next()
	if !more {
		r.cancel()
	}
	return more
}

// Close ends the result.
func (r pgBounded) Close() {
	r.Rows.Close()
	r.cancel()
}

// ExecAll sends a statement with all lists of arguments at once; PostgreSQL takes what is sent together for one transaction.
func (db *postgresDB) ExecAll(ctx context.Context, text string, args [][]any) error {
	if len(args) == 1 {
		_, err := db.Exec(ctx, text, args[0]...)
		return err
	}
	ctx, cancel := patient(ctx)
	defer cancel()
	batch := &pgx.Batch{}
	for _, a := range args {
		batch.Queue(text, plainAll(a)...)
	}
	return postgresError(db.pool.SendBatch(ctx, batch).Close())
}

// pgRunner is what a pool and a transaction have in common.
type pgRunner interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// pgConn runs statements on a pool or in a transaction.
type pgConn struct{ on pgRunner }

// Exec runs a statement and counts the rows it changed.
func (c pgConn) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	rows, err := c.on.Query(ctx, text, plainAll(args)...)
	if err != nil {
		return 0, postgresError(err)
	}
	rows.Close()
	return rows.CommandTag().RowsAffected(), postgresError(rows.Err())
}

// Row runs a statement that gives one row.
func (c pgConn) Row(ctx context.Context, text string, args ...any) Row {
	rows, err := c.on.Query(ctx, text, plainAll(args)...)
	return pgRow{rows, err}
}

// Rows runs a statement that gives many.
func (c pgConn) Rows(ctx context.Context, text string, args ...any) (Rows, error) {
	rows, err := c.on.Query(ctx, text, plainAll(args)...)
	if err != nil {
		return nil, postgresError(err)
	}
	return pgRows{rows}, nil
}

// pgTx is a transaction.
type pgTx struct{ pgConn }

// Notify sends a notice at commit.
func (tx pgTx) Notify(ctx context.Context) error {
	_, err := tx.Exec(ctx, "SELECT pg_notify($1, '')", channel)
	return err
}

// pgRow is the first row of a result.
type pgRow struct {
	rows pgx.Rows
	err  error
}

// Scan copies the row and ends the result.
func (r pgRow) Scan(dest ...any) error {
	if r.err != nil {
		return postgresError(r.err)
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return postgresError(err)
		}
		return noRow()
	}
	if err := r.rows.Scan(dest...); err != nil {
		return postgresError(err)
	}
	r.rows.Close()
	return postgresError(r.rows.Err())
}

// pgRows maps errors.
type pgRows struct{ pgx.Rows }

// Scan copies the current row.
func (r pgRows) Scan(dest ...any) error { return postgresError(r.Rows.Scan(dest...)) }

// Err is what ended the result early.
func (r pgRows) Err() error { return postgresError(r.Rows.Err()) }

// Watch listens on a connection of its own, and wakes every second as well: after a lost connection,
// and behind a pooler that swallows notices.
func (db *postgresDB) Watch(ctx context.Context, wake func()) {
	for ctx.Err() == nil {
		if err := db.listen(ctx, wake); err == nil || ctx.Err() != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(listenEvery):
			wake()
		}
	}
}

// listen returns when the connection breaks, or nil when ctx ends.
func (db *postgresDB) listen(ctx context.Context, wake func()) error {
	conn, err := pgx.ConnectConfig(ctx, db.pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(end)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	for {
		wake()
		wait, cancel := context.WithTimeout(ctx, listenEvery)
		_, err := conn.WaitForNotification(wait)
		over := wait.Err() != nil
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && (!over || conn.IsClosed()) {
			return err
		}
	}
}
