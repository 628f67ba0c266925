package bearer_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/bearer"
	"github.com/gatehouse-id/gatehouse/bearer/bearertest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

const api = "https://api.example.com"

// newVerifier returns a verifier of tokens for the API. It closes it when the test ends.
func newVerifier(t testing.TB, c bearer.Config) *bearer.Verifier {
	t.Helper()
	c.Audience = []string{api}
	v, err := bearer.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

var client = bearer.ClientCredentials{ID: bearertest.ClientID, Secret: bearertest.ClientSecret}

func request(authorization ...string) *http.Request {
	r := httptest.NewRequest("GET", "/notes", nil)
	r.Host = "api.example.com"
	r.Header["Authorization"] = authorization
	return r
}

// verify checks a token that is sent as a caller would send it.
func verify(t testing.TB, v *bearer.Verifier, token string) (*bearer.Token, error) {
	return v.Verify(t.Context(), request("Bearer "+token))
}

// rejected checks that an error has a status and a code, and a description that fits a challenge.
func rejected(t *testing.T, err error, status int, code string) {
	t.Helper()
	var e *bearer.Error
	if !errors.As(err, &e) {
		t.Errorf("not rejected with an Error: %v", err)
		return
	}
	if e.Status != status || e.Code != code {
		t.Errorf("rejected with %d %q, want %d %q: %v", e.Status, e.Code, status, code, err)
	}
	if strings.ContainsAny(e.Description, "\"\\") || e.Description == "" {
		t.Errorf("the description %q does not fit into a challenge", e.Description)
	}
}

// get serves one request behind Require and returns the response.
func get(v *bearer.Verifier, r *http.Request, scopes ...string) *http.Response {
	w := httptest.NewRecorder()
	v.Require(scopes...)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t, ok := bearer.FromContext(r.Context())
		if !ok {
			panic("no token in the context")
		}
		_, _ = w.Write([]byte(t.Subject))
	})).ServeHTTP(w, r)
	return w.Result()
}

func TestToken(t *testing.T) {
	issuer := bearertest.NewIssuer(t)
	v := newVerifier(t, bearer.Config{Issuer: issuer.URL})
	got, err := verify(t, v, issuer.Token(bearertest.Claims{
		"aud": []string{"https://other.example", api}, "scope": "notes:read notes:write", "sid": "s", "roles": []string{"admin"}, "jti": "j", "gid": "g",
		"acr": "aal2", "amr": []string{"pwd", "otp"}, "auth_time": 1_700_000_000, "tenant": map[string]any{"id": 7},
	}))
	if err != nil {
		t.Fatal(err)
	}
	if got.Issuer != issuer.URL || got.Subject != "ada" || got.User != "ada" || got.Client != "app" || !got.HasScopes("notes:read", "notes:write") || got.HasScopes("notes:admin") ||
		got.ID != "j" || got.Grant != "g" || got.Session != "s" || got.Roles[0] != "admin" || got.ACR != "aal2" || len(got.AMR) != 2 ||
		got.AuthTime.Unix() != 1_700_000_000 || time.Until(got.Expires) < 59*time.Minute || len(got.Audience) != 2 {
		t.Errorf("%+v", got)
	}
	var tenant struct {
		ID int `json:"id"`
	}
	if ok, err := got.Claim("tenant", &tenant); !ok || err != nil || tenant.ID != 7 {
		t.Errorf("claim: %v %v %+v", ok, err, tenant)
	}
	if ok, err := got.Claim("nothing", &tenant); ok || err != nil {
		t.Errorf("an absent claim: %v %v", ok, err)
	}
	own, err := verify(t, v, issuer.Token(bearertest.Claims{"sub": "app"}))
	if err != nil || own.User != "" {
		t.Errorf("a client acting for itself: %+v %v", own, err)
	}
}

// RFC 9068 §4, RFC 7519 §4.1, RFC 8725 §3.
func TestInvalidJWTs(t *testing.T) {
	issuer, stranger := bearertest.NewIssuer(t), bearertest.NewIssuer(t)
	v := newVerifier(t, bearer.Config{Issuer: issuer.URL})
	now := time.Now().Unix()
	with := func(c bearertest.Claims) string { return issuer.Token(c) }
	good := issuer.Token(nil)
	parts := strings.Split(good, ".")
	for name, token := range map[string]string{
		"expired":                        with(bearertest.Claims{"exp": now - 1}),
		"expires this second":            with(bearertest.Claims{"exp": now}),
		"no exp":                         with(bearertest.Claims{"exp": nil}),
		"exp as text":                    with(bearertest.Claims{"exp": "tomorrow"}),
		"exp beyond time":                with(bearertest.Claims{"exp": 1e300}),
		"from the future":                with(bearertest.Claims{"iat": now + 3600}),
		"not before later":               with(bearertest.Claims{"nbf": now + 3600}),
		"another audience":               with(bearertest.Claims{"aud": "https://other.example"}),
		"an audience that begins alike":  with(bearertest.Claims{"aud": api + "/"}),
		"no audience":                    with(bearertest.Claims{"aud": nil}),
		"aud of the wrong type":          with(bearertest.Claims{"aud": 7}),
		"another issuer in name":         with(bearertest.Claims{"iss": issuer.URL + "/"}),
		"another issuer":                 stranger.Token(nil),
		"another issuer's key, our name": stranger.Token(bearertest.Claims{"iss": issuer.URL}),
		"no sub":                         with(bearertest.Claims{"sub": nil}),
		"no client_id":                   with(bearertest.Claims{"client_id": nil}),
		"azp for client_id":              with(bearertest.Claims{"client_id": nil, "azp": "app"}),
		"no jti":                         with(bearertest.Claims{"jti": nil}),
		"no iat":                         with(bearertest.Claims{"iat": nil}),
		"bound in an unknown way":        with(bearertest.Claims{"cnf": map[string]string{"osc": "x"}}),
		"cnf is no object":               with(bearertest.Claims{"cnf": "x"}),
		"scope of the wrong type":        with(bearertest.Claims{"scope": 7}),
		"an ID token":                    issuer.Sign("JWT", bearertest.Claims{"iss": issuer.URL, "sub": "ada", "aud": api, "exp": now + 60, "iat": now}),
		"no type":                        issuer.Sign("", bearertest.Claims{"iss": issuer.URL, "sub": "ada", "aud": api, "exp": now + 60, "iat": now}),
		"changed payload":                parts[0] + "." + parts[1][:len(parts[1])-2] + "AA." + parts[2],
		"changed signature":              parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])),
		"alg none":                       "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0." + parts[1] + ".",
		"alg HS256":                      "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9." + parts[1] + "." + parts[2],
		"not JSON":                       "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.bm90IEpTT04." + parts[2],
		"opaque, without introspection":  "nonsense",
		"too long":                       "ey" + strings.Repeat("a", 8<<10) + ".a.a",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := verify(t, v, token)
			rejected(t, err, 401, bearer.CodeInvalidToken)
		})
	}
	if _, err := verify(t, v, good); err != nil {
		t.Errorf("the good one: %v", err)
	}
	if _, err := verify(t, v, issuer.Sign("application/AT+JWT", bearertest.Claims{
		"iss": issuer.URL, "sub": "ada", "client_id": "app", "aud": api, "jti": "j", "exp": now + 3600, "iat": now + 5,
	})); err != nil {
		t.Errorf("the type in full, and a clock 5 s ahead: %v", err)
	}
	lax := newVerifier(t, bearer.Config{Issuer: issuer.URL, Leeway: 5 * time.Minute})
	if _, err := verify(t, lax, with(bearertest.Claims{"exp": now - 30})); err != nil {
		t.Errorf("within the leeway: %v", err)
	}
	strict := newVerifier(t, bearer.Config{Issuer: issuer.URL, Algorithms: []string{"RS256"}})
	_, err := verify(t, strict, good)
	rejected(t, err, 401, bearer.CodeInvalidToken)
}

// Gatehouse signs access tokens with the type JWT for clients that are registered so. ID tokens
// have the same type: the claims tell them apart (RFC 8725 §3.12).
func TestAccessTokensOfTypeJWT(t *testing.T) {
	issuer := bearertest.NewIssuer(t)
	v := newVerifier(t, bearer.Config{Issuer: issuer.URL})
	signed := func(change bearertest.Claims) string {
		now := time.Now().Unix()
		c := bearertest.Claims{
			"iss": issuer.URL, "sub": "ada", "client_id": "app", "aud": api, "jti": "j", "gid": "g", "iat": now, "exp": now + 60,
		}
		maps.Copy(c, change)
		maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
		return issuer.Sign("JWT", c)
	}
	if got, err := verify(t, v, signed(nil)); err != nil || got.Client != "app" || got.Grant != "g" {
		t.Errorf("%+v, %v", got, err)
	}
	for name, change := range map[string]bearertest.Claims{
		"no client":           {"client_id": nil},
		"client by azp alone": {"client_id": nil, "azp": "app"},
		"no grant":            {"gid": nil},
		"no id":               {"jti": nil},
		"hash of a token":     {"at_hash": "x"},
		"hash of a code":      {"c_hash": "x"},
		"security event":      {"events": map[string]any{"x": map[string]any{}}},
		"another audience":    {"aud": "https://other.example"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := verify(t, v, signed(change))
			rejected(t, err, 401, bearer.CodeInvalidToken)
		})
	}
}

// The places in a request that a token may be sent in (RFC 6750 §2, §3.1, §5.3).
func TestCredential(t *testing.T) {
	issuer := bearertest.NewIssuer(t)
	v := newVerifier(t, bearer.Config{Issuer: issuer.URL})
	token := issuer.Token(nil)
	for name, tc := range map[string]struct {
		request *http.Request
		status  int
		code    string
	}{
		"any case of the scheme": {request("bEARER " + token), 0, ""},
		"more than one space":    {request("Bearer   " + token), 0, ""},
		"none":                   {request(), 401, ""},
		"another scheme":         {request("Basic YTpi"), 401, ""},
		"sent twice":             {request("Bearer "+token, "Bearer "+token), 400, bearer.CodeInvalidRequest},
		"sent twice, one Basic":  {request("Basic YTpi", "Bearer "+token), 400, bearer.CodeInvalidRequest},
		"scheme alone":           {request("Bearer"), 400, bearer.CodeInvalidRequest},
		"scheme and space":       {request("Bearer "), 400, bearer.CodeInvalidRequest},
		"two tokens":             {request("Bearer " + token + " " + token), 400, bearer.CodeInvalidRequest},
		"two credentials":        {request("Bearer " + token + ", Basic YTpi"), 400, bearer.CodeInvalidRequest},
		"characters of no token": {request("Bearer a\x00b"), 400, bearer.CodeInvalidRequest},
		"in the address": {
			httptest.NewRequest("GET", "/notes?access_token="+token, nil), 400, bearer.CodeInvalidRequest,
		},
		"in the address, encoded": {
			httptest.NewRequest("GET", "/notes?a=1&access%5Ftoken=x", nil), 400, bearer.CodeInvalidRequest,
		},
		"in the address and the header": {
			func() *http.Request {
				r := httptest.NewRequest("GET", "/notes?access_token="+token, nil)
				r.Header.Set("Authorization", "Bearer "+token)
				return r
			}(), 400, bearer.CodeInvalidRequest,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := v.Verify(t.Context(), tc.request)
			if tc.status == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			rejected(t, err, tc.status, tc.code)
		})
	}
	r := httptest.NewRequest("GET", "/notes?q=100%25&about=access_tokens", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	if _, err := v.Verify(t.Context(), r); err != nil {
		t.Errorf("a query about something else: %v", err)
	}
}

// Challenges (RFC 6750 §3, RFC 9449 §7.1, RFC 9728 §5.1).
func TestChallenges(t *testing.T) {
	issuer := bearertest.NewIssuer(t)
	v := newVerifier(t, bearer.Config{Issuer: issuer.URL, Realm: "notes", Resource: &bearer.Resource{}})
	const (
		metadata = `resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"`
		algs     = `algs="ES256 ES384 EdDSA Ed25519 RS256 PS256"`
	)
	reader, holder := issuer.Token(bearertest.Claims{"scope": "notes:read"}), bearertest.NewHolder(t)
	bound := issuer.Token(bearertest.Claims{"cnf": holder.Confirmation()})
	for name, tc := range map[string]struct {
		authorization string
		status        int
		body          string
		bearer, dpop  string
	}{
		"nothing sent": {
			"", 401, "unauthorized",
			`Bearer realm="notes", scope="notes:read notes:write", ` + metadata,
			`DPoP realm="notes", scope="notes:read notes:write", ` + metadata + ", " + algs,
		},
		"invalid": {
			"Bearer nonsense", 401, "invalid_token",
			`Bearer realm="notes", error="invalid_token", error_description="The access token is not of a kind that this API accepts.", scope="notes:read notes:write", ` + metadata,
			`DPoP realm="notes", scope="notes:read notes:write", ` + metadata + ", " + algs,
		},
		"too little scope": {
			"Bearer " + reader, 403, "insufficient_scope",
			`Bearer realm="notes", error="insufficient_scope", error_description="The access token lacks a scope that this needs. Ask the authorization server for one that has it.", scope="notes:read notes:write", ` + metadata,
			`DPoP realm="notes", scope="notes:read notes:write", ` + metadata + ", " + algs,
		},
		"malformed": {
			"Bearer ", 400, "invalid_request",
			`Bearer realm="notes", error="invalid_request", error_description="The Authorization header has no access token.", ` + metadata,
			`DPoP realm="notes", error="invalid_request", error_description="The Authorization header has no access token.", ` + metadata + ", " + algs,
		},
		"bound, sent as bearer": {
			"Bearer " + bound, 401, "invalid_token",
			`Bearer realm="notes", scope="notes:read notes:write", ` + metadata,
			`DPoP realm="notes", error="invalid_token", error_description="The access token is bound to a key. Send it with the DPoP scheme and a proof.", scope="notes:read notes:write", ` + metadata + ", " + algs,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := request()
			if tc.authorization != "" {
				r = request(tc.authorization)
			}
			res := get(v, r, "notes:read", "notes:write")
			c := res.Header.Values("WWW-Authenticate")
			if res.StatusCode != tc.status || len(c) != 2 || c[0] != tc.bearer || c[1] != tc.dpop {
				t.Errorf("%d\n%s\nwant %d\n%s\n%s", res.StatusCode, strings.Join(c, "\n"), tc.status, tc.bearer, tc.dpop)
			}
			var body map[string]string
			if err := json.NewDecoder(res.Body).Decode(&body); err != nil || body["error"] != tc.body || body["error_description"] == "" {
				t.Errorf("body: %v %v", body, err)
			}
			if res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Content-Type") != "application/json" {
				t.Errorf("headers: %v", res.Header)
			}
		})
	}
	if res := get(v, request("Bearer "+reader), "notes:read"); res.StatusCode != 200 || res.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("enough scope: %d %v", res.StatusCode, res.Header)
	}
}

func TestOnReject(t *testing.T) {
	issuer := bearertest.NewIssuer(t)
	var reported []*bearer.Error
	v := newVerifier(t, bearer.Config{
		Issuer:   issuer.URL,
		OnReject: func(_ *http.Request, e *bearer.Error) { reported = append(reported, e) },
	})
	res := get(v, request("Bearer "+issuer.Token(bearertest.Claims{"aud": "https://elsewhere.example"})))
	body := make([]byte, 1000)
	n, _ := res.Body.Read(body)
	if len(reported) != 1 || !strings.Contains(reported[0].Error(), "elsewhere.example") {
		t.Errorf("OnReject was called with %v", reported)
	}
	if strings.Contains(string(body[:n]), "elsewhere.example") {
		t.Errorf("the response shows the reason: %s", body[:n])
	}
}

// The keys follow their rotation, and the tokens of a key that is no longer published are rejected.
func TestRotation(t *testing.T) {
	issuer, now := bearertest.NewIssuer(t), newClock()
	v := newVerifier(t, bearer.Config{Issuer: issuer.URL, Clock: now.get})
	lasting := bearertest.Claims{"exp": time.Now().Add(time.Hour * 48).Unix()}
	old := issuer.Token(lasting)
	good := func(what, token string) {
		t.Helper()
		if _, err := verify(t, v, token); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	good("first key", old)
	issuer.Rotate()
	renewed := issuer.Token(lasting)
	_, err := verify(t, v, renewed)
	rejected(t, err, 401, bearer.CodeInvalidToken) // the keys were just loaded: a made-up token must not cause a request
	if n := issuer.Requests("/jwks"); n != 1 {
		t.Errorf("the keys were requested %d times", n)
	}
	now.advance(31 * time.Second)
	good("second key", renewed)
	for range 20 {
		_, _ = verify(t, v, bearertest.NewIssuer(t).Token(bearertest.Claims{"iss": issuer.URL}))
	}
	if n := issuer.Requests("/jwks"); n != 2 {
		t.Errorf("the keys were requested %d times", n)
	}
	good("first key still", old)
	issuer.Forget()
	now.advance(11 * time.Minute) // past the lifetime of the keys: the next request refreshes them
	good("until they are refreshed", old)
	testkit.Eventually(t, "the old key's token is rejected", func() bool { _, err := verify(t, v, old); return err != nil })
	good("second key still", renewed)
}

// An issuer that is down: 503 while no keys are cached, then the cached keys are used for a day.
func TestOutage(t *testing.T) {
	issuer, now := bearertest.NewIssuer(t), newClock()
	var reported atomic.Int32
	v := newVerifier(t, bearer.Config{
		Issuer:  issuer.URL,
		Clock:   now.get,
		OnError: func(error) { reported.Add(1) },
	})
	token := issuer.Token(bearertest.Claims{"exp": time.Now().Add(72 * time.Hour).Unix()})
	issuer.Down(true)
	_, err := verify(t, v, token)
	rejected(t, err, 503, bearer.CodeUnavailable)
	if reported.Load() != 1 {
		t.Errorf("OnError was called %d times", reported.Load())
	}
	res := get(v, request("Bearer "+token))
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || res.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	issuer.Down(false)
	now.advance(3 * time.Second)
	if _, err := verify(t, v, token); err != nil {
		t.Fatal(err)
	}
	issuer.Down(true)
	now.advance(23 * time.Hour)
	if _, err := verify(t, v, token); err != nil {
		t.Errorf("keys of yesterday: %v", err)
	}
	now.advance(3 * time.Hour)
	_, err = verify(t, v, token)
	rejected(t, err, 503, bearer.CodeUnavailable)
}

// A revocation applies as soon as the feed reports it.
func TestRevocation(t *testing.T) {
	issuer := bearertest.NewIssuer(t)
	v, strict := newVerifier(t, bearer.Config{Issuer: issuer.URL, Client: client}), newVerifier(t, bearer.Config{
		Issuer:    issuer.URL,
		Client:    client,
		StaleFeed: bearer.RejectWhenStale,
	})
	for _, one := range []*bearer.Verifier{v, strict} {
		if err := one.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for kind, claim := range map[string]string{"token": "jti", "grant": "gid", "session": "sid"} {
		token := issuer.Token(bearertest.Claims{claim: "revoked " + kind})
		if _, err := verify(t, v, token); err != nil {
			t.Fatal(err)
		}
		issuer.Revoke(kind, "revoked "+kind)
		testkit.Eventually(t, kind+" is rejected", func() bool { _, err := verify(t, v, token); return err != nil })
		_, err := verify(t, v, token)
		rejected(t, err, 401, bearer.CodeInvalidToken)
	}
	if n := issuer.Requests("/introspect"); n != 0 {
		t.Errorf("%d introspection requests although the feed is current", n)
	}
}

func TestStaleFeed(t *testing.T) {
	issuer := bearertest.NewIssuer(t)
	issuer.Silence(true)
	v, strict := newVerifier(t, bearer.Config{Issuer: issuer.URL, Client: client}), newVerifier(t, bearer.Config{
		Issuer:    issuer.URL,
		Client:    client,
		StaleFeed: bearer.RejectWhenStale,
	})
	token := issuer.Token(nil)
	_, err := verify(t, v, token) // not active at the endpoint
	rejected(t, err, 401, bearer.CodeInvalidToken)
	good := issuer.Token(nil)
	issuer.Answer(good, bearertest.Claims{"active": true, "sub": "ada", "client_id": "app", "aud": api})
	for range 5 {
		if _, err := verify(t, v, good); err != nil {
			t.Error(err)
		}
	}
	if n := issuer.Requests("/introspect"); n != 2 {
		t.Errorf("%d requests; want one for each token", n)
	}
	_, err = verify(t, strict, good)
	rejected(t, err, 503, bearer.CodeUnavailable)
	issuer.Silence(false)
	testkit.Eventually(t, "the feed is current", func() bool { _, err := verify(t, strict, good); return err == nil })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	issuer.Silence(true)
	if err := newVerifier(t, bearer.Config{Issuer: issuer.URL, Client: client}).Ready(ctx); err == nil {
		t.Error("Ready without a feed")
	}
}

// Foreign issuers name their claims differently.
func TestForeign(t *testing.T) {
	issuer := bearertest.NewIssuer(t)
	now := time.Now().Unix()
	keycloak := newVerifier(t, bearer.Config{
		Issuer:  issuer.URL,
		Foreign: &bearer.Claims{Roles: "realm_access.roles"},
	})
	auth0 := newVerifier(t, bearer.Config{
		Issuer:  issuer.URL,
		Foreign: &bearer.Claims{Scopes: "permissions", Roles: "https://example.com/roles", User: "https://example.com/user"},
	})
	got, err := verify(t, keycloak, issuer.Sign("JWT", bearertest.Claims{
		"iss": issuer.URL, "sub": "7f", "azp": "shop", "aud": []string{"account", api}, "exp": now + 60, "iat": now, "jti": "j", "typ": "Bearer",
		"scope": "profile notes:read", "realm_access": map[string]any{"roles": []string{"editor"}}, "preferred_username": "ada",
	}))
	if err != nil || got.Client != "shop" || got.User != "7f" || got.UserName != "ada" || len(got.Roles) != 1 || got.Roles[0] != "editor" || !got.HasScopes("notes:read") {
		t.Errorf("%+v %v", got, err)
	}
	got, err = verify(t, auth0, issuer.Sign("at+jwt", bearertest.Claims{
		"iss": issuer.URL, "sub": "auth0|1", "azp": "shop", "aud": api, "exp": now + 60, "permissions": []string{"notes:read"},
		"https://example.com/roles": []string{"editor"}, "https://example.com/user": "ada",
	}))
	if err != nil || got.User != "ada" || got.Roles[0] != "editor" || !got.HasScopes("notes:read") {
		t.Errorf("%+v %v", got, err)
	}
	for name, more := range map[string]bearertest.Claims{
		"ID token by its hash":      {"at_hash": "x"},
		"logout token":              {"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}},
		"ID token by its kind":      {"typ": "ID"},
		"refresh token by its kind": {"typ": "Refresh"},
		"no exp":                    {"exp": nil},
		"nobody":                    {"sub": nil, "azp": nil},
		"another audience":          {"aud": "account"},
		"roles of the wrong type":   {"realm_access": map[string]any{"roles": 7}},
	} {
		claims := bearertest.Claims{"iss": issuer.URL, "sub": "7f", "azp": "shop", "aud": api, "exp": now + 60}
		for k, c := range more {
			claims[k] = c
		}
		if _, err := verify(t, keycloak, issuer.Sign("JWT", claims)); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	_, err = verify(t, keycloak, issuer.Sign("logout+jwt", bearertest.Claims{"iss": issuer.URL, "sub": "7f", "aud": api, "exp": now + 60}))
	rejected(t, err, 401, bearer.CodeInvalidToken)
}

// RFC 8705 §3: tokens bound to a TLS certificate.
func TestCertificate(t *testing.T) {
	issuer := bearertest.NewIssuer(t)
	v := newVerifier(t, bearer.Config{Issuer: issuer.URL})
	server := httptest.NewTLSServer(nil) // for its certificate
	defer server.Close()
	cert, other := server.Certificate(), &x509.Certificate{Raw: []byte("another")}
	token := issuer.Token(bearertest.Claims{"cnf": map[string]string{"x5t#S256": thumbprint(cert)}})
	send := func(c *x509.Certificate) error {
		r := request("Bearer " + token)
		if c != nil {
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}}
		}
		_, err := v.Verify(t.Context(), r)
		return err
	}
	if err := send(cert); err != nil {
		t.Error(err)
	}
	rejected(t, send(nil), 401, bearer.CodeInvalidToken)
	rejected(t, send(other), 401, bearer.CodeInvalidToken)
	behind := newVerifier(t, bearer.Config{
		Issuer:            issuer.URL,
		ClientCertificate: func(*http.Request) *x509.Certificate { return cert },
	})
	if _, err := verify(t, behind, token); err != nil {
		t.Errorf("behind a proxy: %v", err)
	}
}

func TestInvalidConfig(t *testing.T) {
	const id = "https://id.example.com"
	aud := []string{api}
	for name, tc := range map[string]struct {
		config bearer.Config
		says   string
	}{
		"no audience":               {bearer.Config{Issuer: id}, "Audience"},
		"issuer without TLS":        {bearer.Config{Issuer: "http://id.example.com", Audience: aud}, "https"},
		"issuer that is no URL":     {bearer.Config{Issuer: "id.example.com", Audience: aud}, "https"},
		"issuer with a user":        {bearer.Config{Issuer: "https://a:b@id.example.com", Audience: aud}, "username"},
		"client without secret":     {bearer.Config{Issuer: id, Audience: aud, Client: bearer.ClientCredentials{ID: "a", Secret: ""}}, "Secret"},
		"symmetric algorithm":       {bearer.Config{Issuer: id, Audience: aud, Algorithms: []string{"HS256"}}, "HS256"},
		"no signature":              {bearer.Config{Issuer: id, Audience: aud, Algorithms: []string{"none"}}, "none"},
		"no algorithms":             {bearer.Config{Issuer: id, Audience: aud, Algorithms: []string{}}, "at least one"},
		"introspection by nobody":   {bearer.Config{Issuer: id, Audience: aud, AlwaysIntrospect: true}, "Client"},
		"keys without TLS":          {bearer.Config{Issuer: id, Audience: aud, JWKSURL: "http://id.example.com/k"}, "JWKSURL"},
		"introspection without TLS": {bearer.Config{Issuer: id, Audience: aud, IntrospectionURL: "http://id.example.com/i"}, "IntrospectionURL"},
		"short nonce key":           {bearer.Config{Issuer: id, Audience: aud, DPoP: bearer.DPoPConfig{RequireNonce: true, NonceKey: []byte("short")}}, "32"},
		"public URL":                {bearer.Config{Issuer: id, Audience: aud, PublicURL: "api.example.com"}, "PublicURL"},
		"endless leeway":            {bearer.Config{Issuer: id, Audience: aud, Leeway: time.Hour}, "Leeway"},
		"endless belief":            {bearer.Config{Issuer: id, Audience: aud, CacheTTL: time.Hour}, "CacheTTL"},
		"realm that breaks out":     {bearer.Config{Issuer: id, Audience: aud, Realm: `a", error="x`}, "Realm"},
		"unknown policy":            {bearer.Config{Issuer: id, Audience: aud, StaleFeed: 7}, "StaleFeed"},
		"token of no size":          {bearer.Config{Issuer: id, Audience: aud, MaxTokenBytes: -1}, "MaxTokenBytes"},
		"memory of no size":         {bearer.Config{Issuer: id, Audience: aud, MaxCachedTokens: -1}, "MaxCachedTokens"},
		"identifier is no address":  {bearer.Config{Issuer: id, Audience: []string{"notes"}, Resource: &bearer.Resource{}}, "identifier"},
		"described scope":           {bearer.Config{Issuer: id, Audience: aud, Resource: &bearer.Resource{Scopes: []string{"a b"}}}, "scope"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := bearer.New(tc.config)
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %v does not say %q", err, tc.says)
			}
			if err != nil && strings.Contains(err.Error(), "a:b@") {
				t.Errorf("the error shows a password: %v", err)
			}
		})
	}
	v := newVerifier(t, bearer.Config{Issuer: "https://id.example.com"})
	defer func() {
		if recover() == nil {
			t.Error("Require accepted two scopes in one string")
		}
	}()
	v.Require("a b")
}

// RFC 9728 §3.
func TestMetadata(t *testing.T) {
	v := newVerifier(t, bearer.Config{
		Issuer:   "https://id.example.com",
		Resource: &bearer.Resource{ID: api + "/v1/", Name: "Notes", Scopes: []string{"notes:read"}},
	})
	if got, want := v.MetadataPath(), "/.well-known/oauth-protected-resource/v1"; got != want {
		t.Errorf("path %s, want %s", got, want)
	}
	w := httptest.NewRecorder()
	v.Metadata().ServeHTTP(w, httptest.NewRequest("GET", v.MetadataPath(), nil))
	const want = `{"resource":"https://api.example.com/v1/","authorization_servers":["https://id.example.com"],"scopes_supported":["notes:read"],` +
		`"bearer_methods_supported":["header"],"resource_name":"Notes","dpop_signing_alg_values_supported":["ES256","ES384","EdDSA","Ed25519","RS256","PS256"]}`
	if w.Body.String() != want || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%v\n%s", w.Header(), w.Body)
	}
	w = httptest.NewRecorder()
	v.Metadata().ServeHTTP(w, httptest.NewRequest("POST", v.MetadataPath(), nil))
	if w.Code != 405 || w.Header().Get("Allow") == "" {
		t.Errorf("POST: %d", w.Code)
	}
	w = httptest.NewRecorder()
	newVerifier(t, bearer.Config{Issuer: "https://id.example.com"}).Metadata().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 404 {
		t.Errorf("without Resource: %d", w.Code)
	}
}

// A clock is moved by a test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) get() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
