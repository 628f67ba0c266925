package ui_test

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A mailedLink is a kind of link in messages: how one comes to be, and what a browser at it does
// and sees that has opened one that works.
type mailedLink struct {
	link  func(*site) string
	works func(*browser)
}

// mailedLinks returns all kinds.
func mailedLinks() map[string]mailedLink {
	return map[string]mailedLink{
		"sign-up": {
			link: func(s *site) string {
				s.withSignUp()
				email := s.fresh()
				s.browser().postForm("/signup", url.Values{"email": {email}, "name": {"Bo"}, "password": {phrase}})
				return s.letter(outbox.MessageVerification, email).Values["link"]
			},
			works: func(b *browser) { b.submit("password", phrase); b.shows(200, "Hello") },
		},
		"reset": {
			link: func(s *site) string {
				s.withSignUp()
				testkit.Must(s.t, s.login.RequestPasswordReset(s.t.Context(), s.person(), s.user.Email, ""))
				return s.letter(outbox.MessagePasswordReset, s.user.Email).Values["link"]
			},
			works: func(b *browser) {
				b.submit("new_password", phrase2, "confirm_password", phrase2)
				b.shows(200, "Sign in")
			},
		},
		"invitation": {
			link: func(s *site) string {
				s.withSignUp()
				u := &identity.User{ID: identity.UserID(s.fresh()), Email: s.fresh(), CreatedAt: s.now, UpdatedAt: s.now}
				testkit.Must(s.t, s.db.CreateUser(s.t.Context(), u))
				_, err := s.login.Invite(s.t.Context(), s.person(), u)
				testkit.Must(s.t, err)
				return s.letter(outbox.MessageInvitation, u.Email).Values["link"]
			},
			works: func(b *browser) { b.submit("name", "Vera", "password", phrase); b.shows(200, "Hello") },
		},
		"undo": {
			link: func(s *site) string {
				s.withSignUp()
				to, former := s.fresh(), s.user.Email
				testkit.Must(s.t, s.login.RequestEmail(s.t.Context(), s.person(), s.user, login.ConfirmChange, to, false))
				code := s.letter(outbox.MessageEmailConfirm, to).Values["code"]
				testkit.Must(s.t, s.login.ConfirmByCode(s.t.Context(), s.person(), s.user, to, code))
				return s.letter(outbox.MessageEmailUndo, former).Values["link"]
			},
			works: func(b *browser) { b.submit("password", "password"); b.shows(200, "Forgot") },
		},
		"not me": {
			link: func(s *site) string {
				s.withNotices()
				s.enters(s.browser())
				s.now = s.now.Add(time.Minute)
				s.enters(s.browser())
				return s.letters(outbox.MessageNewSession)[0].Values["link"]
			},
			works: func(b *browser) { b.submit(); b.shows(200, "Everyone is signed out") },
		},
		"start of a recovery": {
			link: func(s *site) string {
				s.lostBrowser().post("/recover", url.Values{})
				return s.mailed()[outbox.MessageRecoveryStart]
			},
			works: func(b *browser) { b.submit(); b.shows(200, "The waiting time has started") },
		},
		"stop of a recovery": {
			link: func(s *site) string {
				s.waitingRecovery()
				return s.mailed()[outbox.MessageRecoveryWaiting]
			},
			works: func(b *browser) { b.submit(); b.shows(200, "Stopped") },
		},
		"end of a recovery": {
			link: func(s *site) string {
				s.waitingRecovery()
				s.now = s.now.Add(24 * time.Hour)
				return s.mailed()[outbox.MessageRecoveryReady]
			},
			works: func(b *browser) { b.submit(); b.shows(200, "Two-step verification is off") },
		},
	}
}

// The token of a link serves its purpose only: at the address of every other link it is refused,
// and works at its own afterwards.
func TestMailedTokensHaveOnePurpose(t *testing.T) {
	kinds, paths := mailedLinks(), map[string]string{}
	for name, c := range kinds {
		paths[name], _, _ = strings.Cut(strings.TrimPrefix(c.link(newSite(t)), origin), "?")
	}
	for name, c := range kinds {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			link := strings.TrimPrefix(c.link(s), origin)
			own, token, _ := strings.Cut(link, "?")
			for other, path := range paths {
				if path == own {
					continue
				}
				b := s.browser()
				b.get(path + "?" + token)
				if b.last.Code < 400 {
					t.Errorf("at the address of %s: %d\n%s", other, b.last.Code, b.last.Body)
				}
			}
			b := s.browser()
			b.get(link)
			c.works(b)
		})
	}
}

// Programs that check mail open its links with HEAD and GET, without cookies, as often as they
// like: nothing changes, and the link still works for its person (RFC 9110 §9.2.1).
func TestMailedLinksSurviveMailScanners(t *testing.T) {
	for name, c := range mailedLinks() {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			link := strings.TrimPrefix(c.link(s), origin)
			before := s.events()
			for _, method := range []string{"HEAD", "GET", "HEAD", "GET", "OPTIONS"} {
				scanner := s.browser() // keeps cookies of its own visit
				w := scanner.send(httptest.NewRequest(method, origin+link, nil))
				if to := w.Header().Get("Location"); to != "" {
					if strings.Contains(to, "token") {
						t.Errorf("%s leaves the token in the address %s", method, to)
					}
					scanner.send(httptest.NewRequest(method, origin+to, nil))
				}
			}
			testkit.Equal(t, "events after the scanners", s.events(), before)
			b := s.browser()
			b.get(link)
			c.works(b)
		})
	}
}

// waitingRecovery starts the wait of a request of the site's user.
func (s *site) waitingRecovery() {
	s.t.Helper()
	s.lostBrowser().post("/recover", url.Values{})
	b := s.browser()
	b.get(s.mailed()[outbox.MessageRecoveryStart])
	b.submit()
	b.shows(200, "The waiting time has started")
}

// events returns how many events of the site's user are in the audit log.
func (s *site) events() int {
	s.t.Helper()
	all, err := s.db.ListAudit(s.t.Context(), store.AuditQuery{User: string(s.user.ID), Limit: 500})
	testkit.Must(s.t, err)
	return len(all)
}

// person returns the details of a request of the site's user.
func (s *site) person() login.Visit {
	return login.Visit{IP: "192.0.2.1", Agent: "Firefox", Now: s.now}
}
