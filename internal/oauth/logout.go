package oauth

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// LogoutStep says what happens after a request to end the session.
type LogoutStep struct {
	Confirm  *Flow              // ask the person first
	Redirect string             // where to send the browser; "" for the page that confirms the sign-out
	Ended    bool               // the session has ended: delete its cookie
	Session  identity.SessionID // with Ended: which one, or ""
	Client   *client.Client
	User     identity.UserID // with Confirm: the person who is asked
}

// Logout serves RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0). The person is asked
// unless an ID token shows that the request comes from an application that they are signed in to
// (§2, §6); otherwise any page could sign people out.
func (s *Server) Logout(ctx context.Context, c *Call) (*LogoutStep, error) {
	cl, hint, err := s.logoutClient(ctx, c)
	if err != nil {
		return nil, err
	}
	target, err := logoutTarget(cl, c)
	if fault.Reason(err) == ReasonLogoutRedirect {
		err = errors.Join(err, s.RecordMismatch(ctx, c, cl, Mismatch{
			Type:       audit.LogoutFailed,
			Reason:     ReasonLogoutRedirect,
			Sent:       c.Get("post_logout_redirect_uri"),
			Registered: cl.PostLogout,
		}))
	}
	if err != nil {
		return nil, err
	}
	c = accountOf(c, hint)
	if c.Session == nil {
		return &LogoutStep{Redirect: target, Client: cl}, nil
	}
	if hint != nil && hint.Subject == string(c.Session.User) {
		return s.endSession(ctx, c, cl, target)
	}
	f := &Flow{
		Step:    StepLogout,
		Started: c.Now.UnixMilli(),
		Session: c.Session.ID,
		Client:  cl,
		Form:    url.Values{},
	}
	if cl != nil {
		f.Form.Set("client_id", string(cl.ID))
		f.Form.Set("target", target)
	}
	f.Query = f.Form.Encode()
	return &LogoutStep{Confirm: f, Client: cl, User: c.Session.User}, nil
}

// accountOf returns the call with the session of the person whom an ID token names, if the browser
// has several.
func accountOf(c *Call, hint *idTokenHint) *Call {
	if hint == nil {
		return c
	}
	for _, a := range c.Accounts {
		if string(a.Session.User) == hint.Subject {
			chosen := *c
			chosen.Session = a.Session
			return &chosen
		}
	}
	return c
}

// ConfirmLogout ends the session after the person has agreed.
func (s *Server) ConfirmLogout(
	ctx context.Context, c *Call, sealed string,
) (*LogoutStep, error) {
	f := &Flow{Form: url.Values{}}
	if sealed != "" {
		var err error
		if f, err = s.openLogout(sealed, c.Now); err != nil {
			return nil, err
		}
	}
	var cl *client.Client
	if id := f.Form.Get("client_id"); id != "" {
		var err error
		if cl, err = s.clients.Lookup(ctx, client.ID(id)); err != nil {
			return nil, pageError(err)
		}
	}
	if c.Session == nil {
		return &LogoutStep{Redirect: f.Form.Get("target"), Client: cl, Ended: true}, nil
	}
	return s.endSession(ctx, c, cl, f.Form.Get("target"))
}

// endSession ends the browser's session.
func (s *Server) endSession(
	ctx context.Context, c *Call, cl *client.Client, target string,
) (*LogoutStep, error) {
	ev := audit.Event{
		At:        c.Now,
		Type:      audit.Logout,
		User:      string(c.Session.User),
		Session:   string(c.Session.ID),
		IP:        c.IP,
		Agent:     c.Agent,
		RequestID: c.RequestID,
	}
	ev.Actor, ev.ActorType = actorOf(c.Session)
	if cl != nil {
		ev.Client = string(cl.ID)
	}
	err := s.store.EndSession(ctx, c.Session.ID, c.Now, s.cfg.EndWithSession, ev)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	return &LogoutStep{Redirect: target, Ended: true, Session: c.Session.ID, Client: cl}, nil
}

// logoutClient returns the client of a logout request, from the ID token or from client_id, which
// must agree (§2). Both results are nil if the request names no client.
func (s *Server) logoutClient(
	ctx context.Context, c *Call,
) (*client.Client, *idTokenHint, error) {
	id := c.Get("client_id")
	var hint *idTokenHint
	if raw := c.Get("id_token_hint"); raw != "" {
		t, err := s.readIDTokenHint(raw)
		if err != nil || len(t.Audience) == 0 {
			return nil, nil, invalid(ReasonLogoutNotAllowed,
				"The app sent an id_token_hint that this server did not issue.")
		}
		if id != "" && id != t.Audience[0] {
			return nil, nil, invalid(ReasonLogoutNotAllowed, "The app sent a client_id and an "+
				"id_token_hint that belong to different apps.")
		}
		id, hint = t.Audience[0], t
	}
	if id == "" {
		return nil, nil, nil
	}
	cl, err := s.clients.Lookup(ctx, client.ID(id))
	if err != nil {
		return nil, nil, pageError(err)
	}
	return cl, hint, nil
}

// logoutTarget returns where to send the browser afterwards: a registered address (§3), or "".
func logoutTarget(cl *client.Client, c *Call) (string, error) {
	target := c.Get("post_logout_redirect_uri")
	if target == "" {
		return "", nil
	}
	if cl == nil {
		return "", invalid(ReasonLogoutNotAllowed, "The app asked to send you on after signing "+
			"out, but did not say who it is: id_token_hint or client_id is missing.")
	}
	if !client.MatchURI(cl.PostLogout, target) {
		return "", invalid(ReasonLogoutRedirect, "The app asked to send you to an address that "+
			"is not registered for it. If you run it: register the post_logout_redirect_uri exactly "+
			"as it is sent.")
	}
	state := c.Get("state")
	if state == "" {
		return target, nil
	}
	if len(state) > maxState {
		return "", invalid(ReasonLogoutNotAllowed,
			"The app sent a state of more than %d bytes.", maxState)
	}
	r := Reply{RedirectURI: target, Mode: ModeQuery, Params: url.Values{"state": {state}}}
	return r.Location(), nil
}

// openLogout opens the flow of a logout page.
func (s *Server) openLogout(sealed string, now time.Time) (*Flow, error) {
	f, err := s.unseal(nil, sealed, StepLogout, now)
	if err != nil {
		return nil, invalidBecause(err, ReasonFlowExpired,
			"This page is too old or damaged. Open your account page to sign out.")
	}
	return f, nil
}
