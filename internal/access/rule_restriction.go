package access

import (
	"fmt"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/netaddr"
)

// restrictionRule denies clients whose registration restricts them to other networks, origins,
// hosts or routes. It is checked before the route's own rules, so that a stolen credential that is
// used elsewhere learns nothing about the route.
type restrictionRule struct {
	names [3]string // by which a client's list may name the route: id, domain/version, domain
}

func compileRestriction(c *Compiled, _ *Options) (rule, error) {
	r := restrictionRule{[3]string{c.route.ID}}
	if c.route.Domain != "" {
		r.names[1], r.names[2] = c.route.Domain+"/"+c.route.Version, c.route.Domain
	}
	return r, nil
}

func (r restrictionRule) check(t *Target, c *Caller) *Denial {
	switch {
	case c.LoopbackOnly && !t.Local:
		return &Denial{
			Rule:   "network",
			Reason: fmt.Sprintf("The client %q may only call from the server's own machine.", clip(c.Client)),
			Needed: shown("loopback"),
			Had:    []string{address(t.IP)},
			Remedy: "Call a loopback address of the gateway from the same machine, past no proxy; or use " +
				"another client.",
		}
	case len(c.Networks) > 0 && !netaddr.Contains(c.Networks, t.IP):
		return outside(t, c)
	case len(c.Origins) > 0 && !slices.Contains(c.Origins, t.Origin):
		return &Denial{
			Rule: "origin",
			Reason: fmt.Sprintf("The client %q may not call from the origin %q.", clip(c.Client),
				clip(t.Origin)),
			Needed: shown(c.Origins...),
			Had:    shown(t.Origin),
			Remedy: "Call from a page of one of these origins, or add the origin to those that " +
				"the client may call from.",
		}
	case len(c.Hosts) > 0 && !hostAllowed(c.Hosts, t.Host):
		return &Denial{
			Rule: "host",
			Reason: fmt.Sprintf("The client %q may not call the host %q.", clip(c.Client),
				clip(t.Host)),
			Needed: shown(c.Hosts...),
			Had:    shown(t.Host),
			Remedy: "Add the host to those that the client may call.",
		}
	case len(c.Routes) > 0 && !slices.ContainsFunc(c.Routes, r.named):
		return &Denial{
			Rule:   "route",
			Reason: fmt.Sprintf("The client %q may not call this route.", clip(c.Client)),
			Needed: shown(c.Routes...),
			Had:    shown(r.best()),
			Remedy: "Add the route to those that the client may call.",
		}
	}
	return nil
}

func outside(t *Target, c *Caller) *Denial {
	needed := make([]string, 0, len(c.Networks))
	for _, p := range c.Networks {
		needed = append(needed, p.String())
	}
	return &Denial{
		Rule: "network",
		Reason: fmt.Sprintf("The client %q may not call from the address %s.", clip(c.Client),
			address(t.IP)),
		Needed: shown(needed...),
		Had:    []string{address(t.IP)},
		Remedy: "Add the address to the networks that the client may call from.",
	}
}

// hostAllowed reports whether an entry of a client's list matches a host.
func hostAllowed(list []string, host string) bool {
	for _, entry := range list {
		if hostListed(entry, host) {
			return true
		}
	}
	return false
}

// hostListed reports whether an entry of a client's list matches a host.
func hostListed(entry, host string) bool {
	kind := hostExact
	if len(entry) > 2 && entry[:2] == "*." {
		kind, entry = hostWild, entry[1:]
	}
	return entry != "" && hostPattern{kind, entry}.covers(host)
}

// named reports whether an entry of a client's list matches the route.
func (r restrictionRule) named(entry string) bool {
	return entry != "" && slices.Contains(r.names[:], entry)
}

// best returns the name that an operator would add to a client's list.
func (r restrictionRule) best() string {
	if r.names[1] != "" {
		return r.names[1]
	}
	return r.names[0]
}
