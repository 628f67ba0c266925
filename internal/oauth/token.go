package oauth

import (
	"context"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// GrantTypeNames lists the grant types that a client may be given.
func GrantTypeNames() []string {
	return []string{client.GrantTypeCode, client.GrantTypeRefresh, client.GrantTypeClient, client.GrantTypeDevice, client.GrantTypePassword}
}

// A GrantType serves one grant_type. Redeem proves the grant and says what it entitles the client to; it never
// mints. What is single-use is used up when Redeem fails; when it succeeds, it is used up together with the storing of what it gives.
type GrantType interface {
	Type() string
	Redeem(ctx context.Context, s *Server, cl *client.Client, c *Call) (*Entitlement, error)
}

// Entitlement is what a redeemed grant is worth.
type Entitlement struct {
	Grant        *Grant
	New          bool           // the grant is to be stored before anything is answered
	User         *identity.User // nil if the client acts for itself
	Scopes       []string       // of this access token: the grant's, or fewer
	Audience     []string
	Nonce        string           // for the ID token
	Refresh      string           // the refresh token to answer with, or ""
	IssueRefresh bool             // answer with a new refresh token for a new grant
	Code         *Code            // to be used up in the same moment as the new grant is stored
	Device       secret.Hash      // likewise: the device code
	Rotation     *RefreshRotation // the refresh token to turn; nil when an answer that was lost is repeated
	TokenID      string           // of the access token, where it follows from the one before; "" is any
	Issued       string           // issued_token_type (RFC 8693 §2.2.1), or ""
}

// TokenResponse is the answer of the token endpoint (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3).
type TokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	Scope        string `json:"scope"`
	IssuedType   string `json:"issued_token_type,omitempty"` // RFC 8693 §2.2.1
}

// Token answers the token endpoint (RFC 6749 §3.2).
func (s *Server) Token(ctx context.Context, c *Call) (*TokenResponse, error) {
	cl, err := s.Authenticate(ctx, c)
	if err != nil {
		return nil, err
	}
	grant, err := s.grantType(cl, c.Get("grant_type"))
	if err != nil {
		return nil, err
	}
	if c.held, err = s.possession(cl, c); err != nil {
		return nil, err
	}
	e, err := grant.Redeem(ctx, s, cl, c)
	if err != nil {
		return nil, exchangeError(grant, err)
	}
	if e.New {
		e.Grant.Bound = c.held.forGrant(cl)
	}
	if err := s.useProof(ctx, c); err != nil {
		return nil, err
	}
	r, err := s.issue(ctx, cl, c, e)
	return r, exchangeError(grant, err)
}

// grantType picks the grant that a client asks for and may use.
func (s *Server) grantType(cl *client.Client, name string) (GrantType, error) {
	if name == "" {
		return nil, invalidRequest("grant_type is missing.")
	}
	i := slices.IndexFunc(s.grants, func(g GrantType) bool { return g.Type() == name })
	if i < 0 {
		return nil, failure("unsupported_grant_type", 400, "This server does not serve that grant_type.")
	}
	if !cl.CanUseGrant(name) {
		return nil, unauthorizedClient("The client may not use this grant type. Its operator can allow it.")
	}
	return s.grants[i], nil
}
