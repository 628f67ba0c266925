// Package token serves the endpoints that programs call: token (RFC 6749 §3.2), device
// authorization (RFC 8628), introspection (RFC 7662), revocation (RFC 7009), the feed of
// revocations, userinfo and discovery. Each of them authenticates a client, or reads or writes a
// token, and so they share this package; the endpoints of a browser are in package oauth, which
// this one builds on.
//
// The way of a request to the token endpoint:
//
//	Authenticate ► pick the grant ► read the proof of possession ► Redeem ► issue
//
// Two tables say what is served: grant types, and client authentication methods. To add one is
// to write its file and to name it in its table: discovery, the validation of clients, the
// command line and the documentation derive from the tables.
package token

import (
	"context"
	"sync/atomic"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// PasswordChecker checks a resource owner's password for the password grant (RFC 6749 §4.3).
type PasswordChecker interface {
	ResourceOwner(
		ctx context.Context, c *oauth.Call, username, password string,
	) (*identity.User, error)
}

// Parts are what a Server is made of.
type Parts struct {
	Store     Store
	Ring      *jose.Ring
	Keys      *secret.Keys
	Fetch     oauth.KeyFetcher
	Passwords PasswordChecker // nil when the password grant is off
	Replays   Replays         // of proofs at resources; nil: a memory of this process

	Grants      []GrantType  // grant types beside the built-in ones
	ClientAuths []ClientAuth // client authentication methods beside the built-in ones
}

// Server serves the endpoints. It is safe for concurrent use; two Servers share nothing.
type Server struct {
	cfg          oauth.Config
	store        Store
	clients      oauth.Clients
	scopes       oauth.ScopePolicy
	ring         *jose.Ring
	keys         *secret.Keys
	fetch        oauth.KeyFetcher
	passwords    PasswordChecker
	secrets      secretChecker
	nonces       nonces
	tests        oauth.SignInTests
	replays      Replays
	access       *accessTokens
	refresh      *refreshTokens
	issued       *issuanceCounter
	failures     *audit.FailureCounter
	discovery    atomic.Pointer[discoveryDoc]
	grants       []GrantType
	grantsByName map[string]GrantType
	methods      []ClientAuth
}

// New returns a Server.
func New(cfg oauth.Config, p Parts) *Server {
	if p.Replays == nil {
		p.Replays = NewReplays()
	}
	s := &Server{
		cfg:     cfg,
		store:   p.Store,
		clients: oauth.Clients{Store: p.Store},
		scopes: oauth.ScopePolicy{
			Defaults: cfg.DefaultScopes, Defined: p.Store.Scopes, Roles: p.Store.RoleDefinitions,
		},
		ring:      p.Ring,
		keys:      p.Keys,
		fetch:     p.Fetch,
		passwords: p.Passwords,
		secrets:   secretChecker{p.Keys},
		nonces:    nonces{key: p.Keys.Derive("dpop-nonce"), required: cfg.DPoPNonce},
		replays:   p.Replays,
		tests:     oauth.NewSignInTests(cfg.Issuer, p.Keys),
		refresh:   newRefreshTokens(cfg, p.Store, p.Keys),
		issued:    newIssuanceCounter(),
		failures:  audit.NewFailureCounter(),
	}
	s.access = &accessTokens{
		store:    p.Store,
		ring:     p.Ring,
		keys:     p.Keys,
		issuer:   cfg.Issuer,
		format:   cfg.TokenFormat,
		alg:      cfg.Alg,
		verified: newTokenCache(),
	}
	s.methods = append(builtinClientAuths(s), p.ClientAuths...)
	s.grants = append(builtinGrants(s), p.Grants...)
	s.grantsByName = make(map[string]GrantType, len(s.grants))
	for _, g := range s.grants {
		s.grantsByName[g.Describe().Name] = g
	}
	return s
}

// Issuer returns the server's issuer identifier.
func (s *Server) Issuer() string { return s.cfg.Issuer }

// TokenEndpoint returns the canonical address of the token endpoint.
func (s *Server) TokenEndpoint() string { return s.cfg.Issuer + "/oauth/token" }

// LookupClient returns the client with an id: see oauth.Clients.
func (s *Server) LookupClient(ctx context.Context, id client.ID) (*client.Client, error) {
	return s.clients.Lookup(ctx, id)
}

// ClientCached reports whether memory holds a client with that id: see oauth.Clients.
func (s *Server) ClientCached(ctx context.Context, id client.ID) bool {
	return s.clients.Cached(ctx, id)
}
