package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/bearer/bearertest"
	"github.com/gatehouse-id/gatehouse/internal/access"
)

// RFC 3986 §3.2: only a port may follow the colon; other programs could read the name before it as
// a username. An empty label is not a name either (RFC 1035 §2.3.1).
func TestHostHeaderFormat(t *testing.T) {
	w := newWorld(t, pages(func(r *access.Route) { r.Unidentified, r.Rate = true, -1 }))
	for _, host := range []string{
		"app.example:80@evil.example", "app.example:x", "app.example:80;x", "app.example:123456", "app.example:-1", "app.example:@", "app.example..", ".app.example", "app..example", "[::1]:x",
	} {
		if w.gw.Claims(request(t, http.MethodGet, host, "/")) {
			t.Errorf("%s is taken for app.example", host)
		}
		rec := w.ask("GET", "id.example", "/gateway/check", "X-Forwarded-Method: GET", "X-Forwarded-Host: "+host, "X-Forwarded-Uri: /")
		if rec.Code != http.StatusBadRequest {
			t.Errorf("a proxy's question about %s: %d", host, rec.Code)
		}
	}
	for _, host := range []string{"app.example", "app.example:", "app.example:80", "APP.example.:65535"} {
		if !w.gw.Claims(request(t, http.MethodGet, host, "/")) {
			t.Errorf("%s is not taken for app.example", host)
		}
	}
}

// Servers that follow CGI (RFC 3875 §4.1.18) write every character that is not a letter or a digit
// as an underscore, so these headers are one variable. A proxy that copies the gateway's
// X-Auth-User over the caller's leaves the others in place.
func TestDisguisedHeaders(t *testing.T) {
	w := newWorld(t, append(pages(func(r *access.Route) { r.Unidentified, r.Rate = true, -1 }), shop(func(r *access.Route) { r.Unidentified, r.Rate = true, -1 })...))
	for _, name := range []string{"X_Auth_User", "x_auth_info", "X.Auth.User", "X-Auth_Roles", "X!Auth!Scopes", "X_Forwarded_For"} {
		for proxy, ask := range proxies() {
			if rec := ask(w, "GET", "/", name+": forged"); rec.Code != http.StatusBadRequest && rec.Header().Get("X-Auth-Status") != "400" {
				t.Errorf("%s asks about a request with %s: %d", proxy, name, rec.Code)
			}
		}
		for header, values := range w.received(w.get("/shop/v1", name+": forged")).Header {
			if slices.Contains(values, "forged") {
				t.Errorf("%s reaches the upstream as %s", name, header)
			}
		}
	}
}

// Some proxies remove Upgrade before they ask, as they must from what they forward (RFC 9110
// §7.6.1). A WebSocket has other headers, too (RFC 6455 §4.1).
func TestForwardAuthDetectsWebSocketWithoutUpgrade(t *testing.T) {
	w := newWorld(t, shop())
	cookie, _ := w.signIn(w.user)
	ask := func(headers ...string) int {
		return w.ask("GET", "id.example", "/gateway/check", append(headers, "Cookie: "+cookie, "X-Forwarded-Proto: https",
			"X-Forwarded-Method: GET", "X-Forwarded-Host: id.example", "X-Forwarded-Uri: /shop/v1")...).Code
	}
	const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
	if got := ask(key, "Origin: https://sibling.example"); got != http.StatusForbidden {
		t.Errorf("another origin's WebSocket: %d", got)
	}
	if got := ask("Sec-Fetch-Mode: websocket", "Sec-Fetch-Site: same-site", "Origin: https://sibling.id.example"); got != http.StatusForbidden {
		t.Errorf("another origin's WebSocket, by what the browser says: %d", got)
	}
	if got := ask(key, "Origin: https://id.example"); got != http.StatusOK {
		t.Errorf("our own page's: %d", got)
	}
}

// Frameworks that read the method from a header would serve what the route excludes (RFC 9110
// §9.1).
func TestMethodOverrideHeaders(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.Methods, r.Unidentified, r.Rate = []string{"GET", "POST"}, true, -1 }))
	for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X_HTTP_Method_Override"} {
		for value, want := range map[string]int{"DELETE": 405, "delete": 405, "POST": 200} {
			if rec := w.do(request(t, "POST", "id.example", "/shop/v1", name+": "+value)); rec.Code != want {
				t.Errorf("%s: %s: %d", name, value, rec.Code)
			}
			rec := w.ask("GET", "id.example", "/gateway/check", name+": "+value, "X-Forwarded-Method: POST", "X-Forwarded-Host: id.example", "X-Forwarded-Uri: /shop/v1")
			if rec.Code != want {
				t.Errorf("a proxy's question, %s: %s: %d", name, value, rec.Code)
			}
		}
	}
	open := newWorld(t, shop(func(r *access.Route) { r.Unidentified, r.Rate = true, -1 }))
	if rec := open.get("/shop/v1", "X-HTTP-Method-Override: DELETE"); rec.Code != http.StatusOK {
		t.Errorf("where every method passes: %d", rec.Code)
	}
}

// The tokens of a browser app contain the roles that the person had when they were issued. The
// current roles count.
func TestRemovedRolesOfBrowserAppTakeEffectWithinASecond(t *testing.T) {
	app := &oneApp{}
	w := newWorld(t, pages(func(r *access.Route) { r.Roles = []string{"editor"} }), func(o *gatewayOptions) { o.Apps = app })
	app.who = access.Caller{
		By: access.ByApp, Client: string(w.client.ID), Proven: true, User: string(w.user.ID), Subject: string(w.user.ID), UserRoles: []string{"editor"}, TokenID: "t",
		Expires: w.now.Add(time.Hour),
	}
	get := func() int {
		return w.do(request(t, "GET", "app.example", "/x", "Cookie: __Host-gatehouse-app=good")).Code
	}
	if got := get(); got != http.StatusOK {
		t.Fatalf("with the role: %d", got)
	}
	editor := *w.user
	w.user.Roles = nil
	must(t, w.db.UpdateUser(t.Context(), &editor, w.user))
	w.wait(1100 * time.Millisecond)
	if got := get(); got != http.StatusForbidden {
		t.Errorf("without it: %d", got)
	}
	without := *w.user
	w.user.Roles = []string{"editor"}
	must(t, w.db.UpdateUser(t.Context(), &without, w.user))
	w.wait(1100 * time.Millisecond)
	if got := get(); got != http.StatusOK {
		t.Errorf("with it again: %d", got)
	}
	if requested := w.users; get() != http.StatusOK || w.users != requested {
		t.Error("a warm request reads the account")
	}
}

// Browsers send a cookie without a name as its value alone, so =gatehouse=x comes back as
// gatehouse=x (RFC 6265bis §5.7).
func TestUpstreamCannotSetNamelessOwnCookie(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.Unidentified = true }))
	w.upstream.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		for _, c := range []string{"=gatehouse=evil", " = __Host-gatehouse=evil; Path=/", "=gatehouse-app=evil", "=fine", "gatehouse; Path=/"} {
			rw.Header().Add("Set-Cookie", c)
		}
	})
	if got := strings.Join(w.get("/shop/v1").Header().Values("Set-Cookie"), "|"); got != "=fine" {
		t.Errorf("cookies %s", got)
	}
}

// At the issuer's own host an upstream must not set headers for the whole origin: a service worker
// above its prefix would control the login page, and the other two affect the host's other pages.
func TestUpstreamCannotSetOriginWideHeaders(t *testing.T) {
	routes := append(shop(func(r *access.Route) { r.Unidentified, r.Rate = true, -1 }), pages(func(r *access.Route) { r.Unidentified, r.Rate = true, -1 })...)
	w := newWorld(t, routes)
	whole := map[string]string{"Service-Worker-Allowed": "/", "Clear-Site-Data": `"*"`, "Strict-Transport-Security": "max-age=0"}
	w.upstream.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		for name, v := range whole {
			rw.Header().Set(name, v)
		}
	})
	here, there := w.get("/shop/v1").Header(), w.do(request(t, "GET", "app.example", "/")).Header()
	for name, v := range whole {
		if here.Get(name) == v {
			t.Errorf("%s passes at our own host", name)
		}
		if there.Get(name) != v {
			t.Errorf("%s does not pass at the upstream's: %q", name, there.Get(name))
		}
	}
}

// An external issuer chooses the ids of its users, which may equal ids of this server. The headers
// for software that does not read JWTs must distinguish them.
func TestForwardAuthQualifiesForeignIDs(t *testing.T) {
	w, i := newForeignWorld(t, false)
	token := i.Token(bearertest.Claims{"sub": string(w.user.ID)})
	rec := w.ask("GET", "id.example", "/gateway/check", "Authorization: Bearer "+token, "X-Forwarded-Method: GET", "X-Forwarded-Host: id.example", "X-Forwarded-Uri: /shop/v1")
	if got := rec.Header().Get("X-Auth-User"); rec.Code != http.StatusOK || got != "corp:"+string(w.user.ID) {
		t.Errorf("%d, the user is %q", rec.Code, got)
	}
	if got := rec.Header().Get("X-Auth-Client"); got != "" && !strings.HasPrefix(got, "corp:") {
		t.Errorf("the client is %q", got)
	}
}

// An opaque token does not name its issuer. It is sent to an external issuer only where the route
// accepts that issuer's tokens.
func TestOpaqueTokensAreSentOnlyToIssuersOfTheRoute(t *testing.T) {
	w, i := newForeignWorld(t, true)
	w.routes[0].Issuers = nil
	w.gw.Reload()
	i.Down(true) // asking it would be answered by 503
	if rec := w.get("/shop/v1", "Authorization: Bearer "+i.Opaque(nil)); rec.Code != http.StatusUnauthorized {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// Signing in again without more strength or recency would lead back here without end.
func TestAppSignInRequestsWhatTheRouteNeeds(t *testing.T) {
	app := &oneApp{}
	w := newWorld(t, pages(func(r *access.Route) { r.ACR, r.MaxAge = "aal2", access.Duration(12*time.Hour) }), func(o *gatewayOptions) { o.Apps = app })
	ada := string(w.user.ID)
	app.who = access.Caller{By: access.ByApp, Client: "app", Proven: true, User: ada, Subject: ada, TokenID: "t", ACR: "aal1"}
	want := url.Values{"return_to": {"/x?y"}, "acr_values": {"aal2"}, "max_age": {"43200"}}
	for name, rec := range map[string]*httptest.ResponseRecorder{
		"the page":      w.do(request(t, "GET", "app.example", "/x?y", "Accept: text/html", "Cookie: __Host-gatehouse-app=good")),
		"our own login": w.get("/gateway/login?return_to=" + url.QueryEscape("https://app.example/x?y")),
	} {
		to, err := url.Parse(rec.Header().Get("Location"))
		must(t, err)
		if rec.Code != http.StatusSeeOther || to.Path != "/session/login" || to.Query().Encode() != want.Encode() {
			t.Errorf("%s: %d to %s", name, rec.Code, to)
		}
	}
}

// Preflights carry no credential. The limit for anonymous callers does not apply to the preflight
// of a request that needs one.
func TestForwardAuthPreflightsAreNotRateLimited(t *testing.T) {
	w := newWorld(t, pages(func(r *access.Route) { r.CORS = []string{"https://ui.example"} }))
	for i := range 3 {
		rec := proxies()["traefik"](w, "OPTIONS", "/", "Origin: https://ui.example", "Access-Control-Request-Method: PUT")
		if rec.Code != http.StatusOK {
			t.Errorf("preflight %d: %d", i, rec.Code)
		}
	}
}
