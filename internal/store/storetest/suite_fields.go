package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/bff/session"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// everyField stores each entity with a distinct value in every field, reads it by every method
// that does, updates every field that an update owns to another distinct value, and reads it
// again. Two columns swapped in any statement, or a field forgotten in one, make it fail.
func (s *suite) everyFieldInRounds(t *testing.T) { s.everyField(t, boolRounds) }

func (s *suite) everyField(t *testing.T, rounds int) {
	for _, e := range []struct {
		name string
		test func(*suite, *testing.T, *filler)
	}{
		{"user", (*suite).userFields},
		{"password", (*suite).passwordFields},
		{"client", (*suite).clientFields},
		{"client secret", (*suite).secretFields},
		{"grant", (*suite).grantFields},
		{"refresh rotation", (*suite).rotationFields},
		{"code", (*suite).codeFields},
		{"device", (*suite).deviceFields},
		{"browser session", (*suite).sessionFields},
		{"bff session", (*suite).bffSessionFields},
		{"credential", (*suite).credentialFields},
		{"link", (*suite).linkFields},
		{"lock", (*suite).lockFields},
		{"key", (*suite).keyFields},
		{"scope", (*suite).scopeFields},
		{"consent", (*suite).consentFields},
		{"opaque token", (*suite).opaqueFields},
		{"route", (*suite).routeFields},
		{"audit event", (*suite).eventFields},
		{"revocation", (*suite).revocationFields},
		{"refusal", (*suite).denialFields},
		{"delivery", (*suite).deliveryFields},
		{"impersonation", (*suite).impersonationFields},
	} {
		t.Run(e.name, func(t *testing.T) {
			s.ids.Store((s.ids.Load()/1000 + 1) * 1000) // a field more here changes no value elsewhere
			for round := range rounds {
				e.test(s, t, &filler{t: t, next: func() int64 { return s.ids.Add(1) }, round: round})
			}
		})
	}
}

// StoreEveryField stores each entity in an empty database, as the suite's test of every field
// does, with the same values at each call but for random identifiers.
func StoreEveryField(t *testing.T, url string) {
	s := &suite{url: SQLite, now: time.UnixMilli(1_790_000_000_000).UTC()}
	s.db = Open(t, store.Options{URL: url})
	s.everyField(t, 1)
}

// same fails unless a value was read as it should be.
func same(t *testing.T, what string, got, want any, o ...cmp.Option) {
	t.Helper()
	if d := cmp.Diff(want, got, o...); d != "" {
		t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

// nilIsEmpty treats an empty list like none.
func nilIsEmpty() cmp.Option {
	return cmp.Transformer("nil", func(l []string) []string { return slices.Concat([]string{}, l) })
}

// userReads compares a user with what each method reads of it.
func (s *suite) userReads(t *testing.T, what string, u *identity.User) {
	t.Helper()
	ctx := t.Context()
	got, err := s.db.User(ctx, u.ID)
	testkit.Must(t, err)
	same(t, what, got, u)
	for _, name := range []string{u.Username, u.Email} {
		got, err := s.db.UserByLogin(ctx, identity.LoginKey(name))
		testkit.Must(t, err)
		same(t, what+", by "+name, got, u)
	}
	for _, part := range []string{u.Username, u.Email, u.Name} {
		found, err := s.db.ListUsers(ctx, store.UserQuery{Search: part}, nil)
		testkit.Must(t, err)
		testkit.Equal(t, "users found by "+part, found.Total, 1)
		same(t, what+", listed", &found.Items[0], u)
	}
	got, err = s.db.CachedUser(ctx, u.ID, time.Now())
	testkit.Must(t, err)
	same(t, what+", cached", got, u)
}

func (s *suite) userFields(t *testing.T, f *filler) {
	ctx := t.Context()
	var u, next identity.User
	f.fill(&u)
	testkit.Must(t, s.db.CreateUser(ctx, &u))
	s.userReads(t, "created", &u)

	f.change(&next)
	next.ID = u.ID
	testkit.Must(t, s.db.UpdateUser(ctx, &u, &next))
	next.PasswordHash, next.PasswordChangedAt = u.PasswordHash, u.PasswordChangedAt
	next.CreatedAt, next.LastLoginAt, next.InvitedAt = u.CreatedAt, u.LastLoginAt, u.InvitedAt
	next.LockedAt, next.LockReason, next.Version = u.LockedAt, u.LockReason, u.Version+1
	s.userReads(t, "updated", &next)

	next.UpdatedAt, next.Disabled, next.Version = s.now, !next.Disabled, next.Version+1
	testkit.Must(t, s.db.SetUserDisabled(ctx, u.ID, next.Disabled, next.UpdatedAt))
	s.userReads(t, "enabled or disabled", &next)
	next.UpdatedAt, next.Roles = s.now.Add(time.Second), []string{"auditor", "operator"}
	next.Version++
	testkit.Must(t, s.db.SetRoles(ctx, u.ID, next.Roles, next.UpdatedAt))
	s.userReads(t, "with new roles", &next)

	link, first := secret.Hash(s.name("link")), identity.User{}
	f.fill(&first)
	fresh := s.newDB(t, store.Options{}) // without an administrator
	testkit.Must(t, fresh.PutLink(ctx, link, &login.Link{
		Kind:      login.LinkSetup,
		CreatedAt: s.now,
		ExpiresAt: s.now.Add(time.Hour),
	}))
	testkit.Must(t, fresh.CompleteSetup(ctx, link, &first, nil, s.now))
	got, err := fresh.User(ctx, first.ID)
	testkit.Must(t, err)
	same(t, "made by the setup", got, &first)
}

func (s *suite) passwordFields(t *testing.T, f *filler) {
	ctx := t.Context()
	var u identity.User
	f.fill(&u)
	testkit.Must(t, s.db.CreateUser(ctx, &u))
	history := []string{u.PasswordHash}
	for i := range 3 {
		u.PasswordHash, u.MustChange, u.InvitedAt = s.name("hash"), false, time.Time{}
		u.UpdatedAt = s.now.Add(time.Duration(i) * time.Second)
		u.PasswordChangedAt = u.UpdatedAt
		testkit.Must(t, s.db.SetPassword(ctx, u.ID, u.PasswordHash, 9, u.UpdatedAt))
		s.userReads(t, "with a new password", &u)
		got, err := s.db.PasswordHistory(ctx, u.ID, 9)
		testkit.Must(t, err)
		same(t, "history", got, history)
		history = slices.Insert(history, 0, u.PasswordHash)
	}
	former := u.PasswordHash
	u.PasswordHash = s.name("hash")
	testkit.Must(t, s.db.RehashPassword(ctx, u.ID, former, u.PasswordHash))
	s.userReads(t, "with a new hash", &u)
}

// clientReads compares a client with what is in memory, here and after a restart.
func (s *suite) clientReads(t *testing.T, what string, c *client.Client) {
	t.Helper()
	got, err := s.db.Client(t.Context(), c.ID)
	testkit.Must(t, err)
	same(t, what, got, c)
}

func (s *suite) clientFields(t *testing.T, f *filler) {
	ctx := t.Context()
	var c, next client.Client
	f.fill(&c)
	slices.Reverse(c.Secrets) // newest first
	testkit.Must(t, s.db.CreateClient(ctx, &c))
	s.clientReads(t, "created", &c)

	f.change(&next)
	next.ID = c.ID
	testkit.Must(t, s.db.UpdateClient(ctx, &c, &next))
	next.Secrets, next.CreatedAt = c.Secrets, c.CreatedAt
	s.clientReads(t, "updated", &next)
}

func (s *suite) secretFields(t *testing.T, f *filler) {
	ctx := t.Context()
	var c client.Client
	f.fill(&c)
	slices.Reverse(c.Secrets)
	testkit.Must(t, s.db.CreateClient(ctx, &c))
	var added client.Secret
	f.fill(&added)
	expires := s.now.Add(time.Hour)
	testkit.Must(t, s.db.RotateSecret(ctx, c.ID, added, 2, expires))
	c.Secrets = []client.Secret{added, c.Secrets[0]}
	c.Secrets[1].ExpiresAt, c.UpdatedAt = expires, added.CreatedAt
	s.clientReads(t, "with a new secret", &c)
}

// filledGrant makes a grant with every field filled, of a user and a client that exist.
func (s *suite) filledGrant(t *testing.T, f *filler) (oauth.Grant, *identity.User) {
	t.Helper()
	var u identity.User
	f.fill(&u)
	testkit.Must(t, s.db.CreateUser(t.Context(), &u))
	var g oauth.Grant
	f.fill(&g)
	g.User, g.Client = u.ID, s.client(t).ID
	g.ExpiresAt, g.AbsoluteEnd = g.ExpiresAt.Add(1000*time.Hour), g.AbsoluteEnd.Add(2000*time.Hour)
	return g, &u
}

// grantReads compares a grant with what each method reads of it.
func (s *suite) grantReads(t *testing.T, what string, g *oauth.Grant, u *identity.User) {
	t.Helper()
	ctx := t.Context()
	got, err := s.db.Grant(ctx, g.ID)
	testkit.Must(t, err)
	same(t, what, got, g)
	got, user, err := s.db.GrantAndUser(ctx, g.ID)
	testkit.Must(t, err)
	same(t, what+", with its user", got, g)
	same(t, what+": the user", user, u)
	all, err := s.db.UserGrants(ctx, u.ID, s.now)
	testkit.Must(t, err)
	same(t, what+", listed", all, []oauth.Grant{*g})
}

func (s *suite) grantFields(t *testing.T, f *filler) {
	g, u := s.filledGrant(t, f)
	testkit.Must(t, s.db.PutGrant(t.Context(), &g))
	s.grantReads(t, "stored", &g, u)
	alone, _ := s.filledGrant(t, f)
	alone.User = ""
	testkit.Must(t, s.db.PutGrant(t.Context(), &alone))
	got, user, err := s.db.GrantAndUser(t.Context(), alone.ID)
	testkit.Must(t, err)
	same(t, "without a user", got, &alone)
	testkit.Equal(t, "user", user, nil)
}

func (s *suite) rotationFields(t *testing.T, f *filler) {
	ctx := t.Context()
	g, u := s.filledGrant(t, f)
	testkit.Must(t, s.db.PutGrant(ctx, &g))
	for _, events := range [][]audit.Event{nil, make([]audit.Event, 1), make([]audit.Event, 2)} {
		for i := range events {
			f.fill(&events[i], "Deliveries")
		}
		var r oauth.RefreshRotation
		f.fill(&r)
		r.Grant, r.Client, r.Old = g.ID, g.Client, g.RefreshHash
		r.ExpiresAt = r.ExpiresAt.Add(1500 * time.Hour) // after the next use, before the absolute end
		testkit.Must(t, s.db.RotateRefresh(ctx, r, events...))
		g.PrevHash, g.RefreshHash, g.RotatedAt, g.LastUsedAt = r.Old, r.New, r.Now, r.Now
		g.ExpiresAt, g.IP, g.Agent, g.Attempt = r.ExpiresAt, r.IP, r.Agent, r.Attempt
		s.grantReads(t, "rotated", &g, u)
		for i := range events {
			s.eventReads(t, &events[i])
		}
	}
}

// withoutRefresh clears what a grant does not have yet that waits within a code or a device
// authorization.
func withoutRefresh(g oauth.Grant) oauth.Grant {
	g.RefreshHash, g.PrevHash, g.RotatedAt, g.Attempt = "", "", time.Time{}, ""
	return g
}

func (s *suite) codeFields(t *testing.T, f *filler) {
	ctx := t.Context()
	var c oauth.Code
	f.fill(&c)
	testkit.Must(t, s.db.PutCode(ctx, c.Hash, &c))
	c.Grant = withoutRefresh(c.Grant)
	got, err := s.db.Code(ctx, c.Hash, s.now)
	testkit.Must(t, err)
	same(t, "code", got, &c)

	g, u := s.filledGrant(t, f)
	c.Grant, c.Hash = g, secret.Hash(s.name("code"))
	testkit.Must(t, s.db.PutCode(ctx, c.Hash, &c))
	testkit.Must(t, s.db.RedeemCode(ctx, c.Hash, &g, s.now))
	s.grantReads(t, "redeemed", &g, u)
}

func (s *suite) deviceFields(t *testing.T, f *filler) {
	ctx := t.Context()
	var v oauth.Device
	f.fill(&v)
	g, u := s.filledGrant(t, f)
	v.Client, v.State = g.Client, oauth.DevicePending
	testkit.Must(t, s.db.PutDevice(ctx, &v))
	got, err := s.db.DeviceByUserCode(ctx, v.UserCode, s.now)
	testkit.Must(t, err)
	same(t, "device by its user code", got, &v)
	poll := func(what string) *oauth.DevicePoll {
		t.Helper()
		p, err := s.db.PollDevice(ctx, v.Hash, v.Client, s.now)
		testkit.Must(t, err)
		same(t, what, &p.Device, &v)
		return p
	}
	poll("pending device")
	testkit.Must(t, s.db.DecideDevice(ctx, oauth.DeviceDecision{
		UserCode: v.UserCode,
		Approve:  true,
		Grant:    &g,
		Now:      s.now,
	}))
	v.State = oauth.DeviceApproved
	p := poll("approved device")
	same(t, "grant of the device", *p.Grant, withoutRefresh(g))
	testkit.Must(t, s.db.RedeemDevice(ctx, v.Hash, &g, s.now))
	s.grantReads(t, "redeemed", &g, u)

	var denied oauth.Device
	f.fill(&denied)
	denied.Client = g.Client
	testkit.Must(t, s.db.PutDevice(ctx, &denied))
	testkit.Must(t, s.db.DecideDevice(ctx, oauth.DeviceDecision{UserCode: denied.UserCode, Now: s.now}))
	v = denied
	v.State = oauth.DeviceDenied
	poll("denied device")
}

// sessionReads compares a session with what each method reads of it.
func (s *suite) sessionReads(t *testing.T, what string, h secret.Hash, v *identity.Session) {
	t.Helper()
	ctx := t.Context()
	got, err := s.db.SessionByCookie(ctx, h, s.now, time.Hour)
	testkit.Must(t, err)
	same(t, what+", by its cookie", got, v)
	got, err = s.db.Session(ctx, v.ID, s.now)
	testkit.Must(t, err)
	same(t, what, got, v)
	all, err := s.db.UserSessions(ctx, v.User, s.now)
	testkit.Must(t, err)
	same(t, what+", of its user", all, []identity.Session{*v})
	listed, err := s.db.ListSessions(ctx, store.SessionQuery{User: v.User, Now: s.now}, nil)
	testkit.Must(t, err)
	same(t, what+", listed", listed.Items, []identity.Session{*v})
}

func (s *suite) impersonationFields(t *testing.T, f *filler) {
	var v login.Impersonation
	f.fill(&v)
	v.User = s.user(t).ID
	testkit.Must(t, s.db.PutImpersonation(t.Context(), secret.Hash(s.name("link")), &v, 20))
	got, err := s.db.Impersonation(t.Context(), v.Session)
	testkit.Must(t, err)
	same(t, "impersonation", got, &v)
}

func (s *suite) sessionFields(t *testing.T, f *filler) {
	ctx, u := t.Context(), s.user(t)
	var v, next identity.Session
	f.fill(&v)
	v.User = u.ID
	h, other := secret.Hash(s.name("cookie")), secret.Hash(s.name("cookie"))
	testkit.Must(t, s.db.PutSession(ctx, h, &v, identity.SessionTerms{}))
	s.sessionReads(t, "created", h, &v)
	u.LastLoginAt = v.CreatedAt
	s.userReads(t, "signed in", u)

	f.change(&next)
	next.ID, next.User = v.ID, v.User
	testkit.Must(t, s.db.RaiseSession(ctx, h, other, &next, nil))
	next.CreatedAt, next.ExpiresAt, next.Impersonator = v.CreatedAt, v.ExpiresAt, v.Impersonator
	s.sessionReads(t, "raised", other, &next)
	next.LastSeenAt, next.IP, next.Agent = next.LastSeenAt.Add(time.Hour), s.name("ip"), s.name("agent")
	testkit.Must(t, s.db.TouchSession(ctx, v.ID, next.LastSeenAt, next.IP, next.Agent))
	s.sessionReads(t, "touched", other, &next)
}

func (s *suite) bffSessionFields(t *testing.T, f *filler) {
	ctx := t.Context()
	g, _ := s.filledGrant(t, f)
	testkit.Must(t, s.db.PutGrant(ctx, &g))
	var a session.Session
	f.fill(&a)
	a.Client, a.Grant = g.Client, g.ID
	h := secret.Hash(s.name("cookie"))
	testkit.Must(t, s.db.PutBFFSession(ctx, h, &a))
	reads := func(what string) {
		t.Helper()
		got, err := s.db.BFFSession(ctx, h, s.now, time.Hour)
		testkit.Must(t, err)
		same(t, what, got, &a)
	}
	reads("created")
	a.LastSeenAt = a.LastSeenAt.Add(time.Hour)
	testkit.Must(t, s.db.TouchBFFSession(ctx, a.ID, a.LastSeenAt))
	reads("touched")
	claimed := a.BusyUntil
	a.BusyUntil = claimed.Add(time.Minute)
	testkit.Must(t, s.db.ClaimBFFSession(ctx, a.ID, a.Version, claimed, a.BusyUntil))
	reads("claimed")
	testkit.Must(t, s.db.ReleaseBFFSession(ctx, a.ID, a.Version, a.BusyUntil))
	a.BusyUntil = time.Time{}
	reads("released")
	a.Tokens = s.name("tokens")
	testkit.Must(t, s.db.RenewBFFSession(ctx, a.ID, a.Version, a.Tokens))
	a.Version++
	reads("renewed")
}

func (s *suite) credentialFields(t *testing.T, f *filler) {
	ctx, u := t.Context(), s.user(t)
	var c identity.Credential
	reads := func(what string) {
		t.Helper()
		all, err := s.db.Credentials(ctx, u.ID)
		testkit.Must(t, err)
		same(t, what, all, []identity.Credential{c})
		testkit.Must(t, s.db.DeleteCredentials(ctx, u.ID, "none"))
	}
	f.fill(&c)
	c.User = u.ID
	testkit.Must(t, s.db.PutCredential(ctx, &c))
	reads("created")
	c.Counter, c.LastUsedAt = c.Counter+1, c.LastUsedAt.Add(time.Hour)
	testkit.Must(t, s.db.AdvanceCredential(ctx, c.ID, c.Counter, c.LastUsedAt))
	reads("used")
	testkit.Must(t, s.db.DeleteCredentials(ctx, u.ID, c.Kind))

	f.fill(&c)
	c.User, c.ConfirmedAt = u.ID, time.Time{}
	testkit.Must(t, s.db.PutCredential(ctx, &c))
	reads("unconfirmed")
	c.Counter, c.ConfirmedAt = c.Counter+1, c.LastUsedAt.Add(time.Hour)
	c.LastUsedAt = c.ConfirmedAt
	testkit.Must(t, s.db.ConfirmCredential(ctx, c.ID, c.Counter, c.ConfirmedAt))
	reads("confirmed")
}

func (s *suite) linkFields(t *testing.T, f *filler) {
	ctx, u := t.Context(), s.user(t)
	var l login.Link
	f.fill(&l)
	l.User = u.ID
	h := secret.Hash(s.name("link"))
	testkit.Must(t, s.db.PutLink(ctx, h, &l))
	got, err := s.db.Link(ctx, h, s.now)
	testkit.Must(t, err)
	same(t, "link", got, &l)
	setup := l
	setup.User, h = "", secret.Hash(s.name("link"))
	testkit.Must(t, s.db.PutLink(ctx, h, &setup))
	got, err = s.db.Link(ctx, h, s.now)
	testkit.Must(t, err)
	same(t, "link of nobody", got, &setup)
}

func (s *suite) lockFields(t *testing.T, f *filler) {
	ctx := t.Context()
	var fail login.Failure
	f.fill(&fail)
	fail.Threshold = 3
	l := login.Lock{Key: fail.Key}
	for l.Failures < fail.Threshold {
		fail.Now = fail.Now.Add(time.Second)
		l.Failures, l.LastAt = l.Failures+1, fail.Now
		if l.Failures == fail.Threshold {
			l.Rounds, l.LockedAt, l.LockedUntil = 1, fail.Now, fail.Now.Add(fail.Duration)
		}
		counted, err := s.db.RecordFailure(ctx, fail)
		testkit.Must(t, err)
		same(t, "lock as counted", counted, l)
		got, err := s.db.Lock(ctx, fail.Key, s.now)
		testkit.Must(t, err)
		same(t, "lock as stored", got, l)
	}
	fail.Key, fail.Threshold = s.name("key"), 1
	counted, err := s.db.RecordFailure(ctx, fail)
	testkit.Must(t, err)
	same(t, "lock after one", counted,
		login.Lock{
			Key:         fail.Key,
			Failures:    1,
			Rounds:      1,
			LastAt:      fail.Now,
			LockedAt:    fail.Now,
			LockedUntil: fail.Now.Add(fail.Duration),
		})
}

// keyReads compares a key with what is read of it.
func (s *suite) keyReads(t *testing.T, what string, k jose.StoredKey) {
	t.Helper()
	all, err := s.db.Keys(t.Context())
	testkit.Must(t, err)
	i := slices.IndexFunc(all, func(other jose.StoredKey) bool { return other.ID == k.ID })
	if i < 0 {
		t.Fatal("there is no key, but one should be", what)
	}
	same(t, what, all[i], k)
}

func (s *suite) keyFields(t *testing.T, f *filler) {
	ctx := t.Context()
	var k jose.StoredKey
	f.fill(&k)
	testkit.Must(t, s.db.FirstKey(ctx, k))
	s.keyReads(t, "first", k)
	k.RetiredAt, k.ExpiresAt = k.RetiredAt.Add(-time.Hour), k.ExpiresAt.Add(-time.Minute)
	testkit.Must(t, s.db.RetireKeys(ctx, []string{k.ID}, k.RetiredAt, k.ExpiresAt))
	s.keyReads(t, "retired", k)

	var old jose.StoredKey
	f.fill(&old)
	old.RetiredAt, old.ExpiresAt = time.Time{}, time.Time{}
	testkit.Must(t, s.db.AddKey(ctx, old))
	s.keyReads(t, "added", old)
	var successor jose.StoredKey
	f.fill(&successor)
	old.RetiredAt, old.ExpiresAt = successor.RetiredAt.Add(time.Hour), successor.ExpiresAt.Add(2*time.Hour)
	testkit.Must(t, s.db.RotateKeys(ctx, successor, []string{old.ID}, old.RetiredAt, old.ExpiresAt))
	s.keyReads(t, "rotated", old)
	s.keyReads(t, "successor", successor)
}

func (s *suite) scopeFields(t *testing.T, f *filler) {
	ctx := t.Context()
	var sc, next oauth.Scope
	f.fill(&sc)
	testkit.Must(t, s.db.CreateScope(ctx, &sc))
	sc.System = false
	same(t, "created", s.db.Scopes()[sc.Name], &sc)
	f.change(&next)
	next.Name, next.ID = sc.Name, sc.ID
	testkit.Must(t, s.db.UpdateScope(ctx, &sc, &next))
	next.System, next.CreatedAt = false, sc.CreatedAt
	same(t, "updated", s.db.Scopes()[sc.Name], &next)
}

func (s *suite) consentFields(t *testing.T, f *filler) {
	ctx, u, cl := t.Context(), s.user(t), s.client(t)
	var c, next oauth.Consent
	reads := func(what string, c *oauth.Consent) {
		t.Helper()
		got, err := s.db.Consent(ctx, u.ID, cl.ID)
		testkit.Must(t, err)
		same(t, what, got, c)
		all, err := s.db.UserConsents(ctx, u.ID)
		testkit.Must(t, err)
		same(t, what+", listed", all, []oauth.Consent{*c})
	}
	f.fill(&c)
	c.User, c.Client = u.ID, cl.ID
	testkit.Must(t, s.db.AddConsent(ctx, &c))
	reads("created", &c)
	f.change(&next)
	next.User, next.Client = u.ID, cl.ID
	testkit.Must(t, s.db.AddConsent(ctx, &next))
	next.CreatedAt, next.Scopes = c.CreatedAt, slices.Concat(c.Scopes, next.Scopes)
	reads("updated", &next)
}

func (s *suite) opaqueFields(t *testing.T, f *filler) {
	ctx := t.Context()
	var a oauth.AccessToken
	f.fill(&a, "KeyID") // an opaque token is not signed
	h := secret.Hash(s.name("opaque"))
	testkit.Must(t, s.db.PutOpaque(ctx, h, &a))
	got, err := s.db.Opaque(ctx, h, s.now)
	testkit.Must(t, err)
	same(t, "opaque token", got, &a)
}

func (s *suite) routeFields(t *testing.T, f *filler) {
	ctx := t.Context()
	var r, next access.Route
	f.fill(&r)
	testkit.Must(t, s.db.CreateRoute(ctx, &r, nil))
	same(t, "created", stored(s.db, r.ID), &r)
	f.change(&next)
	next.ID = r.ID
	testkit.Must(t, s.db.UpdateRoute(ctx, &r, &next, nil))
	next.CreatedAt = r.CreatedAt
	same(t, "updated", stored(s.db, r.ID), &next)
	testkit.Must(t, s.db.DeleteRoute(ctx, r.ID))
}

// eventReads compares an audit event with what is read of it.
func (s *suite) eventReads(t *testing.T, e *audit.Event) {
	t.Helper()
	for what, q := range map[string]store.AuditQuery{
		"type":    {Type: e.Type},
		"user":    {User: e.User},
		"client":  {Client: e.Client},
		"request": {RequestID: e.RequestID},
		"address": {IP: e.IP},
	} {
		all, err := s.db.ListAudit(t.Context(), q)
		testkit.Must(t, err)
		same(t, "event by its "+what, all, []audit.Event{*e})
		n, err := s.db.CountAudit(t.Context(), q)
		testkit.Must(t, err)
		testkit.Equal(t, "events by their "+what, n, 1)
	}
}

func (s *suite) eventFields(t *testing.T, f *filler) {
	ctx := t.Context()
	var e audit.Event
	f.fill(&e, "Deliveries") // they are rows of their own
	testkit.Must(t, s.db.Record(ctx, e))
	s.eventReads(t, &e)
	f.fill(&e, "Deliveries")
	testkit.Must(t, s.db.ClearLocks(ctx, "nobody", e)) // together with a change
	s.eventReads(t, &e)
}

func (s *suite) revocationFields(t *testing.T, f *filler) {
	ctx := t.Context()
	var r oauth.Revocation
	f.fill(&r)
	r.Kind = oauth.RevokeToken // an unknown kind revokes everything
	testkit.Must(t, s.db.Revoke(ctx, r))
	all, err := s.db.RevocationsSince(ctx, 0, 1000)
	testkit.Must(t, err)
	r.Seq, r.Mark = int64(len(all)), all[len(all)-1].Mark
	same(t, "revocation", all[len(all)-1], r)
}

func (s *suite) denialFields(t *testing.T, f *filler) {
	ctx := t.Context()
	all := make([]*access.DenialRecord, 3)
	for i := range all {
		all[i] = &access.DenialRecord{}
		f.fill(all[i])
	}
	testkit.Must(t, s.db.PutDenials(ctx, all))
	for i := range all {
		got, err := s.db.Denial(ctx, all[i].RequestID)
		testkit.Must(t, err)
		same(t, "denial", got, all[i])
	}
}
