package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// routeCommands manage what the gateway passes on, and for whom.
type routeCommands struct {
	Create routeCreate `cmd:"" help:"Make a route; running servers have it within a second."`
	List   routeList   `cmd:"" help:"List the routes, of the database and of ROUTES_FILE."`
	Show   routeShow   `cmd:"" help:"Show one route."`
	Update routeUpdate `cmd:"" help:"Change a route. Only what is named changes; lists are replaced."`
	Delete routeDelete `cmd:"" help:"Delete a route."`
}

// routeFields are what a route says. What is nil is left as it is.
type routeFields struct {
	Name              *string  `placeholder:"TEXT" help:"What people call it; DOMAIN/VERSION if left out."`
	Domain            *string  `placeholder:"NAME" help:"With --version: the route is for the paths below /DOMAIN/VERSION."`
	Version           *string  `placeholder:"NAME" help:"For example v1."`
	Prefix            *string  `placeholder:"PATH" help:"Instead of both: a path such as /shop, or / for all of a host."`
	Host              *string  `placeholder:"HOST" help:"A host name, or a wildcard such as *.example.com; any host if left out."`
	Upstream          []string `sep:"none" placeholder:"URL" help:"Where requests go: http://HOST:PORT, https://HOST, or h2c:// for HTTP/2 without TLS. May be repeated."`
	KeepPath          *bool    `negatable:"" help:"Pass the path on whole, without cutting the prefix."`
	KeepHost          *bool    `negatable:"" help:"Let the upstream see the host that the caller asked for."`
	Inactive          *bool    `negatable:"" help:"Answer as if the route did not exist."`
	Browser           *bool    `negatable:"" help:"Pages of people: who is not signed in is sent to the login."`
	Method            []string `sep:"none" placeholder:"METHOD" help:"A method that is passed on; all of them if left out. May be repeated."`
	Scope             []string `sep:"none" placeholder:"SCOPES" help:"What a token must be allowed: names separated by spaces, all needed. May be repeated."`
	Role              []string `sep:"none" placeholder:"ROLE" help:"A role that the user must have, or the client that acts for itself; one of them is enough. May be repeated."`
	Client            []string `sep:"none" placeholder:"ID" help:"A client that may call; one of them. May be repeated."`
	FromNetwork       []string `sep:"none" placeholder:"CIDR" help:"A network that callers must be in; one of them. May be repeated."`
	Audience          []string `sep:"none" placeholder:"URI" help:"An audience that a token may have, instead of the issuer and the route's own resource identifier. May be repeated."`
	Issuer            []string `sep:"none" placeholder:"NAME" help:"A foreign issuer of ROUTES_FILE whose tokens pass, too. May be repeated."`
	ACR               *string  `name:"acr" placeholder:"aal1|aal2" help:"How strongly a person must have signed in: aal2 is with a second factor."`
	MaxAge            *span    `placeholder:"DURATION" help:"How long ago that may be."`
	AllowUnidentified *bool    `negatable:"" help:"Let pass who does not say who they are."`
	AllowClientID     *bool    `name:"allow-client-id" negatable:"" help:"Take a client's id in X-Client-Id without a proof."`
	Rate              *int     `placeholder:"N" help:"How many requests a caller has per --rate-per; 0 is the default (one a second and address for callers who do not say who they are, else none), and --rate=-1 is no limit."`
	RatePer           *span    `placeholder:"DURATION" help:"What --rate counts over; a minute if left out."`
	RateBy            *string  `placeholder:"address|client|user" help:"What --rate tells callers apart by; what is known of them if left out."`
	Timeout           *span    `placeholder:"DURATION" help:"How long the upstream may take until its answer begins; 30s if left out."`
	BodyLimit         *int64   `placeholder:"BYTES" help:"The largest request body; 0 is no bound."`
	CORS              []string `name:"cors" sep:"none" placeholder:"ORIGIN" help:"An origin whose scripts may call; * is any, without cookies. May be repeated."`
	HealthPath        *string  `placeholder:"PATH" help:"Ask each upstream for this path, and pass over those that do not answer well."`
	HealthEvery       *span    `placeholder:"DURATION" help:"How often; 10s if left out."`
}

// apply writes what was given into a route.
func (f *routeFields) apply(r *access.Route) {
	if f.Prefix != nil && *f.Prefix != "" && f.Domain == nil && f.Version == nil {
		r.Domain, r.Version = "", "" // one address takes the place of the other
	}
	if f.Domain != nil && *f.Domain != "" && f.Prefix == nil {
		r.Prefix = ""
	}
	set(&r.Name, f.Name)
	set(&r.Domain, f.Domain)
	set(&r.Version, f.Version)
	set(&r.Prefix, f.Prefix)
	set(&r.Host, f.Host)
	setList(&r.Upstreams, f.Upstream)
	set(&r.KeepPath, f.KeepPath)
	set(&r.KeepHost, f.KeepHost)
	set(&r.Inactive, f.Inactive)
	set(&r.Browser, f.Browser)
	setList(&r.Methods, upper(f.Method))
	f.applyRules(r)
	set(&r.Rate, f.Rate)
	setRouteSpan(&r.RatePer, f.RatePer)
	set(&r.RateBy, f.RateBy)
	setRouteSpan(&r.Timeout, f.Timeout)
	set(&r.BodyLimit, f.BodyLimit)
	setList(&r.CORS, f.CORS)
	set(&r.HealthPath, f.HealthPath)
	setRouteSpan(&r.HealthEvery, f.HealthEvery)
}

func (f *routeFields) applyRules(r *access.Route) {
	setList(&r.Scopes, splitWords(f.Scope, ""))
	setList(&r.Roles, f.Role)
	setList(&r.Clients, f.Client)
	setList(&r.Networks, f.FromNetwork)
	setList(&r.Audiences, f.Audience)
	setList(&r.Issuers, f.Issuer)
	set(&r.ACR, f.ACR)
	setRouteSpan(&r.MaxAge, f.MaxAge)
	set(&r.Unidentified, f.AllowUnidentified)
	set(&r.ClientID, f.AllowClientID)
}

func setRouteSpan(to *access.Duration, given *span) {
	if given != nil {
		*to = access.Duration(*given)
	}
}

// upper writes methods as they are sent: people type get.
func upper(methods []string) []string {
	var out []string
	for _, m := range methods {
		out = append(out, strings.ToUpper(m))
	}
	return out
}

// routeSet is all that a route is judged with.
type routeSet struct {
	file    *access.File
	options access.Options
	stored  []access.Route
}

func routesOf(p *Parts) (*routeSet, error) {
	file, err := p.RoutesFile()
	if err != nil {
		return nil, err
	}
	return &routeSet{file, admin.RouteOptions(p.Config.Server.BaseURL, file), p.DB.Routes()}, nil
}

// all are the routes of the file and then those of the database, in the order in which they were written.
func (s *routeSet) all() []access.Route { return slices.Concat(s.file.Routes, s.stored) }

// ofFile reports whether a route stands in ROUTES_FILE.
func ofFile(r *access.Route) bool { return strings.HasPrefix(r.ID, "file:") }

// routeCreate makes a route.
type routeCreate struct{ routeFields }

// Run stores the route and prints its id.
func (f *routeCreate) Run(ctx context.Context, c *call) error {
	now := c.Now()
	r := &access.Route{ID: secret.NewID(now), CreatedAt: now, UpdatedAt: now}
	f.apply(r)
	return c.with(ctx, func(p *Parts) error {
		s, err := routesOf(p)
		if err != nil {
			return err
		}
		v, err := s.checked(r)
		if err != nil {
			return err
		}
		if err := p.DB.CreateRoute(ctx, r, s.fits(r.ID), c.routeEvent(audit.RouteCreated, v, now)); err != nil {
			return err
		}
		c.noteUnknown(ctx, p, r)
		return c.show(v, func(s *sheet) {
			s.pair("id", v.ID)
			s.pair("address", v.Address)
			s.pair("resource", v.Resource)
		})
	})
}

// checked compiles a route, puts the host into its plain form, and gives its view.
func (s *routeSet) checked(r *access.Route) (*routeView, error) {
	compiled, err := access.Compile(*r, s.options)
	if err != nil {
		return nil, routeFault(err)
	}
	r.Host = compiled.Route().Host
	return s.view(r), nil
}

func (c *call) routeEvent(t audit.Type, v *routeView, now time.Time) audit.Event {
	ev := c.event(t, now)
	ev.Detail = map[string]string{"route": v.ID, "address": v.Address}
	return ev
}

// noteUnknown warns of names that stand for nothing yet: a slip of the pen would shut everybody out.
func (c *call) noteUnknown(ctx context.Context, p *Parts, r *access.Route) {
	for _, id := range r.Clients {
		if _, err := p.DB.Client(ctx, client.ID(id)); fault.Is(err, fault.NotFound) {
			c.note("there is no client %q yet; see %s client list", id, program)
		}
	}
	if len(r.Issuers) > 0 { // whose scopes are their own affair
		return
	}
	for _, name := range r.Scopes {
		if p.DB.Scopes()[name] == nil {
			c.note("there is no scope %q yet; define it with %s scope create", name, program)
		}
	}
}

// routeList lists routes.
type routeList struct {
	Search string `help:"Only routes whose id, name, address or upstream contains this."`
	pageFlags
}

// Run prints a page of routes.
func (f *routeList) Run(ctx context.Context, c *call) error {
	if err := f.check(); err != nil {
		return err
	}
	return c.with(ctx, func(p *Parts) error {
		s, err := routesOf(p)
		if err != nil {
			return err
		}
		var views []*routeView
		all := s.all()
		for i := range all {
			if v := s.view(&all[i]); v.matches(f.Search) {
				views = append(views, v)
			}
		}
		total := len(views)
		views = views[min(f.Offset, total):min(f.Offset+f.Limit, total)]
		return showList(c, views, total, func(s *sheet) {
			s.row("ID", "NAME", "ADDRESS", "UPSTREAMS", "WHO MAY PASS", "STATE")
			for _, v := range views {
				s.row(v.ID, v.Name, v.Address, strings.Join(v.Upstream, " "), v.who(), v.state())
			}
			s.more(len(views), f.Offset, total)
		})
	})
}

func (v *routeView) matches(search string) bool {
	search = strings.ToLower(strings.TrimSpace(search))
	return slices.ContainsFunc(append([]string{v.ID, v.Name, v.Address}, v.Upstream...), func(s string) bool {
		return strings.Contains(strings.ToLower(s), search)
	})
}

// routeRef names a route.
type routeRef struct {
	Ref string `arg:"" name:"route" help:"The route's id; or its name or address where no other route has it."`
}

// find gives a copy that may be changed.
func (r routeRef) find(s *routeSet) (*access.Route, error) {
	all := s.all()
	if i := slices.IndexFunc(all, func(o access.Route) bool { return o.ID == r.Ref }); i >= 0 {
		return &all[i], nil
	}
	var found []*access.Route
	for i := range all {
		v := s.view(&all[i])
		if strings.EqualFold(v.Name, r.Ref) || v.Address == r.Ref || v.Domain != "" && v.Domain+"/"+v.Version == r.Ref {
			found = append(found, &all[i])
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, fault.New(fault.NotFound, "there is no route %q; see %s route list", r.Ref, program)
	}
	return nil, fault.New(fault.Conflict, "%d routes are called %q; name the one you mean by its id: see %s route list --search", len(found), r.Ref, program)
}

// stored is find for a route that is to be changed.
func (r routeRef) ofDatabase(p *Parts, s *routeSet) (*access.Route, error) {
	found, err := r.find(s)
	if err == nil && ofFile(found) {
		err = fault.New(fault.Denied, "the route %s stands in %s; change it there, and running servers have it within a second", found.Name, p.Config.Gateway.RoutesFile)
	}
	return found, err
}

// routeShow shows one route.
type routeShow struct{ routeRef }

// Run prints the route.
func (f *routeShow) Run(ctx context.Context, c *call) error {
	return c.with(ctx, func(p *Parts) error {
		s, err := routesOf(p)
		if err != nil {
			return err
		}
		r, err := f.find(s)
		if err != nil {
			return err
		}
		v := s.view(r)
		return c.show(v, v.print)
	})
}

// routeUpdate changes a route.
type routeUpdate struct {
	routeRef
	Unset []string `sep:"none" placeholder:"FLAG" help:"Empty what another flag sets, as in --unset scope. May be repeated."`
	routeFields
}

// Run stores the changed route.
func (f *routeUpdate) Run(ctx context.Context, c *call) error {
	now := c.Now()
	return c.with(ctx, func(p *Parts) error {
		s, err := routesOf(p)
		if err != nil {
			return err
		}
		r, err := f.ofDatabase(p, s)
		if err != nil {
			return err
		}
		stored := *r
		before := s.view(r)
		if err := f.clear(r); err != nil {
			return err
		}
		f.apply(r)
		r.UpdatedAt = now
		v, err := s.checked(r)
		if err != nil {
			return err
		}
		ev := c.routeEvent(audit.RouteUpdated, v, now)
		ev.Detail["changed"] = strings.Join(differences(before, v), " ")
		if err := p.DB.UpdateRoute(ctx, &stored, r, s.fits(r.ID), ev); err != nil {
			return err
		}
		c.noteUnknown(ctx, p, r)
		return c.show(v, v.print)
	})
}

// clear empties what --unset names.
func (f *routeUpdate) clear(r *access.Route) error {
	table := routeUnset()
	for _, name := range f.Unset {
		if table[name] == nil {
			return known("flag to unset", name, sortedKeys(table))
		}
		table[name](r)
	}
	return nil
}

// routeUnset is what --unset can empty.
func routeUnset() map[string]func(*access.Route) {
	return map[string]func(*access.Route){
		"name":         func(r *access.Route) { r.Name = "" },
		"host":         func(r *access.Route) { r.Host = "" },
		"method":       func(r *access.Route) { r.Methods = nil },
		"scope":        func(r *access.Route) { r.Scopes = nil },
		"role":         func(r *access.Route) { r.Roles = nil },
		"client":       func(r *access.Route) { r.Clients = nil },
		"from-network": func(r *access.Route) { r.Networks = nil },
		"audience":     func(r *access.Route) { r.Audiences = nil },
		"issuer":       func(r *access.Route) { r.Issuers = nil },
		"acr":          func(r *access.Route) { r.ACR = "" },
		"max-age":      func(r *access.Route) { r.MaxAge = 0 },
		"rate":         func(r *access.Route) { r.Rate, r.RatePer, r.RateBy = 0, 0, "" },
		"rate-per":     func(r *access.Route) { r.RatePer = 0 },
		"rate-by":      func(r *access.Route) { r.RateBy = "" },
		"timeout":      func(r *access.Route) { r.Timeout = 0 },
		"body-limit":   func(r *access.Route) { r.BodyLimit = 0 },
		"cors":         func(r *access.Route) { r.CORS = nil },
		"health-path":  func(r *access.Route) { r.HealthPath, r.HealthEvery = "", 0 },
		"health-every": func(r *access.Route) { r.HealthEvery = 0 },
	}
}

// routeDelete deletes a route.
type routeDelete struct {
	routeRef
	Yes bool `help:"Do not ask."`
}

// Run deletes the route once that is confirmed.
func (f *routeDelete) Run(ctx context.Context, c *call) error {
	return c.with(ctx, func(p *Parts) error {
		s, err := routesOf(p)
		if err != nil {
			return err
		}
		r, err := f.ofDatabase(p, s)
		if err != nil {
			return err
		}
		v := s.view(r)
		if err := c.confirm(f.Yes, "route", v.Name); err != nil {
			return err
		}
		if err := p.DB.DeleteRoute(ctx, r.ID, c.routeEvent(audit.RouteDeleted, v, c.Now())); err != nil {
			return err
		}
		return c.done(map[string]string{"id": r.ID, "result": "deleted"}, "Route %s is deleted.", v.Name)
	})
}

// fits judges a change of the stored routes by all that will be there then. Others that are in each other's way, because the file has
// changed, are not held against it.
func (s *routeSet) fits(changed string) func([]access.Route) error {
	return func(stored []access.Route) error {
		var own *access.Compiled
		var others []*access.Compiled
		for _, r := range slices.Concat(s.file.Routes, stored) {
			c, err := access.Compile(r, s.options)
			switch {
			case r.ID == changed && err != nil:
				return routeFault(err)
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

// routeFault says which flag a refused route is refused for.
func routeFault(err error) error {
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Invalid {
		return err
	}
	if flag := routeFlags()[f.Field]; flag != "" {
		return usageError{fmt.Errorf("--%s: %w", flag, err)}
	}
	return usageError{err}
}

// routeFlags maps the fields of a route to the flags that set them, where they are called otherwise.
func routeFlags() map[string]string {
	return map[string]string{
		"name": "name", "domain": "domain", "version": "version", "prefix": "prefix", "host": "host", "upstreams": "upstream",
		"methods": "method", "timeout": "timeout", "body_limit": "body-limit", "cors": "cors", "scopes": "scope", "roles": "role",
		"clients": "client", "networks": "from-network", "audiences": "audience", "issuers": "issuer", "acr": "acr", "max_age": "max-age",
		"allow_unidentified": "allow-unidentified", "allow_client_id": "allow-client-id", "rate": "rate", "rate_per": "rate-per",
		"rate_by": "rate-by", "health_path": "health-path", "health_every": "health-every", "keep_path": "keep-path",
		"keep_host": "keep-host", "browser": "browser",
	}
}
