package login

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func withMail(c *Config) {
	c.Mail, c.BaseURL = true, "https://id.example.com"
	c.ResetTTL, c.ResetLimit, c.ResetWindow = time.Hour, 3, time.Hour
}

// forget requests a password reset and processes the request, as the outbox does.
func (h *harness) forget(name string) {
	h.Helper()
	testkit.Must(h.T, h.s.RequestPasswordReset(ctx, h.visit(), name, "de"))
	d := h.m.queue[len(h.m.queue)-1]
	testkit.Must(h.T, h.s.ResetSender(func() time.Time { return h.now }).Send(ctx, &d))
}

// letters returns the messages that were queued with events.
func (h *harness) letters() (all []outbox.Mail) {
	h.Helper()
	for _, e := range h.m.events {
		for i := range e.Deliveries {
			m, err := h.s.notices.sealer.OpenMail(&e.Deliveries[i])
			testkit.Must(h.T, err)
			all = append(all, *m)
		}
	}
	return all
}

// lastToken returns the token of the last link that was mailed.
func (h *harness) lastToken() string {
	h.Helper()
	all := h.letters()
	link := all[len(all)-1].Values["link"]
	token, ok := strings.CutPrefix(link, "https://id.example.com/reset-password?token=")
	if !ok {
		h.Fatalf("the link is %q", link)
	}
	return token
}

const chosen = "a wholly new phrase 77 Q"

// A person forgets the password, gets a link by mail, and chooses a new one.
func TestForgottenPassword(t *testing.T) {
	h := newHarness(t, withMail)
	h.m.users[h.alice].Name = "Alice"
	h.forget("Alice@Example.com ")

	all := h.letters()
	testkit.Equal(t, "messages", len(all), 1)
	m := all[0]
	testkit.Equal(t, "message", m.Message, outbox.MessagePasswordReset)
	testkit.Equal(t, "to", m.To, "alice@example.com")
	testkit.Equal(t, "name", m.Name, "Alice")
	testkit.Equal(t, "language", m.Locale, "de")
	testkit.Equal(t, "minutes", m.Values["minutes"], "60")
	testkit.Equal(t, "expires", m.Expires, h.now.Add(time.Hour))

	token := h.lastToken()
	u, err := h.s.UsePasswordLink(ctx, h.visit(), token, chosen)
	testkit.Must(t, err)
	testkit.Equal(t, "user", u.ID, h.alice)
	_, err = h.signIn("alice", right)
	h.wantErr(err, fault.Denied, "")
	h.wantDone(h.signIn("alice", chosen))
	_, err = h.s.UsePasswordLink(ctx, h.visit(), token, chosen+"2")
	h.wantErr(err, fault.Consumed, "used already")

	all = h.letters()
	testkit.Equal(t, "notice", all[len(all)-1].Message, outbox.MessagePasswordChanged)
}

// Whoever asks, for whichever account: what is stored has the same shape, and the answer is the
// same.
func TestResetRequestsLookAlike(t *testing.T) {
	h := newHarness(t, withMail)
	h.m.users[h.user("off", right)].Disabled = true
	h.m.users[h.user("mute", right)].Email = ""
	for _, name := range []string{"alice", "alice@example.com", "nobody@example.com", "off@example.com", "mute"} {
		testkit.Must(t, h.s.RequestPasswordReset(ctx, h.visit(), name, ""))
	}
	testkit.Equal(t, "stored", len(h.m.queue), 5)
	testkit.Equal(t, "events", len(h.m.events), 0)
	send := h.s.ResetSender(func() time.Time { return h.now })
	for i := range h.m.queue {
		d := &h.m.queue[i]
		testkit.Equal(t, "kind", d.Kind, outbox.KindResetRequest)
		testkit.Equal(t, "to", d.To+d.About, "")
		testkit.Must(t, send.Send(ctx, d))
	}
	for _, m := range h.letters() {
		testkit.Equal(t, "to", m.To, "alice@example.com")
	}
	testkit.Equal(t, "messages", len(h.letters()), 2)
}

// What cannot be the name of an account stores nothing; nor does a server without mail.
func TestResetRequestsRefused(t *testing.T) {
	h := newHarness(t, withMail)
	for _, name := range []string{"", "  ", strings.Repeat("x", 321)} {
		h.wantErr(h.s.RequestPasswordReset(ctx, h.visit(), name, ""), fault.Invalid, "")
	}
	without := newHarness(t)
	without.wantErr(without.s.RequestPasswordReset(ctx, h.visit(), "alice", ""), fault.Unavailable, "administrator")
	testkit.Equal(t, "stored", len(h.m.queue)+len(without.m.queue), 0)
}

// A mailbox is sent a bounded number of links, wherever the requests come from and however its
// address is written. The last link still works, and the limit ends by itself though a stranger
// goes on asking.
func TestResetsOfOneMailbox(t *testing.T) {
	h := newHarness(t, withMail)
	h.m.users[h.user("plus", right)].Email = "a.lice+list@example.com"
	for i := range 20 {
		h.ip = fmt.Sprintf("203.0.113.%d", i)
		h.forget([]string{"alice@example.com", "a.lice+list@example.com"}[i%2])
	}
	testkit.Equal(t, "messages", len(h.letters()), 3)
	_, err := h.s.LinkUser(ctx, h.visit(), h.lastToken())
	testkit.Must(t, err)

	for range 6 { // every ten minutes, for an hour
		h.now = h.now.Add(10*time.Minute + time.Second)
		h.forget("alice@example.com")
	}
	testkit.Equal(t, "messages an hour later", len(h.letters()), 4)
}

// A link is worthless once the password has changed, the account was disabled, or a newer link was
// made.
func TestStaleResetLinks(t *testing.T) {
	for name, change := range map[string]func(h *harness){
		"password changed": func(h *harness) {
			h.now = h.now.Add(time.Second)
			testkit.Must(h.T, h.s.SetPassword(ctx, h.visit(), h.get(h.alice), chosen))
		},
		"disabled":   func(h *harness) { h.m.users[h.alice].Disabled = true },
		"newer link": func(h *harness) { h.forget("alice") },
		"too late":   func(h *harness) { h.now = h.now.Add(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, withMail)
			h.forget("alice")
			token := h.lastToken()
			change(h)
			if _, err := h.s.UsePasswordLink(ctx, h.visit(), token, chosen+" again"); err == nil {
				t.Error("the link still works")
			}
		})
	}
}

// A person is told what happened to the account.
func TestNotices(t *testing.T) {
	h := newHarness(t, withMail)
	noticed := func(want string) {
		t.Helper()
		all := h.letters()
		if len(all) == 0 {
			t.Fatalf("no message; want %s", want)
		}
		m := all[len(all)-1]
		testkit.Equal(t, "message", m.Message, want)
		testkit.Equal(t, "ip", m.Values["ip"], h.ip)
		if _, err := time.Parse(time.RFC3339, m.Values["time"]); err != nil {
			t.Errorf("the time is %q", m.Values["time"])
		}
	}
	h.enroll(h.alice)
	noticed(outbox.MessageTwoStepOn)
	testkit.Must(t, h.s.RemoveFactor(ctx, h.visit(), h.get(h.alice), kindTOTP))
	noticed(outbox.MessageTwoStepOff)
	for range 5 {
		_, err := h.signIn("alice", "wrong wrong wrong")
		testkit.Equal(t, "failed", err != nil, true)
	}
	noticed(outbox.MessageAccountLocked)
	n := len(h.letters())
	for range 20 { // nobody is told again during the lock, and strangers' names tell nobody
		h.signIn("alice", "wrong wrong wrong")
		h.signIn("stranger", "wrong wrong wrong")
	}
	testkit.Equal(t, "messages during the lock", len(h.letters()), n)
	testkit.Must(t, h.s.SetPassword(ctx, h.visit(), h.get(h.alice), chosen))
	noticed(outbox.MessagePasswordChanged)
}

// A stranger who locks an account again and again, as each lock ends, does not fill the mailbox of
// its owner.
func TestNoticesOfRepeatedLocks(t *testing.T) {
	h := newHarness(t, withMail)
	for range 40 {
		for range 5 {
			h.signIn("alice", "wrong wrong wrong")
		}
		h.now = h.now.Add(31 * time.Minute)
	}
	locks := 0
	for _, ev := range h.m.events {
		if ev.Type == audit.AccountLocked {
			locks++
		}
	}
	testkit.Equal(t, "recorded locks", locks, 40)
	testkit.Equal(t, "messages", len(h.letters()), 6) // of the locks 1, 2, 4, 8, 16 and 32
}

// Tokens of links end in a letter or a digit, and mailboxes are counted without what providers
// ignore.
func TestLinkTokens(t *testing.T) {
	for range 500 {
		token := newLinkToken()
		if strings.ContainsAny(token[len(token)-1:], "-_") {
			t.Fatalf("a token ends in %q", token[len(token)-1:])
		}
	}
	for in, want := range map[string]string{
		"Ada.L+news@Example.com": "adal@example.com",
		"ada@example.com":        "ada@example.com",
		"no-address":             "no-address@",
	} {
		testkit.Equal(t, in, mailbox(in), want)
	}
	var ev audit.Event
	notices{}.attach(&ev, &identity.User{Email: "a@example.com"}, outbox.Mail{})
	testkit.Equal(t, "deliveries without mail", len(ev.Deliveries), 0)
}
