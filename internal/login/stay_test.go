package login

import (
	"net/url"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

func (h *harness) staying(name string) Attempt {
	return Attempt{Username: name, Password: right, Stay: true}
}

// A session of a person who stays signed in does not end by not being used, and ends all the same.
func TestStaySignedIn(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.StaySignedIn = true })
	d := h.wantDone(h.s.Password(ctx, h.visit(), h.staying("alice")))
	if !d.Session.Stay || CookieTTL(h.visit(), d.Session) != 7*24*time.Hour {
		t.Fatalf("%+v", d.Session)
	}
	h.now = h.now.Add(6 * 24 * time.Hour)
	sess := must(h.s.Resume(ctx, h.visit(), d.Cookie))
	if ttl := CookieTTL(h.visit(), sess); ttl != 24*time.Hour {
		t.Errorf("the cookie stays for %v", ttl)
	}
	// A later sign-in without the choice takes it back.
	d = h.wantDone(h.s.Password(ctx, h.visit(),
		Attempt{Username: "alice", Password: right, Cookie: d.Cookie}))
	if d.Session.ID != sess.ID || d.Session.Stay || CookieTTL(h.visit(), d.Session) != 0 {
		t.Errorf("%+v", d.Session)
	}
	h.now = h.now.Add(31 * time.Minute)
	_, err := h.s.Resume(ctx, h.visit(), d.Cookie)
	h.wantErr(err, fault.NotFound, "")

	d = h.wantDone(h.s.Password(ctx, h.visit(), h.staying("alice")))
	h.now = h.now.Add(7 * 24 * time.Hour)
	_, err = h.s.Resume(ctx, h.visit(), d.Cookie)
	h.wantErr(err, fault.NotFound, "")
}

// The choice goes through the steps of a sign-in, and a step-up leaves it as it is.
func TestStayGoesThroughTheSteps(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.StaySignedIn = true })
	app, _ := h.enroll(h.alice)
	step, err := h.s.Password(ctx, h.visit(), h.staying("alice"))
	if err != nil || step.Next != StepFactor {
		t.Fatalf("%+v, %v", step, err)
	}
	d := h.wantDone(h.answer(step.Pending, StepFactor, "code", app()))
	if !d.Session.Stay {
		t.Error("the choice was lost")
	}
	h.now = h.now.Add(time.Minute)
	step, err = h.s.BeginStepUp(ctx, h.visit(), d.Cookie, identity.ACR2)
	if err != nil {
		t.Fatal(err)
	}
	step, err = h.s.Continue(ctx, h.visit(), step.Pending, StepFactor, url.Values{"code": {app()}})
	if d := h.wantDone(step, err); !d.Session.Stay {
		t.Error("a step-up ended it")
	}
}

// Where the operator does not offer it, the choice has no effect.
func TestStayIsNotOffered(t *testing.T) {
	h := newHarness(t)
	if d := h.wantDone(h.s.Password(ctx, h.visit(), h.staying("alice"))); d.Session.Stay {
		t.Error("the session stays")
	}
}
