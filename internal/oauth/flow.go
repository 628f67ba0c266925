package oauth

import (
	"bytes"
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

// flowTTL is how long a person may take to answer a request.
const flowTTL = time.Hour

// Steps that a flow can be at. A sealed flow opens at its own step only.
const (
	StepLogin   = "login"
	StepConsent = "consent"
	StepLogout  = "logout"
)

// Flow is a request on its way through the browser's pages. It is sealed, so its content comes
// from this server.
type Flow struct {
	ID      string             `json:"id"`
	Step    string             `json:"s"`
	Query   string             `json:"q"`           // the request's parameters, encoded
	Started int64              `json:"t"`           // Unix milliseconds
	Since   int64              `json:"u,omitempty"` // a sign-in since then counts; 0: since Started
	First   int64              `json:"f,omitempty"` // the first start of a request started again
	Browser string             `json:"w,omitempty"` // the hash of the browser that started it, or ""
	Session identity.SessionID `json:"b,omitempty"` // the session that a consent is bound to
	Chosen  identity.SessionID `json:"c,omitempty"` // the choice after prompt=select_account
	Account identity.SessionID `json:"d,omitempty"` // the session that a hint chose among several
	Tried   bool               `json:"r,omitempty"` // a stronger sign-in is not possible

	// What the sign-in page asks for.
	Hint   string `json:"h,omitempty"` // login_hint
	Reauth bool   `json:"a,omitempty"` // sign in again, even with a session
	Choose bool   `json:"p,omitempty"` // offer the choice of an account
	ACR    string `json:"n,omitempty"` // the class to reach, or ""

	carried bool // a browser carried it, so it could come back

	Client *client.Client `json:"-"` // set by OpenFlow
	Scopes []string       `json:"-"` // set by OpenFlow
	Form   url.Values     `json:"-"`
}

// newFlow starts a flow of an authorization request's parameters.
func newFlow(form url.Values, now time.Time) (*Flow, error) {
	f := &Flow{
		ID:      secret.NewID(now),
		Query:   form.Encode(),
		Started: now.UnixMilli(),
		Form:    form,
	}
	if len(f.Query) > maxRequest {
		return nil, invalid(ReasonRequestTooLong,
			"The app sent a request of more than %d bytes.", maxRequest)
	}
	return f, nil
}

// moved returns the flow as a new request in another browser: what the person did before it, in
// whichever browser, does not count. It stays one flow, for which there is one code.
func (f *Flow) moved(browser string, now time.Time) *Flow {
	return &Flow{
		ID:      f.ID,
		Query:   f.Query,
		Started: f.Started,
		Since:   now.UnixMilli(),
		First:   f.First,
		Browser: browser,
		Form:    f.Form,
		carried: true,
	}
}

// ends returns when the flow can no longer be opened.
func (f *Flow) ends() time.Time { return time.UnixMilli(f.Started).Add(flowTTL) }

// knownParams returns those parameters of a request that this server knows.
func knownParams(sent url.Values) url.Values {
	form := url.Values{}
	for _, name := range authorizeParams {
		if v := sent[name]; len(v) > 0 {
			form[name] = v
		}
	}
	for _, name := range unsupportedParams {
		if sent.Has(name) {
			form.Set(name, "sent") // its value does not matter, and may be long
		}
	}
	return form
}

// SealFlow returns a flow in the form in which the browser carries it.
func (s *Server) SealFlow(f *Flow) (string, error) {
	raw, err := json.Marshal(f)
	if err != nil {
		return "", err
	}
	return s.flows.Seal(raw, f.Step), nil
}

// StepUpImpossible seals a flow with the note that the person cannot sign in more strongly.
func (s *Server) StepUpImpossible(f *Flow) (string, error) {
	g := *f
	g.Tried = true
	return s.SealFlow(&g)
}

// Choose seals a flow with the account that the person chose.
func (s *Server) Choose(f *Flow, sess *identity.Session) (string, error) {
	g := *f
	g.Chosen = sess.ID
	return s.SealFlow(&g)
}

// OpenFlow opens an authorization request at a step. Invalid: it was altered, is at another
// step, or is too old.
func (s *Server) OpenFlow(
	ctx context.Context, sealed, step string, now time.Time,
) (*Flow, error) {
	return s.OpenUnsealed(ctx, nil, sealed, step, now)
}

// OpenUnsealed does the same for a flow that Unseal has opened in this request; nil opens it.
func (s *Server) OpenUnsealed(
	ctx context.Context, u *Unsealed, sealed, step string, now time.Time,
) (*Flow, error) {
	f, err := s.unseal(u, sealed, step, now)
	if err != nil {
		return nil, err
	}
	f.Client, err = s.clients.Lookup(ctx, client.ID(f.Form.Get("client_id")))
	if err != nil {
		return nil, pageError(err)
	}
	if f.Scopes, err = s.scopes.ForUser(f.Client, f.Form.Get("scope")); err != nil {
		return nil, invalidBecause(err, ReasonScopeNotAllowed, "The app asks for access that it "+
			"may not have. If you run it: compare the scopes of its request with those of its registration.")
	}
	f.Scopes = withClaimScopes(f.Scopes, requestedClaims(f.Form).Allowed(f.Client))
	return f, nil
}

// requestedClaims reads the claims parameter of a request, which is empty if it is unreadable:
// readClaims explains that to the client.
func requestedClaims(form url.Values) ClaimsRequest {
	raw := form.Get("claims")
	if len(raw) > maxClaims {
		return ClaimsRequest{}
	}
	return ParseClaims(json.RawMessage(raw))
}

// unseal opens a flow at a step. It rejects one that was altered, is at another step, or is too
// old.
func (s *Server) unseal(u *Unsealed, sealed, step string, now time.Time) (*Flow, error) {
	var raw []byte
	var err error
	if u != nil && u.sealed == sealed && u.step == step {
		raw = u.raw
	} else {
		raw, err = s.flows.Open(sealed, step)
	}
	if err != nil {
		return nil, invalidBecause(err, ReasonFlowDamaged, "This sign-in link is damaged or "+
			"belongs to another step. Go back to the app and start again.")
	}
	f := &Flow{}
	if err := json.Unmarshal(raw, f); err != nil {
		return nil, invalidBecause(err, ReasonFlowDamaged,
			"This sign-in link is damaged. Go back to the app and start again.")
	}
	f.carried = true
	if f.Form, err = url.ParseQuery(f.Query); err != nil {
		return nil, err
	}
	if !now.After(f.ends()) {
		return f, nil
	}
	expired := invalid(ReasonFlowExpired,
		"This sign-in took longer than an hour. Sign in again to continue.")
	if step == StepLogout { // not the request of an app
		return nil, expired
	}
	return nil, s.interrupted(f, now, expired)
}

// Unsealed is the content of a flow at whichever step, before anything of it is checked. A request
// whose language and whose page need the flow opens it once.
type Unsealed struct {
	sealed, step string
	raw          []byte
}

// Unseal returns the content of a flow, also of one that has ended, or nil.
func (s *Server) Unseal(sealed string) *Unsealed {
	for _, step := range []string{StepLogin, StepConsent, StepLogout} {
		if raw, err := s.flows.Open(sealed, step); err == nil {
			return &Unsealed{sealed: sealed, step: step, raw: raw}
		}
	}
	return nil
}

// Locales returns the ui_locales of a flow, or "": an error page about a flow that does not open is
// in its language, too.
func (u *Unsealed) Locales() string {
	if u == nil || !bytes.Contains(u.raw, []byte("ui_locales=")) { // Query is as url.Values encodes it
		return ""
	}
	var f Flow
	if json.Unmarshal(u.raw, &f) != nil {
		return ""
	}
	form, err := url.ParseQuery(f.Query)
	if err != nil {
		return ""
	}
	return form.Get("ui_locales")
}

// signedInSince reports whether the person of a session has signed in since the request began.
func (f *Flow) signedInSince(sess *identity.Session) bool {
	return sess.AuthTime.UnixMilli() >= max(f.Started, f.Since)
}

// LoginNeed is what a request needs of a person who has a session already.
type LoginNeed int

// The needs. A request that needs nothing continues with the session as it is.
const (
	NeedNothing LoginNeed = iota
	NeedSignIn            // sign in again
	NeedChoice            // choose whether to continue with this account
	NeedStepUp            // complete a second step
)

// Need returns what the request still needs of the person with a session.
func (f *Flow) Need(sess *identity.Session) LoginNeed {
	switch {
	case f.Reauth:
		return NeedSignIn
	case f.Choose:
		return NeedChoice
	case identity.ACRRank(f.ACR) > identity.ACRRank(sess.ACR):
		return NeedStepUp
	}
	return NeedNothing
}

// pageError explains what is wrong with a client to the person whose browser was sent here: such
// an error cannot be sent to an address that is not registered.
func pageError(err error) error {
	if !fault.Is(err, fault.Denied) {
		return err
	}
	if fault.Reason(err) == audit.ReasonClientDisabled {
		return invalidBecause(err, audit.ReasonClientDisabled,
			"The app that sent you here has been disabled by its operator.")
	}
	return invalidBecause(err, audit.ReasonUnknownClient, "The app that sent you here is not "+
		"known to this server. Its client_id is wrong, or it has been removed.")
}
