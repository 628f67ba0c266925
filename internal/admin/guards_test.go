package admin_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

// TestANameUsedAgainInheritsNothing: a role is not created while somebody has its name, also not
// without scopes, which it could get later.
func TestANameUsedAgainInheritsNothing(t *testing.T) {
	h := newHierarchy(t)
	ctx, cli := t.Context(), admin.CommandLine()
	u := h.person("early@example.com", "desk")
	for _, scopes := range [][]string{nil, {"admin:users:read"}} {
		p := patchOf(t, admin.RoleFields(), map[string][]string{"scopes": scopes})
		_, err := h.ops.CreateRole(ctx, cli, "desk", p)
		testkit.Equal(t, "reason", fault.Reason(err), admin.ReasonHeld)
	}
	_, err := h.ops.UpdateUser(ctx, cli, string(u.ID), admin.UserUpdate{RemoveRoles: []string{"desk"}})
	testkit.Must(t, err)
	r, err := h.ops.CreateRole(ctx, cli, "desk", admin.RolePatch{})
	testkit.Must(t, err)

	// One that has changed since it was read is not deleted.
	_, err = h.ops.UpdateRole(ctx, cli, "desk", patchOf(t, admin.RoleFields(), map[string][]string{"description": {"x"}}))
	testkit.Must(t, err)
	if _, err := h.ops.DeleteRole(ctx, cli, "desk", r.Version); !fault.Is(err, fault.Stale) {
		t.Errorf("another version is deleted: %v", err)
	}
	if _, err := h.ops.DeleteRole(ctx, cli, "desk", r.Version+1); err != nil {
		t.Error(err)
	}
}

func TestUserNamesAreNotIDs(t *testing.T) {
	h := newHierarchy(t)
	victim, err := h.ops.CreateUser(t.Context(), admin.CommandLine(), admin.NewUser{
		Fields: patchOf(t, identity.UserFields(), map[string][]string{"email": {"victim@example.com"}}),
	})
	testkit.Must(t, err)
	id := string(victim.User.ID)
	wide := ""
	for _, r := range id { // LoginKey equates the full-width forms of letters and digits
		if r != '-' {
			r += 0xFEE0
		}
		wide += string(r)
	}
	for _, name := range []string{id, wide, "ABCDEF01-0000-7000-8000-000000000000"} {
		_, err := h.ops.UpdateUser(t.Context(), admin.CommandLine(), string(h.people["user"].ID), admin.UserUpdate{
			Fields: patchOf(t, identity.UserFields(), map[string][]string{"username": {name}}),
		})
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("%s is a user name: %v", name, err)
		}
	}
}

// weakened are the ways in which an actor loses what they had when their request was let in.
func weakened(t *testing.T, h *hierarchy, u *identity.User) map[string]func() {
	return map[string]func(){
		"disabled": func() { testkit.Must(t, h.db.SetUserDisabled(t.Context(), u.ID, true, h.now)) },
		"locked":   func() { testkit.Must(t, h.db.SetUserLocked(t.Context(), u.ID, h.now, "why", h.now)) },
		"lowered": func() {
			lowered := *u
			lowered.Roles = nil
			testkit.Must(t, h.db.UpdateUser(t.Context(), u, &lowered))
		},
	}
}

// TestGuardsDecideByNow tries changes by people who lost what they had between the moment at which
// their request was let in and the transaction.
func TestGuardsDecideByNow(t *testing.T) {
	for _, name := range []string{"disabled", "locked", "lowered"} {
		h := newHierarchy(t)
		h.parts.WebhookKeys = webhook.NewKeys(h.parts.Keys)
		h.ops = h.with(func(*admin.Config) {})
		ctx, cli := t.Context(), admin.CommandLine()
		_, err := h.ops.RotateKey(ctx, cli, admin.KeyRotation{Now: true})
		testkit.Must(t, err)
		for range 2 { // so that the first one may be withdrawn
			_, err := h.ops.RotateKey(ctx, cli, admin.KeyRotation{Now: true})
			testkit.Must(t, err)
			testkit.Must(t, h.ring.Reload(ctx))
			h.now = h.now.Add(time.Minute)
		}
		hook := patchOf(t, webhook.Fields(), map[string][]string{"url": {"https://hooks.example/in"}, "events": {"*"}})
		made, err := h.ops.CreateWebhook(ctx, cli, hook)
		testkit.Must(t, err)
		u, err := h.db.User(ctx, h.people["super_admin"].ID)
		testkit.Must(t, err)
		a := h.actor("super_admin")
		weakened(t, h, u)[name]()
		keys := len(h.ring.Keys())

		checkDecision(t, name+" rotates a key", false, errOf(h.ops.RotateKey(ctx, a, admin.KeyRotation{Now: true})))
		checkDecision(t, name+" retires a key", false, errOf(h.ops.RetireKey(ctx, a, h.ring.Keys()[0].ID)))
		checkDecision(t, name+" creates a webhook", false, errOf(h.ops.CreateWebhook(ctx, a, hook)))
		id := string(made.Webhook.ID)
		change := patchOf(t, webhook.Fields(), map[string][]string{"description": {"x"}})
		checkDecision(t, name+" changes a webhook", false, errOf(h.ops.UpdateWebhook(ctx, a, id, change, 0)))
		checkDecision(t, name+" rotates its secret", false, errOf(h.ops.RotateWebhookSecret(ctx, a, id, 0)))
		checkDecision(t, name+" deletes a webhook", false, errOf(h.ops.DeleteWebhook(ctx, a, id, 0)))
		checkDecision(t, name+" locks a user", false, errOf(h.ops.LockUser(ctx, a, string(h.people["user"].ID), "x")))
		checkDecision(t, name+" creates a role", false, errOf(h.ops.CreateRole(ctx, a, "other", admin.RolePatch{})))
		checkDecision(t, name+" ends all sessions", false, errOf(h.ops.RevokeSessions(ctx, a, admin.SessionSelection{})))
		checkDecision(t, name+" retries a message", false, errOf(h.ops.RetryMail(ctx, a, "x")))
		job := &admin.BulkJob{ID: "job", Action: admin.BulkEnable, CreatedAt: h.now, UpdatedAt: h.now, Actor: `{"name":"cli"}`}
		testkit.Must(t, h.db.CreateBulkAction(ctx, job, func(add func([]string) error) error { return add([]string{"x"}) }))
		checkDecision(t, name+" stops a job", false, errOf(h.ops.StopBulkAction(ctx, a, job.ID)))
		testkit.Equal(t, name+": keys", len(h.ring.Keys()), keys)
	}
}

// TestDenialsRevealAndDoNothing: what is denied makes no key, reveals nothing of a password, and
// does not count as a message to a mailbox.
func TestDenialsRevealAndDoNothing(t *testing.T) {
	h := newHierarchy(t)
	ctx, id := t.Context(), string(h.people["super_admin"].ID)
	desk := h.actor("helpdesk")
	for _, password := range []string{"short", "a very long passphrase 9A!"} {
		checkDecision(t, "set "+password, false, errOf(h.ops.SetPassword(ctx, desk, id, password)))
		checkDecision(t, "update to "+password, false, errOf(h.ops.UpdateUser(ctx, desk, id, admin.UserUpdate{Password: password})))
	}
	checkDecision(t, "mail a link", false, errOf(h.ops.SendPasswordReset(ctx, desk, id)))
	checkDecision(t, "mail a verification", false, errOf(h.ops.SendVerification(ctx, desk, id)))
	before := len(h.ring.Keys())
	p := patchOf(t, client.Fields(h.ops.Rules()), map[string][]string{"alg": {"EdDSA"}})
	checkDecision(t, "sign otherwise", false, errOf(h.ops.UpdateClient(ctx, h.actor("editor"), "mighty", p)))
	testkit.Must(t, h.ring.Reload(ctx))
	testkit.Equal(t, "keys", len(h.ring.Keys()), before)
}

// staleRoutes is a server that has not heard of the latest change of routes.
type staleRoutes struct {
	*store.DB
	old []access.Route
}

func (s *staleRoutes) Routes() []access.Route {
	if s.old != nil {
		return s.old
	}
	return s.DB.Routes()
}

func (s *staleRoutes) SyncCache(ctx context.Context) error {
	s.old = nil
	return s.DB.SyncCache(ctx)
}

// TestRoutesAreDecidedAsTheyAre: whether an actor may change a route is decided by the roles that
// it has in the transaction, also on a server that knows it as it was.
func TestRoutesAreDecidedAsTheyAre(t *testing.T) {
	h := newHierarchy(t)
	ctx, cli, fields := t.Context(), admin.CommandLine(), access.RouteFields()
	r, err := h.ops.CreateRoute(ctx, cli, patchOf(t, fields, map[string][]string{
		"name": {"back"}, "prefix": {"/back"}, "upstreams": {"http://back.internal"},
	}))
	testkit.Must(t, err)
	for _, name := range []string{"update", "delete"} {
		stale := &staleRoutes{DB: h.db, old: slices.Clone(h.db.Routes())}
		_, err = h.ops.UpdateRoute(ctx, cli, r.ID, patchOf(t, fields, map[string][]string{"roles": {"super_admin"}}))
		testkit.Must(t, err)
		h.parts.Store = stale
		ops, a := h.with(func(*admin.Config) {}), h.actor("editor")
		if name == "update" {
			_, err = ops.UpdateRoute(ctx, a, r.ID, patchOf(t, fields, map[string][]string{"upstreams": {"http://thief.internal"}}))
		} else {
			_, err = ops.DeleteRoute(ctx, a, r.ID, 0)
		}
		checkDecision(t, name, false, err)
		_, err = h.ops.UpdateRoute(ctx, cli, r.ID, patchOf(t, fields, map[string][]string{"roles": {}}))
		testkit.Must(t, err)
	}
}

// TestClientsAreCheckedAgain: a client that is disabled, or has lost a scope, changes nothing, for
// itself or for a person.
func TestClientsAreCheckedAgain(t *testing.T) {
	for what, values := range map[string]map[string][]string{
		"disabled": {"disabled": {"true"}},
		"lowered":  {"scope": {"openid"}},
	} {
		h := newHierarchy(t)
		ctx := t.Context()
		machine := &oauth.AccessToken{Client: "mighty", Scopes: []string{"admin"}}
		person := &oauth.AccessToken{Client: "mighty", User: h.people["super_admin"].ID, Scopes: []string{"admin"}}
		person.AuthTime, person.ACR = h.now, identity.ACR2
		actors := map[string]admin.Actor{}
		for name, tok := range map[string]*oauth.AccessToken{"machine": machine, "person": person} {
			a, err := h.ops.ActorOf(ctx, tok, login.Visit{Now: h.now, IP: "192.0.2.1"})
			testkit.Must(t, err)
			actors[name] = a
			checkDecision(t, name, true, errOf(h.ops.LockUser(ctx, a, string(h.people["user"].ID), "x")))
		}
		p := patchOf(t, client.Fields(h.ops.Rules()), values)
		_, err := h.ops.UpdateClient(ctx, admin.CommandLine(), "mighty", p)
		testkit.Must(t, err)
		for name, a := range actors {
			checkDecision(t, what+" "+name, false, errOf(h.ops.LockUser(ctx, a, string(h.people["user"].ID), "x")))
		}
	}
}

// TestUnlockingIsGuarded: nobody ends the lock after failed sign-ins of an account that has more
// than they have.
func TestUnlockingIsGuarded(t *testing.T) {
	h := newHierarchy(t)
	ctx, victim := t.Context(), h.people["super_admin"]
	key := login.LockKey(victim.ID)
	lock := func() {
		_, err := h.db.RecordFailure(ctx, login.Failure{
			Key:       key,
			Threshold: 1,
			Window:    time.Hour,
			Duration:  time.Hour,
			Now:       h.now,
		})
		testkit.Must(t, err)
	}
	lock()
	for _, role := range actingRoles() {
		checkDecision(t, role, role == "super_admin", errOf(h.ops.UnlockUser(ctx, h.actor(role), string(victim.ID))))
		l, err := h.db.Lock(ctx, key, h.now)
		testkit.Must(t, err)
		testkit.Equal(t, role+": locked", l.Locked(h.now), role != "super_admin")
	}
}

// TestIdempotencyCountsTheQuery: a request with another query is another one.
func TestIdempotencyCountsTheQuery(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	a := admin.Actor{Client: "app"}
	r := admin.IdempotentRequest{Method: "POST", Path: "/users", Query: "dry_run=true", Key: "k", Body: []byte(`{}`)}
	begun, _, err := w.ops.BeginIdempotent(ctx, a, r)
	testkit.Must(t, err)
	testkit.Must(t, begun.Finish(ctx, &admin.IdempotentAnswer{Status: 200}))
	for _, query := range []string{"", "dry_run=false"} {
		other := r
		other.Query = query
		if _, _, err := w.ops.BeginIdempotent(ctx, a, other); fault.Reason(err) != admin.ReasonOtherBody {
			t.Errorf("%q: %v", query, err)
		}
	}
	if _, known, err := w.ops.BeginIdempotent(ctx, a, r); known == nil || err != nil {
		t.Error(err)
	}
}
