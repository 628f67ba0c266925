package login

import (
	"context"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// slowHasher calls after once, when a password was compared and before the result is returned.
type slowHasher struct {
	hasher
	after func()
}

func (s *slowHasher) Verify(ctx context.Context, password, stored string) (bool, error) {
	ok, err := s.hasher.Verify(ctx, password, stored)
	if after := s.after; after != nil {
		s.after = nil
		after()
	}
	return ok, err
}

// A sign-in does not outlive a change of the account that happens while the password is compared.
func TestAccountChangesDuringSignIn(t *testing.T) {
	cases := map[string]func(h *harness){
		"password": func(h *harness) {
			if err := h.s.SetPassword(ctx, h.visit(), h.get(h.alice), "an entirely new pass phrase"); err != nil {
				t.Error(err)
			}
		},
	}
	for what, change := range cases {
		t.Run(what, func(t *testing.T) {
			h := newHarness(t)
			slow := &slowHasher{hasher: h.s.pw}
			h.s = build(h.s.cfg, h.m, h.s.keys, slow)
			slow.after = func() { change(h) }
			step, err := h.signIn("alice", right)
			if !fault.Is(err, fault.Consumed) {
				t.Errorf("the sign-in returned %+v, %v", step, err)
			}
			if len(h.m.sessions) != 0 {
				t.Errorf("%d sessions are left", len(h.m.sessions))
			}
		})
	}
}

// A session is not raised by a step that was proved before the account changed.
func TestFactorRemovedDuringSignIn(t *testing.T) {
	h := newHarness(t)
	app, _ := h.enroll(h.alice)
	step, err := h.signIn("alice", right)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.s.RemoveFactor(ctx, h.visit(), h.get(h.alice), kindTOTP); err != nil {
		t.Fatal(err)
	}
	h.enroll(h.alice)
	if _, err := h.answer(step.Pending, StepFactor, "code", app()); !fault.Is(err, fault.Consumed) {
		t.Errorf("a sign-in begun before the factor was replaced goes on: %v", err)
	}
}
