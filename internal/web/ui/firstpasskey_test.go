package ui_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/passkey"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// withoutPasswords serves a site where sign-ins begin with these methods, and people may join.
func withoutPasswords(t *testing.T, methods ...string) *site {
	s := newSite(t)
	rp, err := passkey.New(passkey.Config{Name: "Example", Origin: origin})
	testkit.Must(t, err)
	s.login = s.newLogin(func(c *login.Config) {
		c.Mail, c.BaseURL, c.ResetTTL, c.ResetLimit, c.ResetWindow = true, origin, time.Hour, 9, time.Hour
		c.SignUp, c.RequireVerified, c.VerifyTTL = true, true, 24*time.Hour
		c.Methods, c.Passkeys = methods, rp
	})
	s.serve()
	return s
}

// join answers the page that makes the first passkey.
func (a *authenticator) join(b *browser) {
	b.t.Helper()
	b.shows(http.StatusOK, "Add a passkey")
	b.submit("passkey", a.make(b))
}

// Where people sign in with passkeys only, a new person proves the address and makes a passkey; the
// account exists from then on, and the passkey signs in.
func TestSignUpWithPasskeyOnly(t *testing.T) {
	s := withoutPasswords(t, "passkey")
	b, email, a := s.browser(), s.fresh(), newAuthenticator(true)
	b.get("/login")
	b.get(b.link("/signup"))
	if strings.Contains(b.last.Body.String(), `name="password"`) {
		t.Error("the page asks for a password")
	}
	b.submit("email", email, "name", "Ada")
	m := s.letter(outbox.MessageVerification, email)
	b.submit("code", m.Values["code"])
	page := b.path

	// A device that does not verify people cannot be the only way in, and an answer to another
	// question is none; neither makes an account, and the person may try again.
	newAuthenticator(false).join(b)
	b.shows(http.StatusForbidden, "Add a passkey")
	b.submit("passkey", "{}")
	b.shows(http.StatusForbidden, "cannot be read")
	if _, err := s.db.UserByLogin(t.Context(), identity.LoginKey(email)); err == nil {
		t.Fatal("the account exists before its passkey")
	}
	// Who leaves and opens the mailed link in the same browser goes on without entering anything.
	b.get(path(m))
	b.shows(http.StatusOK, "Confirm that this address is yours")
	b.submit()
	a.join(b)
	if b.path != "/account" {
		t.Fatalf("at %s:\n%s", b.path, b.last.Body)
	}
	b.get(page)
	b.shows(http.StatusConflict, "Start again")
	b.get(path(m))
	b.shows(http.StatusConflict, "used already")

	other := s.browser()
	other.get("/login")
	a.signIn(other)
	other.get("/account")
	other.shows(http.StatusOK, "Ada")
	u, err := s.db.UserByLogin(t.Context(), identity.LoginKey(email))
	testkit.Must(t, err)
	if !u.EmailVerified || u.PasswordHash != "" {
		t.Errorf("the account: %+v", u)
	}
}

// Two browsers hold the step of one sign-up: one account, one passkey.
func TestSignUpWithPasskeyTwice(t *testing.T) {
	s := withoutPasswords(t, "passkey")
	b, email := s.browser(), s.fresh()
	b.get("/signup")
	b.submit("email", email, "name", "Ada")
	m := s.letter(outbox.MessageVerification, email)
	b.submit("code", m.Values["code"])
	thief := s.browser() // opens the link from the mailbox: nothing of what Ada typed is there
	thief.get(path(m))
	thief.submit("name", "Mallory")
	thief.shows(http.StatusOK, "Add a passkey")
	newAuthenticator(true).join(b)
	newAuthenticator(true).join(thief)
	if thief.path == "/account" {
		t.Error("two people have one account")
	}
	u, err := s.db.UserByLogin(t.Context(), identity.LoginKey(email))
	testkit.Must(t, err)
	if creds, _ := s.db.Credentials(t.Context(), u.ID); len(creds) != 1 || u.Name != "Ada" {
		t.Errorf("%s has %d passkeys", u.Name, len(creds))
	}
}

// A username that is taken is reported before the device makes a passkey, and another one may be
// chosen there.
func TestTakenUsernameWithPasskeyOnly(t *testing.T) {
	s := withoutPasswords(t, "passkey")
	taken := s.invited()
	next := *taken
	next.Username = "taken" + taken.Email[3:11]
	testkit.Must(t, s.db.UpdateUser(t.Context(), taken, &next))
	b, email, a := s.browser(), s.fresh(), newAuthenticator(true)
	b.get("/signup")
	b.submit("email", email, "username", next.Username)
	b.submit("code", s.letter(outbox.MessageVerification, email).Values["code"])
	b.shows(http.StatusBadRequest, "username is taken", `name="username"`)
	b.submit("username", "free"+email[3:11])
	a.join(b)
	b.shows(http.StatusOK, "free"+email[3:11])
}

// A link that was mailed while people had passwords replaces no passkey.
func TestMailedLinkReplacesNoPasskey(t *testing.T) {
	s := withoutPasswords(t, "password", "passkey")
	u := s.newUser()
	testkit.Must(t, s.login.RequestPasswordReset(t.Context(), login.Visit{Now: s.now}, u.Email, ""))
	link := path(s.letter(outbox.MessagePasswordReset, u.Email))
	rp, err := passkey.New(passkey.Config{Name: "Example", Origin: origin})
	testkit.Must(t, err)
	s.login = s.newLogin(func(c *login.Config) { c.Methods, c.Passkeys = []string{"passkey"}, rp })
	s.serve()
	b := s.browser()
	b.get(link)
	b.shows(http.StatusConflict, "used already")
}

// An invited person makes a passkey; until then the invitation works.
func TestInvitationWithPasskeyOnly(t *testing.T) {
	s := withoutPasswords(t, "passkey")
	u := s.invited()
	_, err := s.login.Invite(t.Context(), login.Visit{Now: s.now, Actor: "cli"}, u)
	testkit.Must(t, err)
	m := s.letter(outbox.MessageInvitation, u.Email)
	b := s.browser()
	b.get(path(m))
	b.submit("name", "Vera", "username", "vera"+secret.NewID(s.now)[20:])
	b.shows(http.StatusOK, "Add a passkey")
	later := s.browser() // the person goes on on the phone
	later.get(path(m))
	later.submit("name", "Vera V.")
	a := newAuthenticator(true)
	a.join(later)
	if later.path != "/account" {
		t.Fatalf("at %s:\n%s", later.path, later.last.Body)
	}
	newAuthenticator(true).join(b)
	b.shows(http.StatusConflict, "used already")
	again := s.browser()
	again.get("/login")
	a.signIn(again)
	again.get("/account")
	again.shows(http.StatusOK, "Vera V.")
}

// A person whose passkeys are lost gets a link from an administrator: the new passkey replaces the
// others, whose sessions end.
func TestLostPasskeys(t *testing.T) {
	s := withoutPasswords(t, "passkey")
	b, email, lost := s.browser(), s.fresh(), newAuthenticator(true)
	b.get("/signup")
	b.submit("email", email)
	b.submit("code", s.letter(outbox.MessageVerification, email).Values["code"])
	lost.join(b)
	u, err := s.db.UserByLogin(t.Context(), identity.LoginKey(email))
	testkit.Must(t, err)
	s.now = s.now.Add(time.Minute)
	token, err := s.login.PasswordLink(t.Context(), login.Visit{Now: s.now, Actor: "cli"}, u)
	testkit.Must(t, err)
	fresh, found := s.browser(), newAuthenticator(true)
	fresh.get("/reset-password?token=" + token)
	fresh.shows(http.StatusOK, "Add a passkey")
	fresh.submit()
	found.join(fresh)
	if fresh.path != "/account" {
		t.Fatalf("at %s:\n%s", fresh.path, fresh.last.Body)
	}
	b.get("/account")
	if b.path == "/account" {
		t.Error("a session from before goes on")
	}
	b.get("/login")
	lost.signIn(b)
	b.shows(http.StatusForbidden, "was removed from its account")
	fresh.get("/reset-password?token=" + token)
	fresh.shows(http.StatusConflict, "used already")
}

// The first administrator of a server without passwords begins with a passkey, too.
func TestSetupWithPasskeyOnly(t *testing.T) {
	s := withoutPasswords(t, "passkey")
	form := login.SetupForm{Email: s.fresh()}
	token, err := s.login.SetupLink(t.Context(), s.now)
	testkit.Must(t, err)
	st, err := s.login.CompleteSetup(t.Context(), login.Visit{Now: s.now}, token, form)
	testkit.Must(t, err)
	if st.Next != login.StepFirstPasskey {
		t.Errorf("the step is %q", st.Next)
	}
	b := s.browser()
	b.get("/setup?token=" + token)
	b.shows(http.StatusOK, "first administrator")
	if strings.Contains(b.last.Body.String(), `name="password"`) {
		t.Error("the page asks for a password")
	}
}

// Where a code by mail is all that there is, the proof of the address is the way in, and the next
// sign-in asks for another code.
func TestSignUpWithCodeOnly(t *testing.T) {
	s := withoutPasswords(t, "email_code")
	b, email := s.browser(), s.fresh()
	b.get("/signup")
	b.submit("email", email, "name", "Ada")
	b.submit("code", s.letter(outbox.MessageVerification, email).Values["code"])
	if b.path != "/account" {
		t.Fatalf("at %s:\n%s", b.path, b.last.Body)
	}
	for _, page := range []string{"/account/sessions", "/account/security/sign-ins"} {
		b.get(page)
		b.shows(http.StatusOK, "heck how you sign in")
		b.hides("hange your password")
	}
	u := s.invited()
	_, err := s.login.Invite(t.Context(), login.Visit{Now: s.now, Actor: "cli"}, u)
	testkit.Must(t, err)
	b = s.browser()
	b.get(path(s.letter(outbox.MessageInvitation, u.Email)))
	b.submit("name", "Vera")
	if b.path != "/account" {
		t.Fatalf("at %s:\n%s", b.path, b.last.Body)
	}
}

// invited returns an account that nobody has claimed.
func (s *site) invited() *identity.User {
	s.t.Helper()
	u := &identity.User{
		ID:        identity.UserID(secret.NewID(s.now)),
		Email:     s.fresh(),
		CreatedAt: s.now,
		UpdatedAt: s.now,
	}
	u.NormalizeEmail()
	testkit.Must(s.t, s.db.CreateUser(s.t.Context(), u))
	return u
}

// A person without a password undoes a change of the address with a passkey from before: what a
// stranger with a stolen session added first, a password and a passkey, does not count.
func TestUndoWithPasskey(t *testing.T) {
	s := withoutPasswords(t, "password", "passkey")
	u := s.invited()
	owner, a := s.signedIn(u), newAuthenticator(true)
	owner.post("/account/security/passkeys/add", nil)
	owner.submit("passkey", a.make(owner))
	owner.shows(http.StatusOK, "Your passkey was added")

	s.now = s.now.Add(30 * 24 * time.Hour)
	v := login.Visit{Now: s.now}
	testkit.Must(t, s.login.SetPassword(t.Context(), v, u, phrase))
	u, err := s.db.User(t.Context(), u.ID)
	testkit.Must(t, err)
	thief, theirs := s.signedIn(u), newAuthenticator(true)
	thief.post("/account/security/passkeys/add", nil)
	thief.submit("passkey", theirs.make(thief))
	email := s.fresh()
	testkit.Must(t, s.login.RequestEmail(t.Context(), v, u, login.ConfirmChange, email, false))
	thief.get(path(s.letter(outbox.MessageEmailConfirm, email)))
	thief.submit()
	undo := path(s.letter(outbox.MessageEmailUndo, u.Email))

	b := s.browser()
	b.get(undo)
	b.shows(http.StatusOK, "Undo the change", u.Email, "use a passkey from before the change")
	answer := theirs.answer(t, b.part(optionsOf))
	b.submit("passkey", answer, "passkey_token", b.part(tokenOf))
	b.shows(http.StatusForbidden, "was not accepted")
	b.get(undo)
	b.submit("passkey", a.answer(t, b.part(optionsOf)), "passkey_token", b.part(tokenOf))
	b.shows(http.StatusOK, "Your address is back", "passkeys that were added since the change are gone")
	testkit.Equal(t, "page", b.path, "/login?done=undone")
	thief.get("/account")
	if thief.path == "/account" {
		t.Error("the stranger is still signed in")
	}
	b.get("/login")
	theirs.signIn(b)
	b.shows(http.StatusForbidden, "was removed from its account")
	b.get("/login")
	a.signIn(b)
	b.get("/account")
	b.shows(http.StatusOK, u.Email)
	after, err := s.db.User(t.Context(), u.ID)
	testkit.Must(t, err)
	if after.Email != u.Email || after.PasswordHash != "" {
		t.Errorf("the account: %+v", after)
	}
}
