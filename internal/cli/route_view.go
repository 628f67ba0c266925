package cli

import (
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/admin"
)

// routeSource returns where a route comes from.
func routeSource(r *admin.Route) string {
	if r.FromFile() {
		return "file"
	}
	return "database"
}

// routeMembers returns a route as JSON, with what follows from compiling it.
func routeMembers(r *admin.Route) object {
	doc := append(object{
		{"id", r.ID},
		{"source", routeSource(r)},
		{"address", r.Address},
		{"resource", r.Resource},
		{"problem", r.Problem},
	}, fieldMembers(access.RouteFields(), &r.Route)...)
	return append(doc, object{
		{"created_at", timestamp{r.CreatedAt}},
		{"updated_at", timestamp{r.UpdatedAt}},
	}...)
}

func routeState(r *admin.Route) string {
	switch {
	case r.Problem != "":
		return "unusable"
	case r.Inactive:
		return "inactive"
	}
	return "active"
}

// routeCallers returns in a few words who may call a route.
func routeCallers(r *access.Route) string {
	if r.Unidentified {
		return "anyone"
	}
	var out []string
	for _, rule := range []struct {
		name string
		list []string
	}{
		{"scope", r.Scopes},
		{"role", r.Roles},
		{"client", r.Clients},
		{"network", r.Networks},
	} {
		if len(rule.list) > 0 {
			out = append(out, rule.name+" "+strings.Join(rule.list, " "))
		}
	}
	if r.ACR != "" {
		out = append(out, r.ACR)
	}
	if len(out) == 0 {
		return "anyone authenticated"
	}
	return strings.Join(out, ", ")
}

func printRoute(s *table, r *admin.Route) {
	s.pair("id", r.ID)
	s.pair("name", r.Name)
	s.pair("source", routeSource(r))
	s.pair("state", routeState(r))
	s.pair("problem", r.Problem)
	s.pair("address", r.Address)
	s.pair("resource", r.Resource)
	printFields(s, access.RouteFields(), &r.Route)
	s.pair("created_at", timestamp{r.CreatedAt}.String())
	s.pair("updated_at", timestamp{r.UpdatedAt}.String())
}
