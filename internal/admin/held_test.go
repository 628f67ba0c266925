package admin_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A holding makes a thing of a kind, with a name, that holds a scope or a role.
type holding struct {
	kind string
	read admin.Scope // shows the name
	make func(t *testing.T, h *hierarchy, name, scope, role string) error
}

func holdings() []holding {
	cli := admin.CommandLine()
	list := func(s string) []string { return strings.Fields(s) }
	return []holding{
		{"client", admin.ScopeClientsRead, func(t *testing.T, h *hierarchy, name, scope, role string) error {
			return errOf(h.ops.CreateClient(t.Context(), cli, admin.NewClient{
				ID: client.ID(name), Fields: patchOf(t, client.Fields(h.ops.Rules()), map[string][]string{
					"client_name": {"App"}, "grant_types": {"client_credentials"}, "scope": list(scope), "roles": list(role),
				}),
			}))
		}},
		{"role", admin.ScopeRolesRead, func(t *testing.T, h *hierarchy, name, scope, role string) error {
			if role != "" {
				return nil // roles hold no roles
			}
			return errOf(h.ops.CreateRole(t.Context(), cli, name,
				patchOf(t, admin.RoleFields(), map[string][]string{"scopes": list(scope)})))
		}},
		{"scope", admin.ScopeScopesRead, func(t *testing.T, h *hierarchy, name, scope, role string) error {
			return errOf(h.ops.CreateScope(t.Context(), cli, name, patchOf(t, admin.ScopeFields(), map[string][]string{
				"description": {"x"}, "requires": list(scope), "role": {role},
			})))
		}},
		{"route", admin.ScopeRoutesRead, func(t *testing.T, h *hierarchy, name, scope, role string) error {
			values := map[string][]string{"prefix": {"/" + name}, "upstreams": {"http://127.0.0.1:9"}}
			if scope != "" {
				values["scopes"] = list(scope)
			}
			if role != "" {
				values["roles"] = list(role)
			}
			return errOf(h.ops.CreateRoute(t.Context(), cli, patchOf(t, access.RouteFields(), values)))
		}},
	}
}

// checkHeld checks the error of deleting something in use: it names the user of it only to an actor
// who may read that.
func checkHeld(t *testing.T, x holding, name string, try func(read ...admin.Scope) error) {
	t.Helper()
	without, with := try(), try(x.read)
	for who, err := range map[string]error{"without the scope": without, "with the scope": with} {
		if fault.Reason(err) != admin.ReasonHeld {
			t.Errorf("%s of a %s: %v", who, x.kind, err)
			return
		}
	}
	if text := fault.Text(without); strings.Contains(text, name) || !strings.Contains(text, "1 "+x.kind) {
		t.Errorf("to somebody who cannot read a %s: %s", x.kind, text)
	}
	if text := fault.Text(with); !strings.Contains(text, name) {
		t.Errorf("to somebody who can read a %s: %s", x.kind, text)
	}
}

// A scope or a role that is in use is not deleted. What uses it has a name only for those who may
// read things of its kind; others learn how many there are.
func TestWhatHoldsAScopeHasNamesForThoseWhoMayReadIt(t *testing.T) {
	h := newHierarchy(t)
	ctx, cli := t.Context(), admin.CommandLine()
	for _, x := range holdings() {
		scope, name := "held-by-"+x.kind, "hidden"+x.kind
		_, err := h.ops.CreateScope(ctx, cli, scope, patchOf(t, admin.ScopeFields(), map[string][]string{"description": {"x"}}))
		testkit.Must(t, err)
		testkit.Must(t, x.make(t, h, name, scope, ""))
		checkHeld(t, x, name, func(read ...admin.Scope) error {
			a := admin.Actor{Machine: true, Scopes: append(read, admin.ScopeScopesWrite)}
			return errOf(h.ops.DeleteScope(ctx, a, scope, 0))
		})
		use, err := h.ops.ScopeUse(ctx, admin.Actor{Machine: true, Scopes: []admin.Scope{admin.ScopeScopesWrite}}, scope)
		testkit.Must(t, err)
		n := 0
		for _, holders := range []admin.Holders{use.Clients, use.Roles, use.Scopes, use.Routes} {
			n += holders.N
			if holders.Names != nil {
				t.Errorf("ScopeUse names %v", holders.Names)
			}
		}
		testkit.Equal(t, "holders", n, 1)
	}
}

func TestWhatHoldsARoleHasNamesForThoseWhoMayReadIt(t *testing.T) {
	h := newHierarchy(t)
	ctx, cli := t.Context(), admin.CommandLine()
	for _, x := range holdings() {
		if x.kind == "role" {
			continue
		}
		role, name := "held-by-"+x.kind, "hidden"+x.kind
		_, err := h.ops.CreateRole(ctx, cli, role, admin.RolePatch{})
		testkit.Must(t, err)
		testkit.Must(t, x.make(t, h, name, "", role))
		checkHeld(t, x, name, func(read ...admin.Scope) error {
			a := admin.Actor{Machine: true, Scopes: append(read, admin.ScopeRolesWrite, "hiddenscope")}
			return errOf(h.ops.DeleteRole(ctx, a, role, 0))
		})
	}
	_, err := h.ops.CreateRole(ctx, cli, "manned", admin.RolePatch{})
	testkit.Must(t, err)
	h.person("hidden@example.com", "manned")
	_, err = h.ops.DeleteRole(ctx, admin.Actor{Machine: true, Scopes: []admin.Scope{admin.ScopeRolesWrite}}, "manned", 0)
	testkit.Equal(t, "people", fault.Text(err), "1 person has the role manned; take it from them first")
}

// A misspelled name is not answered by a name that the actor may not read.
func TestNearestNamesAreForThoseWhoMayReadThem(t *testing.T) {
	h := newHierarchy(t)
	ctx := t.Context()
	for _, x := range holdings()[1:3] { // a role and a scope
		testkit.Must(t, x.make(t, h, "telescope", "", ""))
	}
	for what, c := range map[string]struct {
		write, read admin.Scope
		try         func(a admin.Actor) string
	}{
		"role of a scope": {admin.ScopeScopesWrite, admin.ScopeRolesRead, func(a admin.Actor) string {
			_, err := h.ops.CreateScope(ctx, a, "new:scope", patchOf(t, admin.ScopeFields(), map[string][]string{
				"description": {"x"}, "role": {"telescop"},
			}))
			return fault.Text(err)
		}},
		"scope of a scope": {admin.ScopeScopesWrite, admin.ScopeScopesRead, func(a admin.Actor) string {
			_, err := h.ops.CreateScope(ctx, a, "new:scope", patchOf(t, admin.ScopeFields(), map[string][]string{
				"description": {"x"}, "requires": {"telescop"},
			}))
			return fault.Text(err)
		}},
		"scope of a role": {admin.ScopeRolesWrite, admin.ScopeScopesRead, func(a admin.Actor) string {
			_, err := h.ops.CreateRole(ctx, a, "newrole", patchOf(t, admin.RoleFields(), map[string][]string{
				"scopes": {"telescop"},
			}))
			return fault.Text(err)
		}},
		"role": {admin.ScopeRolesWrite, admin.ScopeRolesRead, func(a admin.Actor) string {
			_, err := h.ops.DeleteRole(ctx, a, "telescop", 0)
			return fault.Text(err)
		}},
		"role of a person": {admin.ScopeUsersWrite, admin.ScopeRolesRead, func(a admin.Actor) string {
			name := []string{"telescop", "elescope"}[len(a.Scopes)-1] // a role is known once somebody has it
			out, err := h.ops.CreateUser(ctx, a, admin.NewUser{Fields: patchOf(t, identity.UserFields(),
				map[string][]string{"email": {name + "@example.com"}, "roles": {name}})})
			testkit.Must(t, err)
			return out.Warnings[0].Nearest
		}},
		"scope of a client": {admin.ScopeClientsWrite, admin.ScopeScopesRead, func(a admin.Actor) string {
			out, err := h.ops.CreateClient(ctx, a, admin.NewClient{Fields: patchOf(t, client.Fields(h.ops.Rules()),
				map[string][]string{
					"client_name": {"App"}, "grant_types": {"client_credentials"}, "scope": {"telescop"},
				})})
			testkit.Must(t, err)
			return out.Warnings[0].Nearest
		}},
	} {
		if text := c.try(admin.Actor{Machine: true, Scopes: []admin.Scope{c.write}}); strings.Contains(text, "telescope") {
			t.Errorf("%s, unreadable: %s", what, text)
		}
		if text := c.try(admin.Actor{Machine: true, Scopes: []admin.Scope{c.read, c.write}}); !strings.Contains(text, "telescope") {
			t.Errorf("%s, readable: %s", what, text)
		}
	}
}

// What would have no page in the console is not created: its address means something else.
func TestNamesThatAreAddresses(t *testing.T) {
	h := newHierarchy(t)
	for kind, names := range map[string][]string{
		"client": {"new", "bulk", "export", "import", "rotate", ".", ".."},
		"role":   {"new", ".", ".."},
		"scope":  {"new", ".", ".."},
	} {
		for _, x := range holdings() {
			if x.kind != kind {
				continue
			}
			for _, name := range names {
				err := x.make(t, h, name, "", "")
				if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.Text(err), "choose another name") {
					t.Errorf("a %s called %s: %v", kind, name, err)
				}
			}
			testkit.Must(t, x.make(t, h, "newest", "", ""))
		}
	}
	// One that is there already can be changed and deleted.
	testkit.Must(t, h.db.CreateScope(t.Context(), &oauth.Scope{ID: "s", Name: "new", Description: "x"}))
	change := patchOf(t, admin.ScopeFields(), map[string][]string{"description": {"y"}})
	_, err := h.ops.UpdateScope(t.Context(), admin.CommandLine(), "new", change)
	testkit.Must(t, err)
	_, err = h.ops.DeleteScope(t.Context(), admin.CommandLine(), "new", 0)
	testkit.Must(t, err)
}
