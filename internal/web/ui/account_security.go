package ui

import (
	"errors"
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/account"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

func (s *Server) securityView(r *http.Request, m *member) (*AccountSecurityView, error) {
	f, err := s.account.Factors(r.Context(), m.caller)
	if err != nil {
		return nil, err
	}
	u := m.caller.User
	ends, must := s.account.PasswordEnd(m.caller)
	v := &AccountSecurityView{
		Base:              m.base(r),
		LoginName:         u.LoginName(),
		PasswordOn:        s.login.PasswordAllowed(),
		HasPassword:       u.PasswordHash != "",
		PasswordChangedAt: u.PasswordChangedAt,
		PasswordEnd:       ends,
		PasswordMust:      must,
		Rules:             s.account.PasswordRules(m.caller),
		SecondFactor:      f.Enabled(),
		Required:          f.Required,
		RequiredBy:        f.RequiredBy,
		BackupCodesLeft:   f.BackupLeft,
	}
	if v.PasskeysOn = s.login.PasskeyServer() != ""; v.PasskeysOn {
		all, err := s.account.Passkeys(r.Context(), m.caller)
		if err != nil {
			return nil, err
		}
		v.Passkeys, v.Fresh = len(all), m.caller.Fresh()
		if v.AskChoice, v.Asks, err = s.login.AskSecond(r.Context(), u); err != nil {
			return nil, err
		}
	}
	for _, x := range f.Second {
		v.Factors = append(v.Factors, FactorView{
			Base:        &v.Base,
			Kind:        x.Kind,
			Enabled:     x.Enabled,
			Since:       x.Since,
			LastUsedAt:  x.LastUsedAt,
			Only:        f.Only(x.Kind),
			Required:    !f.Removable(x.Kind),
			HasPassword: v.HasPassword,
		})
	}
	trusted, err := s.account.TrustedBrowsers(r.Context(), m.caller)
	for _, b := range trusted {
		v.Trusted = append(v.Trusted, TrustedView{
			ID:         b.ID,
			Agent:      b.Agent,
			IP:         b.IP,
			Current:    b.Current,
			LastUsedAt: b.LastUsedAt,
			ExpiresAt:  b.ExpiresAt,
		})
	}
	return v, err
}

// postAskSecond stores whether the person is asked for a passkey after the password.
func (s *Server) postAskSecond(w http.ResponseWriter, r *http.Request, m *member) error {
	err := s.allow(w, r, m)
	ask := m.form.Get("ask") != ""
	if err == nil {
		err = s.account.AskSecond(r.Context(), m.caller, ask, m.form)
	}
	if err != nil {
		return s.rerenderSecurity(w, r, m, err, "ask")
	}
	if err := s.renewSession(w, r, m); err != nil {
		return err
	}
	done := "asks"
	if !ask {
		done = "asks_not"
	}
	return seeOther(w, r, with("/account/security", "done", done))
}

// postDistrust ends the trust in a browser.
func (s *Server) postDistrust(w http.ResponseWriter, r *http.Request, m *member) error {
	if err := s.account.Distrust(r.Context(), m.caller, m.form.Get("id")); err != nil {
		return err
	}
	return seeOther(w, r, "/account/security?done=distrusted")
}

func (s *Server) showSecurity(w http.ResponseWriter, r *http.Request, m *member) error {
	v, err := s.securityView(r, m)
	if err != nil {
		return err
	}
	return s.show(w, http.StatusOK, v)
}

// rerenderSecurity shows the page again with what was wrong in one of its forms. Several of them
// ask for the current password and a code; form names the one in which they were wrong, and is ""
// for the form that changes the password.
func (s *Server) rerenderSecurity(
	w http.ResponseWriter, r *http.Request, m *member, err error, form string,
) error {
	v, viewErr := s.securityView(r, m)
	if viewErr != nil {
		return viewErr
	}
	return s.rerender(w, r, inForm(err, form), v)
}

// inForm returns an error with the keys that inputs of a form have on the security page.
func inForm(err error, form string) error {
	var f *fault.Error
	if form == "" || !errors.As(err, &f) || f.Field == "" {
		return err
	}
	keys := map[string]string{"current_password": passwordKey(form), "code": codeKey(form)}
	var inputs []error
	for _, input := range f.Inputs() {
		if key := keys[input.Field]; key != "" {
			input.Field = key
		}
		inputs = append(inputs, input)
	}
	return fault.Join(inputs...)
}

func passwordKey(form string) string { return form + "_password" }
func codeKey(form string) string     { return form + "_code" }

// formBackup names the form that makes new backup codes.
const formBackup = "backup"

// allow limits how often a person may enter their password or a code.
func (s *Server) allow(w http.ResponseWriter, r *http.Request, m *member) error {
	return s.kit.Allow(w, r, "login", web.Subject{User: string(m.caller.User.ID)})
}

// renewSession sets a new session cookie and a new device cookie, after a change of what protects
// the account.
func (s *Server) renewSession(w http.ResponseWriter, r *http.Request, m *member) error {
	v := s.visit(r)
	cookie, sess, err := s.login.Renew(r.Context(), v, s.kit.Cookie(r, web.CookieSession))
	if fault.Is(err, fault.NotFound) {
		s.kit.ClearCookie(w, web.CookieSession)
		return nil // the next page asks to sign in
	}
	if err != nil {
		return err
	}
	s.kit.SetCookie(w, web.CookieSession, cookie, login.CookieTTL(v, sess))
	device, err := s.login.Remember(r.Context(), v, m.caller.User.ID)
	if err != nil {
		return err
	}
	s.kit.SetCookie(w, web.CookieDevice, device, login.DeviceTTL)
	return nil
}

func (s *Server) postPassword(w http.ResponseWriter, r *http.Request, m *member) error {
	err := s.allow(w, r, m)
	if err == nil {
		err = s.account.ChangePassword(r.Context(), m.caller, account.PasswordChange{
			Current:  m.form.Get("current_password"),
			New:      m.form.Get("new_password"),
			Repeated: m.form.Get("confirm_password"),
		})
	}
	if err != nil {
		return s.rerenderSecurity(w, r, m, err, "")
	}
	if err := s.renewSession(w, r, m); err != nil {
		return err
	}
	return seeOther(w, r, "/account/security?done=password")
}

func (s *Server) postEnableFactor(w http.ResponseWriter, r *http.Request, m *member) error {
	kind, password := r.PathValue("kind"), m.form.Get("current_password")
	if err := s.allow(w, r, m); err != nil {
		return s.rerenderSecurity(w, r, m, err, "")
	}
	e, err := s.account.EnrollFactor(r.Context(), m.caller, kind, password)
	if err != nil {
		return s.rerenderSecurity(w, r, m, err, enableForm(kind))
	}
	return s.show(w, http.StatusOK, accountEnrollView(m.base(r), m.caller.User, e))
}

func (s *Server) postConfirmFactor(w http.ResponseWriter, r *http.Request, m *member) error {
	ctx, kind := r.Context(), r.PathValue("kind")
	if err := s.allow(w, r, m); err != nil {
		return s.rerenderSecurity(w, r, m, err, "")
	}
	codes, err := s.account.ConfirmFactor(ctx, m.caller, kind, m.form)
	next := "/account/security?done=" + kind + doneOn
	if err == nil {
		if err := s.renewSession(w, r, m); err != nil {
			return err
		}
	}
	switch {
	case err == nil && len(codes) == 0:
		return seeOther(w, r, next)
	case err == nil:
		return s.showBackupCodes(w, r, m, codes, next)
	case !fault.Is(err, fault.Denied) && !fault.Is(err, fault.Invalid):
		return s.rerenderSecurity(w, r, m, err, "")
	}
	e, resumeErr := s.account.ResumeEnrollment(ctx, m.caller, kind, m.form.Get("enrollment"))
	if resumeErr != nil {
		return s.rerenderSecurity(w, r, m, resumeErr, "")
	}
	return s.rerender(w, r, err, accountEnrollView(m.base(r), m.caller.User, e))
}

func (s *Server) showBackupCodes(
	w http.ResponseWriter, r *http.Request, m *member, codes []string, next string,
) error {
	return s.show(w, http.StatusOK, &BackupCodesView{
		Base:    m.base(r),
		Account: m.caller.User.LoginName(),
		Codes:   codes,
		DoneURL: next,
	})
}

func (s *Server) postDisableFactor(w http.ResponseWriter, r *http.Request, m *member) error {
	kind := r.PathValue("kind")
	if err := s.allow(w, r, m); err != nil {
		return s.rerenderSecurity(w, r, m, err, "")
	}
	last, err := s.account.DisableFactor(r.Context(), m.caller, kind, m.form)
	if err != nil {
		return s.rerenderSecurity(w, r, m, err, disableForm(kind))
	}
	if err := s.renewSession(w, r, m); err != nil {
		return err
	}
	ending := doneRemoved
	if last {
		ending = doneOff
	}
	return seeOther(w, r, "/account/security?done="+kind+ending)
}

func (s *Server) postBackupCodes(w http.ResponseWriter, r *http.Request, m *member) error {
	err := s.allow(w, r, m)
	var codes []string
	if err == nil {
		codes, err = s.account.NewBackupCodes(r.Context(), m.caller, m.form)
	}
	if err != nil {
		return s.rerenderSecurity(w, r, m, err, formBackup)
	}
	if err := s.renewSession(w, r, m); err != nil {
		return err
	}
	return s.showBackupCodes(w, r, m, codes, "/account/security")
}
