package access

import (
	"fmt"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// acrRule holds for people who have signed in strongly enough.
type acrRule struct {
	least  string
	maxAge Duration // of the route, for the challenge: one visit to the login serves both
}

func compileACR(c *Compiled, _ *Options) (rule, error) {
	switch {
	case c.route.ACR == "":
		return nil, nil
	case strength(c.route.ACR) == 0:
		return nil, fault.InvalidField("acr", "%q is no authentication context class; write %s or %s", clip(c.route.ACR), identity.ACR1, identity.ACR2)
	}
	return acrRule{c.route.ACR, c.route.MaxAge}, nil
}

// strength orders the authentication context classes; 0 is unknown, and less than all.
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
		return nobodySignedIn("acr", []string{r.least})
	}
	if strength(c.ACR) >= strength(r.least) {
		return nil
	}
	had := c.ACR
	if had == "" {
		had = "none"
	}
	return &Denial{
		Rule:      "acr",
		Reason:    fmt.Sprintf("The person signed in with the assurance %q, and the route needs %s.", clip(had), r.least),
		Needed:    []string{r.least},
		Had:       shown(had),
		Remedy:    "Sign in with a second factor: ask for acr_values=" + r.least + ".",
		Code:      CodeStepUp,
		Challenge: Challenge{ACR: r.least, MaxAge: r.maxAge},
	}
}

// nobodySignedIn is final: a client that acts for itself cannot sign in better.
func nobodySignedIn(rule string, needed []string) *Denial {
	return &Denial{
		Rule:   rule,
		Reason: "The client acts for itself, and the route needs a person who has signed in.",
		Needed: needed,
		Remedy: "Call with a token that a person has approved.",
	}
}
