package ui_test

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// TestActingAsAPerson follows an administrator from the link to the end: the person's pages with a
// banner, nothing that only the person may do, and the administrator's own session afterwards.
func TestActingAsAPerson(t *testing.T) {
	s := newSite(t)
	s.login = s.newLogin(func(c *login.Config) {
		c.ImpersonationTTL = time.Hour
		c.MayImpersonate = func(*login.Impersonation) audit.Guard {
			return func(context.Context, audit.Rows) error { return nil }
		}
	})
	s.serve()
	boss := s.newUser()
	b := s.signedIn(boss)
	own := b.cookies["__Host-gatehouse"]
	link, _, err := s.login.NewImpersonation(t.Context(), login.Visit{Now: s.now}, login.Impersonation{
		User:   s.user.ID,
		Actor:  identity.Impersonator{Kind: audit.ActorUser, ID: string(boss.ID)},
		Reason: "Ticket 4711",
	})
	testkit.Must(t, err)
	b.get(link)
	b.shows(200, "Act as another person", "Ticket 4711")
	b.submit()
	b.shows(200, "You are acting as", s.user.Email)
	for _, path := range []string{"/account/sessions", "/account/security/sign-ins", "/nothing-here", "/login"} {
		b.get(path)
		b.shows(b.last.Code, "You are acting as")
	}
	b.get("/account/sessions")
	b.shows(200, "Administrator, acting as you")
	for path, form := range map[string]url.Values{
		"/account/email":         {"email": {"x@example.com"}},
		"/account/username":      {"username": {"x"}},
		"/account/sessions/end":  {"id": {"x"}},
		"/activate":              {"user_code": {"AAAA-AAAA"}},
		"/login":                 {"username": {boss.Email}, "password": {"password"}},
		"/account/data/download": {},
	} {
		b.post(path, form)
		if b.last.Code != 403 && b.last.Code != 404 && b.last.Code != 405 {
			t.Errorf("%s: %d", path, b.last.Code)
		}
	}

	ada := s.signedIn(s.user)
	ada.get("/account/security/sign-ins")
	ada.shows(200, "An administrator acted as you", "Ticket 4711")

	s.now = s.now.Add(61 * time.Minute) // it is over, and so is what is sent from an old page
	b.post("/account/profile", url.Values{"name": {"Changed"}})
	b.shows(200, "You no longer act as another person")
	testkit.Equal(t, "the administrator's own cookie waits", b.cookies["__Host-gatehouse_actor"], own)
	u, err := s.db.User(t.Context(), s.user.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "name", u.Name, "Ada")
	b.submit()
	b.hides("You are acting as")
}
