package ui_test

import (
	"html"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// What is wrong in the form of a factor is shown at the fields of that form, which stays open.
// Turning a factor off and making backup codes need the password and a code.
func TestDangerousFormsNeedThePasswordAndACode(t *testing.T) {
	s := newSite(t)
	key, _ := s.enroll(s.user)
	b := s.signedIn(s.user)
	for path, form := range map[string]string{"totp/disable": "totp_disable", "backup-codes": "backup"} {
		b.post("/account/security/"+path, url.Values{"current_password": {""}})
		b.shows(400, `<details open><summary>`, `href="#f-`+form+`_password"`, `href="#f-`+form+`_code"`, `id="f-`+form+`_password-error"`, `id="f-`+form+`_code-error"`)
		b.post("/account/security/"+path, url.Values{"current_password": {"wrong"}, "code": {"000000"}})
		b.shows(403, `<details open><summary>`, `id="f-`+form+`_password-error"`)
		b.post("/account/security/"+path, url.Values{"current_password": {"password"}, "code": {"000000"}})
		b.shows(403, `<details open><summary>`, `id="f-`+form+`_code-error"`)
	}
	b.post("/account/security/totp/disable", url.Values{"current_password": {"password"}, "code": {totp(t, key, s.now)}})
	b.shows(200, "Two-step verification is off.")
}

// A change of what protects the account gives the browser a new cookie. The former one, which
// somebody may have copied, is worthless at once.
func TestSecurityChangesRenewTheCookie(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	renewed := func(what string, act func()) {
		t.Helper()
		copied := s.browser()
		copied.cookies["__Host-gatehouse"] = b.cookies["__Host-gatehouse"]
		act()
		if b.last.Code != 200 {
			t.Fatalf("%s: status %d\n%s", what, b.last.Code, b.last.Body)
		}
		copied.get("/account")
		copied.shows(200, `name="password"`)
		b.get("/account")
		b.shows(200, "Ada")
	}
	current := url.Values{"current_password": {"password"}}
	var key, token string
	b.post("/account/security/totp/enable", current)
	b.shows(200, `class="key"`)
	key, token = shownKey(b), hiddenTag.FindAllStringSubmatch(b.last.Body.String(), -1)[1][2]
	renewed("a factor was set up", func() {
		in := url.Values{"code": {totp(t, key, s.now)}, "enrollment": {html.UnescapeString(token)}}
		b.post("/account/security/totp/confirm", in)
	})
	for _, step := range []struct{ what, path string }{
		{"backup codes were made", "/account/security/backup-codes"},
		{"a factor was removed", "/account/security/totp/disable"},
	} {
		s.now = s.now.Add(time.Minute)
		current.Set("code", totp(t, key, s.now))
		renewed(step.what, func() { b.post(step.path, current) })
	}
	renewed("the password was changed", func() {
		b.post("/account/security/password", url.Values{
			"current_password": {"password"},
			"new_password":     {"quite a long pass phrase 7"},
			"confirm_password": {"quite a long pass phrase 7"},
		})
	})
}

// shownKey returns the key of the authenticator app on the current page.
func shownKey(b *browser) string {
	page := b.last.Body.String()
	_, key, _ := strings.Cut(page, `<p class="key" id="key" dir="ltr" translate="no">`)
	key, _, _ = strings.Cut(key, "</p>")
	return strings.NewReplacer("<span>", "", "</span>", "", " ", "").Replace(key)
}

// Without the password, the page that confirms an authenticator app shows no key and stores no
// credential, whatever is sent to it.
func TestConfirmWithoutThePassword(t *testing.T) {
	s := newSite(t)
	other := s.signedIn(s.newUser())
	other.post("/account/security/totp/enable", url.Values{"current_password": {"password"}})
	foreign := html.UnescapeString(hiddenTag.FindAllStringSubmatch(other.last.Body.String(), -1)[1][2])
	b := s.signedIn(s.user)
	b.post("/account/security/totp/enable", url.Values{"current_password": {"wrong"}})
	for _, code := range []string{"", "x", "12345", "000000", "1234567", strings.Repeat("9", 5000)} {
		for _, token := range []string{"", "x", foreign, strings.Repeat("a", 5000)} {
			for _, field := range []string{"factor", "flow", "current_password"} {
				in := url.Values{"code": {code}, "enrollment": {token}, field: {"totp"}}
				b.post("/account/security/totp/confirm", in)
				page := b.last.Body.String()
				if b.last.Code < 400 || strings.Contains(page, `class="key"`) || strings.Contains(page, "otpauth:") {
					t.Fatalf("%v: status %d\n%s", in, b.last.Code, page)
				}
			}
		}
	}
	if creds, err := s.db.Credentials(t.Context(), s.user.ID); err != nil || len(creds) != 0 {
		t.Fatalf("credentials %+v, %v", creds, err)
	}
}

// Only the owner can end a session.
func TestRevokeSessions(t *testing.T) {
	s := newSite(t)
	here, there := s.signedIn(s.user), s.signedIn(s.user)
	other := s.signedIn(s.newUser())
	sessions, err := s.db.UserSessions(t.Context(), s.user.ID, s.now)
	testkit.Must(t, err)
	if len(sessions) != 2 {
		t.Fatalf("%d sessions", len(sessions))
	}
	for _, x := range sessions { // somebody else's form does nothing
		other.post("/account/sessions/revoke", url.Values{"kind": {"session"}, "id": {string(x.ID)}})
	}
	there.get("/account/sessions")
	there.shows(200, "Where you’re signed in")
	here.post("/account/sessions/revoke-all", nil)
	here.shows(200, "signed out everywhere except this browser")
	there.get("/account/sessions")
	there.shows(200, `name="password"`)
	here.post("/account/sessions/revoke-inactive", nil)
	here.shows(200, "There were no inactive devices or apps.")
	here.get("/account/sessions?done=revoked_inactive&count=2")
	here.shows(200, "2 inactive devices and apps were signed out.")
	here.get("/account/sessions")
	here.shows(200, "This device")
	mine, err := s.db.UserSessions(t.Context(), s.user.ID, s.now)
	testkit.Must(t, err)
	here.post("/account/sessions/revoke", url.Values{"kind": {"session"}, "id": {string(mine[0].ID)}})
	here.shows(200, `name="password"`)
	if here.cookies["__Host-gatehouse"] != "" {
		t.Fatal("the cookie stays")
	}
	other.get("/account/sessions")
	other.shows(200, "This device")
}

func TestRevokeGrants(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	b.get(s.ask())
	b.submit("consent_action", "approve")
	if code := s.redeem(b.leaves(callback).Get("code")); code != 200 {
		t.Fatal(code)
	}
	grants, err := s.db.UserGrants(t.Context(), s.user.ID, s.now)
	testkit.Must(t, err)
	b.get("/account/sessions")
	b.shows(200, "Demo &lt;App&gt;", string(grants[0].ID))
	s.signedIn(s.newUser()).post("/account/sessions/revoke", url.Values{"kind": {"grant"}, "id": {string(grants[0].ID)}})
	if left, err := s.db.UserGrants(t.Context(), s.user.ID, s.now); err != nil || len(left) != 1 {
		t.Fatalf("another person ended it: %v", err)
	}
	b.post("/account/sessions/revoke", url.Values{"kind": {"grant"}, "id": {string(grants[0].ID)}})
	b.shows(200, "Access removed.")
	if left, err := s.db.UserGrants(t.Context(), s.user.ID, s.now); err != nil || len(left) != 0 {
		t.Fatalf("%d left, %v", len(left), err)
	}
	b.post("/account/sessions/revoke", url.Values{"kind": {"grant"}, "id": {string(grants[0].ID)}}) // doing it twice succeeds
	b.shows(200)
	b.post("/account/sessions/revoke", url.Values{"kind": {"nothing"}})
	b.shows(400)
	// After the access is removed, the app has to ask again.
	b.post("/account/authorizations/remove", url.Values{"client_id": {string(s.app.ID)}})
	b.shows(200, "Access removed.")
	b.get(s.ask())
	b.shows(200, `value="approve"`)
}

// The pages of an account require a session.
func TestMembersOnly(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	for _, path := range []string{"/account", "/account/profile", "/account/security", "/account/sessions", "/account/authorizations"} {
		w := b.send(httptest.NewRequest("GET", origin+path, nil))
		if w.Code != 303 || w.Header().Get("Location") != "/login?next="+url.QueryEscape(path) {
			t.Errorf("%s: %d %s", path, w.Code, w.Header().Get("Location"))
		}
	}
	for _, path := range []string{"/account/profile", "/account/security/password", "/account/sessions/revoke-all"} {
		b.post(path, url.Values{"name": {"x"}})
		b.shows(200, `name="password"`)
	}
	s.now = s.now.Add(2 * time.Hour)
	idle := s.signedIn(s.user)
	s.now = s.now.Add(61 * time.Minute)
	idle.get("/account")
	idle.shows(200, `name="password"`)
}

// What signs something out asks first, also without scripts, and says what it is about.
func TestSigningOutAsksFirst(t *testing.T) {
	s := newSite(t)
	b, there := s.signedIn(s.user), s.signedIn(s.user)
	b.get(s.ask())
	b.submit("consent_action", "approve")
	if code := s.redeem(b.leaves(callback).Get("code")); code != 200 {
		t.Fatal(code)
	}
	grants, err := s.db.UserGrants(t.Context(), s.user.ID, s.now)
	testkit.Must(t, err)
	sessions, err := s.db.UserSessions(t.Context(), s.user.ID, s.now)
	testkit.Must(t, err)
	for path, heading := range map[string]string{
		"/account/sessions/revoke?kind=session&id=" + string(sessions[0].ID): "?</bdi></h1>",
		"/account/sessions/revoke?kind=grant&id=" + string(grants[0].ID):     "Remove the access of Demo &lt;App&gt;?",
		"/account/sessions/revoke-all":                                       "Sign out everywhere else?",
		"/account/authorizations/remove?client_id=" + string(s.app.ID):       "Remove Demo &lt;App&gt;?",
	} {
		b.get(path)
		b.shows(200, heading, "Cancel")
	}
	for _, path := range []string{ // what has ended, what is somebody else's, and nonsense
		"/account/sessions/revoke?kind=grant&id=x", "/account/sessions/revoke?kind=session&id=" + string(grants[0].ID),
		"/account/sessions/revoke?kind=x", "/account/sessions/revoke", "/account/authorizations/remove?client_id=x",
	} {
		b.get(path)
		if b.path != "/account/sessions" && b.path != "/account/authorizations" {
			t.Errorf("%s leads to %s", path, b.path)
		}
	}
	there.get("/account/sessions")
	there.shows(200, "This device", string(grants[0].ID))
	b.get("/account/sessions/revoke-inactive")
	b.shows(200, "There were no inactive devices or apps.")
	b.get("/account/sessions/revoke?kind=grant&id=" + string(grants[0].ID))
	b.submit()
	b.shows(200, "Access removed.")
	b.get("/account/authorizations/remove?client_id=" + string(s.app.ID))
	b.submit()
	b.shows(200, "No connected apps.")
	b.get("/account/sessions/revoke-all")
	b.submit()
	b.shows(200, "signed out everywhere except this browser")
	there.get("/account/sessions")
	there.shows(200, `name="password"`)
}

// An account that must have two-step verification says so, with the date, until it is set up.
func TestRequiredTwoStepIsAnnounced(t *testing.T) {
	s := newSite(t)
	s.login = s.newLogin(func(c *login.Config) { c.RequireMFA, c.MFAGrace = true, 72*time.Hour })
	s.serve()
	b := s.signedIn(s.user)
	testkit.Must(t, s.db.SetMFARequiredSince(t.Context(), s.user.ID, s.now.Add(-time.Hour)))
	for _, path := range []string{"/account", "/account/security"} {
		b.get(path)
		b.shows(200, "requires two-step verification", "Set it up by 7 May 2026, 09:00 UTC")
	}
	s.now = s.now.Add(72 * time.Hour)
	b = s.signedIn(s.user)
	b.get("/account")
	b.shows(200, "requires two-step verification", "next sign-in will ask you")
	s.enroll(s.user)
	for _, path := range []string{"/account", "/account/security"} {
		b.get(path)
		if strings.Contains(b.last.Body.String(), "alert warn") {
			t.Errorf("%s still asks for it", path)
		}
	}
}

// A form that is sent back names everything that is wrong, at each field and in a summary that
// links to it. What was typed is shown again, except passwords.
func TestAllMistakesAtOnce(t *testing.T) {
	s := newSite(t)
	token, err := s.login.SetupLink(t.Context(), s.now)
	testkit.Must(t, err)
	b := s.signedIn(s.user)
	wrong := func(path string, form url.Values, status int, fields ...string) {
		t.Helper()
		b.post(path, form)
		b.shows(status, "There is a problem with what you entered.")
		page := b.last.Body.String()
		for _, f := range fields {
			for _, part := range []string{`<a href="#f-` + f + `">`, `id="f-` + f + `-error"`, `aria-describedby="f-` + f + `-error`} {
				if !strings.Contains(page, part) {
					t.Errorf("%s: no %s\n%s", path, part, page)
				}
			}
		}
		for name, value := range form {
			shown := strings.Contains(page, html.EscapeString(value[0]))
			if secret := strings.Contains(name, "password"); shown == secret && name != "token" && value[0] != "" {
				t.Errorf("%s: what was typed at %s is shown: %v", path, name, shown)
			}
		}
	}
	wrong("/setup", url.Values{"token": {token}, "email": {"not an address"}, "username": {"a b"}, "name": {"Ada"}, "password": {"Short7!"}}, 400, "email", "username", "password")
	wrong("/account/profile", url.Values{"website": {"ftp://x"}, "zoneinfo": {"Mars/Olympus"}, "name": {strings.Repeat("x", 201)}}, 400, "website", "zoneinfo", "name")
	wrong("/account/security/password", url.Values{"current_password": {"Wrong7!"}, "new_password": {"Short7!"}, "confirm_password": {"Other7!"}}, 403, "current_password", "new_password", "confirm_password")
	link, err := s.login.PasswordLink(t.Context(), login.Visit{Now: s.now}, s.user)
	testkit.Must(t, err)
	wrong("/reset-password", url.Values{"token": {link}, "new_password": {"Short7!"}, "confirm_password": {"Other7!"}}, 400, "new_password", "confirm_password")
	wrong("/login", url.Values{"username": {" "}, "password": {""}}, 400, "username", "password")
}
