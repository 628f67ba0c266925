package oauth_test

import (
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// RFC 6749 §6, RFC 9700 §4.14.2: each use returns a new token of the same grant.
func TestRefreshRotation(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	first := w.login(cl, "nonce", "n1")
	w.advance(time.Minute)
	second, err := w.refresh(cl, first.RefreshToken)
	testkit.Must(t, err)
	if second.RefreshToken == first.RefreshToken || second.AccessToken == first.AccessToken {
		t.Fatal("a token came back")
	}
	testkit.Equal(t, "gid", claims(t, second.AccessToken)["gid"], claims(t, first.AccessToken)["gid"])
	// OpenID Connect Core §12.2
	a, b := claims(t, first.IDToken), claims(t, second.IDToken)
	for _, name := range []string{"iss", "sub", "aud", "auth_time"} {
		testkit.Equal(t, name, b[name], a[name])
	}
	absent(t, b, "nonce")
	third, err := w.refresh(cl, second.RefreshToken)
	testkit.Must(t, err)
	w.wantActive(third.AccessToken)
	w.wantActive(first.AccessToken)
}

func TestRefreshReplayEndsTheFamily(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	first := w.login(cl)
	second, err := w.refresh(cl, first.RefreshToken)
	testkit.Must(t, err)
	_, err = w.refresh(cl, first.RefreshToken)
	wantError(t, err, "invalid_grant", 400)
	_, err = w.refresh(cl, second.RefreshToken)
	wantError(t, err, "invalid_grant", 400)
	w.wantRevoked(first.AccessToken)
	w.wantRevoked(second.AccessToken)
	w.audited(cl, audit.RefreshTokenReplayed, 1)
}

// A grant's id is not secret: an invented token with it does not end the grant.
func TestRefreshTokenForged(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	r := w.login(cl)
	raw, ok := secret.Decode(secret.PrefixRefreshToken, r.RefreshToken, 56)
	if !ok {
		t.Fatal("the form of refresh tokens has changed")
	}
	raw[20] ^= 1
	_, err := w.refresh(cl, secret.Encode(secret.PrefixRefreshToken, raw))
	wantError(t, err, "invalid_grant", 400)
	w.wantActive(r.AccessToken)
	_, err = w.refresh(cl, r.RefreshToken)
	testkit.Must(t, err)
}

// Another server's token is rejected without a query.
func TestRefreshTokenOfAnotherServer(t *testing.T) {
	w, other := newWorld(t), worldWithKey(t)
	theirs := other.login(other.client(), "scope", "api:read")
	_, err := w.refresh(w.client(), theirs.RefreshToken)
	wantError(t, err, "invalid_grant", 400)
}

func reuse(d time.Duration) func(*oauth.Config) {
	return func(c *oauth.Config) { c.ReuseInterval = d }
}

// Within the reuse interval a lost response can be repeated: with the same successor, never a
// third token.
func TestRefreshReuseInterval(t *testing.T) {
	w := newWorld(t, reuse(10*time.Second))
	cl := w.client()
	first := w.login(cl)
	second, err := w.refresh(cl, first.RefreshToken)
	testkit.Must(t, err)
	w.advance(9 * time.Second)
	again, err := w.refresh(cl, first.RefreshToken)
	testkit.Must(t, err)
	testkit.Equal(t, "the successor", again.RefreshToken, second.RefreshToken)
	_, err = w.refresh(cl, again.RefreshToken)
	testkit.Must(t, err)
	// The predecessor's predecessor is a replay, however early.
	_, err = w.refresh(cl, first.RefreshToken)
	wantError(t, err, "invalid_grant", 400)
	w.wantRevoked(second.AccessToken)
}

func TestRefreshReuseIntervalOver(t *testing.T) {
	w := newWorld(t, reuse(10*time.Second))
	cl := w.client()
	first := w.login(cl)
	_, err := w.refresh(cl, first.RefreshToken)
	testkit.Must(t, err)
	w.advance(10*time.Second + time.Millisecond)
	_, err = w.refresh(cl, first.RefreshToken)
	wantError(t, err, "invalid_grant", 400)
}

// Of many concurrent uses of one refresh token exactly one succeeds, and the family is revoked.
func TestRefreshRace(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	r := w.login(cl)
	got := race(t, 50, func(int) error {
		_, err := w.refresh(cl, r.RefreshToken)
		return err
	})
	testkit.Equal(t, "successes", got[""], 1)
	testkit.Equal(t, "refusals", got["invalid_grant"], 49)
	w.wantRevoked(r.AccessToken)
}

// With a reuse interval every caller of the same race gets the one successor.
func TestRefreshRaceWithinReuseInterval(t *testing.T) {
	w := newWorld(t, reuse(time.Minute))
	cl := w.client()
	r := w.login(cl)
	tokens := make(chan string, 20)
	got := race(t, 20, func(int) error {
		n, err := w.refresh(cl, r.RefreshToken)
		if err == nil {
			tokens <- n.RefreshToken
		}
		return err
	})
	testkit.Equal(t, "successes", got[""], 20)
	one := <-tokens
	for range 19 {
		testkit.Equal(t, "successor", <-tokens, one)
	}
}

// RFC 6749 §6: a request may narrow the scopes; the next one may have all again.
func TestRefreshScopeNarrowed(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	r := w.login(cl, "scope", "openid api:read api:write")
	n, err := w.refresh(cl, r.RefreshToken, "scope", "api:read")
	testkit.Must(t, err)
	testkit.Equal(t, "scope", n.Scope, "api:read")
	testkit.Equal(t, "scope claim", claims(t, n.AccessToken)["scope"], any("api:read"))
	testkit.Equal(t, "id_token", n.IDToken, "")
	n, err = w.refresh(cl, n.RefreshToken)
	testkit.Must(t, err)
	testkit.Equal(t, "scope", n.Scope, "openid api:read api:write")
}

// A request for more than was granted does not consume the token.
func TestRefreshForMoreScopesConsumesNothing(t *testing.T) {
	for name, c := range map[string]struct{ pair, code string }{
		"scope not granted":    {"scope=api:read email", "invalid_scope"},
		"scope unreadable":     {"scope=a\"b", "invalid_scope"},
		"resource not granted": {"resource=https://files.example", "invalid_target"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			cl := w.client()
			r := w.login(cl, "scope", "api:read", "resource", "https://api.example")
			k, v, _ := cut(c.pair)
			_, err := w.refresh(cl, r.RefreshToken, k, v)
			wantError(t, err, c.code, 400)
			_, err = w.refresh(cl, r.RefreshToken)
			testkit.Must(t, err)
		})
	}
}

func cut(pair string) (k, v string, ok bool) {
	for i := range pair {
		if pair[i] == '=' {
			return pair[:i], pair[i+1:], true
		}
	}
	return pair, "", false
}

func TestRefreshResourceNarrowed(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	r := w.login(cl, "resource", "https://api.example", "resource", "https://files.example")
	n, err := w.refresh(cl, r.RefreshToken, "resource", "https://api.example")
	testkit.Must(t, err)
	testkit.Equal(t, "aud", claims(t, n.AccessToken)["aud"], any("https://api.example"))
}

func TestRefreshOfAnotherClient(t *testing.T) {
	w := newWorld(t)
	cl, other := w.client(), w.client()
	r := w.login(cl)
	for _, pairs := range [][]string{nil, {"scope", "openid"}} {
		_, err := w.refresh(other, r.RefreshToken, pairs...)
		wantError(t, err, "invalid_grant", 400)
	}
	_, err := w.refresh(cl, r.RefreshToken)
	testkit.Must(t, err)
}

// RFC 9700 §4.14.2: rotation may be off for confidential clients, and for a public one only if
// its operator says so.
func TestRotationSettings(t *testing.T) {
	for name, c := range map[string]struct {
		server  bool
		client  string
		public  bool
		rotates bool
	}{
		"server on":                {true, "", false, true},
		"server off":               {false, "", false, false},
		"server off, public":       {false, "", true, true},
		"server on, client off":    {true, "off", false, false},
		"server off, client on":    {false, "on", false, true},
		"public, client says off":  {true, "off", true, false},
		"public, server on":        {true, "", true, true},
		"server off, client empty": {false, "", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(cfg *oauth.Config) { cfg.Rotation = c.server })
			cl := w.client(func(cl *client.Client) {
				cl.Rotation = c.client
				if c.public {
					public(cl)
				}
			})
			r := w.login(cl)
			n, err := w.refresh(cl, r.RefreshToken)
			testkit.Must(t, err)
			testkit.Equal(t, "rotated", n.RefreshToken != r.RefreshToken, c.rotates)
			_, err = w.refresh(cl, n.RefreshToken)
			testkit.Must(t, err)
		})
	}
}

func TestRefreshExpiry(t *testing.T) {
	const ttl, absolute = 24 * time.Hour, 60 * time.Hour
	limits := func(c *oauth.Config) { c.RefreshTTL, c.RefreshAbsolute = ttl, absolute }
	t.Run("unused for its life", func(t *testing.T) {
		w := newWorld(t, limits)
		cl := w.client()
		r := w.login(cl)
		w.advance(ttl)
		_, err := w.refresh(cl, r.RefreshToken)
		wantError(t, err, "invalid_grant", 400)
	})
	t.Run("slides until the absolute end", func(t *testing.T) {
		w := newWorld(t, limits)
		cl := w.client()
		r := w.login(cl)
		for range 3 { // 20, 40, 59 hours
			w.advance(20*time.Hour - 20*time.Minute)
			n, err := w.refresh(cl, r.RefreshToken)
			testkit.Must(t, err)
			r = n
		}
		w.advance(time.Hour)
		_, err := w.refresh(cl, r.RefreshToken)
		wantError(t, err, "invalid_grant", 400)
	})
	t.Run("a client's own life", func(t *testing.T) {
		w := newWorld(t, limits)
		cl := w.client(func(c *client.Client) { c.RefreshTTL = time.Hour })
		r := w.login(cl)
		w.advance(time.Hour)
		_, err := w.refresh(cl, r.RefreshToken)
		wantError(t, err, "invalid_grant", 400)
	})
}

func TestRefreshEnds(t *testing.T) {
	for name, end := range map[string]func(*world) error{
		"user disabled": func(w *world) error { return w.db.SetUserDisabled(w.t.Context(), w.user.ID, true, w.now) },
		"user deleted":  func(w *world) error { return w.db.DeleteUser(w.t.Context(), w.user.ID, w.now) },
		"session ended": func(w *world) error { return w.db.EndSession(w.t.Context(), w.sess.ID, w.now, true) },
		"all revoked":   func(w *world) error { return w.db.EndUserAccess(w.t.Context(), w.user.ID, w.now, "") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			cl := w.client()
			r := w.login(cl)
			testkit.Must(t, end(w))
			_, err := w.refresh(cl, r.RefreshToken)
			wantError(t, err, "invalid_grant", 400)
			w.wantRevoked(r.AccessToken)
		})
	}
}

// OpenID Connect Core §11: offline access outlives the browser session.
func TestOfflineAccessOutlivesTheSession(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	r := w.login(cl, "scope", "openid offline_access")
	absent(t, claims(t, r.AccessToken), "sid")
	testkit.Must(t, w.db.EndSession(t.Context(), w.sess.ID, w.now, true))
	w.wantActive(r.AccessToken)
	_, err := w.refresh(cl, r.RefreshToken)
	testkit.Must(t, err)
}

func TestRefreshErrors(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	for name, c := range map[string]struct{ token, code string }{
		"left out": {"", "invalid_request"},
		"garbage":  {"gth_rt_garbage", "invalid_grant"},
		"a code":   {secret.NewToken(secret.PrefixCode), "invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.refresh(cl, c.token)
			wantError(t, err, c.code, 400)
		})
	}
	_, err := w.refresh(w.client(func(c *client.Client) { c.Grants = []string{client.GrantTypeCode} }), "x")
	wantError(t, err, "unauthorized_client", 400)
}

// A disabled client cannot refresh.
func TestRefreshDisabledClient(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	r := w.login(cl)
	off := *cl
	off.Disabled = true
	testkit.Must(t, w.db.UpdateClient(t.Context(), cl, &off))
	_, err := w.refresh(cl, r.RefreshToken)
	wantError(t, err, "invalid_client", 401)
}

// REFRESH_TOKEN_TTL=0 means that no refresh tokens are issued, but for clients with a lifetime of
// their own.
func TestNoRefreshTokens(t *testing.T) {
	w := newWorld(t, func(c *oauth.Config) { c.RefreshTTL = 0 })
	r := w.login(w.client())
	if r.AccessToken == "" || r.RefreshToken != "" {
		t.Errorf("refresh token %q", r.RefreshToken)
	}
	if r = w.login(w.client(func(c *client.Client) { c.RefreshTTL = time.Hour })); r.RefreshToken == "" {
		t.Error("a client with a lifetime of its own got no refresh token")
	}
}
