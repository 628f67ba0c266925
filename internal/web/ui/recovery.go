package ui

import (
	"net/http"
	"net/url"

	"github.com/gatehouse-id/gatehouse/internal/web"
)

// recoveryRoutes returns the pages for people who cannot sign in.
func (s *Server) recoveryRoutes() []route {
	return []route{
		{"GET /forgot-password", s.showForgot},
		{"POST /forgot-password", s.postForgot},
	}
}

// showForgot asks for the address of the account whose password is forgotten, or whose passkeys are
// lost.
func (s *Server) showForgot(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(r)
	if err != nil {
		return err
	}
	v := s.forgotView(r, form)
	if form.Get("done") == "undone" {
		v.Notice = v.T("joining.undo.done")
	}
	return s.show(w, http.StatusOK, v)
}

func (s *Server) forgotView(r *http.Request, form url.Values) *ForgotView {
	passkeys := s.login.FirstIsPasskey()
	return &ForgotView{
		Base:     begin(r),
		Form:     signInForm(form),
		Email:    form.Get("email"),
		Passkeys: passkeys,
		Wait:     s.login.RecoveryDelay(),
		Closed: passkeys && !s.login.ReplacesPasskeys() ||
			!passkeys && !(s.login.CanMail() && s.login.PasswordAllowed()),
	}
}

// signInForm returns the fields that lead back to the sign-in that a person came from.
func signInForm(form url.Values) Form {
	return Form{Flow: form.Get("flow"), Next: ownPath(form.Get("next"))}
}

// postForgot asks for a link by mail. The answer is the same whether the account exists or not.
func (s *Server) postForgot(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(r)
	if err != nil {
		return err
	}
	email := form.Get("email")
	// The limit counts by address alone: the caller has not proved to be the account's owner.
	if err := s.kit.Allow(w, r, "password_reset", web.Subject{}); err != nil {
		return s.rerender(w, r, err, s.forgotView(r, form))
	}
	err = s.login.RequestPasswordReset(r.Context(), s.visit(r), email, s.visit(r).Locale)
	if err != nil {
		return s.rerender(w, r, err, s.forgotView(r, form))
	}
	return s.show(w, http.StatusOK, &ForgotSentView{
		Base:     begin(r),
		Form:     signInForm(form),
		Email:    email,
		Passkeys: s.login.FirstIsPasskey(),
		Mailbox:  s.mailbox != nil,
	})
}
