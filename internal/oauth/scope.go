package oauth

import (
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/client"
)

// Scopes with a meaning of their own (OpenID Connect Core §5.4, §11).
const (
	ScopeOpenID  = "openid"
	ScopeProfile = "profile"
	ScopeEmail   = "email"
	ScopeAddress = "address"
	ScopePhone   = "phone"
	ScopeOffline = "offline_access"
)

// userScopes concern a person, and mean nothing when a client acts for itself.
var userScopes = [...]string{
	ScopeOpenID, ScopeProfile, ScopeEmail, ScopeAddress, ScopePhone, ScopeOffline,
}

// UserScopes lists the scopes that concern a person.
func UserScopes() []string { return slices.Clone(userScopes[:]) }

// Bounds of a scope parameter.
const (
	maxScopes   = 64
	maxScopeLen = client.MaxScope
)

// ParseScope reads a scope parameter into distinct names, in the order given (RFC 6749 §3.3).
func ParseScope(s string) ([]string, error) {
	var out []string
	for name := range strings.SplitSeq(s, " ") {
		if name == "" || slices.Contains(out, name) {
			continue
		}
		if !ValidScope(name) {
			return nil, InvalidScope(
				"A scope contains characters that are not allowed, or more than %d of them.",
				maxScopeLen)
		}
		if len(out) == maxScopes {
			return nil, InvalidScope("The request names more than %d scopes.", maxScopes)
		}
		out = append(out, name)
	}
	return out, nil
}

// ValidScope reports whether a name is a scope-token (RFC 6749 §3.3).
func ValidScope(name string) bool { return client.ValidScope(name) }

// ScopePolicy decides which scopes a request may have.
type ScopePolicy struct {
	Defaults []string                 // DEFAULT_SCOPES
	Defined  func() map[string]*Scope // all scopes by name; not to be changed
}

// ForUser returns the scopes of a request that a user will approve, from its scope parameter.
// Without one it returns the defaults that the client may have.
func (p ScopePolicy) ForUser(cl *client.Client, scope string) ([]string, error) {
	names, err := ParseScope(scope)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		for _, name := range p.defaults() {
			if slices.Contains(cl.Scopes, name) {
				names = append(names, name)
			}
		}
		return names, nil
	}
	return names, checkAllowed(cl, names)
}

// ForClient returns the scopes of a client that acts for itself, from its scope parameter.
// Without one it returns all that the client may have.
func (p ScopePolicy) ForClient(cl *client.Client, scope string) ([]string, error) {
	names, err := ParseScope(scope)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		for _, name := range cl.Scopes {
			if !slices.Contains(userScopes[:], name) {
				names = append(names, name)
			}
		}
		return names, nil
	}
	for _, name := range names {
		if slices.Contains(userScopes[:], name) {
			return nil, InvalidScope(
				"Scope %s concerns a user, and no user takes part in this grant.", name)
		}
	}
	return names, checkAllowed(cl, names)
}

// defaults returns DEFAULT_SCOPES and every scope that is marked as a default.
func (p ScopePolicy) defaults() []string {
	out := slices.Clone(p.Defaults)
	defined := p.Defined()
	for _, name := range slices.Sorted(maps.Keys(defined)) {
		if defined[name].Default && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// checkAllowed rejects the first scope that the client may not have.
func checkAllowed(cl *client.Client, names []string) error {
	for _, name := range names {
		if !slices.Contains(cl.Scopes, name) {
			return InvalidScope("The client may not ask for scope %s.", name)
		}
	}
	return nil
}

// NarrowScopes returns the requested scopes if all of them were granted, or all granted ones if
// the scope parameter is empty (RFC 6749 §6).
func NarrowScopes(granted []string, scope string) ([]string, error) {
	names, err := ParseScope(scope)
	if err != nil || len(names) == 0 {
		return granted, err
	}
	for _, name := range names {
		if !slices.Contains(granted, name) {
			return nil, InvalidScope("Scope %s was not granted.", name)
		}
	}
	return names, nil
}
