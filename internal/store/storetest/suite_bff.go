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
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// bffSession returns a session of a grant, which is not stored.
func (s *suite) bffSession(g *oauth.Grant) *session.Session {
	return &session.Session{
		ID:         secret.NewID(s.now),
		Client:     g.Client,
		User:       g.User,
		Grant:      g.ID,
		Session:    "sid",
		Tokens:     "sealed",
		Version:    1,
		CreatedAt:  s.now,
		LastSeenAt: s.now,
		ExpiresAt:  s.now.Add(time.Hour),
	}
}

func (s *suite) bffSessions(t *testing.T) {
	ctx, c, u := t.Context(), s.client(t), s.user(t)
	g := s.grant(u, c)
	testkit.Must(t, s.db.PutGrant(ctx, g))
	a, h := s.bffSession(g), secret.Hash(s.name("cookie"))
	testkit.Must(t, s.db.PutBFFSession(ctx, h, a, event(audit.AppSessionStarted, u, s.now)))
	got, err := s.db.BFFSession(ctx, h, s.now, 0)
	testkit.Must(t, err)
	if d := cmp.Diff(a, got); d != "" {
		t.Fatal(d)
	}
	want(t, s.db.PutBFFSession(ctx, h, s.bffSession(g)), fault.Conflict)
	for what, at := range map[string]time.Time{"idle": s.now.Add(31 * time.Minute), "past its end": s.now.Add(time.Hour)} {
		if _, err := s.db.BFFSession(ctx, h, at, 30*time.Minute); !fault.Is(err, fault.NotFound) {
			t.Errorf("a session that is %s: %v", what, err)
		}
	}
	testkit.Must(t, s.db.TouchBFFSession(ctx, a.ID, s.now.Add(10*time.Minute)))
	testkit.Must(t, s.db.TouchBFFSession(ctx, a.ID, s.now.Add(5*time.Minute))) // out of order
	got, err = s.db.BFFSession(ctx, h, s.now.Add(31*time.Minute), 30*time.Minute)
	testkit.Must(t, err)
	testkit.Equal(t, "last use", got.LastSeenAt, s.now.Add(10*time.Minute))

	until := s.now.Add(time.Second)
	oneWins(t, "ClaimBFFSession", fault.Consumed, func(int) error { return s.db.ClaimBFFSession(ctx, a.ID, 1, s.now, until) })
	testkit.Must(t, s.db.ReleaseBFFSession(ctx, a.ID, 1, s.now.Add(9*time.Second))) // of another server
	want(t, s.db.ClaimBFFSession(ctx, a.ID, 1, s.now, until), fault.Consumed)
	testkit.Must(t, s.db.ReleaseBFFSession(ctx, a.ID, 1, until))
	testkit.Must(t, s.db.ClaimBFFSession(ctx, a.ID, 1, s.now, until))
	testkit.Must(t, s.db.ClaimBFFSession(ctx, a.ID, 1, until, until.Add(time.Second))) // after the claim of a server that died
	oneWins(t, "RenewBFFSession", fault.Consumed, func(int) error { return s.db.RenewBFFSession(ctx, a.ID, 1, "newer") })
	want(t, s.db.ClaimBFFSession(ctx, a.ID, 1, s.now, until), fault.Consumed)
	got, err = s.db.BFFSession(ctx, h, s.now, 0)
	testkit.Must(t, err)
	if got.Version != 2 || got.Tokens != "newer" || !got.BusyUntil.IsZero() {
		t.Fatalf("after a refresh: %+v", got)
	}
	testkit.Must(t, s.db.ClaimBFFSession(ctx, a.ID, 2, s.now, until))
	want(t, s.db.ClaimBFFSession(ctx, "nobody", 1, s.now, until), fault.Consumed)
	want(t, s.db.RenewBFFSession(ctx, "nobody", 1, "x"), fault.Consumed)
}

func (s *suite) bffSessionsEnd(t *testing.T) {
	ctx, c, u := t.Context(), s.client(t), s.user(t)
	g := s.grant(u, c)
	testkit.Must(t, s.db.PutGrant(ctx, g))
	a, h := s.bffSession(g), secret.Hash(s.name("cookie"))
	testkit.Must(t, s.db.PutBFFSession(ctx, h, a))
	oneWins(t, "EndBFFSession", fault.NotFound, func(int) error {
		return s.db.EndBFFSession(ctx, a, s.now, event(audit.AppSessionEnded, u, s.now))
	})
	_, err := s.db.BFFSession(ctx, h, s.now, 0)
	want(t, err, fault.NotFound)
	_, err = s.db.Grant(ctx, g.ID)
	want(t, err, fault.NotFound)
	testkit.Equal(t, "token of an ended app session revoked", s.db.Revoked(token(g, s.now)), true)
	events, err := s.db.ListAudit(ctx, store.AuditQuery{User: string(u.ID), Type: audit.AppSessionEnded})
	testkit.Must(t, err)
	testkit.Equal(t, "events of one end", len(events), 1)

	want(t, s.db.PutBFFSession(ctx, secret.Hash(s.name("cookie")), s.bffSession(g)), fault.Consumed) // its grant has ended
	second := s.grant(u, c)
	testkit.Must(t, s.db.PutGrant(ctx, second))
	a = s.bffSession(second)
	testkit.Must(t, s.db.PutBFFSession(ctx, h, a))
	testkit.Must(t, s.db.EndGrant(ctx, second.ID, s.now)) // by the account page
	testkit.Must(t, s.db.EndBFFSession(ctx, a, s.now))

	gone := s.client(t)
	third := s.grant(u, gone)
	testkit.Must(t, s.db.PutGrant(ctx, third))
	testkit.Must(t, s.db.PutBFFSession(ctx, h, s.bffSession(third)))
	testkit.Must(t, s.db.DeleteClient(ctx, gone.ID, s.now))
	_, err = s.db.BFFSession(ctx, h, s.now, 0)
	want(t, err, fault.NotFound)
}

func (s *suite) bffSessionsSwept(t *testing.T) {
	db := s.newDB(t, store.Options{})
	ctx, c := t.Context(), &client.Client{
		ID:        "app",
		Redirects: []string{"https://app.example/session/callback"},
		CreatedAt: s.now,
	}
	testkit.Must(t, db.CreateClient(ctx, c))
	off := &client.Client{
		ID:        "off",
		Redirects: append([]string{"https://off.example/cb"}, c.Redirects...),
		Disabled:  true,
		CreatedAt: s.now,
	}
	testkit.Must(t, db.CreateClient(ctx, off))
	if found := db.ClientsAt("https://app.example/session/callback"); len(found) != 1 || found[0].ID != "app" {
		t.Fatalf("clients of a redirect URI: %v", found)
	}
	for origin, want := range map[string]bool{
		"https://app.example": true, "https://app.exampl": false, "https://off.example": false,
		"https://app.example:8443": false, "http://app.example": false, "": false,
	} {
		testkit.Equal(t, "registered: "+origin, db.OriginRegistered(origin), want)
	}
	testkit.Equal(t, "clients of another", len(db.ClientsAt("https://app.example/session/callback/")), 0)

	g := &oauth.Grant{
		ID:          oauth.GrantID(secret.NewID(s.now)),
		Client:      c.ID,
		RefreshHash: "r",
		CreatedAt:   s.now,
		ExpiresAt:   s.now.Add(30 * 24 * time.Hour),
	}
	testkit.Must(t, db.PutGrant(ctx, g))
	a := s.bffSession(g)
	testkit.Must(t, db.PutBFFSession(ctx, "h", a))
	_, err := db.Sweep(ctx, a.ExpiresAt.Add(-time.Millisecond))
	testkit.Must(t, err)
	_, err = db.Grant(ctx, g.ID)
	testkit.Must(t, err)
	_, err = db.Sweep(ctx, a.ExpiresAt)
	testkit.Must(t, err)
	_, err = db.BFFSession(ctx, "h", s.now, 0)
	want(t, err, fault.NotFound)
	_, err = db.Grant(ctx, g.ID) // no session has its tokens any more
	want(t, err, fault.NotFound)
}
