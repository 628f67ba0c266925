package ui_test

import (
	"encoding/base64"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// Forms from other sites are rejected and change nothing.
func TestCrossOriginForms(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	for _, path := range []string{
		"/login", "/signin", "/consent", "/activate", "/activate/confirm", "/logout/confirm", "/account/profile", "/account/security/password",
		"/account/security/totp/disable", "/account/sessions/revoke", "/account/sessions/revoke-all", "/account/authorizations/remove", "/setup", "/reset-password",
	} {
		for name, heads := range map[string][]string{
			"cross-site":   {"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"},
			"same-site":    {"Sec-Fetch-Site", "same-site", "Origin", "https://blog.id.example"},
			"old browser":  {"Sec-Fetch-Site", "", "Origin", "https://evil.example"},
			"opaque frame": {"Sec-Fetch-Site", "", "Origin", "null"},
		} {
			w := b.post(path, url.Values{"name": {"Eve"}}, heads...)
			if w.Code != 403 || !strings.Contains(w.Body.String(), "another site") {
				t.Errorf("%s, %s: %d", path, name, w.Code)
			}
		}
	}
	u, err := s.db.User(t.Context(), s.user.ID)
	testkit.Must(t, err)
	if u.Name != "Ada" {
		t.Fatal("the profile was changed")
	}
}

// `next` leads to our own pages only (RFC 9700 §4.11).
func TestOpenRedirects(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	const gatewayLogin = "/gateway/login?back=" // with a deep link of 2 KB in base64url
	deep := strings.Repeat("aA0_", 720)
	for next, want := range map[string]string{
		"/account/security":               "/account/security",
		"/activate?user_code=WDJB-MJHT":   "/activate?user_code=WDJB-MJHT",
		"/account?x=https://evil.example": "/account",
		"https://evil.example":            "/account",
		"//evil.example":                  "/account",
		"//evil.example/account":          "/account",
		"/\\evil.example":                 "/account",
		"/account/\\evil.example":         "/account",
		"/account/../../evil":             "/account",
		"/account/..%2f..%2fevil":         "/account",
		"/account/%0d%0aX-Evil:1":         "/account",
		"/account/%5cevil":                "/account",
		"javascript:alert(1)":             "/account",
		"/oauth/authorize?client_id=x":    "/account",
		"/accountant":                     "/account",
		"/logout":                         "/account",
		" /account/security":              "/account",
		"\t//evil.example":                "/account",
		"https:/account/security":         "/account",
		"//user@/account":                 "/account",
		gatewayLogin + deep:               gatewayLogin + deep,
		gatewayLogin + deep + deep:        "/account",
	} {
		w := b.send(httptest.NewRequest("GET", origin+"/login?"+url.Values{"next": {next}}.Encode(), nil))
		if got := w.Header().Get("Location"); got != want || w.Code != 303 {
			t.Errorf("%q leads to %q (%d)", next, got, w.Code)
		}
	}
}

// forward_url is a further name of next, in base64: for our own host, and for origins that a client
// has registered.
func TestForwardURL(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	app := strings.TrimSuffix(callback, "/callback")
	b64 := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	for to, want := range map[string]string{
		origin + "/account/security":             "/account/security",
		origin + "/shop/v1/x?y=1":                "/gateway/login?back=" + b64(origin+"/shop/v1/x?y=1"),
		"/account/security":                      "/account/security",
		app + "/inbox?a=b%20c":                   app + "/inbox?a=b%20c",
		app:                                      app,
		app + ".evil.example/":                   "/account",
		app + "@evil.example/":                   "/account",
		app + ":8443/":                           "/account",
		app + "\\@evil.example/":                 "/account",
		app + "/\r\nX-Evil: 1":                   "/account",
		app + "/#fragment":                       "/account",
		strings.Replace(app, "https", "http", 1): "/account",
		"https://evil.example/":                  "/account",
		"//evil.example/":                        "/account",
		"javascript:alert(1)":                    "/account",
		"":                                       "/account",
	} {
		for name, encoded := range map[string]string{
			"forward_url": base64.StdEncoding.EncodeToString([]byte(to)), "forward_url, for addresses": b64(to), "next": to,
		} {
			field, _, _ := strings.Cut(name, ",")
			w := b.send(httptest.NewRequest("GET", origin+"/signin?"+url.Values{field: {encoded}}.Encode(), nil))
			if got := w.Header().Get("Location"); got != want || w.Code != 303 {
				t.Errorf("%s: %q leads to %q (%d), want %q", name, to, got, w.Code, want)
			}
		}
	}
	for _, bad := range []string{"%%%", "*", strings.Repeat("A", 5000)} {
		w := b.send(httptest.NewRequest("GET", origin+"/signin?"+url.Values{"forward_url": {bad}}.Encode(), nil))
		if got := w.Header().Get("Location"); got != "/account" {
			t.Errorf("%.20q leads to %q", bad, got)
		}
	}
	// it survives the form
	anybody := s.browser()
	page := anybody.get("/signin?forward_url=" + b64(app+"/inbox"))
	if !strings.Contains(page.Body.String(), `value="`+app+`/inbox"`) ||
		strings.Contains(page.Header().Get("Content-Security-Policy"), "form-action") {
		t.Errorf("the page does not carry the address on: %v", page.Header())
	}
	w := anybody.post("/login", url.Values{"username": {s.user.Email}, "password": {"password"}, "next": {app + "/inbox"}})
	if got := w.Header().Get("Location"); got != app+"/inbox" {
		t.Errorf("signing in leads to %q (%d)", got, w.Code)
	}
	if w = anybody.get("/login?next=" + url.QueryEscape(app)); w.Header().Get("Location") != app {
		t.Errorf("signed in, it leads to %q", w.Header().Get("Location"))
	}
}

// The policy of every page forbids frames, and scripts of other origins.
func TestPagePolicy(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	for _, path := range []string{"/login?other=1", "/account", "/account/sessions", "/account/security", "/activate", "/nowhere", "/setup"} {
		h := b.get(path).Header()
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: %s", path, csp)
			}
		}
		if strings.Contains(csp, "unsafe") || h.Get("X-Frame-Options") != "DENY" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", path, h)
		}
	}
}

func TestErrorPages(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	for path, status := range map[string]int{
		"/nowhere": 404, "/static/none.css": 404, "/login?flow=x&flow=y": 400, "/setup?token=x": 409, "/reset-password?token=x": 409, "/login?next=%ff": 400,
	} {
		w := b.get(path)
		if w.Code != status || !strings.Contains(w.Body.String(), w.Header().Get("X-Request-Id")) {
			t.Errorf("%s: %d\n%s", path, w.Code, w.Body)
		}
	}
}

// An error is a page for a person and JSON for a program, at any address.
func TestErrorsByTheRequest(t *testing.T) {
	s := newSite(t)
	for path, status := range map[string]int{"/nowhere": 404, "/login?flow=x": 400, "/static/none.css": 404, "/oauth/authorize": 400} {
		person := s.browser()
		page := person.get(path)
		if page.Code != status || !strings.Contains(page.Body.String(), "<h1>") {
			t.Errorf("%s in a browser: %d\n%s", path, page.Code, page.Body)
		}
		program := httptest.NewRecorder()
		s.handler.ServeHTTP(program, httptest.NewRequest("GET", origin+path, nil))
		if program.Code != status || !strings.HasPrefix(program.Body.String(), `{"error":`) {
			t.Errorf("%s in a program: %d\n%s", path, program.Code, program.Body)
		}
	}
}

// The heading of an error page is its cause.
func TestErrorHeadings(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	for path, heading := range map[string]string{
		"/nowhere":                                     "Page not found",
		"/oauth/authorize":                             "Missing client_id",
		"/oauth/authorize?client_id=unknown":           "Unknown app",
		s.ask("redirect_uri", "https://evil.example/"): "Redirect address not allowed",
		s.ask("redirect_uri", ""):                      "Missing redirect address",
		s.ask("state", strings.Repeat("x", 7_000)):     "Request too long",
		"/login?flow=x":                                "This link is damaged",
		"/setup?token=x":                               "This link is no longer valid",
		"/logout?id_token_hint=x":                      "Sign-out request not allowed",
	} {
		page := b.get(path).Body.String()
		if !strings.Contains(page, "<h1>"+heading+"</h1>") || strings.Count(page, `id="submit"`) != 1 {
			t.Errorf("%.60s: want the heading %q and one way on\n%s", path, heading, page)
		}
	}
}

// "Try again" leads back to the page itself, and to no other server.
func TestErrorPageTryAgain(t *testing.T) {
	s := newSite(t)
	for path, want := range map[string]string{
		"/activate?user_code=WDJB-MJHT": "/activate?user_code=WDJB-MJHT",
		"//evil.example/":               "/account",
		`/\evil.example`:                `/%5Cevil.example`,
	} {
		r := httptest.NewRequest("GET", origin+"/", nil)
		u, err := url.Parse(origin + path)
		testkit.Must(t, err)
		r.URL.Path, r.URL.RawPath, r.URL.RawQuery = u.Path, u.RawPath, u.RawQuery
		r.Header.Set("Accept", "text/html")
		w := httptest.NewRecorder()
		s.fail(w, r, fault.New(fault.Unavailable, "the database is away"))
		if page := w.Body.String(); w.Code != 503 || !strings.Contains(page, `href="`+want+`">Try again`) || strings.Contains(page, "database") {
			t.Errorf("%s: %d\n%s", path, w.Code, page)
		}
	}
}

// Repeated parameters, oversized forms, and broken encodings are rejected with a page.
func TestBadForms(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	for name, body := range map[string]struct {
		text   string
		status int
	}{
		"repeated":  {"username=a&username=b&password=c", 400},
		"not UTF-8": {"username=%ff", 400},
		"too large": {"username=" + strings.Repeat("x", 65<<10), 413},
		"too many":  {strings.Repeat("a=1&", 70), 400},
	} {
		r := httptest.NewRequest("POST", origin+"/login", strings.NewReader(body.text))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := b.send(r)
		if w.Code != body.status || !strings.Contains(w.Body.String(), "<!doctype html>") {
			t.Errorf("%s: %d\n%s", name, w.Code, w.Body)
		}
	}
	r := httptest.NewRequest("POST", origin+"/login", strings.NewReader("{}"))
	r.Header.Set("Content-Type", "application/json")
	if w := b.send(r); w.Code != 400 {
		t.Errorf("JSON: %d", w.Code)
	}
	if w := b.send(httptest.NewRequest("POST", origin+"/login?password=x", nil)); w.Code != 400 {
		t.Errorf("password in the address: %d", w.Code)
	}
	if w := b.send(httptest.NewRequest("PUT", origin+"/login", nil)); w.Code != 404 && w.Code != 405 {
		t.Errorf("PUT: %d", w.Code)
	}
}

// Unknown addresses, and methods that an address does not serve, are answered in the form that was
// asked for: machine addresses that are not built are no exception.
func TestUnknownAddressesInBothForms(t *testing.T) {
	s := newSite(t)
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/register", 404, ""},
		{"POST", "/register", 404, ""},
		{"POST", "/device/token", 404, ""},
		{"GET", "/accounts/v1/users/x", 404, ""},
		{"PATCH", "/accounts/v1/users/x", 404, ""},
		{"DELETE", "/scim/v2/Users/1", 404, ""},
		{"GET", "/nowhere", 404, ""},
		{"POST", "/nowhere", 404, ""},
		{"PUT", "/login", 405, "GET, HEAD, POST"},
		{"DELETE", "/account", 405, "GET, HEAD"},
		{"GET", "/logout/confirm", 405, "POST"},
		{"POST", "/favicon.ico", 405, "GET, HEAD"},
		{"PATCH", "/static/app.css", 405, "GET, HEAD"},
		{"POST", "/.well-known/change-password", 405, "GET, HEAD"},
	} {
		for accept, kind := range map[string]string{
			"*/*": "application/json", "application/json": "application/json", "": "application/json",
			"text/html,*/*;q=0.8": "text/html; charset=utf-8", "text/html;q=0.5, application/json": "application/json",
		} {
			r := httptest.NewRequest(c.method, origin+c.path, nil)
			if accept != "" {
				r.Header.Set("Accept", accept)
			}
			w := httptest.NewRecorder()
			s.handler.ServeHTTP(w, r)
			if w.Code != c.status || w.Header().Get("Content-Type") != kind || w.Header().Get("Allow") != c.allow {
				t.Errorf("%s %s, Accept %q: %d %s, Allow %q", c.method, c.path, accept, w.Code,
					w.Header().Get("Content-Type"), w.Header().Get("Allow"))
			}
		}
	}
}
