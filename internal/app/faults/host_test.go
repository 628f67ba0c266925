// Package faults_test breaks the disk, the database, Redis or the server itself under load, and
// then checks everything that the server has acknowledged. It runs the real binary on real
// databases, and needs Debian's packages postgresql and redis-server.
package faults_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// EnvBinary is the environment variable with the path of a binary to test. If it is empty, the
// tests build one.
const EnvBinary = "GATEHOUSE_TEST_BINARY"

const password = "a Lantern for 7 gates"

// builds is the directory of the binary that the tests build. TestMain removes it.
var builds = filepath.Join(os.TempDir(), fmt.Sprintf("gatehouse-faults-%d", os.Getpid()))

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(builds)
	os.Exit(code)
}

// program returns the path of the binary under test. It builds the binary at most once.
var program = sync.OnceValues(func() (string, error) {
	if given := os.Getenv(EnvBinary); given != "" {
		return given, nil
	}
	out := filepath.Join(builds, "gatehouse")
	cmd := exec.Command("go", "build", "-o", out, "github.com/gatehouse-id/gatehouse/cmd/gatehouse")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the program cannot be built: %w\n%s", err, output)
	}
	return out, nil
})

// A host is one installation of Gatehouse: a database, settings, and any number of servers.
type host struct {
	t      testing.TB
	dir    string
	port   int
	issuer string
	env    map[string]string
	enter  []string // a command prefix that enters the namespace of the database
	binary string   // of another release, or "" for the one under test
}

// program returns the path of the binary that the host runs.
func (h *host) program() string {
	h.t.Helper()
	if h.binary != "" {
		return h.binary
	}
	bin, err := program()
	if err != nil {
		h.t.Fatal(err)
	}
	return bin
}

// onEngines runs a test on SQLite and on PostgreSQL.
func onEngines(t *testing.T, test func(t *testing.T, h *host)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		test(t, newHost(t, "sqlite:"+filepath.Join(dir, "gatehouse.db"), nil))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, newHost(t, testkit.StartPostgres(t), nil))
	})
}

// newHost returns an installation with a free port, which stays the same across restarts because it
// is part of the issuer identifier.
func newHost(t testing.TB, database string, settings map[string]string) *host {
	t.Helper()
	h := &host{t: t, dir: t.TempDir(), port: testkit.FreePort(t)}
	h.issuer = "http://127.0.0.1:" + strconv.Itoa(h.port)
	h.env = map[string]string{
		"DATABASE_URL": database, "BASE_URL": h.issuer, "HOST": "127.0.0.1", "SECRET_KEY": strings.Repeat("5e", 32), "JWT_ALGORITHM": "ES256",
		"LOG_FORMAT": "json", "RATE_LIMIT_TOKEN_MAX": "0", "RATE_LIMIT_LOGIN_MAX": "0", "RATE_LIMIT_DEVICE_MAX": "0",
		"RATE_LIMIT_INTROSPECT_MAX": "0", "RATE_LIMIT_REVOKE_MAX": "0", "RATE_LIMIT_USERINFO_MAX": "0",
		"REFRESH_TOKEN_REUSE_INTERVAL": "30", "DRAIN_DELAY": "0",
	}
	for k, v := range settings {
		h.env[k] = v
	}
	return h
}

// environment returns the settings, overridden by more, and the few variables that every program
// needs. It passes on nothing else from the test's own environment.
func (h *host) environment(more map[string]string) []string {
	out := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + h.dir, "TMPDIR=" + h.dir}
	for k, v := range h.env {
		if _, other := more[k]; !other {
			out = append(out, k+"="+v)
		}
	}
	for k, v := range more {
		out = append(out, k+"="+v)
	}
	return out
}

// run runs a command of the binary and decodes its JSON output into v, unless v is nil.
func (h *host) run(v any, stdin string, args ...string) {
	h.t.Helper()
	line := slices.Concat(h.enter, []string{h.program()}, args, []string{"--json"})
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdin = h.environment(nil), h.dir, strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		h.t.Fatalf("gatehouse %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	if v == nil {
		return
	}
	if err := json.Unmarshal(stdout.Bytes(), v); err != nil {
		h.t.Fatalf("gatehouse %s: %v in %s", strings.Join(args, " "), err, stdout.String())
	}
}

// user creates an account and returns its id.
func (h *host) user(email string) string {
	h.t.Helper()
	var out struct{ ID string }
	h.run(&out, password, "user", "create", "--email", email, "--password-stdin")
	return out.ID
}

// A client is a registered application.
type client struct{ id, secret string }

const redirect = "http://127.0.0.1/cb"

// client registers a client with the flags of "client create".
func (h *host) client(id string, flags ...string) client {
	h.t.Helper()
	var out struct {
		Secret string `json:"client_secret"`
	}
	h.run(&out, "", append([]string{"client", "create", "--id", id, "--name", id}, flags...)...)
	return client{id, out.Secret}
}

// web registers a confidential first-party client that users sign in to.
func (h *host) web() client {
	return h.client("web", "--grant", "code", "--grant", "refresh", "--redirect-uri", redirect, "--scope", "openid profile email offline_access", "--first-party")
}

// machine registers a client for the client credentials grant, with access tokens of a format.
func (h *host) machine(id, format string) client {
	return h.client(id, "--grant", "client_credentials", "--scope", "openid", "--token-format", format)
}

// A server is one running program.
type server struct {
	h    *host
	t    testing.TB
	url  string
	pid  int
	cmd  *exec.Cmd
	log  string
	dead chan struct{}
}

// serve starts a server on the host's port.
func (h *host) serve() *server { return h.serveOn(h.port, nil) }

// serveOn starts a server on a port with additional settings. If wrap is not empty, it is a command
// prefix that replaces itself with the server.
func (h *host) serveOn(port int, more map[string]string, wrap ...string) *server {
	h.t.Helper()
	s := &server{h: h, t: h.t, url: h.scheme() + "://127.0.0.1:" + strconv.Itoa(port), dead: make(chan struct{})}
	log, err := os.CreateTemp(h.dir, "server-*.log")
	if err != nil {
		h.t.Fatal(err)
	}
	defer log.Close()
	s.log = log.Name()
	args := append(wrap, h.program(), "serve", "--port", strconv.Itoa(port))
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.Env, s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = h.environment(more), h.dir, log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	s.pid = s.cmd.Process.Pid
	go func() { _ = s.cmd.Wait(); close(s.dead) }()
	h.t.Cleanup(s.check)
	h.t.Cleanup(s.stop)
	s.ready()
	return s
}

// scheme returns how the servers of the installation are asked.
func (h *host) scheme() string {
	if h.env["SSL_CERT"] != "" {
		return "https"
	}
	return "http"
}

// trusting returns a client that believes any certificate, and speaks one version of HTTP.
func trusting(second bool) *http.Client {
	p := new(http.Protocols)
	p.SetHTTP1(!second)
	p.SetHTTP2(second)
	return &http.Client{Transport: &http.Transport{Protocols: p, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
}

// ready waits until the server reports that it is healthy.
func (s *server) ready() {
	s.t.Helper()
	client := trusting(false)
	defer client.CloseIdleConnections()
	for end := time.Now().Add(testkit.HangAfter); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		select {
		case <-s.dead:
			s.t.Fatalf("the server ended\n%s", s.logTail())
		default:
		}
		if r, err := client.Get(s.url + "/healthz"); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return
			}
		}
	}
	s.t.Fatalf("the server does not answer\n%s", s.logTail())
}

// kill ends the server with SIGKILL, as a power cut would.
func (s *server) kill() { s.end(syscall.SIGKILL) }

// stop shuts the server down with SIGTERM.
func (s *server) stop() { s.end(syscall.SIGTERM) }

func (s *server) end(sig syscall.Signal) {
	select {
	case <-s.dead:
		return
	default:
	}
	_ = s.cmd.Process.Signal(sig)
	select {
	case <-s.dead:
	case <-time.After(testkit.HangAfter):
		s.t.Errorf("the server does not end on %s\n%s", sig, s.logTail())
		_ = s.cmd.Process.Kill()
		<-s.dead
	}
}

// logTail returns the last 6000 bytes of the server's log.
func (s *server) logTail() string {
	raw, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(raw[max(0, len(raw)-6000):])
}

// unexpectedLines matches log lines that no fault justifies. A request that cannot be served must
// get the status 503, not 500.
var unexpectedLines = regexp.MustCompile(`(?m)^.*(panic|"status":500|DATA RACE|fatal error).*$`)

func (s *server) check() {
	raw, err := os.ReadFile(s.log)
	if err != nil {
		s.t.Error(err)
		return
	}
	if found := unexpectedLines.FindAll(raw, 3); found != nil {
		s.t.Errorf("the server's log has\n%s", bytes.Join(found, []byte("\n")))
	}
	if s.t.Failed() {
		s.t.Logf("log of %s:\n%s", s.url, s.logTail())
	}
}

// eventually repeats try until it returns nil, and returns how long that took, for the log only. It
// fails the test after testkit.HangAfter.
func eventually(t testing.TB, what string, try func() error) time.Duration {
	t.Helper()
	start := time.Now()
	for {
		err := try()
		if err == nil {
			return time.Since(start)
		}
		if time.Since(start) > testkit.HangAfter {
			t.Fatalf("%s: not within %s: %v", what, testkit.HangAfter, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// want returns nil if ok is true, and otherwise the formatted error.
func want(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}
