package deploy_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

const haproxyFile = "postgresql/haproxy.cfg"

// backWithin is the promise: after Patroni has promoted a standby.
const backWithin = 5 * time.Second

// The file's numbers add up to less than the promise, with a second for a new connection of the
// pool and one for the wait between two tries.
func TestHAProxyFindsThePrimaryInTime(t *testing.T) {
	raw, err := os.ReadFile(haproxyFile)
	testkit.Must(t, err)
	file := string(raw)
	setting := func(pattern string) time.Duration {
		t.Helper()
		m := regexp.MustCompile(pattern).FindStringSubmatch(file)
		if m == nil {
			t.Fatalf("%s has no %s", haproxyFile, pattern)
		}
		d, err := time.ParseDuration(m[1])
		testkit.Must(t, err)
		return d
	}
	count := func(pattern string) time.Duration {
		t.Helper()
		n, err := strconv.Atoi(regexp.MustCompile(pattern).FindStringSubmatch(file)[1])
		testkit.Must(t, err)
		return time.Duration(n)
	}
	check := setting(`(?m)^\s*timeout check (\S+)`)
	inter, fast, down := setting(`default-server .* inter (\S+)`), setting(`default-server .* fastinter (\S+)`), setting(`default-server .* downinter (\S+)`)
	fall, rise := count(`default-server .* fall (\d+)`), count(`default-server .* rise (\d+)`)
	gone := inter + check + (fall-1)*(fast+check)
	found := down + check + (rise-1)*(fast+check)
	t.Logf("the former primary is left after %s, the new one found after %s", gone, found)
	if worst := max(gone, found) + setting(`(?m)^\s*timeout connect (\S+)`) + time.Second; worst > backWithin {
		t.Errorf("service is back after %s; want %s", worst, backWithin)
	}
	if !strings.Contains(file, "on-marked-down shutdown-sessions") || !strings.Contains(file, "GET uri /primary") {
		t.Error("sessions with a demoted primary do not end")
	}
}

// A node is a PostgreSQL machine, as HAProxy sees it: its port says its name, and Patroni's port
// says whether it is the primary.
type node struct {
	postgres net.Listener
	patroni  *httptest.Server
	primary  atomic.Bool
}

func newNode(t *testing.T, name string) *node {
	t.Helper()
	n := &node{}
	var err error
	n.postgres, err = net.Listen("tcp", "127.0.0.1:0")
	testkit.Must(t, err)
	t.Cleanup(func() { _ = n.postgres.Close() })
	go func() {
		for {
			c, err := n.postgres.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.WriteString(c, name); _, _ = io.Copy(io.Discard, c); _ = c.Close() }()
		}
	}()
	n.patroni = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/primary" || !n.primary.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(n.patroni.Close)
	return n
}

func (n *node) line(name string) string {
	_, port, _ := net.SplitHostPort(n.patroni.Listener.Addr().String())
	return "server " + name + " " + n.postgres.Addr().String() + " port " + port
}

// With the shipped file HAProxy leads to the primary. When that is demoted, sessions with it end,
// and new ones lead to the new primary.
func TestHAProxyFollowsThePrimary(t *testing.T) {
	bin := testkit.Need(t, "haproxy")
	one, two := newNode(t, "one"), newNode(t, "two")
	one.primary.Store(true)
	raw, err := os.ReadFile(haproxyFile)
	testkit.Must(t, err)
	at := "127.0.0.1:" + strconv.Itoa(testkit.FreePort(t))
	file := strings.ReplaceAll(string(raw), "127.0.0.1:5000", at)
	file = regexp.MustCompile(`(?m)^\s*server pg.*\n`).ReplaceAllString(file, "")
	file += "    " + one.line("pg1") + "\n    " + two.line("pg2") + "\n"
	file = strings.Replace(file, " check port 8008 ", " check ", 1)
	name := filepath.Join(t.TempDir(), "haproxy.cfg")
	testkit.Must(t, os.WriteFile(name, []byte(file), 0o600))
	cmd := exec.Command(bin, "-db", "-f", name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	testkit.Must(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()

	session := dialled(t, at, "one")
	defer session.Close()
	one.primary.Store(false)
	two.primary.Store(true)
	testkit.Must(t, session.SetReadDeadline(time.Now().Add(testkit.HangAfter)))
	if _, err := session.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("the session with the demoted primary: %v", err)
	}
	_ = dialled(t, at, "two").Close()
}

// dialled connects until the node of that name answers.
func dialled(t *testing.T, at, name string) (conn net.Conn) {
	t.Helper()
	testkit.Eventually(t, "HAProxy leads to "+name, func() bool {
		c, err := net.Dial("tcp", at)
		if err != nil {
			return false
		}
		b := make([]byte, len(name))
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := io.ReadFull(c, b); err != nil || string(b) != name {
			_ = c.Close()
			return false
		}
		conn = c
		return true
	})
	return conn
}
