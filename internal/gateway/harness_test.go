package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/cache"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/gateway"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

const (
	issuer     = "https://id.example"
	testSecret = "gth_cs_the-secret-of-the-test"
)

// shared is the database of all worlds. Each test creates users and clients of its own, and reads
// nothing else.
var shared struct{ db *store.DB }

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	ctx := context.Background()
	db, err := store.Open(ctx, store.Options{URL: "sqlite::memory:"})
	if err == nil {
		_, err = db.Migrate(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer db.Close()
	shared.db = db
	return m.Run()
}

// world is a gateway with real parts, a clock that only moves when a test moves it, and an upstream
// that echoes what it received.
type world struct {
	t        testing.TB
	db       *store.DB
	keys     *secret.Keys
	ring     *jose.Ring
	oauth    *token.Server
	kit      *web.Kit
	gw       *gateway.Gateway
	handler  http.Handler
	log      *bytes.Buffer
	upstream *httptest.Server
	routes   []access.Route
	compile  access.Options
	foreign  []*gateway.Foreign
	browser  *browser
	user     *identity.User
	client   *client.Client
	reads    atomic.Int64 // of the clock
	age      atomic.Int64 // of what the server knows of revocations

	mu      sync.Mutex
	now     time.Time
	denials []*access.DenialRecord
	calls   int // of Access
	users   int // of User
	signs   int
}

func (w *world) clock() time.Time {
	w.reads.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) wait(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func newWorld(t testing.TB, routes []access.Route, tweak ...func(*gateway.Options)) *world {
	t.Helper()
	keys, err := secret.NewKeys([]byte("a master key of at least 32 bytes"))
	must(t, err)
	w := &world{t: t, db: shared.db, keys: keys, now: time.Date(2026, 5, 4, 10, 0, 0, 123e6, time.UTC), routes: routes, log: &bytes.Buffer{}}
	w.ring = jose.NewRing(w.db, keys)
	must(t, w.ring.Ensure(t.Context(), jose.ES256, w.now))
	w.oauth = token.New(oauth.Config{
		Issuer: issuer, CodeTTL: time.Minute, AccessTTL: time.Hour, IDTokenTTL: time.Hour, RefreshTTL: time.Hour, TokenFormat: oauth.FormatJWT, Alg: jose.ES256,
		RevocationMaxAge: revocationMaxAge,
	}, token.Parts{Store: aging{w.db, &w.age}, Ring: w.ring, Keys: keys})
	w.upstream = httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(w.upstream.Close)
	w.kit = web.New(web.Options{
		Now: w.clock, Log: slog.New(slog.NewTextHandler(&lockedWriter{w: w.log}, &slog.HandlerOptions{Level: slog.LevelWarn})),
		BodyLimit: 64 << 10, Deadline: time.Minute, Secure: true,
		Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Limiter: limits{cache.NewMemory(0, w.clock)},
	})
	w.browser = &browser{w}
	w.compile = access.Options{Reserved: []string{"oauth", "login", "gateway", "session", ".well-known"}, OwnHosts: []string{"id.example"}, Issuer: issuer}
	o := gateway.Options{
		Issuer: issuer, Kit: w.kit, Setup: func() gateway.Setup {
			return gateway.Setup{Routes: slices.Clone(w.routes), Compile: w.compile, Foreign: w.foreign}
		},
		Tokens: tokens{w.oauth, w}, Clients: w.oauth, Users: users{w}, Browser: w.browser, Signer: signer{w},
		StoreDenials: func(_ context.Context, some []*access.DenialRecord) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.denials = append(w.denials, some...)
			return nil
		},
	}
	for _, f := range tweak {
		f(&o)
	}
	for i := range w.routes {
		if len(w.routes[i].Upstreams) == 0 {
			w.routes[i].Upstreams = []string{w.upstream.URL}
		}
	}
	w.gw, err = gateway.New(o)
	must(t, err)
	front := w.kit.Passthrough(w.gw)
	w.handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if w.gw.Claims(r) {
			front.ServeHTTP(rw, r)
			return
		}
		http.Error(rw, "not the gateway's", http.StatusTeapot)
	})
	w.user = w.newUser("editor")
	w.client = w.newClient()
	return w
}

// lockedWriter allows a test to read a log while it is written.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

type limits struct{ cache.Limiter }

func (l limits) Take(ctx context.Context, key string, r web.Rate) web.LimitResult {
	v, err := l.Limiter.Take(ctx, key, cache.Limit{Max: r.Max, Window: r.Window})
	if err != nil {
		return web.LimitResult{Allowed: true}
	}
	return web.LimitResult{Allowed: v.Allowed, Remaining: v.Remaining, Reset: v.Reset, RetryAfter: v.RetryAfter}
}

const revocationMaxAge = 5 * time.Minute

// aging is a store that has last asked for revocations when the test says.
type aging struct {
	*store.DB
	age *atomic.Int64
}

func (a aging) KnowledgeAge() time.Duration { return time.Duration(a.age.Load()) }

// tokens, users and signer count the calls of the parts behind them.
type tokens struct {
	*token.Server
	w *world
}

func (c tokens) Access(ctx context.Context, token string, now time.Time) (*oauth.AccessToken, error) {
	c.w.mu.Lock()
	c.w.calls++
	c.w.mu.Unlock()
	return c.Server.Access(ctx, token, now)
}

type users struct{ w *world }

func (u users) User(ctx context.Context, id identity.UserID) (*identity.User, error) {
	u.w.mu.Lock()
	u.w.users++
	u.w.mu.Unlock()
	return u.w.db.User(ctx, id)
}

type signer struct{ w *world }

func (s signer) Sign(ctx context.Context, alg, typ string, payload []byte, now time.Time) (string, error) {
	s.w.mu.Lock()
	s.w.signs++
	s.w.mu.Unlock()
	return s.w.ring.Sign(ctx, alg, typ, payload, now)
}

// browser is the sessions of the pages.
type browser struct{ w *world }

func (b *browser) Session(r *http.Request) (*identity.Session, error) {
	cookie := b.w.kit.Cookie(r, web.CookieSession)
	if cookie == "" {
		return nil, nil
	}
	s, err := b.w.db.SessionByCookie(r.Context(), b.w.keys.Hash(cookie), b.w.clock(), 0)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	return s, err
}

func (b *browser) SignIn(w http.ResponseWriter, _ *http.Request, s gateway.SignIn) error {
	w.Header().Set("Location", "/login?next="+url.QueryEscape(s.Next))
	w.Header().Set("X-Want", fmt.Sprintf("acr=%s again=%v", s.ACR, s.Again))
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

func (b *browser) Fail(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, fault.Text(err), web.Status(err))
}

func (w *world) newUser(roles ...string) *identity.User {
	w.t.Helper()
	id := secret.NewID(w.now)
	u := &identity.User{
		ID: identity.UserID(id), Email: "ada" + id[len(id)-12:] + "@example.com", Name: "Ada Lovelace", Roles: roles, CreatedAt: w.now, UpdatedAt: w.now,
	}
	must(w.t, w.db.CreateUser(w.t.Context(), u))
	return u
}

func (w *world) newClient(edit ...func(*client.Client)) *client.Client {
	w.t.Helper()
	c := &client.Client{
		ID: client.ID(secret.NewID(w.now)), Name: "App", Grants: []string{client.GrantTypeClient}, Scopes: []string{"read", "write"}, Roles: []string{"backend"},
		CreatedAt: w.now, UpdatedAt: w.now, Secrets: []client.Secret{{ID: secret.NewID(w.now), Hash: w.keys.Hash(testSecret), CreatedAt: w.now}},
	}
	for _, f := range edit {
		f(c)
	}
	must(w.t, w.db.CreateClient(w.t.Context(), c))
	return c
}

// signIn returns the Cookie header of a new session, and the session.
func (w *world) signIn(u *identity.User, amr ...string) (string, *identity.Session) {
	w.t.Helper()
	s := identity.NewSession(u.ID, append(amr, "pwd"), w.clock(), time.Hour, identity.Browser{})
	cookie := secret.NewToken(secret.PrefixSession)
	must(w.t, w.db.PutSession(w.t.Context(), w.keys.Hash(cookie), s, identity.SessionTerms{}))
	return "__Host-gatehouse=" + cookie, s
}

type claims map[string]any

// token returns an access token of the user for the client. Edits change its claims; nil removes
// one.
func (w *world) token(edit ...claims) string {
	w.t.Helper()
	return w.signed("at+jwt", edit...)
}

func (w *world) signed(typ string, edit ...claims) string {
	w.t.Helper()
	now := w.clock()
	c := claims{
		"iss": issuer, "sub": string(w.user.ID), "aud": issuer, "client_id": string(w.client.ID), "scope": "read write", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"jti": secret.NewID(now), "gid": secret.NewID(now), "sid": secret.NewID(now), "auth_time": now.Unix(), "acr": "aal1", "amr": []string{"pwd"}, "roles": w.user.Roles,
	}
	for _, e := range edit {
		for k, v := range e {
			if c[k] = v; v == nil {
				delete(c, k)
			}
		}
	}
	payload, err := json.Marshal(c)
	must(w.t, err)
	token, err := w.ring.Sign(w.t.Context(), jose.ES256, typ, payload, now)
	must(w.t, err)
	return token
}

// appToken returns an access token of the client for itself.
func (w *world) appToken(edit ...claims) string {
	return w.token(append([]claims{{"sub": string(w.client.ID), "sid": nil, "auth_time": nil, "acr": nil, "amr": nil, "roles": nil}}, edit...)...)
}

func basic(id, pass string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(pass)))
}

// request returns a request as a server reads it: target is on the request line as it is. Headers
// have the form "Name: value".
func request(t testing.TB, method, host, target string, headers ...string) *http.Request {
	t.Helper()
	raw := method + " " + target + " HTTP/1.1\r\nHost: " + host + "\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n"
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	must(t, err)
	r.RemoteAddr = "192.0.2.7:4711"
	r.TLS = nil
	return r.WithContext(t.Context())
}

// do sends a request to the server without a network.
func (w *world) do(r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return rec
}

// get sends a GET to the server's own host.
func (w *world) get(target string, headers ...string) *httptest.ResponseRecorder {
	return w.do(request(w.t, http.MethodGet, "id.example", target, headers...))
}

// receivedRequest is what the upstream received.
type receivedRequest struct {
	Method, Path, Query, Host, Body string
	Header                          http.Header
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(receivedRequest{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Host, string(body), r.Header})
}

func (w *world) received(rec *httptest.ResponseRecorder) receivedRequest {
	w.t.Helper()
	var out receivedRequest
	if rec.Code != http.StatusOK || json.Unmarshal(rec.Body.Bytes(), &out) != nil {
		w.t.Fatalf("status %d, body %s", rec.Code, rec.Body)
	}
	return out
}

// problem is the JSON body of a denial.
type problem struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	RequestID   string `json:"request_id"`
	RetryAfter  int64  `json:"retry_after"`
}

func problemOf(t testing.TB, rec *httptest.ResponseRecorder) problem {
	t.Helper()
	var out problem
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil || out.RequestID == "" || out.RequestID != rec.Header().Get("X-Request-Id") {
		t.Fatalf("status %d, body %q is no refusal: %v", rec.Code, rec.Body, err)
	}
	return out
}

// lastDenial returns the newest stored denial.
func (w *world) lastDenial() *access.DenialRecord {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	cancel()
	w.gw.Run(ctx) // writes what waits
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.denials) == 0 {
		w.t.Fatal("no denial was stored")
	}
	return w.denials[len(w.denials)-1]
}

// info verifies an X-Auth-Info with the issuer's published keys, as an upstream does.
func (w *world) info(token string) map[string]any {
	w.t.Helper()
	payload, err := w.ring.Verify(token, "auth-info+jwt")
	must(w.t, err)
	var out map[string]any
	must(w.t, json.Unmarshal(payload, &out))
	return out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func shop(edit ...func(*access.Route)) []access.Route {
	r := access.Route{ID: "0190f2d0-0000-7000-8000-000000000001", Domain: "shop", Version: "v1"}
	for _, f := range edit {
		f(&r)
	}
	return []access.Route{r}
}
