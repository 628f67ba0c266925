package gateway

import (
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/access"
)

// check is the one decision, for requests that are proxied and for those that a proxy asks about. It looks the route up, finds
// out who asks, and says nil when the request passes; a.caller and a.entry say who, and where to.
func (g *Gateway) check(a *asked) *access.Denial {
	if denial := g.find(a); denial != nil {
		return denial
	}
	if denial := otherMethod(a); denial != nil {
		return denial
	}
	if tokenInQuery(a.target.Query) {
		return badRequest("credential", "An access token in the address is refused (RFC 6750 section 5.3).", "Send it in the Authorization header.")
	}
	caller, denial := g.who(a)
	if denial != nil {
		return denial
	}
	a.caller = caller
	a.ev.Client, a.ev.User = caller.caller.Client, caller.caller.User
	return a.entry.Decide(&a.target, &caller.caller)
}

// otherMethod refuses a header that gives the request another method than those of the route: frameworks that follow it would serve
// what the route leaves out.
func otherMethod(a *asked) *access.Denial {
	allowed := a.entry.source.Methods
	if len(allowed) == 0 {
		return nil
	}
	for name, values := range a.r.Header {
		switch undisguised(name) {
		case "X-Http-Method-Override", "X-Http-Method", "X-Method-Override":
		default:
			continue
		}
		for _, v := range values {
			if !slices.Contains(allowed, v) {
				return a.entry.DenyMethod(name, v)
			}
		}
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
