package access

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// networkRule holds for callers in one of some networks.
type networkRule struct {
	networks []netip.Prefix
	written  []string
}

func compileNetwork(c *Compiled, _ *Options) (rule, error) {
	if len(c.route.Networks) == 0 {
		return nil, nil
	}
	networks, err := ParseNetworks(c.route.Networks)
	if err != nil {
		return nil, err
	}
	return networkRule{networks, c.route.Networks}, nil
}

// ParseNetworks reads networks such as 10.0.0.0/8 or 2001:db8::/32, and single addresses.
func ParseNetworks(list []string) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		p, err := parseNetwork(s)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func parseNetwork(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, fault.InvalidField("networks", "%q is no network; write it as 10.0.0.0/8 or 2001:db8::/32, or write one address", clip(s))
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return p, fault.InvalidField("networks", "%q is no network; write it as 10.0.0.0/8 or 2001:db8::/32", clip(s))
	case p.Addr().Is4In6():
		return p, fault.InvalidField("networks", "%q is an IPv4 network written as IPv6, which no caller would be found in; write it as IPv4", clip(s))
	case p != p.Masked():
		return p, fault.InvalidField("networks", "%q has bits set beyond its length; did you mean %s?", clip(s), p.Masked())
	}
	return p, nil
}

func (n networkRule) check(t *Target, _ *Caller) *Denial {
	if inside(n.networks, t.IP) {
		return nil
	}
	return &Denial{
		Rule:   "network",
		Reason: fmt.Sprintf("The caller's address %s is in none of the networks of the route.", address(t.IP)),
		Needed: shown(n.written...),
		Had:    []string{address(t.IP)},
		Remedy: "Call from one of these networks, or add the address to the route. Behind a proxy, check that it is among the trusted ones.",
	}
}

// inside reports whether an address is in one of the networks. IPv4 in IPv6 clothes counts as IPv4.
func inside(networks []netip.Prefix, ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	for _, p := range networks {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// address is an address in words.
func address(ip netip.Addr) string {
	if !ip.IsValid() {
		return "unknown"
	}
	return ip.Unmap().WithZone("").String()
}
