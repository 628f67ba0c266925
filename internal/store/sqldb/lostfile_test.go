package sqldb_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A database whose file is gone or empty, beside a write-ahead log with its last changes, is not
// taken for a new one: SQLite would delete the log.
func TestLostFileIsNoNewDatabase(t *testing.T) {
	for name, lose := range map[string]func(path string) error{
		"is missing": os.Remove,
		"is empty":   func(path string) error { return os.Truncate(path, 0) },
	} {
		path := filepath.Join(t.TempDir(), "g.db")
		log := []byte("changes that are nowhere else")
		testkit.Must(t, os.WriteFile(path, []byte("the database"), 0o600))
		testkit.Must(t, os.WriteFile(path+"-wal", log, 0o600))
		testkit.Must(t, lose(path))
		_, err := sqldb.Open(context.Background(), "sqlite:"+path, sqldb.Options{})
		if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		still, err := os.ReadFile(path + "-wal")
		testkit.Must(t, err)
		testkit.Equal(t, name+": the log", string(still), string(log))
		if name == "is missing" {
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				t.Errorf("a file was made: %v", err)
			}
		}
	}
	path := filepath.Join(t.TempDir(), "g.db") // an empty log is what a checkpoint leaves
	testkit.Must(t, os.WriteFile(path+"-wal", nil, 0o600))
	db := open(t, "sqlite:"+path, sqldb.Options{})
	testkit.Must(t, db.Close())
}
