package oauth

import (
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// Scopes with a meaning of their own (OpenID Connect Core §5.4, §11).
const (
	ScopeOpenID  = "openid"
	ScopeProfile = "profile"
	ScopeEmail   = "email"
	ScopeAddress = "address"
	ScopePhone   = "phone"
	ScopeOffline = "offline_access"
	// ScopeAccounts lets an app manage its person's account, by the accounts API.
	ScopeAccounts = "accounts"
)

// Scopes that give a person's roles. Applications know them by either name.
const (
	ScopeRoles  = "roles"
	ScopeGroups = "groups"
)

// userScopes concern a person, and mean nothing when a client acts for itself.
var userScopes = [...]string{
	ScopeOpenID, ScopeProfile, ScopeEmail, ScopeAddress, ScopePhone, ScopeOffline,
	ScopeRoles, ScopeGroups,
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

	Roles func() map[string]*identity.Role // all roles by name; not to be changed
}

// Definitions returns the scopes and roles that are defined now.
func (p ScopePolicy) Definitions() Definitions {
	d := Definitions{Scopes: p.Defined()}
	if p.Roles != nil {
		d.Roles = p.Roles()
	}
	return d
}

// ForUser returns the scopes of a request that a user will approve, from its scope parameter.
// Without one it returns the defaults that the client may have. Unknown scopes are left out.
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
		return p.Definitions().WithRequired(names), nil
	}
	return p.allowed(cl, slices.DeleteFunc(names, func(name string) bool {
		// Means nothing to a client that cannot refresh; some ask because discovery lists it.
		return name == ScopeOffline && !cl.CanRefresh() && !slices.Contains(cl.Scopes, name)
	}))
}

// ForClient returns the scopes of a client that acts for itself, from its scope parameter.
// Without one it returns all that the client may have. Scopes that concern a user mean nothing
// in this grant and are left out.
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
		return p.Definitions().WithRequired(names), nil
	}
	return p.allowed(cl, slices.DeleteFunc(names, func(name string) bool {
		return slices.Contains(userScopes[:], name)
	}))
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

// known reports whether a scope is defined, or registered for the client.
func (p ScopePolicy) known(cl *client.Client, name string) bool {
	return slices.Contains(cl.Scopes, name) || p.Defined()[name] != nil
}

// allowed returns the known ones of the requested scopes (OpenID Connect Core §3.1.2.1) with those
// that they require, and rejects the first that the client may not have. It changes the list.
func (p ScopePolicy) allowed(cl *client.Client, names []string) ([]string, error) {
	names = slices.DeleteFunc(names, func(name string) bool { return !p.known(cl, name) })
	for _, name := range names {
		if !slices.Contains(cl.Scopes, name) {
			return nil, InvalidScope("The client may not ask for scope %s.", name)
		}
	}
	return p.Definitions().WithRequired(names), nil
}

// Narrow returns the requested scopes if all of them were granted, or all granted ones if the
// scope parameter is empty (RFC 6749 §6). Unknown scopes are left out, as in the first request.
func (p ScopePolicy) Narrow(
	cl *client.Client, granted []string, scope string,
) ([]string, error) {
	names, err := ParseScope(scope)
	if err != nil || len(names) == 0 {
		return granted, err
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		return !slices.Contains(granted, name) && !p.known(cl, name)
	})
	for _, name := range names {
		if !slices.Contains(granted, name) {
			return nil, InvalidScope("Scope %s was not granted.", name)
		}
	}
	return names, nil
}
