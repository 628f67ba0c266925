package gateway

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/gateway/upstream"
)

// Decision is what the gateway decided about a request.
type Decision struct {
	Route     *Route         // nil: no route has the request's address
	Caller    *Caller        // never nil; the anonymous caller if none was found
	Nonce     string         // for the caller's next DPoP proof, or ""
	Preflight bool           // the request is a CORS preflight that the route permits
	Denial    *access.Denial // nil: the request may pass
}

// proxy decides a request that was sent to the gateway, and passes it on to the route's upstream.
func (g *Gateway) proxy(w http.ResponseWriter, r *http.Request) {
	req := g.newRequest(r)
	d := g.decide(req)
	if d.Route != nil {
		r.Pattern = d.Route.name() // for the log of requests
	}
	if d.Preflight {
		g.meterOf(d).Allow()
		answerPreflight(w, req, d.Route)
		return
	}
	if d.Route != nil {
		d.Route.allowOrigin(w.Header(), req)
	}
	if d = g.limited(w, req, d); d.Denial != nil {
		g.deny(w, req, d)
		return
	}
	g.forward(w, req, d)
}

// Check answers a proxy that asks whether a request it holds may pass (forward-auth): with 200 and
// headers that identify the caller, or with the answer that the proxy should give instead of the
// upstream's. It is served at /gateway/check and, followed by the request's own path, below it.
func (g *Gateway) Check(w http.ResponseWriter, r *http.Request) {
	r.Pattern = pathCheck
	req, err := g.originalRequest(r)
	d := Decision{Caller: g.anonymous}
	if err != nil {
		d.Denial = denialOf(err)
	} else {
		// the upstream answers preflights, as of an anonymous caller
		d = g.limited(w, req, g.decide(req))
	}
	if d.Denial != nil {
		g.deny(w, req, d.forProxy())
		return
	}
	headers, err := g.identityHeaders(req, d.Route, d.Caller)
	if err != nil {
		d.Denial = unjudged(err)
		g.deny(w, req, d)
		return
	}
	g.meterOf(d).Allow()
	g.approve(w, d, headers)
}

// decide finds the route and the caller of a request, and whether it may pass.
func (g *Gateway) decide(req *Request) Decision {
	route, err := g.matchRoute(req)
	if err != nil {
		return Decision{Caller: g.anonymous, Denial: denialOf(err)}
	}
	d := Decision{Route: route, Caller: g.anonymous}
	if d.Preflight = route.permitsPreflight(req); d.Preflight {
		return d
	}
	if err := route.checkMethodOverride(req.Header); err != nil {
		d.Denial = denialOf(err)
		return d
	}
	if tokenInQuery(req.Target.Query) {
		d.Denial = badRequest("credential", "An access token in the address is refused (RFC "+
			"6750 section 5.3).",
			"Send it in the Authorization header.")
		return d
	}
	id, err := g.resolve(req, route)
	if err != nil {
		d.Denial = denialOf(err)
		d.Nonce = d.Denial.Challenge.Nonce
		return d
	}
	d.Caller, d.Nonce = id.Caller, id.Nonce
	req.event.Client, req.event.User = id.Client, id.User
	d.Denial = route.Decide(&req.Target, &id.Caller.Caller)
	return d
}

// denialOf returns the denial in err, or that of a request that cannot be judged because of err.
func denialOf(err error) *access.Denial {
	var d *access.Denial
	if errors.As(err, &d) {
		return d
	}
	return unjudged(err)
}

// matchRoute returns the route of a request. The error is a Denial if no route can have the
// address, or if the method is not one.
func (g *Gateway) matchRoute(req *Request) (*Route, error) {
	if !upstream.MethodToken(req.Target.Method) {
		return nil, badRequest("method", "The method is not a token (RFC 9110 section 9.1).",
			"Send a method such as GET.")
	}
	if req.Target.Host == "" {
		return nil, badRequest("path", "The Host header is not a host name.",
			"Send the host's name, followed by nothing but a port.")
	}
	tab := g.table.Load()
	compiled, err := tab.routes.Locate(req.Target.Host, req.Target.Path)
	switch {
	case err != nil:
		return nil, badPath(err)
	case compiled == nil:
		return nil, noRoute()
	}
	return tab.entries[compiled], nil
}

// checkMethodOverride rejects a header that gives the request a method that the route does not
// allow: frameworks that follow such headers would serve what the route excludes.
func (rt *Route) checkMethodOverride(h http.Header) error {
	allowed := rt.source.Methods
	if len(allowed) == 0 {
		return nil
	}
	for name, values := range h {
		switch asCGI(name) {
		case "X-Http-Method-Override", "X-Http-Method", "X-Method-Override":
		default:
			continue
		}
		for _, method := range values {
			if !slices.Contains(allowed, method) {
				return rt.DenyMethod(name, method)
			}
		}
	}
	return nil
}

// tokenInQuery reports whether a query has a parameter access_token. Addresses end up in logs and
// histories.
func tokenInQuery(query string) bool {
	if !strings.Contains(query, "access_token") && strings.IndexByte(query, '%') < 0 {
		return false
	}
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if name == "access_token" || err == nil && plain == "access_token" {
			return true
		}
	}
	return false
}
