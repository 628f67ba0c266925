package passkey_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/store/storetest"

	"github.com/descope/virtualwebauthn"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/passkey"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

const (
	origin   = "https://id.example.com"
	host     = "id.example.com"
	password = "Lantern 9 under the bridge"

	coseKeySize = 77 // bytes of a key on P-256
)

// site is a sign-in with passkeys over SQLite, with one user.
type site struct {
	testing.TB
	db    *store.DB
	login *login.Server
	now   time.Time
	ada   *identity.User
	keys  *secret.Keys
	cfg   login.Config
}

func newSite(t testing.TB, change ...func(*login.Config, *passkey.Config)) *site {
	t.Helper()
	db := storetest.Memory(t)
	keys, err := secret.NewKeys([]byte(strings.Repeat("s", secret.MinMaster)))
	testkit.Must(t, err)
	cfg := login.Config{
		Methods:    []string{"password", "passkey"},
		AppName:    "Example",
		Mail:       true,
		BaseURL:    origin,
		SessionTTL: 24 * time.Hour, Idle: time.Hour,
		LockThreshold: 3, LockDuration: time.Hour, AutoUnlock: true,
	}
	rules := passkey.Config{Name: "Example", Origin: origin}
	for _, f := range change {
		f(&cfg, &rules)
	}
	rp, err := passkey.New(rules)
	testkit.Must(t, err)
	cfg.Passkeys = rp
	passwords := secret.NewPasswords(1, 8)
	s := &site{TB: t, db: db, now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC), keys: keys, cfg: cfg}
	s.login = login.New(cfg, db, keys, passwords)
	hash, err := passwords.Hash(t.Context(), password)
	testkit.Must(t, err)
	s.ada = s.user("ada", hash)
	return s
}

func (s *site) user(name, hash string) *identity.User {
	s.Helper()
	u := &identity.User{
		ID:                identity.UserID(secret.NewID(s.now)),
		Email:             name + "@example.com",
		Name:              name,
		PasswordHash:      hash,
		PasswordChangedAt: s.now.Add(-time.Hour),
		CreatedAt:         s.now.Add(-time.Hour),
		UpdatedAt:         s.now.Add(-time.Hour),
	}
	testkit.Must(s, s.db.CreateUser(s.Context(), u))
	return u
}

func (s *site) visit() login.Visit {
	return login.Visit{IP: "203.0.113.7", Agent: "Firefox", RequestID: "r", Now: s.now}
}

// device is an authenticator with one key.
type device struct {
	rp   virtualwebauthn.RelyingParty
	auth virtualwebauthn.Authenticator
	cred virtualwebauthn.Credential
}

// newDevice returns an authenticator that verifies people, or one whose options are changed.
func newDevice(change ...func(*virtualwebauthn.AuthenticatorOptions)) *device {
	var o virtualwebauthn.AuthenticatorOptions
	for _, f := range change {
		f(&o)
	}
	d := &device{
		rp:   virtualwebauthn.RelyingParty{Name: "Example", ID: host, Origin: origin},
		auth: virtualwebauthn.NewAuthenticatorWithOptions(o),
		cred: virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2),
	}
	for len(d.cred.Key.AttestationData()) != coseKeySize { // it leaves out zeros at the beginning of a number
		d.cred = virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
	}
	d.auth.AddCredential(d.cred)
	return d
}

func synced(o *virtualwebauthn.AuthenticatorOptions)     { o.BackupEligible, o.BackupState = true, true }
func unverified(o *virtualwebauthn.AuthenticatorOptions) { o.UserNotVerified = true }

// make answers options to make a passkey, and keeps the handle like a discoverable one.
func (d *device) make(t testing.TB, options string) string {
	t.Helper()
	o, err := virtualwebauthn.ParseAttestationOptions(options)
	testkit.Must(t, err)
	d.auth.Options.UserHandle = []byte(o.UserID)
	return virtualwebauthn.CreateAttestationResponse(d.rp, d.auth, d.cred, *o)
}

// answer answers options that ask for a passkey.
func (d *device) answer(t testing.TB, options string) string {
	t.Helper()
	o, err := virtualwebauthn.ParseAssertionOptions(options)
	testkit.Must(t, err)
	return virtualwebauthn.CreateAssertionResponse(d.rp, d.auth, d.cred, *o)
}

// add makes a passkey of a user.
func (s *site) add(u *identity.User, d *device) error {
	s.Helper()
	e, err := s.login.Enroll(s.Context(), s.visit(), u, "passkey", "")
	testkit.Must(s, err)
	_, err = s.login.ConfirmEnrollment(s.Context(), s.visit(), u, "passkey", url.Values{
		"passkey": {d.make(s.TB, e.Options)}, "enrollment": {e.Token},
	})
	return err
}

func (s *site) mustAdd(u *identity.User, d *device) {
	s.Helper()
	s.now = s.now.Add(time.Second) // passkeys are listed in the order of their creation
	testkit.Must(s, s.add(u, d))
}

// open opens the sign-in page.
func (s *site) open() *login.Opening {
	s.Helper()
	o, err := s.login.Open(s.Context(), s.visit(), "passkey", "")
	testkit.Must(s, err)
	return o
}

// signIn answers a sign-in page.
func (s *site) signIn(o *login.Opening, answer string) (login.Step, error) {
	s.Helper()
	return s.login.SignIn(s.Context(), s.visit(), login.Attempt{
		Kind: "passkey", Token: o.Token, Input: url.Values{"passkey": {answer}},
	})
}

// use signs in with a device.
func (s *site) use(d *device) (login.Step, error) {
	s.Helper()
	o := s.open()
	return s.signIn(o, d.answer(s.TB, o.Challenge.Options))
}

func (s *site) wantDone(st login.Step, err error) *login.Done {
	s.Helper()
	testkit.Must(s, err)
	if st.Done == nil {
		s.Fatalf("the sign-in waits for %s", st.Next)
	}
	return st.Done
}

func (s *site) wantDenied(err error, reason string) {
	s.Helper()
	if !fault.Is(err, fault.Denied) || fault.Reason(err) != reason {
		s.Fatalf("got %v (%s), want %s", err, fault.Reason(err), reason)
	}
}

func (s *site) password() (login.Step, error) {
	return s.login.Password(s.Context(), s.visit(), login.Attempt{Username: "ada@example.com", Password: password})
}

func (s *site) events(kind audit.Type) []audit.Event {
	s.Helper()
	evs, err := s.db.ListAudit(s.Context(), store.AuditQuery{Type: kind})
	testkit.Must(s, err)
	return evs
}

// A synced passkey and one that stays in its device sign in, again and again: what they said at
// registration is stored whole. They count as two factors.
func TestSignIn(t *testing.T) {
	s := newSite(t)
	for method, d := range map[string]*device{"hwk": newDevice(), "swk": newDevice(synced)} {
		s.mustAdd(s.ada, d)
		for range 2 {
			s.now = s.now.Add(time.Minute)
			done := s.wantDone(s.use(d))
			amr := done.Session.AMR
			slices.Sort(amr)
			testkit.Equal(t, "amr", strings.Join(amr, " "), strings.Join(sorted(method, "mfa", "user"), " "))
			testkit.Equal(t, "acr", done.Session.ACR, identity.ACR2)
			testkit.Equal(t, "user", done.User.ID, s.ada.ID)
		}
	}
	all, err := s.login.Passkeys(t.Context(), s.ada.ID)
	testkit.Must(t, err)
	for _, p := range all {
		if !p.LastUsedAt.After(p.CreatedAt) || !p.Verifies {
			t.Errorf("passkey %+v", p)
		}
	}
}

func sorted(words ...string) []string { slices.Sort(words); return words }

// Two pages each have a challenge of their own: the older one still works, an answer works once,
// and a page that was open for too long needs another challenge.
func TestChallenges(t *testing.T) {
	s, d := newSite(t), newDevice()
	s.mustAdd(s.ada, d)
	older, newer := s.open(), s.open()
	answer := d.answer(t, older.Challenge.Options)
	s.wantDone(s.signIn(older, answer))
	_, err := s.signIn(older, answer)
	s.wantDenied(err, audit.ReasonReplayedPasskey)
	_, err = s.signIn(newer, answer) // to the question of another page
	s.wantDenied(err, audit.ReasonWrongPasskey)
	s.wantDone(s.signIn(newer, d.answer(t, newer.Challenge.Options)))

	old := s.open()
	s.now = s.now.Add(2 * time.Hour)
	_, err = s.signIn(old, d.answer(t, old.Challenge.Options))
	if !fault.Is(err, fault.Consumed) {
		t.Fatalf("an old page: %v", err)
	}
	s.wantDone(s.use(d))
}

// An enrollment ends, too, and its answer works once even if the passkey was removed meanwhile.
func TestEnrollmentEnds(t *testing.T) {
	s, d := newSite(t), newDevice()
	e, err := s.login.Enroll(t.Context(), s.visit(), s.ada, "passkey", "")
	testkit.Must(t, err)
	in := url.Values{"passkey": {d.make(t, e.Options)}, "enrollment": {e.Token}}
	later := s.visit()
	later.Now = s.now.Add(11 * time.Minute)
	_, err = s.login.ConfirmEnrollment(t.Context(), later, s.ada, "passkey", in)
	if !fault.Is(err, fault.Consumed) {
		t.Fatalf("after eleven minutes: %v", err)
	}
	_, err = s.login.ConfirmEnrollment(t.Context(), s.visit(), s.ada, "passkey", in)
	testkit.Must(t, err)
	testkit.Must(t, s.remove(0))
	_, err = s.login.ConfirmEnrollment(t.Context(), s.visit(), s.ada, "passkey", in)
	if !fault.Is(err, fault.Denied) {
		t.Fatalf("a second time: %v", err)
	}
}

func (s *site) remove(i int) error {
	s.Helper()
	all, err := s.login.Passkeys(s.Context(), s.ada.ID)
	testkit.Must(s, err)
	return s.login.RemovePasskey(s.Context(), s.visit(), s.ada, all[i].ID)
}

// What does not come from our pages, from the account's authenticator or from this ceremony is
// refused.
func TestDenials(t *testing.T) {
	s, d, other := newSite(t), newDevice(), newDevice()
	s.mustAdd(s.ada, d)
	s.mustAdd(s.user("eve", ""), other)
	for name, change := range map[string]func(*device){
		"another origin":       func(d *device) { d.rp.Origin = "https://id.example.com.evil.test" },
		"another port":         func(d *device) { d.rp.Origin = origin + ":8443" },
		"without TLS":          func(d *device) { d.rp.Origin = "http://" + host },
		"another server":       func(d *device) { d.rp.ID = "example.com" },
		"another handle":       func(d *device) { d.auth.Options.UserHandle = other.auth.Options.UserHandle },
		"no handle":            func(d *device) { d.auth.Options.UserHandle = nil },
		"another key":          func(d *device) { d.cred.Key = other.cred.Key },
		"nobody present":       func(d *device) { d.auth.Options.UserNotPresent = true },
		"eligible for backup":  func(d *device) { synced(&d.auth.Options) },
		"backed up, but never": func(d *device) { d.auth.Options.BackupState = true },
	} {
		wrong := *d
		change(&wrong)
		if _, err := s.use(&wrong); !fault.Is(err, fault.Denied) || fault.Reason(err) != audit.ReasonWrongPasskey {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, answer := range map[string]string{
		"nothing": "", "no JSON": "x", "no answer": "{}", "too long": strings.Repeat("x", 20<<10),
		"another type": strings.Replace(d.answer(t, s.open().Challenge.Options), "public-key", "password", 1),
	} {
		if _, err := s.signIn(s.open(), answer); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := s.signIn(&login.Opening{Token: "made up"}, d.answer(t, s.open().Challenge.Options))
	if !fault.Is(err, fault.Consumed) {
		t.Errorf("a page that is not ours: %v", err)
	}
	if failed := s.events(audit.LoginFailed); len(failed) == 0 {
		t.Error("the failures are not recorded")
	}
	s.wantDone(s.use(d))
}

// A passkey that did not verify the person is refused as the only factor, with a sentence; it is
// accepted after the password.
func TestUserVerification(t *testing.T) {
	s, d := newSite(t), newDevice(unverified)
	s.mustAdd(s.ada, d)
	_, err := s.use(d)
	s.wantDenied(err, audit.ReasonUnverifiedPasskey)
	if !strings.Contains(fault.Text(err), "fingerprint, face or PIN") {
		t.Errorf("says %q", fault.Text(err))
	}
	st, err := s.password() // it can be a second step only, so it is one
	testkit.Must(t, err)
	testkit.Equal(t, "step", st.Next+" "+st.Kind, "factor passkey")
	c := s.challenge(st)
	if !strings.Contains(c.Options, `"userVerification":"discouraged"`) || !strings.Contains(c.Options, "allowCredentials") {
		t.Errorf("asks with %s", c.Options)
	}
	done := s.wantDone(s.login.Continue(t.Context(), s.visit(), st.Pending, login.StepFactor,
		url.Values{"passkey": {d.answer(t, c.Options)}}))
	testkit.Equal(t, "methods", strings.Join(done.Session.AMR, " "), "pwd user hwk mfa")

	if o := s.open(); !strings.Contains(o.Challenge.Options, `"userVerification":"required"`) {
		t.Errorf("the sign-in page asks with %s", o.Challenge.Options)
	}
}

func (s *site) challenge(st login.Step) login.Challenge {
	s.Helper()
	p, err := s.login.Pending(s.Context(), s.visit(), st.Pending)
	testkit.Must(s, err)
	c, err := s.login.Challenge(s.Context(), s.visit(), p)
	testkit.Must(s, err)
	return c
}

// One passkey alone is two factors only if it verified the person: a session that it opened is not
// raised by presence.
func TestStepUp(t *testing.T) {
	s, d := newSite(t), newDevice()
	s.mustAdd(s.ada, d)
	done := s.wantDone(s.use(d))
	st, err := s.login.BeginStepUp(t.Context(), s.visit(), done.Cookie, identity.ACR2)
	testkit.Must(t, err)
	testkit.Equal(t, "step", st.Kind, "passkey")
	c := s.challenge(st)
	if !strings.Contains(c.Options, `"userVerification":"required"`) {
		t.Errorf("asks with %s", c.Options)
	}
	touch := *d
	unverified(&touch.auth.Options)
	_, err = s.login.Continue(t.Context(), s.visit(), st.Pending, login.StepFactor,
		url.Values{"passkey": {touch.answer(t, c.Options)}})
	s.wantDenied(err, audit.ReasonUnverifiedPasskey)
	raised := s.wantDone(s.login.Continue(t.Context(), s.visit(), st.Pending, login.StepFactor,
		url.Values{"passkey": {d.answer(t, c.Options)}}))
	testkit.Equal(t, "class", raised.Session.ACR, identity.ACR2)

	// After the password, a request for two factors asks for the passkey that there is.
	st, err = s.login.Password(t.Context(), s.visit(), login.Attempt{
		Username: "ada@example.com", Password: password, NeedACR: identity.ACR2,
	})
	testkit.Must(t, err)
	testkit.Equal(t, "step", st.Kind, "passkey")
	if st, err = s.password(); err != nil || st.Done == nil || st.Done.Session.ACR != identity.ACR1 {
		t.Errorf("a passkey makes the password depend on it: %+v, %v", st, err)
	}
}

// A counter that went back is logged for a synced passkey, and refused for one that stays in its
// device: there is a copy of it.
func TestCounters(t *testing.T) {
	s, d := newSite(t), newDevice()
	d.cred.Counter = 7
	s.mustAdd(s.ada, d)
	d.cred.Counter = 9
	s.wantDone(s.use(d))
	for _, count := range []uint32{9, 8, 0} {
		d.cred.Counter = count
		_, err := s.use(d)
		s.wantDenied(err, audit.ReasonClonedPasskey)
	}
	d.cred.Counter = 10
	s.wantDone(s.use(d))

	cloud := newDevice(synced)
	cloud.cred.Counter = 5
	s.mustAdd(s.ada, cloud)
	cloud.cred.Counter = 3
	s.wantDone(s.use(cloud))
	evs := s.events(audit.PasskeyRolledBack)
	testkit.Equal(t, "events", len(evs), 1)
	testkit.Equal(t, "account", evs[0].User, string(s.ada.ID))
}

// The device is told to forget a passkey only if it is certain that nobody has it.
func TestUnknownPasskeys(t *testing.T) {
	s, d := newSite(t), newDevice()
	s.mustAdd(s.ada, d)
	testkit.Must(t, s.db.SetUserDisabled(t.Context(), s.ada.ID, true, s.now))
	_, err := s.use(d)
	if !fault.Is(err, fault.Denied) || fault.Reason(err) == audit.ReasonUnknownPasskey {
		t.Errorf("a disabled account: %v", err)
	}
	stranger := newDevice()
	stranger.auth.Options.UserHandle = d.auth.Options.UserHandle
	_, err = s.use(stranger)
	s.wantDenied(err, audit.ReasonUnknownPasskey)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := s.open()
	_, err = s.login.SignIn(ctx, s.visit(), login.Attempt{
		Kind: "passkey", Token: o.Token, Input: url.Values{"passkey": {d.answer(t, o.Challenge.Options)}},
	})
	if err == nil || fault.Reason(err) == audit.ReasonUnknownPasskey {
		t.Errorf("a database that does not answer: %v", err)
	}
}

// Handles are random and stay; options name nobody; what exists is excluded.
func TestOptions(t *testing.T) {
	s, d := newSite(t), newDevice()
	type options struct {
		User                   struct{ ID, Name, DisplayName string }
		ExcludeCredentials     []struct{ ID string }
		Attestation            string
		AuthenticatorSelection struct{ ResidentKey, UserVerification string }
	}
	read := func(u *identity.User) (o options) {
		e, err := s.login.Enroll(t.Context(), s.visit(), u, "passkey", "")
		testkit.Must(t, err)
		testkit.Must(t, json.Unmarshal([]byte(e.Options), &o))
		return o
	}
	first, eve := read(s.ada), read(s.user("eve", ""))
	handle, err := base64.RawURLEncoding.DecodeString(first.User.ID)
	testkit.Must(t, err)
	if len(handle) != 64 || first.User.ID == eve.User.ID || bytes.Contains(handle, []byte(s.ada.ID)) ||
		bytes.Contains(handle, []byte("ada")) {
		t.Errorf("handle %x", handle)
	}
	testkit.Equal(t, "attestation", first.Attestation, "none")
	testkit.Equal(t, "discoverable", first.AuthenticatorSelection.ResidentKey, "required")
	s.mustAdd(s.ada, d)
	changed := *s.ada
	changed.Email, changed.Name = "countess@example.com", "Countess"
	second := read(&changed)
	testkit.Equal(t, "handle after a change", second.User.ID, first.User.ID)
	testkit.Equal(t, "excluded", len(second.ExcludeCredentials), 1)
	testkit.Equal(t, "excluded", second.ExcludeCredentials[0].ID, base64.RawURLEncoding.EncodeToString(d.cred.ID))
	if err := s.add(s.ada, d); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "already has a passkey") {
		t.Errorf("the same authenticator twice: %v", err)
	}

	shapes := map[string]bool{}
	for _, name := range []string{"", "ada@example.com", "nobody@example.com"} {
		o, err := s.login.Open(t.Context(), s.visit(), "passkey", name)
		testkit.Must(t, err)
		var fields map[string]any
		testkit.Must(t, json.Unmarshal([]byte(o.Challenge.Options), &fields))
		fields["challenge"] = len(fields["challenge"].(string))
		text, err := json.Marshal(fields)
		testkit.Must(t, err)
		shapes[string(text)] = true
	}
	testkit.Equal(t, "shapes of the options of a sign-in", len(shapes), 1)
}

// A lock is against guessing: it does not stop a passkey, whose failures do not count, and
// whose success does not end the lock for others.
func TestLocks(t *testing.T) {
	s, d := newSite(t), newDevice()
	s.mustAdd(s.ada, d)
	wrong := *d
	wrong.cred.Key = newDevice().cred.Key
	for range 5 {
		_, err := s.use(&wrong)
		s.wantDenied(err, audit.ReasonWrongPasskey)
	}
	l, err := s.login.LockOf(t.Context(), s.visit(), s.ada.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "failures", l.Failures, 0)
	for range 3 {
		_, err := s.login.Password(t.Context(), s.visit(), login.Attempt{Username: "ada@example.com", Password: "wrong"})
		if err == nil {
			t.Fatal("a wrong password works")
		}
	}
	s.wantDone(s.use(d))
	if _, err := s.password(); !fault.Is(err, fault.Limited) {
		t.Errorf("the lock ended: %v", err)
	}
}

// The last way in stays, and so does the last second step where one is required.
func TestRemoval(t *testing.T) {
	s := newSite(t)
	one, two := newDevice(), newDevice(synced)
	s.ada = s.user("grace", "")
	s.mustAdd(s.ada, one)
	if err := s.remove(0); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "only way") {
		t.Fatalf("the only way in: %v", err)
	}
	s.mustAdd(s.ada, newDevice(unverified)) // it does not sign in alone
	if err := s.remove(0); !fault.Is(err, fault.Conflict) {
		t.Fatalf("the only way in beside a key: %v", err)
	}
	s.mustAdd(s.ada, two)
	testkit.Must(t, s.remove(0))
	if _, err := s.use(one); fault.Reason(err) != audit.ReasonUnknownPasskey {
		t.Errorf("a removed passkey: %v", err)
	}
	removed, added := s.events(audit.PasskeyRemoved), s.events(audit.PasskeyAdded)
	testkit.Equal(t, "events of removal", len(removed), 1)
	testkit.Equal(t, "events of adding", len(added), 3)
	mails := map[string]int{}
	queued, err := s.db.ListDeliveries(t.Context(), outbox.Query{Limit: 20})
	testkit.Must(t, err)
	for _, d := range queued {
		mails[d.About]++
	}
	testkit.Equal(t, "notices", mails, map[string]int{outbox.MessagePasskeyAdded: 3, outbox.MessagePasskeyRemoved: 1})
}

// A passkey is a fresh proof of its own account only, and only if it verified the person.
func TestFreshProof(t *testing.T) {
	s, d, foreign := newSite(t), newDevice(), newDevice()
	eve := s.user("eve", "")
	s.mustAdd(s.ada, d)
	s.mustAdd(eve, foreign)
	o, err := s.login.OpenProof(t.Context(), s.visit(), s.ada)
	testkit.Must(t, err)
	in := func(d *device) url.Values {
		return url.Values{"passkey": {d.answer(t, o.Challenge.Options)}, "passkey_token": {o.Token}}
	}
	s.wantDenied(s.login.ProveFresh(t.Context(), s.visit(), s.ada, in(foreign)), audit.ReasonWrongPasskey)
	touch := *d
	unverified(&touch.auth.Options)
	s.wantDenied(s.login.ProveFresh(t.Context(), s.visit(), s.ada, in(&touch)), audit.ReasonUnverifiedPasskey)
	if err := s.login.ProveFresh(t.Context(), s.visit(), eve, in(foreign)); !fault.Is(err, fault.Consumed) {
		t.Errorf("another person's page: %v", err)
	}
	used := in(d)
	testkit.Must(t, s.login.ProveFresh(t.Context(), s.visit(), s.ada, used))
	s.wantDenied(s.login.ProveFresh(t.Context(), s.visit(), s.ada, used), audit.ReasonReplayedPasskey)
}

// A list of models accepts those alone.
func TestModels(t *testing.T) {
	d := newDevice()
	model := "ea9b8d66-4d01-1d21-3ce4-b6b48cb575d4"
	s := newSite(t, func(_ *login.Config, c *passkey.Config) { c.Direct, c.AAGUIDs = true, []string{model} })
	if err := s.add(s.ada, d); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "administrator") {
		t.Errorf("another model: %v", err)
	}
	d.auth.Aaguid = [16]byte{0xea, 0x9b, 0x8d, 0x66, 0x4d, 0x01, 0x1d, 0x21, 0x3c, 0xe4, 0xb6, 0xb4, 0x8c, 0xb5, 0x75, 0xd4}
	s.mustAdd(s.ada, d)
	all, err := s.login.Passkeys(t.Context(), s.ada.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "name", all[0].Name, "Google Password Manager")
}

// A server at an address has no passkeys.
func TestAddressesHaveNone(t *testing.T) {
	for _, at := range []string{"http://127.0.0.1:8080", "http://[::1]:8080", "https://192.0.2.7"} {
		if _, err := passkey.New(passkey.Config{Name: "x", Origin: at}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", at, err)
		}
	}
	rp, err := passkey.New(passkey.Config{Name: "x", Origin: "http://localhost:8080"})
	testkit.Must(t, err)
	testkit.Equal(t, "id", rp.ID(), "localhost")
}
