package accounts

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

const (
	stepPassword = "password"
	stepTOTP     = "totp"
	stepPasskey  = "passkey"
)

// stateSize is the length of a state: 128 bits in hexadecimal.
const stateSize = 32

// readStep returns the members of a step's body, and checks the state.
func (c *call) readStep(names ...string) (map[string]string, error) {
	names = append(names, "state")
	b, err := c.read(names...)
	if err != nil {
		return nil, err
	}
	in, err := b.texts(names...)
	if err != nil {
		return nil, err
	}
	return in, checkState(in["state"])
}

// checkState rejects what cannot be the secret of a sign-in.
func checkState(state string) error {
	if !hexadecimal(state, stateSize) {
		return newProblem(http.StatusBadRequest, codeState,
			"The state must be 32 random hexadecimal characters, the same in all steps.")
	}
	return nil
}

func hexadecimal(s string, n int) bool {
	return len(s) == n && !slices.ContainsFunc([]byte(s), func(c byte) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F')
	})
}

// allow counts an attempt to sign in: as one on the sign-in page, and of the caller's network to
// the account.
func (s *Server) allow(w http.ResponseWriter, c *call, name string) error {
	key := identity.LoginKey(name)
	if err := s.Kit.Allow(w, c.r, "login", web.Subject{User: key, Claimed: true}); err != nil {
		return err
	}
	return s.Kit.AllowEach(w, c.r, RateName, key)
}

// loginEmail asks for a message to sign in with. The answer is the same whether the account exists
// or not. Where nobody signs in by mail, the next step is the password.
func (s *Server) loginEmail(w http.ResponseWriter, c *call) error {
	in, err := c.readStep("email")
	if err != nil {
		return err
	}
	if s.Login.EmailKind() == "" && s.Login.PasswordAllowed() {
		if err := s.allow(w, c, in["email"]); err != nil {
			return err
		}
		write(w, c.r, http.StatusOK, stepAnswer{T: "step", Step: stepPassword, State: in["state"]})
		return nil
	}
	if s.Login.EmailKind() == "" {
		return newProblem(http.StatusForbidden, codeStepUnavailable,
			"This server does not let people sign in by mail.")
	}
	if err := s.allow(w, c, in["email"]); err != nil {
		return err
	}
	err = s.Login.OpenState(c.r.Context(), c.visit(), c.client, in["state"], in["email"])
	if err != nil {
		return err
	}
	return writeNothing(w, c)
}

func (s *Server) loginPassword(w http.ResponseWriter, c *call) error {
	in, err := c.readStep("email", "password")
	if err != nil {
		return err
	}
	if err := s.allow(w, c, in["email"]); err != nil {
		return err
	}
	st, err := s.Login.Password(c.r.Context(), c.visit(), login.Attempt{
		Username: in["email"],
		Password: in["password"],
		Client:   string(c.client),
	})
	return s.writeStep(w, c, in["state"], st, renamed(err, "username", "email"))
}

// renamed returns an error about an input under the name that the interface has for it.
func renamed(err error, from, to string) error {
	if f := fieldError(err); f != nil && f.Field == from {
		return fault.InvalidField(to, "%s", f.Text)
	}
	return err
}

func (s *Server) loginCode(w http.ResponseWriter, c *call) error {
	in, err := c.readStep("code")
	if err != nil {
		return err
	}
	if err := s.allow(w, c, "state:"+in["state"]); err != nil {
		return err
	}
	st, err := s.Login.AnswerState(c.r.Context(), c.visit(), c.client, in["state"], in["code"])
	if f := fieldError(err); f != nil && f.Kind == fault.Denied { // of a sign-up
		err = newProblem(http.StatusUnauthorized, codeCodeNotValid, f.Text)
	}
	if fault.Is(err, fault.NotFound) {
		err = newProblem(http.StatusForbidden, codeStepUnavailable,
			"This server does not let people sign in by mail.")
	}
	return s.writeStep(w, c, in["state"], st, err)
}

// loginTOTP answers the second step with a code of an authenticator app, or a backup code.
func (s *Server) loginTOTP(w http.ResponseWriter, c *call) error {
	in, err := c.readStep("code", "totp")
	if err != nil {
		return err
	}
	pending, p, err := s.openSecond(c, in["state"], in["code"])
	if err != nil {
		return err
	}
	err = s.Kit.Allow(w, c.r, "login", web.Subject{User: string(p.User.ID)})
	if err != nil {
		return err
	}
	st, err := s.Login.Continue(c.r.Context(), c.visit(), pending, login.StepFactor,
		url.Values{"code": {in["totp"]}})
	return s.writeStep(w, c, in["state"], st, renamed(invalidated(err), "code", "totp"))
}

// invalidated returns the error of a step that can no longer be answered under its code.
func invalidated(err error) error {
	if fault.Is(err, fault.Consumed) {
		return newProblem(http.StatusUnauthorized, codeCodeInvalidated, fault.Text(err))
	}
	return err
}

// stepAnswer is a step that the caller takes next.
type stepAnswer struct {
	T     string `json:"t"`
	Step  string `json:"step"`
	Code  string `json:"code"`
	State string `json:"state"`
}

// sessionAnswer is a session.
type sessionAnswer struct {
	T       string `json:"t"`
	Token   string `json:"token"`
	Refresh string `json:"refresh"`
}

// writeStep answers with the next step of a sign-in, or with the session.
func (s *Server) writeStep(
	w http.ResponseWriter, c *call, state string, st login.Step, err error,
) error {
	if err != nil {
		return err
	}
	if st, err = s.skipEnrollment(c, st); err != nil {
		return err
	}
	if st.Done != nil {
		c.ev.User = string(st.Done.User.ID)
		write(w, c.r, http.StatusOK, sessionAnswer{"session", st.Done.Tokens.Token, st.Done.Tokens.Refresh})
		return nil
	}
	if st, err = s.chooseSecond(c, st); err != nil {
		return err
	}
	if st.Kind == stepPasskey {
		return s.writePasskeyStep(w, c, state, st)
	}
	code := s.Login.SealStep(c.client, state, st.Pending)
	write(w, c.r, http.StatusOK, stepAnswer{"step", stepTOTP, code, state})
	return nil
}

// skipEnrollment goes on without a second factor while the account may do without.
func (s *Server) skipEnrollment(c *call, st login.Step) (login.Step, error) {
	if st.Done != nil || st.Next != login.StepEnroll || st.Grace <= 0 {
		return st, nil
	}
	return s.Login.Continue(c.r.Context(), c.visit(), st.Pending, login.StepSkip, nil)
}

// chooseSecond returns the step that asks for a code of an authenticator app, or for a passkey
// where the person has no app. All other steps need a browser.
func (s *Server) chooseSecond(c *call, st login.Step) (login.Step, error) {
	if st.Next == login.StepDeletion {
		return st, newProblem(http.StatusForbidden, codeUserDeleted,
			"The account waits for its deletion. Sign in at the sign-in page to keep it.")
	}
	if st.Next != login.StepFactor {
		return st, needsBrowser()
	}
	if st.Kind == stepTOTP {
		return st, nil
	}
	p, err := s.Login.Pending(c.r.Context(), c.visit(), st.Pending)
	if err != nil {
		return st, err
	}
	switch {
	case slices.Contains(p.Others, stepTOTP):
		return s.Login.Choose(c.r.Context(), c.visit(), st.Pending, stepTOTP)
	case st.Kind == stepPasskey:
		return st, nil
	}
	return st, needsBrowser()
}

func needsBrowser() error {
	return newProblem(http.StatusForbidden, codeBrowserRequired,
		"The next step of this sign-in needs a browser. Sign in at the sign-in page.")
}
