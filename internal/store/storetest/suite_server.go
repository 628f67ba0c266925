package storetest

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func (s *suite) keys(t *testing.T) {
	ctx := t.Context()
	db := s.newDB(t, store.Options{})
	key := func(id string, after time.Duration) jose.StoredKey {
		at := time.Now().Add(after).Truncate(time.Millisecond).UTC()
		return jose.StoredKey{
			ID:        id,
			Alg:       "ES256",
			PublicJWK: "{}",
			Sealed:    "s",
			CreatedAt: at,
			ActiveAt:  at,
		}
	}
	first := key("k1", 0)
	testkit.Must(t, db.FirstKey(ctx, first))
	want(t, db.FirstKey(ctx, key("k2", 0)), fault.Conflict)
	testkit.Must(t, db.AddKey(ctx, key("k2", time.Second), audit.Event{At: s.now, Type: audit.KeyCreated}))
	all, err := db.Keys(ctx)
	testkit.Must(t, err)
	if len(all) != 2 || cmp.Diff(first, all[0]) != "" {
		t.Fatalf("keys are %+v", all)
	}
	soon := time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC()
	testkit.Must(t, db.RetireKeys(ctx, []string{"k1"}, soon, soon.Add(time.Hour)))
	testkit.Must(t, db.RetireKeys(ctx, []string{"k1"}, soon.Add(time.Hour), soon.Add(9*time.Hour)))
	want(t, db.RetireKeys(ctx, []string{"k2", "none"}, soon, soon), fault.NotFound)
	all, _ = db.Keys(ctx)
	if !all[0].RetiredAt.Equal(soon) || !all[0].ExpiresAt.Equal(soon.Add(time.Hour)) || !all[1].RetiredAt.IsZero() {
		t.Fatalf("keys are %+v", all)
	}
	testkit.Must(t, db.RotateKeys(ctx, key("k3", 2*time.Second), []string{"k2"}, soon, soon.Add(time.Hour)))
	want(t, db.RotateKeys(ctx, key("k4", 2*time.Second), []string{"k2"}, soon, soon), fault.Conflict)
	testkit.Must(t, db.FirstKey(ctx, jose.StoredKey{ID: "rsa", Alg: "RS256", CreatedAt: s.now}))
	testkit.Must(t, db.RetireKeys(ctx, []string{"k1"}, soon, time.Now().Add(-time.Second)))
	all, _ = db.Keys(ctx)
	testkit.Equal(t, "keys that have not expired", len(all), 3)
}

// Queued events are stored when the function that RecordAsync returned has returned.
func (s *suite) auditAsync(t *testing.T) {
	ctx, u := t.Context(), s.user(t)
	race(t, func(int) error {
		stored := s.db.RecordAsync(event(audit.LoginFailed, u, s.now))
		return stored(ctx)
	})
	page, err := s.db.ListAudit(ctx, store.AuditQuery{User: string(u.ID), Limit: 1000})
	testkit.Must(t, err)
	testkit.Equal(t, "events", len(page), racers)
}

// A cached user may be a second old, unless this process has changed it.
func (s *suite) cachedUsers(t *testing.T) {
	ctx, u := t.Context(), s.user(t)
	cached := func(at time.Time) *identity.User {
		t.Helper()
		got, err := s.db.CachedUser(ctx, u.ID, at)
		testkit.Must(t, err)
		return got
	}
	first := cached(s.now)
	if cached(s.now.Add(999*time.Millisecond)) != first {
		t.Error("read again within a second")
	}
	if cached(s.now.Add(time.Second)) == first || cached(s.now.Add(-time.Minute)) == first {
		t.Error("not read again after a second, or when the clock went back")
	}
	renamed := *u
	renamed.Name = "Changed"
	testkit.Must(t, s.db.UpdateUser(ctx, u, &renamed))
	testkit.Equal(t, "name", cached(s.now).Name, "Changed")
	testkit.Must(t, s.db.SetRoles(ctx, u.ID, []string{"r"}, s.now))
	testkit.Equal(t, "roles", len(cached(s.now).Roles), 1)
	testkit.Must(t, s.db.SetUserDisabled(ctx, u.ID, true, s.now))
	testkit.Equal(t, "disabled", cached(s.now).Disabled, true)
	testkit.Must(t, s.db.DeleteUser(ctx, u.ID, s.now))
	_, err := s.db.CachedUser(ctx, u.ID, s.now)
	want(t, err, fault.NotFound)
}

func (s *suite) audit(t *testing.T) {
	ctx, u := t.Context(), s.user(t)
	var all []audit.Event
	for i := range 40 {
		e := event(audit.LoginFailed, u, s.now.Add(time.Duration(i)*time.Second))
		e.Detail, e.RequestID, e.Reason = map[string]string{"n": fmt.Sprint(i)}, s.name("request"), "wrong_password"
		all = append(all, e)
	}
	testkit.Must(t, s.db.Record(ctx, all...))
	testkit.Must(t, s.db.Record(ctx))
	stored := s.db.RecordAsync()
	testkit.Must(t, stored(ctx))
	page, err := s.db.ListAudit(ctx, store.AuditQuery{User: string(u.ID), Limit: 15})
	testkit.Must(t, err)
	if len(page) != 15 || page[0].Detail["n"] != "39" || page[0].ID == "" || page[0].Reason != "wrong_password" {
		t.Fatalf("the first page has %d events and begins with %+v", len(page), page[0])
	}
	seen := len(page)
	for len(page) > 0 {
		page, err = s.db.ListAudit(ctx, store.AuditQuery{
			User:   string(u.ID),
			Limit:  15,
			Before: page[len(page)-1].ID,
		})
		testkit.Must(t, err)
		seen += len(page)
	}
	testkit.Equal(t, "events over all pages", seen, 40)
	page, err = s.db.ListAudit(ctx, store.AuditQuery{
		User:  string(u.ID),
		Since: s.now.Add(10 * time.Second),
		Until: s.now.Add(12 * time.Second),
	})
	testkit.Must(t, err)
	testkit.Equal(t, "events of two seconds", len(page), 2)
	page, err = s.db.ListAudit(ctx, store.AuditQuery{RequestID: all[7].RequestID})
	testkit.Must(t, err)
	testkit.Equal(t, "events of one request", len(page), 1)
}

func (s *suite) meta(t *testing.T) {
	ctx, name := t.Context(), s.name("meta")
	_, err := s.db.Meta(ctx, name)
	want(t, err, fault.NotFound)
	got, err := s.db.InitMeta(ctx, name, "a")
	testkit.Must(t, err)
	testkit.Equal(t, "first", got, "a")
	got, _ = s.db.InitMeta(ctx, name, "b")
	testkit.Equal(t, "second", got, "a")
	testkit.Must(t, s.db.SetMeta(ctx, name, "c"))
	got, _ = s.db.Meta(ctx, name)
	testkit.Equal(t, "set", got, "c")

	testkit.Must(t, s.db.Once(ctx, name, s.now.Add(time.Minute), s.now))
	want(t, s.db.Once(ctx, name, s.now.Add(time.Hour), s.now), fault.Consumed)
	testkit.Must(t, s.db.Once(ctx, name, s.now.Add(time.Hour), s.now.Add(time.Minute)))

	for i, c := range []struct {
		holder string
		ttl    time.Duration
		got    bool
	}{{"a", time.Hour, true}, {"b", time.Hour, false}, {"a", time.Hour, true}, {"b", time.Hour, false}, {"a", -time.Second, true}, {"b", time.Hour, true}, {"a", time.Hour, false}} {
		ok, err := s.db.AcquireLease(ctx, name, c.holder, c.ttl)
		testkit.Must(t, err)
		testkit.Equal(t, fmt.Sprint("lease ", i), ok, c.got)
	}
	testkit.Must(t, s.db.ReleaseLease(ctx, name, "b"))
	ok, err := s.db.AcquireLease(ctx, name, "a", time.Minute)
	testkit.Must(t, err)
	testkit.Equal(t, "lease given back", ok, true)
}

func (s *suite) sweep(t *testing.T) {
	ctx := t.Context()
	db := s.newDB(t, store.Options{})
	c := &client.Client{ID: "c", CreatedAt: s.now}
	testkit.Must(t, db.CreateClient(ctx, c))
	u := &identity.User{ID: "u", CreatedAt: s.now}
	testkit.Must(t, db.CreateUser(ctx, u, event(audit.UserCreated, u, s.now)))
	for i := range 3 {
		g := s.grant(u, c)
		testkit.Must(t, db.PutGrant(ctx, g))
		testkit.Must(t, db.PutCode(ctx, secret.Hash(fmt.Sprint("code", i)), &oauth.Code{Grant: *g, ExpiresAt: s.now.Add(time.Minute)}))
		testkit.Must(t, db.PutDevice(ctx, s.device(c)))
		testkit.Must(t, db.PutOpaque(ctx, secret.Hash(fmt.Sprint("o", i)), token(g, s.now)))
		testkit.Must(t, db.Once(ctx, fmt.Sprint("once", i), s.now.Add(time.Minute), s.now))
		testkit.Must(t, db.PutLink(ctx, secret.Hash(fmt.Sprint("l", i)), &login.Link{
			Kind:      login.LinkSetup,
			CreatedAt: s.now,
			ExpiresAt: s.now.Add(time.Minute),
		}))
		testkit.Must(t, db.PutSession(ctx, secret.Hash(fmt.Sprint("c", i)), identity.NewSession(u.ID, nil, s.now, time.Hour, identity.Browser{}), identity.SessionTerms{}))
		_, err := db.RecordFailure(ctx, login.Failure{
			Key:       fmt.Sprint("k", i),
			Now:       s.now,
			Threshold: 1,
			Duration:  time.Minute,
			Window:    time.Hour,
		})
		testkit.Must(t, err)
	}
	revoked := s.grant(u, c)
	testkit.Must(t, db.EndGrant(ctx, revoked.ID, s.now))
	n, err := db.Sweep(ctx, s.now)
	testkit.Must(t, err)
	testkit.Equal(t, "rows swept too early", n, 0)
	n, err = db.Sweep(ctx, s.now.Add(6*time.Minute))
	testkit.Must(t, err)
	testkit.Equal(t, "rows swept after six minutes, for which a clock may be wrong", n, 0)
	v := s.device(c)
	v.ExpiresAt = s.now
	testkit.Must(t, db.PutDevice(ctx, v))
	p, err := db.PollDevice(ctx, v.Hash, c.ID, s.now.Add(time.Minute))
	testkit.Must(t, err)
	testkit.Equal(t, "expired device is still there", p.Expired, true)
	testkit.Equal(t, "revoked before", db.Revoked(token(revoked, s.now)), true)
	n, err = db.Sweep(ctx, s.now.Add(72*time.Hour))
	testkit.Must(t, err)
	testkit.Equal(t, "rows swept in the end", n, 3*8+1) // and the last device; the newest revocation stays
	ended, err := db.ListAudit(ctx, store.AuditQuery{Type: audit.SessionExpired})
	testkit.Must(t, err)
	testkit.Equal(t, "sessions whose end is recorded", len(ended), 3)
	testkit.Equal(t, "whose they were", ended[0].User != "" && ended[0].Session != "", true)
	testkit.Equal(t, "revoked after", db.Revoked(token(revoked, s.now)), false)
}

// hostileText: any text of a request is stored, or rejected with a kind, on every engine.
func (s *suite) hostileText(t *testing.T) {
	ctx, u := t.Context(), s.user(t)
	for _, bad := range []string{"nul\x00byte", "broken\xff\xfeutf8", strings.Repeat("é", 5000), `'; DROP TABLE users; --`, `\u0000`} {
		e := event(audit.LoginFailed, u, s.now)
		e.Agent, e.IP, e.Reason, e.Detail = bad, bad, bad, map[string]string{bad: bad}
		testkit.Must(t, s.db.Record(ctx, e))
		_, err := s.db.ListAudit(ctx, store.AuditQuery{User: string(u.ID)})
		testkit.Must(t, err) // an event that cannot be read would hide all others
		v := identity.NewSession(u.ID, nil, s.now, time.Hour, identity.Browser{IP: bad, Agent: bad})
		testkit.Must(t, s.db.PutSession(ctx, secret.Hash(s.name("cookie")), v, identity.SessionTerms{}))
		_, err = s.db.UserByLogin(ctx, bad)
		want(t, err, fault.NotFound)
		_, err = s.db.ListUsers(ctx, store.UserQuery{Search: bad}, nil)
		testkit.Must(t, err)
		_, err = s.db.DeviceByUserCode(ctx, bad, s.now)
		want(t, err, fault.NotFound)
		_, err = s.db.Code(ctx, secret.Hash(bad), s.now)
		if k := fault.KindOf(err); k != fault.NotFound && k != fault.Invalid {
			t.Errorf("a code of %.20q: %v", bad, err)
		}
		if err := s.db.SetMeta(ctx, s.name("m"), bad); err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("a value of %.20q: %v", bad, err)
		}
	}
}

// races: of many callers that consume one thing at once, one succeeds.
func (s *suite) races(t *testing.T) {
	t.Run("codes", s.codeRaces)
	t.Run("devices", s.deviceRaces)
	t.Run("login", s.loginRaces)
	t.Run("mailed links", s.mailedRaces)
	t.Run("servers", s.serverRaces)
}

func (s *suite) codeRaces(t *testing.T) {
	ctx, c, u := t.Context(), s.client(t), s.user(t)
	g := s.grant(u, c)
	h := secret.Hash(s.name("code"))
	testkit.Must(t, s.db.PutCode(ctx, h, &oauth.Code{Grant: *g, ExpiresAt: s.now.Add(time.Minute)}))
	oneWins(t, "ConsumeCode", fault.Consumed, func(int) error { return s.db.ConsumeCode(ctx, h, s.now) })
	h = secret.Hash(s.name("code"))
	testkit.Must(t, s.db.PutCode(ctx, h, &oauth.Code{Grant: *g, ExpiresAt: s.now.Add(time.Minute)}))
	oneWins(t, "RedeemCode", fault.Consumed, func(int) error { return s.db.RedeemCode(ctx, h, g, s.now) })
	oneWins(t, "RotateRefresh", fault.Consumed, func(i int) error {
		err := s.db.RotateRefresh(ctx, oauth.RefreshRotation{
			Grant:     g.ID,
			Client:    c.ID,
			Old:       g.RefreshHash,
			New:       secret.Hash(fmt.Sprint("next", i)),
			Now:       s.now,
			ExpiresAt: s.now.Add(time.Hour),
		})
		return err
	})
	s.endRace(t, c, u)
}

func (s *suite) deviceRaces(t *testing.T) {
	ctx, c, u := t.Context(), s.client(t), s.user(t)
	v := s.device(c)
	testkit.Must(t, s.db.PutDevice(ctx, v))
	oneWins(t, "DecideDevice", fault.Consumed, func(i int) error {
		return s.db.DecideDevice(ctx, oauth.DeviceDecision{
			UserCode: v.UserCode,
			Approve:  true,
			Grant:    s.grant(u, c),
			Now:      s.now,
		}, event(audit.DeviceCodeApproved, u, s.now))
	})
	p, err := s.db.PollDevice(ctx, v.Hash, c.ID, s.now)
	testkit.Must(t, err)
	oneWins(t, "RedeemDevice", fault.Consumed, func(int) error { return s.db.RedeemDevice(ctx, v.Hash, p.Grant, s.now) })
	events, err := s.db.ListAudit(ctx, store.AuditQuery{User: string(u.ID), Type: audit.DeviceCodeApproved})
	testkit.Must(t, err)
	testkit.Equal(t, "events of one decision", len(events), 1)
}

// mailedRaces uses each kind of mailed link many times at once: it works once.
func (s *suite) mailedRaces(t *testing.T) {
	ctx, u := t.Context(), s.user(t)
	put := func(kind string) secret.Hash {
		h := secret.Hash(s.name("link"))
		testkit.Must(t, s.db.PutLink(ctx, h, &login.Link{
			Kind:      kind,
			User:      u.ID,
			Email:     u.Email,
			CreatedAt: s.now,
			ExpiresAt: s.now.Add(time.Hour),
		}))
		return h
	}
	passkey := func(id identity.UserID) *login.FirstPasskey {
		return &login.FirstPasskey{
			Handle: s.name("handle"),
			Credential: &identity.Credential{
				ID:          identity.CredentialID(secret.NewID(s.now)),
				User:        id,
				Kind:        "passkey",
				Lookup:      secret.Hash(s.name("lookup")),
				CreatedAt:   s.now,
				ConfirmedAt: s.now,
			},
		}
	}
	h := put(login.LinkPassword)
	oneWins(t, "ConsumeLink", fault.Consumed, func(int) error { return s.db.ConsumeLink(ctx, h, s.now) })
	h = put(login.LinkPassword)
	oneWins(t, "ReplacePasskeys", fault.Consumed, func(int) error {
		return s.db.ReplacePasskeys(ctx, h, passkey(u.ID), s.now)
	})
	creds, err := s.db.Credentials(ctx, u.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "passkeys", len(creds), 1)

	c := &login.Confirmation{
		ID:        secret.NewID(s.now),
		Kind:      login.ConfirmSignUp,
		Email:     s.name("new") + "@example.com",
		Token:     secret.Hash(s.name("token")),
		CreatedAt: s.now,
		ExpiresAt: s.now.Add(time.Hour),
	}
	testkit.Must(t, s.db.PutConfirmation(ctx, c, 1e6, nil))
	oneWins(t, "CompleteSignUp", fault.Consumed, func(int) error {
		id := identity.UserID(secret.NewID(s.now))
		made := &identity.User{ID: id, Email: c.Email, CreatedAt: s.now, UpdatedAt: s.now}
		return s.db.CompleteSignUp(ctx, c.ID, made, passkey(id), s.now)
	})
	made, err := s.db.UserByLogin(ctx, identity.LoginKey(c.Email))
	testkit.Must(t, err)
	creds, err = s.db.Credentials(ctx, made.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "passkeys of the new account", len(creds), 1)
}

func (s *suite) loginRaces(t *testing.T) {
	ctx, u := t.Context(), s.user(t)
	cred := &identity.Credential{
		ID:        identity.CredentialID(secret.NewID(s.now)),
		User:      u.ID,
		Kind:      "totp",
		CreatedAt: s.now,
	}
	testkit.Must(t, s.db.PutCredential(ctx, cred))
	oneWins(t, "ConfirmCredential", fault.Consumed, func(int) error {
		return s.db.ConfirmCredential(ctx, cred.ID, 5, s.now, event(audit.MFAEnabled, u, s.now))
	})
	oneWins(t, "AdvanceCredential", fault.Consumed, func(int) error { return s.db.AdvanceCredential(ctx, cred.ID, 6, s.now) })
	testkit.Must(t, s.db.PutBackupCodes(ctx, u.ID, []secret.Hash{"b"}, s.now))
	oneWins(t, "ConsumeBackupCode", fault.Consumed, func(int) error { return s.db.ConsumeBackupCode(ctx, u.ID, "b", s.now) })

	link := secret.Hash(s.name("link"))
	fresh := s.newDB(t, store.Options{}) // without an administrator
	testkit.Must(t, fresh.PutLink(ctx, link, &login.Link{
		Kind:      login.LinkSetup,
		CreatedAt: s.now,
		ExpiresAt: s.now.Add(time.Hour),
	}))
	oneWins(t, "CompleteSetup", fault.Consumed, func(i int) error {
		return fresh.CompleteSetup(ctx, link, &identity.User{
			ID:        identity.UserID(secret.NewID(s.now)),
			Email:     fmt.Sprintf("%s-%d@x", link, i),
			CreatedAt: s.now,
		}, nil, s.now)
	})

	for _, threshold := range []int{1000, 5} {
		s.countRace(t, login.Failure{
			Key:       s.name("count"),
			Now:       s.now,
			Threshold: threshold,
			Duration:  time.Minute,
			Window:    time.Hour,
		})
	}
}

func (s *suite) serverRaces(t *testing.T) {
	ctx, once := t.Context(), s.name("once")
	oneWins(t, "Once", fault.Consumed, func(int) error {
		return s.db.Once(ctx, once, s.now.Add(time.Minute), s.now)
	})
	oneWins(t, "FirstKey", fault.Conflict, func(i int) error {
		return s.db.FirstKey(ctx, jose.StoredKey{
			ID:        fmt.Sprint("race", i),
			Alg:       "EdDSA",
			CreatedAt: s.now,
		})
	})
	lease := s.name("lease")
	oneWins(t, "AcquireLease", fault.Denied, func(i int) error {
		ok, err := s.db.AcquireLease(ctx, lease, fmt.Sprint(i), time.Minute)
		if err == nil && !ok {
			return fault.New(fault.Denied, "another has it")
		}
		return err
	})
}

// countRace: no failure is lost, and the account is locked once.
func (s *suite) countRace(t *testing.T, f login.Failure) {
	results := race(t, func(int) error { _, err := s.db.RecordFailure(t.Context(), f); return err })
	testkit.Equal(t, "failures without an error", results[fault.Internal], racers)
	l, err := s.db.Lock(t.Context(), f.Key, s.now)
	testkit.Must(t, err)
	rounds := 0
	if f.Threshold < racers {
		rounds = 1
	}
	if l.Failures != racers || l.Rounds != rounds {
		t.Errorf("%d failures became %+v", racers, l)
	}
}

// endRace: grants that are stored while their session ends do not outlive it.
func (s *suite) endRace(t *testing.T, c *client.Client, u *identity.User) {
	ctx, v := t.Context(), s.session(t, u)
	grants := make([]*oauth.Grant, racers)
	race(t, func(i int) error {
		if i == racers/2 {
			return s.db.EndSession(ctx, v.ID, s.now, true)
		}
		grants[i] = s.grant(u, c)
		grants[i].Session = v.ID
		return s.db.PutGrant(ctx, grants[i])
	})
	for _, g := range grants {
		if g == nil {
			continue
		}
		if _, err := s.db.Grant(ctx, g.ID); !fault.Is(err, fault.NotFound) {
			t.Fatalf("a grant outlives its session: %v", err)
		}
		err := s.db.RotateRefresh(ctx, oauth.RefreshRotation{
			Grant:     g.ID,
			Client:    c.ID,
			Old:       g.RefreshHash,
			New:       "n",
			Now:       s.now,
			ExpiresAt: s.now.Add(time.Hour),
		})
		want(t, err, fault.NotFound)
	}
}

// twoProcesses: a change by one server reaches another one on the same database.
func (s *suite) twoProcesses(t *testing.T) {
	ctx := t.Context()
	url := s.url(t)
	a, b := Open(t, store.Options{URL: url}), Open(t, store.Options{URL: url})
	follow(t, a)
	follow(t, b)
	c := &client.Client{ID: "shared", Name: "Shared", CreatedAt: s.now}
	testkit.Must(t, a.CreateClient(ctx, c))
	testkit.Eventually(t, "the new client", func() bool { _, err := b.Client(ctx, c.ID); return err == nil })
	testkit.Must(t, b.CreateScope(ctx, &oauth.Scope{
		Name:        "orders",
		Description: "see orders",
		CreatedAt:   s.now,
	}))
	testkit.Eventually(t, "the new scope", func() bool { return a.Scopes()["orders"] != nil })
	u := &identity.User{ID: "u", CreatedAt: s.now}
	testkit.Must(t, b.CreateUser(ctx, u))
	for i, db := range []*store.DB{a, b, a, b} {
		other := []*store.DB{b, a}[i%2]
		g := s.grant(u, c)
		testkit.Must(t, db.PutGrant(ctx, g))
		testkit.Must(t, db.EndGrant(ctx, g.ID, s.now))
		testkit.Equal(t, "revoked at once where it was done", db.Revoked(token(g, s.now)), true)
		testkit.Eventually(t, "the revocation", func() bool { return other.Revoked(token(g, s.now)) })
	}
	late := Open(t, store.Options{URL: url})
	if _, err := late.Client(ctx, c.ID); err != nil {
		t.Fatal("a server that starts later lacks the client:", err)
	}
}

func (s *suite) callbacks(t *testing.T) {
	ctx := t.Context()
	url := s.url(t)
	a, b := Open(t, store.Options{URL: url}), Open(t, store.Options{URL: url})
	var calledA, calledB, clients atomic.Int32
	var failed atomic.Bool
	a.OnChange(store.TopicKeys, func() error {
		if failed.CompareAndSwap(false, true) { // is called again
			return fault.New(fault.Unavailable, "not now")
		}
		calledA.Add(1)
		return nil
	})
	b.OnChange(store.TopicKeys, func() error {
		_, err := b.Keys(ctx) // a callback may use the store
		calledB.Add(1)
		return err
	})
	b.OnChange(store.TopicClients, func() error {
		clients.Add(1)
		return nil
	})
	follow(t, a)
	follow(t, b)
	testkit.Must(t, a.AddKey(ctx, jose.StoredKey{ID: "k", Alg: "ES256", CreatedAt: s.now}))
	testkit.Eventually(t, "the call in the process itself", func() bool { return calledA.Load() == 1 })
	testkit.Eventually(t, "the call in the other process", func() bool { return calledB.Load() == 1 })
	testkit.Equal(t, "calls for another topic", clients.Load(), 0)
}

// reopened: committed changes are there after a restart, in memory too.
func (s *suite) reopened(t *testing.T) {
	ctx, url := t.Context(), s.url(t)
	a := Open(t, store.Options{URL: url})
	testkit.Must(t, a.CreateClient(ctx, &client.Client{ID: "c", CreatedAt: s.now}))
	g := &oauth.Grant{ID: oauth.GrantID(secret.NewID(s.now)), Client: "c", CreatedAt: s.now}
	testkit.Must(t, a.EndGrant(ctx, g.ID, s.now))
	testkit.Must(t, a.Close())
	want(t, a.SetMeta(ctx, "x", "y"), fault.Unavailable)
	b, err := store.Open(ctx, store.Options{URL: url})
	testkit.Must(t, err)
	defer b.Close()
	if pending, err := b.Pending(ctx); err != nil || len(pending) != 0 {
		t.Fatalf("pending: %v (%v)", pending, err)
	}
	_, err = b.Client(ctx, "c")
	testkit.Must(t, err)
	testkit.Equal(t, "revoked", b.Revoked(token(g, s.now)), true)
}
