package conformance_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const callback = "http://127.0.0.1:4998/callback"

// TestGoClients runs the flows of an application that uses go-oidc and x/oauth2, all on one server.
func TestGoClients(t *testing.T) {
	in := install(t)
	ada := in.user("ada@example.com", "--name", "Ada Lovelace", "--email-verified")
	web := in.register(
		"--name", "Web", "--grant", "code", "--grant", "refresh", "--redirect-uri", callback,
		"--scope", "openid profile email offline_access",
	)
	worker := in.register("--name", "Worker", "--grant", "client_credentials", "--scope", "read write")
	tv := in.register(
		"--name", "TV", "--public", "--grant", "device", "--grant", "refresh",
		"--scope", "openid profile",
	)
	in.serve()

	provider, err := oidc.NewProvider(t.Context(), in.issuer)
	if err != nil {
		t.Fatal(err)
	}
	config := &oauth2.Config{
		ClientID: web.ID, ClientSecret: web.Secret, Endpoint: provider.Endpoint(), RedirectURL: callback,
		Scopes: []string{oidc.ScopeOpenID, "profile", "email", oidc.ScopeOfflineAccess},
	}
	t.Run("discovery names every endpoint", func(t *testing.T) { checkDiscovery(t, provider, in.issuer) })
	t.Run("authorization code with PKCE", func(t *testing.T) {
		checkLogin(t, provider, config, newPerson(t, in.issuer, "ada@example.com"), ada)
	})
	t.Run("a code without its verifier is refused", func(t *testing.T) {
		checkStolenCode(t, config, newPerson(t, in.issuer, "ada@example.com"))
	})
	t.Run("client credentials", func(t *testing.T) { checkWorker(t, provider, worker) })
	t.Run("device", func(t *testing.T) {
		checkDevice(t, provider, tv, newPerson(t, in.issuer, "ada@example.com"), ada)
	})
}

func checkDiscovery(t *testing.T, provider *oidc.Provider, issuer string) {
	var more struct {
		Introspection string   `json:"introspection_endpoint"`
		Revocation    string   `json:"revocation_endpoint"`
		EndSession    string   `json:"end_session_endpoint"`
		Challenges    []string `json:"code_challenge_methods_supported"`
	}
	if err := provider.Claims(&more); err != nil {
		t.Fatal(err)
	}
	endpoint := provider.Endpoint()
	for name, got := range map[string]string{
		issuer + "/oauth/authorize": endpoint.AuthURL, issuer + "/oauth/token": endpoint.TokenURL, issuer + "/oauth/device/code": endpoint.DeviceAuthURL,
		issuer + "/oauth/userinfo": provider.UserInfoEndpoint(), issuer + "/oauth/introspect": more.Introspection,
		issuer + "/oauth/revoke": more.Revocation, issuer + "/oauth/logout": more.EndSession,
	} {
		if got != name {
			t.Errorf("got %q, want %q", got, name)
		}
	}
	if !slices.Equal(more.Challenges, []string{"S256"}) {
		t.Errorf("code_challenge_methods_supported: %q", more.Challenges)
	}
}

func checkLogin(t *testing.T, provider *oidc.Provider, config *oauth2.Config, p *person, user string) {
	const state, nonce = "st/at+e", "n-0S6"
	verifier := oauth2.GenerateVerifier()
	back := p.answer(p.open(config.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier))))
	if back.Get("state") != state || back.Get("iss") != p.issuer {
		t.Fatalf("came back with %v", back)
	}
	token, err := config.Exchange(t.Context(), back.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	id := verifyID(t, provider, config.ClientID, token)
	if id.Subject != user || id.Nonce != nonce {
		t.Errorf("the ID token is for %q with nonce %q", id.Subject, id.Nonce)
	}
	if err := id.VerifyAccessToken(token.AccessToken); err != nil {
		t.Errorf("at_hash: %v", err)
	}
	info, err := provider.UserInfo(t.Context(), oauth2.StaticTokenSource(token))
	if err != nil {
		t.Fatal(err)
	}
	if info.Subject != user || info.Email != "ada@example.com" || !info.EmailVerified {
		t.Errorf("userinfo: %+v", info)
	}
	checkRefresh(t, provider, config, token, user)
}

// verifyID takes the ID token out of an answer and checks it.
func verifyID(t *testing.T, provider *oidc.Provider, clientID string, token *oauth2.Token) *oidc.IDToken {
	t.Helper()
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		t.Fatal("no ID token")
	}
	id, err := provider.Verifier(&oidc.Config{ClientID: clientID}).Verify(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func checkRefresh(t *testing.T, provider *oidc.Provider, config *oauth2.Config, token *oauth2.Token, user string) {
	old := token.RefreshToken
	next, err := config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: old}).Token()
	if err != nil {
		t.Fatal(err)
	}
	if next.RefreshToken == old || next.RefreshToken == "" {
		t.Errorf("the refresh token did not turn")
	}
	if id := verifyID(t, provider, config.ClientID, next); id.Subject != user {
		t.Errorf("the new ID token is for %q", id.Subject)
	}
	_, err = config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: old}).Token()
	wantError(t, err, "invalid_grant", http.StatusBadRequest)
}

// wantError checks what a refused token request was told.
func wantError(t *testing.T, err error, code string, status int) {
	t.Helper()
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) || refused.ErrorCode != code || refused.Response.StatusCode != status {
		t.Errorf("got %v, want %s with status %d", err, code, status)
	}
}

func checkStolenCode(t *testing.T, config *oauth2.Config, p *person) {
	verifier := oauth2.GenerateVerifier()
	back := p.answer(p.open(config.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier))))
	_, err := config.Exchange(t.Context(), back.Get("code"), oauth2.VerifierOption(oauth2.GenerateVerifier()))
	wantError(t, err, "invalid_grant", http.StatusBadRequest)
	_, err = config.Exchange(t.Context(), back.Get("code"), oauth2.VerifierOption(verifier))
	wantError(t, err, "invalid_grant", http.StatusBadRequest)
}

func checkWorker(t *testing.T, provider *oidc.Provider, worker client) {
	for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams, oauth2.AuthStyleAutoDetect} {
		config := clientcredentials.Config{
			ClientID: worker.ID, ClientSecret: worker.Secret, TokenURL: provider.Endpoint().TokenURL, Scopes: []string{"read"}, AuthStyle: style,
		}
		token, err := config.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if token.TokenType != "Bearer" || token.Extra("scope") != "read" || token.RefreshToken != "" {
			t.Errorf("style %d: %+v", style, token)
		}
		config.ClientSecret = "wrong"
		_, err = config.Token(t.Context())
		wantError(t, err, "invalid_client", http.StatusUnauthorized)
	}
}

func checkDevice(t *testing.T, provider *oidc.Provider, tv client, p *person, user string) {
	config := &oauth2.Config{
		ClientID: tv.ID,
		Endpoint: provider.Endpoint(),
		Scopes:   []string{oidc.ScopeOpenID, "profile"},
	}
	started, err := config.DeviceAuth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if started.Interval != 5 || started.VerificationURI != p.issuer+"/activate" || started.Expiry.IsZero() {
		t.Errorf("device authorization: %+v", started)
	}
	p.allowDevice(started.VerificationURIComplete, started.UserCode)
	started.Interval = 1 // a test need not sit through what the server asks of a device
	token, err := config.DeviceAccessToken(context.WithoutCancel(t.Context()), started)
	if err != nil {
		t.Fatal(err)
	}
	if id := verifyID(t, provider, tv.ID, token); id.Subject != user {
		t.Errorf("the ID token is for %q", id.Subject)
	}
	if _, err := config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: token.RefreshToken}).Token(); err != nil {
		t.Errorf("refresh: %v", err)
	}
}
