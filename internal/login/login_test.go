package login

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
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

// house is a server over maps, with one user.
type house struct {
	*testing.T
	s     *Server
	m     *memory
	pw    *quick
	now   time.Time
	ip    string
	alice identity.UserID
}

func newHouse(t *testing.T, set ...func(*Config)) *house {
	t.Helper()
	cfg := Config{
		Issuer: "id.example.com", Policy: identity.Policy{MinLength: 12, Common: true}, AdminPolicy: identity.Policy{MinLength: 16, Common: true},
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
	h := &house{T: t, m: newMemory(), pw: &quick{}, now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC), ip: "203.0.113.7"}
	h.s = build(cfg, h.m, keys, h.pw)
	h.alice = h.user("alice", right)
	return h
}

func (h *house) user(name, password string, roles ...string) identity.UserID {
	u := &identity.User{
		ID: identity.UserID(secret.NewID(h.now)), Username: name, Email: name + "@example.com", Roles: roles,
		PasswordHash: "quick$" + password, PasswordChangedAt: h.now.AddDate(0, -1, 0), CreatedAt: h.now.AddDate(0, -1, 0),
	}
	h.m.users[u.ID] = u
	return u.ID
}

func (h *house) visit() Visit {
	return Visit{IP: h.ip, Agent: "Firefox", RequestID: "r1", Now: h.now}
}

func (h *house) get(id identity.UserID) *identity.User {
	h.Helper()
	u, err := h.m.User(ctx, id)
	if err != nil {
		h.Fatal(err)
	}
	return u
}

func (h *house) try(name, password string) (Step, error) {
	return h.s.Password(ctx, h.visit(), Attempt{Username: name, Password: password})
}

func (h *house) next(p, kind string, kv ...string) (Step, error) {
	in := url.Values{}
	for i := 0; i+1 < len(kv); i += 2 {
		in.Set(kv[i], kv[i+1])
	}
	return h.s.Continue(ctx, h.visit(), p, kind, in)
}

// enroll gives a user an authenticator; the function returned is the app.
func (h *house) enroll(id identity.UserID) (app func() string, backup []string) {
	h.Helper()
	e, err := h.s.BeginEnroll(ctx, h.visit(), h.get(id))
	if err != nil {
		h.Fatal(err)
	}
	app = h.app(e)
	if backup, err = h.s.ConfirmEnroll(ctx, h.visit(), id, app()); err != nil {
		h.Fatal(err)
	}
	h.now = h.now.Add(time.Minute) // the code that confirmed it is used up
	return app, backup
}

func (h *house) app(e *Enrollment) func() string {
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

func (h *house) is(err error, k fault.Kind, word string) {
	h.Helper()
	if !fault.Is(err, k) || !strings.Contains(fault.Text(err), word) {
		h.Fatalf("got %v (%v), want %v with %q", err, fault.KindOf(err), k, word)
	}
}

func (h *house) done(st Step, err error) *Done {
	h.Helper()
	if err != nil || st.Done == nil || st.Next != "" || st.Pending != "" {
		h.Fatalf("got %+v, %v; want the end of the sign-in", st, err)
	}
	return st.Done
}

func (h *house) waits(st Step, kind string, err error) string {
	h.Helper()
	if err != nil || st.Next != kind || st.Pending == "" || st.Done != nil {
		h.Fatalf("got %+v, %v; want the step %s", st, err, kind)
	}
	if len(st.Pending) >= maxPending {
		h.Fatalf("%d bytes of pending state do not fit the cookie", len(st.Pending))
	}
	return st.Pending
}

func (h *house) events(from int, want ...string) {
	h.Helper()
	if got := h.m.told(from); !slices.Equal(got, want) {
		h.Fatalf("audit log: %q, want %q", got, want)
	}
}

func TestPasswordSignsIn(t *testing.T) {
	for _, name := range []string{"alice", "ALICE", " alice@Example.com "} {
		h := newHouse(t)
		d := h.done(h.try(name, right))
		if !secret.WellFormed(secret.PrefixSession, d.Cookie) || d.User.ID != h.alice || d.Session.User != h.alice {
			t.Fatalf("%q: %+v", name, d)
		}
		if s := d.Session; s.ACR != identity.ACR1 || !slices.Equal(s.AMR, []string{"pwd"}) || !s.AuthTime.Equal(h.now) || s.IP != h.ip {
			t.Fatalf("session %+v", s)
		}
		h.events(0, "LOGIN_SUCCEEDED")
		if ev := h.m.events[0]; ev.User != string(h.alice) || ev.Actor != ev.User || ev.Session != string(d.Session.ID) || ev.RequestID != "r1" {
			t.Fatalf("event %+v", ev)
		}
	}
}

func TestPasswordIsComparedInNormalForm(t *testing.T) {
	h := newHouse(t)
	h.user("zoe", "Caf\u00e9 am Ring")
	h.done(h.try("zoe", "Cafe\u0301 am Ring"))
}

func TestUnknownNameAndWrongPasswordAnswerAlike(t *testing.T) {
	h := newHouse(t)
	h.m.users[h.user("nopass", "")].PasswordHash = ""
	h.m.users[h.user("foreign", "")].PasswordHash = "foreign$x"
	reasons := map[string]string{"alice": "wrong_password", "nobody": "unknown_user", "nopass": "wrong_password", "foreign": "unusable_hash"}
	for name, reason := range reasons {
		from, work := len(h.m.events), h.pw.verifies.Load()
		for range 4 {
			_, err := h.try(name, "a wrong password")
			h.is(err, fault.Denied, wrongPassword)
		}
		if n := h.pw.verifies.Load() - work; n != 4 {
			t.Errorf("%s: %d hashes for 4 attempts", name, n)
		}
		h.events(from, slices.Repeat([]string{"LOGIN_FAILED " + reason}, 4)...)
		_, err := h.try(name, "a wrong password")
		h.is(err, fault.Limited, "Too many failed attempts. Try again in 30 minutes, or ask your administrator.")
		_, err = h.try(name, right)
		h.is(err, fault.Limited, "Too many failed attempts. Try again in 30 minutes, or ask your administrator.")
		if n := h.pw.verifies.Load() - work; n != 5 {
			t.Errorf("%s: %d hashes, want none while locked", name, n)
		}
		h.events(from+4, "LOGIN_FAILED "+reason, "ACCOUNT_LOCKED too_many_failures", "LOGIN_FAILED locked")
	}
	for _, ev := range h.m.events {
		if ev.Actor != "" {
			t.Errorf("a failed attempt has the actor %q", ev.Actor)
		}
	}
}

func TestInputIsBoundedBeforeAnyWork(t *testing.T) {
	h := newHouse(t)
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
		_, err := h.try(tt.name, tt.password)
		h.is(err, fault.Invalid, ".")
		var e *fault.Error
		if !errors.As(err, &e) || e.Field != tt.field {
			t.Errorf("%.10q: field %q, want %q", tt.name, e.Field, tt.field)
		}
		_, err = h.s.ResourceOwner(ctx, h.visit(), tt.name, tt.password)
		h.is(err, fault.Invalid, ".")
	}
	if h.pw.verifies.Load() != 0 || len(h.m.events) != 0 || len(h.m.locks) != 0 {
		t.Error("work was done for input that cannot be right")
	}
}

func TestBrokenStoreIsNotAWrongPassword(t *testing.T) {
	h := newHouse(t)
	h.m.broken = fault.New(fault.Unavailable, "the database is away")
	_, err := h.try("alice", right)
	h.is(err, fault.Unavailable, "away")
	if len(h.m.locks) != 0 {
		t.Error("the failure was counted against the user")
	}
}

func TestDisabledIsToldOnlyWithTheRightPassword(t *testing.T) {
	h := newHouse(t)
	h.m.users[h.alice].Disabled = true
	_, err := h.try("alice", "wrong")
	h.is(err, fault.Denied, wrongPassword)
	_, err = h.try("alice", right)
	h.is(err, fault.Denied, "disabled")
	_, err = h.s.ResourceOwner(ctx, h.visit(), "alice", right)
	h.is(err, fault.Denied, "disabled")
	h.events(0, "LOGIN_FAILED wrong_password", "LOGIN_FAILED disabled", "LOGIN_FAILED disabled")
}

func TestOutdatedHashIsMadeAnew(t *testing.T) {
	h := newHouse(t)
	h.m.users[h.alice].PasswordHash = "old$" + right
	_, err := h.try("alice", "wrong")
	h.is(err, fault.Denied, "")
	if h.pw.hashes.Load() != 0 {
		t.Fatal("a wrong password was hashed")
	}
	h.done(h.try("alice", right))
	if got := h.get(h.alice); got.PasswordHash != "quick$"+right {
		t.Fatalf("hash %q", got.PasswordHash)
	}
}

func TestLockEndsByItselfAndSuccessForgets(t *testing.T) {
	h := newHouse(t)
	fail := func(n int, k fault.Kind) {
		t.Helper()
		for range n {
			_, err := h.try("alice", "wrong")
			h.is(err, k, "")
		}
	}
	fail(4, fault.Denied)
	h.done(h.try("alice", right)) // forgets the four
	fail(4, fault.Denied)
	fail(1, fault.Limited)
	h.now = h.now.Add(30*time.Minute - time.Second)
	_, err := h.try("alice", right)
	h.is(err, fault.Limited, "in 1 minute,")
	var e *fault.Error
	if errors.As(err, &e); e.After != time.Second {
		t.Fatalf("try again after %v, want 1s", e.After)
	}
	h.now = h.now.Add(time.Second)
	h.done(h.try("alice", right))
	if _, ok := h.m.locks[LockKey(h.alice)]; ok {
		t.Fatal("the success did not clear the counter")
	}
	fail(4, fault.Denied)
}

func TestFailuresAreForgottenAfterADay(t *testing.T) {
	h := newHouse(t)
	for range 12 {
		_, err := h.try("alice", "wrong")
		h.is(err, fault.Denied, "")
		h.now = h.now.Add(userWindow + time.Second)
	}
}

func TestWithoutAutoUnlockALockStays(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.AutoUnlock, c.Progressive = false, true })
	for _, name := range []string{"alice", "nobody"} {
		for range 5 {
			h.try(name, "wrong")
		}
		h.now = h.now.AddDate(1, 0, 0)
		_, err := h.try(name, right)
		h.is(err, fault.Limited, "Ask your administrator to unlock")
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
	if ev := h.m.events[len(h.m.events)-1]; ev.Type != audit.AccountUnlocked || ev.Actor != "cli" || ev.User != string(h.alice) {
		t.Fatalf("event %+v", ev)
	}
	h.done(h.try("alice", right))
}

func TestProgressiveLocksGetLonger(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Progressive = true })
	for round, want := range []time.Duration{30 * time.Minute, time.Hour, 2 * time.Hour} {
		var err error
		for range 5 {
			_, err = h.try("alice", "wrong")
		}
		var e *fault.Error
		if !errors.As(err, &e) || e.After != want {
			t.Fatalf("round %d locks for %v, want %v", round, e.After, want)
		}
		h.now = h.now.Add(want)
	}
}

func TestNoThresholdNoLock(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.LockThreshold = 0 })
	for range 20 {
		_, err := h.try("alice", "wrong")
		h.is(err, fault.Denied, "")
	}
	h.done(h.try("alice", right))
}

func TestWhitelistedAddressesAreNeverLocked(t *testing.T) {
	h := newHouse(t, func(c *Config) {
		c.LockByIP = true
		c.LockWhitelist = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	})
	for _, ip := range []string{"10.1.2.3", "::ffff:10.1.2.3", "2001:db8::9%eth0"} {
		h.ip = ip
		for range 20 {
			_, err := h.try("alice", "wrong")
			h.is(err, fault.Denied, "")
		}
	}
	if len(h.m.locks) != 0 {
		t.Fatalf("counted: %v", h.m.locks)
	}
	h.ip = "11.1.2.3"
	for range 5 {
		h.try("alice", "wrong")
	}
	_, err := h.try("alice", right)
	h.is(err, fault.Limited, "")
	h.ip = "10.1.2.3"
	h.done(h.try("alice", right))
}

func TestAddressesAreLocked(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.LockByIP, c.IPThreshold = true, 6 })
	h.user("bob", "the right password of bob")
	h.ip = "2001:db8:1:2::a"
	for i := range 5 {
		_, err := h.try(fmt.Sprintf("guess%d", i), "wrong")
		h.is(err, fault.Denied, "")
	}
	h.done(h.try("alice", right)) // does not forgive the address
	h.ip = "2001:db8:1:2::b"      // the same household
	_, err := h.try("guess", "wrong")
	h.is(err, fault.Limited, "Too many")
	_, err = h.try("bob", "the right password of bob")
	h.is(err, fault.Limited, "Too many")
	h.ip = "2001:db8:1:3::b"
	h.done(h.try("bob", "the right password of bob"))
	if ev := h.m.events[len(h.m.events)-3]; ev.Type != audit.AccountLocked || ev.Detail["scope"] != "address" {
		t.Fatalf("event %+v", ev)
	}
	for _, odd := range []string{"", "unix", "203.0.113.7:99"} {
		if h.s.addressKey(odd) != "" || h.s.exempt(odd) {
			t.Errorf("%q was taken for an address", odd)
		}
	}
}

func TestUnknownNamesShareABoundedNumberOfCounters(t *testing.T) {
	h := newHouse(t)
	seen := map[string]bool{}
	for i := range 2000 {
		var n uint16
		key := h.s.subject(nil, fmt.Sprintf("name%d", i)).key
		if _, err := fmt.Sscanf(key, "name:%d", &n); err != nil {
			t.Fatalf("counter %q: %v", key, err)
		}
		seen[key] = true
	}
	if len(seen) < 1900 {
		t.Fatalf("2000 names share %d counters", len(seen))
	}
}

func TestConcurrentGuessesCannotOutrunTheLock(t *testing.T) {
	h := newHouse(t)
	app, _ := h.enroll(h.alice)
	p := h.waits(with(h.try("alice", right))(StepTOTP))
	var denied, limited atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			_, err := h.next(p, StepTOTP, "code", wrongOf(app()))
			switch fault.KindOf(err) {
			case fault.Denied:
				denied.Add(1)
			case fault.Limited:
				limited.Add(1)
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
		t.Fatalf("%d were tried and told so, %d locked out; want 4 and 60; %d locks in the audit log", denied.Load(), limited.Load(), n)
	}
	_, err := h.next(p, StepTOTP, "code", app())
	h.is(err, fault.Limited, "")
}

// with adds to the two results of a call the step that is wanted.
func with(st Step, err error) func(kind string) (Step, string, error) {
	return func(kind string) (Step, string, error) { return st, kind, err }
}

func TestSecondFactor(t *testing.T) {
	h := newHouse(t)
	app, backup := h.enroll(h.alice)
	p := h.waits(with(h.try("alice", right))(StepTOTP))
	if u, kind, err := h.s.PendingUser(ctx, h.visit(), p); err != nil || u.ID != h.alice || kind != StepTOTP {
		t.Fatalf("pending: %v %v %v", u, kind, err)
	}
	from := len(h.m.events)
	_, err := h.next(p, StepTOTP, "code", wrongOf(app()))
	h.is(err, fault.Denied, "not right")
	_, err = h.next(p, StepTOTP, "code", "hello")
	h.is(err, fault.Invalid, "six digits")
	code := app()
	d := h.done(h.next(p, StepTOTP, "code", " "+code[:3]+" "+code[3:]))
	if !slices.Equal(d.Session.AMR, []string{"pwd", "otp", "mfa"}) || d.Session.ACR != identity.ACR2 {
		t.Fatalf("session %+v", d.Session)
	}
	_, err = h.next(p, StepTOTP, "code", code)
	h.is(err, fault.Denied, "used already")
	h.events(from, "LOGIN_FAILED wrong_code", "LOGIN_SUCCEEDED", "LOGIN_FAILED replayed_code")

	from = len(h.m.events)
	d = h.done(h.next(p, StepTOTP, "code", strings.ToUpper(backup[3])))
	if !slices.Equal(d.Session.AMR, []string{"pwd", "otp", "mfa"}) {
		t.Fatalf("session %+v", d.Session)
	}
	_, err = h.next(p, StepTOTP, "code", backup[3])
	h.is(err, fault.Denied, "used already")
	_, err = h.next(p, StepTOTP, "code", "zzzzz-zzzzz")
	h.is(err, fault.Denied, "not right")
	h.events(from, "BACKUP_CODE_USED", "LOGIN_SUCCEEDED", "LOGIN_FAILED replayed_code", "LOGIN_FAILED wrong_code")
	f, err := h.s.Factors(ctx, h.alice)
	if err != nil || !f.TOTP || f.BackupLeft != 9 || f.Since.IsZero() {
		t.Fatalf("factors %+v %v", f, err)
	}
}

func TestCodeWorksWithinOneStepOnly(t *testing.T) {
	for offset, ok := range map[time.Duration]bool{-60 * time.Second: false, -30 * time.Second: true, 0: true, 30 * time.Second: true, 60 * time.Second: false} {
		h := newHouse(t)
		app, _ := h.enroll(h.alice)
		h.now = h.now.Add(10 * time.Minute)
		p := h.waits(with(h.try("alice", right))(StepTOTP))
		at := h.now
		h.now = at.Add(offset)
		code := app()
		h.now = at
		if _, err := h.next(p, StepTOTP, "code", code); (err == nil) != ok {
			t.Errorf("a code of %v from now: %v", offset, err)
		}
	}
}

func TestPasswordAloneDoesNotBuyMoreGuesses(t *testing.T) {
	h := newHouse(t)
	app, _ := h.enroll(h.alice)
	for i := range 5 {
		p := h.waits(with(h.try("alice", right))(StepTOTP))
		_, err := h.next(p, StepTOTP, "code", wrongOf(app()))
		if want := []fault.Kind{fault.Denied, fault.Limited}[i/4]; !fault.Is(err, want) {
			t.Fatalf("guess %d: %v", i+1, err)
		}
		_, err = h.s.ResourceOwner(ctx, h.visit(), "alice", right)
		if err == nil {
			t.Fatal("the password grant let somebody with a second factor in")
		}
	}
	_, err := h.try("alice", right)
	h.is(err, fault.Limited, "")
}

func TestOneCodeOnceAmongMany(t *testing.T) {
	for _, kind := range []string{"totp", "backup"} {
		h := newHouse(t)
		app, backup := h.enroll(h.alice)
		h.s.cfg.LockThreshold = 0
		p := h.waits(with(h.try("alice", right))(StepTOTP))
		code := app()
		if kind == "backup" {
			code = backup[0]
		}
		var won atomic.Int64
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				if st, err := h.next(p, StepTOTP, "code", code); err == nil && st.Done != nil {
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
	h := newHouse(t)
	app, _ := h.enroll(h.alice)
	p := h.waits(with(h.try("alice", right))(StepTOTP))
	other := newHouse(t)
	other.s.pending = must(secret.NewKeys([]byte(strings.Repeat("x", 32)))).Box("login")

	for _, kind := range []string{StepNewPassword, StepEnroll, StepSkip, "password", "", "webauthn"} {
		_, err := h.next(p, kind, "code", app(), "new_password", newWord)
		h.is(err, fault.Consumed, "Start again")
	}
	first := "A"
	if p[0] == 'A' {
		first = "B"
	}
	for _, bad := range []string{"", "x", p[:len(p)-2], first + p[1:], p + p, strings.Repeat("A", 5000)} {
		_, err := h.next(bad, StepTOTP, "code", app())
		h.is(err, fault.Consumed, "Start again")
	}
	_, err := other.next(p, StepTOTP, "code", app())
	h.is(err, fault.Consumed, "")

	start := h.now
	h.now = start.Add(pendingLife)
	_, err = h.next(p, StepTOTP, "code", app())
	h.is(err, fault.Consumed, "")
	h.now = start.Add(-pendingLife - time.Second)
	_, err = h.next(p, StepTOTP, "code", app())
	h.is(err, fault.Consumed, "")
	h.now = start.Add(pendingLife - time.Second)
	h.done(h.next(p, StepTOTP, "code", app()))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestPendingEndsWithTheAccountsState(t *testing.T) {
	for name, change := range map[string]func(h *house){
		"password changed": func(h *house) {
			if err := h.s.SetPassword(ctx, h.visit(), h.get(h.alice), newWord); err != nil {
				h.Fatal(err)
			}
		},
		"user deleted":   func(h *house) { delete(h.m.users, h.alice) },
		"factor removed": func(h *house) { _ = h.s.DisableTOTP(ctx, h.visit(), h.alice) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			app, _ := h.enroll(h.alice)
			p := h.waits(with(h.try("alice", right))(StepTOTP))
			change(h)
			_, err := h.next(p, StepTOTP, "code", app())
			h.is(err, fault.Consumed, "")
			_, _, err = h.s.PendingUser(ctx, h.visit(), p)
			h.is(err, fault.Consumed, "")
		})
	}
	h := newHouse(t)
	app, _ := h.enroll(h.alice)
	p := h.waits(with(h.try("alice", right))(StepTOTP))
	h.m.users[h.alice].Disabled = true
	_, err := h.next(p, StepTOTP, "code", app())
	h.is(err, fault.Denied, "disabled")
}

func TestNewPasswordIsAskedFor(t *testing.T) {
	for name, set := range map[string]func(*house){
		"must change": func(h *house) { h.m.users[h.alice].MustChange = true },
		"expired":     func(h *house) { h.s.cfg.ExpiryDays = 10 },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			app, _ := h.enroll(h.alice)
			set(h)
			p := h.waits(with(h.try("alice", right))(StepTOTP)) // the factor comes first
			_, err := h.next(p, StepNewPassword, "new_password", newWord)
			h.is(err, fault.Consumed, "")
			p = h.waits(with(h.next(p, StepTOTP, "code", app()))(StepNewPassword))
			for word, sentence := range map[string]string{"": "at least 12", "short": "at least 12", right: "used before", "alice-lives-here-77": "alice"} {
				_, err := h.next(p, StepNewPassword, "new_password", word)
				h.is(err, fault.Invalid, sentence)
			}
			d := h.done(h.next(p, StepNewPassword, "new_password", newWord))
			if d.Session.ACR != identity.ACR2 || d.User.MustChange {
				t.Fatalf("%+v", d)
			}
			_, err = h.next(p, StepNewPassword, "new_password", "another Fine passphrase 5")
			h.is(err, fault.Consumed, "")
			_, err = h.try("alice", right)
			h.is(err, fault.Denied, wrongPassword)
			h.waits(with(h.try("alice", newWord))(StepTOTP))
		})
	}
}

func TestANewFactorIsNotPassedByAnOldPending(t *testing.T) {
	h := newHouse(t)
	h.m.users[h.alice].MustChange = true
	p := h.waits(with(h.try("alice", right))(StepNewPassword))
	h.enroll(h.alice)
	_, err := h.next(p, StepNewPassword, "new_password", newWord)
	h.is(err, fault.Consumed, "")
}

func TestEnrolmentIsAskedFor(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.RequireAdminMFA = true })
	h.done(h.try("alice", right)) // no administrator
	h.user("root", "the right password of root", identity.RoleAdmin)
	st, err := h.try("root", "the right password of root")
	p := h.waits(st, StepEnroll, err)
	if st.Grace != 0 {
		t.Fatalf("grace of %v a month after the account was made", st.Grace)
	}
	_, err = h.next(p, StepSkip)
	h.is(err, fault.Denied, "needs a second factor")
	_, err = h.next(p, StepEnroll, "code", "123456")
	h.is(err, fault.Consumed, "") // nothing was shown yet
	u, _, err := h.s.PendingUser(ctx, h.visit(), p)
	if err != nil {
		t.Fatal(err)
	}
	e := must(h.s.BeginEnroll(ctx, h.visit(), u))
	app := h.app(e)
	from := len(h.m.events)
	_, err = h.next(p, StepEnroll, "code", "12ab")
	h.is(err, fault.Invalid, "six digits")
	_, err = h.next(p, StepEnroll, "code", wrongOf(app()))
	h.is(err, fault.Denied, "not right")
	code := app()
	d := h.done(h.next(p, StepEnroll, "code", code))
	if d.Session.ACR != identity.ACR2 || len(d.Backup) != 10 {
		t.Fatalf("%+v", d)
	}
	h.events(from, "LOGIN_FAILED enroll_wrong_code", "MFA_ENABLED", "BACKUP_CODES_GENERATED", "LOGIN_SUCCEEDED")
	for _, kind := range []string{StepEnroll, StepSkip} {
		_, err = h.next(p, kind, "code", code)
		h.is(err, fault.Consumed, "")
	}
	p = h.waits(with(h.try("root", "the right password of root"))(StepTOTP))
	_, err = h.next(p, StepTOTP, "code", code)
	h.is(err, fault.Denied, "used already") // by confirming it
}

func TestEnrolmentCanBePutOffForSomeDays(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.RequireMFA = true })
	h.m.users[h.alice].CreatedAt = h.now.Add(-6 * 24 * time.Hour)
	st, err := h.try("alice", right)
	p := h.waits(st, StepEnroll, err)
	if st.Grace != 24*time.Hour {
		t.Fatalf("grace %v", st.Grace)
	}
	d := h.done(h.next(p, StepSkip))
	if d.Session.ACR != identity.ACR1 {
		t.Fatalf("%+v", d.Session)
	}
	h.now = h.now.Add(24 * time.Hour)
	st, err = h.try("alice", right)
	p = h.waits(st, StepEnroll, err)
	_, err = h.next(p, StepSkip)
	h.is(err, fault.Denied, "needs a second factor")
}

func TestEnrollmentShowsOneSecretUntilConfirmed(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Issuer = "Example & Co: ID" })
	u := h.get(h.alice)
	a, b := must(h.s.BeginEnroll(ctx, h.visit(), u)), must(h.s.BeginEnroll(ctx, h.visit(), u))
	if *a != *b {
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
		if _, err := h.s.totp.box.Open(c.Sealed, "another credential"); err == nil {
			t.Fatal("a sealed seed opens under another credential's name")
		}
	}
	h.now = h.now.Add(enrollLife)
	_, err := h.s.ConfirmEnroll(ctx, h.visit(), h.alice, h.app(b)())
	h.is(err, fault.Conflict, "waiting")
	c := must(h.s.BeginEnroll(ctx, h.visit(), u))
	if c.Secret == a.Secret || len(h.m.creds) != 1 {
		t.Fatal("a secret shown long ago is still in use")
	}
	app := h.app(c)
	if _, err := h.s.ConfirmEnroll(ctx, h.visit(), h.alice, app()); err != nil {
		t.Fatal(err)
	}
	_, err = h.s.BeginEnroll(ctx, h.visit(), u)
	h.is(err, fault.Conflict, "already")
	_, err = h.s.ConfirmEnroll(ctx, h.visit(), h.alice, app())
	h.is(err, fault.Conflict, "already")
}

func TestBackupCodes(t *testing.T) {
	h := newHouse(t)
	_, err := h.s.NewBackupCodes(ctx, h.visit(), h.alice)
	h.is(err, fault.Conflict, "second factor first")
	_, first := h.enroll(h.alice)
	second := must(h.s.NewBackupCodes(ctx, h.visit(), h.alice))
	seen := map[string]bool{}
	for _, c := range slices.Concat(first, second) {
		if len(c) != 11 || c[5] != '-' || seen[c] {
			t.Fatalf("code %q", c)
		}
		seen[c] = true
	}
	p := h.waits(with(h.try("alice", right))(StepTOTP))
	_, err = h.next(p, StepTOTP, "code", first[0])
	h.is(err, fault.Denied, "not right") // replaced
	h.done(h.next(p, StepTOTP, "code", strings.ReplaceAll(second[0], "-", " ")))
	if h.s.backup.hash(h.alice, "x") == h.s.backup.hash("somebody else", "x") {
		t.Fatal("one person's code is another's")
	}
	if err := h.s.DisableTOTP(ctx, h.visit(), h.alice); err != nil {
		t.Fatal(err)
	}
	if f := must(h.s.Factors(ctx, h.alice)); f != (Factors{}) {
		t.Fatalf("factors %+v", f)
	}
	h.done(h.try("alice", right))
}

func TestAnAuthenticatorTakenAwayMeanwhileStartsAnew(t *testing.T) {
	h := newHouse(t)
	app, _ := h.enroll(h.alice)
	proof, err := totpFactor{store: dropping{h.m, h}, box: h.s.totp.box}.Check(ctx, h.visit(), h.get(h.alice), url.Values{"code": {app()}})
	h.is(err, fault.Consumed, "")
	if proof.OK {
		t.Fatal("proved with an authenticator that is gone")
	}
}

// dropping takes the authenticator away between the look and the step.
type dropping struct {
	Store
	h *house
}

func (d dropping) AdvanceCredential(context.Context, identity.CredentialID, int64, time.Time) error {
	return gone()
}

func TestARightGuessUnderWayWhenTheLockFallsIsRefused(t *testing.T) {
	h := newHouse(t)
	h.s.factors[0] = passwordFactor{store: h.m, pw: late{h.pw, func() {
		for range 5 {
			h.m.RecordFailure(ctx, Failure{Key: LockKey(h.alice), Now: h.now, Threshold: 5, Duration: time.Minute, Window: time.Hour})
		}
	}}}
	_, err := h.try("alice", right)
	h.is(err, fault.Limited, "Too many")
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
