package oauth

import (
	"context"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Revoke answers the revocation endpoint (RFC 7009 §2). An unknown token is no error (§2.2). A refresh token takes its whole grant with it.
func (s *Server) Revoke(ctx context.Context, c *Call) error {
	cl, err := s.Authenticate(ctx, c)
	if err != nil {
		return err
	}
	token := c.Get("token")
	if token == "" {
		return invalidRequest("token is missing.")
	}
	ev := s.event(c, audit.TokenRevoked, cl)
	ev.Actor = string(cl.ID)
	if strings.HasPrefix(token, secret.PrefixRefreshToken) {
		return s.revokeRefresh(ctx, cl, c, token, ev)
	}
	if cl.ServerSideRefresh {
		return s.revokeKept(ctx, cl, c, token, ev)
	}
	t, err := s.Access(ctx, token, c.Now)
	if fault.Is(err, fault.Denied) {
		return nil
	}
	if err != nil {
		return err
	}
	if t.Client != cl.ID {
		return unauthorizedClient("The token was given to another client.")
	}
	ev.User, ev.Grant, ev.Detail = string(t.User), string(t.Grant), map[string]string{"jti": t.ID}
	return s.store.Revoke(ctx, Revocation{Kind: RevokeToken, ID: t.ID, NotBefore: c.Now, Until: t.Expires}, ev)
}

func (s *Server) revokeRefresh(ctx context.Context, cl *client.Client, c *Call, token string, ev audit.Event) error {
	id, _, ok := s.openRefresh(token)
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
		return unauthorizedClient("The token was given to another client.")
	}
	ev.Type, ev.User, ev.Grant = audit.GrantRevoked, string(g.User), string(g.ID)
	return s.store.EndGrant(ctx, id, c.Now, ev)
}
