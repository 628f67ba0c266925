package oauth

import (
	"context"
	"encoding/json"
	"net/url"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// flowLife is how long a person may take between two hops.
const flowLife = time.Hour

// Steps that a flow can be at. A sealed flow opens at its own step only.
const (
	StepLogin   = "login"
	StepConsent = "consent"
	StepLogout  = "logout"
)

// Flow is an authorization request on its way through the browser. It is sealed, so what
// it says was put there by this server.
type Flow struct {
	ID      string             `json:"id"`
	Step    string             `json:"s"`
	Query   string             `json:"q"`           // the request's parameters, encoded
	Started int64              `json:"t"`           // Unix milliseconds; proofs made since then count for this request
	Session identity.SessionID `json:"b,omitempty"` // the session that a consent is bound to
	Chosen  identity.SessionID `json:"c,omitempty"` // the session picked in answer to prompt=select_account
	Tried   bool               `json:"r,omitempty"` // a stronger login was asked for and cannot be had

	// What the login page is asked for.
	Hint   string `json:"h,omitempty"` // login_hint
	Reauth bool   `json:"a,omitempty"` // the person must prove who they are, even with a session
	Choose bool   `json:"p,omitempty"` // offer the choice of an account
	ACR    string `json:"n,omitempty"` // the class to reach, or ""

	Client *client.Client `json:"-"` // set by OpenFlow
	Scopes []string       `json:"-"` // likewise
	Form   url.Values     `json:"-"`
}

// SealFlow is the flow as the browser carries it.
func (s *Server) SealFlow(f *Flow) (string, error) {
	raw, err := json.Marshal(f)
	if err != nil {
		return "", err
	}
	return s.flows.Seal(raw, f.Step), nil
}

// unseal opens a flow at a step: intact, of this server, and not too old.
func (s *Server) unseal(sealed, step string, now time.Time) (*Flow, error) {
	raw, err := s.flows.Open(sealed, step)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "This sign-in link is damaged or belongs to another step. Go back to the application and start again.")
	}
	f := &Flow{}
	if err := json.Unmarshal(raw, f); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "This sign-in link is damaged. Go back to the application and start again.")
	}
	if now.After(time.UnixMilli(f.Started).Add(flowLife)) {
		return nil, fault.New(fault.Invalid, "This sign-in took longer than an hour. Go back to the application and start again.")
	}
	f.Form, err = url.ParseQuery(f.Query)
	return f, err
}

// OpenFlow opens an authorization request at a step. Invalid: it was altered, is at another
// step, or is too old.
func (s *Server) OpenFlow(ctx context.Context, sealed, step string, now time.Time) (*Flow, error) {
	f, err := s.unseal(sealed, step, now)
	if err != nil {
		return nil, err
	}
	if f.Client, err = s.clients.Lookup(ctx, client.ID(f.Form.Get("client_id"))); err != nil {
		return nil, pageError(err)
	}
	if f.Scopes, err = s.scopes.ForUser(f.Client, f.Form.Get("scope")); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The application asks for access that it may not ask for. If you run it: compare the scopes of its request with those of its registration.")
	}
	return f, nil
}

// newFlow starts a flow from a request's parameters, keeping only those that we know.
func newFlow(c *Call) *Flow {
	kept := url.Values{}
	for _, name := range authorizeParams {
		if v := c.Form[name]; len(v) > 0 {
			kept[name] = v
		}
	}
	return &Flow{ID: secret.NewID(c.Now), Query: kept.Encode(), Started: c.Now.UnixMilli(), Form: kept}
}

// provedSince reports whether a session's person has proved who they are for this request.
func (f *Flow) provedSince(sess *identity.Session) bool {
	return sess.AuthTime.UnixMilli() >= f.Started
}

// Unraisable seals the flow anew with the note that no stronger login can be had.
func (s *Server) Unraisable(f *Flow) (string, error) {
	g := *f
	g.Tried = true
	return s.SealFlow(&g)
}

// Choose seals the flow anew with the account that the person picked.
func (s *Server) Choose(f *Flow, sess *identity.Session) (string, error) {
	g := *f
	g.Chosen = sess.ID
	return s.SealFlow(&g)
}

// pageError explains what is wrong with a client to the person whose browser was sent here: an
// error cannot be sent to an address that nobody registered.
func pageError(err error) error {
	if !fault.Is(err, fault.Denied) {
		return err
	}
	if fault.Reason(err) == audit.ReasonClientDisabled {
		return fault.Wrap(fault.Invalid, err,
			"The application that sent you here has been disabled by its operator.")
	}
	return fault.Wrap(fault.Invalid, err, "The application that sent you here is not known to this "+
		"server. Its client_id is wrong, or it has been removed.")
}

// Carry seals a fresh request into a flow, for a browser that must come again with its cookies.
func (s *Server) ResumeFlow(c *Call) (string, error) {
	f := newFlow(c)
	if len(f.Query) > maxRequest {
		return "", fault.New(fault.Invalid, "The application sent a request of more than %d bytes.", maxRequest)
	}
	f.Step = StepLogin
	return s.SealFlow(f)
}
