package app

import (
	"bytes"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The link for the first administrator is shown to a person, never to a log.
func TestSetupLinkIsPrintedToATerminalOnly(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		var out bytes.Buffer
		e := &env{stdout: &out, stderr: &out, now: time.Now, terminal: terminal}
		e.environ = []string{"DATABASE_URL=sqlite:" + filepath.Join(t.TempDir(), "g.db")}
		cfg, err := loadConfig(e, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		p, err := openParts(t.Context(), e, cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = announce(t.Context(), e, p)
		_ = p.Close()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(out.String(), "/setup?token="); got != terminal {
			t.Errorf("terminal %v: %s", terminal, out.String())
		}
		if got := strings.Contains(out.String(), "gatehouse setup-link"); got == terminal {
			t.Errorf("terminal %v: %s", terminal, out.String())
		}
	}
}

// setup-link makes a link until there is an administrator.
func TestSetupLinkCommand(t *testing.T) {
	run := func(database string, args ...string) (int, string) {
		var out, errs bytes.Buffer
		environ := []string{"DATABASE_URL=" + database}
		status := Main(t.Context(), args, environ, strings.NewReader("A rather long 1st password"), &out, &errs)
		return status, out.String() + errs.String()
	}
	database := "sqlite:" + filepath.Join(t.TempDir(), "g.db")
	status, text := run(database, "setup-link")
	link, _, _ := strings.Cut(text, "\n")
	u, err := url.Parse(link)
	if status != 0 || err != nil || u.Path != "/setup" || u.Query().Get("token") == "" {
		t.Fatalf("status %d: %s", status, text)
	}
	status, text = run(database, "user", "create", "--email", "root@example.com", "--role", "super_admin", "--password-stdin")
	if status != 0 {
		t.Fatalf("status %d: %s", status, text)
	}
	if status, text = run(database, "setup-link"); status != 1 || !strings.Contains(text, "administrator already") {
		t.Errorf("status %d: %s", status, text)
	}
}
