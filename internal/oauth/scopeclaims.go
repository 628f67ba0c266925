package oauth

import (
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/client"
)

// ScopeClaims returns the claims that a scope gives (OpenID Connect Core §5.4).
func ScopeClaims(scope string) []string {
	switch scope {
	case ScopeProfile:
		return []string{
			"name", "given_name", "middle_name", "family_name", "nickname", "preferred_username",
			"profile", "picture", "website", "gender", "birthdate", "locale", "zoneinfo",
			"updated_at",
		}
	case ScopeEmail:
		return []string{"email", "email_verified"}
	case ScopePhone:
		return []string{"phone_number", "phone_number_verified"}
	case ScopeAddress:
		return []string{"address"}
	case ScopeRoles:
		return []string{"roles"}
	case ScopeGroups:
		return []string{"groups"}
	}
	return nil
}

// claimScope returns the scope that gives a claim, or "" for a claim that no scope gives.
func claimScope(claim string) string {
	for _, scope := range userScopes {
		if slices.Contains(ScopeClaims(scope), claim) {
			return scope
		}
	}
	return ""
}

// Allowed returns the part of a claims request that a client may have: the claims that one of
// its registered scopes gives.
func (p ClaimsRequest) Allowed(cl *client.Client) ClaimsRequest {
	return ClaimsRequest{
		UserInfo: allowedClaims(cl, p.UserInfo),
		IDToken:  allowedClaims(cl, p.IDToken),
	}
}

func allowedClaims(cl *client.Client, in map[string]*ClaimRequest) map[string]*ClaimRequest {
	var out map[string]*ClaimRequest
	for name, one := range in {
		if scope := claimScope(name); scope == "" || !slices.Contains(cl.Scopes, scope) {
			continue
		}
		if out == nil {
			out = make(map[string]*ClaimRequest, len(in))
		}
		out[name] = one
	}
	return out
}

// withClaimScopes returns the scopes of a request and those that give the claims of its claims
// parameter. The person must allow all of them: a claim is released with the consent to the
// scope that gives it (OpenID Connect Core §3.1.2.4, §5.5).
func withClaimScopes(scopes []string, p ClaimsRequest) []string {
	out := slices.Clone(scopes)
	for _, scope := range userScopes { // in this order, for the consent page
		if slices.Contains(out, scope) {
			continue
		}
		if p.requests(scope) {
			out = append(out, scope)
		}
	}
	return out
}

// requests reports whether one of the requested claims is given by a scope.
func (p ClaimsRequest) requests(scope string) bool {
	for _, name := range ScopeClaims(scope) {
		_, inUserInfo := p.UserInfo[name]
		_, inIDToken := p.IDToken[name]
		if inUserInfo || inIDToken {
			return true
		}
	}
	return false
}
