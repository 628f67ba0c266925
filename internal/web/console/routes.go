package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// routeSection lists what the gateway forwards.
func (s *Server) routeSection() section {
	const path = "/admin/routes/{route}"
	return section{
		path:  "/routes",
		name:  "Routes",
		icon:  "route",
		group: "Apps",
		scope: admin.ScopeRoutesRead,
		routes: append([]route{
			{"GET /admin/routes", []string{"Routes"}, s.showRoutes},
			{"GET /admin/routes/new", nil, s.showNewRoute},
			{"POST /admin/routes", []string{"CreateRoute"}, s.postNewRoute},
			{"GET " + path, []string{"Route"}, s.showRoute},
			{"POST " + path, []string{"UpdateRoute"}, s.postRoute},
		}, actionRoutes(path, s.deleteRouteAction(), s.loadStoredRoute)...),
		views: []View{&RoutesView{}, &FieldFormView{}},
		notes: map[string]string{
			"created": "The route was created. Running servers use it within a second.",
			"updated": "The changes were saved. Running servers follow within a second.",
			"deleted": "The route was deleted.",
		},
	}
}

// RoutesView lists routes.
type RoutesView struct {
	Base
	Search Search
	Table  Table
	Pager  Pager
	Empty  *Empty // instead of the list, or nil
	Same   Same
}

// Page names the template.
func (*RoutesView) Page() string { return "routes" }

func (s *Server) showRoutes(w http.ResponseWriter, r *http.Request, q *request) error {
	offset, err := strconv.Atoi(q.form.Get("offset"))
	if err != nil || offset < 0 {
		offset = 0
	}
	query := admin.RouteQuery{Search: q.form.Get("search"), Limit: pageSize, Offset: offset}
	all, total, err := s.ops.Routes(r.Context(), q.actor, query)
	if err != nil {
		return err
	}
	v := &RoutesView{Base: s.begin(r, q, "Routes")}
	v.Lead = "What the gateway forwards to APIs and sites, and for whom."
	if q.actor.Can(admin.ScopeRoutesWrite) {
		v.Primary = &Link{"New route", Root + "/routes/new"}
	}
	v.Search = Search{
		Action: Root + "/routes", Label: "Search routes", Hint: "Name, address or upstream",
		Text: query.Search, Active: strings.TrimSpace(query.Search) != "",
	}
	v.Table = Table{Caption: "Routes", Columns: []Column{
		{Name: "Route"}, {Name: "State"}, {Name: "Upstream", Wide: true}, {Name: "Needs", Wide: true},
	}}
	for _, x := range all {
		v.Table.Rows = append(v.Table.Rows, routeRow(x))
	}
	v.Pager.Total = count(total, "route")
	if offset > 0 {
		v.Pager.First = keep(Root+"/routes", q.form, []string{"search"})
	}
	if next := offset + len(all); next < total {
		v.Pager.Next = keep(Root+"/routes", q.form, []string{"search"}, "offset", strconv.Itoa(next))
	}
	v.Empty = noRoutes(v.Search.Active, len(all))
	v.Same = s.same("GET", keep("/api/v1/routes", q.form, []string{"search"}), nil, "route", "list", "--search="+query.Search)
	return s.show(w, http.StatusOK, v)
}

// noRoutes returns the hint in the place of an empty list, or nil.
func noRoutes(searched bool, n int) *Empty {
	switch {
	case n > 0:
		return nil
	case searched:
		return &Empty{
			Icon: "search", Title: "No route matches", Text: "The search finds parts of names, addresses and upstreams.",
			Link: &Link{"Show all routes", Root + "/routes"},
		}
	}
	return &Empty{
		Icon: "route", Title: "There are no routes yet",
		Text:    "A route puts the gateway in front of an API or a site: it checks tokens or sign-ins, and forwards the request.",
		Command: "gatehouse route create --domain orders --version v1 --upstream http://orders:8080 --scope orders:read",
	}
}

// routeRow returns the line of a route in the list.
func routeRow(x *admin.Route) Row {
	name := x.Name
	if name == "" {
		name = x.Label()
	}
	upstream := Cell{Text: strings.Join(x.Upstreams[:min(1, len(x.Upstreams))], "")}
	if n := len(x.Upstreams); n > 1 {
		upstream.Sub = "and " + grouped(n-1) + " more"
	}
	needs := slices.Concat(x.Scopes, x.Roles)
	return Row{ID: x.ID, Name: name, Cells: []Cell{
		{Text: name, URL: at("/routes", x.ID), Sub: x.Address},
		routeBadge(x), upstream, textCell(strings.Join(needs, " ")),
	}}
}

func routeBadge(x *admin.Route) Cell {
	switch {
	case x.Problem != "":
		c := badgeCell("bad", "Cannot be used")
		c.Sub = x.Problem
		return c
	case x.Inactive:
		return badgeCell("plain", "Inactive")
	case x.FromFile():
		return badgeCell("plain", "From the file")
	}
	return badgeCell("good", "Active")
}

// inputVersion is the input of a route's version: the input version of forms is that of the thing.
const inputVersion = "api_version"

// routeFormFields returns the fields of a route by the names of their inputs.
func routeFormFields() []access.RouteField {
	fields := access.RouteFields()
	for i := range fields {
		if fields[i].Name == "version" {
			fields[i].Name = inputVersion
		}
	}
	return fields
}

// routePatch returns the change that a form asks for.
func routePatch(q *request) (admin.RoutePatch, error) {
	p, err := fieldPatch(routeFormFields(), q)
	for i := range p.Names {
		if p.Names[i] == inputVersion {
			p.Names[i] = "version"
		}
	}
	return p, err
}

// retryRoute shows the form of a route again, as retry does.
func retryRoute(b *Base, q *request, err error) error {
	if err := retry(b, q, err); err != nil {
		return err
	}
	for i := range b.Errors {
		if b.Errors[i].Field == "version" {
			b.Errors[i].Field = inputVersion
		}
	}
	return nil
}

// routeInputs returns the inputs that most routes need.
func routeInputs() []fieldInputs {
	return []fieldInputs{
		{"Address", []fieldInput{
			{name: "name", label: "Name", hint: "For people. Empty: domain and version."},
			{name: "domain", label: "Domain", hint: "Such as orders: with a version, the route serves the paths below /orders/v1."},
			{name: inputVersion, label: "Version", hint: "Such as v1."},
			{name: "prefix", label: "Path", hint: "Instead of domain and version: a path such as /shop, or / for a whole host."},
			{name: "host", label: "Host", hint: "Such as api.example.com or *.example.com. Empty: any host."},
		}},
		{"Upstream", []fieldInput{
			{name: "upstreams", label: "Servers", hint: "Where requests go to: http://HOST:PORT, https://HOST, or h2c:// for HTTP/2 without TLS."},
			{name: "inactive", label: "Inactive"},
		}},
		{"Who may call", []fieldInput{
			{name: "scopes", label: "Scopes", hint: "A token must have all of them."},
			{name: "roles", label: "Roles", hint: "The person, or a client that acts for itself, must have one of them."},
			{name: "clients", label: "Clients", hint: "IDs of the clients that may call. Empty: any."},
			{name: "browser", label: "It serves web pages: lead people to sign in", hint: " "},
			{name: "allow_unidentified", label: "Allow requests without a token or sign-in", hint: " "},
		}},
	}
}

// advancedRouteInputs returns the inputs that few routes need.
func advancedRouteInputs() []fieldInputs {
	return []fieldInputs{
		{"Further rules", []fieldInput{
			{name: "methods", label: "Methods"},
			{name: "networks", label: "Networks"},
			{name: "origins", label: "Origins"},
			{name: "audiences", label: "Audiences"},
			{name: "issuers", label: "External issuers"},
			{name: "acr", label: "Strength of the sign-in", choices: choicesOf("Any", "aal1", "aal2")},
			{name: "max_age", label: "Greatest age of the sign-in", hint: "Such as 1h. Empty: any."},
			{name: "allow_client_id", label: "Accept a client's ID without proof"},
			{name: "pass_basic", label: "HTTP Basic is the upstream's own"},
		}},
		{"Limits", []fieldInput{
			{name: "rate", label: "Requests of each caller", hint: "In the time below. Empty: the default. -1: no limit."},
			{name: "rate_per", label: "In a time of", hint: "Such as 1m. Empty: a minute."},
			{name: "rate_by", label: "Callers are told apart by", choices: choicesOf("As usual", "address", "client", "user")},
			{name: "timeout", label: "Timeout of the upstream", hint: "Such as 30s, which is the default."},
			{name: "body_limit", label: "Largest body in bytes", hint: "Empty: no limit."},
			{name: "cors", label: "Origins of scripts (CORS)"},
		}},
		{"Forwarding", []fieldInput{
			{name: "keep_path", label: "Pass the whole path on"},
			{name: "keep_host", label: "Pass the Host header on"},
			{name: "rewrite_location", label: "Rewrite addresses in responses"},
			{name: "allow_encoded_slash", label: "Accept escaped slashes"},
			{name: "health_path", label: "Path of health checks"},
			{name: "health_every", label: "Time between health checks", hint: "Such as 10s, which is the default."},
		}},
	}
}

// routeForm returns the form of a route with the values of q.form.
func routeForm(b Base, q *request) *FieldFormView {
	v := &FieldFormView{Base: b, Back: Link{"Routes", Root + "/routes"}}
	v.Form, v.Crumbs = q.form, []Link{v.Back}
	fields, groups, advanced := routeFormFields(), routeInputs(), advancedRouteInputs()
	v.Groups = groupsOf(v.Base, fields, groups)
	v.Advanced = groupsOf(v.Base, fields, append(advanced, restOf(fields, slices.Concat(groups, advanced))))
	return v
}

func (s *Server) showNewRoute(w http.ResponseWriter, r *http.Request, q *request) error {
	if err := s.mayChange(q, admin.ScopeRoutesWrite); err != nil {
		return err
	}
	return s.writeNewRoute(w, q, s.begin(r, q, "New route"))
}

func (s *Server) writeNewRoute(w http.ResponseWriter, q *request, b Base) error {
	v := routeForm(b, q)
	v.Notice, v.Action, v.Button = "", Root+"/routes", "Create route"
	p, _ := routePatch(q) // what cannot be read is left out
	args, body := fieldSame(access.RouteFields(), &access.Route{}, &p.Values)
	v.Same = s.same("POST", "/api/v1/routes", body, append([]string{"route", "create"}, args...)...)
	return s.writeFieldForm(w, q, v)
}

func (s *Server) postNewRoute(w http.ResponseWriter, r *http.Request, q *request) error {
	p, err := routePatch(q)
	if err == nil {
		var x *admin.Route
		if x, err = s.ops.CreateRoute(r.Context(), q.actor, p); err == nil {
			return seeOther(w, r, with(at("/routes", x.ID), "done", "created"))
		}
	}
	b := s.begin(r, q, "New route")
	if err := retryRoute(&b, q, err); err != nil {
		return err
	}
	return s.writeNewRoute(w, q, b)
}

func (s *Server) loadRoute(r *http.Request, q *request) (*admin.Route, error) {
	return s.ops.Route(r.Context(), q.actor, r.PathValue("route"))
}

func (s *Server) loadStoredRoute(r *http.Request, q *request) (*admin.Route, error) {
	return s.ops.StoredRoute(r.Context(), q.actor, r.PathValue("route"))
}

func routeTitle(x *admin.Route) string {
	if x.Name != "" {
		return x.Name
	}
	return x.Label()
}

func (s *Server) showRoute(w http.ResponseWriter, r *http.Request, q *request) error {
	x, err := s.loadRoute(r, q)
	if err != nil {
		return err
	}
	b := s.begin(r, q, routeTitle(x))
	if !q.draft {
		q.form = fieldValues(routeFormFields(), &x.Route)
		q.form.Set("version", strconv.FormatInt(x.Revision, 10))
	}
	return s.writeRoute(w, q, x, b)
}

func (s *Server) writeRoute(w http.ResponseWriter, q *request, x *admin.Route, b Base) error {
	v := routeForm(b, q)
	v.Action, v.Button = at("/routes", x.ID), "Save"
	v.Locked = x.FromFile() || !q.actor.Can(admin.ScopeRoutesWrite)
	v.Facts = []Fact{{Name: "State", Cell: routeBadge(x)}, {Name: "Address", Cell: codeCell(x.Address)}}
	if x.Resource != "" {
		v.Facts = append(v.Facts, Fact{Name: "Resource", Cell: codeCell(x.Resource)})
	}
	v.Facts = append(v.Facts, Fact{Name: "ID", Cell: codeCell(x.ID)})
	for _, warning := range x.Warnings {
		v.Facts = append(v.Facts, Fact{Name: "Note", Cell: textCell(warningText(warning))})
	}
	path := "/api/v1/routes/" + url.PathEscape(x.ID)
	if v.Locked {
		if x.FromFile() {
			v.Lead = "This route comes from the routes file. Change it there: running servers follow within a second."
		}
		v.Facts = append(v.Facts, fieldFacts(access.RouteFields(), slices.Concat(routeInputs(), advancedRouteInputs()), &x.Route)...)
		v.Same = s.same("GET", path, nil, "route", "show", x.ID)
		return s.writeFieldForm(w, q, v)
	}
	v.Links = []Link{{"Delete", at("/routes", x.ID, "delete")}}
	p, _ := routePatch(q) // what cannot be read is left out
	args, body := fieldSame(access.RouteFields(), &x.Route, &p.Values)
	if len(body) == 0 {
		args, body = []string{"--upstream=" + strings.Join(x.Upstreams, " ")}, map[string]any{"upstreams": x.Upstreams}
	}
	v.Same = s.same("PATCH", path, body, append([]string{"route", "update", x.ID}, args...)...)
	return s.writeFieldForm(w, q, v)
}

func (s *Server) postRoute(w http.ResponseWriter, r *http.Request, q *request) error {
	version, err := versionOf(q)
	if err != nil {
		return err
	}
	id := r.PathValue("route")
	p, err := routePatch(q)
	if err == nil {
		p.IfVersion = version
		if _, err = s.ops.UpdateRoute(r.Context(), q.actor, id, p); err == nil {
			return seeOther(w, r, with(at("/routes", id), "done", "updated"))
		}
	}
	x, readErr := s.loadRoute(r, q)
	if readErr != nil {
		return readErr
	}
	b := s.begin(r, q, routeTitle(x))
	if fault.Is(err, fault.Stale) {
		return s.showStale(w, b, at("/routes", id), fieldMoves(access.RouteFields(), &p.Values, &x.Route))
	}
	if err := retryRoute(&b, q, err); err != nil {
		return err
	}
	return s.writeRoute(w, q, x, b)
}

func (s *Server) deleteRouteAction() action[*admin.Route] {
	return action[*admin.Route]{
		server: s, ops: []string{"StoredRoute", "DeleteRoute"},
		name: "delete", title: "Delete route", button: "Delete route", danger: true,
		text: func(x *admin.Route) string { return "Deletes the route " + routeTitle(x) + "." },
		ends: func(x *admin.Route) []string {
			out := []string{"Requests to " + x.Address + " are answered with 404 within a second, unless another route has the address."}
			if x.Resource != "" {
				out = append(out, "Tokens for "+x.Resource+" have nothing left to call.")
			}
			return append(out, "The upstream itself stays as it is. To pause the route instead, make it inactive.")
		},
		same: func(x *admin.Route, _ url.Values) Same {
			return s.same("DELETE", "/api/v1/routes/"+url.PathEscape(x.ID), nil, "route", "delete", x.ID, "--yes")
		},
		do: func(ctx context.Context, q *request, x *admin.Route) error {
			_, err := s.ops.DeleteRoute(ctx, q.actor, x.ID, 0)
			return err
		},
		done: func(*admin.Route) string { return Root + "/routes?done=deleted" },
		back: func(x *admin.Route) Link { return Link{routeTitle(x), at("/routes", x.ID)} },
	}
}
