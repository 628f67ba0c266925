package sqldb

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"
)

// maxBatch is the largest number of changes that share one commit.
const maxBatch = 256

const (
	checkpointIdle  = 2 * time.Second  // without a change, until the main file is brought up to date
	checkpointEvery = 30 * time.Second // of changes without a pause, until the same
)

// writer is the one goroutine that changes a SQLite database. It commits the changes that wait
// together, so that one fsync serves many callers, and never waits for more changes to come.
type writer struct {
	queue   chan *op
	closing chan struct{}
	stopped chan struct{}
	open    func() (*liteConn, error)
	conn    *liteConn // nil after an error of the connection, until the next batch

	checkpoints bool // the log is ours to move into the main file

	seal     func(attached []any) Statement // or nil
	attached []any                          // by the changes of a batch

	scrub atomic.Bool // the next checkpoint empties the log

	idle  *time.Timer // fires when the changes are to be copied into the main file
	dirty time.Time   // of the first change that is in the log alone; zero if there is none
}

// op is one change that waits for the writer: a statement, or a function that runs several.
type op struct {
	text      string
	args      []any
	returning bool
	change    func(Tx) error
	attached  []any // for the statement that ends the batch, if this change succeeds

	state    atomic.Int32
	done     chan struct{}
	changed  int64
	result   *table
	err      error
	panicked any
}

// States of an op. The writer takes an op that is queued; a caller whose context ends cancels one
// that is still queued.
const (
	opQueued = iota
	opTaken
	opCancelled
)

func newWriter(
	first *liteConn, open func() (*liteConn, error), queue int, checkpoints bool, seal func([]any) Statement,
) *writer {
	w := &writer{
		queue:   make(chan *op, queue),
		closing: make(chan struct{}),
		stopped: make(chan struct{}),
		open:    open,
		conn:    first,
		idle:    time.NewTimer(checkpointIdle),

		checkpoints: checkpoints,
		seal:        seal,
	}
	w.idle.Stop()
	go w.loop()
	return w
}

// do queues a change and waits for its outcome. A caller whose context ends before the writer
// takes the change has changed nothing; later it gets the true outcome.
func (w *writer) do(ctx context.Context, o *op) error {
	if err := ctx.Err(); err != nil {
		return cancelled(err)
	}
	o.done = make(chan struct{})
	select {
	case <-w.closing:
		return unavailable(nil, "the database is closed")
	default:
	}
	select {
	case w.queue <- o:
	default:
		return unavailable(nil, "too many changes wait for the database; try again in a moment")
	}
	select {
	case <-o.done:
	case <-ctx.Done():
		if o.state.CompareAndSwap(opQueued, opCancelled) {
			return cancelled(ctx.Err())
		}
		<-o.done
	case <-w.stopped:
		if o.state.CompareAndSwap(opQueued, opCancelled) {
			return unavailable(nil, "the database is closed")
		}
		<-o.done
	}
	if o.panicked != nil {
		panic(o.panicked)
	}
	return o.err
}

// stop runs what is queued and ends the goroutine.
func (w *writer) stop() {
	close(w.closing)
	<-w.stopped
}

func (w *writer) loop() {
	defer close(w.stopped)
	batch := make([]*op, 0, maxBatch)
	for open := true; open; {
		select {
		case o := <-w.queue:
			batch = append(batch[:0], o)
		case <-w.idle.C:
			w.checkpoint()
			continue
		case <-w.closing:
			batch, open = batch[:0], false
		}
		for batch = w.collect(batch); len(batch) > 0; batch = w.collect(batch[:0]) {
			w.commit(batch)
			clear(batch)
			w.changed()
			runtime.Gosched() // the callers just answered may queue their next change in time for the next batch
		}
	}
	w.checkpoint()
	w.drop()
}

// changed plans a checkpoint for when the writer has been idle, or has not been for long.
func (w *writer) changed() {
	if !w.checkpoints {
		return
	}
	now := time.Now()
	if w.dirty.IsZero() {
		w.dirty = now
	}
	w.idle.Reset(min(checkpointIdle, w.dirty.Add(checkpointEvery).Sub(now)))
}

// checkpoint copies the changes from the write-ahead log into the main file, so that a copy of that
// file alone is whole. It waits for nobody: what a reader holds back is copied the next time.
func (w *writer) checkpoint() {
	w.idle.Stop()
	if w.conn == nil || w.dirty.IsZero() {
		return
	}
	mode := "PASSIVE"
	scrub := w.scrub.Load()
	if scrub {
		mode = "TRUNCATE"
	}
	t, err := w.conn.query(context.Background(), 1, "PRAGMA wal_checkpoint("+mode+")", nil)
	var busy, logged, copied int64
	if err == nil {
		err = tableRow{t, nil}.Scan(&busy, &logged, &copied)
	}
	if err != nil || busy != 0 || copied < logged {
		w.idle.Reset(checkpointIdle)
		return
	}
	w.dirty = time.Time{}
	if scrub {
		w.scrub.Store(false)
	}
}

// collect adds the changes that wait, as many as one batch takes.
func (w *writer) collect(batch []*op) []*op {
	for len(batch) < maxBatch {
		select {
		case o := <-w.queue:
			batch = append(batch, o)
		default:
			return batch
		}
	}
	return batch
}

// commit runs a batch in one transaction and answers all callers.
func (w *writer) commit(batch []*op) {
	taken := batch[:0]
	for _, o := range batch {
		if o.state.CompareAndSwap(opQueued, opTaken) {
			taken = append(taken, o)
		}
	}
	if len(taken) == 0 {
		return
	}
	if err := w.transact(taken); err != nil {
		// Each result may depend on the change of another caller, which has been undone: none is
		// valid.
		failed := sqliteError(err)
		if !isUnavailable(failed) {
			failed = unavailable(err, "the database could not commit; try again in a moment")
		}
		for _, o := range taken {
			o.changed, o.result, o.err = 0, nil, failed
		}
	}
	for _, o := range taken {
		close(o.done)
	}
}

// transact runs all changes and commits. On an error none of them has been made.
func (w *writer) transact(taken []*op) (err error) {
	if w.conn == nil {
		if w.conn, err = w.open(); err != nil {
			return err
		}
	}
	if _, err := w.conn.exec("BEGIN IMMEDIATE"); err != nil {
		w.drop()
		return err
	}
	for _, o := range taken {
		if err := w.run(o); err != nil {
			w.drop() // closing the connection rolls back
			return err
		}
	}
	if err := w.sealBatch(taken); err != nil {
		w.drop()
		return err
	}
	if _, err := w.conn.exec("COMMIT"); err != nil {
		w.drop()
		return err
	}
	return nil
}

// sealBatch runs the statement that ends the batch, if changes that succeeded have attached values.
func (w *writer) sealBatch(taken []*op) error {
	if w.seal == nil {
		return nil
	}
	w.attached = w.attached[:0]
	for _, o := range taken {
		if o.err == nil && o.panicked == nil {
			w.attached = append(w.attached, o.attached...)
		}
	}
	if len(w.attached) == 0 {
		return nil
	}
	s := w.seal(w.attached)
	clear(w.attached)
	_, err := w.conn.exec(s.Text, s.Args...)
	return err
}

func (w *writer) drop() {
	if w.conn != nil {
		w.conn.close()
		w.conn = nil
	}
}

// run runs one change so that it succeeds or fails on its own: its error goes to its caller. run
// returns an error only if the whole transaction is lost. A single statement needs no savepoint:
// SQLite undoes exactly the statement that fails.
func (w *writer) run(o *op) error {
	if o.change != nil {
		return w.runChange(o)
	}
	var err error
	if o.returning {
		o.result, err = w.conn.query(context.Background(), 0, o.text, o.args)
	} else {
		o.changed, err = w.conn.exec(o.text, o.args...)
	}
	if err != nil && endsBatch(err) {
		return err
	}
	o.err = sqliteError(err)
	return nil
}

func (w *writer) runChange(o *op) error {
	if _, err := w.conn.exec("SAVEPOINT change"); err != nil {
		return err
	}
	tx := &liteTx{conn: w.conn}
	call(o, tx)
	tx.conn = nil
	o.attached = append(o.attached, tx.attached...)
	if tx.lost != nil {
		return tx.lost
	}
	if o.err != nil || o.panicked != nil {
		if _, err := w.conn.exec("ROLLBACK TO change"); err != nil {
			return err
		}
	}
	_, err := w.conn.exec("RELEASE change")
	return err
}

// call calls the change and stores its panic, which is raised in the caller: the writer serves
// others.
func call(o *op, tx Tx) {
	defer func() { o.panicked = recover() }()
	o.err = sqliteError(o.change(tx))
}

// liteTx is a transaction on the writer's connection.
type liteTx struct {
	conn *liteConn
	lost error // the error that undid the transaction of the whole batch

	attached []any
}

var errTxOver = errors.New("sqldb: a transaction was used after its function returned")

func (tx *liteTx) note(err error) error {
	if err != nil && endsBatch(err) {
		tx.lost = err
	}
	return sqliteError(err)
}

// Exec runs a statement in the transaction.
func (tx *liteTx) Exec(_ context.Context, text string, args ...any) (int64, error) {
	if tx.conn == nil {
		return 0, errTxOver
	}
	if tx.lost != nil {
		return 0, sqliteError(tx.lost)
	}
	n, err := tx.conn.exec(text, args...)
	return n, tx.note(err)
}

// Row runs a statement in the transaction.
func (tx *liteTx) Row(_ context.Context, text string, args ...any) Row {
	t, err := tx.table(text, args)
	return tableRow{t, err}
}

// Rows runs a statement in the transaction.
func (tx *liteTx) Rows(_ context.Context, text string, args ...any) (Rows, error) {
	t, err := tx.table(text, args)
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (tx *liteTx) table(text string, args []any) (*table, error) {
	if tx.conn == nil {
		return nil, errTxOver
	}
	if tx.lost != nil {
		return nil, sqliteError(tx.lost)
	}
	t, err := tx.conn.query(context.Background(), 0, text, args)
	return t, tx.note(err)
}

// Attach adds a value for the statement that ends the batch.
func (tx *liteTx) Attach(v any) { tx.attached = append(tx.attached, v) }

// Notify does nothing: SQLite changes data_version at every commit.
func (tx *liteTx) Notify(context.Context) error { return nil }
