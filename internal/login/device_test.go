package login

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// signInFrom signs in with a password in the browser of a device cookie.
func (h *harness) signInFrom(device, name, password string) (Step, error) {
	v := h.visit()
	v.Device = device
	return h.s.Password(ctx, v, Attempt{Username: name, Password: password})
}

// browser signs a person in, in a browser with a device cookie or "", and returns the new one.
func (h *harness) browser(device, name, password string) string {
	h.Helper()
	step, err := h.signInFrom(device, name, password)
	if err != nil || step.Done == nil || step.Done.Device == "" {
		h.Fatalf("%+v, %v", step, err)
	}
	return step.Done.Device
}

// fail enters a wrong password n times.
func (h *harness) fail(n int, device, name string) {
	h.Helper()
	for range n {
		if _, err := h.signInFrom(device, name, "wrong"); err == nil {
			h.Fatal("signed in")
		}
	}
}

func (h *harness) locked(device, name, password string) bool {
	h.Helper()
	_, err := h.signInFrom(device, name, password)
	if err != nil && !fault.Is(err, fault.Limited) {
		h.Fatal(err)
	}
	return err != nil
}

// A lock that strangers caused does not stop the owner's own browser.
func TestKnownBrowserIsNotLockedByStrangers(t *testing.T) {
	for name, set := range map[string]func(*Config){
		"accounts":          func(*Config) {},
		"addresses as well": func(c *Config) { c.LockByIP, c.IPThreshold = true, 5 },
		"no auto-unlock":    func(c *Config) { c.AutoUnlock = false },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, set)
			home := h.browser("", "alice", right)
			h.fail(5, "", "alice")
			if !h.locked("", "alice", right) {
				t.Error("a stranger is not locked out")
			}
			home = h.browser(home, "alice", right)
			if !h.locked("", "alice", right) {
				t.Error("the owner's sign-in ended the lock of strangers")
			}
			// Its own failures are counted by themselves.
			h.fail(5, home, "alice")
			if !h.locked(home, "alice", right) {
				t.Error("the browser may guess without end")
			}
			var scopes []string
			for _, ev := range h.m.events {
				if ev.Type == audit.AccountLocked && ev.User != "" {
					scopes = append(scopes, ev.Detail["scope"])
				}
			}
			if scopes[0] != "account" || scopes[len(scopes)-1] != "browser" {
				t.Errorf("the locks are recorded as %v", scopes)
			}
			v := h.visit()
			v.Actor = "cli"
			if err := h.s.Unlock(ctx, v, h.alice); err != nil {
				t.Fatal(err)
			}
			h.ip = "198.51.100.1"
			h.browser(home, "alice", right)
			h.browser("", "alice", right)
		})
	}
}

// Failures in one browser lock neither the account's other browsers nor strangers.
func TestFailuresOfAKnownBrowserStayItsOwn(t *testing.T) {
	h := newHarness(t)
	home, work := h.browser("", "alice", right), h.browser("", "alice", right)
	h.fail(5, home, "alice")
	if !h.locked(home, "alice", right) || h.locked(work, "alice", right) || h.locked("", "alice", right) {
		t.Error("the lock is not that of the browser alone")
	}
	h.now = h.now.Add(31 * time.Minute)
	if h.locked(home, "alice", right) {
		t.Error("the lock does not end")
	}
	h.fail(4, home, "alice")
	renewed := h.browser(home, "alice", right) // resets the counter, keeps the name
	h.fail(4, renewed, "alice")
	if h.locked(home, "alice", right) {
		t.Error("the failures before the sign-in still count")
	}
}

// Two-step verification counts by the same rule: strangers who know the password cannot lock the
// owner out of the second step.
func TestKnownBrowserAtTheSecondStep(t *testing.T) {
	h := newHarness(t)
	app, _ := h.enroll(h.alice)
	first := h.wantStep(with(h.signIn("alice", right))(StepFactor))
	step, err := h.answer(first, StepFactor, "code", app())
	if err != nil || step.Done == nil {
		t.Fatal(step, err)
	}
	home := step.Done.Device
	for range 5 {
		p := h.wantStep(with(h.signIn("alice", right))(StepFactor))
		_, _ = h.answer(p, StepFactor, "code", "000000")
	}
	if !h.locked("", "alice", right) {
		t.Error("strangers are not locked out")
	}
	h.now = h.now.Add(time.Minute)
	step, err = h.signInFrom(home, "alice", right)
	if err != nil || step.Next != StepFactor {
		t.Fatal(step, err)
	}
	v := h.visit()
	v.Device = home
	step, err = h.s.Continue(ctx, v, step.Pending, StepFactor, map[string][]string{"code": {app()}})
	if err != nil || step.Done == nil {
		t.Error(step, err)
	}
}

// What does not make a browser known.
func TestBrowsersThatAreNotKnown(t *testing.T) {
	for name, cookie := range map[string]func(h *harness, home string) string{
		"made up":    func(*harness, string) string { return "made-up" },
		"very long":  func(_ *harness, home string) string { return home + strings.Repeat("A", 5000) },
		"altered":    func(_ *harness, home string) string { return home[:len(home)-4] + "AAAA" },
		"of another": func(h *harness, _ string) string { return h.browser("", "bob", right) },
		"a sealed sign-in": func(h *harness, _ string) string {
			h.enroll(h.get(h.alice).ID)
			return h.wantStep(with(h.signIn("alice", right))(StepFactor))
		},
		"expired": func(h *harness, home string) string {
			h.now = h.now.Add(DeviceTTL)
			return home
		},
		"of a former password": func(h *harness, home string) string {
			if err := h.s.SetPassword(ctx, h.visit(), h.get(h.alice), newWord); err != nil {
				h.Fatal(err)
			}
			return home
		},
		"of the time before two-step verification": func(h *harness, home string) string {
			h.enroll(h.alice)
			return home
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.user("bob", right)
			device := cookie(h, h.browser("", "alice", right))
			h.fail(5, "", "alice")
			if !h.locked(device, "alice", right) {
				t.Error("the browser is known")
			}
		})
	}
}

// A browser is known to a few accounts; the one that signed in longest ago goes first. A person who
// has changed the password is known again at once.
func TestRememberedAccounts(t *testing.T) {
	h := newHarness(t)
	device := ""
	names := []string{"alice", "bob", "carol", "dave", "erin"}
	for _, name := range names {
		if name != "alice" {
			h.user(name, right)
		}
		device = h.browser(device, name, right)
	}
	device = h.browser(device, "bob", right)
	if len(device) > maxDevice || len(h.s.knownAccounts(Visit{Now: h.now, Device: device})) != maxKnown {
		t.Fatalf("the cookie has %d bytes", len(device))
	}
	for _, name := range names {
		h.fail(5, "", name)
		if got := h.locked(device, name, right); got != (name == "alice") {
			t.Errorf("%s is locked: %t", name, got)
		}
	}
	var bob identity.UserID
	for id, u := range h.m.users {
		if u.Username == "bob" {
			bob = id
		}
	}
	v := h.visit()
	v.Device = device
	change := Change{Current: right, New: newWord}
	if err := h.s.ChangePassword(ctx, v, h.get(bob), change); err != nil {
		t.Fatal(err)
	}
	if !h.locked(device, "bob", newWord) {
		t.Error("the browser is known by its former cookie")
	}
	device, err := h.s.Remember(ctx, v, bob)
	if err != nil {
		t.Fatal(err)
	}
	h.browser(device, "bob", newWord)
}
