// Package faults_test breaks what a server stands on while it works, and looks at what it has promised: the real
// binary, real databases, nothing pretended. It needs Debian's postgresql and redis-server.
package faults_test

import (
	"bytes"
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

// EnvBinary names the variable with the path of the program to test, when somebody has built it already.
const EnvBinary = "GATEHOUSE_TEST_BINARY"

const password = "a Lantern for 7 gates"

// builds is where the program has been built, to be removed at the end.
var builds = filepath.Join(os.TempDir(), fmt.Sprintf("gatehouse-faults-%d", os.Getpid()))

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(builds)
	os.Exit(code)
}

// program is the path of the program under test, built once if need be.
var program = sync.OnceValues(func() (string, error) {
	if given := os.Getenv(EnvBinary); given != "" {
		return given, nil
	}
	out := filepath.Join(builds, "gatehouse")
	cmd := exec.Command("go", "build", "-o", out, "github.com/gatehouse-id/gatehouse/cmd/gatehouse")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the program cannot be built: %w\n%s", err, said)
	}
	return out, nil
})

// A house is one installation: a database, settings, and any number of servers on it.
type house struct {
	t      testing.TB
	dir    string
	port   int
	issuer string
	env    map[string]string
	enter  []string // a program that brings a command to where the database is
}

// onEngines runs a story on both engines.
func onEngines(t *testing.T, story func(t *testing.T, h *house)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		story(t, newHouse(t, "sqlite:"+filepath.Join(dir, "gatehouse.db"), nil))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		story(t, newHouse(t, testkit.StartPostgres(t), nil))
	})
}

// newHouse chooses a port that stays the same over restarts: it is part of the issuer's name.
func newHouse(t testing.TB, database string, settings map[string]string) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), port: testkit.FreePort(t)}
	h.issuer = "http://127.0.0.1:" + strconv.Itoa(h.port)
	h.env = map[string]string{
		"DATABASE_URL": database, "BASE_URL": h.issuer, "HOST": "127.0.0.1", "SECRET_KEY": strings.Repeat("5e", 32), "JWT_ALGORITHM": "ES256",
		"LOG_FORMAT": "json", "RATE_LIMIT_TOKEN_MAX": "0", "RATE_LIMIT_LOGIN_MAX": "0", "RATE_LIMIT_DEVICE_MAX": "0",
		"REFRESH_TOKEN_REUSE_INTERVAL": "30",
	}
	for k, v := range settings {
		h.env[k] = v
	}
	return h
}

// environment holds the settings and only what any program needs of ours.
func (h *house) environment(more map[string]string) []string {
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

// run runs a command on the database and reads its JSON into v, which may be nil.
func (h *house) run(v any, stdin string, args ...string) {
	h.t.Helper()
	bin, err := program()
	if err != nil {
		h.t.Fatal(err)
	}
	line := slices.Concat(h.enter, []string{bin}, args, []string{"--json"})
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

// user makes an account and gives its id.
func (h *house) user(email string) string {
	h.t.Helper()
	var out struct{ ID string }
	h.run(&out, password, "user", "create", "--email", email, "--password-stdin")
	return out.ID
}

// A client is a registered application.
type client struct{ id, secret string }

const redirect = "http://127.0.0.1/cb"

// client registers an application; the flags say what it may.
func (h *house) client(id string, flags ...string) client {
	h.t.Helper()
	var out struct {
		Secret string `json:"client_secret"`
	}
	h.run(&out, "", append([]string{"client", "create", "--id", id, "--name", id}, flags...)...)
	return client{id, out.Secret}
}

// web is an application of the house's own that people sign in to; machine acts for itself, with JWTs or opaque tokens.
func (h *house) web() client {
	return h.client("web", "--grant", "code", "--grant", "refresh", "--redirect-uri", redirect, "--scope", "openid profile email offline_access", "--first-party")
}

func (h *house) machine(id, format string) client {
	return h.client(id, "--grant", "client_credentials", "--scope", "openid", "--token-format", format)
}

// A server is one running program.
type server struct {
	h    *house
	t    testing.TB
	url  string
	pid  int
	cmd  *exec.Cmd
	log  string
	dead chan struct{}
}

// serve starts a server on the house's own port.
func (h *house) serve() *server { return h.serveOn(h.port, nil) }

// serveOn starts a server. Wrap, if any, is a program that becomes the server.
func (h *house) serveOn(port int, more map[string]string, wrap ...string) *server {
	h.t.Helper()
	bin, err := program()
	if err != nil {
		h.t.Fatal(err)
	}
	s := &server{h: h, t: h.t, url: "http://127.0.0.1:" + strconv.Itoa(port), dead: make(chan struct{})}
	log, err := os.CreateTemp(h.dir, "server-*.log")
	if err != nil {
		h.t.Fatal(err)
	}
	defer log.Close()
	s.log = log.Name()
	args := append(wrap, bin, "serve", "--port", strconv.Itoa(port))
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

func (s *server) ready() {
	s.t.Helper()
	for end := time.Now().Add(testkit.HangAfter); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		select {
		case <-s.dead:
			s.t.Fatalf("the server ended\n%s", s.said())
		default:
		}
		if r, err := http.Get(s.url + "/healthz"); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return
			}
		}
	}
	s.t.Fatalf("the server does not answer\n%s", s.said())
}

// kill ends the server as a power cut would end it.
func (s *server) kill() { s.end(syscall.SIGKILL) }

// stop asks the server to end.
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
		s.t.Errorf("the server does not end on %s\n%s", sig, s.said())
		_ = s.cmd.Process.Kill()
		<-s.dead
	}
}

// said is the end of the server's log.
func (s *server) said() string {
	raw, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(raw[max(0, len(raw)-6000):])
}

// trouble are the lines that no fault excuses: what a server cannot do now it answers with 503.
var trouble = regexp.MustCompile(`(?m)^.*(panic|"status":500|DATA RACE|fatal error).*$`)

func (s *server) check() {
	raw, err := os.ReadFile(s.log)
	if err != nil {
		s.t.Error(err)
		return
	}
	if found := trouble.FindAll(raw, 3); found != nil {
		s.t.Errorf("the server's log has\n%s", bytes.Join(found, []byte("\n")))
	}
	if s.t.Failed() {
		s.t.Logf("log of %s:\n%s", s.url, s.said())
	}
}

// eventually tries until something holds, and returns how long that took, for the log: how fast the
// machine is decides over no test.
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

func want(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}
