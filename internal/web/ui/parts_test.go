package ui_test

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/web/ui"
)

// nativeApp registers a public app on the person's device, with a logo.
func (s *site) nativeApp() *client.Client {
	s.t.Helper()
	app := &client.Client{
		ID: client.ID(secret.NewID(s.now)), Name: "Pocket notes", LogoURI: "https://app.example/logo.png", BrandColor: "#ff5722", Public: true,
		Redirects: []string{"http://127.0.0.1/callback"}, Grants: []string{client.GrantTypeCode, client.GrantTypeRefresh},
		Scopes: []string{"openid", "email", "offline_access"}, CreatedAt: s.now, UpdatedAt: s.now,
	}
	testkit.Must(s.t, s.db.CreateClient(s.t.Context(), app))
	return app
}

// The account pages show a verified address, the username, connected apps, and access that was not
// used for a long time; a consent page shows what is new, and that the app is on this device.
func TestOptionalPartsOfTheAccount(t *testing.T) {
	s := newSite(t)
	u := *s.user
	u.EmailVerified, u.Username = true, "ada-"+string(u.ID)[24:]
	testkit.Must(t, s.db.UpdateUser(t.Context(), s.user, &u))
	b := s.signedIn(&u)
	b.agent = "curl/8.14.1"
	app := s.nativeApp()
	ask := func(scope string) {
		b.get(s.ask("client_id", string(app.ID), "redirect_uri", "http://127.0.0.1:7007/callback", "scope", scope, "prompt", "consent"))
		b.shows(200, `<img src="https://app.example/logo.png" alt="" data-initial="P"`, "<strong>on this device</strong>")
	}
	ask("openid offline_access")
	b.submit("consent_action", "approve")
	code := b.leaves("http://127.0.0.1:7007/callback").Get("code")
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "client_id": {string(app.ID)}, "redirect_uri": {"http://127.0.0.1:7007/callback"}, "code_verifier": {verifier}}
	r := httptest.NewRequest("POST", origin+"/oauth/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	if s.handler.ServeHTTP(w, r); w.Code != 200 {
		t.Fatal(w.Body)
	}
	ask("openid email offline_access")
	b.shows(200, "wants more access", `View your email address <span class="badge">New</span>`)
	b.get("/account")
	b.shows(200, "Verified", "1 app with access", "1 connected app")
	b.get("/account/profile")
	b.shows(200, "Verified", u.Username)
	s.now = s.now.Add(31 * 24 * time.Hour)
	b = s.signedIn(&u)
	b.get("/account/sessions")
	b.shows(200, ">Inactive</span>", "curl")
	b.get("/account/sessions/revoke-inactive")
	b.shows(200, "Sign out 1 inactive device or app?")
	b.submit()
	b.shows(200, "1 inactive device or app was signed out.")
	b.get("/account/sessions")
	b.shows(200, "No app has access to your account.")
}

// A sign-in that requires two-step verification offers to skip its setup within the days of grace,
// with the date, and a locked code page says how long to wait.
func TestOptionalPartsOfASignIn(t *testing.T) {
	s := newSite(t)
	s.login = s.newLogin(func(c *login.Config) { c.RequireMFA, c.MFAGrace = true, 72*time.Hour })
	s.serve()
	b := s.browser()
	b.get("/login")
	b.submit("username", s.user.Email, "password", "password")
	b.shows(200, "Your account requires it.", "You can skip this until 7 May 2026, 10:00 UTC.", `value="1" formnovalidate>Not now`)
	b.submit("skip", "1")
	b.shows(200, "Hello, <bdi>Ada</bdi>")
	s.enroll(s.user)
	b = s.browser()
	b.get("/login")
	b.submit("username", s.user.Email, "password", "password")
	for range 5 {
		b.submit("code", "000000")
	}
	b.shows(429, "Too many attempts.", "Try again in 1 minute.")
}

// The pages of an app that has a color load its style sheet, which may be cached forever.
func TestStylesOfAnApp(t *testing.T) {
	s := newSite(t)
	app := s.nativeApp()
	b := s.browser()
	b.get(s.ask("client_id", string(app.ID), "redirect_uri", "http://127.0.0.1:7007/callback", "scope", "openid"))
	_, rest, _ := strings.Cut(b.last.Body.String(), `<link rel="stylesheet" href="/static/color-`)
	path, _, _ := strings.Cut(rest, `"`)
	b.get("/static/color-" + path)
	b.shows(200, "--fill: #ff5722;")
	h := b.last.Header()
	if h.Get("Content-Type") != "text/css; charset=utf-8" || !strings.HasSuffix(h.Get("Cache-Control"), "immutable") {
		t.Errorf("%v", h)
	}
	b.get("/static/color-ff5722-000000000000.css")
	b.shows(404)
}

// Files of the operator are served with safe types, behind all pages of ours; an SVG that is opened
// by itself runs nothing.
func TestPublicFiles(t *testing.T) {
	fsys := fstest.MapFS{
		"public/images/logo.svg": {Data: []byte("<svg xmlns='http://www.w3.org/2000/svg'/>")},
		"public/fonts/a.woff2":   {Data: []byte("font")},

		"public/images/apple-touch-icon.png": {Data: []byte("png")},
		"public/theme.css":                   {Data: []byte(":root{--bg-primary:#fafafa}")},
		"public/login.txt":                   {Data: []byte("x")},
		"public/.secret.txt":                 {Data: []byte("x")},
		"signin.html":                        {Data: []byte(`<form method="post" action="/login"><input name="username" required><input name="password" required><button id="submit">Go</button></form>`)},
	}
	for _, reload := range []bool{false, true} {
		s := newSite(t)
		pages, err := ui.NewCustomPages(ui.Brand{Name: "Example ID"}, ui.Custom{Files: fsys, Reload: reload})
		testkit.Must(t, err)
		g := *s.ground
		g.pages = pages
		s.ground = &g
		s.serve()
		b := s.browser()
		for path, want := range map[string]string{"/images/logo.svg": "image/svg+xml", "/fonts/a.woff2": "font/woff2", "/theme.css": "text/css; charset=utf-8"} {
			h := b.get(path).Header()
			if b.last.Code != 200 || h.Get("Content-Type") != want || h.Get("X-Content-Type-Options") != "nosniff" ||
				!strings.Contains(h.Get("Content-Security-Policy"), "sandbox") || h.Get("Cache-Control") != "public, max-age=300" {
				t.Errorf("%s: %d %v", path, b.last.Code, h)
			}
			r := httptest.NewRequest("GET", origin+path, nil)
			r.Header.Set("If-None-Match", h.Get("ETag"))
			if w := b.send(r); w.Code != 304 {
				t.Errorf("%s again: %d", path, w.Code)
			}
		}
		for _, path := range []string{
			"/signin.html", "/public/theme.css", "/.secret.txt", "/images", "/images/", "/images/../signin.html", "/images/..%2f..%2fsignin.html",
			"/IMAGES/logo.svg", "/theme.css/",
		} {
			if b.get(path); b.last.Code == 200 {
				t.Errorf("%s is served", path)
			}
		}
		b.post("/theme.css", url.Values{})
		b.shows(404)
		b.get("/login")
		b.shows(200, `<link rel="stylesheet" href="/theme.css">`, `<link rel="apple-touch-icon" href="/images/apple-touch-icon.png">`, `<button id="submit">Go</button>`)
		if csp := b.last.Header().Get("Content-Security-Policy"); !strings.HasSuffix(csp, "; font-src 'self'") {
			t.Error(csp)
		}
	}
}

// Sites can tell that this server answers unknown addresses with an error, and so that its address
// for a change of the password means something (W3C, A Well-Known URL for Changing Passwords).
func TestWellKnownAddresses(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	for path, want := range map[string]int{
		"/.well-known/change-password": 303,
		"/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200": 404,
	} {
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, httptest.NewRequest("GET", origin+path, nil))
		if w.Code != want {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	b.get("/.well-known/change-password")
	b.shows(200, `name="username"`) // and then the form
}
