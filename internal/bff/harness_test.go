package bff_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/bff"
	"github.com/gatehouse-id/gatehouse/internal/bff/session"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

const (
	issuer   = "https://id.example"
	host     = "app.example"
	callback = "https://app.example/session/callback"
)

// tokenPattern matches JWTs and opaque tokens, and no random value without them.
var tokenPattern = regexp.MustCompile(
	`eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+|` + secret.PrefixAccessToken + `\w|` + secret.PrefixRefreshToken + `\w`)

// clock is the time of all servers of a world.
type clock struct{ ms atomic.Int64 }

func (c *clock) now() time.Time       { return time.UnixMilli(c.ms.Load()).UTC() }
func (c *clock) pass(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// world is a token handler over a real store and a real authorization server, a user who is
// signed in there, and one browser.
type world struct {
	t      *testing.T
	clock  *clock
	db     *store.DB
	keys   *secret.Keys
	oauth  *oauth.Server
	store  *watched
	server *counted
	apps   *bff.Server
	mux    http.Handler
	user   *identity.User
	sess   *identity.Session
	app    *client.Client
	jar    map[string]string
	failed error // what a page would show
}

// watched is a store that counts its calls and can be made to fail.
type watched struct {
	*store.DB
	down  atomic.Bool
	calls atomic.Int64
}

func (w *watched) ask() error {
	w.calls.Add(1)
	if w.down.Load() {
		return fault.New(fault.Unavailable, "the database does not answer")
	}
	return nil
}

func (w *watched) User(ctx context.Context, id identity.UserID) (*identity.User, error) {
	if err := w.ask(); err != nil {
		return nil, err
	}
	return w.DB.User(ctx, id)
}

func (w *watched) PutBFFSession(ctx context.Context, h secret.Hash, s *session.Session, ev ...audit.Event) error {
	if err := w.ask(); err != nil {
		return err
	}
	return w.DB.PutBFFSession(ctx, h, s, ev...)
}

func (w *watched) BFFSession(ctx context.Context, h secret.Hash, now time.Time, idle time.Duration) (*session.Session, error) {
	if err := w.ask(); err != nil {
		return nil, err
	}
	return w.DB.BFFSession(ctx, h, now, idle)
}

func (w *watched) TouchBFFSession(ctx context.Context, id string, now time.Time) error {
	if err := w.ask(); err != nil {
		return err
	}
	return w.DB.TouchBFFSession(ctx, id, now)
}

// counted is the authorization server, whose refreshes are counted and may be told to fail.
type counted struct {
	*token.Server
	refreshes atomic.Int64
	fail      func() error
}

func (c *counted) RedeemForSession(ctx context.Context, id client.ID, callbackPath string, call *oauth.Call) (*token.Response, error) {
	if call.Get("grant_type") == client.GrantTypeRefresh {
		c.refreshes.Add(1)
		if c.fail != nil {
			if err := c.fail(); err != nil {
				return nil, err
			}
		}
	}
	return c.Server.RedeemForSession(ctx, id, callbackPath, call)
}

type settings struct {
	oauth.Config
	idle    time.Duration
	client  func(*client.Client)
	limiter web.Limiter
}

func newWorld(t *testing.T, tweaks ...func(*settings)) *world {
	t.Helper()
	return worldOver(t, storetest.Memory(t), tweaks...)
}

func worldOver(t *testing.T, db *store.DB, tweaks ...func(*settings)) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{}, jar: map[string]string{}}
	w.clock.ms.Store(1_790_000_000_123)
	set := settings{Config: oauth.Config{
		Issuer: issuer, CodeTTL: time.Minute, AccessTTL: time.Hour, IDTokenTTL: time.Hour, RefreshTTL: 30 * 24 * time.Hour, Rotation: true,
		TokenFormat: oauth.FormatJWT, Alg: jose.ES256, DefaultScopes: []string{"openid"}, EndWithSession: true,
	}, idle: 30 * time.Minute, client: func(*client.Client) {}}
	for _, f := range tweaks {
		f(&set)
	}
	keys, err := secret.NewKeys([]byte("a master key of at least 32 bytes"))
	must(t, err)
	w.keys = keys
	w.serve(db, set)
	now := w.clock.now()
	w.user = &identity.User{
		ID: identity.UserID(secret.NewID(now)), Username: "ada", Email: "ada@example.com", Name: "Ada Lovelace", Roles: []string{"editor"},
		CreatedAt: now, UpdatedAt: now,
	}
	must(t, db.CreateUser(t.Context(), w.user))
	w.sess = identity.NewSession(w.user.ID, []string{"pwd"}, now, 7*24*time.Hour, identity.Browser{IP: "192.0.2.1", Agent: "Browser/1"})
	must(t, db.PutSession(t.Context(), w.keys.Hash("sso"), w.sess, identity.SessionTerms{}))
	w.app = &client.Client{
		ID: client.ID(secret.NewID(now)), Name: "App", Redirects: []string{callback}, PostLogout: []string{"https://app.example/bye"},
		Grants: []string{client.GrantTypeCode, client.GrantTypeRefresh}, Scopes: []string{"openid", "profile", "email", "offline_access", "notes"},
		FirstParty: true, Public: true, AuthMethod: client.MethodNone, CreatedAt: now, UpdatedAt: now,
	}
	set.client(w.app)
	must(t, db.CreateClient(t.Context(), w.app))
	return w
}

// serve makes the servers over a database.
func (w *world) serve(db *store.DB, set settings) {
	w.t.Helper()
	w.db, w.store = db, &watched{DB: db}
	ring := jose.NewRing(db, w.keys)
	must(w.t, ring.Reload(w.t.Context()))
	w.oauth = oauth.New(set.Config, db, ring, w.keys, nil)
	w.server = &counted{Server: token.New(set.Config, token.Parts{Store: db, Ring: ring, Keys: w.keys})}
	kit := web.New(web.Options{
		Now: w.clock.now, Log: slog.New(slog.DiscardHandler), BodyLimit: 1 << 20, Deadline: time.Minute, Secure: strings.HasPrefix(set.Issuer, "https:"),
		Limiter: set.limiter, Rates: map[string]web.Rate{"token": {Max: 1, Window: time.Minute}},
	})
	w.apps = bff.New(kit, w.server, w.store, w.keys, bff.Options{
		TTL: 7 * 24 * time.Hour, Idle: set.idle, Fail: func(rw http.ResponseWriter, _ *http.Request, err error) {
			w.failed = err
			rw.WriteHeader(web.Status(err))
		},
		Mismatch: w.oauth.RecordMismatch,
	})
	mux := http.NewServeMux()
	w.apps.Routes(mux)
	mux.HandleFunc("/who", func(rw http.ResponseWriter, r *http.Request) {
		c, err := w.apps.Caller(r.Context(), r)
		switch {
		case err != nil:
			rw.WriteHeader(web.Status(err))
		case c == nil:
			rw.WriteHeader(http.StatusUnauthorized)
		default:
			_ = json.NewEncoder(rw).Encode(c)
		}
	})
	w.mux = kit.Stack(mux)
}

// request is one of the browser's, with headers in pairs.
func (w *world) request(method, target string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.Host = host
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	for name, v := range w.jar {
		r.AddCookie(&http.Cookie{Name: name, Value: v})
	}
	return r
}

// do sends a request and keeps the cookies of the answer.
func (w *world) do(method, target string, headers ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	return w.send(w.request(method, target, headers...))
}

func (w *world) send(r *http.Request) *httptest.ResponseRecorder {
	w.t.Helper()
	w.failed = nil
	rec := httptest.NewRecorder()
	w.mux.ServeHTTP(rec, r)
	for _, c := range rec.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(w.jar, c.Name)
		} else {
			w.jar[c.Name] = c.Value
		}
	}
	for _, place := range append([]string{rec.Body.String()}, rec.Header().Values("Location")...) {
		if tokenPattern.MatchString(place) {
			w.t.Fatalf("a token reaches the browser: %s", place)
		}
	}
	return rec
}

// begin opens /session/login and gives the authorization request.
func (w *world) begin(query string) url.Values {
	w.t.Helper()
	rec := w.do("GET", "/session/login"+query, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document")
	if rec.Code != http.StatusSeeOther {
		w.t.Fatalf("login answers %d: %v", rec.Code, w.failed)
	}
	to, err := url.Parse(rec.Header().Get("Location"))
	must(w.t, err)
	if to.Scheme+"://"+to.Host+to.Path != issuer+"/oauth/authorize" {
		w.t.Fatalf("login leads to %s", to)
	}
	return to.Query()
}

// authorize is what the authorization endpoint answers a signed-in person, as the query of the
// callback.
func (w *world) authorize(q url.Values) url.Values {
	w.t.Helper()
	step, err := w.oauth.Authorize(w.t.Context(), &oauth.Call{Form: q, Method: "GET", Session: w.sess, Now: w.clock.now()})
	must(w.t, err)
	if step.Reply == nil || step.Reply.RedirectURI != callback {
		w.t.Fatalf("no answer to the app: %+v", step)
	}
	return step.Reply.Params
}

// signIn goes the whole way, and gives where the browser lands.
func (w *world) signIn(query string) string {
	w.t.Helper()
	return w.land(w.authorize(w.begin(query)))
}

// land opens the callback, which must succeed.
func (w *world) land(answer url.Values) string {
	w.t.Helper()
	rec := w.callback(answer)
	if rec.Code != http.StatusSeeOther {
		w.t.Fatalf("the callback answers %d: %v", rec.Code, w.failed)
	}
	return rec.Header().Get("Location")
}

func (w *world) callback(answer url.Values) *httptest.ResponseRecorder {
	w.t.Helper()
	return w.do("GET", "/session/callback?"+answer.Encode(), "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document")
}

// who returns the caller that the gateway would see, or nil.
func (w *world) who() *access.Caller {
	w.t.Helper()
	rec := w.do("GET", "/who")
	switch rec.Code {
	case http.StatusUnauthorized:
		return nil
	case http.StatusOK:
		c := &access.Caller{}
		must(w.t, json.Unmarshal(rec.Body.Bytes(), c))
		return c
	}
	w.t.Fatalf("the gateway would answer %d", rec.Code)
	return nil
}

// events counts what the audit log says of a type.
func (w *world) events(kind audit.Type) int {
	w.t.Helper()
	list, err := w.db.ListAudit(w.t.Context(), store.AuditQuery{Type: kind})
	must(w.t, err)
	return len(list)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s is %v, want %v", what, got, want)
	}
}

// together runs f by many goroutines at once.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}
