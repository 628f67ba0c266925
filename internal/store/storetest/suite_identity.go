package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func (s *suite) users(t *testing.T) {
	ctx := t.Context()
	u := s.user(t)
	got, err := s.db.User(ctx, u.ID)
	testkit.Must(t, err)
	if d := cmp.Diff(u, got); d != "" {
		t.Fatal("the user did not come back as stored:\n", d)
	}
	for _, ref := range []string{string(u.ID), u.Username, " " + u.Email, u.Email} {
		got, err := s.db.UserByRef(ctx, ref)
		testkit.Must(t, err)
		testkit.Equal(t, "user by "+ref, got.ID, u.ID)
	}
	_, err = s.db.UserByLogin(ctx, "nobody")
	want(t, err, fault.NotFound)
	_, err = s.db.UserByLogin(ctx, "")
	want(t, err, fault.NotFound)

	renamed := *u
	renamed.Name, renamed.Roles = "Ümit 100%_!", []string{identity.RoleSuperAdmin, "staff"}
	renamed.UpdatedAt = s.now.Add(time.Minute)
	testkit.Must(t, s.db.UpdateUser(ctx, u, &renamed))
	for _, search := range []string{"ümit", "UMI", "100%_!", " 100%", "10 üm"} {
		found, err := s.db.ListUsers(ctx, store.UserQuery{Search: search}, nil)
		testkit.Must(t, err)
		if found.Total != 1 || len(found.Items) != 1 || found.Items[0].ID != u.ID || !found.Items[0].Admin() {
			t.Fatalf("searching %q found %d users", search, found.Total)
		}
	}
	for _, search := range []string{"mit", "ümit nobody", "%", "'"} {
		if found, err := s.db.ListUsers(ctx, store.UserQuery{Search: search}, nil); err != nil || len(found.Items) != 0 {
			t.Fatalf("searching %q matched %d users (%v)", search, len(found.Items), err)
		}
	}
	n, err := s.db.CountAdmins(ctx)
	testkit.Must(t, err)
	testkit.Equal(t, "administrators", n, 1)
	want(t, s.db.UpdateUser(ctx, &identity.User{ID: "nobody"}, &identity.User{ID: "nobody", Name: "N"}), fault.NotFound)
	want(t, s.db.DeleteUser(ctx, "nobody", s.now), fault.NotFound)
	want(t, s.db.SetRoles(ctx, u.ID, []string{"b", "a", "b"}, s.now), fault.Conflict)
	other := s.user(t)
	testkit.Must(t, s.db.SetRoles(ctx, other.ID, []string{"b", "a", "b"}, s.now))
	got, err = s.db.User(ctx, other.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "roles", len(got.Roles), 2)
	want(t, s.db.SetRoles(ctx, u.ID, []string{"two words"}, s.now), fault.Invalid)
}

func (s *suite) uniqueNames(t *testing.T) {
	a, b := s.user(t), s.user(t)
	for field, change := range map[string]func(*identity.User){
		"email":    func(u *identity.User) { u.Email = "  " + a.Email },
		"username": func(u *identity.User) { u.Username = a.Username },
	} {
		other := *b
		change(&other)
		err := s.db.UpdateUser(t.Context(), b, &other)
		want(t, err, fault.Conflict)
		testkit.Equal(t, "field", fieldOf(err), field)
		other.ID = identity.UserID(secret.NewID(s.now))
		if field == "email" {
			other.Username = ""
		} else {
			other.Email = ""
		}
		err = s.db.CreateUser(t.Context(), &other)
		want(t, err, fault.Conflict)
		testkit.Equal(t, "field", fieldOf(err), field)
	}
	s.variantsOfNames(t)
	for range 2 { // empty names do not collide
		testkit.Must(t, s.db.CreateUser(t.Context(), &identity.User{ID: identity.UserID(secret.NewID(s.now)), CreatedAt: s.now}))
	}
}

// variantsOfNames checks that what people take for the name of an account makes no second one.
func (s *suite) variantsOfNames(t *testing.T) {
	ctx := t.Context()
	zoe := &identity.User{
		ID:        identity.UserID(secret.NewID(s.now)),
		Username:  "zoë",
		Email:     "zoë@example.org",
		CreatedAt: s.now,
	}
	testkit.Must(t, s.db.CreateUser(ctx, zoe))
	for field, variants := range map[string][]string{
		"username": {"ZOË", "zoe\u0308", "ｚｏë"},
		"email":    {"Zoe\u0308@example.org", "zoë@ｅxample.org", "zoë＠example.org"},
	} {
		for _, name := range variants {
			u := &identity.User{ID: identity.UserID(secret.NewID(s.now)), CreatedAt: s.now}
			if field == "email" {
				u.Email = name
			} else {
				u.Username = name
			}
			err := s.db.CreateUser(ctx, u)
			want(t, err, fault.Conflict)
			testkit.Equal(t, "field", fieldOf(err), field)
			found, err := s.db.UserByRef(ctx, name)
			testkit.Must(t, err)
			testkit.Equal(t, "user by "+name, found.ID, zoe.ID)
		}
	}
}

func (s *suite) passwords(t *testing.T) {
	ctx, u := t.Context(), s.user(t)
	for i, h := range []string{"hash1", "hash2", "hash3", "hash4"} {
		testkit.Must(t, s.db.SetPassword(ctx, u.ID, h, 2, s.now.Add(time.Duration(i)*time.Second)))
	}
	old, err := s.db.PasswordHistory(ctx, u.ID, 5)
	testkit.Must(t, err)
	if !slices.Equal(old, []string{"hash3", "hash2"}) {
		t.Fatalf("history is %v; want the newest two, newest first", old)
	}
	testkit.Must(t, s.db.RehashPassword(ctx, u.ID, "hash1", "stale"))
	testkit.Must(t, s.db.RehashPassword(ctx, u.ID, "hash4", "hash4b"))
	got, err := s.db.User(ctx, u.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "hash", got.PasswordHash, "hash4b")
	want(t, s.db.SetPassword(ctx, "nobody", "h", 2, s.now), fault.NotFound)
	testkit.Must(t, s.db.SetPassword(ctx, u.ID, "hash5", 0, s.now))
	old, _ = s.db.PasswordHistory(ctx, u.ID, 5)
	testkit.Equal(t, "hashes in the history", len(old), 0)
}

func (s *suite) credentials(t *testing.T) {
	ctx, u := t.Context(), s.user(t)
	c := &identity.Credential{
		ID:        identity.CredentialID(secret.NewID(s.now)),
		User:      u.ID,
		Kind:      "totp",
		Label:     "Phone",
		Sealed:    "x",
		CreatedAt: s.now,
	}
	testkit.Must(t, s.db.PutCredential(ctx, c))
	testkit.Must(t, s.db.ConfirmCredential(ctx, c.ID, 100, s.now, event(audit.MFAEnabled, u, s.now)))
	want(t, s.db.ConfirmCredential(ctx, c.ID, 101, s.now, event(audit.MFAEnabled, u, s.now)), fault.Consumed)
	want(t, s.db.ConfirmCredential(ctx, "none", 101, s.now), fault.NotFound)
	want(t, s.db.AdvanceCredential(ctx, c.ID, 100, s.now), fault.Consumed)
	testkit.Must(t, s.db.AdvanceCredential(ctx, c.ID, 101, s.now))
	want(t, s.db.AdvanceCredential(ctx, c.ID, 101, s.now), fault.Consumed)
	events, err := s.db.ListAudit(ctx, store.AuditQuery{User: string(u.ID), Type: audit.MFAEnabled})
	testkit.Must(t, err)
	testkit.Equal(t, "events (a change that fails records none)", len(events), 1)

	testkit.Must(t, s.db.PutBackupCodes(ctx, u.ID, []secret.Hash{"a", "b", "c"}, s.now))
	testkit.Must(t, s.db.ConsumeBackupCode(ctx, u.ID, "a", s.now))
	want(t, s.db.ConsumeBackupCode(ctx, u.ID, "a", s.now), fault.Consumed)
	want(t, s.db.ConsumeBackupCode(ctx, u.ID, "z", s.now), fault.NotFound)
	left, err := s.db.BackupCodesLeft(ctx, u.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "codes left", left, 2)
	second := *c
	second.ID, second.CreatedAt = identity.CredentialID(secret.NewID(s.now)), s.now.Add(time.Second)
	testkit.Must(t, s.db.PutCredential(ctx, &second))
	testkit.Must(t, s.db.DeleteUnconfirmed(ctx, u.ID, "totp"))
	all, err := s.db.Credentials(ctx, u.ID)
	testkit.Must(t, err)
	if len(all) != 1 || all[0].Counter != 101 || all[0].ConfirmedAt.IsZero() {
		t.Fatalf("credentials are %+v", all)
	}
	testkit.Must(t, s.db.DeleteCredentials(ctx, u.ID, "totp"))
	left, _ = s.db.BackupCodesLeft(ctx, u.ID)
	testkit.Equal(t, "codes left without a second factor", left, 0)
}

// passkeys finds them by what a browser names, moves a counter forward in one statement, and
// deletes one only while the one that must remain is there.
func (s *suite) passkeys(t *testing.T) {
	ctx, u, other := t.Context(), s.user(t), s.user(t)
	add := func(lookup string) *identity.Credential {
		c := &identity.Credential{
			ID:          identity.CredentialID(secret.NewID(s.now)),
			User:        u.ID,
			Kind:        "passkey",
			Sealed:      "x",
			Counter:     5,
			CreatedAt:   s.now,
			ConfirmedAt: s.now,
			Lookup:      secret.Hash(lookup),
		}
		testkit.Must(t, s.db.PutCredential(ctx, c))
		return c
	}
	name := s.name("lookup")
	one, two := add(name), add(name+"2")
	add("") // of a kind that nothing names
	add("")
	again := *one
	again.ID = identity.CredentialID(secret.NewID(s.now))
	want(t, s.db.PutCredential(ctx, &again), fault.Conflict)
	found, err := s.db.CredentialByLookup(ctx, one.Lookup)
	testkit.Must(t, err)
	testkit.Equal(t, "found", found.ID, one.ID)
	_, err = s.db.CredentialByLookup(ctx, secret.Hash(name+"3"))
	want(t, err, fault.NotFound)

	use := login.PasskeyUse{Counter: 6, Grows: true, Sealed: "y", Now: s.now}
	testkit.Must(t, s.db.UsePasskey(ctx, one.ID, use))
	want(t, s.db.UsePasskey(ctx, one.ID, use), fault.Consumed)
	use.Grows = false
	testkit.Must(t, s.db.UsePasskey(ctx, one.ID, use))
	want(t, s.db.UsePasskey(ctx, "none", use), fault.NotFound)
	found, err = s.db.CredentialByLookup(ctx, one.Lookup)
	testkit.Must(t, err)
	if found.Counter != 6 || found.Sealed != "y" || !found.LastUsedAt.Equal(s.now) {
		t.Errorf("after its use: %+v", found)
	}

	testkit.Must(t, s.db.RenameCredential(ctx, u.ID, one.ID, "Phone"))
	want(t, s.db.RenameCredential(ctx, other.ID, one.ID, "Mine"), fault.NotFound)
	want(t, s.db.DeleteCredential(ctx, other.ID, one.ID, ""), fault.NotFound)
	want(t, s.db.DeleteCredential(ctx, u.ID, one.ID, "gone"), fault.Consumed)
	testkit.Must(t, s.db.DeleteCredential(ctx, u.ID, one.ID, two.ID, event(audit.PasskeyRemoved, u, s.now)))
	want(t, s.db.DeleteCredential(ctx, u.ID, two.ID, one.ID, event(audit.PasskeyRemoved, u, s.now)), fault.Consumed)
	events, err := s.db.ListAudit(ctx, store.AuditQuery{User: string(u.ID), Type: audit.PasskeyRemoved})
	testkit.Must(t, err)
	testkit.Equal(t, "events (a removal that fails records none)", len(events), 1)

	for range 2 { // the first one stays
		handle, err := s.db.UserHandle(ctx, u.ID, secret.NewToken(""))
		testkit.Must(t, err)
		same, err := s.db.UserHandle(ctx, u.ID, secret.NewToken(""))
		testkit.Must(t, err)
		testkit.Equal(t, "handle", same, handle)
	}
}

// resetTwoStep removes every factor and code of one user, and touches nobody else.
func (s *suite) resetTwoStep(t *testing.T) {
	ctx, u, other := t.Context(), s.user(t), s.user(t)
	for _, owner := range []*identity.User{u, other} {
		for _, kind := range []string{"totp", "passkey"} {
			testkit.Must(t, s.db.PutCredential(ctx, &identity.Credential{
				ID:          identity.CredentialID(secret.NewID(s.now)),
				User:        owner.ID,
				Kind:        kind,
				Sealed:      "x",
				CreatedAt:   s.now,
				ConfirmedAt: s.now,
			}))
		}
		testkit.Must(t, s.db.PutBackupCodes(ctx, owner.ID, []secret.Hash{"a", "b"}, s.now))
	}
	ended, stays := s.session(t, u), s.session(t, other)
	ev := event(audit.MFADisabled, u, s.now)
	testkit.Must(t, s.db.ResetSecondFactors(ctx, u.ID, s.now, true, ev))
	for owner, want := range map[*identity.User]int{u: 0, other: 2} {
		creds, err := s.db.Credentials(ctx, owner.ID)
		testkit.Must(t, err)
		testkit.Equal(t, "credentials", len(creds), want)
		left, err := s.db.BackupCodesLeft(ctx, owner.ID)
		testkit.Must(t, err)
		testkit.Equal(t, "backup codes", left, want)
	}
	_, err := s.db.Session(ctx, ended.ID, s.now)
	want(t, err, fault.NotFound)
	_, err = s.db.Session(ctx, stays.ID, s.now)
	testkit.Must(t, err)
	want(t, s.db.ResetSecondFactors(ctx, u.ID, s.now, true, ev), fault.NotFound)
	want(t, s.db.ResetSecondFactors(ctx, "nobody", s.now, true), fault.NotFound)
	events, err := s.db.ListAudit(ctx, store.AuditQuery{User: string(u.ID), Type: audit.MFADisabled})
	testkit.Must(t, err)
	testkit.Equal(t, "events", len(events), 1)
}

// endSessions ends sessions by address and age, in parts, and no others.
func (s *suite) endSessions(t *testing.T) {
	ctx, db := t.Context(), s.newDB(t, store.Options{})
	u := &identity.User{ID: "u", Email: "u@example.org", CreatedAt: s.now, UpdatedAt: s.now}
	testkit.Must(t, db.CreateUser(ctx, u))
	var all []*identity.Session
	for i, ip := range []string{"192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"} {
		began := s.now.Add(time.Duration(i) * time.Hour)
		v := identity.NewSession(u.ID, []string{"pwd"}, began, 24*time.Hour, identity.Browser{IP: ip})
		testkit.Must(t, db.PutSession(ctx, secret.Hash(s.name("cookie")), v, identity.SessionTerms{}))
		all = append(all, v)
	}
	now := s.now.Add(4 * time.Hour)
	end := func(q store.SessionQuery) int {
		q.Now = now
		n, err := db.EndSessions(ctx, q, true, nil, func(v *identity.Session) audit.Event {
			return audit.Event{At: now, Type: audit.SessionRevoked, User: string(v.User), Session: string(v.ID)}
		})
		testkit.Must(t, err)
		return n
	}
	seen, err := db.SessionAddresses(ctx, "192.0.", "192.0.\U0010FFFF", 10)
	testkit.Must(t, err)
	slices.Sort(seen)
	testkit.Equal(t, "addresses", strings.Join(seen, " "), "192.0.2.1 192.0.2.2 192.0.2.3")
	testkit.Equal(t, "the first of an address", end(store.SessionQuery{IPs: []string{"192.0.2.1", "192.0.2.9"}, Page: admin.Page{Limit: 1}}), 1)
	testkit.Equal(t, "the second", end(store.SessionQuery{IPs: []string{"192.0.2.1", "192.0.2.9"}, Page: admin.Page{Limit: 5}}), 1)
	testkit.Equal(t, "older ones", end(store.SessionQuery{Before: s.now.Add(3 * time.Hour)}), 1)
	_, err = db.Session(ctx, all[3].ID, now)
	testkit.Must(t, err)
	testkit.Equal(t, "the rest", end(store.SessionQuery{}), 1)
	testkit.Equal(t, "none", end(store.SessionQuery{}), 0)
	for _, v := range all {
		n, err := db.CountAudit(ctx, store.AuditQuery{Type: audit.SessionRevoked, User: string(u.ID)})
		testkit.Must(t, err)
		testkit.Equal(t, "events", n, len(all))
		_, err = db.Session(ctx, v.ID, now)
		want(t, err, fault.NotFound)
	}
}

func (s *suite) locks(t *testing.T) {
	ctx := t.Context()
	f := login.Failure{
		Key:         s.name("lock"),
		Now:         s.now,
		Threshold:   3,
		Duration:    time.Minute,
		Window:      time.Hour,
		Progressive: true,
	}
	fail := func(after time.Duration) login.Lock {
		f.Now = f.Now.Add(after)
		l, err := s.db.RecordFailure(ctx, f)
		testkit.Must(t, err)
		return l
	}
	fail(0)
	if l := fail(0); l.Failures != 2 || l.Locked(f.Now) {
		t.Fatalf("after two failures: %+v", l)
	}
	for round, minutes := range []int{1, 2, 4, 8, 8} {
		var l login.Lock
		if round > 0 {
			fail(10 * time.Minute) // the lock has run out: counting starts anew
			fail(0)
		}
		l = fail(0)
		if l.Rounds != round+1 || !l.LockedAt.Equal(f.Now) ||
			!l.LockedUntil.Equal(f.Now.Add(time.Duration(minutes)*time.Minute)) {
			t.Fatalf("round %d: %+v", round+1, l)
		}
		if again := fail(time.Second); !again.LockedUntil.Equal(l.LockedUntil) || !again.LockedAt.Equal(l.LockedAt) || again.Rounds != l.Rounds || again.Failures != 4 {
			t.Fatalf("a failure while locked moved the lock from %+v to %+v", l, again)
		}
	}
	if l := fail(2 * time.Hour); l.Failures != 1 || l.Rounds != 0 || !l.LockedAt.IsZero() {
		t.Fatalf("after a quiet window: %+v", l)
	}
	got, err := s.db.Lock(ctx, f.Key, f.Now)
	testkit.Must(t, err)
	testkit.Equal(t, "failures", got.Failures, 1)
	testkit.Must(t, s.db.ClearLock(ctx, f.Key))
	if got, err = s.db.Lock(ctx, f.Key, f.Now); err != nil || got.Failures != 0 {
		t.Fatalf("a cleared lock is %+v (%v)", got, err)
	}
	f.Threshold = 1
	if l := fail(0); !l.Locked(f.Now) || l.Rounds != 1 {
		t.Fatalf("a threshold of one: %+v", l)
	}
	t.Run("counters below a counter", s.clearLocks)
	t.Run("unknown names are bounded", s.boundedNames)
}

// Unlocking an account ends the locks of its browsers, too.
func (s *suite) clearLocks(t *testing.T) {
	ctx, key, other := t.Context(), s.name("lock"), s.name("lock")
	all := []string{key, key + ":browser", other, other + ":browser"}
	for _, k := range all {
		_, err := s.db.RecordFailure(ctx, login.Failure{
			Key: k, Now: s.now, Threshold: 5, Duration: time.Minute, Window: time.Hour,
		})
		testkit.Must(t, err)
	}
	testkit.Must(t, s.db.ClearLocks(ctx, key))
	for _, k := range all {
		l, err := s.db.Lock(ctx, k, s.now)
		testkit.Must(t, err)
		testkit.Equal(t, "counted: "+k, l.Failures == 1, strings.HasPrefix(k, other))
	}
}

// Strangers cannot fill the table of locks with names that nobody has. The names that were tried
// most often stay.
func (s *suite) boundedNames(t *testing.T) {
	ctx, db := t.Context(), s.newDB(t, store.Options{UnknownNames: 3})
	for i, failures := range []int{1, 2, 1, 5, 4, 1, 1} {
		for range failures {
			_, err := db.RecordFailure(ctx, login.Failure{
				Key:       fmt.Sprint(login.UnknownPrefix, i),
				Now:       s.now,
				Threshold: 5,
				Duration:  time.Minute,
				Window:    time.Hour,
			})
			testkit.Must(t, err)
		}
	}
	known := login.LockKey("somebody")
	_, err := db.RecordFailure(ctx, login.Failure{
		Key: known, Now: s.now, Threshold: 5, Duration: time.Minute, Window: time.Hour,
	})
	testkit.Must(t, err)
	n, err := db.Sweep(ctx, s.now)
	testkit.Must(t, err)
	testkit.Equal(t, "names beyond the bound", n, 4)
	for key, failures := range map[string]int{"name:1": 2, "name:3": 5, "name:4": 4, known: 1} {
		l, err := db.Lock(ctx, key, s.now)
		testkit.Must(t, err)
		testkit.Equal(t, "failures of "+key, l.Failures, failures)
	}
}

func (s *suite) sessions(t *testing.T) {
	ctx, u := t.Context(), s.user(t)
	v := identity.NewSession(u.ID, []string{"pwd", "mfa"}, s.now, time.Hour, identity.Browser{IP: "192.0.2.7", Agent: "Browser/2"})
	cookie, next := secret.Hash(s.name("cookie")), secret.Hash(s.name("cookie"))
	testkit.Must(t, s.db.PutSession(ctx, cookie, v, identity.SessionTerms{}))
	got, err := s.db.SessionByCookie(ctx, cookie, s.now, time.Minute)
	testkit.Must(t, err)
	if d := cmp.Diff(v, got); d != "" {
		t.Fatal(d)
	}
	_, err = s.db.SessionByCookie(ctx, cookie, s.now.Add(61*time.Second), time.Minute)
	want(t, err, fault.NotFound)
	_, err = s.db.SessionByCookie(ctx, cookie, s.now.Add(time.Hour), 0)
	want(t, err, fault.NotFound)
	testkit.Must(t, s.db.TouchSession(ctx, v.ID, s.now.Add(time.Minute), "192.0.2.8", "Browser/3"))
	testkit.Must(t, s.db.TouchSession(ctx, v.ID, s.now, "stale", "stale"))
	got, err = s.db.Session(ctx, v.ID, s.now.Add(time.Minute))
	testkit.Must(t, err)
	testkit.Equal(t, "address", got.IP, "192.0.2.8")

	got.ACR, got.AuthTime = identity.ACR1, s.now.Add(2*time.Minute)
	testkit.Must(t, s.db.RaiseSession(ctx, cookie, next, got, nil))
	want(t, s.db.RaiseSession(ctx, cookie, "other", got, nil), fault.Consumed)
	_, err = s.db.SessionByCookie(ctx, cookie, s.now, 0)
	want(t, err, fault.NotFound)

	got, err = s.db.Session(ctx, v.ID, s.now)
	testkit.Must(t, err)
	staying := *got
	staying.Stay = true
	testkit.Must(t, s.db.RaiseSession(ctx, next, cookie, &staying, nil))
	_, err = s.db.SessionByCookie(ctx, cookie, s.now.Add(59*time.Minute), time.Minute) // idle, and stays
	testkit.Must(t, err)
	_, err = s.db.SessionByCookie(ctx, cookie, s.now.Add(time.Hour), time.Minute)
	want(t, err, fault.NotFound)

	third := s.session(t, u)
	testkit.Must(t, s.db.EndOtherSessions(ctx, u.ID, third.ID, s.now, true))
	_, err = s.db.Session(ctx, v.ID, s.now)
	want(t, err, fault.NotFound)
	single := identity.NewSession(u.ID, nil, s.now, time.Hour, identity.Browser{})
	testkit.Must(t, s.db.PutSession(ctx, secret.Hash(s.name("cookie")), single, identity.SessionTerms{Single: true, Tokens: true}))
	all, err := s.db.UserSessions(ctx, u.ID, s.now)
	testkit.Must(t, err)
	if len(all) != 1 || all[0].ID != single.ID {
		t.Fatalf("a single session left %d", len(all))
	}
	listed, err := s.db.ListSessions(ctx, store.SessionQuery{User: u.ID, Now: s.now}, nil)
	testkit.Must(t, err)
	testkit.Equal(t, "listed sessions", len(listed.Items)*10+listed.Total, 11)
	u2, _ := s.db.User(ctx, u.ID)
	testkit.Equal(t, "last login", u2.LastLoginAt, s.now)

	testkit.Must(t, s.db.SetUserDisabled(ctx, u.ID, true, s.now))
	all, _ = s.db.UserSessions(ctx, u.ID, s.now)
	testkit.Equal(t, "sessions of a disabled user", len(all), 0)
	want(t, s.db.PutSession(ctx, secret.Hash(s.name("cookie")), identity.NewSession(u.ID, nil, s.now, time.Hour, identity.Browser{}), identity.SessionTerms{}), fault.Denied)
	testkit.Must(t, s.db.SetUserDisabled(ctx, u.ID, false, s.now))
	s.session(t, u)
}

// A session is stored and raised only while the account is in the state that was proved.
func (s *suite) staleSession(t *testing.T) {
	ctx, u := t.Context(), s.user(t)
	proved := &identity.AccountState{}
	put := func() error {
		v := identity.NewSession(u.ID, []string{"pwd"}, s.now, time.Hour, identity.Browser{})
		return s.db.PutSession(ctx, secret.Hash(s.name("cookie")), v, identity.SessionTerms{Proved: proved})
	}
	current := identity.NewSession(u.ID, []string{"pwd"}, s.now, time.Hour, identity.Browser{})
	cookie := secret.Hash(s.name("cookie"))
	testkit.Must(t, s.db.PutSession(ctx, cookie, current, identity.SessionTerms{Proved: proved}))
	raise := func() error {
		next := secret.Hash(s.name("cookie"))
		err := s.db.RaiseSession(ctx, cookie, next, current, proved)
		if err == nil {
			cookie = next
		}
		return err
	}
	testkit.Must(t, raise())
	stale := func(what string) {
		t.Helper()
		if err := put(); !fault.Is(err, fault.Consumed) {
			t.Errorf("after %s, a session was stored: %v", what, err)
		}
		if err := raise(); !fault.Is(err, fault.Consumed) {
			t.Errorf("after %s, a session was raised: %v", what, err)
		}
	}
	testkit.Must(t, s.db.SetPassword(ctx, u.ID, "hash1", 1, s.now.Add(time.Second)))
	stale("a new password")
	proved.PasswordChangedAt = s.now.Add(time.Second)
	testkit.Must(t, put())
	testkit.Must(t, raise())

	factor := &identity.Credential{
		ID: identity.CredentialID(s.name("factor")), User: u.ID, Kind: "totp", CreatedAt: s.now,
	}
	testkit.Must(t, s.db.PutCredential(ctx, factor))
	testkit.Must(t, put()) // it is not confirmed
	testkit.Must(t, s.db.ConfirmCredential(ctx, factor.ID, 1, s.now))
	stale("a factor was set up")
	proved.Factors = []identity.CredentialID{factor.ID}
	testkit.Must(t, put())
	testkit.Must(t, raise())
	testkit.Must(t, s.db.DeleteCredentials(ctx, u.ID, "totp"))
	stale("a factor was removed")
	other := *factor
	other.ID, other.ConfirmedAt = identity.CredentialID(s.name("factor")), s.now
	testkit.Must(t, s.db.PutCredential(ctx, &other))
	stale("a factor was replaced")
}

// A sign-in that proves the old password while it is changed opens no session that lasts.
func (s *suite) slowSignIn(t *testing.T) {
	ctx, u := t.Context(), s.user(t)
	race(t, func(i int) error {
		if i == 0 {
			now := s.now.Add(time.Second)
			if err := s.db.SetPassword(ctx, u.ID, "hash1", 1, now); err != nil {
				return err
			}
			return s.db.EndOtherSessions(ctx, u.ID, "", now, true)
		}
		v := identity.NewSession(u.ID, []string{"pwd"}, s.now, time.Hour, identity.Browser{})
		err := s.db.PutSession(ctx, secret.Hash(s.name("cookie")), v,
			identity.SessionTerms{Proved: &identity.AccountState{}})
		if fault.Is(err, fault.Consumed) {
			return nil
		}
		return err
	})
	left, err := s.db.UserSessions(ctx, u.ID, s.now)
	testkit.Must(t, err)
	testkit.Equal(t, "sessions of the former password", len(left), 0)
}

func (s *suite) links(t *testing.T) {
	ctx := t.Context()
	db := s.newDB(t, store.Options{})
	u := &identity.User{
		ID:        identity.UserID(secret.NewID(s.now)),
		Email:     "admin@example.org",
		Roles:     []string{identity.RoleSuperAdmin},
		CreatedAt: s.now,
	}
	for _, h := range []secret.Hash{"setup1", "setup2"} {
		testkit.Must(t, db.PutLink(ctx, h, &login.Link{
			Kind:      login.LinkSetup,
			CreatedAt: s.now,
			ExpiresAt: s.now.Add(time.Hour),
		}))
	}
	want(t, db.CompleteSetup(ctx, "setup1", u, nil, s.now.Add(time.Hour)), fault.NotFound)
	testkit.Must(t, db.CompleteSetup(ctx, "setup1", u, nil, s.now))
	want(t, db.CompleteSetup(ctx, "setup1", u, nil, s.now), fault.Consumed)
	want(t, db.CompleteSetup(ctx, "setup2", u, nil, s.now), fault.NotFound)

	testkit.Must(t, db.PutLink(ctx, "reset", &login.Link{
		Kind:      login.LinkPassword,
		User:      u.ID,
		CreatedAt: s.now,
		ExpiresAt: s.now.Add(time.Hour),
	}))
	want(t, db.CompleteSetup(ctx, "reset", u, nil, s.now), fault.NotFound)
	l, err := db.Link(ctx, "reset", s.now)
	testkit.Must(t, err)
	testkit.Equal(t, "user of the link", l.User, u.ID)
	testkit.Must(t, db.ConsumeLink(ctx, "reset", s.now))
	want(t, db.ConsumeLink(ctx, "reset", s.now), fault.Consumed)
	_, err = db.Link(ctx, "reset", s.now)
	want(t, err, fault.NotFound)
	n, err := db.CountAdmins(ctx)
	testkit.Must(t, err)
	testkit.Equal(t, "administrators", n, 1)
	s.lateSetupLink(t, db)
	s.linkOfFormerAddress(t, db, u)
}

// linkOfFormerAddress checks that a link to set a password ends when the user gets another email
// address: it may be in the mailbox of the former one. Other changes leave it usable.
func (s *suite) linkOfFormerAddress(t *testing.T, db *store.DB, u *identity.User) {
	ctx := t.Context()
	testkit.Must(t, db.PutLink(ctx, "mailed", &login.Link{
		Kind:      login.LinkPassword,
		User:      u.ID,
		CreatedAt: s.now,
		ExpiresAt: s.now.Add(time.Hour),
	}))
	renamed := *u
	renamed.Name = "Ada"
	testkit.Must(t, db.UpdateUser(ctx, u, &renamed))
	_, err := db.Link(ctx, "mailed", s.now)
	testkit.Must(t, err)
	moved := renamed
	moved.Email = "new@example.org"
	testkit.Must(t, db.UpdateUser(ctx, &renamed, &moved))
	_, err = db.Link(ctx, "mailed", s.now)
	want(t, err, fault.NotFound)
}

// lateSetupLink checks that a set-up link is useless while there is an administrator, and is
// deleted when another one is created.
func (s *suite) lateSetupLink(t *testing.T, db *store.DB) {
	ctx := t.Context()
	testkit.Must(t, db.PutLink(ctx, "late", &login.Link{
		Kind:      login.LinkSetup,
		CreatedAt: s.now,
		ExpiresAt: s.now.Add(time.Hour),
	}))
	late := &identity.User{
		ID:        identity.UserID(secret.NewID(s.now)),
		Email:     "late@example.org",
		Roles:     []string{identity.RoleSuperAdmin},
		CreatedAt: s.now,
	}
	want(t, db.CompleteSetup(ctx, "late", late, nil, s.now), fault.Consumed)
	_, err := db.User(ctx, late.ID)
	want(t, err, fault.NotFound)

	testkit.Must(t, db.CreateUser(ctx, late))
	_, err = db.Link(ctx, "late", s.now)
	want(t, err, fault.NotFound)
}

func event(kind audit.Type, u *identity.User, at time.Time) audit.Event {
	return audit.Event{At: at, Type: kind, User: string(u.ID), Actor: "system"}
}
