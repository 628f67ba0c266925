package faults_test

import (
	"context"
	"database/sql"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A journal holds everything that a server has acknowledged with 200 and must honor afterwards.
type journal struct {
	mu         sync.Mutex
	live       []issuedToken // active access tokens
	dead       []issuedToken // access tokens whose revocation was acknowledged
	ended      []string      // refresh tokens whose revocation was acknowledged
	consumed   []string      // codes that were exchanged for tokens
	uncertain  []string      // codes whose redemption got no response
	chains     []*chain
	unexpected []string // responses that no fault justifies
	requests   atomic.Int64
}

type issuedToken struct {
	by    client
	token string
}

// A chain is a family of refresh tokens, as its client knows it.
type chain struct {
	used []string // acknowledged and rotated, oldest first
	last string   // acknowledged
	busy bool     // last was sent without a response
}

// note runs f with the lock held.
func (j *journal) note(f func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f()
}

// retryable reports whether a failed request may be repeated. It records responses other than
// temporarily_unavailable.
func (j *journal) retryable(what string, a answer) (again bool) {
	if a.err != nil || a.unavailable() == nil {
		return true
	}
	j.note(func() { j.unexpected = append(j.unexpected, fmt.Sprintf("%s: %v", what, a)) })
	return false
}

// A workload puts a server under load with 16 connections.
type workload struct {
	*journal
	call                 *caller
	person               *person
	web, machine, opaque client
}

// workload creates the user, the clients and six families of refresh tokens.
func (h *host) workload(s *server) *workload {
	h.t.Helper()
	h.user("ada@example.com")
	c := &workload{
		journal: &journal{}, call: newCaller(h.t, s.url), person: newPerson(h.t, s.url, "ada@example.com"),
		web: h.web(), machine: h.machine("machine", "jwt"), opaque: h.machine("opaque", "opaque"),
	}
	eventually(h.t, "the clients are known", func() error {
		a := c.call.own(c.opaque)
		return want(a.status == 200, "%v", a)
	})
	c.person.signIn(h.t)
	for range 6 {
		c.chains = append(c.chains, &chain{last: c.person.family(h.t, c.call, c.web).Refresh})
	}
	return c
}

// load sends requests until ctx ends. A worker waits 20 ms after a failure and tries again.
func (c *workload) load(ctx context.Context) {
	var wg sync.WaitGroup
	work := func(n int, do func(i int) bool) {
		for w := range n {
			wg.Go(func() {
				for i := w; ctx.Err() == nil; i += n {
					c.requests.Add(1)
					if !do(i) {
						time.Sleep(20 * time.Millisecond)
					}
				}
			})
		}
	}
	for _, ch := range c.chains {
		work(1, func(int) bool { return c.rotate(ch) })
	}
	work(4, func(int) bool { return c.redeemOne() })
	work(3, c.ownOne)
	work(3, c.revokeOne)
	wg.Wait()
}

// progress waits until the load has got at least eight more tokens, revocations and codes.
func (c *workload) progress(t testing.TB) {
	t.Helper()
	counts := func() [3]int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return [3]int{len(c.live), len(c.dead), len(c.consumed)}
	}
	before := counts()
	eventually(t, "the load makes progress", func() error {
		now := counts()
		for i := range now {
			if now[i] < before[i]+8 {
				return fmt.Errorf("tokens, revocations and codes: %v after %v", now, before)
			}
		}
		return nil
	})
}

// rotate rotates the last refresh token of a family.
func (c *workload) rotate(ch *chain) bool {
	c.note(func() { ch.busy = true })
	a := c.call.refresh(c.web, ch.last)
	if a.status != 200 || a.err != nil {
		return !c.retryable("refresh", a)
	}
	c.note(func() {
		ch.used, ch.last, ch.busy = append(ch.used, ch.last), a.tokens().Refresh, false
		c.live = append(c.live, issuedToken{c.web, a.tokens().Access})
	})
	return true
}

// redeemOne requests an authorization code and exchanges it.
func (c *workload) redeemOne() bool {
	code, err := c.person.approve()
	if err != nil {
		if !strings.Contains(err.Error(), "503") && !strings.Contains(err.Error(), c.call.base) {
			c.note(func() { c.unexpected = append(c.unexpected, err.Error()) })
		}
		return false
	}
	a := c.call.redeem(c.web, code)
	if a.status != 200 || a.err != nil {
		c.note(func() { c.uncertain = append(c.uncertain, code) })
		return !c.retryable("code", a)
	}
	c.note(func() {
		c.consumed = append(c.consumed, code)
		c.live = append(c.live, issuedToken{c.web, a.tokens().Access})
	})
	return true
}

// ownOne requests a token with the client credentials grant.
func (c *workload) ownOne(i int) bool {
	by := c.machine
	if i%2 == 1 {
		by = c.opaque
	}
	a := c.call.own(by)
	if a.status != 200 || a.err != nil {
		return !c.retryable("client credentials", a)
	}
	c.note(func() { c.live = append(c.live, issuedToken{by, a.tokens().Access}) })
	return true
}

// revokeOne obtains and revokes a JWT, an opaque token or a family of refresh tokens.
func (c *workload) revokeOne(i int) bool {
	by := c.machine
	switch i % 3 {
	case 1:
		by = c.opaque
	case 2:
		by = c.web
	}
	var a answer
	if by == c.web {
		code, err := c.person.approve()
		if err != nil {
			return false
		}
		a = c.call.redeem(by, code)
	} else {
		a = c.call.own(by)
	}
	if a.status != 200 || a.err != nil {
		return !c.retryable("a token to revoke", a)
	}
	got, token := a.tokens(), a.tokens().Access
	if by == c.web {
		token = got.Refresh
	}
	if a = c.call.revoke(by, token); a.status != 200 || a.err != nil {
		return !c.retryable("revocation", a)
	}
	c.note(func() {
		c.dead = append(c.dead, issuedToken{by, got.Access})
		if by == c.web {
			c.ended = append(c.ended, got.Refresh)
		}
	})
	return true
}

// each calls do for all items in 16 goroutines.
func each[T any](all []T, do func(T)) {
	var wg sync.WaitGroup
	next := atomic.Int64{}
	for range 16 {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(all)); i = next.Add(1) - 1 {
				do(all[i])
			}
		})
	}
	wg.Wait()
}

// verify checks that everything acknowledged still holds, without consuming any code or token.
func (c *workload) verify(t *testing.T) {
	t.Helper()
	for _, r := range c.unexpected[:min(3, len(c.unexpected))] {
		t.Errorf("one of %d answers that no fault excuses: %s", len(c.unexpected), r)
	}
	look := func(what string, all []issuedToken, as bool) {
		var wrong atomic.Int64
		each(all, func(p issuedToken) {
			if on, err := c.call.active(p.by, p.token); err != nil || on != as {
				if wrong.Add(1) == 1 {
					t.Errorf("a token of %s that was %s: active is %v, %v", p.by.id, what, on, err)
				}
			}
		})
		if n := wrong.Load(); n > 0 {
			t.Errorf("%d of %d tokens that were %s", n, len(all), what)
		}
	}
	look("acknowledged", c.live, true)
	look("revoked", c.dead, false)
	for _, ch := range c.chains {
		if on, err := c.call.active(c.web, ch.last); err != nil || (!on && !ch.busy) {
			t.Errorf("the last acknowledged refresh token of a chain: active is %v, %v", on, err)
		}
	}
}

// exhaust consumes every single-use token and code, and checks that none of them works again.
func (c *workload) exhaust(t *testing.T) {
	t.Helper()
	for _, ch := range c.chains {
		c.checkReplay(t, ch)
	}
	each(c.ended, func(token string) {
		if a := c.call.refresh(c.web, token); a.status != 400 || a.code() != "invalid_grant" {
			t.Errorf("a revoked refresh token: %v", a)
		}
	})
	each(c.consumed, func(code string) {
		if a := c.call.redeem(c.web, code); a.status != 400 || a.code() != "invalid_grant" {
			t.Errorf("a code for the second time: %v", a)
		}
	})
	each(c.uncertain, func(code string) { // it may work once more at most
		first, second := c.call.redeem(c.web, code), c.call.redeem(c.web, code)
		if (first.status != 200 && first.code() != "invalid_grant") || second.code() != "invalid_grant" {
			t.Errorf("a code whose answer was lost: %v, then %v", first, second)
		}
	})
}

// checkReplay repeats the last refresh of a family, as a client does after a lost response, and
// then replays the old token, as a thief would.
func (c *workload) checkReplay(t *testing.T, ch *chain) {
	t.Helper()
	first, again := c.call.refresh(c.web, ch.last), c.call.refresh(c.web, ch.last)
	next := first.tokens().Refresh
	if first.status != 200 || again.status != 200 || next == "" || again.tokens().Refresh != next {
		t.Errorf("the last refresh token, twice: %v, then %v: want the same successor", first, again)
		return
	}
	a := c.call.refresh(c.web, next)
	if a.status != 200 {
		t.Errorf("the successor: %v", a)
	}
	if r := c.call.refresh(c.web, ch.last); r.code() != "invalid_grant" {
		t.Errorf("a refresh token whose successor has been used: %v", r)
	}
	if r := c.call.refresh(c.web, a.tokens().Refresh); r.code() != "invalid_grant" {
		t.Errorf("the family after a replay: %v", r)
	}
	if on, err := c.call.active(c.web, a.tokens().Access); err != nil || on {
		t.Errorf("an access token of the family after a replay: active is %v, %v", on, err)
	}
}

// A server is killed under load several times. Everything that it has acknowledged must hold.
func TestKilledUnderLoad(t *testing.T) {
	onEngines(t, func(t *testing.T, h *host) {
		s := h.serve()
		c := h.workload(s)
		for range 3 {
			ctx, stop := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() { c.load(ctx); close(done) }()
			c.progress(t)
			s.kill()
			stop()
			<-done
			s = h.serve()
			c.verify(t)
		}
		c.exhaust(t)
		if path, ok := strings.CutPrefix(h.env["DATABASE_URL"], "sqlite:"); ok {
			integrity(t, path)
		}
		t.Logf("%d requests: %d live tokens, %d revoked, %d codes, %d codes in doubt", c.requests.Load(), len(c.live), len(c.dead), len(c.consumed), len(c.uncertain))
	})
}

// integrity runs SQLite's integrity check on a database file.
func integrity(t testing.TB, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var output string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&output); err != nil || output != "ok" {
		t.Errorf("integrity_check: %s, %v", output, err)
	}
}

// Many processes open an empty database at once. One creates the key and the tables, and all of
// them must succeed.
func TestFirstStartOfMany(t *testing.T) {
	t.Parallel()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	sqlite := newHost(t, "sqlite:"+filepath.Join(t.TempDir(), "data", "gatehouse.db"), nil)
	delete(sqlite.env, "SECRET_KEY") // created, and stored beside the database
	for _, h := range []*host{sqlite, newHost(t, testkit.StartPostgres(t), nil)} {
		each(make([]struct{}, 8), func(struct{}) {
			cmd := exec.Command(bin, "client", "list", "--json")
			cmd.Env, cmd.Dir = h.environment(nil), h.dir
			if output, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, output)
			}
		})
	}
}
