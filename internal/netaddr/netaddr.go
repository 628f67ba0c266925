// Package netaddr reads and compares IP addresses and networks: lists of networks, the key that a
// caller's address is counted under, and the hosts that can only mean this machine.
package netaddr

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Canonical returns an address in the one form that is compared: an IPv4 address mapped into IPv6
// becomes IPv4 (RFC 4291 §2.5.5.2), and a zone is dropped.
func Canonical(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// ParseForwarded parses an entry of X-Forwarded-For in the forms that proxies write: an address, an
// address and a port such as 192.0.2.7:4711 or [2001:db8::1]:4711, either of them in quotes
// (RFC 7239 §6). The address is canonical. Everything else is an error, such as "unknown", a name
// or an empty entry.
func ParseForwarded(entry string) (netip.Addr, error) {
	s := entry
	if n := len(s); n >= 2 && s[0] == '"' && s[n-1] == '"' {
		s = s[1 : n-1]
	}
	if bare, ok := strings.CutPrefix(s, "["); ok {
		host, port, closed := strings.Cut(bare, "]")
		a, err := netip.ParseAddr(host)
		if !closed || err != nil || !a.Is6() || port != "" && !validPort(port) {
			return netip.Addr{}, errNotForwarded
		}
		return Canonical(a), nil
	}
	if i := strings.IndexByte(s, ':'); i >= 0 && strings.IndexByte(s[i+1:], ':') < 0 {
		if !validPort(s[i:]) {
			return netip.Addr{}, errNotForwarded
		}
		s = s[:i]
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, errNotForwarded
	}
	return Canonical(a), nil
}

// ForwardedValue returns the value of a parameter of one element of a Forwarded header, such as the
// address of `for="[2001:db8::1]:4711";proto=https` (RFC 7239 §4), without quotes. It returns "" if
// the parameter is missing or there twice.
func ForwardedValue(element, name string) string {
	found, value := false, ""
	for pair := range strings.SplitSeq(element, ";") {
		key, v, ok := strings.Cut(pair, "=")
		if !ok || !strings.EqualFold(strings.Trim(key, " \t"), name) {
			continue
		}
		if found {
			return ""
		}
		found, value = true, strings.Trim(v, " \t")
	}
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		value = value[1 : n-1]
	}
	return value
}

var errNotForwarded = errors.New("is not an address with or without a port")

// validPort reports whether s is a colon and a port number, or an obfuscated port such as _xyz
// (RFC 7239 §6.3).
func validPort(s string) bool {
	port, ok := strings.CutPrefix(s, ":")
	if !ok || port == "" {
		return false
	}
	if strings.HasPrefix(port, "_") {
		return len(port) > 1
	}
	_, err := strconv.ParseUint(port, 10, 16)
	return err == nil
}

// Contains reports whether one of the networks contains the address. An IPv4 address mapped into
// IPv6 counts as IPv4, and a zone is ignored. No network contains the zero Addr.
func Contains(networks []netip.Prefix, a netip.Addr) bool {
	a = Canonical(a)
	for _, p := range networks {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// ParsePrefix parses a network such as 10.0.0.0/8 or 2001:db8::/32, or a single address, which
// stands for the network of that address alone. The error's text goes after the word that was
// parsed: "is not an address". Networks that would match other addresses than their text suggests
// are rejected: IPv4 networks written as IPv6, and those with bits set beyond their length.
func ParsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, errors.New("is not an address")
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return netip.Prefix{}, errors.New("is not a network")
	case p.Addr().Is4In6():
		return netip.Prefix{}, errors.New("is an IPv4 network written as IPv6; write it as IPv4")
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("has bits set beyond its length; did you mean %s?", p.Masked())
	}
	return p, nil
}

// ParseList parses each word with [ParsePrefix]. An error is a [*ListError].
func ParseList(words []string) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(words))
	for i, w := range words {
		p, err := ParsePrefix(w)
		if err != nil {
			return nil, &ListError{Index: i, Word: w, Err: err}
		}
		out = append(out, p)
	}
	return out, nil
}

// A ListError says which word of a list is not a network, and why.
type ListError struct {
	Index int // counted from zero
	Word  string
	Err   error
}

func (e *ListError) Error() string { return fmt.Sprintf("%q %v", e.Word, e.Err) }
func (e *ListError) Unwrap() error { return e.Err }

// Key returns the name that limits and locks count an address under: the address itself for IPv4,
// and its /64 network for IPv6, which is the least that one subscriber is given (RFC 6177 §2), so
// that changing the lower half of an address gains nothing. It returns "" for the zero Addr.
func Key(a netip.Addr) string { return string(AppendKey(nil, a)) }

// AppendKey appends [Key] of the address to b.
func AppendKey(b []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return b
	}
	a = Canonical(a)
	if a.Is4() {
		return a.AppendTo(b)
	}
	p, err := a.Prefix(64)
	if err != nil { // 64 bits fit every IPv6 address
		panic(err)
	}
	return p.AppendTo(b)
}

// IsLoopback reports whether a host name or address, without a port, can only mean this machine:
// localhost or a loopback address (RFC 8252 §7.3, RFC 6761 §6.3).
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}
