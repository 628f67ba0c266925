package checkpoint

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
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

// TestAddress sends checkpoints to a receiver that takes them, fails, is slow, or sends elsewhere.
// What it has not taken is sent again, although the file has it; what it has taken is not.
func TestAddress(t *testing.T) {
	const name, token = "id.example.com/audit", "a-token-in-the-address"
	now := time.UnixMilli(1_790_000_000_000)
	var inside atomic.Int32 // requests that reach an address which the operator did not name
	internal := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside.Add(1) }))
	defer internal.Close()
	stop := make(chan struct{})
	requests := make(chan string, 10) // to /ok
	mux := http.NewServeMux()
	mux.HandleFunc("/500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	mux.Handle("/redirect", http.RedirectHandler(internal.URL, http.StatusTemporaryRedirect))
	mux.HandleFunc("/slow", func(http.ResponseWriter, *http.Request) { <-stop })
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- r.Method + " " + r.Header.Get("Content-Type") + " " + string(body)
		w.WriteHeader(http.StatusNoContent)
	})
	receiver := httptest.NewServer(mux)
	defer receiver.Close()
	defer close(stop)
	file := filepath.Join(t.TempDir(), "checkpoint")
	keys, err := LoadKeys("", file, name)
	testkit.Must(t, err)
	db := storetest.Open(t, store.Options{URL: storetest.SQLite(t)})
	p := &Publisher{
		Store: db, Name: name, Keys: keys, File: file, Client: NewClient(), Sent: db.SetCheckpointSent,
	}
	testkit.Must(t, db.Record(t.Context(), audit.Event{At: now, Type: audit.Logout}))
	_, err = db.SequenceAudit(t.Context(), now)
	testkit.Must(t, err)
	for _, path := range []string{"/500", "/redirect", "/slow"} {
		p.URL, p.Client.Timeout = receiver.URL+path+"?token="+token, urlTimeout
		if path == "/slow" {
			p.Client.Timeout = 10 * time.Millisecond
		}
		if err := p.Publish(t.Context(), now); err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v", path, err)
		}
		sent, err := db.CheckpointSent(t.Context())
		testkit.Must(t, err)
		testkit.Equal(t, path+" is known", sent.FailingSince.Equal(now) && sent.Error != "" && !strings.Contains(sent.Error, token), true)
	}
	testkit.Equal(t, "requests that were sent elsewhere", inside.Load(), 0)
	p.URL, p.Client.Timeout = receiver.URL+"/ok", urlTimeout
	for range 3 {
		testkit.Must(t, p.Publish(t.Context(), now))
	}
	testkit.Equal(t, "requests until it was taken", len(requests), 1)
	raw, err := os.ReadFile(file)
	testkit.Must(t, err)
	testkit.Equal(t, "what was taken", <-requests, "PUT text/plain; charset=utf-8 "+string(raw))
	sent, err := db.CheckpointSent(t.Context())
	testkit.Must(t, err)
	testkit.Equal(t, "it is known", sent.FailingSince.IsZero() && sent.At.Equal(now), true)
}
