package faults_test

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A server that starts while the database is away lives, says that it waits, and serves once the
// database is there. One that starts while it cannot be written serves what only reads.
func TestStartWithoutDatabase(t *testing.T) {
	t.Parallel()
	p := newPostgres(t)
	h := newHost(t, p.url(), nil)
	machine := h.machine("machine", "jwt")
	p.crash()
	s := h.serve() // waits for /healthz
	call := newCaller(t, s.url)
	if a := call.get("/livez"); a.status != http.StatusOK || !strings.Contains(a.body, `"unavailable":["database"]`) {
		t.Errorf("liveness: %v", a)
	}
	if a := call.get("/readyz"); a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, "waits") {
		t.Errorf("readiness: %v", a)
	}
	if a := call.own(machine); a.status != http.StatusServiceUnavailable {
		t.Errorf("a token request: %v", a)
	}
	p.start()
	eventually(t, "it serves", func() error {
		a := newCaller(t, s.url).own(machine)
		return want(a.status == http.StatusOK, "%v", a)
	})
	s.stop()
	testkit.Equal(t, "the exit status", s.cmd.ProcessState.ExitCode(), 0)

	execute(t, p.url(), "ALTER SYSTEM SET default_transaction_read_only = on")
	execute(t, p.url(), "SELECT pg_reload_conf()")
	s = h.serve()
	eventually(t, "a server starts on a database that cannot be written", func() error {
		a := newCaller(t, s.url).get("/oauth/jwks")
		if a.status == http.StatusNotFound {
			a = newCaller(t, s.url).get("/.well-known/jwks.json")
		}
		return want(a.status == http.StatusOK, "%v", a)
	})
	execute(t, p.url(), "ALTER SYSTEM RESET default_transaction_read_only")
	execute(t, p.url(), "SELECT pg_reload_conf()")
	eventually(t, "it heals without a restart", func() error {
		a := newCaller(t, s.url).own(machine)
		return want(a.status == http.StatusOK, "%v", a)
	})
}

// What does not pass by itself ends the start at once.
func TestStartWithWrongDatabase(t *testing.T) {
	t.Parallel()
	p := newPostgres(t)
	h := newHost(t, p.URL("nowhere"), nil)
	bin, err := program()
	testkit.Must(t, err)
	cmd := exec.Command(bin, "serve")
	cmd.Env, cmd.Dir = h.environment(nil), h.dir
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "nowhere") {
		t.Errorf("%v: %s", err, out)
	}
}
