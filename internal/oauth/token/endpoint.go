package token

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// Response is the response of the token endpoint (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3).
type Response struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	Scope        string `json:"scope"`
	IssuedType   string `json:"issued_token_type,omitempty"` // RFC 8693 §2.2.1
}

// Token serves the token endpoint (RFC 6749 §3.2).
func (s *Server) Token(ctx context.Context, c *oauth.Call) (*Response, error) {
	cl, err := s.Authenticate(ctx, c)
	if err != nil {
		return nil, err
	}
	if c.Admit != nil {
		if err := c.Admit(cl); err != nil {
			return nil, err
		}
	}
	grant, err := s.grantType(cl, c.Get("grant_type"))
	if err != nil {
		return nil, err
	}
	proof, err := s.readProof(cl, c)
	if err != nil {
		return nil, err
	}
	resp, err := s.redeem(ctx, grant, &Request{Call: c, Client: cl, Proof: proof})
	if m, ok := grant.(ErrorMapper); ok && err != nil {
		err = m.MapError(err)
	}
	return resp, err
}

// redeem redeems the grant of a request and issues the tokens. The DPoP proof is consumed in
// between: after everything that may be wrong with the request has been checked, so that only
// requests that get tokens make an entry.
func (s *Server) redeem(ctx context.Context, grant GrantType, r *Request) (*Response, error) {
	redemption, err := grant.Redeem(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := s.consumeProof(ctx, r.Proof, r.Now); err != nil {
		return nil, err
	}
	return s.issue(ctx, r, redemption)
}
