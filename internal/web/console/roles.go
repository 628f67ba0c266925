package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// roleSection lists the roles that people can have.
func (s *Server) roleSection() section {
	return section{
		path:  "/roles",
		name:  "Roles",
		icon:  "shield",
		group: "People",
		scope: admin.ScopeRolesRead,
		routes: append([]route{
			{"GET /admin/roles", []string{"ListRoles"}, s.showRoles},
			{"GET /admin/roles/new", nil, s.showNewRole},
			{"POST /admin/roles", []string{"CreateRole"}, s.postNewRole},
			{"GET /admin/roles/{role}", []string{"Role"}, s.showRole},
			{"POST /admin/roles/{role}", []string{"UpdateRole", "CanDeleteRole"}, s.postRole},
		}, actionRoutes("/admin/roles/{role}", s.deleteRoleAction(), s.loadDeletable)...),
		views: []View{&RolesView{}, &RoleView{}},
		notes: map[string]string{
			"created": "The role was created. Give it to people on their pages.",
			"updated": "The changes were saved. Everybody who has the role follows within a second.",
			"deleted": "The role was deleted.",
		},
	}
}

// RolesView lists roles.
type RolesView struct {
	Base
	Table Table
	Same  Same
}

// Page names the template.
func (*RolesView) Page() string { return "roles" }

func (s *Server) showRoles(w http.ResponseWriter, r *http.Request, q *request) error {
	roles, err := s.ops.ListRoles(r.Context(), q.actor)
	if err != nil {
		return err
	}
	v := &RolesView{Base: s.begin(r, q, "Roles")}
	v.Lead = "What people may do on this server, beyond their own account."
	if q.actor.Can(admin.ScopeRolesWrite) {
		v.Primary = &Link{"New role", Root + "/roles/new"}
	}
	v.Table = Table{
		Caption: "Roles",
		Columns: []Column{{Name: "Role"}, {Name: "Scopes", Wide: true, Num: true}, {Name: "Changed", Wide: true}},
	}
	for i := range roles {
		x := &roles[i]
		row := Row{ID: x.ID, Name: x.Name, Cells: []Cell{
			{Text: x.Name, URL: rolePath(x), Sub: x.Description},
			{Text: grouped(len(x.Scopes))},
			v.timeCell(x.UpdatedAt, ""),
		}}
		if x.System {
			row.Cells[2] = badgeCell("plain", "Built in")
		}
		v.Table.Rows = append(v.Table.Rows, row)
	}
	v.Same = s.same("GET", "/api/v1/roles", nil, "role", "list")
	return s.show(w, http.StatusOK, v)
}

// RoleView shows a role, and changes or creates one. The fields are `name`, `description` and one
// check box for each scope: `scope-` with its name.
type RoleView struct {
	Base
	Groups  []ScopeGroup
	Locked  bool // it cannot be changed: it is built in, or the administrator may only look
	Create  bool // it does not exist yet
	Action  string
	Holders *Link // the people who have it, or nil
	Delete  *Link // or nil
	Same    Same
}

// ScopeGroup is a part of the scopes.
type ScopeGroup struct {
	Name   string
	Scopes []ScopeChoice
}

// ScopeChoice is a scope that a role may have.
type ScopeChoice struct {
	Name, Text string
	Chosen     bool
}

// Page names the template.
func (*RoleView) Page() string { return "role" }

// scopeGroups returns the scopes of the management API in groups, then further ones that are
// chosen.
func scopeGroups(chosen []string) []ScopeGroup {
	var out []ScopeGroup
	add := func(group, name, text string) {
		i := slices.IndexFunc(out, func(g ScopeGroup) bool { return g.Name == group })
		if i < 0 {
			out = append(out, ScopeGroup{Name: group})
			i = len(out) - 1
		}
		out[i].Scopes = append(out[i].Scopes, ScopeChoice{name, text, slices.Contains(chosen, name)})
	}
	var known []string
	for _, d := range admin.SystemScopes() {
		known = append(known, d.Name)
		group := "Everything"
		if parts := strings.Split(d.Name, ":"); len(parts) > 1 {
			group = strings.ToUpper(parts[1][:1]) + parts[1][1:]
		}
		add(group, d.Name, sentence(d.Description))
	}
	for _, name := range chosen {
		if !slices.Contains(known, name) {
			add("Further scopes", name, "")
		}
	}
	return out
}

// chosenScopes returns the scopes that a form selects, and those that it names in its text.
func chosenScopes(q *request) []string {
	out := append(q.picked("scope-"), strings.Fields(q.form.Get("more"))...)
	slices.Sort(out)
	return slices.Compact(out)
}

func (s *Server) showNewRole(w http.ResponseWriter, r *http.Request, q *request) error {
	if err := s.mayChange(q, admin.ScopeRolesWrite); err != nil {
		return err
	}
	return s.writeNewRole(w, q, s.begin(r, q, "New role"))
}

func (s *Server) writeNewRole(w http.ResponseWriter, q *request, b Base) error {
	v := &RoleView{Base: b, Create: true, Action: Root + "/roles", Groups: scopeGroups(chosenScopes(q))}
	v.Notice = ""
	v.Crumbs = []Link{{"Roles", Root + "/roles"}}
	v.Same = s.roleSame("POST", "/api/v1/roles", q, []string{"role", "create"})
	return s.show(w, v.status(), v)
}

// roleSame returns what stores a role with the values of a form.
func (s *Server) roleSame(method, path string, q *request, args []string) Same {
	name, scopes := q.form.Get("name"), chosenScopes(q)
	if name == "" {
		name = "NAME"
	}
	body := map[string]any{"description": q.form.Get("description"), "scopes": scopes}
	if method == http.MethodPost {
		body["name"] = name
		args = append(args, name)
	}
	args = append(args, "--description="+q.form.Get("description"))
	for _, scope := range scopes {
		args = append(args, "--scope="+scope)
	}
	return s.same(method, path, body, args...)
}

func rolePatch(q *request) admin.RolePatch {
	return admin.RolePatch{
		Values: identity.Role{Description: q.form.Get("description"), Scopes: chosenScopes(q)},
		Names:  []string{"description", "scopes"},
	}
}

func (s *Server) postNewRole(w http.ResponseWriter, r *http.Request, q *request) error {
	role, err := s.ops.CreateRole(r.Context(), q.actor, q.form.Get("name"), rolePatch(q))
	if err == nil {
		return seeOther(w, r, with(rolePath(role), "done", "created"))
	}
	b := s.begin(r, q, "New role")
	if err := retry(&b, q, err); err != nil {
		return err
	}
	return s.writeNewRole(w, q, b)
}

func (s *Server) loadRole(r *http.Request, q *request) (*identity.Role, error) {
	return s.ops.Role(r.Context(), q.actor, r.PathValue("role"))
}

// loadDeletable returns a role, or why it cannot be deleted.
func (s *Server) loadDeletable(r *http.Request, q *request) (*identity.Role, error) {
	role, err := s.loadRole(r, q)
	if err == nil {
		err = s.ops.CanDeleteRole(r.Context(), q.actor, role.Name)
	}
	return role, err
}

// roleChoices returns the roles that are defined, as far as the administrator may see them, and
// those of a form. The names of further roles of the form are returned as a text.
func (s *Server) roleChoices(ctx context.Context, q *request, chosen []string) ([]ScopeChoice, string, error) {
	var out []ScopeChoice
	var known []string
	if q.actor.Can(admin.ScopeRolesRead) {
		roles, err := s.ops.ListRoles(ctx, q.actor)
		if err != nil {
			return nil, "", err
		}
		for i := range roles {
			x := &roles[i]
			if x.Name == identity.RoleUser {
				continue // everybody has it
			}
			known = append(known, x.Name)
			out = append(out, ScopeChoice{x.Name, x.Description, slices.Contains(chosen, x.Name)})
		}
	}
	further := slices.DeleteFunc(slices.Clone(chosen), func(name string) bool { return slices.Contains(known, name) })
	return out, strings.Join(further, " "), nil
}

// chosenRoles returns the roles that a form selects.
func chosenRoles(q *request) []string {
	out := append(q.picked("role-"), strings.Fields(q.form.Get("roles"))...)
	slices.Sort(out)
	return slices.Compact(out)
}

func (s *Server) showRole(w http.ResponseWriter, r *http.Request, q *request) error {
	role, err := s.loadRole(r, q)
	if err != nil {
		return err
	}
	b := s.begin(r, q, role.Name)
	if !q.draft {
		q.form = url.Values{"description": {role.Description}}
		for _, name := range role.Scopes {
			q.form.Set("scope-"+name, "on")
		}
		q.form.Set("version", strconv.FormatInt(role.Version, 10))
		b.Form = q.form
	}
	return s.writeRole(w, q, role, b)
}

func (s *Server) writeRole(w http.ResponseWriter, q *request, role *identity.Role, b Base) error {
	v := &RoleView{Base: b, Action: rolePath(role), Groups: scopeGroups(chosenScopes(q))}
	v.Lead, v.Version = role.Description, q.form.Get("version")
	v.Crumbs = []Link{{"Roles", Root + "/roles"}}
	v.Locked = role.System || !q.actor.Can(admin.ScopeRolesWrite)
	if !v.Locked {
		v.Delete = &Link{"Delete role", rolePath(role, "delete")}
	}
	if q.actor.Can(admin.ScopeUsersRead) {
		v.Holders = &Link{"Who has it", with(Root+"/users", "role", role.Name)}
	}
	v.Same = s.roleSame("PATCH", "/api/v1/roles/"+url.PathEscape(role.Name), q, []string{"role", "update", role.Name})
	if v.Locked {
		v.Same = s.same("GET", "/api/v1/roles/"+url.PathEscape(role.Name), nil, "role", "show", role.Name)
	}
	return s.show(w, v.status(), v)
}

// roleMoves returns where a form differs from what is stored.
func roleMoves(q *request, role *identity.Role) []Move {
	var out []Move
	p := rolePatch(q)
	for _, f := range admin.RoleFields() {
		if !f.Equal(&p.Values, role) {
			out = append(out, Move{Name: f.Title(), Entered: f.String(&p.Values), Stored: f.String(role)})
		}
	}
	return out
}

func (s *Server) postRole(w http.ResponseWriter, r *http.Request, q *request) error {
	name := r.PathValue("role")
	patch := rolePatch(q)
	var err error
	if patch.IfVersion, err = versionOf(q); err != nil {
		return err
	}
	role, err := s.ops.UpdateRole(r.Context(), q.actor, name, patch)
	if err == nil {
		return seeOther(w, r, with(rolePath(role), "done", "updated"))
	}
	role, readErr := s.loadRole(r, q)
	if readErr != nil {
		return readErr
	}
	b := s.begin(r, q, role.Name)
	if fault.Is(err, fault.Stale) {
		return s.showStale(w, b, rolePath(role), roleMoves(q, role))
	}
	if err := retry(&b, q, err); err != nil {
		return err
	}
	return s.writeRole(w, q, role, b)
}

func (s *Server) deleteRoleAction() action[*identity.Role] {
	return action[*identity.Role]{
		server: s, ops: []string{"DeleteRole"},
		name: "delete", title: "Delete role", button: "Delete role", danger: true,
		text: func(x *identity.Role) string {
			return "Deletes the role " + x.Name + ". A role that somebody has, or that a route or scope names, stays."
		},
		same: func(x *identity.Role, _ url.Values) Same {
			return s.same("DELETE", "/api/v1/roles/"+url.PathEscape(x.Name), nil, "role", "delete", x.Name, "--yes")
		},
		do: func(ctx context.Context, q *request, x *identity.Role) error {
			_, err := s.ops.DeleteRole(ctx, q.actor, x.Name, 0)
			return err
		},
		done: func(*identity.Role) string { return Root + "/roles?done=deleted" },
		back: func(x *identity.Role) Link { return Link{x.Name, rolePath(x)} },
	}
}

// rolePath returns the address of the page of a role.
func rolePath(x *identity.Role, more ...string) string {
	return at("/roles", addressName(x.Name, x.ID), more...)
}
