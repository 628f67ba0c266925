package protocol_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
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
	"github.com/gatehouse-id/gatehouse/internal/web"
	"github.com/gatehouse-id/gatehouse/internal/web/protocol"
)

const (
	issuer     = "https://id.example"
	callback   = "https://app.example/callback"
	testSecret = "the-secret"
	formType   = "application/x-www-form-urlencoded"
	jsonType   = "application/json"
	verifier   = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge  = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

// site serves the endpoints of one server without a network.
type site struct {
	t       *testing.T
	db      *store.DB
	keys    *secret.Keys
	now     time.Time
	oauth   *oauth.Server
	tokens  *token.Server
	handler http.Handler
	browser *browser
	limiter *limiter
	cl      *client.Client
	user    *identity.User
	age     atomic.Int64 // of what the server knows of revocations
}

// aging is a store that has last asked for revocations when the test says.
type aging struct {
	*store.DB
	age *atomic.Int64
}

func (a aging) KnowledgeAge() time.Duration { return time.Duration(a.age.Load()) }

func newSite(t *testing.T, tweaks ...func(*oauth.Config)) *site {
	t.Helper()
	keys, err := secret.NewKeys([]byte("a master key of at least 32 bytes"))
	testkit.Must(t, err)
	s := &site{
		t:       t,
		db:      storetest.Memory(t),
		keys:    keys,
		now:     time.Date(2026, 5, 4, 10, 0, 0, 5e8, time.UTC),
		limiter: &limiter{},
	}
	ring := jose.NewRing(s.db, keys)
	cfg := oauth.Config{
		Issuer: issuer, CodeTTL: time.Minute, AccessTTL: time.Hour, IDTokenTTL: time.Hour, RefreshTTL: time.Hour, DeviceTTL: time.Minute, Rotation: true,
		TokenFormat: oauth.FormatJWT, Alg: jose.ES256, DefaultScopes: []string{"openid"}, EndWithSession: true,
	}
	for _, f := range tweaks {
		f(&cfg)
	}
	s.oauth = oauth.New(cfg, s.db, ring, keys, nil)
	s.tokens = token.New(cfg, token.Parts{Store: aging{s.db, &s.age}, Ring: ring, Keys: keys})
	s.user = &identity.User{ID: identity.UserID(secret.NewID(s.now)), Email: "ada@example.com", CreatedAt: s.now}
	testkit.Must(t, s.db.CreateUser(t.Context(), s.user))
	sess := identity.NewSession(s.user.ID, []string{"pwd"}, s.now, time.Hour, identity.Browser{})
	testkit.Must(t, s.db.PutSession(t.Context(), "cookie", sess, identity.SessionTerms{}))
	s.cl = &client.Client{
		ID: "app", Name: "App", FirstParty: true, Redirects: []string{callback}, PostLogout: []string{"https://app.example/bye"},
		Grants: []string{client.GrantTypeCode, client.GrantTypeRefresh, client.GrantTypeClient, client.GrantTypeDevice},
		Scopes: []string{"openid", "email", "api:read"}, CreatedAt: s.now, UpdatedAt: s.now,
		Secrets: []client.Secret{{ID: "s1", Hash: keys.Hash(testSecret), CreatedAt: s.now}},
	}
	testkit.Must(t, s.db.CreateClient(t.Context(), s.cl))
	kit := web.New(web.Options{
		Now: func() time.Time { return s.now }, Log: slog.New(slog.DiscardHandler), BodyLimit: 64 << 10, Deadline: time.Minute, Secure: true, Origin: issuer,
		Limiter: s.limiter, Rates: map[string]web.Rate{"token": {Max: 5, Window: time.Minute}, "device": {Max: 5, Window: time.Minute}},
	})
	s.browser = &browser{session: sess}
	mux := http.NewServeMux()
	protocol.New(kit, s.oauth, s.tokens, s.browser).Routes(mux)
	s.handler = kit.Stack(mux)
	return s
}

// limiter allows everything until full is set.
type limiter struct{ full bool }

func (l *limiter) Take(context.Context, string, web.Rate) web.LimitResult {
	if l.full {
		return web.LimitResult{RetryAfter: 7 * time.Second}
	}
	return web.LimitResult{Allowed: true, Remaining: 4}
}

// browser replaces the pages: it writes the steps that it gets.
type browser struct{ session *identity.Session }

func (b *browser) Accounts(*http.Request) ([]oauth.BrowserAccount, error) { return nil, nil }

func (b *browser) Session(r *http.Request) (*identity.Session, error) {
	if r.Header.Get("Cookie") == "" {
		return nil, nil
	}
	return b.session, nil
}

func (b *browser) FollowStep(w http.ResponseWriter, _ *http.Request, st *oauth.Step) error {
	switch {
	case st.Login != nil:
		_, _ = io.WriteString(w, "login page")
	case st.Consent != nil:
		_, _ = io.WriteString(w, "consent page")
	default:
		w.Header().Set("Location", st.Reply.Location())
		w.WriteHeader(http.StatusSeeOther)
	}
	return nil
}

func (b *browser) FollowLogout(w http.ResponseWriter, _ *http.Request, st *oauth.LogoutStep) error {
	switch {
	case st.Confirm != nil:
		_, _ = io.WriteString(w, "confirm page")
	case st.Redirect != "":
		w.Header().Set("Location", st.Redirect)
		w.WriteHeader(http.StatusSeeOther)
	default:
		_, _ = io.WriteString(w, "goodbye page")
	}
	return nil
}

func (b *browser) Fail(w http.ResponseWriter, _ *http.Request, err error) {
	w.WriteHeader(web.Status(err))
	_, _ = io.WriteString(w, "error page: "+fault.Text(err))
}

// do sends a request; heads are name, value.
func (s *site) do(method, target, kind, body string, heads ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	for i := 0; i+1 < len(heads); i += 2 {
		r.Header.Add(heads[i], heads[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

func basic(id, pass string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+pass))
}

func object(t *testing.T, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	if ct := w.Header().Get("Content-Type"); ct != jsonType {
		t.Fatalf("%d %s: %s", w.Code, ct, w.Body)
	}
	var m map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	return m
}

// failed checks an error of a protocol endpoint: status, code, JSON, no-store.
func failed(t *testing.T, w *httptest.ResponseRecorder, status int, code string) map[string]any {
	t.Helper()
	m := object(t, w)
	if w.Code != status || m["error"] != code || m["error_description"] == "" {
		t.Fatalf("%d %v, but %d %s was due", w.Code, m, status, code)
	}
	if w.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("an error may be kept: %s", w.Header().Get("Cache-Control"))
	}
	return m
}

func (s *site) clientToken(scope string) string {
	s.t.Helper()
	m := object(
		s.t,
		s.do(
			"POST", "/oauth/token", formType,
			"grant_type=client_credentials&scope="+url.QueryEscape(scope), "Authorization",
			basic("app", testSecret),
		),
	)
	return m["access_token"].(string)
}

// userToken goes through the authorization endpoint.
func (s *site) userToken() map[string]any {
	s.t.Helper()
	w := s.do("GET", "/oauth/authorize?"+s.ask(), "", "", "Cookie", "x=y")
	u, err := url.Parse(w.Header().Get("Location"))
	testkit.Must(s.t, err)
	form := url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {u.Query().Get("code")},
		"redirect_uri":  {callback},
		"code_verifier": {verifier},
	}
	w = s.do("POST", "/oauth/token", formType, form.Encode(), "Authorization", basic("app", testSecret))
	if w.Code != 200 {
		s.t.Fatalf("%s", w.Body)
	}
	return object(s.t, w)
}

func (s *site) ask() string {
	return url.Values{
		"client_id": {
			"app",
		}, "response_type": {"code"}, "redirect_uri": {callback}, "scope": {"openid email"}, "state": {"xyz"},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}.Encode()
}

// Every address responds with its own kind of document.
func TestAliases(t *testing.T) {
	s := newSite(t)
	user := s.userToken()["access_token"].(string)
	auth, bearer := []string{"Authorization", basic("app", testSecret)}, []string{"Authorization", "Bearer " + user}
	for _, c := range []struct {
		method, body string
		heads        []string
		paths        []string
		member       string // of the response
	}{
		{"GET", "", nil, []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"}, "issuer"},
		{"GET", "", nil, []string{"/.well-known/jwks.json", "/oauth/jwks"}, "keys"},
		{"POST", "grant_type=client_credentials", auth, []string{"/oauth/token", "/token", "/api/v1/token"}, "access_token"},
		{"POST", "token=" + user, auth, []string{"/oauth/introspect", "/token/introspect"}, "active"},
		{"GET", "", bearer, []string{"/oauth/userinfo", "/userinfo", "/oauth2/userinfo"}, "sub"},
		{"POST", "", bearer, []string{"/oauth/userinfo", "/userinfo", "/oauth2/userinfo"}, "sub"},
		{"GET", "", bearer, []string{"/oauth/tokeninfo"}, "client_id"},
		{"POST", "scope=openid", auth, []string{"/oauth/device/code", "/device/code", "/device"}, "device_code"},
	} {
		for _, path := range c.paths {
			kind := formType
			if c.body == "" {
				kind = ""
			}
			w := s.do(c.method, path, kind, c.body, c.heads...)
			if w.Code != 200 || object(t, w)[c.member] == nil {
				t.Errorf("%s %s: %d %s", c.method, path, w.Code, w.Body)
			}
		}
	}
	for _, path := range []string{"/oauth/authorize", "/authorize"} {
		if w := s.do("GET", path+"?"+s.ask(), "", "", "Cookie", "x=y"); w.Code != 303 ||
			!strings.HasPrefix(w.Header().Get("Location"), callback+"?code=") {
			t.Errorf("%s: %d %s", path, w.Code, w.Header())
		}
	}
	for _, path := range []string{"/oauth/logout", "/logout"} {
		if w := s.do("GET", path, "", ""); w.Body.String() != "goodbye page" {
			t.Errorf("%s: %s", path, w.Body)
		}
	}
	for _, path := range []string{"/oauth/revoke", "/token/revoke"} {
		if w := s.do("POST", path, formType, "token=x", auth...); w.Code != 200 || w.Body.Len() != 0 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// Everything that discovery advertises is at its address.
func TestDiscoveryLeadsSomewhere(t *testing.T) {
	s := newSite(t)
	m := object(t, s.do("GET", "/.well-known/openid-configuration", "", ""))
	n := 0
	for name, v := range m {
		uri, _ := v.(string)
		if !strings.HasSuffix(name, "_endpoint") && name != "jwks_uri" {
			continue
		}
		if name == "registration_endpoint" {
			continue // Registrations serves it, with tests of their own
		}
		n++
		path := strings.TrimPrefix(uri, issuer)
		if got, post := s.do("GET", path, "", "").Code, s.do("POST", path, formType, "").Code; got == 404 ||
			(got == 405 && post == 405) {
			t.Errorf("%s at %s: %d, %d", name, path, got, post)
		}
	}
	if n < 8 {
		t.Errorf("%d addresses", n)
	}
}

func TestJSONBodies(t *testing.T) {
	s := newSite(t)
	w := s.do(
		"POST",
		"/oauth/token",
		jsonType,
		`{"grant_type":"client_credentials","client_id":"app","client_secret":"the-secret","scope":"api:read"}`,
	)
	if m := object(t, w); w.Code != 200 || m["scope"] != "api:read" {
		t.Fatalf("%s", w.Body)
	}
	w = s.do("POST", "/device", jsonType, `{"client_id":"app","client_secret":"the-secret"}`)
	if m := object(t, w); w.Code != 200 || m["user_code"] == nil {
		t.Fatalf("%s", w.Body)
	}
	for _, path := range []string{"/oauth/introspect", "/oauth/revoke", "/oauth/userinfo"} {
		failed(t, s.do("POST", path, jsonType, `{"token":"x","client_id":"app","client_secret":"the-secret"}`), 400, "invalid_request")
	}
}

// Errors of the token endpoint for malformed requests.
func TestTokenEndpointErrors(t *testing.T) {
	s := newSite(t)
	auth := []string{"Authorization", basic("app", testSecret)}
	for name, c := range map[string]struct {
		method, target, kind, body string
		heads                      []string
		status                     int
		code                       string
	}{
		"repeated parameter": {"POST", "/oauth/token", formType, "grant_type=client_credentials&grant_type=client_credentials", auth, 400, "invalid_request"},
		"no body":            {"POST", "/oauth/token", "", "", auth, 400, "invalid_request"},
		"no client":          {"POST", "/oauth/token", formType, "grant_type=client_credentials", nil, 401, "invalid_client"},
		"wrong secret":       {"POST", "/oauth/token", formType, "grant_type=client_credentials", []string{"Authorization", basic("app", "x")}, 401, "invalid_client"},
		"unknown grant":      {"POST", "/oauth/token", formType, "grant_type=x", auth, 400, "unsupported_grant_type"},
		"multipart":          {"POST", "/oauth/token", "multipart/form-data; boundary=x", "--x--", auth, 400, "invalid_request"},
		"not UTF-8":          {"POST", "/oauth/token", formType, "grant_type=%ff", auth, 400, "invalid_request"},
		"too large":          {"POST", "/oauth/token", formType, "a=" + strings.Repeat("x", 65<<10), auth, 413, "invalid_request"},
		"too large, JSON":    {"POST", "/oauth/token", jsonType, `{"a":"` + strings.Repeat("x", 65<<10) + `"}`, auth, 413, "invalid_request"},
		"secret in address":  {"POST", "/oauth/token?client_secret=x", formType, "grant_type=client_credentials", auth, 400, "invalid_request"},
		"two credentials":    {"POST", "/oauth/token", formType, "grant_type=client_credentials", append([]string{"Authorization", "Basic eDp5"}, auth...), 400, "invalid_request"},
		"code with newlines": {"POST", "/oauth/token", formType, "grant_type=authorization_code&code=gth_ac_" + strings.Repeat("A", 40) + "%0A" + strings.Repeat("A", 7), auth, 400, "invalid_grant"},
		"quotes in a scope":  {"POST", "/oauth/token", formType, "grant_type=client_credentials&scope=%22", auth, 400, "invalid_scope"},
	} {
		t.Run(name, func(t *testing.T) {
			w := s.do(c.method, c.target, c.kind, c.body, c.heads...)
			failed(t, w, c.status, c.code)
			if strings.Contains(w.Body.String(), "goroutine") {
				t.Error("a stack trace")
			}
		})
	}
}

// RFC 9110 §15.5.6.
func TestWrongMethod(t *testing.T) {
	s := newSite(t)
	for _, c := range []struct{ method, path, allow string }{
		{"GET", "/oauth/token", "POST, OPTIONS"},
		{"HEAD", "/token", "POST, OPTIONS"},
		{"PUT", "/api/v1/token", "POST, OPTIONS"},
		{"GET", "/oauth/introspect", "POST, OPTIONS"},
		{"DELETE", "/oauth/revoke", "POST, OPTIONS"},
		{"POST", "/.well-known/openid-configuration", "GET, HEAD, OPTIONS"},
		{"POST", "/oauth/jwks", "GET, HEAD, OPTIONS"},
		{"PATCH", "/oauth/userinfo", "GET, HEAD, POST, OPTIONS"},
		{"PUT", "/oauth/authorize", "GET, HEAD, POST, OPTIONS"},
		{"PUT", "/device", "GET, HEAD, POST, OPTIONS"},
		{"GET", "/oauth/device/code", "POST, OPTIONS"},
		{"BREW", "/oauth/tokeninfo", "GET, HEAD, OPTIONS"},
	} {
		w := s.do(c.method, c.path, "", "")
		if c.method == "HEAD" { // RFC 9110 §9.3.2: no body
			if w.Code != 405 {
				t.Errorf("%s %s: %d", c.method, c.path, w.Code)
			}
		} else {
			failed(t, w, 405, "invalid_request")
		}
		if got := w.Header().Get("Allow"); got != c.allow {
			t.Errorf("%s %s: Allow %q", c.method, c.path, got)
		}
	}
}

func TestUnknownAddress(t *testing.T) {
	s := newSite(t)
	for _, path := range []string{"/oauth/nothing", "/.well-known/nothing", "/oauth/token/"} {
		failed(t, s.do("POST", path, formType, "x=y"), 404, "not_found")
	}
}

func TestHEAD(t *testing.T) {
	s := newSite(t)
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/jwks.json"} {
		if w := s.do("HEAD", path, "", ""); w.Code != 200 || w.Header().Get("Content-Type") != jsonType {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
}

// RFC 6749 §5.1: token responses must not be cached; discovery may be, for a while.
func TestCaching(t *testing.T) {
	s := newSite(t)
	auth := []string{"Authorization", basic("app", testSecret)}
	for _, c := range []struct{ method, path, body, want string }{
		{"POST", "/oauth/token", "grant_type=client_credentials", "no-store"},
		{"POST", "/oauth/introspect", "token=x", "no-store"},
		{"POST", "/oauth/revoke", "token=x", "no-store"},
		{"POST", "/device", "scope=openid", "no-store"},
		{"GET", "/oauth/authorize?" + s.ask(), "", "no-store"},
		{"GET", "/logout", "", "no-store"},
		{"GET", "/.well-known/openid-configuration", "", "public, max-age=300"},
		{"GET", "/.well-known/jwks.json", "", "public, max-age=300"},
	} {
		if got := s.do(c.method, c.path, formType, c.body, auth...).Header().Get("Cache-Control"); got != c.want {
			t.Errorf("%s: %q", c.path, got)
		}
	}
}

// The Fetch Standard's CORS protocol: scripts of any origin may call what uses no cookie, and
// nothing else.
func TestCORS(t *testing.T) {
	s := newSite(t)
	for path, open := range map[string]bool{
		"/oauth/token": true, "/oauth/revoke": true, "/oauth/userinfo": true, "/oauth/device/code": true, "/.well-known/openid-configuration": true, "/oauth/jwks": true,
		"/oauth/introspect": false, "/oauth/authorize": false, "/oauth/logout": false,
	} {
		method := "POST"
		if strings.HasPrefix(path, "/.well-known") || path == "/oauth/jwks" || path == "/oauth/authorize" ||
			path == "/oauth/logout" {
			method = "GET"
		}
		w := s.do(method, path, formType, "", "Origin", "https://spa.example")
		if got := w.Header().Get("Access-Control-Allow-Origin") == "*"; got != open {
			t.Errorf("%s: open %v", path, got)
		}
		before := s.do("OPTIONS", path, "", "", "Origin", "https://spa.example", "Access-Control-Request-Method", method)
		if got := before.Header().Get("Access-Control-Allow-Origin") == "*"; got != open || before.Code != 204 {
			t.Errorf("%s: preflight %d, open %v", path, before.Code, got)
		}
		if w.Header().Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: with credentials", path)
		}
	}
}

// Scripts may send any header to an endpoint where no cookie takes part, and read our own ones in
// every response, also in errors.
func TestPreflightsAllowAnyHeader(t *testing.T) {
	s := newSite(t)
	const any = "authorization,dpop,mcp-protocol-version,sentry-trace,traceparent,x-requested-with"
	for path, method := range map[string]string{
		"/.well-known/openid-configuration": "GET", "/.well-known/oauth-authorization-server": "GET",
		"/.well-known/jwks.json": "GET", "/oauth/jwks": "GET", "/oauth/token": "POST",
		"/oauth/userinfo": "GET", "/oauth/tokeninfo": "GET", "/oauth/revoke": "POST",
		"/oauth/device/code": "POST",
	} {
		preflight := func(names string) *httptest.ResponseRecorder {
			return s.do("OPTIONS", path, "", "", "Origin", "https://spa.example",
				"Access-Control-Request-Method", method, "Access-Control-Request-Headers", names)
		}
		w := preflight(any)
		if h := w.Header(); w.Code != 204 || h.Get("Access-Control-Allow-Headers") != any ||
			!strings.Contains(h.Get("Access-Control-Allow-Methods"), method) {
			t.Errorf("%s: preflight %d %v", path, w.Code, h)
		}
		for _, bad := range []string{strings.Repeat("a", 1025), "a: b", "a\u007fb", "<script>"} {
			if got := preflight(bad).Header().Get("Access-Control-Allow-Headers"); got != "" {
				t.Errorf("%s: %q allows %q", path, bad, got)
			}
		}
		for _, m := range []string{method, "PATCH"} {
			h := s.do(m, path, "", "").Header()
			for _, name := range []string{
				"WWW-Authenticate", "DPoP-Nonce", "Retry-After", "X-RateLimit-Remaining",
			} {
				if !strings.Contains(h.Get("Access-Control-Expose-Headers"), name) ||
					h.Get("Access-Control-Allow-Origin") != "*" {
					t.Errorf("%s %s: %s is not exposed: %v", m, path, name, h)
				}
			}
		}
	}
}

// RFC 6749 §5.2, RFC 6750 §3: the forms of the challenge.
func TestChallenges(t *testing.T) {
	s := newSite(t)
	machine := s.clientToken("api:read")
	for name, c := range map[string]struct {
		w    *httptest.ResponseRecorder
		code int
		want string
	}{
		"client, Basic": {
			s.do("POST", "/oauth/token", formType, "grant_type=client_credentials", "Authorization", basic("app", "x")), 401, `Basic realm="` + issuer + `"`,
		},
		"client, post": {s.do("POST", "/oauth/token", formType, "grant_type=client_credentials&client_id=app&client_secret=x"), 401, ""},
		"no token":     {s.do("GET", "/oauth/userinfo", "", ""), 401, `Bearer realm="` + issuer + `"`},
		"bad token": {
			s.do("GET", "/oauth/userinfo", "", "", "Authorization", "Bearer x"), 401,
			`Bearer realm="` + issuer + `", error="invalid_token", error_description="The access token is invalid, expired or revoked."`,
		},
		"scope": {
			s.do("GET", "/oauth/userinfo", "", "", "Authorization", "Bearer "+machine), 403,
			`Bearer realm="` + issuer + `", error="insufficient_scope", error_description="The access token is not one of a user with the scope openid, profile or email.", scope="openid"`,
		},
	} {
		if got := c.w.Header().Get("WWW-Authenticate"); got != c.want || c.w.Code != c.code {
			t.Errorf("%s: %d %s", name, c.w.Code, got)
		}
	}
	if all := s.do("GET", "/oauth/userinfo", "", "").Header().Values("WWW-Authenticate"); len(all) != 2 ||
		!strings.HasPrefix(all[1], `DPoP realm="`+issuer+`", algs="ES256 `) {
		t.Errorf("no token: %q", all) // RFC 9449 §7.1: the other way to present one
	}
	if w := s.do("GET", "/oauth/userinfo", "", ""); w.Body.Len() != 0 { // RFC 6750 §3.1
		t.Errorf("no token: says %s", w.Body)
	}
}

// RFC 6750 §5.3, RFC 9700 §4.3.2.
func TestTokenInAddress(t *testing.T) {
	s := newSite(t)
	token := s.userToken()["access_token"].(string)
	for _, path := range []string{"/oauth/userinfo", "/oauth/tokeninfo"} {
		failed(t, s.do("GET", path+"?access_token="+token, "", ""), 400, "invalid_request")
	}
	failed(t, s.do("POST", "/oauth/userinfo?access_token="+token, "", ""), 400, "invalid_request")
	if w := s.do("POST", "/oauth/userinfo", formType, "access_token="+token); w.Code != 200 { // §2.2
		t.Errorf("%s", w.Body)
	}
}

func TestRateLimited(t *testing.T) {
	s := newSite(t)
	s.limiter.full = true
	w := s.do(
		"POST", "/oauth/token", formType, "grant_type=client_credentials", "Authorization",
		basic("app", testSecret),
	)
	m := failed(t, w, 429, "rate_limit_exceeded")
	if m["retry_after"] != 7.0 || w.Header().Get("Retry-After") != "7" || w.Header().Get("X-RateLimit-Limit") != "5" ||
		w.Header().Get("X-RateLimit-Remaining") != "0" {
		t.Errorf("%v %v", m, w.Header())
	}
}

// An error of storage is a 500 with a request id and no details.
func TestServerTrouble(t *testing.T) {
	s := newSite(t)
	testkit.Must(t, s.db.Close())
	w := s.do(
		"POST", "/oauth/token", formType, "grant_type=refresh_token&refresh_token=x&scope=y",
		"Authorization", basic("app", "wrong"),
	)
	m := object(t, w)
	if w.Code < 500 || m["request_id"] != w.Header().Get("X-Request-Id") || strings.Contains(w.Body.String(), "sql") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A full authorization over HTTP, with PKCE, to userinfo and logout.
func TestCodeFlowOverHTTP(t *testing.T) {
	s := newSite(t)
	m := s.userToken()
	if w := s.do("GET", "/oauth/userinfo", "", "", "Authorization", "Bearer "+m["access_token"].(string)); object(t, w)["email"] != "ada@example.com" {
		t.Fatalf("%s", w.Body)
	}
	w := s.do(
		"GET",
		"/oauth/logout?"+url.Values{
			"id_token_hint":            {m["id_token"].(string)},
			"post_logout_redirect_uri": {"https://app.example/bye"},
		}.Encode(),
		"",
		"",
		"Cookie",
		"x=y",
	)
	if w.Code != 303 || w.Header().Get("Location") != "https://app.example/bye" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	failed(t, s.do("GET", "/oauth/userinfo", "", "", "Authorization", "Bearer "+m["access_token"].(string)), 401, "invalid_token")
}

// OpenID Connect Core §3.1.2.1: the request may come as a POST, with which a browser sends no
// cookie from another site.
func TestAuthorizeByPOST(t *testing.T) {
	s := newSite(t)
	w := s.do("POST", "/oauth/authorize", formType, s.ask())
	to := w.Header().Get("Location")
	if w.Code != 303 || !strings.HasPrefix(to, "/oauth/authorize?flow=") {
		t.Fatalf("%d %s", w.Code, to)
	}
	if w := s.do("GET", to, "", ""); w.Body.String() != "login page" {
		t.Fatalf("%s", w.Body)
	}
	w = s.do("GET", to, "", "", "Cookie", "x=y")
	if !strings.HasPrefix(w.Header().Get("Location"), callback+"?code=") {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	if w := s.do("POST", "/oauth/authorize", formType, s.ask(), "Cookie", "x=y"); !strings.HasPrefix(w.Header().Get("Location"), callback+"?code=") {
		t.Fatalf("with the cookie: %d %v", w.Code, w.Header())
	}
}

// RP-Initiated Logout 1.0 §2: POST works as well.
func TestLogoutByPOST(t *testing.T) {
	s := newSite(t)
	hint := s.userToken()["id_token"].(string)
	form := url.Values{
		"id_token_hint":            {hint},
		"post_logout_redirect_uri": {"https://app.example/bye"},
		"state":                    {"s"},
		"password":                 {"x"},
	}
	w := s.do("POST", "/logout", formType, form.Encode())
	to := w.Header().Get("Location")
	if w.Code != 303 || !strings.HasPrefix(to, "/oauth/logout?") || strings.Contains(to, "password") {
		t.Fatalf("%d %s", w.Code, to)
	}
	w = s.do("GET", to, "", "", "Cookie", "x=y")
	if w.Header().Get("Location") != "https://app.example/bye?state=s" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	if _, err := s.db.Session(t.Context(), s.browser.session.ID, s.now); err == nil {
		t.Fatal("nobody was signed out")
	}
}

// Errors of a browser's request are shown to the person.
func TestBrowserErrors(t *testing.T) {
	s := newSite(t)
	for name, w := range map[string]*httptest.ResponseRecorder{
		"repeated parameter": s.do("GET", "/oauth/authorize?"+s.ask()+"&scope=x", "", ""),
		"unknown client":     s.do("GET", "/oauth/authorize?client_id=nobody", "", ""),
		"not UTF-8":          s.do("GET", "/oauth/authorize?client_id=%ff", "", ""),
		"code in a POST":     s.do("POST", "/oauth/authorize?"+s.ask(), formType, ""),
		"JSON":               s.do("POST", "/oauth/authorize", jsonType, "{}"),
		"logout to nowhere":  s.do("GET", "/oauth/logout?post_logout_redirect_uri=https://evil.example", "", ""),
	} {
		if w.Code != 400 || !strings.HasPrefix(w.Body.String(), "error page: ") || w.Header().Get("Location") != "" ||
			len(w.Body.String()) < 30 {
			t.Errorf("%s: %d %s %s", name, w.Code, w.Body, w.Header().Get("Location"))
		}
	}
}

// An anonymous visitor stores nothing: the browser carries the flow.
func TestAnonymousVisitorsStoreNothing(t *testing.T) {
	s := newSite(t)
	before, err := s.db.ListAudit(t.Context(), store.AuditQuery{})
	testkit.Must(t, err)
	for range 5 {
		s.do("GET", "/oauth/authorize?"+s.ask(), "", "")
		s.do("GET", "/oauth/userinfo", "", "", "Authorization", "Bearer x")
	}
	after, err := s.db.ListAudit(t.Context(), store.AuditQuery{})
	testkit.Must(t, err)
	if len(after) != len(before) {
		t.Errorf("%d rows more", len(after)-len(before))
	}
}
