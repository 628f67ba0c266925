package faults_test

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// SECRET_KEY is changed server by server. What was issued, hashed and sealed before works with the
// new key, at servers with either setting, which may start in between. Once the former key is
// dropped, it opens nothing.
func TestSecretKeyChanges(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, h *host) {
		s := h.serve()
		c := h.workload(s)
		before := c.person.family(t, c.call, c.web)
		former, latest := h.env["SECRET_KEY"], strings.Repeat("a7", 31)+"b1"

		both := h.serveOn(testkit.FreePort(t), map[string]string{"SECRET_KEY": latest, "SECRET_KEY_PREVIOUS": former})
		other := newCaller(t, both.url)
		works := func(call *caller) {
			t.Helper()
			if a := call.own(c.machine); a.status != http.StatusOK {
				t.Errorf("a client secret of before: %v", a)
			}
			a := call.refresh(c.web, before.Refresh)
			if a.status != http.StatusOK {
				t.Fatalf("a refresh token of before: %v", a)
			}
			before = a.tokens()
			if on, err := call.active(c.web, before.Access); err != nil || !on {
				t.Errorf("active is %v, %v", on, err)
			}
		}
		works(other)
		works(c.call)
		s.kill()
		h.serve() // with the former key alone, in the middle of it
		works(c.call)

		h.env["SECRET_KEY"] = latest // and no previous one
		s.kill()
		h.run(nil, "", "client", "list")
		alone := h.serveOn(testkit.FreePort(t), nil)
		works(newCaller(t, alone.url))

		third := exec.Command(testkit.Value(program()), "client", "list")
		third.Env, third.Dir = h.environment(map[string]string{"SECRET_KEY": strings.Repeat("c9", 31) + "d1"}), h.dir
		if out, err := third.CombinedOutput(); err == nil || !strings.Contains(string(out), "SECRET_KEY is not the one") {
			t.Errorf("a third key: %v, %s", err, out)
		}
	})
}
