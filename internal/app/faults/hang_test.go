package faults_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// hang stops every process of the database with SIGSTOP. Connections stay open and the kernel
// accepts new ones, but no request gets a response.
func (p *postgres) hang() { p.signal(syscall.SIGSTOP) }

// resume resumes all processes.
func (p *postgres) resume() { p.signal(syscall.SIGCONT) }

// signal sends a signal to the first process and then to its children. A stopped first process
// cannot start further children in between.
func (p *postgres) signal(sig syscall.Signal) {
	p.t.Helper()
	first := p.cmd.Process.Pid
	if err := syscall.Kill(first, sig); err != nil {
		p.t.Fatal(err)
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", first))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, field := range strings.Fields(string(children)) {
		if pid, err := strconv.Atoi(field); err == nil {
			_ = syscall.Kill(pid, sig) // it may have ended by itself
		}
	}
}

// PostgreSQL hangs, as with a dead disk. Requests that need it get the status 503 within the time
// limit, and requests that the caches can answer succeed. When PostgreSQL resumes, so does the
// server, without a restart.
func TestPostgresHangs(t *testing.T) {
	t.Parallel()
	p := newPostgres(t)
	h := newHost(t, p.url(), nil)
	s := h.serve()
	c := h.workload(s)
	own, users := c.call.own(c.machine).tokens().Access, c.person.family(t, c.call, c.web).Access
	jwts := func() {
		for _, known := range []issuedToken{{c.machine, own}, {c.web, users}} {
			must(t, "introspection of a JWT of "+known.by.id, func() error {
				on, err := c.call.active(known.by, known.token)
				return want(err == nil && on, "active is %v, %v", on, err)
			})
		}
	}
	jwts() // cached from now on
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { c.load(ctx); close(done) }()
	c.progress(t)

	mine := c.person.family(t, c.call, c.web).Refresh
	p.hang()
	t.Cleanup(p.resume)                // a stopped process does not end
	time.Sleep(100 * time.Millisecond) // responses in flight have arrived
	requests := map[string]func() error{
		"client credentials": func() error { return c.call.own(c.machine).unavailable() },
		"an opaque token":    func() error { return c.call.own(c.opaque).unavailable() },
		"refresh":            func() error { return c.call.refresh(c.web, mine).unavailable() },
		"revocation":         func() error { return c.call.revoke(c.machine, own).unavailable() },
		"the account's page": func() error { return c.person.open("/account").pageUnavailable() },
		"signing in": func() error {
			page := newPerson(t, s.url, "ada@example.com")
			return page.submit(page.open("/login"), "/login", "username", "ada@example.com", "password", password).pageUnavailable()
		},
		"health": func() error { a := c.call.get("/readyz"); return want(a.status == 503, "%v", a) },
	}
	var wg sync.WaitGroup
	for what, ask := range requests {
		wg.Go(func() { must(t, what, ask) })
	}
	answered := make(chan struct{})
	go func() { wg.Wait(); close(answered) }()
	for waiting := true; waiting; {
		select {
		case <-answered:
			waiting = false
		case <-time.After(200 * time.Millisecond):
		}
		jwts()
		must(t, "discovery", func() error {
			a := c.call.get("/.well-known/openid-configuration")
			return want(a.status == 200, "%v", a)
		})
	}

	p.resume()
	healed := eventually(t, "the server heals", func() error {
		a := c.call.own(c.opaque)
		return want(a.status == 200, "%v", a)
	})
	for range 3 * 16 { // every connection of the pool is used
		must(t, "client credentials afterwards", func() error {
			a := c.call.own(c.opaque)
			return want(a.status == 200, "%v", a)
		})
	}
	stop()
	<-done
	t.Logf("healed after %s; %d requests", healed.Round(time.Millisecond), c.requests.Load())
	c.verify(t)
	checkNotifications(t, h, s, c)
	c.exhaust(t)
}

// pageUnavailable returns an error unless the page has the status 503 and a Retry-After header.
func (s view) pageUnavailable() error {
	return want(s.err == nil && s.status == 503 && s.header.Get("Retry-After") != "" &&
		strings.Contains(s.body, "Try again") && !strings.Contains(s.body, "database") && strings.HasPrefix(s.header.Get("Content-Type"), "text/html"),
		"%v with %v, want a page with 503 and Retry-After", s.answer, s.header)
}

// must checks a response. The database hangs until all are there, so a response that waited for the
// database would be an error of the client, which has waited for testkit.HangAfter.
func must(t testing.TB, what string, ask func() error) {
	t.Helper()
	start := time.Now()
	if err := ask(); err != nil {
		t.Errorf("%s, after %s: %v", what, time.Since(start).Round(time.Millisecond), err)
	}
}
