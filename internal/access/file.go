package access

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/jose"
)

// maxFile is the largest routes file, in bytes: room for more than 10,000 routes.
const maxFile = 8 << 20

// File is what a routes file says.
type File struct {
	Routes  []Route  `yaml:"routes"`
	Issuers []Issuer `yaml:"issuers"`
}

// Issuer is another server whose access tokens may pass.
type Issuer struct {
	Name          string         `yaml:"name"`          // by which routes name it
	Issuer        string         `yaml:"issuer"`        // iss of its tokens: an https address
	JWKSURI       string         `yaml:"jwks_uri"`      // its keys; "": as its discovery document says
	Audiences     []string       `yaml:"audiences"`     // one of them must be in a token's aud; whoever verifies its tokens compares that
	Algs          []string       `yaml:"algs"`          // signature algorithms accepted; ReadFile fills in the asymmetric ones where none are given
	Introspection *Introspection `yaml:"introspection"` // for its opaque tokens (RFC 7662); nil: only its JWT pass
	ScopesClaim   string         `yaml:"scopes_claim"`  // where scopes stand; "": scope
	RolesClaim    string         `yaml:"roles_claim"`   // where roles stand; "": it gives none
	UserClaim     string         `yaml:"user_claim"`    // who the user is; "": sub
}

// Introspection is where another server tells about its opaque tokens.
type Introspection struct {
	URL              string `yaml:"url"`
	ClientID         string `yaml:"client_id"`
	ClientSecretFile string `yaml:"client_secret_file"` // a file that holds the secret and nothing else
}

// ReadFile reads a routes file: YAML with a list of routes, whose fields are those of Route, and one of foreign issuers. Nothing of a
// file with a mistake is used. The error (fault.Invalid) names the line, and the nearest known name for an unknown one.
//
// Routes come back with an id made of their name. They are sound in themselves, but still have to be compiled for the server
// that they will run on.
func ReadFile(data []byte) (*File, error) {
	root, err := parseYAML(data)
	if err != nil {
		return nil, err
	}
	f := &File{}
	if root == nil {
		return f, nil
	}
	if err := fill(root, "the file", f); err != nil {
		return nil, err
	}
	if err := f.checkIssuers(items(root, "issuers")); err != nil {
		return nil, err
	}
	if err := f.checkRoutes(items(root, "routes")); err != nil {
		return nil, err
	}
	return f, nil
}

// parseYAML gives the top mapping of the one document, or nil for an empty one.
func parseYAML(data []byte) (*yaml.Node, error) {
	if len(data) > maxFile {
		return nil, fault.New(fault.Invalid, "the routes file has more than %d bytes", maxFile)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, unreadable(err)
	}
	if err := dec.Decode(&more); err == nil {
		return nil, at(&more, "the file holds a second YAML document; keep one")
	} else if !errors.Is(err, io.EOF) {
		return nil, unreadable(err)
	}
	if len(doc.Content) != 1 || doc.Content[0].Tag == "!!null" && doc.Content[0].Kind == yaml.ScalarNode {
		return nil, nil
	}
	return doc.Content[0], nil
}

// unreadable puts the library's message into ours. A host such as *.example.com without quotes, which YAML takes for an alias, is the
// mistake to expect.
func unreadable(err error) error {
	msg := clip(strings.TrimPrefix(err.Error(), "yaml: "))
	if strings.Contains(msg, "unknown anchor") || strings.Contains(msg, "expected alphabetic or numeric") {
		msg += "; put a value that begins with * in quotes: \"*.example.com\""
	}
	return fault.New(fault.Invalid, "the routes file is not readable as YAML: %s", msg)
}

// at is an Invalid error at a line of the file.
func at(n *yaml.Node, format string, args ...any) *fault.Error {
	e := fault.New(fault.Invalid, format, args...)
	return moved(n, e)
}

// moved puts the line before what is said already.
func moved(n *yaml.Node, e *fault.Error) *fault.Error {
	out := *e
	out.Text = fault.New(fault.Invalid, "line %d: %s", n.Line, e.Text).Text
	return &out
}

// located is moved for an error of any type.
func located(n *yaml.Node, err error) error {
	var e *fault.Error
	if errors.As(err, &e) {
		return moved(n, e)
	}
	return err
}

// items are the nodes of a list under the top mapping.
func items(root *yaml.Node, key string) []*yaml.Node {
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == key {
			return root.Content[i+1].Content
		}
	}
	return nil
}

// checkRoutes gives the routes their ids and compiles them, for the mistakes that show without knowing the server.
func (f *File) checkRoutes(nodes []*yaml.Node) error {
	o := Options{Issuers: make([]string, 0, len(f.Issuers))}
	for _, i := range f.Issuers {
		o.Issuers = append(o.Issuers, i.Name)
	}
	type address struct{ host, prefix string }
	ids, addresses := map[string]int{}, map[address]int{}
	for i := range f.Routes {
		r, n := &f.Routes[i], nodes[i]
		if r.ID != "" {
			return at(n, "a route in a file has no id; it is known by its name")
		}
		c, err := Compile(*r, o)
		if err != nil {
			return located(n, err)
		}
		r.Name, r.ID = c.route.Name, "file:"+c.route.Name
		if first, twice := ids[r.ID]; twice {
			return at(n, "the name %q is that of the route in line %d, too; give each its own", clip(r.Name), first)
		}
		ids[r.ID] = n.Line
		if r.Inactive {
			continue
		}
		a := address{c.host.String(), c.prefix}
		if first, twice := addresses[a]; twice {
			return at(n, "the address %s is that of the route in line %d, too; change or remove one of them", c.Address(), first)
		}
		addresses[a] = n.Line
	}
	return nil
}

func (f *File) checkIssuers(nodes []*yaml.Node) error {
	names, issuers := map[string]int{}, map[string]int{}
	for i := range f.Issuers {
		s, n := &f.Issuers[i], nodes[i]
		if err := s.check(); err != nil {
			return located(n, err)
		}
		if first, twice := names[s.Name]; twice {
			return at(n, "the name %q is that of the issuer in line %d, too; give each its own", s.Name, first)
		}
		if first, twice := issuers[s.Issuer]; twice {
			return at(n, "the issuer %q is in line %d already; describe it once", clip(s.Issuer), first)
		}
		names[s.Name], issuers[s.Issuer] = n.Line, n.Line
	}
	return nil
}

// check looks at one issuer by itself, and fills in its algorithms.
func (s *Issuer) check() error {
	if !segment(s.Name) || strings.Contains(s.Name, ":") {
		return fault.InvalidField("name", "an issuer needs a name of 1 to %d letters, digits and . _ ~ -, such as auth0", maxSegment)
	}
	if err := secureAddress("issuer", s.Issuer); err != nil {
		return err
	}
	if s.JWKSURI != "" {
		if err := secureAddress("jwks_uri", s.JWKSURI); err != nil {
			return err
		}
	}
	if len(s.Audiences) == 0 || len(s.Audiences) > maxList {
		return fault.InvalidField("audiences", "the issuer %s needs audiences: what stands as aud in its tokens for your APIs; without it tokens made for others would pass", s.Name)
	}
	for _, a := range s.Audiences {
		if !visible(a) || len(a) > maxAddress {
			return fault.InvalidField("audiences", "%q is no audience; write it as it stands in the tokens, without spaces", clip(a))
		}
	}
	for field, claim := range map[string]string{"scopes_claim": s.ScopesClaim, "roles_claim": s.RolesClaim, "user_claim": s.UserClaim} {
		if claim != "" && !printable(claim, maxName) {
			return fault.InvalidField(field, "%s must be the name of a claim, of at most %d bytes", field, maxName)
		}
	}
	if err := s.checkAlgs(); err != nil {
		return err
	}
	return s.Introspection.check()
}

// checkAlgs lets no algorithm pass that takes the issuer's public key for a secret (RFC 8725 §2.1, §3.1).
func (s *Issuer) checkAlgs() error {
	known := jose.AssertionAlgorithms()
	if len(s.Algs) == 0 {
		s.Algs = known
		return nil
	}
	for _, a := range s.Algs {
		if !slices.Contains(known, a) {
			return fault.InvalidField("algs", "the algorithm %q is not accepted; use some of %s", clip(a), strings.Join(known, ", "))
		}
	}
	return nil
}

func (i *Introspection) check() error {
	if i == nil {
		return nil
	}
	if err := secureAddress("introspection.url", i.URL); err != nil {
		return err
	}
	switch { // RFC 7662 §2.1: the endpoint must ask who asks
	case !printable(i.ClientID, maxName):
		return fault.InvalidField("introspection.client_id", "introspection needs the client_id by which we are known to the issuer")
	case !printable(i.ClientSecretFile, maxAddress):
		return fault.InvalidField("introspection.client_secret_file", "introspection needs client_secret_file: the path of a file that holds the client's secret")
	}
	return nil
}

// secureAddress takes https addresses, and http ones of this machine: keys and answers that travel openly are anybody's.
func secureAddress(field, s string) error {
	u, err := url.Parse(s)
	if err != nil || len(s) > maxAddress || !visible(s) || u.Hostname() == "" || !validPort(u) || (u.Scheme != "https" && u.Scheme != "http") {
		return fault.InvalidField(field, "%s must be an address such as https://id.example.com", field)
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(s, "#") {
		return fault.InvalidField(field, "%s must have no name, password, query or fragment", field)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return fault.InvalidField(field, "%s must begin with https://: over http, anybody on the way could answer in its place", field)
	}
	return nil
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && a.IsLoopback()
}
