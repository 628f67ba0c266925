package access

import (
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Options are what a route is compiled against.
type Options struct {
	Reserved []string // first segments of the server's own paths: oauth, login, …
	OwnHosts []string // hosts at which our own paths are served; ports are ignored
	Issuer   string   // its address, without a slash at the end
	Issuers  []string // names of the external issuers
}

// Compiled is a route that is ready to match and decide. It is immutable and safe to share.
type Compiled struct {
	rules    []rule // first, so that all that a request needs fits in one cache line
	depth    int    // segments of the prefix
	prefix   string // /domain/version, or as the route says; / is all of a host
	host     hostPattern
	resource string
	route    Route
}

// maxDepth is how many segments a prefix may have. Match compares no more.
const maxDepth = 16

// Compile returns the route ready to decide, or what is wrong with it: fault.Invalid with the
// name of the field.
func Compile(r Route, o Options) (*Compiled, error) {
	c := &Compiled{route: r}
	for _, check := range []func(*Compiled, *Options) error{
		checkPrefix, checkHost, checkOwn, checkName, checkUpstreams, checkLimits,
		checkCORS, checkRate, checkHealth, checkLists, checkSense,
	} {
		if err := check(c, &o); err != nil {
			return nil, err
		}
	}
	c.resource = resourceOf(c, &o)
	for _, compile := range compilers {
		one, err := compile(c, &o)
		if err != nil {
			return nil, err
		}
		if one != nil {
			c.rules = append(c.rules, one)
		}
	}
	return c, nil
}

// Route returns the route with its defaults filled in. It is shared and must not be changed.
func (c *Compiled) Route() *Route { return &c.route }

// Resource returns the route's resource identifier (RFC 9728 §1.2): the audience of tokens for the
// route, and the address of its metadata. With a wildcard host it contains the star; ResourceAt
// returns the identifier at one host.
func (c *Compiled) Resource() string { return c.resource }

// ResourceAt returns the resource identifier as callers of a host see it. The host is in lower case
// and without a port.
func (c *Compiled) ResourceAt(host string) string {
	if c.host.kind != hostWild || !c.host.covers(host) {
		return c.resource
	}
	return "https://" + bracketed(strings.TrimSuffix(host, ".")) + strings.TrimSuffix(c.prefix, "/")
}

// NeedsIdentity reports whether callers must identify themselves.
func (c *Compiled) NeedsIdentity() bool { return !c.route.Unidentified }

// Prefix returns the beginning of the paths that the route serves: / or a path without a slash at
// the end.
func (c *Compiled) Prefix() string { return c.prefix }

// Address returns host and prefix for people: "*.example.com/shop", or "/shop/v1" at any host.
func (c *Compiled) Address() string { return c.host.String() + c.prefix }

// Rest returns a path without the route's prefix. The path is as it was sent, so that the upstream
// sees its escapes unchanged. Match must have found the route by the same path after Clean, which
// ensures that both have the same segments.
func (c *Compiled) Rest(rawPath string) string {
	if c.route.KeepPath {
		return rawPath
	}
	at := 0
	for range c.depth {
		if at >= len(rawPath) {
			return ""
		}
		i := strings.IndexByte(rawPath[at+1:], '/')
		if i < 0 {
			return ""
		}
		at += 1 + i
	}
	return rawPath[at:]
}

// called returns the name by which a person finds the route again.
func (c *Compiled) called() string {
	if c.route.ID == "" {
		return c.route.Name
	}
	return c.route.Name + " (" + c.route.ID + ")"
}

// resourceOf returns the resource identifier. At the issuer's own host, and at any host, it is
// below the issuer's address, so that two servers of one issuer agree on it under every host
// name.
func resourceOf(c *Compiled, o *Options) string {
	path := strings.TrimSuffix(c.prefix, "/")
	if c.host.kind == hostAny || c.host.kind == hostExact && c.host.name == issuerHost(o.Issuer) {
		return o.Issuer + path
	}
	return "https://" + bracketed(c.host.String()) + path
}

func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

func issuerHost(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	return hostOnly(u.Host)
}

// checkName validates the route's name, and fills in the default.
func checkName(c *Compiled, _ *Options) error {
	r := &c.route
	if r.Name == "" {
		if r.Name = r.Domain + "/" + r.Version; r.Domain == "" {
			r.Name = c.Address()[:min(len(c.Address()), maxName)] // plain ASCII
		}
	}
	if !printable(r.Name, maxName) {
		return fault.InvalidField("name", "a route's name has 1 to %d bytes of text", maxName)
	}
	if !printable(r.ID, maxName) && r.ID != "" {
		return fault.InvalidField("id", "%q is not an id", clip(r.ID))
	}
	return nil
}

// checkPrefix computes the prefix, from domain and version or as it is written.
func checkPrefix(c *Compiled, _ *Options) error {
	r := &c.route
	switch {
	case r.Prefix == "" && r.Domain == "" && r.Version == "":
		return fault.InvalidField("domain", "a route needs an address: give a domain and a "+
			"version, or a prefix")
	case r.Prefix != "" && (r.Domain != "" || r.Version != ""):
		return fault.InvalidField("prefix", "a route has a domain and a version, or a prefix; "+
			"leave out one of them")
	case r.Prefix == "" && !segment(r.Domain):
		return fault.InvalidField("domain", "the domain %q must be 1 to %d letters, digits and "+
			". _ ~ -, as in market-data", clip(r.Domain), maxSegment)
	case r.Prefix == "" && !segment(r.Version):
		return fault.InvalidField("version", "the version %q must be 1 to %d letters, digits "+
			"and . _ ~ -, as in v1", clip(r.Version), maxSegment)
	case r.Prefix == "":
		c.prefix = "/" + r.Domain + "/" + r.Version
	case r.Prefix[0] != '/':
		return fault.InvalidField("prefix", "the prefix %q must begin with /", clip(r.Prefix))
	case r.Prefix != "/" && strings.HasSuffix(r.Prefix, "/"):
		return fault.InvalidField("prefix", "the prefix %q must not end with /; it covers the "+
			"path itself and everything below it", clip(r.Prefix))
	default:
		c.prefix = r.Prefix
	}
	if c.prefix == "/" {
		return nil
	}
	c.depth = strings.Count(c.prefix, "/")
	if c.depth > maxDepth {
		return fault.InvalidField("prefix", "the prefix has more than %d segments", maxDepth)
	}
	for s := range strings.SplitSeq(c.prefix[1:], "/") {
		if !segment(s) {
			return fault.InvalidField("prefix", "the segment %q of the prefix must be 1 to %d "+
				"letters, digits and . _ ~ - @ : + = , $ !", clip(s), maxSegment)
		}
	}
	return nil
}

// segment reports whether s can be a segment of a prefix: one that has a single spelling without
// escapes.
func segment(s string) bool {
	if s == "" || s == "." || s == ".." || len(s) > maxSegment {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') &&
			strings.IndexByte("._~-@:+=,$!", c) < 0 {
			return false
		}
	}
	return true
}

func checkHost(c *Compiled, _ *Options) (err error) {
	c.host, err = parseHost(c.route.Host)
	c.route.Host = c.host.String()
	return err
}

// checkOwn rejects routes that cover the server's own pages and endpoints. An administrator of
// routes must not be able to replace the login page.
func checkOwn(c *Compiled, o *Options) error {
	where := "any host, and so at the server's own"
	if c.host.kind != hostAny {
		at := slices.IndexFunc(o.OwnHosts,
			func(h string) bool { return c.host.covers(hostOnly(h)) })
		if at < 0 {
			return nil
		}
		where = hostOnly(o.OwnHosts[at]) + ", which is the server's own"
	}
	if c.prefix == "/" {
		return fault.InvalidField("prefix", "the prefix / would cover every path at %s; give "+
			"the route a host of its own, or a longer prefix", where)
	}
	first, _, _ := strings.Cut(c.prefix[1:], "/")
	own := func(s string) bool { return strings.EqualFold(first, strings.Trim(s, "/")) }
	if slices.ContainsFunc(o.Reserved, own) {
		field := "domain"
		if c.route.Prefix != "" {
			field = "prefix"
		}
		return fault.InvalidField(field, "/%s would cover the server's own paths at %s; choose "+
			"another name, or give the route a host of its own", first, where)
	}
	return nil
}
