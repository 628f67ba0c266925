package access

import "fmt"

// hostRule requires one of the route's hosts. Match has found the route by its host already; the
// rule is for routes that are found otherwise.
type hostRule struct{ host hostPattern }

func compileHost(c *Compiled, _ *Options) (rule, error) {
	if c.host.kind == hostAny {
		return nil, nil
	}
	return hostRule{c.host}, nil
}

func (h hostRule) check(t *Target, _ *Caller) *Denial {
	if h.host.covers(t.Host) {
		return nil
	}
	return &Denial{
		Rule:   "host",
		Reason: fmt.Sprintf("The route is not for the host %q.", clip(t.Host)),
		Needed: []string{h.host.String()},
		Had:    shown(t.Host),
		Remedy: "Call it at " + h.host.String() + ", or change the host of the route.",
	}
}
