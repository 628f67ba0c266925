package app

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// earlier is a database as an earlier program left it: with a person, an application and an
// approval that it renews.
type earlier struct {
	*testing.T
	db  sqldb.DB
	url string
}

func newEarlier(t *testing.T, url, newest string) *earlier {
	t.Helper()
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		testkit.Must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	}
	files := fstest.MapFS{}
	names, err := fs.Glob(store.Migrations(), "*.sql")
	testkit.Must(t, err)
	for _, name := range names {
		if sqldb.Number(name) <= newest {
			text, err := fs.ReadFile(store.Migrations(), name)
			testkit.Must(t, err)
			files[name] = &fstest.MapFile{Data: text}
		}
	}
	db, err := sqldb.Open(t.Context(), url, sqldb.Options{Readers: 2})
	testkit.Must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	_, err = sqldb.Migrate(t.Context(), db, files)
	testkit.Must(t, err)
	e := &earlier{t, db, url}
	now := time.Now()
	at, later := now.UnixMilli(), now.Add(24*time.Hour).UnixMilli()
	e.insert("users", map[string]any{
		"id": "ada", "username": "ada", "username_key": "ada", "email": "ada@example.com",
		"email_key": "ada@example.com", "created_at": at, "updated_at": at,
	})
	e.insert("clients", map[string]any{
		"id": "app", "name": "App", "grants": "authorization_code refresh_token", "redirects": "https://app.example/cb",
		"scopes": "openid offline_access", "created_at": at, "updated_at": at,
	})
	e.insert("grants", map[string]any{
		"id": secret.NewID(now), "client_id": "app", "user_id": "ada", "session_id": "s", "kind": "authorization_code",
		"offline": true, "scopes": "openid offline_access", "refresh_hash": "of a token that only the client has",
		"expires_at": later, "absolute_end": later, "auth_time": at, "created_at": at, "last_used_at": at,
	})
	return e
}

// insert inserts a row whose other columns are empty.
func (e *earlier) insert(table string, values map[string]any) {
	e.Helper()
	tables, err := sqldb.Tables(e.Context(), e.db, e.db.Engine(), []string{"CREATE TABLE " + table})
	testkit.Must(e.T, err)
	for _, c := range tables[0].Columns {
		if _, ok := values[c.Name]; !ok {
			values[c.Name] = map[string]any{"TEXT": "", "BIGINT": int64(0), "BOOLEAN": false}[c.Type]
		}
	}
	names := slices.Sorted(maps.Keys(values))
	args, params := make([]any, 0, len(names)), make([]string, 0, len(names))
	for i, name := range names {
		args, params = append(args, values[name]), append(params, fmt.Sprintf("$%d", i+1))
	}
	_, err = e.db.Exec(e.Context(), "INSERT INTO "+table+" ("+strings.Join(names, ", ")+") VALUES ("+
		strings.Join(params, ", ")+")", args...)
	testkit.Must(e.T, err)
}

// rehearsed is the JSON of a rehearsal.
type rehearsed struct {
	OK         bool   `json:"ok"`
	Before     string `json:"schema_before"`
	After      string `json:"schema_after"`
	SideBySide bool   `json:"release_before_may_run"`
	Rows       int64  `json:"rows"`
	Servers    []struct {
		Version string `json:"version"`
		GoesOn  bool   `json:"goes_on"`
	} `json:"servers"`
	Migrations []struct {
		Name  string `json:"name"`
		Locks []struct {
			Table, Mode string
		} `json:"locks"`
	} `json:"migrations"`
	Probes []struct {
		Name, Result, Text string
	} `json:"probes"`
	Failed []string `json:"failed"`
}

// rehearse runs the command and returns its status and what it printed.
func (s *shelter) rehearse(url string, args ...string) (int, rehearsed) {
	s.t.Helper()
	status, text := s.run(url, append([]string{"upgrade", "--rehearse", "--json"}, args...)...)
	var all []rehearsed // the error, if there is one, follows
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&all); err != nil || len(all) != 1 {
		s.t.Fatalf("status %d: %v in %s", status, err, text)
	}
	return status, all[0]
}

// unchanged fails the test unless the database still has its schema and its one account, and
// nothing of a rehearsal is left.
func (e *earlier) unchanged(newest string) {
	e.Helper()
	var number string
	testkit.Must(e.T, e.db.Row(e.Context(), "SELECT MAX(name) FROM migrations").Scan(&number))
	testkit.Equal(e.T, "the newest migration", sqldb.Number(number), newest)
	var accounts, meta int
	testkit.Must(e.T, e.db.Row(e.Context(), "SELECT COUNT(*) FROM users").Scan(&accounts))
	testkit.Equal(e.T, "accounts", accounts, 1)
	testkit.Must(e.T, e.db.Row(e.Context(), "SELECT COUNT(*) FROM meta").Scan(&meta))
	testkit.Equal(e.T, "values that concern the database", meta, 0)
	if path, ok := strings.CutPrefix(e.url, "sqlite:"); ok {
		left, err := filepath.Glob(filepath.Join(filepath.Dir(path), stageName))
		testkit.Must(e.T, err)
		testkit.Equal(e.T, "copies that are left", len(left), 0)
		return
	}
	left, err := store.Rehearsals(e.Context(), e.url)
	testkit.Must(e.T, err)
	testkit.Equal(e.T, "copies that are left", len(left), 0)
}

// An upgrade is tried on a copy of an earlier program's database, which stays as it is: with what
// the release before may go on using, and with what it may not.
func TestRehearseFromAnEarlierSchema(t *testing.T) {
	s := newShelter(t)
	for engine, newURL := range map[string]func(name string) string{
		"sqlite": s.sqlite, "postgres": func(string) string { return testkit.StartPostgres(t) },
	} {
		for _, newest := range []string{"0033", "0031"} {
			t.Run(engine+"/"+newest, func(t *testing.T) {
				url := newURL(newest)
				e := newEarlier(t, url, newest)
				_, err := e.db.Exec(t.Context(), "INSERT INTO servers (id, version, schema, key_id, settled, started_at, seen_at)"+
					" VALUES ('one', 'v0.9', $1, '', 0, 1, $2)", newest+"_x", time.Now().Add(time.Minute).UnixMilli())
				testkit.Must(t, err)
				rolling := newest == "0033"
				status, r := s.rehearse(url)
				testkit.Equal(t, "status", status, map[bool]int{true: 0, false: 3}[rolling])
				testkit.Equal(t, "failed", len(r.Failed), 0)
				testkit.Equal(t, "before", sqldb.Number(r.Before), newest)
				testkit.Equal(t, "after", r.After, store.Schema())
				testkit.Equal(t, "side by side", r.SideBySide, rolling)
				if len(r.Servers) != 1 || r.Servers[0].GoesOn != rolling {
					t.Errorf("servers: %+v", r.Servers)
				}
				e.checkLocks(r)
				for _, p := range r.Probes {
					if p.Result != "ok" {
						t.Errorf("%s: %s %s", p.Name, p.Result, p.Text)
					}
				}
				testkit.Equal(t, "probes", len(r.Probes), 6)
				e.unchanged(newest)
			})
		}
	}
}

// checkLocks compares the locks of the migrations that are the same for every earlier schema.
func (e *earlier) checkLocks(r rehearsed) {
	e.Helper()
	found := map[string]string{}
	for _, m := range r.Migrations {
		text := ""
		for _, l := range m.Locks {
			text += l.Table + " " + l.Mode
		}
		found[m.Name] = text
	}
	want := map[string]string{"0034_configuration": "", "0038_audit_rare": "audit_log ShareUpdateExclusiveLock"}
	if e.db.Engine() == sqldb.SQLite {
		want = map[string]string{"0034_configuration": " write", "0038_audit_rare": " write"}
	}
	for name, text := range want {
		if have, ok := found[name]; !ok || have != text {
			e.Errorf("%s: locks %q, want %q", name, have, text)
		}
	}
}

// A rehearsal that fails says why, and leaves nothing behind: keys that do not open, another
// SECRET_KEY, no database at all.
func TestRehearsalThatFails(t *testing.T) {
	s := newShelter(t)
	url := s.sqlite("one")
	e := newEarlier(t, url, "0033")
	e.insert("keys", map[string]any{"id": "k", "alg": "ES256", "public_jwk": "{}", "sealed": "garbage", "created_at": 1, "active_at": 1})
	status, r := s.rehearse(url)
	testkit.Equal(t, "status", status, 1)
	if r.OK || len(r.Failed) != 1 || !strings.Contains(r.Failed[0], "signing key") {
		t.Errorf("%+v", r)
	}
	e.unchanged("0033")

	s.refuses("there is no database", s.sqlite("two"), "upgrade", "--rehearse")
	if _, err := os.Stat(filepath.Join(s.dir, "two", "g.db")); err == nil {
		t.Error("the command made a database")
	}
	s.refuses("--rehearse", url, "upgrade")
	s.fill(s.sqlite("three"))
	s.env = []string{"SECRET_KEY=" + strings.Repeat("another one ", 4)}
	s.refuses("SECRET_KEY is not the one", s.sqlite("three"), "upgrade", "--rehearse")
}

// A rehearsal takes a backup as well, into either engine.
func TestRehearseWithABackup(t *testing.T) {
	s := newShelter(t)
	one := s.sqlite("one")
	s.fill(one)
	file := filepath.Join(s.dir, "1.backup")
	s.must(one, "backup", file)
	empty := testkit.StartPostgres(t)
	for _, url := range []string{one, empty} {
		status, r := s.rehearse(url, "--from", file)
		testkit.Equal(t, "status", status, 0)
		testkit.Equal(t, "migrations", len(r.Migrations), 0)
		if !r.SideBySide || r.Rows == 0 || len(r.Failed) > 0 {
			t.Errorf("%+v", r)
		}
	}
	left, err := store.Rehearsals(t.Context(), empty)
	testkit.Must(t, err)
	testkit.Equal(t, "copies that are left", len(left), 0)
	if text := s.must(one, "user", "list"); strings.Contains(text, "trial") {
		t.Errorf("the trial's account is in the database: %s", text)
	}
	if text := s.must(one, "upgrade", "--rehearse"); !strings.Contains(text, "start the former program") {
		t.Error(text)
	}
}

// What a rehearsal that was killed has left is removed by the next one, once it is old.
func TestRehearsalRemovesLeftovers(t *testing.T) {
	s := newShelter(t)
	one := s.sqlite("one")
	s.fill(one)
	old, young := filepath.Join(s.dir, "one", ".gatehouse-rehearsal-1"), filepath.Join(s.dir, "one", ".gatehouse-rehearsal-2")
	for _, name := range []string{old, young} {
		testkit.Must(t, os.Mkdir(name, 0o700))
		testkit.Must(t, os.WriteFile(filepath.Join(name, "gatehouse.db"), []byte("x"), 0o600))
	}
	testkit.Must(t, os.Chtimes(old, time.Now(), time.Now().Add(-25*time.Hour)))
	s.must(one, "upgrade", "--rehearse")
	if _, err := os.Stat(old); err == nil {
		t.Error("what is left of yesterday is still there")
	}
	if _, err := os.Stat(young); err != nil {
		t.Error("what may belong to another rehearsal is gone")
	}
}
