package store

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// maxEvents is how many audit events of different callers are written together.
const maxEvents = 128

// newRecorder returns the batcher that writes the audit events of many callers together. While
// callers do other work between recording an event and waiting for it, such as signing, one
// commit serves all of them.
func newRecorder(db sqldb.DB) *sqldb.Batcher[storedEvent] {
	workers := 1 // SQLite has one writer
	if db.Engine() == sqldb.Postgres {
		workers = 2 // while the database works on one batch, the next one is on its way
	}
	return sqldb.NewBatcher(maxEvents, workers, func(ctx context.Context, events []storedEvent) error {
		rows := make([][]any, len(events))
		entries := make([]any, 0, len(events))
		for i, e := range events {
			rows[i] = e.args
			if e.entry != nil {
				entries = append(entries, e.entry)
			}
		}
		return db.ExecAll(ctx, insertEvent, rows, entries...)
	})
}

// storedEvent is an event in its stored form, with what is attached to its transaction.
type storedEvent struct {
	args  []any
	entry any
}

// RecordAsync queues audit events that belong to no change and have no deliveries. They are stored
// when wait returns nil. Call it soon: until then they may be in memory only.
func (d *DB) RecordAsync(ev ...audit.Event) (wait func(context.Context) error) {
	if len(ev) == 0 {
		return func(context.Context) error { return nil }
	}
	rows := make([]storedEvent, len(ev))
	for i := range ev {
		rows[i].args, rows[i].entry = d.storable(&ev[i])
	}
	batch := d.recorder.Add(rows...)
	return func(ctx context.Context) error { return d.recorder.Wait(ctx, batch) }
}
