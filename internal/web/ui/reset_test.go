package ui_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A new password by a link is no sign-in: the second step is asked for everywhere, also where it
// was skipped before, and all that was open has ended.
func TestResetIsNoSignIn(t *testing.T) {
	s := newSite(t)
	s.withMail()
	key, _ := s.enroll(s.user)
	b := s.browser()
	signIn := func(b *browser, password string) {
		t.Helper()
		b.get("/login")
		b.submit("username", s.user.Email, "password", password)
	}
	signIn(b, "password")
	b.submit("code", totp(t, key, s.now), "trust_browser", "1")
	b.get("/account")
	b.shows(http.StatusOK, "Hello")
	other := s.signedIn(s.user)
	other.get(s.ask())
	other.submit("consent_action", "approve")
	if code := other.leaves(callback).Get("code"); s.redeem(code) != http.StatusOK {
		t.Fatal("the app got no tokens")
	}
	link := func() string {
		t.Helper()
		v := login.Visit{Now: s.now}
		testkit.Must(t, s.login.RequestPasswordReset(t.Context(), v, s.user.Email, ""))
		return path(s.letter(outbox.MessagePasswordReset, s.user.Email))
	}
	older := link()
	s.now = s.now.Add(time.Minute)
	newest := link()

	fresh := s.browser()
	fresh.get(newest)
	fresh.submit("new_password", phrase2, "confirm_password", phrase2)
	fresh.shows(http.StatusOK, "Your password was changed")
	fresh.get("/account")
	fresh.shows(http.StatusOK, `name="password"`)
	fresh.get(older)
	fresh.shows(http.StatusConflict, "used already")
	for _, open := range []*browser{b, other} {
		open.get("/account")
		open.shows(http.StatusOK, `name="password"`)
	}
	grants, err := s.db.UserGrants(t.Context(), s.user.ID, s.now)
	testkit.Must(t, err)
	testkit.Equal(t, "grants of the sessions that have ended", len(grants), 0)
	for _, browser := range []*browser{fresh, b} {
		signIn(browser, "password")
		browser.shows(http.StatusForbidden)
		signIn(browser, phrase2)
		browser.shows(http.StatusOK, `name="code"`)
	}
}
