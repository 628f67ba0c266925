package app

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/realm"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// The commands about realms, and others with --realm, as an operator runs them.
func TestRealmCommands(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "realms.yaml")
	environ := []string{
		"ENVIRONMENT=production", "BASE_URL=https://login.example", "SECRET_KEY=" + secret.NewToken(""),
		"DATABASE_URL=sqlite:" + filepath.Join(dir, "data", "gatehouse.db"), "REALMS_FILE=" + file,
	}
	run := func(line string) string {
		var out bytes.Buffer
		code := Main(t.Context(), strings.Fields(line), environ, strings.NewReader(""), &out, &out)
		return fmt.Sprint(code, " ", out.String())
	}
	for _, step := range []struct{ line, want string }{
		{"realm list", "1 gatehouse: create the first realm with"},
		{"realm create acme --at https://acme.example", "0 The realm acme is in " + file},
		{"realm create acme --at https://other.example", "there is a realm acme already"},
		{"realm create beta --at https://ACME.example:443/", "have the same address"},
		{"realm create Beta --at https://beta.example", "cannot be the name of a realm"},
		{"realm create ../x --at https://beta.example", "cannot be the name of a realm"},
		{"realm create beta --at http://beta.example", "2 gatehouse: --at is \"http://beta.example\"; production needs https"},
		{"realm create beta --at beta.example", "2 gatehouse: --at is \"beta.example\"; it must be an absolute address"},
		{"realm create beta --at https://beta.example --database sqlite:" + dir + "/data/realms/acme/../acme/gatehouse.db", "has the database of the realm acme"},
		{"realm create beta --at https://beta.example", "0 The realm beta is in"},
		{"realm list --json", `"total": 2`},
		{"--realm acme user create --email ada@acme.example", "https://acme.example/reset-password?"},
		{"--realm acme user list", "ada@acme.example"},
		{"--realm gamma user list", `1 gatehouse: REALMS_FILE has no realm "gamma"`},
		{"--realm acme user list --database-url sqlite:/x", "set database_url in REALMS_FILE"},
		{"--realm acme --server https://acme.example user list", "2 gatehouse: --realm names a realm of this machine"},
		{"--realm acme serve", "2 gatehouse: serve serves all realms"},
		{"--realm acme realm list", "2 gatehouse: this command takes the name of the realm"},
		{"migrate --dry-run", "0 "},
		{"--realm acme backup " + dir + "/acme.backup", "0 "},
		{"--realm beta restore --move " + dir + "/acme.backup", "1 gatehouse: "},
		{"--realm beta user list", "0 "},
		{"realm delete gamma", `has no realm "gamma"`},
		{"realm delete acme", "Its database stays: " + dir + "/data/realms/acme/gatehouse.db"},
		{"--realm acme user list", "has no realm"},
		{"realm create acme --at https://acme.example", "1 gatehouse: there was a realm acme before"},
		{"--realm acme user list", "has no realm"},
		{"realm create acme --at https://acme.example --reuse", "0 The realm acme"},
		{"--realm acme user list", "ada@acme.example"},
	} {
		if got := run(step.line); !strings.Contains(got, step.want) {
			t.Errorf("gatehouse %s\n%swant %s", step.line, got, step.want)
		}
	}
	for _, line := range []string{"--realm beta user list", "user list"} {
		if got := run(line); strings.Contains(got, "ada@") {
			t.Errorf("gatehouse %s shows the user of acme:\n%s", line, got)
		}
	}
	for _, name := range []string{file, filepath.Join(dir, "realms", "acme", "secret.key")} {
		info, err := os.Stat(name)
		testkit.Must(t, err)
		testkit.Equal(t, "mode of "+name, fmt.Sprintf("%o", info.Mode().Perm()), "600")
	}
	for _, suffix := range []string{"", "-wal", "-shm"} { // a lost disk
		_ = os.Remove(filepath.Join(dir, "data", "realms", "acme", "gatehouse.db"+suffix))
	}
	if got := run("--realm acme restore --move " + dir + "/acme.backup"); !strings.HasPrefix(got, "0 ") {
		t.Errorf("the realm is not restored: %s", got)
	}
	if got := run("--realm acme user list"); !strings.Contains(got, "ada@acme.example") {
		t.Errorf("the restored realm has other users: %s", got)
	}
	if got := run("doctor"); !strings.Contains(got, "Realm beta: ") || strings.Contains(got, "settings.realms") {
		t.Errorf("doctor:\n%s", got)
	}
	if got := run("--realm acme doctor"); !strings.Contains(got, "gatehouse --realm acme setup-link") {
		t.Errorf("doctor of a realm:\n%s", got)
	}
	run("realm create delta --at https://delta.example")
	testkit.Must(t, os.RemoveAll(filepath.Join(dir, "data", "realms", "delta"))) // as if it was never opened
	got := run("upgrade --rehearse")
	if !strings.HasPrefix(got, "0 ") || !strings.Contains(got, "there is no database at "+dir+"/data/realms/delta") {
		t.Errorf("a rehearsal beside a realm that was never opened:\n%s", got)
	}
	testkit.Must(t, os.WriteFile(file, []byte("realms: 7"), 0o600))
	if got := run("doctor"); !strings.Contains(got, "realms must be a mapping") {
		t.Errorf("doctor with a broken file:\n%s", got)
	}
}

// Of commands that change the file at the same time none loses the change of another, also where
// REALMS_FILE is a link to the file.
func TestRealmCommandsAtTheSameTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "etc", "realms.yaml")
	testkit.Must(t, os.Mkdir(filepath.Dir(file), 0o700))
	testkit.Must(t, os.WriteFile(file, []byte("realms:\n  first:\n    base_url: https://first.example\n"), 0o600))
	link := filepath.Join(dir, "realms.yaml")
	testkit.Must(t, os.Symlink(file, link))
	environ := []string{
		"BASE_URL=https://login.example", "SECRET_KEY=" + secret.NewToken(""),
		"DATABASE_URL=sqlite:" + filepath.Join(dir, "data", "gatehouse.db"), "REALMS_FILE=" + link,
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			line := fmt.Sprintf("realm create r%d --at https://r%d.example", i, i)
			if i == 7 {
				line = "realm delete first"
			}
			var out bytes.Buffer
			if code := Main(t.Context(), strings.Fields(line), environ, strings.NewReader(""), &out, &out); code != 0 {
				t.Errorf("gatehouse %s: %d %s", line, code, out.String())
			}
		})
	}
	wg.Wait()
	raw, err := os.ReadFile(file)
	testkit.Must(t, err)
	f, err := realm.Parse(raw)
	testkit.Must(t, err)
	testkit.Equal(t, "realms", len(f.Realms), 7)
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link has become %v: %v", info, err)
	}
}

// A file whose folder is missing is an error that names REALMS_FILE.
func TestRealmsFileOfAMissingFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var out bytes.Buffer
	code := Main(t.Context(), strings.Fields("realm create a --at https://a.example"), []string{
		"BASE_URL=https://login.example", "SECRET_KEY=" + secret.NewToken(""),
		"DATABASE_URL=sqlite:" + filepath.Join(dir, "gatehouse.db"), "REALMS_FILE=" + filepath.Join(dir, "none", "realms.yaml"),
	}, strings.NewReader(""), &out, &out)
	if code != 1 || !strings.Contains(out.String(), "REALMS_FILE cannot be locked") {
		t.Errorf("%d %s", code, out.String())
	}
}
