package token

import (
	"context"
	"errors"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// codeGrant is the authorization code grant (RFC 6749 §4.1.3).
type codeGrant struct {
	codes  CodeStore
	grants GrantStore
	users  userReader
	keys   *secret.Keys
	issuer string
}

func (codeGrant) Describe() client.GrantType {
	return client.GrantType{
		Name:      client.GrantTypeCode,
		Short:     "authorization_code",
		Aliases:   []string{"code"},
		Summary:   "A person signs in with a browser and is sent back to the client.",
		Redirects: true,
		Approval:  true,
	}
}

func (g codeGrant) Redeem(ctx context.Context, r *Request) (Redemption, error) {
	raw := r.Get("code")
	if raw == "" {
		return nil, oauth.InvalidRequest("code is missing.")
	}
	if !secret.WellFormed(secret.PrefixCode, raw) {
		return nil, oauth.InvalidGrant("The code was not issued by this server.")
	}
	code, err := g.codes.Code(ctx, g.keys.Hash(raw), r.Now)
	switch {
	case (err == nil || fault.Is(err, fault.Consumed)) && code.Grant.Client != r.Client.ID:
		// Codes end up in histories and logs: whoever finds one must not be able to invalidate it
		// or to end its grant (RFC 6749 §10.5 speaks of the client's own second use).
		return nil, oauth.InvalidGrant("The code was issued to another client.")
	case fault.Is(err, fault.Consumed):
		return nil, g.endReplayed(ctx, r, code)
	case fault.Is(err, fault.NotFound):
		return nil, oauth.InvalidGrant("The code is unknown or has expired.")
	case err != nil:
		return nil, err
	}
	redemption, err := g.check(ctx, r, code)
	if err != nil {
		return nil, g.consumeRejected(ctx, r, code, err)
	}
	return redemption, nil
}

// check compares the request with the authorization request that the code was issued for
// (RFC 6749 §4.1.3), and returns the grant that the code stands for.
func (g codeGrant) check(ctx context.Context, r *Request, code *oauth.Code) (*NewGrant, error) {
	if code.RedirectURI != r.Get("redirect_uri") {
		return nil, oauth.InvalidGrant(
			"redirect_uri is not the one of the authorization request.")
	}
	if err := r.Proof.Matches(code.Grant.Bound); err != nil { // dpop_jkt (RFC 9449 §10)
		return nil, err
	}
	err := oauth.CheckVerifier(code.Challenge, code.ChallengeMethod, r.Get("code_verifier"))
	if err != nil {
		return nil, err
	}
	grant := code.Grant
	audience, err := oauth.NarrowResources(g.issuer, grant.Resources, r.Form)
	if err != nil {
		return nil, err
	}
	refreshes := r.Client.CanRefresh()
	if refreshes && slices.Contains(grant.Scopes, oauth.ScopeOffline) {
		grant.Session = "" // it outlives the browser session (OpenID Connect Core §11)
	}
	user, err := activeUser(ctx, g.users, grant.User)
	if err != nil {
		return nil, err
	}
	return &NewGrant{
		Access: Access{
			Grant: &grant, User: user, Scopes: grant.Scopes, Audience: audience,
		},
		Consumes:  &codeCredential{codeGrant: g, request: r, code: code},
		Refreshes: refreshes,
		Nonce:     code.Nonce,
	}, nil
}

// consumeRejected invalidates a code after a request with wrong parameters, since either the
// code has leaked or its client is broken. It returns the original error. If storage fails, the
// request fails, and the code stays valid.
func (g codeGrant) consumeRejected(
	ctx context.Context, r *Request, code *oauth.Code, original error,
) error {
	var rejected *oauth.Error
	if !errors.As(original, &rejected) {
		return original
	}
	switch err := g.codes.ConsumeCode(ctx, code.Hash, r.Now); {
	case fault.Is(err, fault.Consumed):
		return g.endReplayed(ctx, r, code)
	case err != nil && !fault.Is(err, fault.NotFound):
		return err
	}
	return original
}

// endReplayed ends everything that a code gave when it is presented a second time (RFC 6749
// §4.1.2, RFC 9700 §4.2.4). It returns the error to respond with.
func (g codeGrant) endReplayed(ctx context.Context, r *Request, code *oauth.Code) error {
	ev := r.Event(audit.AuthorizationCodeReplayed, r.Client)
	ev.Grant, ev.User = string(code.Grant.ID), string(code.Grant.User)
	if err := g.grants.EndGrant(ctx, code.Grant.ID, r.Now, ev); err != nil {
		return err
	}
	return oauth.InvalidGrant(
		"The code has been used before. All tokens that it gave have been revoked.")
}

// codeCredential is a code whose request has passed all checks.
type codeCredential struct {
	codeGrant
	request *Request
	code    *oauth.Code
}

// Redeem consumes the code and stores its grant in one transaction: of any number of requests
// with one code exactly one gets tokens, and every later one finds a grant to end.
func (c *codeCredential) Redeem(ctx context.Context, g *oauth.Grant, ev audit.Event) error {
	err := c.codes.RedeemCode(ctx, c.code.Hash, g, c.request.Now, ev)
	if fault.Is(err, fault.Consumed) {
		return c.endReplayed(ctx, c.request, c.code)
	}
	return err
}
