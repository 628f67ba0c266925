package oauth

import (
	"context"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// grantCode is the authorization code grant (RFC 6749 §4.1.3).
type grantCode struct{}

func (grantCode) Type() string { return client.GrantTypeCode }

func (grantCode) Redeem(ctx context.Context, s *Server, cl *client.Client, c *Call) (*Entitlement, error) {
	raw := c.Get("code")
	if raw == "" {
		return nil, invalidRequest("code is missing.")
	}
	if !secret.WellFormed(secret.PrefixCode, raw) {
		return nil, invalidGrant("The code is not one that this server gave out.")
	}
	code, err := s.store.Code(ctx, s.keys.Hash(raw), c.Now)
	switch {
	case fault.Is(err, fault.Consumed):
		return nil, s.codeReplayed(ctx, cl, c, code)
	case fault.Is(err, fault.NotFound):
		return nil, invalidGrant("The code is unknown or has expired.")
	case err != nil:
		return nil, err
	}
	e, err := code.entitles(ctx, s, cl, c)
	if err != nil {
		return nil, s.burnCode(ctx, cl, c, code, err)
	}
	return e, nil
}

// entitles is what a code is worth to the client that answers for it.
func (code *Code) entitles(ctx context.Context, s *Server, cl *client.Client, c *Call) (*Entitlement, error) {
	if err := code.answers(cl, c); err != nil {
		return nil, err
	}
	g := code.Grant
	e := &Entitlement{Grant: &g, New: true, Scopes: g.Scopes, Nonce: code.Nonce, IssueRefresh: cl.CanRefresh(), Code: code}
	var err error
	if e.Audience, err = s.narrowedResources(g.Resources, c.Form); err != nil {
		return nil, err
	}
	if slices.Contains(g.Scopes, ScopeOffline) && e.IssueRefresh {
		g.Session = "" // it was given to last beyond the browser session (OpenID Connect Core §11)
	}
	e.User, err = s.liveUser(ctx, g.User)
	return e, err
}

// burnCode uses up a code that was presented wrongly: it has leaked, or its client is broken. What is answered
// is why. Where storage fails, so does the request: the code still works.
func (s *Server) burnCode(ctx context.Context, cl *client.Client, c *Call, code *Code, why error) error {
	if _, ok := why.(*Error); !ok {
		return why
	}
	switch err := s.store.ConsumeCode(ctx, code.Hash, c.Now); {
	case fault.Is(err, fault.Consumed):
		return s.codeReplayed(ctx, cl, c, code)
	case err != nil && !fault.Is(err, fault.NotFound):
		return err
	}
	return why
}

// answers compares a redemption with the request that the code answered (RFC 6749 §4.1.3).
func (code *Code) answers(cl *client.Client, c *Call) error {
	if code.Grant.Client != cl.ID {
		return invalidGrant("The code was given to another client.")
	}
	if code.RedirectURI != c.Get("redirect_uri") {
		return invalidGrant("redirect_uri is not the one of the authorization request.")
	}
	if err := c.held.answersFor(code.Grant.Bound); err != nil { // dpop_jkt (RFC 9449 §10)
		return err
	}
	return checkVerifier(code.Challenge, code.ChallengeMethod, c.Get("code_verifier"))
}

// codeReplayed ends everything that a code gave when it comes a second time (RFC 6749 §4.1.2, RFC 9700 §4.2.4).
func (s *Server) codeReplayed(ctx context.Context, cl *client.Client, c *Call, code *Code) error {
	ev := s.event(c, audit.AuthorizationCodeReplayed, cl)
	ev.Grant, ev.User = string(code.Grant.ID), string(code.Grant.User)
	if err := s.store.EndGrant(ctx, code.Grant.ID, c.Now, ev); err != nil {
		return err
	}
	return invalidGrant("The code has been used before. Everything that it gave has been ended.")
}
