package login

import (
	"net/url"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

func trusting(c *Config) { c.TrustFor = 30 * 24 * time.Hour }

// trustBrowser signs alice in with both steps, trusts the browser, and returns its device cookie.
func (h *harness) trustBrowser(app func() string) string {
	h.Helper()
	step, err := h.signIn("alice", right)
	if err != nil || step.Next != StepFactor {
		h.Fatalf("%+v, %v", step, err)
	}
	d := h.wantDone(h.answer(step.Pending, StepFactor, "code", app(), "trust_browser", "1"))
	h.now = h.now.Add(time.Minute)
	return d.Device
}

// asks reports whether a sign-in in a browser asks for the second step.
func (h *harness) asks(device string, need ...string) bool {
	h.Helper()
	v := h.visit()
	v.Device = device
	a := Attempt{Username: "alice", Password: right}
	if len(need) > 0 {
		a.NeedACR = need[0]
	}
	step, err := h.s.Password(ctx, v, a)
	if err != nil {
		h.Fatal(err)
	}
	if step.Done != nil && (step.Done.Session.ACR != identity.ACR1 || len(step.Done.Session.AMR) != 1) {
		h.Fatalf("the trust counts as a factor: %+v", step.Done.Session)
	}
	return step.Done == nil
}

// A browser that a person trusts skips the second step, counts as one factor, and ends in time.
func TestTrustedBrowser(t *testing.T) {
	h := newHarness(t, trusting)
	app, _ := h.enroll(h.alice)
	from := len(h.m.events)
	device := h.trustBrowser(app)
	h.wantEvents(from, "SESSION_CREATED", "LOGIN_SUCCEEDED", "BROWSER_TRUSTED")
	if h.asks(device) {
		t.Error("the trusted browser asks")
	}
	if ev := h.m.events[len(h.m.events)-1]; ev.Type != audit.LoginSucceeded || ev.Detail["trusted_browser"] == "" {
		t.Errorf("%+v", ev)
	}
	if !h.asks("") || !h.asks("forged") {
		t.Error("another browser does not ask")
	}
	if !h.asks(device, identity.ACR2) {
		t.Error("an application that needs two factors gets one")
	}
	if h.asks(device, identity.ACR1) {
		t.Error("an application that needs one factor makes it ask")
	}
	h.now = h.now.Add(30 * 24 * time.Hour)
	if !h.asks(device) {
		t.Error("the trust does not end")
	}
}

// A step-up asks for the factor in a trusted browser, too.
func TestTrustIsNoStepUp(t *testing.T) {
	h := newHarness(t, trusting)
	app, _ := h.enroll(h.alice)
	v := h.visit()
	v.Device = h.trustBrowser(app)
	v.Now = h.now
	d := h.wantDone(h.s.Password(ctx, v, Attempt{Username: "alice", Password: right}))
	step, err := h.s.BeginStepUp(ctx, v, d.Cookie, identity.ACR2)
	if err != nil || step.Next != StepFactor {
		t.Errorf("%+v, %v", step, err)
	}
	// What a signed-in person does again asks for both as well.
	if err := h.s.Reauthenticate(ctx, v, h.get(h.alice), url.Values{"password": {right}}); err == nil {
		t.Error("the password was enough")
	}
}

// Every change of the password or the factors ends the trust, and so does the person.
func TestTrustEndsWithTheCredentials(t *testing.T) {
	for name, change := range map[string]func(h *harness){
		"password": func(h *harness) {
			if err := h.s.SetPassword(ctx, h.visit(), h.get(h.alice), right+"!"); err != nil {
				h.Fatal(err)
			}
			h.m.users[h.alice].PasswordHash = "quick$" + right
		},
		"factor": func(h *harness) {
			if err := h.s.RemoveFactor(ctx, h.visit(), h.get(h.alice), kindTOTP); err != nil {
				h.Fatal(err)
			}
			h.enroll(h.alice)
		},
		"distrust": func(h *harness) {
			all := must(h.s.TrustedBrowsers(ctx, h.visit(), h.get(h.alice)))
			if len(all) != 1 || all[0].Agent != "Firefox" {
				h.Fatalf("%+v", all)
			}
			for range 2 { // the second time changes nothing
				if err := h.s.Distrust(ctx, h.visit(), h.alice, all[0].ID); err != nil {
					h.Fatal(err)
				}
			}
		},
		"sign-out everywhere": func(h *harness) {
			if err := h.s.DistrustOthers(ctx, h.visit(), h.get(h.alice)); err != nil {
				h.Fatal(err)
			}
		},
		"required password": func(h *harness) { h.m.users[h.alice].MustChange = true },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, trusting)
			app, _ := h.enroll(h.alice)
			device := h.trustBrowser(app)
			if h.asks(device) {
				t.Fatal("the trusted browser asks")
			}
			change(h)
			h.now = h.now.Add(time.Minute)
			if !h.asks(device) {
				t.Error("the browser is still trusted")
			}
		})
	}
}

// Another person's browser is not trusted by this person, nor with another's cookie.
func TestTrustIsOfOneAccount(t *testing.T) {
	h := newHarness(t, trusting)
	app, _ := h.enroll(h.alice)
	device := h.trustBrowser(app)
	bob := h.user("bob", right)
	other := h.app(must(h.s.Enroll(ctx, h.visit(), h.get(bob), kindTOTP, "")))
	must(h.confirm(bob, other()))
	step, err := h.signInFrom(device, "bob", right)
	if err != nil || step.Next != StepFactor {
		t.Errorf("%+v, %v", step, err)
	}
	if err := h.s.Distrust(ctx, h.visit(), bob, must(h.s.TrustedBrowsers(ctx, h.visit(), h.get(h.alice)))[0].ID); err != nil {
		t.Fatal(err)
	}
	if h.asks(device) {
		t.Error("bob ended the trust of alice's browser")
	}
}

// Where the operator rules it out, for all or for administrators, nothing is offered or kept.
func TestTrustIsRuledOut(t *testing.T) {
	for name, set := range map[string]func(*Config){
		"off":   func(*Config) {},
		"admin": func(c *Config) { trusting(c); c.RequireAdminMFA = true },
		"role":  func(c *Config) { trusting(c); c.MFARoles = map[string]time.Duration{identity.RoleAdmin: 0} },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, set)
			h.m.users[h.alice].Roles = []string{identity.RoleAdmin}
			app, _ := h.enroll(h.alice)
			step := must(h.signIn("alice", right))
			p := must(h.s.Pending(ctx, h.visit(), step.Pending))
			if p.Trust {
				t.Error("it is offered")
			}
			if device := h.trustBrowser(app); !h.asks(device) {
				t.Error("the browser is trusted")
			}
		})
	}
	h := newHarness(t, trusting)
	app, _ := h.enroll(h.alice)
	device := h.trustBrowser(app)
	h.m.users[h.alice].Roles = []string{identity.RoleAdmin} // promoted since
	h.s.cfg.RequireAdminMFA = true
	if !h.asks(device) {
		t.Error("a new administrator skips the second step")
	}
}

// The password grant has no browser, so no trust.
func TestPasswordGrantTrustsNoBrowser(t *testing.T) {
	h := newHarness(t, trusting)
	app, _ := h.enroll(h.alice)
	v := h.visit()
	v.Device, v.Now = h.trustBrowser(app), h.now
	if _, err := h.s.ResourceOwner(ctx, v, "alice", right); err == nil {
		t.Error("the grant skips the second step")
	}
}
