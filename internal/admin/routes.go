package admin

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// fileIDPrefix begins the id of a route that comes from the routes file.
const fileIDPrefix = "file:"

// RoutePatch is a change of the fields in access.RouteFields.
type RoutePatch = field.Patch[access.Route]

// RouteQuery selects routes.
type RouteQuery struct {
	Search        string // part of an id, name, address or upstream; "" for all
	Limit, Offset int
}

// Route is a route with what follows from it.
type Route struct {
	access.Route
	Address  string // host and prefix, for people
	Resource string // its resource identifier (RFC 9728 §1.2), or "" if it cannot be used
	Problem  string // why it cannot be used, or ""
	Warnings []Warning
}

// routeSet holds all routes and what they are compiled against.
type routeSet struct {
	name    string // of the routes file
	file    *access.File
	options access.Options
	all     []access.Route // those of the file before those of the database
}

func (o *Operations) routeSet() (*routeSet, error) {
	file, err := o.parts.Routes()
	if err != nil {
		return nil, err
	}
	return &routeSet{
		name:    o.cfg.RoutesFile,
		file:    file,
		options: RouteOptions(o.cfg.Issuer, file),
		all:     slices.Concat(file.Routes, o.store.Routes()),
	}, nil
}

// describe returns a route with what follows from compiling it.
func (s *routeSet) describe(r *access.Route) *Route {
	out := &Route{Route: *r}
	c, err := access.Compile(*r, s.options)
	if err != nil {
		out.Problem = err.Error()
		return out
	}
	out.Name, out.Host = c.Route().Name, c.Route().Host
	out.Address, out.Resource = c.Address(), c.Resource()
	return out
}

// find returns the route with that id, name or address.
func (s *routeSet) find(ref string) (*access.Route, error) {
	if i := slices.IndexFunc(s.all, func(r access.Route) bool { return r.ID == ref }); i >= 0 {
		return &s.all[i], nil
	}
	var found []*access.Route
	for i := range s.all {
		r := &s.all[i]
		d := s.describe(r)
		if strings.EqualFold(d.Name, ref) || d.Address == ref || d.Domain != "" && d.Domain+"/"+d.Version == ref {
			found = append(found, r)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, fault.New(fault.NotFound, "there is no route %q", ref)
	}
	return nil, fault.New(fault.Conflict, "%d routes are called %q; use the id of the one you mean", len(found), ref)
}

// findStored returns a route that can be changed, which those of the routes file cannot.
func (s *routeSet) findStored(ref string) (*access.Route, error) {
	r, err := s.find(ref)
	if err == nil && r.FromFile() {
		return nil, fault.New(fault.Denied,
			"the route %s comes from %s; change it there, and running servers follow within a second", r.Name, s.name)
	}
	return r, err
}

// Routes returns a page of routes, those of the routes file first, and how many match in all.
func (o *Operations) Routes(_ context.Context, a Actor, q RouteQuery) ([]*Route, int, error) {
	if err := o.authorize(a, ScopeRoutesRead); err != nil {
		return nil, 0, err
	}
	s, err := o.routeSet()
	if err != nil {
		return nil, 0, err
	}
	var found []*Route
	for i := range s.all {
		if r := s.describe(&s.all[i]); r.matches(q.Search) {
			found = append(found, r)
		}
	}
	total := len(found)
	return found[min(q.Offset, total):min(q.Offset+q.Limit, total)], total, nil
}

func (r *Route) matches(search string) bool {
	search = strings.ToLower(strings.TrimSpace(search))
	return slices.ContainsFunc(append([]string{r.ID, r.Name, r.Address}, r.Upstreams...), func(s string) bool {
		return strings.Contains(strings.ToLower(s), search)
	})
}

// Route returns the route with that id, name or address.
func (o *Operations) Route(_ context.Context, a Actor, ref string) (*Route, error) {
	if err := o.authorize(a, ScopeRoutesRead); err != nil {
		return nil, err
	}
	s, err := o.routeSet()
	if err != nil {
		return nil, err
	}
	r, err := s.find(ref)
	if err != nil {
		return nil, err
	}
	return s.describe(r), nil
}

// CreateRoute creates a route. Running servers use it within a second.
func (o *Operations) CreateRoute(ctx context.Context, a Actor, p RoutePatch) (*Route, error) {
	if err := o.authorize(a, ScopeRoutesWrite); err != nil {
		return nil, err
	}
	s, err := o.routeSet()
	if err != nil {
		return nil, err
	}
	now := o.parts.Now()
	r := &access.Route{ID: secret.NewID(now), CreatedAt: now, UpdatedAt: now}
	r.ApplyPatch(&p)
	out, err := s.validate(r)
	if err != nil {
		return nil, err
	}
	out.Warnings = o.routeWarnings(ctx, a, r)
	ev := routeEvent(a, audit.RouteCreated, out, now)
	ev.Guard = o.covers(a, ScopeRoutesWrite, ofRoles(r.Roles...))
	return out, o.store.CreateRoute(ctx, r, o.routeCheck(s, r.ID), ev)
}

// UpdateRoute changes fields of a route. Running servers follow within a second.
func (o *Operations) UpdateRoute(ctx context.Context, a Actor, ref string, p RoutePatch) (*Route, error) {
	if err := o.authorize(a, ScopeRoutesWrite); err != nil {
		return nil, err
	}
	return o.changeRoute(ctx, a, ref, p.IfVersion, func(s *routeSet, old *access.Route, version int64) (*Route, error) {
		return o.updateRoute(ctx, a, p, s, old, version)
	})
}

// changeRoute calls a change with the route that it is about. What the change needs is decided by
// that route, so it holds only for the version that is passed with it. Where nobody asked for a
// version and another one came between, the change is tried again with the new one.
func (o *Operations) changeRoute(
	ctx context.Context, a Actor, ref string, wanted int64,
	change func(s *routeSet, old *access.Route, version int64) (*Route, error),
) (*Route, error) {
	for try := 1; ; try++ {
		s, err := o.routeSet()
		if err != nil {
			return nil, err
		}
		old, err := s.findStored(ref)
		if err != nil {
			return nil, err
		}
		version := wanted
		if wanted == 0 && !a.trusted() {
			version = old.Revision
		}
		out, err := change(s, old, version)
		if wanted != 0 || !fault.Is(err, fault.Stale) || try == staleTries {
			return out, err
		}
		if err := o.store.SyncCache(ctx); err != nil {
			return nil, err
		}
	}
}

func (o *Operations) updateRoute(
	ctx context.Context, a Actor, p RoutePatch, s *routeSet, old *access.Route, version int64,
) (*Route, error) {
	now := o.parts.Now()
	r := *old
	r.ApplyPatch(&p)
	r.UpdatedAt = now
	out, err := s.validate(&r)
	if err != nil {
		return nil, err
	}
	differ := field.Differences(access.RouteFields(), old, &r)
	if err := CheckVersion(p.IfVersion, old.Revision, differ); err != nil {
		return nil, err
	}
	ev := routeEvent(a, audit.RouteUpdated, out, now)
	ev.Guard = o.covers(a, ScopeRoutesWrite, ofRoles(old.Roles...), ofRoles(r.Roles...))
	ev.Detail["changed"] = strings.Join(s.describe(old).differences(out), " ")
	ev.Changes = field.Changes(access.RouteFields(), old, &r)
	out.Warnings = o.routeWarnings(ctx, a, &r)
	err = o.store.UpdateRouteAt(ctx, version, old, &r, o.routeCheck(s, r.ID), ev)
	out.Revision = r.Revision
	return out, err
}

// differences returns the names of the fields in which two states of a route differ, with what
// follows from them, in alphabetical order.
func (r *Route) differences(after *Route) []string {
	names := field.Differences(access.RouteFields(), &r.Route, &after.Route)
	if r.Address != after.Address {
		names = append(names, "address")
	}
	if r.Resource != after.Resource {
		names = append(names, "resource")
	}
	slices.Sort(names)
	return names
}

// DeleteRoute deletes a route. A version other than 0 is the one that the route must have.
func (o *Operations) DeleteRoute(ctx context.Context, a Actor, ref string, version int64) (*Route, error) {
	if err := o.authorize(a, ScopeRoutesWrite); err != nil {
		return nil, err
	}
	return o.changeRoute(ctx, a, ref, version, func(s *routeSet, r *access.Route, version int64) (*Route, error) {
		out := s.describe(r)
		ev := routeEvent(a, audit.RouteDeleted, out, o.parts.Now())
		ev.Guard = o.covers(a, ScopeRoutesWrite, ofRoles(r.Roles...))
		return out, o.store.DeleteRouteAt(ctx, version, r.ID, ev)
	})
}

// StoredRoute returns the route with that id, name or address if it can be changed.
func (o *Operations) StoredRoute(_ context.Context, a Actor, ref string) (*Route, error) {
	if err := o.authorize(a, ScopeRoutesRead); err != nil {
		return nil, err
	}
	s, err := o.routeSet()
	if err != nil {
		return nil, err
	}
	r, err := s.findStored(ref)
	if err != nil {
		return nil, err
	}
	return s.describe(r), nil
}

// validate compiles a route, brings its host into the stored form and describes it.
func (s *routeSet) validate(r *access.Route) (*Route, error) {
	compiled, err := access.Compile(*r, s.options)
	if err != nil {
		return nil, err
	}
	r.Host = compiled.Route().Host
	return s.describe(r), nil
}

// routeCheck returns what judges a change of one route by all routes, or nil where a whole document
// is judged at once; see fitRoutes.
func (o *Operations) routeCheck(s *routeSet, changed string) func([]access.Route) error {
	if o.draft || o.together {
		return nil
	}
	return s.check(changed)
}

// fitRoutes judges changes of several stored routes by all routes as they are after them. It
// returns the name of the first one that does not fit those before it, and why.
func (o *Operations) fitRoutes(changed []string) (name string, err error) {
	if len(changed) == 0 {
		return "", nil
	}
	s, err := o.routeSet()
	if err != nil {
		return "", err
	}
	own := make(map[string]*access.Compiled, len(changed))
	for _, name := range changed {
		own[name] = nil
	}
	at := map[string][]*access.Compiled{} // by their addresses
	for i := range s.all {
		c, err := access.Compile(s.all[i], s.options)
		if err != nil {
			continue // it is not used, so that nothing collides with it
		}
		if _, is := own[c.Route().Name]; is && !s.all[i].FromFile() {
			own[c.Route().Name] = c
			continue
		}
		at[c.Address()] = append(at[c.Address()], c)
	}
	for _, name := range changed {
		c := own[name]
		if c == nil {
			continue
		}
		for _, other := range at[c.Address()] {
			if _, err := access.NewTable([]*access.Compiled{other, c}); err != nil {
				return name, err
			}
		}
		at[c.Address()] = append(at[c.Address()], c)
	}
	return "", nil
}

// check returns a function that judges a change of one route by all routes as they will be.
// Routes that collide with each other only because the file has changed do not stop it.
func (s *routeSet) check(changed string) func([]access.Route) error {
	return func(stored []access.Route) error {
		var own *access.Compiled
		var others []*access.Compiled
		for _, r := range slices.Concat(s.file.Routes, stored) {
			c, err := access.Compile(r, s.options)
			switch {
			case r.ID == changed && err != nil:
				return err
			case r.ID == changed:
				own = c
			case err == nil:
				others = append(others, c)
			}
		}
		for _, other := range others {
			if other.Address() != own.Address() {
				continue
			}
			if _, err := access.NewTable([]*access.Compiled{other, own}); err != nil {
				return err
			}
		}
		return nil
	}
}

func routeEvent(a Actor, t audit.Type, r *Route, now time.Time) audit.Event {
	ev := a.event(t, now)
	ev.TargetType, ev.TargetID = audit.TargetRoute, r.ID
	ev.Detail = map[string]string{"route": r.ID, "address": r.Address}
	return ev
}

// routeWarnings reports names of clients and scopes that do not exist: a misspelled one would deny
// every request.
func (o *Operations) routeWarnings(ctx context.Context, a Actor, r *access.Route) []Warning {
	var out []Warning
	for _, id := range r.Clients {
		if _, err := o.store.Client(ctx, client.ID(id)); fault.Is(err, fault.NotFound) {
			out = append(out, Warning{Code: WarnUnknownClient, Subject: id})
		}
	}
	if len(r.Issuers) > 0 { // they define scopes of their own
		return out
	}
	return append(out, o.scopeWarnings(a, r.Scopes)...)
}
