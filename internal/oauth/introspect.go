package oauth

import (
	"context"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Introspection is the answer of the introspection endpoint (RFC 7662 §2.2). A token that is not in force gets
// `{"active": false}` and no reason.
type Introspection struct {
	Active    bool     `json:"active"`
	Scope     string   `json:"scope,omitempty"`
	ClientID  string   `json:"client_id,omitempty"`
	Username  string   `json:"username,omitempty"`
	TokenType string   `json:"token_type,omitempty"`
	Expires   seconds  `json:"exp,omitempty"`
	IssuedAt  seconds  `json:"iat,omitempty"`
	Subject   string   `json:"sub,omitempty"`
	Audience  audience `json:"aud,omitempty"`
	Issuer    string   `json:"iss,omitempty"`
	ID        string   `json:"jti,omitempty"`
	Grant     string   `json:"gid,omitempty"`
	Session   string   `json:"sid,omitempty"`
	AuthTime  seconds  `json:"auth_time,omitempty"`
	ACR       string   `json:"acr,omitempty"`
	AMR       []string `json:"amr,omitempty"`
	Roles     []string `json:"roles,omitempty"`

	Confirm *confirmation `json:"cnf,omitempty"` // RFC 9449 §6.2, RFC 8705 §3.2
}

// Introspect answers the introspection endpoint. Only clients that prove who they are may ask (RFC 7662 §2.1).
func (s *Server) Introspect(ctx context.Context, c *Call) (*Introspection, error) {
	cl, err := s.Authenticate(ctx, c)
	if err != nil {
		return nil, err
	}
	if cl.Public {
		return nil, invalidClient("Basic", "A public client may not introspect tokens: it cannot prove who it is.")
	}
	token := c.Get("token")
	if token == "" {
		return nil, invalidRequest("token is missing.")
	}
	if strings.HasPrefix(token, secret.PrefixRefreshToken) {
		return s.introspectRefresh(ctx, cl, c, token)
	}
	t, err := s.Access(ctx, token, c.Now)
	if fault.Is(err, fault.Denied) {
		return &Introspection{}, nil
	}
	if err != nil {
		return nil, err
	}
	in := &Introspection{
		Active: true, Scope: joinScopes(t.Scopes), ClientID: string(t.Client), TokenType: tokenType(t.Bound), Expires: at(t.Expires), IssuedAt: at(t.IssuedAt),
		Subject: t.Subject, Audience: t.Audience, Issuer: s.cfg.Issuer, ID: t.ID, Grant: string(t.Grant), Session: string(t.Session),
		AuthTime: at(t.AuthTime), ACR: t.ACR, AMR: t.AMR, Roles: t.Roles, Confirm: confirms(t.Bound),
	}
	if t.User != "" {
		name, live, err := s.loginName(ctx, t.User, c.Now)
		if err != nil {
			return nil, err
		}
		if !live {
			return &Introspection{}, nil
		}
		in.Username = name
	}
	return in, nil
}

// loginName is what a token's user signs in as; false if the account is gone or disabled.
func (s *Server) loginName(ctx context.Context, id identity.UserID, now time.Time) (string, bool, error) {
	u, err := s.store.CachedUser(ctx, id, now)
	switch {
	case fault.Is(err, fault.NotFound) || (err == nil && u.Disabled):
		return "", false, nil
	case fault.Is(err, fault.Unavailable):
		return "", true, nil // the token is known to be good; its user's name is an extra
	case err != nil:
		return "", false, err
	}
	return u.LoginName(), true, nil
}

// introspectRefresh tells a client about its own refresh token only.
func (s *Server) introspectRefresh(ctx context.Context, cl *client.Client, c *Call, token string) (*Introspection, error) {
	id, _, ok := s.openRefresh(token)
	if !ok {
		return &Introspection{}, nil
	}
	g, err := s.store.Grant(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return &Introspection{}, nil
	}
	if err != nil {
		return nil, err
	}
	if g.Client != cl.ID || !g.ExpiresAt.After(c.Now) || !secret.Equal(string(g.RefreshHash), string(s.keys.Hash(token))) {
		return &Introspection{}, nil
	}
	return &Introspection{
		Active: true, Scope: joinScopes(g.Scopes), ClientID: string(g.Client), TokenType: "refresh_token", Expires: at(g.ExpiresAt),
		IssuedAt: at(g.CreatedAt), Subject: string(g.User), Issuer: s.cfg.Issuer, Grant: string(g.ID),
	}, nil
}

func joinScopes(s []string) string { return strings.Join(s, " ") }
