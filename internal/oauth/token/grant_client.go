package token

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// clientGrant is the client credentials grant (RFC 6749 §4.4). It stores nothing and issues no
// refresh token (§4.4.3).
type clientGrant struct {
	scopes oauth.ScopePolicy
	issuer string
}

func (clientGrant) Describe() client.GrantType {
	return client.GrantType{
		Name:         client.GrantTypeClient,
		Short:        "client_credentials",
		Summary:      "The client acts for itself.",
		Confidential: true,
	}
}

func (g clientGrant) Redeem(_ context.Context, r *Request) (Redemption, error) {
	if r.Client.Public {
		return nil, oauth.UnauthorizedClient(
			"A public client cannot act for itself: it cannot authenticate itself.")
	}
	scopes, err := g.scopes.ForClient(r.Client, r.Get("scope"))
	if err != nil {
		return nil, err
	}
	resources, err := oauth.RequestedResources(g.issuer, r.Client, r.Form)
	if err != nil {
		return nil, err
	}
	if len(resources) == 0 {
		resources = []string{g.issuer}
	}
	// A client that acts for itself has one approval, its operator's: the grant has the client's
	// id.
	grant := &oauth.Grant{
		ID:     oauth.GrantID(r.Client.ID),
		Client: r.Client.ID,
		Kind:   client.GrantTypeClient,
	}
	return &Stateless{
		Access: Access{Grant: grant, Scopes: scopes, Audience: resources},
		Event:  audit.ClientCredentialsIssued,
	}, nil
}
