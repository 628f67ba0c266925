package access

import (
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// scopeRule requires callers with all of some scopes.
type scopeRule struct{ scopes []string }

func compileScope(c *Compiled, _ *Options) (rule, error) {
	for _, s := range c.route.Scopes {
		if !scopeToken(s) {
			return nil, fault.InvalidField("scopes", "%q is not a scope; use ASCII without "+
				"spaces, quotes and backslashes (RFC 6749 section 3.3)", clip(s))
		}
	}
	if len(c.route.Scopes) == 0 {
		return nil, nil
	}
	return scopeRule{c.route.Scopes}, nil
}

// scopeToken reports whether s can be a scope (RFC 6749 §3.3).
func scopeToken(s string) bool {
	return visible(s) && len(s) <= 128 && !strings.ContainsAny(s, `"\`)
}

func (r scopeRule) check(_ *Target, c *Caller) *Denial {
	var missing []string
	for _, s := range r.scopes {
		if !slices.Contains(c.Scopes, s) {
			missing = append(missing, s)
		}
	}
	if missing == nil {
		return nil
	}
	out := &Denial{
		Rule:   "scope",
		Reason: "The access token lacks " + strings.Join(shown(missing...), " ") + ".",
		Needed: shown(r.scopes...),
		Had:    shown(c.Scopes...),
		Remedy: "Request a token with these scopes; the client must be allowed to have them.",
		Code:   CodeInsufficientScope,
	}
	if c.By != ByToken && c.By != ByForeign && c.By != ByApp {
		out.Reason = "The route needs the scopes " + strings.Join(shown(missing...), " ") +
			", which come with an access token."
	}
	return out
}
