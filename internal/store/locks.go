package store

import (
	"context"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

var lockTable = table[login.Lock]{
	name: "locks",
	columns: []column[login.Lock]{
		{"name", func(l *login.Lock) any { return cleanText{&l.Key} }},
		{"failures", func(l *login.Lock) any { return &l.Failures }},
		{"rounds", func(l *login.Lock) any { return &l.Rounds }},
		{"last_at", func(l *login.Lock) any { return unixMillis{&l.LastAt} }},
		{"locked_until", func(l *login.Lock) any { return unixMillis{&l.LockedUntil} }},
		{"locked_at", func(l *login.Lock) any { return unixMillis{&l.LockedAt} }},
	},
}

// Lock reads a lockout counter. It returns a Lock without failures if there is none.
func (d *DB) Lock(ctx context.Context, key string, now time.Time) (login.Lock, error) {
	found, err := list(ctx, d.sql, lockTable.scan, selectLock, clean(key))
	if err != nil || len(found) == 0 {
		return login.Lock{Key: key}, err
	}
	return found[0], nil
}

// Parts of countFailure. The counter's next value is needed in three places, and in an UPDATE
// every expression sees the row as it was.
var (
	quietSince  = "CAST(" + lockTable.next(1) + " AS BIGINT)" // a window before now
	threshold   = "CAST(" + lockTable.next(2) + " AS BIGINT)"
	duration    = "CAST(" + lockTable.next(3) + " AS BIGINT)" // of the first lock, in milliseconds
	progressive = "CAST(" + lockTable.next(4) + " AS BOOLEAN)"

	// The attempt comes while the lock is in force; the lock stays as it is.
	whileLocked = "locks.locked_until > excluded.last_at"
	// Nothing has happened for a whole window, since the last failure and since the last lock ran
	// out: the rounds start anew.
	isQuiet = "(locks.last_at < " + quietSince + " AND locks.locked_until < " + quietSince + ")"
	// A lock that has run out, or a window without failures, starts the count anew.
	nextFailures = "(CASE WHEN " + whileLocked + " THEN locks.failures + 1" +
		" WHEN locks.locked_until > 0 OR locks.last_at < " + quietSince + " THEN 1 ELSE locks.failures + 1 END)"
	nextRounds = "(CASE WHEN " + isQuiet + " THEN 0 ELSE locks.rounds END)"
	// With progressive, every further round doubles the time, up to 8 times.
	multiplier = "(CASE WHEN NOT " + progressive + " OR " + isQuiet + " THEN 1 ELSE CASE locks.rounds" +
		" WHEN 0 THEN 1 WHEN 1 THEN 2 WHEN 2 THEN 4 ELSE 8 END END)"
	isReached = nextFailures + " >= " + threshold

	selectLock   = "SELECT " + lockTable.list() + " FROM locks WHERE name = $1"
	countFailure = lockTable.insert() +
		" ON CONFLICT (name) DO UPDATE SET last_at = excluded.last_at, failures = " + nextFailures +
		", rounds = CASE WHEN " + whileLocked + " THEN locks.rounds WHEN " + isReached + " THEN " + nextRounds +
		" + 1 ELSE " + nextRounds + " END" +
		", locked_until = CASE WHEN " + whileLocked + " THEN locks.locked_until WHEN " + isReached +
		" THEN excluded.last_at + " + duration + " * " + multiplier + " ELSE 0 END" +
		", locked_at = CASE WHEN " + whileLocked + " THEN locks.locked_at WHEN " + isReached +
		" THEN excluded.last_at ELSE 0 END" +
		" RETURNING " + lockTable.list()
)

// RecordFailure counts one failure and returns the counter after it, in one statement.
func (d *DB) RecordFailure(ctx context.Context, f login.Failure) (login.Lock, error) {
	first := login.Lock{Key: f.Key, Failures: 1, LastAt: f.Now}
	if f.Threshold <= 1 {
		first.Rounds, first.LockedAt, first.LockedUntil = 1, f.Now, f.Now.Add(f.Duration)
	}
	l, err := lockTable.scan(d.sql.Row(ctx, countFailure, lockTable.args(&first,
		unixMilli(f.Now.Add(-f.Window)), max(f.Threshold, 1), f.Duration.Milliseconds(), f.Progressive)...))
	return *l, err
}

// ClearLock deletes a counter.
func (d *DB) ClearLock(ctx context.Context, key string) error {
	_, err := d.sql.Exec(ctx, "DELETE FROM locks WHERE name = $1", clean(key))
	return err
}

// ClearLocks deletes a counter, and those whose keys begin with the key and a colon.
func (d *DB) ClearLocks(ctx context.Context, key string, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error { return clearLocks(ctx, tx, key) })
}

func clearLocks(ctx context.Context, tx sqldb.Tx, key string) error {
	below := strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(clean(key)) + ":%"
	_, err := tx.Exec(ctx, "DELETE FROM locks WHERE name = $1 OR name LIKE $2 ESCAPE '!'", clean(key), below)
	return err
}
