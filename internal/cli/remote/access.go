package remote

import (
	"context"
	"math"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

func roleOf(doc object) (*identity.Role, error) {
	r := &identity.Role{
		ID:        member[string](doc, "id"),
		Name:      member[string](doc, "name"),
		System:    member[bool](doc, "system"),
		Version:   member[int64](doc, "version"),
		CreatedAt: at(doc, "created_at"),
		UpdatedAt: at(doc, "updated_at"),
	}
	return r, read(admin.RoleFields(), doc, r)
}

// ListRoles returns all roles.
func (s *Server) ListRoles(ctx context.Context, _ admin.Actor) ([]identity.Role, error) {
	docs, _, err := part[object](ctx, s, nil, math.MaxInt32, 0, "roles")
	if err != nil {
		return nil, err
	}
	var out []identity.Role
	for _, doc := range docs {
		r, err := roleOf(doc)
		if err != nil {
			return nil, err
		}
		out = append(out, *r)
	}
	return out, nil
}

// Role returns a role.
func (s *Server) Role(ctx context.Context, _ admin.Actor, ref string) (*identity.Role, error) {
	var doc object
	if err := s.get(ctx, &doc, nil, "roles", ref); err != nil {
		return nil, err
	}
	return roleOf(doc)
}

// CreateRole defines a role.
func (s *Server) CreateRole(
	ctx context.Context, _ admin.Actor, name string, p admin.RolePatch,
) (*identity.Role, error) {
	b, err := body(admin.RoleFields(), &p, "name", name)
	if err != nil {
		return nil, err
	}
	var doc object
	if err := s.post(ctx, &doc, b, "roles"); err != nil {
		return nil, err
	}
	return roleOf(doc)
}

// UpdateRole changes a role.
func (s *Server) UpdateRole(
	ctx context.Context, _ admin.Actor, ref string, p admin.RolePatch,
) (*identity.Role, error) {
	b, err := body(admin.RoleFields(), &p)
	if err != nil {
		return nil, err
	}
	var doc object
	if err := s.patch(ctx, &doc, b, p.IfVersion, "roles", ref); err != nil {
		return nil, err
	}
	return roleOf(doc)
}

// CanDeleteRole returns an error for a role that is not there. Whether somebody has the role is
// decided when it is deleted.
func (s *Server) CanDeleteRole(ctx context.Context, a admin.Actor, ref string) error {
	_, err := s.Role(ctx, a, ref)
	return err
}

// DeleteRole deletes a role.
func (s *Server) DeleteRole(
	ctx context.Context, a admin.Actor, ref string, version int64,
) (*identity.Role, error) {
	r, err := s.Role(ctx, a, ref)
	if err != nil {
		return nil, err
	}
	return r, s.remove(ctx, nil, nil, version, "roles", r.ID)
}

func scopeOf(doc object) (*oauth.Scope, error) {
	x := &oauth.Scope{
		ID:        member[string](doc, "id"),
		Name:      member[string](doc, "name"),
		System:    member[bool](doc, "system"),
		Version:   member[int64](doc, "version"),
		CreatedAt: at(doc, "created_at"),
	}
	return x, read(admin.ScopeFields(), doc, x)
}

// Scope returns a scope.
func (s *Server) Scope(ctx context.Context, _ admin.Actor, name string) (*oauth.Scope, error) {
	var doc object
	if err := s.get(ctx, &doc, nil, "scopes", name); err != nil {
		return nil, err
	}
	return scopeOf(doc)
}

// Scopes returns all scopes.
func (s *Server) Scopes(ctx context.Context, _ admin.Actor) ([]oauth.Scope, error) {
	docs, _, err := part[object](ctx, s, nil, math.MaxInt32, 0, "scopes")
	if err != nil {
		return nil, err
	}
	var out []oauth.Scope
	for _, doc := range docs {
		x, err := scopeOf(doc)
		if err != nil {
			return nil, err
		}
		out = append(out, *x)
	}
	return out, nil
}

func (s *Server) scope(ctx context.Context, name string) (*oauth.Scope, error) {
	var doc object
	if err := s.get(ctx, &doc, nil, "scopes", name); err != nil {
		return nil, err
	}
	return scopeOf(doc)
}

// CreateScope defines a scope.
func (s *Server) CreateScope(
	ctx context.Context, _ admin.Actor, name string, p admin.ScopePatch,
) (*oauth.Scope, error) {
	b, err := body(admin.ScopeFields(), &p, "name", name)
	if err != nil {
		return nil, err
	}
	var doc object
	if err := s.post(ctx, &doc, b, "scopes"); err != nil {
		return nil, err
	}
	return scopeOf(doc)
}

// UpdateScope changes a scope.
func (s *Server) UpdateScope(
	ctx context.Context, _ admin.Actor, name string, p admin.ScopePatch,
) (*oauth.Scope, error) {
	b, err := body(admin.ScopeFields(), &p)
	if err != nil {
		return nil, err
	}
	var doc object
	if err := s.patch(ctx, &doc, b, p.IfVersion, "scopes", name); err != nil {
		return nil, err
	}
	return scopeOf(doc)
}

// CanDeleteScope returns an error for a scope that is not there. Whether something names the scope
// is decided when it is deleted.
func (s *Server) CanDeleteScope(ctx context.Context, _ admin.Actor, name string) error {
	_, err := s.scope(ctx, name)
	return err
}

// DeleteScope deletes a scope.
func (s *Server) DeleteScope(
	ctx context.Context, _ admin.Actor, name string, version int64,
) (*oauth.Scope, error) {
	x, err := s.scope(ctx, name)
	if err != nil {
		return nil, err
	}
	return x, s.remove(ctx, nil, nil, version, "scopes", x.ID)
}

func routeOf(doc object) (*admin.Route, error) {
	r := &admin.Route{
		Address:  member[string](doc, "address"),
		Resource: member[string](doc, "resource"),
		Problem:  member[string](doc, "problem"),
		Warnings: warningsOf(doc),
	}
	r.ID = member[string](doc, "id")
	r.CreatedAt, r.UpdatedAt = at(doc, "created_at"), at(doc, "updated_at")
	r.Revision = member[int64](doc, "row_version")
	return r, read(access.RouteFields(), doc, &r.Route)
}

// Routes returns a part of the routes.
func (s *Server) Routes(ctx context.Context, _ admin.Actor, q admin.RouteQuery) ([]*admin.Route, int, error) {
	docs, total, err := part[object](ctx, s, parameters("search", q.Search), q.Limit, q.Offset, "routes")
	if err != nil {
		return nil, 0, err
	}
	var out []*admin.Route
	for _, doc := range docs {
		r, err := routeOf(doc)
		if err != nil {
			return nil, 0, err
		}
		out = append(out, r)
	}
	return out, total, nil
}

// Route returns a route.
func (s *Server) Route(ctx context.Context, _ admin.Actor, ref string) (*admin.Route, error) {
	var doc object
	if err := s.get(ctx, &doc, nil, "routes", ref); err != nil {
		return nil, err
	}
	return routeOf(doc)
}

// StoredRoute returns a route that can be changed.
func (s *Server) StoredRoute(ctx context.Context, a admin.Actor, ref string) (*admin.Route, error) {
	r, err := s.Route(ctx, a, ref)
	if err == nil && r.FromFile() {
		return nil, fault.New(fault.Denied, "the route %s comes from a file of the server; change it there", r.Name)
	}
	return r, err
}

// CreateRoute creates a route.
func (s *Server) CreateRoute(ctx context.Context, _ admin.Actor, p admin.RoutePatch) (*admin.Route, error) {
	b, err := body(access.RouteFields(), &p)
	if err != nil {
		return nil, err
	}
	var doc object
	if err := s.post(ctx, &doc, b, "routes"); err != nil {
		return nil, err
	}
	return routeOf(doc)
}

// UpdateRoute changes a route.
func (s *Server) UpdateRoute(
	ctx context.Context, _ admin.Actor, ref string, p admin.RoutePatch,
) (*admin.Route, error) {
	b, err := body(access.RouteFields(), &p)
	if err != nil {
		return nil, err
	}
	var doc object
	if err := s.patch(ctx, &doc, b, p.IfVersion, "routes", ref); err != nil {
		return nil, err
	}
	return routeOf(doc)
}

// DeleteRoute deletes a route.
func (s *Server) DeleteRoute(ctx context.Context, _ admin.Actor, ref string, version int64) (*admin.Route, error) {
	r := &admin.Route{}
	r.ID = ref
	return r, s.remove(ctx, nil, nil, version, "routes", ref)
}

// Explain returns why a request was denied.
func (s *Server) Explain(ctx context.Context, _ admin.Actor, requestID string) (*admin.Explanation, error) {
	var doc object
	if err := s.get(ctx, &doc, nil, "explain", requestID); err != nil {
		return nil, err
	}
	out := &admin.Explanation{
		RequestID:  member[string](doc, "request_id"),
		RouteState: member[admin.RouteState](doc, "route_state"),
		Events:     eventsOf(member[[]object](doc, "events")),
	}
	if d := member[object](doc, "denial"); d != nil {
		out.Denial = denialOf(out.RequestID, d)
	}
	return out, nil
}

// Denials returns a page of what the gateway has denied.
func (s *Server) Denials(
	ctx context.Context, _ admin.Actor, q admin.DenialQuery,
) (*admin.List[access.DenialRecord], error) {
	q.Page.Exact = false // the total is exact
	return page(ctx, s, parameters("client_id", q.Client), q.Page, func(doc *object) (access.DenialRecord, error) {
		return *denialOf(member[string](*doc, "request_id"), *doc), nil
	}, "denials")
}

func denialOf(requestID string, d object) *access.DenialRecord {
	return &access.DenialRecord{
		RequestID: requestID,
		At:        at(d, "at"),
		Method:    member[string](d, "method"),
		Host:      member[string](d, "host"),
		Path:      member[string](d, "path"),
		Route:     member[string](d, "route_id"),
		RouteName: member[string](d, "route_name"),
		Caller: access.RecordedCaller{
			By:     member[string](d, "identified_by"),
			Client: member[string](d, "client_id"),
			User:   member[string](d, "user_id"),
		},
		IP:     member[string](d, "ip_address"),
		Status: member[int](d, "status"),
		Denial: access.RecordedDenial{
			Rule:   member[string](d, "rule"),
			Reason: member[string](d, "reason"),
			Needed: orNil(member[[]string](d, "needed")),
			Had:    orNil(member[[]string](d, "found")),
			Remedy: member[string](d, "remedy"),
			Code:   member[string](d, "code"),
			Scope:  orNil(member[[]string](d, "scope")),
			ACR:    member[string](d, "acr"),
			MaxAge: access.Duration(member[int64](d, "max_age")) * access.Duration(time.Second),
		},
	}
}
