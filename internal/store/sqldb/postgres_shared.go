package sqldb

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// A SharedPool holds the connections of databases that are schemas of one PostgreSQL database. A
// connection works in one schema at a time: which one is set, and known to be, before anybody gets
// it. Each database has at most its part of the connections at a time, so that one that is busy
// leaves the others some. They listen for notifications on one connection together.
//
// Behind a connection pooler the schema of a connection is not known, because statements may go to
// the connections of others: there each database has connections of its own.
type SharedPool struct {
	max int

	mu    sync.Mutex
	pools map[string]*sharedConns
}

// NewSharedPool returns a pool without connections. It opens at most max of them to one database.
func NewSharedPool(max int) *SharedPool {
	return &SharedPool{max: max, pools: map[string]*sharedConns{}}
}

// sharedIdle is how long a shared connection is kept that nobody uses.
const sharedIdle = time.Minute

// errPooler is the error of a connection through a pooler, which cannot be shared.
var errPooler = errors.New("the connection leads through a pooler, and so cannot be shared by schemas")

// sharedConns are the connections to one PostgreSQL database.
type sharedConns struct {
	of    *SharedPool
	key   string
	users int // databases that are open; under of.mu
	pool  *pgxpool.Pool

	mu       sync.Mutex
	wakes    map[chan struct{}]string // of those who watch, with their schemas
	watching *postgresDB              // listens for all of them; nil: nobody watches
	stop     context.CancelFunc       // of its watching
}

// open returns the connections for a schema, or errPooler.
func (s *SharedPool) open(ctx context.Context, url string, o Options, cfg *pgxpool.Config) (*schemaConns, error) {
	key := strings.Join([]string{withoutSchema(url), o.Statements, o.ListenURL}, "\n")
	part := min(int(cfg.MaxConns), s.max)
	s.mu.Lock()
	c := s.pools[key]
	if c == nil {
		c = &sharedConns{of: s, key: key, wakes: map[chan struct{}]string{}}
		delete(cfg.ConnConfig.RuntimeParams, "search_path")
		cfg.MaxConns, cfg.MinConns, cfg.MaxConnIdleTime = int32(s.max), 0, sharedIdle
		cfg.AfterConnect, cfg.PrepareConn = refusePooler, setSchema
		var err error
		if c.pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
			s.mu.Unlock()
			return nil, err
		}
		s.pools[key] = c
	}
	c.users++
	s.mu.Unlock()
	v := &schemaConns{shared: c, schema: o.Schema, part: make(chan struct{}, part), closed: make(chan struct{})}
	conn, err := v.Acquire(ctx)
	if err != nil {
		v.Close()
		return nil, err
	}
	conn.Release()
	return v, nil
}

// withoutSchema returns an address without its search_path and without how many connections it
// allows: those who differ in nothing else share connections.
func withoutSchema(address string) string {
	base, query, _ := strings.Cut(address, "?")
	for _, kv := range strings.Split(query, "&") {
		if !strings.HasPrefix(kv, "search_path=") && !strings.HasPrefix(kv, "pool_max_conns=") {
			base += "&" + kv
		}
	}
	return base
}

// leave closes the connections after the last database that uses them.
func (c *sharedConns) leave() {
	c.of.mu.Lock()
	c.users--
	last := c.users == 0
	if last {
		delete(c.of.pools, c.key)
	}
	c.of.mu.Unlock()
	if last {
		c.pool.Close()
	}
}

// refusePooler returns errPooler for a new connection through a pooler.
func refusePooler(ctx context.Context, c *pgx.Conn) error {
	pooler, err := behindPooler(ctx, c)
	if err == nil && pooler {
		err = errPooler
	}
	return err
}

// schemaKey is the key of the schema that a context is for.
type schemaKey struct{}

// connSchema names the schema of a connection in its CustomData.
const connSchema = "gatehouse.schema"

// setSchema makes a connection work in the schema that the context is for, before the pool hands
// it out. A connection of which that is not known for sure is closed.
func setSchema(ctx context.Context, c *pgx.Conn) (bool, error) {
	want, ok := ctx.Value(schemaKey{}).(string)
	if !ok || want == "" {
		return false, errors.New("sqldb: a shared connection was taken without a schema")
	}
	data := c.PgConn().CustomData()
	if data[connSchema] == want {
		return true, nil
	}
	delete(data, connSchema)
	set := "SET search_path = " + pgx.Identifier{want}.Sanitize()
	if _, err := c.PgConn().Exec(ctx, set).ReadAll(); err != nil {
		return false, err
	}
	data[connSchema] = want
	return true, nil
}

// connections are those that a database works with.
type connections interface {
	Acquire(ctx context.Context) (*pgConnection, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
	Reset()
	Usage() Usage
	Config() *pgxpool.Config
	Close()
}

// pooled is embedded by this name because its own is that of one of its methods.
type pooled = pgxpool.Conn

// pgConnection is a connection of one caller.
type pgConnection struct {
	*pooled
	done func() // or nil
}

// Release returns the connection to its pool.
func (c *pgConnection) Release() {
	c.pooled.Release()
	if c.done != nil {
		c.done()
	}
}

// ownConns are the connections of one database alone.
type ownConns struct{ *pgxpool.Pool }

// Acquire returns a connection.
func (c ownConns) Acquire(ctx context.Context) (*pgConnection, error) {
	conn, err := c.Pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	return &pgConnection{pooled: conn}, nil
}

// Usage returns how many connections are in use.
func (c ownConns) Usage() Usage {
	s := c.Stat()
	return Usage{
		InUse: int(s.AcquiredConns()),
		Idle:  int(s.IdleConns()),
		Max:   int(s.MaxConns()),
		Waits: s.EmptyAcquireCount(),
	}
}

// schemaConns are shared connections as they are for one schema.
type schemaConns struct {
	shared *sharedConns
	schema string
	part   chan struct{} // a value for each connection that is in use
	closed chan struct{}
	once   sync.Once
}

// enter waits until a connection may be taken, and returns the context to take it with and what to
// call after it was given back.
func (c *schemaConns) enter(ctx context.Context) (context.Context, func(), error) {
	select {
	case <-c.closed:
		return nil, nil, fault.New(fault.Unavailable, "the database is closed")
	default:
	}
	select {
	case c.part <- struct{}{}:
	case <-c.closed:
		return nil, nil, fault.New(fault.Unavailable, "the database is closed")
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	return context.WithValue(ctx, schemaKey{}, c.schema), sync.OnceFunc(func() { <-c.part }), nil
}

// Acquire returns a connection.
func (c *schemaConns) Acquire(ctx context.Context) (*pgConnection, error) {
	ctx, done, err := c.enter(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := c.shared.pool.Acquire(ctx)
	if err != nil {
		done()
		return nil, err
	}
	return &pgConnection{pooled: conn, done: done}, nil
}

// Query runs a statement.
func (c *schemaConns) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	conn, err := c.Acquire(ctx)
	if err != nil {
		return failedRows{err}, err
	}
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		conn.Release()
		return rows, err
	}
	return &releasingRows{Rows: rows, release: sync.OnceFunc(conn.Release)}, nil
}

// SendBatch sends statements together.
func (c *schemaConns) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	conn, err := c.Acquire(ctx)
	if err != nil {
		return failedResults{err}
	}
	return &releasingResults{conn.SendBatch(ctx, b), sync.OnceFunc(conn.Release)}
}

// Reset closes the shared connections as they are given back.
func (c *schemaConns) Reset() { c.shared.pool.Reset() }

// Usage returns how much of its part the database uses.
func (c *schemaConns) Usage() Usage { return Usage{InUse: len(c.part), Max: cap(c.part)} }

// Config returns how to connect.
func (c *schemaConns) Config() *pgxpool.Config { return c.shared.pool.Config() }

// Close waits for the connections in use.
func (c *schemaConns) Close() {
	c.once.Do(func() {
		close(c.closed)
		for range cap(c.part) {
			c.part <- struct{}{}
		}
		c.shared.leave()
	})
}

// releasingRows gives its connection back when it ends.
type releasingRows struct {
	pgx.Rows
	release func()
}

// Next moves to the next row.
func (r *releasingRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

// Close ends the result.
func (r *releasingRows) Close() {
	r.Rows.Close()
	r.release()
}

// releasingResults gives its connection back when it ends.
type releasingResults struct {
	pgx.BatchResults
	release func()
}

// Close ends the results.
func (r *releasingResults) Close() error {
	err := r.BatchResults.Close()
	r.release()
	return err
}

// watch listens for all that share the connections, and calls wake at what concerns the schema.
func (c *sharedConns) watch(ctx context.Context, db *postgresDB, wake func()) {
	woken := make(chan struct{}, 1)
	c.mu.Lock()
	c.wakes[woken] = db.schema
	if c.watching == nil {
		c.listen(db)
	}
	c.mu.Unlock()
	defer c.unwatch(woken)
	for {
		select {
		case <-ctx.Done():
			return
		case <-woken:
			wake()
		}
	}
}

// listen begins to listen. The caller has locked c.mu.
func (c *sharedConns) listen(db *postgresDB) {
	ctx, stop := context.WithCancel(context.Background())
	// The statement that finds out whether notifications arrive names nothing of a schema.
	own := &schemaConns{shared: c, schema: "pg_catalog", part: make(chan struct{}, 1), closed: make(chan struct{})}
	c.watching, c.stop = &postgresDB{pool: own, listener: db.listener, notice: db.notice}, stop
	c.of.mu.Lock()
	c.users++
	c.of.mu.Unlock()
	go func(w *postgresDB) {
		w.watch(ctx, c.wake)
		own.Close()
	}(c.watching)
}

// unwatch ends the watching of one. After the last one nobody listens.
func (c *sharedConns) unwatch(woken chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.wakes, woken)
	if len(c.wakes) == 0 {
		c.stop()
		c.watching, c.stop = nil, nil
	}
}

// wake wakes those whom a notification concerns.
func (c *sharedConns) wake(payload string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for woken, schema := range c.wakes {
		if concerns(payload, schema) {
			select {
			case woken <- struct{}{}:
			default: // it will look anyway
			}
		}
	}
}

// listening reports whether notifications arrive.
func (c *sharedConns) listening() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.watching != nil && c.watching.listening.Load()
}

// payloadSchema begins the payload of a notification, which names the schema that has changed.
// Programs that do not know it are woken by any notification.
const payloadSchema = "schema="

// concerns reports whether a notification concerns a schema. One that names none, as those of
// earlier programs, concerns all.
func concerns(payload, schema string) bool {
	of, ok := strings.CutPrefix(payload, payloadSchema)
	return !ok || of == schema
}

// failedRows is the result of a statement that was not sent.
type failedRows struct{ err error }

// Close does nothing.
func (failedRows) Close() {}

// Next reports false.
func (failedRows) Next() bool { return false }

// Err returns why the statement was not sent.
func (r failedRows) Err() error { return r.err }

// CommandTag returns that of nothing.
func (failedRows) CommandTag() pgconn.CommandTag { return pgconn.CommandTag{} }

// FieldDescriptions returns none.
func (failedRows) FieldDescriptions() []pgconn.FieldDescription { return nil }

// Scan returns why the statement was not sent.
func (r failedRows) Scan(...any) error { return r.err }

// Values returns why the statement was not sent.
func (r failedRows) Values() ([]any, error) { return nil, r.err }

// RawValues returns none.
func (failedRows) RawValues() [][]byte { return nil }

// Conn returns nil.
func (failedRows) Conn() *pgx.Conn { return nil }

// TypeMap returns nil.
func (failedRows) TypeMap() *pgtype.Map { return nil }

// failedResults are the results of statements that were not sent.
type failedResults struct{ err error }

// Exec returns why.
func (r failedResults) Exec() (pgconn.CommandTag, error) { return pgconn.CommandTag{}, r.err }

// Query returns why.
func (r failedResults) Query() (pgx.Rows, error) { return failedRows(r), r.err }

// QueryRow returns why.
func (r failedResults) QueryRow() pgx.Row { return failedRow(r) }

// Close returns why.
func (r failedResults) Close() error { return r.err }

// Tx returns nil.
func (failedResults) Tx() pgx.Tx { return nil }

// failedRow is the row of a statement that was not sent.
type failedRow struct{ err error }

// Scan returns why.
func (r failedRow) Scan(...any) error { return r.err }
