package faults_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// release returns the migrations of a coming release, of which the binary under test is the one
// before: its own, and a further one.
func release(t testing.TB, name, text string) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	files, err := filepath.Glob("../../store/migrations/*.sql")
	testkit.Must(t, err)
	for _, f := range files {
		raw, err := os.ReadFile(f)
		testkit.Must(t, err)
		out[filepath.Base(f)] = &fstest.MapFile{Data: raw}
	}
	out[name] = &fstest.MapFile{Data: []byte(text)}
	return out
}

// migrateTo applies a coming release's migrations beside the servers that run.
func migrateTo(t testing.TB, url string, files fstest.MapFS) {
	t.Helper()
	db, err := sqldb.Open(context.Background(), url, sqldb.Options{})
	testkit.Must(t, err)
	defer db.Close()
	_, err = sqldb.Migrate(context.Background(), db, files)
	testkit.Must(t, err)
}

// A coming release expands the schema while servers of this one run under load. They go on, start
// again in the middle of it, and commands work, so that the way back is this binary's start. Once
// the schema is contracted, a start is refused with words.
func TestOlderBinary(t *testing.T) {
	onEngines(t, func(t *testing.T, h *host) {
		s := h.serve()
		c := h.workload(s)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); c.load(ctx) }()
		c.progress(t)
		expand := fmt.Sprintf("-- compatible-from: %s\nALTER TABLE grants ADD COLUMN later TEXT NOT NULL DEFAULT '';"+
			" CREATE TABLE later (id TEXT NOT NULL PRIMARY KEY);", sqldb.Number(store.Schema()))
		files := release(t, "0998_expand.sql", expand)
		migrateTo(t, h.env["DATABASE_URL"], files)
		c.progress(t)
		stop()
		<-done
		c.verify(t)

		s.kill()
		h.serve()
		h.run(nil, "", "client", "list")
		h.user("grace@example.com")
		grace := newPerson(t, s.url, "grace@example.com")
		grace.signIn(t)
		old := grace.family(t, c.call, c.web)
		if a := c.call.refresh(c.web, old.Refresh); a.status != 200 {
			t.Errorf("a refresh on the newer schema: %v", a)
		}

		files["0999_contract.sql"] = &fstest.MapFile{Data: []byte("-- compatible-from: 0998\nDROP TABLE later")}
		migrateTo(t, h.env["DATABASE_URL"], files)
		_, err := store.Open(t.Context(), store.Options{URL: h.env["DATABASE_URL"]})
		if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "run the newer release") {
			t.Errorf("a start on a contracted schema: %v", err)
		}
	})
}
