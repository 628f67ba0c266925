package faults_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// postgres is a PostgreSQL server that a test can crash and start again. Unlike the one that other
// tests share, it is durable: what it has committed survives a crash.
type postgres struct {
	*testkit.Postgres
	t   testing.TB
	cmd *exec.Cmd
}

func newPostgres(t testing.TB) *postgres {
	t.Helper()
	dir, err := os.MkdirTemp("", "gatehouse-faults-postgres-") // only we may enter the parent of t.TempDir
	testkit.Must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	made, err := testkit.NewPostgres(dir)
	if errors.Is(err, testkit.ErrNoPostgres) {
		testkit.Missing(t, err.Error())
	}
	testkit.Must(t, err)
	return begin(t, made)
}

// begin starts a server, which ends with the test.
func begin(t testing.TB, made *testkit.Postgres) *postgres {
	t.Helper()
	p := &postgres{Postgres: made, t: t}
	t.Cleanup(p.crash)
	p.start()
	return p
}

// follower starts a standby of the server.
func (p *postgres) follower() *postgres {
	p.t.Helper()
	dir, err := os.MkdirTemp("", "gatehouse-faults-standby-")
	testkit.Must(p.t, err)
	p.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	made, err := p.Standby(dir)
	testkit.Must(p.t, err)
	return begin(p.t, made)
}

func (p *postgres) url() string { return p.URL("postgres") }

// start starts PostgreSQL, which recovers after a crash, and waits until it accepts connections.
func (p *postgres) start() {
	p.t.Helper()
	log, err := os.OpenFile(filepath.Join(p.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	testkit.Must(p.t, err)
	defer log.Close()
	p.cmd = p.Command("shared_buffers=32MB", "autovacuum=off")
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT
	testkit.Must(p.t, p.cmd.Start())
	ctx, cancel := context.WithTimeout(context.Background(), testkit.HangAfter)
	defer cancel()
	testkit.Must(p.t, p.Wait(ctx))
}

// crash shuts PostgreSQL down immediately, without finishing requests or writing to disk.
func (p *postgres) crash() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGQUIT)
	_ = p.cmd.Wait()
	p.cmd = nil
}

// PostgreSQL crashes under load and restarts. Meanwhile requests that need it get the status 503,
// and requests that the caches can answer succeed. Afterwards the server recovers without a
// restart.
func TestPostgresRestartsUnderLoad(t *testing.T) {
	t.Parallel()
	p := newPostgres(t)
	h := newHost(t, p.url(), nil)
	s := h.serve()
	c := h.workload(s)
	own, users := c.call.own(c.machine).tokens().Access, c.person.family(t, c.call, c.web).Access
	for _, known := range []issuedToken{{c.machine, own}, {c.web, users}} { // seen before
		if on, err := c.call.active(known.by, known.token); err != nil || !on {
			t.Fatalf("active is %v, %v", on, err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { c.load(ctx); close(done) }()
	c.progress(t)
	p.crash()
	time.Sleep(1500 * time.Millisecond) // longer than the cache of users keeps an entry
	c.checkWithoutDatabase(t, own, users)
	p.start()
	healed := eventually(t, "the server heals", func() error {
		a := c.call.own(c.opaque)
		return want(a.status == 200, "%v", a)
	})
	time.Sleep(300 * time.Millisecond)
	stop()
	<-done
	t.Logf("healed after %s; %d requests", healed.Round(time.Millisecond), c.requests.Load())
	c.verify(t)
	checkNotifications(t, h, s, c)
	c.exhaust(t)
}

// checkWithoutDatabase checks the responses of a server without its database.
func (c *workload) checkWithoutDatabase(t *testing.T, own, users string) {
	t.Helper()
	for what, a := range map[string]answer{
		"client credentials": c.call.own(c.machine),
		"refresh":            c.call.refresh(c.web, c.chains[0].last),
		"revocation":         c.call.revoke(c.machine, own),
	} {
		if err := a.unavailable(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	fresh := newPerson(t, c.call.base, "ada@example.com")
	page := fresh.submit(fresh.open("/login"), "/login", "username", "ada@example.com", "password", password)
	if page.err != nil || page.status != 503 || page.header.Get("Retry-After") == "" || !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") {
		t.Errorf("signing in: %v with %v, want a page with 503 and Retry-After", page.answer, page.header)
	}
	for path, status := range map[string]int{"/.well-known/openid-configuration": 200, "/.well-known/jwks.json": 200, "/healthz": 200, "/readyz": 503} {
		if a := c.call.get(path); a.status != status {
			t.Errorf("%s: %v, want %d", path, a, status)
		}
	}
	for who, known := range map[string]issuedToken{"a machine's": {c.machine, own}, "a user's": {c.web, users}} {
		if on, err := c.call.active(known.by, known.token); err != nil || !on {
			t.Errorf("introspection of %s JWT: active is %v, %v", who, on, err)
		}
	}
}

// checkNotifications checks that notifications carry revocations from another server, which is
// faster than polling.
func checkNotifications(t *testing.T, h *host, s *server, c *workload) {
	t.Helper()
	other := h.serveOn(testkit.FreePort(t), nil)
	there := newCaller(t, other.url)
	var took time.Duration
	for range 50 { // on a busy machine most may be late, but not all
		token := c.call.own(c.machine).tokens().Access
		if a := there.revoke(c.machine, token); a.status != 200 {
			t.Fatalf("revocation: %v", a)
		}
		took = eventually(t, "the revocation is heard of", func() error {
			on, err := c.call.active(c.machine, token)
			if err != nil {
				return err
			}
			return want(!on, "the token is active")
		})
		if took < 300*time.Millisecond {
			return
		}
	}
	t.Errorf("no revocation by another server was heard of by notice; the last one after %s", took)
}

// pgRow queries one row of the database directly.
func pgRow(t testing.TB, url, text string, dest ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testkit.HangAfter)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, text).Scan(dest...); err != nil {
		t.Fatal(err)
	}
}

// The server is killed during changes that it has not acknowledged. Repeating each request must
// succeed.
func TestNothingHalfDone(t *testing.T) {
	t.Parallel()
	h := newHost(t, testkit.StartPostgres(t), nil)
	s := h.serve()
	h.user("ada@example.com")
	web, tv := h.web(), h.client("tv", "--public", "--grant", "device", "--grant", "refresh", "--scope", "openid offline_access")
	call, ada := newCaller(t, s.url), newPerson(t, s.url, "ada@example.com")
	ada.signIn(t)
	refresh := ada.family(t, call, web).Refresh
	code, err := ada.approve()
	if err != nil {
		t.Fatal(err)
	}
	device := ada.connect(t, call, tv)
	requests := map[string]func() answer{
		"a refresh token": func() answer { return call.refresh(web, refresh) },
		"a code":          func() answer { return call.redeem(web, code) },
		"a device code":   func() answer { return call.poll(tv, device) },
	}

	// A lock on the audit log blocks every change before its commit.
	ctx, cancel := context.WithTimeout(context.Background(), testkit.HangAfter)
	defer cancel()
	conn, err := pgx.Connect(ctx, h.env["DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "BEGIN; LOCK TABLE audit_log IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	answers := make(chan answer, len(requests))
	for _, do := range requests {
		go func() { answers <- do() }()
	}
	time.Sleep(500 * time.Millisecond)
	s.kill()
	for range requests {
		if a := <-answers; a.err == nil {
			t.Errorf("an answer, though nothing could be recorded: %v", a)
		}
	}
	if err := conn.Close(ctx); err != nil {
		t.Fatal(err)
	}
	h.serve()
	for what, do := range requests {
		if a := do(); a.status != 200 {
			t.Errorf("%s after the crash: %v", what, a)
		}
	}
}
