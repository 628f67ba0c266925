package account_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/store/storetest"

	"github.com/gatehouse-id/gatehouse/internal/account"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
)

// The hash of "password" of argon2's reference vectors: cheap to compare with.
const cheapHash = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"

var ctx = context.Background()

// recording is the real store, which remembers the events that it wrote.
type recording struct {
	*store.DB
	events []audit.Event
}

func (r *recording) UpdateUser(ctx context.Context, old, new *identity.User, ev ...audit.Event) error {
	r.events = append(r.events, ev...)
	return r.DB.UpdateUser(ctx, old, new, ev...)
}

func (r *recording) EndUserSession(
	ctx context.Context, u identity.UserID, id identity.SessionID, now time.Time, tokens bool, ev ...audit.Event,
) error {
	r.events = append(r.events, ev...)
	return r.DB.EndUserSession(ctx, u, id, now, tokens, ev...)
}

func (r *recording) DeleteConsent(
	ctx context.Context, u identity.UserID, c client.ID, now time.Time, ev ...audit.Event,
) error {
	r.events = append(r.events, ev...)
	return r.DB.DeleteConsent(ctx, u, c, now, ev...)
}

// harness is an account on a real store, with the sign-in that it needs.
type harness struct {
	*testing.T
	db  *recording
	s   *account.Server
	now time.Time
	ada *identity.User
}

func newHarness(t *testing.T, set ...func(*login.Config)) *harness {
	t.Helper()
	db := storetest.Memory(t)
	keys, err := secret.NewKeys([]byte(strings.Repeat("k", secret.MinMaster)))
	must(t, err)
	cfg := login.Config{
		SessionTTL: 24 * time.Hour, Idle: time.Hour, RevokeTokens: true, LockThreshold: 5, LockDuration: time.Minute, AutoUnlock: true,
		Policy: identity.Policy{MinLength: 12}, AdminPolicy: identity.Policy{MinLength: 12},
	}
	for _, f := range set {
		f(&cfg)
	}
	h := &harness{T: t, db: &recording{DB: db}, now: time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)}
	l := login.New(cfg, db, keys, secret.NewPasswords(2, 8))
	h.s = account.New(account.Config{RevokeTokens: true}, h.db, l)
	h.ada = h.user("ada")
	return h
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (h *harness) user(name string) *identity.User {
	h.Helper()
	u := &identity.User{
		ID: identity.UserID(secret.NewID(h.now)), Email: name + "@example.com", Name: name, PasswordHash: cheapHash,
		Roles: []string{"editor"}, CreatedAt: h.now.Add(-time.Hour), UpdatedAt: h.now.Add(-time.Hour),
	}
	must(h.T, h.db.CreateUser(ctx, u))
	return u
}

// caller is a person in a new session.
func (h *harness) caller(u *identity.User) account.Caller {
	h.Helper()
	sess := identity.NewSession(u.ID, []string{"pwd"}, h.now, time.Hour, identity.Browser{IP: "192.0.2.1", Agent: "Browser/1"})
	must(h.T, h.db.PutSession(ctx, secret.Hash(secret.NewToken("")), sess, identity.SessionTerms{}))
	c, err := h.s.Caller(ctx, login.Visit{IP: "192.0.2.1", Agent: "Browser/1", RequestID: "r1", Now: h.now}, sess)
	must(h.T, err)
	return c
}

func (h *harness) wantErr(err error, k fault.Kind, field string) {
	h.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != k || f.Field != field || f.Text == "" {
		h.Fatalf("got %v (%v), want %v about %q", err, fault.KindOf(err), k, field)
	}
}

func code(t *testing.T, key string, at time.Time) string {
	t.Helper()
	seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(key, " ", ""))
	must(t, err)
	m := hmac.New(sha1.New, seed)
	var step [8]byte
	binary.BigEndian.PutUint64(step[:], uint64(at.Unix()/30))
	m.Write(step[:])
	sum := m.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1000000)
}

func inputs(pairs ...string) func(string) string {
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return form.Get
}

func TestChangeProfile(t *testing.T) {
	h := newHarness(t)
	c := h.caller(h.ada)
	all := inputs("name", " Ada Lovelace ", "given_name", "Ada", "phone_number", "+44 20 7946 0000", "country", "UK",
		"email", "eve@example.com", "username", "root", "roles", "admin", "disabled", "true", "phone_number_verified", "true")
	u, err := h.s.ChangeProfile(ctx, c, all)
	must(t, err)
	stored, err := h.db.User(ctx, h.ada.ID)
	must(t, err)
	for _, got := range []*identity.User{u, stored} {
		if got.Name != "Ada Lovelace" || got.GivenName != "Ada" || got.Phone != "+44 20 7946 0000" || got.Address.Country != "UK" {
			t.Fatalf("%+v", got)
		}
		if got.Email != "ada@example.com" || got.Username != "" || !slices.Equal(got.Roles, []string{"editor"}) || got.Disabled || got.PhoneVerified {
			t.Fatalf("a person changed what is not theirs to change: %+v", got)
		}
	}
	ev := h.db.events[0]
	if len(h.db.events) != 1 || ev.Type != audit.UserUpdated || ev.Actor != string(h.ada.ID) || ev.Session != string(c.Session) || ev.RequestID != "r1" {
		t.Fatalf("events %+v", h.db.events)
	}
	u, err = h.s.ChangeProfile(ctx, c, inputs("phone_number", "12345", "name", "Kept For The Form"))
	h.wantErr(err, fault.Invalid, "phone_number")
	if u.Name != "Kept For The Form" {
		t.Fatalf("the form shows %q", u.Name)
	}
}

// A name from before the rule for characters stays, unless it is the one that changes.
func TestAnOldNameDoesNotBlockOtherChanges(t *testing.T) {
	h := newHarness(t)
	old := *h.ada
	old.Name, old.Nickname = "Ada\u202e", "A\u200bda"
	must(t, h.db.DB.UpdateUser(ctx, h.ada, &old))
	u, err := h.s.ChangeProfile(ctx, h.caller(&old), inputs("name", old.Name, "nickname", old.Nickname, "locality", "London"))
	must(t, err)
	if u.Name != old.Name || u.Address.Locality != "London" {
		t.Fatalf("%+v", u)
	}
	_, err = h.s.ChangeProfile(ctx, h.caller(u), inputs("name", "King\u202e", "nickname", old.Nickname))
	h.wantErr(err, fault.Invalid, "name")
}

// A page that was open for long does not undo what an administrator did meanwhile.
func TestChangeProfileLeavesOtherFieldsAlone(t *testing.T) {
	h := newHarness(t)
	c := h.caller(h.ada)
	without := *h.ada
	without.Roles = nil
	must(t, h.db.DB.UpdateUser(ctx, h.ada, &without))
	must(t, h.db.SetUserDisabled(ctx, h.ada.ID, true, h.now))
	_, err := h.s.ChangeProfile(ctx, c, inputs("name", "Ada"))
	must(t, err)
	if u, err := h.db.User(ctx, h.ada.ID); err != nil || !u.Disabled || len(u.Roles) != 0 {
		t.Fatalf("%+v %v", u, err)
	}
}

func TestAVerifiedPhoneNumberIsNoLongerVerifiedOnceChanged(t *testing.T) {
	h := newHarness(t)
	verified := *h.ada
	verified.Phone, verified.PhoneVerified = "+44 20 7946 0000", true
	verified.Address = identity.Address{Formatted: "12 Way\nLondon", Locality: "London"}
	must(t, h.db.DB.UpdateUser(ctx, h.ada, &verified))
	u, err := h.s.ChangeProfile(ctx, h.caller(h.ada), inputs("phone_number", "+44 20 7946 0000", "locality", "London"))
	must(t, err)
	if !u.PhoneVerified || u.Address.Formatted == "" {
		t.Fatalf("nothing was changed, yet %+v", u)
	}
	u, err = h.s.ChangeProfile(ctx, h.caller(h.ada), inputs("phone_number", "+44 20 7946 0001", "locality", "Leeds"))
	must(t, err)
	if u.PhoneVerified || u.Address.Formatted != "" {
		t.Fatalf("%+v", u)
	}
}

func TestChangePassword(t *testing.T) {
	h := newHarness(t)
	here, there := h.caller(h.ada), h.caller(h.ada)
	const good = "quite a long pass phrase 7"
	change := func(current, password, repeated string) error {
		return h.s.ChangePassword(ctx, here, account.PasswordChange{Current: current, New: password, Repeated: repeated})
	}
	h.wantErr(change("wrong", good, good), fault.Denied, "current_password")
	h.wantErr(change("password", "short", "short"), fault.Invalid, "new_password")
	h.wantErr(change("password", good, good+"!"), fault.Invalid, "confirm_password")
	err := change("wrong", "short", "another") // everything that is wrong is named at once
	h.wantErr(err, fault.Denied, "current_password")
	var all *fault.Error
	if !errors.As(err, &all) || len(all.More) != 2 || all.More[0].Field != "new_password" || all.More[1].Field != "confirm_password" {
		t.Fatalf("%+v", err)
	}
	must(t, change("password", good, good))
	access, err := h.s.Access(ctx, here)
	must(t, err)
	if len(access.Sessions) != 1 || access.Sessions[0].ID != here.Session || access.Sessions[0].ID == there.Session {
		t.Fatalf("sessions %+v", access.Sessions)
	}
}

func TestFactors(t *testing.T) {
	h := newHarness(t, func(cfg *login.Config) { cfg.LockThreshold = 50 })
	c := h.caller(h.ada)
	_, err := h.s.EnrollFactor(ctx, c, "totp", "wrong")
	h.wantErr(err, fault.Denied, "current_password")
	_, err = h.s.EnrollFactor(ctx, c, "pigeon", "password")
	h.wantErr(err, fault.NotFound, "")
	_, err = h.s.NewBackupCodes(ctx, c, url.Values{"current_password": {"password"}})
	h.wantErr(err, fault.Conflict, "")

	e, err := h.s.EnrollFactor(ctx, c, "totp", "password")
	must(t, err)
	again, err := h.s.ResumeEnrollment(ctx, c, "totp", e.Token)
	must(t, err)
	if again.Secret != e.Secret {
		t.Fatal("the page shows another secret when it is shown again")
	}
	in := url.Values{"code": {"000000"}, "enrollment": {e.Token}}
	_, err = h.s.ConfirmFactor(ctx, c, "totp", in)
	h.wantErr(err, fault.Denied, "")
	in.Set("code", code(t, e.Secret, h.now))
	codes, err := h.s.ConfirmFactor(ctx, c, "totp", in)
	must(t, err)
	if len(codes) != 10 {
		t.Fatalf("%d backup codes", len(codes))
	}
	o, err := h.s.Overview(ctx, c)
	must(t, err)
	if !o.Factors.Only("totp") || o.Factors.BackupLeft != 10 || o.Factors.Required || !o.Factors.Removable("totp") || o.Sessions != 1 {
		t.Fatalf("overview %+v", o)
	}
	h.now = h.now.Add(time.Minute)
	c.Now = h.now
	proof := func(password, code string) url.Values {
		return url.Values{"current_password": {password}, "code": {code}}
	}
	app := code(t, e.Secret, h.now)
	for _, try := range []struct {
		in    url.Values
		kind  fault.Kind
		field string
	}{
		{proof("wrong", app), fault.Denied, "current_password"}, // and the code stays good
		{proof("password", ""), fault.Invalid, "code"},
		{proof("password", "000000"), fault.Denied, "code"},
		{proof("password", "aaaaa-aaaaa"), fault.Denied, "code"},
	} {
		_, err = h.s.NewBackupCodes(ctx, c, try.in)
		h.wantErr(err, try.kind, try.field)
		_, err = h.s.DisableFactor(ctx, c, "totp", try.in)
		h.wantErr(err, try.kind, try.field)
	}
	former := codes[0]
	if codes, err = h.s.NewBackupCodes(ctx, c, proof("password", app)); err != nil || len(codes) != 10 {
		t.Fatalf("%d codes, %v", len(codes), err)
	}
	for _, used := range []string{app, former} { // once each
		_, err = h.s.DisableFactor(ctx, c, "totp", proof("password", used))
		h.wantErr(err, fault.Denied, "code")
	}
	if last, err := h.s.DisableFactor(ctx, c, "totp", proof("password", codes[3])); err != nil || !last {
		t.Fatalf("last %v, %v", last, err)
	}
}

// Whoever finds an unlocked screen must not set up a factor of their own without the password.
func TestAFactorIsNotSetUpWithoutThePassword(t *testing.T) {
	h := newHarness(t)
	c, bob := h.caller(h.ada), h.caller(h.user("bob"))
	foreign, err := h.s.EnrollFactor(ctx, bob, "totp", "password")
	must(t, err)
	for _, token := range []string{"", "x", foreign.Token} {
		_, err := h.s.ResumeEnrollment(ctx, c, "totp", token)
		h.wantErr(err, fault.Conflict, "")
		_, err = h.s.ConfirmFactor(ctx, c, "totp", url.Values{"code": {"x"}, "enrollment": {token}})
		h.wantErr(err, fault.Conflict, "")
	}
	if creds, err := h.db.Credentials(ctx, h.ada.ID); err != nil || len(creds) != 0 {
		t.Fatalf("%+v %v", creds, err)
	}
	e, err := h.s.EnrollFactor(ctx, c, "totp", "password")
	must(t, err)
	c.Now = c.Now.Add(61 * time.Minute)
	_, err = h.s.ResumeEnrollment(ctx, c, "totp", e.Token)
	h.wantErr(err, fault.Conflict, "")
}

func TestTheOnlyFactorStaysWhereOneIsRequired(t *testing.T) {
	h := newHarness(t, func(cfg *login.Config) { cfg.RequireMFA = true })
	c := h.caller(h.ada)
	e, err := h.s.EnrollFactor(ctx, c, "totp", "password")
	must(t, err)
	in := url.Values{"code": {code(t, e.Secret, h.now)}, "enrollment": {e.Token}}
	_, err = h.s.ConfirmFactor(ctx, c, "totp", in)
	must(t, err)
	_, err = h.s.DisableFactor(ctx, c, "totp", url.Values{"current_password": {"password"}})
	h.wantErr(err, fault.Denied, "")
	f, err := h.s.Factors(ctx, c)
	must(t, err)
	if !f.Required || f.Removable("totp") || !f.Has("totp") {
		t.Fatalf("%+v", f)
	}
}

func TestSessionsAndAccess(t *testing.T) {
	h := newHarness(t)
	here, there := h.caller(h.ada), h.caller(h.ada)
	bob := h.caller(h.user("bob"))
	if current, err := h.s.EndSession(ctx, bob, here.Session); err != nil || current {
		t.Fatalf("%v %v", current, err)
	}
	if access, err := h.s.Access(ctx, here); err != nil || len(access.Sessions) != 2 {
		t.Fatalf("another person ended it: %+v %v", access, err)
	}
	if current, err := h.s.EndSession(ctx, here, there.Session); err != nil || current {
		t.Fatalf("%v %v", current, err)
	}
	if current, err := h.s.EndSession(ctx, here, here.Session); err != nil || !current {
		t.Fatalf("%v %v", current, err)
	}
	if current, err := h.s.EndSession(ctx, here, here.Session); err != nil || current { // repeating it succeeds
		t.Fatalf("%v %v", current, err)
	}
	ev := h.db.events[len(h.db.events)-2]
	if ev.Type != audit.SessionRevoked || ev.Session != string(here.Session) {
		t.Fatalf("event %+v", ev)
	}
	must(t, h.s.EndGrant(ctx, here, oauth.GrantID("none")))
	must(t, h.s.DisconnectApp(ctx, here, client.ID("none")))
	ev = h.db.events[len(h.db.events)-1]
	if ev.Type != audit.GrantRevoked || ev.Client != "none" || ev.Detail["which"] != "all_of_client" {
		t.Fatalf("event %+v", ev)
	}

	now, other := h.caller(h.ada), h.caller(h.ada)
	must(t, h.s.SignOutEverywhere(ctx, now))
	access, err := h.s.Access(ctx, now)
	must(t, err)
	if len(access.Sessions) != 1 || !access.Sessions[0].Current || access.Sessions[0].ID == other.Session {
		t.Fatalf("%+v", access.Sessions)
	}
	if n, err := h.s.EndInactive(ctx, now); err != nil || n != 0 {
		t.Fatalf("ended %d, %v: everything is in use", n, err)
	}
	if apps, err := h.s.Apps(ctx, now); err != nil || len(apps) != 0 {
		t.Fatalf("%+v %v", apps, err)
	}
}
