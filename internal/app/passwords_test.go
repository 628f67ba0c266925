package app

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func loadSettings(t *testing.T, env ...string) *config.Config {
	t.Helper()
	c, err := config.Load(config.Source{Env: env})
	testkit.Must(t, err)
	return c
}

func TestPasswordPolicyOfTheSettings(t *testing.T) {
	for env, want := range map[string]identity.Policy{
		"PASSWORD_POLICY=composition": {MinLength: 12, Upper: true, Lower: true, Number: true, Common: true},
		"PASSWORD_POLICY=nist":        {MinLength: 15, Common: true, ListsOnly: true},
	} {
		policy, admin, err := passwordPolicy(loadSettings(t, env))
		testkit.Must(t, err)
		testkit.Equal(t, env, policy, want)
		want.MinLength = 16
		testkit.Equal(t, env+" for administrators", admin, want)
	}
	policy, _, err := passwordPolicy(loadSettings(t, "PASSWORD_POLICY=nist", "REQUIRE_MFA=true", "PASSWORD_MIN_LENGTH=8"))
	testkit.Must(t, err)
	testkit.Equal(t, "length beside a second factor", policy.MinLength, 8)
	warned := strings.Join(loadSettings(t, "PASSWORD_POLICY=nist", "PASSWORD_EXPIRY_DAYS=90").Warnings(), "\n")
	if !strings.Contains(warned, "PASSWORD_EXPIRY_DAYS") {
		t.Errorf("warnings: %q", warned)
	}
}

func TestGraceOfRoles(t *testing.T) {
	got := roleGraces(loadSettings(t, "REQUIRE_MFA_ROLES=finance=0 editor", "MFA_GRACE_PERIOD_DAYS=3"))
	testkit.Equal(t, "days", got, map[string]time.Duration{"finance": 0, "editor": 72 * time.Hour})
}

// A changed list counts without a restart, and while it cannot be read the former one does.
func TestCommonPasswordsAreReadAgain(t *testing.T) {
	name := filepath.Join(t.TempDir(), "list.txt")
	testkit.Must(t, os.WriteFile(name, []byte("krummhornquartett\n"), 0o600))
	cfg := loadSettings(t, "COMMON_PASSWORD_LIST="+name)
	policy, _, err := passwordPolicy(cfg)
	testkit.Must(t, err)
	rejects := func(word string) bool { return len(policy.Check(word)) > 0 }
	policy.Upper, policy.Number = false, false
	if !rejects("krummhornquartett") || rejects("zugspitzplattwiese") {
		t.Fatal("the list is not the one in the file")
	}
	log := make(lines, 10)
	s := &server{
		parts: &parts{cfg: cfg, policies: login.Config{Policy: policy}, commonState: fileState(name)},
		log:   slog.New(slog.NewTextHandler(log, nil)),
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.watchPasswords(ctx) }()
	testkit.Must(t, os.Rename(name, name+".away"))
	if line := <-log; !strings.Contains(line, "the list stays as it was") || !rejects("krummhornquartett") {
		t.Errorf("the list is gone with its file: %s", line)
	}
	testkit.Must(t, os.WriteFile(name, []byte("zugspitzplattwiese\n"), 0o600))
	if line := <-log; !strings.Contains(line, "was read again") || !rejects("zugspitzplattwiese") || rejects("krummhornquartett") {
		t.Errorf("the list did not change with its file: %s", line)
	}
	stop()
	<-done
}

// lines receives the lines of a log.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

func TestAWrongListOfBreachedPasswordsStopsTheStart(t *testing.T) {
	name := filepath.Join(t.TempDir(), "list.txt")
	testkit.Must(t, os.WriteFile(name, []byte("password\n123456\n"), 0o600))
	p := &parts{cfg: loadSettings(t, "BREACHED_PASSWORDS="+name)}
	err := p.openBreached()
	if err == nil || !strings.Contains(err.Error(), "BREACHED_PASSWORDS") || !strings.Contains(err.Error(), "SHA-1") {
		t.Errorf("got %v", err)
	}
}
