package token

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// profile holds the standard claims that this server knows (OpenID Connect Core §5.1).
type profile struct {
	Name              string            `json:"name,omitempty"`
	GivenName         string            `json:"given_name,omitempty"`
	MiddleName        string            `json:"middle_name,omitempty"`
	FamilyName        string            `json:"family_name,omitempty"`
	Nickname          string            `json:"nickname,omitempty"`
	PreferredUsername string            `json:"preferred_username,omitempty"`
	Profile           string            `json:"profile,omitempty"`
	Picture           string            `json:"picture,omitempty"`
	Website           string            `json:"website,omitempty"`
	Gender            string            `json:"gender,omitempty"`
	Birthdate         string            `json:"birthdate,omitempty"`
	Locale            string            `json:"locale,omitempty"`
	Zoneinfo          string            `json:"zoneinfo,omitempty"`
	UpdatedAt         oauth.NumericDate `json:"updated_at,omitempty"`
	Email             string            `json:"email,omitempty"`
	EmailVerified     *bool             `json:"email_verified,omitempty"`
	Phone             string            `json:"phone_number,omitempty"`
	PhoneVerified     *bool             `json:"phone_number_verified,omitempty"`
	Address           *identity.Address `json:"address,omitempty"`
	Roles             []string          `json:"roles,omitempty"`
	Groups            []string          `json:"groups,omitempty"` // the roles, by another name
}

// UserInfo is the response of the userinfo endpoint (OpenID Connect Core §5.3.2).
type UserInfo struct {
	Subject string `json:"sub"`
	Actor   *actor `json:"act,omitempty"` // RFC 8693 §4.1
	profile
}

// profileOf returns the claims about a user that the scopes give and the claims parameter
// requests.
func profileOf(
	u *identity.User, scopes []string, requested map[string]*oauth.ClaimRequest,
) profile {
	var names []string
	for _, sc := range scopes {
		names = append(names, oauth.ScopeClaims(sc)...)
	}
	for name := range requested {
		names = append(names, name)
	}
	var p profile
	for _, name := range names {
		p.fill(name, u)
	}
	return p
}

// fill sets one claim. It leaves out a claim that this server does not know, as §5.5.1 allows
// even for an essential one.
func (p *profile) fill(name string, u *identity.User) {
	switch name {
	case "name":
		p.Name = u.Name
	case "given_name":
		p.GivenName = u.GivenName
	case "middle_name":
		p.MiddleName = u.MiddleName
	case "family_name":
		p.FamilyName = u.FamilyName
	case "nickname":
		p.Nickname = u.Nickname
	case "preferred_username":
		p.PreferredUsername = u.PreferredUsername()
	case "profile":
		p.Profile = u.Profile
	case "picture":
		p.Picture = u.Picture
	case "website":
		p.Website = u.Website
	case "gender":
		p.Gender = u.Gender
	case "birthdate":
		p.Birthdate = u.Birthdate
	case "locale":
		p.Locale = u.Locale
	case "zoneinfo":
		p.Zoneinfo = u.Zoneinfo
	case "updated_at":
		p.UpdatedAt = oauth.NumericDateOf(u.UpdatedAt)
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
	case "roles":
		p.Roles = u.Roles
	case "groups":
		p.Groups = u.Roles
	}
}

// opensUserInfo reports whether a scope alone lets a token read the userinfo endpoint. OpenID
// Connect Core §5.3 wants openid; plain OAuth applications send profile or email.
func opensUserInfo(scope string) bool {
	return scope == oauth.ScopeOpenID || scope == oauth.ScopeProfile || scope == oauth.ScopeEmail
}

// UserInfo serves the userinfo endpoint.
func (s *Server) UserInfo(ctx context.Context, c *oauth.Call) (*UserInfo, error) {
	t, err := s.callerToken(ctx, c)
	if err != nil {
		return nil, err
	}
	if t.User == "" || !slices.ContainsFunc(t.Scopes, opensUserInfo) {
		return nil, oauth.InsufficientScope(oauth.ScopeOpenID,
			"The access token is not one of a user with the scope openid, profile or email.")
	}
	u, err := s.store.CachedUser(ctx, t.User, c.Now)
	if fault.Is(err, fault.NotFound) || (err == nil && u.Blocked()) {
		return nil, oauth.InvalidToken("The user's account has been disabled or deleted.")
	}
	if err != nil {
		return nil, err
	}
	var requested map[string]*oauth.ClaimRequest
	if len(t.Claims) > 0 {
		if err := json.Unmarshal(t.Claims, &requested); err != nil {
			return nil, err
		}
	}
	return &UserInfo{
		Subject: t.Subject,
		Actor:   actorClaim(t.Actor),
		profile: profileOf(u, t.Scopes, requested),
	}, nil
}

// Kinds of subjects of an access token.
const (
	subjectUser   = "user"
	subjectClient = "client"
)

// TokenInfo describes an access token to its holder.
type TokenInfo struct {
	Active      bool              `json:"active"`
	Issuer      string            `json:"iss"`
	ClientID    string            `json:"client_id"`
	Subject     string            `json:"sub"`
	UserID      string            `json:"user_id"`      // "" if the client acts for itself
	SubjectType string            `json:"subject_type"` // subjectUser or subjectClient
	Scope       string            `json:"scope"`
	Audience    oauth.Audience    `json:"aud"`
	Expires     oauth.NumericDate `json:"exp"`
	Actor       *actor            `json:"act,omitempty"` // RFC 8693 §4.1
}

// TokenInfo serves the tokeninfo endpoint, where the holder of an access token can read what it
// says.
func (s *Server) TokenInfo(ctx context.Context, c *oauth.Call) (*TokenInfo, error) {
	t, err := s.callerToken(ctx, c)
	if err != nil {
		return nil, err
	}
	kind := subjectClient
	if t.User != "" {
		kind = subjectUser
	}
	return &TokenInfo{
		Active:      true,
		Issuer:      s.cfg.Issuer,
		ClientID:    string(t.Client),
		Subject:     t.Subject,
		UserID:      string(t.User),
		SubjectType: kind,
		Scope:       strings.Join(t.Scopes, " "),
		Audience:    t.Audience,
		Expires:     oauth.NumericDateOf(t.Expires),
		Actor:       actorClaim(t.Actor),
	}, nil
}
