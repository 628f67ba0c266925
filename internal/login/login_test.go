package login

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const (
	right   = "Lantern 9 under the bridge"
	newWord = "Tr4verse-the-Quiet-Valley"
)

var ctx = context.Background()

// harness is a server over maps, with one user.
type harness struct {
	*testing.T
	s     *Server
	m     *memory
	pw    *fakeHasher
	now   time.Time
	ip    string
	alice identity.UserID
}

func newHarness(t *testing.T, set ...func(*Config)) *harness {
	t.Helper()
	cfg := Config{
		AppName: "Example", Host: "id.example.com", Policy: identity.Policy{MinLength: 12, Common: true}, AdminPolicy: identity.Policy{MinLength: 16, Common: true},
		HistoryCount: 3, SessionTTL: 7 * 24 * time.Hour, Idle: 30 * time.Minute, RevokeTokens: true,
		LockThreshold: 5, LockDuration: 30 * time.Minute, AutoUnlock: true, IPThreshold: 10, MFAGrace: 7 * 24 * time.Hour,
	}
	for _, f := range set {
		f(&cfg)
	}
	keys, err := secret.NewKeys([]byte(strings.Repeat("k", secret.MinMaster)))
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{
		T:   t,
		m:   newMemory(),
		pw:  &fakeHasher{},
		now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC),
		ip:  "203.0.113.7",
	}
	h.s = build(cfg, h.m, keys, h.pw)
	h.alice = h.user("alice", right)
	return h
}

func (h *harness) user(name, password string, roles ...string) identity.UserID {
	u := &identity.User{
		ID: identity.UserID(secret.NewID(h.now)), Username: name, Email: name + "@example.com", Roles: roles,
		PasswordHash: "quick$" + password, PasswordChangedAt: h.now.AddDate(0, -1, 0), CreatedAt: h.now.AddDate(0, -1, 0),
	}
	h.m.users[u.ID] = u
	return u.ID
}

func (h *harness) visit() Visit {
	return Visit{IP: h.ip, Agent: "Firefox", RequestID: "r1", Now: h.now}
}

func (h *harness) get(id identity.UserID) *identity.User {
	h.Helper()
	u, err := h.m.User(ctx, id)
	if err != nil {
		h.Fatal(err)
	}
	return u
}

func (h *harness) signIn(name, password string) (Step, error) {
	return h.s.Password(ctx, h.visit(), Attempt{Username: name, Password: password})
}

func (h *harness) answer(p, kind string, kv ...string) (Step, error) {
	in := url.Values{}
	for i := 0; i+1 < len(kv); i += 2 {
		in.Set(kv[i], kv[i+1])
	}
	return h.s.Continue(ctx, h.visit(), p, kind, in)
}

// enroll gives a user an authenticator; the function returned is the app.
func (h *harness) enroll(id identity.UserID) (app func() string, backup []string) {
	h.Helper()
	e, err := h.s.Enroll(ctx, h.visit(), h.get(id), kindTOTP, "")
	if err != nil {
		h.Fatal(err)
	}
	app = h.app(e)
	if backup, err = h.confirm(id, app()); err != nil {
		h.Fatal(err)
	}
	h.now = h.now.Add(time.Minute) // the code that confirmed it is used up
	return app, backup
}

// confirm answers the enrollment of an authenticator app.
func (h *harness) confirm(id identity.UserID, code string) ([]string, error) {
	return h.s.ConfirmEnrollment(ctx, h.visit(), h.get(id), kindTOTP, url.Values{"code": {code}})
}

func (h *harness) totp() totpFactor { return h.s.factor(kindTOTP, UseSecond).(totpFactor) }

func (h *harness) app(e *Enrollment) func() string {
	h.Helper()
	seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(e.Secret, " ", ""))
	if err != nil {
		h.Fatal(err)
	}
	return func() string { return totpAt(seed, h.now.Unix()/totpPeriod, totpDigits) }
}

func wrongOf(code string) string {
	if code[0] == '0' {
		return "1" + code[1:]
	}
	return "0" + code[1:]
}

func (h *harness) wantErr(err error, k fault.Kind, word string) {
	h.Helper()
	if !fault.Is(err, k) || !strings.Contains(fault.Text(err), word) {
		h.Fatalf("got %v (%v), want %v with %q", err, fault.KindOf(err), k, word)
	}
}

func (h *harness) wantDone(st Step, err error) *Done {
	h.Helper()
	if err != nil || st.Done == nil || st.Next != "" || st.Pending != "" {
		h.Fatalf("got %+v, %v; want the end of the sign-in", st, err)
	}
	return st.Done
}

func (h *harness) wantStep(st Step, kind string, err error) string {
	h.Helper()
	if err != nil || st.Next != kind || st.Pending == "" || st.Done != nil {
		h.Fatalf("got %+v, %v; want the step %s", st, err, kind)
	}
	if len(st.Pending) >= maxPending {
		h.Fatalf("%d bytes of pending state do not fit the cookie", len(st.Pending))
	}
	return st.Pending
}

func (h *harness) wantEvents(from int, want ...string) {
	h.Helper()
	if got := h.m.logged(from); !slices.Equal(got, want) {
		h.Fatalf("audit log: %q, want %q", got, want)
	}
}

func TestPasswordSignsIn(t *testing.T) {
	for _, name := range []string{"alice", "ALICE", " alice@Example.com "} {
		h := newHarness(t)
		d := h.wantDone(h.signIn(name, right))
		if !secret.WellFormed(secret.PrefixSession, d.Cookie) || d.User.ID != h.alice || d.Session.User != h.alice {
			t.Fatalf("%q: %+v", name, d)
		}
		if s := d.Session; s.ACR != identity.ACR1 || !slices.Equal(s.AMR, []string{"pwd"}) ||
			!s.AuthTime.Equal(h.now) ||
			s.IP != h.ip {
			t.Fatalf("session %+v", s)
		}
		h.wantEvents(0, "SESSION_CREATED", "LOGIN_SUCCEEDED")
		if ev := h.m.events[1]; ev.User != string(h.alice) || ev.Actor != ev.User ||
			ev.Session != string(d.Session.ID) ||
			ev.RequestID != "r1" {
			t.Fatalf("event %+v", ev)
		}
	}
}

func TestPasswordIsComparedInNormalForm(t *testing.T) {
	h := newHarness(t)
	zoe := h.user("zoe", "Caf\u00e9 am Ring A1")
	h.wantDone(h.signIn("zoe", "Cafe\u0301 am\u3000Ring A1"))
	_, err := h.signIn("zoe", "Caf\u00e9 am Ring \uff21\uff11") // full width is another password
	h.wantErr(err, fault.Denied, "")

	// Earlier releases took both for one. The hash is made anew of what was typed.
	h.m.users[zoe].PasswordHash = "old$Caf\u00e9 am Ring A1"
	h.wantDone(h.signIn("zoe", "Cafe\u0301 am Ring \uff21\uff11"))
	h.wantDone(h.signIn("zoe", "Caf\u00e9 am Ring \uff21\uff11"))
	_, err = h.signIn("zoe", "Caf\u00e9 am Ring A1")
	h.wantErr(err, fault.Denied, "")
	_, err = h.s.ResourceOwner(ctx, h.visit(), "zoe", "Caf\u00e9 am Ring A1")
	h.wantErr(err, fault.Denied, "")
	if _, err = h.s.ResourceOwner(ctx, h.visit(), "zoe", "Cafe\u0301 am Ring \uff21\uff11"); err != nil {
		t.Fatal(err)
	}
}

func TestFormerPasswordsAreComparedInBothForms(t *testing.T) {
	h := newHarness(t)
	h.m.history[h.alice] = []string{"old$Lighthouse A1 rows past", "quick$Lighthouse B2 rows past"}
	set := func(word string) error { return h.s.SetPassword(ctx, h.visit(), h.get(h.alice), word) }
	h.wantErr(set("Lighthouse A1 rows past"), fault.Invalid, "used before")
	h.wantErr(set("Lighthouse \uff21\uff11 rows past"), fault.Invalid, "used before")
	h.wantErr(set("Lighthouse B2 rows past"), fault.Invalid, "used before")
	if err := set("Lighthouse \uff22\uff12 rows past"); err != nil {
		t.Fatal(err)
	}
}

// What a reset and a sign-in of an administrator leave in the log.
func TestResetsAndAdministratorsAreRecorded(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Administers = (*identity.User).Admin })
	for range 15 {
		_, err := h.s.UsePasswordLink(ctx, h.visit(), newLinkToken(), "Lantern 9 Lantern 9")
		h.wantErr(err, fault.Consumed, "")
	}
	count := func(t audit.Type) (n int) {
		for _, ev := range h.m.events {
			if ev.Type == t {
				n++
			}
		}
		return n
	}
	if n := count(audit.PasswordResetFailed); n != 10 {
		t.Errorf("%d failures are recorded one by one", n)
	}
	if err := h.s.RecordFailures(ctx, h.now); err != nil || count(audit.PasswordResetFailed) != 11 {
		t.Errorf("%v: the others are not counted", err)
	}
	token := must(h.s.PasswordLink(ctx, h.visit(), h.get(h.alice)))
	must(h.s.UsePasswordLink(ctx, h.visit(), token, "Lantern 9 Lantern 9"))
	if count(audit.PasswordResetCompleted) != 1 || count(audit.PasswordChanged) != 1 {
		t.Errorf("%+v", h.m.events)
	}
	h.wantDone(h.signIn("alice", "Lantern 9 Lantern 9"))
	if count(audit.AdminLogin) != 0 {
		t.Error("alice is no administrator")
	}
	h.user("root", "the right password of root", identity.RoleSuperAdmin)
	h.wantDone(h.signIn("root", "the right password of root"))
	if count(audit.AdminLogin) != 1 || count(audit.SessionCreated) != 2 {
		t.Errorf("%+v", h.m.events)
	}
}

// A wrong link costs no hash, whatever password comes with it; and neither does a password that the
// policy rejects.
func TestTheExpensiveComesLast(t *testing.T) {
	h := newHarness(t)
	for range 3 {
		h.m.history[h.alice] = append(h.m.history[h.alice], "quick$x")
	}
	long := strings.Repeat("Lantern 9 ", 102)
	for _, token := range []string{"", "x", newLinkToken()} {
		_, err := h.s.UsePasswordLink(ctx, h.visit(), token, long)
		h.wantErr(err, fault.Consumed, "")
	}
	token := must(h.s.PasswordLink(ctx, h.visit(), h.get(h.alice)))
	for _, password := range []string{"short", strings.Repeat("x", identity.MaxPassword+1), "alice@example.com-2026"} {
		_, err := h.s.UsePasswordLink(ctx, h.visit(), token, password)
		h.wantErr(err, fault.Invalid, "")
	}
	if n := h.pw.hashes.Load() + h.pw.verifies.Load(); n != 0 {
		t.Errorf("%d hashes", n)
	}
	must(h.s.UsePasswordLink(ctx, h.visit(), token, long))
	if made, compared := h.pw.hashes.Load(), h.pw.verifies.Load(); made != 1 || compared != 4 {
		t.Errorf("%d made, %d compared", made, compared)
	}
}

func TestUnknownNameAndWrongPasswordAnswerAlike(t *testing.T) {
	h := newHarness(t)
	h.m.users[h.user("nopass", "")].PasswordHash = ""
	h.m.users[h.user("foreign", "")].PasswordHash = "foreign$x"
	reasons := map[string]string{
		"alice":   "wrong_password",
		"nobody":  "unknown_user",
		"nopass":  "wrong_password",
		"foreign": "unusable_hash",
	}
	for name, reason := range reasons {
		from, work := len(h.m.events), h.pw.verifies.Load()
		for range 4 {
			_, err := h.signIn(name, "a wrong password")
			h.wantErr(err, fault.Denied, wrongPassword)
		}
		if n := h.pw.verifies.Load() - work; n != 4 {
			t.Errorf("%s: %d hashes for 4 attempts", name, n)
		}
		h.wantEvents(from, slices.Repeat([]string{"LOGIN_FAILED " + reason}, 4)...)
		_, err := h.signIn(name, "a wrong password")
		h.wantErr(err, fault.Limited, "Too many failed attempts. Try again in 30 minutes, or ask your administrator.")
		_, err = h.signIn(name, right)
		h.wantErr(err, fault.Limited, "Too many failed attempts. Try again in 30 minutes, or ask your administrator.")
		if n := h.pw.verifies.Load() - work; n != 5 {
			t.Errorf("%s: %d hashes, want none while locked", name, n)
		}
		h.wantEvents(from+4, "LOGIN_FAILED "+reason, "ACCOUNT_LOCKED too_many_failures", "LOGIN_FAILED locked")
	}
	for _, ev := range h.m.events {
		if ev.Actor != "" {
			t.Errorf("a failed attempt has the actor %q", ev.Actor)
		}
	}
}

func TestInputIsBoundedBeforeAnyWork(t *testing.T) {
	h := newHarness(t)
	for _, tt := range []struct{ name, password, field string }{
		{"", right, "username"},
		{"   ", right, "username"},
		{strings.Repeat("a", 321), right, "username"},
		{"ali\xffce", right, "username"},
		{"ali\x00ce", right, "username"},
		{"alice", "", "password"},
		{"alice", strings.Repeat("a", 1025), "password"},
		{"alice", "\xff\xfe", "password"},
	} {
		_, err := h.signIn(tt.name, tt.password)
		h.wantErr(err, fault.Invalid, ".")
		var e *fault.Error
		if !errors.As(err, &e) || e.Field != tt.field {
			t.Errorf("%.10q: field %q, want %q", tt.name, e.Field, tt.field)
		}
		_, err = h.s.ResourceOwner(ctx, h.visit(), tt.name, tt.password)
		h.wantErr(err, fault.Invalid, ".")
	}
	if h.pw.verifies.Load() != 0 || len(h.m.events) != 0 || len(h.m.locks) != 0 {
		t.Error("work was done for input that cannot be right")
	}
}

func TestBrokenStoreIsNotAWrongPassword(t *testing.T) {
	h := newHarness(t)
	h.m.broken = fault.New(fault.Unavailable, "the database is away")
	_, err := h.signIn("alice", right)
	h.wantErr(err, fault.Unavailable, "away")
	if len(h.m.locks) != 0 {
		t.Error("the failure was counted against the user")
	}
}

func TestDisabledAccountIsNamedOnlyAfterTheRightPassword(t *testing.T) {
	h := newHarness(t)
	h.m.users[h.alice].Disabled = true
	_, err := h.signIn("alice", "wrong")
	h.wantErr(err, fault.Denied, wrongPassword)
	_, err = h.signIn("alice", right)
	h.wantErr(err, fault.Denied, "disabled")
	_, err = h.s.ResourceOwner(ctx, h.visit(), "alice", right)
	h.wantErr(err, fault.Denied, "disabled")
	h.wantEvents(0, "LOGIN_FAILED wrong_password", "LOGIN_FAILED disabled", "LOGIN_FAILED disabled")
}

func TestOutdatedHashIsMadeAnew(t *testing.T) {
	h := newHarness(t)
	h.m.users[h.alice].PasswordHash = "old$" + right
	_, err := h.signIn("alice", "wrong")
	h.wantErr(err, fault.Denied, "")
	if h.pw.hashes.Load() != 0 {
		t.Fatal("a wrong password was hashed")
	}
	h.wantDone(h.signIn("alice", right))
	if got := h.get(h.alice); got.PasswordHash != "quick$"+right {
		t.Fatalf("hash %q", got.PasswordHash)
	}
}

func TestLockEndsByItselfAndSuccessForgets(t *testing.T) {
	h := newHarness(t)
	fail := func(n int, k fault.Kind) {
		t.Helper()
		for range n {
			_, err := h.signIn("alice", "wrong")
			h.wantErr(err, k, "")
		}
	}
	fail(4, fault.Denied)
	h.wantDone(h.signIn("alice", right)) // forgets the four
	fail(4, fault.Denied)
	fail(1, fault.Limited)
	h.now = h.now.Add(30*time.Minute - time.Second)
	_, err := h.signIn("alice", right)
	h.wantErr(err, fault.Limited, "in 1 minute,")
	var e *fault.Error
	if errors.As(err, &e); e.After != time.Second {
		t.Fatalf("try again after %v, want 1s", e.After)
	}
	h.now = h.now.Add(time.Second)
	h.wantDone(h.signIn("alice", right))
	if _, ok := h.m.locks[LockKey(h.alice)]; ok {
		t.Fatal("the success did not clear the counter")
	}
	fail(4, fault.Denied)
}

func TestFailuresAreForgottenAfterADay(t *testing.T) {
	h := newHarness(t)
	for range 12 {
		_, err := h.signIn("alice", "wrong")
		h.wantErr(err, fault.Denied, "")
		h.now = h.now.Add(userWindow + time.Second)
	}
}

func TestWithoutAutoUnlockALockStays(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.AutoUnlock, c.Progressive = false, true })
	for _, name := range []string{"alice", "nobody"} {
		for range 5 {
			h.signIn(name, "wrong")
		}
		h.now = h.now.AddDate(1, 0, 0)
		_, err := h.signIn(name, right)
		h.wantErr(err, fault.Limited, "Ask your administrator to unlock")
		var e *fault.Error
		if errors.As(err, &e); e.After != 0 {
			t.Fatalf("a lock without end says to try again after %v", e.After)
		}
	}
	if l := must(h.s.LockOf(ctx, h.visit(), h.alice)); !l.Locked(h.now) {
		t.Fatalf("lock %+v", l)
	}
	v := h.visit()
	v.Actor = "cli"
	if err := h.s.Unlock(ctx, v, h.alice); err != nil {
		t.Fatal(err)
	}
	if ev := h.m.events[len(h.m.events)-1]; ev.Type != audit.AccountUnlocked || ev.Actor != "cli" ||
		ev.User != string(h.alice) {
		t.Fatalf("event %+v", ev)
	}
	h.wantDone(h.signIn("alice", right))
}

func TestProgressiveLocksGetLonger(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Progressive = true })
	for round, want := range []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 2 * time.Hour} {
		var err error
		for range 5 {
			_, err = h.signIn("alice", "wrong")
		}
		var e *fault.Error
		if !errors.As(err, &e) || e.After != want {
			t.Fatalf("round %d locks for %v, want %v", round, e.After, want)
		}
		h.now = h.now.Add(want)
	}
}

func TestNoThresholdNoLock(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.LockThreshold = 0 })
	for range 20 {
		_, err := h.signIn("alice", "wrong")
		h.wantErr(err, fault.Denied, "")
	}
	h.wantDone(h.signIn("alice", right))
}

func TestWhitelistedAddressesAreNeverLocked(t *testing.T) {
	h := newHarness(t, func(c *Config) {
		c.LockByIP = true
		c.LockWhitelist = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	})
	for _, ip := range []string{"10.1.2.3", "::ffff:10.1.2.3", "2001:db8::9%eth0"} {
		h.ip = ip
		for range 20 {
			_, err := h.signIn("alice", "wrong")
			h.wantErr(err, fault.Denied, "")
		}
	}
	if len(h.m.locks) != 0 {
		t.Fatalf("counted: %v", h.m.locks)
	}
	h.ip = "11.1.2.3"
	for range 5 {
		h.signIn("alice", "wrong")
	}
	_, err := h.signIn("alice", right)
	h.wantErr(err, fault.Limited, "")
	h.ip = "10.1.2.3"
	h.wantDone(h.signIn("alice", right))
}

func TestAddressesAreLocked(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.LockByIP, c.IPThreshold = true, 6 })
	h.user("bob", "the right password of bob")
	h.ip = "2001:db8:1:2::a"
	for i := range 5 {
		_, err := h.signIn(fmt.Sprintf("guess%d", i), "wrong")
		h.wantErr(err, fault.Denied, "")
	}
	h.wantDone(h.signIn("alice", right)) // does not forgive the address
	h.ip = "2001:db8:1:2::b"             // the same household
	_, err := h.signIn("guess", "wrong")
	h.wantErr(err, fault.Limited, "Too many")
	_, err = h.signIn("bob", "the right password of bob")
	h.wantErr(err, fault.Limited, "Too many")
	h.ip = "2001:db8:1:3::b"
	h.wantDone(h.signIn("bob", "the right password of bob"))
	if ev := h.m.events[len(h.m.events)-4]; ev.Type != audit.AccountLocked || ev.Detail["scope"] != "address" {
		t.Fatalf("event %+v", ev)
	}
	for _, odd := range []string{"", "unix", "203.0.113.7:99"} {
		if h.s.addressKey(odd) != "ip:unknown" || h.s.exempt(odd) {
			t.Errorf("%q was taken for an address, or is not counted", odd)
		}
	}
}

// The store bounds the number of these counters; a stranger must not choose their length either.
func TestCountersOfUnknownNamesAreShort(t *testing.T) {
	h := newHarness(t)
	seen := map[string]bool{}
	for i := range 2000 {
		key := h.s.subject(nil, strings.Repeat("long", i%70)+strconv.Itoa(i)).key
		if !strings.HasPrefix(key, UnknownPrefix) || len(key) > 24 {
			t.Fatalf("counter %q", key)
		}
		seen[key] = true
	}
	if len(seen) != 2000 {
		t.Fatalf("2000 names share %d counters", len(seen))
	}
}

func TestConcurrentGuessesCannotOutrunTheLock(t *testing.T) {
	h := newHarness(t)
	app, _ := h.enroll(h.alice)
	p := h.wantStep(with(h.signIn("alice", right))(StepFactor))
	var denied, limited atomic.Int64 // limited: by the lock, or since it has ended the sign-in
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			_, err := h.answer(p, StepFactor, "code", wrongOf(app()))
			switch fault.KindOf(err) {
			case fault.Denied:
				denied.Add(1)
			case fault.Limited, fault.Consumed:
				limited.Add(1)
			default:
				t.Errorf("another answer: %v", err)
			}
		})
	}
	wg.Wait()
	n := 0
	for _, e := range h.m.events {
		if e.Type == audit.AccountLocked {
			n++
		}
	}
	if denied.Load() != 4 || limited.Load() != 60 || n != 1 {
		t.Fatalf(
			"%d were tried and told so, %d locked out; want 4 and 60; %d locks in the audit log",
			denied.Load(), limited.Load(), n,
		)
	}
	_, err := h.answer(p, StepFactor, "code", app())
	h.wantErr(err, fault.Limited, "")
}

// with adds to the two results of a call the step that is wanted.
func with(st Step, err error) func(kind string) (Step, string, error) {
	return func(kind string) (Step, string, error) { return st, kind, err }
}

func TestSecondFactor(t *testing.T) {
	h := newHarness(t)
	app, backup := h.enroll(h.alice)
	p := h.wantStep(with(h.signIn("alice", right))(StepFactor))
	if w, err := h.s.Pending(ctx, h.visit(), p); err != nil || w.User.ID != h.alice ||
		w.Step != StepFactor || w.Kind != kindTOTP || !slices.Equal(w.Others, []string{kindBackup}) {
		t.Fatalf("pending: %+v %v", w, err)
	}
	from := len(h.m.events)
	_, err := h.answer(p, StepFactor, "code", wrongOf(app()))
	h.wantErr(err, fault.Denied, "Incorrect")
	_, err = h.answer(p, StepFactor, "code", "hello")
	h.wantErr(err, fault.Invalid, "six digits")
	code := app()
	d := h.wantDone(h.answer(p, StepFactor, "code", " "+code[:3]+" "+code[3:]))
	if !slices.Equal(d.Session.AMR, []string{"pwd", "otp", "mfa"}) || d.Session.ACR != identity.ACR2 {
		t.Fatalf("session %+v", d.Session)
	}
	_, err = h.answer(p, StepFactor, "code", code)
	h.wantErr(err, fault.Denied, "used already")
	h.wantEvents(from, "LOGIN_FAILED wrong_code", "SESSION_CREATED", "LOGIN_SUCCEEDED",
		"LOGIN_FAILED replayed_code")

	from = len(h.m.events)
	d = h.wantDone(h.answer(p, StepFactor, "code", strings.ToUpper(backup[3])))
	if !slices.Equal(d.Session.AMR, []string{"pwd", "otp", "mfa"}) {
		t.Fatalf("session %+v", d.Session)
	}
	_, err = h.answer(p, StepFactor, "code", backup[3])
	h.wantErr(err, fault.Denied, "used already")
	_, err = h.answer(p, StepFactor, "code", "zzzzz-zzzzz")
	h.wantErr(err, fault.Denied, "Incorrect")
	h.wantEvents(from, "BACKUP_CODE_USED", "SESSION_CREATED", "LOGIN_SUCCEEDED", "LOGIN_FAILED replayed_code",
		"LOGIN_FAILED wrong_code")
	f, err := h.s.Factors(ctx, h.alice)
	if err != nil || !f.Has(kindTOTP) || f.BackupLeft != 9 || f.Second[0].Since.IsZero() {
		t.Fatalf("factors %+v %v", f, err)
	}
}

func TestCodeWorksWithinOneStepOnly(t *testing.T) {
	for offset, ok := range map[time.Duration]bool{-60 * time.Second: false, -30 * time.Second: true, 0: true, 30 * time.Second: true, 60 * time.Second: false} {
		h := newHarness(t)
		app, _ := h.enroll(h.alice)
		h.now = h.now.Add(10 * time.Minute)
		p := h.wantStep(with(h.signIn("alice", right))(StepFactor))
		at := h.now
		h.now = at.Add(offset)
		code := app()
		h.now = at
		if _, err := h.answer(p, StepFactor, "code", code); (err == nil) != ok {
			t.Errorf("a code of %v from now: %v", offset, err)
		}
	}
}

func TestPasswordAloneDoesNotBuyMoreGuesses(t *testing.T) {
	h := newHarness(t)
	app, _ := h.enroll(h.alice)
	for i := range 5 {
		p := h.wantStep(with(h.signIn("alice", right))(StepFactor))
		_, err := h.answer(p, StepFactor, "code", wrongOf(app()))
		if want := []fault.Kind{fault.Denied, fault.Limited}[i/4]; !fault.Is(err, want) {
			t.Fatalf("guess %d: %v", i+1, err)
		}
		_, err = h.s.ResourceOwner(ctx, h.visit(), "alice", right)
		if err == nil {
			t.Fatal("the password grant let somebody with a second factor in")
		}
	}
	_, err := h.signIn("alice", right)
	h.wantErr(err, fault.Limited, "")
}

func TestOneCodeOnceAmongMany(t *testing.T) {
	for _, kind := range []string{"totp", "backup"} {
		h := newHarness(t)
		app, backup := h.enroll(h.alice)
		h.s.cfg.LockThreshold = 0
		p := h.wantStep(with(h.signIn("alice", right))(StepFactor))
		code := app()
		if kind == "backup" {
			code = backup[0]
		}
		var won atomic.Int64
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				if st, err := h.answer(p, StepFactor, "code", code); err == nil && st.Done != nil {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || len(h.m.sessions) != 1 {
			t.Errorf("%s: %d of 64 won, %d sessions", kind, won.Load(), len(h.m.sessions))
		}
	}
}

func TestPendingIsBound(t *testing.T) {
	h := newHarness(t)
	app, _ := h.enroll(h.alice)
	p := h.wantStep(with(h.signIn("alice", right))(StepFactor))
	other := newHarness(t)
	other.s.pending = must(secret.NewKeys([]byte(strings.Repeat("x", 32)))).Box("login")

	for _, kind := range []string{StepNewPassword, StepEnroll, StepSkip, "password", "", "webauthn"} {
		_, err := h.answer(p, kind, "code", app(), "new_password", newWord)
		h.wantErr(err, fault.Consumed, "Start again")
	}
	first := "A"
	if p[0] == 'A' {
		first = "B"
	}
	for _, bad := range []string{"", "x", p[:len(p)-2], first + p[1:], p + p, strings.Repeat("A", 5000)} {
		_, err := h.answer(bad, StepFactor, "code", app())
		h.wantErr(err, fault.Consumed, "Start again")
	}
	_, err := other.answer(p, StepFactor, "code", app())
	h.wantErr(err, fault.Consumed, "")

	start := h.now
	h.now = start.Add(pendingTTL)
	_, err = h.answer(p, StepFactor, "code", app())
	h.wantErr(err, fault.Consumed, "")
	h.now = start.Add(-pendingTTL - time.Second)
	_, err = h.answer(p, StepFactor, "code", app())
	h.wantErr(err, fault.Consumed, "")
	h.now = start.Add(pendingTTL - time.Second)
	h.wantDone(h.answer(p, StepFactor, "code", app()))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestPendingEndsWithTheAccountsState(t *testing.T) {
	for name, change := range map[string]func(h *harness){
		"password changed": func(h *harness) {
			if err := h.s.SetPassword(ctx, h.visit(), h.get(h.alice), newWord); err != nil {
				h.Fatal(err)
			}
		},
		"user deleted":   func(h *harness) { delete(h.m.users, h.alice) },
		"factor removed": func(h *harness) { _ = h.s.RemoveFactor(ctx, h.visit(), h.get(h.alice), kindTOTP) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			app, _ := h.enroll(h.alice)
			p := h.wantStep(with(h.signIn("alice", right))(StepFactor))
			change(h)
			_, err := h.answer(p, StepFactor, "code", app())
			h.wantErr(err, fault.Consumed, "")
			_, err = h.s.Pending(ctx, h.visit(), p)
			h.wantErr(err, fault.Consumed, "")
		})
	}
	h := newHarness(t)
	app, _ := h.enroll(h.alice)
	p := h.wantStep(with(h.signIn("alice", right))(StepFactor))
	h.m.users[h.alice].Disabled = true
	_, err := h.answer(p, StepFactor, "code", app())
	h.wantErr(err, fault.Denied, "disabled")
}

func TestNewPasswordIsRequired(t *testing.T) {
	for name, set := range map[string]func(*harness){
		"must change": func(h *harness) { h.m.users[h.alice].MustChange = true },
		"expired":     func(h *harness) { h.s.cfg.ExpiryDays = 10 },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			app, _ := h.enroll(h.alice)
			set(h)
			p := h.wantStep(with(h.signIn("alice", right))(StepFactor)) // the factor comes first
			_, err := h.answer(p, StepNewPassword, "new_password", newWord)
			h.wantErr(err, fault.Consumed, "")
			p = h.wantStep(with(h.answer(p, StepFactor, "code", app()))(StepNewPassword))
			for word, sentence := range map[string]string{"": "at least 12", "short": "at least 12", right: "used before", "alice-lives-here-77": "alice"} {
				_, err := h.answer(p, StepNewPassword, "new_password", word)
				h.wantErr(err, fault.Invalid, sentence)
			}
			d := h.wantDone(h.answer(p, StepNewPassword, "new_password", newWord))
			if d.Session.ACR != identity.ACR2 || d.User.MustChange {
				t.Fatalf("%+v", d)
			}
			_, err = h.answer(p, StepNewPassword, "new_password", "another Fine passphrase 5")
			h.wantErr(err, fault.Consumed, "")
			_, err = h.signIn("alice", right)
			h.wantErr(err, fault.Denied, wrongPassword)
			h.wantStep(with(h.signIn("alice", newWord))(StepFactor))
		})
	}
}

func TestANewFactorIsNotPassedByAnOldPending(t *testing.T) {
	h := newHarness(t)
	h.m.users[h.alice].MustChange = true
	p := h.wantStep(with(h.signIn("alice", right))(StepNewPassword))
	h.enroll(h.alice)
	_, err := h.answer(p, StepNewPassword, "new_password", newWord)
	h.wantErr(err, fault.Consumed, "")
}

func TestEnrollmentIsRequired(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.RequireAdminMFA = true })
	h.wantDone(h.signIn("alice", right)) // no administrator
	root := h.user("root", "the right password of root", identity.RoleAdmin)
	h.m.required[root] = h.now.AddDate(0, 0, -8)
	st, err := h.signIn("root", "the right password of root")
	p := h.wantStep(st, StepEnroll, err)
	if st.Grace != 0 {
		t.Fatalf("grace of %v eight days after it was first needed", st.Grace)
	}
	_, err = h.answer(p, StepSkip)
	h.wantErr(err, fault.Denied, "needs two-step verification")
	_, err = h.answer(p, StepEnroll, "code", "123456")
	h.wantErr(err, fault.Consumed, "") // nothing was shown yet
	w := must(h.s.Pending(ctx, h.visit(), p))
	e := must(h.s.Enroll(ctx, h.visit(), w.User, kindTOTP, ""))
	app := h.app(e)
	from := len(h.m.events)
	_, err = h.answer(p, StepEnroll, "code", "12ab")
	h.wantErr(err, fault.Invalid, "six digits")
	_, err = h.answer(p, StepEnroll, "code", wrongOf(app()))
	h.wantErr(err, fault.Denied, "Incorrect")
	code := app()
	d := h.wantDone(h.answer(p, StepEnroll, "code", code))
	if d.Session.ACR != identity.ACR2 || len(d.Backup) != 10 {
		t.Fatalf("%+v", d)
	}
	h.wantEvents(from, "LOGIN_FAILED enroll_wrong_code", "MFA_ENABLED", "BACKUP_CODES_GENERATED", "SESSION_CREATED",
		"LOGIN_SUCCEEDED")
	for _, kind := range []string{StepEnroll, StepSkip} {
		_, err = h.answer(p, kind, "code", code)
		h.wantErr(err, fault.Consumed, "")
	}
	p = h.wantStep(with(h.signIn("root", "the right password of root"))(StepFactor))
	_, err = h.answer(p, StepFactor, "code", code)
	h.wantErr(err, fault.Denied, "used already") // by confirming it
}

func TestEnrolmentCanBePutOffForSomeDays(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.RequireMFA = true })
	st, err := h.signIn("alice", right) // an account of a month: the days count from now
	h.wantStep(st, StepEnroll, err)
	if st.Grace != 7*24*time.Hour {
		t.Fatalf("grace %v", st.Grace)
	}
	h.now = h.now.Add(6 * 24 * time.Hour)
	st, err = h.signIn("alice", right)
	p := h.wantStep(st, StepEnroll, err)
	if st.Grace != 24*time.Hour {
		t.Fatalf("grace %v", st.Grace)
	}
	d := h.wantDone(h.answer(p, StepSkip))
	if d.Session.ACR != identity.ACR1 {
		t.Fatalf("%+v", d.Session)
	}
	h.now = h.now.Add(24 * time.Hour)
	st, err = h.signIn("alice", right)
	p = h.wantStep(st, StepEnroll, err)
	_, err = h.answer(p, StepSkip)
	h.wantErr(err, fault.Denied, "needs two-step verification")
}

func TestEnrollmentShowsOneSecretUntilConfirmed(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.AppName = "Example & Co: ID" })
	u := h.get(h.alice)
	a, b := must(h.s.Enroll(ctx, h.visit(), u, kindTOTP, "")), must(h.s.Enroll(ctx, h.visit(), u, kindTOTP, ""))
	if a.URL != b.URL || a.Secret != b.Secret {
		t.Fatal("two pages show two secrets")
	}
	parsed := must(url.Parse(a.URL))
	q := parsed.Query()
	if parsed.Scheme != "otpauth" || parsed.Host != "totp" || parsed.Path != "/Example & Co  ID:alice@example.com" ||
		q.Get("secret") != strings.ReplaceAll(a.Secret, " ", "") || q.Get("issuer") != "Example & Co  ID" || q.Get("digits") != "6" || q.Get("period") != "30" {
		t.Fatalf("URL %s", a.URL)
	}
	if len(strings.ReplaceAll(a.Secret, " ", "")) != 32 || strings.Count(a.Secret, " ") != 7 {
		t.Fatalf("secret %q", a.Secret)
	}
	for _, c := range h.m.creds {
		if _, err := h.totp().box.Open(c.Sealed, "another credential"); err == nil {
			t.Fatal("a sealed seed opens under another credential's name")
		}
	}
	h.now = h.now.Add(enrollTTL)
	_, err := h.confirm(h.alice, h.app(b)())
	h.wantErr(err, fault.Conflict, "waiting")
	c := must(h.s.Enroll(ctx, h.visit(), u, kindTOTP, ""))
	if c.Secret == a.Secret || len(h.m.creds) != 1 {
		t.Fatal("a secret shown long ago is still in use")
	}
	app := h.app(c)
	if _, err := h.confirm(h.alice, app()); err != nil {
		t.Fatal(err)
	}
	_, err = h.s.Enroll(ctx, h.visit(), u, kindTOTP, "")
	h.wantErr(err, fault.Conflict, "already")
	_, err = h.confirm(h.alice, app())
	h.wantErr(err, fault.Conflict, "already")
}

func TestBackupCodes(t *testing.T) {
	h := newHarness(t)
	_, err := h.s.NewBackupCodes(ctx, h.visit(), h.alice)
	h.wantErr(err, fault.Conflict, "two-step verification first")
	_, first := h.enroll(h.alice)
	second := must(h.s.NewBackupCodes(ctx, h.visit(), h.alice))
	seen := map[string]bool{}
	for _, c := range slices.Concat(first, second) {
		if len(c) != 11 || c[5] != '-' || seen[c] {
			t.Fatalf("code %q", c)
		}
		seen[c] = true
	}
	p := h.wantStep(with(h.signIn("alice", right))(StepFactor))
	_, err = h.answer(p, StepFactor, "code", first[0])
	h.wantErr(err, fault.Denied, "Incorrect") // replaced
	h.wantDone(h.answer(p, StepFactor, "code", strings.ReplaceAll(second[0], "-", " ")))
	if f := (backupFactor{keys: h.s.keys}); f.hash(h.alice, "x") == f.hash("somebody else", "x") {
		t.Fatal("one person's code is another's")
	}
	if err := h.s.RemoveFactor(ctx, h.visit(), h.get(h.alice), kindTOTP); err != nil {
		t.Fatal(err)
	}
	if f := must(h.s.Factors(ctx, h.alice)); f.Enabled() || f.BackupLeft != 0 {
		t.Fatalf("factors %+v", f)
	}
	h.wantDone(h.signIn("alice", right))
}

func TestAnAuthenticatorTakenAwayMeanwhileStartsAnew(t *testing.T) {
	h := newHarness(t)
	app, _ := h.enroll(h.alice)
	proof, err := totpFactor{
		store: dropping{h.m, h},
		box:   h.totp().box,
	}.Check(
		ctx, Flow{Visit: h.visit()}, h.get(h.alice), url.Values{"code": {app()}},
	)
	h.wantErr(err, fault.Consumed, "")
	if proof.OK {
		t.Fatal("proved with an authenticator that is gone")
	}
}

// dropping takes the authenticator away between the look and the step.
type dropping struct {
	Store
	h *harness
}

func (d dropping) AdvanceCredential(context.Context, identity.CredentialID, int64, time.Time) error {
	return missing()
}

func TestARightGuessUnderWayWhenTheLockFallsIsRefused(t *testing.T) {
	h := newHarness(t)
	h.s.factors[0] = passwordFactor{pw: late{h.pw, func() {
		for range 5 {
			h.m.RecordFailure(
				ctx,
				Failure{Key: LockKey(h.alice), Now: h.now, Threshold: 5, Duration: time.Minute, Window: time.Hour},
			)
		}
	}}}
	_, err := h.signIn("alice", right)
	h.wantErr(err, fault.Limited, "Too many")
	if len(h.m.sessions) != 0 {
		t.Fatal("a session was opened")
	}
}

// late lets something happen while a password is compared.
type late struct {
	hasher
	meanwhile func()
}

func (l late) Verify(ctx context.Context, password, stored string) (bool, error) {
	l.meanwhile()
	return l.hasher.Verify(ctx, password, stored)
}
