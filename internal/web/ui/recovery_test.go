package ui_test

import (
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/web/ui"
)

// withMail serves a site that can send messages.
func (s *site) withMail() {
	s.login = s.newLogin(func(c *login.Config) {
		c.Mail, c.BaseURL, c.ResetTTL, c.ResetLimit, c.ResetWindow = true, origin, time.Hour, 3, time.Hour
	})
	s.serve()
}

// A person who has forgotten the password asks for a link, and stays on the way to the application.
func TestForgottenPasswordPages(t *testing.T) {
	s := newSite(t)
	s.withMail()
	b := s.browser()
	b.get(s.ask())
	b.get(b.link("/forgot-password"))
	b.shows(http.StatusOK, "Forgot your password?")
	b.submit("email", s.user.Email)
	b.shows(http.StatusOK, "Check your email", s.user.Email)
	b.get(b.link("/login"))
	b.shows(http.StatusOK, "Sign in", "Demo")

	due, err := s.db.ClaimDeliveries(t.Context(), outbox.Claim{Now: s.now, Until: s.now.Add(time.Hour), Limit: 10})
	testkit.Must(t, err)
	kinds := ""
	for _, d := range due {
		kinds += string(d.Kind) + " "
	}
	if !strings.Contains(kinds, string(outbox.KindResetRequest)) {
		t.Errorf("queued is %s", kinds)
	}
}

// What was entered is checked, counted and kept.
func TestForgottenPasswordRefused(t *testing.T) {
	s := newSite(t)
	s.withMail()
	b := s.browser()
	b.get("/forgot-password?email=ada%40example.com")
	b.shows(http.StatusOK, `value="ada@example.com"`)
	b.submit("email", " ")
	b.shows(http.StatusBadRequest, "Enter the email address of your account.")
	b.submit("email", strings.Repeat("x", 400))
	b.shows(http.StatusBadRequest, "Enter the email address of your account.")

	s.limiter.full = true
	b.submit("email", "ada@example.com")
	b.shows(http.StatusTooManyRequests)
}

// A server without mail says whom to ask, and takes no request.
func TestForgottenPasswordWithoutMail(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.get("/forgot-password")
	b.shows(http.StatusOK, "Ask your administrator", "Back to sign in")
	b.post("/forgot-password", url.Values{"email": {"ada@example.com"}})
	b.shows(http.StatusServiceUnavailable, "Ask your administrator")
}

// postbox is a mailbox with one message.
type postbox struct{ letter ui.Letter }

func (p postbox) Letters() []ui.Letter { return []ui.Letter{p.letter} }

func (p postbox) Letter(id string) (*ui.Letter, error) {
	if id != p.letter.ID {
		return nil, fault.New(fault.NotFound, "There is no such message.")
	}
	return &p.letter, nil
}

// The mailbox of a development server shows messages, to this machine only.
func TestMailbox(t *testing.T) {
	s := newSite(t)
	s.mailbox = postbox{ui.Letter{
		ID: "id1", To: "ada@example.com", Subject: "Reset your password", At: s.now.Add(-time.Minute),
		Text: "Choose a new password:\n\nhttps://id.example/reset-password?token=x1\n\nThanks\n",
		HTML: "<!doctype html><title>x</title><h1>Reset your password</h1>",
	}}
	s.withMail()

	b := s.browser()
	b.local("/dev/mail")
	b.shows(http.StatusOK, "Reset your password", "ada@example.com")
	b.local(b.link("/dev/mail/"))
	b.shows(http.StatusOK, `<a href="https://id.example/reset-password?token=x1" dir="ltr">`, "Thanks")
	b.local("/dev/mail/id1/html")
	b.shows(http.StatusOK, "<h1>Reset your password</h1>")
	if p := b.last.Header().Get("Content-Security-Policy"); !strings.HasPrefix(p, "sandbox ") {
		t.Errorf("the policy of a message is %q", p)
	}
	b.local("/dev/mail/id2")
	b.shows(http.StatusNotFound)
	b.get("/forgot-password")
	b.submit("email", "ada@example.com")
	b.shows(http.StatusOK, "/dev/mail")

	for name, change := range map[string]func(r *http.Request){
		"another machine":          func(r *http.Request) { r.RemoteAddr = "203.0.113.9:1234" },
		"another name":             func(r *http.Request) { r.Host = "attacker.example" },
		"a proxy":                  func(r *http.Request) { r.Header.Set("X-Forwarded-For", "203.0.113.9") },
		"a proxy of RFC 7239":      func(r *http.Request) { r.Header.Set("Forwarded", "for=203.0.113.9") },
		"a host that begins alike": func(r *http.Request) { r.Host = "localhost.attacker.example" },
	} {
		r := localRequest("/dev/mail")
		change(r)
		if w := b.send(r); w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "Reset your") {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	for _, host := range []string{"localhost", "127.0.0.1", "[::1]", "localhost:8080", "[::1]:8080"} {
		r := localRequest("/dev/mail")
		r.Host = host
		if w := b.send(r); w.Code != http.StatusOK {
			t.Errorf("%s: %d", host, w.Code)
		}
	}
}

// link returns the address of the first link on the page that begins so.
func (b *browser) link(prefix string) string {
	b.t.Helper()
	_, rest, ok := strings.Cut(b.last.Body.String(), `href="`+prefix)
	to, _, _ := strings.Cut(rest, `"`)
	if !ok {
		b.t.Fatalf("%s has no link to %s", b.path, prefix)
	}
	return html.UnescapeString(prefix + to)
}

// localRequest is a request from this machine.
func localRequest(to string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://localhost:8080"+to, nil)
	r.RemoteAddr = "127.0.0.1:40000"
	r.Header.Set("Accept", "text/html")
	return r
}

// local opens a page from this machine.
func (b *browser) local(to string) { b.send(localRequest(to)) }

// A link that cannot be used leads to where a new one is made, if the server has mail.
func TestUsedPasswordLink(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.get("/reset-password?token=x")
	b.shows(http.StatusConflict, `href="/login">Go to sign-in</a>`)

	s = newSite(t)
	s.withMail()
	b = s.browser()
	b.get("/reset-password?token=x")
	b.shows(http.StatusConflict, `href="/forgot-password">Get a new link</a>`)
}
