package login

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func withEmail(c *Config) {
	withMail(c)
	c.Methods = []string{kindPassword, kindEmailCode, kindMagicLink}
}

// emailBrowser is a browser that has requested a message to sign in with.
type emailBrowser struct {
	h           *harness
	name, token string
	device      string
}

// ask asks for a message in a browser of its own, and processes the request as the outbox does.
func (h *harness) ask(name string) *emailBrowser {
	h.Helper()
	b := &emailBrowser{h: h, name: name}
	b.again()
	return b
}

func (b *emailBrowser) visit() Visit {
	v := b.h.visit()
	v.Device, v.Locale = b.device, "de"
	return v
}

func (b *emailBrowser) again() {
	b.h.Helper()
	o, err := b.h.s.Open(ctx, b.visit(), kindEmailCode, b.name)
	testkit.Must(b.h.T, err)
	b.token = o.Token
	d := b.h.m.queue[len(b.h.m.queue)-1]
	testkit.Must(b.h.T, b.h.s.EmailCodeSender(func() time.Time { return b.h.now }).Send(ctx, &d))
}

func (b *emailBrowser) answer(field, value string) (Step, error) {
	return b.h.s.SignIn(ctx, b.visit(), Attempt{
		Kind:     kindEmailCode,
		Username: b.name,
		Token:    b.token,
		Input:    url.Values{field: {value}},
	})
}

// lastCode returns the code and the link's token of the last message.
func (h *harness) lastCode() (code, token string) {
	h.Helper()
	all := h.letters()
	if len(all) == 0 {
		h.Fatal("no message was sent")
	}
	m := all[len(all)-1]
	token, ok := strings.CutPrefix(m.Values["link"], "https://id.example.com/login/email?token=")
	if !ok || len(m.Values["code"]) != emailCodeDigits {
		h.Fatalf("the message says %v", m.Values)
	}
	return m.Values["code"], token
}

// A person gets a code by mail and types it in the browser that asked.
func TestEmailCode(t *testing.T) {
	h := newHarness(t, withEmail)
	b := h.ask("Alice@Example.com")
	all := h.letters()
	testkit.Equal(t, "messages", len(all), 1)
	testkit.Equal(t, "message", all[0].Message, outbox.MessageSignInLink)
	testkit.Equal(t, "to", all[0].To, "alice@example.com")
	testkit.Equal(t, "language", all[0].Locale, "de")
	testkit.Equal(t, "minutes", all[0].Values["minutes"], "10")
	testkit.Equal(t, "expires", all[0].Expires, h.now.Add(10*time.Minute))

	code, token := h.lastCode()
	if last := token[len(token)-1]; last == '-' || last == '_' {
		t.Errorf("the link ends in %q", last)
	}
	_, err := b.answer("code", "1234")
	h.wantErr(err, fault.Invalid, "8 digits")
	_, err = b.answer("code", wrongOf(code))
	h.wantErr(err, fault.Denied, "newest message")
	st, err := b.answer("code", " "+code[:4]+" "+code[4:])
	testkit.Must(t, err)
	testkit.Equal(t, "amr", fmt.Sprint(st.Done.Session.AMR), "[otp]")
	testkit.Equal(t, "acr", st.Done.Session.ACR, identity.ACR1)
	_, err = b.answer("code", code)
	h.wantErr(err, fault.Denied, "used already")
	if got := fmt.Sprint(h.m.logged(0)); !strings.Contains(got, string(audit.LoginCodeSent)) {
		t.Errorf("events: %s", got)
	}
}

// A code and a link expire after ten minutes.
func TestEmailCodeExpires(t *testing.T) {
	h := newHarness(t, withEmail)
	b := h.ask("alice")
	code, token := h.lastCode()
	h.now = h.now.Add(10 * time.Minute)
	_, err := b.answer("code", code)
	h.wantErr(err, fault.Consumed, "Start again")
	_, err = h.s.EmailLink(ctx, b.visit(), token, b.token)
	h.wantErr(err, fault.Consumed, "expired")
}

// Only a browser that asked for a message signs in by it: neither the code nor the link is enough,
// in either direction, and opening the link changes nothing.
func TestEmailLinkIsBoundToTheBrowser(t *testing.T) {
	h := newHarness(t, withEmail)
	h.user("mallory", right)
	victim := h.ask("alice@example.com")
	code, token := h.lastCode()

	// Somebody else opens the link: the code to type, and no session.
	stranger := &emailBrowser{h: h, name: "alice@example.com"}
	for range 3 {
		l, err := h.s.EmailLink(ctx, stranger.visit(), token, "")
		testkit.Must(t, err)
		testkit.Equal(t, "code", l.Code, code)
		testkit.Equal(t, "own", l.Own, false)
	}
	_, err := stranger.answer("link", token)
	h.wantErr(err, fault.Consumed, "Start again")
	_, err = stranger.answer("code", code)
	h.wantErr(err, fault.Consumed, "Start again")

	// A browser that asked for another account does not get into this one, nor the other way.
	mallory := h.ask("mallory@example.com")
	_, other := h.lastCode()
	_, err = mallory.answer("link", token)
	h.wantErr(err, fault.Consumed, "Start again")
	_, err = mallory.answer("code", code)
	h.wantErr(err, fault.Denied, "Incorrect code")
	l, err := h.s.EmailLink(ctx, victim.visit(), other, victim.token)
	testkit.Must(t, err)
	testkit.Equal(t, "own", l.Own, false)
	testkit.Equal(t, "account", l.User.Username, "mallory")
	_, err = victim.answer("link", other)
	h.wantErr(err, fault.Consumed, "Start again")

	// A token of the page for another name is worthless.
	forged := &emailBrowser{h: h, name: "mallory@example.com", token: victim.token}
	_, err = forged.answer("code", code)
	h.wantErr(err, fault.Consumed, "Start again")

	l, err = h.s.EmailLink(ctx, victim.visit(), token, victim.token)
	testkit.Must(t, err)
	testkit.Equal(t, "own", l.Own, true)
	if _, err = victim.answer("link", token); err != nil {
		t.Fatal(err)
	}
	_, err = victim.answer("link", token)
	h.wantErr(err, fault.Denied, "used already")
	_, err = h.s.EmailLink(ctx, victim.visit(), token, victim.token)
	h.wantErr(err, fault.Consumed, "used already")
}

// Guesses count per account, whatever the guesser does, and apart from passwords.
func TestEmailCodeGuesses(t *testing.T) {
	h := newHarness(t, withEmail)
	b := h.ask("alice")
	code, _ := h.lastCode()
	for range 3 {
		_, err := b.answer("code", wrongOf(code))
		h.wantErr(err, fault.Denied, "Incorrect")
	}
	b.again()
	code, _ = h.lastCode()
	_, err := b.answer("code", wrongOf(code))
	h.wantErr(err, fault.Denied, "Incorrect")
	other := h.ask("Alice@example.com")
	h.ip = "198.51.100.1"
	code, _ = h.lastCode()
	_, err = other.answer("code", wrongOf(code))
	h.wantErr(err, fault.Limited, "Too many")
	_, err = other.answer("code", code)
	h.wantErr(err, fault.Limited, "Too many")

	// While codes are locked none is sent, and the password works.
	n := len(h.letters())
	h.ask("alice")
	testkit.Equal(t, "messages", len(h.letters()), n)
	if _, err := h.signIn("alice", right); err != nil {
		t.Fatal(err)
	}

	// The other way round: wrong passwords do not lock codes.
	h = newHarness(t, withEmail)
	for range 6 {
		_, _ = h.signIn("alice", "wrong")
	}
	b = h.ask("alice")
	code, _ = h.lastCode()
	if _, err := b.answer("code", code); err != nil {
		t.Fatal(err)
	}

	// Where accounts are never locked, codes are all the same.
	h = newHarness(t, withEmail, func(c *Config) { c.LockThreshold = 0 })
	b = h.ask("alice")
	code, _ = h.lastCode()
	for range emailGuesses {
		_, err = b.answer("code", wrongOf(code))
	}
	h.wantErr(err, fault.Limited, "Too many")
}

// A mailbox is sent only so many messages, whoever asks, and its owner still signs in by the last.
func TestEmailCodeBrake(t *testing.T) {
	h := newHarness(t, withEmail)
	known := h.ask("alice")
	code, _ := h.lastCode()
	st, err := known.answer("code", code)
	testkit.Must(t, err)
	known.device = st.Done.Device

	n := len(h.letters())
	for i := range 100 {
		h.ip = fmt.Sprintf("198.51.100.%d", i)
		h.ask([]string{"alice", "alice@example.com", "ALICE@example.com"}[i%3])
	}
	testkit.Equal(t, "messages", len(h.letters())-n, 3)
	code, token := h.lastCode()
	h.now = h.now.Add(50 * time.Minute)
	owner := h.ask("alice") // gets no message
	testkit.Equal(t, "messages", len(h.letters())-n, 3)
	l, err := h.s.EmailLink(ctx, owner.visit(), token, owner.token)
	testkit.Must(t, err)
	testkit.Equal(t, "own", l.Own, false)
	if _, err := owner.answer("code", code); err != nil {
		t.Fatal(err)
	}

	// A browser that the account knows is sent messages all the same.
	for range 5 {
		h.ask("alice")
	}
	n = len(h.letters())
	known.again()
	testkit.Equal(t, "messages", len(h.letters()), n+1)
	code, _ = h.lastCode()
	if _, err := known.answer("code", code); err != nil {
		t.Fatal(err)
	}
}

// An address that nobody has, or whose account is disabled, looks like any other.
func TestEmailCodeOfNobody(t *testing.T) {
	h := newHarness(t, withEmail)
	h.m.users[h.user("closed", right)].Disabled = true
	for _, name := range []string{"nobody@example.com", "closed@example.com"} {
		b := h.ask(name)
		for range 4 {
			_, err := b.answer("code", "00000000")
			h.wantErr(err, fault.Denied, "Incorrect code")
		}
		_, err := b.answer("code", "00000000")
		h.wantErr(err, fault.Limited, "Too many")
	}
	testkit.Equal(t, "messages", len(h.letters()), 0)
	testkit.Equal(t, "requests", len(h.m.queue), 2)
}

// A code is worthless after what it proves has changed.
func TestEmailCodeOfAnotherState(t *testing.T) {
	for what, change := range map[string]func(u *identity.User){
		"another address":  func(u *identity.User) { u.Email = "alice@example.net" },
		"another password": func(u *identity.User) { u.PasswordChangedAt = u.PasswordChangedAt.Add(time.Hour) },
	} {
		h := newHarness(t, withEmail)
		b := h.ask("alice")
		code, token := h.lastCode()
		change(h.m.users[h.alice])
		_, err := b.answer("code", code)
		h.wantErr(err, fault.Denied, "Incorrect")
		if _, err = h.s.EmailLink(ctx, b.visit(), token, b.token); !fault.Is(err, fault.Consumed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// After the code comes the second factor that the account has.
func TestEmailCodeThenAuthenticator(t *testing.T) {
	h := newHarness(t, withEmail)
	app, _ := h.enroll(h.alice)
	b := h.ask("alice")
	code, _ := h.lastCode()
	st, err := b.answer("code", code)
	testkit.Must(t, err)
	testkit.Equal(t, "next", st.Next, StepFactor)
	st, err = h.answer(st.Pending, StepFactor, "code", app())
	testkit.Must(t, err)
	testkit.Equal(t, "acr", st.Done.Session.ACR, identity.ACR2)
}

// Codes are sent only where an operator has chosen that, and mail is there.
func TestEmailCodeIsOff(t *testing.T) {
	h := newHarness(t, withMail)
	_, err := h.s.Open(ctx, h.visit(), kindEmailCode, "alice")
	h.wantErr(err, fault.NotFound, "no way to sign in")
	_, err = h.s.EmailLink(ctx, h.visit(), newLinkToken(), "")
	h.wantErr(err, fault.Consumed, "expired")
	h = newHarness(t, withEmail, func(c *Config) { c.Mail = false })
	_, err = h.s.Open(ctx, h.visit(), kindMagicLink, "alice")
	h.wantErr(err, fault.Unavailable, "cannot send email")
	_, err = newHarness(t, withEmail).s.Open(ctx, h.visit(), kindEmailCode, "")
	h.wantErr(err, fault.Invalid, "email address")
}
