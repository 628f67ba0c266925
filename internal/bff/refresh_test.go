package bff_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
)

func neverIdle(s *settings) { s.idle = 0 }

// Of many requests on two servers whose access token is over, one refreshes.
func TestOneRefresh(t *testing.T) {
	for name, url := range map[string]func(testing.TB) string{"SQLite": storetest.SQLite, "PostgreSQL": storetest.Postgres} {
		t.Run(name, func(t *testing.T) {
			address := url(t)
			first := worldOver(t, storetest.Open(t, store.Options{URL: address}), neverIdle)
			first.signIn("")
			old := first.who().TokenID
			second := *first // another process on the same database, at the same time
			cfg := settings{Config: oauth.Config{
				Issuer: issuer, AccessTTL: time.Hour, RefreshTTL: 30 * 24 * time.Hour, TokenFormat: oauth.FormatJWT, Alg: "ES256", EndWithSession: true,
			}}
			second.serve(storetest.Open(t, store.Options{URL: address}), cfg)
			for round := range 3 {
				first.clock.pass(61 * time.Minute)
				var mu sync.Mutex
				seen := map[string]int{}
				together(64, func(i int) {
					w := []*world{first, &second}[i%2]
					rec := httptest.NewRecorder()
					w.mux.ServeHTTP(rec, w.request("GET", "/who"))
					var c access.Caller
					if err := json.Unmarshal(rec.Body.Bytes(), &c); err != nil {
						t.Errorf("answer %d: %v", rec.Code, err)
					}
					mu.Lock()
					defer mu.Unlock()
					seen[c.TokenID]++
				})
				if n := first.server.refreshes.Load() + second.server.refreshes.Load(); n != int64(round+1) {
					t.Fatalf("round %d: %d refreshes so far", round+1, n)
				}
				if len(seen) != 1 || seen[old] != 0 {
					t.Fatalf("round %d: the requests saw the tokens %v; before it was %s", round+1, seen, old)
				}
				for id := range seen {
					old = id
				}
			}
		})
	}
}

// A minute before its end the token is refreshed, so that none ends on its way to an API.
func TestRefreshComesEarly(t *testing.T) {
	w := newWorld(t, neverIdle)
	w.signIn("")
	w.clock.pass(58 * time.Minute)
	w.who()
	equal(t, "refreshes two minutes before the end", w.server.refreshes.Load(), 0)
	w.clock.pass(time.Minute + time.Second)
	if c := w.who(); !c.Expires.After(w.clock.now().Add(59 * time.Minute)) {
		t.Fatalf("the token ends at %v", c.Expires)
	}
	equal(t, "refreshes", w.server.refreshes.Load(), 1)
}

func TestShortTokensAreRefreshedInTheirLastQuarter(t *testing.T) {
	w := newWorld(t, func(s *settings) { s.AccessTTL = 20 * time.Second })
	w.signIn("")
	w.clock.pass(14 * time.Second)
	w.who()
	equal(t, "refreshes", w.server.refreshes.Load(), 0)
	w.clock.pass(2 * time.Second)
	w.who()
	equal(t, "refreshes", w.server.refreshes.Load(), 1)
}

// Requests of a cached session do not call the store, except to record its use once a minute.
func TestWarmAsksNothing(t *testing.T) {
	w := newWorld(t)
	w.signIn("")
	w.who()
	before := w.store.calls.Load()
	for range 30 {
		w.clock.pass(time.Second)
		w.who()
	}
	equal(t, "calls to the store in half a minute", w.store.calls.Load()-before, 0)
	w.clock.pass(40 * time.Second)
	w.who()
	w.who()
	equal(t, "calls to the store after a minute", w.store.calls.Load()-before, 1)
}

func TestWarmAllocations(t *testing.T) {
	w := newWorld(t)
	w.signIn("")
	w.who()
	r := w.request("GET", "/who")
	// Allocations of other goroutines are counted, too, so the least of several runs counts.
	least := math.Inf(1)
	for range 5 {
		least = min(least, testing.AllocsPerRun(100, func() {
			if c, err := w.apps.Caller(r.Context(), r); c == nil || err != nil {
				t.Error(err)
			}
		}))
	}
	if least > 12 {
		t.Errorf("%v allocations", least)
	}
}

// A session ends with its idle time, on this server and on one that has just been started.
func TestIdle(t *testing.T) {
	w := newWorld(t, func(s *settings) { s.AccessTTL = 10 * time.Hour })
	w.signIn("")
	for range 4 {
		w.clock.pass(29 * time.Minute)
		if w.who() == nil {
			t.Fatal("a session in use has ended")
		}
	}
	restarted := *w
	restarted.serve(w.db, settings{Config: oauth.Config{Issuer: issuer, AccessTTL: time.Hour, Alg: "ES256"}, idle: 30 * time.Minute})
	w.clock.pass(29 * time.Minute)
	if restarted.who() == nil {
		t.Fatal("a server that has just been started does not know the session")
	}
	w.clock.pass(20 * time.Minute)
	if w.who() == nil {
		t.Fatal("a session in use on another server has ended")
	}
	w.clock.pass(31 * time.Minute)
	if w.who() != nil || restarted.who() != nil {
		t.Fatal("an idle session goes on")
	}
}

func TestAbsoluteEnd(t *testing.T) {
	w := newWorld(t, neverIdle)
	w.signIn("")
	w.clock.pass(7*24*time.Hour - time.Second)
	if w.who() == nil {
		t.Fatal("ended too early")
	}
	w.clock.pass(time.Second)
	if w.who() != nil {
		t.Fatal("a session goes on past its end")
	}
}

// An app without the refresh grant is signed in as long as its first access token lives.
func TestWithoutRefreshToken(t *testing.T) {
	w := newWorld(t, neverIdle, func(s *settings) { s.client = func(c *client.Client) { c.Grants = []string{client.GrantTypeCode} } })
	w.signIn("")
	w.clock.pass(time.Hour - time.Second)
	if w.who() == nil {
		t.Fatal("ended too early")
	}
	w.clock.pass(2 * time.Second)
	if w.who() != nil || w.events(audit.AppSessionEnded) != 1 {
		t.Fatal("a session outlives its only token")
	}
}

// TestServerSideRefreshToken covers a client whose refresh token stays on the server.
func TestServerSideRefreshToken(t *testing.T) {
	w := newWorld(t, neverIdle, func(s *settings) {
		s.client = func(c *client.Client) { c.Grants, c.ServerSideRefresh = []string{client.GrantTypeCode}, true }
	})
	w.signIn("")
	w.clock.pass(3 * time.Hour)
	if w.who() == nil {
		t.Fatal("not refreshed")
	}
}

// What ends elsewhere ends here at once, and for good: nothing of it is kept.
func TestEndedElsewhere(t *testing.T) {
	for name, end := range map[string]func(w *world) error{
		"authorization removed on the account page": func(w *world) error {
			grants, err := w.db.UserGrants(w.t.Context(), w.user.ID, w.clock.now())
			return errors.Join(err, w.db.EndUserGrant(w.t.Context(), w.user.ID, grants[0].ID, w.clock.now()))
		},
		"signed out at the server": func(w *world) error {
			return w.db.EndSession(w.t.Context(), w.sess.ID, w.clock.now(), true)
		},
		"account disabled": func(w *world) error {
			u := *w.user
			u.Disabled, u.UpdatedAt = true, w.clock.now()
			return errors.Join(w.db.UpdateUser(w.t.Context(), w.user, &u), w.db.EndUserAccess(w.t.Context(), u.ID, w.clock.now(), ""))
		},
		"client deleted": func(w *world) error {
			return w.db.DeleteClient(w.t.Context(), w.app.ID, w.clock.now())
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, neverIdle)
			w.signIn("")
			w.clock.pass(time.Second)
			must(t, end(w))
			if w.who() != nil {
				t.Fatal("still signed in")
			}
			if _, err := w.db.BFFSession(t.Context(), w.keys.Hash(w.jar[cookieApp]), w.clock.now(), 0); !fault.Is(err, fault.NotFound) {
				t.Fatalf("the session is still kept: %v", err)
			}
			w.clock.pass(2 * time.Hour)
			if w.who() != nil {
				t.Fatal("signed in again")
			}
		})
	}
}

// A single token that was revoked is not the session: a new one is fetched.
func TestTokenRevoked(t *testing.T) {
	w := newWorld(t)
	w.signIn("")
	id := w.who().TokenID
	must(t, w.db.Revoke(t.Context(), oauth.Revocation{Kind: oauth.RevokeToken, ID: id, NotBefore: w.clock.now(), Until: w.clock.now().Add(time.Hour)}))
	if c := w.who(); c == nil || c.TokenID == id {
		t.Fatalf("after the revocation: %+v", c)
	}
}

// Without storage a warm session works until its token ends, and nobody is told to sign in again.
func TestStorageDown(t *testing.T) {
	w := newWorld(t, neverIdle)
	w.signIn("")
	w.who()
	w.store.down.Store(true)
	w.clock.pass(59*time.Minute + 30*time.Second) // to be refreshed, and noted
	if w.who() == nil {
		t.Fatal("the token that is still good was not used")
	}
	w.clock.pass(time.Minute)
	equal(t, "answer when the token is over", w.do("GET", "/who").Code, http.StatusServiceUnavailable)
	rec := w.do("GET", "/session/user")
	if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	w.store.down.Store(false)
	if w.who() == nil {
		t.Fatal("the session did not survive")
	}
}

// Storage that hangs holds up nobody whose token is still good.
func TestStorageHangs(t *testing.T) {
	w := newWorld(t, neverIdle)
	w.signIn("")
	w.who()
	hang := make(chan struct{})
	w.server.fail = func() error {
		<-hang
		return fault.New(fault.Unavailable, "not now")
	}
	w.clock.pass(59*time.Minute + 30*time.Second)
	if w.who() == nil { // while the storage still hangs
		t.Fatal("not signed in")
	}
	close(hang)
}

// A refresh that fails for now is tried again by the next request; the claim does not stand in
// its way.
func TestRefreshFailsForNow(t *testing.T) {
	w := newWorld(t, neverIdle)
	w.signIn("")
	w.server.fail = func() error { return fault.New(fault.Unavailable, "not now") }
	w.clock.pass(2 * time.Hour)
	equal(t, "answer", w.do("GET", "/who").Code, http.StatusServiceUnavailable)
	w.server.fail = nil
	if w.who() == nil {
		t.Fatal("the session is lost")
	}
	equal(t, "refreshes tried", w.server.refreshes.Load(), 2)
}

// A server that dies while it refreshes costs nobody the session: its claim ends, and the refresh
// token still works.
func TestRefresherDies(t *testing.T) {
	w := newWorld(t, neverIdle)
	w.signIn("")
	w.clock.pass(2 * time.Hour)
	a, err := w.db.BFFSession(t.Context(), w.keys.Hash(w.jar[cookieApp]), w.clock.now(), 0)
	must(t, err)
	must(t, w.db.ClaimBFFSession(t.Context(), a.ID, a.Version, w.clock.now(), w.clock.now().Add(10*time.Second)))
	waited := make(chan *httptest.ResponseRecorder)
	go func() {
		rec := httptest.NewRecorder()
		w.mux.ServeHTTP(rec, w.request("GET", "/who"))
		waited <- rec
	}()
	select {
	case rec := <-waited:
		t.Fatalf("somebody else is refreshing, but the answer is %d", rec.Code)
	case <-time.After(100 * time.Millisecond):
	}
	w.clock.pass(11 * time.Second)
	equal(t, "answer", (<-waited).Code, http.StatusOK)
}

// While another server refreshes, a token that is still good is used.
func TestAnotherRefreshes(t *testing.T) {
	w := newWorld(t, neverIdle)
	w.signIn("")
	w.clock.pass(59*time.Minute + 30*time.Second)
	a, err := w.db.BFFSession(t.Context(), w.keys.Hash(w.jar[cookieApp]), w.clock.now(), 0)
	must(t, err)
	must(t, w.db.ClaimBFFSession(t.Context(), a.ID, a.Version, w.clock.now(), w.clock.now().Add(10*time.Second)))
	if w.who() == nil {
		t.Fatal("not signed in")
	}
	equal(t, "refreshes", w.server.refreshes.Load(), 0)
}

// The request that happens to begin a refresh may go away: the others still get the result.
func TestRefreshOutlivesItsRequest(t *testing.T) {
	w := newWorld(t, neverIdle)
	w.signIn("")
	w.clock.pass(2 * time.Hour)
	begun, goOn := make(chan struct{}), make(chan struct{})
	w.server.fail = func() error {
		close(begun)
		<-goOn
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	r := w.request("GET", "/who")
	go func() {
		_, err := w.apps.Caller(ctx, r)
		gone <- err
	}()
	<-begun
	cancel()
	if err := <-gone; !fault.Is(err, fault.Unavailable) {
		t.Fatalf("the request that went away: %v", err)
	}
	stays := make(chan *access.Caller)
	go func() {
		c, err := w.apps.Caller(t.Context(), r)
		if err != nil {
			t.Error(err)
		}
		stays <- c
	}()
	close(goOn)
	if c := <-stays; c == nil {
		t.Fatal("the request that stayed is nobody's")
	}
	equal(t, "refreshes", w.server.refreshes.Load(), 1)
}

// A bug in the work for many requests takes none of them, nor the server, along.
func TestRefreshPanics(t *testing.T) {
	w := newWorld(t, neverIdle)
	w.signIn("")
	w.server.fail = func() error { panic("a bug") }
	w.clock.pass(2 * time.Hour)
	equal(t, "answer", w.do("GET", "/who").Code, http.StatusInternalServerError)
	w.server.fail = nil
	w.clock.pass(time.Minute)
	if w.who() == nil {
		t.Fatal("the session is lost")
	}
}

// The client's registration is the present one, at once.
func TestRestrictionsAreLive(t *testing.T) {
	w := newWorld(t)
	w.signIn("")
	w.who()
	cl := *w.app
	cl.Roles, cl.Networks, cl.Hosts, cl.Routes = []string{"browser"}, []string{"192.0.2.0/24"}, []string{"app.example"}, []string{"notes/v1"}
	cl.UpdatedAt = w.clock.now()
	must(t, w.db.UpdateClient(t.Context(), w.app, &cl))
	c := w.who()
	if len(c.Networks) != 1 || c.Networks[0].String() != "192.0.2.0/24" || c.Hosts[0] != "app.example" || c.Routes[0] != "notes/v1" || c.ClientRoles[0] != "browser" {
		t.Fatalf("%+v", c)
	}
	off := cl
	off.Disabled, off.UpdatedAt = true, w.clock.now().Add(time.Second)
	must(t, w.db.UpdateClient(t.Context(), &cl, &off))
	if w.who() != nil {
		t.Fatal("an app that is disabled is still signed in")
	}
}

// Tokens in storage are sealed, each for its own session.
func TestTokensAreSealed(t *testing.T) {
	w := newWorld(t)
	w.signIn("")
	a, err := w.db.BFFSession(t.Context(), w.keys.Hash(w.jar[cookieApp]), w.clock.now(), 0)
	must(t, err)
	must(t, w.db.RenewBFFSession(t.Context(), a.ID, a.Version, a.Tokens[:len(a.Tokens)-4]+"AAAA"))
	fresh := *w
	fresh.serve(w.db, settings{Config: oauth.Config{Issuer: issuer, AccessTTL: time.Hour, Alg: "ES256"}})
	equal(t, "answer for altered tokens", fresh.do("GET", "/who").Code, http.StatusInternalServerError)
}
