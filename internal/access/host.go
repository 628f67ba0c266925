package access

import (
	"net/netip"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Kinds of hostPattern.
const (
	hostAny = iota
	hostExact
	hostWild
)

// hostPattern is a host name, a wildcard for everything below one, or any host.
type hostPattern struct {
	kind int
	name string // lower case; of a wildcard what follows the star: .example.com
}

// parseHost parses a pattern as an operator writes it.
func parseHost(s string) (hostPattern, error) {
	s = strings.ToLower(s)
	if s == "" {
		return hostPattern{}, nil
	}
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil && a.Zone() == "" {
		return hostPattern{hostExact, a.String()}, nil
	}
	p := hostPattern{hostExact, s}
	if strings.HasPrefix(s, "*.") {
		p = hostPattern{hostWild, s[1:]}
	}
	name := strings.TrimPrefix(p.name, ".")
	switch {
	case strings.Contains(s, "://"):
		return p, fault.InvalidField("host", "%q is a URL; write the host name alone, such as "+
			"shop.example.com", clip(s))
	case strings.Contains(s, ":"):
		return p, fault.InvalidField("host", "%q names a port; leave it out, a route serves "+
			"every port", clip(s))
	case strings.Contains(name, "*"):
		return p, fault.InvalidField("host", "%q is not a host; a star may only be at the "+
			"beginning, as in *.example.com", clip(s))
	case !hostName(name):
		return p, fault.InvalidField("host", "%q is not a host name; write one such as "+
			"shop.example.com or *.example.com, and names with other letters as xn--…", clip(s))
	}
	return p, nil
}

// NormalHost returns a host name, or a wildcard such as *.example.com, in the form in which it is
// compared, or what is wrong with it. It returns "" for "".
func NormalHost(s string) (string, error) {
	p, err := parseHost(s)
	if err != nil {
		return "", err
	}
	return p.String(), nil
}

// hostName reports whether s can be a name in the DNS (RFC 1123 §2.1), or a name with an underscore
// as container networks use them.
func hostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := 0; i < len(label); i++ {
			if c := label[i]; c != '-' && c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
				return false
			}
		}
	}
	return true
}

// covers reports whether the pattern matches a host, which is in lower case and without a port.
func (p hostPattern) covers(host string) bool {
	host = strings.TrimSuffix(host, ".")
	switch p.kind {
	case hostAny:
		return true
	case hostWild:
		return len(host) > len(p.name) && strings.HasSuffix(host, p.name)
	}
	return host == p.name
}

func (p hostPattern) String() string {
	if p.kind == hostWild {
		return "*" + p.name
	}
	return p.name
}

// hostOnly returns a host without its port and brackets, in lower case.
func hostOnly(s string) string {
	s = strings.ToLower(s)
	if a, err := netip.ParseAddrPort(s); err == nil {
		return a.Addr().String()
	}
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return a.String()
	}
	s, _, _ = strings.Cut(s, ":")
	return strings.TrimSuffix(s, ".")
}
