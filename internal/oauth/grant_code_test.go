package oauth_test

import (
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// RFC 6749 §4.1 from the request to the tokens.
func TestCodeGrantRFC6749s41(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	r := w.login(cl, "scope", "openid api:read", "nonce", "n-0S6_WzA2Mj")
	testkit.Equal(t, "token_type", r.TokenType, "Bearer")
	testkit.Equal(t, "expires_in", r.ExpiresIn, 3600)
	testkit.Equal(t, "scope", r.Scope, "openid api:read")
	if !secretLike(r.RefreshToken, secret.PrefixRefreshToken) || r.IDToken == "" {
		t.Fatalf("answer lacks a token: %+v", r)
	}
	w.wantActive(r.AccessToken)
}

func secretLike(s, prefix string) bool { return len(s) > len(prefix)+40 && s[:len(prefix)] == prefix }

// RFC 9068 §2: header and claims of an access token.
func TestAccessTokenRFC9068s2(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	r := w.login(cl, "scope", "openid api:read")
	h, c := header(t, r.AccessToken), claims(t, r.AccessToken)
	testkit.Equal(t, "typ", h["typ"], any("at+jwt"))
	testkit.Equal(t, "alg", h["alg"], any("ES256"))
	for name, want := range map[string]any{
		"iss": issuer, "aud": issuer, "sub": string(w.user.ID), "client_id": string(cl.ID), "scope": "openid api:read",
		"iat": float64(w.now.Unix()), "exp": float64(w.now.Unix() + 3600), "auth_time": float64(w.now.Unix()), "acr": "aal1", "sid": string(w.sess.ID),
	} {
		testkit.Equal(t, name, c[name], want)
	}
	for _, name := range []string{"jti", "gid"} {
		if _, ok := secret.ParseID(c[name].(string)); !ok {
			t.Fatalf("%s is %v", name, c[name])
		}
	}
	absent(t, c, "email", "name", "claims", "nonce")
}

// OpenID Connect Core §2, §3.1.3.6, §3.1.3.7: what a relying party checks in an ID token, with
// go-jose as the verifier.
func TestIDTokenOIDCCores2(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	w.advance(90 * time.Second)
	r := w.login(cl, "scope", "openid email", "nonce", "n-0S6")
	doc, err := w.srv.JWKS(&oauth.Call{Now: w.now})
	testkit.Must(t, err)
	set, err := jose.ParseKeySet(doc)
	testkit.Must(t, err)
	_, head, err := set.Verify(r.IDToken, []string{string(gojose.ES256)})
	testkit.Must(t, err)
	testkit.Equal(t, "typ", head.Type, "JWT")
	c := claims(t, r.IDToken)
	for name, want := range map[string]any{
		"iss": issuer, "aud": string(cl.ID), "sub": string(w.user.ID), "nonce": "n-0S6", "acr": "aal1", "at_hash": jose.AccessHash("ES256", r.AccessToken),
		"auth_time": float64(w.sess.AuthTime.Unix()), "iat": float64(w.now.Unix()), "exp": float64(w.now.Unix() + 3600), "email": w.user.Email, "email_verified": true,
	} {
		testkit.Equal(t, name, c[name], want)
	}
	absent(t, c, "name", "phone_number")
}

func TestNoIDTokenWithoutOpenID(t *testing.T) {
	w := newWorld(t)
	r := w.login(w.client(), "scope", "api:read")
	testkit.Equal(t, "id_token", r.IDToken, "")
}

func TestNoRefreshTokenWithoutTheRefreshGrant(t *testing.T) {
	w := newWorld(t)
	r := w.login(w.client(func(c *client.Client) { c.Grants = []string{client.GrantTypeCode} }))
	testkit.Equal(t, "refresh_token", r.RefreshToken, "")
	w.wantActive(r.AccessToken)
}

// Every error of RFC 6749 §4.1.3 and §5.2, RFC 7636 §4.6 and RFC 9700 §4.8.2.
func TestCodeGrantErrors(t *testing.T) {
	plain := func(c *client.Client) { c.PlainPKCE = true }
	two := func(c *client.Client) { c.Redirects = append(c.Redirects, "https://app.example/other") }
	for name, c := range map[string]struct {
		edit func(*client.Client)
		ask  []string
		send []string // replaces parameters of the redemption; "" leaves one out
		wait time.Duration
		code string
	}{
		"verifier left out":              {send: []string{"code_verifier", ""}, code: "invalid_grant"},
		"verifier wrong":                 {send: []string{"code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXK"}, code: "invalid_grant"},
		"verifier is the challenge":      {send: []string{"code_verifier", challenge}, code: "invalid_grant"},
		"verifier too short":             {send: []string{"code_verifier", "short"}, code: "invalid_grant"},
		"verifier without a challenge":   {ask: []string{"code_challenge", "", "code_challenge_method", ""}, code: "invalid_grant"},
		"plain verifier wrong":           {edit: plain, ask: []string{"code_challenge_method", "plain"}, code: "invalid_grant"},
		"redirect_uri another":           {edit: two, send: []string{"redirect_uri", "https://app.example/other"}, code: "invalid_grant"},
		"redirect_uri left out":          {send: []string{"redirect_uri", ""}, code: "invalid_grant"},
		"redirect_uri was not sent":      {ask: []string{"redirect_uri", "", "scope", "api:read"}, code: "invalid_grant"},
		"code left out":                  {send: []string{"code", ""}, code: "invalid_request"},
		"code made up":                   {send: []string{"code", "gth_ac_made-up"}, code: "invalid_grant"},
		"code well formed but unknown":   {send: []string{"code", secret.NewToken(secret.PrefixCode)}, code: "invalid_grant"},
		"code expired":                   {wait: time.Minute, code: "invalid_grant"},
		"resource not granted":           {send: []string{"resource", "https://files.example"}, ask: []string{"resource", "https://api.example"}, code: "invalid_target"},
		"grant_type left out":            {send: []string{"grant_type", ""}, code: "invalid_request"},
		"grant_type unknown":             {send: []string{"grant_type", "urn:example:x"}, code: "unsupported_grant_type"},
		"grant_type password not served": {send: []string{"grant_type", "password"}, code: "unsupported_grant_type"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			cl := w.client(append([]func(*client.Client){func(*client.Client) {}}, nonNil(c.edit)...)...)
			call := w.from(
				cl, "grant_type", "authorization_code", "code", w.code(cl, c.ask...),
				"redirect_uri", callback, "code_verifier", verifier,
			)
			for i := 0; i+1 < len(c.send); i += 2 {
				if call.Form.Set(c.send[i], c.send[i+1]); c.send[i+1] == "" {
					call.Form.Del(c.send[i])
				}
			}
			call.Now = call.Now.Add(c.wait)
			_, err := w.srv.Token(t.Context(), call)
			wantError(t, err, c.code, 400)
		})
	}
}

func nonNil(f func(*client.Client)) []func(*client.Client) {
	if f == nil {
		return nil
	}
	return []func(*client.Client){f}
}

// Another client that presents a code changes nothing: the code stays valid, and what it has
// given lives on.
func TestCodeOfAnotherClientStaysValid(t *testing.T) {
	for name, stranger := range map[string]func(*client.Client){"public": public, "confidential": func(*client.Client) {}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			cl, other := w.client(), w.client(stranger)
			code := w.code(cl)
			_, err := w.redeem(other, code)
			wantError(t, err, "invalid_grant", 400)
			r, err := w.redeem(cl, code)
			testkit.Must(t, err)
			_, err = w.redeem(other, code)
			wantError(t, err, "invalid_grant", 400)
			w.wantActive(r.AccessToken)
			r, err = w.refresh(cl, r.RefreshToken)
			testkit.Must(t, err)
			_, err = w.redeem(cl, code) // its own second use
			wantError(t, err, "invalid_grant", 400)
			w.wantRevoked(r.AccessToken)
		})
	}
}

// A failed redemption consumes the code, so that verifiers cannot be guessed.
func TestCodeIsConsumedByAFailedRedemption(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	code := w.code(cl)
	_, err := w.redeem(cl, code, "x", "y", "code_verifier", "not it")
	wantError(t, err, "invalid_grant", 400)
	_, err = w.redeem(cl, code)
	wantError(t, err, "invalid_grant", 400)
}

func TestCodeOfAnotherClient(t *testing.T) {
	w := newWorld(t)
	code := w.code(w.client())
	_, err := w.redeem(w.client(), code)
	wantError(t, err, "invalid_grant", 400)
}

func TestCodeGrantNotAllowed(t *testing.T) {
	w := newWorld(t)
	_, err := w.redeem(
		w.client(func(c *client.Client) { c.Grants = []string{client.GrantTypeClient} }),
		secret.NewToken(secret.PrefixCode),
	)
	wantError(t, err, "unauthorized_client", 400)
}

// RFC 7636 §4.6: plain is compared as it is, for clients that may use it.
func TestPlainPKCEWhereAllowed(t *testing.T) {
	for _, method := range []string{"plain", ""} { // §4.3: plain is what no method means
		t.Run("method "+method, func(t *testing.T) {
			w := newWorld(t)
			cl := w.client(func(c *client.Client) { c.PlainPKCE = true })
			_, err := w.redeem(cl, w.code(cl, "code_challenge", verifier, "code_challenge_method", method))
			testkit.Must(t, err)
		})
	}
}

// RFC 6749 §4.1.3: redirect_uri need not be sent if the authorization request had none.
func TestRedirectURILeftOutBothTimes(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	code := w.code(cl, "redirect_uri", "", "scope", "api:read")
	_, err := w.token(cl, "grant_type", "authorization_code", "code", code, "code_verifier", verifier)
	testkit.Must(t, err)
}

// RFC 6749 §4.1.2, RFC 9700 §4.2.4: a second use of a code revokes its tokens.
func TestCodeReplayRevokesItsTokens(t *testing.T) {
	for _, format := range []string{oauth.FormatJWT, oauth.FormatOpaque} {
		t.Run(format, func(t *testing.T) {
			w := newWorld(t)
			cl := w.client(func(c *client.Client) { c.TokenFormat = format })
			code := w.code(cl)
			r, err := w.redeem(cl, code)
			testkit.Must(t, err)
			w.wantActive(r.AccessToken)
			_, err = w.redeem(cl, code)
			wantError(t, err, "invalid_grant", 400)
			w.wantRevoked(r.AccessToken)
			_, err = w.refresh(cl, r.RefreshToken)
			wantError(t, err, "invalid_grant", 400)
			w.audited(cl, audit.AuthorizationCodeReplayed, 1)
		})
	}
}

// audited checks how many events of a type a client has.
func (w *world) audited(cl *client.Client, kind audit.Type, want int) {
	w.t.Helper()
	got, err := w.db.ListAudit(w.t.Context(), store.AuditQuery{Type: kind, Client: string(cl.ID)})
	testkit.Must(w.t, err)
	testkit.Equal(w.t, "events "+string(kind), len(got), want)
}

// Of many concurrent redemptions of one code exactly one succeeds, and its tokens are revoked.
func TestCodeRace(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	code := w.code(cl)
	won := make(chan string, 50)
	got := race(t, 50, func(int) error {
		r, err := w.redeem(cl, code)
		if err == nil {
			won <- r.AccessToken
		}
		return err
	})
	testkit.Equal(t, "successes", got[""], 1)
	testkit.Equal(t, "refusals", got["invalid_grant"], 49)
	w.wantRevoked(<-won)
}

// A code from before a revocation of its user, session or client gives no tokens.
func TestCodeAfterRevocation(t *testing.T) {
	for name, revoke := range map[string]func(*world, *client.Client) error{
		"session ended": func(w *world, _ *client.Client) error {
			return w.db.EndSession(w.t.Context(), w.sess.ID, w.now, true)
		},
		"all access revoked": func(w *world, _ *client.Client) error { return w.db.EndUserAccess(w.t.Context(), w.user.ID, w.now, "") },
		"user disabled": func(w *world, _ *client.Client) error {
			return w.db.SetUserDisabled(w.t.Context(), w.user.ID, true, w.now)
		},
		"user deleted": func(w *world, _ *client.Client) error { return w.db.DeleteUser(w.t.Context(), w.user.ID, w.now) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			cl := w.client()
			code := w.code(cl)
			w.advance(2 * time.Second)
			testkit.Must(t, revoke(w, cl))
			w.advance(2 * time.Second)
			_, err := w.redeem(cl, code)
			wantError(t, err, "invalid_grant", 400)
		})
	}
}

// The first key of an algorithm is created when it is first needed, and signs within the same
// second.
func TestFirstTokenInTheSecondOfTheFirstKey(t *testing.T) {
	w := worldOver(t, storetest.Memory(t))
	testkit.Must(t, w.ring.Ensure(t.Context(), jose.ES256, w.now))
	w.advance(time.Millisecond)
	w.login(w.client())
}

// RFC 8707 §2.2: the audience is the requested one, narrowed by the redemption.
func TestResourceRFC8707(t *testing.T) {
	for name, c := range map[string]struct {
		ask, send []string
		want      any
	}{
		"none is the issuer":   {nil, nil, issuer},
		"one":                  {[]string{"resource", "https://api.example"}, nil, "https://api.example"},
		"two, narrowed":        {[]string{"resource", "https://api.example", "resource", "https://files.example"}, []string{"resource", "https://files.example"}, "https://files.example"},
		"the issuer by name":   {[]string{"resource", issuer}, nil, issuer},
		"one, requested again": {[]string{"resource", "https://api.example"}, []string{"resource", "https://api.example"}, "https://api.example"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			cl := w.client()
			r, err := w.redeem(cl, w.code(cl, c.ask...), c.send...)
			testkit.Must(t, err)
			testkit.Equal(t, "aud", claims(t, r.AccessToken)["aud"], c.want)
		})
	}
}
