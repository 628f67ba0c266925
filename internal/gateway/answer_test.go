package gateway_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
)

func TestChallenges(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.Scopes = []string{"read", "admin"} }))
	rec := w.get("/shop/v1/x")
	got := rec.Header().Values("WWW-Authenticate")
	want := `realm="https://id.example", resource_metadata="https://id.example/.well-known/oauth-protected-resource/shop/v1", scope="read admin"`
	if rec.Code != http.StatusUnauthorized || len(got) != 2 || got[0] != "Bearer "+want || !strings.HasPrefix(got[1], "DPoP "+want+`, algs="ES256 `) {
		t.Errorf("RFC 6750 §3.1, without a credential: %d %q", rec.Code, got)
	}
	rec = w.get("/shop/v1/x", "Authorization: Bearer x.y.z")
	got = rec.Header().Values("WWW-Authenticate")
	if !strings.Contains(got[0], `error="invalid_token", error_description="The access token is invalid, expired or revoked."`) || strings.Contains(got[1], "error") {
		t.Errorf("RFC 6750 §3.1, a bad token: %q", got)
	}
	rec = w.get("/shop/v1/x", "Authorization: Bearer "+w.token())
	got = rec.Header().Values("WWW-Authenticate")
	if rec.Code != http.StatusForbidden || !strings.Contains(got[0], `error="insufficient_scope"`) || !strings.Contains(got[0], `scope="read admin"`) {
		t.Errorf("RFC 6750 §3.1, a scope too few: %d %q", rec.Code, got)
	}
	if rec = w.get("/shop/v1", "Authorization: "+basic("nobody", "x")); !strings.HasPrefix(rec.Header().Get("WWW-Authenticate"), `Basic realm=`) {
		t.Errorf("RFC 7617 §2: %q", rec.Header().Get("WWW-Authenticate"))
	}
	for _, code := range []string{"Cache-Control", "Content-Type"} {
		if rec.Header().Get(code) == "" {
			t.Errorf("%s is missing", code)
		}
	}
}

func TestAllowHeader(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.Methods = []string{"GET", "PUT"} }))
	rec := w.do(request(t, http.MethodPost, "id.example", "/shop/v1"))
	if rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") != "GET, PUT" {
		t.Errorf("RFC 9110 §15.5.6: %d, Allow %q", rec.Code, rec.Header().Get("Allow"))
	}
}

func TestDenialsForPeopleArePages(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.Browser, r.Host, r.Roles = true, "id.example", []string{"boss"} }))
	cookie, _ := w.signIn(w.user)
	rec := w.get("/shop/v1", "Cookie: "+cookie, "Accept: text/html")
	if rec.Code != http.StatusForbidden || !strings.HasPrefix(rec.Header().Get("Content-Type"), "text/html") || !strings.Contains(rec.Body.String(), rec.Header().Get("X-Request-Id")) {
		t.Errorf("%d %v %s", rec.Code, rec.Header(), rec.Body)
	}
}

func TestMetadataOfRoutes(t *testing.T) {
	w := newWorld(t, []access.Route{
		{ID: "a", Domain: "shop", Version: "v1", Scopes: []string{"read"}},
		{ID: "b", Prefix: "/", Host: "app.example"},
		{ID: "c", Prefix: "/api", Host: "*.wild.example"},
		{ID: "d", Domain: "off", Version: "v1", Inactive: true},
	})
	for _, row := range []struct{ host, path, resource string }{
		{"id.example", "/shop/v1", issuer + "/shop/v1"},
		{"id.example", "", issuer},
		{"app.example", "", "https://app.example"},
		{"x.wild.example", "/api", "https://x.wild.example/api"},
		{"id.example", "/shop/v1/deeper", ""},
		{"id.example", "/off/v1", ""},
		{"id.example", "/../shop/v1", ""},
		{"other.example", "", ""},
		{"bad host", "", ""},
	} {
		r := request(t, http.MethodGet, "id.example", "/x")
		r.Host, r.RequestURI = row.host, "/.well-known/oauth-protected-resource"+row.path
		rec := w.do(r)
		var doc struct {
			Resource string   `json:"resource"`
			Servers  []string `json:"authorization_servers"`
			Methods  []string `json:"bearer_methods_supported"`
			Scopes   []string `json:"scopes_supported"`
		}
		must(t, json.Unmarshal(rec.Body.Bytes(), &doc))
		if (rec.Code == http.StatusOK) != (row.resource != "") || doc.Resource != row.resource {
			t.Errorf("%s %s: %d %s", row.host, row.path, rec.Code, rec.Body)
		}
		if rec.Code == http.StatusOK && (!slices.Equal(doc.Servers, []string{issuer}) || !slices.Equal(doc.Methods, []string{"header"})) {
			t.Errorf("%s %s: %s", row.host, row.path, rec.Body)
		}
	}
	if rec := w.do(request(t, http.MethodPost, "id.example", "/.well-known/oauth-protected-resource")); rec.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", rec.Code)
	}
}

// Scripts of any origin may read the metadata, with any header, such as MCP-Protocol-Version.
func TestMetadataPreflight(t *testing.T) {
	w := newWorld(t, shop())
	rec := w.do(request(t, http.MethodOptions, "id.example", "/.well-known/oauth-protected-resource/shop/v1",
		"Origin: https://inspector.example", "Access-Control-Request-Method: GET",
		"Access-Control-Request-Headers: mcp-protocol-version,traceparent"))
	h := rec.Header()
	if rec.Code != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != "*" ||
		h.Get("Access-Control-Allow-Headers") != "mcp-protocol-version,traceparent" ||
		!strings.Contains(h.Get("Access-Control-Allow-Methods"), "GET") {
		t.Errorf("%d %v", rec.Code, h)
	}
}

func TestSignInReturnsToRoutesOnly(t *testing.T) {
	w := newWorld(t, []access.Route{
		{ID: "a", Domain: "pages", Version: "v1", Host: "id.example", Browser: true},
		{ID: "b", Prefix: "/", Host: "app.example", Browser: true},
		{ID: "s", Domain: "strong", Version: "v1", Host: "id.example", Browser: true, ACR: "aal2"},
		{ID: "r", Domain: "recent", Version: "v1", Host: "id.example", Browser: true, MaxAge: access.Duration(time.Minute)},
	})
	for _, to := range []string{
		"", "/pages/v1", "https://evil.example/pages/v1", "//evil.example/", `https:\\evil.example`, "https://id.example@evil.example/", "javascript:alert(1)", "http://id.example/pages/v1",
		"https://id.example.evil.example/", "https://user@app.example/", "https://app.example/../x", "https:app.example", "https://app.example/%2e%2e/", "https://app.example/#x", "https://evil_example:a/",
		"https://evil.example/?" + strings.Repeat("a", 3000), "https://id.example:8443/elsewhere",
		"https://id.example:8443/pages/v1", "http://id.example:9999/pages/v1", "https://app.example:9999/x", "https://id.example:80/pages/v1",
	} {
		rec := w.get("/gateway/login?return_to=" + url.QueryEscape(to))
		if rec.Code != http.StatusBadRequest || rec.Header().Get("Location") != "" {
			t.Errorf("%.60s: %d %s", to, rec.Code, rec.Header().Get("Location"))
		}
	}
	cookie, _ := w.signIn(w.user)
	old := w.now
	for _, row := range []struct{ to, headers, location, want string }{
		{issuer + "/pages/v1/x?y=1", "", "/login?next=" + url.QueryEscape("/gateway/login?return_to="+url.QueryEscape(issuer+"/pages/v1/x?y=1")), "acr= again=false"},
		{issuer + "/pages/v1/x?y=1", cookie, issuer + "/pages/v1/x?y=1", ""},
		{issuer + "/account", cookie, issuer + "/account", ""},
		{issuer + "/strong/v1", cookie, "/login?next=" + url.QueryEscape("/gateway/login?return_to="+url.QueryEscape(issuer+"/strong/v1")), "acr=aal2 again=false"},
		{issuer + "/recent/v1", cookie, issuer + "/recent/v1", ""},
		{"https://app.example/x?y", "", "https://app.example/session/login?return_to=" + url.QueryEscape("/x?y"), ""},
		{issuer + ":443/pages/v1", cookie, issuer + ":443/pages/v1", ""},
		{"https://app.example", "", "https://app.example/session/login?return_to=%2F", ""},
	} {
		rec := w.get("/gateway/login?return_to="+url.QueryEscape(row.to), "Cookie: "+row.headers)
		if rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != row.location || rec.Header().Get("X-Want") != row.want {
			t.Errorf("%s: %d to %s, %s", row.to, rec.Code, rec.Header().Get("Location"), rec.Header().Get("X-Want"))
		}
	}
	w.wait(2 * time.Minute)
	if rec := w.get("/gateway/login?return_to="+url.QueryEscape(issuer+"/recent/v1"), "Cookie: "+cookie); rec.Header().Get("X-Want") != "acr= again=true" {
		t.Errorf("signed in %s ago: %q", w.now.Sub(old), rec.Header().Get("X-Want"))
	}
	if rec := w.do(request(t, http.MethodPost, "id.example", "/gateway/login")); rec.Code != http.StatusBadRequest {
		t.Errorf("POST: %d", rec.Code)
	}
}

func TestProxiedPageRedirectsToSignIn(t *testing.T) {
	w := newWorld(t, append(pages(), access.Route{ID: "own", Domain: "pages", Version: "v1", Host: "id.example", Browser: true, ACR: "aal2"}))
	r := request(t, http.MethodGet, "id.example", "/pages/v1/x?y", "Accept: text/html")
	r.RemoteAddr = "10.0.0.1:1" // which ends TLS
	rec := w.do(r)
	if to := rec.Header().Get("Location"); rec.Code != http.StatusSeeOther || to != issuer+"/gateway/login?return_to="+url.QueryEscape(issuer+"/pages/v1/x?y") {
		t.Errorf("nobody: %d to %s", rec.Code, to)
	}
	cookie, _ := w.signIn(w.user)
	if rec = w.get("/pages/v1", "Accept: text/html", "Cookie: "+cookie); rec.Code != http.StatusSeeOther {
		t.Errorf("one factor: %d", rec.Code)
	}
	// Without the token handler there is no login that could be seen at another host, and a
	// redirect would come back for ever.
	if rec = w.do(request(t, http.MethodGet, "app.example", "/", "Accept: text/html")); rec.Code != http.StatusUnauthorized || rec.Header().Get("Location") != "" {
		t.Errorf("another host: %d to %s", rec.Code, rec.Header().Get("Location"))
	}
}

// A form that a person sends is denied with a page, too; a program gets JSON whatever the method.
func TestDenialsFollowTheAcceptHeader(t *testing.T) {
	w := newWorld(t, shop())
	for _, row := range []struct{ method, header, kind string }{
		{http.MethodPost, "Sec-Fetch-Mode: navigate", "text/html; charset=utf-8"},
		{http.MethodPost, "Accept: text/html,*/*;q=0.8", "text/html; charset=utf-8"},
		{http.MethodGet, "Accept: text/html;q=0.5, application/json", "application/json"},
		{http.MethodGet, "Accept: text/html;q=0", "application/json"},
		{http.MethodPost, "Accept: */*", "application/json"},
		{http.MethodGet, "Sec-Fetch-Mode: cors", "application/json"},
	} {
		rec := w.do(request(t, row.method, "id.example", "/shop/v1/x", row.header))
		if rec.Code != http.StatusUnauthorized || rec.Header().Get("Content-Type") != row.kind {
			t.Errorf("%s, %s: %d %s", row.method, row.header, rec.Code, rec.Header().Get("Content-Type"))
		}
	}
}

// deepLink returns an address of exactly n bytes below a path, with escapes.
func deepLink(path string, n int) string {
	head := path + "?filter=%7B%22a%22%3A%E2%82%AC%26&q="
	return head + strings.Repeat("%2B", (n-len(head))/3) + strings.Repeat("z", (n-len(head))%3)
}

// A deep link comes back whole from the sign-in pages; a longer one leads to its path, and where
// that is too long to the route's first page.
func TestDeepLinksComeBackWhole(t *testing.T) {
	w := newWorld(t, append(pages(), access.Route{
		ID: "own", Domain: "pages", Version: "v1", Host: "id.example", Browser: true,
	}), func(o *gatewayOptions) { o.Apps = &noApps{} })
	cookie, _ := w.signIn(w.user)
	for link, want := range map[string]string{
		deepLink("/pages/v1/x%20y", 2048):        deepLink("/pages/v1/x%20y", 2048),
		deepLink("/pages/v1/x%20y", 2049):        "/pages/v1/x%20y",
		"/pages/v1/" + strings.Repeat("a", 2100): "/pages/v1",
	} {
		r := request(t, http.MethodGet, "id.example", link, "Accept: text/html")
		r.RemoteAddr = "10.0.0.1:1" // which ends TLS
		login := w.do(r).Header().Get("Location")
		if len(login) > 4000 {
			t.Errorf("a redirect of %d bytes", len(login))
		}
		u, err := url.Parse(login)
		must(t, err)
		page, err := url.Parse(w.get(u.RequestURI()).Header().Get("Location"))
		must(t, err)
		if page.Path != "/login" || len(page.RawQuery) > 4000 {
			t.Errorf("%.40s: signs in at %.80s", link, page)
		}
		back := w.get(page.Query().Get("next"), "Cookie: "+cookie).Header().Get("Location")
		if back != issuer+want {
			t.Errorf("%.40s: comes back to %s, want %s", link, back, issuer+want)
		}
		app := strings.Replace(link, "/pages/v1", "", 1)
		r = request(t, http.MethodGet, "app.example", app, "Accept: text/html")
		u, err = url.Parse(w.do(r).Header().Get("Location"))
		must(t, err)
		if got := u.Query().Get("return_to"); len(app) <= 2048 && got != app ||
			len(app) > 2048 && len(got) > 100 {
			t.Errorf("%.40s: the app returns to %s", app, got)
		}
		// a caller may build the address of the sign-in itself
		plain := w.get("/gateway/login?return_to="+url.QueryEscape(issuer+link), "Cookie: "+cookie)
		if got := plain.Header().Get("Location"); len(link) <= 2049 && got != issuer+want {
			t.Errorf("%.40s: return_to leads to %s, want %s", link, got, issuer+want)
		}
	}
	for _, bad := range []string{"*", "aHR0cHM6Ly9ldmlsLmV4YW1wbGUv", "aHR0cHM6Ly9pZC5leGFtcGxlLw=="} {
		if rec := w.get("/gateway/login?back=" + bad); rec.Code != http.StatusBadRequest {
			t.Errorf("%s: %d to %s", bad, rec.Code, rec.Header().Get("Location"))
		}
	}
}

func TestRates(t *testing.T) {
	w := newWorld(t, []access.Route{
		{ID: "open", Domain: "open", Version: "v1", Unidentified: true},
		{ID: "free", Domain: "free", Version: "v1", Unidentified: true, Rate: -1},
		{ID: "two", Domain: "two", Version: "v1", Rate: 2, ClientID: true},
		{ID: "user", Domain: "user", Version: "v1", Rate: 1, RateBy: access.RateByUser, RatePer: access.Duration(time.Hour)},
		{ID: "ip", Domain: "ip", Version: "v1", Rate: 1, RateBy: access.RateByAddress},
	})
	codes := func(n int, path string, headers ...string) (out []int) {
		for range n {
			out = append(out, w.get(path, headers...).Code)
		}
		return out
	}
	if got := codes(2, "/open/v1"); !slices.Equal(got, []int{200, 429}) {
		t.Errorf("nobody, twice in a second: %v", got)
	}
	rec := w.get("/open/v1")
	h := rec.Header()
	if body := problemOf(t, rec); body.Error != "rate_limit_exceeded" || body.RetryAfter != 1 || h.Get("Retry-After") != "1" || h.Get("X-RateLimit-Limit") != "1" ||
		h.Get("X-RateLimit-Remaining") != "0" || h.Get("X-RateLimit-Reset") == "" || w.lastDenial().Denial.Rule != "rate" {
		t.Errorf("%v %s", h, rec.Body)
	}
	w.wait(time.Second)
	if got := codes(1, "/open/v1"); got[0] != 200 {
		t.Errorf("a second later: %v", got)
	}
	if got := codes(5, "/open/v1", "Authorization: Bearer "+w.token()); slices.Contains(got, 429) {
		t.Errorf("somebody: %v", got)
	}
	claims := "X-Client-Id: " + string(w.client.ID)
	if got := append(codes(1, "/open/v1", claims), codes(1, "/open/v1")...); !slices.Equal(got, []int{429, 429}) {
		t.Errorf("X-Client-Id lifts the limit of who proves nothing: %v", got)
	}
	if got := codes(5, "/free/v1"); slices.Contains(got, 429) {
		t.Errorf("a route without a rate: %v", got)
	}
	other := w.newClient()
	if got := codes(3, "/two/v1", "Authorization: "+basic(string(w.client.ID), testSecret)); !slices.Equal(got, []int{200, 200, 429}) {
		t.Errorf("a client: %v", got)
	}
	if got := codes(3, "/two/v1", "Authorization: "+basic(string(other.ID), testSecret)); !slices.Equal(got, []int{200, 200, 429}) {
		t.Errorf("another client: %v", got)
	}
	if got := codes(3, "/two/v1", "X-Client-Id: "+string(w.client.ID)); !slices.Equal(got, []int{200, 200, 429}) {
		t.Errorf("who only says to be the client has an allowance of its own: %v", got)
	}
	if got := codes(2, "/user/v1", "Authorization: Bearer "+w.token()); !slices.Equal(got, []int{200, 429}) {
		t.Errorf("a user: %v", got)
	}
	if got := append(codes(1, "/ip/v1", "Authorization: Bearer "+w.token()), codes(1, "/ip/v1", "Authorization: "+basic(string(other.ID), testSecret))...); !slices.Equal(got, []int{200, 429}) {
		t.Errorf("an address: %v", got)
	}
}

func TestCORS(t *testing.T) {
	w := newWorld(t, []access.Route{
		{ID: "a", Domain: "api", Version: "v1", CORS: []string{"https://app.example"}, Methods: []string{"GET", "PUT"}},
		{ID: "b", Domain: "any", Version: "v1", CORS: []string{"*"}, Unidentified: true, Rate: -1},
		{ID: "c", Domain: "none", Version: "v1"},
	})
	preflight := func(path, origin, method string) http.Header {
		rec := w.do(request(t, http.MethodOptions, "id.example", path, "Origin: "+origin, "Access-Control-Request-Method: "+method, "Access-Control-Request-Headers: authorization,dpop"))
		if rec.Code != http.StatusNoContent {
			return nil
		}
		return rec.Header()
	}
	h := preflight("/api/v1/x", "https://app.example", "PUT")
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": "https://app.example", "Access-Control-Allow-Credentials": "true", "Access-Control-Allow-Methods": "PUT",
		"Access-Control-Allow-Headers": "authorization,dpop", "Access-Control-Max-Age": "600",
	} {
		if h.Get(name) != want {
			t.Errorf("%s: %q", name, h.Get(name))
		}
	}
	if h = preflight("/any/v1", "https://evil.example", "POST"); h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("any origin: %v", h)
	}
	for name, h := range map[string]http.Header{
		"another origin": preflight("/api/v1", "https://evil.example", "GET"), "another method": preflight("/api/v1", "https://app.example", "DELETE"),
		"no cors": preflight("/none/v1", "https://app.example", "GET"), "an odd method": preflight("/any/v1", "https://app.example", "A B"),
	} {
		if h != nil {
			t.Errorf("%s: %v", name, h)
		}
	}
	rec := w.get("/api/v1", "Origin: https://app.example") // a script must be able to read why
	if rec.Code != http.StatusUnauthorized || rec.Header().Get("Access-Control-Allow-Origin") != "https://app.example" || rec.Header().Get("Vary") != "Origin" {
		t.Errorf("a refusal: %d %v", rec.Code, rec.Header())
	}
	if rec = w.get("/none/v1", "Origin: https://app.example"); rec.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a route without cors: %v", rec.Header())
	}
}
