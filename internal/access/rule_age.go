package access

import (
	"fmt"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// ageRule requires a person who has signed in recently.
type ageRule struct {
	max Duration
	acr string // of the route, for the challenge
}

// skew is how far the clock of another server may be ahead.
const skew = time.Minute

func compileAge(c *Compiled, _ *Options) (rule, error) {
	switch {
	case c.route.MaxAge < 0 || c.route.MaxAge.D() > maxAge:
		return nil, fault.InvalidField("max_age", "%s is not an age; write a duration up to %s",
			c.route.MaxAge, maxAge)
	case c.route.MaxAge == 0:
		return nil, nil
	case c.route.MaxAge.D()%time.Second != 0: // RFC 9470 §3: max_age is seconds
		return nil, fault.InvalidField("max_age", "%s is not whole seconds", c.route.MaxAge)
	}
	return ageRule{c.route.MaxAge, c.route.ACR}, nil
}

func (r ageRule) check(t *Target, c *Caller) *Denial {
	if c.User == "" {
		return noPerson("age", []string{r.max.String()})
	}
	age := t.Now.Sub(c.AuthTime)
	if !c.AuthTime.IsZero() && age <= r.max.D() && age >= -skew {
		return nil
	}
	out := &Denial{
		Rule:      "age",
		Needed:    []string{r.max.String()},
		Remedy:    fmt.Sprintf("Sign in again: request max_age=%d.", int64(r.max.D()/time.Second)),
		Code:      CodeStepUp,
		Challenge: Challenge{ACR: r.acr, MaxAge: r.max},
	}
	switch {
	case c.AuthTime.IsZero():
		out.Reason = "The credential does not say when the person signed in."
		out.Had = []string{"unknown"}
	case age < 0:
		out.Reason = "The credential says that the person signed in after now; the clocks differ."
		out.Had = []string{age.Round(time.Second).String()}
	default:
		out.Reason = fmt.Sprintf("The person signed in %s ago, and the route needs that within %s.",
			age.Round(time.Second), r.max)
		out.Had = []string{age.Round(time.Second).String()}
	}
	return out
}
