package access

import (
	"fmt"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// acrRule requires a person who has signed in strongly enough.
type acrRule struct {
	least  string
	maxAge Duration // of the route: the challenge asks for both, so that one sign-in is enough
}

func compileACR(c *Compiled, _ *Options) (rule, error) {
	switch {
	case c.route.ACR == "":
		return nil, nil
	case strength(c.route.ACR) == 0:
		return nil, fault.InvalidField("acr", "%q is not an authentication context class; write "+
			"%s or %s", clip(c.route.ACR), identity.ACR1, identity.ACR2)
	}
	return acrRule{c.route.ACR, c.route.MaxAge}, nil
}

// strength returns the rank of an authentication context class, or 0 if it is unknown.
func strength(acr string) int {
	switch acr {
	case identity.ACR1:
		return 1
	case identity.ACR2:
		return 2
	}
	return 0
}

func (r acrRule) check(_ *Target, c *Caller) *Denial {
	if c.User == "" {
		return noPerson("acr", []string{r.least})
	}
	if strength(c.ACR) >= strength(r.least) {
		return nil
	}
	had := c.ACR
	if had == "" {
		had = "none"
	}
	return &Denial{
		Rule: "acr",
		Reason: fmt.Sprintf("The person signed in with the assurance %q, and the route needs "+
			"%s.", clip(had), r.least),
		Needed:    []string{r.least},
		Had:       shown(had),
		Remedy:    "Sign in with two-step verification: request acr_values=" + r.least + ".",
		Code:      CodeStepUp,
		Challenge: Challenge{ACR: r.least, MaxAge: r.maxAge},
	}
}

// noPerson returns a final denial: a client that acts for itself cannot sign in.
func noPerson(rule string, needed []string) *Denial {
	return &Denial{
		Rule:   rule,
		Reason: "The client acts for itself, and the route needs a person who has signed in.",
		Needed: needed,
		Remedy: "Call with a token that a person has approved.",
	}
}
