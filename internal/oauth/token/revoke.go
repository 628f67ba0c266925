package token

import (
	"context"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Revoke serves the revocation endpoint (RFC 7009 §2). It is not an error to revoke an unknown
// token (§2.2). A refresh token ends its whole grant, and so does an access token that can be
// exchanged for others.
func (s *Server) Revoke(ctx context.Context, c *oauth.Call) error {
	cl, err := s.Authenticate(ctx, c)
	if err != nil {
		return err
	}
	token := c.Get("token")
	switch {
	case token == "":
		return oauth.InvalidRequest("token is missing.")
	case strings.HasPrefix(token, secret.PrefixRefreshToken):
		return s.revokeRefresh(ctx, cl, c, token)
	case cl.ServerSideRefresh:
		return s.revokeExchangeable(ctx, cl, c, token)
	}
	t, err := s.Access(ctx, token, c.Now)
	if fault.Is(err, fault.Denied) {
		return nil
	}
	if err != nil {
		return err
	}
	if t.Client != cl.ID {
		return tokenOfOther()
	}
	return s.revokeAccess(ctx, cl, c, t)
}

// revokeAccess revokes one access token.
func (s *Server) revokeAccess(
	ctx context.Context, cl *client.Client, c *oauth.Call, t *oauth.AccessToken,
) error {
	ev := revocation(c, cl, audit.TokenRevoked)
	ev.User, ev.Grant = string(t.User), string(t.Grant)
	ev.Detail = detailOf(t)
	return s.store.Revoke(ctx, oauth.Revocation{
		Kind:      oauth.RevokeToken,
		ID:        t.ID,
		NotBefore: c.Now,
		Until:     t.Expires,
		Client:    t.Client,
		Audience:  t.Audience,
	}, ev)
}

// revokeRefresh ends the grant of a refresh token.
func (s *Server) revokeRefresh(
	ctx context.Context, cl *client.Client, c *oauth.Call, token string,
) error {
	id, _, ok := s.refresh.open(token)
	if !ok {
		return nil
	}
	g, err := s.store.Grant(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if g.Client != cl.ID {
		return tokenOfOther()
	}
	ev := revocation(c, cl, audit.GrantRevoked)
	ev.User, ev.Grant = string(g.User), string(g.ID)
	return s.store.EndGrant(ctx, id, c.Now, ev)
}

// revokeExchangeable ends the grant of an access token that could be exchanged for others
// (RFC 7009 §2.1), even if the token itself has expired.
func (s *Server) revokeExchangeable(
	ctx context.Context, cl *client.Client, c *oauth.Call, token string,
) error {
	t, err := s.access.read(ctx, token, time.Time{})
	if fault.Is(err, fault.Denied) {
		return nil
	}
	if err != nil {
		return err
	}
	if t.Client != cl.ID {
		return tokenOfOther()
	}
	if t.User == "" { // the client's own, which cannot be exchanged
		return s.revokeAccess(ctx, cl, c, t)
	}
	ev := revocation(c, cl, audit.GrantRevoked)
	ev.User, ev.Grant = string(t.User), string(t.Grant)
	ev.Detail = detailOf(t)
	return s.store.EndGrant(ctx, t.Grant, c.Now, ev)
}

// revocation returns an audit event whose actor is the client.
func revocation(c *oauth.Call, cl *client.Client, t audit.Type) audit.Event {
	ev := c.Event(t, cl)
	ev.Actor = string(cl.ID)
	return ev
}

// detailOf returns what events say of an access token.
func detailOf(t *oauth.AccessToken) map[string]string {
	out := map[string]string{"jti": t.ID}
	if t.Actor != "" {
		out["impersonator"] = t.Actor
	}
	return out
}

func tokenOfOther() error {
	return oauth.UnauthorizedClient("The token was issued to another client.")
}
