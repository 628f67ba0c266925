package faults_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A fleet is three servers on one database behind a round-robin proxy.
type fleet struct {
	*host
	servers []*server
	each    []*caller // directly to each server
	any     *caller   // through the proxy
	web     client
	machine client
	device  client
}

// servedBy is the response header with the server's address, which lets a test prove that its
// requests reached different servers.
const servedBy = "X-Served-By"

// fleetLimit is the number of token requests that one address may send to all servers together.
const fleetLimit = 30

func newFleet(t *testing.T) *fleet {
	t.Helper()
	redis := testkit.StartRedis(t)
	f := &fleet{host: newHost(t, testkit.StartPostgres(t), sharedLimits(redis.URL(), fleetLimit))}
	var next atomic.Int64
	targets := make([]*url.URL, 3)
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(targets[next.Add(1)%3])
			r.SetXForwarded()
		},
		ModifyResponse: func(r *http.Response) error {
			r.Header.Set(servedBy, r.Request.URL.Host)
			return nil
		},
	})
	t.Cleanup(proxy.Close)
	f.issuer = proxy.URL
	f.env["BASE_URL"] = proxy.URL
	for i := range targets {
		s := f.serveOn(testkit.FreePort(t), nil)
		f.servers, f.each = append(f.servers, s), append(f.each, newCaller(t, s.url))
		targets[i], _ = url.Parse(s.url) // a valid URL of this test's own
	}
	f.any = newCaller(t, proxy.URL)
	f.user("ada@example.com")
	f.web, f.machine = f.host.web(), f.host.machine("machine", "jwt")
	f.device = f.client("tv", "--public", "--grant", "device", "--grant", "refresh", "--scope", "openid offline_access")
	return f
}

// everywhere waits until try succeeds on every server.
func (f *fleet) everywhere(what string, try func(c *caller) error) {
	f.t.Helper()
	start := time.Now()
	for _, c := range f.each {
		eventually(f.t, what, func() error { return try(c) })
	}
	f.t.Logf("%s: everywhere after %s", what, time.Since(start).Round(time.Millisecond))
}

// Three servers on one database behave as one server.
func TestInstances(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	started := time.Now()
	runs := make(chan map[string]int)
	watched := make(chan struct{})
	go func() { runs <- f.sweeps(watched) }()

	f.everywhere("a client made on the command line is known", func(c *caller) error {
		a := c.post("/oauth/device/code", f.device)
		return want(a.status != 401, "%v", a)
	})
	ada := f.signInWithTwoFactors(t)
	f.devicePolls(t, ada)
	f.rotation(t, ada)
	f.lockout(t)
	new(addresses).shared(t, fleetLimit, f.each...)
	f.administration(t, ada)

	// Each server has tried to sweep by then: the first try comes within ten seconds of the start.
	time.Sleep(time.Until(started.Add(14 * time.Second)))
	close(watched)
	if got := testkit.Receive(t, "a sweep", runs); len(got) != 1 {
		t.Errorf("the sweep ran under these leases: %v, want one", got)
	}
}

// sweeps watches the lease of the cleanup job until the channel is closed and there has been a
// lease, and returns how often it saw each lease.
func (f *fleet) sweeps(until <-chan struct{}) map[string]int {
	seen := map[string]int{}
	for {
		var holder string
		pgRow(f.t, f.env["DATABASE_URL"], "SELECT COALESCE(MAX(holder || ' until ' || until), '') FROM leases WHERE name = 'sweep'", &holder)
		if holder != "" {
			seen[holder]++
		}
		time.Sleep(100 * time.Millisecond)
		select {
		case <-until:
			if len(seen) > 0 {
				return seen
			}
		default:
		}
	}
}

// signInWithTwoFactors sets up an authenticator, and signs in with it through the proxy, so that
// the requests reach different servers.
func (f *fleet) signInWithTwoFactors(t *testing.T) *person {
	t.Helper()
	first := newPerson(t, f.issuer, "ada@example.com")
	first.signIn(t)
	shown := first.submit(first.open("/account/security"), "/account/security/totp/enable", "current_password", password)
	app := newAuthenticator(t, shown.body)
	waitForTimeStep()
	// Use the code of the previous step: each code works once, and the sign-in needs the present
	// one.
	if s := first.submit(shown, "/account/security/totp/confirm", "code", app.code(-1)); s.status != 200 || !strings.Contains(s.body, "backup") {
		t.Fatalf("confirming the authenticator: %v", s.answer)
	}

	ada := newPerson(t, f.issuer, "ada@example.com")
	var by []string
	note := func(s view) view {
		by = append(by, s.header.Get(servedBy))
		return s
	}
	page := note(ada.open(authorize))
	page = note(ada.submit(page, "/login", "username", ada.email, "password", password))
	if page.at == nil || page.at.Path != "/login/code" {
		t.Fatalf("after the password: %v at %v", page.answer, page.at)
	}
	code, err := codeIn(ada.submit(page, "/login/code", "code", app.code(0)))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(by)
	if len(slices.Compact(by)) < 2 {
		t.Errorf("the browser was served by one server alone: %v", by)
	}
	// Of many who come with the code to all servers at once one gets tokens.
	f.once(t, "a code", func(c *caller) answer { return c.redeem(f.web, code) })

	thief := newPerson(t, f.issuer, "ada@example.com")
	page = thief.submit(thief.open("/login"), "/login", "username", thief.email, "password", password)
	if s := thief.submit(page, "/login/code", "code", app.code(0)); s.status == 200 && s.at.Path == "/account" {
		t.Error("the code of an authenticator worked twice")
	}
	return ada
}

// once sends a request four times to each server at the same time. Exactly one must succeed.
func (f *fleet) once(t *testing.T, what string, do func(c *caller) answer) {
	t.Helper()
	var good atomic.Int64
	each(slices.Concat(f.each, f.each, f.each, f.each), func(c *caller) {
		switch a := do(c); {
		case a.status == 200:
			good.Add(1)
		case a.code() != "invalid_grant":
			t.Errorf("%s: %v", what, a)
		}
	})
	if n := good.Load(); n != 1 {
		t.Errorf("%s worked %d times", what, n)
	}
}

func (f *fleet) devicePolls(t *testing.T, ada *person) {
	t.Helper()
	ask := f.any.post("/oauth/device/code", f.device, "scope", "openid offline_access")
	code, shown := member(ask.body, "device_code"), member(ask.body, "user_code")
	poll := func(c *caller) answer { return c.poll(f.device, code) }
	for i, word := range []string{"authorization_pending", "slow_down", "slow_down"} {
		if a := poll(f.each[i]); a.code() != word {
			t.Errorf("poll %d, at another server: %v, want %s", i+1, a, word)
		}
	}
	ada.allow(t, shown)
	f.once(t, "an approved device code", poll)
}

func (f *fleet) rotation(t *testing.T, ada *person) {
	t.Helper()
	got := ada.family(t, f.any, f.web)
	old := got.Refresh
	for i := range 6 {
		a := f.each[i%3].refresh(f.web, got.Refresh)
		if a.status != 200 {
			t.Fatalf("rotation %d: %v", i+1, a)
		}
		got = a.tokens()
	}
	if a := f.each[1].refresh(f.web, old); a.code() != "invalid_grant" {
		t.Errorf("a replay at another server: %v", a)
	}
	for i, c := range f.each {
		if a := c.refresh(f.web, got.Refresh); a.code() != "invalid_grant" {
			t.Errorf("the family after the replay, at server %d: %v", i+1, a)
		}
	}
	f.everywhere("the family's access tokens are dead", func(c *caller) error {
		on, err := c.active(f.web, got.Access)
		if err != nil {
			return err
		}
		return want(!on, "active")
	})
}

func (f *fleet) lockout(t *testing.T) {
	t.Helper()
	f.user("bob@example.com")
	try := func(pass string) view {
		bob := newPerson(t, f.issuer, "bob@example.com")
		return bob.submit(bob.open("/login"), "/login", "username", bob.email, "password", pass)
	}
	for i := range 5 {
		if s := try("wrong Lantern 8"); s.status != 403 && (i < 4 || s.status != 429) {
			t.Fatalf("wrong password %d: %v", i+1, s.answer)
		}
	}
	for range 3 { // at every server
		if s := try(password); s.status != 429 || s.header.Get("Retry-After") == "" {
			t.Errorf("the right password on a locked account: %v", s.answer)
		}
	}
}

func (f *fleet) administration(t *testing.T, ada *person) {
	t.Helper()
	late := f.host.machine("late", "jwt")
	f.everywhere("a new client may get tokens", func(c *caller) error {
		a := c.own(late)
		return want(a.status == 200, "%v", a)
	})

	oldToken := f.any.own(f.machine).tokens().Access
	var rotated struct{ KID string }
	f.run(&rotated, "", "key", "rotate", "--now")
	f.everywhere("the new key is published and signs", func(c *caller) error {
		if a := c.get("/.well-known/jwks.json"); !strings.Contains(a.body, rotated.KID) {
			return fmt.Errorf("it is not in %s", a.body)
		}
		token := c.own(late).tokens().Access
		return want(keyOf(t, token) == rotated.KID, "%s signs", keyOf(t, token))
	})
	for i, c := range f.each {
		if on, err := c.active(f.machine, oldToken); err != nil || !on {
			t.Errorf("a token of the old key at server %d: active is %v, %v", i+1, on, err)
		}
	}

	got := ada.family(t, f.any, f.web)
	f.run(nil, "", "user", "disable", "ada@example.com")
	f.everywhere("a disabled user's tokens are dead", func(c *caller) error {
		on, err := c.active(f.web, got.Access)
		if err != nil {
			return err
		}
		return want(!on, "active")
	})
	for i, c := range f.each {
		if a := c.refresh(f.web, got.Refresh); a.code() != "invalid_grant" {
			t.Errorf("a disabled user's refresh token at server %d: %v", i+1, a)
		}
		if s := ada.open("/account"); s.at == nil || s.at.Path != "/login" {
			t.Errorf("a disabled user's browser: %v at %v", s.answer, s.at)
		}
	}

	f.run(nil, "", "client", "delete", "late", "--yes")
	f.everywhere("a deleted client gets nothing", func(c *caller) error {
		a := c.own(late)
		return want(a.status == 401, "%v", a)
	})
}
