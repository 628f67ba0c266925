package faults_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A server that gets SIGTERM answers all requests for a while, but says that it is not ready.
func TestDrain(t *testing.T) {
	t.Parallel()
	h := newHost(t, "sqlite:"+filepath.Join(t.TempDir(), "gatehouse.db"), map[string]string{"DRAIN_DELAY": "3"})
	machine := h.machine("machine", "jwt")
	s := h.serve()
	call := newCaller(t, s.url)
	if a := call.get("/readyz"); a.status != http.StatusOK {
		t.Fatalf("before: %v", a)
	}
	testkit.Must(t, s.cmd.Process.Signal(syscall.SIGTERM))
	eventually(t, "the server is not ready", func() error {
		a := call.get("/readyz")
		return want(a.status == http.StatusServiceUnavailable && strings.Contains(a.body, "shutting down"), "%v", a)
	})
	fresh := newCaller(t, s.url) // a new connection
	if a := fresh.own(machine); a.status != http.StatusOK {
		t.Errorf("a request while draining: %v", a)
	}
	if a := fresh.get("/livez"); a.status != http.StatusOK {
		t.Errorf("liveness while draining: %v", a)
	}
	testkit.Receive(t, "the end of the server", s.dead)
	testkit.Equal(t, "the exit status", s.cmd.ProcessState.ExitCode(), 0)
}

// A person at the keyboard does not wait, and neither does whoever sends a second signal.
func TestDrainIsSkipped(t *testing.T) {
	t.Parallel()
	h := newHost(t, "sqlite:"+filepath.Join(t.TempDir(), "gatehouse.db"), map[string]string{"DRAIN_DELAY": "10m"})
	s := h.serve()
	s.end(syscall.SIGINT)
	testkit.Equal(t, "the exit status after an interrupt", s.cmd.ProcessState.ExitCode(), 0)

	s = h.serve()
	testkit.Must(t, s.cmd.Process.Signal(syscall.SIGTERM))
	eventually(t, "the server is not ready", func() error {
		a := newCaller(t, s.url).get("/readyz")
		return want(a.status == http.StatusServiceUnavailable, "%v", a)
	})
	s.end(syscall.SIGTERM)
	if status := s.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGTERM {
		t.Errorf("after the second signal: %v", s.cmd.ProcessState)
	}
}
