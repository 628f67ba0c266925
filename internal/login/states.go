package login

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// A program that signs people in chooses a state, a secret of its own that binds the steps of one
// sign-in, as cookies do in a browser.

// ReasonStateUnknown is the reason of a code for whose state no message was requested.
const ReasonStateUnknown = "state_unknown"

// stateGrace is how long a state is known after its message has lost its use, so that a late code
// is answered with the reason.
const stateGrace = 10 * time.Minute

const stepContext = "step/1"

// stateHash returns the form in which what a client has asked for under a state is stored.
func (s *Server) stateHash(by client.ID, state string) secret.Hash {
	return s.keys.Hash("login-state:" + string(by) + ":" + state)
}

// OpenState asks for a message to sign in with, on behalf of a client, and binds it to a state. It
// does the same work for every name. NotFound if nobody signs in by mail.
func (s *Server) OpenState(
	ctx context.Context, v Visit, by client.ID, state, username string,
) error {
	kind := s.EmailKind()
	o, err := s.Open(ctx, v, kind, username)
	if err != nil {
		return err
	}
	until := v.Now.Add(emailCodeTTL + stateGrace)
	return s.store.PutLoginState(ctx, s.stateHash(by, state), o.Token, until)
}

// signUpMark begins what is stored under the state of a sign-up.
const signUpMark = "signup:"

// SignUpState begins the account of a new person, on behalf of a client, and binds the code that is
// mailed to a state. See SignUp.
func (s *Server) SignUpState(
	ctx context.Context, v Visit, by client.ID, state string, form SignUpForm,
) error {
	cookie, err := s.SignUp(ctx, v, form)
	if err != nil {
		return err
	}
	until := v.Now.Add(s.cfg.VerifyTTL)
	return s.store.PutLoginState(ctx, s.stateHash(by, state), signUpMark+cookie, until)
}

// AnswerState signs in with the code of a message that the client has requested under a state.
// Denied with ReasonStateUnknown if it has requested none, Consumed if the message is too old.
func (s *Server) AnswerState(
	ctx context.Context, v Visit, by client.ID, state, code string,
) (Step, error) {
	kind := s.EmailKind()
	opening, err := s.store.LoginState(ctx, s.stateHash(by, state), v.Now)
	if fault.Is(err, fault.NotFound) {
		return Step{}, errToken(ReasonStateUnknown, "No code was requested with this state.")
	}
	if err != nil {
		return Step{}, err
	}
	if cookie, ok := strings.CutPrefix(opening, signUpMark); ok {
		return s.ConfirmSignUp(ctx, v, SignUpProof{Code: code, Cookie: cookie, Client: string(by)})
	}
	name, err := s.OpenedFor(v, kind, opening)
	if err != nil {
		return Step{}, err
	}
	return s.SignIn(ctx, v, Attempt{
		Kind:     kind,
		Username: name,
		Token:    opening,
		Input:    url.Values{"code": {code}},
		Client:   string(by),
	})
}

// SealStep binds a pending sign-in to the client and the state that it was begun with.
func (s *Server) SealStep(by client.ID, state, pending string) string {
	return s.pending.Seal([]byte(pending), stepContext+"/"+string(by)+"/"+state)
}

// OpenStep returns the pending sign-in that SealStep bound to a client and a state, or Consumed.
func (s *Server) OpenStep(by client.ID, state, sealed string) (pending string, err error) {
	if len(sealed) > 2*maxPending {
		return "", errStale()
	}
	plain, err := s.pending.Open(sealed, stepContext+"/"+string(by)+"/"+state)
	if err != nil {
		return "", errStale()
	}
	return string(plain), nil
}
