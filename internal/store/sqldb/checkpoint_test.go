package sqldb_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// copied returns the number of rows of n in a copy of the main file alone, or -1.
func copied(t *testing.T, path string) (n int) {
	t.Helper()
	// In another process: closing the file in this one would release SQLite's locks.
	raw, err := exec.CommandContext(t.Context(), "cat", path).Output()
	testkit.Must(t, err)
	to := filepath.Join(t.TempDir(), "copy.db")
	testkit.Must(t, os.WriteFile(to, raw, 0o600))
	db, err := sqldb.Open(t.Context(), "sqlite:"+to, sqldb.Options{})
	if err != nil {
		return -1
	}
	defer db.Close()
	if err := db.Row(t.Context(), "SELECT COUNT(*) FROM n").Scan(&n); err != nil {
		return -1
	}
	return n
}

// A copy of the main file alone has everything, a while after the last change, and after a stop
// though another process has the database open.
func TestCopyOfTheMainFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "g.db")
	db := open(t, "sqlite:"+path, sqldb.Options{})
	mustExec(t, db, "CREATE TABLE n (id BIGINT NOT NULL PRIMARY KEY)")
	mustExec(t, db, "INSERT INTO n (id) VALUES (1)")
	testkit.Eventually(t, "the main file is up to date", func() bool { return copied(t, path) == 1 })

	// The other process here never writes the main file, so the one that stops does.
	path = filepath.Join(t.TempDir(), "g.db")
	other := open(t, "sqlite:"+path, sqldb.Options{ExternalCheckpoint: true})
	mustExec(t, other, "CREATE TABLE n (id BIGINT NOT NULL PRIMARY KEY)")
	db = open(t, "sqlite:"+path, sqldb.Options{})
	mustExec(t, db, "INSERT INTO n (id) VALUES (1)")
	mustExec(t, db, "INSERT INTO n (id) VALUES (2)")
	testkit.Must(t, db.Close())
	testkit.Equal(t, "rows in the copy after a stop", copied(t, path), 2)
}

// With a program that copies the log, the log is left alone.
func TestExternalCheckpoint(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "g.db")
	db := open(t, "sqlite:"+path, sqldb.Options{ExternalCheckpoint: true})
	mustExec(t, db, "CREATE TABLE n (id BIGINT NOT NULL PRIMARY KEY, text TEXT NOT NULL)")
	for i := range 300 { // more than SQLite would leave in the log by itself
		mustExec(t, db, "INSERT INTO n (id, text) VALUES ($1, $2)", i, strings.Repeat("x", 20_000))
	}
	log, err := os.Stat(path + "-wal")
	testkit.Must(t, err)
	main, err := os.Stat(path)
	testkit.Must(t, err)
	if main.Size() > 100_000 || log.Size() < 300*20_000 {
		t.Errorf("the main file has %d bytes and the log %d", main.Size(), log.Size())
	}
}
