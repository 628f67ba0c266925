package token

import (
	"context"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// passwordGrant is the resource owner password grant (RFC 6749 §4.3). RFC 9700 §2.4 forbids it,
// so it works only for clients that the operator has named.
type passwordGrant struct {
	clients   []client.ID
	passwords PasswordChecker
	grants    GrantStore
	scopes    oauth.ScopePolicy
	issuer    string
}

func (passwordGrant) Describe() client.GrantType {
	return client.GrantType{
		Name:    client.GrantTypePassword,
		Short:   "password",
		Summary: "The client asks for the person's password. For old clients only; off by default.",
	}
}

func (g passwordGrant) Redeem(ctx context.Context, r *Request) (Redemption, error) {
	if !slices.Contains(g.clients, r.Client.ID) {
		return nil, oauth.UnauthorizedClient(
			"The password grant is not switched on for this client.")
	}
	if r.Get("username") == "" || r.Get("password") == "" {
		return nil, oauth.InvalidRequest("username and password are required.")
	}
	scopes, err := g.scopes.ForUser(r.Client, r.Get("scope"))
	if err != nil {
		return nil, err
	}
	resources, err := oauth.RequestedResources(g.issuer, r.Client, r.Form)
	if err != nil {
		return nil, err
	}
	u, err := g.passwords.ResourceOwner(ctx, r.Call, r.Get("username"), r.Get("password"))
	if fault.Is(err, fault.Denied) || fault.Is(err, fault.Invalid) {
		return nil, oauth.InvalidGrant("%s", oauth.Printable(fault.Text(err)))
	}
	if err != nil {
		return nil, err
	}
	audience := resources
	if len(audience) == 0 {
		audience = []string{g.issuer}
	}
	return &NewGrant{
		Access: Access{
			Grant: g.grant(r, u, scopes, resources), User: u, Scopes: scopes, Audience: audience,
		},
		Consumes:  proved{g.grants, identity.AccountState{PasswordChangedAt: u.PasswordChangedAt}},
		Refreshes: r.Client.CanRefresh(),
	}, nil
}

// proved is a password as a credential: it stands for a grant only while the account is in the
// state that the password was compared with. People with a second factor cannot use this grant, so
// the state has no factors.
type proved struct {
	grants GrantStore
	state  identity.AccountState
}

func (p proved) Redeem(ctx context.Context, g *oauth.Grant, ev audit.Event) error {
	return p.grants.PutProvedGrant(ctx, g, p.state, ev)
}

// grant returns the approval that a correct password stands for.
func (passwordGrant) grant(
	r *Request, u *identity.User, scopes, resources []string,
) *oauth.Grant {
	return &oauth.Grant{
		ID:         oauth.GrantID(secret.NewID(r.Now)),
		Client:     r.Client.ID,
		User:       u.ID,
		Kind:       client.GrantTypePassword,
		Scopes:     scopes,
		Resources:  resources,
		AuthTime:   r.Now,
		AMR:        []string{"pwd"},
		ACR:        identity.ACR1,
		IP:         r.IP,
		Agent:      r.Agent,
		CreatedAt:  r.Now,
		LastUsedAt: r.Now,
	}
}
