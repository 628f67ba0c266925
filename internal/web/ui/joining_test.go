package ui_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

const (
	phrase  = "quite a long pass phrase 7"
	phrase2 = "another long pass phrase 8"
)

// withSignUp serves a site where new people may join.
func (s *site) withSignUp() {
	s.login = s.newLogin(func(c *login.Config) {
		c.Mail, c.BaseURL, c.ResetTTL, c.ResetLimit, c.ResetWindow = true, origin, time.Hour, 3, time.Hour
		c.SignUp, c.RequireVerified, c.VerifyTTL = true, true, 24*time.Hour
	})
	s.serve()
}

// fresh returns an address that nobody has used.
func (s *site) fresh() string {
	id := secret.NewID(s.now)
	return "new" + id[len(id)-8:] + "@example.com"
}

// mailTo processes what is due, as the outbox does, and returns the messages to an address.
func (s *site) mailTo(to string) (all []outbox.Mail) {
	s.t.Helper()
	s.now = s.now.Add(time.Second)
	clock, sealer := func() time.Time { return s.now }, outbox.NewSealer(s.keys)
	for range 5 {
		due, err := s.db.ClaimDeliveries(s.t.Context(), outbox.Claim{Holder: "h", Now: s.now, Until: s.now.Add(time.Hour), Limit: 500})
		testkit.Must(s.t, err)
		for i := range due {
			d := &due[i]
			switch d.Kind {
			case outbox.KindMail:
				m, err := sealer.OpenMail(d)
				testkit.Must(s.t, err)
				if m.To == to {
					all = append(all, *m)
				}
			case outbox.KindAddressRequest:
				testkit.Must(s.t, s.login.AddressSender(clock).Send(s.t.Context(), d))
			case outbox.KindResetRequest:
				testkit.Must(s.t, s.login.ResetSender(clock).Send(s.t.Context(), d))
			}
			d.State, d.FinishedAt = outbox.Sent, s.now
		}
		testkit.Must(s.t, s.db.FinishDeliveries(s.t.Context(), due))
		if len(due) == 0 {
			break
		}
	}
	return all
}

// letter returns the only message of a kind to an address.
func (s *site) letter(message, to string) outbox.Mail {
	s.t.Helper()
	var found []outbox.Mail
	all := s.mailTo(to)
	for _, m := range all {
		if m.Message == message {
			found = append(found, m)
		}
	}
	if len(found) != 1 {
		s.t.Fatalf("%d messages %s to %s: %+v", len(found), message, to, all)
	}
	return found[0]
}

// path returns the address of a mailed link on the site.
func path(m outbox.Mail) string { return strings.TrimPrefix(m.Values["link"], origin) }

// A new person comes from an app, signs up, types the code, and is on the way to the app again.
func TestSignUpPages(t *testing.T) {
	s := newSite(t)
	s.mailbox = postbox{}
	s.withSignUp()
	b, email := s.browser(), s.fresh()
	b.get(s.ask())
	b.shows(http.StatusOK, "No account yet?")
	b.get(b.link("/signup"))
	b.shows(http.StatusOK, "Create your account", "Demo")
	b.submit("email", "x", "name", "Ada", "username", "countess", "password", "short")
	b.shows(http.StatusBadRequest, "is not an email address", "Use at least 12 characters", `value="Ada"`, `value="countess"`)
	b.submit("email", email, "name", "Ada", "username", "", "password", phrase)
	b.shows(http.StatusOK, "Confirm your address", email, "/dev/mail")
	m := s.letter(outbox.MessageVerification, email)
	b.submit("code", "BBBB-BBBB")
	b.shows(http.StatusForbidden, "wrong or has expired")
	b.get(s.ask())
	b.shows(http.StatusOK, "You haven’t confirmed", email)
	b.submit("username", email, "password", phrase) // signing in ends at the page that confirms
	b.shows(http.StatusOK, "Confirm your address")
	b.submit("code", m.Values["code"])
	b.shows(http.StatusOK, "Demo") // the consent page
	if strings.Contains(b.last.Body.String(), `id="f-password"`) {
		t.Error("the person is not signed in")
	}
	b.get("/signup")
	b.shows(http.StatusOK, "Ada")
	s.letter(outbox.MessageWelcome, email)
}

// Twice each for addresses of every state: nothing tells them apart.
func TestSignUpPagesLookAlike(t *testing.T) {
	s := newSite(t)
	s.withSignUp()
	kinds := s.kindsOfAddresses()
	kinds["locked"] = s.lockedOut()
	s.answersAlike(kinds, func(b *browser, email string) *httptest.ResponseRecorder {
		return b.post("/signup", url.Values{"email": {email}, "password": {phrase}})
	})
}

// The pages for a forgotten password and for a message to sign in with answer alike, too.
func TestMailPagesLookAlike(t *testing.T) {
	s := newSite(t)
	s.withMail()
	kinds := s.kindsOfAddresses()
	kinds["locked"] = s.lockedOut()
	s.answersAlike(kinds, func(b *browser, email string) *httptest.ResponseRecorder {
		return b.post("/forgot-password", url.Values{"email": {email}})
	})
	s.withEmail("email_code")
	s.answersAlike(s.kindsOfAddresses(), func(b *browser, email string) *httptest.ResponseRecorder {
		return b.post("/login/email", url.Values{"email": {email}})
	})
}

// kindsOfAddresses returns an address of each kind that must not be told apart.
func (s *site) kindsOfAddresses() map[string]string {
	s.t.Helper()
	change := func(f func(u *identity.User)) string {
		u := s.newUser()
		next := *u
		f(&next)
		next.UpdatedAt = s.now
		testkit.Must(s.t, s.db.UpdateUser(s.t.Context(), u, &next))
		return u.Email
	}
	return map[string]string{
		"known": s.newUser().Email, "unknown": s.fresh(), "disabled": change(func(u *identity.User) { u.Disabled = true }),
		"unverified": change(func(u *identity.User) { u.MustVerify = true }),
	}
}

// lockedOut returns the address of an account that is locked after wrong passwords.
func (s *site) lockedOut() string {
	s.t.Helper()
	email := s.newUser().Email
	b := s.browser()
	for range 5 {
		b.get("/login")
		b.submit("username", email, "password", "not the password 7")
	}
	b.get("/login")
	b.submit("username", email, "password", "password")
	b.shows(http.StatusTooManyRequests)
	s.mailTo(email)
	return email
}

// answersAlike sends a form twice for each address, and compares the answers.
func (s *site) answersAlike(
	addresses map[string]string, send func(b *browser, email string) *httptest.ResponseRecorder,
) {
	s.t.Helper()
	var want [2]string
	for name, email := range addresses {
		b := s.browser()
		for i := range 2 {
			w := send(b, email)
			cookies := len(b.cookies)
			got := strings.ReplaceAll(w.Body.String(), email, "E") + http.StatusText(w.Code)
			got = got[:strings.Index(got, "Request")+1] + string(rune('0'+cookies)) + w.Header().Get("Retry-After")
			if want[i] == "" {
				want[i] = got
			}
			if got != want[i] {
				s.t.Errorf("%s, %d: the answers differ\n%s\n%s", name, i, got, want[i])
			}
			s.mailTo(email)
		}
	}
}

// The link works in the browser that signed up by one button, and asks others for the password. No
// opening of it changes anything, and its token leaves the address line.
func TestVerifyPages(t *testing.T) {
	s := newSite(t)
	s.withSignUp()
	b, email := s.browser(), s.fresh()
	b.post("/signup", url.Values{"email": {email}, "name": {"Ada"}, "password": {phrase}})
	link := path(s.letter(outbox.MessageVerification, email))

	scanner := s.browser()
	for _, method := range []string{"HEAD", "GET", "OPTIONS", "GET"} { // as mail programs do
		r, err := http.NewRequest(method, origin+link, nil)
		testkit.Must(t, err)
		r.RequestURI = link
		scanner.send(r)
		scanner.get("/verify-email")
	}
	elsewhere := s.browser()
	elsewhere.get(link)
	testkit.Equal(t, "address", elsewhere.path, "/verify-email")
	elsewhere.shows(http.StatusOK, "isn’t the browser that signed up", email)
	elsewhere.submit("password", "a wrong one 12345")
	elsewhere.shows(http.StatusForbidden, "Incorrect password")
	elsewhere.get(elsewhere.link("/verify-email?new=1"))
	elsewhere.shows(http.StatusOK, "Choose a password of your own", `name="username"`)
	elsewhere.submit("new_password", "short", "name", "Owner", "username", "a@b")
	elsewhere.shows(http.StatusBadRequest, `value="Owner"`, "must not contain @")

	b.get(link)
	b.shows(http.StatusOK, "Confirm that this address is yours")
	b.submit()
	b.shows(http.StatusOK, "Ada")
	elsewhere.submit("new_password", phrase2, "name", "Owner", "username", "")
	elsewhere.shows(http.StatusConflict, "used already")
	b.get(link)
	b.shows(http.StatusConflict, "used already")
	b.get("/verify-email?token=nonsense")
	b.shows(http.StatusConflict, "used already")
}

// A person who does not know the password of a stranger's sign-up begins anew.
func TestVerifyByTheOwner(t *testing.T) {
	s := newSite(t)
	s.withSignUp()
	stranger, email := s.browser(), s.fresh()
	stranger.post("/signup", url.Values{"email": {email}, "name": {"Mallory"}, "password": {phrase}})
	owner := s.browser()
	owner.get(path(s.letter(outbox.MessageVerification, email)))
	owner.get(owner.link("/verify-email?new=1"))
	owner.submit("new_password", phrase2, "name", "Owner", "username", "")
	owner.shows(http.StatusOK, "Owner")
	stranger.get("/login")
	stranger.submit("username", email, "password", phrase)
	stranger.shows(http.StatusOK, "Confirm your address") // and learns nothing
	again := s.browser()
	again.get("/login")
	again.submit("username", email, "password", phrase)
	again.shows(http.StatusForbidden, "Incorrect")
}

// A taken username is told at the last step, and another one may be chosen there.
func TestTakenUsername(t *testing.T) {
	s := newSite(t)
	s.withSignUp()
	u := s.user
	next := *u
	next.Username, next.UpdatedAt = "taken"+u.Email[3:11], s.now
	testkit.Must(t, s.db.UpdateUser(t.Context(), u, &next))
	for _, by := range []string{"code", "link"} {
		b, email := s.browser(), s.fresh()
		b.post("/signup", url.Values{"email": {email}, "username": {next.Username}, "password": {phrase}})
		m := s.letter(outbox.MessageVerification, email)
		if by == "code" {
			b.get("/signup/confirm")
			b.submit("code", m.Values["code"])
		} else {
			b.get(path(m))
			b.submit()
		}
		b.shows(http.StatusBadRequest, "username is taken", `name="username"`)
		b.submit("username", "a@b")
		b.shows(http.StatusBadRequest, "must not contain @", `value="a@b"`)
		b.submit("username", "free"+email[3:11])
		b.shows(http.StatusOK, "Security")
	}
}

// The message is sent again, without telling whether there was one.
func TestConfirmAgain(t *testing.T) {
	s := newSite(t)
	s.withSignUp()
	b, email := s.browser(), s.fresh()
	b.get("/signup/confirm")
	b.shows(http.StatusOK, "Create your account") // nothing waits
	b.submit("email", email, "password", phrase)
	s.mailTo(email)
	b.post("/signup/confirm", url.Values{"again": {"1"}})
	b.shows(http.StatusOK, "sent the message again")
	b.submit("code", s.letter(outbox.MessageVerification, email).Values["code"])
	b.shows(http.StatusOK, "Security")
	s.limiter.full = true
	b = s.browser()
	b.post("/signup", url.Values{"email": {email}, "password": {phrase}})
	b.shows(http.StatusTooManyRequests)
}

// Without sign-up, the page says whom to ask, and takes nothing.
func TestSignUpClosed(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.get("/signup")
	b.shows(http.StatusOK, "Ask your administrator")
	b.post("/signup", url.Values{"email": {"a@example.com"}, "password": {phrase}})
	b.shows(http.StatusForbidden, "Ask your administrator")
	b.get("/login")
	if strings.Contains(b.last.Body.String(), "/signup") {
		t.Error("the sign-in page offers to sign up")
	}
	s.login = s.newLogin(func(c *login.Config) { c.SignUp, c.Mail, c.SignUpDomains = true, true, []string{"example.com"} })
	s.serve()
	b.get("/signup")
	b.shows(http.StatusOK, "Only addresses at example.com")
}

// A person who must confirm the address does so before any app gets a code.
func TestVerifyStep(t *testing.T) {
	s := newSite(t)
	s.withSignUp()
	u := s.newUser()
	next := *u
	next.MustVerify, next.UpdatedAt = true, s.now
	testkit.Must(t, s.db.UpdateUser(t.Context(), u, &next))
	b := s.browser()
	b.get(s.ask())
	b.submit("username", u.Email, "password", "password")
	b.shows(http.StatusOK, "Confirm your address", u.Email)
	b.submit("code", "BBBBBBBB")
	b.shows(http.StatusForbidden, "wrong or has expired")
	s.mailTo(u.Email)
	b.post("/login/verify", url.Values{"again": {"1"}})
	b.shows(http.StatusOK, "sent the message again")
	m := s.letter(outbox.MessageVerification, u.Email)
	b.get(path(m)) // the link leads here, too
	b.shows(http.StatusOK, "Sign in to your account to confirm", "I don’t know the password")
	b.get("/login/verify")
	b.shows(http.StatusOK, "is yours to continue")
	b.submit()
	b.shows(http.StatusOK, "Security")
}

// The owner of a mailbox in whose name there is an account with a password of somebody else.
func TestClaimPages(t *testing.T) {
	s := newSite(t)
	s.withSignUp()
	u := s.newUser()
	next := *u
	next.MustVerify, next.UpdatedAt = true, s.now
	testkit.Must(t, s.db.UpdateUser(t.Context(), u, &next))
	stranger := s.signedIn(u)
	testkit.Must(t, s.login.RequestVerification(t.Context(), login.Visit{Now: s.now}, u.Email))
	b := s.browser()
	b.get(path(s.letter(outbox.MessageVerification, u.Email)))
	b.get(b.link("/verify-email?new=1"))
	b.submit("new_password", phrase2)
	b.shows(http.StatusOK, "Your password was changed", `value="`+u.Email+`"`)
	b.submit("username", u.Email, "password", phrase2)
	b.shows(http.StatusOK, "Security")
	stranger.get("/account")
	stranger.shows(http.StatusOK, `name="password"`)
}

// An invitation is for its address: another account that is signed in is refused with the reason,
// and the invitation stays.
func TestInvitationPages(t *testing.T) {
	s := newSite(t)
	s.withSignUp()
	u := &identity.User{ID: identity.UserID(secret.NewID(s.now)), Email: s.fresh(), CreatedAt: s.now, UpdatedAt: s.now}
	testkit.Must(t, s.db.CreateUser(t.Context(), u))
	_, err := s.login.Invite(t.Context(), login.Visit{Now: s.now}, u)
	testkit.Must(t, err)
	link := path(s.letter(outbox.MessageInvitation, u.Email))
	other := s.signedIn(s.user)
	other.get(link)
	other.shows(http.StatusOK, "You’re signed in as", "Ada", u.Email)
	other.post("/invitation", url.Values{"password": {phrase}})
	other.shows(http.StatusForbidden, "You’re signed in as")

	b := s.browser()
	b.get(link)
	testkit.Equal(t, "address", b.path, "/invitation")
	b.shows(http.StatusOK, "Accept your invitation", u.Email)
	b.submit("name", "Vera", "username", "a@b", "password", "short")
	b.shows(http.StatusBadRequest, "must not contain @", `value="Vera"`, `value="a@b"`)
	b.submit("name", "Vera", "username", "", "password", phrase)
	b.shows(http.StatusOK, "Vera", "Security")
	b.get(link)
	b.shows(http.StatusConflict, "used already")
}

// The reset link works in the browser of the person although a scanner opened it first; the token
// leaves the address line; the field names that scripts use are accepted; and one of many wins.
func TestResetLinkPage(t *testing.T) {
	s := newSite(t)
	s.withMail()
	testkit.Must(t, s.login.RequestPasswordReset(t.Context(), login.Visit{Now: s.now}, s.user.Email, ""))
	link := path(s.letter(outbox.MessagePasswordReset, s.user.Email))
	scanner := s.browser()
	scanner.get(link)
	scanner.shows(http.StatusOK, `name="new_password"`)
	b := s.browser()
	r, err := http.NewRequest("GET", origin+link, nil)
	testkit.Must(t, err)
	w := b.send(r)
	testkit.Equal(t, "redirected to", w.Header().Get("Location"), "/reset-password")
	cookie := w.Result().Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || !cookie.Secure || cookie.MaxAge > 3600 {
		t.Errorf("the cookie is %+v", cookie)
	}
	b.get("/reset-password")
	b.shows(http.StatusOK, `name="new_password"`)
	if got := b.last.Header().Get("Referrer-Policy"); got != "same-origin" {
		t.Errorf("the referrer policy is %q", got)
	}
	b.post("/reset-password", url.Values{"password": {phrase2}, "password_confirmation": {phrase}})
	b.shows(http.StatusBadRequest, "do not match")
	b.post("/reset-password", url.Values{"password": {phrase2}, "password_confirmation": {phrase2}})
	b.shows(http.StatusOK, "Your password was changed")
	scanner.submit("new_password", phrase, "confirm_password", phrase)
	scanner.shows(http.StatusConflict, "used already")
	b.get("/reset-password")
	b.shows(http.StatusConflict)

	// A link of another purpose opens nothing here.
	b.get("/verify-email" + link[strings.Index(link, "?"):])
	b.shows(http.StatusConflict, "used already")
}

// Links are made of BASE_URL only, whatever the request says of its host.
func TestLinksNameOurHost(t *testing.T) {
	s := newSite(t)
	s.withSignUp()
	email := s.fresh()
	b := s.browser()
	r, err := http.NewRequest("POST", "https://evil.test/signup", strings.NewReader(url.Values{"email": {email}, "password": {phrase}}.Encode()))
	testkit.Must(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-Forwarded-Host", "evil.test")
	r.Header.Set("Forwarded", "host=evil.test")
	b.send(r)
	if link := s.letter(outbox.MessageVerification, email).Values["link"]; !strings.HasPrefix(link, origin+"/verify-email?token=") {
		t.Errorf("the link is %s", link)
	}
}

// The former address comes back by a page of its own, which a mail program may open.
func TestUndoPages(t *testing.T) {
	s := newSite(t)
	s.withSignUp()
	u, email := s.newUser(), s.fresh()
	v := login.Visit{Now: s.now}
	testkit.Must(t, s.login.RequestEmail(t.Context(), v, u, login.ConfirmChange, email, false))
	m := s.letter(outbox.MessageEmailConfirm, email)
	signed := s.signedIn(u)
	signed.get(path(m))
	signed.shows(http.StatusOK, "Confirm that this address is yours", email)
	signed.submit()
	undo := path(s.letter(outbox.MessageEmailUndo, u.Email))
	b := s.browser()
	for range 2 {
		b.get(undo)
		b.shows(http.StatusOK, "Undo the change", u.Email)
	}
	b.submit("password", "a wrong one 12345", "code", "")
	b.shows(http.StatusForbidden, "Incorrect password")
	b.submit("password", "password", "code", "")
	b.shows(http.StatusOK, "Your address is back", `value="`+u.Email+`"`)
	signed.get("/account")
	signed.shows(http.StatusOK, `name="password"`)
	b.get(undo)
	b.shows(http.StatusConflict, "used already")
	b.get("/undo-email" + path(m)[strings.Index(path(m), "?"):])
	b.shows(http.StatusConflict, "used already")
}

// A person changes the main address, adds one, makes it the main one, and removes one.
func TestEmailPages(t *testing.T) {
	s := newSite(t)
	s.mailbox = postbox{}
	s.withSignUp()
	u, first, second := s.newUser(), s.fresh(), s.fresh()
	key, _ := s.enroll(u)
	code := func() string {
		s.now = s.now.Add(time.Minute)
		return totp(t, key, s.now)
	}
	b := s.signedIn(u)
	b.get("/account/profile")
	b.get(b.link("/account/email"))
	b.shows(http.StatusOK, u.Email, "Not verified", "Main address")
	change := func(to, email, password, code string) {
		b.post(to, url.Values{"email": {email}, "current_password": {password}, "code": {code}, "old_lost": {"1"}})
	}
	change("/account/email", first, "wrong", code())
	b.shows(http.StatusForbidden, "Incorrect password", `value="`+first+`"`, "checked")
	change("/account/email", first, "password", "000000")
	b.shows(http.StatusForbidden, "Incorrect code")
	change("/account/email", "x", "password", code())
	b.shows(http.StatusBadRequest, "Enter an email address")
	change("/account/email", first, "password", code())
	b.shows(http.StatusOK, "sent a message to the address", first, "becomes your main address", "/dev/mail")
	m := s.letter(outbox.MessageEmailConfirm, first)
	b.post("/account/email/confirm", url.Values{"email": {first}, "code": {"BBBBBBBB"}})
	b.shows(http.StatusForbidden, "wrong or has expired")
	b.post("/account/email/confirm", url.Values{"email": {first}, "code": {m.Values["code"]}})
	b.shows(http.StatusOK, "The address is confirmed", first, "Verified")

	change("/account/email/add", first, "password", code())
	b.shows(http.StatusBadRequest, "address of your account already")
	change("/account/email/add", second, "password", code())
	b.shows(http.StatusOK, second, "is added when")
	b.post("/account/email/confirm", url.Values{"email": {second}, "code": {s.letter(outbox.MessageEmailConfirm, second).Values["code"]}})
	b.shows(http.StatusOK, "More addresses", second)
	manage := func(action, email, code string) {
		b.post("/account/email/manage", url.Values{"action": {action}, "email": {email}, "current_password": {"password"}, "code": {code}})
	}
	manage("remove", second, "000000")
	b.shows(http.StatusForbidden, "Incorrect code", `id="f-other0_code"`)
	manage("primary", second, code())
	b.shows(http.StatusOK, "Your main address was changed")
	manage("remove", first, code())
	b.shows(http.StatusOK, "The address was removed")
	manage("remove", first, code())
	b.shows(http.StatusNotFound)

	b.get("/account/username")
	b.shows(http.StatusOK, "Change your username")
	b.submit("username", "a@b", "current_password", "password", "code", code())
	b.shows(http.StatusBadRequest, "must not contain @", `value="a@b"`)
	b.submit("username", "countess"+second[3:11], "current_password", "password", "code", code())
	b.shows(http.StatusOK, "Your username was changed", "countess")
}

// The main address that an administrator entered is confirmed by code.
func TestConfirmOwnAddress(t *testing.T) {
	s := newSite(t)
	s.withSignUp()
	u := s.newUser()
	b := s.signedIn(u)
	b.post("/account/email/send", nil)
	b.shows(http.StatusOK, "sent a message")
	m := s.letter(outbox.MessageVerification, u.Email)
	b.post("/account/email/confirm", url.Values{"email": {u.Email}, "code": {"BBBBBBBB"}})
	b.shows(http.StatusForbidden, `id="f-own_code"`)
	b.post("/account/email/confirm", url.Values{"email": {u.Email}, "code": {m.Values["code"]}})
	b.shows(http.StatusOK, "The address is confirmed", "Verified")
	b.post("/account/email/send", nil)
	b.shows(http.StatusBadRequest, "no address to confirm")
	s.withMail()
	s.login = s.newLogin(nil)
	s.serve()
	b = s.signedIn(u)
	b.get("/account/email")
	b.shows(http.StatusOK, "cannot send email")
}

// Programs prove addresses with JSON.
func TestVerifyByPrograms(t *testing.T) {
	s := newSite(t)
	s.withSignUp()
	call := func(path, body string) (int, string) {
		r, err := http.NewRequest("POST", origin+path, strings.NewReader(body))
		testkit.Must(t, err)
		r.Header.Set("Content-Type", "application/json")
		w := s.browser().send(r)
		return w.Code, w.Body.String()
	}
	wants := func(path, body string, status int, text string) {
		t.Helper()
		if code, got := call(path, body); code != status || !strings.Contains(got, text) {
			t.Errorf("%s %s: %d %s", path, body, code, got)
		}
	}
	email := s.fresh()
	s.browser().post("/signup", url.Values{"email": {email}, "password": {phrase}})
	s.mailTo(email)
	for _, to := range []string{email, s.fresh(), s.user.Email} {
		wants("/account/email/resend", `{"email":"`+to+`"}`, 200, `{"success":true}`)
	}
	wants("/account/email/resend", `{"email":5}`, 400, "invalid_request")
	all := s.mailTo(email)
	token := all[0].Values["link"][strings.Index(all[0].Values["link"], "=")+1:]
	wants("/account/email/verify", `{"token":"nonsense"}`, 400, "invalid_token")
	wants("/account/email/verify", `{"token":"`+token+`"}`, 400, "chosen at the sign-up")
	wants("/account/email/verify", `{"token":"`+token+`","password":"a wrong one 123"}`, 403, "access_denied")
	wants("/account/email/verify", `{"token":"`+token+`","password":"`+phrase+`"}`, 200, `{"success":true}`)
	wants("/account/email/verify", `{"token":"`+token+`","password":"`+phrase+`"}`, 400, "invalid_token")
	s.limiter.full = true
	wants("/account/email/verify", `{"token":"x"}`, 429, "rate_limited")
}

// Where people sign in by messages and not by passwords, they join without one: in the browser that
// signed up by the code or the link, in another one by entering everything anew.
func TestJoiningWithoutAPassword(t *testing.T) {
	s := newSite(t)
	s.login = s.newLogin(func(c *login.Config) {
		c.Mail, c.BaseURL, c.ResetTTL, c.ResetLimit, c.ResetWindow = true, origin, time.Hour, 3, time.Hour
		c.SignUp, c.RequireVerified, c.VerifyTTL = true, true, 24*time.Hour
		c.Methods = []string{"email_code"}
	})
	s.serve()
	begin := func(b *browser, email string) outbox.Mail {
		b.get("/signup")
		b.shows(200, `name="email"`)
		b.hides(`name="password"`)
		b.submit("email", email, "name", "Bo")
		return s.letter(outbox.MessageVerification, email)
	}
	email, own := s.fresh(), s.browser()
	begin(own, email)
	m := begin(own, email)
	own.submit("code", m.Values["code"])
	own.shows(200, "Hello, <bdi>Bo")

	// Somebody else's name for the address does not get into the account of its owner.
	email = s.fresh()
	m = begin(s.browser(), email)
	owner := s.browser()
	owner.get(strings.TrimPrefix(m.Values["link"], origin))
	owner.shows(200, `name="name"`)
	owner.hides(`name="new_password"`, `name="password"`, `value="Bo"`)
	owner.submit("name", "Vera")
	owner.shows(200, "Hello, <bdi>Vera")

	u := &identity.User{ID: identity.UserID(s.fresh()), Email: s.fresh(), CreatedAt: s.now, UpdatedAt: s.now}
	testkit.Must(t, s.db.CreateUser(t.Context(), u))
	_, err := s.login.Invite(t.Context(), s.person(), u)
	testkit.Must(t, err)
	guest := s.browser()
	guest.get(strings.TrimPrefix(s.letter(outbox.MessageInvitation, u.Email).Values["link"], origin))
	guest.hides(`name="password"`)
	guest.submit("name", "Gus")
	guest.shows(200, "Hello, <bdi>Gus")
	stored, err := s.db.User(t.Context(), u.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "password", stored.PasswordHash, "")
}
