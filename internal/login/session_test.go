package login

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

func (h *harness) signInWith(name, password, cookie string) (Step, error) {
	return h.s.Password(
		ctx,
		h.visit(),
		Attempt{Username: name, Password: password, Cookie: cookie, NeedACR: identity.ACR2},
	)
}

func TestResume(t *testing.T) {
	h := newHarness(t)
	d := h.wantDone(h.signIn("alice", right))
	for _, bad := range []string{"", "x", secret.NewToken(secret.PrefixSession), secret.NewToken(secret.PrefixLink), d.Cookie + "x"} {
		_, err := h.s.Resume(ctx, h.visit(), bad)
		h.wantErr(err, fault.NotFound, "")
	}
	h.now = h.now.Add(59 * time.Second)
	must(h.s.Resume(ctx, h.visit(), d.Cookie))
	if h.m.touches != 0 {
		t.Fatal("touched within a minute")
	}
	h.now, h.ip = h.now.Add(time.Second), "198.51.100.4"
	if s := must(h.s.Resume(ctx, h.visit(), d.Cookie)); !s.LastSeenAt.Equal(h.now) || s.IP != h.ip ||
		s.ID != d.Session.ID {
		t.Fatalf("session %+v", s)
	}
	must(h.s.Resume(ctx, h.visit(), d.Cookie))
	if h.m.touches != 1 {
		t.Fatalf("touched %d times", h.m.touches)
	}
	h.now = h.now.Add(30*time.Minute + time.Second)
	_, err := h.s.Resume(ctx, h.visit(), d.Cookie)
	h.wantErr(err, fault.NotFound, "") // idle for too long
}

func TestSessionHasAnAbsoluteEnd(t *testing.T) {
	h := newHarness(t)
	d := h.wantDone(h.signIn("alice", right))
	end := h.now.Add(7 * 24 * time.Hour)
	for h.now.Before(end) {
		must(h.s.Resume(ctx, h.visit(), d.Cookie))
		h.now = h.now.Add(20 * time.Minute)
	}
	_, err := h.s.Resume(ctx, h.visit(), d.Cookie)
	h.wantErr(err, fault.NotFound, "")
}

func TestEnd(t *testing.T) {
	h := newHarness(t)
	d := h.wantDone(h.signIn("alice", right))
	if err := h.s.End(ctx, h.visit(), d.Session); err != nil {
		t.Fatal(err)
	}
	_, err := h.s.Resume(ctx, h.visit(), d.Cookie)
	h.wantErr(err, fault.NotFound, "")
	h.wantEvents(0, "SESSION_CREATED", "LOGIN_SUCCEEDED", "LOGOUT")
}

func TestSigningInAgainRenewsTheSessionUnderANewCookie(t *testing.T) {
	h := newHarness(t)
	first := h.wantDone(h.signIn("alice", right))
	h.now = h.now.Add(10 * time.Minute)
	second := h.wantDone(h.signInWith("alice", right, first.Cookie))
	if second.Cookie == first.Cookie || second.Session.ID != first.Session.ID ||
		!second.Session.AuthTime.Equal(h.now) ||
		len(h.m.sessions) != 1 {
		t.Fatalf("%+v, then %+v", first.Session, second.Session)
	}
	_, err := h.s.Resume(ctx, h.visit(), first.Cookie)
	h.wantErr(err, fault.NotFound, "")

	h.now = h.now.Add(time.Hour) // idle for too long: nothing to renew
	third := h.wantDone(h.signInWith("alice", right, second.Cookie))
	if third.Session.ID == second.Session.ID {
		t.Fatal("a dead session came back to life")
	}
}

func TestAPlantedCookieIsWorthNothing(t *testing.T) {
	h := newHarness(t)
	h.user("mallory", "the password of mallory")
	planted := h.wantDone(h.signIn("mallory", "the password of mallory"))
	from := len(h.m.events)
	d := h.wantDone(h.signInWith("alice", right, planted.Cookie))
	if d.Session.ID == planted.Session.ID || d.Cookie == planted.Cookie || d.Session.User != h.alice {
		t.Fatalf("%+v", d.Session)
	}
	_, err := h.s.Resume(ctx, h.visit(), planted.Cookie)
	h.wantErr(err, fault.NotFound, "")
	h.wantEvents(from, "LOGOUT", "SESSION_CREATED", "LOGIN_SUCCEEDED")
	chosen := secret.NewToken(secret.PrefixSession)
	if d := h.wantDone(h.signInWith("alice", right, chosen)); d.Cookie == chosen {
		t.Fatal("the browser chose its own cookie")
	}
}

func TestSingleSession(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.SingleSession = true })
	phone := h.wantDone(h.signIn("alice", right))
	laptop := h.wantDone(h.signIn("alice", right))
	_, err := h.s.Resume(ctx, h.visit(), phone.Cookie)
	h.wantErr(err, fault.NotFound, "")
	must(h.s.Resume(ctx, h.visit(), laptop.Cookie))
}

func TestStepUp(t *testing.T) {
	h := newHarness(t)
	d := h.wantDone(h.signIn("alice", right))
	_, err := h.s.BeginStepUp(ctx, h.visit(), "", identity.ACR2)
	h.wantErr(err, fault.NotFound, "")
	same := h.wantDone(h.s.BeginStepUp(ctx, h.visit(), d.Cookie, identity.ACR2))
	if same.Cookie != d.Cookie || same.Session.ACR != identity.ACR1 {
		t.Fatalf("nothing to prove, yet %+v", same)
	}

	app, _ := h.enroll(h.alice)
	h.m.users[h.alice].MustChange = true // not asked for while stepping up
	p := h.wantStep(with(h.s.BeginStepUp(ctx, h.visit(), d.Cookie, identity.ACR2))(StepFactor))
	_, err = h.answer(p, StepFactor, "code", wrongOf(app()))
	h.wantErr(err, fault.Denied, "")
	from := len(h.m.events)
	up := h.wantDone(h.answer(p, StepFactor, "code", app()))
	if up.Session.ID != d.Session.ID || up.Session.ACR != identity.ACR2 || up.Cookie == d.Cookie ||
		!up.Session.AuthTime.Equal(h.now) ||
		!slices.Equal(up.Session.AMR, []string{"pwd", "otp", "mfa"}) {
		t.Fatalf("%+v", up.Session)
	}
	if ev := h.m.events[from]; ev.Detail["step_up"] != "true" || ev.Detail["asked"] != identity.ACR2 {
		t.Fatalf("event %+v", ev)
	}

	h.now = h.now.Add(time.Minute)
	_, err = h.answer(p, StepFactor, "code", app())
	h.wantErr(err, fault.Consumed, "") // the session has another cookie now
	h.now = h.now.Add(time.Minute)
	p = h.wantStep(with(h.s.BeginStepUp(ctx, h.visit(), up.Cookie, ""))(StepFactor)) // asked for again, to renew it
	if err := h.s.End(ctx, h.visit(), up.Session); err != nil {
		t.Fatal(err)
	}
	_, err = h.answer(p, StepFactor, "code", app())
	h.wantErr(err, fault.Consumed, "")
	if len(h.m.sessions) != 0 {
		t.Fatal("stepping up brought an ended session back")
	}
}

func TestStepUpOfADisabledUser(t *testing.T) {
	h := newHarness(t)
	d := h.wantDone(h.signIn("alice", right))
	h.m.users[h.alice].Disabled = true
	_, err := h.s.BeginStepUp(ctx, h.visit(), d.Cookie, "")
	h.wantErr(err, fault.Denied, "disabled")
}

func TestVisitTextsAreBounded(t *testing.T) {
	v := Visit{Agent: strings.Repeat("ä", 1000) + "\x00"}
	if a := v.agent(); len(a) > maxAgent || strings.Contains(a, "\ufffd") {
		t.Fatalf("agent of %d bytes", len(a))
	}
}

func TestResourceOwner(t *testing.T) {
	h := newHarness(t)
	if u := must(h.s.ResourceOwner(ctx, h.visit(), "alice", right)); u.ID != h.alice || len(h.m.sessions) != 0 {
		t.Fatal("not the user, or a session was opened")
	}
	_, err := h.s.ResourceOwner(ctx, h.visit(), "alice", "wrong")
	h.wantErr(err, fault.Denied, wrongPassword)
	_, err = h.s.ResourceOwner(ctx, h.visit(), "nobody", "wrong")
	h.wantErr(err, fault.Denied, wrongPassword)
	h.wantEvents(0, "LOGIN_SUCCEEDED", "LOGIN_FAILED wrong_password", "LOGIN_FAILED unknown_user")
	for range 4 {
		_, err = h.s.ResourceOwner(ctx, h.visit(), "alice", "wrong")
	}
	h.wantErr(err, fault.Limited, "")
	_, err = h.signIn("alice", right)
	h.wantErr(err, fault.Limited, "") // one lock for both doors
}

func TestResourceOwnerIsDeniedToWhoeverNeedsMore(t *testing.T) {
	for name, set := range map[string]func(h *harness){
		"has a factor":  func(h *harness) { h.enroll(h.alice) },
		"needs one":     func(h *harness) { h.s.cfg.RequireMFA = true },
		"within grace":  func(h *harness) { h.s.cfg.RequireMFA = true; h.m.users[h.alice].CreatedAt = h.now },
		"must change":   func(h *harness) { h.m.users[h.alice].MustChange = true },
		"password aged": func(h *harness) { h.s.cfg.ExpiryDays = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			set(h)
			from := len(h.m.events)
			_, err := h.s.ResourceOwner(ctx, h.visit(), "alice", right)
			h.wantErr(err, fault.Denied, "through the browser")
			h.wantEvents(from, "LOGIN_FAILED interaction_required")
		})
	}
}

func TestSignInsAtOnceWithOneCookieAllSucceedApart(t *testing.T) {
	h := newHarness(t)
	first := h.wantDone(h.signIn("alice", right))
	var wg sync.WaitGroup
	cookies := make([]string, 16)
	for i := range cookies {
		wg.Go(func() {
			if st, err := h.signInWith("alice", right, first.Cookie); err == nil {
				cookies[i] = st.Done.Cookie
			}
		})
	}
	wg.Wait()
	slices.Sort(cookies)
	if len(slices.Compact(cookies)) != 16 || cookies[0] == "" || len(h.m.sessions) != 16 {
		t.Fatalf("%d sessions, cookies %q", len(h.m.sessions), cookies)
	}
	_, err := h.s.Resume(ctx, h.visit(), first.Cookie)
	h.wantErr(err, fault.NotFound, "")
}
