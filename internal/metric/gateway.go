package metric

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Decisions of the gateway.
const (
	DecisionAllowed         = "allowed"
	DecisionUnauthenticated = "unauthenticated" // 401
	DecisionForbidden       = "forbidden"       // other 4xx
	DecisionLimited         = "limited"         // 429
	DecisionFailed          = "failed"          // 5xx: neither allowed nor denied, or no upstream
)

func decisions() []string {
	return []string{
		DecisionAllowed, DecisionUnauthenticated, DecisionForbidden, DecisionLimited, DecisionFailed,
	}
}

// Gateway measures the routes of the gateway. Series of routes that are deleted are deleted.
type Gateway struct {
	requests *prometheus.CounterVec
	denials  fixed
	up       *prometheus.GaugeVec
	none     *Route

	mu     sync.Mutex
	routes map[string]*Route
}

func newGateway(m *Metrics) *Gateway {
	g := &Gateway{
		requests: m.counters("gatehouse_gateway_requests_total",
			"Requests to routes of the gateway and questions of proxies about them, by the name of the "+
				"route and the decision: allowed, unauthenticated (401), forbidden (other 4xx), limited "+
				"(429) or failed (5xx).", "route", "decision"),
		denials: newFixed(m.counters("gatehouse_gateway_denials_total",
			"Requests that the gateway did not let pass, by the rule that did not hold.", "rule"),
			[]string{
				"credential", "audience", "scope", "role", "network", "method", "host", "origin", "issuer",
				"client", "acr", "age", "rate", "path", "route", "server", "upstream",
				"proxy", "header",
			}),
		up: m.gauges("gatehouse_gateway_upstream_up",
			"1 while an upstream is in use, 0 while it is skipped because it failed.", "route", "upstream"),
		routes: map[string]*Route{},
	}
	g.none = g.Route("")
	return g
}

// A Route is the series of one route of the gateway.
type Route struct {
	g          *Gateway
	byDecision map[string]prometheus.Counter
	users      int
}

// Route returns the series of a route. Each call needs a Release.
func (g *Gateway) Route(name string) *Route {
	if name == "" {
		name = "none" // no route has the address of the request
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.routes[name]
	if r == nil {
		// The series are made at once: a request that is under way while its route is deleted must
		// not make them anew.
		r = &Route{g: g, byDecision: map[string]prometheus.Counter{}}
		for _, d := range decisions() {
			r.byDecision[d] = g.requests.WithLabelValues(name, d)
		}
		g.routes[name] = r
	}
	r.users++
	return r
}

// Release deletes the series of a route that nobody uses any more.
func (g *Gateway) Release(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.routes[name]
	if r == nil {
		return
	}
	if r.users--; r.users > 0 {
		return
	}
	delete(g.routes, name)
	g.requests.DeletePartialMatch(prometheus.Labels{"route": name})
}

// None returns the series of requests to no route.
func (g *Gateway) None() *Route { return g.none }

// Allow counts a request that passed.
func (r *Route) Allow() { r.byDecision[DecisionAllowed].Inc() }

// Deny counts a request that did not pass.
func (r *Route) Deny(status int, rule string) {
	decision := DecisionForbidden
	switch {
	case status == 401:
		decision = DecisionUnauthenticated
	case status == 429:
		decision = DecisionLimited
	case status >= 500:
		decision = DecisionFailed
	}
	r.byDecision[decision].Inc()
	r.g.denials.inc(rule)
}

// Upstream is whether an upstream of a route is in use.
type Upstream struct {
	Route, Address string
	Up             bool
}

// Upstreams sets the states of all upstreams.
func (g *Gateway) Upstreams(all []Upstream) {
	g.up.Reset()
	for _, u := range all {
		g.up.WithLabelValues(u.Route, u.Address).Set(number(u.Up))
	}
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
