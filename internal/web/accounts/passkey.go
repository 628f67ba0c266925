package accounts

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// firstMark begins the content of a code whose passkey begins the sign-in. No pending sign-in
// begins with it.
const firstMark = "first:"

// passkeyAnswer is a step that is answered with a passkey.
type passkeyAnswer struct {
	stepAnswer
	Options json.RawMessage `json:"options"` // for the credential API of the platform
}

// passkeyOptions returns the question that a passkey answers: at the beginning of a sign-in, the
// same for everybody, or in place of the step that `code` names.
func (s *Server) passkeyOptions(w http.ResponseWriter, c *call) error {
	in, err := c.readStep("code")
	if err != nil {
		return err
	}
	if in["code"] != "" {
		return s.choosePasskey(w, c, in["state"], in["code"])
	}
	if !s.Login.Begins(stepPasskey) {
		return newProblem(http.StatusForbidden, codeStepUnavailable,
			"This server does not let people sign in with a passkey alone.")
	}
	if err := s.allow(w, c, "state:"+in["state"]); err != nil {
		return err
	}
	opening, err := s.Login.Open(c.r.Context(), c.visit(), stepPasskey, "")
	if err != nil {
		return err
	}
	code := s.Login.SealStep(c.client, in["state"], firstMark+opening.Token)
	writePasskey(w, c, in["state"], code, opening.Challenge)
	return nil
}

// choosePasskey asks for a passkey in place of another second step.
func (s *Server) choosePasskey(w http.ResponseWriter, c *call, state, code string) error {
	pending, p, err := s.openSecond(c, state, code)
	if err != nil {
		return err
	}
	if err := s.Kit.Allow(w, c.r, "login", web.Subject{User: string(p.User.ID)}); err != nil {
		return err
	}
	st, err := s.Login.Choose(c.r.Context(), c.visit(), pending, stepPasskey)
	if fault.Is(err, fault.Consumed) {
		return newProblem(http.StatusForbidden, codeStepUnavailable,
			"The account has no passkey that is accepted at this step.")
	}
	if err != nil {
		return err
	}
	return s.writePasskeyStep(w, c, state, st)
}

// openSecond returns the pending sign-in whose second step a code names.
func (s *Server) openSecond(c *call, state, code string) (string, *login.Pending, error) {
	pending, err := s.Login.OpenStep(c.client, state, code)
	if err != nil {
		return "", nil, newProblem(http.StatusUnauthorized, codeCodeNotFound,
			"The code is not one of a step that was answered with this state.")
	}
	p, err := s.Login.Pending(c.r.Context(), c.visit(), pending)
	return pending, p, invalidated(err)
}

// loginPasskey takes the answer of a passkey, which begins a sign-in or is its second step.
func (s *Server) loginPasskey(w http.ResponseWriter, c *call) error {
	b, err := c.read("passkey", "code", "state")
	if err != nil {
		return err
	}
	in, err := b.texts("code", "state")
	if err == nil {
		err = checkState(in["state"])
	}
	if err != nil {
		return err
	}
	answer := compactJSON(b["passkey"])
	opened, err := s.Login.OpenStep(c.client, in["state"], in["code"])
	if token, first := strings.CutPrefix(opened, firstMark); err == nil && first {
		return s.beginByPasskey(w, c, in["state"], token, answer)
	}
	pending, p, err := s.openSecond(c, in["state"], in["code"])
	if err != nil {
		return err
	}
	if err := s.Kit.Allow(w, c.r, "login", web.Subject{User: string(p.User.ID)}); err != nil {
		return err
	}
	st, err := s.Login.Continue(c.r.Context(), c.visit(), pending, login.StepFactor,
		url.Values{"passkey": {answer}})
	return s.writeStep(w, c, in["state"], st, invalidated(err))
}

// beginByPasskey begins a sign-in with the answer to the question that a token seals.
func (s *Server) beginByPasskey(w http.ResponseWriter, c *call, state, token, answer string) error {
	if err := s.allow(w, c, "state:"+state); err != nil {
		return err
	}
	st, err := s.Login.SignIn(c.r.Context(), c.visit(), login.Attempt{
		Kind:   stepPasskey,
		Token:  token,
		Input:  url.Values{"passkey": {answer}},
		Client: string(c.client),
	})
	return s.writeStep(w, c, state, st, invalidated(err))
}

// compactJSON returns a member without the white space between its parts. One that is a text
// holds JSON itself.
func compactJSON(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var out bytes.Buffer
	if json.Compact(&out, raw) != nil {
		return ""
	}
	return out.String()
}

// writePasskeyStep answers with the step that a passkey takes.
func (s *Server) writePasskeyStep(w http.ResponseWriter, c *call, state string, st login.Step) error {
	p, err := s.Login.Pending(c.r.Context(), c.visit(), st.Pending)
	if err != nil {
		return err
	}
	question, err := s.Login.Challenge(c.r.Context(), c.visit(), p)
	if err != nil {
		return err
	}
	writePasskey(w, c, state, s.Login.SealStep(c.client, state, st.Pending), question)
	return nil
}

func writePasskey(w http.ResponseWriter, c *call, state, code string, question login.Challenge) {
	write(w, c.r, http.StatusOK, passkeyAnswer{
		stepAnswer: stepAnswer{"step", stepPasskey, code, state},
		Options:    json.RawMessage(question.Options),
	})
}
