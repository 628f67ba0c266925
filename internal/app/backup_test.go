package app

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/gatehouse-id/gatehouse/internal/backup"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A shelter runs commands on databases with one SECRET_KEY.
type shelter struct {
	t   *testing.T
	dir string
	env []string
}

const shelterKey = "a SECRET_KEY of a test, which is long enough"

func newShelter(t *testing.T) *shelter {
	return &shelter{t: t, dir: t.TempDir(), env: []string{"SECRET_KEY=" + shelterKey}}
}

// run runs a command and returns its exit status and all that it wrote.
func (s *shelter) run(database string, args ...string) (int, string) {
	s.t.Helper()
	var out, errs bytes.Buffer
	environ := append(slices.Clone(s.env), "DATABASE_URL="+database)
	status := Main(s.t.Context(), args, environ, strings.NewReader("A rather long 1st password"), &out, &errs)
	return status, out.String() + errs.String()
}

// must runs a command that succeeds, and returns what it wrote.
func (s *shelter) must(database string, args ...string) string {
	s.t.Helper()
	status, text := s.run(database, args...)
	if status != 0 {
		s.t.Fatalf("%v: status %d: %s", args, status, text)
	}
	return text
}

// refuses runs a command that fails with a text.
func (s *shelter) refuses(want, database string, args ...string) {
	s.t.Helper()
	if status, text := s.run(database, args...); status == 0 || !strings.Contains(text, want) {
		s.t.Errorf("%v: status %d, want %q: %s", args, status, want, text)
	}
}

func (s *shelter) sqlite(name string) string { return "sqlite:" + filepath.Join(s.dir, name, "g.db") }

// rows returns how many rows each table of a backup has.
func (s *shelter) rows(file string) map[string]int64 {
	s.t.Helper()
	var v struct {
		Fits   bool           `json:"secret_key_fits"`
		Tables []backup.Count `json:"tables"`
	}
	testkit.Must(s.t, json.Unmarshal([]byte(s.must(s.sqlite("none"), "backup", "--verify", file, "--json")), &v))
	if !v.Fits {
		s.t.Error("the backup does not fit its SECRET_KEY")
	}
	out := map[string]int64{}
	for _, c := range v.Tables {
		out[c.Table] = c.Rows
	}
	return out
}

// fill makes a database with something of each kind that commands can make.
func (s *shelter) fill(database string) {
	s.t.Helper()
	s.must(database, "user", "create", "--email", "root@example.com", "--role", "super_admin", "--password-stdin")
	s.must(database, "user", "create", "--email", "ada@example.com", "--name", "Ada \u00e9\u4e2d")
	s.must(database, "client", "create", "--name", "api", "--grant", "client_credentials")
	s.must(database, "key", "rotate", "--now")
	s.must(database, "route", "create", "--domain", "shop", "--version", "v1", "--upstream", "http://127.0.0.1:9")
}

// A backup goes from either engine into either, and nothing is missing afterwards.
func TestBackupMovesBetweenEngines(t *testing.T) {
	s := newShelter(t)
	postgres := testkit.StartPostgres(t)
	one, three := s.sqlite("one"), s.sqlite("three")
	s.fill(one)
	first, second, third := filepath.Join(s.dir, "1.backup"), filepath.Join(s.dir, "2.backup"), filepath.Join(s.dir, "3.backup")
	s.must(one, "backup", first)
	for _, at := range []struct{ url, file string }{{postgres, first}, {three, second}} {
		if at.file == second {
			s.must(postgres, "backup", second)
		}
		var restored struct {
			Tried []struct{ Name, Result, Text string }
		}
		testkit.Must(t, json.Unmarshal([]byte(s.must(at.url, "restore", at.file, "--move", "--json")), &restored))
		testkit.Equal(t, "trials", len(restored.Tried), 4)
		for _, p := range restored.Tried {
			if p.Result != "ok" {
				t.Errorf("%s: %s %s", p.Name, p.Result, p.Text)
			}
		}
	}
	s.must(three, "backup", third)

	// The commands above have recorded what they did.
	grow := []string{"backups", "audit_log", "audit_pending", "audit_pages", "meta"}
	want := s.rows(first)
	for _, file := range []string{second, third} {
		have := s.rows(file)
		for _, table := range grow {
			if have[table] < want[table] {
				t.Errorf("%s: table %s has %d rows, and had %d", file, table, have[table], want[table])
			}
			have[table] = want[table]
		}
		if !maps.Equal(have, want) {
			t.Errorf("%s: %v, want %v", file, have, want)
		}
	}
	if text := s.must(three, "user", "list"); !strings.Contains(text, "Ada é中") {
		t.Errorf("the user is gone: %s", text)
	}
	s.refuses("not empty", postgres, "restore", first, "--move")
	s.refuses("never replaces data", one, "restore", first, "--recover")
	s.refuses("say which kind", s.sqlite("four"), "restore", first)
	s.must(three, "audit", "verify")
}

// A mistake of whoever asks for a backup is no failed attempt: no alarm, and no record.
func TestMistakesAreNoAttempts(t *testing.T) {
	s := newShelter(t)
	one := s.sqlite("one")
	s.env = append(s.env, "BACKUP_TO="+filepath.Join(s.dir, "nightly"))
	s.fill(one)
	other := filepath.Join(s.dir, "notes.txt")
	testkit.Must(t, os.WriteFile(other, []byte("notes"), 0o600))
	s.refuses("is not a backup", one, "backup", other)
	s.refuses("age", one, "backup", "--recipient", "nobody")
	s.refuses("bucket", one, "backup", "s3://")
	var state struct {
		Failures int
		Attempts []any
	}
	testkit.Must(t, json.Unmarshal([]byte(s.must(one, "backup", "status", "--json")), &state))
	testkit.Equal(t, "failures", state.Failures, 0)
	testkit.Equal(t, "attempts", len(state.Attempts), 0)
}

// A file that was cut or altered anywhere changes nothing, nor does another SECRET_KEY.
func TestDamagedBackupChangesNothing(t *testing.T) {
	s := newShelter(t)
	source := s.sqlite("one")
	s.fill(source)
	identity, err := age.GenerateX25519Identity()
	testkit.Must(t, err)
	key := filepath.Join(s.dir, "key.txt")
	testkit.Must(t, os.WriteFile(key, []byte(identity.String()+"\n"), 0o600))
	for _, args := range [][]string{nil, {"--recipient", identity.Recipient().String()}} {
		file := filepath.Join(s.dir, "good.backup")
		s.must(source, append([]string{"backup", file}, args...)...)
		raw, err := os.ReadFile(file)
		testkit.Must(t, err)
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v %v", info.Mode(), err)
		}
		bad := filepath.Join(s.dir, "bad.backup")
		target := s.sqlite("target")
		try := func(what string, content []byte) {
			t.Helper()
			testkit.Must(t, os.WriteFile(bad, content, 0o600))
			if status, text := s.run(target, "restore", bad, "--recover", "--identity", key); status != 1 {
				t.Errorf("%s was restored: %d %s", what, status, text)
			}
			if status, _ := s.run(target, "backup", "--verify", bad, "--identity", key); status != 1 {
				t.Errorf("%s was verified", what)
			}
			left, _ := filepath.Glob(filepath.Join(s.dir, "target", "*"))
			if len(left) != 0 {
				t.Errorf("%s left %v", what, left)
			}
		}
		for i := 0; i < len(raw); i += max(1, len(raw)/25) {
			try("a cut file", raw[:i])
			changed := slices.Clone(raw)
			changed[i] ^= 1
			try("an altered file", changed)
		}
		try("a file without its last byte", raw[:len(raw)-1])
		try("a file with more", append(slices.Clone(raw), 'x'))
		try("a file with rows added", append(append(slices.Clone(raw[:len(raw)-backup.FooterSize]), 'x'), raw[len(raw)-backup.FooterSize:]...))

		other := &shelter{t: t, dir: s.dir, env: []string{"SECRET_KEY=another SECRET_KEY, which is long enough, too"}}
		for _, verify := range []struct {
			shelter *shelter
			status  int
		}{{s, 0}, {other, 1}, {&shelter{t: t, dir: s.dir}, 3}} {
			status, text := verify.shelter.run(target, "backup", "--verify", file, "--json", "--identity", key)
			if status != verify.status || strings.Contains(text, `"ok": true`) != (status == 0) {
				t.Errorf("verified with %v: status %d: %s", verify.shelter.env, status, text)
			}
		}
		other.refuses("SECRET_KEY is not the one", target, "restore", file, "--move", "--identity", key)
		none := &shelter{t: t, dir: s.dir}
		none.refuses("SECRET_KEY is not set", target, "restore", file, "--move", "--identity", key)
		if args != nil {
			s.refuses("--identity", target, "restore", file, "--move")
		}
		s.must(target, "restore", file, "--move", "--identity", key)
		testkit.Must(t, os.RemoveAll(filepath.Join(s.dir, "target")))
	}
}

// The content of the key file that a server made is the SECRET_KEY of its database and backups, on
// either engine, and can be changed like any other.
func TestKeyFileAsSecretKey(t *testing.T) {
	s := newShelter(t)
	s.env = nil
	postgres := testkit.StartPostgres(t)
	one, file := s.sqlite("one"), filepath.Join(s.dir, "1.backup")
	s.fill(one)
	raw, err := os.ReadFile(filepath.Join(s.dir, "one", "secret.key"))
	testkit.Must(t, err)
	s.must(one, "backup", file)
	text := strings.TrimSpace(string(raw))

	s.env = []string{"SECRET_KEY=" + text}
	s.must(one, "user", "list")
	s.rows(file) // checks that the key is the one of the backup
	s.must(postgres, "restore", file, "--move")
	s.must(postgres, "user", "list")
	s.must(postgres, "backup", filepath.Join(s.dir, "2.backup"))

	s.env = nil
	s.must(one, "user", "list") // with the file, as before

	s.env = []string{"SECRET_KEY=" + shelterKey}
	s.refuses("SECRET_KEY is not the one", one, "user", "list")
	s.env = append(s.env, "SECRET_KEY_PREVIOUS="+text)
	s.rows(file)
	for _, database := range []string{one, postgres} {
		s.must(database, "user", "list")
	}
	s.env = s.env[:1]
	for _, database := range []string{one, postgres} {
		s.must(database, "user", "list")
	}
}
