package sqldb_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// While a snapshot is read, the write-ahead log cannot start over. Beyond its bound the snapshot
// ends with words, and the log is short again afterwards: a disk is not filled by a backup.
func TestSnapshotBoundsTheLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "g.db")
	db := open(t, "sqlite:"+path, sqldb.Options{})
	mustExec(t, db, "CREATE TABLE n (id BIGINT NOT NULL PRIMARY KEY, text TEXT NOT NULL)")
	const rows = 500
	testkit.Must(t, db.Write(t.Context(), func(tx sqldb.Tx) error {
		for i := range rows {
			if _, err := tx.Exec(t.Context(), "INSERT INTO n (id, text) VALUES ($1, $2)", i, "x"); err != nil {
				return err
			}
		}
		return nil
	}))
	read := func(most int64, change func()) error {
		return sqldb.ReadSnapshot(t.Context(), db, sqldb.SnapshotOptions{MaxLog: most}, func(s sqldb.Snapshot) error {
			change()
			n := 0
			err := s.Scan(t.Context(), "SELECT id FROM n", func([]any) error { n++; return nil })
			if err == nil && n != rows {
				t.Errorf("%d rows of %d", n, rows)
			}
			return err
		})
	}
	grow := func() {
		for i := range 40 {
			mustExec(t, db, "INSERT INTO n (id, text) VALUES ($1, $2)", rows+i, strings.Repeat("y", 20_000))
		}
	}
	testkit.Must(t, read(512<<10, func() {}))
	err := read(512<<10, grow)
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "when there is less load") {
		t.Errorf("a log beyond its bound: %v", err)
	}
	testkit.Eventually(t, "the log is in the main file", func() bool {
		info, err := os.Stat(path)
		return err == nil && info.Size() > 800_000
	})
}
