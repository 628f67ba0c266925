package access

import (
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// roleRule requires a user with one of some roles, or a client that acts for itself and has one. A
// client's roles do not count for the user that it acts for, nor if it has not proven its id.
type roleRule struct{ roles []string }

func compileRole(c *Compiled, _ *Options) (rule, error) {
	for _, s := range c.route.Roles {
		if !printable(s, maxName) {
			return nil, fault.InvalidField("roles", "%q is not a role; write 1 to %d bytes of text",
				clip(s), maxName)
		}
	}
	if len(c.route.Roles) == 0 {
		return nil, nil
	}
	return roleRule{c.route.Roles}, nil
}

func (r roleRule) check(_ *Target, c *Caller) *Denial {
	has, whose := c.UserRoles, "user"
	if c.User == "" {
		has, whose = c.ClientRoles, "client"
		if c.By == ByClientID || c.By == BySecret && !c.Proven {
			has = nil
		}
	}
	for _, s := range has {
		if slices.Contains(r.roles, s) {
			return nil
		}
	}
	out := &Denial{
		Rule:   "role",
		Reason: "The " + whose + " has none of the roles " + strings.Join(shown(r.roles...), ", ") + ".",
		Needed: shown(r.roles...),
		Had:    shown(has...),
		Remedy: "Give the " + whose + " one of these roles, and use a token that is issued " +
			"afterwards.",
	}
	if whose == "client" && has == nil && len(c.ClientRoles) > 0 {
		out.Remedy = "Send the client's secret or an access token: the roles of a client that " +
			"only sent its id do not count."
	}
	return out
}
