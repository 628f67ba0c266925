// Package storetest is the suite that storage must pass on every engine, and what other packages'
// tests need to have a database: SQLite in a file or in memory, and a real PostgreSQL server.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
)

// SQLite gives the URL of a SQLite file of the test's own.
func SQLite(t testing.TB) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "data", "gatehouse.db")
}

// Open opens and migrates a database for as long as the test runs.
func Open(t testing.TB, o store.Options) *store.DB {
	t.Helper()
	if o.Report == nil {
		o.Report = func(err error) { t.Log("in the background:", err) }
	}
	db, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

// Memory opens a fresh SQLite database that is gone after the test.
func Memory(t testing.TB) *store.DB {
	t.Helper()
	return Open(t, store.Options{URL: "sqlite::memory:"})
}

// racers is how many callers try to use one thing up at once.
const racers = 64

// suite is one engine under test.
type suite struct {
	url func(testing.TB) string
	db  *store.DB // shared by the tests that do not count rows
	ids atomic.Int64
	now time.Time
}

// Run runs the whole suite; url gives an empty database at each call.
func Run(t *testing.T, url func(testing.TB) string) {
	s := &suite{url: url, now: time.UnixMilli(1_790_000_000_000).UTC()}
	s.db = Open(t, store.Options{URL: url(t)})
	for _, c := range []struct {
		name string
		test func(*suite, *testing.T)
	}{
		{"Every field", (*suite).everyFieldInRounds},
		{"Stale user", (*suite).staleUser},
		{"Stale client", (*suite).staleClient},
		{"Stale route", (*suite).staleRoute},
		{"Unchanged", (*suite).unchanged},
		{"Users", (*suite).users},
		{"Names are unique", (*suite).uniqueNames},
		{"Last administrator", (*suite).lastAdmin},
		{"Passwords", (*suite).passwords},
		{"Credentials", (*suite).credentials},
		{"Locks", (*suite).locks},
		{"Sessions", (*suite).sessions},
		{"Session end ends tokens", (*suite).sessionEnd},
		{"Links and setup", (*suite).links},
		{"Clients", (*suite).clients},
		{"Client secrets", (*suite).clientSecrets},
		{"Client deletion", (*suite).clientDeletion},
		{"Scopes", (*suite).scopes},
		{"Routes", (*suite).routes},
		{"Routes fit together", (*suite).routesFit},
		{"Routes of newer releases", (*suite).newerRoutes},
		{"Denials", (*suite).denials},
		{"Denials are bounded", (*suite).boundedDenials},
		{"Browser apps' sessions", (*suite).appSessions},
		{"Browser apps' sessions end", (*suite).appSessionsEnd},
		{"Browser apps' sessions are swept", (*suite).appSessionsSwept},
		{"Grants", (*suite).grants},
		{"Revocations outlive tokens", (*suite).tokenLife},
		{"Refresh", (*suite).refresh},
		{"Grants of the revoked", (*suite).revokedGrants},
		{"Codes", (*suite).codes},
		{"Code of an ended session", (*suite).codeOfEndedSession},
		{"Devices", (*suite).devices},
		{"Devices are bounded", (*suite).boundedDevices},
		{"Opaque tokens", (*suite).opaque},
		{"Consents", (*suite).consents},
		{"Revocations", (*suite).revocations},
		{"Revoke all", (*suite).revokeAll},
		{"Account page", (*suite).account},
		{"Keys", (*suite).keys},
		{"Audit", (*suite).audit},
		{"Audit of many at once", (*suite).auditSoon},
		{"Users as they were lately", (*suite).usersLately},
		{"Meta, once and leases", (*suite).meta},
		{"Sweep", (*suite).sweep},
		{"Hostile text", (*suite).hostileText},
		{"Races", (*suite).races},
		{"Two processes", (*suite).twoProcesses},
		{"Follower callbacks", (*suite).callbacks},
		{"Reopened", (*suite).reopened},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(s, t) })
	}
}

// fresh opens a database of the test's own.
func (s *suite) fresh(t *testing.T, o store.Options) *store.DB {
	t.Helper()
	o.URL = s.url(t)
	return Open(t, o)
}

// name makes a name that no other test uses.
func (s *suite) name(kind string) string { return fmt.Sprintf("%s%d", kind, s.ids.Add(1)) }

func (s *suite) user(t *testing.T) *identity.User {
	t.Helper()
	n := s.name("person")
	u := &identity.User{
		ID: identity.UserID(secret.NewID(s.now)), Username: n, Email: n + "@Example.org", Name: "Name of " + n,
		Roles: []string{"staff"}, PasswordHash: "hash0", CreatedAt: s.now, UpdatedAt: s.now,
		Address: identity.Address{Locality: "Zürich"},
	}
	must(t, s.db.CreateUser(t.Context(), u))
	return u
}

func (s *suite) client(t *testing.T) *client.Client {
	t.Helper()
	c := &client.Client{
		ID: client.ID(s.name("client")), Name: s.name("Application "), AuthMethod: "client_secret_basic",
		Grants: []string{"authorization_code", "refresh_token"}, Redirects: []string{"https://app.example/cb", "http://127.0.0.1/cb"},
		Scopes: []string{"openid", "email"}, AccessTTL: 5 * time.Minute, CreatedAt: s.now, UpdatedAt: s.now,
		Secrets: []client.Secret{{ID: s.name("secret"), Hash: "h", CreatedAt: s.now}},
		Roles:   []string{"reader", "writer"}, Networks: []string{"192.0.2.0/24"}, Hosts: []string{"*.example.com"}, Routes: []string{"stock/v2"},
		CertBound: true,
	}
	must(t, s.db.CreateClient(t.Context(), c))
	return c
}

func (s *suite) session(t *testing.T, u *identity.User) *identity.Session {
	t.Helper()
	v := identity.NewSession(u.ID, []string{"pwd"}, s.now, time.Hour, "192.0.2.1", "Browser/1")
	must(t, s.db.PutSession(t.Context(), secret.Hash(s.name("cookie")), v, false, false))
	return v
}

// grant makes, but does not store, a grant with a refresh token.
func (s *suite) grant(u *identity.User, c *client.Client, scopes ...string) *oauth.Grant {
	return &oauth.Grant{
		ID: oauth.GrantID(secret.NewID(s.now)), Client: c.ID, User: u.ID, Kind: "authorization_code", Scopes: scopes,
		RefreshHash: secret.Hash(s.name("refresh")), AuthTime: s.now, AMR: []string{"pwd", "otp"}, ACR: identity.ACR2,
		ExpiresAt: s.now.Add(time.Hour), AbsoluteEnd: s.now.Add(2 * time.Hour), CreatedAt: s.now, LastUsedAt: s.now, Agent: "Browser/1",
	}
}

// token is an access token of a grant.
func token(g *oauth.Grant, issued time.Time) *oauth.AccessToken {
	return &oauth.AccessToken{
		ID: "jti-" + string(g.ID), Grant: g.ID, Client: g.Client, User: g.User, Session: g.Session,
		IssuedAt: issued.Truncate(time.Second), Expires: issued.Add(time.Hour).Truncate(time.Second),
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t testing.TB, err error, k fault.Kind) {
	t.Helper()
	if !fault.Is(err, k) {
		t.Fatalf("error %v; want one of kind %v", err, k)
	}
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s is %v; want %v", what, got, want)
	}
}

// race calls f by many goroutines at once and counts how they fared: nil under Internal, errors
// by kind.
func race(t testing.TB, f func(i int) error) map[fault.Kind]int {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := make(chan struct{})
	fared := make(map[fault.Kind]int)
	for i := range racers {
		wg.Go(func() {
			<-start
			err := f(i)
			var fe *fault.Error
			if err != nil && !errors.As(err, &fe) {
				t.Errorf("an error without a kind: %v", err)
			}
			mu.Lock()
			fared[fault.KindOf(err)]++
			mu.Unlock()
		})
	}
	close(start)
	wg.Wait()
	return fared
}

// oneWins checks that one caller of a race won, and all others met the given kind.
func oneWins(t testing.TB, what string, others fault.Kind, f func(i int) error) {
	t.Helper()
	fared := race(t, f)
	if fared[fault.Internal] != 1 || fared[others] != racers-1 {
		t.Errorf("%s: callers fared %v; want one to win and %d to get %v", what, fared, racers-1, others)
	}
}

// eventually waits up to a second, which is what is promised for changes by other processes, and
// a little for a busy machine.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	begun := time.Now()
	for !ok() {
		if time.Since(begun) > 3*time.Second {
			t.Fatalf("not within 3 s: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if d := time.Since(begun); d > time.Second {
		t.Errorf("%s took %v; want at most a second", what, d)
	}
}

// follow runs a follower for as long as the test runs.
func follow(t *testing.T, db *store.DB) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = db.Follow(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}
