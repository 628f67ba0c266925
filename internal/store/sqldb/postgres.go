package sqldb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

const (
	channel       = "gatehouse"     // of LISTEN and NOTIFY
	maxAttempts   = 5               // at a transaction that PostgreSQL gave up in favour of others
	queryTimeout  = 5 * time.Second // as long as SQLite waits for a lock
	commitTimeout = 5 * time.Second // after the rest of the transaction
)

// postgresDB is a PostgreSQL database through a pool of connections.
type postgresDB struct {
	pool    connections
	schema  string // the one that Options names, or ""
	changes *Batcher[*pgChange]
	reads   *Batcher[*pgRead]

	statements statementMode
	listener   *pgx.ConnConfig // where to listen, if that is not where the pool connects to
	listening  atomic.Bool     // notifications arrive
	notice     func(text string)
	seal       func(attached []any) Statement // or nil
	resets     resets
}

func openPostgres(ctx context.Context, url string, o Options) (DB, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		// The parser's message may quote the URL, and the URL holds a password.
		return nil, fault.InvalidField("DATABASE_URL", "the postgres:// URL cannot be read")
	}
	db := &postgresDB{notice: o.Notice, seal: o.Seal, schema: o.Schema}
	if db.notice == nil {
		db.notice = func(string) {}
	}
	if db.listener, err = listenConfig(o.ListenURL); err != nil {
		return nil, err
	}
	if err := db.statements.init(o.Statements, url, cfg.ConnConfig); err != nil {
		return nil, err
	}
	configurePool(cfg, url, o)
	preferAnswering(cfg.ConnConfig, url)
	cfg.ConnConfig.OnNotice = countWarnings
	cfg.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		c.DefaultQueryExecMode = db.statements.get()
		return nil
	}
	if err := db.connect(ctx, url, o, cfg); err != nil {
		return nil, postgresError(err)
	}
	db.changes = NewBatcher(maxChanges, changeWorkers, db.execBatch)
	db.reads = NewBatcher(maxReads, readWorkers, db.readBatch)
	if err := db.inspect(ctx); err != nil {
		db.pool.Close()
		at := fmt.Sprintf("%s:%d", cfg.ConnConfig.Host, cfg.ConnConfig.Port)
		return nil, fault.Wrap(fault.Unavailable, err, "the PostgreSQL server at %s cannot be used", at)
	}
	if err := db.useSchema(ctx, o); err != nil {
		db.pool.Close()
		return nil, err
	}
	return db, nil
}

// connect makes the pool of connections: shared ones where that is asked for and no pooler is in
// the way.
func (db *postgresDB) connect(ctx context.Context, url string, o Options, cfg *pgxpool.Config) error {
	if o.Shared != nil && o.Schema != "" {
		pool, err := o.Shared.open(ctx, url, o, cfg.Copy())
		if err == nil {
			db.pool = pool
		}
		if !errors.Is(err, errPooler) {
			return err
		}
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	db.pool = ownConns{pool}
	return err
}

// useSchema creates a schema unless it is there, or its name is "", or it must be there already. It
// returns an error if statements would work in another one: a pooler may leave the search_path of
// the URL out.
func (db *postgresDB) useSchema(ctx context.Context, o Options) error {
	name := o.Schema
	if name == "" {
		return nil
	}
	var current string
	const ask = "SELECT COALESCE(current_schema(), '')"
	if err := db.Row(ctx, ask).Scan(&current); err != nil || current == name {
		return err
	}
	if o.SchemaExists {
		var n int
		err := db.Row(ctx, "SELECT COUNT(*) FROM pg_namespace WHERE nspname = $1", name).Scan(&n)
		if err == nil && n == 0 {
			err = fault.New(fault.NotFound, "the schema %s does not exist yet; gatehouse serve creates it", name)
		}
		if err != nil {
			return err
		}
		return wrongSchema(name)
	}
	if _, err := db.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{name}.Sanitize()); err != nil {
		return fault.Wrap(fault.KindOf(err), err, "the schema %s cannot be created; create it, or grant CREATE on "+
			"the database", name)
	}
	if err := db.Row(ctx, ask).Scan(&current); err != nil || current == name {
		return err
	}
	return wrongSchema(name)
}

func wrongSchema(name string) error {
	return fault.New(fault.Invalid, "statements do not work in the schema %s: a pooler has left search_path out; "+
		"set DATABASE_URL to an address whose role has that search_path", name)
}

// configurePool sets what the URL leaves open.
func configurePool(cfg *pgxpool.Config, url string, o Options) {
	switch {
	case o.Readers > 0:
		cfg.MaxConns = int32(min(o.Readers, 1000))
	case !strings.Contains(url, "pool_max_conns"):
		cfg.MaxConns = int32(max(16, 4*runtime.GOMAXPROCS(0)))
	}
	setConnectDefaults(cfg.ConnConfig)
}

func setConnectDefaults(c *pgx.ConnConfig) {
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 5 * time.Second
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "gatehouse"
	}
}

// Engine returns Postgres.
func (db *postgresDB) Engine() Engine { return Postgres }

// Scrub does nothing.
func (db *postgresDB) Scrub() {}

// Ping returns an error unless the database runs a statement as others are run.
func (db *postgresDB) Ping(ctx context.Context) error {
	var one int64
	return db.Row(ctx, "SELECT CAST($1 AS BIGINT)", int64(1)).Scan(&one)
}

// selectReadOnly asks whether the server can be read only.
const selectReadOnly = "SELECT pg_is_in_recovery() OR CAST(current_setting('transaction_read_only') AS BOOLEAN)"

// Writable returns an error of a server that cannot be changed, and closes all connections then.
func (db *postgresDB) Writable(ctx context.Context) error {
	var readOnly bool
	err := db.Row(ctx, selectReadOnly).Scan(&readOnly)
	if err == nil && readOnly {
		err = db.noticeReadOnly(postgresError(&pgconn.PgError{
			Code: readOnlyCode, Severity: "ERROR", Message: errReplaced.Error(),
		}))
	}
	return err
}

// Usage returns how much is in use now.
func (db *postgresDB) Usage() Usage {
	return db.pool.Usage()
}

// Size asks PostgreSQL, which adds up the sizes of its files.
func (db *postgresDB) Size(ctx context.Context) (main, wal int64, err error) {
	err = db.Row(ctx, "SELECT pg_database_size(current_database())").Scan(&main)
	return main, 0, err
}

// Close waits for the connections in use and closes all connections.
func (db *postgresDB) Close() error {
	db.pool.Close()
	return nil
}

// Exec runs a statement and returns the number of rows it changed.
func (db *postgresDB) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	n, err := pgConn{pgPool{db}}.Exec(ctx, text, args...)
	return n, db.noticeReadOnly(err)
}

// Row runs a statement with at most one row.
func (db *postgresDB) Row(ctx context.Context, text string, args ...any) Row {
	return pgConn{pgPool{db}}.Row(ctx, text, args...)
}

// Rows runs a statement with many rows.
func (db *postgresDB) Rows(ctx context.Context, text string, args ...any) (Rows, error) {
	return pgConn{pgPool{db}}.Rows(ctx, text, args...)
}

// Write runs f in a transaction, and again if PostgreSQL chose it as the victim of a deadlock, or
// if a pooler lost a prepared statement: either has undone the transaction.
func (db *postgresDB) Write(ctx context.Context, f func(Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := db.noticeReadOnly(db.write(ctx, f))
		if err == nil || attempt == maxAttempts || !retriable(err) && !db.lostStatement(ctx, err) {
			return postgresError(err)
		}
		pause := time.Duration(rand.Int64N(int64(attempt) * int64(5*time.Millisecond)))
		select {
		case <-ctx.Done():
			return cancelled(ctx.Err())
		case <-time.After(pause):
		}
	}
}

func (db *postgresDB) write(ctx context.Context, f func(Tx) error) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	conn, err := db.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release() // closes a connection that is within a transaction
	if _, err := conn.Exec(ctx, "BEGIN"); err != nil {
		return err
	}
	// Commit and Rollback have a timeout of their own: a caller who leaves must not make the
	// outcome unknown.
	open := true
	defer func() { // also on panic
		if open {
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
			defer cancel()
			_, _ = conn.Exec(end, "ROLLBACK")
			open = false
		}
	}()
	tx := &pgTx{pgConn: pgConn{&txQuerier{conn, &open}}, schema: db.schema}
	if err := f(tx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	end, stop := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer stop()
	open = false // whatever comes: COMMIT ends the transaction, and an error closes the connection
	return db.commit(end, conn, tx.attached)
}

// txQuerier is the connection of a transaction, as long as that is open.
type txQuerier struct {
	conn *pgConnection
	open *bool
}

// Query runs a statement, or returns an error if the transaction is over.
func (q *txQuerier) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if !*q.open {
		return nil, errTxOver
	}
	return q.conn.Query(ctx, sql, args...)
}

// commit ends a transaction, with the statement for what was attached to it in the same round trip.
// It returns an *unknownOutcome unless it is known whether the transaction has committed.
func (db *postgresDB) commit(ctx context.Context, conn *pgConnection, attached []any) error {
	warnings := warningsOf(conn.Conn().PgConn())
	if db.seal == nil || len(attached) == 0 {
		tag, err := conn.Exec(ctx, "COMMIT")
		return committed(tag, err, warnings)
	}
	s := db.seal(attached)
	batch := &pgx.Batch{}
	batch.Queue(s.Text, plainAll(s.Args)...)
	batch.Queue("COMMIT")
	results := conn.SendBatch(ctx, batch)
	if _, err := results.Exec(); err != nil {
		if err = errors.Join(err, results.Close()); undone(err) {
			return err
		}
		return &unknownOutcome{err} // both have been sent
	}
	tag, err := results.Exec()
	return committed(tag, errors.Join(err, results.Close()), warnings)
}

// committed returns an error unless COMMIT has committed: of a transaction in which a statement
// failed PostgreSQL makes a ROLLBACK.
func committed(tag pgconn.CommandTag, err error, warnings *int) error {
	switch {
	case err != nil && undone(err):
		return err
	case err != nil:
		return &unknownOutcome{err}
	case tag.String() != "COMMIT":
		return pgx.ErrTxCommitRollback
	case *warnings > 0: // the wait for the standby was cancelled: it is committed here alone
		return &unknownOutcome{errCommittedAlone}
	}
	return nil
}

// bounded adds queryTimeout to a context with a deadline. A context without one, as that of a
// migration, stays unbounded.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); !ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, queryTimeout)
}

// pgPool is the pool for statements outside of transactions.
type pgPool struct{ db *postgresDB }

// Query bounds the wait for a connection and for the whole result.
func (p pgPool) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	ctx, cancel := bounded(ctx)
	r := &boundedRows{db: p.db, ctx: ctx, cancel: cancel, sql: sql, args: args}
	var err error
	for attempt := 1; ; attempt++ {
		r.Rows, err = p.db.pool.Query(ctx, sql, args...)
		if err == nil {
			return r, nil
		}
		if attempt == maxLost || !p.db.lostStatement(ctx, err) {
			cancel()
			return nil, err
		}
	}
}

// boundedRows is a result with a timeout. A statement that was not executed because a pooler lost
// the prepared one is sent again.
type boundedRows struct {
	pgx.Rows
	db     *postgresDB
	ctx    context.Context
	cancel context.CancelFunc
	sql    string
	args   []any
	begun  bool // a row has been read
	lost   int  // how often the statement was lost
}

// Next moves to the next row.
func (r *boundedRows) Next() bool {
	for {
		if r.Rows.Next() {
			r.begun = true
			return true
		}
		if !r.again() {
			r.cancel()
			return false
		}
	}
}

// Close ends the result.
func (r *boundedRows) Close() {
	for {
		r.Rows.Close()
		if !r.again() {
			r.cancel()
			return
		}
	}
}

// again sends the statement again if it was lost before it had a result, and reports whether it
// did.
func (r *boundedRows) again() bool {
	if r.Rows.Err() == nil || r.begun || r.lost+1 >= maxLost || !r.db.lostStatement(r.ctx, r.Rows.Err()) {
		return false
	}
	r.lost++
	rows, err := r.db.pool.Query(r.ctx, r.sql, r.args...)
	if err != nil { // Query returns rows with the error, too
		r.Rows, r.lost = rows, maxLost
		return false
	}
	r.Rows = rows
	return true
}

// ExecAll sends a statement with all lists of arguments at once. PostgreSQL runs what is sent
// together in one transaction.
func (db *postgresDB) ExecAll(ctx context.Context, text string, args [][]any, attach ...any) error {
	sealed := db.seal != nil && len(attach) > 0
	if len(args) == 1 && !sealed {
		_, err := db.Exec(ctx, text, args[0]...)
		return err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	for attempt := 1; ; attempt++ {
		batch := &pgx.Batch{} // a batch that was sent holds the names of its statements
		for _, a := range args {
			batch.Queue(text, plainAll(a)...)
		}
		if sealed {
			s := db.seal(attach)
			batch.Queue(s.Text, plainAll(s.Args)...)
		}
		err := db.noticeReadOnly(db.pool.SendBatch(ctx, batch).Close())
		if err == nil || attempt == maxLost || !db.lostStatement(ctx, err) {
			return postgresError(err)
		}
	}
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// pgConn runs statements on a pool or in a transaction.
type pgConn struct{ querier }

// Exec runs a statement and returns the number of rows it changed.
func (c pgConn) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	rows, err := c.Query(ctx, text, plainAll(args)...)
	if err != nil {
		return 0, postgresError(err)
	}
	rows.Close()
	return rows.CommandTag().RowsAffected(), postgresError(rows.Err())
}

// Row runs a statement with at most one row.
func (c pgConn) Row(ctx context.Context, text string, args ...any) Row {
	rows, err := c.Query(ctx, text, plainAll(args)...)
	return pgRow{rows, err}
}

// Rows runs a statement with many rows.
func (c pgConn) Rows(ctx context.Context, text string, args ...any) (Rows, error) {
	rows, err := c.Query(ctx, text, plainAll(args)...)
	if err != nil {
		return nil, postgresError(err)
	}
	return pgRows{rows}, nil
}

// pgTx is a transaction.
type pgTx struct {
	pgConn
	schema   string
	attached []any
}

// Attach adds a value for the statement that ends the transaction.
func (tx *pgTx) Attach(v any) { tx.attached = append(tx.attached, v) }

// Notify sends a notification at commit.
func (tx *pgTx) Notify(ctx context.Context) error {
	_, err := tx.Exec(ctx, "SELECT pg_notify($1, $2)", channel, payloadSchema+tx.schema)
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

// pgRows is a result whose errors have kinds.
type pgRows struct{ pgx.Rows }

// Scan copies the current row.
func (r pgRows) Scan(dest ...any) error { return postgresError(r.Rows.Scan(dest...)) }

// Err returns the error that ended the result early.
func (r pgRows) Err() error { return postgresError(r.Rows.Err()) }
