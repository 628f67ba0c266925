package ui_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/login"
)

// A browser that is trusted skips the second step until it is removed on the security page.
func TestTrustedBrowser(t *testing.T) {
	s := newSite(t)
	key, _ := s.enroll(s.user)
	b := s.browser()
	b.agent = "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0"
	signIn := func() {
		t.Helper()
		delete(b.cookies, "__Host-gatehouse")
		b.get("/login?next=/account/security")
		b.submit("username", s.user.Email, "password", "password")
	}
	signIn()
	b.shows(200, `name="trust_browser" value="1" autocomplete="off">`, "for 30 days")
	b.submit("code", "000000", "trust_browser", "1")
	b.shows(403, `name="trust_browser" value="1" autocomplete="off" checked>`)
	b.submit("code", totp(t, key, s.now), "trust_browser", "1")
	b.shows(200, "Trusted browsers", "Firefox on Linux", "This browser")

	s.now = s.now.Add(time.Hour)
	signIn()
	b.shows(200, "Trusted browsers") // without a code
	id := strings.Split(strings.Split(b.last.Body.String(), `trusted/remove" data-once><input type="hidden" name="id" value="`)[1], `"`)[0]

	// Another person cannot remove it.
	other := s.signedIn(s.newUser())
	other.post("/account/security/trusted/remove", url.Values{"id": {id}})
	signIn()
	b.shows(200, "Trusted browsers")
	b.post("/account/security/trusted/remove", url.Values{"id": {id}})
	b.shows(200, "The browser was removed.")
	b.hides("Trusted browsers")
	signIn()
	b.shows(200, `name="code"`)
}

// An application that asks for two factors gets them in a trusted browser, too.
func TestTrustedBrowserStepsUp(t *testing.T) {
	s := newSite(t)
	key, _ := s.enroll(s.user)
	b := s.browser()
	b.get("/login")
	b.submit("username", s.user.Email, "password", "password")
	b.submit("code", totp(t, key, s.now), "trust_browser", "1")
	delete(b.cookies, "__Host-gatehouse")
	s.now = s.now.Add(time.Minute)
	b.get(s.ask("acr_values", "aal2"))
	b.submit("username", s.user.Email, "password", "password")
	b.shows(200, `name="code"`)
	delete(b.cookies, "__Host-gatehouse")
	b.get(s.ask())
	b.submit("username", s.user.Email, "password", "password")
	b.shows(200, `value="approve"`)
	s.now = s.now.Add(time.Minute) // then the application needs more
	b.get(s.ask("acr_values", "aal2"))
	b.shows(200, `name="code"`)
	b.submit("code", totp(t, key, s.now))
	b.shows(200, `value="approve"`)
}

// Where browsers are not trusted, the page does not offer it.
func TestTrustIsNotOffered(t *testing.T) {
	s := newSite(t)
	s.login = s.newLogin(func(c *login.Config) { c.TrustFor = 0 })
	s.serve()
	s.enroll(s.user)
	b := s.browser()
	b.get("/login")
	b.submit("username", s.user.Email, "password", "password")
	b.shows(200, `name="code"`)
	b.hides("trust_browser")
}
