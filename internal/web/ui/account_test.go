package ui_test

import (
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A wrong password in the form of a factor is shown at the field of that form, which stays open.
func TestTurnOffWithWrongPassword(t *testing.T) {
	s := newSite(t)
	s.enroll(s.user)
	b := s.signedIn(s.user)
	b.post("/account/security/totp/disable", url.Values{"current_password": {"wrong"}})
	b.shows(403, `<details open><summary>Turn off</summary>`, `id="f-totp_disable_password-error"`)
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
	b.post("/account/sessions/revoke", url.Values{"kind": {"grant"}, "id": {string(grants[0].ID)}}) // twice is no error
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
