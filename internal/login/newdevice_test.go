package login

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/visitor"
)

// atlas finds the places of addresses of documentation networks.
type atlas struct{}

func (atlas) Find(ip string) visitor.Place {
	switch {
	case strings.HasPrefix(ip, "192.0.2."):
		return visitor.Place{Country: "DE", Countries: map[string]string{"en": "Germany", "de": "Deutschland"}, Cities: map[string]string{"en": "Cologne", "de": "Köln"}}
	case strings.HasPrefix(ip, "203.0.113."):
		return visitor.Place{Country: "JP", Countries: map[string]string{"en": "Japan"}}
	}
	return visitor.Place{}
}

func withNotices(c *Config) {
	withMail(c)
	c.NotifyNew, c.Places = true, atlas{}
}

// notices returns the messages about new sign-ins.
func (h *harness) newSignIns() (all []outbox.Mail) {
	for _, m := range h.letters() {
		if m.Message == outbox.MessageNewSession {
			all = append(all, m)
		}
	}
	return all
}

// A notice comes after the whole sign-in from a browser that the account does not know, once.
func TestNewSignInNotice(t *testing.T) {
	h := newHarness(t, withNotices)
	h.ip = "192.0.2.1"
	home := h.browser("", "alice", right)
	testkit.Equal(t, "notices of the first sign-in of an account", len(h.newSignIns()), 0)
	for range 10 {
		home = h.browser(home, "alice", right)
	}
	h.ip = "192.0.2.200" // the network of a phone gives it another address
	home = h.browser(home, "alice", right)
	testkit.Equal(t, "notices of a known browser", len(h.newSignIns()), 0)

	_, err := h.signInFrom("", "alice", "wrong")
	h.wantErr(err, fault.Denied, "")
	testkit.Equal(t, "notices of a wrong password", len(h.newSignIns()), 0)

	h.m.users[h.alice].Locale = "de-CH"
	h.browser("", "alice", right) // cookies were cleared
	all := h.newSignIns()
	testkit.Equal(t, "notices of a new browser", len(all), 1)
	v := all[0].Values
	testkit.Equal(t, "city", v["city"], "Köln")
	testkit.Equal(t, "country", v["country"], "Deutschland")
	testkit.Equal(t, "address", v["ip"], "192.0.2.200")
	testkit.Equal(t, "time", v["time"], h.now.UTC().Format(time.RFC3339))
	if last := v["link"][len(v["link"])-1]; last == '-' || last == '_' {
		t.Errorf("the link ends in %q", last)
	}
	last := h.m.events[len(h.m.events)-1]
	testkit.Equal(t, "device", last.Detail["device"], "new")
	testkit.Equal(t, "country known", last.Detail["country"], "")

	h.ip = "203.0.113.7"
	h.browser("", "alice", right)
	testkit.Equal(t, "country", h.m.events[len(h.m.events)-1].Detail["country"], "new")
	testkit.Equal(t, "a browser stays known", len(h.newSignIns()), 2)
	h.browser(home, "alice", right)
	testkit.Equal(t, "a browser stays known", len(h.newSignIns()), 2)
}

// The right password without the second factor is no sign-in.
func TestNoNoticeBeforeTheSecondFactor(t *testing.T) {
	h := newHarness(t, withNotices)
	h.browser("", "alice", right)
	app, _ := h.enroll(h.alice)
	h.now = h.now.Add(time.Minute)
	step, err := h.signInFrom("", "alice", right)
	testkit.Must(t, err)
	testkit.Equal(t, "next", step.Next, StepFactor)
	testkit.Equal(t, "notices before the code", len(h.newSignIns()), 0)
	step, err = h.s.Continue(ctx, h.visit(), step.Pending, StepFactor, url.Values{"code": {app()}})
	testkit.Must(t, err)
	if step.Done == nil {
		t.Fatalf("%+v", step)
	}
	testkit.Equal(t, "notices after it", len(h.newSignIns()), 1)
}

// The operator decides whether people get notices, and nobody gets more than a few a day.
func TestNewSignInNoticesAreBounded(t *testing.T) {
	off := newHarness(t, withMail)
	off.browser("", "alice", right)
	off.browser("", "alice", right)
	testkit.Equal(t, "notices by default", len(off.newSignIns()), 0)
	testkit.Equal(t, "device", off.m.events[len(off.m.events)-1].Detail["device"], "new")

	h := newHarness(t, withNotices)
	h.browser("", "alice", right)
	for range 3 * maxNewSessions {
		h.browser("", "alice", right)
	}
	testkit.Equal(t, "notices of a day", len(h.newSignIns()), maxNewSessions)
}

// "This wasn't me" ends all access and the password, and sends a link for a new one, once.
func TestDisown(t *testing.T) {
	h := newHarness(t, withNotices)
	home := h.browser("", "alice", right)
	h.browser("", "alice", right)
	token := strings.TrimPrefix(h.newSignIns()[0].Values["link"], "https://id.example.com/login/not-me?token=")

	before := len(h.m.events)
	for range 3 { // looking changes nothing
		d, err := h.s.Disowned(ctx, h.visit(), token)
		testkit.Must(t, err)
		testkit.Equal(t, "user", d.User.ID, h.alice)
		testkit.Equal(t, "at", d.At.UnixMilli(), h.now.UnixMilli())
		testkit.Equal(t, "moved", d.Moved, false)
	}
	testkit.Equal(t, "events", len(h.m.events), before)
	if len(h.m.sessions) != 2 {
		t.Fatal("a look at the link ended sessions")
	}

	h.now = h.now.Add(time.Hour)
	_, err := h.s.Disown(ctx, h.visit(), token, "")
	testkit.Must(t, err)
	testkit.Equal(t, "sessions", len(h.m.sessions), 0)
	testkit.Equal(t, "event", h.m.events[len(h.m.events)-2].Type, audit.SignInDisowned)
	_, err = h.signIn("alice", right)
	h.wantErr(err, fault.Denied, "")
	_, err = h.s.UsePasswordLink(ctx, h.visit(), h.lastToken(), chosen)
	testkit.Must(t, err)

	_, err = h.s.Disown(ctx, h.visit(), token, "")
	h.wantErr(err, fault.Consumed, "")
	_, err = h.s.Disowned(ctx, h.visit(), token)
	h.wantErr(err, fault.Consumed, "")
	h.now = h.now.Add(time.Minute)
	sent := len(h.newSignIns())
	h.browser(home, "alice", chosen)
	testkit.Equal(t, "notices after all browsers were distrusted", len(h.newSignIns()), sent+1)
}

// Links that are forged, too old, of another kind, or whose account has another address.
func TestLinksThatCannotDisown(t *testing.T) {
	h := newHarness(t, withNotices)
	home := h.browser("", "alice", right)
	h.browser("", "alice", right)
	token := strings.TrimPrefix(h.newSignIns()[0].Values["link"], "https://id.example.com/login/not-me?token=")
	for _, bad := range []string{"", "x", token[:len(token)-2], token + "A", home, strings.Repeat("a", 5000)} {
		_, err := h.s.Disown(ctx, h.visit(), bad, "")
		h.wantErr(err, fault.Consumed, "")
	}
	testkit.Equal(t, "sessions", len(h.m.sessions), 2)

	h.m.users[h.alice].Email = "other@example.com"
	d, err := h.s.Disown(ctx, h.visit(), token, "")
	testkit.Must(t, err)
	testkit.Equal(t, "moved", d.Moved, true)
	testkit.Equal(t, "sessions", len(h.m.sessions), 0)
	for _, m := range h.letters() {
		if m.Message == outbox.MessagePasswordReset {
			t.Error("a link for a new password went to an address that was changed meanwhile")
		}
	}
	h.wantDone(h.signIn("alice", right)) // the password stays

	late := newHarness(t, withNotices)
	late.browser("", "alice", right)
	late.browser("", "alice", right)
	token = strings.TrimPrefix(late.newSignIns()[0].Values["link"], "https://id.example.com/login/not-me?token=")
	late.now = late.now.Add(disownTTL)
	_, err = late.s.Disown(ctx, late.visit(), token, "")
	late.wantErr(err, fault.Consumed, "")
}

// An address that changes at the very moment of "This wasn't me" gets no link, and the password
// stays.
func TestDisownWhileTheAddressChanges(t *testing.T) {
	h := newHarness(t, withNotices)
	h.browser("", "alice", right)
	h.browser("", "alice", right)
	token := strings.TrimPrefix(h.newSignIns()[0].Values["link"], "https://id.example.com/login/not-me?token=")
	h.m.moveTo = "thief@example.com"
	d, err := h.s.Disown(ctx, h.visit(), token, "")
	testkit.Must(t, err)
	testkit.Equal(t, "moved", d.Moved, true)
	testkit.Equal(t, "sessions", len(h.m.sessions), 0)
	for _, m := range h.letters() {
		if m.Message == outbox.MessagePasswordReset {
			t.Errorf("a link for a new password went to %s", m.To)
		}
	}
	h.wantDone(h.signIn("alice", right))
}

// During the days of grace, a whole sign-in leads to one step, which keeps the account.
func TestSignInOfAnAccountToBeDeleted(t *testing.T) {
	h := newHarness(t, withMail)
	app, _ := h.enroll(h.alice)
	h.now = h.now.Add(time.Minute)
	due := h.now.Add(14 * 24 * time.Hour)
	h.m.users[h.alice].Disabled = true
	h.m.deleting[h.alice] = &identity.Deletion{User: h.alice, RequestedAt: h.now, DueAt: due}

	step, err := h.signIn("alice", right)
	testkit.Must(t, err)
	testkit.Equal(t, "next", step.Next, StepFactor)
	step, err = h.s.Continue(ctx, h.visit(), step.Pending, StepFactor, url.Values{"code": {app()}})
	testkit.Must(t, err)
	testkit.Equal(t, "next", step.Next, StepDeletion)
	testkit.Equal(t, "sessions", len(h.m.sessions), 0)
	p, err := h.s.Pending(ctx, h.visit(), step.Pending)
	testkit.Must(t, err)
	d, err := h.s.Deletion(ctx, p)
	testkit.Must(t, err)
	testkit.Equal(t, "due", d.DueAt, due)

	done, err := h.s.Continue(ctx, h.visit(), step.Pending, StepDeletion, nil)
	h.wantDone(done, err)
	testkit.Equal(t, "disabled", h.m.users[h.alice].Disabled, false)
	_, err = h.s.Continue(ctx, h.visit(), step.Pending, StepDeletion, nil)
	h.wantErr(err, fault.Consumed, "")

	// An administrator who disables the account takes the choice away.
	h.m.users[h.alice].Disabled = true
	h.m.deleting[h.alice] = &identity.Deletion{User: h.alice, DueAt: due, Held: true}
	_, err = h.signIn("alice", right)
	h.wantErr(err, fault.Denied, "disabled")
	_, err = h.s.ResourceOwner(ctx, h.visit(), "alice", right)
	h.wantErr(err, fault.Denied, "disabled")
}

// Who forgot the password may reset it and keep the account.
func TestForgottenPasswordOfAnAccountToBeDeleted(t *testing.T) {
	h := newHarness(t, withMail)
	h.m.users[h.alice].Disabled = true
	h.forget("alice")
	testkit.Equal(t, "messages to a disabled account", len(h.letters()), 0)
	h.m.deleting[h.alice] = &identity.Deletion{User: h.alice, DueAt: h.now.Add(time.Hour)}
	h.forget("alice")
	_, err := h.s.UsePasswordLink(ctx, h.visit(), h.lastToken(), chosen)
	testkit.Must(t, err)
	step, err := h.signIn("alice", chosen)
	testkit.Must(t, err)
	testkit.Equal(t, "next", step.Next, StepDeletion)
	_, err = h.s.ResourceOwner(ctx, h.visit(), "alice", chosen)
	h.wantErr(err, fault.Denied, "password alone")
}
