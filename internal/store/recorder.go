package store

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// maxPage is how many audit events of different callers are written together.
const maxPage = 128

// newRecorder writes the audit events of many callers together. While callers do other work between saying what happened and
// asking whether it is stored, such as signing, one commit serves all of them.
func newRecorder(db sqldb.DB) *sqldb.Batcher[[]any] {
	pens := 1 // SQLite has one writer
	if db.Engine() == sqldb.Postgres {
		pens = 2 // while the database works on one page, the next one is on its way
	}
	return sqldb.NewBatcher(maxPage, pens, func(ctx context.Context, rows [][]any) error {
		return db.ExecAll(ctx, insertEvent, rows)
	})
}

// RecordAsync takes audit events that belong to no change. They are stored when the function that it returns gives no error,
// which should be called soon: until then they may wait in memory.
func (d *DB) RecordAsync(ev ...audit.Event) (stored func(context.Context) error) {
	if len(ev) == 0 {
		return func(context.Context) error { return nil }
	}
	rows := make([][]any, len(ev))
	for i := range ev {
		var err error
		if rows[i], err = eventArgs(&ev[i]); err != nil {
			return func(context.Context) error { return err }
		}
	}
	page := d.recorder.Add(rows...)
	return func(ctx context.Context) error { return d.recorder.Wait(ctx, page) }
}
