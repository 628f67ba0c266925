package accounts

import (
	"net/http"
	"net/url"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// confirm checks that it is the person who asks for a change that could hand the account over: by a
// recent sign-in with any factor, by the password, and the second factor if there is one, or of an
// account without a password, by the second factor.
func (s *Server) confirm(c *call, b body) error {
	in, err := b.texts("currentPassword", "totp")
	if err != nil {
		return err
	}
	if in["currentPassword"] == "" && c.caller().Fresh() {
		return nil
	}
	if c.user.PasswordHash == "" && in["totp"] != "" {
		err := s.Login.ProveFactor(c.r.Context(), c.visit(), c.user, url.Values{"code": {in["totp"]}})
		return renamed(wrongPassword(err), "code", "totp")
	}
	if in["currentPassword"] == "" {
		return newProblem(http.StatusForbidden, codeLoginRequired,
			"Sign in again in any way, or send currentPassword if the account has a password, "+
				"and totp if two-step verification is on.")
	}
	err = s.Login.Reauthenticate(c.r.Context(), c.visit(), c.user, url.Values{
		"password": {in["currentPassword"]},
		"code":     {in["totp"]},
	})
	return renamed(renamed(wrongPassword(err), "password", "currentPassword"), "code", "totp")
}

// wrongPassword returns the error of a password or code of a signed-in person that is wrong.
func wrongPassword(err error) error {
	if f := fieldError(err); f != nil && f.Kind == fault.Denied {
		if f.Field == "code" {
			return newProblem(http.StatusUnauthorized, codeCodeNotValid, f.Text)
		}
		return newProblem(http.StatusUnauthorized, codeIncorrectPassword, f.Text)
	}
	return err
}

// emails returns the addresses of the caller, the primary one first.
func (s *Server) emails(c *call, u *identity.User) ([]emailView, error) {
	others, err := s.Users.UserEmails(c.r.Context(), u.ID)
	if err != nil {
		return nil, err
	}
	all := []emailView{}
	if u.Email != "" {
		e := emailView{ID: u.Email, Type: "emails", CreatedMs: millis(u.CreatedAt)}
		if u.EmailVerified {
			e.VerifiedMs = millis(u.EmailVerifiedAt)
			if u.EmailVerifiedAt.IsZero() { // verified before the time of that was recorded
				e.VerifiedMs = millis(u.CreatedAt)
			}
		}
		all = append(all, e)
	}
	for _, e := range others {
		all = append(all, emailView{e.Email, "emails", millis(e.VerifiedAt), millis(e.CreatedAt)})
	}
	return all, nil
}

func (s *Server) listEmails(w http.ResponseWriter, c *call) error {
	if err := c.own(); err != nil {
		return err
	}
	all, err := s.emails(c, c.user)
	if err != nil {
		return err
	}
	return writeAll(w, c, all)
}

// addEmail sends a code to a further address. It becomes one of the account when the code comes
// back; the answer is the same for an address of another account.
func (s *Server) addEmail(w http.ResponseWriter, c *call) error {
	b, err := c.readOwn("email", "currentPassword", "totp")
	if err != nil {
		return err
	}
	email, err := b.text("email")
	if err != nil {
		return err
	}
	if err := s.confirm(c, b); err != nil {
		return err
	}
	err = s.Login.RequestEmail(c.r.Context(), c.visit(), c.user, login.ConfirmAdd, email, false)
	if err != nil {
		return err
	}
	return writeOne(w, c, http.StatusCreated, emailView{ID: email, Type: "emails"})
}

// readOwn returns the members of the body of a request about the caller's own account.
func (c *call) readOwn(names ...string) (body, error) {
	if err := c.own(); err != nil {
		return nil, err
	}
	if c.r.ContentLength == 0 {
		return body{}, nil
	}
	return c.read(append(names, "id")...)
}

func (s *Server) removeEmail(w http.ResponseWriter, c *call) error {
	b, err := c.readOwn("currentPassword", "totp")
	if err != nil {
		return err
	}
	email := c.r.PathValue("email")
	if identity.LoginKey(email) == identity.LoginKey(c.user.Email) {
		return newProblem(http.StatusConflict, codeLastEmail,
			"This is the primary address. Make another one the primary address first.")
	}
	if err := s.confirm(c, b); err != nil {
		return err
	}
	if err := s.Login.RemoveEmail(c.r.Context(), c.visit(), c.user, email); err != nil {
		return err
	}
	return writeNothing(w, c)
}

// sendVerification sends a code to an address again.
func (s *Server) sendVerification(w http.ResponseWriter, c *call) error {
	b, err := c.readOwn("currentPassword", "totp")
	if err != nil {
		return err
	}
	ctx, email := c.r.Context(), c.r.PathValue("email")
	if identity.LoginKey(email) == identity.LoginKey(c.user.Email) {
		err = s.Login.SendVerification(ctx, c.visit(), c.user)
	} else if err = s.confirm(c, b); err == nil {
		err = s.Login.RequestEmail(ctx, c.visit(), c.user, login.ConfirmAdd, email, false)
	}
	if err != nil {
		return err
	}
	return writeNothing(w, c)
}

// verifyEmail proves an address by the code that was sent to it.
func (s *Server) verifyEmail(w http.ResponseWriter, c *call) error {
	b, err := c.readOwn("code")
	if err != nil {
		return err
	}
	code, err := b.text("code")
	if err != nil {
		return err
	}
	err = s.Login.ConfirmByCode(c.r.Context(), c.visit(), c.user, c.r.PathValue("email"), code)
	switch {
	case fault.Reason(err) != "":
		return err
	case fault.Is(err, fault.Denied):
		return newProblem(http.StatusUnauthorized, codeEmailCode, fault.Text(err))
	case fault.Is(err, fault.Consumed):
		return newProblem(http.StatusConflict, codeDuplicateEmail, fault.Text(err))
	case err != nil:
		return err
	}
	return writeNothing(w, c)
}

// deleteUser ends the caller's access and has the account erased when the days of grace are over.
func (s *Server) deleteUser(w http.ResponseWriter, c *call) error {
	b, err := c.readOwn("currentPassword", "totp")
	if err != nil {
		return err
	}
	in, err := b.texts("currentPassword", "totp")
	if err != nil {
		return err
	}
	_, err = s.Account.RequestDeletion(c.r.Context(), c.caller(), url.Values{
		"current_password": {in["currentPassword"]},
		"code":             {in["totp"]},
	})
	if err != nil {
		return renamed(renamed(wrongPassword(err), "current_password", "currentPassword"), "code", "totp")
	}
	return writeNothing(w, c)
}

// createUser begins the account of a new person. The answer is the same whether the address belongs
// to an account or not: a code was sent, and the step `code` with it makes the account.
func (s *Server) createUser(w http.ResponseWriter, c *call) error {
	names := []string{"email", "name", "username", "password", "passwordConf", "referrer", "state"}
	b, err := c.read(names...)
	if err != nil {
		return err
	}
	in, err := b.texts(names...)
	if err != nil {
		return err
	}
	if !hexadecimal(in["state"], stateSize) {
		return newProblem(http.StatusBadRequest, codeState,
			"The state must be 32 random hexadecimal characters, the same in all steps.")
	}
	if conf := in["passwordConf"]; conf != "" && conf != in["password"] {
		return invalidField("passwordConf", "The two passwords are not the same.")
	}
	// Counted by address alone, as on the page: the caller has proved nothing.
	if err := s.Kit.Allow(w, c.r, "register", web.Subject{}); err != nil {
		return err
	}
	if err := s.Kit.AllowEach(w, c.r, RateName, identity.LoginKey(in["email"])); err != nil {
		return err
	}
	err = s.Login.SignUpState(c.r.Context(), c.visit(), c.client, in["state"], login.SignUpForm{
		Email:    in["email"],
		Name:     in["name"],
		Username: in["username"],
		Password: in["password"],
	})
	if err != nil {
		return err
	}
	write(w, c.r, http.StatusCreated, stepAnswer{T: "step", Step: "code", State: in["state"]})
	return nil
}
