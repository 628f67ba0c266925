package ui

import (
	"encoding/base64"
	"net/http"
	"net/url"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// showSetup opens the one-time link that creates the first administrator.
func (s *Server) showSetup(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(r)
	if err != nil {
		return err
	}
	token := form.Get("token")
	if err := s.login.CheckSetupLink(r.Context(), s.visit(r), token); err != nil {
		return err
	}
	return s.show(w, http.StatusOK, s.setupView(r, token))
}

func (s *Server) setupView(r *http.Request, token string) *SetupView {
	admin := &identity.User{Roles: []string{identity.RoleSuperAdmin}}
	return &SetupView{Base: begin(r), Token: token, Rules: s.firstRules(admin)}
}

// firstRules returns what the password of a first administrator must be like, or nil where people
// begin with a passkey.
func (s *Server) firstRules(u *identity.User) []identity.Rule {
	if s.login.FirstIsPasskey() {
		return nil
	}
	return s.login.PasswordRules(u)
}

func (s *Server) postSetup(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(r)
	if err != nil {
		return err
	}
	v := s.setupView(r, form.Get("token"))
	v.Email, v.Username, v.Name = form.Get("email"), form.Get("username"), form.Get("name")
	if err := s.login.CheckSetupLink(r.Context(), s.visit(r), v.Token); err != nil {
		return err
	}
	st, err := s.login.CompleteSetup(r.Context(), s.visit(r), v.Token, login.SetupForm{
		Email: v.Email, Username: v.Username, Name: v.Name, Password: form.Get("password"),
	})
	if err != nil {
		return s.rerender(w, r, err, v)
	}
	return s.followStep(w, r, loginContext{}, st)
}

// showReset opens a one-time link that sets a password.
func (s *Server) showReset(r *http.Request, _ url.Values, token string) (View, error) {
	u, err := s.login.LinkUser(r.Context(), s.visit(r), token)
	if err != nil {
		return nil, err
	}
	return s.resetPage(r, u, token), nil
}

func (s *Server) resetView(r *http.Request, u *identity.User, token string) *NewPasswordView {
	b := begin(r)
	b.setLanguage(u)
	return &NewPasswordView{
		Base:    b,
		Form:    Form{Action: "/reset-password", Hidden: []Pair{{Name: "token", Value: token}}},
		Account: u.LoginName(),
		Rules:   s.login.PasswordRules(u),
		Reason:  b.T("login.new-password.link"),
	}
}

// resetPage returns the page of a link that replaces what a person has lost: a password, or where
// people sign in with nothing else, the passkeys.
func (s *Server) resetPage(r *http.Request, u *identity.User, token string) View {
	v := s.resetView(r, u, token)
	if s.login.PasswordAllowed() {
		return v
	}
	return &InvitationView{Base: v.Base, Form: v.Form, Email: v.Account, Replace: true}
}

func (s *Server) postReset(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(r)
	if err != nil {
		return err
	}
	token, _, err := s.mailedToken(w, r, form)
	if err != nil {
		return err
	}
	u, err := s.login.LinkUser(r.Context(), s.visit(r), token)
	if err != nil {
		return err
	}
	if !s.login.PasswordAllowed() {
		return s.postResetPasskeys(w, r, u, token)
	}
	password, repeated := form.Get("new_password"), form.Get("confirm_password")
	if !form.Has("new_password") { // the names that scripts use
		password, repeated = form.Get("password"), form.Get("password_confirmation")
	}
	// A password that the policy rejects costs little and is not counted: the link is a secret.
	err = fault.Join(
		s.login.CheckPolicy(r.Context(), u, password),
		identity.CheckRepeated(password, repeated),
	)
	if err == nil {
		err = s.kit.Allow(w, r, "password_reset", web.Subject{User: string(u.ID)})
	}
	if err == nil {
		_, err = s.login.UsePasswordLink(r.Context(), s.visit(r), token, password)
	}
	if err != nil {
		return s.rerender(w, r, err, s.resetView(r, u, token))
	}
	return s.passwordSet(w, r, u)
}

// postResetPasskeys begins to replace the passkeys of the link's user.
func (s *Server) postResetPasskeys(
	w http.ResponseWriter, r *http.Request, u *identity.User, token string,
) error {
	err := s.kit.Allow(w, r, "password_reset", web.Subject{User: string(u.ID)})
	var st login.Step
	if err == nil {
		st, err = s.login.UsePasskeyLink(r.Context(), s.visit(r), token)
	}
	if err != nil {
		return s.rerender(w, r, err, s.resetPage(r, u, token))
	}
	return s.joined(w, r, loginContext{}, st)
}

// passwordSet sends a person whose password a link has set to sign in with it.
func (s *Server) passwordSet(w http.ResponseWriter, r *http.Request, u *identity.User) error {
	s.kit.ClearCookie(w, web.CookieLink)
	name := base64.RawURLEncoding.EncodeToString([]byte(u.LoginName()))
	s.kit.SetCookie(w, web.CookieName, name, nameTTL)
	return seeOther(w, r, with("/login", "done", "password"))
}
