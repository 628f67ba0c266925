package storetest

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
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
	byAdmin.EmailVerifiedAt = byAdmin.UpdatedAt // the store says so
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

// together makes many changes in one transaction: each sees those before it, and what they share,
// such as counters and the log of revocations, is right afterwards.
func (s *suite) together(t *testing.T) {
	// It counts, and changes how long tokens are valid.
	s = &suite{url: s.url, db: s.newDB(t, store.Options{}), now: s.now}
	ctx, u := t.Context(), s.user(t)
	gone := []*client.Client{s.client(t), s.client(t), s.client(t)}
	var grants []*oauth.Grant
	for _, c := range gone {
		g := s.grant(u, c)
		testkit.Must(t, s.db.PutGrant(ctx, g))
		grants = append(grants, g)
	}
	undone := errors.New("undone")
	err := s.db.Together(ctx, func(db admin.Store, _ func() error) error {
		s.changeTogether(t, db, gone)
		return undone
	})
	testkit.Equal(t, "the error", errors.Is(err, undone), true)
	testkit.Equal(t, "a scope of what was undone", s.db.Scopes()["together:read"], nil)
	testkit.Equal(t, "a revocation of what was undone", s.db.Revoked(token(grants[0], s.now)), false)

	head, _ := s.db.RevocationHead()
	testkit.Must(t, s.db.Together(ctx, func(db admin.Store, _ func() error) error {
		s.changeTogether(t, db, gone)
		return nil
	}))
	testkit.Equal(t, "the scope", s.db.Scopes()["together:read"].Description, "see all of it")
	testkit.Equal(t, "the role", s.db.RoleDefinitions()["together"].Scopes, []string{"together:read"})
	seen := map[string]bool{}
	log, err := s.db.RevocationsSince(ctx, head.Seq, 100)
	testkit.Must(t, err)
	for _, r := range log {
		seen[r.ID] = true
	}
	for i, c := range gone {
		testkit.Equal(t, "the log has the client", seen[string(c.ID)], true)
		testkit.Equal(t, "its token is revoked", s.db.Revoked(token(grants[i], s.now)), true)
	}
	wrong, err := s.db.CorrectCounts(ctx, s.now)
	testkit.Must(t, err)
	testkit.Equal(t, "wrong counts", wrong, 0)
	ttl, err := s.db.Meta(ctx, "token_life")
	testkit.Must(t, err)
	testkit.Equal(t, "the longest token", ttl, strconv.FormatInt((4000*time.Hour).Milliseconds(), 10))
}

// changeTogether changes a scope, a role and clients, and checks that each change is seen.
func (s *suite) changeTogether(t *testing.T, db admin.Store, gone []*client.Client) {
	t.Helper()
	ctx := t.Context()
	const scope, role = "together:read", "together"
	old := &oauth.Scope{ID: secret.NewID(s.now), Name: scope, Description: "see it", CreatedAt: s.now}
	testkit.Must(t, db.CreateScope(ctx, old))
	next := *db.Scopes()[scope]
	next.Description = "see all of it"
	testkit.Must(t, db.UpdateScopeAt(ctx, 1, db.Scopes()[scope], &next))
	testkit.Equal(t, "the scope meanwhile", db.Scopes()[scope].Description, "see all of it")
	empty := &identity.Role{ID: secret.NewID(s.now), Name: role, CreatedAt: s.now, UpdatedAt: s.now}
	testkit.Must(t, db.CreateRole(ctx, empty))
	r := *db.RoleDefinitions()[role]
	r.Scopes = []string{scope}
	testkit.Must(t, db.UpdateRole(ctx, db.RoleDefinitions()[role], &r))
	testkit.Equal(t, "the role meanwhile", db.RoleDefinitions()[role].Scopes, []string{scope})
	lasting := &client.Client{ID: "lasting", Name: "Lasting", AccessTTL: 4000 * time.Hour, CreatedAt: s.now, UpdatedAt: s.now}
	testkit.Must(t, db.CreateClient(ctx, lasting))
	for _, c := range gone {
		testkit.Must(t, db.DeleteClientAt(ctx, 0, c.ID, s.now.Add(time.Second)))
	}
}
