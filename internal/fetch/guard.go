package fetch

import (
	"fmt"
	"net/netip"
	"syscall"
)

// A guard decides which addresses may be connected to. It is asked by the dialer
// for every address after name resolution, so a name that resolves differently the
// second time (DNS rebinding) gains nothing.
type guard struct {
	allow  []netip.Prefix
	refuse []netip.Prefix
}

// newGuard lists what is not the public internet: the special-purpose registries of
// IANA (RFC 6890), and addresses behind which clouds keep credentials.
func newGuard(allow []netip.Prefix) guard {
	g := guard{allow: allow}
	for _, p := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"168.63.129.16/32", // Azure's host agent: public by number, private by nature
		// Of IPv6 only 2000::/3 is global unicast; see permits. These are the exceptions in it.
		"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
	} {
		g.refuse = append(g.refuse, netip.MustParsePrefix(p))
	}
	return g
}

// control is a net.Dialer's Control.
func (g guard) control(network, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || (network != "tcp4" && network != "tcp6") {
		return &refusedError{address: network + " " + address}
	}
	if !g.permits(ap.Addr()) {
		return &refusedError{address: address}
	}
	return nil
}

// permits reports whether an address is public or was allowed by name.
func (g guard) permits(a netip.Addr) bool {
	a = a.WithZone("").Unmap()
	if contains(g.allow, a) {
		return true
	}
	// A NAT64 gateway (RFC 6052) turns the last four bytes into an IPv4 destination.
	if b := a.As16(); a.Is6() && contains([]netip.Prefix{nat64()}, a) {
		a = netip.AddrFrom4([4]byte(b[12:]))
		if contains(g.allow, a) {
			return true
		}
	}
	if a.Is6() && !globalUnicast().Contains(a) {
		return false
	}
	return a.IsValid() && !contains(g.refuse, a)
}

func nat64() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0, 0x64, 0xff, 0x9b}), 96)
}
func globalUnicast() netip.Prefix { return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20}), 3) }

func contains(set []netip.Prefix, a netip.Addr) bool {
	for _, p := range set {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// refusedError is for the log; whoever chose the address learns only that it was refused.
type refusedError struct{ address string }

func (e *refusedError) Error() string {
	return fmt.Sprintf("connection to %s refused by policy", e.address)
}
