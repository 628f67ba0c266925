package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/gateway"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

func TestCredentialKinds(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.ClientID = true }))
	cookie, sess := w.signIn(w.user)
	id := string(w.client.ID)
	for name, row := range map[string]struct {
		headers []string
		by      string
		user    bool
		client  bool
		proven  bool
	}{
		"a user's token":           {[]string{"Authorization: Bearer " + w.token()}, "token", true, true, true},
		"a client's token":         {[]string{"Authorization: bearer " + w.appToken()}, "token", false, true, true},
		"id and secret":            {[]string{"Authorization: " + basic(id, testSecret)}, "secret", false, true, true},
		"an id alone":              {[]string{"X-Client-Id: " + id}, "client_id", false, true, false},
		"a session":                {[]string{"Cookie: " + cookie}, "session", true, false, false},
		"a session and a secret":   {[]string{"Cookie: " + cookie, "Authorization: " + basic(id, testSecret)}, "session", true, true, true},
		"a session and an id":      {[]string{"Cookie: " + cookie, "X-Client-Id: " + id}, "session", true, true, false},
		"token beside a cookie":    {[]string{"Cookie: " + cookie, "Authorization: Bearer " + w.appToken()}, "token", false, true, true},
		"secret beside a token":    {[]string{"Authorization: Bearer " + w.token() + " , " + basic(id, testSecret)}, "token", true, true, true},
		"secret beside a dead one": {[]string{"Authorization: " + basic(id, testSecret), "Cookie: __Host-gatehouse=gth_ss_dead"}, "secret", false, true, true},
	} {
		info := w.info(w.received(w.get("/shop/v1", row.headers...)).Header.Get("X-Auth-Info"))
		client, _ := info["client"].(map[string]any)
		if info["by"] != row.by || (info["user"] != nil) != row.user || (client != nil) != row.client || (client["authenticated"] == true) != row.proven {
			t.Errorf("%s: %v", name, info)
		}
		if strings.HasPrefix(name, "a session") && info["session"] != string(sess.ID) {
			t.Errorf("%s: session %v", name, info["session"])
		}
	}
}

func TestInvalidCredentials(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.Unidentified, r.Rate = true, -1 })) // even where nobody need say who they are
	id, token := string(w.client.ID), w.token()
	other := w.newClient()
	public := w.newClient(func(c *client.Client) { c.Public, c.Secrets, c.AuthMethod = true, nil, "none" })
	disabled := w.newClient(func(c *client.Client) { c.Disabled = true })
	gone := w.newUser()
	must(t, w.db.DeleteUser(t.Context(), gone.ID, w.now))
	hour := time.Hour.Seconds()
	now := float64(w.now.Unix())
	for name, row := range map[string]struct {
		status  int
		code    string
		headers []string
	}{
		"two headers":               {400, "invalid_request", []string{"Authorization: Bearer " + token, "Authorization: Bearer " + token}},
		"two tokens":                {400, "invalid_request", []string{"Authorization: Bearer " + token + ", Bearer " + token}},
		"bearer and DPoP":           {400, "invalid_request", []string{"Authorization: Bearer " + token + ", DPoP " + token}},
		"two clients in one header": {400, "invalid_request", []string{"Authorization: " + basic(id, testSecret) + ", " + basic(id, testSecret)}},
		"two ids":                   {400, "invalid_request", []string{"X-Client-Id: " + id, "X-Client-Id: " + id}},
		"id and another's secret":   {400, "invalid_request", []string{"X-Client-Id: " + string(other.ID), "Authorization: " + basic(id, testSecret)}},
		"secret and another's token": {400, "invalid_request", []string{
			"Authorization: " + basic(string(other.ID), testSecret) + ", Bearer " + token,
		}},
		"no token":              {400, "invalid_request", []string{"Authorization: Bearer "}},
		"a token with a quote":  {400, "invalid_request", []string{`Authorization: Bearer a"b`}},
		"an empty id":           {400, "invalid_request", []string{"X-Client-Id: "}},
		"an id with a space":    {400, "invalid_request", []string{"X-Client-Id: a b"}},
		"a long id":             {400, "invalid_request", []string{"X-Client-Id: " + strings.Repeat("a", 500)}},
		"an empty credential":   {401, "invalid_request", []string{"Authorization: Bearer " + token + ","}},
		"another scheme":        {401, "invalid_request", []string{"Authorization: Digest a=b"}},
		"unknown client":        {401, "invalid_client", []string{"X-Client-Id: nobody"}},
		"wrong secret":          {401, "invalid_client", []string{"Authorization: " + basic(id, "wrong")}},
		"no secret":             {401, "invalid_client", []string{"Authorization: " + basic(id, "")}},
		"a public client":       {401, "invalid_client", []string{"Authorization: " + basic(string(public.ID), "x")}},
		"a disabled client":     {401, "invalid_client", []string{"Authorization: " + basic(string(disabled.ID), testSecret)}},
		"broken basic":          {401, "invalid_client", []string{"Authorization: Basic %%%"}},
		"wrong secret beside":   {401, "invalid_client", []string{"Authorization: " + basic(id, "wrong") + ", Bearer " + token}},
		"garbage":               {401, "invalid_token", []string{"Authorization: Bearer abc.def.ghi"}},
		"a huge token":          {401, "invalid_token", []string{"Authorization: Bearer " + strings.Repeat("a", 20<<10)}},
		"no signature":          {401, "invalid_token", []string{"Authorization: Bearer " + strings.Join(strings.Split(token, ".")[:2], ".") + "."}},
		"alg none":              {401, "invalid_token", []string{"Authorization: Bearer eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0." + strings.Split(token, ".")[1] + "."}},
		"alg HS256":             {401, "invalid_token", []string{"Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9." + strings.Split(token, ".")[1] + ".c2lnbmF0dXJl"}},
		"altered":               {401, "invalid_token", []string{"Authorization: Bearer " + token[:len(token)-4] + "AAAA"}},
		"an ID token":           {401, "invalid_token", []string{"Authorization: Bearer " + w.signed("JWT", claims{"client_id": nil, "gid": nil, "jti": nil, "scope": nil})}},
		"typ JWT and no grant":  {401, "invalid_token", []string{"Authorization: Bearer " + w.signed("JWT", claims{"gid": nil})}},
		"typ JWT and no client": {401, "invalid_token", []string{"Authorization: Bearer " + w.signed("JWT", claims{"client_id": nil})}},
		"typ JWT and no id":     {401, "invalid_token", []string{"Authorization: Bearer " + w.signed("JWT", claims{"jti": nil})}},
		"an X-Auth-Info":        {401, "invalid_token", []string{"Authorization: Bearer " + w.signed("auth-info+jwt")}},
		"expired":               {401, "invalid_token", []string{"Authorization: Bearer " + w.token(claims{"exp": now - 1})}},
		"from the future":       {401, "invalid_token", []string{"Authorization: Bearer " + w.token(claims{"iat": now + hour, "exp": now + 2*hour})}},
		"another issuer's":      {401, "invalid_token", []string{"Authorization: Bearer " + w.token(claims{"iss": "https://evil.example"})}},
		"another audience":      {401, "invalid_token", []string{"Authorization: Bearer " + w.token(claims{"aud": "https://other.example"})}},
		"of a client that went": {401, "invalid_token", []string{"Authorization: Bearer " + w.token(claims{"client_id": "went"})}},
		"of a person that went": {401, "invalid_token", []string{"Authorization: Bearer " + w.token(claims{"sub": string(gone.ID)})}},
		"unknown opaque":        {401, "invalid_token", []string{"Authorization: Bearer gth_at_unknown"}},
		"unbound as DPoP":       {401, "invalid_token", []string{"Authorization: DPoP " + token}},
	} {
		rec := w.get("/shop/v1", row.headers...)
		if rec.Code != row.status || problemOf(t, rec).Error != row.code {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
		if rec.Code == http.StatusUnauthorized && rec.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no challenge", name)
		}
		for _, h := range row.headers {
			if _, secret, _ := strings.Cut(h, " "); len(secret) > 20 && strings.Contains(rec.Body.String(), secret) {
				t.Errorf("%s: the answer repeats the credential", name)
			}
		}
	}
}

func TestTokenInQueryIsRejected(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.Unidentified, r.Rate = true, -1 }))
	for _, q := range []string{"access_token=x", "a=b&access%5Ftoken=x", "access_token"} {
		if rec := w.get("/shop/v1?" + q); rec.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", q, rec.Code)
		}
	}
	if rec := w.get("/shop/v1?my_access_token=x&q=access_token"); rec.Code != http.StatusOK {
		t.Errorf("a parameter of another name: %d", rec.Code)
	}
}

func TestClientIDAloneNeedsRoutePermission(t *testing.T) {
	w := newWorld(t, shop())
	rec := w.get("/shop/v1", "X-Client-Id: "+string(w.client.ID))
	if rec.Code != http.StatusUnauthorized || w.lastDenial().Caller.Client != string(w.client.ID) {
		t.Errorf("%d %+v", rec.Code, w.lastDenial())
	}
}

// An unproven client id beside a session does not open a route that is for some clients.
func TestClaimedClientBesideASession(t *testing.T) {
	w := newWorld(t, nil)
	w.routes = shop(func(r *access.Route) {
		r.Clients, r.Upstreams = []string{string(w.client.ID)}, []string{w.upstream.URL}
	})
	w.gw.Reload()
	cookie, _ := w.signIn(w.user)
	rec := w.get("/shop/v1", "Cookie: "+cookie, "X-Client-Id: "+string(w.client.ID))
	if rec.Code != http.StatusForbidden {
		t.Errorf("an unproven client opened the route: %d", rec.Code)
	}
	if rec := w.get("/shop/v1", "Cookie: "+cookie, "Authorization: "+basic(string(w.client.ID), testSecret)); rec.Code != http.StatusOK {
		t.Errorf("the proven client: %d", rec.Code)
	}
}

func TestRevocationTakesEffectAtOnce(t *testing.T) {
	for name, end := range map[string]func(w *world, sid string) error{
		"session": func(w *world, sid string) error {
			return w.db.Revoke(w.t.Context(), oauth.Revocation{Kind: oauth.RevokeSession, ID: sid, NotBefore: w.clock()})
		},
		"user": func(w *world, _ string) error {
			return w.db.SetUserDisabled(w.t.Context(), w.user.ID, true, w.clock())
		},
		"client": func(w *world, _ string) error {
			return w.db.DeleteClient(w.t.Context(), w.client.ID, w.clock())
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, shop())
			sid := "0190f2d0-0000-7000-8000-" + w.client.ID[len(w.client.ID)-12:]
			auth := "Authorization: Bearer " + w.token(claims{"sid": sid})
			if rec := w.get("/shop/v1", auth); rec.Code != http.StatusOK {
				t.Fatalf("before: %d %s", rec.Code, rec.Body)
			}
			must(t, end(w, string(sid)))
			if rec := w.get("/shop/v1", auth); rec.Code != http.StatusUnauthorized {
				t.Errorf("after: %d", rec.Code)
			}
		})
	}
}

func TestEndedBrowserSessionIsRejectedAtOnce(t *testing.T) {
	w := newWorld(t, shop())
	cookie, sess := w.signIn(w.user)
	get := func() int { return w.get("/shop/v1", "Cookie: "+cookie).Code }
	if get() != http.StatusOK {
		t.Fatal("not let in")
	}
	must(t, w.db.EndSession(t.Context(), sess.ID, w.now, true))
	if code := get(); code != http.StatusUnauthorized {
		t.Errorf("after the end: %d", code)
	}
}

// A session that ends without a revocation is rejected within a second.
func TestSessionEndedWithoutRevocationIsRejectedWithinASecond(t *testing.T) {
	w := newWorld(t, shop())
	cookie, sess := w.signIn(w.user)
	get := func() int { return w.get("/shop/v1", "Cookie: "+cookie).Code }
	get()
	must(t, w.db.EndSession(t.Context(), sess.ID, w.now, false))
	w.wait(time.Second)
	if code := get(); code != http.StatusUnauthorized {
		t.Errorf("a second after the end: %d", code)
	}
}

func TestRemovedRolesTakeEffectWithinASecond(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.Roles = []string{"editor"} }))
	cookie, _ := w.signIn(w.user)
	for _, header := range []string{"Authorization: Bearer " + w.token(), "Cookie: " + cookie} {
		must(t, w.db.SetRoles(t.Context(), w.user.ID, []string{"editor"}, w.now))
		w.wait(time.Second)
		if rec := w.get("/shop/v1", header); rec.Code != http.StatusOK {
			t.Fatalf("with the role: %d %s", rec.Code, rec.Body)
		}
		must(t, w.db.SetRoles(t.Context(), w.user.ID, nil, w.now))
		w.wait(time.Second)
		if rec := w.get("/shop/v1", header); rec.Code != http.StatusForbidden {
			t.Errorf("without it: %d", rec.Code)
		}
	}
}

func TestCachedRequestReadsNoStorage(t *testing.T) {
	w := newWorld(t, shop())
	auth := "Authorization: Bearer " + w.token()
	for range 5 {
		w.get("/shop/v1", auth)
	}
	if w.calls != 1 || w.users != 1 || w.signs != 1 {
		t.Errorf("5 requests: %d tokens read, %d accounts, %d signatures", w.calls, w.users, w.signs)
	}
}

// A change of the client's registration takes effect with the next request, and a replaced secret
// is rejected.
func TestClientChangesTakeEffectAtOnce(t *testing.T) {
	w := newWorld(t, shop())
	auth := "Authorization: Bearer " + w.appToken()
	secret := "Authorization: " + basic(string(w.client.ID), testSecret)
	for _, h := range []string{auth, secret} {
		if rec := w.get("/shop/v1", h); rec.Code != http.StatusOK {
			t.Fatalf("before: %d", rec.Code)
		}
	}
	changed := *w.client
	changed.Networks = []string{"198.51.100.0/24"}
	must(t, w.db.UpdateClient(t.Context(), w.client, &changed))
	for _, h := range []string{auth, secret} {
		if rec := w.get("/shop/v1", h); rec.Code != http.StatusForbidden {
			t.Errorf("from elsewhere: %d", rec.Code)
		}
	}
}

func TestStorageUnavailable(t *testing.T) {
	w := newWorld(t, shop())
	cookie, _ := w.signIn(w.user)
	broken := &brokenBrowser{w.browser}
	w2 := newWorld(t, shop(), func(o *gateway.Options) { o.Browser = broken })
	rec := w2.get("/shop/v1", "Cookie: "+cookie)
	if rec.Code != http.StatusServiceUnavailable || problemOf(t, rec).Error != "temporarily_unavailable" || rec.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// A server that has not heard of revocations for too long accepts no credential of its own, seen
// before or not, and says so. What needs none goes on.
func TestStaleRevocations(t *testing.T) {
	open := shop()
	open[0].Unidentified, open[0].Rate = true, -1
	w := newWorld(t, open)
	for name, headers := range map[string][]string{
		"token": bearerToken(w), "session": signedIn(w), "client's secret": secretly(w),
	} {
		for _, step := range []struct {
			age    time.Duration
			status int
		}{{revocationMaxAge, http.StatusOK}, {revocationMaxAge + 1, http.StatusServiceUnavailable}, {0, http.StatusOK}} {
			w.age.Store(int64(step.age))
			if rec := w.get("/shop/v1", headers...); rec.Code != step.status {
				t.Errorf("%s, known %s ago: %d %s", name, step.age, rec.Code, rec.Body)
			}
		}
	}
	w.age.Store(int64(revocationMaxAge + 1))
	fresh := w.get("/shop/v1", bearerToken(w)...)
	if fresh.Code != http.StatusServiceUnavailable || problemOf(t, fresh).Error != "temporarily_unavailable" ||
		fresh.Header().Get("Retry-After") == "" || fresh.Header().Get("Www-Authenticate") != "" {
		t.Errorf("a token that was not seen before: %d %v %s", fresh.Code, fresh.Header(), fresh.Body)
	}
	if got := w.lastDenial(); got.Denial.Rule != "revocations" || !strings.Contains(got.Denial.Reason, "REVOCATION_MAX_AGE") {
		t.Errorf("explained as %+v", got.Denial)
	}
	if rec := w.get("/shop/v1"); rec.Code != http.StatusOK {
		t.Errorf("without a credential: %d %s", rec.Code, rec.Body)
	}
	dead := w.token(claims{"jti": string(w.user.ID)})
	revoke(oauth.RevokeToken)(w)
	if rec := w.get("/shop/v1", "Authorization: Bearer "+dead); rec.Code != http.StatusUnauthorized {
		t.Errorf("a token that is known to be revoked: %d", rec.Code)
	}
}

type brokenBrowser struct{ *browser }

func (brokenBrowser) Session(*http.Request) (*identity.Session, error) {
	return nil, fault.New(fault.Unavailable, "the database does not answer")
}

func TestCrossSiteRequestsByCookie(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.CORS = []string{"https://app.example"} }))
	cookie, _ := w.signIn(w.user)
	for _, row := range []struct {
		name    string
		method  string
		status  int
		headers []string
	}{
		{"another site's form", "POST", 403, []string{"Sec-Fetch-Site: cross-site"}},
		{"another host of ours", "POST", 403, []string{"Sec-Fetch-Site: same-site"}},
		{"our own page", "POST", 200, []string{"Sec-Fetch-Site: same-origin"}},
		{"the address bar", "POST", 200, []string{"Sec-Fetch-Site: none"}},
		{"another origin", "DELETE", 403, []string{"Origin: https://evil.example"}},
		{"another port", "POST", 403, []string{"Origin: https://id.example:8443"}},
		{"no origin at all", "POST", 403, []string{"Origin: null"}},
		{"our own origin", "PUT", 200, []string{"Origin: https://id.example"}},
		{"our own origin, with its port", "PUT", 200, []string{"Origin: https://id.example:443"}},
		{"our own origin, in capitals", "PUT", 200, []string{"Origin: https://ID.example"}},
		{"our own origin, absolute", "PUT", 200, []string{"Origin: https://id.example."}},
		{"not quite our own", "PUT", 403, []string{"Origin: https://id.example.evil.example"}},
		{"a user before our own", "PUT", 403, []string{"Origin: https://evil@id.example"}},
		{"an origin of the route", "POST", 200, []string{"Origin: https://app.example", "Sec-Fetch-Site: cross-site"}},
		{"no browser", "POST", 200, nil},
		{"reading", "GET", 200, []string{"Sec-Fetch-Site: cross-site", "Origin: https://evil.example"}},
		{"another site's WebSocket", "GET", 403, []string{"Sec-Fetch-Site: cross-site", "Origin: https://evil.example", "Upgrade: websocket", "Connection: upgrade"}},
		{"an id beside the cookie", "POST", 403, []string{"Sec-Fetch-Site: cross-site", "X-Client-Id: " + string(w.client.ID)}},
	} {
		rec := w.do(request(t, row.method, "id.example", "/shop/v1", append(row.headers, "Cookie: "+cookie)...))
		if rec.Code != row.status {
			t.Errorf("%s: %d %s", row.name, rec.Code, rec.Body)
		}
	}
	if rec := w.do(request(t, "POST", "id.example", "/shop/v1", "Sec-Fetch-Site: cross-site", "Authorization: Bearer "+w.token())); rec.Code != 200 {
		t.Errorf("a token is no cookie: %d", rec.Code)
	}
}

func TestStepUpChallenge(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.ACR, r.MaxAge = "aal2", access.Duration(time.Minute) }))
	auth := func(edit claims) string { return "Authorization: Bearer " + w.token(edit) }
	rec := w.get("/shop/v1", auth(nil))
	challenge := rec.Header().Get("WWW-Authenticate")
	if rec.Code != http.StatusUnauthorized || problemOf(t, rec).Error != "insufficient_user_authentication" || !strings.Contains(challenge, `acr_values="aal2"`) {
		t.Errorf("RFC 9470 §3: %d %s", rec.Code, challenge)
	}
	rec = w.get("/shop/v1", auth(claims{"acr": "aal2", "auth_time": w.now.Add(-time.Hour).Unix()}))
	if rec.Code != http.StatusUnauthorized || !strings.Contains(rec.Header().Get("WWW-Authenticate"), "max_age=60") {
		t.Errorf("long ago: %d %s", rec.Code, rec.Header().Get("WWW-Authenticate"))
	}
	if rec = w.get("/shop/v1", auth(claims{"acr": "aal2"})); rec.Code != http.StatusOK {
		t.Errorf("strong and recent: %d", rec.Code)
	}
}
