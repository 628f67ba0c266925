package sqldb

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

const (
	maxReads    = 64 // reads in a batch
	readWorkers = 3  // batches on their way at a time
)

// pgRead is one row that is read together with others.
type pgRead struct {
	text string
	args []any
	dest []any
	err  error
}

// Read reads a row together with the reads of other callers, which share the round trip.
func (db *postgresDB) Read(ctx context.Context, dest []any, q *RowQuery, args ...any) error {
	if err := ctx.Err(); err != nil {
		return cancelled(err)
	}
	r := &pgRead{text: q.text, args: plainAll(args), dest: dest}
	if err := db.reads.Wait(ctx, db.reads.Add(r)); err != nil {
		return err
	}
	return r.err
}

// readBatch reads all rows in one round trip. When one of them fails, PostgreSQL answers none of
// those after it: they are read one by one.
func (db *postgresDB) readBatch(ctx context.Context, reads []*pgRead) error {
	answered := 0
	if len(reads) > 1 {
		batch := &pgx.Batch{}
		for _, r := range reads {
			batch.Queue(r.text, r.args...)
		}
		results := db.pool.SendBatch(ctx, batch)
		for _, r := range reads {
			rows, err := results.Query()
			if r.err = (pgRow{rows, err}).Scan(r.dest...); r.err != nil && !fault.Is(r.err, fault.NotFound) {
				break
			}
			answered++
		}
		_ = results.Close() // its error was that of a read, which is repeated
	}
	for _, r := range reads[answered:] {
		r.err = db.Row(ctx, r.text, r.args...).Scan(r.dest...)
	}
	return nil
}
