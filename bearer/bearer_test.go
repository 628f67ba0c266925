package bearer_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/bearer"
	"github.com/gatehouse-id/gatehouse/bearer/bearertest"
)

const api = "https://api.example.com"

// newVerifier makes a verifier of an issuer's tokens that only checks them here.
func newVerifier(t testing.TB, issuer string, more ...bearer.Option) *bearer.Verifier {
	t.Helper()
	v, err := bearer.New(issuer, append([]bearer.Option{bearer.Audience(api)}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

var client = bearer.Client(bearertest.ClientID, bearertest.ClientSecret)

func request(authorization ...string) *http.Request {
	r := httptest.NewRequest("GET", "/notes", nil)
	r.Host = "api.example.com"
	r.Header["Authorization"] = authorization
	return r
}

// verify checks a token as a caller would send it.
func verify(t testing.TB, v *bearer.Verifier, token string) (*bearer.Token, error) {
	return v.Verify(t.Context(), request("Bearer "+token))
}

// refusal checks that an error is a refusal with a status and code, and that it gives nothing away.
func refusal(t *testing.T, err error, status int, code string) {
	t.Helper()
	var e *bearer.Error
	if !errors.As(err, &e) {
		t.Errorf("not refused as it should be: %v", err)
		return
	}
	if e.Status != status || e.Code != code {
		t.Errorf("refused with %d %q, want %d %q: %v", e.Status, e.Code, status, code, err)
	}
	if strings.ContainsAny(e.Description, "\"\\") || e.Description == "" {
		t.Errorf("the description %q cannot stand in a challenge", e.Description)
	}
}

// get serves one request with middleware and gives the answer.
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
	v := newVerifier(t, issuer.URL)
	got, err := verify(t, v, issuer.Token(bearertest.Claims{
		"aud": []string{"https://other.example", api}, "scope": "notes:read notes:write", "sid": "s", "roles": []string{"admin"}, "jti": "j", "gid": "g",
		"acr": "aal2", "amr": []string{"pwd", "otp"}, "auth_time": 1_700_000_000, "tenant": map[string]any{"id": 7},
	}))
	if err != nil {
		t.Fatal(err)
	}
	if got.Issuer != issuer.URL || got.Subject != "ada" || got.User != "ada" || got.Client != "app" || !got.May("notes:read", "notes:write") || got.May("notes:admin") ||
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
		t.Errorf("a claim that is not there: %v %v", ok, err)
	}
	own, err := verify(t, v, issuer.Token(bearertest.Claims{"sub": "app"}))
	if err != nil || own.User != "" {
		t.Errorf("a client that acts for itself: %+v %v", own, err)
	}
}

// What a JWT must be (RFC 9068 §4, RFC 7519 §4.1, RFC 8725 §3).
func TestLocalRefusals(t *testing.T) {
	issuer, stranger := bearertest.NewIssuer(t), bearertest.NewIssuer(t)
	v := newVerifier(t, issuer.URL)
	now := time.Now().Unix()
	with := func(c bearertest.Claims) string { return issuer.Token(c) }
	good := issuer.Token(nil)
	parts := strings.Split(good, ".")
	for name, token := range map[string]string{
		"expired":                         with(bearertest.Claims{"exp": now - 1}),
		"expires this second":             with(bearertest.Claims{"exp": now}),
		"no exp":                          with(bearertest.Claims{"exp": nil}),
		"exp as text":                     with(bearertest.Claims{"exp": "tomorrow"}),
		"exp beyond time":                 with(bearertest.Claims{"exp": 1e300}),
		"from the future":                 with(bearertest.Claims{"iat": now + 60}),
		"not before later":                with(bearertest.Claims{"nbf": now + 60}),
		"another audience":                with(bearertest.Claims{"aud": "https://other.example"}),
		"an audience that begins alike":   with(bearertest.Claims{"aud": api + "/"}),
		"no audience":                     with(bearertest.Claims{"aud": nil}),
		"aud of the wrong type":           with(bearertest.Claims{"aud": 7}),
		"another issuer in name":          with(bearertest.Claims{"iss": issuer.URL + "/"}),
		"another issuer":                  stranger.Token(nil),
		"another issuer's key, our name":  stranger.Token(bearertest.Claims{"iss": issuer.URL}),
		"no sub":                          with(bearertest.Claims{"sub": nil}),
		"no client_id":                    with(bearertest.Claims{"client_id": nil}),
		"azp for client_id":               with(bearertest.Claims{"client_id": nil, "azp": "app"}),
		"no jti":                          with(bearertest.Claims{"jti": nil}),
		"no iat":                          with(bearertest.Claims{"iat": nil}),
		"bound in an unknown way":         with(bearertest.Claims{"cnf": map[string]string{"osc": "x"}}),
		"cnf is no object":                with(bearertest.Claims{"cnf": "x"}),
		"scope of the wrong type":         with(bearertest.Claims{"scope": 7}),
		"an ID token":                     issuer.Sign("JWT", bearertest.Claims{"iss": issuer.URL, "sub": "ada", "aud": api, "exp": now + 60, "iat": now}),
		"no type":                         issuer.Sign("", bearertest.Claims{"iss": issuer.URL, "sub": "ada", "aud": api, "exp": now + 60, "iat": now}),
		"changed payload":                 parts[0] + "." + parts[1][:len(parts[1])-2] + "AA." + parts[2],
		"changed signature":               parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])),
		"alg none":                        "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0." + parts[1] + ".",
		"alg HS256":                       "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9." + parts[1] + "." + parts[2],
		"not JSON":                        "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.bm90IEpTT04." + parts[2],
		"opaque, and nobody can be asked": "nonsense",
		"too long":                        "ey" + strings.Repeat("a", 8<<10) + ".a.a",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := verify(t, v, token)
			refusal(t, err, 401, bearer.CodeInvalidToken)
		})
	}
	if _, err := verify(t, v, good); err != nil {
		t.Errorf("the good one: %v", err)
	}
	if _, err := verify(t, v, issuer.Sign("application/AT+JWT", bearertest.Claims{
		"iss": issuer.URL, "sub": "ada", "client_id": "app", "aud": api, "jti": "j", "exp": now + 60, "iat": now + 5,
	})); err != nil {
		t.Errorf("the type in full, and a clock 5 s ahead: %v", err)
	}
	lax := newVerifier(t, issuer.URL, bearer.Leeway(time.Minute))
	if _, err := verify(t, lax, with(bearertest.Claims{"exp": now - 30})); err != nil {
		t.Errorf("within the leeway: %v", err)
	}
	strict := newVerifier(t, issuer.URL, bearer.Algorithms("RS256"))
	_, err := verify(t, strict, good)
	refusal(t, err, 401, bearer.CodeInvalidToken)
}

// Where the token may stand in a request (RFC 6750 §2, §3.1, §5.3).
func TestCredential(t *testing.T) {
	issuer := bearertest.NewIssuer(t)
	v := newVerifier(t, issuer.URL)
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
			refusal(t, err, tc.status, tc.code)
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
	v := newVerifier(t, issuer.URL, bearer.Realm("notes"), bearer.Describe(bearer.Resource{}))
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
			`Bearer realm="notes", error="invalid_request", error_description="The Authorization header holds no access token.", ` + metadata,
			`DPoP realm="notes", error="invalid_request", error_description="The Authorization header holds no access token.", ` + metadata + ", " + algs,
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

func TestOnRefused(t *testing.T) {
	issuer := bearertest.NewIssuer(t)
	var told []*bearer.Error
	v := newVerifier(t, issuer.URL, bearer.OnRefused(func(_ *http.Request, e *bearer.Error) { told = append(told, e) }))
	res := get(v, request("Bearer "+issuer.Token(bearertest.Claims{"aud": "https://elsewhere.example"})))
	body := make([]byte, 1000)
	n, _ := res.Body.Read(body)
	if len(told) != 1 || !strings.Contains(told[0].Error(), "elsewhere.example") {
		t.Errorf("the owner was told %v", told)
	}
	if strings.Contains(string(body[:n]), "elsewhere.example") {
		t.Errorf("the caller was told the reason: %s", body[:n])
	}
}

// The keys follow their rotation, and a key that is published no longer takes its tokens with it.
func TestRotation(t *testing.T) {
	issuer, now := bearertest.NewIssuer(t), newClock()
	v := newVerifier(t, issuer.URL, bearer.Clock(now.get))
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
	refusal(t, err, 401, bearer.CodeInvalidToken) // the keys are a moment old: strangers cannot make us ask at will
	if n := issuer.Asked("/jwks"); n != 1 {
		t.Errorf("the keys were asked for %d times", n)
	}
	now.advance(31 * time.Second)
	good("second key", renewed)
	for range 20 {
		_, _ = verify(t, v, bearertest.NewIssuer(t).Token(bearertest.Claims{"iss": issuer.URL}))
	}
	if n := issuer.Asked("/jwks"); n != 2 {
		t.Errorf("the keys were asked for %d times", n)
	}
	good("first key still", old)
	issuer.Forget()
	now.advance(11 * time.Minute) // past the life of the keys: the next request has them renewed behind it
	good("until they are renewed", old)
	until(t, "the old key's token is refused", func() bool { _, err := verify(t, v, old); return err != nil })
	good("second key still", renewed)
}

// An issuer that cannot be asked: 503 while nothing is in hand, then the keys in hand for a day.
func TestOutage(t *testing.T) {
	issuer, now := bearertest.NewIssuer(t), newClock()
	var told atomic.Int32
	v := newVerifier(t, issuer.URL, bearer.Clock(now.get), bearer.OnError(func(error) { told.Add(1) }))
	token := issuer.Token(bearertest.Claims{"exp": time.Now().Add(72 * time.Hour).Unix()})
	issuer.Down(true)
	_, err := verify(t, v, token)
	refusal(t, err, 503, bearer.CodeUnavailable)
	if told.Load() != 1 {
		t.Errorf("the owner was told %d times", told.Load())
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
	refusal(t, err, 503, bearer.CodeUnavailable)
}

// Revocations are in force at once; without news of them the owner's choice is.
func TestRevocation(t *testing.T) {
	issuer := bearertest.NewIssuer(t)
	v, strict := newVerifier(t, issuer.URL, client), newVerifier(t, issuer.URL, client, bearer.WhenBlind(bearer.Refuse))
	for _, one := range []*bearer.Verifier{v, strict} {
		if err := one.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for kind, claim := range map[string]string{"token": "jti", "grant": "gid", "session": "sid"} {
		token := issuer.Token(bearertest.Claims{claim: "dead " + kind})
		if _, err := verify(t, v, token); err != nil {
			t.Fatal(err)
		}
		issuer.Revoke(kind, "dead "+kind)
		until(t, kind+" is refused", func() bool { _, err := verify(t, v, token); return err != nil })
		_, err := verify(t, v, token)
		refusal(t, err, 401, bearer.CodeInvalidToken)
	}
	if n := issuer.Asked("/introspect"); n != 0 {
		t.Errorf("the introspection endpoint was asked %d times although the feed is current", n)
	}
}

func TestBlind(t *testing.T) {
	issuer := bearertest.NewIssuer(t)
	issuer.Silence(true)
	v, strict := newVerifier(t, issuer.URL, client), newVerifier(t, issuer.URL, client, bearer.WhenBlind(bearer.Refuse))
	token := issuer.Token(nil)
	_, err := verify(t, v, token) // the endpoint does not know it: it has been revoked
	refusal(t, err, 401, bearer.CodeInvalidToken)
	good := issuer.Token(nil)
	issuer.Answer(good, bearertest.Claims{"active": true, "sub": "ada", "client_id": "app", "aud": api})
	for range 5 {
		if _, err := verify(t, v, good); err != nil {
			t.Error(err)
		}
	}
	if n := issuer.Asked("/introspect"); n != 2 {
		t.Errorf("asked %d times, want once for each token", n)
	}
	_, err = verify(t, strict, good)
	refusal(t, err, 503, bearer.CodeUnavailable)
	issuer.Silence(false)
	until(t, "the feed is current", func() bool { _, err := verify(t, strict, good); return err == nil })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	issuer.Silence(true)
	if err := newVerifier(t, issuer.URL, client).Ready(ctx); err == nil {
		t.Error("Ready without a feed")
	}
}

// Foreign issuers call things otherwise.
func TestForeign(t *testing.T) {
	issuer := bearertest.NewIssuer(t)
	now := time.Now().Unix()
	keycloak := newVerifier(t, issuer.URL, bearer.Foreign(bearer.Claims{Roles: "realm_access.roles"}))
	auth0 := newVerifier(t, issuer.URL, bearer.Foreign(bearer.Claims{Scopes: "permissions", Roles: "https://example.com/roles", User: "https://example.com/user"}))
	got, err := verify(t, keycloak, issuer.Sign("JWT", bearertest.Claims{
		"iss": issuer.URL, "sub": "7f", "azp": "shop", "aud": []string{"account", api}, "exp": now + 60, "iat": now, "jti": "j", "typ": "Bearer",
		"scope": "profile notes:read", "realm_access": map[string]any{"roles": []string{"editor"}}, "preferred_username": "ada",
	}))
	if err != nil || got.Client != "shop" || got.User != "7f" || got.UserName != "ada" || len(got.Roles) != 1 || got.Roles[0] != "editor" || !got.May("notes:read") {
		t.Errorf("%+v %v", got, err)
	}
	got, err = verify(t, auth0, issuer.Sign("at+jwt", bearertest.Claims{
		"iss": issuer.URL, "sub": "auth0|1", "azp": "shop", "aud": api, "exp": now + 60, "permissions": []string{"notes:read"},
		"https://example.com/roles": []string{"editor"}, "https://example.com/user": "ada",
	}))
	if err != nil || got.User != "ada" || got.Roles[0] != "editor" || !got.May("notes:read") {
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
			t.Errorf("%s was taken", name)
		}
	}
	_, err = verify(t, keycloak, issuer.Sign("logout+jwt", bearertest.Claims{"iss": issuer.URL, "sub": "7f", "aud": api, "exp": now + 60}))
	refusal(t, err, 401, bearer.CodeInvalidToken)
}

// Tokens bound to a TLS certificate (RFC 8705 §3).
func TestCertificate(t *testing.T) {
	issuer := bearertest.NewIssuer(t)
	v := newVerifier(t, issuer.URL)
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
	refusal(t, send(nil), 401, bearer.CodeInvalidToken)
	refusal(t, send(other), 401, bearer.CodeInvalidToken)
	behind := newVerifier(t, issuer.URL, bearer.ClientCertificate(func(*http.Request) *x509.Certificate { return cert }))
	if _, err := verify(t, behind, token); err != nil {
		t.Errorf("behind a proxy: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	aud := bearer.Audience(api)
	for name, tc := range map[string]struct {
		issuer string
		opts   []bearer.Option
		says   string
	}{
		"no audience":               {"https://id.example.com", nil, "Audience"},
		"issuer without TLS":        {"http://id.example.com", []bearer.Option{aud}, "https"},
		"issuer that is no URL":     {"id.example.com", []bearer.Option{aud}, "https"},
		"issuer with a user":        {"https://a:b@id.example.com", []bearer.Option{aud}, "user name"},
		"client without secret":     {"https://id.example.com", []bearer.Option{aud, bearer.Client("a", "")}, "secret"},
		"symmetric algorithm":       {"https://id.example.com", []bearer.Option{aud, bearer.Algorithms("HS256")}, "HS256"},
		"no signature":              {"https://id.example.com", []bearer.Option{aud, bearer.Algorithms("none")}, "none"},
		"no algorithms":             {"https://id.example.com", []bearer.Option{aud, bearer.Algorithms()}, "at least one"},
		"introspection by nobody":   {"https://id.example.com", []bearer.Option{aud, bearer.AlwaysIntrospect()}, "Client"},
		"keys without TLS":          {"https://id.example.com", []bearer.Option{aud, bearer.JWKS("http://id.example.com/k")}, "JWKS"},
		"introspection without TLS": {"https://id.example.com", []bearer.Option{aud, bearer.IntrospectionEndpoint("http://id.example.com/i")}, "IntrospectionEndpoint"},
		"short nonce key":           {"https://id.example.com", []bearer.Option{aud, bearer.RequireNonce([]byte("short"))}, "32"},
		"public URL":                {"https://id.example.com", []bearer.Option{aud, bearer.PublicURL("api.example.com")}, "PublicURL"},
		"endless leeway":            {"https://id.example.com", []bearer.Option{aud, bearer.Leeway(time.Hour)}, "Leeway"},
		"endless belief":            {"https://id.example.com", []bearer.Option{aud, bearer.CacheFor(time.Hour)}, "CacheFor"},
		"realm that breaks out":     {"https://id.example.com", []bearer.Option{aud, bearer.Realm(`a", error="x`)}, "Realm"},
		"unknown policy":            {"https://id.example.com", []bearer.Option{aud, bearer.WhenBlind(7)}, "WhenBlind"},
		"token of no size":          {"https://id.example.com", []bearer.Option{aud, bearer.MaxToken(0)}, "MaxToken"},
		"memory of no size":         {"https://id.example.com", []bearer.Option{aud, bearer.Remember(0)}, "Remember"},
		"identifier is no address":  {"https://id.example.com", []bearer.Option{bearer.Audience("notes"), bearer.Describe(bearer.Resource{})}, "identifier"},
		"described scope":           {"https://id.example.com", []bearer.Option{aud, bearer.Describe(bearer.Resource{Scopes: []string{"a b"}})}, "scope"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := bearer.New(tc.issuer, tc.opts...)
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %v does not say %q", err, tc.says)
			}
			if err != nil && strings.Contains(err.Error(), "a:b@") {
				t.Errorf("the error holds a password: %v", err)
			}
		})
	}
	v := newVerifier(t, "https://id.example.com")
	defer func() {
		if recover() == nil {
			t.Error("Require took two scopes in one string")
		}
	}()
	v.Require("a b")
}

// The metadata document (RFC 9728 §3).
func TestMetadata(t *testing.T) {
	v := newVerifier(t, "https://id.example.com", bearer.Describe(bearer.Resource{ID: api + "/v1/", Name: "Notes", Scopes: []string{"notes:read"}}))
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
	newVerifier(t, "https://id.example.com").Metadata().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 404 {
		t.Errorf("without Describe: %d", w.Code)
	}
}

// clock is one that a test moves.
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

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 500 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not within five seconds: %s", what)
}
