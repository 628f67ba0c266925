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
	BaseURL string   // the issuer, in canonical form: a host without a path
	Hosts   []string // further hosts of its own, such as api.example.com or *.example.com
}

// A Router finds the realm that a request belongs to by the host that it was sent to. Nothing else
// that a request says counts. It is immutable.
type Router struct {
	exact map[string]int // host → index of the site
	wild  map[string]int // the same by what follows the star: .example.com
}

// NewRouter returns a router. It rejects sites of which two have the same address.
func NewRouter(sites []Site) (*Router, error) {
	r := &Router{exact: map[string]int{}, wild: map[string]int{}}
	names := make([]string, len(sites))
	for i, s := range sites {
		names[i] = s.title()
	}
	for i, s := range sites {
		u, err := url.Parse(s.BaseURL)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "the address of %s is not valid", s.title())
		}
		for _, h := range append([]string{u.Hostname()}, s.Hosts...) {
			if err := r.add(h, i, names); err != nil {
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

// add adds a host of a site.
func (r *Router) add(host string, site int, names []string) error {
	hosts, key := r.exact, host
	if rest, ok := strings.CutPrefix(host, "*"); ok {
		hosts, key = r.wild, rest
	}
	name, ok := HostName(strings.TrimPrefix(key, "."))
	if !ok || hostHasPort(key) || strings.Contains(key, "*") {
		return fault.New(fault.Invalid, "%q of %s is not the name of a host; write login.example.com or "+
			"*.example.com, without a port", clip(host), names[site])
	}
	if strings.HasPrefix(key, ".") {
		name = "." + name
	}
	if other, ok := hosts[name]; ok && other != site {
		return fault.New(fault.Conflict, "%s and %s have the same address: %s; give each its own",
			names[other], names[site], host)
	}
	hosts[name] = site
	return nil
}

// Find returns the index of the site that a request belongs to which was sent to a host, with or
// without a port. It reports false if the host belongs to nobody.
func (r *Router) Find(host string) (site int, ok bool) {
	name, ok := HostName(host)
	if !ok {
		return 0, false
	}
	if site, ok = r.exact[name]; ok {
		return site, true
	}
	for rest := name; ; {
		i := strings.IndexByte(rest[min(1, len(rest)):], '.')
		if i < 0 {
			return 0, false
		}
		rest = rest[i+1:]
		if site, ok = r.wild[rest]; ok {
			return site, true
		}
	}
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
