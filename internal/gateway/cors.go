package gateway

import (
	"net/http"
	"slices"
	"strings"
)

const preflightLife = "600" // seconds

// maxAskedHeaders bounds what a preflight may ask for, in bytes.
const maxAskedHeaders = 1024

// preflights reports whether a request is a browser asking whether a script of another origin may call (Fetch Standard §4.8), about a
// route that lets that origin call. It carries no credential, so it is answered before anybody is known.
func (g *Gateway) preflights(a *asked) bool {
	asks := a.r.Header["Access-Control-Request-Method"]
	if a.target.Method != http.MethodOptions || a.target.Origin == "" || len(asks) != 1 {
		return false
	}
	if g.find(a) != nil || !a.trustsOrigin() && !a.anyOrigin() {
		return false
	}
	allowed := a.entry.Route().Methods
	return (len(allowed) == 0 || slices.Contains(allowed, asks[0])) && word(asks[0]) && len(asks[0]) <= 32
}

// permit answers a preflight.
func (a *asked) permit(w http.ResponseWriter) {
	h, out := a.r.Header, w.Header()
	a.r.Pattern = a.entry.Route().Name
	a.allowOrigin(out)
	out["Access-Control-Allow-Methods"] = h["Access-Control-Request-Method"]
	if names := strings.Join(h["Access-Control-Request-Headers"], ","); names != "" && len(names) <= maxAskedHeaders && plainHeader(names) == names {
		out["Access-Control-Allow-Headers"] = []string{names}
	}
	out["Access-Control-Max-Age"] = []string{preflightLife}
	out["Vary"] = []string{"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}
	w.WriteHeader(http.StatusNoContent)
}

func (a *asked) anyOrigin() bool { return slices.Contains(a.entry.source.CORS, "*") }

// allowOrigin says who may read the answer. With cookies only an origin that is named may: "*" and credentials exclude each other.
func (a *asked) allowOrigin(h http.Header) {
	if len(a.entry.source.CORS) == 0 {
		return
	}
	h["Vary"] = append(h["Vary"], "Origin")
	switch {
	case a.anyOrigin():
		h["Access-Control-Allow-Origin"] = []string{"*"}
	case a.trustsOrigin():
		h["Access-Control-Allow-Origin"] = []string{a.target.Origin}
		h["Access-Control-Allow-Credentials"] = []string{"true"}
	default:
		return
	}
	h["Access-Control-Expose-Headers"] = []string{"WWW-Authenticate, DPoP-Nonce, Retry-After, X-Request-Id, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset"}
}
