package oauth

import (
	"context"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// grantPassword is the resource owner password grant (RFC 6749 §4.3). RFC 9700 §2.4 forbids it, so it works only
// where the operator has switched it on for a named client.
type grantPassword struct{}

func (grantPassword) Type() string { return client.GrantTypePassword }

func (grantPassword) Redeem(ctx context.Context, s *Server, cl *client.Client, c *Call) (*Entitlement, error) {
	if !slices.Contains(s.cfg.PasswordClients, cl.ID) {
		return nil, unauthorizedClient("The password grant is not switched on for this client.")
	}
	if c.Get("username") == "" || c.Get("password") == "" {
		return nil, invalidRequest("username and password are needed.")
	}
	scopes, err := s.userScope(cl, c.Get("scope"))
	if err != nil {
		return nil, err
	}
	resources, err := s.resources(cl, c.Form)
	if err != nil {
		return nil, err
	}
	u, err := s.owner.ResourceOwner(ctx, c, c.Get("username"), c.Get("password"))
	if fault.Is(err, fault.Denied) || fault.Is(err, fault.Invalid) {
		return nil, invalidGrant("%s", printable(fault.Text(err)))
	}
	if err != nil {
		return nil, err
	}
	amr := []string{"pwd"}
	g := &Grant{
		ID: GrantID(secret.NewID(c.Now)), Client: cl.ID, User: u.ID, Kind: client.GrantTypePassword, Scopes: scopes, Resources: resources,
		AuthTime: c.Now, AMR: amr, ACR: "aal1", IP: c.IP, Agent: c.Agent, CreatedAt: c.Now, LastUsedAt: c.Now,
	}
	e := &Entitlement{Grant: g, New: true, User: u, Scopes: scopes, IssueRefresh: cl.CanRefresh(), Audience: resources}
	if len(resources) == 0 {
		e.Audience = []string{s.cfg.Issuer}
	}
	return e, nil
}
