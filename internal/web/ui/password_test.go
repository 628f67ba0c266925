package ui_test

import (
	"context"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
)

const (
	aDay   = 24 * time.Hour
	chosen = "Tr4verse-the-Quiet-Valley"
)

// A password that expires is announced on the account pages, may be kept for some days at the
// sign-in, and must be changed then.
func TestPasswordsThatExpire(t *testing.T) {
	s := newSite(t)
	s.login = s.newLogin(func(c *login.Config) { c.ExpiryDays, c.ExpiryWarning, c.ExpiryGrace = 90, 14*aDay, 7*aDay })
	s.serve()
	set := s.user.PasswordChangedAt
	visit := func(days int) *browser {
		s.now = set.AddDate(0, 0, days)
		b := s.browser()
		b.get("/login")
		b.submit("username", s.user.Email, "password", "password")
		return b
	}
	b := visit(75)
	b.get("/account")
	b.hides("will expire soon")
	b = visit(77)
	for _, path := range []string{"/account", "/account/security"} {
		b.get(path)
		b.shows(200, "Your password will expire soon.", "when you sign in after 9 Aug 2026, 09:00 UTC", `href="/account/security#h-password"`)
	}
	b = visit(92)
	b.shows(200, "Your password has expired. Choose a new one.", "You can skip this until 9 Aug 2026, 09:00 UTC.")
	b.submit("skip", "1")
	b.shows(200, "Hello, <bdi>Ada</bdi>", "Your password has expired.", "when you sign in after 9 Aug 2026, 09:00 UTC")
	b = visit(97)
	b.shows(200, "Your password has expired. Choose a new one.")
	b.hides("You can skip this")
	b.submit("skip", "1")
	b.shows(403, "You have to change your password now to continue.")
	b.submit("new_password", "password", "confirm_password", "password")
	b.shows(400, "Use at least 12 characters.")
	b.submit("new_password", chosen, "confirm_password", chosen)
	b.shows(200, "Hello, <bdi>Ada</bdi>")
	b.hides("expire")
}

// leaked is a list of breached passwords.
type leaked map[string]bool

func (l leaked) Contains(_ context.Context, password string) (bool, error) { return l[password], nil }

func TestABreachedPasswordIsChangedAtTheSignIn(t *testing.T) {
	s := newSite(t)
	s.login = s.newLogin(func(c *login.Config) {
		c.Breached, c.Policy = leaked{"password": true, chosen: true}, identity.Policy{MinLength: 8}
	})
	s.serve()
	b := s.browser()
	b.get("/login")
	b.submit("username", s.user.Email, "password", "password")
	b.shows(200, "published after a breach of another site, so other people may know it", `data-rule="breached"`)
	b.hides("You can skip this")
	b.submit("new_password", chosen, "confirm_password", chosen)
	b.shows(400, "Choose one that you use nowhere else.")
	b.submit("new_password", "quite another one", "confirm_password", "quite another one")
	b.shows(200, "Hello, <bdi>Ada</bdi>")
}

// A locked second step ends the sign-in that waited for it: the page is the first one, says how
// long to wait, and leads to a new password.
func TestALockedCodeEndsTheSignIn(t *testing.T) {
	s := newSite(t)
	s.enroll(s.user)
	b := s.browser()
	b.get("/login")
	b.submit("username", s.user.Email, "password", "password")
	waiting := s.browser()
	waiting.get("/login")
	waiting.submit("username", s.user.Email, "password", "password")
	s.limiter.full = true // many requests are no lock
	b.submit("code", "000000")
	b.shows(429, `name="code"`)
	s.limiter.full = false
	for range 5 {
		b.submit("code", "000000")
	}
	b.shows(429, "Too many attempts.", `name="username"`, "Forgot your password?", `href="/forgot-password"`)
	if b.cookies["__Host-gatehouse_login"] != "" {
		t.Error("the sign-in goes on")
	}
	waiting.get("/login/code") // the same account, in another browser
	waiting.shows(429, "Too many attempts.", `name="username"`)
	b.get("/login")
	b.submit("username", s.user.Email, "password", "password")
	b.shows(429, "Too many attempts.")
}
