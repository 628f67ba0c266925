package oauth

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// profile is the standard claims (OpenID Connect Core §5.1) that we hold.
type profile struct {
	Name              string            `json:"name,omitempty"`
	GivenName         string            `json:"given_name,omitempty"`
	FamilyName        string            `json:"family_name,omitempty"`
	PreferredUsername string            `json:"preferred_username,omitempty"`
	Picture           string            `json:"picture,omitempty"`
	Locale            string            `json:"locale,omitempty"`
	Zoneinfo          string            `json:"zoneinfo,omitempty"`
	UpdatedAt         seconds           `json:"updated_at,omitempty"`
	Email             string            `json:"email,omitempty"`
	EmailVerified     *bool             `json:"email_verified,omitempty"`
	Phone             string            `json:"phone_number,omitempty"`
	PhoneVerified     *bool             `json:"phone_number_verified,omitempty"`
	Address           *identity.Address `json:"address,omitempty"`
}

// UserInfo is the answer of the userinfo endpoint (OpenID Connect Core §5.3.2).
type UserInfo struct {
	Subject string `json:"sub"`
	profile
}

// scopeClaims says which claims a scope gives (OpenID Connect Core §5.4).
func scopeClaims(scope string) []string {
	switch scope {
	case ScopeProfile:
		return []string{"name", "given_name", "family_name", "preferred_username", "picture", "locale", "zoneinfo", "updated_at"}
	case ScopeEmail:
		return []string{"email", "email_verified"}
	case ScopePhone:
		return []string{"phone_number", "phone_number_verified"}
	case ScopeAddress:
		return []string{"address"}
	}
	return nil
}

// profileOf gives the claims about a user that the scopes and the claims parameter entitle to.
func profileOf(u *identity.User, scopes []string, asked map[string]*claimWish) profile {
	var names []string
	for _, sc := range scopes {
		names = append(names, scopeClaims(sc)...)
	}
	for name := range asked {
		names = append(names, name)
	}
	var p profile
	for _, name := range names {
		p.fill(name, u)
	}
	return p
}

// fill sets one claim. A claim that we do not hold is left out, as §5.5.1 allows even for an essential one.
func (p *profile) fill(name string, u *identity.User) {
	switch name {
	case "name":
		p.Name = u.Name
	case "given_name":
		p.GivenName = u.GivenName
	case "family_name":
		p.FamilyName = u.FamilyName
	case "preferred_username":
		p.PreferredUsername = u.Username
	case "picture":
		p.Picture = u.Picture
	case "locale":
		p.Locale = u.Locale
	case "zoneinfo":
		p.Zoneinfo = u.Zoneinfo
	case "updated_at":
		p.UpdatedAt = at(u.UpdatedAt)
	case "email":
		p.Email = u.Email
	case "email_verified":
		if u.Email != "" {
			p.EmailVerified = &u.EmailVerified
		}
	case "phone_number":
		p.Phone = u.Phone
	case "phone_number_verified":
		if u.Phone != "" {
			p.PhoneVerified = &u.PhoneVerified
		}
	case "address":
		if u.Address != (identity.Address{}) {
			p.Address = &u.Address
		}
	}
}

// UserInfo answers the userinfo endpoint.
func (s *Server) UserInfo(ctx context.Context, c *Call) (*UserInfo, error) {
	t, err := s.caller(ctx, c)
	if err != nil {
		return nil, err
	}
	if t.User == "" || !slices.Contains(t.Scopes, ScopeOpenID) {
		return nil, insufficientScope(ScopeOpenID, "The access token was not given scope openid by a user.")
	}
	u, err := s.store.CachedUser(ctx, t.User, c.Now)
	if fault.Is(err, fault.NotFound) || (err == nil && u.Disabled) {
		return nil, invalidToken("The user's account has been disabled or deleted.")
	}
	if err != nil {
		return nil, err
	}
	var asked map[string]*claimWish
	if len(t.Claims) > 0 {
		if err := json.Unmarshal(t.Claims, &asked); err != nil {
			return nil, err
		}
	}
	return &UserInfo{Subject: t.Subject, profile: profileOf(u, t.Scopes, asked)}, nil
}

// TokenInfo is a bearer's own view of an access token.
type TokenInfo struct {
	Active   bool    `json:"active"`
	ClientID string  `json:"client_id"`
	Subject  string  `json:"sub"`
	Scope    string  `json:"scope"`
	Expires  seconds `json:"exp"`
}

// TokenInfo answers the tokeninfo endpoint: who holds the token may see what it says.
func (s *Server) TokenInfo(ctx context.Context, c *Call) (*TokenInfo, error) {
	t, err := s.caller(ctx, c)
	if err != nil {
		return nil, err
	}
	return &TokenInfo{Active: true, ClientID: string(t.Client), Subject: t.Subject, Scope: joinScopes(t.Scopes), Expires: at(t.Expires)}, nil
}
