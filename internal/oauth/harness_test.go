package oauth_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

const (
	issuer   = "https://id.example"
	callback = "https://app.example/callback"

	// RFC 7636 appendix B.
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

// world is one authorization server, both halves of it, on a database in memory. Its clock
// stands still, and a user is signed in. The tests of this directory go through both packages,
// since most tokens need an authorization first; package token tests its own rules beside them.
type world struct {
	t     *testing.T
	db    *store.DB
	ring  *jose.Ring
	keys  *secret.Keys
	srv   servers
	fetch *keyServer
	owner *passwordChecker
	now   time.Time
	user  *identity.User
	sess  *identity.Session
}

// servers are the two halves of one authorization server.
type servers struct {
	*browserServer
	*tokenServer
}

type (
	browserServer = oauth.Server
	tokenServer   = token.Server
)

func newWorld(t *testing.T, tweaks ...func(*oauth.Config)) *world {
	t.Helper()
	return worldOver(t, shared.db, tweaks...)
}

// shared is the database of all worlds that do not need their own, since creating one takes
// longer than most tests. Each test has its own users and clients and checks nothing else.
var shared struct{ db *store.DB }

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	ctx := context.Background()
	db, err := store.Open(ctx, store.Options{URL: "sqlite::memory:"})
	if err == nil {
		_, err = db.Migrate(ctx)
	}
	if err == nil { // known, and given to no client
		err = db.CreateScope(ctx, &oauth.Scope{Name: "api:admin", Description: "administer the API"})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer db.Close()
	shared.db = db
	return m.Run()
}

// worldWithKey returns a world with another master key: it cannot open what other worlds sealed.
func worldWithKey(t *testing.T) *world {
	t.Helper()
	w := worldOver(t, storetest.Memory(t))
	keys, err := secret.NewKeys([]byte("another master key, also 32 bytes."))
	testkit.Must(t, err)
	w.keys, w.ring = keys, jose.NewRing(w.db, keys)
	w.restart(
		oauth.Config{
			Issuer:     issuer,
			RefreshTTL: time.Hour,
			AccessTTL:  time.Hour,
			IDTokenTTL: time.Hour,
			CodeTTL:    time.Minute,
			Alg:        jose.ES256,
		},
	)
	return w
}

func worldOver(t *testing.T, db *store.DB, tweaks ...func(*oauth.Config)) *world {
	t.Helper()
	keys, err := secret.NewKeys([]byte("a master key of at least 32 bytes"))
	testkit.Must(t, err)
	w := &world{
		t: t, db: db, keys: keys, fetch: &keyServer{}, owner: &passwordChecker{},
		now: time.Date(2026, 5, 4, 10, 0, 0, 123e6, time.UTC), // between two seconds, as tokens round down
	}
	cfg := oauth.Config{
		Issuer: issuer, CodeTTL: time.Minute, AccessTTL: time.Hour, IDTokenTTL: time.Hour, RefreshTTL: 30 * 24 * time.Hour,
		RefreshAbsolute: 365 * 24 * time.Hour, DeviceTTL: 10 * time.Minute, Rotation: true, TokenFormat: oauth.FormatJWT, Alg: jose.ES256,
		DefaultScopes: []string{"openid"}, EndWithSession: true,
	}
	for _, f := range tweaks {
		f(&cfg)
	}
	w.ring = jose.NewRing(w.db, keys)
	testkit.Must(t, w.ring.Reload(t.Context()))
	w.restart(cfg)
	w.user = w.newUser("ada")
	w.sess = w.signIn(w.user, "pwd")
	return w
}

// restart replaces the servers of the world by new ones with other settings.
func (w *world) restart(cfg oauth.Config) {
	w.srv = servers{oauth.New(cfg, w.db, w.ring, w.keys, w.fetch), token.New(cfg, token.Parts{
		Store: w.db, Ring: w.ring, Keys: w.keys, Fetch: w.fetch, Passwords: w.owner,
	})}
}

func (w *world) newUser(name string) *identity.User {
	w.t.Helper()
	id := secret.NewID(w.now)
	name += id[len(id)-12:]
	u := &identity.User{
		ID: identity.UserID(
			id,
		), Username: name, Email: name + "@example.com", EmailVerified: true, Name: "Ada Lovelace",
		Phone: "+44 20 7946 0000", Locale: "en-GB", Zoneinfo: "Europe/London", Address: identity.Address{Locality: "London", Country: "GB"},
		MiddleName: "King", Nickname: "Countess", Profile: "https://example.com/ada", Website: "https://ada.example",
		Gender: "female", Birthdate: "1815-12-10",
		Roles: []string{"editor"}, CreatedAt: w.now.Add(-time.Hour), UpdatedAt: w.now.Add(-time.Hour),
	}
	testkit.Must(w.t, w.db.CreateUser(w.t.Context(), u))
	return u
}

func (w *world) signIn(u *identity.User, amr ...string) *identity.Session {
	w.t.Helper()
	s := identity.NewSession(u.ID, amr, w.now, 7*24*time.Hour, identity.Browser{IP: "192.0.2.1", Agent: "Browser/1"})
	testkit.Must(
		w.t,
		w.db.PutSession(w.t.Context(), w.keys.Hash(secret.NewToken(secret.PrefixSession)), s, identity.SessionTerms{}),
	)
	return s
}

// reauthenticated returns a session whose person has just signed in again.
func (w *world) reauthenticated(s *identity.Session, amr ...string) *identity.Session {
	n := *s
	n.AuthTime = w.now
	if len(amr) > 0 {
		n.AMR, n.ACR = amr, identity.ACRFor(amr)
	}
	return &n
}

// thisBrowser marks the browser of the tests.
const thisBrowser = "the browser of the test"

const testSecret = "gth_cs_the-secret-of-the-test"

// client registers a confidential client, altered by edit.
func (w *world) client(edit ...func(*client.Client)) *client.Client {
	w.t.Helper()
	c := &client.Client{
		ID: client.ID(
			secret.NewID(w.now),
		), Name: "App", Redirects: []string{callback}, PostLogout: []string{"https://app.example/bye"},
		Grants: []string{
			client.GrantTypeCode,
			client.GrantTypeRefresh,
			client.GrantTypeClient,
			client.GrantTypeDevice,
		},
		Scopes: []string{
			"openid",
			"profile",
			"email",
			"address",
			"phone",
			"offline_access",
			"api:read",
			"api:write",
		},
		Resources: []string{
			"https://api.example",
			"https://files.example",
		}, FirstParty: true, CreatedAt: w.now, UpdatedAt: w.now,
		Secrets: []client.Secret{{ID: secret.NewID(w.now), Hash: w.keys.Hash(testSecret), CreatedAt: w.now}},
	}
	for _, f := range edit {
		f(c)
	}
	testkit.Must(w.t, w.db.CreateClient(w.t.Context(), c))
	return c
}

func public(c *client.Client) {
	c.Public, c.AuthMethod, c.Secrets = true, client.MethodNone, nil
}

// call returns a request with parameters, given as pairs of name and value.
func (w *world) call(pairs ...string) *oauth.Call {
	f := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] == "resource" {
			f.Add(pairs[i], pairs[i+1])
			continue
		}
		f.Set(pairs[i], pairs[i+1]) // the last one counts
	}
	return &oauth.Call{Form: f, Method: "POST", IP: "192.0.2.7", Agent: "App/1", RequestID: "REQ", Now: w.now}
}

// from returns a call that authenticates the client.
func (w *world) from(cl *client.Client, pairs ...string) *oauth.Call {
	c := w.call(pairs...)
	if cl.Public {
		c.Form.Set("client_id", string(cl.ID))
	} else {
		c.Authorization = basic(string(cl.ID), testSecret)
	}
	return c
}

func basic(id, pass string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(pass)))
}

func bearer(token string) func(*oauth.Call) {
	return func(c *oauth.Call) { c.Authorization = "Bearer " + token }
}

// authorizationRequest returns an authorization request. Pairs replace its defaults; an empty
// value removes a parameter.
func (w *world) authorizationRequest(cl *client.Client, pairs ...string) *oauth.Call {
	c := w.call(
		"client_id", string(cl.ID), "response_type", "code", "redirect_uri", callback, "scope",
		"openid", "state", "xyz", "code_challenge", challenge, "code_challenge_method", "S256",
	)
	c.Method, c.Session, c.Browser = "GET", w.sess, thisBrowser
	set := map[string]bool{}
	for i := 0; i+1 < len(pairs); i += 2 {
		switch {
		case pairs[i+1] == "":
			c.Form.Del(pairs[i])
		case set[pairs[i]]:
			c.Form.Add(pairs[i], pairs[i+1])
		default:
			c.Form.Set(pairs[i], pairs[i+1])
		}
		set[pairs[i]] = true
	}
	return c
}

func (w *world) authorize(cl *client.Client, pairs ...string) *oauth.Step {
	w.t.Helper()
	st, err := w.srv.Authorize(w.t.Context(), w.authorizationRequest(cl, pairs...))
	testkit.Must(w.t, err)
	return st
}

// code returns the code of an authorization, giving consent if it is requested.
func (w *world) code(cl *client.Client, pairs ...string) string {
	w.t.Helper()
	c := w.authorizationRequest(cl, pairs...)
	st, err := w.srv.Authorize(w.t.Context(), c)
	testkit.Must(w.t, err)
	if st.Consent != nil {
		st = w.answer(st, c.Session, true)
	}
	code := params(w.t, st).Get("code")
	if code == "" {
		w.t.Fatalf("no code but %v", params(w.t, st))
	}
	return code
}

// answer submits a consent page.
func (w *world) answer(st *oauth.Step, sess *identity.Session, approve bool) *oauth.Step {
	w.t.Helper()
	sealed, err := w.srv.SealFlow(st.Consent)
	testkit.Must(w.t, err)
	c := w.call()
	c.Session = sess
	next, err := w.srv.Consent(w.t.Context(), c, sealed, approve)
	testkit.Must(w.t, err)
	return next
}

// back sends the browser from a page back to the authorization endpoint.
func (w *world) back(f *oauth.Flow, sess *identity.Session) (*oauth.Step, error) {
	w.t.Helper()
	sealed, err := w.srv.SealFlow(f)
	testkit.Must(w.t, err)
	c := w.call("flow", sealed)
	c.Method, c.Session, c.Browser = "GET", sess, thisBrowser
	return w.srv.Authorize(w.t.Context(), c)
}

func (w *world) token(cl *client.Client, pairs ...string) (*token.Response, error) {
	return w.srv.Token(w.t.Context(), w.from(cl, pairs...))
}

func (w *world) redeem(cl *client.Client, code string, pairs ...string) (*token.Response, error) {
	return w.token(cl, append([]string{"grant_type", "authorization_code", "code", code, "redirect_uri", callback, "code_verifier", verifier}, pairs...)...)
}

// login returns the tokens of an authorization.
func (w *world) login(cl *client.Client, pairs ...string) *token.Response {
	w.t.Helper()
	r, err := w.redeem(cl, w.code(cl, pairs...))
	testkit.Must(w.t, err)
	return r
}

func (w *world) refresh(cl *client.Client, token string, pairs ...string) (*token.Response, error) {
	return w.token(cl, append([]string{"grant_type", "refresh_token", "refresh_token", token}, pairs...)...)
}

func (w *world) access(token string) (*oauth.AccessToken, error) {
	return w.srv.Access(w.t.Context(), token, w.now)
}

// wantActive and wantRevoked check whether an access token is active.
func (w *world) wantActive(token string) {
	w.t.Helper()
	_, err := w.access(token)
	testkit.Must(w.t, err)
}

func (w *world) wantRevoked(token string) {
	w.t.Helper()
	if _, err := w.access(token); !fault.Is(err, fault.Denied) {
		w.t.Fatalf("an access token that must be dead answers %v", err)
	}
}

func (w *world) advance(d time.Duration) { w.now = w.now.Add(d) }

// wantError checks the wire form of an error.
func wantError(t *testing.T, err error, code string, status int) *oauth.Error {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, but %s was due", code)
	}
	e := oauth.Wire(err)
	if e.Code != code || e.Status != status {
		t.Fatalf("answer %s %d (%s), but %s %d was due; from %v", e.Code, e.Status, e.Description, code, status, err)
	}
	for _, r := range e.Description { // RFC 6749 §5.2
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			t.Fatalf("error_description %q holds %q", e.Description, r)
		}
	}
	return e
}

// wantPage checks that an error is for the person at the browser, with a text.
func wantPage(t *testing.T, st *oauth.Step, err error) {
	t.Helper()
	if err == nil {
		t.Fatalf("a page was due, but the browser goes on: %+v", st)
	}
	if !fault.Is(err, fault.Invalid) || fault.Text(err) == "" {
		t.Fatalf("not an error that a page can explain: %v", err)
	}
}

// params returns the parameters that a step sends to the client.
func params(t *testing.T, st *oauth.Step) url.Values {
	t.Helper()
	if st == nil || st.Reply == nil {
		t.Fatalf("no reply to the client: %+v", st)
	}
	return st.Reply.Params
}

// wantReply checks an error that is sent to the client, with state and iss.
func wantReply(t *testing.T, st *oauth.Step, err error, code string) {
	t.Helper()
	testkit.Must(t, err)
	p := params(t, st)
	if p.Get("error") != code || p.Has("code") {
		t.Fatalf("reply %v, but error %s was due", p, code)
	}
	if p.Get("state") != "xyz" || p.Get("iss") != issuer {
		t.Fatalf("reply %v lacks state or iss", p)
	}
}

// list compares two lists of strings.
func list(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s is %q, want %q", what, got, want)
	}
}

// claims returns the payload of a JWT without verifying it.
func claims(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is not a JWT", token)
	}
	return object(t, parts[1])
}

func header(t *testing.T, token string) map[string]any {
	t.Helper()
	return object(t, strings.Split(token, ".")[0])
}

func object(t *testing.T, part string) map[string]any {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(part)
	testkit.Must(t, err)
	var m map[string]any
	testkit.Must(t, json.Unmarshal(raw, &m))
	return m
}

func absent(t *testing.T, m map[string]any, names ...string) {
	t.Helper()
	for _, n := range names {
		if v, ok := m[n]; ok {
			t.Fatalf("%s must not be there, but is %v", n, v)
		}
	}
}

// race runs f n times concurrently and counts the results by error code; "" is success.
func race(t *testing.T, n int, f func(i int) error) map[string]int {
	t.Helper()
	start, got := make(chan struct{}), make(chan string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			code := ""
			if err := f(i); err != nil {
				code = oauth.Wire(err).Code
			}
			got <- code
		})
	}
	close(start)
	wg.Wait()
	close(got)
	out := map[string]int{}
	for c := range got {
		out[c]++
	}
	return out
}

// keyServer serves clients' key sets and records its requests.
type keyServer struct {
	mu       sync.Mutex
	cached   []byte // an older copy
	fresh    []byte
	requests []bool // fresh of each request
	broken   bool
}

func (k *keyServer) KeySet(_ context.Context, _ string, fresh bool) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.requests = append(k.requests, fresh)
	switch {
	case k.broken:
		return nil, fault.New(fault.Unavailable, "no route")
	case fresh:
		return k.fresh, nil
	}
	return k.cached, nil
}

// passwordChecker accepts one password.
type passwordChecker struct {
	user      *identity.User
	err       error
	meanwhile func() // runs between the comparison and its result, if not nil
}

func (d *passwordChecker) ResourceOwner(_ context.Context, _ *oauth.Call, _, password string) (*identity.User, error) {
	if d.err != nil {
		return nil, d.err
	}
	if password != "right" {
		return nil, fault.New(fault.Denied, "The name or the password is “wrong”.")
	}
	if d.meanwhile != nil {
		d.meanwhile()
	}
	return d.user, nil
}
