package gateway_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/bearer/dpop"
	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// keyHolder is a client with a DPoP key.
type keyHolder struct {
	t     *testing.T
	w     *world
	key   *ecdsa.PrivateKey
	print string
}

func newKeyHolder(t *testing.T, w *world) *keyHolder {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	jwk := gojose.JSONWebKey{Key: key.Public()}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	must(t, err)
	return &keyHolder{t, w, key, base64.RawURLEncoding.EncodeToString(sum)}
}

// proof returns the DPoP header for a request.
func (h *keyHolder) proof(method, url, token string, edit ...claims) string {
	h.t.Helper()
	opts := (&gojose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt")
	s, err := gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.ES256, Key: h.key}, opts)
	must(h.t, err)
	c := claims{"jti": rand.Text(), "htm": method, "htu": url, "iat": h.w.clock().Unix(), "ath": dpop.TokenHash(token)}
	for _, e := range edit {
		for k, v := range e {
			c[k] = v
		}
	}
	payload, err := json.Marshal(c)
	must(h.t, err)
	jws, err := s.Sign(payload)
	must(h.t, err)
	out, err := jws.CompactSerialize()
	must(h.t, err)
	return "DPoP: " + out
}

func TestTokensBoundToAKey(t *testing.T) {
	w := newWorld(t, shop())
	h := newKeyHolder(t, w)
	token := w.token(claims{"cnf": map[string]string{"jkt": h.print}})
	const at = "https://id.example/shop/v1/x"
	auth := "Authorization: DPoP " + token
	proof := h.proof("GET", at, token)
	if rec := w.get("/shop/v1/x?y=1", auth, proof); rec.Code != http.StatusOK {
		t.Fatalf("RFC 9449 §7.1: %d %s", rec.Code, rec.Body)
	}
	other := newKeyHolder(t, w)
	for name, headers := range map[string][]string{
		"used before":     {auth, proof},
		"none":            {auth},
		"two":             {auth, h.proof("GET", at, token), h.proof("GET", at, token)},
		"another method":  {auth, h.proof("POST", at, token)},
		"another address": {auth, h.proof("GET", "https://id.example/shop/v1/y", token)},
		"another host":    {auth, h.proof("GET", "http://evil.example/shop/v1/x", token)},
		"another token":   {auth, h.proof("GET", at, token+"x")},
		"another key":     {auth, other.proof("GET", at, token)},
		"too old":         {auth, h.proof("GET", at, token, claims{"iat": w.now.Add(-time.Hour).Unix()})},
		"as a bearer":     {"Authorization: Bearer " + token},
		"as a bearer too": {"Authorization: Bearer " + token, h.proof("GET", at, token)},
	} {
		rec := w.get("/shop/v1/x", headers...)
		challenge := rec.Header().Values("WWW-Authenticate")
		if rec.Code != http.StatusUnauthorized || len(challenge) != 2 || !strings.HasPrefix(challenge[1], "DPoP ") || !strings.Contains(challenge[1], "error=") ||
			!strings.Contains(challenge[1], `algs="`) || strings.Contains(challenge[0], "error=") {
			t.Errorf("%s: %d %q", name, rec.Code, challenge)
		}
	}
}

// A route of any host takes proofs for the issuer's address alone, whatever the Host header says: a
// site that was handed a token and a proof for itself cannot use them here.
func TestProofForAnotherSiteIsRejected(t *testing.T) {
	w := newWorld(t, append(shop(), access.Route{ID: "own", Prefix: "/x", Host: "app.example"}))
	h := newKeyHolder(t, w)
	token := w.token(claims{
		"cnf": map[string]string{"jkt": h.print},
		"aud": []string{issuer, "https://app.example/x"},
	})
	auth := "Authorization: DPoP " + token
	for _, row := range []struct {
		host, path, htu string
		want            int
	}{
		{"evil.example", "/shop/v1/x", "http://evil.example/shop/v1/x", 401},
		{"evil.example", "/shop/v1/x", "https://evil.example/shop/v1/x", 401},
		{"evil.example:8080", "/shop/v1/x", "http://evil.example:8080/shop/v1/x", 401},
		{"id.example:9999", "/shop/v1/x", "http://id.example:9999/shop/v1/x", 401},
		{"evil.example", "/shop/v1/x", issuer + "/shop/v1/x", 200},
		{"id.example", "/shop/v1/x", issuer + "/shop/v1/x", 200},
		{"app.example", "/x", "http://app.example/x", 200},
		{"app.example", "/x", issuer + "/x", 401},
	} {
		r := request(t, http.MethodGet, row.host, row.path, auth, h.proof("GET", row.htu, token))
		if rec := w.do(r); rec.Code != row.want {
			t.Errorf("host %s, htu %s: status %d, want %d", row.host, row.htu, rec.Code, row.want)
		}
	}
	r := request(t, http.MethodGet, "id.example", "/gateway/check", auth,
		"X-Forwarded-Uri: /shop/v1/x", "X-Forwarded-Host: evil.example", "X-Forwarded-Method: GET",
		h.proof("GET", "https://evil.example/shop/v1/x", token))
	r.RemoteAddr = "10.0.0.1:1"
	if rec := w.do(r); rec.Code != http.StatusUnauthorized {
		t.Errorf("forward-auth: status %d, want 401", rec.Code)
	}
}

// Behind a proxy at a port that is not the scheme's own, a proof is for that port: as Host has it,
// or as a trusted proxy reports it. The ports of the scheme are the same as none.
func TestProofBehindAProxyAtAnotherPort(t *testing.T) {
	w := newWorld(t, []access.Route{{ID: "own", Prefix: "/", Host: "app.example"}})
	h := newKeyHolder(t, w)
	token := w.token(claims{
		"cnf": map[string]string{"jkt": h.print},
		"aud": []string{"https://app.example"},
	})
	const proxy, stranger = "10.0.0.1:1", "192.0.2.7:1"
	for _, row := range []struct {
		from, host string
		headers    []string
		htu        string
		want       int
	}{
		{proxy, "app.example", nil, "https://app.example/x", 200},
		{proxy, "app.example", nil, "https://app.example:443/x", 200},
		{proxy, "app.example", nil, "https://APP.example/x?query#fragment", 200},
		{proxy, "APP.example:443", nil, "https://app.example/x", 200},
		{proxy, "app.example:8443", nil, "https://app.example:8443/x", 200},
		{proxy, "app.example:8443", nil, "https://app.example/x", 401},
		{proxy, "app.example", []string{"X-Forwarded-Host: app.example:8443"}, "https://app.example:8443/x", 200},
		{proxy, "app.example", []string{"X-Forwarded-Host: app.example:8443, inner"}, "https://app.example:8443/x", 200},
		{proxy, "app.example", []string{"X-Forwarded-Host: app.example:8443"}, "https://app.example/x", 401},
		{proxy, "app.example", []string{"X-Forwarded-Host: evil.example:8443"}, "https://app.example:8443/x", 401},
		{proxy, "app.example", []string{"X-Forwarded-Host: evil.example:8443"}, "https://evil.example:8443/x", 401},
		{proxy, "app.example", []string{"X-Forwarded-Port: 8443"}, "https://app.example:8443/x", 200},
		{proxy, "app.example", []string{"X-Forwarded-Port: 8443"}, "https://app.example/x", 200}, // a mapped port
		{proxy, "app.example", []string{"X-Forwarded-Port: 8443"}, "https://app.example:9443/x", 401},
		{proxy, "app.example", []string{"X-Forwarded-Port: 443"}, "https://app.example/x", 200},
		{proxy, "app.example", []string{"X-Forwarded-Port: 80", "X-Forwarded-Proto: http"}, "http://app.example:80/x", 200},
		{proxy, "app.example", []string{"X-Forwarded-Port: 8443x"}, "https://app.example:8443/x", 401},
		{proxy, "app.example:8443", []string{"X-Forwarded-Port: 9443"}, "https://app.example:9443/x", 401},
		{stranger, "app.example", []string{"X-Forwarded-Port: 8443"}, "http://app.example:8443/x", 401},
		{stranger, "app.example", []string{"X-Forwarded-Host: app.example:8443"}, "http://app.example:8443/x", 401},
		{stranger, "app.example", nil, "http://app.example/x", 200},
	} {
		headers := append([]string{"Authorization: DPoP " + token, h.proof("GET", row.htu, token)}, row.headers...)
		r := request(t, http.MethodGet, row.host, "/x", headers...)
		r.RemoteAddr = row.from
		if rec := w.do(r); rec.Code != row.want {
			t.Errorf("%s from %s, %v, htu %s: %d, want %d", row.host, row.from, row.headers, row.htu, rec.Code, row.want)
		}
	}
}

// In forward-auth a proof is for the address that the caller requested, not for the proxy's
// request.
func TestTokensBoundToAKeyInForwardAuth(t *testing.T) {
	w := newWorld(t, pages())
	h := newKeyHolder(t, w)
	token := w.token(claims{"cnf": map[string]string{"jkt": h.print}})
	for name, ask := range proxies() {
		if rec := ask(w, "PUT", "/page?x=1", "Authorization: DPoP "+token, h.proof("PUT", "https://app.example/page", token)); rec.Code != http.StatusOK {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
		if rec := ask(w, "PUT", "/page", "Authorization: DPoP "+token, h.proof("GET", "https://id.example/gateway/check", token)); rec.Code != http.StatusUnauthorized {
			t.Errorf("%s, a proof for the question: %d", name, rec.Code)
		}
	}
}

func TestNoncesOfProofs(t *testing.T) {
	w := newWorld(t, shop(), func(o *gatewayOptions) {
		tok := o.Tokens.(tokens)
		tok.Server = token.New(oauth.Config{Issuer: issuer, Alg: "ES256", DPoPNonce: true}, token.Parts{
			Store: tok.w.db, Ring: tok.w.ring, Keys: tok.w.keys,
		})
		o.Tokens = tok
	})
	h := newKeyHolder(t, w)
	token := w.token(claims{"cnf": map[string]string{"jkt": h.print}})
	rec := w.get("/shop/v1", "Authorization: DPoP "+token, h.proof("GET", "https://id.example/shop/v1", token))
	nonce := rec.Header().Get("DPoP-Nonce")
	if rec.Code != http.StatusUnauthorized || nonce == "" || problemOf(t, rec).Error != "use_dpop_nonce" {
		t.Fatalf("RFC 9449 §9: %d %v %s", rec.Code, rec.Header(), rec.Body)
	}
	rec = w.get("/shop/v1", "Authorization: DPoP "+token, h.proof("GET", "https://id.example/shop/v1", token, claims{"nonce": nonce}))
	if rec.Code != http.StatusOK || rec.Header().Get("DPoP-Nonce") == "" {
		t.Errorf("RFC 9449 §8.2: %d %v", rec.Code, rec.Header())
	}
}

func TestTokensBoundToACertificateNeedOne(t *testing.T) {
	w := newWorld(t, shop())
	token := w.token(claims{"cnf": map[string]string{"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}})
	if rec := w.get("/shop/v1", "Authorization: Bearer "+token); rec.Code != http.StatusUnauthorized {
		t.Errorf("RFC 8705 §3: %d", rec.Code)
	}
}

func TestOpaqueTokensAreReadOnce(t *testing.T) {
	w := newWorld(t, shop())
	token := secret.NewToken(secret.PrefixAccessToken)
	must(t, w.db.PutOpaque(t.Context(), w.keys.Hash(token), &oauth.AccessToken{
		ID: secret.NewID(w.now), Client: w.client.ID, User: w.user.ID, Subject: string(w.user.ID), Scopes: []string{"read"}, Audience: []string{issuer},
		IssuedAt: w.now.Truncate(time.Second), Expires: w.now.Add(time.Minute),
	}))
	for range 3 {
		if rec := w.get("/shop/v1", "Authorization: Bearer "+token); rec.Code != http.StatusOK {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
	}
	if w.calls != 1 {
		t.Errorf("storage was asked %d times", w.calls)
	}
	must(t, w.db.Revoke(t.Context(), oauth.Revocation{Kind: oauth.RevokeUser, ID: string(w.user.ID), NotBefore: w.now}))
	if rec := w.get("/shop/v1", "Authorization: Bearer "+token); rec.Code != http.StatusUnauthorized {
		t.Errorf("revoked: %d", rec.Code)
	}
}

// oneApp is a token handler with one session and one cookie.
type oneApp struct{ who access.Caller }

func (a *oneApp) CallerAt(_ context.Context, r *http.Request, _, _, _ string) (*access.Caller, error) {
	if c, err := r.Cookie("__Host-gatehouse-app"); err != nil || c.Value != "good" {
		return nil, nil
	}
	return &a.who, nil
}

func TestBrowserAppsSession(t *testing.T) {
	app := &oneApp{}
	w := newWorld(t, pages(), func(o *gatewayOptions) { o.Apps = app })
	ada := string(w.user.ID)
	app.who = access.Caller{By: access.ByApp, Client: "app", Proven: true, User: ada, Subject: ada, Scopes: []string{"read"}, TokenID: "t"}
	ask := func(headers ...string) *httptest.ResponseRecorder {
		return w.do(request(t, "POST", "app.example", "/x", append(headers, "Cookie: a=b; __Host-gatehouse-app=good; __Host-gatehouse-app-login=y")...))
	}
	got := w.received(ask("Sec-Fetch-Site: same-origin"))
	if info := w.info(got.Header.Get("X-Auth-Info")); info["by"] != "app" || info["user"].(map[string]any)["id"] != ada || got.Header.Get("Cookie") != "a=b" {
		t.Errorf("%v %v", info, got.Header)
	}
	if rec := ask("Sec-Fetch-Site: cross-site"); rec.Code != http.StatusForbidden {
		t.Errorf("another site's: %d", rec.Code)
	}
	if rec := w.do(request(t, "GET", "app.example", "/x", "Cookie: __Host-gatehouse-app=bad")); rec.Code != http.StatusUnauthorized {
		t.Errorf("a session that has ended: %d", rec.Code)
	}
}
