package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/bearer/bearertest"
	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/gateway"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// newForeignWorld returns a world that knows an external issuer.
func newForeignWorld(t *testing.T, opaque bool) (*world, *bearertest.Issuer) {
	t.Helper()
	i := bearertest.NewIssuer(t)
	about := access.Issuer{Name: "corp", Issuer: i.URL, Audiences: []string{"https://api.example.com"}, Algs: []string{"ES256"}, RolesClaim: "groups"}
	if opaque {
		about.Introspection = &access.Introspection{URL: i.URL + "/introspect", ClientID: bearertest.ClientID}
	}
	f, err := gateway.NewForeign(about, bearertest.ClientSecret, gateway.ForeignOptions{CacheTTL: -1})
	must(t, err)
	t.Cleanup(f.Close)
	w := newWorld(t, shop())
	w.foreign, w.compile.Issuers, w.routes[0].Issuers = []*gateway.Foreign{f}, []string{"corp"}, []string{"corp"}
	w.gw.Reload() // as when a file names an issuer that was not there before
	return w, i
}

func TestForeignTokens(t *testing.T) {
	w, i := newForeignWorld(t, true)
	for name, token := range map[string]string{
		"signed": i.Token(bearertest.Claims{"groups": []string{"staff"}}), "opaque": i.Opaque(bearertest.Claims{"groups": []string{"staff"}}),
	} {
		for range 2 {
			info := w.info(w.received(w.get("/shop/v1", "Authorization: Bearer "+token)).Header.Get("X-Auth-Info"))
			user, _ := info["user"].(map[string]any)
			if info["by"] != "foreign" || info["issuer"] != "corp" || user["id"] != "ada" || len(user["roles"].([]any)) != 1 || info["sub"] != "ada" {
				t.Errorf("%s: %v", name, info)
			}
		}
	}
	if rec := w.get("/shop/v1", "Authorization: Bearer "+w.token()); rec.Code != http.StatusOK {
		t.Errorf("our own beside it: %d", rec.Code)
	}
}

func TestInvalidForeignTokens(t *testing.T) {
	w, i := newForeignWorld(t, false)
	evil := bearertest.NewIssuer(t)
	now := time.Now()
	for name, row := range map[string]struct {
		token  string
		status int
	}{
		"unknown issuer":         {evil.Token(nil), 401},
		"another's signature":    {evil.Token(bearertest.Claims{"iss": i.URL}), 401},
		"another audience":       {i.Token(bearertest.Claims{"aud": "https://other.example"}), 401},
		"expired":                {i.Token(bearertest.Claims{"exp": now.Add(-time.Minute).Unix()}), 401},
		"from the future":        {i.Token(bearertest.Claims{"nbf": now.Add(time.Hour).Unix()}), 401},
		"claims to be ours":      {i.Token(bearertest.Claims{"iss": issuer}), 401},
		"opaque, nobody to ask":  {i.Opaque(nil), 401},
		"bound to another's key": {i.Token(bearertest.Claims{"cnf": map[string]string{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}), 401},
	} {
		if rec := w.get("/shop/v1", "Authorization: Bearer "+row.token); rec.Code != row.status || rec.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
	}
	if rec := w.get("/shop/v1", "Authorization: Bearer "+i.Token(nil)+", "+basic(string(w.client.ID), testSecret)); rec.Code != http.StatusBadRequest {
		t.Errorf("a client of ours and a token of theirs: %d", rec.Code)
	}
	w.routes[0].Issuers = nil
	w.gw.Reload()
	if rec := w.get("/shop/v1", "Authorization: Bearer "+i.Token(nil)); rec.Code != http.StatusUnauthorized || w.lastDenial().Denial.Rule != "issuer" {
		t.Errorf("a route for our tokens alone: %d %+v", rec.Code, w.lastDenial().Denial)
	}
}

func TestForeignIssuerUnavailable(t *testing.T) {
	w, i := newForeignWorld(t, true)
	token := i.Opaque(nil)
	i.Down(true)
	rec := w.get("/shop/v1", "Authorization: Bearer "+token)
	if rec.Code != http.StatusServiceUnavailable || strings.Contains(rec.Body.String(), i.URL) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestForeignIssuerNeedsAudiences(t *testing.T) {
	if _, err := gateway.NewForeign(access.Issuer{Name: "corp", Issuer: "https://corp.example"}, "", gateway.ForeignOptions{}); err == nil {
		t.Error("tokens for anybody would pass")
	}
}

func TestForeignIssuerIsReusedUnchanged(t *testing.T) {
	about := access.Issuer{Name: "corp", Issuer: "https://corp.example", Audiences: []string{"a"}}
	f, err := gateway.NewForeign(about, "x", gateway.ForeignOptions{})
	must(t, err)
	t.Cleanup(f.Close)
	changed := about
	changed.Audiences = []string{"a", "b"}
	if !f.Same(about, "x") || f.Same(about, "y") || f.Same(changed, "x") {
		t.Error("only what is the same is the same")
	}
}

// This server's own tokens and secrets are never sent to an external issuer, even where one was
// sent in place of an access token by mistake.
func TestOwnTokensAreNotSentToForeignIssuers(t *testing.T) {
	w, i := newForeignWorld(t, true)
	for _, prefix := range []string{
		secret.PrefixAccessToken, secret.PrefixRefreshToken, secret.PrefixClientSecret, secret.PrefixCode, secret.PrefixDeviceCode,
		secret.PrefixLink, secret.PrefixSession, secret.PrefixAppSession,
	} {
		if rec := w.get("/shop/v1", "Authorization: Bearer "+secret.NewToken(prefix)); rec.Code != http.StatusUnauthorized {
			t.Errorf("%s: %d", prefix, rec.Code)
		}
		if n := i.Requests("/introspect"); n != 0 {
			t.Fatalf("a secret that begins with %s was sent to the issuer", prefix)
		}
	}
}
