package cli

import (
	"context"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// routeCommands manage what the gateway forwards, and for whom.
type routeCommands struct {
	Create routeCreate `cmd:"" help:"Create a route; running servers use it within a second."`
	List   routeList   `cmd:"" aliases:"ls" help:"List the routes of the database and of ROUTES_FILE."`
	Show   routeShow   `cmd:"" help:"Show one route."`
	Update routeUpdate `cmd:"" help:"Change a route. Only what is named changes; lists are replaced."`
	Delete routeDelete `cmd:"" aliases:"rm" help:"Delete a route."`
}

func newRouteCommands() *routeCommands {
	flags := fieldFlags[access.Route]{fields: access.RouteFields()}
	return &routeCommands{Create: routeCreate{flags}, Update: routeUpdate{fieldFlags: flags}}
}

// routeCreate creates a route.
type routeCreate struct{ fieldFlags[access.Route] }

// Run stores the route and prints its id.
func (f *routeCreate) Run(ctx context.Context, c *call) error {
	p, err := f.patch()
	if err != nil {
		return err
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		r, err := ops.CreateRoute(ctx, a, p)
		if err != nil {
			return f.explain(err)
		}
		c.warn(r.Warnings)
		return c.show(routeMembers(r), func(s *table) {
			s.pair("id", r.ID)
			s.pair("address", r.Address)
			s.pair("resource", r.Resource)
		})
	})
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
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		routes, total, err := ops.Routes(ctx, a, admin.RouteQuery{
			Search: f.Search,
			Limit:  f.Limit,
			Offset: f.Offset,
		})
		if err != nil {
			return err
		}
		docs := make([]object, 0, len(routes))
		for _, r := range routes {
			docs = append(docs, routeMembers(r))
		}
		return showList(c, docs, total, func(s *table) {
			s.row("ID", "NAME", "ADDRESS", "UPSTREAMS", "ALLOWED CALLERS", "STATE")
			for _, r := range routes {
				s.row(r.ID, r.Name, r.Address, strings.Join(r.Upstreams, " "), routeCallers(&r.Route), routeState(r))
			}
			s.more(len(routes), f.Offset, total)
		})
	})
}

// routeRef names a route.
type routeRef struct {
	Ref string `arg:"" name:"route" help:"The route's id, or its name or address if no other route has it."`
}

// noRoute adds where to look to the error for a route that does not exist or is not the only one.
func noRoute(err error) error {
	err = withHint(err, fault.NotFound, "see %s route list", program)
	return withHint(err, fault.Conflict, "see %s route list --search", program)
}

// routeShow shows one route.
type routeShow struct{ routeRef }

// Run prints the route.
func (f *routeShow) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		r, err := ops.Route(ctx, a, f.Ref)
		if err != nil {
			return noRoute(err)
		}
		return c.show(routeMembers(r), func(s *table) { printRoute(s, r) })
	})
}

// routeUpdate changes a route.
type routeUpdate struct {
	routeRef
	Unset []string `sep:"none" placeholder:"FLAG" help:"Clear what a flag sets, as in --unset scope. May be repeated."`
	fieldFlags[access.Route]
}

// Run stores the changed route.
func (f *routeUpdate) Run(ctx context.Context, c *call) error {
	p, err := f.patch()
	if err != nil {
		return err
	}
	if err := f.unset(&p, f.Unset); err != nil {
		return err
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		r, err := ops.UpdateRoute(ctx, a, f.Ref, p)
		if err != nil {
			return noRoute(f.explain(err))
		}
		c.warn(r.Warnings)
		return c.show(routeMembers(r), func(s *table) { printRoute(s, r) })
	})
}

// routeDelete deletes a route.
type routeDelete struct {
	routeRef
	Yes bool `short:"y" help:"Do not ask for confirmation."`
}

// Run deletes the route after confirmation.
func (f *routeDelete) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		r, err := ops.StoredRoute(ctx, a, f.Ref)
		if err != nil {
			return noRoute(err)
		}
		if err := c.confirm(f.Yes, "route", r.Name); err != nil {
			return err
		}
		if _, err := ops.DeleteRoute(ctx, a, r.ID, 0); err != nil {
			return noRoute(err)
		}
		return c.done(map[string]string{"id": r.ID, "result": "deleted"}, "Route %s is deleted.", r.Name)
	})
}
