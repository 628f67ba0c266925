package token

import (
	"context"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Introspection is the response of the introspection endpoint (RFC 7662 §2.2). For a token that
// is not active it is `{"active": false}`, without a reason.
type Introspection struct {
	Active    bool              `json:"active"`
	Scope     string            `json:"scope,omitempty"`
	ClientID  string            `json:"client_id,omitempty"`
	Username  string            `json:"username,omitempty"`
	TokenType string            `json:"token_type,omitempty"`
	Expires   oauth.NumericDate `json:"exp,omitempty"`
	IssuedAt  oauth.NumericDate `json:"iat,omitempty"`
	Subject   string            `json:"sub,omitempty"`
	Audience  oauth.Audience    `json:"aud,omitempty"`
	Issuer    string            `json:"iss,omitempty"`
	ID        string            `json:"jti,omitempty"`
	Grant     string            `json:"gid,omitempty"`
	Session   string            `json:"sid,omitempty"`
	AuthTime  oauth.NumericDate `json:"auth_time,omitempty"`
	ACR       string            `json:"acr,omitempty"`
	AMR       []string          `json:"amr,omitempty"`
	Roles     []string          `json:"roles,omitempty"`

	Confirm *confirmation `json:"cnf,omitempty"` // RFC 9449 §6.2, RFC 8705 §3.2
	Actor   *actor        `json:"act,omitempty"` // RFC 8693 §4.1
}

// Introspect serves the introspection endpoint, for clients that authenticate themselves
// (RFC 7662 §2.1). A token that the client may not see is not active for it (§4).
func (s *Server) Introspect(ctx context.Context, c *oauth.Call) (*Introspection, error) {
	cl, err := s.Authenticate(ctx, c)
	if err != nil {
		return nil, err
	}
	if cl.Public {
		return nil, oauth.InvalidClient("Basic",
			"A public client may not introspect tokens: it cannot authenticate itself.")
	}
	token := c.Get("token")
	if token == "" {
		return nil, oauth.InvalidRequest("token is missing.")
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
	if !oauth.CanSee(s.cfg.Issuer, cl, t.Client, t.Audience) {
		return &Introspection{}, nil
	}
	out := s.introspectAccess(t)
	if t.User != "" {
		username, active, err := s.username(ctx, t.User, c.Now)
		if err != nil {
			return nil, err
		}
		if !active {
			return &Introspection{}, nil
		}
		out.Username = username
	}
	return out, nil
}

// introspectAccess returns what an active access token says.
func (s *Server) introspectAccess(t *oauth.AccessToken) *Introspection {
	return &Introspection{
		Active:    true,
		Scope:     strings.Join(t.Scopes, " "),
		ClientID:  string(t.Client),
		TokenType: tokenType(t.Bound),
		Expires:   oauth.NumericDateOf(t.Expires),
		IssuedAt:  oauth.NumericDateOf(t.IssuedAt),
		Subject:   t.Subject,
		Audience:  t.Audience,
		Issuer:    s.cfg.Issuer,
		ID:        t.ID,
		Grant:     string(t.Grant),
		Session:   string(t.Session),
		AuthTime:  oauth.NumericDateOf(t.AuthTime),
		ACR:       t.ACR,
		AMR:       t.AMR,
		Roles:     t.Roles,
		Confirm:   confirmationOf(t.Bound),
		Actor:     actorClaim(t.Actor),
	}
}

// username returns the preferred_username of a token's user, and false if the account has been
// deleted or disabled. While storage is unavailable it returns "" and true: the token is known
// to be active, and the username is optional.
func (s *Server) username(
	ctx context.Context, id identity.UserID, now time.Time,
) (name string, active bool, err error) {
	u, err := s.store.CachedUser(ctx, id, now)
	switch {
	case fault.Is(err, fault.NotFound) || (err == nil && u.Blocked()):
		return "", false, nil
	case fault.Is(err, fault.Unavailable):
		return "", true, nil
	case err != nil:
		return "", false, err
	}
	return u.PreferredUsername(), true, nil
}

// introspectRefresh describes a refresh token to the client that it belongs to. To every other
// client it is not active.
func (s *Server) introspectRefresh(
	ctx context.Context, cl *client.Client, c *oauth.Call, token string,
) (*Introspection, error) {
	id, _, ok := s.refresh.open(token)
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
	current := secret.Equal(string(g.RefreshHash), string(s.keys.Hash(token)))
	if g.Client != cl.ID || !g.ExpiresAt.After(c.Now) || !current {
		return &Introspection{}, nil
	}
	return &Introspection{
		Active:    true,
		Scope:     strings.Join(g.Scopes, " "),
		ClientID:  string(g.Client),
		TokenType: "refresh_token",
		Expires:   oauth.NumericDateOf(g.ExpiresAt),
		IssuedAt:  oauth.NumericDateOf(g.CreatedAt),
		Subject:   string(g.User),
		Issuer:    s.cfg.Issuer,
		Grant:     string(g.ID),
		Actor:     actorClaim(g.Impersonator.ID),
	}, nil
}
