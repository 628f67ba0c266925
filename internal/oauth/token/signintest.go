package token

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// TestedSignIn is what a client would get after a sign-in. There are claims, and no token.
type TestedSignIn struct {
	Client  *client.Client
	User    *identity.User
	Scopes  []string        // granted
	ID      json.RawMessage // the claims of the ID token, or nil where there would be none
	Access  json.RawMessage // the claims of the access token, as a JWT has them
	Opaque  bool            // the access token would be opaque; introspection tells its claims
	Refresh bool            // there would be a refresh token
}

// Tests returns what begins tests of sign-ins.
func (s *Server) Tests() oauth.SignInTests { return s.tests }

// RedeemTest uses the code of a test up, and returns what the client would get for it. Nothing is
// stored, and no token is issued. Denied: the code is not that of the test, or was used.
func (s *Server) RedeemTest(ctx context.Context, state, code string, now time.Time) (*TestedSignIn, error) {
	test, err := s.tests.Open(state, now)
	if err != nil {
		return nil, err
	}
	cl, err := s.clients.Lookup(ctx, test.Client)
	if err != nil {
		return nil, err
	}
	r := &Request{Client: cl, Call: &oauth.Call{Now: now, Form: url.Values{
		"redirect_uri": {s.tests.RedirectURI()}, "code_verifier": {s.tests.Verifier(state)},
	}}}
	unknown := fault.New(fault.Denied, "the code of this test sign-in was used or has expired; start the test again")
	if !secret.WellFormed(secret.PrefixCode, code) {
		return nil, unknown
	}
	stored, err := s.store.Code(ctx, s.keys.Hash(code), now)
	switch {
	case fault.Is(err, fault.Consumed) || fault.Is(err, fault.NotFound):
		return nil, unknown
	case err != nil:
		return nil, err
	case stored.Grant.Client != cl.ID || stored.Grant.User != test.User || stored.Grant.Impersonated():
		return nil, fault.New(fault.Denied, "somebody else signed in for this test; start it again")
	}
	g := codeGrant{codes: s.store, grants: s.store, users: s.store, keys: s.keys, issuer: s.cfg.Issuer}
	grant, err := g.check(ctx, r, stored)
	if err != nil {
		return nil, err
	}
	if err := s.store.ConsumeCode(ctx, stored.Hash, now); err != nil {
		if fault.Is(err, fault.Consumed) || fault.Is(err, fault.NotFound) {
			err = unknown
		}
		return nil, err
	}
	return s.tested(r, grant)
}

// tested returns what a client would get for a grant.
func (s *Server) tested(r *Request, red *NewGrant) (out *TestedSignIn, err error) {
	a := &red.Access
	a.Scopes = s.scopes.Definitions().ForPerson(a.User.Roles, a.Scopes)
	out = &TestedSignIn{
		Client:  r.Client,
		User:    a.User,
		Scopes:  a.Scopes,
		Refresh: red.Refreshes && s.refresh.ttl(r.Client) > 0,
		Opaque:  s.access.formatOf(r.Client) == oauth.FormatOpaque,
	}
	if out.Access, err = s.access.claims(s.newAccessToken(r, a)); err != nil {
		return nil, err
	}
	if slices.Contains(a.Scopes, oauth.ScopeOpenID) {
		out.ID, err = s.idTokenClaims(r, a, red.Nonce, "")
	}
	return out, err
}
