package oauth

import (
	"maps"
	"net/url"
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
var userScopes = [...]string{ScopeOpenID, ScopeProfile, ScopeEmail, ScopeAddress, ScopePhone, ScopeOffline}

// Bounds of a scope parameter.
const (
	maxScopes   = 64
	maxScopeLen = 128
)

// ParseScope reads a scope parameter into distinct names, in the order given (RFC 6749 §3.3).
func ParseScope(s string) ([]string, error) {
	var out []string
	for name := range strings.SplitSeq(s, " ") {
		if name == "" || slices.Contains(out, name) {
			continue
		}
		if !ValidScope(name) {
			return nil, invalidScope("A scope has characters that are not allowed, or more than %d of them.", maxScopeLen)
		}
		if len(out) == maxScopes {
			return nil, invalidScope("More than %d scopes are asked for.", maxScopes)
		}
		out = append(out, name)
	}
	return out, nil
}

// ValidScope reports whether a name is a scope-token (RFC 6749 §3.3).
func ValidScope(name string) bool {
	if name == "" || len(name) > maxScopeLen {
		return false
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; c <= 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// userScope works out the scopes of a request that a user will approve. Without a scope parameter it is the
// server's defaults, as far as the client may have them.
func (s *Server) userScope(cl *client.Client, asked string) ([]string, error) {
	want, err := ParseScope(asked)
	if err != nil {
		return nil, err
	}
	if len(want) == 0 {
		for _, name := range s.defaultScopes() {
			if slices.Contains(cl.Scopes, name) {
				want = append(want, name)
			}
		}
		return want, nil
	}
	return want, allowedScopes(cl, want)
}

// defaultScopes are the server's DEFAULT_SCOPES and every scope that is marked as default.
func (s *Server) defaultScopes() []string {
	out := slices.Clone(s.cfg.DefaultScopes)
	for _, name := range slices.Sorted(maps.Keys(s.store.Scopes())) {
		if s.store.Scopes()[name].Default && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// ownScope works out the scopes of a client that acts for itself. Without a scope parameter it
// is all that it may have.
func (s *Server) ownScope(cl *client.Client, asked string) ([]string, error) {
	want, err := ParseScope(asked)
	if err != nil {
		return nil, err
	}
	if len(want) == 0 {
		for _, name := range cl.Scopes {
			if !slices.Contains(userScopes[:], name) {
				want = append(want, name)
			}
		}
		return want, nil
	}
	for _, name := range want {
		if slices.Contains(userScopes[:], name) {
			return nil, invalidScope("Scope %s concerns a user, and no user takes part in this grant.", name)
		}
	}
	return want, allowedScopes(cl, want)
}

// allowedScopes refuses the first scope that the client may not have.
func allowedScopes(cl *client.Client, want []string) error {
	for _, name := range want {
		if !slices.Contains(cl.Scopes, name) {
			return invalidScope("The client may not ask for scope %s.", name)
		}
	}
	return nil
}

// narrowed gives the scopes asked for out of those granted (RFC 6749 §6), or all of them.
func narrowed(granted []string, asked string) ([]string, error) {
	want, err := ParseScope(asked)
	if err != nil || len(want) == 0 {
		return granted, err
	}
	for _, name := range want {
		if !slices.Contains(granted, name) {
			return nil, invalidScope("Scope %s was not granted.", name)
		}
	}
	return want, nil
}

// maxResources bounds the resource parameters of a request.
const maxResources = 16

// resources reads the resource parameters (RFC 8707 §2): absolute URIs without a fragment that the client may ask for.
func (s *Server) resources(cl *client.Client, form url.Values) ([]string, error) {
	asked := form["resource"]
	if len(asked) > maxResources {
		return nil, invalidTarget("More than %d resources are named.", maxResources)
	}
	var out []string
	for _, r := range asked {
		u, err := url.Parse(r)
		if err != nil || !u.IsAbs() || strings.Contains(r, "#") || len(r) > client.MaxURI {
			return nil, invalidTarget("A resource must be an absolute URI without a fragment.")
		}
		if r != s.cfg.Issuer && !slices.Contains(cl.Resources, r) {
			return nil, invalidTarget("The client may not ask for this resource.")
		}
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out, nil
}

// narrowedResources gives the audiences asked for out of those granted (RFC 8707 §2.2), or all of them; none is the issuer.
func (s *Server) narrowedResources(granted []string, form url.Values) ([]string, error) {
	if len(granted) == 0 {
		granted = []string{s.cfg.Issuer}
	}
	asked := form["resource"]
	if len(asked) == 0 {
		return granted, nil
	}
	for _, r := range asked {
		if !slices.Contains(granted, r) {
			return nil, invalidTarget("A resource is named that was not granted.")
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(asked))), nil
}
