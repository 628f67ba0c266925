package gateway

import "github.com/gatehouse-id/gatehouse/internal/gateway/upstream"

// noMeter counts nothing.
type noMeter struct{}

func (noMeter) Allow()           {}
func (noMeter) Deny(int, string) {}

// meterRoute sets what counts the requests to a route that comes into force.
func (g *Gateway) meterRoute(rt *Route) {
	rt.meter = noMeter{}
	if g.Meter != nil {
		rt.meter = g.Meter.Route(rt.name())
	}
}

// unmeterRoute ends the counting for a route that is no longer in force.
func (g *Gateway) unmeterRoute(rt *Route) {
	if g.Meter != nil && rt.meter != nil {
		g.Meter.Release(rt.name())
	}
}

// meterOf returns what counts a decision.
func (g *Gateway) meterOf(d Decision) RouteMeter {
	if d.Route == nil || d.Route.meter == nil {
		return g.unrouted
	}
	return d.Route.meter
}

// RouteHealth is the upstreams of one route.
type RouteHealth struct {
	Route     string // its name
	Upstreams []upstream.State
}

// Health returns the states of the upstreams of all routes in force.
func (g *Gateway) Health() []RouteHealth {
	var all []RouteHealth
	for _, rt := range g.table.Load().entries {
		all = append(all, RouteHealth{Route: rt.name(), Upstreams: rt.pool.States()})
	}
	return all
}
