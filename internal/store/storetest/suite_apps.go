package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/bff/session"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
)

// appSession makes, but does not store, a session of a grant.
func (s *suite) appSession(g *oauth.Grant) *session.Session {
	return &session.Session{
		ID: secret.NewID(s.now), Client: g.Client, User: g.User, Grant: g.ID, Session: "sid", Tokens: "sealed", Version: 1,
		CreatedAt: s.now, LastSeenAt: s.now, ExpiresAt: s.now.Add(time.Hour),
	}
}

func (s *suite) appSessions(t *testing.T) {
	ctx, c, u := t.Context(), s.client(t), s.user(t)
	g := s.grant(u, c)
	must(t, s.db.PutGrant(ctx, g))
	a, h := s.appSession(g), secret.Hash(s.name("cookie"))
	must(t, s.db.PutBFFSession(ctx, h, a, event(audit.AppSessionStarted, u, s.now)))
	got, err := s.db.BFFSession(ctx, h, s.now, 0)
	must(t, err)
	if d := cmp.Diff(a, got); d != "" {
		t.Fatal(d)
	}
	want(t, s.db.PutBFFSession(ctx, h, s.appSession(g)), fault.Conflict)
	for what, at := range map[string]time.Time{"idle": s.now.Add(31 * time.Minute), "past its end": s.now.Add(time.Hour)} {
		if _, err := s.db.BFFSession(ctx, h, at, 30*time.Minute); !fault.Is(err, fault.NotFound) {
			t.Errorf("a session that is %s: %v", what, err)
		}
	}
	must(t, s.db.TouchBFFSession(ctx, a.ID, s.now.Add(10*time.Minute)))
	must(t, s.db.TouchBFFSession(ctx, a.ID, s.now.Add(5*time.Minute))) // late news
	got, err = s.db.BFFSession(ctx, h, s.now.Add(31*time.Minute), 30*time.Minute)
	must(t, err)
	equal(t, "last use", got.LastSeenAt, s.now.Add(10*time.Minute))

	until := s.now.Add(time.Second)
	oneWins(t, "ClaimBFFSession", fault.Consumed, func(int) error { return s.db.ClaimBFFSession(ctx, a.ID, 1, s.now, until) })
	must(t, s.db.ReleaseBFFSession(ctx, a.ID, 1, s.now.Add(9*time.Second))) // another's claim
	want(t, s.db.ClaimBFFSession(ctx, a.ID, 1, s.now, until), fault.Consumed)
	must(t, s.db.ReleaseBFFSession(ctx, a.ID, 1, until))
	must(t, s.db.ClaimBFFSession(ctx, a.ID, 1, s.now, until))
	must(t, s.db.ClaimBFFSession(ctx, a.ID, 1, until, until.Add(time.Second))) // of a server that has died
	oneWins(t, "RenewBFFSession", fault.Consumed, func(int) error { return s.db.RenewBFFSession(ctx, a.ID, 1, "newer") })
	want(t, s.db.ClaimBFFSession(ctx, a.ID, 1, s.now, until), fault.Consumed)
	got, err = s.db.BFFSession(ctx, h, s.now, 0)
	must(t, err)
	if got.Version != 2 || got.Tokens != "newer" || !got.BusyUntil.IsZero() {
		t.Fatalf("after a refresh: %+v", got)
	}
	must(t, s.db.ClaimBFFSession(ctx, a.ID, 2, s.now, until))
	want(t, s.db.ClaimBFFSession(ctx, "nobody", 1, s.now, until), fault.Consumed)
	want(t, s.db.RenewBFFSession(ctx, "nobody", 1, "x"), fault.Consumed)
}

func (s *suite) appSessionsEnd(t *testing.T) {
	ctx, c, u := t.Context(), s.client(t), s.user(t)
	g := s.grant(u, c)
	must(t, s.db.PutGrant(ctx, g))
	a, h := s.appSession(g), secret.Hash(s.name("cookie"))
	must(t, s.db.PutBFFSession(ctx, h, a))
	oneWins(t, "EndBFFSession", fault.NotFound, func(int) error {
		return s.db.EndBFFSession(ctx, a, s.now, event(audit.AppSessionEnded, u, s.now))
	})
	_, err := s.db.BFFSession(ctx, h, s.now, 0)
	want(t, err, fault.NotFound)
	_, err = s.db.Grant(ctx, g.ID)
	want(t, err, fault.NotFound)
	equal(t, "token of an ended app session revoked", s.db.Revoked(token(g, s.now)), true)
	events, err := s.db.ListAudit(ctx, store.AuditQuery{User: string(u.ID), Type: audit.AppSessionEnded})
	must(t, err)
	equal(t, "events of one end", len(events), 1)

	want(t, s.db.PutBFFSession(ctx, secret.Hash(s.name("cookie")), s.appSession(g)), fault.Consumed) // its grant has ended
	second := s.grant(u, c)
	must(t, s.db.PutGrant(ctx, second))
	a = s.appSession(second)
	must(t, s.db.PutBFFSession(ctx, h, a))
	must(t, s.db.EndGrant(ctx, second.ID, s.now)) // by the account page
	must(t, s.db.EndBFFSession(ctx, a, s.now))

	gone := s.client(t)
	third := s.grant(u, gone)
	must(t, s.db.PutGrant(ctx, third))
	must(t, s.db.PutBFFSession(ctx, h, s.appSession(third)))
	must(t, s.db.DeleteClient(ctx, gone.ID, s.now))
	_, err = s.db.BFFSession(ctx, h, s.now, 0)
	want(t, err, fault.NotFound)
}

func (s *suite) appSessionsSwept(t *testing.T) {
	db := s.fresh(t, store.Options{})
	ctx, c := t.Context(), &client.Client{ID: "app", Redirects: []string{"https://app.example/session/callback"}, CreatedAt: s.now}
	must(t, db.CreateClient(ctx, c))
	off := &client.Client{ID: "off", Redirects: c.Redirects, Disabled: true, CreatedAt: s.now}
	must(t, db.CreateClient(ctx, off))
	if found := db.ClientsAt("https://app.example/session/callback"); len(found) != 1 || found[0].ID != "app" {
		t.Fatalf("clients of a redirect URI: %v", found)
	}
	equal(t, "clients of another", len(db.ClientsAt("https://app.example/session/callback/")), 0)

	g := &oauth.Grant{ID: oauth.GrantID(secret.NewID(s.now)), Client: c.ID, RefreshHash: "r", CreatedAt: s.now, ExpiresAt: s.now.Add(30 * 24 * time.Hour)}
	must(t, db.PutGrant(ctx, g))
	a := s.appSession(g)
	must(t, db.PutBFFSession(ctx, "h", a))
	_, err := db.Sweep(ctx, a.ExpiresAt.Add(-time.Millisecond))
	must(t, err)
	_, err = db.Grant(ctx, g.ID)
	must(t, err)
	_, err = db.Sweep(ctx, a.ExpiresAt)
	must(t, err)
	_, err = db.BFFSession(ctx, "h", s.now, 0)
	want(t, err, fault.NotFound)
	_, err = db.Grant(ctx, g.ID) // nobody has its tokens any more
	want(t, err, fault.NotFound)
}
