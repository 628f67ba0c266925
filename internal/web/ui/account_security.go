package ui

import (
	"errors"
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

func (s *Server) securityView(r *http.Request, m *member) (*AccountSecurityView, error) {
	f, err := s.account.Factors(r.Context(), m.caller)
	if err != nil {
		return nil, err
	}
	u := m.caller.User
	v := &AccountSecurityView{
		Base:              m.base(r),
		LoginName:         u.LoginName(),
		HasPassword:       u.PasswordHash != "",
		PasswordChangedAt: u.PasswordChangedAt,
		Rules:             s.account.PasswordRules(m.caller),
		SecondFactor:      f.Enabled(),
		Required:          f.Required,
		RequiredBy:        f.RequiredBy,
		BackupCodesLeft:   f.BackupLeft,
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
	return v, nil
}

func (s *Server) showSecurity(w http.ResponseWriter, r *http.Request, m *member) error {
	v, err := s.securityView(r, m)
	if err != nil {
		return err
	}
	return s.show(w, http.StatusOK, v)
}

// rerenderSecurity shows the page again with what was wrong in one of its forms. Several of them
// ask for the current password; key names the one in which it was wrong.
func (s *Server) rerenderSecurity(
	w http.ResponseWriter, r *http.Request, m *member, err error, key string,
) error {
	v, viewErr := s.securityView(r, m)
	if viewErr != nil {
		return viewErr
	}
	var f *fault.Error
	if errors.As(err, &f) && f.Field == "current_password" {
		err = &fault.Error{Kind: f.Kind, Field: key, Text: f.Text, Cause: err}
	}
	return s.rerender(w, r, err, v)
}

// allow limits how often a person may enter their password or a code.
func (s *Server) allow(w http.ResponseWriter, r *http.Request, m *member) error {
	return s.kit.Allow(w, r, "login", web.Subject{User: string(m.caller.User.ID)})
}

// renewSession sets a new session cookie and a new device cookie, after a change of what protects
// the account.
func (s *Server) renewSession(w http.ResponseWriter, r *http.Request, m *member) error {
	cookie, err := s.login.Renew(r.Context(), s.visit(r), s.kit.Cookie(r, web.CookieSession))
	if fault.Is(err, fault.NotFound) {
		s.kit.ClearCookie(w, web.CookieSession)
		return nil // the next page asks to sign in
	}
	if err != nil {
		return err
	}
	s.kit.SetCookie(w, web.CookieSession, cookie, s.cfg.SessionTTL)
	device, err := s.login.Remember(r.Context(), s.visit(r), m.caller.User.ID)
	if err != nil {
		return err
	}
	s.kit.SetCookie(w, web.CookieDevice, device, login.DeviceTTL)
	return nil
}

func (s *Server) postPassword(w http.ResponseWriter, r *http.Request, m *member) error {
	err := s.allow(w, r, m)
	if err == nil {
		err = identity.CheckRepeated(m.form.Get("new_password"), m.form.Get("confirm_password"))
	}
	if err == nil {
		current, password := m.form.Get("current_password"), m.form.Get("new_password")
		err = s.account.ChangePassword(r.Context(), m.caller, current, password)
	}
	if err != nil {
		return s.rerenderSecurity(w, r, m, err, "current_password")
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
		return s.rerenderSecurity(w, r, m, err, enableKey(kind))
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
	kind, password := r.PathValue("kind"), m.form.Get("current_password")
	if err := s.allow(w, r, m); err != nil {
		return s.rerenderSecurity(w, r, m, err, "")
	}
	last, err := s.account.DisableFactor(r.Context(), m.caller, kind, password)
	if err != nil {
		return s.rerenderSecurity(w, r, m, err, disableKey(kind))
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
		password := m.form.Get("current_password")
		codes, err = s.account.NewBackupCodes(r.Context(), m.caller, password)
	}
	if err != nil {
		return s.rerenderSecurity(w, r, m, err, "backup_password")
	}
	if err := s.renewSession(w, r, m); err != nil {
		return err
	}
	return s.showBackupCodes(w, r, m, codes, "/account/security")
}
