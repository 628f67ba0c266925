package gateway_test

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/access"
)

func TestProxiedRequestHasNoCredential(t *testing.T) {
	w := newWorld(t, shop())
	got := w.received(w.get("/shop/v1/a%20b/c?x=%2F..&y=1", "Authorization: Bearer "+w.token(), "Accept: text/plain", "Cookie: theme=dark; __Host-gatehouse=x; lang=en"))
	if got.Path != "/a%20b/c" || got.Query != "x=%2F..&y=1" || got.Method != http.MethodGet {
		t.Errorf("the upstream was asked %s %s?%s", got.Method, got.Path, got.Query)
	}
	for name, want := range map[string]string{
		"Accept": "text/plain", "Cookie": "theme=dark; lang=en", "Authorization": "", "X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "http",
		"X-Forwarded-Host": "id.example", "X-Forwarded-Prefix": "/shop/v1", "Dpop": "", "X-Client-Id": "",
	} {
		if have := strings.Join(got.Header.Values(name), "|"); have != want {
			t.Errorf("%s: %q, want %q", name, have, want)
		}
	}
	if len(got.Header.Get("X-Request-Id")) < 10 || len(got.Header.Get("Traceparent")) != 55 {
		t.Errorf("id %q, trace %q", got.Header.Get("X-Request-Id"), got.Header.Get("Traceparent"))
	}
}

func TestPrefixIsRemovedWithoutUnescaping(t *testing.T) {
	for _, row := range []struct {
		keep       bool
		sent, want string
	}{
		{false, "/shop/v1", "/"},
		{false, "/shop/v1/", "/"},
		{false, "/%73hop/v1/a%2Bb/%C3%A4", "/a%2Bb/%C3%A4"},
		{true, "/shop/v1/x", "/shop/v1/x"},
		{false, "/shop/v1/shop/v1", "/shop/v1"},
		{false, "/shop/v1/a;b=c", "/a;b=c"},
	} {
		w := newWorld(t, shop(func(r *access.Route) { r.KeepPath = row.keep; r.Unidentified = true }))
		if got := w.received(w.get(row.sent)); got.Path != row.want {
			t.Errorf("%s (keep %v): the upstream was asked for %s, want %s", row.sent, row.keep, got.Path, row.want)
		}
	}
}

func TestHostHeaderOfUpstream(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.Unidentified = true }))
	if got := w.received(w.get("/shop/v1")); got.Host != strings.TrimPrefix(w.upstream.URL, "http://") {
		t.Errorf("host %q", got.Host)
	}
	w = newWorld(t, shop(func(r *access.Route) { r.Unidentified, r.KeepHost = true, true }))
	if got := w.received(w.get("/shop/v1")); got.Host != "id.example" {
		t.Errorf("host %q", got.Host)
	}
}

func TestAuthInfoIdentifiesCaller(t *testing.T) {
	w := newWorld(t, shop())
	info := w.info(w.received(w.get("/shop/v1", "Authorization: Bearer "+w.token())).Header.Get("X-Auth-Info"))
	now := float64(w.now.Unix())
	if info["iss"] != issuer || info["aud"] != w.upstream.URL || info["iat"] != now || info["exp"] != now+30 || info["route"] != w.routes[0].ID {
		t.Errorf("%v", info)
	}
	user, _ := info["user"].(map[string]any)
	if user["id"] != string(w.user.ID) || user["name"] != "Ada Lovelace" || !slices.Equal(user["roles"].([]any), []any{"editor"}) {
		t.Errorf("user %v", user)
	}
	client, _ := info["client"].(map[string]any)
	if client["id"] != string(w.client.ID) || client["authenticated"] != true || !slices.Equal(client["roles"].([]any), []any{"backend"}) {
		t.Errorf("client %v", client)
	}
	if info["by"] != "token" || info["acr"] != "aal1" || info["auth_time"] != now || !slices.Equal(info["scopes"].([]any), []any{"read", "write"}) {
		t.Errorf("%v", info)
	}
}

func TestAuthInfoIsForTheUpstreamsOfTheRoute(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) {
		r.Unidentified = true
		r.Upstreams = []string{"http://127.0.0.1:1/a", "h2c://127.0.0.1:80", "http://127.0.0.1:1/b"}
	}))
	w.routes[0].Upstreams = append([]string{w.upstream.URL}, w.routes[0].Upstreams...)
	w.gw.Reload()
	for range 4 {
		rec := w.get("/shop/v1")
		w.wait(time.Second)
		if rec.Code == http.StatusOK {
			aud, _ := w.info(w.received(rec).Header.Get("X-Auth-Info"))["aud"].([]any)
			if !slices.Equal(aud, []any{w.upstream.URL, "http://127.0.0.1:1", "http://127.0.0.1"}) {
				t.Errorf("aud %v", aud)
			}
			return
		}
	}
	t.Fatal("no upstream answered")
}

// X-Auth-Info names no caller for anonymous requests.
func TestAuthInfoOfAnonymousCallers(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.Unidentified = true }))
	info := w.info(w.received(w.get("/shop/v1")).Header.Get("X-Auth-Info"))
	if info["user"] != nil || info["client"] != nil || info["by"] != nil || info["sub"] != nil {
		t.Errorf("%v", info)
	}
}

func TestAuthInfoIsCachedAndNeverStale(t *testing.T) {
	w := newWorld(t, shop())
	auth := "Authorization: Bearer " + w.token(claims{"exp": w.now.Add(50 * time.Second).Unix()})
	get := func() string { return w.received(w.get("/shop/v1", auth)).Header.Get("X-Auth-Info") }
	one := get()
	w.wait(19 * time.Second)
	if get() != one || w.signs != 1 {
		t.Errorf("it was signed %d times in 19 seconds", w.signs)
	}
	w.wait(2 * time.Second)
	two := get()
	if two == one {
		t.Error("less than ten seconds are left of it")
	}
	w.wait(19 * time.Second) // the token has ten seconds left
	if exp := w.info(get())["exp"]; exp != float64(w.now.Add(10*time.Second).Unix()) {
		t.Errorf("it outlives the token: %v", exp)
	}
}

func TestUpstreamResponseIsFiltered(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.Unidentified = true; r.CORS = []string{"https://app.example"} }))
	w.upstream.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		h := rw.Header()
		h.Set("X-Request-Id", "forged")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Access-Control-Allow-Origin", "*")
		for _, c := range []string{"theme=dark", "__Host-gatehouse=evil; Path=/", "gatehouse=evil", "gatehouse_login=evil", "__Host-gatehouse-app=evil", "gatehouses=fine"} {
			h.Add("Set-Cookie", c)
		}
	})
	h := w.get("/shop/v1", "Origin: https://app.example").Header()
	if got := strings.Join(h.Values("Set-Cookie"), "|"); got != "theme=dark|gatehouses=fine" {
		t.Errorf("cookies %s", got)
	}
	if len(h.Values("X-Request-Id")) != 1 || h.Get("X-Request-Id") == "forged" {
		t.Errorf("ids %v", h.Values("X-Request-Id"))
	}
	if got := h.Values("Referrer-Policy"); !slices.Equal(got, []string{"no-referrer"}) {
		t.Errorf("referrer policies %v", got)
	}
	if got := h.Values("Access-Control-Allow-Origin"); !slices.Equal(got, []string{"https://app.example"}) {
		t.Errorf("origins %v", got)
	}
}

// What an upstream answers at the issuer's own host never shares its origin.
func TestResponsesAtOwnHostAreSandboxed(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/own" {
			w.Header().Add("Content-Security-Policy", "default-src 'self'")
			w.Header().Add("Content-Security-Policy", "sandbox allow-scripts allow-same-origin")
			w.Header().Set("X-Content-Type-Options", "no")
		}
		w.Header().Set("Content-Type", "text/html")
		if r.URL.Path == "/missing" {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, "<script>alert(1)</script>")
	}))
	t.Cleanup(page.Close)
	w := newWorld(t, append(
		shop(func(r *access.Route) { r.Unidentified, r.Rate, r.Upstreams = true, -1, []string{page.URL} }),
		access.Route{ID: "app", Prefix: "/", Host: "app.example", Unidentified: true, Rate: -1, Upstreams: []string{page.URL}},
		access.Route{ID: "own", Prefix: "/own2", Host: "id.example", Browser: true, Unidentified: true, Rate: -1, Upstreams: []string{page.URL}},
	))
	for _, row := range []struct {
		host, path string
		policies   []string
	}{
		{"id.example", "/shop/v1/x", []string{"sandbox"}},
		{"ID.example:443", "/shop/v1/x", []string{"sandbox"}},
		{"id.example", "/shop/v1/missing", []string{"sandbox"}},
		{"id.example", "/own2/x", []string{"sandbox"}},
		{"id.example", "/shop/v1/own", []string{"default-src 'self'", "sandbox allow-scripts allow-same-origin", "sandbox"}},
		{"app.example", "/x", nil},
		{"app.example", "/own", []string{"default-src 'self'", "sandbox allow-scripts allow-same-origin"}},
	} {
		h := w.do(request(t, http.MethodGet, row.host, row.path)).Header()
		if got := h.Values("Content-Security-Policy"); !slices.Equal(got, row.policies) {
			t.Errorf("%s%s: %q, want %q", row.host, row.path, got, row.policies)
		}
		sniff := h.Values("X-Content-Type-Options")
		if row.host != "app.example" && !slices.Equal(sniff, []string{"nosniff"}) {
			t.Errorf("%s%s: X-Content-Type-Options %q", row.host, row.path, sniff)
		}
	}
}

func TestUpstreamUnreachable(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.Unidentified, r.Upstreams = true, []string{"http://127.0.0.1:1"} }))
	rec := w.get("/shop/v1")
	if rec.Code != http.StatusBadGateway || problemOf(t, rec).Error != "upstream_failed" || strings.Contains(rec.Body.String(), "127.0.0.1") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if k := w.lastDenial(); k.Denial.Rule != "upstream" || k.Status != http.StatusBadGateway {
		t.Errorf("%+v", k)
	}
}

func TestBodyLimit(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.Unidentified, r.BodyLimit, r.Rate = true, 4, -1 }))
	post := func(body string) *http.Request {
		r := request(t, http.MethodPost, "id.example", "/shop/v1", "Content-Length: 0")
		r.Body, r.ContentLength = http.NoBody, 0
		if body != "" {
			r.Body, r.ContentLength = readCloser{strings.NewReader(body)}, int64(len(body))
		}
		return r
	}
	if got := w.received(w.do(post("1234"))); got.Body != "1234" {
		t.Errorf("the body arrived as %q", got.Body)
	}
	rec := w.do(post("12345"))
	if rec.Code != http.StatusRequestEntityTooLarge || problemOf(t, rec).Error != "request_too_large" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	r := post("12345")
	r.ContentLength = -1
	if rec := w.do(r); rec.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("without a length: %d", rec.Code)
	}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// Everything that a caller may say about itself at once, in the way that the contract has it.
func TestClientAndTokenInOneHeader(t *testing.T) {
	w := newWorld(t, shop())
	id := string(w.client.ID)
	got := w.received(w.get("/shop/v1", "Authorization: "+basic(id, testSecret)+", Bearer "+w.token(), "X-Client-Id: "+id))
	if info := w.info(got.Header.Get("X-Auth-Info")); info["user"] == nil || info["client"].(map[string]any)["id"] != id {
		t.Errorf("%v", info)
	}
	if got.Header.Get("Authorization") != "" || got.Header.Get("X-Client-Id") != "" {
		t.Error("a credential was passed on")
	}
}

func TestClientRestrictions(t *testing.T) {
	for name, edit := range map[string]func(*client.Client){
		"network": func(c *client.Client) { c.Networks = []string{"198.51.100.0/24"} },
		"origin":  func(c *client.Client) { c.Origins = []string{"https://app.example"} },
		"host":    func(c *client.Client) { c.Hosts = []string{"other.example"} },
		"route":   func(c *client.Client) { c.Routes = []string{"accounts/v1"} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, shop())
			w.client = w.newClient(edit)
			rec := w.get("/shop/v1", "Authorization: Bearer "+w.appToken())
			if rec.Code != http.StatusForbidden || w.lastDenial().Denial.Rule != name {
				t.Errorf("%d, rule %s", rec.Code, w.lastDenial().Denial.Rule)
			}
		})
	}
}

// With rewrite_location an upstream behind a prefix can be one that knows nothing of it.
func TestUpstreamAddressesAreRewritten(t *testing.T) {
	var answer http.Header
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, v := range answer {
			w.Header()[name] = v
		}
		w.WriteHeader(http.StatusFound)
	}))
	defer upstream.Close()
	host := strings.TrimPrefix(upstream.URL, "http://")
	for _, row := range []struct {
		host, path       string // of the request
		base             string // of the upstream
		keepPath, as     bool
		header, was, now string
	}{
		{"id.example", "/shop/v1/x", "", false, true, "Location", "/login?next=%2Fx#a", "/shop/v1/login?next=%2Fx#a"},
		{"id.example", "/shop/v1/x", "", false, true, "Location", "/", "/shop/v1/"},
		{"id.example", "/shop/v1/x", "", false, true, "Location", upstream.URL + "/next?a=b", "https://id.example/shop/v1/next?a=b"},
		{"id.example", "/shop/v1/x", "", false, true, "Location", upstream.URL, "https://id.example/shop/v1/"},
		{"id.example", "/shop/v1/x", "", false, true, "Location", "//" + host + "/next", "https://id.example/shop/v1/next"},
		{"id.example", "/shop/v1/x", "", false, true, "Location", "https://id.example/next", "https://id.example/shop/v1/next"},
		{"id.example", "/shop/v1/x", "", false, true, "Location", "/shop/v1/next", "/shop/v1/next"},
		{"id.example", "/shop/v1/x", "", false, true, "Location", "next", "next"},
		{"id.example", "/shop/v1/x", "", false, true, "Location", "?a=b", "?a=b"},
		{"id.example", "/shop/v1/x", "", false, true, "Location", "https://other.example/login", "https://other.example/login"},
		{"id.example", "/shop/v1/x", "", false, true, "Location", "http://" + host + "@other.example/", "http://" + host + "@other.example/"},
		{"id.example", "/shop/v1/x", "", false, true, "Content-Location", "/items/1", "/shop/v1/items/1"},
		{"id.example", "/shop/v1/x", "/base", false, true, "Location", "/base/next", "/shop/v1/next"},
		{"id.example", "/shop/v1/x", "/base", false, true, "Location", "/base", "/shop/v1"},
		{"id.example", "/shop/v1/x", "/base", false, true, "Location", "/basement", "/basement"},
		{"app.example", "/x", "/base", false, true, "Location", "/base//evil.example/", "https://app.example//evil.example/"},
		{"app.example", "/x", "/base", false, true, "Location", `/base/\evil.example/`, `https://app.example/\evil.example/`},
		{"app.example", "/x", "/base", false, true, "Location", "/base/\t/evil.example/", "https://app.example/\t/evil.example/"},
		{"app.example", "/x", "", false, true, "Location", upstream.URL + "//evil.example/", "https://app.example//evil.example/"},
		{"id.example", "/shop/v1/x", "", true, true, "Location", upstream.URL + "/shop/v1/next", "https://id.example/shop/v1/next"},
		{"id.example", "/shop/v1/x", "", true, true, "Location", "/login", "/login"},
		{"id.example", "/shop/v1/x", "", false, false, "Location", "/login", "/login"},
		{"id.example", "/shop/v1/x", "", false, true, "Set-Cookie", "a=b; Path=/app; HttpOnly", "a=b; Path=/shop/v1/app; HttpOnly"},
		{"id.example", "/shop/v1/x", "", false, true, "Set-Cookie", "a=b;path=/", "a=b; path=/shop/v1"},
		{"id.example", "/shop/v1/x", "/base", false, true, "Set-Cookie", "a=b; Path=/base/app", "a=b; Path=/shop/v1/app"},
		{"id.example", "/shop/v1/x", "/base", false, true, "Set-Cookie", "a=b; Path=/", "a=b; Path=/shop/v1"},
		{"id.example", "/shop/v1/x", "", false, true, "Set-Cookie", "a=b; Domain=127.0.0.1; Secure", "a=b; Secure"},
		{"id.example", "/shop/v1/x", "", false, true, "Set-Cookie", "a=b; Domain=example", "a=b; Domain=example"},
		{"id.example", "/shop/v1/x", "", false, true, "Set-Cookie", "__Host-a=b; Path=/; Secure", "__Host-a=b; Path=/; Secure"},
		{"id.example", "/shop/v1/x", "", false, true, "Set-Cookie", "a=b", "a=b"},
		{"id.example", "/shop/v1/x", "", false, false, "Set-Cookie", "a=b; Path=/app", "a=b; Path=/app"},
	} {
		route := access.Route{
			ID: "a", Domain: "shop", Version: "v1", Unidentified: true, Rate: -1,
			Upstreams: []string{upstream.URL + row.base}, KeepPath: row.keepPath, RewriteLocation: row.as,
		}
		if row.host != "id.example" {
			route.Domain, route.Version, route.Prefix, route.Host = "", "", "/", row.host
		}
		w := newWorld(t, []access.Route{route})
		answer = http.Header{row.header: {row.was}}
		r := request(t, http.MethodGet, row.host, row.path)
		r.RemoteAddr = "10.0.0.1:1" // which ends TLS
		if got := w.do(r).Header().Get(row.header); got != row.now {
			t.Errorf("%s%s, %s: %s becomes %s, want %s", row.host, row.path, row.header, row.was, got, row.now)
		}
	}
}

func TestEncodedSlashReachesTheUpstream(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.Unidentified, r.Rate, r.EncodedSlash = true, -1, true }))
	if got := w.received(w.get("/shop/v1/@scope%2fname/a%2Fb?x=%2F")); got.Path != "/@scope%2fname/a%2Fb" {
		t.Errorf("the upstream was asked for %s", got.Path)
	}
	for _, bad := range []string{"/shop/v1/a%2F..%2Fb", "/shop%2Fv1/a", "/shop/v1/a%252Fb"} {
		if rec := w.get(bad); rec.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, rec.Code)
		}
	}
	w = newWorld(t, shop(func(r *access.Route) { r.Unidentified = true }))
	if rec := w.get("/shop/v1/a%2Fb"); rec.Code != http.StatusBadRequest {
		t.Errorf("without the choice: %d", rec.Code)
	}
}

// On a route that passes Basic on, it is the upstream's: it neither identifies a caller nor is
// checked.
func TestBasicOfTheUpstreamIsPassedOn(t *testing.T) {
	open := shop(func(r *access.Route) { r.Unidentified, r.Rate, r.PassBasic = true, -1, true })
	w := newWorld(t, open)
	for _, header := range []string{"Basic YXBwdXNlcjpzZWNyZXQ=", "basic eDp5"} {
		got := w.received(w.get("/shop/v1/x", "Authorization: "+header))
		if got.Header.Get("Authorization") != header {
			t.Errorf("%s: the upstream got %q", header, got.Header.Get("Authorization"))
		}
	}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(string(w.client.ID)+":wrong"))
	if rec := w.get("/shop/v1/x", "Authorization: "+basic); rec.Code != http.StatusOK {
		t.Errorf("a client's id with another secret: %d", rec.Code)
	}
	token := "Authorization: Bearer " + w.token()
	if got := w.received(w.get("/shop/v1/x", token)); got.Header.Get("Authorization") != "" {
		t.Errorf("a token reached the upstream")
	}
	for name, header := range map[string]string{
		"two in one header": "Basic eDp5, Bearer " + w.token(), "an invalid token": "Bearer x",
	} {
		if rec := w.get("/shop/v1/x", "Authorization: "+header); rec.Code < 400 {
			t.Errorf("%s: %d", name, rec.Code)
		}
	}
	w = newWorld(t, shop(func(r *access.Route) { r.PassBasic = true }))
	if rec := w.get("/shop/v1/x", "Authorization: "+basic); rec.Code != http.StatusUnauthorized {
		t.Errorf("without a credential of ours: %d", rec.Code)
	}
	cookie, _ := w.signIn(w.user)
	got := w.received(w.get("/shop/v1/x", "Cookie: "+cookie, "Authorization: Basic eDp5"))
	if got.Header.Get("Authorization") != "Basic eDp5" || got.Header.Get("X-Auth-Info") == "" {
		t.Errorf("beside a session: %v", got.Header)
	}
	w = newWorld(t, shop(func(r *access.Route) { r.Unidentified = true }))
	if rec := w.get("/shop/v1/x", "Authorization: Basic eDp5"); rec.Code != http.StatusUnauthorized {
		t.Errorf("without the choice: %d", rec.Code)
	}
}

func TestOriginsOfARoute(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) {
		r.Unidentified, r.Rate, r.Origins = true, -1, []string{"https://app.example", "http://localhost:3000"}
	}))
	for _, good := range []string{"https://app.example", "http://localhost:3000"} {
		if rec := w.get("/shop/v1/x", "Origin: "+good); rec.Code != http.StatusOK {
			t.Errorf("%s: %d %s", good, rec.Code, rec.Body)
		}
	}
	for _, bad := range []string{
		"", "null", "https://app.example.evil.example", "http://app.example", "https://app.example:443",
		"https://APP.example", "https://app.example/", "https://app.example, https://x.example", "app.example",
	} {
		headers := []string{"Origin: " + bad}
		if bad == "" {
			headers = nil
		}
		if rec := w.get("/shop/v1/x", headers...); rec.Code != http.StatusForbidden {
			t.Errorf("%q: %d", bad, rec.Code)
		}
	}
	if rec := w.get("/shop/v1/x", "Origin: https://app.example", "Origin: https://evil.example"); rec.Code != http.StatusForbidden {
		t.Errorf("two of them: %d", rec.Code)
	}
	if d := w.denials; len(d) > 0 && d[0].Denial.Rule != "origin" {
		t.Errorf("the record names the rule %s", d[0].Denial.Rule)
	}
}
