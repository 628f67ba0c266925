package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/spell"
)

// issuerRule requires a token of this server, or of an external issuer that the route names.
type issuerRule struct{ issuers []string }

func compileIssuer(c *Compiled, o *Options) (rule, error) {
	for _, name := range c.route.Issuers {
		if slices.Contains(o.Issuers, name) {
			continue
		}
		if len(o.Issuers) == 0 {
			return nil, fault.InvalidField("issuers", "the issuer %q is not known; describe it "+
				"in the routes file under issuers", clip(name))
		}
		if near := spell.Nearest(name, o.Issuers); near != "" {
			return nil, fault.InvalidField("issuers", "the issuer %q is not known; did you mean "+
				"%s?", clip(name), near)
		}
		return nil, fault.InvalidField("issuers", "the issuer %q is not known; known are %s",
			clip(name), strings.Join(shown(o.Issuers...), ", "))
	}
	return issuerRule{c.route.Issuers}, nil
}

func (i issuerRule) check(_ *Target, c *Caller) *Denial {
	if c.By != ByForeign && c.Issuer == "" || c.Issuer != "" && slices.Contains(i.issuers, c.Issuer) {
		return nil
	}
	return &Denial{
		Rule:   "issuer",
		Reason: fmt.Sprintf("Tokens of the issuer %q do not open this route.", clip(c.Issuer)),
		Needed: shown(i.issuers...),
		Had:    shown(c.Issuer),
		Remedy: "Use a token of this server, or add the issuer's name to the route.",
		Code:   CodeInvalidToken,
	}
}
