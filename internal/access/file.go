package access

import (
	"bytes"
	"errors"
	"io"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
)

// maxFile is the largest routes file, in bytes: room for more than 10,000 routes.
const maxFile = 8 << 20

// File is what a routes file says.
type File struct {
	Routes  []Route  `yaml:"routes"`
	Issuers []Issuer `yaml:"issuers"`
}

// Issuer is an external issuer whose access tokens may pass.
type Issuer struct {
	Name   string `yaml:"name"`   // by which routes refer to it
	Issuer string `yaml:"issuer"` // iss of its tokens: an https address
	// of its keys; "": from its discovery document
	JWKSURI   string   `yaml:"jwks_uri"`
	Audiences []string `yaml:"audiences"` // one of them must be in a token's aud
	// accepted signature algorithms; ReadFile fills in the asymmetric ones
	Algs []string `yaml:"algs"`
	// for its opaque tokens (RFC 7662); nil: only JWTs pass
	Introspection *Introspection `yaml:"introspection"`
	ScopesClaim   string         `yaml:"scopes_claim"` // the claim with the scopes; "": scope
	RolesClaim    string         `yaml:"roles_claim"`  // the claim with the roles; "": none
	UserClaim     string         `yaml:"user_claim"`   // the claim with the user's id; "": sub
}

// Introspection is the endpoint at which an external issuer describes its opaque tokens.
type Introspection struct {
	URL      string `yaml:"url"`
	ClientID string `yaml:"client_id"`
	// a file that holds the secret and nothing else
	ClientSecretFile string `yaml:"client_secret_file"`
}

// ReadFile parses a routes file: YAML with a list of routes, whose fields are those of RouteFields,
// and one of external issuers. A file with a mistake is rejected as a whole. The error
// (fault.Invalid) names the line, and for an unknown name the nearest known one.
//
// The routes have ids made of their names. They are valid in themselves, but must still be compiled
// for the server that they will run on.
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

// parseYAML returns the top mapping of the only document, or nil for an empty one.
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

// unreadable returns an error with the YAML library's message. The most likely mistake is a host
// such as *.example.com without quotes, which YAML reads as an alias.
func unreadable(err error) error {
	msg := clip(strings.TrimPrefix(err.Error(), "yaml: "))
	if strings.Contains(msg, "unknown anchor") || strings.Contains(msg, "expected alphabetic or numeric") {
		msg += "; put a value that begins with * in quotes: \"*.example.com\""
	}
	return fault.New(fault.Invalid, "the routes file is not readable as YAML: %s", msg)
}

// at returns an Invalid error at a line of the file.
func at(n *yaml.Node, format string, args ...any) *fault.Error {
	e := fault.New(fault.Invalid, format, args...)
	return atLine(n, e)
}

// atLine returns the error with the line of the node before its text.
func atLine(n *yaml.Node, e *fault.Error) *fault.Error {
	out := *e
	out.Text = fault.New(fault.Invalid, "line %d: %s", n.Line, e.Text).Text
	return &out
}

// located returns any error with the line of the node before its text.
func located(n *yaml.Node, err error) error {
	var e *fault.Error
	if errors.As(err, &e) {
		return atLine(n, e)
	}
	return err
}

// items returns the nodes of a list under the top mapping.
func items(root *yaml.Node, key string) []*yaml.Node {
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == key {
			return root.Content[i+1].Content
		}
	}
	return nil
}

// checkRoutes sets the routes' ids and compiles them, which finds the mistakes that do not depend
// on the server.
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
			return at(n, "a route in a file has no id; its name identifies it")
		}
		c, err := Compile(*r, o)
		if err != nil {
			return located(n, err)
		}
		r.Name, r.ID = c.route.Name, fileIDPrefix+c.route.Name
		if first, twice := ids[r.ID]; twice {
			return at(n, "the route in line %[2]d has the name %[1]q, too; give each its own",
				clip(r.Name), first)
		}
		ids[r.ID] = n.Line
		if r.Inactive {
			continue
		}
		a := address{c.host.String(), c.prefix}
		if first, twice := addresses[a]; twice {
			return at(n, "the route in line %[2]d has the address %[1]s, too; change or remove "+
				"one of them", c.Address(), first)
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
			return at(n, "the issuer in line %[2]d has the name %[1]q, too; give each its own",
				s.Name, first)
		}
		if first, twice := issuers[s.Issuer]; twice {
			return at(n, "the issuer %q is in line %d already; describe it once", clip(s.Issuer),
				first)
		}
		names[s.Name], issuers[s.Issuer] = n.Line, n.Line
	}
	return nil
}

// check validates one issuer, and fills in its algorithms.
func (s *Issuer) check() error {
	if !segment(s.Name) || strings.Contains(s.Name, ":") {
		return fault.InvalidField("name", "an issuer needs a name of 1 to %d letters, digits "+
			"and . _ ~ -, such as auth0", maxSegment)
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
		return fault.InvalidField("audiences", "the issuer %s needs audiences: the values of "+
			"aud in its tokens for your APIs; without them, tokens for other APIs would pass",
			s.Name)
	}
	for _, a := range s.Audiences {
		if !visible(a) || len(a) > maxAddress {
			return fault.InvalidField("audiences", "%q is not an audience; write it as it "+
				"appears in the tokens, without spaces", clip(a))
		}
	}
	for field, claim := range map[string]string{
		"scopes_claim": s.ScopesClaim, "roles_claim": s.RolesClaim, "user_claim": s.UserClaim,
	} {
		if claim != "" && !printable(claim, maxName) {
			return fault.InvalidField(field, "%s must be the name of a claim, of at most %d bytes",
				field, maxName)
		}
	}
	if err := s.checkAlgs(); err != nil {
		return err
	}
	return s.Introspection.check()
}

// checkAlgs rejects algorithms that would use the issuer's public key as a shared secret
// (RFC 8725 §2.1, §3.1).
func (s *Issuer) checkAlgs() error {
	known := jose.AssertionAlgorithms()
	if len(s.Algs) == 0 {
		s.Algs = known
		return nil
	}
	for _, a := range s.Algs {
		if !slices.Contains(known, a) {
			return fault.InvalidField("algs", "the algorithm %q is not accepted; use some of %s",
				clip(a), strings.Join(known, ", "))
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
	switch { // RFC 7662 §2.1: the endpoint authenticates its callers
	case !printable(i.ClientID, maxName):
		return fault.InvalidField("introspection.client_id", "introspection needs the client_id "+
			"that this server has at the issuer")
	case !printable(i.ClientSecretFile, maxAddress):
		return fault.InvalidField("introspection.client_secret_file",
			"introspection needs client_secret_file: the path of a file that holds the client's "+
				"secret")
	}
	return nil
}

// secureAddress rejects addresses other than https ones and http ones of this machine: keys and
// responses that travel in the clear can be replaced.
func secureAddress(field, s string) error {
	u, err := url.Parse(s)
	if err != nil || len(s) > maxAddress || !visible(s) || u.Hostname() == "" || !validPort(u) ||
		(u.Scheme != "https" && u.Scheme != "http") {
		return fault.InvalidField(field, "%s must be an address such as https://id.example.com",
			field)
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(s, "#") {
		return fault.InvalidField(field, "%s must have no name, password, query or fragment", field)
	}
	if u.Scheme == "http" && !netaddr.IsLoopback(u.Hostname()) {
		return fault.InvalidField(field, "%s must begin with https://: over http, an attacker "+
			"on the network could answer in its place", field)
	}
	return nil
}
