package gateway

import (
	"net/url"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/access"
)

// check is the one decision, for requests that are proxied and for those that a proxy asks about. It looks the route up, finds
// out who asks, and says nil when the request passes; a.caller and a.entry say who, and where to.
func (g *Gateway) check(a *asked) *refused {
	if ref := g.find(a); ref != nil {
		return ref
	}
	if tokenInQuery(a.target.Query) {
		return badRequest("credential", "An access token in the address is refused (RFC 6750 section 5.3).", "Send it in the Authorization header.")
	}
	caller, ref := g.who(a)
	if ref != nil {
		return ref
	}
	a.caller = caller
	a.ev.Client, a.ev.User = caller.caller.Client, caller.caller.User
	if d := a.entry.Decide(&a.target, &caller.caller); d.Verdict != access.Pass {
		return verdictOf(d)
	}
	return nil
}

// tokenInQuery reports whether a query has a parameter access_token: addresses end up in logs and histories.
func tokenInQuery(query string) bool {
	if !strings.Contains(query, "access_token") && strings.IndexByte(query, '%') < 0 {
		return false
	}
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); name == "access_token" || err == nil && plain == "access_token" {
			return true
		}
	}
	return false
}
