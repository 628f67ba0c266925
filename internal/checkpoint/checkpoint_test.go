package checkpoint

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// TestRestoredDatabase publishes a longer log first, then a shorter one, as after a restore: the
// second history has another name, and the last checkpoint of the first one stays.
func TestRestoredDatabase(t *testing.T) {
	const name = "id.example.com/audit"
	now := time.UnixMilli(1_790_000_000_000)
	file := filepath.Join(t.TempDir(), "checkpoint")
	keys, err := LoadKeys("", file, name)
	testkit.Must(t, err)
	again, err := LoadKeys("", file, name)
	testkit.Must(t, err)
	testkit.Equal(t, "key", again[0], keys[0])
	publish := func(events int) *store.DB {
		db := storetest.Open(t, store.Options{URL: storetest.SQLite(t)})
		p := &Publisher{Store: db, Name: name, Keys: keys, File: file}
		for range events {
			testkit.Must(t, db.Record(t.Context(), audit.Event{At: now, Type: audit.Logout}))
		}
		for range 3 {
			_, err := db.SequenceAudit(t.Context(), now)
			testkit.Must(t, err)
			testkit.Must(t, p.Publish(t.Context(), now))
		}
		return db
	}
	read := func(path string) *audit.Checkpoint {
		t.Helper()
		raw, err := os.ReadFile(path)
		testkit.Must(t, err)
		public, err := audit.PublicCheckpointKey(keys[0])
		testkit.Must(t, err)
		c, _, err := audit.OpenCheckpoint(string(raw), public)
		testkit.Must(t, err)
		return c
	}
	publish(5)
	testkit.Equal(t, "first history", read(file).Origin, name)
	db := publish(3)
	c := read(file)
	testkit.Equal(t, "second history", c.Origin, name+"/2")
	testkit.Equal(t, "pages of the second", c.Size, 4) // and the record that it began
	testkit.Equal(t, "pages of the first", read(file+".id.example.com-audit").Size, 5)
	events, err := db.ListAudit(t.Context(), store.AuditQuery{Type: audit.EpochStarted})
	testkit.Must(t, err)
	testkit.Equal(t, "records", len(events), 1)
	testkit.Equal(t, "cause", events[0].Detail[DetailCause], CauseBehind)
	// The key is lost.
	testkit.Must(t, os.Remove(file+".key"))
	keys, err = LoadKeys("", file, name)
	testkit.Must(t, err)
	p := &Publisher{Store: db, Name: name, Keys: keys, File: file}
	for range 2 {
		testkit.Must(t, p.Publish(t.Context(), now))
	}
	testkit.Equal(t, "third history", read(file).Origin, name+"/3")
	// What is not a checkpoint is not overwritten.
	testkit.Must(t, os.WriteFile(file, []byte("nonsense"), 0o600))
	if p.Publish(t.Context(), now) == nil {
		t.Error("a file that is no checkpoint was replaced")
	}
}
