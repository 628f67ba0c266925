package app

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Liveness stays while the database is away; readiness does not, nor while the server stops.
func TestHealth(t *testing.T) {
	e := &env{stdout: io.Discard, stderr: io.Discard, now: time.Now}
	e.environ = []string{"DATABASE_URL=sqlite::memory:"}
	cfg, err := loadConfig(e, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	p, err := openParts(t.Context(), e, cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newServer(t.Context(), e, p, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string, live, ready int) {
		t.Helper()
		for path, want := range map[string]int{
			"/health": live, "/healthz": live, "/livez": live, "/health_check": live, "/readyz": ready,
		} {
			w := httptest.NewRecorder()
			s.handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			if w.Code != want || w.Code == 200 && !strings.Contains(w.Body.String(), `"status":"ok"`) {
				t.Errorf("%s: %s: %d %s, want %d", when, path, w.Code, w.Body, want)
			}
		}
	}
	check("running", 200, 200)
	s.stopping.Store(true)
	check("stopping", 200, 503)
	s.stopping.Store(false)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	check("without database", 200, 503)
}

// A start without the key file of a database that has one leaves no new key beside it.
func TestLostKeyFileIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	e := &env{stdout: io.Discard, stderr: io.Discard, now: time.Now}
	e.environ = []string{"DATABASE_URL=sqlite:" + filepath.Join(dir, "g.db")}
	cfg, err := loadConfig(e, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	p, err := openParts(t.Context(), e, cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "secret.key")
	if err := os.Rename(key, key+".away"); err != nil {
		t.Fatal(err)
	}
	_, err = openParts(t.Context(), e, cfg, nil)
	if err == nil || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("started with a new key: %v", err)
	}
	if _, err := os.Stat(key); !os.IsNotExist(err) {
		t.Errorf("a new key lies beside the database: %v", err)
	}
	if err := os.Rename(key+".away", key); err != nil {
		t.Fatal(err)
	}
	if p, err = openParts(t.Context(), e, cfg, nil); err != nil {
		t.Fatal(err)
	}
	_ = p.Close()
}
