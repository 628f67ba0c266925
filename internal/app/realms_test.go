package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
)

// realmProcess is a process with realms, as serve makes it.
type realmProcess struct {
	*testServer // of the main issuer
	s           *server
	stop        func()
	file        string // REALMS_FILE
}

// metrics returns what METRICS_PORT serves.
func (x *realmProcess) metrics() string {
	w := httptest.NewRecorder()
	x.s.parts.monitor.metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", http.NoBody))
	return w.Body.String()
}

// newRealmProcess makes a process with the realms of a file.
func newRealmProcess(t *testing.T, file string, change func(*realms), settings ...string) *realmProcess {
	t.Helper()
	dir := t.TempDir()
	name := filepath.Join(dir, "realms.yaml")
	testkit.Must(t, os.WriteFile(name, []byte(file), 0o600))
	e := &env{stdout: io.Discard, stderr: io.Discard, now: time.Now, environ: append([]string{
		"DATABASE_URL=sqlite:" + filepath.Join(dir, "main.db"), "BASE_URL=https://login.example", "REALMS_FILE=" + name,
		"RATE_LIMIT_ENABLED=false", "JWT_ALGORITHM=ES256",
	}, settings...)}
	cfg, err := loadConfig(e, nil, "")
	testkit.Must(t, err)
	p, err := openPartsWith(t.Context(), e, cfg, store.Options{}, newMonitor(cfg, slog.New(slog.DiscardHandler)))
	testkit.Must(t, err)
	s, err := newServer(t.Context(), e, p, slog.New(slog.DiscardHandler))
	testkit.Must(t, err)
	testkit.Must(t, startRealms(e, s))
	if change != nil {
		change(s.realms)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.work(ctx) }()
	x := &realmProcess{file: name, s: s, testServer: &testServer{handler: s.handler, now: e.now(), parts: p, server: s}}
	x.stop = func() { cancel(); <-done; _ = p.Close() }
	t.Cleanup(x.stop)
	return x
}

// ask sends a request to a host.
func (x *realmProcess) ask(host string, r *http.Request) *httptest.ResponseRecorder {
	r.Host = host
	w := httptest.NewRecorder()
	x.handler.ServeHTTP(w, r)
	return w
}

func (x *realmProcess) get(host, path string) *httptest.ResponseRecorder {
	return x.ask(host, httptest.NewRequest("GET", path, http.NoBody))
}

// tenant returns a realm with a client, a user and tokens. It keeps the realm open as a request
// that goes on would.
func (x *realmProcess) tenant(t *testing.T, i int, host string) *testServer {
	t.Helper()
	x.s.realms.all()[i].requests.Add(1)
	x.opens(t, host)
	h := &testServer{
		now:   x.now,
		parts: x.s.realms.all()[i].server.Load().parts,
		handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Host = host
			x.handler.ServeHTTP(w, r)
		}),
	}
	h.seed(t, t.Context(), h.parts)
	return h
}

// opens waits until a realm has opened: its first start may take longer than a request waits for
// it.
func (x *realmProcess) opens(t *testing.T, host string) {
	t.Helper()
	testkit.Eventually(t, host+" opens", func() bool {
		return x.get(host, "/.well-known/openid-configuration").Code == http.StatusOK
	})
}

const twoRealms = `realms:
  acme:
    base_url: https://acme.example
    admin_email: root@acme.example
    admin_password: Correct-Horse-Battery-9
    hosts: [api.acme.example, "*.shop.example"]
  beta:
    base_url: https://beta.example
    admin_email: root@beta.example
    admin_password: Wrong-Horse-Battery-9!
    jwt_algorithm: EdDSA
`

// Host decides the realm, in any spelling of it; no other header does, and unknown hosts get
// nothing but the checks of orchestrators.
func TestHostChoosesTheRealm(t *testing.T) {
	x := newRealmProcess(t, twoRealms, nil)
	issuer := func(host string, header ...string) string {
		r := httptest.NewRequest("GET", "/.well-known/openid-configuration", http.NoBody)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := x.ask(host, r)
		if w.Code != 200 {
			return fmt.Sprint(w.Code)
		}
		return member(w.Body.String(), "issuer")
	}
	for host, want := range map[string]string{
		"login.example": "https://login.example", "acme.example": "https://acme.example",
		"ACME.Example.:443": "https://acme.example", "acme.example:8443": "https://acme.example",
		"beta.example": "https://beta.example", "api.acme.example": "https://acme.example",
		"a.b.shop.example": "https://acme.example", "shop.example": "421", "evil.example": "421", "": "421",
		"acme.example.evil.example": "421", "xacme.example": "421", "acme.example:1:2": "421",
		"acme.example:x": "421", "[::1]": "421", "127.0.0.1:8080": "421", "acme.example/x": "421",
	} {
		testkit.Equal(t, host, issuer(host), want)
	}
	for _, name := range []string{"X-Forwarded-Host", "Forwarded", "X-Original-Host", "X-Host"} {
		testkit.Equal(t, name, issuer("acme.example", name, "beta.example"), "https://acme.example")
		testkit.Equal(t, name, issuer("evil.example", name, "host=beta.example"), "421")
	}
	absolute := httptest.NewRequest("GET", "https://beta.example/.well-known/openid-configuration", http.NoBody)
	testkit.Equal(t, "absolute form", member(x.ask(absolute.Host, absolute).Body.String(), "issuer"), "https://beta.example")
	for _, path := range []string{"/health", "/livez", "/readyz"} {
		testkit.Equal(t, path, x.get("10.0.0.1:8080", path).Code, 200)
	}
}

// credential is what a person or a program of a realm has, and how it is presented.
type credential struct {
	name, value string
	garbage     string // of the same form
	add         func(r *http.Request, value string)
}

func bearer(r *http.Request, v string) { r.Header.Set("Authorization", "Bearer "+v) }

func cookie(name string) func(*http.Request, string) {
	return func(r *http.Request, v string) { r.AddCookie(&http.Cookie{Name: name, Value: v}) }
}

func inForm(name string) func(*http.Request, string) {
	return func(r *http.Request, v string) {
		form := url.Values{name: {v}}
		if r.Method == "GET" || r.Method == "DELETE" {
			r.URL.RawQuery = form.Encode()
			return
		}
		r.Body = io.NopCloser(strings.NewReader(form.Encode()))
		r.ContentLength = int64(len(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
}

// endpoints returns everything that the server answers, as METHOD /path, from the sources and the
// document of the interface.
func endpoints(t *testing.T) (all []string) {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	testkit.Must(t, json.Unmarshal(gen.Document, &doc))
	for path, methods := range doc.Paths {
		if !strings.HasPrefix(path, "/api/") {
			path = "/api/v1" + path
		}
		for m := range methods {
			if m = strings.ToUpper(m); slices.Contains([]string{"GET", "POST", "PUT", "PATCH", "DELETE"}, m) {
				all = append(all, m+" "+path)
			}
		}
	}
	pattern := regexp.MustCompile(`"(GET|POST|PUT|PATCH|DELETE) (/[^"]*)"`)
	for _, glob := range []string{"../web/ui/*.go", "../web/console/*.go", "../web/accounts/*.go", "../web/protocol/*.go", "../bff/*.go"} {
		files, err := filepath.Glob(glob)
		testkit.Must(t, err)
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			raw, err := os.ReadFile(f)
			testkit.Must(t, err)
			for _, m := range pattern.FindAllStringSubmatch(string(raw), -1) {
				path := strings.ReplaceAll(m[2], "{$}", "")
				switch {
				case strings.Contains(glob, "/accounts/"):
					path = "/accounts/v1" + path
				case strings.Contains(glob, "/console/") && !strings.HasPrefix(path, "/admin"):
					path = "/admin" + path
				}
				all = append(all, m[1]+" "+path)
			}
		}
	}
	for _, path := range pathLiterals(t) {
		all = append(all, "GET "+path, "POST "+path)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) < 280 {
		t.Fatalf("only %d endpoints were found", len(all))
	}
	return all
}

// pathLiterals returns the paths that the sources of what answers requests name, whole ones and
// beginnings: an endpoint that is new is among them without a change of this test.
func pathLiterals(t *testing.T) (all []string) {
	t.Helper()
	pattern := regexp.MustCompile("[\"`](/[a-z0-9_.{}/-]+)[\"`]")
	for _, dir := range []string{"protocol", "api", "accounts", "ui", "console", "../bff", "../bff/session", "../account", "../gateway", "../app", "."} {
		files, err := filepath.Glob("../web/" + dir + "/*.go")
		testkit.Must(t, err)
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			raw, err := os.ReadFile(f)
			testkit.Must(t, err)
			for _, m := range pattern.FindAllStringSubmatch(string(raw), -1) {
				all = append(all, m[1])
			}
		}
	}
	return all
}

// checkEndpoints checks that the list of endpoints has those that the metadata names, and those of
// each kind.
func (x *realmProcess) checkEndpoints(t *testing.T) {
	t.Helper()
	all := endpoints(t)
	has := func(path string) {
		if !slices.Contains(all, "GET "+path) && !slices.Contains(all, "POST "+path) {
			t.Errorf("the endpoint %s is not tried across realms", path)
		}
	}
	metadata := x.get("acme.example", "/.well-known/openid-configuration").Body.String()
	named := regexp.MustCompile(`"[a-z_]+(?:_endpoint|_uri)":"https://acme\.example([^"]*)"`).FindAllStringSubmatch(metadata, -1)
	if len(named) < 7 {
		t.Fatalf("the metadata names %d endpoints: %s", len(named), metadata)
	}
	for _, m := range named {
		has(m[1])
	}
	for _, path := range []string{
		"/token", "/api/v1/token", "/authorize", "/userinfo", "/token/introspect", "/token/revoke", "/oauth/tokeninfo", "/device",
		"/logout", "/session/callback", "/login", "/admin", "/accounts/v1/sessions", "/readyz", "/api/v1/users", "/oauth/register",
	} {
		has(path)
	}
}

// codes returns a code, and the device code of a pending authorization, of the clients that a
// tenant has.
func (x *realmProcess) codes(t *testing.T, h *testServer) (code, device string) {
	t.Helper()
	code = secret.NewToken(secret.PrefixCode)
	user, err := h.parts.db.UserByLogin(t.Context(), "ada@example.com")
	testkit.Must(t, err)
	now := time.Now()
	testkit.Must(t, h.parts.db.PutCode(t.Context(), h.parts.keys.Hash(code), &oauth.Code{
		Grant: oauth.Grant{
			ID:         oauth.GrantID(secret.NewID(now)),
			Client:     "web",
			User:       user.ID,
			Kind:       client.GrantTypeCode,
			Scopes:     []string{"openid"},
			AuthTime:   now,
			AMR:        []string{"pwd"},
			ACR:        identity.ACR1,
			CreatedAt:  now,
			LastUsedAt: now,
		},
		RedirectURI: "https://a.example/cb",
		ExpiresAt:   now.Add(time.Hour),
	}))
	testkit.Must(t, h.parts.db.CreateClient(t.Context(), &client.Client{
		ID:        "tv",
		Name:      "TV",
		Public:    true,
		Grants:    []string{client.GrantTypeDevice},
		Scopes:    []string{"openid"},
		CreatedAt: now,
		UpdatedAt: now,
	}))
	device = member(h.sendPublic(t, "/oauth/device/code", url.Values{"client_id": {"tv"}}), "device_code")
	if device == "" {
		t.Fatal("there is no device code")
	}
	return code, device
}

// sendPublic posts a form of a public client, and returns the answer.
func (h *testServer) sendPublic(t *testing.T, path string, form url.Values) string {
	t.Helper()
	r := httptest.NewRequest("POST", path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	return w.Body.String()
}

// Codes of one realm are unknown at another one, at the clients of the same names, and asking there
// does not consume them.
func TestRealmsShareNoCode(t *testing.T) {
	x := newRealmProcess(t, twoRealms, nil)
	a, b := x.tenant(t, 0, "acme.example"), x.tenant(t, 1, "beta.example")
	for name, pair := range map[string][2]*testServer{"acme's at beta": {a, b}, "beta's at acme": {b, a}} {
		own, other := pair[0], pair[1]
		code, device := x.codes(t, own)
		redeem := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {"https://a.example/cb"}}
		w := httptest.NewRecorder()
		other.handler.ServeHTTP(w, other.request("POST", "/oauth/token", redeem, ""))
		testkit.Equal(t, name+": code", member(w.Body.String(), "error"), "invalid_grant")
		if member(own.post(t, "/oauth/token", redeem), "access_token") == "" {
			t.Errorf("%s: the code is worth nothing at its own realm any more", name)
		}
		poll := url.Values{"grant_type": {client.GrantTypeDevice}, "device_code": {device}, "client_id": {"tv"}}
		testkit.Equal(t, name+": device code at home", member(own.sendPublic(t, "/oauth/token", poll), "error"), "authorization_pending")
		if got := member(other.sendPublic(t, "/oauth/token", poll), "error"); got == "authorization_pending" || got == "slow_down" || got == "" {
			t.Errorf("%s: the device code is known: %q", name, got)
		}
	}
	for _, host := range []string{"login.example", "acme.example", "beta.example"} {
		if w := x.get(host, "/metrics"); w.Code == 200 || strings.Contains(w.Body.String(), "gatehouse_") {
			t.Errorf("%s tells metrics: %d", host, w.Code)
		}
	}
}

// No credential of one realm is worth more at another one than the same characters at random, at
// any endpoint.
func TestRealmsShareNoCredential(t *testing.T) {
	x := newRealmProcess(t, twoRealms, nil)
	a, b := x.tenant(t, 0, "acme.example"), x.tenant(t, 1, "beta.example")
	open := regexp.MustCompile(`\{[^}]*\}`)
	all := endpoints(t)
	status := func(host, endpoint string, c credential, value string) string {
		method, path, _ := strings.Cut(endpoint, " ")
		r := httptest.NewRequest(method, open.ReplaceAllString(path, "web"), http.NoBody)
		r.RemoteAddr = "127.0.0.1:50000"
		c.add(r, value)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // streams do not end
		defer cancel()
		w := x.ask(host, r.WithContext(ctx))
		return fmt.Sprint(w.Code, " ", member(w.Body.String(), "error"), " ", strings.Split(w.Header().Get("Location"), "?")[0])
	}
	for _, c := range x.credentials(t, a) {
		worth := 0
		for _, endpoint := range all {
			if strings.HasPrefix(endpoint, "GET /oauth/revocations") {
				continue // in TestRealmsShareNoState
			}
			got, want := status("beta.example", endpoint, c, c.value), status("beta.example", endpoint, c, c.garbage)
			if got != want {
				t.Errorf("%s of acme at beta: %s: %s, and %s for random characters", c.name, endpoint, got, want)
			}
			if method, path, _ := strings.Cut(endpoint, " "); method == "GET" || strings.HasPrefix(path, "/oauth/") {
				if status("acme.example", endpoint, c, c.value) != status("acme.example", endpoint, c, c.garbage) {
					worth++
				}
			}
		}
		if worth == 0 && c.name != "refresh token" { // which needs the client's secret as well: below
			t.Errorf("%s is worth nothing at acme either: the test proves nothing", c.name)
		}
	}
	for name, pair := range map[string][2]*testServer{"acme's at beta": {a, b}, "beta's at acme": {b, a}} {
		own, other := pair[0], pair[1]
		body := other.post(t, "/oauth/introspect", url.Values{"token": {own.access}})
		testkit.Equal(t, name+": introspection", strings.TrimSpace(body), `{"active":false}`)
		r := other.request("POST", "/oauth/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {own.refresh}}, "")
		w := httptest.NewRecorder()
		other.handler.ServeHTTP(w, r)
		testkit.Equal(t, name+": refresh", fmt.Sprint(w.Code, member(w.Body.String(), "error")), "400invalid_grant")
		own.post(t, "/oauth/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {own.refresh}})
	}
}

// credentials returns what the people and programs of a realm have.
func (x *realmProcess) credentials(t *testing.T, h *testServer) []credential {
	t.Helper()
	session := secret.NewToken(secret.PrefixSession)
	name, value := x.signIn(t, h)
	garbled := func(v string) string { // as long, of the same kind, of no account
		i := len(v) / 2
		c := byte('A')
		if v[i] == c {
			c = 'B'
		}
		return v[:i] + string(c) + v[i+1:]
	}
	flow := h.flow(t)
	setup, err := h.parts.login.SetupLink(t.Context(), h.now)
	if err != nil { // there is an administrator
		setup = ""
	}
	all := []credential{
		{"access token", h.access, garbled(h.access), bearer},
		{"access token in the form", h.access, garbled(h.access), inForm("access_token")},
		{"session", value, session, cookie(name)},
		{"client secret", h.secret, secret.NewToken(secret.PrefixClientSecret), func(r *http.Request, v string) {
			inForm("grant_type")(r, "client_credentials")
			r.SetBasicAuth("web", v)
		}},
		{"refresh token", h.refresh, secret.NewToken(secret.PrefixRefreshToken), inForm("refresh_token")},
		{"flow", flow, garbled(flow), inForm("flow")},
	}
	if setup != "" {
		all = append(all, credential{"link", setup, secret.NewToken(secret.PrefixLink), inForm("token")})
	}
	return all
}

// flow returns an authorization request as the browser carries it.
func (h *testServer) flow(t *testing.T) string {
	t.Helper()
	ask := url.Values{
		"response_type": {"code"}, "client_id": {"web"}, "redirect_uri": {"https://a.example/cb"}, "scope": {"openid"}, "state": {"s"},
		"code_challenge": {strings.Repeat("A", 43)}, "code_challenge_method": {"S256"},
	}
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, h.request("GET", "/oauth/authorize?"+ask.Encode(), nil, ""))
	at, err := url.Parse(w.Header().Get("Location"))
	testkit.Must(t, err)
	if at.Query().Get("flow") == "" {
		t.Fatalf("no flow in %q", at)
	}
	return at.Query().Get("flow")
}

// signIn signs the administrator of a realm in, and returns the cookie.
func (x *realmProcess) signIn(t *testing.T, h *testServer) (name, value string) {
	t.Helper()
	c := h.parts.cfg.Administration
	r := httptest.NewRequest("POST", "/login", strings.NewReader(url.Values{
		"username": {c.Email}, "password": {string(c.Password)},
	}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.Name == "__Host-gatehouse" {
			return c.Name, c.Value
		}
	}
	t.Fatalf("no session: %d %s", w.Code, w.Body)
	return "", ""
}

// What happens in one realm is in no list, key set, feed or log of another one.
func TestRealmsShareNoState(t *testing.T) {
	x := newRealmProcess(t, twoRealms, nil)
	a, b := x.tenant(t, 0, "acme.example"), x.tenant(t, 1, "beta.example")
	var sets []string
	for _, host := range []string{"login.example", "acme.example", "beta.example"} {
		sets = append(sets, x.get(host, "/oauth/jwks").Body.String())
	}
	for i := range sets {
		for j := range i {
			for _, kid := range regexp.MustCompile(`"kid":"([^"]+)"`).FindAllStringSubmatch(sets[i], -1) {
				if strings.Contains(sets[j], kid[1]) {
					t.Errorf("the key %s is in two key sets", kid[1])
				}
			}
		}
	}
	x.checkEndpoints(t)
	before, _ := b.parts.db.RevocationHead()
	a.post(t, "/oauth/revoke", url.Values{"token": {a.refresh}})
	if after, _ := b.parts.db.RevocationHead(); after != before {
		t.Error("a revocation at acme is in the feed of beta")
	}
	testkit.Equal(t, "introspection after it", strings.TrimSpace(
		a.post(t, "/oauth/introspect", url.Values{"token": {a.access}})), `{"active":false}`)
	if !strings.Contains(b.post(t, "/oauth/introspect", url.Values{"token": {b.access}}), `"active":true`) {
		t.Error("a revocation at acme has ended a token of beta")
	}
	if a.parts.db == b.parts.db || string(a.parts.keys.Hash("x")) == string(b.parts.keys.Hash("x")) {
		t.Error("the realms share a database or keys")
	}
	if _, err := b.parts.db.UserByLogin(t.Context(), "root@acme.example"); err == nil {
		t.Error("beta has acme's administrator")
	}
}

// A realm whose database cannot be opened is unavailable; the others and the process are not. The
// metrics name it, and what everybody may ask does not.
func TestBrokenRealmHarmsNoOther(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.db")
	testkit.Must(t, os.WriteFile(broken, []byte(strings.Repeat("no database ", 1000)), 0o600))
	x := newRealmProcess(t, twoRealms+"  gamma:\n    base_url: https://gamma.example\n    database_url: sqlite:"+broken+"\n",
		nil, "METRICS_PORT=9464")
	testkit.Eventually(t, "gamma is unavailable", func() bool {
		return strings.Contains(x.metrics(), `gatehouse_realm_up{realm="gamma"} 0`)
	})
	for _, host := range []string{"login.example", "acme.example", "gamma.example", "10.0.0.1:8080"} {
		for _, path := range []string{"/readyz", "/health", "/livez"} {
			if body := x.get(host, path).Body.String(); strings.Contains(body, "gamma") || strings.Contains(body, "realm") {
				t.Errorf("%s%s tells of realms: %s", host, path, body)
			}
		}
	}
	x.opens(t, "acme.example")
	testkit.Equal(t, "readiness of the process", x.get("login.example", "/readyz").Code, 200)
	testkit.Equal(t, "gamma", x.get("gamma.example", "/login").Code, 503)
	testkit.Equal(t, "acme", x.get("acme.example", "/login").Code, 200)
	testkit.Equal(t, "main", x.get("login.example", "/login").Code, 200)
}

// A realm that could not be opened is tried again although others have all slots of visits.
func TestFailedRealmWaitsForNoVisit(t *testing.T) {
	x := newRealmProcess(t, twoRealms, func(r *realms) {
		for range realmSlots {
			r.room.visits <- struct{}{}
		}
		why := "the database was away"
		r.all()[0].failed.Store(&why)
	})
	acme := x.s.realms.all()[0]
	testkit.Eventually(t, "the realm opens without a request", func() bool { return acme.server.Load() != nil })
	testkit.Equal(t, "a request", x.get("acme.example", "/login").Code, 200)
}

// Mistakes in the file stop the start, and say where they are.
func TestMistakesInRealmsFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "realms.yaml")
	e := &env{stdout: io.Discard, stderr: io.Discard, now: time.Now, environ: []string{
		"DATABASE_URL=sqlite:" + filepath.Join(dir, "main.db"), "BASE_URL=https://login.example", "REALMS_FILE=" + name,
		"SECRET_KEY=" + strings.Repeat("ab", 32),
	}}
	cfg, err := loadConfig(e, nil, "")
	testkit.Must(t, err)
	for file, want := range map[string]string{
		"realms:\n  acme:\n    jwt_algorithm: ES256":                                                                          "needs base_url",
		"realms:\n  Acme:\n    base_url: https://a.example":                                                                   "cannot be the name of a realm",
		"realms:\n  main:\n    base_url: https://a.example":                                                                   "choose another one",
		"realms:\n  acme:\n    base_url: https://a.example\n    port: 99":                                                     "line 4: port belongs to the whole process",
		"realms:\n  acme:\n    base_url: https://a.example\n    jwt_algoritm: RS256":                                          "did you mean jwt_algorithm?",
		"realms:\n  acme:\n    base_url: https://login.example/acme":                                                          "without a path",
		"realms:\n  acme:\n    base_url: https://login.example":                                                               "have the same address",
		"realms:\n  acme:\n    base_url: https://a.example\n  acme:\n    base_url: https://b.example":                         `"acme" is there twice`,
		"realms:\n  acme:\n    base_url: https://a.example\n    hosts: [b.example]\n  beta:\n    base_url: https://b.example": "have the same address",
		"realms:\n  acme:\n    base_url: https://a.example\n    database_url: sqlite:" + dir + "/main.db":                     "has the database of the server's own issuer",
		"realms:\n  acme:\n    base_url: https://a.example\n    secret_key: " + strings.Repeat("ab", 32):                      "has the SECRET_KEY of the server's own issuer",
		"realms:\n  acme:\n    base_url: https://a.example\n    secret_key_file: /nonexistent/key":                            "secret_key_file cannot be read",
		"realms:\n  acme:\n    base_url: https://a.example\n    hosts: ['a.example:80']":                                      "without a port",
		"realms: [acme]":  "must be a mapping",
		"realm:\n  acme:": "is not known here",
		"a: *b":           "not readable as YAML",
	} {
		testkit.Must(t, os.WriteFile(name, []byte(file), 0o600))
		_, _, err := realmConfigs(cfg)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: %v, want %q", file, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "abab") {
			t.Errorf("%q: the error shows a secret: %v", file, err)
		}
	}
}

// A database that one realm has used cannot be that of another one.
func TestDatabaseOfAnotherRealm(t *testing.T) {
	x := newRealmProcess(t, twoRealms, nil)
	x.tenant(t, 0, "acme.example")
	c := *x.s.realms.all()[0].cfg
	c.Realm = "other"
	_, err := openParts(t.Context(), &env{stdout: io.Discard, stderr: io.Discard, now: time.Now}, &c, nil)
	if err == nil {
		t.Fatal("the database of acme opens as that of another realm")
	}
}

// A realm without requests closes, leaves nothing behind, and opens at the next request: also one
// that arrives while it closes. What it has stored is there.
func TestIdleRealmCloses(t *testing.T) {
	x := newRealmProcess(t, twoRealms, func(r *realms) {
		for _, o := range r.all() {
			o.idle = 20 * time.Millisecond
		}
	})
	acme := x.s.realms.all()[0]
	closed := func() bool { return acme.server.Load() == nil }
	x.opens(t, "acme.example")
	keys := x.get("acme.example", "/oauth/jwks").Body.String()
	testkit.Eventually(t, "the realm closes", closed)
	for range 20 {
		testkit.Equal(t, "the keys after it opened again", x.get("acme.example", "/oauth/jwks").Body.String(), keys)
		time.Sleep(time.Duration(rand.IntN(40)) * time.Millisecond)
	}
	acme.requests.Add(1) // a stream
	testkit.Equal(t, "a request", x.get("acme.example", "/login").Code, 200)
	s := acme.server.Load()
	time.Sleep(100 * time.Millisecond)
	if acme.server.Load() != s {
		t.Error("the realm closed although it has a request")
	}
	acme.requests.Add(-1)
	testkit.Eventually(t, "the realm closes after its last request", closed)
}

// A message that cannot be sent holds a realm open for a short while only, and not at all where
// another realm needs the room.
func TestQueuedMessageHoldsNoRealmOpen(t *testing.T) {
	for _, mail := range []time.Duration{50 * time.Millisecond, time.Hour} {
		x := newRealmProcess(t, twoRealms, func(r *realms) {
			for _, o := range r.all() {
				o.idle, o.mail = 20*time.Millisecond, mail
			}
		})
		acme := x.s.realms.all()[0]
		acme.requests.Add(1)
		x.opens(t, "acme.example")
		db := acme.server.Load().parts.db
		at := time.Now()
		testkit.Must(t, db.Queue(t.Context(), outbox.Delivery{
			ID: outbox.ID(secret.NewID(at)), Kind: "mail", Target: "nobody", State: outbox.Queued,
			CreatedAt: at, NextAttemptAt: at.Add(time.Hour),
		}))
		acme.requests.Add(-1)
		if mail == time.Hour {
			time.Sleep(200 * time.Millisecond)
			testkit.Equal(t, "the realm is open while a message waits", acme.server.Load() != nil, true)
			acme.leave <- struct{}{}
		}
		testkit.Eventually(t, "the realm closes", func() bool { return acme.server.Load() == nil })
	}
}

// Rate limits in memory go on counting while a realm is closed.
func TestRateLimitsOfAnIdleRealm(t *testing.T) {
	x := newRealmProcess(t, twoRealms, func(r *realms) {
		for _, o := range r.all() {
			o.idle = 20 * time.Millisecond
		}
	}, "RATE_LIMIT_ENABLED=true", "RATE_LIMIT_TOKEN_MAX=2", "RATE_LIMIT_TOKEN_WINDOW=3600")
	acme := x.s.realms.all()[0]
	x.opens(t, "acme.example")
	ask := func() int {
		r := httptest.NewRequest("POST", "/oauth/token", strings.NewReader("grant_type=client_credentials"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.RemoteAddr = "192.0.2.7:50000"
		return x.ask("acme.example", r).Code
	}
	for range 2 {
		testkit.Equal(t, "below the limit", ask() == 429, false)
	}
	testkit.Eventually(t, "the realm closes", func() bool { return acme.server.Load() == nil })
	testkit.Equal(t, "after it opened again", ask(), 429)
}

// A server that cannot be made releases what it has opened, once: a realm is tried again and again.
func TestServerThatFailsReleasesItsParts(t *testing.T) {
	closed := 0
	s := &server{close: []func(){func() { closed++ }, func() { closed++ }}}
	failed := errors.New("the mail server is not known")
	got, err := s.connected(failed)
	testkit.Equal(t, "server", got == nil, true)
	testkit.Equal(t, "error", errors.Is(err, failed), true)
	testkit.Equal(t, "closed", closed, 2)
	s.release()
	testkit.Equal(t, "closed again", closed, 2)
}

// On PostgreSQL a realm has a schema of its own in the database of the server, and few connections,
// none of them while it is closed.
func TestRealmsInSchemas(t *testing.T) {
	database := testkit.StartPostgres(t)
	x := newRealmProcess(t, "realms:\n"+
		"  acme:\n    base_url: https://acme.example\n    secret_key: "+strings.Repeat("a1", 32)+"\n"+
		"  beta:\n    base_url: https://beta.example\n    secret_key: "+strings.Repeat("b2", 32)+"\n",
		func(r *realms) {
			for _, o := range r.all() {
				o.idle = 500 * time.Millisecond
			}
		}, "DATABASE_URL="+database, "SECRET_KEY="+strings.Repeat("c3", 32))
	a, b := x.tenant(t, 0, "acme.example"), x.tenant(t, 1, "beta.example")
	for i, h := range []*testServer{a, b} {
		u, err := url.Parse(string(h.parts.cfg.Storage.DatabaseURL))
		testkit.Must(t, err)
		testkit.Equal(t, "schema", u.Query().Get("search_path"), []string{"realm_acme", "realm_beta"}[i])
		testkit.Equal(t, "connections", h.parts.db.Usage().Max, 4)
	}
	testkit.Equal(t, "acme's token at beta", strings.TrimSpace(
		b.post(t, "/oauth/introspect", url.Values{"token": {a.access}})), `{"active":false}`)
	x.s.realms.all()[0].requests.Add(-1)
	testkit.Eventually(t, "acme closes", func() bool { return x.s.realms.all()[0].server.Load() == nil })
	if got := a.post(t, "/oauth/introspect", url.Values{"token": {a.access}}); !strings.Contains(got, `"active":true`) {
		t.Errorf("the token after acme opened again: %s", got)
	}
}

// A route of one realm serves the hosts of that realm only, with its tokens only; a route that
// another realm has for such a host is never asked.
func TestGatewayOfRealms(t *testing.T) {
	service := func(name string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) }))
		t.Cleanup(s.Close)
		return s.URL
	}
	routes := func(name, upstream string) string {
		file := filepath.Join(t.TempDir(), "routes.yaml")
		testkit.Must(t, os.WriteFile(file, []byte("routes:\n  - name: "+name+"\n    host: api.acme.example\n    prefix: /\n"+
			"    upstreams: ["+upstream+"]\n    scopes: [openid]\n"), 0o600))
		return file
	}
	x := newRealmProcess(t, fmt.Sprintf(`realms:
  acme:
    base_url: https://acme.example
    hosts: [api.acme.example]
    routes_file: %s
  beta:
    base_url: https://beta.example
    routes_file: %s
`, routes("a", service("service of acme")), routes("b", service("service of beta"))), nil)
	a, b := x.tenant(t, 0, "acme.example"), x.tenant(t, 1, "beta.example")
	ask := func(host, token string) string {
		r := httptest.NewRequest("GET", "/items", http.NoBody)
		r.RemoteAddr = "127.0.0.1:50000"
		bearer(r, token)
		w := x.ask(host, r)
		return fmt.Sprint(w.Code, " ", w.Body)
	}
	testkit.Equal(t, "acme's token", ask("api.acme.example", a.access), "200 service of acme")
	for what, got := range map[string]string{
		"beta's token": ask("api.acme.example", b.access), "beta's host": ask("beta.example", b.access), "acme's own host": ask("acme.example", a.access),
	} {
		if strings.HasPrefix(got, "200") || strings.Contains(got, "service") {
			t.Errorf("%s: %s", what, got)
		}
	}
}

// edit replaces REALMS_FILE, as the commands do.
func (x *realmProcess) edit(t *testing.T, file string) {
	t.Helper()
	testkit.Must(t, replaceFile(x.file, []byte(file)))
}

// The realms follow REALMS_FILE: new ones are served, changed ones anew, deleted ones no longer,
// and requests in progress end as they began, also those for what has changed. A mistake in the
// file changes nothing.
func TestRealmsFileChanges(t *testing.T) {
	gate, reached := make(chan struct{}), make(chan struct{})
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reached <- struct{}{}
		<-gate
		fmt.Fprint(w, "from before")
	}))
	t.Cleanup(service.Close)
	routes := filepath.Join(t.TempDir(), "routes.yaml")
	testkit.Must(t, os.WriteFile(routes, []byte("routes:\n  - name: slow\n    prefix: /slow\n    upstreams: ["+service.URL+
		"]\n    allow_unidentified: true\n"), 0o600))
	const beta = "  beta:\n    base_url: https://beta.example\n"
	acme := "realms:\n  acme:\n    base_url: https://acme.example\n    routes_file: " + routes + "\n"
	x := newRealmProcess(t, acme+beta, nil, "METRICS_PORT=9464")
	x.opens(t, "acme.example")
	x.opens(t, "beta.example")
	was := x.s.realms.all()
	keys := x.get("acme.example", "/oauth/jwks").Body.String()
	slow := make(chan string, 2)
	for range 2 {
		go func() { slow <- x.get("acme.example", "/slow").Body.String() }()
		<-reached
	}

	x.edit(t, acme+"    app_name: Changed\n"+beta+"    hosts: [more.beta.example]\n  gamma:\n    base_url: https://gamma.example\n")
	x.opens(t, "gamma.example")
	x.opens(t, "more.beta.example")
	now := x.s.realms.all()
	testkit.Equal(t, "beta goes on", now[1] == was[1], true)
	testkit.Equal(t, "acme has begun anew", now[0] == was[0], false)
	x.opens(t, "acme.example")
	testkit.Equal(t, "keys of acme", x.get("acme.example", "/oauth/jwks").Body.String(), keys)
	if page := x.get("acme.example", "/login").Body.String(); !strings.Contains(page, "Changed") {
		t.Error("acme has its settings of before")
	}
	for _, wrong := range []string{"realms: 7", acme + acme, acme + "  beta:\n    base_url: https://acme.example\n"} {
		x.edit(t, wrong)
		if err := x.s.realms.reload(t.Context()); err == nil {
			t.Errorf("%q was accepted", wrong)
		}
	}
	testkit.Equal(t, "realms after mistakes", len(x.s.realms.all()), 3)

	x.edit(t, "realms:\n"+beta)
	testkit.Must(t, x.s.realms.reload(t.Context()))
	testkit.Equal(t, "a deleted realm", x.get("acme.example", "/login").Code, 421)
	testkit.Equal(t, "beta", x.get("beta.example", "/login").Code, 200)
	if m := x.metrics(); strings.Contains(m, `realm="acme"`) || !strings.Contains(m, `realm="beta"`) {
		t.Error("the metrics have other realms than there are")
	}
	close(gate)
	for range 2 {
		testkit.Equal(t, "a request that has begun before", <-slow, "from before")
	}
	testkit.Eventually(t, "what was acme closes", func() bool { return was[0].server.Load() == nil && now[0].server.Load() == nil })

	x.edit(t, "")
	testkit.Must(t, x.s.realms.reload(t.Context()))
	testkit.Equal(t, "without realms, any host is that of the server", x.get("acme.example", "/login").Code, 200)
}

// A realm that is no longer served does not open again, also after requests in progress were given
// up.
func TestRetiredRealmStaysClosed(t *testing.T) {
	x := newRealmProcess(t, twoRealms, nil, "SHUTDOWN_TIMEOUT=50ms")
	acme := x.s.realms.all()[0]
	acme.requests.Add(1) // a request that does not end
	x.opens(t, "acme.example")
	x.edit(t, "")
	testkit.Must(t, x.s.realms.reload(t.Context()))
	testkit.Eventually(t, "the realm closes", func() bool { return acme.server.Load() == nil })
	testkit.Must(t, acme.work(t.Context(), acme.idle))
	testkit.Equal(t, "the realm is open again", acme.server.Load() != nil, false)
	acme.mu.Lock()
	defer acme.mu.Unlock()
	select {
	case <-acme.ready:
		t.Error("requests would not wait for the realm to open")
	default:
	}
}

// No more realms are open than there is room for: one that had no request for longest closes for
// another one, one with a request in progress does not.
func TestRoomForRealms(t *testing.T) {
	file := "realms:\n"
	for i := range 4 {
		file += fmt.Sprintf("  r%d:\n    base_url: https://r%d.example\n", i, i)
	}
	x := newRealmProcess(t, file, nil, "REALMS_OPEN=2")
	all := x.s.realms.all()
	open := func() (n int) {
		for _, o := range all {
			if o.server.Load() != nil {
				n++
			}
		}
		return n
	}
	x.opens(t, "r0.example")
	all[0].requests.Add(1) // a stream
	testkit.Eventually(t, "r0 is open with its stream", func() bool {
		x.opens(t, "r0.example")
		return all[0].server.Load() != nil
	})
	held := all[0].server.Load()
	for range 3 {
		for i := 1; i < 4; i++ {
			x.opens(t, fmt.Sprintf("r%d.example", i))
			if n := open(); n > 2 {
				t.Fatalf("%d realms are open", n)
			}
		}
	}
	testkit.Equal(t, "r0 goes on", all[0].server.Load() == held, true)
	all[0].requests.Add(-1)
}

// What an administrator of a realm makes reaches public addresses only, and what the operator
// allows the realm; ROUTES_FILE reaches all, and so do the routes of the server's own issuer. What
// is allowed to the server is not allowed to a realm.
func TestRoutesOfRealmsStayOutside(t *testing.T) {
	hits := 0
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hits++
		fmt.Fprint(w, "inside")
	}))
	t.Cleanup(service.Close)
	port := service.Listener.Addr().(*net.TCPAddr).Port
	routes := filepath.Join(t.TempDir(), "routes.yaml")
	testkit.Must(t, os.WriteFile(routes, []byte("routes:\n  - name: operator\n    prefix: /operator\n    upstreams: ["+service.URL+
		"]\n    allow_unidentified: true\n"), 0o600))
	x := newRealmProcess(t, fmt.Sprintf(`realms:
  acme:
    base_url: https://acme.example
    secret_key: %s
    routes_file: %s
  beta:
    base_url: https://beta.example
    secret_key: %s
    outbound_allow: 127.0.0.0/8
`, secret.NewToken(""), routes, secret.NewToken("")), nil, "ENVIRONMENT=production", "OUTBOUND_ALLOW=127.0.0.0/8", "SECRET_KEY="+secret.NewToken(""))
	for i, host := range []string{"login.example", "acme.example", "beta.example"} {
		p := x.s.parts
		if i > 0 {
			x.s.realms.all()[i-1].requests.Add(1)
			x.opens(t, host)
			p = x.s.realms.all()[i-1].server.Load().parts
		}
		for j, upstream := range []string{
			service.URL, fmt.Sprintf("http://localhost:%d", port), fmt.Sprintf("http://[::ffff:127.0.0.1]:%d", port),
			fmt.Sprintf("h2c://127.0.0.1:%d", port),
		} {
			prefix := fmt.Sprintf("/inside%d", j)
			testkit.Must(t, p.db.CreateRoute(t.Context(), &access.Route{
				ID:           secret.NewID(time.Now()),
				Prefix:       prefix,
				Upstreams:    []string{upstream},
				Unidentified: true,
			}, nil))
			if strings.HasPrefix(upstream, "h2c") && host != "acme.example" {
				continue // the service does not speak it
			}
			before := hits
			var got *httptest.ResponseRecorder
			testkit.Eventually(t, "the route is in force", func() bool {
				got = x.get(host, prefix+"/x")
				return got.Code != 404 && got.Code != 303
			})
			if host == "acme.example" {
				if got.Code != 502 || hits != before || strings.Contains(got.Body.String(), "127.0.0.1") {
					t.Errorf("acme reaches %s: %d %s", upstream, got.Code, got.Body)
				}
			} else if !strings.Contains(got.Body.String(), "inside") {
				t.Errorf("%s does not reach %s: %d %s", host, upstream, got.Code, got.Body)
			}
		}
	}
	testkit.Equal(t, "a route of the operator", x.get("acme.example", "/operator/x").Body.String(), "inside")
}
