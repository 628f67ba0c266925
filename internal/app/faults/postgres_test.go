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
	p := &postgres{Postgres: made, t: t}
	t.Cleanup(p.crash)
	p.start()
	return p
}

func (p *postgres) url() string { return p.URL("postgres") }

// start starts it, after a crash with recovery, and waits until it serves.
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

// crash is an immediate shutdown: no answers are finished, nothing is written any more.
func (p *postgres) crash() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGQUIT)
	_ = p.cmd.Wait()
	p.cmd = nil
}

// PostgreSQL goes away under load and comes back. While it is away the server says so, and answers what it can answer from memory;
// when it is back, everything goes on without anybody's help.
func TestPostgresRestartsUnderLoad(t *testing.T) {
	t.Parallel()
	p := newPostgres(t)
	h := newHouse(t, p.url(), nil)
	s := h.serve()
	c := h.crew(s)
	own, users := c.call.own(c.machine).tokens().Access, c.person.family(t, c.call, c.web).Access
	for _, known := range []promise{{c.machine, own}, {c.web, users}} { // seen before
		if on, err := c.call.active(known.by, known.token); err != nil || !on {
			t.Fatalf("active is %v, %v", on, err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { c.load(ctx); close(done) }()
	c.progress(t)
	p.crash()
	time.Sleep(1500 * time.Millisecond) // longer than anything about users is remembered
	c.whileAway(t, own, users)
	p.start()
	healed := eventually(t, "the server heals", func() error {
		a := c.call.own(c.opaque)
		return want(a.status == 200, "%v", a)
	})
	time.Sleep(300 * time.Millisecond)
	stop()
	<-done
	t.Logf("healed after %s; %d requests", healed.Round(time.Millisecond), c.asked.Load())
	c.verify(t)
	follows(t, h, s, c)
	c.exhaust(t)
}

// whileAway looks at what a server answers that has lost its database.
func (c *crew) whileAway(t *testing.T, own, users string) {
	t.Helper()
	for what, a := range map[string]answer{
		"client credentials": c.call.own(c.machine),
		"refresh":            c.call.refresh(c.web, c.chains[0].last),
		"revocation":         c.call.revoke(c.machine, own),
	} {
		if err := a.away(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	fresh := newPerson(t, c.call.base, "ada@example.com")
	page := fresh.submit(fresh.open("/login"), "/login", "username", "ada@example.com", "password", password)
	if page.err != nil || page.status != 503 || page.header.Get("Retry-After") == "" || !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") {
		t.Errorf("signing in: %v with %v, want a page with 503 and Retry-After", page.answer, page.header)
	}
	for path, status := range map[string]int{"/.well-known/openid-configuration": 200, "/.well-known/jwks.json": 200, "/healthz": 503} {
		if a := c.call.get(path); a.status != status {
			t.Errorf("%s: %v, want %d", path, a, status)
		}
	}
	for who, known := range map[string]promise{"a machine's": {c.machine, own}, "a user's": {c.web, users}} {
		if on, err := c.call.active(known.by, known.token); err != nil || !on {
			t.Errorf("introspection of %s JWT: active is %v, %v", who, on, err)
		}
	}
}

// follows looks whether the server hears of revocations by another one: by notice, and so faster than by polling.
func follows(t *testing.T, h *house, s *server, c *crew) {
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

// pgRow asks a database directly.
func pgRow(t testing.TB, url, text string, dest ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
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

// The server dies in the middle of changes. Nothing of them was acknowledged, so everything is as it was, or as a repeat finds it done.
func TestNothingHalfDone(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testkit.StartPostgres(t), nil)
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

	// Whoever holds the audit log stops every change before its end.
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
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
