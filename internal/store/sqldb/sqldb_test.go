package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// on runs a test on every engine.
func on(t *testing.T, f func(t *testing.T, url string, db sqldb.DB)) {
	t.Helper()
	for name, url := range map[string]func(testing.TB) string{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		t.Run(name, func(t *testing.T) {
			u := url(t)
			db := open(t, u, sqldb.Options{})
			mustExec(t, db, "CREATE TABLE parents (id TEXT NOT NULL PRIMARY KEY)")
			mustExec(t, db, `CREATE TABLE things (id BIGINT NOT NULL PRIMARY KEY, name TEXT, done BOOLEAN NOT NULL,
				parent TEXT REFERENCES parents (id) ON DELETE CASCADE)`)
			mustExec(t, db, "CREATE UNIQUE INDEX things_name ON things (name)")
			f(t, u, db)
		})
	}
}

func open(t *testing.T, url string, o sqldb.Options) sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func mustExec(t *testing.T, c sqldb.Conn, sql string, args ...any) int64 {
	t.Helper()
	n, err := c.Exec(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func count(t *testing.T, c sqldb.Conn) (n int) {
	t.Helper()
	if err := c.Row(t.Context(), "SELECT COUNT(*) FROM things").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func wantKind(t *testing.T, err error, k fault.Kind) {
	t.Helper()
	if !fault.Is(err, k) {
		t.Fatalf("error %v; want kind %v", err, k)
	}
}

const insert = "INSERT INTO things (id, name, done) VALUES ($1, $2, $3)"

func TestValues(t *testing.T) {
	on(t, func(t *testing.T, _ string, db sqldb.DB) {
		type text string
		var null *string
		mustExec(t, db, insert, 1, text("one"), true)
		mustExec(t, db, insert, int64(2), null, false)
		if n := mustExec(t, db, "UPDATE things SET done = $1 WHERE id > $2", true, 0); n != 2 {
			t.Fatalf("%d rows changed; want 2", n)
		}
		rows, err := db.Rows(t.Context(), "UPDATE things SET done = FALSE WHERE done = TRUE RETURNING id, name, done")
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for rows.Next() {
			var id int
			var name *string
			done := true
			if err := rows.Scan(&id, &name, &done); err != nil {
				t.Fatal(err)
			}
			if done || (id == 1) != (name != nil && *name == "one") {
				t.Fatalf("row %d is %v, %v", id, name, done)
			}
			seen++
		}
		rows.Close()
		if seen != 2 || rows.Err() != nil {
			t.Fatalf("%d rows, %v", seen, rows.Err())
		}
		var name text
		if err := db.Row(t.Context(), "SELECT name FROM things WHERE id = $1", 1).Scan(&name); err != nil || name != "one" {
			t.Fatalf("%q, %v", name, err)
		}
	})
}

func TestErrorsHaveKinds(t *testing.T) {
	on(t, func(t *testing.T, _ string, db sqldb.DB) {
		ctx := t.Context()
		var id int
		wantKind(t, db.Row(ctx, "SELECT id FROM things WHERE id = 7").Scan(&id), fault.NotFound)
		wantKind(t, db.Row(ctx, "DELETE FROM things WHERE id = 7 RETURNING id").Scan(&id), fault.NotFound)
		mustExec(t, db, insert, 1, "a", true)
		_, err := db.Exec(ctx, insert, 1, "b", true)
		wantKind(t, err, fault.Conflict)
		_, err = db.Exec(ctx, insert, 2, "a", true)
		wantKind(t, err, fault.Conflict)
		if v := sqldb.Violated(err); v != "things_name" {
			t.Fatalf("violated %q; want things_name", v)
		}
		_, err = db.Exec(ctx, "INSERT INTO things (id, done, parent) VALUES (3, TRUE, $1)", "nobody")
		wantKind(t, err, fault.NotFound)
		_, err = db.Exec(ctx, "INSERT INTO nothing VALUES (1)")
		wantKind(t, err, fault.Internal)
		gone, cancel := context.WithCancel(ctx)
		cancel()
		_, err = db.Exec(gone, insert, 9, "x", true)
		wantKind(t, err, fault.Unavailable)
		wantKind(t, db.Row(gone, "SELECT id FROM things").Scan(&id), fault.Unavailable)
	})
}

func TestWriteIsAtomic(t *testing.T) {
	on(t, func(t *testing.T, _ string, db sqldb.DB) {
		ctx := t.Context()
		failure := errors.New("failure")
		err := db.Write(ctx, func(tx sqldb.Tx) error {
			mustExec(t, tx, insert, 1, "a", true)
			if n := count(t, tx); n != 1 {
				t.Errorf("a transaction does not see its own change: %d rows", n)
			}
			return failure
		})
		if !errors.Is(err, failure) || count(t, db) != 0 {
			t.Fatalf("%v, and %d rows stay", err, count(t, db))
		}
		func() {
			defer func() {
				if r := recover(); r != "boom" {
					t.Errorf("the caller saw panic %v", r)
				}
			}()
			_ = db.Write(ctx, func(tx sqldb.Tx) error {
				mustExec(t, tx, insert, 1, "a", true)
				panic("boom")
			})
		}()
		var leaked sqldb.Tx
		if err := db.Write(ctx, func(tx sqldb.Tx) error {
			leaked = tx
			mustExec(t, tx, insert, 2, "b", true)
			return tx.Notify(ctx)
		}); err != nil {
			t.Fatal(err)
		}
		if n := count(t, db); n != 1 {
			t.Fatalf("%d rows; want the one that was committed", n)
		}
		if _, err := leaked.Exec(ctx, insert, 3, "c", true); err == nil {
			t.Fatal("a transaction can be used after its end")
		}
	})
}

// Changes that wait are committed together, and yet each succeeds or fails on its own.
func TestChangesOfABatchAreIndependent(t *testing.T) {
	on(t, func(t *testing.T, _ string, db sqldb.DB) {
		ctx := t.Context()
		release, blocked := make(chan struct{}), make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { // occupies SQLite's writer until the others wait
			_ = db.Write(ctx, func(sqldb.Tx) error { close(blocked); <-release; return nil })
		})
		<-blocked
		const n = 100
		var begun, failed, panicked atomic.Int32
		for i := range n {
			wg.Go(func() {
				defer func() {
					if recover() != nil {
						panicked.Add(1)
					}
				}()
				begun.Add(1)
				var err error
				switch i % 4 {
				case 0:
					_, err = db.Exec(ctx, insert, i, fmt.Sprint(i), true)
				case 1:
					_, err = db.Exec(ctx, insert, i, nil, nil) // done is NOT NULL
				case 2:
					err = db.Write(ctx, func(tx sqldb.Tx) error {
						mustExec(t, tx, insert, i, fmt.Sprint(i), true)
						_, err := tx.Exec(ctx, insert, i, "twice", true)
						return err
					})
				default:
					_ = db.Write(ctx, func(tx sqldb.Tx) error {
						mustExec(t, tx, insert, i, fmt.Sprint(i), true)
						panic("in a batch")
					})
				}
				if err != nil {
					failed.Add(1)
				}
			})
		}
		testkit.Eventually(t, "all changes", func() bool { return begun.Load() == n })
		close(release)
		wg.Wait()
		if failed.Load() != n/2 || panicked.Load() != n/4 {
			t.Errorf("%d failed and %d panicked; want %d and %d", failed.Load(), panicked.Load(), n/2, n/4)
		}
		if got := count(t, db); got != n/4 {
			t.Errorf("%d rows; want the %d of those that did not fail", got, n/4)
		}
	})
}

// A caller who leaves before the writer takes its change has changed nothing.
func TestLeavingTheQueue(t *testing.T) {
	db := open(t, "sqlite::memory:", sqldb.Options{Queue: 1})
	ctx := t.Context()
	mustExec(t, db, "CREATE TABLE things (id BIGINT NOT NULL PRIMARY KEY, name TEXT, done BOOLEAN NOT NULL)")
	release, blocked, blocker := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		blocker <- db.Write(ctx, func(sqldb.Tx) error { close(blocked); <-release; return nil })
	}()
	<-blocked
	quick, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	_, err := db.Exec(quick, insert, 1, "left", true)
	wantKind(t, err, fault.Unavailable)
	_, err = db.Exec(ctx, insert, 2, "one too many", true) // the queue of one is still full
	wantKind(t, err, fault.Unavailable)
	var fe *fault.Error
	if !errors.As(err, &fe) || fe.After <= 0 {
		t.Fatalf("a full queue does not say when to try again: %v", err)
	}
	if n := count(t, db); n != 0 { // reads do not wait for the writer
		t.Fatalf("%d rows", n)
	}
	close(release)
	if err := <-blocker; err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "room in the queue", func() bool {
		_, err := db.Exec(ctx, insert, 3, "after", true)
		return err == nil
	})
	if n := count(t, db); n != 1 {
		t.Fatalf("%d rows; want 1, without that of the caller who left", n)
	}
}

// On a full disk changes fail, and succeed again when there is space.
func TestFullDisk(t *testing.T) {
	url := storetest.SQLite(t)
	db := open(t, url, sqldb.Options{})
	ctx := t.Context()
	mustExec(t, db, "CREATE TABLE things (id BIGINT NOT NULL PRIMARY KEY, name TEXT, done BOOLEAN NOT NULL)")
	mustExec(t, db, insert, 1, "before", true)
	err := db.Write(ctx, func(tx sqldb.Tx) error {
		var pages int
		if err := tx.Row(ctx, "PRAGMA page_count").Scan(&pages); err != nil {
			return err
		}
		_, err := tx.Rows(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", pages))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("x", 100_000)
	err = db.Write(ctx, func(tx sqldb.Tx) error {
		_, _ = tx.Exec(ctx, insert, 2, big, true) // even if the caller ignores the error
		return nil
	})
	wantKind(t, err, fault.Unavailable)
	if n := count(t, db); n != 1 {
		t.Fatalf("%d rows; want the one from before", n)
	}
	mustExec(t, db, insert, 2, big, true) // the limit was that of the connection, which has been replaced
}

func TestFilesArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "here")
	db := open(t, "sqlite:"+filepath.Join(dir, "x.db"), sqldb.Options{})
	mustExec(t, db, "CREATE TABLE t (a TEXT)")
	for path, mode := range map[string]os.FileMode{"": 0o700, "x.db": 0o600, "x.db-wal": 0o600} {
		fi, err := os.Stat(filepath.Join(dir, path))
		if err != nil || fi.Mode().Perm() != mode {
			t.Errorf("%q has mode %v; want %v (%v)", path, fi.Mode().Perm(), mode, err)
		}
	}
}

func TestOpenFails(t *testing.T) {
	for _, url := range []string{"", "mysql://x", "sqlite:", "sqlite:a?b", "postgres://%zz"} {
		_, err := sqldb.Open(t.Context(), url, sqldb.Options{})
		wantKind(t, err, fault.Invalid)
	}
	secret := "postgres://user:hunter2@127.0.0.1:1/x?connect_timeout=1"
	_, err := sqldb.Open(t.Context(), secret, sqldb.Options{})
	wantKind(t, err, fault.Unavailable)
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error shows the password: %v", err)
	}
	path := filepath.Join(t.TempDir(), "text.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("this is not a database. ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqldb.Open(t.Context(), "sqlite:"+path, sqldb.Options{}); err == nil {
		t.Error("a text file was opened as a database")
	}
}

func TestMemoryDatabasesAreSeparate(t *testing.T) {
	a, b := open(t, "sqlite::memory:", sqldb.Options{}), open(t, "sqlite::memory:", sqldb.Options{})
	mustExec(t, a, "CREATE TABLE t (a TEXT)")
	mustExec(t, b, "CREATE TABLE t (a TEXT)")
}

func TestMigrate(t *testing.T) {
	on(t, func(t *testing.T, url string, db sqldb.DB) {
		ctx := t.Context()
		files := fstest.MapFS{
			"0001_first.sql": {Data: []byte("-- it's a comment; really\nCREATE TABLE a (x TEXT /* ; */);\nINSERT INTO a (x) VALUES ('semi;colon''s')")},
			"0002_next.sql":  {Data: []byte("CREATE TABLE b (x TEXT);")},
		}
		pending, err := sqldb.Pending(ctx, db, files)
		if err != nil || !slices.Equal(pending, []sqldb.Migration{{"0001_first", "0001"}, {"0002_next", "0002"}}) {
			t.Fatalf("pending %v, %v", pending, err)
		}
		// Of several processes that start at once, one applies each migration.
		var wg sync.WaitGroup
		var applied atomic.Int32
		for range 4 {
			other := open(t, url, sqldb.Options{})
			wg.Go(func() {
				names, err := sqldb.Migrate(ctx, other, files)
				if err != nil {
					t.Error(err)
				}
				applied.Add(int32(len(names)))
			})
		}
		wg.Wait()
		if applied.Load() != 2 {
			t.Fatalf("%d applied; want 2", applied.Load())
		}
		var x string
		if err := db.Row(ctx, "SELECT x FROM a").Scan(&x); err != nil || x != "semi;colon's" {
			t.Fatalf("%q, %v", x, err)
		}

		files["0003_broken.sql"] = &fstest.MapFile{Data: []byte("CREATE TABLE c (x TEXT); INSERT INTO nowhere VALUES (1);")}
		if _, err := sqldb.Migrate(ctx, db, files); err == nil || !strings.Contains(err.Error(), "0003_broken") {
			t.Fatalf("a broken migration: %v", err)
		}
		if _, err := db.Exec(ctx, "INSERT INTO c VALUES ('x')"); err == nil {
			t.Fatal("half of a broken migration stays")
		}
		delete(files, "0003_broken.sql")

		older := fstest.MapFS{"0001_first.sql": files["0001_first.sql"]}
		wantConflict(t, db, older, "newer than this program")
		edited := fstest.MapFS{"0001_first.sql": {Data: []byte("CREATE TABLE a (y TEXT)")}, "0002_next.sql": files["0002_next.sql"]}
		wantConflict(t, db, edited, "not the one that made the database")
		inserted := fstest.MapFS{
			"0001_first.sql": files["0001_first.sql"],
			"0001b.sql":      {Data: []byte("SELECT 1")},
			"0002_next.sql":  files["0002_next.sql"],
		}
		wantConflict(t, db, inserted, "lacks the earlier")
	})
}

func wantConflict(t *testing.T, db sqldb.DB, files fstest.MapFS, words string) {
	t.Helper()
	_, err := sqldb.Migrate(t.Context(), db, files)
	_, perr := sqldb.Pending(t.Context(), db, files)
	for _, err := range []error{err, perr} {
		if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), words) {
			t.Fatalf("%v; want a conflict with %q", err, words)
		}
	}
}

// After a lost connection statements fail until there is a new one, and the watcher listens
// again.
func TestPostgresConnectionsLost(t *testing.T) {
	db := open(t, storetest.Postgres(t)+"&application_name=lost_connection", sqldb.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	var wakes atomic.Int32
	done := make(chan struct{})
	go func() { defer close(done); db.Watch(ctx, func() { wakes.Add(1) }) }()
	defer func() { cancel(); <-done }()
	testkit.Eventually(t, "the watcher", func() bool { return wakes.Load() > 0 })
	err := db.Write(ctx, func(tx sqldb.Tx) error {
		var n int
		if err := tx.Row(ctx, "SELECT pg_backend_pid()").Scan(&n); err != nil {
			return err
		}
		_, _ = db.Exec(ctx, "SELECT pg_terminate_backend($1)", n)
		_, err := tx.Exec(ctx, "SELECT 1")
		return err
	})
	wantKind(t, err, fault.Unavailable)
	before := wakes.Load()
	mustExec(t, db, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN gatehouse' AND application_name = 'lost_connection'")
	testkit.Eventually(t, "the watcher's return", func() bool {
		_ = db.Write(ctx, func(tx sqldb.Tx) error { return tx.Notify(ctx) })
		return wakes.Load() > before+3
	})
	if err := db.Ping(ctx); err != nil {
		t.Fatal(err)
	}
}

// Of two transactions that block each other both succeed in the end.
func TestPostgresDeadlock(t *testing.T) {
	db := open(t, storetest.Postgres(t), sqldb.Options{})
	mustExec(t, db, "CREATE TABLE n (id BIGINT NOT NULL PRIMARY KEY, v BIGINT NOT NULL)")
	mustExec(t, db, "INSERT INTO n (id, v) VALUES (1, 0), (2, 0)")
	var wg sync.WaitGroup
	var meet sync.WaitGroup
	meet.Add(2)
	for i := range 2 {
		wg.Go(func() {
			first := true
			err := db.Write(t.Context(), func(tx sqldb.Tx) error {
				const add = "UPDATE n SET v = v + 1 WHERE id = $1"
				if _, err := tx.Exec(t.Context(), add, 1+i); err != nil {
					return err
				}
				if first {
					first = false
					meet.Done()
					meet.Wait()
				}
				_, err := tx.Exec(t.Context(), add, 2-i)
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var sum int
	if err := db.Row(t.Context(), "SELECT CAST(SUM(v) AS BIGINT) FROM n").Scan(&sum); err != nil || sum != 4 {
		t.Fatalf("sum %d, %v; want 4", sum, err)
	}
}
