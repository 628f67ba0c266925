package ui_test

import (
	"context"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// closesTo tries every page that is not open to whoever acts as another person. Each answers 403,
// and what is sent is recorded.
func (s *site) closesTo(b *browser) {
	s.t.Helper()
	all, open := s.server.Patterns()
	sent := 0
	for _, pattern := range all {
		method, path, _ := strings.Cut(pattern, " ")
		if slices.Contains(open, pattern) {
			continue
		}
		path = regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(strings.TrimSuffix(path, "{$}"), "totp")
		if method == "GET" {
			b.get(path)
		} else {
			sent++
			b.post(path, url.Values{"email": {"x@example.com"}, "password": {"password"}})
		}
		if b.last.Code != 403 {
			s.t.Errorf("%s: %d", pattern, b.last.Code)
		}
	}
	events, err := s.db.ListAudit(s.t.Context(), store.AuditQuery{Type: audit.ImpersonationRefused, User: string(s.user.ID), Limit: 1000})
	testkit.Must(s.t, err)
	testkit.Equal(s.t, "recorded refusals", len(events), sent)
}

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
	testkit.Equal(t, "the address line", b.path, "/impersonate")
	testkit.Equal(t, "what waits for the submission", strings.HasSuffix(link, b.cookies["__Host-gatehouse_link"]), true)
	b.submit()
	b.shows(200, "You are acting as", s.user.Email, "Administrator: <strong>")
	testkit.Equal(t, "the link", b.cookies["__Host-gatehouse_link"], "")
	for _, path := range []string{"/account/sessions", "/account/security/sign-ins", "/nothing-here", "/login"} {
		b.get(path)
		b.shows(b.last.Code, "You are acting as")
	}
	b.get("/account/sessions")
	b.shows(200, "Administrator, acting as you")
	b.get(link)
	testkit.Equal(t, "a link while acting", b.last.Code, 403)
	testkit.Equal(t, "its address line", b.path, "/impersonate")
	s.closesTo(b)

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
