package realm

import (
	"net/netip"
	"net/url"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// A Site is where a realm is served.
type Site struct {
	Name    string   // "" for the server's own issuer
	BaseURL string   // the issuer, in canonical form
	Hosts   []string // further hosts of its own, such as api.example.com or *.example.com
}

// A Router finds the realm that a request belongs to: by the host that it was sent to, and below
// a host that several share by the beginning of the path. Nothing else that a request says counts.
// It is immutable.
type Router struct {
	exact map[string]*place
	wild  map[string]*place // by what follows the star: .example.com
}

// A place is what one host serves.
type place struct {
	root  *Match  // what no path of below takes; nil: nothing
	below []Match // realms with a path
}

// A Match says where a request belongs.
type Match struct {
	Index  int    // of the site, as it was passed to NewRouter
	Prefix string // what the path begins with, such as /realms/acme, or ""
}

// NewRouter returns a router. It rejects sites of which two have the same address.
func NewRouter(sites []Site) (*Router, error) {
	r := &Router{exact: map[string]*place{}, wild: map[string]*place{}}
	names := make([]string, len(sites))
	for i, s := range sites {
		names[i] = s.title()
	}
	for i, s := range sites {
		u, err := url.Parse(s.BaseURL)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "the address of %s is not valid", s.title())
		}
		if err := r.add(u.Hostname(), Match{i, u.EscapedPath()}, names); err != nil {
			return nil, err
		}
		for _, h := range s.Hosts {
			if err := r.add(h, Match{Index: i}, names); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

func (s Site) title() string {
	if s.Name == "" {
		return "the server's own issuer"
	}
	return "the realm " + s.Name
}

// add adds an address.
func (r *Router) add(host string, m Match, names []string) error {
	hosts, key := r.exact, host
	if rest, ok := strings.CutPrefix(host, "*"); ok {
		hosts, key = r.wild, rest
	}
	name, ok := HostName(strings.TrimPrefix(key, "."))
	if !ok || hostHasPort(key) || strings.Contains(key, "*") {
		return fault.New(fault.Invalid, "%q of %s is not the name of a host; write login.example.com or "+
			"*.example.com, without a port", clip(host), names[m.Index])
	}
	if strings.HasPrefix(key, ".") {
		name = "." + name
	}
	p := hosts[name]
	if p == nil {
		p = &place{}
		hosts[name] = p
	}
	other := -1
	if m.Prefix == "" {
		if p.root != nil && p.root.Index != m.Index {
			other = p.root.Index
		}
		p.root = &m
	} else {
		for _, b := range p.below {
			if under(b.Prefix, m.Prefix) || under(m.Prefix, b.Prefix) {
				other = b.Index
			}
		}
		p.below = append(p.below, m)
	}
	if other >= 0 {
		return fault.New(fault.Conflict, "%s and %s have the same address: %s%s; give each its own",
			names[other], names[m.Index], host, m.Prefix)
	}
	return nil
}

// Find returns where a request belongs that was sent to a host, which may have a port, with an
// escaped path. It reports false if the host belongs to nobody, or nobody has the path.
func (r *Router) Find(host, path string) (Match, bool) {
	name, ok := HostName(host)
	if !ok {
		return Match{}, false
	}
	p := r.exact[name]
	if p == nil {
		for rest := name; p == nil; {
			i := strings.IndexByte(rest[min(1, len(rest)):], '.')
			if i < 0 {
				return Match{}, false
			}
			rest = rest[i+1:]
			p = r.wild[rest]
		}
	}
	for _, m := range p.below {
		if under(path, m.Prefix) || wellKnown(path, m.Prefix) {
			return m, true
		}
	}
	if p.root == nil {
		return Match{}, false
	}
	return *p.root, true
}

// under reports whether a path is a prefix or below it.
func under(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// wellKnown reports whether a path is a well-known address of an issuer with a path, which is
// inserted before that path (RFC 8414 §3.1).
func wellKnown(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, "/.well-known/")
	if !ok {
		return false
	}
	name, ok := strings.CutSuffix(rest, prefix)
	return ok && name != "" && !strings.Contains(name, "/")
}

// HostName returns the name of a host without its port, in lower case and without the dot of an
// absolute name. It reports false if the text is not a host.
func HostName(host string) (string, bool) {
	if hostHasPort(host) {
		i := strings.LastIndexByte(host, ':')
		for _, c := range host[i+1:] {
			if c < '0' || c > '9' {
				return "", false
			}
		}
		host = host[:i]
	}
	if n := len(host); n > 2 && host[0] == '[' && host[n-1] == ']' {
		host = host[1 : n-1]
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.String(), ip.Zone() == ""
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	bad := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.' || r == '_')
	}
	if host == "" || len(host) > 253 || strings.ContainsFunc(host, bad) || strings.HasPrefix(host, ".") {
		return "", false
	}
	return host, true
}

// hostHasPort reports whether a host ends with a port: a colon outside of an IPv6 address.
func hostHasPort(host string) bool {
	i := strings.LastIndexByte(host, ':')
	return i >= 0 && !strings.Contains(host[i:], "]") &&
		(strings.Count(host, ":") == 1 || strings.HasPrefix(host, "["))
}
