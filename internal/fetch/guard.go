package fetch

import (
	"fmt"
	"net/netip"
	"syscall"

	"github.com/gatehouse-id/gatehouse/internal/netaddr"
)

// A guard decides which addresses may be connected to. The dialer calls it for every address
// after name resolution, so that a name that resolves differently the second time (DNS rebinding)
// does not pass.
type guard struct {
	allow []netip.Prefix
	block []netip.Prefix
}

// newGuard returns a guard that blocks what is not the public internet: the special-purpose
// registries of IANA (RFC 6890), and addresses at which clouds serve credentials.
func newGuard(allow []netip.Prefix) guard {
	g := guard{allow: allow}
	for _, p := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"168.63.129.16/32", // Azure's host agent, at a public address
		// Of IPv6 only 2000::/3 is global unicast; see permits. These are the exceptions in it.
		"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
	} {
		g.block = append(g.block, netip.MustParsePrefix(p))
	}
	return g
}

// control rejects a connection; it is a net.Dialer's Control.
func (g guard) control(network, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || (network != "tcp4" && network != "tcp6") {
		return &blockedError{address: network + " " + address}
	}
	if !g.permits(ap.Addr()) {
		return &blockedError{address: address}
	}
	return nil
}

// Control returns what rejects connections to addresses that are neither public nor in one of the
// networks: a net.Dialer's Control, which sees each address after its name was resolved.
func Control(allow []netip.Prefix) func(network, address string, c syscall.RawConn) error {
	return newGuard(allow).control
}

// controlFunc is the type of a net.Dialer's Control.
type controlFunc = func(network, address string, c syscall.RawConn) error

// controlAllowed rejects a connection unless the address is explicitly allowed: without TLS, public
// ones are not.
func (g guard) controlAllowed(network, address string, c syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !netaddr.Contains(g.allow, ap.Addr().WithZone("").Unmap()) {
		return &blockedError{address: network + " " + address}
	}
	return g.control(network, address, c)
}

// permits reports whether an address is public or explicitly allowed.
func (g guard) permits(a netip.Addr) bool {
	a = a.WithZone("").Unmap()
	if netaddr.Contains(g.allow, a) {
		return true
	}
	// A NAT64 gateway (RFC 6052) translates the last four bytes into an IPv4 destination.
	if b := a.As16(); a.Is6() && netaddr.Contains([]netip.Prefix{nat64()}, a) {
		a = netip.AddrFrom4([4]byte(b[12:]))
		if netaddr.Contains(g.allow, a) {
			return true
		}
	}
	if a.Is6() && !globalUnicast().Contains(a) {
		return false
	}
	return a.IsValid() && !netaddr.Contains(g.block, a)
}

func nat64() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0, 0x64, 0xff, 0x9b}), 96)
}
func globalUnicast() netip.Prefix { return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20}), 3) }

// blockedError is for the log. The response says only that the address is not public.
type blockedError struct{ address string }

func (e *blockedError) Error() string {
	return fmt.Sprintf("connection to %s blocked by policy", e.address)
}
