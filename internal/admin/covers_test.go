package admin_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// patchOf returns a patch that sets fields to texts.
func patchOf[T any](t *testing.T, fields []field.Field[T], values map[string][]string) field.Patch[T] {
	t.Helper()
	var p field.Patch[T]
	for _, f := range fields {
		if v, ok := values[f.Name]; ok {
			testkit.Must(t, p.Set(f, v...))
		}
	}
	return p
}

// hierarchy is a server with people of each role, whom everybody tries to change.
type hierarchy struct {
	*world
	n       int
	people  map[string]*identity.User // by role
	clients map[string]*client.Client
}

// The roles whose people act, weakest first. Nobody has rights but by these.
func actingRoles() []string {
	return []string{"user", "helpdesk", "editor", "admin", "super_admin"}
}

func newHierarchy(t *testing.T) *hierarchy {
	t.Helper()
	return newHierarchyIn(newWorld(t))
}

// newHierarchyIn returns a hierarchy in a world that has none.
func newHierarchyIn(w *world) *hierarchy {
	t := w.t
	t.Helper()
	h := &hierarchy{world: w, people: map[string]*identity.User{}, clients: map[string]*client.Client{}}
	cli := admin.CommandLine()
	for name, scopes := range map[string][]string{
		"helpdesk": {"admin:users:read", "admin:users:write", "admin:sessions:read", "admin:sessions:write"},
		"editor": {
			"admin:clients:read", "admin:clients:write", "admin:scopes:write", "admin:roles:write",
			"admin:roles:read", "admin:routes:write",
		},
	} {
		_, err := h.ops.CreateRole(t.Context(), cli, name, patchOf(t, admin.RoleFields(), map[string][]string{"scopes": scopes}))
		testkit.Must(t, err)
	}
	for _, role := range actingRoles() {
		h.people[role] = h.person(role+"@example.com", role)
	}
	// Two of them, so that none is the last.
	h.person("second@example.com", identity.RoleSuperAdmin)
	for id, scope := range map[string]string{"plain": "openid", "capable": "admin:users:write", "mighty": "admin"} {
		c, err := h.ops.CreateClient(t.Context(), cli, admin.NewClient{
			ID: client.ID(id),
			Fields: patchOf(t, client.Fields(h.ops.Rules()), map[string][]string{
				"client_name": {id}, "grant_types": {"client_credentials"}, "scope": {scope},
			}),
		})
		testkit.Must(t, err)
		h.clients[id] = c.Client
	}
	return h
}

// actor returns a person who has signed in just now, as their browser session makes them.
func (h *hierarchy) actor(role string) admin.Actor {
	h.t.Helper()
	sess := identity.NewSession(h.people[role].ID, []string{"pwd", "mfa"}, h.now, time.Hour, identity.Browser{})
	a, err := h.ops.SessionActor(h.t.Context(), sess, login.Visit{Now: h.now, IP: "192.0.2.1"})
	testkit.Must(h.t, err)
	return a
}

// userChanges returns each operation that changes one account, as what it needs beside it.
func userChanges(t *testing.T) map[string]struct {
	scope admin.Scope
	run   func(context.Context, *hierarchy, admin.Actor, string) error
} {
	type change = struct {
		scope admin.Scope
		run   func(context.Context, *hierarchy, admin.Actor, string) error
	}
	update := func(values map[string][]string) change {
		p := patchOf(t, identity.UserFields(), values)
		return change{admin.ScopeUsersWrite, func(ctx context.Context, h *hierarchy, a admin.Actor, ref string) error {
			return errOf(h.ops.UpdateUser(ctx, a, ref, admin.UserUpdate{Fields: p}))
		}}
	}
	return map[string]change{
		"name":  update(map[string][]string{"name": {"New"}}),
		"email": update(map[string][]string{"email": {"thief@example.com"}}),
		"password": {admin.ScopeUsersWrite, func(ctx context.Context, h *hierarchy, a admin.Actor, ref string) error {
			return errOf(h.ops.SetPassword(ctx, a, ref, "a very long passphrase 9A!"))
		}},
		"link": {admin.ScopeUsersWrite, func(ctx context.Context, h *hierarchy, a admin.Actor, ref string) error {
			return errOf(h.ops.CreatePasswordLink(ctx, a, ref))
		}},
		"enable": {admin.ScopeUsersWrite, func(ctx context.Context, h *hierarchy, a admin.Actor, ref string) error {
			return errOf(h.ops.EnableUser(ctx, a, ref))
		}},
		"disable": {admin.ScopeUsersWrite, func(ctx context.Context, h *hierarchy, a admin.Actor, ref string) error {
			return errOf(h.ops.DisableUser(ctx, a, ref))
		}},
		"delete": {admin.ScopeUsersWrite, func(ctx context.Context, h *hierarchy, a admin.Actor, ref string) error {
			return errOf(h.ops.DeleteUser(ctx, a, ref, 0))
		}},
		"two-step": {admin.ScopeUsersWrite, func(ctx context.Context, h *hierarchy, a admin.Actor, ref string) error {
			err := errOf(h.ops.ResetTwoStep(ctx, a, ref))
			if fault.Is(err, fault.Conflict) { // the account has none
				return nil
			}
			return err
		}},
		"recovery": {admin.ScopeUsersWrite, func(ctx context.Context, h *hierarchy, a admin.Actor, ref string) error {
			err := errOf(h.ops.StopRecovery(ctx, a, ref))
			if fault.Is(err, fault.Conflict) { // the account has none
				return nil
			}
			return err
		}},
		"sessions": {admin.ScopeSessionsWrite, func(ctx context.Context, h *hierarchy, a admin.Actor, ref string) error {
			return errOf(h.ops.RevokeUserSessions(ctx, a, ref))
		}},
		"access": {admin.ScopeSessionsWrite, func(ctx context.Context, h *hierarchy, a admin.Actor, ref string) error {
			return errOf(h.ops.RevokeUserAccess(ctx, a, ref))
		}},
	}
}

// rights returns what the people of a role may do, by another way than the code.
func (h *hierarchy) rights(role string) map[string]bool {
	out := map[string]bool{}
	for _, r := range h.db.RoleDefinitions()[role].Scopes {
		out[r] = true
	}
	if out["admin"] {
		for _, s := range admin.AllScopes() {
			out[string(s)] = true
		}
	}
	return out
}

// covers reports whether the people of one role may do all that those of another may.
func (h *hierarchy) covers(role, other string) bool {
	if other == identity.RoleAdmin && role != identity.RoleSuperAdmin {
		return false // only a super_admin manages administrators
	}
	mine := h.rights(role)
	for right := range h.rights(other) {
		if !mine[right] {
			return false
		}
	}
	return true
}

// TestNobodyChangesAStrongerAccount tries each operation on an account by people of each role on
// people of each role.
func TestNobodyChangesAStrongerAccount(t *testing.T) {
	h := newHierarchy(t)
	n := 0
	for name, change := range userChanges(t) {
		for _, role := range actingRoles() {
			for _, target := range actingRoles() {
				a := h.actor(role)
				victim := h.person(fmt.Sprintf("v%d@example.com", n), target)
				n++
				want := h.rights(role)[string(change.scope)] && h.covers(role, target)
				err := change.run(t.Context(), h, a, string(victim.ID))
				checkDecision(t, fmt.Sprintf("%s: %s on %s", name, role, target), want, err)
				after, readErr := h.db.User(t.Context(), victim.ID)
				if !want && (readErr != nil || after.Email != victim.Email || after.PasswordHash != victim.PasswordHash ||
					after.Disabled || after.Name != victim.Name) {
					t.Errorf("%s: %s has changed %s", name, role, target)
				}
				if readErr == nil {
					testkit.Must(t, h.db.DeleteUser(t.Context(), victim.ID, h.now))
				}
			}
		}
	}
}

// checkDecision checks that an operation was done, or denied by the name of the missing scope.
func checkDecision(t *testing.T, what string, want bool, err error) {
	t.Helper()
	if want {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		return
	}
	var denied *admin.AccessError
	if !errors.As(err, &denied) || fault.Reason(err) != admin.ReasonInsufficientScope || (denied.Scope == "") != denied.Unnamed {
		t.Errorf("%s: %v; want a denial that names the scope, or says that it does not", what, err)
	}
}

// A denial names the scope that is missing to those who may read what scopes there are, and to
// those who have named it themselves. To others it would tell what somebody has.
func TestDenialNamesNoHiddenScope(t *testing.T) {
	h := newHierarchy(t)
	_, err := h.ops.CreateRole(t.Context(), admin.CommandLine(), "auditor", patchOf(t, admin.RoleFields(), map[string][]string{"scopes": {"admin:audit:read"}}))
	testkit.Must(t, err)
	strong := h.person("strong@example.com", "auditor")
	rename := admin.UserUpdate{Fields: patchOf(t, identity.UserFields(), map[string][]string{"name": {"New"}})}
	denial := func(a admin.Actor, run func(admin.Actor) error) *admin.AccessError {
		t.Helper()
		var denied *admin.AccessError
		if err := run(a); !errors.As(err, &denied) {
			t.Fatalf("%v", err)
		}
		return denied
	}
	change := func(a admin.Actor) error { return errOf(h.ops.UpdateUser(t.Context(), a, string(strong.ID), rename)) }
	unaware := denial(h.actor("helpdesk"), change)
	if unaware.Scope != "" || strings.Contains(unaware.Error(), "audit") {
		t.Errorf("a helpdesk reads %q, %q", unaware.Scope, unaware.Error())
	}
	_, err = h.ops.CreateRole(t.Context(), admin.CommandLine(), "reader", patchOf(t, admin.RoleFields(), map[string][]string{
		"scopes": {"admin:users:write", "admin:roles:read", "admin:scopes:read"},
	}))
	testkit.Must(t, err)
	h.people["reader"] = h.person("reader@example.com", "reader")
	testkit.Equal(t, "to a reader of roles and scopes", denial(h.actor("reader"), change).Scope, "admin:audit:read")
	given := denial(h.actor("editor"), func(a admin.Actor) error {
		return errOf(h.ops.CreateClient(t.Context(), a, admin.NewClient{Fields: patchOf(t, client.Fields(h.ops.Rules()), map[string][]string{
			"client_name": {"x"}, "grant_types": {"client_credentials"}, "scope": {"admin:keys:write"},
		})}))
	})
	testkit.Equal(t, "of what the request names", given.Scope, "admin:keys:write")
}

// TestNobodyGivesMoreThanTheyHave gives each role to new people, to others and to oneself.
func TestNobodyGivesMoreThanTheyHave(t *testing.T) {
	h := newHierarchy(t)
	n := 0
	for _, role := range actingRoles() {
		for _, given := range actingRoles() {
			a := h.actor(role)
			n++
			may := h.rights(role)["admin:users:write"]
			want := may && h.covers(role, given)
			create := admin.NewUser{Fields: patchOf(t, identity.UserFields(), map[string][]string{
				"email": {fmt.Sprintf("n%d@example.com", n)}, "roles": {given},
			})}
			checkDecision(t, role+" creates a "+given, want, errOf(h.ops.CreateUser(t.Context(), a, create)))
			other := h.person(fmt.Sprintf("o%d@example.com", n), "user")
			add := admin.UserUpdate{AddRoles: []string{given}}
			err := errOf(h.ops.UpdateUser(t.Context(), a, string(other.ID), add))
			if given != "user" { // which everybody has
				checkDecision(t, role+" gives "+given, want, err)
			}
			if !h.covers(role, given) && role != given {
				checkDecision(t, role+" takes "+given, false, errOf(h.ops.UpdateUser(t.Context(), a, string(a.User), add)))
			}
		}
	}
}

// TestLoweringOneself: an administrator may give up their own role, also where they could not take
// it from somebody else.
func TestLoweringOneself(t *testing.T) {
	h := newHierarchy(t)
	a := h.actor("admin")
	lower := admin.UserUpdate{RemoveRoles: []string{"admin"}}
	other := h.person("other@example.com", "admin")
	checkDecision(t, "another", false, errOf(h.ops.UpdateUser(t.Context(), a, string(other.ID), lower)))
	checkDecision(t, "oneself", true, errOf(h.ops.UpdateUser(t.Context(), a, string(a.User), lower)))
	// The actor of before has nothing now, whatever they still present.
	checkDecision(t, "afterwards", false, errOf(h.ops.CreateUser(t.Context(), a, admin.NewUser{
		Fields: patchOf(t, identity.UserFields(), map[string][]string{"email": {"late@example.com"}}),
	})))
}

// TestNobodyChangesAStrongerClient tries to change, and to make, clients of each kind.
func TestNobodyChangesAStrongerClient(t *testing.T) {
	h := newHierarchy(t)
	fields := client.Fields(h.ops.Rules())
	for _, role := range actingRoles() {
		for id, scope := range map[string]string{"plain": "", "capable": "admin:users:write", "mighty": "admin"} {
			a := h.actor(role)
			may := h.rights(role)["admin:clients:write"]
			want := may && (scope == "" || h.rights(role)[scope])
			for what, run := range map[string]func() error{
				"rename": func() error {
					return errOf(h.ops.UpdateClient(t.Context(), a, id, patchOf(t, fields, map[string][]string{"client_name": {id + role}})))
				},
				"rotate": func() error { return errOf(h.ops.RotateSecret(t.Context(), a, id, 0)) },
				"revoke": func() error { return errOf(h.ops.RevokeClientTokens(t.Context(), a, id)) },
				"create": func() error {
					return errOf(h.ops.CreateClient(t.Context(), a, admin.NewClient{Fields: patchOf(t, fields, map[string][]string{
						"client_name": {"x"}, "grant_types": {"client_credentials"}, "scope": {cmp.Or(scope, "openid")},
					})}))
				},
			} {
				checkDecision(t, role+" "+what+" "+id, want, run())
			}
		}
		a := h.actor(role)
		if !h.rights(role)["admin:keys:write"] {
			raise := patchOf(t, fields, map[string][]string{"scope": {"openid", "admin:keys:write"}})
			checkDecision(t, role+" raises a client", false, errOf(h.ops.UpdateClient(t.Context(), a, "plain", raise)))
		}
	}
}

// TestRolesAndScopesGiveNothingMore tries to get more by a role, and by what a scope requires.
func TestRolesAndScopesGiveNothingMore(t *testing.T) {
	h := newHierarchy(t)
	for i, role := range actingRoles() {
		a := h.actor(role)
		for j, s := range admin.AllScopes() {
			name := fmt.Sprintf("r%d.%d", i, j)
			want := h.rights(role)["admin:roles:write"] && h.rights(role)[string(s)]
			p := patchOf(t, admin.RoleFields(), map[string][]string{"scopes": {string(s)}})
			checkDecision(t, role+" makes a role with "+string(s), want, errOf(h.ops.CreateRole(t.Context(), a, name, p)))
			want = h.rights(role)["admin:scopes:write"] && h.rights(role)[string(s)]
			q := patchOf(t, admin.ScopeFields(), map[string][]string{"description": {"x"}, "requires": {string(s)}})
			checkDecision(t, role+" makes a scope that requires "+string(s), want, errOf(h.ops.CreateScope(t.Context(), a, name, q)))
		}
	}
	// An editor cannot weaken or delete a role that has what they lack.
	a := h.actor("editor")
	cli := admin.CommandLine()
	_, err := h.ops.CreateRole(t.Context(), cli, "keys", patchOf(t, admin.RoleFields(), map[string][]string{"scopes": {"admin:keys:write"}}))
	testkit.Must(t, err)
	checkDecision(t, "weaken", false, errOf(h.ops.UpdateRole(t.Context(), a, "keys",
		patchOf(t, admin.RoleFields(), map[string][]string{"scopes": {}}))))
	checkDecision(t, "delete", false, errOf(h.ops.DeleteRole(t.Context(), a, "keys", 0)))
	if _, err := h.ops.UpdateRole(t.Context(), cli, "super_admin", admin.RolePatch{}); !fault.Is(err, fault.Conflict) {
		t.Errorf("a system role is changed: %v", err)
	}
}

// TestTokensAreOnlyAnUpperBound: what an actor of a token may do is what the token says, as far as
// the person and the client have it now.
func TestTokensAreOnlyAnUpperBound(t *testing.T) {
	h := newHierarchy(t)
	ctx := t.Context()
	token := func(u identity.UserID, scopes ...string) *oauth.AccessToken {
		return &oauth.AccessToken{User: u, Client: "mighty", Scopes: scopes}
	}
	actor := func(tok *oauth.AccessToken) []admin.Scope {
		t.Helper()
		a, err := h.ops.ActorOf(ctx, tok, login.Visit{Now: h.now})
		testkit.Must(t, err)
		return a.Scopes
	}
	testkit.Equal(t, "of a super_admin", actor(token(h.people["super_admin"].ID, "openid", "admin:users:read")),
		[]admin.Scope{"admin:users:read"})
	testkit.Equal(t, "of a helpdesk", actor(token(h.people["helpdesk"].ID, "admin")), []admin.Scope{
		"admin:sessions:read", "admin:sessions:write", "admin:users:read", "admin:users:write",
	})
	testkit.Equal(t, "of a user", len(actor(token(h.people["user"].ID, "admin"))), 0)
	machine := &oauth.AccessToken{Client: "capable", Scopes: []string{"admin"}}
	testkit.Equal(t, "of a machine", actor(machine), []admin.Scope{"admin:users:write"})
	testkit.Must(t, h.db.SetUserDisabled(ctx, h.people["helpdesk"].ID, true, h.now))
	if _, err := h.ops.ActorOf(ctx, token(h.people["helpdesk"].ID, "admin"), login.Visit{Now: h.now}); !fault.Is(err, fault.Denied) {
		t.Errorf("a disabled person acts: %v", err)
	}
}

// errOf returns the error of an operation alone.
func errOf(_ any, err error) error { return err }

// person stores an account with one role and a password, without hashing one.
func (h *hierarchy) person(email, role string) *identity.User {
	h.t.Helper()
	h.n++
	u := &identity.User{
		ID:           identity.UserID(fmt.Sprintf("person-%d", h.n)),
		Email:        email,
		Roles:        []string{role},
		PasswordHash: "x",
		CreatedAt:    h.now,
		UpdatedAt:    h.now,
	}
	testkit.Must(h.t, h.db.CreateUser(h.t.Context(), u))
	return u
}
