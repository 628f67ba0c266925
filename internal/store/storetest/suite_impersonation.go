package storetest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func impersonationCases() []testCase {
	return []testCase{
		{"Impersonation opens once", (*suite).impersonationOnce},
		{"Impersonation does not open", (*suite).impersonationRefused},
		{"Impersonation ends", (*suite).impersonationEnds},
		{"Impersonation without a session of the actor ends", (*suite).sessionlessEnds},
		{"Impersonations are bounded", (*suite).impersonationsBounded},
		{"Impersonation leaves nothing of the person", (*suite).impersonationErased},
	}
}

// acting is an administrator's link to act as a person.
type acting struct {
	person, actor *identity.User
	own           *identity.Session // of the actor
	link          secret.Hash
	im            *login.Impersonation
}

func (s *suite) acting(t *testing.T) *acting {
	t.Helper()
	a := &acting{person: s.user(t), actor: s.user(t), link: secret.Hash(s.name("link"))}
	a.own = s.session(t, a.actor)
	a.im = &login.Impersonation{
		Session:      identity.SessionID(secret.NewID(s.now)),
		User:         a.person.ID,
		Actor:        identity.Impersonator{Kind: audit.ActorUser, ID: string(a.actor.ID)},
		ActorSession: a.own.ID,
		Reason:       "ticket 7",
		CreatedAt:    s.now,
		ExpiresAt:    s.now.Add(2 * time.Minute),
	}
	return a
}

func (s *suite) putImpersonation(t *testing.T, a *acting) {
	t.Helper()
	testkit.Must(t, s.db.PutImpersonation(t.Context(), a.link, a.im, 20))
}

// opened returns the session that a link opens.
func (a *acting) opened(now time.Time) *identity.Session {
	return &identity.Session{
		ID:           a.im.Session,
		User:         a.im.User,
		CreatedAt:    now,
		LastSeenAt:   now,
		ExpiresAt:    now.Add(time.Hour),
		Impersonator: a.im.Actor,
	}
}

func (s *suite) openImpersonation(a *acting, browser identity.SessionID, now time.Time) error {
	ev := audit.Event{At: now, Type: audit.ImpersonationStarted, User: string(a.person.ID)}
	return s.db.OpenImpersonation(context.Background(), a.link, secret.Hash(s.name("cookie")), browser,
		a.opened(now), ev)
}

// Of many browsers with one link exactly one gets a session.
func (s *suite) impersonationOnce(t *testing.T) {
	ctx, a := t.Context(), s.acting(t)
	s.putImpersonation(t, a)
	got, err := s.db.ImpersonationByLink(ctx, a.link, s.now)
	testkit.Must(t, err)
	same(t, "by its link", got, a.im)
	_, err = s.db.Impersonation(ctx, a.im.Session) // not open yet
	want(t, err, fault.NotFound)

	var won atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			switch err := s.openImpersonation(a, "", s.now); {
			case err == nil:
				won.Add(1)
			case !fault.Is(err, fault.Consumed):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	testkit.Equal(t, "sessions", won.Load(), 1)
	got, err = s.db.Impersonation(ctx, a.im.Session)
	testkit.Must(t, err)
	a.im.OpenedAt = s.now
	same(t, "open", got, a.im)
	all, err := s.db.Impersonations(ctx, "", 1000)
	testkit.Must(t, err)
	found := 0
	for i := range all {
		if all[i].Session == a.im.Session {
			found++
		}
	}
	testkit.Equal(t, "listed", found, 1)
	_, err = s.db.ImpersonationByLink(ctx, a.link, s.now)
	want(t, err, fault.NotFound)
	sess, err := s.db.Session(ctx, a.im.Session, s.now)
	testkit.Must(t, err)
	testkit.Equal(t, "impersonated", sess.Impersonated(), true)
	u, err := s.db.User(ctx, a.person.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "the person has not signed in", u.LastLoginAt.IsZero(), true)
}

// A link that cannot be used opens nothing, and leaves no event.
func (s *suite) impersonationRefused(t *testing.T) {
	ctx := t.Context()
	for name, c := range map[string]struct {
		prepare func(a *acting)
		browser func(a *acting) identity.SessionID
		at      time.Duration
		want    fault.Kind
	}{
		"expired":            {at: 2 * time.Minute, want: fault.Consumed},
		"bound, no browser":  {prepare: func(a *acting) { a.im.Bound = true }, want: fault.Consumed},
		"bound, another one": {prepare: func(a *acting) { a.im.Bound = true }, browser: func(*acting) identity.SessionID { return "x" }, want: fault.Consumed},
		"person disabled": {prepare: func(a *acting) {
			testkit.Must(t, s.db.SetUserDisabled(ctx, a.person.ID, true, s.now))
		}, want: fault.Denied},
		"person locked": {prepare: func(a *acting) {
			testkit.Must(t, s.db.SetUserLocked(ctx, a.person.ID, s.now, "x", s.now))
		}, want: fault.Denied},
		"actor signed out": {prepare: func(a *acting) {
			testkit.Must(t, s.db.EndSession(ctx, a.own.ID, s.now, true))
		}, want: fault.Denied},
		"actor disabled": {prepare: func(a *acting) {
			testkit.Must(t, s.db.SetUserDisabled(ctx, a.actor.ID, true, s.now))
		}, want: fault.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			a := s.acting(t)
			if c.prepare != nil {
				c.prepare(a)
			}
			s.putImpersonation(t, a)
			browser := identity.SessionID("")
			if c.browser != nil {
				browser = c.browser(a)
			}
			want(t, s.openImpersonation(a, browser, s.now.Add(c.at)), c.want)
			_, err := s.db.Session(ctx, a.im.Session, s.now)
			want(t, err, fault.NotFound)
			n, err := s.db.CountAudit(ctx, store.AuditQuery{Type: audit.ImpersonationStarted, User: string(a.person.ID)})
			testkit.Must(t, err)
			testkit.Equal(t, "events", n, 0)
		})
	}
	a := s.acting(t)
	a.im.Bound = true
	s.putImpersonation(t, a)
	testkit.Must(t, s.openImpersonation(a, a.own.ID, s.now))
}

// endings are the changes that end sessions in which somebody acts as another person, by name.
type endings map[string]func(t *testing.T, a *acting) error

// cause returns an event of a change.
func (s *suite) cause(kind audit.Type) audit.Event {
	return audit.Event{At: s.now, Type: kind, Actor: "somebody"}
}

// bySession returns the changes to sessions that end one.
func (s *suite) bySession() endings {
	ctx := context.Background()
	return endings{
		"the session": func(_ *testing.T, a *acting) error {
			return s.db.EndSession(ctx, a.im.Session, s.now, false, s.cause(audit.Logout))
		},
		"the actor's session": func(_ *testing.T, a *acting) error {
			return s.db.EndSession(ctx, a.own.ID, s.now, false, s.cause(audit.Logout))
		},
		"the actor's sessions": func(_ *testing.T, a *acting) error {
			return s.db.EndOtherSessions(ctx, a.actor.ID, "", s.now, false, s.cause(audit.SessionRevoked))
		},
		"the person's sessions": func(t *testing.T, a *acting) error {
			return s.db.EndOtherSessions(ctx, a.person.ID, s.session(t, a.person).ID, s.now, false, s.cause(audit.SessionRevoked))
		},
		"the person's access": func(_ *testing.T, a *acting) error {
			return s.db.EndUserAccess(ctx, a.person.ID, s.now, "", s.cause(audit.SessionRevoked))
		},
		"a selection": func(_ *testing.T, a *acting) error {
			_, err := s.db.EndSessions(ctx, store.SessionQuery{User: a.person.ID, Now: s.now}, false, nil,
				func(*identity.Session) audit.Event { return s.cause(audit.SessionRevoked) })
			return err
		},
		"a new single session": func(_ *testing.T, a *acting) error {
			v := identity.NewSession(a.person.ID, nil, s.now, time.Hour, identity.Browser{})
			return s.db.PutSession(ctx, secret.Hash(s.name("cookie")), v, identity.SessionTerms{Single: true})
		},
		"time": func(*testing.T, *acting) error {
			_, err := s.db.Sweep(ctx, s.now.Add(time.Hour))
			return err
		},
		"itself": func(_ *testing.T, a *acting) error {
			return s.db.EndImpersonation(ctx, a.im.Session, audit.Event{At: s.now})
		},
	}
}

// byAccount returns the changes to accounts that end one.
func (s *suite) byAccount() endings {
	ctx := context.Background()
	return endings{
		"the actor is disabled": func(_ *testing.T, a *acting) error {
			return s.db.SetUserDisabled(ctx, a.actor.ID, true, s.now, s.cause(audit.UserDisabled))
		},
		"the actor is locked": func(_ *testing.T, a *acting) error {
			return s.db.SetUserLocked(ctx, a.actor.ID, s.now, "x", s.now, s.cause(audit.UserLocked))
		},
		"the actor is deleted": func(_ *testing.T, a *acting) error {
			return s.db.DeleteUser(ctx, a.actor.ID, s.now, s.cause(audit.UserDeleted))
		},
		"the actor's roles": func(_ *testing.T, a *acting) error {
			next := *a.actor
			next.Roles = nil
			return s.db.UpdateUser(ctx, a.actor, &next, s.cause(audit.UserUpdated))
		},
		"the actor's roles, set": func(_ *testing.T, a *acting) error {
			return s.db.SetRoles(ctx, a.actor.ID, nil, s.now, s.cause(audit.UserUpdated))
		},
		"the person's roles": func(_ *testing.T, a *acting) error {
			next := *a.person
			next.Roles = []string{"admin", "staff"}
			return s.db.UpdateUser(ctx, a.person, &next, s.cause(audit.UserUpdated))
		},
		"the person is disabled": func(_ *testing.T, a *acting) error {
			next := *a.person
			next.Disabled = true
			return s.db.UpdateUser(ctx, a.person, &next, s.cause(audit.UserUpdated))
		},
		"the person is deleted": func(_ *testing.T, a *acting) error {
			return s.db.DeleteUser(ctx, a.person.ID, s.now, s.cause(audit.UserDeleted))
		},
	}
}

// Whatever ends the actor, their rights or the session itself ends it with its tokens, whether or
// not tokens end with other sessions, and is recorded once.
func (s *suite) impersonationEnds(t *testing.T) {
	for _, all := range []endings{s.bySession(), s.byAccount()} {
		for name, end := range all {
			t.Run(name, func(t *testing.T) { s.endsActing(t, name == "the person is deleted", end) })
		}
	}
}

func (s *suite) endsActing(t *testing.T, erased bool, end func(*testing.T, *acting) error) {
	t.Helper()
	s.endsActingBy(t, s.acting(t), erased, end)
}

func (s *suite) endsActingBy(
	t *testing.T, a *acting, erased bool, end func(*testing.T, *acting) error,
) {
	t.Helper()
	ctx, c := t.Context(), s.client(t)
	s.putImpersonation(t, a)
	testkit.Must(t, s.openImpersonation(a, "", s.now))
	g := s.grant(a.person, c, "openid")
	g.Session, g.Impersonator = a.im.Session, a.im.Actor
	testkit.Must(t, s.db.PutGrant(ctx, g))
	token := &oauth.AccessToken{
		ID: secret.NewID(s.now), Grant: g.ID, Session: a.im.Session, User: a.person.ID, Client: c.ID,
		IssuedAt: s.now.Truncate(time.Second), Expires: s.now.Add(time.Hour),
	}
	testkit.Equal(t, "revoked before", s.db.Revoked(token), false)
	testkit.Must(t, end(t, a))
	testkit.Must(t, s.db.EndImpersonation(ctx, a.im.Session, audit.Event{At: s.now})) // has ended: nothing
	_, err := s.db.Impersonation(ctx, a.im.Session)
	want(t, err, fault.NotFound)
	_, err = s.db.Session(ctx, a.im.Session, s.now)
	want(t, err, fault.NotFound)
	_, err = s.db.Grant(ctx, g.ID)
	want(t, err, fault.NotFound)
	testkit.Equal(t, "revoked", s.db.Revoked(token), true)
	found, err := s.db.ListAudit(ctx, store.AuditQuery{Type: audit.ImpersonationEnded, User: string(a.person.ID)})
	testkit.Must(t, err)
	testkit.Equal(t, "events", len(found), 1)
	testkit.Equal(t, "actor", found[0].Actor, string(a.actor.ID))
	reason := a.im.Reason
	if erased {
		reason = "" // it may say something about the person
	}
	testkit.Equal(t, "reason", found[0].Detail["reason"], reason)
}

// What an actor began with a token that belongs to no session ends with the actor's access and with
// the actor's grants, and an unused link with it.
func (s *suite) sessionlessEnds(t *testing.T) {
	ctx := t.Context()
	all := endings{
		"the actor's access": func(_ *testing.T, a *acting) error {
			return s.db.EndUserAccess(ctx, a.actor.ID, s.now, a.own.ID, s.cause(audit.SessionRevoked))
		},
		"the actor's grants": func(_ *testing.T, a *acting) error {
			return s.db.EndUserGrants(ctx, a.actor.ID, s.now, s.cause(audit.SessionRevoked))
		},
	}
	for name, end := range all {
		t.Run(name, func(t *testing.T) {
			a := s.acting(t)
			a.im.ActorSession = ""
			s.endsActingBy(t, a, false, func(t *testing.T, a *acting) error {
				unused := *a
				im := *a.im
				unused.im, unused.link = &im, secret.Hash(s.name("link"))
				im.Session, im.User = identity.SessionID(secret.NewID(s.now)), s.user(t).ID
				s.putImpersonation(t, &unused)
				other := s.acting(t) // of another actor
				other.im.ActorSession = ""
				s.putImpersonation(t, other)
				testkit.Must(t, s.openImpersonation(other, "", s.now))

				err := end(t, a)
				_, gone := s.db.ImpersonationByLink(ctx, unused.link, s.now)
				want(t, gone, fault.NotFound)
				_, stays := s.db.Impersonation(ctx, other.im.Session)
				testkit.Must(t, stays)
				return err
			})
		})
	}
	a := s.acting(t) // begun in a session that stays
	s.putImpersonation(t, a)
	testkit.Must(t, s.openImpersonation(a, "", s.now))
	testkit.Must(t, s.db.EndUserAccess(ctx, a.actor.ID, s.now, a.own.ID))
	_, err := s.db.Impersonation(ctx, a.im.Session)
	testkit.Must(t, err)
}

// A client that acts by itself loses what it has opened with its registration.
func (s *suite) impersonationsBounded(t *testing.T) {
	ctx, c := t.Context(), s.client(t)
	var last *acting
	for i := range 3 {
		a := s.acting(t)
		a.im.Actor, a.im.ActorSession = identity.Impersonator{Kind: audit.ActorClient, ID: string(c.ID)}, ""
		err := s.db.PutImpersonation(ctx, a.link, a.im, 2)
		if i == 2 {
			want(t, err, fault.Limited)
			break
		}
		testkit.Must(t, err)
		testkit.Must(t, s.openImpersonation(a, "", s.now))
		last = a
	}
	next := *c
	next.Disabled = true
	testkit.Must(t, s.db.UpdateClient(ctx, c, &next))
	_, err := s.db.Session(ctx, last.im.Session, s.now)
	want(t, err, fault.NotFound)

	a := s.acting(t) // another link to the same person replaces the first
	s.putImpersonation(t, a)
	first := a.link
	a.link, a.im.Session = secret.Hash(s.name("link")), identity.SessionID(secret.NewID(s.now))
	s.putImpersonation(t, a)
	_, err = s.db.ImpersonationByLink(ctx, first, s.now)
	want(t, err, fault.NotFound)
	_, err = s.db.Sweep(ctx, s.now.Add(2*time.Minute))
	testkit.Must(t, err)
	_, err = s.db.ImpersonationByLink(ctx, a.link, s.now)
	want(t, err, fault.NotFound)
}

// A link to act as a person goes with the account.
func (s *suite) impersonationErased(t *testing.T) {
	ctx, a := t.Context(), s.acting(t)
	s.putImpersonation(t, a)
	testkit.Must(t, s.db.DeleteUser(ctx, a.person.ID, s.now))
	_, err := s.db.ImpersonationByLink(ctx, a.link, s.now)
	want(t, err, fault.NotFound)
}
