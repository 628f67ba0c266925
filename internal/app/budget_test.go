package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
)

// testServer is a server with one confidential client and one user's tokens, for the most
// frequent requests.
type testServer struct {
	handler http.Handler
	now     time.Time
	secret  string
	parts   *parts
	server  *server
	access  string // of a user, with openid
	refresh string
}

func newTestServer(t testing.TB, settings ...string) *testServer {
	t.Helper()
	ctx := t.Context()
	h := &testServer{now: time.Now()}
	e := &env{
		stdout: io.Discard,
		stderr: io.Discard,
		now:    time.Now,
		environ: append([]string{
			"DATABASE_URL=sqlite::memory:", "JWT_ALGORITHM=ES256", "LOG_LEVEL=info", "RATE_LIMIT_TOKEN_MAX=0",
		}, settings...),
	}
	cfg, err := loadConfig(e, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	log := newLogger(io.Discard, cfg)
	watch := newMonitor(cfg, log)
	t.Cleanup(watch.close)
	p, err := openPartsWith(ctx, e, cfg, store.Options{}, watch)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	s, err := newServer(ctx, e, p, log)
	if err != nil {
		t.Fatal(err)
	}
	h.handler, h.parts, h.server = s.handler, p, s
	h.seed(t, ctx, p)
	return h
}

// seed stores the client, the user and a code, and redeems the code.
func (h *testServer) seed(t testing.TB, ctx context.Context, p *parts) {
	t.Helper()
	h.secret = secret.NewToken(secret.PrefixClientSecret)
	cl := &client.Client{
		ID:        "web",
		Name:      "Web",
		Grants:    []string{client.GrantTypeCode, client.GrantTypeRefresh, client.GrantTypeClient},
		Redirects: []string{"https://a.example/cb"},
		Scopes:    []string{"openid", "profile", "email", "read"},
		Secrets: []client.Secret{{
			ID:        secret.NewID(h.now),
			Hash:      p.keys.Hash(h.secret),
			CreatedAt: h.now,
		}},
		CreatedAt: h.now,
		UpdatedAt: h.now,
	}
	if err := p.db.CreateClient(ctx, cl); err != nil {
		t.Fatal(err)
	}
	u := &identity.User{
		ID:        identity.UserID(secret.NewID(h.now)),
		Email:     "ada@example.com",
		Name:      "Ada",
		CreatedAt: h.now,
		UpdatedAt: h.now,
	}
	if err := p.db.CreateUser(ctx, u); err != nil {
		t.Fatal(err)
	}
	code := secret.NewToken(secret.PrefixCode)
	err := p.db.PutCode(ctx, p.keys.Hash(code), &oauth.Code{
		Grant: oauth.Grant{
			ID:         oauth.GrantID(secret.NewID(h.now)),
			Client:     cl.ID,
			User:       u.ID,
			Kind:       client.GrantTypeCode,
			Scopes:     []string{"openid", "profile", "email"},
			AuthTime:   h.now,
			AMR:        []string{"pwd"},
			ACR:        identity.ACR1,
			CreatedAt:  h.now,
			LastUsedAt: h.now,
		},
		RedirectURI: "https://a.example/cb",
		ExpiresAt:   h.now.Add(time.Minute),
	})
	if err != nil {
		t.Fatal(err)
	}
	body := h.post(t, "/oauth/token", url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {"https://a.example/cb"}})
	h.access, h.refresh = member(body, "access_token"), member(body, "refresh_token")
	if h.access == "" || h.refresh == "" {
		t.Fatalf("no tokens in %s", body)
	}
}

// member is one string member of a flat JSON object.
func member(body, name string) string {
	_, rest, _ := strings.Cut(body, `"`+name+`":"`)
	v, _, _ := strings.Cut(rest, `"`)
	return v
}

func (h *testServer) request(method, path string, form url.Values, bearer string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	r.RemoteAddr = "127.0.0.1:50000"
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("web", h.secret)
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	return r
}

func (h *testServer) do(t testing.TB, r *http.Request) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("%s %s: %d %s", r.Method, r.URL.Path, w.Code, w.Body)
	}
	return w.Body.String()
}

func (h *testServer) post(t testing.TB, path string, form url.Values) string {
	t.Helper()
	return h.do(t, h.request("POST", path, form, ""))
}

// work lists the hot requests with their budgets: allocations, those of the test's own request
// and recorder included.
func (h *testServer) work(t testing.TB) []struct {
	name   string
	budget float64
	run    func()
} {
	return []struct {
		name   string
		budget float64
		run    func()
	}{
		{"discovery", 30, func() { h.do(t, h.request("GET", "/.well-known/openid-configuration", nil, "")) }},
		{"jwks", 30, func() { h.do(t, h.request("GET", "/.well-known/jwks.json", nil, "")) }},
		{"client credentials", 270, func() {
			h.post(t, "/oauth/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"read"}})
		}},
		{"introspection", 82, func() { h.post(t, "/oauth/introspect", url.Values{"token": {h.access}}) }},
		{"userinfo", 70, func() { h.do(t, h.request("GET", "/oauth/userinfo", nil, h.access)) }},
		{"tokeninfo", 62, func() { h.do(t, h.request("GET", "/oauth/tokeninfo", nil, h.access)) }},
		{"refresh", 480, func() {
			h.refresh = member(h.post(t, "/oauth/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {h.refresh}}), "refresh_token")
		}},
	}
}

// TestAllocationBudgets keeps the hot requests from growing unnoticed. Throughput is measured
// elsewhere. A request that is alone pays for a page of the audit log (about 40 allocations); of
// many at a time, one page serves all that are committed together.
func TestAllocationBudgets(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates, too")
	}
	h := newTestServer(t)
	for _, w := range h.work(t) {
		if got := testing.AllocsPerRun(200, w.run); got > w.budget {
			t.Errorf("%s: %.0f allocations, budget %.0f", w.name, got, w.budget)
		} else {
			t.Logf("%s: %.0f allocations of %.0f", w.name, got, w.budget)
		}
	}
}

func BenchmarkHot(b *testing.B) {
	h := newTestServer(b)
	for _, w := range h.work(b) {
		b.Run(fmt.Sprint(w.name), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w.run()
			}
		})
	}
}
