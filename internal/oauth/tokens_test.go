package oauth_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func (w *world) introspect(as *client.Client, token string) *token.Introspection {
	w.t.Helper()
	in, err := w.srv.Introspect(w.t.Context(), w.from(as, "token", token))
	testkit.Must(w.t, err)
	return in
}

// inactive is an answer without a reason (RFC 7662 §2.2).
func (w *world) inactive(as *client.Client, token string) {
	w.t.Helper()
	raw, err := json.Marshal(w.introspect(as, token))
	testkit.Must(w.t, err)
	testkit.Equal(w.t, "answer", string(raw), `{"active":false}`)
}

// RFC 7662.
func TestIntrospection(t *testing.T) {
	for _, format := range []string{oauth.FormatJWT, oauth.FormatOpaque} {
		t.Run(format, func(t *testing.T) {
			w := newWorld(t)
			cl, api := w.client(func(c *client.Client) { c.TokenFormat = format }), w.client()
			r := w.login(cl, "scope", "openid api:read", "resource", "https://api.example")
			in := w.introspect(api, r.AccessToken)
			testkit.Equal(t, "active", in.Active, true)
			testkit.Equal(t, "scope", in.Scope, "openid api:read")
			testkit.Equal(t, "client_id", in.ClientID, string(cl.ID))
			testkit.Equal(t, "username", in.Username, w.user.Username)
			testkit.Equal(t, "token_type", in.TokenType, "Bearer")
			testkit.Equal(t, "sub", in.Subject, string(w.user.ID))
			testkit.Equal(t, "iss", in.Issuer, issuer)
			testkit.Equal(t, "exp", int64(in.Expires), w.now.Unix()+3600)
			testkit.Equal(t, "iat", int64(in.IssuedAt), w.now.Unix())
			testkit.Equal(t, "sid", in.Session, string(w.sess.ID))
			list(t, "aud", in.Audience, "https://api.example")
			list(t, "roles", in.Roles, "editor")
			w.advance(time.Hour)
			w.inactive(api, r.AccessToken)
		})
	}
}

// A client learns of its own tokens and of those meant for it: for the issuer, for one of its
// resources, or for any API if it is registered so (RFC 7662 §2.2, §4).
func TestIntrospectionAcrossClients(t *testing.T) {
	const api, files = "https://api.example", "https://files.example"
	for _, format := range []string{oauth.FormatJWT, oauth.FormatOpaque} {
		w := newWorld(t)
		owner := w.client(func(c *client.Client) { c.TokenFormat = format })
		none := w.client(func(c *client.Client) { c.Resources = nil })
		one := w.client(func(c *client.Client) { c.Resources = []string{files} })
		all := w.client(func(c *client.Client) { c.Resources, c.IntrospectAny = nil, true })
		for _, row := range []struct {
			resources []string
			seenBy    []*client.Client
		}{
			{nil, []*client.Client{owner, none, one, all}},
			{[]string{issuer}, []*client.Client{owner, none, one, all}},
			{[]string{api}, []*client.Client{owner, all}},
			{[]string{files}, []*client.Client{owner, one, all}},
			{[]string{api, files}, []*client.Client{owner, one, all}},
			{[]string{api, issuer}, []*client.Client{owner, none, one, all}},
		} {
			pairs := []string{"scope", "openid api:read"}
			for _, r := range row.resources {
				pairs = append(pairs, "resource", r)
			}
			r := w.login(owner, pairs...)
			for i, cl := range []*client.Client{owner, none, one, all} {
				if slices.Contains(row.seenBy, cl) {
					testkit.Equal(t, fmt.Sprint(format, row.resources, i), w.introspect(cl, r.AccessToken).Active, true)
				} else {
					w.inactive(cl, r.AccessToken)
				}
			}
			w.inactive(all, r.RefreshToken) // only its own client
		}
	}
}

// The feed tells a follower of the tokens that it may see. What ends all tokens of a user, a client
// or a session reaches everybody: any of them may be for the follower's API.
func TestFeedAcrossClients(t *testing.T) {
	const api, files = "https://api.example", "https://files.example"
	w := newWorld(t)
	owner := w.client()
	none := w.client(func(c *client.Client) { c.Resources = nil })
	one := w.client(func(c *client.Client) { c.Resources = []string{files} })
	all := w.client(func(c *client.Client) { c.Resources, c.IntrospectAny = nil, true })
	since, _ := w.srv.FeedHead()
	seen := func(cl *client.Client) (kinds []string, last int64) {
		page, err := w.srv.Feed(t.Context(), cl.ID, since.Seq)
		testkit.Must(t, err)
		for _, e := range page.Entries {
			kinds = append(kinds, e.Kind)
		}
		return kinds, page.Last
	}
	r := w.login(owner, "resource", api)
	testkit.Must(t, w.revoke(owner, r.AccessToken))  // a token for api
	testkit.Must(t, w.revoke(owner, r.RefreshToken)) // its grant
	r = w.login(owner, "resource", files)
	testkit.Must(t, w.revoke(owner, r.AccessToken)) // a token for files
	r = w.login(owner)
	testkit.Must(t, w.revoke(owner, r.RefreshToken)) // a grant for the issuer
	testkit.Must(t, w.db.SetUserDisabled(t.Context(), w.newUser("bob").ID, true, w.now))
	next := *owner
	next.Disabled = true
	testkit.Must(t, w.db.UpdateClient(t.Context(), owner, &next))
	testkit.Must(t, w.db.SyncCache(t.Context()))

	list(t, "a client without resources", first(seen(none)), "grant", "user", "client")
	list(t, "a client with one resource", first(seen(one)), "token", "grant", "user", "client")
	list(t, "a client that sees all", first(seen(all)), "token", "grant", "token", "grant", "user", "client")
	_, last := seen(none)
	_, head := seen(all)
	testkit.Equal(t, "entries that are left out count as read", last, head)
	_, err := w.srv.Feed(t.Context(), owner.ID, since.Seq)
	wantError(t, err, "invalid_client", 401)
}

func first[T, U any](v T, _ U) T { return v }

// A follower that names its API is refused if it would not see its tokens.
func TestFollowerNamesItsAPI(t *testing.T) {
	w := newWorld(t)
	one := w.client(func(c *client.Client) { c.Resources = []string{"https://api.example"} })
	all := w.client(func(c *client.Client) { c.Resources, c.IntrospectAny = nil, true })
	for _, c := range []struct {
		cl    *client.Client
		names []string
		ok    bool
	}{
		{one, nil, true},
		{one, []string{issuer}, true},
		{one, []string{"https://api.example", issuer}, true},
		{one, []string{string(one.ID)}, true},
		{one, []string{"https://api.example", "https://files.example"}, false},
		{all, []string{"https://files.example"}, true},
	} {
		own, err := w.token(c.cl, "grant_type", client.GrantTypeClient)
		testkit.Must(t, err)
		byToken, bySecret := w.call(), w.from(c.cl)
		bearer(own.AccessToken)(byToken)
		for _, call := range []*oauth.Call{byToken, bySecret} {
			call.Form["resource"] = c.names
			_, err = w.srv.AuthenticateFollower(t.Context(), call)
			if c.ok {
				testkit.Must(t, err)
			} else {
				wantError(t, err, "invalid_target", 400)
			}
		}
	}
}

func TestIntrospectionInactive(t *testing.T) {
	w := newWorld(t)
	cl, api := w.client(), w.client()
	r := w.login(cl)
	for name, token := range map[string]string{
		"garbage":                   "garbage",
		"an ID token":               r.IDToken,
		"altered":                   r.AccessToken[:len(r.AccessToken)-4] + "AAAA",
		"an opaque one of nobody":   secret.NewToken(secret.PrefixAccessToken),
		"an opaque one misspelt":    secret.PrefixAccessToken + "x",
		"another's refresh token":   r.RefreshToken,
		"a refresh token made up":   secret.PrefixRefreshToken + "x",
		"a code":                    w.code(cl),
		"a very long one":           strings.Repeat("a", 100000),
		"with its padding repeated": r.AccessToken + "=",
	} {
		t.Run(name, func(t *testing.T) { w.inactive(api, token) })
	}
}

// A refresh token is told about to its own client only.
func TestIntrospectionOfRefreshTokens(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	r := w.login(cl)
	in := w.introspect(cl, r.RefreshToken)
	testkit.Equal(t, "active", in.Active, true)
	testkit.Equal(t, "token_type", in.TokenType, "refresh_token")
	testkit.Equal(t, "sub", in.Subject, string(w.user.ID))
	n, err := w.refresh(cl, r.RefreshToken)
	testkit.Must(t, err)
	w.inactive(cl, r.RefreshToken) // used, and asking about it is no replay
	w.wantActive(n.AccessToken)
	w.advance(30 * 24 * time.Hour)
	w.inactive(cl, n.RefreshToken)
}

func TestIntrospectionErrors(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	_, err := w.srv.Introspect(t.Context(), w.from(w.client(public), "token", "x"))
	wantError(t, err, "invalid_client", 401)
	_, err = w.srv.Introspect(t.Context(), w.call("token", "x"))
	wantError(t, err, "invalid_client", 401)
	_, err = w.srv.Introspect(t.Context(), w.from(cl))
	wantError(t, err, "invalid_request", 400)
}

func TestIntrospectionOfADeletedUser(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	r := w.login(cl)
	testkit.Must(t, w.db.SetUserDisabled(t.Context(), w.user.ID, true, w.now))
	w.inactive(cl, r.AccessToken)
}

func (w *world) revoke(as *client.Client, token string) error {
	return w.srv.Revoke(w.t.Context(), w.from(as, "token", token, "token_type_hint", "anything"))
}

// RFC 7009 §2.1: an access token alone, or with its refresh token the whole grant.
func TestRevocation(t *testing.T) {
	for _, format := range []string{oauth.FormatJWT, oauth.FormatOpaque} {
		t.Run("access token, "+format, func(t *testing.T) {
			w := newWorld(t)
			cl := w.client(func(c *client.Client) { c.TokenFormat = format })
			r := w.login(cl)
			testkit.Must(t, w.revoke(cl, r.AccessToken))
			w.wantRevoked(r.AccessToken)
			n, err := w.refresh(cl, r.RefreshToken)
			testkit.Must(t, err)
			w.wantActive(n.AccessToken)
			testkit.Must(t, w.revoke(cl, r.AccessToken)) // revoking it again succeeds
		})
	}
	t.Run("refresh token", func(t *testing.T) {
		w := newWorld(t)
		cl := w.client()
		r := w.login(cl)
		testkit.Must(t, w.revoke(cl, r.RefreshToken))
		w.wantRevoked(r.AccessToken)
		_, err := w.refresh(cl, r.RefreshToken)
		wantError(t, err, "invalid_grant", 400)
	})
	t.Run("a public client's", func(t *testing.T) {
		w := newWorld(t)
		cl := w.client(public)
		r := w.login(cl)
		testkit.Must(t, w.revoke(cl, r.RefreshToken))
		w.wantRevoked(r.AccessToken)
	})
	t.Run("a former refresh token", func(t *testing.T) {
		w := newWorld(t)
		cl := w.client()
		r := w.login(cl)
		n, err := w.refresh(cl, r.RefreshToken)
		testkit.Must(t, err)
		testkit.Must(t, w.revoke(cl, r.RefreshToken))
		w.wantRevoked(n.AccessToken)
	})
}

func TestRevocationOfUnknownTokens(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	r := w.login(cl)
	for _, token := range []string{
		"garbage", secret.NewToken(secret.PrefixAccessToken), secret.PrefixRefreshToken + "x", r.IDToken, "a.b.c",
	} {
		testkit.Must(t, w.revoke(cl, token)) // RFC 7009 §2.2
	}
	w.wantActive(r.AccessToken)
}

func TestRevocationErrors(t *testing.T) {
	w := newWorld(t)
	cl, other := w.client(), w.client()
	r := w.login(cl)
	wantError(t, w.revoke(other, r.AccessToken), "unauthorized_client", 400)
	wantError(t, w.revoke(other, r.RefreshToken), "unauthorized_client", 400)
	w.wantActive(r.AccessToken)
	wantError(t, w.revoke(cl, ""), "invalid_request", 400)
	wantError(t, w.srv.Revoke(t.Context(), w.call("token", r.AccessToken)), "invalid_client", 401)
}

// OpenID Connect Core §5.3, §5.4: each scope gives its claims.
func TestUserInfoScopes(t *testing.T) {
	for scope, names := range map[string][]string{
		"openid": {"sub"},
		"openid profile": {
			"sub", "name", "middle_name", "nickname", "preferred_username", "profile", "website", "gender",
			"birthdate", "locale", "zoneinfo", "updated_at",
		},
		"openid email":   {"sub", "email", "email_verified"},
		"openid phone":   {"sub", "phone_number", "phone_number_verified"},
		"openid address": {"sub", "address"},
	} {
		t.Run(scope, func(t *testing.T) {
			w := newWorld(t)
			info := w.userinfo(w.login(w.client(), "scope", scope).AccessToken)
			for _, n := range names {
				if _, ok := info[n]; !ok {
					t.Errorf("%s is missing", n)
				}
			}
			testkit.Equal(t, "claims", len(info), len(names))
			testkit.Equal(t, "sub", info["sub"], any(string(w.user.ID)))
		})
	}
}

// RFC 6750 §3.1.
func TestProtectedResourceErrors(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	r := w.login(cl, "scope", "api:read")
	id := w.login(cl)
	own, err := w.token(cl, "grant_type", "client_credentials")
	testkit.Must(t, err)
	gone := w.login(cl)
	testkit.Must(t, w.revoke(cl, gone.AccessToken))
	for name, c := range map[string]struct {
		change func(*oauth.Call)
		code   string
		status int
	}{
		"no token":                   {func(*oauth.Call) {}, "", 401},
		"another scheme":             {func(c *oauth.Call) { c.Authorization = basic("a", "b") }, "", 401},
		"empty":                      {bearer(""), "invalid_token", 401},
		"garbage":                    {bearer("x"), "invalid_token", 401},
		"an ID token":                {bearer(id.IDToken), "invalid_token", 401},
		"a refresh token":            {bearer(id.RefreshToken), "invalid_token", 401},
		"revoked":                    {bearer(gone.AccessToken), "invalid_token", 401},
		"expired":                    {func(c *oauth.Call) { bearer(id.AccessToken)(c); c.Now = c.Now.Add(time.Hour) }, "invalid_token", 401},
		"without openid":             {bearer(r.AccessToken), "insufficient_scope", 403},
		"of a client for itself":     {bearer(own.AccessToken), "insufficient_scope", 403},
		"twice":                      {func(c *oauth.Call) { bearer(id.AccessToken)(c); c.Form.Set("access_token", id.AccessToken) }, "invalid_request", 400},
		"in the address":             {func(c *oauth.Call) { c.Method = "GET"; c.Form.Set("access_token", id.AccessToken) }, "invalid_request", 400},
		"in the address of a HEAD":   {func(c *oauth.Call) { c.Method = "HEAD"; c.Form.Set("access_token", id.AccessToken) }, "invalid_request", 400},
		"in the form, but another's": {func(c *oauth.Call) { c.Form.Set("access_token", "x") }, "invalid_token", 401},
	} {
		t.Run(name, func(t *testing.T) {
			call := w.call()
			c.change(call)
			_, err := w.srv.UserInfo(t.Context(), call)
			e := wantError(t, err, c.code, c.status)
			if c.status != 400 {
				testkit.Equal(t, "challenge", e.Challenge, "Bearer")
			}
		})
	}
	t.Run("in the form of a POST is right", func(t *testing.T) {
		_, err := w.srv.UserInfo(t.Context(), w.call("access_token", id.AccessToken))
		testkit.Must(t, err)
	})
	t.Run("user disabled", func(t *testing.T) {
		w := newWorld(t)
		r := w.login(w.client())
		testkit.Must(t, w.db.SetUserDisabled(t.Context(), w.user.ID, true, w.now))
		call := w.call()
		bearer(r.AccessToken)(call)
		_, err := w.srv.UserInfo(t.Context(), call)
		wantError(t, err, "invalid_token", 401)
	})
}

// tokenInfo returns what tokeninfo says about a token, as JSON.
func (w *world) tokenInfo(token string) map[string]any {
	w.t.Helper()
	c := w.call()
	bearer(token)(c)
	info, err := w.srv.TokenInfo(w.t.Context(), c)
	testkit.Must(w.t, err)
	raw, err := json.Marshal(info)
	testkit.Must(w.t, err)
	var m map[string]any
	testkit.Must(w.t, json.Unmarshal(raw, &m))
	return m
}

func TestTokenInfo(t *testing.T) {
	for _, format := range []string{oauth.FormatJWT, oauth.FormatOpaque} {
		w := newWorld(t)
		cl := w.client(func(c *client.Client) { c.TokenFormat = format })
		own, err := w.token(cl, "grant_type", "client_credentials", "scope", "api:read")
		testkit.Must(t, err)
		user := string(w.user.ID)
		persons := w.login(cl, "scope", "openid profile", "resource", issuer, "resource", "https://api.example")
		for token, want := range map[string]map[string]any{
			own.AccessToken: {
				"active": true, "iss": issuer, "client_id": string(cl.ID), "sub": string(cl.ID), "user_id": "", "subject_type": "client",
				"scope": "api:read", "aud": issuer, "exp": float64(w.now.Unix() + 3600),
			},
			persons.AccessToken: {
				"active": true, "iss": issuer, "client_id": string(cl.ID), "sub": user, "user_id": user, "subject_type": "user",
				"scope": "openid profile", "aud": []any{issuer, "https://api.example"}, "exp": float64(w.now.Unix() + 3600),
			},
		} {
			if m := w.tokenInfo(token); !reflect.DeepEqual(m, want) {
				t.Errorf("%s: %v, want %v", format, m, want)
			}
		}
		_, err = w.srv.TokenInfo(t.Context(), w.call())
		wantError(t, err, "", 401)
	}
}

// Userinfo and tokeninfo are resources of the issuer: a token that is for another API alone does
// not open them (RFC 9068 §4, RFC 9700 §2.3).
func TestOwnResourcesNeedTheIssuerAsAudience(t *testing.T) {
	const api = "https://api.example"
	for name, row := range map[string]struct {
		resources []string
		open      bool
	}{
		"none":           {nil, true},
		"issuer":         {[]string{issuer}, true},
		"issuer and API": {[]string{issuer, api}, true},
		"API":            {[]string{api}, false},
		"two APIs":       {[]string{api, "https://files.example"}, false},
	} {
		for _, format := range []string{oauth.FormatJWT, oauth.FormatOpaque} {
			t.Run(name+" "+format, func(t *testing.T) {
				w := newWorld(t)
				pairs := []string{"scope", "openid profile"}
				for _, r := range row.resources {
					pairs = append(pairs, "resource", r)
				}
				r := w.login(w.client(func(c *client.Client) { c.TokenFormat = format }), pairs...)
				c := w.call()
				bearer(r.AccessToken)(c)
				_, infoErr := w.srv.UserInfo(t.Context(), c)
				_, tokenErr := w.srv.TokenInfo(t.Context(), c)
				for _, err := range []error{infoErr, tokenErr} {
					if row.open {
						testkit.Must(t, err)
					} else {
						wantError(t, err, "invalid_token", 401)
					}
				}
			})
		}
	}
}

// Roles reach an application by the scopes roles and groups, and by them alone.
func TestRolesByScope(t *testing.T) {
	w := newWorld(t)
	cl := w.client(func(c *client.Client) { c.Scopes = append(c.Scopes, "roles", "groups") })
	for scope, want := range map[string][]string{
		"openid": nil, "openid profile": nil, "openid roles": {"roles"}, "openid groups": {"groups"}, "openid roles groups": {"roles", "groups"},
	} {
		r := w.login(cl, "scope", scope)
		for place, m := range map[string]map[string]any{"ID token": claims(t, r.IDToken), "userinfo": w.userinfo(r.AccessToken)} {
			for _, name := range []string{"roles", "groups"} {
				var roles any
				if slices.Contains(want, name) {
					roles = []any{"editor"}
				}
				if !reflect.DeepEqual(m[name], roles) {
					t.Errorf("%s, %s: %s is %v, want %v", scope, place, name, m[name], roles)
				}
			}
		}
	}
	own, err := w.token(cl, "grant_type", "client_credentials", "scope", "roles groups api:read")
	testkit.Must(t, err)
	testkit.Equal(t, "scope of a client", own.Scope, "api:read")
}

// preferred_username and the username of introspection are the same name, which every person has.
func TestPreferredUsername(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	for _, username := range []string{w.user.Username, ""} {
		old := *w.user
		w.user.Username = username
		testkit.Must(t, w.db.UpdateUser(t.Context(), &old, w.user))
		want := username
		if want == "" {
			want = w.user.Email
		}
		r := w.login(cl, "scope", "openid profile")
		testkit.Equal(t, "ID token", claims(t, r.IDToken)["preferred_username"], any(want))
		testkit.Equal(t, "userinfo", w.userinfo(r.AccessToken)["preferred_username"], any(want))
		testkit.Equal(t, "introspection", w.introspect(cl, r.AccessToken).Username, want)
	}
}

// Userinfo opens with any of the scopes openid, profile and email of a person, and gives what
// they carry.
func TestUserInfoWithoutOpenID(t *testing.T) {
	w := newWorld(t)
	for scope, want := range map[string]string{"openid": "sub", "profile": "name", "email": "email", "profile email": "email", "api:read email": "email"} {
		if info := w.userinfo(w.login(w.client(), "scope", scope).AccessToken); info[want] == nil || info["sub"] != string(w.user.ID) {
			t.Errorf("%s: %v", scope, info)
		}
	}
	for _, scope := range []string{"phone", "address", "api:read", "offline_access"} {
		c := w.call()
		bearer(w.login(w.client(), "scope", scope).AccessToken)(c)
		_, err := w.srv.UserInfo(t.Context(), c)
		wantError(t, err, "insufficient_scope", 403)
	}
}

// All tokens of a session in which somebody acts as another person end with it, also after a
// refresh.
func TestTokensOfActingEndWithTheSession(t *testing.T) {
	w := newWorld(t)
	s := identity.NewSession(w.user.ID, []string{"pwd"}, w.now, 10*time.Minute, identity.Browser{})
	s.Impersonator = identity.Impersonator{Kind: audit.ActorUser, ID: "admin"}
	hash := w.keys.Hash(secret.NewToken(secret.PrefixSession))
	testkit.Must(t, w.db.PutSession(t.Context(), hash, s, identity.SessionTerms{}))
	w.sess = s
	cl := w.client()
	r := w.login(cl, "scope", "openid")
	for _, step := range []string{"first", "refreshed"} {
		got := claims(t, r.IDToken)
		testkit.Equal(t, step+": exp", got["exp"], any(float64(s.ExpiresAt.Unix())))
		testkit.Equal(t, step+": access", r.ExpiresIn, s.ExpiresAt.Unix()-w.now.Unix())
		w.advance(5 * time.Minute)
		if step == "first" {
			var err error
			r, err = w.refresh(cl, r.RefreshToken)
			testkit.Must(t, err)
		}
	}
}

// Each client has its own algorithm, life and format where the operator says so.
func TestPerClientTokens(t *testing.T) {
	for _, alg := range []string{jose.ES256, jose.EdDSA, jose.RS256, jose.PS256} {
		t.Run(alg, func(t *testing.T) {
			w := newWorld(t)
			r := w.login(w.client(func(c *client.Client) { c.Alg = alg }))
			testkit.Equal(t, "alg of the access token", header(t, r.AccessToken)["alg"], any(alg))
			testkit.Equal(t, "alg of the ID token", header(t, r.IDToken)["alg"], any(alg))
			testkit.Equal(t, "at_hash", claims(t, r.IDToken)["at_hash"], any(jose.AccessHash(alg, r.AccessToken)))
			w.wantActive(r.AccessToken)
		})
	}
	t.Run("lives", func(t *testing.T) {
		w := newWorld(t)
		cl := w.client(func(c *client.Client) { c.AccessTTL, c.IDTokenTTL = time.Minute, 2*time.Minute })
		r := w.login(cl)
		testkit.Equal(t, "expires_in", r.ExpiresIn, 60)
		testkit.Equal(t, "exp of the ID token", claims(t, r.IDToken)["exp"], any(float64(w.now.Unix()+120)))
		w.advance(time.Minute)
		w.wantRevoked(r.AccessToken)
	})
	t.Run("opaque for all, JWT for one", func(t *testing.T) {
		w := newWorld(t, func(c *oauth.Config) { c.TokenFormat = oauth.FormatOpaque })
		if r := w.login(w.client()); !secretLike(r.AccessToken, secret.PrefixAccessToken) {
			t.Fatalf("not opaque: %s", r.AccessToken)
		}
		header(t, w.login(w.client(func(c *client.Client) { c.TokenFormat = oauth.FormatJWT })).AccessToken)
	})
	t.Run("opaque ends by its time", func(t *testing.T) {
		w := newWorld(t)
		r := w.login(w.client(func(c *client.Client) { c.TokenFormat = oauth.FormatOpaque }))
		w.wantActive(r.AccessToken)
		w.advance(time.Hour)
		w.wantRevoked(r.AccessToken)
	})
	t.Run("opaque works at userinfo", func(t *testing.T) {
		w := newWorld(t)
		r := w.login(w.client(func(c *client.Client) { c.TokenFormat = oauth.FormatOpaque }), "scope", "openid email", "claims", `{"userinfo":{"name":null}}`)
		info := w.userinfo(r.AccessToken)
		testkit.Equal(t, "email", info["email"], any(w.user.Email))
		testkit.Equal(t, "name", info["name"], any("Ada Lovelace"))
	})
}

// A client whose API knows no other type gets access tokens with the type JWT. They work as access
// tokens, and not as ID tokens; ID tokens, which have the same type, are not access tokens
// (RFC 8725 §3.11 and §3.12).
func TestAccessTokensOfTypeJWT(t *testing.T) {
	w := newWorld(t)
	cl := w.client(func(c *client.Client) { c.TokenTyp = client.TypJWT })
	r := w.login(cl)
	testkit.Equal(t, "typ", header(t, r.AccessToken)["typ"], any("JWT"))
	testkit.Equal(t, "typ of the ID token", header(t, r.IDToken)["typ"], any("JWT"))
	testkit.Equal(t, "typ by default", header(t, w.login(w.client()).AccessToken)["typ"], any("at+jwt"))
	w.wantActive(r.AccessToken)
	testkit.Equal(t, "introspection", w.introspect(cl, r.AccessToken).Active, true)
	testkit.Equal(t, "user info", w.userinfo(r.AccessToken)["sub"], any(string(w.user.ID)))
	own, err := w.token(cl, "grant_type", client.GrantTypeClient)
	testkit.Must(t, err)
	w.wantActive(own.AccessToken)

	w.wantRevoked(r.IDToken)
	c := w.call()
	bearer(r.IDToken)(c)
	_, err = w.srv.UserInfo(t.Context(), c)
	wantError(t, err, "invalid_token", 401)
	if _, err := w.logout(w.sess, "id_token_hint", r.AccessToken); err == nil {
		t.Error("an access token passes for an ID token")
	}
	st := w.authorize(cl, "id_token_hint", r.AccessToken, "prompt", "none")
	if st.Reply != nil && params(t, st).Get("code") != "" {
		t.Error("an access token passes for an ID token at the authorization endpoint")
	}
}

// Without the profile claims, an ID token says who signed in and what was requested by name
// (OpenID Connect Core §5.4, §5.5).
func TestProfileInIDToken(t *testing.T) {
	w := newWorld(t)
	pairs := []string{"scope", "openid profile email phone address roles groups", "claims", `{"id_token":{"nickname":null}}`}
	all := func(c *client.Client) { c.Scopes = append(c.Scopes, "roles", "groups") }
	r := w.login(w.client(all), pairs...)
	testkit.Equal(t, "name", claims(t, r.IDToken)["name"], any("Ada Lovelace"))
	testkit.Equal(t, "email", claims(t, r.IDToken)["email"], any(w.user.Email))

	r = w.login(w.client(all, func(c *client.Client) { c.IDTokenProfile = "off" }), pairs...)
	id := claims(t, r.IDToken)
	absent(t, id, "name", "given_name", "preferred_username", "updated_at", "email", "email_verified", "phone_number", "address")
	testkit.Equal(t, "nickname, by name", id["nickname"], any("Countess"))
	for _, name := range []string{"roles", "groups"} {
		testkit.Equal(t, name, len(id[name].([]any)), 1)
	}
	info := w.userinfo(r.AccessToken)
	testkit.Equal(t, "name at userinfo", info["name"], any("Ada Lovelace"))
	testkit.Equal(t, "email at userinfo", info["email"], any(w.user.Email))
}

// Each claim of OpenID Connect Core §5.1 that this server publishes is given by its scope.
func TestProfileClaims(t *testing.T) {
	w := newWorld(t)
	r := w.login(w.client(), "scope", "openid profile")
	for _, got := range []map[string]any{w.userinfo(r.AccessToken), claims(t, r.IDToken)} {
		for name, want := range map[string]string{
			"middle_name": "King", "nickname": "Countess", "profile": "https://example.com/ada",
			"website": "https://ada.example", "gender": "female", "birthdate": "1815-12-10",
		} {
			testkit.Equal(t, name, got[name], any(want))
		}
	}
}

// The end of what a token hangs on is the end of the token.
func TestRevocationsOfAccessTokens(t *testing.T) {
	for _, format := range []string{oauth.FormatJWT, oauth.FormatOpaque} {
		for name, end := range map[string]func(*world, *client.Client) error{
			"session": func(w *world, _ *client.Client) error { return w.db.EndSession(w.t.Context(), w.sess.ID, w.now, true) },
			"user disabled": func(w *world, _ *client.Client) error {
				return w.db.SetUserDisabled(w.t.Context(), w.user.ID, true, w.now)
			},
			"consent taken": func(w *world, c *client.Client) error {
				return w.db.DeleteConsent(w.t.Context(), w.user.ID, c.ID, w.now)
			},
			"client deleted": func(w *world, c *client.Client) error { return w.db.DeleteClient(w.t.Context(), c.ID, w.now) },
		} {
			t.Run(name+", "+format, func(t *testing.T) {
				w := newWorld(t)
				cl := w.client(func(c *client.Client) { c.TokenFormat = format })
				r := w.login(cl)
				w.wantActive(r.AccessToken)
				testkit.Must(t, end(w, cl))
				w.wantRevoked(r.AccessToken)
			})
		}
	}
	t.Run("a session that ends without its tokens", func(t *testing.T) {
		w := newWorld(t)
		r := w.login(w.client())
		testkit.Must(t, w.db.EndSession(t.Context(), w.sess.ID, w.now, false))
		w.wantActive(r.AccessToken)
	})
}

// A token of another issuer that happens to share the keys is refused.
func TestAnotherIssuersToken(t *testing.T) {
	w := newWorld(t)
	theirs := newWorld(t, func(c *oauth.Config) { c.Issuer = "https://other.example" })
	w.wantRevoked(theirs.login(theirs.client()).AccessToken)
}
