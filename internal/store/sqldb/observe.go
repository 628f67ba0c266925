package sqldb

import (
	"context"
	"time"
)

// An Observer watches the operations on a database, as their callers see them. It is called by
// several goroutines, and must not change the operation.
type Observer interface {
	// Begin is called before an operation with its SQL, or with what it does where it has several
	// statements. It returns the context to run it with, and whether the single statements of a
	// transaction are to be observed, too.
	Begin(ctx context.Context, write bool, text string) (_ context.Context, inside bool)
	// End is called after an operation with the context that Begin returned. A statement inside of
	// a transaction is part of that operation.
	End(ctx context.Context, o Operation)
}

// An Operation is one that has ended.
type Operation struct {
	Write  bool
	Inside bool // a statement of a transaction
	Took   time.Duration
	Err    error
}

// Texts of operations that have several statements.
const (
	textTransaction = "transaction"
)

// Observe returns the database with an observer.
func Observe(db DB, o Observer) DB { return &observed{db, o} }

// observed is a database whose operations are observed.
type observed struct {
	DB
	o Observer
}

func (d *observed) end(ctx context.Context, write bool, start time.Time, err error) {
	d.o.End(ctx, Operation{Write: write, Took: time.Since(start), Err: err})
}

// Exec runs a statement and returns the number of rows it changed.
func (d *observed) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	start := time.Now()
	ctx, _ = d.o.Begin(ctx, true, text)
	n, err := d.DB.Exec(ctx, text, args...)
	d.end(ctx, true, start, err)
	return n, err
}

// Row runs a statement with at most one row.
func (d *observed) Row(ctx context.Context, text string, args ...any) Row {
	write := isChange(text)
	start := time.Now()
	ctx, _ = d.o.Begin(ctx, write, text)
	return &observedRow{d.DB.Row(ctx, text, args...), d.o, ctx, start, Operation{Write: write}}
}

// Rows runs a statement with many rows. Reading them is not part of the operation.
func (d *observed) Rows(ctx context.Context, text string, args ...any) (Rows, error) {
	write := isChange(text)
	start := time.Now()
	under, _ := d.o.Begin(ctx, write, text)
	rows, err := d.DB.Rows(under, text, args...)
	d.end(under, write, start, err)
	return rows, err
}

// Read reads the one row of a SELECT.
func (d *observed) Read(ctx context.Context, dest []any, q *RowQuery, args ...any) error {
	start := time.Now()
	ctx, _ = d.o.Begin(ctx, false, q.text)
	err := d.DB.Read(ctx, dest, q, args...)
	d.end(ctx, false, start, err)
	return err
}

// Write runs f in a transaction.
func (d *observed) Write(ctx context.Context, f func(Tx) error) error {
	start := time.Now()
	under, inside := d.o.Begin(ctx, true, textTransaction)
	run := f
	if inside {
		// The statements get the transaction's context in place of the caller's, whose span is
		// another one.
		run = func(tx Tx) error { return f(&observedTx{tx, d.o, under}) }
	}
	err := d.DB.Write(under, run)
	d.end(under, true, start, err)
	return err
}

// ExecAll runs one statement with each of the lists of arguments.
func (d *observed) ExecAll(ctx context.Context, text string, args [][]any, attach ...any) error {
	start := time.Now()
	ctx, _ = d.o.Begin(ctx, true, text)
	err := d.DB.ExecAll(ctx, text, args, attach...)
	d.end(ctx, true, start, err)
	return err
}

// ExecIfChanged runs both statements of a Conditional or neither.
func (d *observed) ExecIfChanged(ctx context.Context, c Conditional) (int64, error) {
	start := time.Now()
	ctx, _ = d.o.Begin(ctx, true, c.Change)
	n, err := d.DB.ExecIfChanged(ctx, c)
	d.end(ctx, true, start, err)
	return n, err
}

// observedRow is a row that ends its operation when it is scanned.
type observedRow struct {
	Row
	o     Observer
	ctx   context.Context // of the operation
	start time.Time
	op    Operation
}

// Scan reads the row.
func (r *observedRow) Scan(dest ...any) error {
	err := r.Row.Scan(dest...)
	r.op.Took, r.op.Err = time.Since(r.start), err
	r.o.End(r.ctx, r.op)
	return err
}

// observedTx is a transaction whose statements are observed.
type observedTx struct {
	Tx
	o   Observer
	ctx context.Context // of the transaction
}

func (tx *observedTx) end(ctx context.Context, write bool, start time.Time, err error) {
	tx.o.End(ctx, Operation{Write: write, Inside: true, Took: time.Since(start), Err: err})
}

// Exec runs a statement in the transaction.
func (tx *observedTx) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	start := time.Now()
	span, _ := tx.o.Begin(tx.ctx, true, text)
	n, err := tx.Tx.Exec(ctx, text, args...)
	tx.end(span, true, start, err)
	return n, err
}

// Row runs a statement in the transaction.
func (tx *observedTx) Row(ctx context.Context, text string, args ...any) Row {
	op := Operation{Write: isChange(text), Inside: true}
	start := time.Now()
	span, _ := tx.o.Begin(tx.ctx, op.Write, text)
	return &observedRow{tx.Tx.Row(ctx, text, args...), tx.o, span, start, op}
}

// Rows runs a statement in the transaction.
func (tx *observedTx) Rows(ctx context.Context, text string, args ...any) (Rows, error) {
	write := isChange(text)
	start := time.Now()
	span, _ := tx.o.Begin(tx.ctx, write, text)
	rows, err := tx.Tx.Rows(ctx, text, args...)
	tx.end(span, write, start, err)
	return rows, err
}
