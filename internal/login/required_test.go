package login

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

const days = 24 * time.Hour

func TestSecondStepsOfRoles(t *testing.T) {
	roles := map[string]time.Duration{"finance": 0, "editor": 14 * days, "admin": 3 * days}
	for _, tt := range []struct {
		roles    []string
		all, adm bool
		required bool
		grace    time.Duration
	}{
		{nil, false, false, false, 0},
		{[]string{"staff"}, false, false, false, 0},
		{[]string{"editor"}, false, false, true, 14 * days},
		{[]string{"editor", "finance"}, false, false, true, 0},
		{[]string{"editor"}, true, false, true, 7 * days},
		{[]string{"staff"}, true, false, true, 7 * days},
		{[]string{"admin"}, false, true, true, 3 * days},
		{[]string{"admin", "editor"}, false, true, true, 3 * days},
		{[]string{"helpdesk"}, false, true, true, 7 * days}, // a role of their own, which manages something
		{[]string{"helpdesk"}, false, false, false, 0},
		{[]string{"staff"}, false, true, false, 0},
	} {
		h := newHarness(t, func(c *Config) {
			c.MFARoles, c.RequireMFA, c.RequireAdminMFA = roles, tt.all, tt.adm
			c.Administers = func(u *identity.User) bool { return slices.Contains(u.Roles, "helpdesk") }
		})
		u := &identity.User{Roles: tt.roles}
		if got, grace := h.s.MFARequired(u), must(h.s.Grace(ctx, h.visit(), u)); got != tt.required || grace != tt.grace {
			t.Errorf("%+v: %v, %v", tt, got, grace)
		}
	}
}

// The days of grace count from the first sign-in at which a role needs a second step, and anew when
// the role is given again.
func TestGraceCountsFromTheRole(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.MFARoles = map[string]time.Duration{"editor": 2 * days} })
	h.wantDone(h.signIn("alice", right))
	step := func(grace time.Duration) string {
		t.Helper()
		st, err := h.signIn("alice", right)
		p := h.wantStep(st, StepEnroll, err)
		if st.Grace != grace {
			t.Fatalf("grace %v, want %v", st.Grace, grace)
		}
		if w, err := h.s.Pending(ctx, h.visit(), p); err != nil || w.Grace != grace {
			t.Fatalf("%+v %v", w, err)
		}
		return p
	}
	h.m.users[h.alice].Roles = []string{"editor"}
	h.wantDone(h.answer(step(2*days), StepSkip))
	h.now = h.now.Add(days)
	h.wantDone(h.answer(step(days), StepSkip))
	h.now = h.now.Add(days)
	p := step(0)
	_, err := h.answer(p, StepSkip)
	h.wantErr(err, fault.Denied, "needs two-step")
	h.m.users[h.alice].Roles = nil
	h.wantDone(h.signIn("alice", right))
	old := h.get(h.alice)
	h.m.users[h.alice].Roles = []string{"editor"}
	if err := h.s.RestartGrace(ctx, old, h.get(h.alice)); err != nil {
		t.Fatal(err)
	}
	h.now = h.now.Add(days)
	step(2 * days)
	old.Roles = []string{"editor", "staff"} // nothing begins
	if err := h.s.RestartGrace(ctx, old, h.get(h.alice)); err != nil {
		t.Fatal(err)
	}
	h.now = h.now.Add(days)
	step(days)
}

func TestExpiredPasswords(t *testing.T) {
	h := newHarness(t, func(c *Config) {
		c.ExpiryDays, c.AdminExpiryDays, c.ExpiryWarning, c.ExpiryGrace = 90, 30, 14*days, 7*days
	})
	root := h.user("root", "the right password of root", identity.RoleAdmin)
	set := h.now
	for _, id := range []identity.UserID{h.alice, root} {
		h.m.users[id].PasswordChangedAt = set
	}
	for _, tt := range []struct {
		days int
		user identity.UserID
		warn bool
		left int  // days until it must be changed
		due  bool // at the sign-in
	}{
		{0, h.alice, false, 97, false},
		{75, h.alice, false, 22, false},
		{76, h.alice, true, 21, false},
		{89, h.alice, true, 8, false},
		{90, h.alice, true, 7, true},
		{96, h.alice, true, 1, true},
		{97, h.alice, true, 0, true},
		{400, h.alice, true, 0, true},
		{15, root, false, 22, false},
		{16, root, true, 21, false},
		{31, root, true, 6, true},
	} {
		h.now = set.AddDate(0, 0, tt.days)
		u := h.get(tt.user)
		if end := h.s.PasswordEnd(h.visit(), u); end.Warn != tt.warn {
			t.Errorf("%s after %d days: %+v", u.Username, tt.days, end)
		}
		reason, grace := h.s.newPassword(h.visit(), &signIn{user: u})
		if (reason == ReasonExpired) != tt.due || tt.due && grace != time.Duration(tt.left)*days {
			t.Errorf("%s after %d days: %q, %v", u.Username, tt.days, reason, grace)
		}
	}
	h.now = set.AddDate(0, 0, 92)
	st, err := h.signIn("alice", right)
	p := h.wantStep(st, StepNewPassword, err)
	if st.Reason != ReasonExpired || st.Grace != 5*days {
		t.Fatalf("%+v", st)
	}
	h.wantDone(h.answer(p, StepSkip))
	if _, err := h.s.ResourceOwner(ctx, h.visit(), "alice", right); err != nil { // it may still sign in
		t.Fatal(err)
	}
	st, err = h.signIn("alice", right)
	p = h.wantStep(st, StepNewPassword, err)
	h.now = set.AddDate(0, 0, 97)
	_, err = h.answer(p, StepSkip)
	h.wantErr(err, fault.Consumed, "") // it waited too long
	p = h.wantStep(with(h.signIn("alice", right))(StepNewPassword))
	_, err = h.answer(p, StepSkip)
	h.wantErr(err, fault.Denied, "now")
	_, err = h.s.ResourceOwner(ctx, h.visit(), "alice", right)
	h.wantErr(err, fault.Denied, "password alone")
	h.wantDone(h.answer(p, StepNewPassword, "new_password", newWord))
	h.m.users[root].MustChange = true // an administrator's wish cannot be put off
	st, err = h.signIn("root", "the right password of root")
	if h.wantStep(st, StepNewPassword, err); st.Reason != ReasonMustChange || st.Grace != 0 {
		t.Fatalf("%+v", st)
	}
}

func TestExpiryIsNoticedOnce(t *testing.T) {
	h := newHarness(t, func(c *Config) {
		c.ExpiryDays, c.AdminExpiryDays, c.ExpiryWarning, c.Mail = 90, 60, 14*days, true
	})
	set := h.now
	for i := range 450 {
		u := h.m.users[h.user(fmt.Sprint("user-", i), "x")]
		u.PasswordChangedAt, u.Disabled = set, i%2 == 1
	}
	h.m.users[h.alice].PasswordChangedAt = set
	h.m.users[h.user("nobody", "x")].Email = ""
	root := h.user("root", "x", identity.RoleAdmin)
	h.m.users[root].PasswordChangedAt = set
	warn := func(after, want int) {
		t.Helper()
		h.now = set.AddDate(0, 0, after)
		if n, err := h.s.WarnOfExpiry(ctx, h.now); n != want || err != nil {
			t.Fatalf("after %d days: %d, %v; want %d", after, n, err, want)
		}
	}
	warn(45, 0)
	warn(46, 1) // the administrator
	warn(76, 226)
	warn(77, 0)
	if ev := h.m.events[len(h.m.events)-1]; ev.Type != audit.PasswordExpiryNotice || len(ev.Deliveries) != 1 || ev.Actor != "system" {
		t.Fatalf("%+v", ev)
	}
	if err := h.s.SetPassword(ctx, h.visit(), h.get(h.alice), newWord); err != nil {
		t.Fatal(err)
	}
	warn(90, 0)
	set = h.now.AddDate(0, 0, -13)
	warn(80, 1) // Alice's new one
	h.m.users[h.alice].PasswordChangedAt = h.now.AddDate(0, 0, -100)
	warn(90, 0) // too late for a warning
}

func TestExpiryIsNotNoticedWithoutMail(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.ExpiryDays, c.ExpiryWarning = 90, 14*days })
	h.m.users[h.alice].PasswordChangedAt = h.now.AddDate(0, 0, -80)
	if n, err := h.s.WarnOfExpiry(ctx, h.now); n != 0 || err != nil || len(h.m.notified) != 0 {
		t.Fatal(n, err)
	}
}

// breach is a list of breached passwords, broken if it is nil.
type breach map[string]bool

func (b breach) Contains(_ context.Context, password string) (bool, error) {
	if b == nil {
		return false, errors.New("broken")
	}
	return b[password], nil
}

func TestBreachedPasswords(t *testing.T) {
	list := breach{right: true, "Ledger rows \uff11\uff12 past": true}
	h := newHarness(t, func(c *Config) { c.Breached = list })
	st, err := h.signIn("alice", right)
	p := h.wantStep(st, StepNewPassword, err)
	if w := must(h.s.Pending(ctx, h.visit(), p)); st.Reason != ReasonBreached || w.Reason != ReasonBreached || w.Grace != 0 {
		t.Fatalf("%+v %+v", st, w)
	}
	_, err = h.answer(p, StepSkip)
	h.wantErr(err, fault.Denied, "now")
	_, err = h.s.ResourceOwner(ctx, h.visit(), "alice", right)
	h.wantErr(err, fault.Denied, "password alone")
	_, err = h.answer(p, StepNewPassword, "new_password", "Ledger rows \uff11\uff12 past") // as it was typed
	h.wantErr(err, fault.Invalid, "breach")
	h.wantDone(h.answer(p, StepNewPassword, "new_password", newWord))
	h.wantDone(h.signIn("alice", newWord))

	rules := h.s.PasswordRules(nil)
	if rules[len(rules)-1].Code != identity.RuleBreached {
		t.Errorf("rules %v", rules)
	}
	broken := newHarness(t, func(c *Config) { c.Breached = breach(nil) })
	broken.wantDone(broken.signIn("alice", right)) // nobody is kept out
	broken.wantErr(broken.s.SetPassword(ctx, h.visit(), broken.get(broken.alice), newWord), fault.Unavailable, "")
}

// Guesses at codes are counted for the account, whatever is begun anew, and apart from passwords.
func TestGuessesAtCodesSurviveANewSignIn(t *testing.T) {
	h := newHarness(t)
	app, backup := h.enroll(h.alice)
	begin := func() string { return h.wantStep(with(h.signIn("alice", right))(StepFactor)) }
	for range 4 { // wrong passwords count apart
		_, err := h.signIn("alice", "wrong")
		h.wantErr(err, fault.Denied, "")
	}
	old := begin()
	for i := range 4 {
		p := begin()
		st, err := h.s.Choose(ctx, h.visit(), p, []string{kindTOTP, kindBackup}[i%2]) // as if it were sent again
		if err != nil {
			t.Fatal(err)
		}
		_, err = h.answer(st.Pending, StepFactor, "code", []string{wrongOf(app()), "aaaaa-aaaaa"}[i%2])
		h.wantErr(err, fault.Denied, "")
	}
	_, err := h.s.NewBackupCodes(ctx, h.visit(), h.alice) // another page
	if err != nil {
		t.Fatal(err)
	}
	h.wantErr(h.s.Reauthenticate(ctx, h.visit(), h.get(h.alice), url.Values{
		"password": {right}, "code": {wrongOf(app())},
	}), fault.Limited, "")
	ev := h.m.events[len(h.m.events)-1]
	if ev.Type != audit.AccountLocked || ev.Detail["step"] != "second" {
		t.Fatalf("%+v", ev)
	}
	for _, code := range []string{app(), backup[0]} { // the right code comes too late
		_, err = h.answer(old, StepFactor, "code", code)
		h.wantErr(err, fault.Limited, "")
	}
	_, err = h.signIn("alice", right)
	h.wantErr(err, fault.Limited, "") // at the step that is locked
	l, err := h.s.LockOf(ctx, h.visit(), h.alice)
	if err != nil || !l.Locked(h.now) || !l.LockedAt.Equal(h.now) || !l.LockedUntil.Equal(h.now.Add(30*time.Minute)) || l.Failures < 9 {
		t.Fatalf("%+v %v", l, err)
	}

	h.now = h.now.Add(5 * time.Minute)
	h.m.locks[LockKey(h.alice)+":second"] = func() Lock { // as if the lock were short
		l := h.m.locks[LockKey(h.alice)+":second"]
		l.LockedUntil = h.now
		return l
	}()
	_, err = h.answer(old, StepFactor, "code", app())
	h.wantErr(err, fault.Consumed, "Start again") // the half-done sign-in ended with the lock
	h.wantDone(h.answer(begin(), StepFactor, "code", app()))
	if l, err := h.s.LockOf(ctx, h.visit(), h.alice); err != nil || l.Failures != 0 {
		t.Fatalf("%+v %v", l, err)
	}
}

// A wrong password costs no second step, and a lock of one is not one of the other.
func TestLocksOfPasswordsAndCodesAreApart(t *testing.T) {
	h := newHarness(t)
	app, _ := h.enroll(h.alice)
	p := h.wantStep(with(h.signIn("alice", right))(StepFactor))
	for range 5 {
		h.signIn("alice", "wrong")
	}
	_, err := h.signIn("alice", right)
	h.wantErr(err, fault.Limited, "")
	h.wantDone(h.answer(p, StepFactor, "code", app())) // it had proved the password before
	v := h.visit()
	v.Actor = "cli"
	for range 5 {
		p := h.wantStep(with(h.signIn("alice", right))(StepFactor))
		h.answer(p, StepFactor, "code", wrongOf(app()))
	}
	_, err = h.signIn("alice", right)
	h.wantErr(err, fault.Limited, "")
	if err := h.s.Unlock(ctx, v, h.alice); err != nil {
		t.Fatal(err)
	}
	h.wantStep(with(h.signIn("alice", right))(StepFactor))
}

// An attempt during a lock does not extend it.
func TestAttemptsDoNotExtendALock(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Progressive = true })
	for range 5 {
		h.signIn("alice", "wrong")
	}
	for range 14 {
		h.now = h.now.Add(time.Minute)
		for range 10 {
			_, err := h.signIn("alice", "wrong")
			h.wantErr(err, fault.Limited, "")
		}
	}
	h.now = h.now.Add(time.Minute)
	h.wantDone(h.signIn("alice", right))
}

func TestFiftyGuessesAtOnce(t *testing.T) {
	h := newHarness(t)
	app, _ := h.enroll(h.alice)
	var pendings []string
	for range 50 {
		pendings = append(pendings, h.wantStep(with(h.signIn("alice", right))(StepFactor)))
	}
	var tried atomic.Int64
	var wg sync.WaitGroup
	for _, p := range pendings {
		wg.Go(func() {
			if _, err := h.answer(p, StepFactor, "code", wrongOf(app())); fault.Is(err, fault.Denied) {
				tried.Add(1)
			}
		})
	}
	wg.Wait()
	if tried.Load() != 4 { // the fifth says that it is locked
		t.Errorf("%d were tried", tried.Load())
	}
	_, err := h.answer(pendings[0], StepFactor, "code", app())
	h.wantErr(err, fault.Limited, "")
}
