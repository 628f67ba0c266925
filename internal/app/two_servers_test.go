package app

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// newTenant is a whole server of its own within this process, with one confidential client.
func newTenant(t *testing.T, settings ...string) *testServer {
	t.Helper()
	e := &env{
		stdout:  io.Discard,
		stderr:  io.Discard,
		now:     time.Now,
		environ: append([]string{"DATABASE_URL=sqlite::memory:"}, settings...),
	}
	cfg, err := loadConfig(e, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	p, err := openParts(t.Context(), e, cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	s, err := newServer(t.Context(), e, p, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	h := &testServer{handler: s.handler, now: e.now(), secret: secret.NewToken(secret.PrefixClientSecret)}
	err = p.db.CreateClient(t.Context(), &client.Client{
		ID:        "web",
		Name:      "Web",
		Grants:    []string{client.GrantTypeClient},
		Scopes:    []string{"read"},
		CreatedAt: h.now,
		UpdatedAt: h.now,
		Secrets: []client.Secret{{
			ID:        secret.NewID(h.now),
			Hash:      p.keys.Hash(h.secret),
			CreatedAt: h.now,
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *testServer) token(t *testing.T) string {
	t.Helper()
	return member(h.post(t, "/oauth/token", url.Values{"grant_type": {"client_credentials"}}), "access_token")
}

func header(t *testing.T, token string) (alg string) {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(token[:strings.IndexByte(token, '.')])
	if err != nil {
		t.Fatal(err)
	}
	var head struct {
		Alg string `json:"alg"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		t.Fatal(err)
	}
	return head.Alg
}

// Two servers with different settings live in one process and share nothing: not clients, not
// secrets, not keys.
func TestTwoServersInOneProcess(t *testing.T) {
	a := newTenant(t, "BASE_URL=https://a.example", "JWT_ALGORITHM=ES256")
	b := newTenant(t, "BASE_URL=https://b.example", "JWT_ALGORITHM=EdDSA", "ACCESS_TOKEN_TTL=60")
	of := map[*testServer]string{a: a.token(t), b: b.token(t)}
	if got := header(t, of[a]) + " " + header(t, of[b]); got != "ES256 EdDSA" {
		t.Errorf("the tokens are signed with %s", got)
	}
	for _, c := range []struct {
		name   string
		server *testServer
		token  string
		active bool
	}{
		{"a's at a", a, of[a], true}, {"a's at b", b, of[a], false}, {"b's at b", b, of[b], true}, {"b's at a", a, of[b], false},
	} {
		body := c.server.post(t, "/oauth/introspect", url.Values{"token": {c.token}})
		if strings.Contains(body, `"active":true`) != c.active {
			t.Errorf("%s: %s", c.name, body)
		}
	}
	r := a.request("POST", "/oauth/token", url.Values{"grant_type": {"client_credentials"}}, "")
	r.SetBasicAuth("web", b.secret)
	w := httptest.NewRecorder()
	if a.handler.ServeHTTP(w, r); w.Code != http.StatusUnauthorized {
		t.Errorf("b's secret at a: %d", w.Code)
	}
}
