package oauth

import (
	"context"
	"slices"
	"time"

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
	for _, scope := range flow.Scopes {
		if !slices.Contains(have.Scopes, scope) {
			cr.Added = append(cr.Added, scope)
		}
	}
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
		return nil, &fault.Error{
			Kind:   fault.Invalid,
			Reason: ReasonSessionChanged,
			Text: "You have signed in or out since this page was opened. " +
				"Go back to the app and start again.",
		}
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

// LoginNeed is what a request needs of a person who is signed in already.
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
