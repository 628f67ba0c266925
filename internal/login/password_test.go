package login

import (
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

func TestChangePassword(t *testing.T) {
	h := newHarness(t)
	here, there := h.wantDone(h.signIn("alice", right)), h.wantDone(h.signIn("alice", right))
	from := len(h.m.events)
	change := func(current, word string) error {
		return h.s.ChangePassword(
			ctx, h.visit(), h.get(h.alice),
			Change{Current: current, New: word, Keep: here.Session.ID},
		)
	}
	h.wantErr(change("wrong", newWord), fault.Denied, "Incorrect")
	h.wantErr(change("", newWord), fault.Invalid, "Enter")
	h.wantErr(change(right, "short"), fault.Invalid, "at least 12")
	h.wantErr(change(right, right), fault.Invalid, "used before")
	if err := change(right, newWord); err != nil {
		t.Fatal(err)
	}
	h.wantEvents(from, "LOGIN_FAILED wrong_password", "PASSWORD_CHANGED", "SESSION_REVOKED")
	must(h.s.Resume(ctx, h.visit(), here.Cookie))
	_, err := h.s.Resume(ctx, h.visit(), there.Cookie)
	h.wantErr(err, fault.NotFound, "")
	h.wantDone(h.signIn("alice", newWord))
}

func TestCheckPasswordCountsTowardsTheLockout(t *testing.T) {
	h := newHarness(t)
	u := h.get(h.alice)
	for range 4 {
		h.wantErr(h.s.CheckPassword(ctx, h.visit(), u, "wrong"), fault.Denied, "Incorrect")
	}
	h.wantErr(h.s.CheckPassword(ctx, h.visit(), u, "wrong"), fault.Limited, "")
	h.wantErr(h.s.CheckPassword(ctx, h.visit(), u, right), fault.Limited, "")
	h.now = h.now.Add(30 * time.Minute)
	if err := h.s.CheckPassword(ctx, h.visit(), u, right); err != nil {
		t.Fatal(err)
	}
}

// Guesses at a code are not undone by the password, which whoever guesses may know.
func TestWrongCodesCountTowardsTheLockout(t *testing.T) {
	h := newHarness(t)
	u := h.get(h.alice)
	app, _ := h.enroll(h.alice)
	h.now = h.now.Add(time.Minute)
	in := url.Values{"password": {right}, "code": {"000000"}}
	for range 4 {
		h.wantErr(h.s.Reauthenticate(ctx, h.visit(), u, in), fault.Denied, "Incorrect")
		if err := h.s.CheckPassword(ctx, h.visit(), u, right); err != nil {
			t.Fatal(err)
		}
	}
	h.wantErr(h.s.Reauthenticate(ctx, h.visit(), u, in), fault.Limited, "")
	in.Set("code", app())
	h.wantErr(h.s.Reauthenticate(ctx, h.visit(), u, in), fault.Limited, "")
	h.now = h.now.Add(30 * time.Minute)
	in.Set("code", app())
	if err := h.s.Reauthenticate(ctx, h.visit(), u, in); err != nil {
		t.Fatal(err)
	}
	h.wantErr(h.s.Reauthenticate(ctx, h.visit(), u, in), fault.Denied, "used already")
}

func TestFormerPasswordsDoNotComeBack(t *testing.T) {
	h := newHarness(t)
	words := []string{
		"first Fine passphrase 1x",
		"second Fine passphrase 2y",
		"third Fine passphrase 3z",
		"fourth Fine passphrase 4w",
	}
	set := func(word string) error { return h.s.SetPassword(ctx, h.visit(), h.get(h.alice), word) }
	for _, w := range words {
		if err := set(w); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range words { // the present one and three before
		h.wantErr(set(w), fault.Invalid, "used before")
	}
	if err := set(right + " 77"); err != nil {
		t.Fatal(err)
	}
	if err := set(words[0]); err != nil {
		t.Fatalf("four passwords ago: %v", err)
	}
}

func TestSetPassword(t *testing.T) {
	h := newHarness(t)
	d := h.wantDone(h.signIn("alice", right))
	for range 5 {
		h.signIn("alice", "wrong")
	}
	h.m.users[h.alice].MustChange = true
	v := h.visit()
	v.Actor = "cli"
	if err := h.s.SetPassword(ctx, v, h.get(h.alice), newWord); err != nil {
		t.Fatal(err)
	}
	if ev := h.m.events[len(h.m.events)-2]; ev.Type != audit.PasswordChanged || ev.Actor != "cli" ||
		ev.User != string(h.alice) {
		t.Fatalf("event %+v", ev)
	}
	_, err := h.s.Resume(ctx, h.visit(), d.Cookie)
	h.wantErr(err, fault.NotFound, "")
	h.wantDone(h.signIn("alice", newWord)) // unlocked, and nothing more to change
}

func TestAdministratorsNeedLongerPasswords(t *testing.T) {
	h := newHarness(t)
	root := h.user("root", "x", identity.RoleAdmin)
	h.wantErr(h.s.SetPassword(ctx, h.visit(), h.get(root), "Fourteen-ch4rs"), fault.Invalid, "at least 16")
	if err := h.s.SetPassword(ctx, h.visit(), h.get(h.alice), "Fourteen-ch4rs"); err != nil {
		t.Fatal(err)
	}
	if a, b := h.s.PasswordRules(h.get(root)), h.s.PasswordRules(nil); a[0] == b[0] {
		t.Fatalf("the same rules: %v", a[0])
	}
}

func TestNewPasswordKeepsFailuresOfTheSecondFactor(t *testing.T) {
	h := newHarness(t)
	app, _ := h.enroll(h.alice)
	p := h.wantStep(with(h.signIn("alice", right))(StepFactor))
	for range 5 {
		h.answer(p, StepFactor, "code", wrongOf(app()))
	}
	token := must(h.s.PasswordLink(ctx, h.visit(), h.get(h.alice)))
	must(h.s.UsePasswordLink(ctx, h.visit(), token, newWord))
	_, err := h.signIn("alice", newWord)
	h.wantErr(err, fault.Limited, "")
}

func TestPasswordLink(t *testing.T) {
	h := newHarness(t)
	d := h.wantDone(h.signIn("alice", right))
	token := must(h.s.PasswordLink(ctx, h.visit(), h.get(h.alice)))
	if u := must(h.s.LinkUser(ctx, h.visit(), token)); u.ID != h.alice {
		t.Fatal("another user's link")
	}
	_, err := h.s.UsePasswordLink(ctx, h.visit(), token, "short")
	h.wantErr(err, fault.Invalid, "at least 12")
	if u := must(h.s.UsePasswordLink(ctx, h.visit(), token, newWord)); u.ID != h.alice {
		t.Fatal("another user's link")
	}
	_, err = h.s.UsePasswordLink(ctx, h.visit(), token, "another Fine passphrase 5")
	h.wantErr(err, fault.Consumed, "Ask for a new one")
	_, err = h.s.Resume(ctx, h.visit(), d.Cookie)
	h.wantErr(err, fault.NotFound, "")
	h.wantDone(h.signIn("alice", newWord))
}

func TestAnOlderLinkDoesNotUndoANewerPassword(t *testing.T) {
	h := newHarness(t)
	older := must(h.s.PasswordLink(ctx, h.visit(), h.get(h.alice)))
	newer := must(h.s.PasswordLink(ctx, h.visit(), h.get(h.alice)))
	h.now = h.now.Add(time.Second)
	must(h.s.UsePasswordLink(ctx, h.visit(), newer, newWord))
	_, err := h.s.UsePasswordLink(ctx, h.visit(), older, "another Fine passphrase 5")
	h.wantErr(err, fault.Consumed, "Ask for a new one")
}

func TestPasswordsOfUnknownAgeExpireWithTheAccount(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.ExpiryDays = 40 })
	h.m.users[h.alice].PasswordChangedAt = time.Time{}
	h.wantDone(h.signIn("alice", right))
	h.now = h.now.AddDate(0, 0, 20)
	h.wantStep(with(h.signIn("alice", right))(StepNewPassword))
}

func TestLinksAreRefused(t *testing.T) {
	h := newHarness(t)
	form := SetupForm{Email: "root@example.com", Password: "Tr4verse-the-Quiet-Valley"}
	password, setup := must(h.s.PasswordLink(ctx, h.visit(), h.get(h.alice))), must(h.s.SetupLink(ctx, h.now))
	for _, bad := range []string{"", "x", secret.NewToken(secret.PrefixLink), setup} {
		_, err := h.s.UsePasswordLink(ctx, h.visit(), bad, newWord)
		h.wantErr(err, fault.Consumed, "Ask for a new one")
	}
	for _, bad := range []string{"", "x", secret.NewToken(secret.PrefixLink), password} {
		_, err := h.s.CompleteSetup(ctx, h.visit(), bad, form)
		h.wantErr(err, fault.Consumed, "Ask for a new one")
		h.wantErr(h.s.CheckSetupLink(ctx, h.visit(), bad), fault.Consumed, "")
	}
	h.m.users[h.alice].Disabled = true
	_, err := h.s.UsePasswordLink(ctx, h.visit(), password, newWord)
	h.wantErr(err, fault.Denied, "disabled")
	h.m.users[h.alice].Disabled = false
	h.now = h.now.Add(passwordLinkTTL)
	_, err = h.s.UsePasswordLink(ctx, h.visit(), password, newWord)
	h.wantErr(err, fault.Consumed, "expired")
	h.now = h.now.Add(setupLinkTTL)
	_, err = h.s.CompleteSetup(ctx, h.visit(), setup, form)
	h.wantErr(err, fault.Consumed, "expired")
}

func TestSetupMakesTheFirstAdministratorOnce(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.RequireAdminMFA = true })
	token := must(h.s.SetupLink(ctx, h.now))
	form := SetupForm{
		Email:    " root@example.com ",
		Username: "root",
		Name:     "Root",
		Password: "Tr4verse-the-Quiet-Valley",
	}
	for field, spoil := range map[string]func(*SetupForm){
		"email":    func(f *SetupForm) { f.Email, f.Username = "", "" },
		"email 2":  func(f *SetupForm) { f.Email = "not an address" },
		"email 3":  func(f *SetupForm) { f.Email = "a@b@c" },
		"username": func(f *SetupForm) { f.Username = "root@example.com" },
		"spaces":   func(f *SetupForm) { f.Username = "ro ot" },
		"name":     func(f *SetupForm) { f.Name = "Ro\x00ot" },
		"password": func(f *SetupForm) { f.Password = "Fourteen-ch4rs" },
	} {
		bad := form
		spoil(&bad)
		_, err := h.s.CompleteSetup(ctx, h.visit(), token, bad)
		if !fault.Is(err, fault.Invalid) {
			t.Fatalf("%s: %v", field, err)
		}
	}
	if err := h.s.CheckSetupLink(ctx, h.visit(), token); err != nil {
		t.Fatalf("a form with a mistake used the link up: %v", err)
	}

	var won atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			st, err := h.s.CompleteSetup(ctx, h.visit(), token, form)
			if err == nil && st.Next == StepEnroll && st.Grace > 0 {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Fatalf("%d administrators", won.Load())
	}
	st, err := h.signIn("root", form.Password)
	d := h.wantDone(h.answer(h.wantStep(st, StepEnroll, err), StepSkip))
	if !d.User.Admin() || d.User.Email != "root@example.com" || d.User.EmailVerified {
		t.Fatalf("%+v", d.User)
	}
}
