package token

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// GrantType serves one grant_type.
type GrantType interface {
	// Describe returns the names of the grant type and says which clients may have it.
	Describe() client.GrantType

	// Redeem checks the grant of a request and returns what it entitles the client to. It issues
	// nothing. A single-use credential is consumed if Redeem fails for a reason that lies in the
	// request; otherwise it is consumed together with the storing of the new grant.
	Redeem(ctx context.Context, r *Request) (Redemption, error)
}

// ErrorMapper is implemented by a grant type whose errors have other codes than RFC 6749 gives
// them.
type ErrorMapper interface {
	// MapError returns the error to respond with.
	MapError(err error) error
}

// Request is one request to the token endpoint, by a client that has been authenticated.
type Request struct {
	*oauth.Call
	Client *client.Client
	Proof  Proof // the key or certificate that the request proves to hold
}

// builtinGrants returns the table of grant types. Discovery, the validation of clients, the
// command line and the documentation derive from it.
func builtinGrants(s *Server) []GrantType {
	all := []GrantType{
		codeGrant{
			codes: s.store, grants: s.store, users: s.store, keys: s.keys, issuer: s.cfg.Issuer,
		},
		refreshGrant{
			grants: s.store, refresh: s.refresh, scopes: s.scopes, issuer: s.cfg.Issuer,
		},
		clientGrant{scopes: s.scopes, issuer: s.cfg.Issuer},
		deviceGrant{devices: s.store, users: s.store, keys: s.keys, issuer: s.cfg.Issuer},
		exchangeGrant{
			grants:      s.store,
			revocations: s.store,
			tokens:      s.access,
			refresh:     s.refresh,
			scopes:      s.scopes,
			issuer:      s.cfg.Issuer,
		},
	}
	if s.cfg.PasswordGrant {
		all = append(all, passwordGrant{
			clients:   s.cfg.PasswordClients,
			passwords: s.passwords,
			grants:    s.store,
			scopes:    s.scopes,
			issuer:    s.cfg.Issuer,
		})
	}
	return all
}

// GrantTypes describes all grant types that this program knows, whether or not an operator has
// switched them on.
func GrantTypes() []client.GrantType {
	s := &Server{cfg: oauth.Config{PasswordGrant: true}}
	s.grants = builtinGrants(s)
	return s.GrantTypes()
}

// GrantTypes describes the grant types that this server serves.
func (s *Server) GrantTypes() []client.GrantType {
	out := make([]client.GrantType, len(s.grants))
	for i, g := range s.grants {
		out[i] = g.Describe()
	}
	return out
}

// grantType returns the grant type with a name, if the client may use it.
func (s *Server) grantType(cl *client.Client, name string) (GrantType, error) {
	if name == "" {
		return nil, oauth.InvalidRequest("grant_type is missing.")
	}
	g, ok := s.grantsByName[name]
	if !ok {
		return nil, oauth.NewError("unsupported_grant_type", 400,
			"This server does not serve that grant_type.")
	}
	if !cl.CanUseGrant(name) {
		return nil, oauth.UnauthorizedClient(
			"The client may not use this grant type. Its operator can allow it.")
	}
	return g, nil
}

// userReader reads users.
type userReader interface {
	// User returns a user, or NotFound.
	User(ctx context.Context, id identity.UserID) (*identity.User, error)
}

// activeUser returns the user of a grant. It rejects one who has been deleted or disabled.
func activeUser(
	ctx context.Context, users userReader, id identity.UserID,
) (*identity.User, error) {
	u, err := users.User(ctx, id)
	if fault.Is(err, fault.NotFound) {
		u, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	return u, checkUser(u)
}

// checkUser rejects the grant of a user who has been deleted, which is nil, or disabled.
func checkUser(u *identity.User) error {
	switch {
	case u == nil:
		return oauth.InvalidGrant("The user has been deleted.")
	case u.Blocked():
		return oauth.InvalidGrant("The user's account is disabled.")
	}
	return nil
}
