package admin

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
)

// SignInTester carries out tests of clients' sign-ins.
type SignInTester interface {
	Tests() oauth.SignInTests
	RedeemTest(ctx context.Context, state, code string, now time.Time) (*token.TestedSignIn, error)
}

// SignInResponse is the response of the authorization endpoint to a test.
type SignInResponse struct {
	State       string
	Code        string
	Error       string // a code of OAuth
	Description string
}

// SignInTest is what a test of a client's sign-in has shown.
type SignInTest struct {
	Client      *client.Client
	Requested   []string            // scopes
	Result      *token.TestedSignIn // nil: the client would get Error
	Error       string
	Description string
	Warnings    []Warning
}

// Warnings of tests of sign-ins. The subject is a scope, or the client.
const (
	WarnNoIDToken      = "no_id_token"       // openid was not requested
	WarnScopeLeftOut   = "scope_left_out"    // requested, and not granted
	WarnWithoutPKCE    = "without_pkce"      // the client may leave out PKCE
	WarnSecretExpiring = "secret_expiring"   // the last secret ends within ExpiringSoon
	WarnNoRefreshToken = "no_refresh_token"  // offline_access was requested, and gives none
	WarnRedirectUnsure = "redirect_untested" // what receives the response is not tested
)

// BeginSignInTest returns the address at which the actor's browser tests the sign-in of a client.
// The actor is a person who uses that browser. The response goes to oauth.TestPath.
func (o *Operations) BeginSignInTest(ctx context.Context, a Actor, ref, scope string) (string, error) {
	if err := o.authorize(a, ScopeClientsRead); err != nil {
		return "", err
	}
	if o.parts.SignIns == nil || a.User == "" || !a.browser {
		return "", fault.New(fault.Conflict, "a sign-in is tested in the browser, from the page of the client")
	}
	c, err := o.client(ctx, ref)
	switch {
	case err != nil:
		return "", err
	case c.Disabled:
		return "", fault.New(fault.Conflict, "client %s is disabled", c.ID)
	case !c.CanUseGrant(client.GrantTypeCode):
		return "", fault.New(fault.Conflict, "nobody signs in to client %s: it may not use the authorization code grant", c.ID)
	}
	test := oauth.SignInTest{Client: c.ID, User: a.User, Scope: strings.Join(strings.Fields(scope), " ")}
	return o.parts.SignIns.Tests().Begin(test, o.parts.Now())
}

// EndSignInTest returns what a client would have got from the response to a test. Only the person
// who has begun the test in their browser sees it, and once; no token is issued. The test
// is recorded.
func (o *Operations) EndSignInTest(ctx context.Context, a Actor, in SignInResponse) (*SignInTest, error) {
	if err := o.authorize(a, ScopeClientsRead); err != nil {
		return nil, err
	}
	if o.parts.SignIns == nil || a.User == "" || !a.browser {
		return nil, fault.New(fault.Conflict, "a sign-in is tested in the browser, from the page of the client")
	}
	now := o.parts.Now()
	test, err := o.parts.SignIns.Tests().Open(in.State, now)
	if err != nil {
		return nil, err
	}
	if test.User != a.User {
		return nil, fault.New(fault.Denied, "somebody else has begun this test sign-in; start it again")
	}
	out := &SignInTest{Requested: strings.Fields(test.Scope), Error: in.Error, Description: in.Description}
	if out.Client, err = o.client(ctx, string(test.Client)); err != nil {
		return nil, err
	}
	if in.Error == "" {
		if out.Result, err = o.parts.SignIns.RedeemTest(ctx, in.State, in.Code, now); err != nil {
			return nil, err
		}
	}
	out.warn(now)
	ev := a.event(audit.SignInTested, now)
	ev.Client, ev.User, ev.Reason = string(out.Client.ID), string(a.User), shortCode(in.Error)
	ev.TargetType, ev.TargetID = audit.TargetClient, string(out.Client.ID)
	return out, o.store.Record(ctx, ev)
}

// shortCode returns an error code as the audit log has it: it comes from an address, which anybody
// can have written.
func shortCode(code string) string {
	if len(code) > 64 || strings.ContainsFunc(code, func(c rune) bool { return (c < 'a' || c > 'z') && c != '_' }) {
		return "other"
	}
	return code
}

// warn adds what the client's developer should know.
func (x *SignInTest) warn(now time.Time) {
	c := x.Client
	add := func(code, subject string) { x.Warnings = append(x.Warnings, Warning{Code: code, Subject: subject}) }
	if c.HasSecret() {
		switch {
		case c.ActiveSecrets(now) == 0:
			add(WarnNoActiveSecret, string(c.ID))
		case c.ActiveSecrets(now.Add(ExpiringSoon)) == 0:
			add(WarnSecretExpiring, string(c.ID))
		}
	}
	if !c.Public && !c.RequirePKCE {
		add(WarnWithoutPKCE, string(c.ID))
	}
	if r := x.Result; r != nil {
		if r.ID == nil {
			add(WarnNoIDToken, string(c.ID))
		}
		for _, scope := range x.Requested {
			if !slices.Contains(r.Scopes, scope) {
				add(WarnScopeLeftOut, scope)
			}
		}
		if slices.Contains(x.Requested, oauth.ScopeOffline) && !r.Refresh {
			add(WarnNoRefreshToken, string(c.ID))
		}
	}
	add(WarnRedirectUnsure, string(c.ID))
}
