package access

import "slices"

// originRule requires an Origin header that is exactly one of some origins.
type originRule struct{ origins []string }

func compileOrigin(c *Compiled, _ *Options) (rule, error) {
	if len(c.route.Origins) == 0 {
		return nil, nil
	}
	for _, s := range c.route.Origins {
		if err := checkOrigin("origins", s); err != nil {
			return nil, err
		}
	}
	return originRule{c.route.Origins}, nil
}

func (o originRule) check(t *Target, _ *Caller) *Denial {
	if slices.Contains(o.origins, t.Origin) { // none of them is ""
		return nil
	}
	d := &Denial{
		Rule:   "origin",
		Reason: "The Origin header is none of the origins of the route.",
		Needed: shown(o.origins...),
		Had:    shown(t.Origin),
		Remedy: "Call from a page of one of these origins, or add the origin to the route.",
	}
	if t.Origin == "" {
		d.Reason, d.Had = "The request has no Origin header.", nil
	}
	return d
}
