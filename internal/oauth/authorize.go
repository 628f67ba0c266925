package oauth

import (
	"context"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Step says what the browser does next. Exactly one field is set.
type Step struct {
	Login   *Flow
	Consent *Flow
	Repeat  string // a sealed flow: repeat the request as a GET, which brings the cookies
	Reply   *Reply
}

// Authorize takes an authorization request one step further (RFC 6749 §4.1.1, OpenID Connect Core
// §3.1.2). An error is for the person at the browser; errors for the client come as a Reply.
func (s *Server) Authorize(ctx context.Context, c *Call) (*Step, error) {
	flow, refused, err := s.resume(ctx, c)
	if err != nil {
		return nil, err
	}
	if refused != nil {
		return s.refuseObject(ctx, c, flow.Form, refused)
	}
	req, err := s.newAuthorization(ctx, flow.Form)
	if err != nil {
		return nil, s.recordRedirect(ctx, c, flow.Form, err)
	}
	if req.client.LoopbackOnly && !c.Local {
		return nil, pageError(fault.WithReason(fault.Denied, audit.ReasonNotLocal))
	}
	if err := s.readRequest(req, flow.Form); err != nil {
		return s.replyError(req, err)
	}
	c, flow.Account = req.chooseAccount(c, flow)
	if login, err := s.needsLogin(req, flow, c.Session, c.Now); err != nil {
		return s.replyError(req, err)
	} else if login && c.Session != nil && c.Session.Impersonated() {
		return s.replyError(req, loginRequired("An administrator acts as the user, who would have to sign in."))
	} else if login {
		flow.Step, flow.Client = StepLogin, req.client
		return &Step{Login: flow}, nil
	}
	if err := s.limitScopes(ctx, req, c.Session); err != nil {
		return s.replyError(req, err)
	}
	if consent, err := s.needsConsent(ctx, req, c.Session); err != nil {
		return s.replyError(req, err)
	} else if consent {
		flow.Step, flow.Client = StepConsent, req.client
		flow.Session, flow.Scopes = c.Session.ID, req.consents
		return &Step{Consent: flow}, nil
	}
	return s.replyCode(ctx, req, c, flow)
}

// chooseAccount returns the call with the session that the request's hints name among those of the
// browser, and its id if it is not the one in use. An id_token_hint counts before a login_hint.
// A login_hint does not count against an account that the person has chosen since. Nothing is
// switched: the session in use stays the one of all other requests.
func (req *authorization) chooseAccount(c *Call, f *Flow) (*Call, identity.SessionID) {
	if c.Session != nil && c.Session.Impersonated() { // the other accounts are not the person's
		return c, ""
	}
	hint := identity.LoginKey(req.hint)
	matches := func(a BrowserAccount) bool {
		if req.subject != "" {
			return string(a.Session.User) == req.subject
		}
		return hint != "" && slices.Contains(a.Logins, hint)
	}
	i := slices.IndexFunc(c.Accounts, matches)
	if i < 0 || slices.Contains(req.prompts, "select_account") {
		return c, ""
	}
	sess := c.Accounts[i].Session
	if c.Session != nil {
		chosen := f.Chosen == c.Session.ID || f.signedInSince(c.Session)
		if c.Session.ID == sess.ID || req.subject == "" && chosen {
			return c, ""
		}
	}
	chosen := *c
	chosen.Session = sess
	return &chosen, sess.ID
}

// FlowSession returns the session that a sealed consent is bound to, or "".
func (s *Server) FlowSession(sealed string, now time.Time) identity.SessionID {
	f, err := s.unseal(nil, sealed, StepConsent, now)
	if err != nil {
		return ""
	}
	return f.Session
}

// resume opens the flow of a browser that comes back from a page, or starts a flow. The second
// result is why the request object of a new request is refused.
func (s *Server) resume(ctx context.Context, c *Call) (f *Flow, refused, err error) {
	browser := s.browserHash(c)
	if sealed := c.Get("flow"); sealed != "" {
		if f, err = s.unseal(nil, sealed, StepLogin, c.Now); err != nil {
			return nil, nil, err
		}
		if browser == "" || !secret.Equal(f.Browser, browser) {
			f = f.moved(browser, c.Now)
		}
		return f, nil, nil
	}
	form, refused := s.requestParams(ctx, c)
	f, err = newFlow(form, c.Now)
	if err == nil {
		f.Browser = browser
	}
	return f, refused, err
}

// browserHash returns the hash of the secret that marks the browser of a call, or "".
func (s *Server) browserHash(c *Call) string {
	if c.Browser == "" {
		return ""
	}
	return string(s.keys.Hash("browser\x00" + c.Browser))
}

// Repeat takes a new request of a browser that sent it without its cookies, since it came as a
// POST from another site: the browser repeats it as a GET. The flow belongs to no browser yet.
func (s *Server) Repeat(ctx context.Context, c *Call) (*Step, error) {
	form, refused := s.requestParams(ctx, c)
	if refused != nil {
		return s.refuseObject(ctx, c, form, refused)
	}
	f, err := newFlow(form, c.Now)
	if err != nil {
		return nil, err
	}
	f.Step = StepLogin
	sealed, err := s.SealFlow(f)
	return &Step{Repeat: sealed}, err
}

// needsLogin reports whether the person must visit the sign-in page first.
func (s *Server) needsLogin(
	req *authorization, f *Flow, sess *identity.Session, now time.Time,
) (bool, error) {
	f.Hint, f.ACR, f.Reauth, f.Choose = req.hint, "", false, false
	silent := slices.Contains(req.prompts, "none")
	if identity.ACRRank(req.acr) > 1 {
		f.ACR = req.acr
	}
	if req.essential && identity.ACRRank(req.acr) == 0 {
		return false, unmetACR("This server does not know the class of sign-in that is required.")
	}
	switch {
	case sess == nil:
	case req.subject != "" && req.subject != string(sess.User):
		if f.signedInSince(sess) {
			return false, loginRequired("Another user than the expected one has signed in.")
		}
		f.Reauth = true
	case slices.Contains(req.prompts, "login") && !f.signedInSince(sess):
		f.Reauth = true
	case req.maxAge >= 0 && now.Sub(sess.AuthTime) > req.maxAge && !f.signedInSince(sess):
		f.Reauth = true
	case slices.Contains(req.prompts, "select_account") &&
		f.Chosen != sess.ID && !f.signedInSince(sess):
		f.Choose = true
	case identity.ACRRank(sess.ACR) < identity.ACRRank(req.acr):
		// A class that is not essential is a preference (OpenID Connect Core §5.5.1.1): the
		// person is asked once.
		tried := f.Tried || f.signedInSince(sess) || sess.Impersonated()
		if tried && req.essential {
			return false, unmetACR("The user cannot sign in with the class that is required.")
		}
		if tried || (silent && !req.essential) {
			return false, nil
		}
	default:
		return false, nil
	}
	if silent {
		return false, loginRequired("The user is not signed in as the request requires.")
	}
	return true, nil
}

func loginRequired(text string) error { return NewError("login_required", 400, "%s", text) }

func unmetACR(text string) error {
	return NewError("unmet_authentication_requirements", 400, "%s", text)
}
