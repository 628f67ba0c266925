package sqldb

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	maxTurns  = 64 // changes sent together
	turnsPens = 2  // while PostgreSQL works on one sheet, the next is on its way
)

// turn is one change that is sent together with others.
type turn struct {
	key  string
	text string
	args []any
	rows int64
	err  error

	begun atomic.Bool // set by who sends it, or by its caller who leaves before: then nobody does
}

// ExecIfChanged sends both statements as one, which needs no BEGIN and COMMIT, and together with those of other callers, which
// share the round trip and the commit.
func (db *postgresDB) ExecIfChanged(ctx context.Context, key string, change, then Statement) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, cancelled(err)
	}
	texts := [2]string{change.Text, then.Text}
	text, ok := db.joined.Load(texts)
	if !ok {
		text, _ = db.joined.LoadOrStore(texts, joined(change.Text, then.Text, len(change.Args)))
	}
	t := &turn{key: key, text: text.(string), args: plainAll(append(slices.Clip(change.Args), then.Args...))}
	if err := db.turns.Wait(ctx, db.turns.Add(t)); err != nil {
		t.begun.Store(true) // not by the sheet of somebody who comes much later
		return 0, err
	}
	return t.rows, t.err
}

// sendTurns sends changes in one transaction. They lock their rows in the order of their keys, so that two servers' sheets never wait for
// each other. What PostgreSQL refuses it has undone as a whole: then each change is tried alone, and stands or falls alone.
func (db *postgresDB) sendTurns(ctx context.Context, turns []*turn) error {
	turns = slices.DeleteFunc(turns, func(t *turn) bool { return t.begun.Swap(true) })
	if len(turns) == 0 {
		return nil
	}
	slices.SortStableFunc(turns, func(a, b *turn) int { return strings.Compare(a.key, b.key) })
	err := db.sendBatch(ctx, turns)
	var refused *pgconn.PgError
	if err == nil || !errors.As(err, &refused) {
		return postgresError(err) // not refused: whether it was committed is not known
	}
	for _, t := range turns {
		t.rows, t.err = db.Exec(ctx, t.text, t.args...)
	}
	return nil
}

// sendBatch sends the changes in one round trip and commits them in a second one. What was sent to a database that hangs is so undone
// when it wakes up and finds that nobody waits any more: a token whose turning was answered with 503 is still good, but for those
// whose commit was on its way in that very moment.
func (db *postgresDB) sendBatch(ctx context.Context, turns []*turn) error {
	conn, err := db.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release() // one in the middle of a transaction is closed
	batch := &pgx.Batch{}
	batch.Queue("BEGIN")
	for _, t := range turns {
		batch.Queue(t.text, t.args...)
	}
	if err := readTurns(conn.SendBatch(ctx, batch), turns); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "COMMIT")
	return err
}

func readTurns(results pgx.BatchResults, turns []*turn) error {
	if _, err := results.Exec(); err != nil { // BEGIN
		return errors.Join(err, results.Close())
	}
	for _, t := range turns {
		tag, err := results.Exec()
		if err != nil {
			return errors.Join(err, results.Close())
		}
		t.rows = tag.RowsAffected()
	}
	return results.Close()
}

// parameter is $1, $2, …
var parameter = regexp.MustCompile(`\$[0-9]+`)

// joined makes one statement of a change with n parameters and an INSERT … SELECT that happens if a row was changed.
func joined(change, then string, n int) string {
	return "WITH changed AS (" + change + " RETURNING 1) " + parameter.ReplaceAllStringFunc(then, func(p string) string {
		i, _ := strconv.Atoi(p[1:]) // digits alone
		return "$" + strconv.Itoa(i+n)
	}) + " FROM changed"
}
