package gateway

import (
	"net/http"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/web"
)

const (
	preflightMaxAge    = "600" // seconds
	maxPreflightMethod = 32    // bytes
)

// permitsPreflight reports whether a request is a CORS preflight (Fetch Standard §4.8) from an
// origin that the route allows. Preflights carry no credential.
func (rt *Route) permitsPreflight(req *Request) bool {
	methods := req.Header["Access-Control-Request-Method"]
	if req.Target.Method != http.MethodOptions || req.Target.Origin == "" || len(methods) != 1 {
		return false
	}
	if !rt.namesOrigin(req) && !rt.allowsAnyOrigin() {
		return false
	}
	method, allowed := methods[0], rt.source.Methods
	return (len(allowed) == 0 || slices.Contains(allowed, method)) &&
		visibleASCII(method) && len(method) <= maxPreflightMethod
}

// answerPreflight answers a preflight that the route permits.
func answerPreflight(w http.ResponseWriter, req *Request, route *Route) {
	h, out := req.Header, w.Header()
	route.allowOrigin(out, req)
	out["Access-Control-Allow-Methods"] = h["Access-Control-Request-Method"]
	if names := web.RequestedHeaders(h); names != "" {
		out["Access-Control-Allow-Headers"] = []string{names}
	}
	out["Access-Control-Max-Age"] = []string{preflightMaxAge}
	out["Vary"] = []string{"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}
	w.WriteHeader(http.StatusNoContent)
}

// namesOrigin reports whether the route's list contains the origin of the script or page that
// caused the request.
func (rt *Route) namesOrigin(req *Request) bool {
	return req.Target.Origin != "" && slices.Contains(rt.source.CORS, req.Target.Origin)
}

func (rt *Route) allowsAnyOrigin() bool { return slices.Contains(rt.source.CORS, "*") }

// allowOrigin writes which origins may read the response. Only an origin that the route names may
// do so with cookies: "*" and credentials exclude each other.
func (rt *Route) allowOrigin(h http.Header, req *Request) {
	if len(rt.source.CORS) == 0 {
		return
	}
	h["Vary"] = append(h["Vary"], "Origin")
	switch {
	case rt.allowsAnyOrigin():
		h["Access-Control-Allow-Origin"] = []string{"*"}
	case rt.namesOrigin(req):
		h["Access-Control-Allow-Origin"] = []string{req.Target.Origin}
		h["Access-Control-Allow-Credentials"] = []string{"true"}
	default:
		return
	}
	h["Access-Control-Expose-Headers"] = []string{web.ExposedHeaders}
}
