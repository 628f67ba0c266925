package sqldb

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

const (
	maxReads  = 64 // reads sent together
	readsPens = 3  // sheets on their way at a time
)

// read is one row that is asked for together with others.
type read struct {
	text string
	args []any
	dest []any
	err  error
}

// Read asks for a row together with the reads of other callers, which share the round trip.
func (db *postgresDB) Read(ctx context.Context, dest []any, text string, args ...any) error {
	if err := ctx.Err(); err != nil {
		return cancelled(err)
	}
	r := &read{text: text, args: plainAll(args), dest: dest}
	if err := db.reads.Wait(ctx, db.reads.Add(r)); err != nil {
		return err
	}
	return r.err
}

// sendReads reads all rows in one round trip. When one of them fails, PostgreSQL answers none of those behind it: they are asked for alone.
func (db *postgresDB) sendReads(ctx context.Context, reads []*read) error {
	alone := 0
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
			alone++
		}
		_ = results.Close() // of reads nothing is lost with it
	}
	for _, r := range reads[alone:] {
		r.err = db.Row(ctx, r.text, r.args...).Scan(r.dest...)
	}
	return nil
}
