package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

// A program goes on with a schema that a newer one has only expanded, also when it starts; it
// refuses one that was contracted, and one that says nothing.
func TestOlderProgram(t *testing.T) {
	on(t, func(t *testing.T, _ string, db sqldb.DB) {
		ctx := t.Context()
		older := fstest.MapFS{
			"0001_first.sql": file("CREATE TABLE a (x TEXT)"),
			"0002_next.sql":  file("CREATE TABLE b (x TEXT)"),
		}
		newer := maps.Clone(older)
		newer["0003_expand.sql"] = file("-- compatible-from: 0002\n-- Adds y.\nALTER TABLE a ADD COLUMN y TEXT NOT NULL DEFAULT ''")
		for _, files := range []fs.FS{older, newer} {
			_, err := sqldb.Migrate(ctx, db, files)
			testkit.Must(t, err)
		}
		names, err := sqldb.Migrate(ctx, db, older)
		testkit.Must(t, err)
		testkit.Equal(t, "applied by the older program", len(names), 0)
		isNewer, err := sqldb.IsNewer(ctx, db, older)
		testkit.Must(t, err)
		testkit.Equal(t, "the database is newer", isNewer, true)
		oldest := fstest.MapFS{"0001_first.sql": older["0001_first.sql"]}
		wantConflict(t, db, oldest, "newer than this program")
		ahead := maps.Clone(older)
		ahead["0002b_other.sql"] = file("CREATE TABLE c (x TEXT)")
		wantConflict(t, db, ahead, "lacks its migration 0002b_other")

		newer["0004_contract.sql"] = file("-- compatible-from: 0003\nDROP TABLE b")
		_, err = sqldb.Migrate(ctx, db, newer)
		testkit.Must(t, err)
		wantConflict(t, db, older, "less than migration 0003 must not use it")
	})
}

// The table of a release that did not store the oldest program gets the column.
func TestTableOfMigrationsOfAnEarlierRelease(t *testing.T) {
	on(t, func(t *testing.T, _ string, db sqldb.DB) {
		mustExec(t, db, "CREATE TABLE migrations (name TEXT NOT NULL PRIMARY KEY, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)")
		names, err := sqldb.Migrate(t.Context(), db, fstest.MapFS{"0001_first.sql": file("-- compatible-from: 0001\nCREATE TABLE a (x TEXT)")})
		testkit.Must(t, err)
		testkit.Equal(t, "applied", len(names), 1)
		var oldest string
		testkit.Must(t, db.Row(t.Context(), "SELECT compatible_from FROM migrations").Scan(&oldest))
		testkit.Equal(t, "oldest", oldest, "0001")
	})
}

// A migration that may not run waits until it may.
func TestMigrationWaits(t *testing.T) {
	on(t, func(t *testing.T, _ string, db sqldb.DB) {
		tries := 0
		var notices []string
		m := sqldb.Migrator{
			DB:    db,
			Files: fstest.MapFS{"0001_first.sql": file("CREATE TABLE a (x TEXT)")},
			Pause: time.Millisecond,
			Allow: func(_ context.Context, _ sqldb.Conn, m sqldb.Migration) error {
				testkit.Equal(t, "asked for", m, sqldb.Migration{Name: "0001_first", Oldest: "0001"})
				if tries++; tries < 3 {
					return fault.New(fault.Conflict, "an older server is running")
				}
				return nil
			},
			Notice: func(text string) { notices = append(notices, text) },
		}
		names, err := m.Run(t.Context())
		testkit.Must(t, err)
		if !slices.Equal(names, []string{"0001_first"}) || len(notices) != 1 || !strings.Contains(notices[0], "older server") {
			t.Fatalf("%v after %d tries, %q", names, tries, notices)
		}
		m.Files = fstest.MapFS{"0001_first.sql": file("CREATE TABLE a (x TEXT)"), "0002_next.sql": file("CREATE TABLE b (x TEXT)")}
		m.Allow = func(context.Context, sqldb.Conn, sqldb.Migration) error { return fault.New(fault.Conflict, "stop it") }
		if _, err := m.Run(t.Context()); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "stop it") {
			t.Fatal(err)
		}
	})
}

// While something reads a table for long, as a backup does, a migration that needs the table lets
// the requests before itself, again and again; and a backup or a migration that holds the lock,
// also that of an earlier release, keeps it away.
func TestMigrationLetsRequestsBefore(t *testing.T) {
	db := open(t, storetest.Postgres(t), sqldb.Options{})
	ctx := t.Context()
	files := fstest.MapFS{"0001_first.sql": file("CREATE TABLE a (x BIGINT NOT NULL); INSERT INTO a (x) VALUES (1)")}
	_, err := sqldb.Migrate(ctx, db, files)
	testkit.Must(t, err)
	files["0002_next.sql"] = file("ALTER TABLE a ADD COLUMN y TEXT NOT NULL DEFAULT ''")
	schema := fmt.Sprintf("%d, hashtext(current_schema())", sqldb.SchemaLock)
	earlier := fmt.Sprint(int64(sqldb.MigrationLock))
	for name, hold := range map[string]string{
		"a reader":                          "SELECT x FROM a",
		"a backup":                          "SELECT pg_advisory_xact_lock_shared(" + schema + ")",
		"a migration":                       "SELECT pg_advisory_xact_lock(" + schema + ")",
		"a backup of an earlier release":    "SELECT pg_advisory_xact_lock_shared(" + earlier + ")",
		"a migration of an earlier release": "SELECT pg_advisory_xact_lock(" + earlier + ")",
	} {
		held, release, waits := make(chan struct{}), make(chan struct{}), make(chan string, 1)
		var wg sync.WaitGroup
		wg.Go(func() {
			_ = db.Write(ctx, func(tx sqldb.Tx) error {
				if _, err := tx.Exec(ctx, hold); err != nil {
					t.Error(err)
				}
				close(held)
				<-release
				return errors.New("roll back")
			})
		})
		<-held
		m := sqldb.Migrator{DB: db, Files: files, Pause: 10 * time.Millisecond, Notice: func(text string) { waits <- text }}
		wg.Go(func() {
			if _, err := m.Run(ctx); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		testkit.Receive(t, name+": the migration waits", waits)
		mustExec(t, db, "UPDATE a SET x = x + 1") // would wait for the reader's end behind the migration
		close(release)
		wg.Wait()
		var n int
		testkit.Must(t, db.Row(ctx, "SELECT COUNT(*) FROM migrations WHERE name = '0002_next'").Scan(&n))
		testkit.Equal(t, name+": applied", n, 1)
		mustExec(t, db, "ALTER TABLE a DROP COLUMN y")
		mustExec(t, db, "DELETE FROM migrations WHERE name = '0002_next'")
	}
}

// While one schema of a database is migrated, others are, and have backups; nothing of a schema
// that is up to date waits for a lock. A migration of an earlier release waits for all of them.
func TestSchemasMigrateIndependently(t *testing.T) {
	address := testkit.StartPostgres(t)
	ctx := t.Context()
	files := fstest.MapFS{"0001_first.sql": file("CREATE TABLE a (x BIGINT NOT NULL)")}
	const schemas = 4
	dbs := make([]sqldb.DB, schemas)
	for i := range dbs {
		at, name := inSchema(t, address, "migrates")
		dbs[i] = open(t, at, sqldb.Options{Schema: name})
		t.Cleanup(func() { _, _ = dbs[i].Exec(context.Background(), "DROP SCHEMA "+name+" CASCADE") })
	}
	held, release := make(chan struct{}), make(chan struct{})
	var slow sync.WaitGroup
	slow.Go(func() {
		m := sqldb.Migrator{DB: dbs[0], Files: files, Allow: func(context.Context, sqldb.Conn, sqldb.Migration) error {
			close(held)
			<-release
			return nil
		}}
		if _, err := m.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	<-held
	for _, db := range dbs[1:] { // first the schema is made, then it is up to date
		for range 2 {
			_, err := (&sqldb.Migrator{DB: db, Files: files, Notice: func(text string) { t.Error(text) }}).Run(ctx)
			testkit.Must(t, err)
		}
		testkit.Must(t, sqldb.ReadSnapshot(ctx, db, sqldb.SnapshotOptions{}, func(sqldb.Snapshot) error { return nil }))
	}
	earlier := fmt.Sprintf("SELECT pg_try_advisory_xact_lock(%d)", int64(sqldb.MigrationLock))
	var free bool
	testkit.Must(t, dbs[1].Row(ctx, earlier).Scan(&free))
	testkit.Equal(t, "an earlier release can migrate", free, false)
	close(release)
	slow.Wait()
	testkit.Must(t, dbs[0].Write(ctx, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock("+fmt.Sprint(sqldb.SchemaLock)+", hashtext(current_schema()))")
		testkit.Must(t, err)
		_, err = sqldb.Migrate(ctx, dbs[0], files)
		return err
	}))
}

// An index of a large table is built outside of a transaction, while others write; one that an
// earlier try has left invalid is built anew.
func TestIndexOutsideTransaction(t *testing.T) {
	on(t, func(t *testing.T, _ string, db sqldb.DB) {
		ctx := t.Context()
		files := fstest.MapFS{"0001_first.sql": file("CREATE TABLE a (x BIGINT NOT NULL)")}
		_, err := sqldb.Migrate(ctx, db, files)
		testkit.Must(t, err)
		files["0002_index.sql"] = file("-- compatible-from: 0001\n-- outside-transaction\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS a_x ON a (x)")
		if db.Engine() == sqldb.Postgres {
			mustExec(t, db, "INSERT INTO a (x) VALUES (1), (1)")
			if _, err := sqldb.Migrate(ctx, db, files); err == nil || !strings.Contains(err.Error(), "can be applied again") {
				t.Fatalf("an index that cannot be built: %v", err)
			}
			mustExec(t, db, "DELETE FROM a")
		}
		_, err = sqldb.Migrate(ctx, db, files)
		testkit.Must(t, err)
		mustExec(t, db, "INSERT INTO a (x) VALUES (1)")
		_, err = db.Exec(ctx, "INSERT INTO a (x) VALUES (1)")
		wantKind(t, err, fault.Conflict)
	})
}
