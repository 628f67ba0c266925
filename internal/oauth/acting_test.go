package oauth_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// actingEnds is how long the session of act lasts.
const actingEnds = 10 * time.Minute

// act makes the session of the world one in which an administrator acts as its person.
func (w *world) act() *login.Impersonation {
	w.t.Helper()
	s := identity.NewSession(w.user.ID, nil, w.now, actingEnds, identity.Browser{})
	s.AuthTime, s.AMR, s.ACR = time.Time{}, nil, ""
	s.Impersonator = identity.Impersonator{Kind: audit.ActorUser, ID: string(w.newUser("boss").ID)}
	i := &login.Impersonation{
		Session: s.ID, User: w.user.ID, Actor: s.Impersonator, Reason: "a test",
		CreatedAt: w.now, ExpiresAt: w.now.Add(time.Minute),
	}
	link, cookie := secret.NewID(w.now), secret.NewID(w.now)
	testkit.Must(w.t, w.db.PutImpersonation(w.t.Context(), secret.Hash(link), i, 1))
	testkit.Must(w.t, w.db.OpenImpersonation(w.t.Context(), secret.Hash(link), secret.Hash(cookie), "", s))
	w.sess = s
	return i
}

// wantActor checks that all that a response holds, and what is said of it, names who acts (RFC 8693
// §4.1), and that none of it outlives a time.
func (w *world) wantActor(cl *client.Client, r *token.Response, actor string, end time.Time) {
	w.t.Helper()
	a, err := w.access(r.AccessToken)
	testkit.Must(w.t, err)
	testkit.Equal(w.t, "actor of the access token", a.Actor, actor)
	if a.Expires.After(end) {
		w.t.Errorf("the access token outlives the session: %v", a.Expires)
	}
	named := map[string]any{"sub": actor}
	testkit.Equal(w.t, "act at userinfo", w.userinfo(r.AccessToken)["act"], any(named))
	for kind, raw := range map[string]string{"access": r.AccessToken, "refresh": r.RefreshToken} {
		if raw == "" {
			continue
		}
		i := w.introspect(cl, raw)
		if !i.Active || i.Actor == nil || i.Actor.Subject != actor || time.Unix(int64(i.Expires), 0).After(end) {
			w.t.Errorf("introspection of the %s token: %+v", kind, i)
		}
	}
	id := claims(w.t, r.IDToken)
	testkit.Equal(w.t, "act of the ID token", id["act"], any(named))
	if exp := id["exp"].(float64); exp > float64(end.Unix()) {
		w.t.Errorf("the ID token outlives the session: %v", exp)
	}
}

// renewals are the ways to a further token from one that was issued while somebody acted.
func renewals() map[string]func(*world, *client.Client, *token.Response) (*token.Response, error) {
	return map[string]func(*world, *client.Client, *token.Response) (*token.Response, error){
		"refresh": func(w *world, cl *client.Client, r *token.Response) (*token.Response, error) {
			return w.refresh(cl, r.RefreshToken)
		},
		"refresh of fewer scopes": func(w *world, cl *client.Client, r *token.Response) (*token.Response, error) {
			return w.refresh(cl, r.RefreshToken, "scope", "openid")
		},
		"refresh, answered twice": func(w *world, cl *client.Client, r *token.Response) (*token.Response, error) {
			if _, err := w.refresh(cl, r.RefreshToken); err != nil {
				return nil, err
			}
			return w.refresh(cl, r.RefreshToken)
		},
		"exchange": func(w *world, cl *client.Client, r *token.Response) (*token.Response, error) {
			return w.exchange(cl, r.AccessToken)
		},
		"exchange for fewer scopes": func(w *world, cl *client.Client, r *token.Response) (*token.Response, error) {
			return w.exchange(cl, r.AccessToken, "scope", "openid", "requested_token_type", accessType)
		},
		"exchange, answered twice": func(w *world, cl *client.Client, r *token.Response) (*token.Response, error) {
			if _, err := w.exchange(cl, r.AccessToken); err != nil {
				return nil, err
			}
			return w.exchange(cl, r.AccessToken)
		},
	}
}

// Every token that comes of a session in which somebody acts as another person names who acts,
// however it is renewed, and ends with the session: by its time, and when it is ended before.
func TestRenewalsOfActing(t *testing.T) {
	for name, renew := range renewals() {
		for _, format := range []string{oauth.FormatJWT, oauth.FormatOpaque} {
			t.Run(name+"/"+format, func(t *testing.T) {
				w := newWorld(t, reuse(time.Minute))
				i, end := w.act(), w.now.Add(actingEnds)
				cl := w.client(func(c *client.Client) {
					c.TokenFormat, c.ServerSideRefresh = format, strings.HasPrefix(name, "exchange")
				})
				r := w.login(cl, "scope", "openid api:read offline_access")
				for range 3 {
					w.wantActor(cl, r, i.Actor.ID, end)
					w.advance(2 * time.Minute)
					next, err := renew(w, cl, r)
					testkit.Must(t, err)
					r = next
				}
				w.wantActor(cl, r, i.Actor.ID, end)
				ended := r
				w.now = end
				_, err := renew(w, cl, ended)
				if err == nil {
					t.Error("renewed at the end of the session")
				}
				w.wantRevoked(ended.AccessToken)
			})
			t.Run(name+"/"+format+"/ended", func(t *testing.T) {
				w := newWorld(t, reuse(time.Minute), func(c *oauth.Config) { c.EndWithSession = false })
				i := w.act()
				cl := w.client(func(c *client.Client) {
					c.TokenFormat, c.ServerSideRefresh = format, strings.HasPrefix(name, "exchange")
				})
				r, err := renew(w, cl, w.login(cl, "scope", "openid"))
				testkit.Must(t, err)
				testkit.Must(t, w.db.EndImpersonation(t.Context(), i.Session, audit.Event{At: w.now}))
				if _, err = renew(w, cl, r); err == nil {
					t.Error("renewed after the session has ended")
				}
				w.wantRevoked(r.AccessToken)
			})
		}
	}
}

// Nothing that lives longer, or on its own, comes of a session in which somebody acts as another
// person, nor of its tokens.
func TestNothingOutlivesActing(t *testing.T) {
	w := newWorld(t)
	i := w.act()
	cl := w.client(serverSideRefresh)
	r := w.login(cl, "scope", "openid offline_access accounts")
	testkit.Equal(t, "scope without offline_access", r.Scope, "openid")

	d := w.device(cl)
	if err := w.decide(d.UserCode, true); !fault.Is(err, fault.Denied) {
		t.Errorf("a device is connected: %v", err)
	}
	_, err := w.poll(cl, d.DeviceCode)
	wantError(t, err, "authorization_pending", 400)

	other := w.client(serverSideRefresh)
	for name, c := range map[string]struct {
		cl    *client.Client
		pairs []string
	}{
		"another client":          {other, nil},
		"with an actor token":     {cl, []string{"actor_token", r.AccessToken, "actor_token_type", accessType}},
		"for a refresh token":     {cl, []string{"requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"}},
		"for an ID token":         {cl, []string{"requested_token_type", "urn:ietf:params:oauth:token-type:id_token"}},
		"for a JWT":               {cl, []string{"requested_token_type", "urn:ietf:params:oauth:token-type:jwt"}},
		"of an ID token":          {cl, []string{"subject_token", r.IDToken, "subject_token_type", "urn:ietf:params:oauth:token-type:id_token"}},
		"for more than was given": {cl, []string{"scope", "openid offline_access"}},
	} {
		if got, err := w.exchange(c.cl, r.AccessToken, c.pairs...); err == nil {
			t.Errorf("%s: exchanged for %+v", name, got)
		}
	}
	w.wantActor(cl, r, i.Actor.ID, w.now.Add(actingEnds)) // none of that has ended it

	// What a client does for itself is not done by anybody else.
	own, err := w.token(cl, "grant_type", client.GrantTypeClient)
	testkit.Must(t, err)
	a, err := w.access(own.AccessToken)
	testkit.Must(t, err)
	testkit.Equal(t, "actor of the client's own token", a.Actor, "")
}

// A code that was issued while somebody acted is worth nothing once the session has ended.
func TestCodeOfActing(t *testing.T) {
	w := newWorld(t)
	i := w.act()
	cl := w.client()
	code := w.code(cl)
	testkit.Must(t, w.db.EndImpersonation(t.Context(), i.Session, audit.Event{At: w.now}))
	_, err := w.redeem(cl, code)
	wantError(t, err, "invalid_grant", 400)

	w = newWorld(t)
	w.act()
	code = w.code(cl)
	w.advance(actingEnds)
	_, err = w.redeem(cl, code)
	wantError(t, err, "invalid_grant", 400)
}
