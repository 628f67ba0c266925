package access

import (
	"fmt"
	"net/netip"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
)

// networkRule requires callers in one of some networks.
type networkRule struct {
	networks []netip.Prefix
	written  []string
}

func compileNetwork(c *Compiled, _ *Options) (rule, error) {
	if len(c.route.Networks) == 0 {
		return nil, nil
	}
	networks, err := netaddr.ParseList(c.route.Networks)
	if err != nil {
		return nil, fault.InvalidField("networks", "%s (write networks as 10.0.0.0/8 or "+
			"2001:db8::/32)", clip(err.Error()))
	}
	return networkRule{networks, c.route.Networks}, nil
}

func (n networkRule) check(t *Target, _ *Caller) *Denial {
	if netaddr.Contains(n.networks, t.IP) {
		return nil
	}
	return &Denial{
		Rule: "network",
		Reason: fmt.Sprintf("The caller's address %s is in none of the networks of the route.",
			address(t.IP)),
		Needed: shown(n.written...),
		Had:    []string{address(t.IP)},
		Remedy: "Call from one of these networks, or add the address to the route. Behind a " +
			"proxy, check that it is among the trusted ones.",
	}
}

// address returns an IP address as text, or "unknown".
func address(ip netip.Addr) string {
	if !ip.IsValid() {
		return "unknown"
	}
	return netaddr.Canonical(ip).String()
}
