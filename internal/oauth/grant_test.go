package oauth_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// RFC 6749 §4.4.
func TestClientCredentials(t *testing.T) {
	for name, c := range map[string]struct {
		edit  func(*client.Client)
		pairs []string
		scope string
		code  string
	}{
		"all of its own scopes by default": {scope: "api:read api:write"},
		"the requested scopes":             {pairs: []string{"scope", "api:write"}, scope: "api:write"},
		"a scope that it may not have":     {pairs: []string{"scope", "api:admin"}, code: "invalid_scope"},
		"a scope about a user":             {pairs: []string{"scope", "openid"}, scope: ""},
		"offline access":                   {pairs: []string{"scope", "offline_access"}, scope: ""},
		"scopes about a user, not its own": {edit: func(c *client.Client) { c.Scopes = []string{"api:read"} }, pairs: []string{"scope", "profile email api:read"}, scope: "api:read"},
		"an unknown scope":                 {pairs: []string{"scope", "api:read api:unknown"}, scope: "api:read"},
		"no scope at all":                  {edit: func(c *client.Client) { c.Scopes = nil }, scope: ""},
		"not allowed":                      {edit: func(c *client.Client) { c.Grants = []string{"authorization_code"} }, code: "unauthorized_client"},
		"a public client":                  {edit: public, code: "unauthorized_client"},
		"a foreign resource":               {pairs: []string{"resource", "https://other.example"}, code: "invalid_target"},
		"a resource with a fragment":       {pairs: []string{"resource", "https://api.example#x"}, code: "invalid_target"},
		"a resource that is not a URI":     {pairs: []string{"resource", "api"}, code: "invalid_target"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			cl := w.client(nonNil(c.edit)...)
			r, err := w.token(cl, append([]string{"grant_type", "client_credentials"}, c.pairs...)...)
			if c.code != "" {
				wantError(t, err, c.code, 400)
				return
			}
			testkit.Must(t, err)
			testkit.Equal(t, "scope", r.Scope, c.scope)
			testkit.Equal(t, "refresh_token", r.RefreshToken, "") // §4.4.3
			testkit.Equal(t, "id_token", r.IDToken, "")
			m := claims(t, r.AccessToken)
			testkit.Equal(t, "sub", m["sub"], any(string(cl.ID)))
			testkit.Equal(t, "gid", m["gid"], any(string(cl.ID)))
			absent(t, m, "auth_time", "acr", "amr", "sid", "roles")
			w.wantActive(r.AccessToken)
		})
	}
}

func TestClientCredentialsAudience(t *testing.T) {
	w := newWorld(t)
	r, err := w.token(
		w.client(), "grant_type", "client_credentials", "resource", "https://api.example",
		"resource", "https://files.example", "resource", "https://api.example",
	)
	testkit.Must(t, err)
	a, _ := claims(t, r.AccessToken)["aud"].([]any)
	testkit.Equal(t, "audiences", len(a), 2)
}

// device requests a device authorization.
func (w *world) device(cl *client.Client, pairs ...string) *token.DeviceResponse {
	w.t.Helper()
	d, err := w.srv.Device(w.t.Context(), w.from(cl, pairs...))
	testkit.Must(w.t, err)
	return d
}

func (w *world) poll(cl *client.Client, code string, pairs ...string) (*token.Response, error) {
	return w.token(cl, append([]string{"grant_type", client.GrantTypeDevice, "device_code", code}, pairs...)...)
}

func (w *world) decide(typed string, approve bool) error {
	c := w.call()
	c.Session = w.sess
	_, err := w.srv.DecideDevice(w.t.Context(), c, typed, approve)
	return err
}

// RFC 8628 §3.1 to §3.5, from the user code to the tokens.
func TestDeviceFlowRFC8628(t *testing.T) {
	w := newWorld(t)
	cl := w.client(public)
	d := w.device(cl, "scope", "openid api:read offline_access")
	testkit.Equal(t, "verification_uri", d.VerificationURI, issuer+"/activate")
	testkit.Equal(t, "audience", d.Audience, cl.Name)
	testkit.Equal(t, "verification_uri_complete", d.Complete, issuer+"/activate?user_code="+d.UserCode)
	testkit.Equal(t, "expires_in", d.ExpiresIn, 600)
	testkit.Equal(t, "interval", d.Interval, 5)
	_, err := w.poll(cl, d.DeviceCode)
	wantError(t, err, "authorization_pending", 400)
	p, err := w.srv.PendingDevice(t.Context(), d.UserCode, w.now)
	testkit.Must(t, err)
	list(t, "scopes on the page", p.Device.Scopes, "openid", "api:read", "offline_access")
	testkit.Equal(t, "client on the page", p.Client.ID, cl.ID)
	testkit.Must(t, w.decide(d.UserCode, true))
	w.advance(5 * time.Second)
	r, err := w.poll(cl, d.DeviceCode)
	testkit.Must(t, err)
	testkit.Equal(t, "scope", r.Scope, "openid api:read offline_access")
	testkit.Equal(t, "sub", claims(t, r.IDToken)["sub"], any(string(w.user.ID)))
	_, err = w.refresh(cl, r.RefreshToken)
	testkit.Must(t, err)
	_, err = w.poll(cl, d.DeviceCode)
	wantError(t, err, "invalid_grant", 400)
}

// A device stays signed in when the browser that approved it signs out.
func TestDeviceIsNotBoundToTheBrowser(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	d := w.device(cl)
	testkit.Must(t, w.decide(d.UserCode, true))
	r, err := w.poll(cl, d.DeviceCode)
	testkit.Must(t, err)
	testkit.Must(t, w.db.EndSession(t.Context(), w.sess.ID, w.now, true))
	w.wantActive(r.AccessToken)
}

// RFC 8628 §3.5: each poll that is too early adds five seconds to the interval.
func TestDeviceSlowDownRFC8628s35(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	d := w.device(cl)
	for i, step := range []struct {
		after time.Duration
		code  string
	}{
		{0, "authorization_pending"},
		{4 * time.Second, "slow_down"},              // interval 5 → 10
		{9 * time.Second, "slow_down"},              // → 15
		{15 * time.Second, "authorization_pending"}, // stays 15
		{14 * time.Second, "slow_down"},             // → 20
		{20 * time.Second, "authorization_pending"},
	} {
		w.advance(step.after)
		_, err := w.poll(cl, d.DeviceCode)
		e := wantError(t, err, step.code, 400)
		if i == 1 && !strings.Contains(e.Description, "10 seconds") {
			t.Fatalf("the error does not name the new interval: %s", e.Description)
		}
	}
}

func TestDeviceErrors(t *testing.T) {
	t.Run("denied", func(t *testing.T) {
		w := newWorld(t)
		cl := w.client()
		d := w.device(cl)
		testkit.Must(t, w.decide(d.UserCode, false))
		_, err := w.poll(cl, d.DeviceCode)
		wantError(t, err, "access_denied", 400)
	})
	t.Run("expired", func(t *testing.T) {
		w := newWorld(t)
		cl := w.client()
		d := w.device(cl)
		w.advance(10 * time.Minute)
		_, err := w.poll(cl, d.DeviceCode)
		wantError(t, err, "expired_token", 400)
		if err := w.decide(d.UserCode, true); !fault.Is(err, fault.NotFound) {
			t.Fatalf("an expired code can be approved: %v", err)
		}
	})
	t.Run("another client's", func(t *testing.T) {
		w := newWorld(t)
		cl := w.client()
		d := w.device(cl)
		testkit.Must(t, w.decide(d.UserCode, true))
		_, err := w.poll(w.client(), d.DeviceCode)
		wantError(t, err, "invalid_grant", 400)
		_, err = w.poll(cl, d.DeviceCode)
		testkit.Must(t, err)
	})
	t.Run("answered twice", func(t *testing.T) {
		w := newWorld(t)
		d := w.device(w.client())
		testkit.Must(t, w.decide(d.UserCode, false))
		if err := w.decide(d.UserCode, true); !fault.Is(err, fault.NotFound) {
			t.Fatalf("a refused device can be approved: %v", err)
		}
	})
	t.Run("user disabled meanwhile", func(t *testing.T) {
		w := newWorld(t)
		cl := w.client()
		d := w.device(cl)
		testkit.Must(t, w.decide(d.UserCode, true))
		w.advance(time.Second)
		testkit.Must(t, w.db.SetUserDisabled(t.Context(), w.user.ID, true, w.now))
		_, err := w.poll(cl, d.DeviceCode)
		wantError(t, err, "invalid_grant", 400)
	})
	w := newWorld(t)
	cl := w.client()
	for name, c := range map[string]struct{ code, want string }{
		"left out":                {"", "invalid_request"},
		"garbage":                 {"x", "invalid_grant"},
		"well formed but unknown": {secret.NewToken(secret.PrefixDeviceCode), "invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.poll(cl, c.code)
			wantError(t, err, c.want, 400)
		})
	}
	t.Run("asking: not allowed", func(t *testing.T) {
		_, err := w.srv.Device(t.Context(), w.from(w.client(func(c *client.Client) { c.Grants = nil })))
		wantError(t, err, "unauthorized_client", 400)
	})
	t.Run("asking: a scope that it may not have", func(t *testing.T) {
		_, err := w.srv.Device(t.Context(), w.from(cl, "scope", "api:admin"))
		wantError(t, err, "invalid_scope", 400)
	})
	t.Run("asking: a foreign resource", func(t *testing.T) {
		_, err := w.srv.Device(t.Context(), w.from(cl, "resource", "https://other.example"))
		wantError(t, err, "invalid_target", 400)
	})
	t.Run("asking: unauthenticated", func(t *testing.T) {
		_, err := w.srv.Device(t.Context(), w.call("client_id", string(cl.ID)))
		wantError(t, err, "invalid_client", 401)
	})
}

// Of many concurrent polls after the approval one gets the tokens.
func TestDeviceRace(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	d := w.device(cl)
	testkit.Must(t, w.decide(d.UserCode, true))
	got := race(t, 50, func(int) error {
		_, err := w.poll(cl, d.DeviceCode)
		return err
	})
	testkit.Equal(t, "successes", got[""], 1)
	testkit.Equal(t, "refusals", got["invalid_grant"], 49)
}

// RFC 8628 §6.1: how the code is written does not matter.
func TestUserCodeAsTyped(t *testing.T) {
	w := newWorld(t)
	d := w.device(w.client())
	plain := strings.ReplaceAll(d.UserCode, "-", "")
	for _, typed := range []string{d.UserCode, plain, strings.ToLower(d.UserCode), " " + plain[:3] + " " + plain[3:], plain[:4] + "–" + plain[4:]} {
		if _, err := w.srv.PendingDevice(t.Context(), typed, w.now); err != nil {
			t.Errorf("%q is not understood: %v", typed, err)
		}
	}
	for _, typed := range []string{"", plain[:7], plain + "B", "AEIO-UAEI", strings.Repeat("B", 100), d.UserCode + "'"} {
		if _, err := w.srv.PendingDevice(t.Context(), typed, w.now); !fault.Is(err, fault.NotFound) {
			t.Errorf("%q is taken for a code: %v", typed, err)
		}
	}
}

// RFC 6749 §4.3, which RFC 9700 §2.4 forbids: served only if it is switched on, and for named
// clients.
func TestPasswordGrant(t *testing.T) {
	const id = "legacy-client"
	on := func(c *oauth.Config) { c.PasswordGrant, c.PasswordClients = true, []client.ID{id} }
	may := func(c *client.Client) { c.Grants = append(slices.Clone(c.Grants), client.GrantTypePassword) }
	w := newWorld(t, on)
	w.owner.user = w.user
	cl := w.client(may, func(c *client.Client) { c.ID = id })
	t.Run("on, for this client", func(t *testing.T) {
		r, err := w.token(
			cl, "grant_type", "password", "username", "ada", "password", "right", "scope",
			"openid api:read",
		)
		testkit.Must(t, err)
		testkit.Equal(t, "scope", r.Scope, "openid api:read")
		list(t, "amr", amr(claims(t, r.AccessToken)), "pwd")
		_, err = w.refresh(cl, r.RefreshToken)
		testkit.Must(t, err)
	})
	for name, c := range map[string]struct {
		pairs []string
		code  string
	}{
		"wrong password":    {[]string{"username", "ada", "password", "wrong"}, "invalid_grant"},
		"no password":       {[]string{"username", "ada"}, "invalid_request"},
		"no username":       {[]string{"password", "right"}, "invalid_request"},
		"a scope too many":  {[]string{"username", "ada", "password", "right", "scope", "api:admin"}, "invalid_scope"},
		"a foreign address": {[]string{"username", "ada", "password", "right", "resource", "https://other.example"}, "invalid_target"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.token(cl, append([]string{"grant_type", "password"}, c.pairs...)...)
			wantError(t, err, c.code, 400)
		})
	}
	t.Run("on, for another client", func(t *testing.T) {
		_, err := w.token(w.client(may), "grant_type", "password", "username", "ada", "password", "right")
		wantError(t, err, "unauthorized_client", 400)
	})
	t.Run("not among the client's grants", func(t *testing.T) {
		_, err := w.token(w.client(), "grant_type", "password", "username", "ada", "password", "right")
		wantError(t, err, "unauthorized_client", 400)
	})
	t.Run("locked out", func(t *testing.T) {
		w.owner.err = fault.RetryAfter(fault.Limited, time.Minute, "locked")
		defer func() { w.owner.err = nil }()
		_, err := w.token(cl, "grant_type", "password", "username", "ada", "password", "right")
		wantError(t, err, "rate_limit_exceeded", 429)
	})
	t.Run("off", func(t *testing.T) {
		off := newWorld(t)
		_, err := off.token(off.client(may), "grant_type", "password", "username", "ada", "password", "right")
		wantError(t, err, "unsupported_grant_type", 400)
	})
}

// The password grant stores nothing if the account changes while the password is being compared.
func TestPasswordGrantOfAChangedAccount(t *testing.T) {
	const id = "legacy-race"
	on := func(c *oauth.Config) { c.PasswordGrant, c.PasswordClients = true, []client.ID{id} }
	may := func(c *client.Client) {
		c.ID, c.Grants = id, append(slices.Clone(c.Grants), client.GrantTypePassword)
	}
	for name, c := range map[string]struct {
		change  func(w *world)
		refused bool
	}{
		"nothing": {func(*world) {}, false},
		"a new password": {func(w *world) {
			testkit.Must(w.t, w.db.SetPassword(w.t.Context(), w.user.ID, "other", 0, w.now))
		}, true},
		"disabled": {func(w *world) {
			testkit.Must(w.t, w.db.SetUserDisabled(w.t.Context(), w.user.ID, true, w.now))
		}, true},
		"a second factor": {func(w *world) {
			cred := identity.Credential{
				ID: "new-factor", User: w.user.ID, Kind: "totp", CreatedAt: w.now, ConfirmedAt: w.now,
			}
			testkit.Must(w.t, w.db.PutCredential(w.t.Context(), &cred))
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, on)
			cl := w.client(may)
			t.Cleanup(func() { testkit.Must(t, w.db.DeleteClient(context.Background(), id, w.now)) })
			w.owner.user, w.owner.meanwhile = w.user, func() { c.change(w) }
			r, err := w.token(cl, "grant_type", "password", "username", "ada", "password", "right")
			if c.refused {
				wantError(t, err, "invalid_grant", 400)
			} else {
				testkit.Must(t, err)
			}
			grants, err := w.db.UserGrants(t.Context(), w.user.ID, w.now)
			testkit.Must(t, err)
			if got := len(grants) == 0; got != c.refused {
				t.Errorf("the response is %+v, and %d grants are stored", r, len(grants))
			}
		})
	}
}

func amr(m map[string]any) (out []string) {
	all, _ := m["amr"].([]any)
	for _, v := range all {
		out = append(out, v.(string))
	}
	return out
}
