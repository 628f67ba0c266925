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

// kept is what a server has answered 200 to: promises.
type kept struct {
	mu      sync.Mutex
	live    []promise // access tokens that work
	dead    []promise // access tokens whose revocation was acknowledged
	ended   []string  // refresh tokens whose revocation was acknowledged
	spent   []string  // codes that gave tokens
	doubt   []string  // codes whose redemption was not answered
	chains  []*chain
	refused []string // answers that no fault excuses
	asked   atomic.Int64
}

type promise struct {
	by    client
	token string
}

// chain is a family of refresh tokens, as its client knows it.
type chain struct {
	used []string // acknowledged and turned, oldest first
	last string   // acknowledged
	busy bool     // last was sent and nothing came back
}

func (k *kept) note(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
}

// refuse keeps an answer that is neither tokens nor «not now». It reports whether the request may be repeated.
func (k *kept) refuse(what string, a answer) (again bool) {
	if a.err != nil || a.away() == nil {
		return true
	}
	k.note(func() { k.refused = append(k.refused, fmt.Sprintf("%s: %v", what, a)) })
	return false
}

// crew is who loads a server: 16 connections.
type crew struct {
	*kept
	call                 *caller
	person               *person
	web, machine, opaque client
}

func (h *house) crew(s *server) *crew {
	h.t.Helper()
	h.user("ada@example.com")
	c := &crew{
		kept: &kept{}, call: newCaller(h.t, s.url), person: newPerson(h.t, s.url, "ada@example.com"),
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

// load works until ctx ends. A worker whose server is gone waits a little and tries again.
func (c *crew) load(ctx context.Context) {
	var wg sync.WaitGroup
	work := func(n int, do func(i int) bool) {
		for w := range n {
			wg.Go(func() {
				for i := w; ctx.Err() == nil; i += n {
					c.asked.Add(1)
					if !do(i) {
						time.Sleep(20 * time.Millisecond)
					}
				}
			})
		}
	}
	for _, ch := range c.chains {
		work(1, func(int) bool { return c.turn(ch) })
	}
	work(4, func(int) bool { return c.redeemOne() })
	work(3, c.ownOne)
	work(3, c.revokeOne)
	wg.Wait()
}

// progress waits until the load has got a few more of everything that it asks for.
func (c *crew) progress(t testing.TB) {
	t.Helper()
	counts := func() [3]int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return [3]int{len(c.live), len(c.dead), len(c.spent)}
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

func (c *crew) turn(ch *chain) bool {
	c.note(func() { ch.busy = true })
	a := c.call.refresh(c.web, ch.last)
	if a.status != 200 || a.err != nil {
		return !c.refuse("refresh", a)
	}
	c.note(func() {
		ch.used, ch.last, ch.busy = append(ch.used, ch.last), a.tokens().Refresh, false
		c.live = append(c.live, promise{c.web, a.tokens().Access})
	})
	return true
}

func (c *crew) redeemOne() bool {
	code, err := c.person.approve()
	if err != nil {
		if !strings.Contains(err.Error(), "503") && !strings.Contains(err.Error(), c.call.base) {
			c.note(func() { c.refused = append(c.refused, err.Error()) })
		}
		return false
	}
	a := c.call.redeem(c.web, code)
	if a.status != 200 || a.err != nil {
		c.note(func() { c.doubt = append(c.doubt, code) })
		return !c.refuse("code", a)
	}
	c.note(func() {
		c.spent = append(c.spent, code)
		c.live = append(c.live, promise{c.web, a.tokens().Access})
	})
	return true
}

func (c *crew) ownOne(i int) bool {
	by := c.machine
	if i%2 == 1 {
		by = c.opaque
	}
	a := c.call.own(by)
	if a.status != 200 || a.err != nil {
		return !c.refuse("client credentials", a)
	}
	c.note(func() { c.live = append(c.live, promise{by, a.tokens().Access}) })
	return true
}

// revokeOne gets something and has it revoked: a JWT, an opaque token, or a whole family.
func (c *crew) revokeOne(i int) bool {
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
		return !c.refuse("a token to revoke", a)
	}
	got, token := a.tokens(), a.tokens().Access
	if by == c.web {
		token = got.Refresh
	}
	if a = c.call.revoke(by, token); a.status != 200 || a.err != nil {
		return !c.refuse("revocation", a)
	}
	c.note(func() {
		c.dead = append(c.dead, promise{by, got.Access})
		if by == c.web {
			c.ended = append(c.ended, got.Refresh)
		}
	})
	return true
}

// each does something with many at 16 connections.
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

// verify looks whether every promise is kept, without using anything up.
func (c *crew) verify(t *testing.T) {
	t.Helper()
	for _, r := range c.refused[:min(3, len(c.refused))] {
		t.Errorf("one of %d answers that no fault excuses: %s", len(c.refused), r)
	}
	look := func(what string, all []promise, as bool) {
		var wrong atomic.Int64
		each(all, func(p promise) {
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

// exhaust uses up everything that works once, and then all of it again.
func (c *crew) exhaust(t *testing.T) {
	t.Helper()
	for _, ch := range c.chains {
		c.lastOf(t, ch)
	}
	each(c.ended, func(token string) {
		if a := c.call.refresh(c.web, token); a.status != 400 || a.code() != "invalid_grant" {
			t.Errorf("a revoked refresh token: %v", a)
		}
	})
	each(c.spent, func(code string) {
		if a := c.call.redeem(c.web, code); a.status != 400 || a.code() != "invalid_grant" {
			t.Errorf("a code for the second time: %v", a)
		}
	})
	each(c.doubt, func(code string) { // it works once more at most
		first, second := c.call.redeem(c.web, code), c.call.redeem(c.web, code)
		if (first.status != 200 && first.code() != "invalid_grant") || second.code() != "invalid_grant" {
			t.Errorf("a code whose answer was lost: %v, then %v", first, second)
		}
	})
}

// lastOf repeats the last refresh of a chain, as a client does that has lost an answer, and then plays a thief.
func (c *crew) lastOf(t *testing.T, ch *chain) {
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

// A server is killed under load, again and again. What it has answered holds.
func TestKilledUnderLoad(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		s := h.serve()
		c := h.crew(s)
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
		t.Logf("%d requests: %d live tokens, %d revoked, %d codes, %d codes in doubt", c.asked.Load(), len(c.live), len(c.dead), len(c.spent), len(c.doubt))
	})
}

// integrity has SQLite look at the whole file.
func integrity(t testing.TB, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var said string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&said); err != nil || said != "ok" {
		t.Errorf("integrity_check: %s, %v", said, err)
	}
}

// Many processes come to an empty database at once: one makes the key and the tables, and all find the same.
func TestFirstStartOfMany(t *testing.T) {
	t.Parallel()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	sqlite := newHouse(t, "sqlite:"+filepath.Join(t.TempDir(), "data", "gatehouse.db"), nil)
	delete(sqlite.env, "SECRET_KEY") // made, and kept beside the database
	for _, h := range []*house{sqlite, newHouse(t, testkit.StartPostgres(t), nil)} {
		each(make([]struct{}, 8), func(struct{}) {
			cmd := exec.Command(bin, "client", "list", "--json")
			cmd.Env, cmd.Dir = h.environment(nil), h.dir
			if said, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, said)
			}
		})
	}
}
