package store_test

import (
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
)

// The reads of frequent requests allocate the rows of the driver, the entity and one list of
// destinations.
func TestReadAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates, too")
	}
	ctx, db := t.Context(), storetest.Memory(t)
	now := time.UnixMilli(1_790_000_000_000)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	u := &identity.User{
		ID:        "u",
		Username:  "ada",
		Email:     "ada@example.org",
		Roles:     []string{"staff"},
		Address:   identity.Address{Locality: "Paris"},
		CreatedAt: now,
		UpdatedAt: now,
	}
	must(db.CreateUser(ctx, u))
	must(db.CreateClient(ctx, &client.Client{ID: "c", Scopes: []string{"openid"}, CreatedAt: now}))
	s := identity.NewSession(u.ID, []string{"pwd"}, now, time.Hour, identity.Browser{IP: "192.0.2.1", Agent: "Browser/1"})
	must(db.PutSession(ctx, "cookie", s, identity.SessionTerms{}))
	g := &oauth.Grant{
		ID:          oauth.GrantID(secret.NewID(now)),
		Client:      "c",
		User:        u.ID,
		Session:     s.ID,
		Kind:        "authorization_code",
		Scopes:      []string{"openid", "email"},
		RefreshHash: "r",
		AuthTime:    now,
		AMR:         []string{"pwd"},
		CreatedAt:   now,
		ExpiresAt:   now.Add(time.Hour),
	}
	must(db.PutGrant(ctx, g))
	for _, c := range []struct {
		name   string
		budget float64
		read   func() error
	}{
		{"Client", 0, func() error { _, err := db.Client(ctx, "c"); return err }},
		{"User", 101, func() error { _, err := db.User(ctx, u.ID); return err }},
		{"UserByLogin", 102, func() error { _, err := db.UserByLogin(ctx, "ada"); return err }},
		{"SessionByCookie", 62, func() error { _, err := db.SessionByCookie(ctx, "cookie", now, time.Hour); return err }},
		{"Session", 61, func() error { _, err := db.Session(ctx, s.ID, now); return err }},
		{"Grant", 84, func() error { _, err := db.Grant(ctx, g.ID); return err }},
		{"GrantAndUser", 169, func() error { _, _, err := db.GrantAndUser(ctx, g.ID); return err }},
	} {
		if got := testing.AllocsPerRun(100, func() { must(c.read()) }); got > c.budget {
			t.Errorf("%s: %v allocations, budget %v", c.name, got, c.budget)
		}
	}
}
