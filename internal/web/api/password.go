package api

import (
	"errors"
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// maxName bounds the names that a password is compared with, in bytes.
const maxName = 320

// assessment is what the policy says about a password.
type assessment struct {
	Valid    bool              `json:"valid"`
	Errors   []string          `json:"errors"`
	Unmet    []string          `json:"unmet"` // the codes of the rules that the errors are about
	Strength identity.Strength `json:"strength"`
}

// validatePassword reports whether a password could be set. The email address, username and name of
// the account are optional; a password must not be built on them. Nothing is stored.
func (s *Server) validatePassword(w http.ResponseWriter, r *http.Request) error {
	if err := s.kit.Allow(w, r, "validate_password", web.Subject{}); err != nil {
		return err
	}
	in, err := s.members(r, "password", "email", "username", "name")
	if err != nil {
		return err
	}
	if !in.Has("password") {
		return fault.InvalidField("password", "Send the password to check.")
	}
	for _, name := range []string{"email", "username", "name"} {
		if len(in.Get(name)) > maxName {
			return fault.InvalidField(name, "This name is too long. At most %d bytes are accepted.", maxName)
		}
	}
	u := &identity.User{Email: in.Get("email"), Username: in.Get("username"), Name: in.Get("name")}
	a, err := s.login.AssessPassword(r.Context(), u, in.Get("password"))
	if err != nil {
		return err
	}
	out := assessment{
		Valid:    len(a.Wrong) == 0,
		Errors:   append([]string{}, a.Texts()...),
		Unmet:    []string{},
		Strength: a.Strength,
	}
	for _, w := range a.Wrong {
		out.Unmet = append(out.Unmet, w.Reason)
	}
	write(w, http.StatusOK, "application/json", out)
	return nil
}

// done is the answer of an operation that returns nothing else.
type done struct {
	Success bool   `json:"success"`
	Message string `json:"message,omitempty"`
}

// requestReset asks for a link by mail to set a new password, as the page does. The answer is the
// same whether the account exists or not.
func (s *Server) requestReset(w http.ResponseWriter, r *http.Request) error {
	in, err := s.members(r, "email")
	if err != nil {
		return err
	}
	if err := s.kit.Allow(w, r, "password_reset", web.Subject{}); err != nil {
		return err
	}
	locale := r.Header.Get("Accept-Language")
	if err := s.login.RequestPasswordReset(r.Context(), visit(r), in.Get("email"), locale); err != nil {
		return err
	}
	write(w, http.StatusOK, "application/json", done{
		Success: true,
		Message: "If an account with that email address exists, a reset link has been sent.",
	})
	return nil
}

// completeReset sets the password of a link.
func (s *Server) completeReset(w http.ResponseWriter, r *http.Request) error {
	in, err := s.members(r, "token", "password")
	if err != nil {
		return err
	}
	token, password := in.Get("token"), in.Get("password")
	u, err := s.login.LinkUser(r.Context(), visit(r), token)
	if fault.Is(err, fault.Consumed) {
		return invalidToken(w, r, err)
	}
	if err != nil {
		return err
	}
	// A password that the policy rejects costs little and is not counted: the link is a secret.
	if err := s.login.CheckPolicy(r.Context(), u, password); err != nil {
		return atPassword(err)
	}
	if err := s.kit.Allow(w, r, "password_reset", web.Subject{User: string(u.ID)}); err != nil {
		return err
	}
	_, err = s.login.UsePasswordLink(r.Context(), visit(r), token, password)
	if fault.Is(err, fault.Consumed) {
		return invalidToken(w, r, err)
	}
	if err != nil {
		return atPassword(err)
	}
	write(w, http.StatusOK, "application/json", done{Success: true})
	return nil
}

// atPassword returns an error about the page's input as one about the member.
func atPassword(err error) error {
	var f *fault.Error
	if !errors.As(err, &f) || f.Field != "new_password" {
		return err
	}
	var all []error
	for _, input := range f.Inputs() {
		input.Field = "password"
		all = append(all, input)
	}
	return fault.Join(all...)
}

// invalidToken answers that a link was used, has expired or is none.
func invalidToken(w http.ResponseWriter, r *http.Request, err error) error {
	web.EventOf(r.Context()).Err = err
	p := problemOf(err)
	p.Status, p.Title, p.Error = http.StatusBadRequest, http.StatusText(http.StatusBadRequest), codeInvalidToken
	writeProblem(w, r, p)
	return nil
}
