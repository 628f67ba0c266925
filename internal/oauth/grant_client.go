package oauth

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/client"
)

// grantClient is the client credentials grant (RFC 6749 §4.4). It stores nothing, and gives no refresh token (§4.4.3).
type grantClient struct{}

func (grantClient) Type() string { return client.GrantTypeClient }

func (grantClient) Redeem(_ context.Context, s *Server, cl *client.Client, c *Call) (*Entitlement, error) {
	if cl.Public {
		return nil, unauthorizedClient("A public client cannot act for itself: it cannot prove who it is.")
	}
	scopes, err := s.ownScope(cl, c.Get("scope"))
	if err != nil {
		return nil, err
	}
	resources, err := s.resources(cl, c.Form)
	if err != nil {
		return nil, err
	}
	// A client acting for itself is one approval, that of its operator: the grant has the client's id.
	e := &Entitlement{Grant: &Grant{ID: GrantID(cl.ID), Client: cl.ID, Kind: client.GrantTypeClient}, Scopes: scopes, Audience: resources}
	if len(resources) == 0 {
		e.Audience = []string{s.cfg.Issuer}
	}
	return e, nil
}
