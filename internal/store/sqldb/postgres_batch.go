package sqldb

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	maxChanges    = 64 // changes in a batch
	changeWorkers = 2  // while PostgreSQL works on one batch, the next is on its way
)

// pgChange is one change that is sent together with others.
type pgChange struct {
	key  string
	text string
	args []any

	attach any // if a row was changed, or nil

	rows int64
	err  error

	// begun is set by the worker that sends the change, or by its caller who leaves before that:
	// then it is not sent.
	begun atomic.Bool
}

// ExecIfChanged sends both statements as one, which needs no BEGIN and COMMIT, and together with
// the changes of other callers, which share the round trip and the commit.
func (db *postgresDB) ExecIfChanged(ctx context.Context, c Conditional) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, cancelled(err)
	}
	args := append(slices.Clip(c.ChangeArgs), c.ThenArgs...)
	change := &pgChange{key: c.Key, text: c.Both, args: plainAll(args), attach: c.Attach}
	if err := db.changes.Wait(ctx, db.changes.Add(change)); err != nil {
		change.begun.Store(true) // a worker that comes later must not send it
		return 0, err
	}
	return change.rows, change.err
}

// execBatch sends changes in one transaction. They lock their rows in the order of their keys, so
// that the batches of two servers do not wait for each other. An error that PostgreSQL reports
// has undone the whole batch: then each change is sent on its own, and succeeds or fails on its
// own. A batch whose COMMIT may have been executed is not sent again.
func (db *postgresDB) execBatch(ctx context.Context, changes []*pgChange) error {
	changes = slices.DeleteFunc(changes, func(c *pgChange) bool { return c.begun.Swap(true) })
	if len(changes) == 0 {
		return nil
	}
	slices.SortStableFunc(changes, func(a, b *pgChange) int { return strings.Compare(a.key, b.key) })
	err := db.noticeReadOnly(db.sendBatch(ctx, changes))
	var reported *pgconn.PgError
	if err == nil || !errors.As(err, &reported) || errors.As(err, new(*unknownOutcome)) {
		return postgresError(err) // of an error on the way the outcome is unknown
	}
	for _, c := range changes {
		c.rows, c.err = db.execOne(ctx, c)
	}
	return nil
}

// execOne sends a change on its own.
func (db *postgresDB) execOne(ctx context.Context, c *pgChange) (rows int64, err error) {
	if c.attach == nil {
		return db.Exec(ctx, c.text, c.args...)
	}
	err = db.Write(ctx, func(tx Tx) error {
		if rows, err = tx.Exec(ctx, c.text, c.args...); err == nil && rows > 0 {
			tx.Attach(c.attach)
		}
		return err
	})
	return rows, err
}

// sendBatch sends the changes in one round trip and commits them in a second one. A database that
// hangs, and continues when no caller waits any more, so undoes what it was sent: a refresh token
// whose rotation was answered with 503 stays valid, unless the commit was on its way at that
// moment.
func (db *postgresDB) sendBatch(ctx context.Context, changes []*pgChange) error {
	conn, err := db.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release() // closes a connection that is within a transaction
	batch := &pgx.Batch{}
	batch.Queue("BEGIN")
	for _, c := range changes {
		batch.Queue(c.text, c.args...)
	}
	if err := readResults(conn.SendBatch(ctx, batch), changes); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var attached []any
	for _, c := range changes {
		if c.attach != nil && c.rows > 0 {
			attached = append(attached, c.attach)
		}
	}
	return db.commit(ctx, conn, attached)
}

func readResults(results pgx.BatchResults, changes []*pgChange) error {
	if _, err := results.Exec(); err != nil { // BEGIN
		return errors.Join(err, results.Close())
	}
	for _, c := range changes {
		tag, err := results.Exec()
		if err != nil {
			return errors.Join(err, results.Close())
		}
		c.rows = tag.RowsAffected()
	}
	return results.Close()
}
