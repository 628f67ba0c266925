// Package storetest is the test suite of package store, which must pass on every engine. It also
// opens databases for the tests of other packages: SQLite in a file or in memory, and a real
// PostgreSQL server.
package storetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// SQLite returns the URL of a new SQLite file.
func SQLite(t testing.TB) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "data", "gatehouse.db")
}

// Open opens and migrates a database, which is closed when the test ends.
func Open(t testing.TB, o store.Options) *store.DB {
	t.Helper()
	if o.Report == nil {
		o.Report = func(err error) { t.Log("background error:", err) }
	}
	if o.URL == memory {
		o.Image = image(t)
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

// memory is the URL of a new SQLite database.
const memory = "sqlite::memory:"

// image returns a migrated database file for new databases to begin as: with the race detector, the
// migrations alone take more than a second. The processes of a run share it, by the names and texts
// of the migrations. Open migrates the copy, too, so that an image can be stale but not wrong.
func image(t testing.TB) string {
	t.Helper()
	sum := sha256.New()
	testkit.Must(t, fs.WalkDir(store.Migrations(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := fs.ReadFile(store.Migrations(), path)
		fmt.Fprintf(sum, "%s %d\n%s", path, len(raw), raw)
		return err
	}))
	path := filepath.Join(os.TempDir(), fmt.Sprintf("gatehouse-test-%x.db", sum.Sum(nil)[:8]))
	if _, err := os.Stat(path); err == nil {
		return path
	}
	file := filepath.Join(t.TempDir(), "image.db")
	db, err := store.Open(context.WithoutCancel(t.Context()), store.Options{URL: "sqlite:" + file})
	testkit.Must(t, err)
	_, err = db.Migrate(t.Context())
	testkit.Must(t, errors.Join(err, db.Close()))
	raw, err := os.ReadFile(file)
	testkit.Must(t, err)
	next := path + fmt.Sprint(".", os.Getpid())
	testkit.Must(t, errors.Join(os.WriteFile(next, raw, 0o600), os.Rename(next, path)))
	return path
}

// Memory opens a new SQLite database, which is deleted when the test ends.
func Memory(t testing.TB) *store.DB {
	t.Helper()
	return Open(t, store.Options{URL: memory})
}

// racers is the number of callers that try to consume one thing at once.
const racers = 64

// suite is one engine under test.
type suite struct {
	url       func(testing.TB) string
	sharedURL string    // of db
	db        *store.DB // shared by the tests that do not count rows
	ids       atomic.Int64
	now       time.Time
}

// Run runs the whole suite. Each call of url returns the URL of an empty database.
func Run(t *testing.T, url func(testing.TB) string) {
	s := &suite{url: url, now: time.UnixMilli(1_790_000_000_000).UTC()}
	s.sharedURL = url(t)
	s.db = Open(t, store.Options{URL: s.sharedURL})
	for _, c := range slices.Concat(cases(), certificateCases(), attemptCases(), outboxCases(), accountCases(),
		browserCases(), impersonationCases()) {
		t.Run(c.name, func(t *testing.T) { c.test(s, t) })
	}
}

// A testCase is one test of the suite.
type testCase struct {
	name string
	test func(*suite, *testing.T)
}

func cases() []testCase {
	return append([]testCase{
		{"Every field", (*suite).everyFieldInRounds},
		{"Stale user", (*suite).staleUser},
		{"Stale client", (*suite).staleClient},
		{"Stale route", (*suite).staleRoute},
		{"Unchanged", (*suite).unchanged},
		{"Users", (*suite).users},
		{"Names are unique", (*suite).uniqueNames},
		{"Last administrator", (*suite).lastAdmin},
		{"Roles change meanwhile", (*suite).rolesMeanwhile},
		{"Passwords", (*suite).passwords},
		{"Credentials", (*suite).credentials},
		{"Two-step verification is reset", (*suite).resetTwoStep},
		{"Sessions end by selection", (*suite).endSessions},
		{"Locks", (*suite).locks},
		{"Sessions", (*suite).sessions},
		{"Sessions of a changed account", (*suite).staleSession},
		{"Sign-ins beside a password change", (*suite).slowSignIn},
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
		{"BFF sessions", (*suite).bffSessions},
		{"BFF sessions end", (*suite).bffSessionsEnd},
		{"BFF sessions are swept", (*suite).bffSessionsSwept},
		{"Grants", (*suite).grants},
		{"Revocations outlive tokens", (*suite).tokenTTL},
		{"Refresh", (*suite).refresh},
		{"Grants of the revoked", (*suite).revokedGrants},
		{"Grants of a proved password", (*suite).provedGrants},
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
		{"Asynchronous audit", (*suite).auditAsync},
		{"Cached users", (*suite).cachedUsers},
		{"Meta, once and leases", (*suite).meta},
		{"Sweep", (*suite).sweep},
		{"Hostile text", (*suite).hostileText},
		{"Races", (*suite).races},
		{"Two processes", (*suite).twoProcesses},
		{"Follower callbacks", (*suite).callbacks},
		{"Reopened", (*suite).reopened},
	}, append(overviewCases(), signInCases()...)...)
}

// newDB opens an empty database.
func (s *suite) newDB(t *testing.T, o store.Options) *store.DB {
	t.Helper()
	o.URL = s.url(t)
	return Open(t, o)
}

// name returns a name that no other test uses.
func (s *suite) name(kind string) string { return fmt.Sprintf("%s%d", kind, s.ids.Add(1)) }

func (s *suite) user(t *testing.T) *identity.User {
	t.Helper()
	n := s.name("person")
	u := &identity.User{
		ID:           identity.UserID(secret.NewID(s.now)),
		Username:     n,
		Email:        n + "@Example.org",
		Name:         "Name of " + n,
		Roles:        []string{"staff"},
		PasswordHash: "hash0",
		CreatedAt:    s.now,
		UpdatedAt:    s.now,
		Address:      identity.Address{Locality: "Zürich"},
	}
	testkit.Must(t, s.db.CreateUser(t.Context(), u))
	return u
}

func (s *suite) client(t *testing.T) *client.Client {
	t.Helper()
	c := &client.Client{
		ID:         client.ID(s.name("client")),
		Name:       s.name("Application "),
		AuthMethod: "client_secret_basic",
		Grants:     []string{"authorization_code", "refresh_token"},
		Redirects:  []string{"https://app.example/cb", "http://127.0.0.1/cb"},
		Scopes:     []string{"openid", "email"},
		AccessTTL:  5 * time.Minute,
		CreatedAt:  s.now,
		UpdatedAt:  s.now,
		Secrets:    []client.Secret{{ID: s.name("secret"), Hash: "h", CreatedAt: s.now}},
		Roles:      []string{"reader", "writer"},
		Networks:   []string{"192.0.2.0/24"},
		Hosts:      []string{"*.example.com"},
		Routes:     []string{"stock/v2"},
		CertBound:  true,
	}
	testkit.Must(t, s.db.CreateClient(t.Context(), c))
	return c
}

func (s *suite) session(t *testing.T, u *identity.User) *identity.Session {
	t.Helper()
	v := identity.NewSession(u.ID, []string{"pwd"}, s.now, time.Hour, identity.Browser{IP: "192.0.2.1", Agent: "Browser/1"})
	testkit.Must(t, s.db.PutSession(t.Context(), secret.Hash(s.name("cookie")), v, identity.SessionTerms{}))
	return v
}

// grant returns a grant with a refresh token, which is not stored.
func (s *suite) grant(u *identity.User, c *client.Client, scopes ...string) *oauth.Grant {
	return &oauth.Grant{
		ID:          oauth.GrantID(secret.NewID(s.now)),
		Client:      c.ID,
		User:        u.ID,
		Kind:        "authorization_code",
		Scopes:      scopes,
		RefreshHash: secret.Hash(s.name("refresh")),
		AuthTime:    s.now,
		AMR:         []string{"pwd", "otp"},
		ACR:         identity.ACR2,
		ExpiresAt:   s.now.Add(time.Hour),
		AbsoluteEnd: s.now.Add(2 * time.Hour),
		CreatedAt:   s.now,
		LastUsedAt:  s.now,
		Agent:       "Browser/1",
	}
}

// token returns an access token of a grant.
func token(g *oauth.Grant, issued time.Time) *oauth.AccessToken {
	return &oauth.AccessToken{
		ID: "jti-" + string(g.ID), Grant: g.ID, Client: g.Client, User: g.User, Session: g.Session,
		IssuedAt: issued.Truncate(time.Second), Expires: issued.Add(time.Hour).Truncate(time.Second),
	}
}

// want ends the test unless the error is of a kind.
func want(t testing.TB, err error, k fault.Kind) {
	t.Helper()
	if !fault.Is(err, k) {
		t.Fatalf("error %v; want one of kind %v", err, k)
	}
}

// race calls f in many goroutines at once and returns the number of errors by kind; a success
// counts as Internal.
func race(t testing.TB, f func(i int) error) map[fault.Kind]int {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := make(chan struct{})
	results := make(map[fault.Kind]int)
	for i := range racers {
		wg.Go(func() {
			<-start
			err := f(i)
			var fe *fault.Error
			if err != nil && !errors.As(err, &fe) {
				t.Errorf("an error without a kind: %v", err)
			}
			mu.Lock()
			results[fault.KindOf(err)]++
			mu.Unlock()
		})
	}
	close(start)
	wg.Wait()
	return results
}

// oneWins checks that one caller of a race succeeds, and that all others get an error of a kind.
func oneWins(t testing.TB, what string, others fault.Kind, f func(i int) error) {
	t.Helper()
	results := race(t, f)
	if results[fault.Internal] != 1 || results[others] != racers-1 {
		t.Errorf("%s: results are %v; want one success and %d of %v", what, results, racers-1, others)
	}
}

// follow runs Follow until the test ends.
func follow(t *testing.T, db *store.DB) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = db.Follow(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}
