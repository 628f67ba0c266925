package console

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// scopeSection lists what clients can request.
func (s *Server) scopeSection() section {
	return section{
		path:  "/scopes",
		name:  "Scopes",
		icon:  "check",
		group: "Apps",
		scope: admin.ScopeScopesRead,
		routes: append([]route{
			{"GET /admin/scopes", []string{"Scopes"}, s.showScopes},
			{"GET /admin/scopes/new", nil, s.showNewScope},
			{"POST /admin/scopes", []string{"CreateScope"}, s.postNewScope},
			{"GET /admin/scopes/{scope}", []string{"Scope"}, s.showScope},
			{"POST /admin/scopes/{scope}", []string{"UpdateScope", "ScopeUse"}, s.postScope},
		}, actionRoutes("/admin/scopes/{scope}", s.deleteScopeAction(), s.loadDeletableScope)...),
		views: []View{&ScopesView{}, &FieldFormView{}},
		notes: map[string]string{
			"created": "The scope was created. Clients may request it once their registration names it.",
			"updated": "The changes were saved.",
			"deleted": "The scope was deleted.",
		},
	}
}

// ScopesView lists scopes.
type ScopesView struct {
	Base
	Search Search
	Table  Table
	Empty  *Empty // instead of the list, or nil
	Same   Same
}

// Page names the template.
func (*ScopesView) Page() string { return "scopes" }

func (s *Server) showScopes(w http.ResponseWriter, r *http.Request, q *request) error {
	all, err := s.ops.Scopes(r.Context(), q.actor)
	if err != nil {
		return err
	}
	v := &ScopesView{Base: s.begin(r, q, "Scopes")}
	v.Lead = "What apps can request, and what the consent page says about it."
	if q.actor.Can(admin.ScopeScopesWrite) {
		v.Primary = &Link{"New scope", Root + "/scopes/new"}
	}
	search := strings.ToLower(strings.TrimSpace(q.form.Get("search")))
	v.Search = Search{
		Action: Root + "/scopes", Label: "Search scopes", Hint: "Name or description",
		Text: q.form.Get("search"), Active: search != "" || q.form.Get("kind") != "",
		Filters: []Filter{newFilter(q.form, "kind", "Kind", "", "All", "own", "Your own", "system", "Built in")},
	}
	v.Table = Table{Caption: "Scopes", Columns: []Column{
		{Name: "Scope"}, {Name: "Kind"}, {Name: "Requires", Wide: true}, {Name: "Role", Wide: true},
	}}
	for i := range all {
		x := &all[i]
		kind := q.form.Get("kind")
		if kind == "own" && x.System || kind == "system" && !x.System ||
			!strings.Contains(strings.ToLower(x.Name+"\n"+x.Description), search) {
			continue
		}
		v.Table.Rows = append(v.Table.Rows, scopeRow(x))
	}
	if len(v.Table.Rows) == 0 {
		v.Empty = &Empty{
			Icon: "search", Title: "No scope matches", Text: "Search for a part of a name or a description.",
			Link: &Link{"Show all scopes", Root + "/scopes"},
		}
	}
	v.Same = s.same("GET", "/api/v1/scopes", nil, "scope", "list")
	return s.show(w, http.StatusOK, v)
}

// scopeRow returns the line of a scope in the list.
func scopeRow(x *oauth.Scope) Row {
	kind := badgeCell("plain", "Own")
	switch {
	case x.Default:
		kind = badgeCell("good", "Default")
	case x.System:
		kind = badgeCell("plain", "Built in")
	}
	return Row{ID: x.Name, Name: x.Name, Cells: []Cell{
		{Text: x.Name, URL: scopePath(x), Sub: sentence(x.Description)},
		kind, textCell(strings.Join(x.Requires, " ")), textCell(x.Role),
	}}
}

// scopeInputs returns the inputs of the form of a scope.
func scopeInputs() []fieldInputs {
	return []fieldInputs{{"", []fieldInput{
		{name: "description", label: "Description", hint: `The consent page shows it. It completes "This app will be able to …".`},
		{name: "default", label: "Grant it to clients that request no scope", hint: " "},
		{name: "requires", label: "Requires", hint: "Scopes that are granted with this one."},
		{name: "role", label: "Role", hint: "Only people with this role can allow it to an app. Empty: everybody can."},
		{name: "icon", label: "Icon", choices: choicesOf("None", oauth.ScopeIcons()...), hint: "It stands " +
			"beside the description on the consent page."},
	}}}
}

// scopeForm returns the form of a scope with the values of q.form.
func scopeForm(b Base, q *request) *FieldFormView {
	v := &FieldFormView{Base: b, Back: Link{"Scopes", Root + "/scopes"}}
	v.Form, v.Crumbs = q.form, []Link{v.Back}
	groups := scopeInputs()
	v.Groups = groupsOf(v.Base, admin.ScopeFields(), append(groups, restOf(admin.ScopeFields(), groups)))
	return v
}

func (s *Server) showNewScope(w http.ResponseWriter, r *http.Request, q *request) error {
	if err := s.mayChange(q, admin.ScopeScopesWrite); err != nil {
		return err
	}
	return s.writeNewScope(w, q, s.begin(r, q, "New scope"))
}

func (s *Server) writeNewScope(w http.ResponseWriter, q *request, b Base) error {
	v := scopeForm(b, q)
	v.Notice, v.Action, v.Button = "", Root+"/scopes", "Create scope"
	name, err := newInput(v.Base, "name", "Name", "plain", "required", "autocomplete=off",
		"hint=Such as metrics:read. It cannot be changed later.")
	if err != nil {
		return err
	}
	v.Groups[0].Inputs = append([]Input{name}, v.Groups[0].Inputs...)
	p, _ := fieldPatch(admin.ScopeFields(), q) // what cannot be read is left out
	args, body := fieldSame(admin.ScopeFields(), &oauth.Scope{}, &p.Values)
	body["name"] = "NAME"
	if name.Value != "" {
		body["name"] = name.Value
	}
	v.Same = s.same("POST", "/api/v1/scopes", body, append([]string{"scope", "create", body["name"].(string)}, args...)...)
	return s.writeFieldForm(w, q, v)
}

func (s *Server) postNewScope(w http.ResponseWriter, r *http.Request, q *request) error {
	p, err := fieldPatch(admin.ScopeFields(), q)
	if err == nil {
		var x *oauth.Scope
		name := strings.TrimSpace(q.form.Get("name"))
		if x, err = s.ops.CreateScope(r.Context(), q.actor, name, p); err == nil {
			return seeOther(w, r, with(scopePath(x), "done", "created"))
		}
	}
	b := s.begin(r, q, "New scope")
	if err := retry(&b, q, err); err != nil {
		return err
	}
	return s.writeNewScope(w, q, b)
}

func (s *Server) loadScope(r *http.Request, q *request) (*oauth.Scope, error) {
	return s.ops.Scope(r.Context(), q.actor, r.PathValue("scope"))
}

// usedScope is a scope with what names it.
type usedScope struct {
	*oauth.Scope
	use *admin.ScopeUse
}

// loadDeletableScope returns a scope with what names it, or why it is never deleted.
func (s *Server) loadDeletableScope(r *http.Request, q *request) (*usedScope, error) {
	x, err := s.loadScope(r, q)
	if err != nil {
		return nil, err
	}
	use, err := s.ops.ScopeUse(r.Context(), q.actor, x.Name)
	return &usedScope{x, use}, err
}

// holders returns what names the scope, a line for each kind of thing.
func (x *usedScope) holders() []string {
	var out []string
	add := func(what string, h admin.Holders) {
		text := strings.Join(h.Names, ", ")
		switch {
		case h.N == 0:
			return
		case text == "": // the actor may not read what they are called
			text = strconv.Itoa(h.N)
		}
		if h.N >= admin.MaxHolders {
			text += " and perhaps more"
		}
		out = append(out, what+": "+text+".")
	}
	add("Clients that may request it", x.use.Clients)
	add("Roles that have it", x.use.Roles)
	add("Routes that need it", x.use.Routes)
	add("Scopes that require it", x.use.Scopes)
	return out
}

func (s *Server) showScope(w http.ResponseWriter, r *http.Request, q *request) error {
	x, err := s.loadScope(r, q)
	if err != nil {
		return err
	}
	b := s.begin(r, q, x.Name)
	if !q.draft {
		q.form = fieldValues(admin.ScopeFields(), x)
		q.form.Set("version", strconv.FormatInt(x.Version, 10))
	}
	return s.writeScope(w, q, x, b)
}

func (s *Server) writeScope(w http.ResponseWriter, q *request, x *oauth.Scope, b Base) error {
	v := scopeForm(b, q)
	v.Action, v.Button = scopePath(x), "Save"
	v.Locked = !q.actor.Can(admin.ScopeScopesWrite)
	path := "/api/v1/scopes/" + url.PathEscape(x.Name)
	if x.System {
		v.Lead = "This scope is built in: it cannot be deleted."
	}
	if v.Locked {
		v.Facts = fieldFacts(admin.ScopeFields(), scopeInputs(), x)
		v.Same = s.same("GET", path, nil)
		return s.writeFieldForm(w, q, v)
	}
	if !x.System {
		v.Links = []Link{{"Delete", scopePath(x, "delete")}}
	}
	p, _ := fieldPatch(admin.ScopeFields(), q) // what cannot be read is left out
	args, body := fieldSame(admin.ScopeFields(), x, &p.Values)
	if len(body) == 0 {
		args, body = []string{"--description=" + x.Description}, map[string]any{"description": x.Description}
	}
	v.Same = s.same("PATCH", path, body, append([]string{"scope", "update", x.Name}, args...)...)
	return s.writeFieldForm(w, q, v)
}

func (s *Server) postScope(w http.ResponseWriter, r *http.Request, q *request) error {
	name := r.PathValue("scope")
	version, err := versionOf(q)
	if err != nil {
		return err
	}
	p, err := fieldPatch(admin.ScopeFields(), q)
	if err == nil {
		p.IfVersion = version
		if _, err = s.ops.UpdateScope(r.Context(), q.actor, name, p); err == nil {
			return seeOther(w, r, with(at("/scopes", name), "done", "updated"))
		}
	}
	x, readErr := s.loadScope(r, q)
	if readErr != nil {
		return readErr
	}
	b := s.begin(r, q, x.Name)
	if fault.Is(err, fault.Stale) {
		return s.showStale(w, b, at("/scopes", name), fieldMoves(admin.ScopeFields(), &p.Values, x))
	}
	if err := retry(&b, q, err); err != nil {
		return err
	}
	return s.writeScope(w, q, x, b)
}

func (s *Server) deleteScopeAction() action[*usedScope] {
	return action[*usedScope]{
		server: s, ops: []string{"DeleteScope"},
		name: "delete", title: "Delete scope", button: "Delete scope", danger: true,
		text: func(x *usedScope) string { return "Deletes the scope " + x.Name + "." },
		held: func(x *usedScope) bool { return !x.use.None() },
		ends: func(x *usedScope) []string {
			return append(x.holders(),
				"It works only once no client, role, route or other scope names it.",
				"What people have allowed loses the scope, and so do the tokens that apps renew. "+
					"An API that checks for it rejects their requests.",
			)
		},
		same: func(x *usedScope, _ url.Values) Same {
			return s.same("DELETE", "/api/v1/scopes/"+url.PathEscape(x.Name), nil, "scope", "delete", x.Name, "--yes")
		},
		do: func(ctx context.Context, q *request, x *usedScope) error {
			_, err := s.ops.DeleteScope(ctx, q.actor, x.Name, 0)
			return err
		},
		done: func(*usedScope) string { return Root + "/scopes?done=deleted" },
		back: func(x *usedScope) Link { return Link{x.Name, scopePath(x.Scope)} },
	}
}

// scopePath returns the address of the page of a scope.
func scopePath(x *oauth.Scope, more ...string) string {
	return at("/scopes", addressName(x.Name, x.ID), more...)
}
