package token

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// idToken is the payload of an ID token (OpenID Connect Core §2), with the claims of the scopes.
type idToken struct {
	Issuer   string            `json:"iss"`
	Subject  string            `json:"sub"`
	Audience oauth.Audience    `json:"aud"`
	Expires  oauth.NumericDate `json:"exp"`
	IssuedAt oauth.NumericDate `json:"iat"`
	AuthTime oauth.NumericDate `json:"auth_time,omitempty"`
	Nonce    string            `json:"nonce,omitempty"`
	ACR      string            `json:"acr,omitempty"`
	AMR      []string          `json:"amr,omitempty"`
	Party    string            `json:"azp,omitempty"`
	Session  string            `json:"sid,omitempty"`
	AtHash   string            `json:"at_hash,omitempty"`
	Actor    *actor            `json:"act,omitempty"`
	profile
}

// writeIDToken writes an ID token about the sign-in of a grant (OpenID Connect Core §3.1.3.3,
// §12.2).
func (s *Server) writeIDToken(
	ctx context.Context, r *Request, a *Access, nonce, access string,
) (string, error) {
	alg := s.access.algorithm(r.Client)
	payload, err := s.idTokenClaims(r, a, nonce, jose.AccessHash(alg, access))
	if err != nil {
		return "", err
	}
	return s.ring.Sign(ctx, alg, oauth.TypeIDToken, payload, r.Now)
}

// idTokenClaims returns the payload of an ID token.
func (s *Server) idTokenClaims(r *Request, a *Access, nonce, accessHash string) ([]byte, error) {
	ttl := r.Client.IDTokenTTL
	if ttl <= 0 {
		ttl = s.cfg.IDTokenTTL
	}
	expires, g := r.Now.Add(ttl), a.Grant
	if g.Impersonated() {
		expires = earlier(expires, g.AbsoluteEnd.Truncate(time.Second))
	}
	requested := oauth.ParseClaims(g.Claims).Allowed(r.Client).IDToken
	return json.Marshal(idToken{
		Issuer:   s.cfg.Issuer,
		Subject:  string(a.User.ID),
		Audience: oauth.Audience{string(r.Client.ID)},
		IssuedAt: oauth.NumericDateOf(r.Now),
		Expires:  oauth.NumericDateOf(expires),
		AuthTime: oauth.NumericDateOf(g.AuthTime),
		Nonce:    nonce,
		ACR:      g.ACR,
		AMR:      g.AMR,
		Session:  string(g.Session),
		AtHash:   accessHash,
		Actor:    actorClaim(g.Impersonator.ID),
		profile:  profileOf(a.User, idTokenScopes(r.Client, a.Scopes), requested),
	})
}

// idTokenScopes returns the scopes whose claims a client's ID tokens carry. Without the profile
// claims, which the userinfo endpoint returns (OpenID Connect Core §5.4), roles and groups stay.
func idTokenScopes(cl *client.Client, scopes []string) []string {
	if cl.ProfileInIDToken() {
		return scopes
	}
	var left []string
	for _, sc := range scopes {
		if sc == oauth.ScopeRoles || sc == oauth.ScopeGroups {
			left = append(left, sc)
		}
	}
	return left
}
