package examples_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"
)

// clientToken returns an access token of a client that acts for itself.
func (w *world) clientToken(t *testing.T, id string, more url.Values) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {w.secrets[id]}}
	for name, values := range more {
		form[name] = values
	}
	answer := w.tokens(t, form)
	token, ok := answer["access_token"].(string)
	if !ok {
		t.Fatalf("no token for %s: %v", id, answer)
	}
	return token
}

func (w *world) testAPI(t *testing.T) {
	forAPI := url.Values{"resource": {resource}}
	full := w.clientToken(t, "notes-robot", forAPI)
	brief := w.clientToken(t, "notes-brief", forAPI)
	time.Sleep(1100 * time.Millisecond) // the brief one expires

	const invalid = `Bearer realm="notes", error="invalid_token", error_description="`
	for _, tc := range []struct {
		name, method, path, authorization string
		status                            int
		challenge                         string
	}{
		{"public", "GET", "/public", "", 200, ""},
		{"no token", "GET", "/notes", "", 401, `Bearer realm="notes", scope="notes:read"`},
		{"another scheme", "GET", "/notes", "Basic YTpi", 401, `Bearer realm="notes", scope="notes:read"`},
		{"the right scope to write", "POST", "/notes", "Bearer " + full, 201, ""},
		{"the right scope to read", "GET", "/notes", "bearer " + full, 200, ""},
		{"the wrong scope", "POST", "/notes", "Bearer " + w.clientToken(t, "notes-reader", forAPI), 403, `Bearer realm="notes", error="insufficient_scope", error_description="`},
		{"narrowed to nothing of use", "GET", "/notes", "Bearer " + w.clientToken(t, "notes-robot", url.Values{"resource": {resource}, "scope": {"notes:write"}}), 403, `Bearer realm="notes", error="insufficient_scope", error_description="`},
		{"for another audience", "GET", "/notes", "Bearer " + w.clientToken(t, "notes-robot", nil), 401, invalid},
		{"expired", "GET", "/notes", "Bearer " + brief, 401, invalid},
		{"changed", "GET", "/notes", "Bearer " + changed(t, full), 401, invalid},
		{"signed with another key", "GET", "/notes", "Bearer " + forged(t, full), 401, invalid},
		{"not signed", "GET", "/notes", "Bearer " + unsigned(full), 401, invalid},
		{"no token at all", "GET", "/notes", "Bearer nonsense", 401, invalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := request(t, tc.method, w.api+tc.path, `{"text": "Buy milk"}`)
			if tc.authorization != "" {
				r.Header.Set("Authorization", tc.authorization)
			}
			res, body := fetch(t, r)
			got := res.Header.Get("WWW-Authenticate")
			if res.StatusCode != tc.status || !strings.HasPrefix(got, tc.challenge) || (got == "") != (tc.challenge == "") {
				t.Errorf("%s %s: %d, challenge %q; want %d, %q\n%s", tc.method, tc.path, res.StatusCode, got, tc.status, tc.challenge, body)
			}
			if needs := map[string]string{"GET": "notes:read", "POST": "notes:write"}[tc.method]; got != "" && !strings.Contains(got, `scope="`+needs+`"`) {
				t.Errorf("%s %s: the challenge %q does not name the scope", tc.method, tc.path, got)
			}
		})
	}
}

// testIDToken sends an API an ID token that differs from an access token only in its type.
func (w *world) testIDToken(t *testing.T) {
	app := oauth2.Config{
		ClientID: "notes-browser", RedirectURL: "http://localhost:3000/", Scopes: []string{"openid", "email", "notes:read"},
		Endpoint: oauth2.Endpoint{AuthURL: w.issuer + "/oauth/authorize", TokenURL: w.issuer + "/oauth/token", AuthStyle: oauth2.AuthStyleInParams},
	}
	verifier := oauth2.GenerateVerifier()
	p := newPerson(t)
	p.allow(app.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier)), "")
	token, err := app.Exchange(t.Context(), p.at.Query().Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	r := request(t, "GET", w.startAPI(t, app.ClientID)+"/notes", "")
	r.Header.Set("Authorization", "Bearer "+token.Extra("id_token").(string))
	if res, body := fetch(t, r); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("the API accepted an ID token: %d %s", res.StatusCode, body)
	}
}

// changed returns the token with more scope, under the old signature.
func changed(t *testing.T, token string) string {
	part := strings.Split(token, ".")
	payload, err := base64.RawURLEncoding.DecodeString(part[1])
	if err != nil {
		t.Fatal(err)
	}
	part[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(payload), "notes:read", "notes:read notes:admin", 1)))
	return strings.Join(part, ".")
}

// forged returns the token's claims signed by another key with the same id.
func forged(t *testing.T, token string) string {
	parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: parsed.Signatures[0].Header.KeyID}},
		(&jose.SignerOptions{}).WithType("at+jwt"))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(parsed.UnsafePayloadWithoutVerification())
	if err != nil {
		t.Fatal(err)
	}
	out, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// unsigned returns the token with alg none.
func unsigned(token string) string {
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`))
	return header + "." + strings.Split(token, ".")[1] + "."
}

// testBrowser checks what the browser app sends; conformance/example-browser.test.mjs runs the app
// in one.
func (w *world) testBrowser(t *testing.T) {
	app := w.start(t, []string{"ISSUER=" + w.issuer, "API=" + w.api, "ADDRESS=localhost:0"}, `^App at (\S+)`, filepath.Join(w.bin, "browser"))
	for path, holds := range map[string]string{"/": "<title>Notes</title>", "/oidc.js": "code_challenge", "/settings.json": w.issuer} {
		res, body := fetch(t, request(t, "GET", app+path, ""))
		if res.StatusCode != 200 || !strings.Contains(body, holds) {
			t.Errorf("GET %s: %s\n%s", path, res.Status, body)
		}
		policy := res.Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'; script-src 'self';") || !strings.Contains(policy, "connect-src 'self' "+w.issuer+" "+w.api+";") {
			t.Errorf("GET %s: policy %q", path, policy)
		}
	}
}
