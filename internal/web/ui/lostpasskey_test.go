package ui_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/passkey"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// passkeyOwner is a person who signs in with passkeys only.
type passkeyOwner struct {
	*site
	user   *identity.User
	device *authenticator
	b      *browser
}

// lostPasskeys returns a person on a site where passkeys are all that there is, with further
// settings.
func lostPasskeys(t *testing.T, set ...func(*login.Config)) *passkeyOwner {
	t.Helper()
	s := newSite(t)
	rp, err := passkey.New(passkey.Config{Name: "Example", Origin: origin})
	testkit.Must(t, err)
	s.login = s.newLogin(func(c *login.Config) {
		c.Mail, c.BaseURL, c.ResetTTL, c.ResetLimit, c.ResetWindow = true, origin, time.Hour, 3, time.Hour
		c.SignUp, c.RequireVerified, c.VerifyTTL = true, true, 24*time.Hour
		c.Methods, c.Passkeys, c.RecoveryDelay = []string{"passkey"}, rp, 24*time.Hour
		for _, change := range set {
			change(c)
		}
	})
	s.serve()
	o := &passkeyOwner{site: s, device: newAuthenticator(true), b: s.browser()}
	email := s.fresh()
	o.b.get("/signup")
	o.b.submit("email", email, "name", "Ada")
	o.b.submit("code", s.letter(outbox.MessageVerification, email).Values["code"])
	o.device.join(o.b)
	o.user, err = s.db.UserByLogin(t.Context(), identity.LoginKey(email))
	testkit.Must(t, err)
	s.user = o.user
	s.now = s.now.Add(time.Minute)
	return o
}

// ask asks for a link at the sign-in page, for an address.
func (o *passkeyOwner) ask(b *browser, email string) {
	o.t.Helper()
	b.get("/login")
	b.get(b.link("/forgot-password"))
	b.shows(http.StatusOK, "Lost your passkey?", "24 hours")
	b.submit("email", email)
	b.shows(http.StatusOK, "Check your email", "If there is an account for")
	testkit.Must(o.t, o.send())
}

// send processes the requests for links that wait.
func (o *passkeyOwner) send() error {
	due, err := o.db.ClaimDeliveries(o.t.Context(), outbox.Claim{
		Now: o.now, Until: o.now.Add(time.Second), Limit: 100, Holder: "test",
	})
	for _, d := range due {
		if err == nil && d.Kind == outbox.KindResetRequest {
			err = o.login.ResetSender(func() time.Time { return o.now }).Send(o.t.Context(), &d)
		}
	}
	o.now = o.now.Add(2 * time.Second)
	return err
}

// start asks and starts the wait, and returns the browser that has done so.
func (o *passkeyOwner) start() *browser {
	o.t.Helper()
	b := o.browser()
	o.ask(b, o.user.Email)
	b.get(o.mailed()[outbox.MessagePasskeyLost])
	b.shows(http.StatusOK, "Start the waiting time?", "make a new passkey", "24 hours")
	b.submit()
	b.shows(http.StatusOK, "The waiting time has started", "You can make a new passkey")
	return b
}

// A person who has lost all passkeys proves the mailbox, waits, and makes a new one in place of the
// others, whose sessions end.
func TestPasskeysAreReplacedAfterTheWait(t *testing.T) {
	o := lostPasskeys(t)
	b := o.start()
	o.b.get("/account/security")
	o.b.shows(http.StatusOK, "Manage your passkeys, two-step verification, and backup codes.")
	o.b.get("/account")
	o.b.hides("Turn on two-step verification", "Password changed")
	o.b.shows(http.StatusOK, "You have 1 passkey", "asked to replace the passkeys of your account", `action="/account/recovery/refuse"`)
	notices := o.mailed()
	if notices[outbox.MessagePasskeyWaiting] == "" || notices[outbox.MessagePasskeyReady] != "" {
		t.Fatalf("%v", notices)
	}
	o.ask(o.browser(), o.user.Email) // while it waits, asking sends nothing
	n, err := o.db.CountAudit(t.Context(), store.AuditQuery{Type: audit.RecoveryRequested, User: string(o.user.ID)})
	testkit.Must(t, err)
	testkit.Equal(t, "links", n, 1)

	o.now = o.now.Add(24 * time.Hour)
	finish := o.mailed()[outbox.MessagePasskeyReady]
	if finish == "" {
		t.Fatal("no link after the wait")
	}
	scanner := o.browser() // looking changes nothing
	scanner.get(finish)
	scanner.shows(http.StatusOK, "Make a new passkey?")
	b.get(finish)
	b.submit()
	fresh := newAuthenticator(true)
	newAuthenticator(false).join(b) // one that does not verify the person is no way in
	b.shows(http.StatusForbidden, "Add a passkey")
	b.submit("passkey", fresh.make(b))
	testkit.Equal(t, "page", b.path, "/account")
	o.b.get("/account")
	if o.b.path == "/account" {
		t.Error("a session from before goes on")
	}
	o.b.get("/login")
	o.device.signIn(o.b)
	o.b.shows(http.StatusForbidden, "was removed from its account")
	scanner.submit()
	scanner.shows(http.StatusNotFound, "This link was used already")
	if done := o.mailed(); done[outbox.MessagePasskeyReplaced] == "" {
		t.Errorf("no notice: %v", done)
	}
	for _, kind := range []audit.Type{audit.RecoveryRequested, audit.RecoveryStarted, audit.RecoveryCompleted, audit.PasskeyAdded} {
		n, err := o.db.CountAudit(t.Context(), store.AuditQuery{Type: kind, User: string(o.user.ID)})
		testkit.Must(t, err)
		if n == 0 {
			t.Errorf("no event %s", kind)
		}
	}
}

// A session, the link of a notice and a sign-in with a passkey end the request.
func TestReplacementIsRefused(t *testing.T) {
	for name, refuse := range map[string]func(*passkeyOwner){
		"session": func(o *passkeyOwner) {
			o.b.post("/account/recovery/refuse", url.Values{})
			o.b.shows(http.StatusOK, "The request was stopped.")
		},
		"notice": func(o *passkeyOwner) {
			b := o.browser()
			b.get(o.mailed()[outbox.MessagePasskeyWaiting])
			b.shows(http.StatusOK, "Stop this request?", "read your email")
			b.submit()
			b.shows(http.StatusOK, "Your passkeys stay as they are", `href="/account/security"`)
		},
		"passkey": func(o *passkeyOwner) {
			b := o.browser()
			b.get("/login")
			o.device.signIn(b)
			b.get("/account")
			b.hides("asked to replace")
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := lostPasskeys(t)
			o.start()
			refuse(o)
			o.now = o.now.Add(24 * time.Hour)
			if links := o.mailed(); links[outbox.MessagePasskeyReady] != "" {
				t.Errorf("it goes on: %v", links)
			}
		})
	}
}

// A second factor besides the passkeys is asked for: the mailbox and the wait stand for the
// passkeys alone.
func TestReplacementAsksForOtherFactors(t *testing.T) {
	o := lostPasskeys(t)
	key, _ := o.enroll(o.user)
	o.now = o.now.Add(time.Minute)
	b := o.start()
	o.now = o.now.Add(24 * time.Hour)
	b.get(o.mailed()[outbox.MessagePasskeyReady])
	b.shows(http.StatusOK, "Make a new passkey?", `name="code"`)
	b.submit("code", "000000")
	b.shows(http.StatusForbidden, "Make a new passkey?")
	b.submit("code", totp(t, key, o.now))
	newAuthenticator(true).join(b)
	testkit.Equal(t, "page", b.path, "/account")
}

// Nobody learns who exists, mail stays bounded, and where it is not possible the page says so.
func TestReplacementIsBounded(t *testing.T) {
	o := lostPasskeys(t)
	known, unknown := o.browser(), o.browser()
	o.ask(known, o.user.Email)
	nobody := o.fresh()
	o.ask(unknown, nobody)
	same := strings.ReplaceAll(unknown.last.Body.String(), nobody, o.user.Email) == known.last.Body.String()
	if !same {
		t.Error("the answers differ")
	}
	for range 9 {
		o.ask(o.browser(), o.user.Email)
	}
	n, err := o.db.CountAudit(t.Context(), store.AuditQuery{Type: audit.RecoveryRequested, User: string(o.user.ID)})
	testkit.Must(t, err)
	testkit.Equal(t, "links", n, 3)

	// An address that nobody has proved gets nothing.
	other := o.invited()
	o.ask(o.browser(), other.Email)
	n, err = o.db.CountAudit(t.Context(), store.AuditQuery{Type: audit.RecoveryRequested, User: string(other.ID)})
	testkit.Must(t, err)
	testkit.Equal(t, "links to an unproved address", n, 0)

	o = lostPasskeys(t, func(c *login.Config) { c.RecoveryDelay = 0 })
	b := o.browser()
	b.get("/forgot-password")
	b.shows(http.StatusOK, "Lost your passkey?", "Ask your administrator")
	b.post("/forgot-password", url.Values{"email": {o.user.Email}})
	b.shows(http.StatusForbidden)
}

// A stranger who asks again while the second link is out ends neither the link nor the page that it
// has led to; one who asks before the first link is used does not end that.
func TestReplacementOutlivesAskingAgain(t *testing.T) {
	o := lostPasskeys(t)
	b := o.browser()
	o.ask(b, o.user.Email)
	start := o.mailed()[outbox.MessagePasskeyLost]
	o.ask(o.browser(), o.user.Email)
	b.get(start)
	b.submit()
	b.shows(http.StatusOK, "The waiting time has started")
	o.now = o.now.Add(24 * time.Hour)
	finish := o.mailed()[outbox.MessagePasskeyReady]
	b.get(finish)
	b.submit()
	b.shows(http.StatusOK, "Add a passkey")
	links := func() int {
		n, err := o.db.CountAudit(t.Context(), store.AuditQuery{Type: audit.RecoveryRequested, User: string(o.user.ID)})
		testkit.Must(t, err)
		return n
	}
	before := links()
	o.ask(o.browser(), o.user.Email)
	if links() == before {
		t.Error("asking again sends nothing")
	}
	testkit.Equal(t, "second link", o.mailed()[outbox.MessagePasskeyReady], finish)
	other := o.browser()
	other.get(finish)
	other.shows(http.StatusOK, "Make a new passkey?")
	newAuthenticator(true).join(b)
	testkit.Equal(t, "page", b.path, "/account")
}

// besidePasswords lets people of the site sign in with passwords, too, where the policy asks for a
// second step.
func (o *passkeyOwner) besidePasswords(set ...func(*login.Config)) {
	o.t.Helper()
	rp, err := passkey.New(passkey.Config{Name: "Example", Origin: origin})
	testkit.Must(o.t, err)
	o.login = o.newLogin(func(c *login.Config) {
		c.Mail, c.BaseURL, c.ResetTTL, c.ResetLimit, c.ResetWindow = true, origin, time.Hour, 9, time.Hour
		c.Methods, c.Passkeys, c.RecoveryDelay = []string{"password", "passkey"}, rp, 24*time.Hour
		c.RequireMFA = true
		for _, change := range set {
			change(c)
		}
	})
	o.serve()
}

// reset sets a password by a mailed link, and returns a browser at the second step with it.
func (o *passkeyOwner) reset(password string) *browser {
	o.t.Helper()
	o.now = o.now.Add(time.Minute)
	testkit.Must(o.t, o.login.RequestPasswordReset(o.t.Context(), login.Visit{Now: o.now}, o.user.Email, ""))
	testkit.Must(o.t, o.send())
	b := o.browser()
	b.get(o.mailed()[outbox.MessagePasswordReset])
	b.submit("new_password", password, "confirm_password", password)
	b.submit("username", o.user.Email, "password", password)
	return b
}

// Where people have passwords, an account that has none gets past a required second step in the
// same way; one that has a password needs it.
func TestReplacementBesidePasswords(t *testing.T) {
	o := lostPasskeys(t)
	o.besidePasswords()
	o.reset(phrase)
	b := o.reset(phrase + " again") // still none but what the mailbox gave
	b.get("/recover")
	b.shows(http.StatusOK, "Make a new passkey after a waiting time")
	b.post("/recover", url.Values{})
	phone := o.browser()
	phone.get(o.mailed()[outbox.MessagePasskeyLost])
	phone.submit()
	o.now = o.now.Add(24 * time.Hour)
	phone.get(o.mailed()[outbox.MessagePasskeyReady])
	phone.submit()
	fresh := newAuthenticator(true)
	fresh.join(phone)
	o.now = o.now.Add(time.Minute)
	b = o.browser()
	b.get("/login")
	fresh.signIn(b) // says nothing about the password
	b = o.reset(phrase + " once more")
	b.get("/recover")
	b.shows(http.StatusOK, "Make a new passkey after a waiting time")
	b.get("/login/code")
	b.submit("passkey", fresh.answer(t, b.part(optionsOf))) // together with the password, which counts now
	testkit.Equal(t, "page", b.path, "/account")
	b = o.reset(phrase + " at last")
	b.get("/recover")
	b.shows(http.StatusOK, "Ask your administrator")
	b.hides("waiting time of")
}

// Whoever has the mailbox sets a password and waits until the owner signs in with a passkey alone.
// The owner has not typed that password: with the mailbox, it removes no second factor.
func TestPasskeyAloneVouchesForNoPassword(t *testing.T) {
	o := lostPasskeys(t)
	o.enroll(o.user)
	o.besidePasswords()
	o.reset(phrase)
	b := o.browser()
	b.get("/login")
	o.device.signIn(b)
	b.get("/account")
	testkit.Equal(t, "page", b.path, "/account")
	thief := o.browser()
	thief.get("/login")
	thief.submit("username", o.user.Email, "password", phrase)
	thief.get("/recover")
	thief.shows(http.StatusOK, "Ask your administrator")
	thief.hides("waiting time of")
	thief.post("/recover", url.Values{})
	thief.shows(http.StatusForbidden)
	for message := range o.mailed() {
		if strings.HasPrefix(message, "recovery-") {
			t.Errorf("a message %s", message)
		}
	}
}

// A request by the mailbox ends, and the audit log says so, also when the sign-in that ends it
// makes the password count. Passwords count in the same way while there is no recovery.
func TestPasswordAndPasskeyEndTheRequest(t *testing.T) {
	o := lostPasskeys(t)
	o.besidePasswords()
	b := o.reset(phrase)
	b.get("/recover")
	b.post("/recover", url.Values{})
	phone := o.browser()
	phone.get(o.mailed()[outbox.MessagePasskeyLost])
	phone.submit()
	phone.shows(http.StatusOK, "The waiting time has started")
	b.get("/login/code")
	b.submit("passkey", o.device.answer(t, b.part(optionsOf)))
	testkit.Equal(t, "page", b.path, "/account")
	n, err := o.db.CountAudit(t.Context(), store.AuditQuery{Type: audit.RecoveryRefused, User: string(o.user.ID)})
	testkit.Must(t, err)
	testkit.Equal(t, "refusals", n, 1)

	o.besidePasswords(func(c *login.Config) { c.RecoveryDelay = 0 })
	b = o.reset(phrase + " again")
	b.submit("passkey", o.device.answer(t, b.part(optionsOf)))
	testkit.Equal(t, "page", b.path, "/account")
	o.besidePasswords()
	b = o.browser()
	b.get("/login")
	b.submit("username", o.user.Email, "password", phrase+" again")
	b.get("/recover")
	b.shows(http.StatusOK, "waiting time", "turn off two-step verification")
}
