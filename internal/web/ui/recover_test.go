package ui_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// mailed processes what is due in the outbox, and returns the addresses of the latest link of each
// message to the site's user, by the name of the message.
func (s *site) mailed() map[string]string {
	s.t.Helper()
	sealer, sender := outbox.NewSealer(s.keys), s.login.RecoverySender(func() time.Time { return s.now })
	links := map[string]string{}
	for range 2 { // the first round may queue messages
		due, err := s.db.ClaimDeliveries(s.t.Context(), outbox.Claim{
			Now: s.now, Until: s.now.Add(time.Second), Limit: 1000, Holder: "test",
		})
		testkit.Must(s.t, err)
		for _, d := range due {
			switch d.Kind {
			case outbox.KindRecovery:
				testkit.Must(s.t, sender.Send(s.t.Context(), &d))
			case outbox.KindMail:
				m, err := sealer.OpenMail(&d)
				testkit.Must(s.t, err)
				if m.To == s.user.Email {
					links[m.Message] = strings.TrimPrefix(m.Values["link"], origin)
				}
			}
		}
		s.now = s.now.Add(2 * time.Second)
	}
	return links
}

// lostBrowser returns a browser at the page for a code, of a user who has lost the app.
func (s *site) lostBrowser() *browser {
	s.t.Helper()
	s.withMail()
	s.enroll(s.user)
	b := s.browser()
	b.get("/login?next=/account/profile")
	b.submit("username", s.user.Email, "password", "password")
	b.shows(http.StatusOK, `href="/recover?next=%2Faccount%2Fprofile"`)
	return b
}

// A person who has lost the second step turns it off after the wait, by two links.
func TestRecoveryPages(t *testing.T) {
	s := newSite(t)
	s.mailbox = postbox{}
	b := s.lostBrowser()
	owner := s.signedIn(s.user)
	owner.get("/account")
	owner.hides("asked to turn off")
	b.get("/recover?next=/account/profile")
	b.shows(http.StatusOK, "Backup codes", "waiting time of <bdi>24 hours</bdi>", `name="choose" value="backup_code"`, `href="/login/code?next=`)
	b.post("/recover", url.Values{})
	b.shows(http.StatusOK, "Check your email", "a…@example.com", `href="/dev/mail"`)

	// The link opens in any browser, moves its token out of the address, and changes nothing.
	link := s.mailed()[outbox.MessageRecoveryStart]
	scanner, phone := s.browser(), s.browser()
	for range 2 {
		scanner.get(link)
		scanner.shows(http.StatusOK, "Start the waiting time?")
	}
	phone.get(link)
	phone.shows(http.StatusOK, "Start the waiting time?", s.user.Email)
	testkit.Equal(t, "address", phone.path, "/recover/start")
	phone.submit()
	phone.shows(http.StatusOK, "The waiting time has started")
	scanner.get("/recover/start")
	scanner.shows(http.StatusNotFound, "This link was used already")

	b.get("/recover")
	b.shows(http.StatusOK, "The waiting time has started")
	owner.get("/account")
	owner.shows(http.StatusOK, "asked to turn off two-step verification", `action="/account/recovery/refuse"`)

	s.now = s.now.Add(24 * time.Hour)
	owner = s.signedIn(s.user)
	owner.get("/account")
	owner.shows(http.StatusOK, "It can be turned off now.")
	finish := s.mailed()[outbox.MessageRecoveryReady]
	b.get("/login")
	b.submit("username", s.user.Email, "password", "password")
	b.get("/recover")
	b.shows(http.StatusOK, "The waiting time is over", "Send the link again")
	phone.get(finish)
	phone.shows(http.StatusOK, "Turn off two-step verification?")
	phone.submit()
	phone.shows(http.StatusOK, "Two-step verification is off", `href="/login?done=recovered"`)
	phone.get("/login?done=recovered")
	phone.shows(http.StatusOK, `value="`+s.user.Email+`"`)
	phone.submit("username", s.user.Email, "password", "password")
	phone.shows(http.StatusOK, "Turn on two-step verification")
	owner.get("/account")
	owner.shows(http.StatusOK, "Sign in")
}

// The owner stops it in a session or by the link of the notice, never by looking.
func TestRecoveryIsRefusedOnPages(t *testing.T) {
	s := newSite(t)
	b := s.lostBrowser()
	start := func() string {
		t.Helper()
		s.now = s.now.Add(2 * time.Hour)
		b.get("/login?other=1")
		b.submit("username", s.user.Email, "password", "password")
		b.post("/recover", url.Values{})
		b.get(s.mailed()[outbox.MessageRecoveryStart])
		b.submit()
		b.shows(http.StatusOK, "The waiting time has started")
		return s.mailed()[outbox.MessageRecoveryWaiting]
	}
	start()
	owner := s.signedIn(s.user)
	owner.get("/account/recovery/refuse")
	owner.shows(http.StatusMethodNotAllowed)
	owner.post("/account/recovery/refuse", url.Values{}, "Sec-Fetch-Site", "cross-site")
	owner.shows(http.StatusForbidden)
	owner.get("/account")
	owner.shows(http.StatusOK, "asked to turn off")
	owner.post("/account/recovery/refuse", url.Values{})
	owner.shows(http.StatusOK, "The request was stopped.")
	owner.hides("asked to turn off")

	stop := start()
	phone := s.browser()
	phone.get(stop)
	phone.shows(http.StatusOK, "Stop turning off two-step verification?")
	phone.get(stop)
	phone.submit()
	phone.shows(http.StatusOK, "Two-step verification stays on", `href="/account/security"`)
	phone.get(stop)
	phone.shows(http.StatusNotFound, "This link was used already")
	n, err := s.db.CountAudit(t.Context(), store.AuditQuery{Type: audit.RecoveryRefused, User: string(s.user.ID)})
	testkit.Must(t, err)
	testkit.Equal(t, "events", n, 2)
}

// Where it is not possible, the page names who can help; bad links and too many requests are
// rejected.
func TestRecoveryIsNotPossible(t *testing.T) {
	s := newSite(t)
	b := s.lostBrowser()
	s.limiter.full = true
	b.get("/recover")
	b.post("/recover", url.Values{})
	b.shows(http.StatusTooManyRequests)
	s.limiter.full = false
	s.login = s.newLogin(func(c *login.Config) { c.RecoveryDelay = 0 })
	s.serve()
	b.get("/recover")
	b.shows(http.StatusOK, "Ask your administrator", "Get help")
	b.post("/recover", url.Values{})
	b.shows(http.StatusForbidden, "Ask your administrator")
	for _, address := range []string{"/recover/start", "/recover/stop?token=x", "/recover/finish?token=" + strings.Repeat("x", 900), "/recover/none"} {
		b.get(address)
		b.shows(http.StatusNotFound)
	}
	b.post("/recover/none", url.Values{})
	b.shows(http.StatusNotFound)
	b.post("/recover/finish", url.Values{})
	b.shows(http.StatusNotFound)
	s.browser().get("/recover") // without a sign-in
}
