package client

import (
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/spell"
)

// GrantType describes a grant type that clients may be given. Package token has the table of all.
type GrantType struct {
	Name    string   // on the wire, such as urn:ietf:params:oauth:grant-type:device_code
	Short   string   // in messages and tables, such as device_code; Name if ""
	Aliases []string // other words that people type for it, such as device
	Summary string   // one sentence for people who choose

	Confidential bool // only clients that authenticate may have it (RFC 6749 §4.4)
	Redirects    bool // needs a registered redirect URI
	Approval     bool // a person approves the request on a page of this server
	Continues    bool // continues what another grant type began: useless alone
	Implied      bool // follows from another field of a client: not registered by name
}

// Title returns the name for people.
func (g GrantType) Title() string {
	if g.Short != "" {
		return g.Short
	}
	return g.Name
}

// AuthMethod describes a client authentication method. Package token has the table of all.
type AuthMethod struct {
	Name    string // token_endpoint_auth_method (RFC 7591 §2)
	Summary string // one sentence for people who choose

	Public bool // for clients that cannot keep a secret, and only for them
	Keys   bool // needs registered public keys
}

// Rules hold what a registration may choose from. The protocol's tables provide it.
type Rules struct {
	Grants      []GrantType
	AuthMethods []AuthMethod
	Algorithms  []string // JWS algorithms of tokens
}

// AuthMethodNames returns the values of token_endpoint_auth_method.
func (r Rules) AuthMethodNames() []string {
	names := make([]string, len(r.AuthMethods))
	for i, m := range r.AuthMethods {
		names[i] = m.Name
	}
	return names
}

// authMethod returns the method with a name, or one with the name alone.
func (r Rules) authMethod(name string) AuthMethod {
	for _, m := range r.AuthMethods {
		if m.Name == name {
			return m
		}
	}
	return AuthMethod{Name: name}
}

// grant returns the grant type with a wire name, or one with the name alone.
func (r Rules) grant(name string) GrantType {
	for _, g := range r.Grants {
		if g.Name == name {
			return g
		}
	}
	return GrantType{Name: name}
}

// namesOf returns the grant types that have a property, in the words for people.
func (r Rules) namesOf(property func(GrantType) bool) []string {
	var names []string
	for _, g := range r.Grants {
		if property(g) {
			names = append(names, g.Title())
		}
	}
	return names
}

// GrantNames returns the grant types in the words for people.
func (r Rules) GrantNames() []string {
	names := make([]string, len(r.Grants))
	for i, g := range r.Grants {
		names[i] = g.Title()
	}
	return names
}

// ResolveGrants returns the wire names of grant types, without repeats. Each may be given by its
// wire name, its short name or an alias.
func (r Rules) ResolveGrants(words []string) ([]string, error) {
	var names []string
	for _, word := range words {
		i := slices.IndexFunc(r.Grants, func(g GrantType) bool {
			return word == g.Name || word == g.Title() || slices.Contains(g.Aliases, word)
		})
		if i < 0 {
			return nil, unknown("grant_types", "grant type", word, r.GrantNames())
		}
		if !slices.Contains(names, r.Grants[i].Name) {
			names = append(names, r.Grants[i].Name)
		}
	}
	return names, nil
}

// ShortGrants returns the words for people of grant types. A grant type that is not in the table
// keeps its wire name.
func (r Rules) ShortGrants(names []string) []string {
	short := slices.Clone(names)
	for i, name := range names {
		short[i] = r.grant(name).Title()
	}
	return short
}

// grantHelp lists the grant types with their shortest alias for the help of the command line.
func (r Rules) grantHelp() string {
	var out []string
	for _, g := range r.Grants {
		if len(g.Aliases) > 0 {
			out = append(out, g.Title()+" ("+g.Aliases[0]+")")
		} else {
			out = append(out, g.Title())
		}
	}
	return strings.Join(out, ", ")
}

// unknown returns the error for a word that is not among those known. It suggests the nearest
// one.
func unknown(field, what, given string, known []string) error {
	if near := spell.Nearest(given, known); near != "" {
		return fault.InvalidField(field, "there is no %s %q; did you mean %s?", what, given, near)
	}
	return fault.InvalidField(field, "there is no %s %q; use one of %s", what, given, strings.Join(known, ", "))
}

// oneOf checks a word that may be missing against those known.
func oneOf(field, what, given string, known []string) error {
	if given == "" || slices.Contains(known, given) {
		return nil
	}
	return unknown(field, what, given, known)
}
