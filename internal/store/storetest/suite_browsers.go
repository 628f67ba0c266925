package storetest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func browserCases() []testCase {
	return []testCase{
		{"Trusted browsers", (*suite).trust},
		{"Trust ends with the credentials", (*suite).trustEnds},
		{"Recoveries", (*suite).recoveries},
		{"Recoveries complete once", (*suite).finishRecovery},
		{"Passkeys are replaced once", (*suite).finishReplacement},
		{"Recoveries end", (*suite).endRecovery},
		{"Recoveries are asked for again", (*suite).repeatRecovery},
		{"Recoveries end with an address", (*suite).endRecoveryOfAddress},
		{"Recoveries begin for an address that the account has", (*suite).putRecoveryForAddress},
	}
}

func (s *suite) trustedBrowser(u *identity.User, at time.Time) *login.TrustedBrowser {
	return &login.TrustedBrowser{
		ID:         secret.NewID(at),
		User:       u.ID,
		State:      "state",
		IP:         "192.0.2.7",
		Agent:      "Browser/2",
		CreatedAt:  at,
		LastUsedAt: at,
		ExpiresAt:  at.Add(time.Hour),
	}
}

func (s *suite) trust(t *testing.T) {
	ctx, u, other := t.Context(), s.user(t), s.user(t)
	b := s.trustedBrowser(u, s.now)
	ev := audit.Event{At: s.now, Type: audit.BrowserTrusted, User: string(u.ID)}
	testkit.Must(t, s.db.PutTrustedBrowser(ctx, b, 2, ev))
	got, err := s.db.TrustedBrowser(ctx, u.ID, b.ID, s.now)
	testkit.Must(t, err)
	if d := cmp.Diff(b, got); d != "" {
		t.Fatal(d)
	}
	_, err = s.db.TrustedBrowser(ctx, other.ID, b.ID, s.now)
	want(t, err, fault.NotFound)
	_, err = s.db.TrustedBrowser(ctx, u.ID, b.ID, s.now.Add(time.Hour))
	want(t, err, fault.NotFound)
	n, err := s.db.CountAudit(ctx, store.AuditQuery{Type: audit.BrowserTrusted, User: string(u.ID)})
	testkit.Must(t, err)
	testkit.Equal(t, "events", n, 1)

	testkit.Must(t, s.db.TouchTrustedBrowser(ctx, b.ID, s.now.Add(time.Minute), "192.0.2.8", "Browser/3"))
	got, err = s.db.TrustedBrowser(ctx, u.ID, b.ID, s.now)
	testkit.Must(t, err)
	testkit.Equal(t, "address", got.IP, "192.0.2.8")
	testkit.Equal(t, "use", got.LastUsedAt, s.now.Add(time.Minute))

	// The same browser again takes its own place; of others, the oldest goes.
	again := *b
	again.CreatedAt, again.ExpiresAt = s.now.Add(time.Minute), s.now.Add(2*time.Hour)
	testkit.Must(t, s.db.PutTrustedBrowser(ctx, &again, 2))
	second, third := s.trustedBrowser(u, s.now.Add(2*time.Minute)), s.trustedBrowser(u, s.now.Add(3*time.Minute))
	testkit.Must(t, s.db.PutTrustedBrowser(ctx, second, 2))
	testkit.Must(t, s.db.PutTrustedBrowser(ctx, third, 2))
	all, err := s.db.TrustedBrowsers(ctx, u.ID, s.now)
	testkit.Must(t, err)
	if len(all) != 2 || all[0].ID != third.ID || all[1].ID != second.ID {
		t.Fatalf("%+v", all)
	}
	want(t, s.db.DeleteTrustedBrowser(ctx, other.ID, third.ID), fault.NotFound)
	testkit.Must(t, s.db.DeleteTrustedBrowsers(ctx, u.ID, third.ID))
	testkit.Must(t, s.db.DeleteTrustedBrowser(ctx, u.ID, third.ID))
	want(t, s.db.DeleteTrustedBrowser(ctx, u.ID, third.ID), fault.NotFound)
	all, err = s.db.TrustedBrowsers(ctx, u.ID, s.now)
	testkit.Must(t, err)
	testkit.Equal(t, "browsers", len(all), 0)
}

// Every change of what protects an account ends the trust in its browsers, and of no other's.
func (s *suite) trustEnds(t *testing.T) {
	ctx := t.Context()
	for name, change := range map[string]func(u *identity.User) error{
		"password": func(u *identity.User) error { return s.db.SetPassword(ctx, u.ID, "hash", 1, s.now) },
		"factor": func(u *identity.User) error {
			c := &identity.Credential{ID: identity.CredentialID(s.name("c")), User: u.ID, Kind: "totp", CreatedAt: s.now}
			testkit.Must(t, s.db.PutCredential(ctx, c))
			return s.db.ConfirmCredential(ctx, c.ID, 1, s.now)
		},
		"factor removed": func(u *identity.User) error { return s.db.DeleteCredentials(ctx, u.ID, "totp") },
		"passkey removed": func(u *identity.User) error {
			c := &identity.Credential{ID: identity.CredentialID(s.name("c")), User: u.ID, Kind: "passkey", CreatedAt: s.now}
			testkit.Must(t, s.db.PutCredential(ctx, c))
			return s.db.DeleteCredential(ctx, u.ID, c.ID, "")
		},
		"reset": func(u *identity.User) error {
			testkit.Must(t, s.db.PutBackupCodes(ctx, u.ID, []secret.Hash{"h"}, s.now))
			return s.db.ResetSecondFactors(ctx, u.ID, s.now, true)
		},
		"deletion": func(u *identity.User) error { return s.db.DeleteUser(ctx, u.ID, s.now) },
	} {
		u, other := s.user(t), s.user(t)
		testkit.Must(t, s.db.PutTrustedBrowser(ctx, s.trustedBrowser(u, s.now), 9))
		testkit.Must(t, s.db.PutTrustedBrowser(ctx, s.trustedBrowser(other, s.now), 9))
		testkit.Must(t, change(u))
		all, err := s.db.TrustedBrowsers(ctx, u.ID, s.now)
		testkit.Must(t, err)
		testkit.Equal(t, name, len(all), 0)
		all, err = s.db.TrustedBrowsers(ctx, other.ID, s.now)
		testkit.Must(t, err)
		testkit.Equal(t, name+" of another", len(all), 1)
	}
}

func (s *suite) recovery(u *identity.User) *login.Recovery {
	return &login.Recovery{
		ID:        secret.NewID(s.now),
		User:      u.ID,
		State:     "state",
		IP:        "192.0.2.7",
		Agent:     "Browser/2",
		CreatedAt: s.now,
		ExpiresAt: s.now.Add(time.Hour),
	}
}

// started stores a request that waits for a minute, and returns it with the hash of the link that
// refuses it.
func (s *suite) started(t *testing.T, u *identity.User) (*login.Recovery, secret.Hash) {
	t.Helper()
	r := s.recovery(u)
	start, stop := secret.Hash(s.name("start")), secret.Hash(s.name("stop"))
	testkit.Must(t, s.db.PutRecovery(t.Context(), r, u.Email, start))
	r.StartedAt, r.ReadyAt, r.ExpiresAt = s.now, s.now.Add(time.Minute), s.now.Add(2*time.Hour)
	testkit.Must(t, s.db.StartRecovery(t.Context(), r, start, stop))
	return r, stop
}

func (s *suite) recoveries(t *testing.T) {
	ctx, u := t.Context(), s.user(t)
	_, err := s.db.Recovery(ctx, u.ID, s.now)
	want(t, err, fault.NotFound)
	_, err = s.db.RecoveryByLink(ctx, login.RecoveryStart, "", s.now)
	want(t, err, fault.NotFound)
	again := s.recovery(u)
	start, stop := secret.Hash(s.name("start")), secret.Hash(s.name("stop"))
	testkit.Must(t, s.db.PutRecovery(ctx, again, u.Email, start))
	got, err := s.db.RecoveryByLink(ctx, login.RecoveryStart, start, s.now)
	testkit.Must(t, err)
	if d := cmp.Diff(again, got); d != "" {
		t.Fatal(d)
	}
	_, err = s.db.RecoveryByLink(ctx, login.RecoveryStop, start, s.now)
	want(t, err, fault.NotFound)
	_, err = s.db.RecoveryByLink(ctx, login.RecoveryStart, start, s.now.Add(time.Hour))
	want(t, err, fault.NotFound)
	want(t, s.db.EndRecovery(ctx, again.ID), fault.NotFound) // it does not wait yet
	want(t, s.db.EndUserRecovery(ctx, u.ID, again.ExpiresAt), fault.NotFound)

	waiting := *again
	waiting.StartedAt, waiting.ReadyAt, waiting.ExpiresAt = s.now, s.now.Add(time.Minute), s.now.Add(time.Hour)
	want(t, s.db.StartRecovery(ctx, &waiting, "other", stop), fault.Consumed)
	s.onlyOne(t, func() error { return s.db.StartRecovery(ctx, &waiting, start, stop) })
	got, err = s.db.RecoveryByLink(ctx, login.RecoveryStop, stop, s.now)
	testkit.Must(t, err)
	if d := cmp.Diff(&waiting, got); d != "" {
		t.Fatal(d)
	}
	want(t, s.db.PutRecovery(ctx, s.recovery(u), u.Email, "late"), fault.Conflict)
	want(t, s.db.PutRecovery(ctx, again, u.Email, start), fault.Conflict) // it has started
	changed := s.recovery(u)
	changed.State = "another"
	testkit.Must(t, s.db.PutRecovery(ctx, changed, u.Email, "changed"))
	got, err = s.db.Recovery(ctx, u.ID, s.now)
	testkit.Must(t, err)
	testkit.Equal(t, "request", got.ID, changed.ID)
	if !got.StartedAt.IsZero() || !got.ReadyAt.IsZero() {
		t.Errorf("the new request has started: %+v", got)
	}
	other := s.user(t)
	waits, _ := s.started(t, other)
	s.onlyOne(t, func() error { return s.db.EndUserRecovery(ctx, u.ID, s.now) })
	_, err = s.db.Recovery(ctx, u.ID, s.now)
	want(t, err, fault.NotFound)
	got, err = s.db.Recovery(ctx, other.ID, s.now)
	testkit.Must(t, err)
	testkit.Equal(t, "the request of another person", got.ID, waits.ID)
}

// onlyOne makes many calls at once, of which one succeeds and the others are Consumed or NotFound.
func (s *suite) onlyOne(t *testing.T, call func() error) {
	t.Helper()
	var wg sync.WaitGroup
	var won atomic.Int64
	for range racers {
		wg.Go(func() {
			err := call()
			switch {
			case err == nil:
				won.Add(1)
			case !fault.Is(err, fault.Consumed) && !fault.Is(err, fault.NotFound):
				t.Errorf("%v", err)
			}
		})
	}
	wg.Wait()
	testkit.Equal(t, "winners", won.Load(), 1)
}

func (s *suite) finishRecovery(t *testing.T) {
	ctx, u := t.Context(), s.user(t)
	c := &identity.Credential{ID: identity.CredentialID(s.name("c")), User: u.ID, Kind: "totp", CreatedAt: s.now}
	testkit.Must(t, s.db.PutCredential(ctx, c))
	testkit.Must(t, s.db.ConfirmCredential(ctx, c.ID, 1, s.now))
	testkit.Must(t, s.db.PutBackupCodes(ctx, u.ID, []secret.Hash{"h"}, s.now))
	testkit.Must(t, s.db.PutTrustedBrowser(ctx, s.trustedBrowser(u, s.now), 9))
	sess := s.session(t, u)
	r, _ := s.started(t, u)
	finish, later := secret.Hash(s.name("finish")), s.now.Add(time.Minute)
	want(t, s.db.OfferRecovery(ctx, r.ID, finish, s.now, false), fault.NotFound) // too early
	testkit.Must(t, s.db.OfferRecovery(ctx, r.ID, finish, later, false))
	want(t, s.db.OfferRecovery(ctx, r.ID, finish, later, false), fault.NotFound)
	testkit.Must(t, s.db.OfferRecovery(ctx, r.ID, finish, later, true)) // asked for again

	proved := &identity.AccountState{PasswordChangedAt: u.PasswordChangedAt, Factors: []identity.CredentialID{c.ID}}
	complete := func(h secret.Hash, proved *identity.AccountState, at time.Time) error {
		return s.db.FinishRecovery(ctx, r, h, proved, at, true)
	}
	want(t, complete("another", proved, later), fault.Consumed)
	want(t, complete(finish, proved, s.now), fault.Consumed) // too early
	want(t, complete(finish, &identity.AccountState{PasswordChangedAt: u.PasswordChangedAt}, later), fault.Consumed)
	s.onlyOne(t, func() error { return complete(finish, proved, later) })

	creds, err := s.db.Credentials(ctx, u.ID)
	testkit.Must(t, err)
	left, err := s.db.BackupCodesLeft(ctx, u.ID)
	testkit.Must(t, err)
	trusted, err := s.db.TrustedBrowsers(ctx, u.ID, s.now)
	testkit.Must(t, err)
	testkit.Equal(t, "what is left", len(creds)+left+len(trusted), 0)
	_, err = s.db.Session(ctx, sess.ID, s.now)
	want(t, err, fault.NotFound)
}

// finishReplacement replaces the passkeys of an account whose state is as it was, once, and leaves
// its other factors.
func (s *suite) finishReplacement(t *testing.T) {
	ctx, u := t.Context(), s.user(t)
	app := &identity.Credential{
		ID: identity.CredentialID(s.name("c")), User: u.ID, Kind: "totp", CreatedAt: s.now, ConfirmedAt: s.now,
	}
	lost := &identity.Credential{
		ID: identity.CredentialID(s.name("c")), User: u.ID, Kind: "passkey",
		Lookup: secret.Hash(s.name("lookup")), CreatedAt: s.now, ConfirmedAt: s.now,
	}
	testkit.Must(t, s.db.PutCredential(ctx, app))
	testkit.Must(t, s.db.PutCredential(ctx, lost))
	sess := s.session(t, u)
	r, _ := s.started(t, u)
	finish, later := secret.Hash(s.name("finish")), s.now.Add(time.Minute)
	testkit.Must(t, s.db.OfferRecovery(ctx, r.ID, finish, later, false))
	proved := &identity.AccountState{
		PasswordChangedAt: u.PasswordChangedAt, Factors: []identity.CredentialID{app.ID, lost.ID},
	}
	complete := func(h secret.Hash, proved *identity.AccountState, at time.Time) error {
		return s.db.FinishReplacement(ctx, r, login.Replacement{Link: h, Proved: proved, First: &login.FirstPasskey{
			Handle: s.name("handle"),
			Credential: &identity.Credential{
				ID: identity.CredentialID(secret.NewID(s.now)), User: u.ID, Kind: "passkey",
				Lookup: secret.Hash(s.name("lookup")), CreatedAt: s.now, ConfirmedAt: s.now,
			},
		}}, at)
	}
	want(t, complete("another", proved, later), fault.Consumed)
	want(t, complete(finish, proved, s.now), fault.Consumed) // too early
	want(t, complete(finish, &identity.AccountState{PasswordChangedAt: u.PasswordChangedAt}, later), fault.Consumed)
	s.onlyOne(t, func() error { return complete(finish, proved, later) })

	creds, err := s.db.Credentials(ctx, u.ID)
	testkit.Must(t, err)
	kinds := map[string]int{}
	for _, c := range creds {
		kinds[c.Kind]++
		if c.ID == lost.ID {
			t.Error("the lost passkey is still there")
		}
	}
	testkit.Equal(t, "apps", kinds["totp"], 1)
	testkit.Equal(t, "passkeys", kinds["passkey"], 1)
	_, err = s.db.Session(ctx, sess.ID, s.now)
	want(t, err, fault.NotFound)
}

func (s *suite) endRecovery(t *testing.T) {
	ctx, u := t.Context(), s.user(t)
	r, stop := s.started(t, u)
	s.onlyOne(t, func() error { return s.db.EndRecovery(ctx, r.ID) })
	_, err := s.db.RecoveryByLink(ctx, login.RecoveryStop, stop, s.now)
	want(t, err, fault.NotFound)

	r, _ = s.started(t, u)
	testkit.Must(t, s.db.DeleteUser(ctx, u.ID, s.now))
	_, err = s.db.Recovery(ctx, r.User, s.now)
	want(t, err, fault.NotFound)
}

// repeatRecovery asks again for a request that has not started its wait: it lives longer and keeps
// its link, and no other request takes its place until it has expired.
func (s *suite) repeatRecovery(t *testing.T) {
	ctx, u := t.Context(), s.user(t)
	r, start := s.recovery(u), secret.Hash(s.name("start"))
	testkit.Must(t, s.db.PutRecovery(ctx, r, u.Email, start))
	want(t, s.db.PutRecovery(ctx, s.recovery(u), u.Email, "another"), fault.Conflict)
	again := *r
	again.IP, again.CreatedAt, again.ExpiresAt = "192.0.2.8", s.now.Add(time.Minute), r.ExpiresAt.Add(time.Minute)
	testkit.Must(t, s.db.PutRecovery(ctx, &again, u.Email, start))
	got, err := s.db.RecoveryByLink(ctx, login.RecoveryStart, start, r.ExpiresAt)
	testkit.Must(t, err)
	if d := cmp.Diff(&again, got); d != "" {
		t.Error(d)
	}
	late := s.recovery(u)
	late.CreatedAt, late.ExpiresAt = again.ExpiresAt, again.ExpiresAt.Add(time.Hour)
	testkit.Must(t, s.db.PutRecovery(ctx, late, u.Email, secret.Hash(s.name("start"))))
	_, err = s.db.RecoveryByLink(ctx, login.RecoveryStart, start, late.CreatedAt)
	want(t, err, fault.NotFound)
}

// further adds a further address to an account.
func (s *suite) further(t *testing.T, u *identity.User) string {
	t.Helper()
	c := s.confirmationOf(t, u, login.ConfirmAdd)
	testkit.Must(t, s.db.AddEmail(t.Context(), c.ID, 9, s.now))
	return c.Email
}

// confirmationOf stores an address of a user that waits for its proof.
func (s *suite) confirmationOf(t *testing.T, u *identity.User, kind string) *login.Confirmation {
	t.Helper()
	c := &login.Confirmation{
		ID: s.name("confirmation"), Kind: kind, User: u.ID, Email: s.name("f") + "@example.com",
		Token: secret.Hash(s.name("token")), CreatedAt: s.now, ExpiresAt: s.now.Add(time.Hour),
	}
	testkit.Must(t, s.db.PutConfirmation(t.Context(), c, 1e6, nil))
	return c
}

// putRecoveryForAddress makes a request for an address that the account has lost, and one for an
// address that it loses at the same moment: whichever comes first, the request is over.
func (s *suite) putRecoveryForAddress(t *testing.T) {
	ctx, u, other := t.Context(), s.user(t), s.user(t)
	ev := audit.Event{At: s.now, Type: audit.RecoveryRequested, User: string(u.ID)}
	for _, to := range []string{"", "nobody@example.com", other.Email} {
		want(t, s.db.PutRecovery(ctx, s.recovery(u), to, "start", ev), fault.NotFound)
	}
	n, err := s.db.CountAudit(ctx, store.AuditQuery{Type: audit.RecoveryRequested, User: string(u.ID)})
	testkit.Must(t, err)
	testkit.Equal(t, "events of requests that were refused", n, 0)

	updated := func(u *identity.User) error {
		next := *u
		next.Email, next.UpdatedAt = s.name("n")+"@example.com", s.now
		return s.db.UpdateUser(ctx, u, &next)
	}
	for name, lose := range map[string]func(*identity.User) (string, func() error){
		"removed": func(u *identity.User) (string, func() error) {
			to := s.further(t, u)
			return to, func() error { return s.db.RemoveEmail(ctx, u.ID, to) }
		},
		"changed": func(u *identity.User) (string, func() error) {
			c := s.confirmationOf(t, u, login.ConfirmChange)
			change := login.EmailChange{User: u.ID, Email: c.Email}
			return u.Email, func() error { return s.db.ChangeEmail(ctx, c.ID, change, s.now) }
		},
		"updated": func(u *identity.User) (string, func() error) {
			return u.Email, func() error { return updated(u) }
		},
	} {
		for range 8 {
			u := s.user(t)
			to, lost := lose(u)
			var wg sync.WaitGroup
			wg.Go(func() {
				err := s.db.PutRecovery(ctx, s.recovery(u), to, secret.Hash(s.name("start")))
				if err != nil && !fault.Is(err, fault.NotFound) {
					t.Errorf("%s: %v", name, err)
				}
			})
			wg.Go(func() {
				if err := lost(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
			wg.Wait()
			_, err := s.db.Recovery(ctx, u.ID, s.now)
			want(t, err, fault.NotFound)
		}
	}
}

// endRecoveryOfAddress changes addresses of accounts after the link that completes a request was
// mailed: it may be in the mailbox of the former address.
func (s *suite) endRecoveryOfAddress(t *testing.T) {
	ctx := t.Context()
	for name, change := range map[string]func(*identity.User) error{
		"primary": func(u *identity.User) error {
			return s.db.ChangeEmail(ctx, "", login.EmailChange{User: u.ID, Email: s.further(t, u)}, s.now)
		},
		"removed": func(u *identity.User) error { return s.db.RemoveEmail(ctx, u.ID, s.further(t, u)) },
		"updated": func(u *identity.User) error {
			next := *u
			next.Email, next.UpdatedAt = s.name("n")+"@example.com", s.now
			return s.db.UpdateUser(ctx, u, &next)
		},
	} {
		u := s.user(t)
		r, _ := s.started(t, u)
		finish, later := secret.Hash(s.name("finish")), s.now.Add(time.Minute)
		testkit.Must(t, s.db.OfferRecovery(ctx, r.ID, finish, later, false))
		if err := change(u); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, err := s.db.RecoveryByLink(ctx, login.RecoveryFinish, finish, later)
		want(t, err, fault.NotFound)
		proved := &identity.AccountState{PasswordChangedAt: u.PasswordChangedAt}
		want(t, s.db.FinishRecovery(ctx, r, finish, proved, later, true), fault.Consumed)
	}
}
