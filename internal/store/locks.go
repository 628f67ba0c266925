package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

const lockCols = "name, failures, rounds, last_at, locked_until"

func scanLock(r sqldb.Row) (*login.Lock, error) {
	var l login.Lock
	err := r.Scan(&l.Key, &l.Failures, &l.Rounds, stamp{&l.LastAt}, stamp{&l.LockedUntil})
	return &l, err
}

// Lock reads a lockout counter; a zero Lock if there is none.
func (d *DB) Lock(ctx context.Context, key string, now time.Time) (login.Lock, error) {
	found, err := list(ctx, d.sql, scanLock, "SELECT "+lockCols+" FROM locks WHERE name = $1", clean(key))
	if err != nil || len(found) == 0 {
		return login.Lock{Key: key}, err
	}
	return found[0], nil
}

// Parts of countFailure. The counter's next value is needed in three places, and in an
// UPDATE every expression sees the row as it was.
const (
	// The attempt comes while the lock holds; the lock is left as it is.
	whileLocked = "locks.locked_until > excluded.last_at"
	// Nothing has happened for a whole window, since the last failure and since the last lock ran out: all is forgotten.
	forgotten = "(locks.last_at < CAST($6 AS BIGINT) AND locks.locked_until < CAST($6 AS BIGINT))"
	// A lock that has run out, or a quiet window, starts the count anew.
	nextFailures = "(CASE WHEN " + whileLocked + " THEN locks.failures + 1" +
		" WHEN locks.locked_until > 0 OR locks.last_at < CAST($6 AS BIGINT) THEN 1 ELSE locks.failures + 1 END)"
	nextRounds = "(CASE WHEN " + forgotten + " THEN 0 ELSE locks.rounds END)"
	// Progressive: every further round doubles the time, up to 32 times.
	factor = "(CASE WHEN NOT CAST($9 AS BOOLEAN) OR " + forgotten + " THEN 1 ELSE CASE locks.rounds WHEN 0 THEN 1 WHEN 1 THEN 2" +
		" WHEN 2 THEN 4 WHEN 3 THEN 8 WHEN 4 THEN 16 ELSE 32 END END)"
	reached = nextFailures + " >= CAST($7 AS BIGINT)"

	countFailure = "INSERT INTO locks (" + lockCols + ") VALUES ($1, $2, $3, $4, $5)" +
		" ON CONFLICT (name) DO UPDATE SET last_at = excluded.last_at, failures = " + nextFailures +
		", rounds = CASE WHEN " + whileLocked + " THEN locks.rounds WHEN " + reached + " THEN " + nextRounds + " + 1 ELSE " + nextRounds + " END" +
		", locked_until = CASE WHEN " + whileLocked + " THEN locks.locked_until WHEN " + reached +
		" THEN excluded.last_at + CAST($8 AS BIGINT) * " + factor + " ELSE 0 END" +
		" RETURNING " + lockCols
)

// Fail counts one failure and gives the counter after it, in one statement.
func (d *DB) RecordFailure(ctx context.Context, f login.Failure) (login.Lock, error) {
	first := login.Lock{Failures: 1, LastAt: f.Now}
	if f.Threshold <= 1 {
		first.Rounds, first.LockedUntil = 1, f.Now.Add(f.Duration)
	}
	l, err := scanLock(d.sql.Row(ctx, countFailure,
		clean(f.Key), first.Failures, first.Rounds, ms(first.LastAt), ms(first.LockedUntil),
		ms(f.Now.Add(-f.Window)), max(f.Threshold, 1), f.Duration.Milliseconds(), f.Progressive))
	return *l, err
}

// ClearLock forgets a counter.
func (d *DB) ClearLock(ctx context.Context, key string, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM locks WHERE name = $1", clean(key))
		return err
	})
}
