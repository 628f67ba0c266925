package sqldb

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A change whose caller was answered "unavailable" before it was sent is never made: minutes
// could pass until the next change, and a refresh token that was rotated then would be lost.
func TestCancelledChangeIsNotMade(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		db := openTest(t, "sqlite:"+filepath.Join(t.TempDir(), "x.db"))
		testCancelled(t, db, func() bool { return len(db.(*sqliteDB).writer.queue) == 2 })
	})
	t.Run("postgres", func(t *testing.T) {
		db := openTest(t, testkit.StartPostgres(t))
		workers := db.(*postgresDB).changes.workers
		testCancelled(t, db, func() bool { return len(workers) == cap(workers) })
	})
}

func openTest(t *testing.T, url string) DB {
	t.Helper()
	db, err := Open(t.Context(), url, Options{})
	testkit.Must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	for _, text := range []string{
		"CREATE TABLE things (id BIGINT NOT NULL PRIMARY KEY, name TEXT, done BOOLEAN NOT NULL)",
		"INSERT INTO things (id, name, done) VALUES (0, 'old 0', TRUE), (1, 'old 1', TRUE), " +
			"(2, 'old 2', TRUE), (3, 'old 3', TRUE)",
	} {
		_, err := db.Exec(t.Context(), text)
		testkit.Must(t, err)
	}
	return db
}

// testCancelled runs the test. busy reports whether two changes occupy all workers, or wait for
// the writer.
func testCancelled(t *testing.T, db DB, busy func() bool) {
	rename := func(ctx context.Context, row int) (int64, error) {
		const change = "UPDATE things SET name = $1 WHERE id = $2"
		return db.ExecIfChanged(ctx, Conditional{
			Key:    fmt.Sprint(row),
			Change: change,
			Then:   "INSERT INTO things (id, done) VALUES ($1, $2)",
			Both: "WITH changed AS (" + change + " RETURNING 1) " +
				"INSERT INTO things (id, done) SELECT $3, $4 FROM changed",
			ChangeArgs: []any{fmt.Sprint("new ", row), row},
			ThenArgs:   []any{100 + row, true},
		})
	}
	locked, release, done := make(chan struct{}), make(chan struct{}), make(chan error, 3)
	go func() {
		done <- db.Write(t.Context(), func(tx Tx) error {
			if _, err := tx.Exec(t.Context(), "UPDATE things SET done = TRUE WHERE id < 2"); err != nil {
				return err
			}
			close(locked)
			<-release
			return nil
		})
	}()
	<-locked
	go func() { _, err := rename(t.Context(), 0); done <- err }()
	testkit.Eventually(t, "the first change", func() bool { return sent(db, 1) })
	go func() { _, err := rename(t.Context(), 1); done <- err }()
	testkit.Eventually(t, "two changes that wait for the lock", busy)

	ctx, cancel := context.WithCancel(t.Context())
	cancelledErr := make(chan error, 1)
	go func() { _, err := rename(ctx, 2); cancelledErr <- err }()
	testkit.Eventually(t, "the third change", func() bool { return sent(db, 3) })
	cancel()
	if err := <-cancelledErr; !fault.Is(err, fault.Unavailable) {
		t.Errorf("the cancelled change: %v", err)
	}
	close(release)
	for range 3 {
		testkit.Must(t, <-done)
	}
	if n, err := rename(t.Context(), 3); n != 1 || err != nil {
		t.Errorf("the next change: %d rows, %v", n, err)
	}
	var name string
	testkit.Must(t, db.Row(t.Context(), "SELECT name FROM things WHERE id = 2").Scan(&name))
	testkit.Equal(t, "name of the row of the cancelled change", name, "old 2")
}

// sent reports whether n changes have been sent or wait.
func sent(db DB, n int) bool {
	switch db := db.(type) {
	case *sqliteDB:
		return len(db.writer.queue) == n
	case *postgresDB:
		if n < 3 {
			return len(db.changes.workers) == n
		}
		db.changes.mu.Lock()
		defer db.changes.mu.Unlock()
		return !db.changes.open.taken && len(db.changes.open.items) == 1
	}
	return false
}
