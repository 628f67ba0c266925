package access

import (
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// audienceRule requires tokens that are meant for the route (RFC 8725 §3.9, RFC 8707 §2). A token
// for another API must not open this one.
type audienceRule struct {
	route  *Compiled
	own    []string // the audiences of this server's tokens that are accepted
	listed bool     // the route names its audiences: then they apply to external tokens, too
}

func compileAudience(c *Compiled, o *Options) (rule, error) {
	for _, a := range c.route.Audiences {
		if !visible(a) || len(a) > maxAddress {
			return nil, fault.InvalidField("audiences", "%q is not an audience; write it as it "+
				"appears in the tokens, without spaces", clip(a))
		}
	}
	if len(c.route.Audiences) > 0 {
		return audienceRule{c, c.route.Audiences, true}, nil
	}
	var own []string
	// else the issuer is unknown, and no token can be meant for the route
	if strings.Contains(c.resource, "://") {
		own = append(own, c.resource)
		if c.depth == 0 {
			own = append(own, c.resource+"/") // RFC 3986 §6.2.3: an equivalent spelling
		}
	}
	if o.Issuer != "" {
		own = append(own, o.Issuer)
	}
	return audienceRule{c, own, false}, nil
}

func (a audienceRule) check(t *Target, c *Caller) *Denial {
	switch c.By {
	case ByToken:
	case ByForeign:
		// the issuer's own configuration names the audiences, and its verifier has compared them
		if !a.listed {
			return nil
		}
	case ByApp:
		if len(c.Audience) == 0 {
			return nil
		}
	default:
		return nil
	}
	for _, aud := range c.Audience {
		if slices.Contains(a.own, aud) || !a.listed && a.concrete(t.Host, aud) {
			return nil
		}
	}
	return &Denial{
		Rule:   "audience",
		Reason: "The access token is for another audience.",
		Needed: shown(a.own...),
		Had:    shown(c.Audience...),
		Remedy: "Request a token for one of the needed audiences (the parameter resource), or " +
			"add the token's audience to the route.",
		Code: CodeInvalidToken,
	}
}

// concrete reports whether an audience is the resource identifier that a route with a wildcard host
// has at this host.
func (a audienceRule) concrete(host, aud string) bool {
	if a.route.host.kind != hostWild || !a.route.host.covers(host) {
		return false
	}
	rest, ok := strings.CutPrefix(aud, "https://")
	if !ok {
		return false
	}
	rest, ok = strings.CutPrefix(rest, strings.TrimSuffix(host, "."))
	return ok && (rest == a.route.prefix || a.route.depth == 0 && rest == "")
}
