package ui_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// withEmail serves a site where people sign in by these methods.
func (s *site) withEmail(methods ...string) {
	s.login = s.newLogin(func(c *login.Config) {
		c.Methods, c.StaySignedIn = methods, true
		c.Mail, c.BaseURL, c.ResetTTL, c.ResetLimit, c.ResetWindow = true, origin, time.Hour, 3, time.Hour
	})
	s.serve()
}

// message processes the requests for messages, and returns the code and the link of the newest.
func (s *site) message() (code, link string) {
	s.t.Helper()
	ctx, sealer := s.t.Context(), outbox.NewSealer(s.keys)
	sender := s.login.EmailCodeSender(func() time.Time { return s.now })
	for range 2 { // the requests, then what they have led to
		due, err := s.db.ClaimDeliveries(ctx, outbox.Claim{Now: s.now, Until: s.now.Add(time.Hour), Limit: 100})
		testkit.Must(s.t, err)
		for i := range due {
			switch d := &due[i]; d.Kind {
			case outbox.KindCodeRequest:
				testkit.Must(s.t, sender.Send(ctx, d))
			case outbox.KindMail:
				m, err := sealer.OpenMail(d)
				testkit.Must(s.t, err)
				code, link = m.Values["code"], m.Values["link"]
			}
			due[i].State, due[i].FinishedAt = outbox.Sent, s.now
		}
		testkit.Must(s.t, s.db.FinishDeliveries(ctx, due))
	}
	return code, strings.TrimPrefix(link, origin)
}

// head asks for the header of a page, as programs do that check links in messages.
func (b *browser) head(to string) {
	b.t.Helper()
	for _, method := range []string{"HEAD", "OPTIONS"} {
		r := httptest.NewRequest(method, origin+to, nil)
		b.handler.ServeHTTP(httptest.NewRecorder(), r)
	}
}

// A person asks for a code on the way to an app, and types it.
func TestEmailCodePages(t *testing.T) {
	s := newSite(t)
	s.withEmail("password", "email_code")
	b := s.browser()
	b.get(s.ask())
	b.get(b.link("/login/email"))
	b.shows(http.StatusOK, "Sign in by email", "Demo")
	b.submit("email", strings.ToUpper(s.user.Email))
	b.shows(http.StatusOK, "Check your email", s.user.Email, "sent it a code. Enter the code here")
	code, link := s.message()
	testkit.Equal(t, "link", link, "")
	b.submit("code", "12")
	b.shows(http.StatusBadRequest, "Enter the 8 digits")
	b.submit("code", "")
	b.shows(http.StatusBadRequest, "Enter the 8 digits")
	b.submit("code", wrong(code))
	b.shows(http.StatusForbidden, "Incorrect code")
	b.submit("code", code, "stay_signed_in", "1")
	b.shows(http.StatusOK, "consent_action", "Demo")

	// What was asked for is forgotten.
	b = s.browser()
	b.get("/login/email?email=" + url.QueryEscape(s.user.Email))
	b.shows(http.StatusOK, "Sign in by email", s.user.Email)
}

func wrong(code string) string {
	if code[0] == '0' {
		return "1" + code[1:]
	}
	return "0" + code[1:]
}

// A link signs in the browser that asked, after a page that names the account, and goes on where
// the sign-in began. No GET or HEAD changes anything.
func TestMagicLink(t *testing.T) {
	s := newSite(t)
	s.withEmail("magic_link")
	s.mailbox = postbox{}
	s.serve()
	b := s.browser()
	b.get(s.ask("login_hint", s.user.Email))
	b.shows(http.StatusOK, `value="`+s.user.Email+`"`, `action="/login/email"`)
	b.submit("email", s.user.Email)
	b.shows(http.StatusOK, "Open it in this browser", "/dev/mail")
	_, link := s.message()

	// Elsewhere it shows the code, and no session begins.
	other := s.browser()
	for range 2 {
		other.head(link)
		other.get(link)
		other.shows(http.StatusOK, "Your sign-in code", s.user.Email, "Never give the code")
	}
	if strings.Contains(other.path, "token") {
		t.Errorf("the token stays in the address: %s", other.path)
	}
	code := regexp.MustCompile(`<p class="big-code" dir="ltr" translate="no">(\d{8})</p>`).FindStringSubmatch(other.last.Body.String())
	if code == nil {
		t.Fatal("no code")
	}
	if other.cookies["__Host-gatehouse"] != "" {
		t.Error("the link signed in")
	}
	other.post("/login/email", url.Values{"link": {strings.TrimPrefix(link, "/login/email?token=")}})
	other.shows(http.StatusBadRequest, "Start again")
	other.post("/login/email", url.Values{"code": {code[1]}})
	other.shows(http.StatusBadRequest, "Start again")

	b.head(link)
	b.get(link)
	b.shows(http.StatusOK, "Sign in to this account?", s.user.Email, "Demo")
	b.submit("stay_signed_in", "1")
	b.shows(http.StatusOK, "consent_action", "Demo")
	b.get(link)
	b.shows(http.StatusConflict, "used already or has expired")
	other.get(link)
	other.shows(http.StatusConflict, "used already or has expired")
}

// The code that a link shows elsewhere signs in where it was asked for.
func TestMagicLinkOpenedElsewhere(t *testing.T) {
	s := newSite(t)
	s.withEmail("password", "email_code", "magic_link")
	b := s.browser()
	b.get("/login")
	b.get(b.link("/login/email"))
	b.submit("email", s.user.Email)
	b.shows(http.StatusOK, "sent it a code and a link")
	code, link := s.message()
	phone := s.browser()
	phone.get(link)
	phone.shows(http.StatusOK, code)
	b.submit("code", code[:4]+" "+code[4:])
	b.shows(http.StatusOK, "Overview")
}

// The link of a sign-in that is too long for a cookie signs in all the same.
func TestMagicLinkOfALongSignIn(t *testing.T) {
	s := newSite(t)
	s.withEmail("magic_link")
	b := s.browser()
	b.get(s.ask("state", strings.Repeat("x", 1900)))
	b.submit("email", s.user.Email)
	_, link := s.message()
	b.get(link)
	b.submit()
	b.shows(http.StatusOK, "Overview")
}

// Unknown, disabled and known addresses look alike, the second time too.
func TestEmailOfNobody(t *testing.T) {
	s := newSite(t)
	s.withEmail("password", "email_code")
	closed := s.newUser()
	disabled := *closed
	disabled.Disabled = true
	testkit.Must(t, s.db.UpdateUser(t.Context(), closed, &disabled))
	var first []string
	for _, email := range []string{s.user.Email, "nobody@example.org", closed.Email} {
		b := s.browser()
		var pages []string
		for range 2 {
			b.get("/login/email?other=1")
			b.submit("email", email)
			seen := strings.ReplaceAll(b.last.Body.String(), email, "X")
			var names []string
			for _, c := range b.last.Result().Cookies() {
				names = append(names, c.Name)
			}
			pages = append(pages, http.StatusText(b.last.Code), seen, strings.Join(names, " "))
			b.submit("code", "00000000")
			b.shows(http.StatusForbidden, "Incorrect code")
			pages = append(pages, strings.ReplaceAll(b.last.Body.String(), email, "X"))
		}
		if first == nil {
			first = pages
		}
		for i := range pages {
			if ids.ReplaceAllString(pages[i], "") != ids.ReplaceAllString(first[i], "") {
				t.Errorf("%s: page %d differs:\n%s\n%s", email, i, pages[i], first[i])
			}
		}
	}
}

var ids = regexp.MustCompile(`[A-Z2-7]{16}`)

// What was entered is checked and counted, and a lock ends the sign-in.
func TestEmailRefused(t *testing.T) {
	s := newSite(t)
	s.withEmail("password", "email_code")
	b := s.browser()
	b.get("/login/email")
	b.submit("email", " ")
	b.shows(http.StatusBadRequest, "Enter the email address of your account.")
	b.submit("email", strings.Repeat("x", 400))
	b.shows(http.StatusBadRequest, "Enter the email address of your account.")
	b.get("/login/email?token=" + strings.Repeat("x", 5000))
	b.shows(http.StatusBadRequest, "not a link")
	for _, token := range []string{"x", secret.NewToken(secret.PrefixLink), "a;b=c"} {
		b.get("/login/email?token=" + url.QueryEscape(token))
		b.shows(http.StatusConflict, "used already or has expired")
	}
	b.get("/login/email/link")

	b.get("/login/email")
	b.submit("email", s.user.Email)
	code, _ := s.message()
	for range 4 {
		b.submit("code", wrong(code))
		b.shows(http.StatusForbidden, "Incorrect code")
	}
	b.submit("code", wrong(code))
	b.shows(http.StatusTooManyRequests, "Too many failed attempts")
	s.now = s.now.Add(2 * time.Minute) // the lock has ended
	b.post("/login/email", url.Values{"code": {code}})
	b.shows(http.StatusBadRequest, "Start again")

	b.submit("email", s.user.Email)
	s.limiter.full = true
	b.submit("code", code)
	b.shows(http.StatusTooManyRequests)
	b.get("/login/email?other=1")
	b.submit("email", s.user.Email)
	b.shows(http.StatusTooManyRequests)
}

// Where nobody signs in by mail, no page offers it.
func TestEmailIsOff(t *testing.T) {
	s := newSite(t)
	s.withMail()
	b := s.browser()
	b.get("/login")
	if strings.Contains(b.last.Body.String(), "/login/email") {
		t.Error("the page offers it")
	}
	b.get("/login/email")
	b.shows(http.StatusNotFound)
	b.get("/login/email/link")
	b.shows(http.StatusNotFound)
	b.post("/login/email", url.Values{"email": {s.user.Email}})
	b.shows(http.StatusNotFound)
}
