package console_test

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

// newScope defines a scope.
func (s *site) newScope(name string) string {
	s.t.Helper()
	_, err := s.ops.CreateScope(s.t.Context(), s.actor(), name, admin.ScopePatch{Values: oauth.Scope{Description: hostile}, Names: []string{"description"}})
	testkit.Must(s.t, err)
	return name
}

// newRoute creates a route and returns its id.
func (s *site) newRoute(r access.Route) string {
	s.t.Helper()
	p := admin.RoutePatch{Values: r}
	for _, f := range access.RouteFields() {
		if !f.IsZero(&r) {
			p.Names = append(p.Names, f.Name)
		}
	}
	out, err := s.ops.CreateRoute(s.t.Context(), s.actor(), p)
	testkit.Must(s.t, err)
	return out.ID
}

func TestScopes(t *testing.T) {
	s := newSite(t)
	s.get("/admin/scopes").shows(200, "openid", "Built in", "New scope").wellFormed()
	s.get("/admin/scopes?search=nothing+like+it").shows(200, "No scope matches", "Show all scopes")
	s.get("/admin/scopes/new").shows(200, `name="icon"`, "scope create NAME").wellFormed()
	s.post("/admin/scopes", "name", "two words", "description", "x").shows(400, `id="f-name-error"`, `value="two words"`)
	s.post("/admin/scopes", "name", "a:read", "description", "").shows(400, `id="f-description-error"`)
	s.post("/admin/scopes", "name", "a:read", "description", hostile, "requires", "openid\r\nprofile", "icon", "mail", "default", "on").leads("/admin/scopes/a:read?done=created")
	s.get("/admin/scopes/a:read?done=created").shows(200, "Clients may request it", "openid\nprofile</textarea>", `value="mail" selected`, "Delete").wellFormed()
	s.get("/admin/scopes?kind=own").shows(200, "a:read", "Default", "openid profile").hides("admin:users:read")
	s.get("/admin/scopes?kind=system&search=OPENID").shows(200, "openid").hides("a:read")
	p := s.get("/admin/scopes/a:read")
	p.submit("/admin/scopes/a:read", "description", "read things", "requires", "nothing-such").shows(400, "Error", "nothing-such")
	p.submit("/admin/scopes/a:read", "description", "read things", "role", "admin").leads("/admin/scopes/a:read?done=updated")
	p.submit("/admin/scopes/a:read", "description", "read other things").shows(412, "Somebody changed this", "read things")
	s.post("/admin/scopes/a:read", "description", "x").shows(400, "lost its version")
	s.get("/admin/scopes/a:read").shows(200, "scope update a:read")
	s.get("/admin/scopes/openid").shows(200, "built in").hides("/admin/scopes/openid/delete")
	s.get("/admin/scopes/openid/delete").shows(409, "built in")
	s.get("/admin/scopes/a:read/delete").shows(200, "no client, role, route or other scope names it", "--yes")
	c := webApp()
	c.Scopes = []string{"a:read"}
	s.newClient(c)
	s.post("/admin/scopes/a:read/delete").shows(409, "Error")
	s.newRoute(access.Route{Prefix: "/held", Upstreams: []string{"http://x:1"}, Scopes: []string{"a:read"}})
	s.get("/admin/scopes/a:read/delete").shows(200, "Clients that may request it: ", "Routes that need it: ", "/held").hides(`id="submit"`).wellFormed()
	s.post("/admin/scopes/" + s.newScope("b:read") + "/delete").leads("/admin/scopes?done=deleted")
	s.get("/admin/scopes/b:read").shows(404)
}

func TestRoutes(t *testing.T) {
	s := newSite(t)
	s.get("/admin/routes").shows(200, "There are no routes yet", "gatehouse route create")
	s.get("/admin/routes/new").shows(200, `name="api_version"`, "Who may call").wellFormed()
	s.post("/admin/routes", "domain", "orders", "upstreams", "http://orders:8080").shows(400, `id="f-api_version-error"`, "http://orders:8080</textarea>")
	s.post("/admin/routes", "prefix", "/shop", "upstreams", "nonsense", "rate", "many", "body_limit", "x").shows(400, `id="f-rate-error"`, `id="f-body_limit-error"`, `<details class="advanced" open>`)
	p := s.post("/admin/routes", "domain", "orders", "api_version", "v1", "upstreams", "http://orders:8080\nhttp://orders2:8080", "scopes", "openid", "max_age", "1h")
	to := p.Header().Get("Location")
	p.leads(to)
	path := strings.TrimSuffix(to, "?done=created")
	s.get(to).shows(200, "within a second", "/orders/v1", "Resource", "http://orders2:8080</textarea>", `value="1h"`).wellFormed()
	s.get("/admin/routes").shows(200, "orders/v1", "and 1 more", "Active", "1 route")
	s.get("/admin/routes?search=nothing").shows(200, "No route matches")
	p = s.get(path)
	p.submit(path, "domain", "orders", "api_version", "v2", "upstreams", "http://orders:8080", "inactive", "on").leads(path + "?done=updated")
	p.submit(path, "domain", "orders", "api_version", "v3", "upstreams", "http://orders:8080").shows(412, "Somebody changed this", "<bdi>v2</bdi>")
	s.get(path).submit(path, "domain", "orders", "upstreams", "http://orders:8080").shows(400, `id="f-api_version-error"`)
	s.get("/admin/routes").shows(200, "Inactive")
	s.post(path, "domain", "x").shows(400, "lost its version")
	s.get(path+"/delete").shows(200, "answered with 404", "/orders/v2")
	s.post(path + "/delete").leads("/admin/routes?done=deleted")
	s.get(path).shows(404)
	for i := range 51 {
		s.newRoute(access.Route{Prefix: "/p" + string(rune('a'+i/26)) + string(rune('a'+i%26)), Upstreams: []string{"http://x:1"}, Roles: []string{"admin"}, KeepPath: true, Methods: []string{"GET"}})
	}
	s.get("/admin/routes").shows(200, "51 routes", "/admin/routes?offset=50")
	s.get("/admin/routes?offset=50").shows(200, "First page")
}

// What nobody or this administrator may change is shown without a form.
func TestLockedThings(t *testing.T) {
	s := newSite(t)
	s.newScope("a:read")
	id := s.newRoute(access.Route{Prefix: "/shop", Upstreams: []string{"http://x:1", "http://y:1"}, Scopes: []string{"a:read"}, Browser: true, Name: hostile, KeepPath: true, Host: "shop.example"})
	_, err := s.ops.CreateRole(t.Context(), s.actor(), "auditor", admin.RolePatch{
		Values: identity.Role{Scopes: []string{string(admin.ScopeScopesRead), string(admin.ScopeRoutesRead)}}, Names: []string{"scopes"},
	})
	testkit.Must(t, err)
	s.signIn(s.newUser("Reader", "auditor"))
	s.get("/admin/scopes/a:read").shows(200, "Description").hides(`id="submit"`, "/delete").wellFormed()
	s.get("/admin/routes/"+id).shows(200, "http://y:1", "a:read").hides(`id="submit"`, "/delete").wellFormed()
	s.get("/admin/scopes/new").shows(403)
	s.get("/admin/routes/new").shows(403)
	for _, path := range []string{"/scopes", "/scopes/a:read", "/scopes/a:read/delete", "/routes", "/routes/" + id, "/routes/" + id + "/delete"} {
		s.post("/admin"+path, "version", "1", "name", "x", "description", "y", "prefix", "/x", "upstreams", "http://x:1").shows(403)
	}
}

// No client, scope or role gets a name by which an address of the console means something else, so
// that each has a page. One that has such a name already is found by its id.
func TestNamesAreNotAddresses(t *testing.T) {
	s := newSite(t)
	refused := map[string]func(name string) error{
		"clients": func(name string) error {
			_, err := s.ops.CreateClient(t.Context(), s.actor(), admin.NewClient{ID: client.ID(name)})
			return err
		},
		"scopes": func(name string) error {
			_, err := s.ops.CreateScope(t.Context(), s.actor(), name, admin.ScopePatch{
				Values: oauth.Scope{Description: "x"}, Names: []string{"description"},
			})
			return err
		},
		"roles": func(name string) error {
			_, err := s.ops.CreateRole(t.Context(), s.actor(), name, admin.RolePatch{})
			return err
		},
	}
	found := map[string]int{}
	for pattern := range s.console.Patterns() {
		_, path, _ := strings.Cut(pattern, " /admin/")
		parts := strings.Split(path, "/")
		create := refused[parts[0]]
		if create == nil || len(parts) != 2 || strings.HasPrefix(parts[1], "{") {
			continue
		}
		found[parts[0]]++
		if err := create(parts[1]); !strings.Contains(fault.Text(err), "choose another name") {
			t.Errorf("there is a page %s, and something else called %s: %v", path, parts[1], err)
		}
	}
	for kind := range refused {
		if found[kind] == 0 {
			t.Errorf("no address of %s was looked at", kind)
		}
	}
	testkit.Must(t, s.db.CreateScope(t.Context(), &oauth.Scope{ID: "the-id", Name: "new", Description: "x"}))
	s.get("/admin/scopes").shows(200, `href="/admin/scopes/the-id"`)
	s.get("/admin/scopes/the-id").shows(200, "scope update new")
}
