package oauth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	gojose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

const accessType = "urn:ietf:params:oauth:token-type:access_token"

// serverSideRefresh makes a client one with a server-side refresh token.
func serverSideRefresh(c *client.Client) { c.ServerSideRefresh = true }

// exchange requests a new access token for an old one. Pairs add parameters or replace them.
func (w *world) exchange(cl *client.Client, token string, pairs ...string) (*token.Response, error) {
	return w.token(cl, append([]string{"grant_type", client.GrantTypeExchange, "subject_token", token, "subject_token_type", accessType}, pairs...)...)
}

// RFC 8693 §2: an access token is exchanged for a new one, even after it has expired, and no
// refresh token leaves the server.
func TestExchange(t *testing.T) {
	for _, format := range []string{oauth.FormatJWT, oauth.FormatOpaque} {
		t.Run(format, func(t *testing.T) {
			w := newWorld(t)
			cl := w.client(
				serverSideRefresh,
				func(c *client.Client) { c.TokenFormat, c.Grants = format, []string{client.GrantTypeCode} },
			)
			first := w.login(cl, "scope", "openid api:read api:write", "resource", "https://api.example")
			testkit.Equal(t, "refresh token", first.RefreshToken, "")
			testkit.Equal(t, "issued_token_type of a code's answer", first.IssuedType, "")
			w.advance(time.Minute)
			second, err := w.exchange(cl, first.AccessToken)
			testkit.Must(t, err)
			testkit.Equal(t, "issued_token_type", second.IssuedType, accessType)
			testkit.Equal(t, "token_type", second.TokenType, "Bearer")
			testkit.Equal(t, "refresh token", second.RefreshToken, "")
			testkit.Equal(t, "scope", second.Scope, "openid api:read api:write")
			a, err := w.access(first.AccessToken)
			testkit.Must(t, err)
			b, err := w.access(second.AccessToken)
			testkit.Must(t, err)
			if a.ID == b.ID || a.Grant != b.Grant || b.Session != w.sess.ID || !b.Expires.After(a.Expires) ||
				b.Audience[0] != "https://api.example" {
				t.Fatalf("the new token says %+v, the old one %+v", b, a)
			}
			w.advance(2 * time.Hour) // expired; the row of an opaque one still exists
			third, err := w.exchange(cl, second.AccessToken, "scope", "api:read", "requested_token_type", accessType)
			testkit.Must(t, err)
			testkit.Equal(t, "requested scope", third.Scope, "api:read")
			w.wantActive(third.AccessToken)
			fourth, err := w.exchange(cl, third.AccessToken)
			testkit.Must(t, err)
			testkit.Equal(t, "scope of the approval", fourth.Scope, "openid api:read api:write")
		})
	}
}

// Every grant of a person is renewed in the same way.
func TestExchangeAfterTheDeviceGrant(t *testing.T) {
	w := newWorld(t)
	cl := w.client(serverSideRefresh, func(c *client.Client) { c.Grants = []string{client.GrantTypeDevice} })
	d := w.device(cl)
	testkit.Must(t, w.decide(d.UserCode, true))
	r, err := w.poll(cl, d.DeviceCode)
	testkit.Must(t, err)
	testkit.Equal(t, "refresh token", r.RefreshToken, "")
	w.advance(2 * time.Hour)
	_, err = w.exchange(cl, r.AccessToken)
	testkit.Must(t, err)
}

// RFC 9700 §4.14.2: an older token that is presented again ends the grant.
func TestExchangeReplayEndsTheGrant(t *testing.T) {
	w := newWorld(t)
	cl := w.client(serverSideRefresh)
	first := w.login(cl)
	second, err := w.exchange(cl, first.AccessToken)
	testkit.Must(t, err)
	_, err = w.exchange(cl, first.AccessToken)
	wantError(t, err, "invalid_request", 400) // RFC 8693 §2.2.2
	w.wantRevoked(first.AccessToken)
	w.wantRevoked(second.AccessToken)
	_, err = w.exchange(cl, second.AccessToken)
	wantError(t, err, "invalid_request", 400)
	w.audited(cl, audit.RefreshTokenReplayed, 1)
}

func TestExchangeReuseInterval(t *testing.T) {
	w := newWorld(t, reuse(10*time.Second))
	cl := w.client(serverSideRefresh)
	first := w.login(cl)
	second, err := w.exchange(cl, first.AccessToken)
	testkit.Must(t, err)
	w.advance(9 * time.Second)
	again, err := w.exchange(cl, first.AccessToken)
	testkit.Must(t, err)
	testkit.Equal(t, "the successor's id", claims(t, again.AccessToken)["jti"], claims(t, second.AccessToken)["jti"])
	third, err := w.exchange(cl, again.AccessToken)
	testkit.Must(t, err)
	_, err = w.exchange(cl, first.AccessToken) // the predecessor's predecessor
	wantError(t, err, "invalid_request", 400)
	w.wantRevoked(third.AccessToken)
}

func TestExchangeReuseIntervalOver(t *testing.T) {
	w := newWorld(t, reuse(10*time.Second))
	cl := w.client(serverSideRefresh)
	first := w.login(cl)
	_, err := w.exchange(cl, first.AccessToken)
	testkit.Must(t, err)
	w.advance(10*time.Second + time.Millisecond)
	_, err = w.exchange(cl, first.AccessToken)
	wantError(t, err, "invalid_request", 400)
}

func TestExchangeRace(t *testing.T) {
	w := newWorld(t)
	cl := w.client(serverSideRefresh)
	first := w.login(cl)
	got := race(t, 64, func(int) error {
		_, err := w.exchange(cl, first.AccessToken)
		return err
	})
	testkit.Equal(t, "successes", got[""], 1)
	testkit.Equal(t, "refusals", got["invalid_request"], 63)
}

func TestExchangeRaceWithinReuseInterval(t *testing.T) {
	w := newWorld(t, reuse(10*time.Second))
	cl := w.client(serverSideRefresh)
	first := w.login(cl)
	got := race(t, 64, func(int) error {
		_, err := w.exchange(cl, first.AccessToken)
		return err
	})
	testkit.Equal(t, "successes", got[""], 64)
	w.wantActive(first.AccessToken)
}

func TestExchangeErrors(t *testing.T) {
	w := newWorld(t)
	cl := w.client(serverSideRefresh)
	other := w.client(serverSideRefresh)
	plain := w.client()
	r := w.login(cl, "resource", "https://api.example")
	for name, c := range map[string]struct {
		by    *client.Client
		token string
		pairs []string
		code  string
	}{
		"no token":                      {cl, "", nil, "invalid_request"},
		"no type":                       {cl, r.AccessToken, []string{"subject_token_type", ""}, "invalid_request"},
		"another type":                  {cl, r.AccessToken, []string{"subject_token_type", "urn:ietf:params:oauth:token-type:id_token"}, "invalid_request"},
		"an actor":                      {cl, r.AccessToken, []string{"actor_token", r.AccessToken, "actor_token_type", accessType}, "invalid_request"},
		"an actor's type":               {cl, r.AccessToken, []string{"actor_token_type", accessType}, "invalid_request"},
		"another kind of token wanted":  {cl, r.AccessToken, []string{"requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"},
		"an audience":                   {cl, r.AccessToken, []string{"audience", "https://api.example"}, "invalid_target"},
		"a resource that was not given": {cl, r.AccessToken, []string{"resource", "https://files.example"}, "invalid_target"},
		"a scope that was not given":    {cl, r.AccessToken, []string{"scope", "api:write"}, "invalid_scope"},
		"another client's":              {other, r.AccessToken, nil, "invalid_request"},
		"a client without the flag":     {plain, r.AccessToken, nil, "unauthorized_client"},
		"an ID token":                   {cl, r.IDToken, nil, "invalid_request"},
		"rubbish":                       {cl, "x.y.z", nil, "invalid_request"},
		"an opaque token made up":       {cl, secret.NewToken(secret.PrefixAccessToken), nil, "invalid_request"},
		"a refresh token":               {cl, w.login(plain).RefreshToken, nil, "invalid_request"},
		"an altered signature":          {cl, r.AccessToken[:len(r.AccessToken)-6] + "AAAAAA", nil, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.exchange(c.by, c.token, c.pairs...)
			wantError(t, err, c.code, 400)
		})
	}
	_, err := w.exchange(cl, r.AccessToken) // none of these requests consumed it
	testkit.Must(t, err)
}

// A client's own token has no approval of a person.
func TestExchangeOfTheClientsOwnToken(t *testing.T) {
	w := newWorld(t)
	cl := w.client(serverSideRefresh)
	own, err := w.token(cl, "grant_type", "client_credentials")
	testkit.Must(t, err)
	_, err = w.exchange(cl, own.AccessToken)
	wantError(t, err, "invalid_request", 400)
	w.wantActive(own.AccessToken)
}

// Tokens from before the client got server-side refresh tokens are not a replay.
func TestExchangeOfAGrantWithARefreshToken(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	r := w.login(cl)
	changed := *cl
	changed.ServerSideRefresh, changed.UpdatedAt = true, w.now
	testkit.Must(t, w.db.UpdateClient(t.Context(), cl, &changed))
	_, err := w.exchange(&changed, r.AccessToken)
	wantError(t, err, "invalid_request", 400)
	w.wantActive(r.AccessToken)
	_, err = w.refresh(&changed, r.RefreshToken)
	testkit.Must(t, err)
}

// After the grant has ended, the token cannot be exchanged.
func TestExchangeEnds(t *testing.T) {
	for name, end := range map[string]func(w *world, cl *client.Client, r *token.Response) error{
		"the session has ended": func(w *world, _ *client.Client, _ *token.Response) error {
			return w.db.EndSession(w.t.Context(), w.sess.ID, w.now, true)
		},
		"all of the user's": func(w *world, _ *client.Client, _ *token.Response) error {
			w.advance(time.Second)
			return w.db.EndUserAccess(w.t.Context(), w.user.ID, w.now, "")
		},
		"the account is disabled": func(w *world, _ *client.Client, _ *token.Response) error {
			u := *w.user
			u.Disabled, u.UpdatedAt = true, w.now
			return w.db.UpdateUser(w.t.Context(), w.user, &u)
		},
		"the approval is too old": func(w *world, _ *client.Client, _ *token.Response) error {
			w.advance(30*24*time.Hour + time.Second)
			return nil
		},
		"the client has revoked the token, RFC 7009 §2.1": func(w *world, cl *client.Client, r *token.Response) error {
			return w.revoke(cl, r.AccessToken)
		},
		"the token alone is revoked": func(w *world, _ *client.Client, r *token.Response) error {
			t, err := w.access(r.AccessToken)
			testkit.Must(w.t, err)
			return w.db.Revoke(w.t.Context(), oauth.Revocation{Kind: oauth.RevokeToken, ID: t.ID, NotBefore: w.now, Until: w.now.AddDate(1, 0, 0)})
		},
		"the client has revoked the token after its end": func(w *world, cl *client.Client, r *token.Response) error {
			w.advance(2 * time.Hour)
			return w.revoke(cl, r.AccessToken)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			cl := w.client(serverSideRefresh)
			r := w.login(cl)
			testkit.Must(t, end(w, cl, r))
			_, err := w.exchange(cl, r.AccessToken)
			wantError(t, err, "invalid_request", 400)
			w.advance(48 * time.Hour) // also after the revocation has expired
			_, err = w.db.Sweep(t.Context(), w.now)
			testkit.Must(t, err)
			_, err = w.exchange(cl, r.AccessToken)
			wantError(t, err, "invalid_request", 400)
		})
	}
}

func TestRevocationWithServerSideRefresh(t *testing.T) {
	w := newWorld(t)
	cl, other := w.client(serverSideRefresh), w.client(serverSideRefresh)
	r := w.login(cl)
	wantError(t, w.revoke(other, r.AccessToken), "unauthorized_client", 400)
	testkit.Must(t, w.revoke(cl, "x.y.z"))
	w.wantActive(r.AccessToken)
	own, err := w.token(cl, "grant_type", "client_credentials")
	testkit.Must(t, err)
	second, err := w.token(cl, "grant_type", "client_credentials")
	testkit.Must(t, err)
	testkit.Must(t, w.revoke(cl, own.AccessToken))
	w.wantRevoked(own.AccessToken)
	w.wantActive(second.AccessToken)
	w.wantActive(r.AccessToken)
	testkit.Must(t, w.revoke(cl, r.AccessToken))
	w.wantRevoked(r.AccessToken)
}

// The sliding expiry never passes the absolute end.
func TestExchangeSlides(t *testing.T) {
	w := newWorld(t, func(c *oauth.Config) { c.RefreshTTL, c.RefreshAbsolute = 10*time.Hour, 24*time.Hour })
	cl := w.client(serverSideRefresh)
	token := w.login(cl).AccessToken
	for range 2 {
		w.advance(9 * time.Hour)
		r, err := w.exchange(cl, token)
		testkit.Must(t, err)
		token = r.AccessToken
	}
	w.advance(6*time.Hour + time.Second)
	_, err := w.exchange(cl, token)
	wantError(t, err, "invalid_request", 400)
}

// proofKey is a client's DPoP key (RFC 9449).
type proofKey struct{ key *ecdsa.PrivateKey }

func newProofKey(t *testing.T) proofKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testkit.Must(t, err)
	return proofKey{k}
}

// prove adds a proof for the token endpoint.
func (k proofKey) prove(t *testing.T, c *oauth.Call) *oauth.Call {
	t.Helper()
	opts := (&gojose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt")
	signer, err := gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.ES256, Key: k.key}, opts)
	testkit.Must(t, err)
	c.URL = issuer + "/oauth/token"
	proof, err := jwt.Signed(signer).Claims(map[string]any{"jti": secret.NewToken(""), "htm": "POST", "htu": c.URL, "iat": c.Now.Unix()}).Serialize()
	testkit.Must(t, err)
	c.DPoP = []string{proof}
	return c
}

func (w *world) exchangeCall(cl *client.Client, token string) *oauth.Call {
	return w.from(cl, "grant_type", client.GrantTypeExchange, "subject_token", token, "subject_token_type", accessType)
}

// RFC 9700 §2.2.2: a public client cannot authenticate itself, so its tokens must be bound to a
// key that it proves to hold.
func TestExchangeByPublicClients(t *testing.T) {
	w := newWorld(t)
	cl := w.client(public, serverSideRefresh)
	unbound := w.login(cl)
	_, err := w.exchange(cl, unbound.AccessToken)
	e := wantError(t, err, "invalid_request", 400)
	if !strings.Contains(e.Description, "DPoP") {
		t.Fatalf("the error does not say what to do: %s", e.Description)
	}
	w.wantActive(unbound.AccessToken)

	key, other := newProofKey(t), newProofKey(t)
	first, err := w.srv.Token(t.Context(), key.prove(t, w.from(cl, "grant_type", "authorization_code", "code", w.code(cl), "redirect_uri", callback, "code_verifier", verifier)))
	testkit.Must(t, err)
	_, err = w.exchange(cl, first.AccessToken)
	wantError(t, err, "invalid_dpop_proof", 400)
	_, err = w.srv.Token(t.Context(), other.prove(t, w.exchangeCall(cl, first.AccessToken)))
	wantError(t, err, "invalid_request", 400)
	w.advance(2 * time.Hour)
	second, err := w.srv.Token(t.Context(), key.prove(t, w.exchangeCall(cl, first.AccessToken)))
	testkit.Must(t, err) // a caller without the key neither consumes the token nor ends the grant
	testkit.Equal(t, "token_type", second.TokenType, "DPoP")
	third, err := w.srv.Token(t.Context(), key.prove(t, w.exchangeCall(cl, second.AccessToken)))
	testkit.Must(t, err)
	_, err = w.srv.Token(t.Context(), other.prove(t, w.exchangeCall(cl, second.AccessToken)))
	wantError(t, err, "invalid_request", 400)
	w.wantActive(third.AccessToken) // nor does a replay without the key
}

// Session-managed clients: this server keeps their tokens.
func TestSessionManagedClient(t *testing.T) {
	const home = "https://app.example/session/callback"
	w := newWorld(t)
	cl := w.client(public, func(c *client.Client) { c.Redirects = []string{home, callback} })
	ask := func(pairs ...string) *oauth.Call { return w.call(append([]string{"redirect_uri", home}, pairs...)...) }
	code := w.code(cl, "redirect_uri", home)
	first, err := w.srv.RedeemForSession(
		t.Context(), cl.ID, "/session/callback",
		ask("grant_type", "authorization_code", "code", code, "code_verifier", verifier),
	)
	testkit.Must(t, err)
	second, err := w.srv.RedeemForSession(
		t.Context(), cl.ID, "/session/callback",
		ask("grant_type", "refresh_token", "refresh_token", first.RefreshToken),
	)
	testkit.Must(t, err)
	testkit.Equal(t, "the refresh token, which never leaves", second.RefreshToken, first.RefreshToken)
	w.wantActive(second.AccessToken)
	_, err = w.srv.RedeemForSession(
		t.Context(), cl.ID, "/session/callback",
		ask("grant_type", "authorization_code", "code", code, "code_verifier", verifier),
	)
	wantError(t, err, "invalid_grant", 400)
	w.wantRevoked(second.AccessToken)
}

func TestSessionManagedClientErrors(t *testing.T) {
	const home = "https://app.example/session/callback"
	w := newWorld(t)
	cl := w.client(func(c *client.Client) { c.Redirects = []string{home, callback} })
	stranger := w.client()
	mute := w.client(
		func(c *client.Client) { c.Redirects, c.Grants = []string{home}, []string{client.GrantTypeClient} },
	)
	off := w.client(func(c *client.Client) { c.Redirects, c.Disabled = []string{home}, true })
	for name, c := range map[string]struct {
		by    *client.Client
		pairs []string
		code  string
	}{
		"a client that has not registered the callback": {stranger, []string{"redirect_uri", home}, "unauthorized_client"},
		"another registered address":                    {cl, []string{"redirect_uri", callback}, "unauthorized_client"},
		"no address":                                    {cl, []string{"redirect_uri", ""}, "unauthorized_client"},
		"another grant":                                 {cl, []string{"redirect_uri", home, "grant_type", "client_credentials"}, "unsupported_grant_type"},
		"a grant the client may not use":                {mute, []string{"redirect_uri", home}, "unauthorized_client"},
		"a disabled client":                             {off, []string{"redirect_uri", home}, "invalid_client"},
		"no code":                                       {cl, []string{"redirect_uri", home}, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.srv.RedeemForSession(
				t.Context(), c.by.ID, "/session/callback",
				w.call(append([]string{"grant_type", "authorization_code"}, c.pairs...)...),
			)
			if oauth.Wire(err).Code != c.code {
				t.Fatalf("answer %v; %s was due", err, c.code)
			}
		})
	}
	_, err := w.srv.RedeemForSession(
		t.Context(), "nobody", "/session/callback",
		w.call("grant_type", "authorization_code", "redirect_uri", home),
	)
	wantError(t, err, "invalid_client", 401)
}
