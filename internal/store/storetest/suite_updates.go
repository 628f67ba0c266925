package storetest

import (
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// staleUser: a person saves a profile that was read before an administrator disabled the account,
// changed its roles, its names and its need for a new password. Only the profile is written.
func (s *suite) staleUser(t *testing.T) {
	ctx, u := t.Context(), s.user(t)
	stale, err := s.db.User(ctx, u.ID)
	testkit.Must(t, err)

	byAdmin := *u
	byAdmin.Disabled, byAdmin.MustChange, byAdmin.Roles = true, true, []string{"auditor"}
	byAdmin.Username, byAdmin.Email, byAdmin.EmailVerified = s.name("renamed"), s.name("mail")+"@example.org", true
	byAdmin.UpdatedAt = s.now.Add(time.Minute)
	testkit.Must(t, s.db.UpdateUser(ctx, u, &byAdmin))
	testkit.Must(t, s.db.SetPassword(ctx, u.ID, "hash1", 2, s.now.Add(2*time.Minute)))

	profile := *stale
	profile.Name, profile.GivenName, profile.FamilyName = s.name("Name"), "Grace", "Hopper"
	profile.Address = identity.Address{Locality: "Arlington"}
	profile.UpdatedAt = s.now.Add(3 * time.Minute)
	testkit.Must(t, s.db.UpdateUser(ctx, stale, &profile))

	want := byAdmin
	want.Name, want.GivenName, want.FamilyName = profile.Name, profile.GivenName, profile.FamilyName
	want.Address, want.UpdatedAt = profile.Address, profile.UpdatedAt
	want.PasswordHash, want.PasswordChangedAt = "hash1", s.now.Add(2*time.Minute)
	want.MustChange = false // by the new password
	want.Version++
	s.userReads(t, "after a stale profile was saved", &want)

	// The other way round: enabling with a stale copy leaves the profile as it is.
	enabled := byAdmin
	enabled.Disabled, enabled.UpdatedAt = false, s.now.Add(4*time.Minute)
	testkit.Must(t, s.db.UpdateUser(ctx, &byAdmin, &enabled))
	want.Disabled, want.UpdatedAt, want.Version = false, enabled.UpdatedAt, want.Version+1
	s.userReads(t, "after it was enabled by a stale copy", &want)
}

// staleClient: of two administrators who change one client at once, neither undoes the other's
// work.
func (s *suite) staleClient(t *testing.T) {
	ctx, c := t.Context(), s.client(t)
	stale, err := s.db.Client(ctx, c.ID)
	testkit.Must(t, err)
	disabled := *c
	disabled.Disabled, disabled.Networks, disabled.UpdatedAt = true, []string{"10.0.0.0/8"}, s.now.Add(time.Minute)
	testkit.Must(t, s.db.UpdateClient(ctx, c, &disabled))
	renamed := *stale
	renamed.Name, renamed.UpdatedAt = s.name("Renamed "), s.now.Add(2*time.Minute)
	testkit.Must(t, s.db.UpdateClient(ctx, stale, &renamed))
	want := disabled
	want.Name, want.UpdatedAt, want.Version = renamed.Name, renamed.UpdatedAt, 3
	got, err := s.db.Client(ctx, c.ID)
	testkit.Must(t, err)
	same(t, "after two changes", got, &want, nilIsEmpty())
}

func (s *suite) staleRoute(t *testing.T) {
	ctx, db := t.Context(), s.newDB(t, store.Options{})
	r := s.route()
	testkit.Must(t, db.CreateRoute(ctx, r, nil))
	stale := *stored(db, r.ID)
	guarded := *r
	guarded.Scopes, guarded.Unidentified, guarded.Rate = []string{"admin"}, false, 0
	guarded.UpdatedAt = s.now.Add(time.Minute)
	testkit.Must(t, db.UpdateRoute(ctx, r, &guarded, nil))
	moved := stale
	moved.Upstreams, moved.KeepPath, moved.UpdatedAt = []string{"http://10.0.0.9"}, false, s.now.Add(2*time.Minute)
	testkit.Must(t, db.UpdateRoute(ctx, &stale, &moved, nil))
	want := guarded
	want.Upstreams, want.KeepPath, want.UpdatedAt = moved.Upstreams, false, moved.UpdatedAt
	want.Revision = 3
	same(t, "after two changes", stored(db, r.ID), &want)
}

// unchanged: an update in which nothing differs changes no row, and is not an error.
func (s *suite) unchanged(t *testing.T) {
	ctx, db := t.Context(), s.newDB(t, store.Options{})
	u := &identity.User{ID: "u", Name: "Ada", CreatedAt: s.now, UpdatedAt: s.now}
	testkit.Must(t, db.CreateUser(ctx, u))
	later := *u
	later.UpdatedAt = s.now.Add(time.Hour)
	testkit.Must(t, db.UpdateUser(ctx, u, &later, event(audit.UserUpdated, u, s.now)))
	got, err := db.User(ctx, u.ID)
	testkit.Must(t, err)
	same(t, "user", got, u)
	events, err := db.ListAudit(ctx, store.AuditQuery{Type: audit.UserUpdated})
	testkit.Must(t, err)
	testkit.Equal(t, "events", len(events), 1)

	c := s.client(t)
	sameClient := *c
	sameClient.UpdatedAt = later.UpdatedAt
	testkit.Must(t, s.db.UpdateClient(ctx, c, &sameClient))
	gotClient, err := s.db.Client(ctx, c.ID)
	testkit.Must(t, err)
	same(t, "client", gotClient, c, nilIsEmpty())

	r := s.route()
	testkit.Must(t, db.CreateRoute(ctx, r, nil))
	sameRoute := *r
	sameRoute.UpdatedAt = later.UpdatedAt
	testkit.Must(t, db.UpdateRoute(ctx, r, &sameRoute, func([]access.Route) error {
		t.Error("a route that does not change was checked")
		return nil
	}))
	same(t, "route", stored(db, r.ID), r)
}
