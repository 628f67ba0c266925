package oauth

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// ConsentRequest is what a consent page asks.
type ConsentRequest struct {
	Flow   *Flow    // its Client and Scopes are what the page shows
	Added  []string // scopes beyond what the person allowed before; none at the first request
	Switch string   // the sealed flow that continues with another account, for the sign-in page
}

// ConsentRequest opens the flow of a consent page for the browser's session, or nil.
func (s *Server) ConsentRequest(
	ctx context.Context, sealed string, sess *identity.Session, now time.Time,
) (*ConsentRequest, error) {
	flow, err := s.openConsent(ctx, sealed, sess, now)
	if err != nil {
		return nil, err
	}
	cr := &ConsentRequest{Flow: flow}
	if cr.Switch, err = s.switchAccount(flow); err != nil {
		return nil, err
	}
	have, err := s.store.Consent(ctx, sess.User, flow.Client.ID)
	if fault.Is(err, fault.NotFound) {
		return cr, nil
	}
	if err != nil {
		return nil, err
	}
	cr.Added = missing(have.Scopes, flow.Scopes)
	return cr, nil
}

// openConsent opens the flow of a consent page, which belongs to one session of the browser.
func (s *Server) openConsent(
	ctx context.Context, sealed string, sess *identity.Session, now time.Time,
) (*Flow, error) {
	flow, err := s.OpenFlow(ctx, sealed, StepConsent, now)
	if err != nil {
		return nil, err
	}
	if sess == nil || sess.ID != flow.Session {
		return nil, s.interrupted(flow, now, invalid(ReasonSessionChanged,
			"You have signed in or out since this page was opened."))
	}
	return flow, nil
}

// switchAccount seals the flow of a consent page for the sign-in page, to continue the request
// with another account.
func (s *Server) switchAccount(f *Flow) (string, error) {
	g := *f
	g.Step, g.Session, g.Chosen = StepLogin, "", ""
	return s.SealFlow(&g)
}

// Consent records the person's decision on the consent page.
func (s *Server) Consent(
	ctx context.Context, c *Call, sealed string, approve bool,
) (*Step, error) {
	flow, err := s.openConsent(ctx, sealed, c.Session, c.Now)
	if err != nil {
		return nil, err
	}
	req, err := s.newAuthorization(ctx, flow.Form)
	if err != nil {
		return nil, err
	}
	if err := s.readRequest(req, flow.Form); err != nil {
		return s.replyError(req, err)
	}
	if err := s.limitScopes(ctx, req, c.Session); err != nil {
		return s.replyError(req, err)
	}
	ev := c.Event(audit.ConsentDenied, req.client)
	if !approve {
		if err := s.store.Record(ctx, ev); err != nil {
			return nil, err
		}
		return s.replyError(req, AccessDenied("The user denied the request."))
	}
	ev.Type = audit.ConsentGranted
	ev.Detail = map[string]string{"scope": strings.Join(req.consents, " ")}
	if c.Session.Impersonated() || req.test { // it holds for this request alone
		ev.Detail["once"] = "true"
		if err := s.store.Record(ctx, ev); err != nil {
			return nil, err
		}
	} else if err := s.addConsent(ctx, c, req, ev); err != nil {
		return nil, err
	}
	return s.replyCode(ctx, req, c, flow)
}

// needsConsent reports whether the person must visit the consent page first. They need not for
// scopes that they have allowed the client before, unless any app could pass for the client.
func (s *Server) needsConsent(
	ctx context.Context, req *authorization, sess *identity.Session,
) (bool, error) {
	if slices.Contains(req.prompts, "consent") {
		return true, nil
	}
	if req.client.FirstParty {
		return false, nil
	}
	have, err := s.store.Consent(ctx, sess.User, req.client.ID)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return false, err
	}
	if err == nil && len(missing(have.Scopes, req.consents)) == 0 && !req.anyApp() {
		return false, nil
	}
	if slices.Contains(req.prompts, "none") {
		return false, NewError("consent_required", 400,
			"The user has not allowed this application what it asks for.")
	}
	return true, nil
}

// anyApp reports whether any app on the person's device could receive the response: the client
// cannot authenticate itself, and its redirect URI is a port or a scheme that others can take. An
// earlier consent says nothing about the app that asks now (RFC 8252 §8.6).
func (r *authorization) anyApp() bool {
	return r.client.Public && !strings.HasPrefix(r.redirect, "https:")
}

// addConsent adds what the person allows with a request to what they have allowed before.
func (s *Server) addConsent(
	ctx context.Context, c *Call, req *authorization, ev audit.Event,
) error {
	return s.store.AddConsent(ctx, &Consent{
		User:      c.Session.User,
		Client:    req.client.ID,
		Scopes:    req.consents,
		CreatedAt: c.Now,
		UpdatedAt: c.Now,
	}, ev)
}

// missing returns the scopes that are not among those allowed.
func missing(allowed, scopes []string) []string {
	var out []string
	for _, scope := range scopes {
		if !slices.Contains(allowed, scope) {
			out = append(out, scope)
		}
	}
	return out
}

// limitScopes takes from a request the scopes that the person of a session may not hand to an app.
func (s *Server) limitScopes(ctx context.Context, req *authorization, sess *identity.Session) error {
	scopes, err := s.scopesFor(ctx, sess.User, req.scopes)
	if sess.Impersonated() {
		scopes = slices.DeleteFunc(slices.Clone(scopes), personal)
	}
	if err != nil || len(scopes) == len(req.scopes) {
		return err
	}
	taken := missing(scopes, req.scopes)
	req.consents = missing(taken, req.consents)
	req.scopes = scopes
	return nil
}

// personal reports whether a scope is for what only a person may hand out: to manage the account or
// the server, and access that outlives the session.
func personal(scope string) bool {
	return scope == ScopeOffline || scope == ScopeAccounts || IsAdminScope(scope)
}

// errActing returns the denial of what only a person may do, to whoever acts as them.
func errActing() error {
	return &fault.Error{
		Kind:   fault.Denied,
		Reason: "impersonated",
		Text:   "This cannot be done while you act as another person.",
	}
}

// scopesFor returns the scopes that a person may hand to an app, of those in names.
func (s *Server) scopesFor(
	ctx context.Context, id identity.UserID, names []string,
) ([]string, error) {
	d := s.scopes.Definitions()
	if !d.Special(names) {
		return names, nil
	}
	u, err := s.store.User(ctx, id)
	if err != nil {
		return nil, err
	}
	return d.ForPerson(u.Roles, names), nil
}
