package ui

import (
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

func (s *Server) securityView(r *http.Request, m *member) (*AccountSecurityView, error) {
	f, err := s.login.Factors(r.Context(), m.user.ID)
	if err != nil {
		return nil, err
	}
	return &AccountSecurityView{
		Base: m.base(r), LoginName: m.user.LoginName(), HasPassword: m.user.PasswordHash != "", PasswordChangedAt: m.user.PasswordChangedAt,
		Rules: s.login.PasswordRules(m.user), TOTP: f.TOTP, TOTPRequired: s.opt.MFARequired(m.user), TOTPSince: f.Since, BackupCodesLeft: f.BackupLeft,
	}, nil
}

func (s *Server) showSecurity(w http.ResponseWriter, r *http.Request, m *member) error {
	v, err := s.securityView(r, m)
	if err != nil {
		return err
	}
	return s.show(w, http.StatusOK, v)
}

// rerenderSecurity shows the page once more with what was wrong in one of its forms.
func (s *Server) rerenderSecurity(w http.ResponseWriter, r *http.Request, m *member, err error) error {
	v, verr := s.securityView(r, m)
	if verr != nil {
		return verr
	}
	return s.rerender(w, r, err, v)
}

func (s *Server) postPassword(w http.ResponseWriter, r *http.Request, m *member) error {
	if err := s.kit.Allow(w, r, "login", web.Subject{User: string(m.user.ID)}); err != nil {
		return s.rerenderSecurity(w, r, m, err)
	}
	err := checkConfirmation(m.form)
	if err == nil {
		err = s.login.ChangePassword(r.Context(), visit(r), m.user, login.Change{
			Current: m.form.Get("current_password"), New: m.form.Get("new_password"), Keep: m.session.ID,
		})
		if fault.Is(err, fault.Denied) {
			err = ownError(err, "current_password")
		}
	}
	if err != nil {
		return s.rerenderSecurity(w, r, m, err)
	}
	return seeOther(w, r, "/account/security?done=password")
}

// confirmed asks for the password before a dangerous change: who finds an unlocked screen must not take the account over.
func (s *Server) confirmed(w http.ResponseWriter, r *http.Request, m *member, field string) error {
	if err := s.kit.Allow(w, r, "login", web.Subject{User: string(m.user.ID)}); err != nil {
		return err
	}
	return ownError(s.login.CheckPassword(r.Context(), visit(r), m.user, m.form.Get("current_password")), field)
}

func (s *Server) postEnableTOTP(w http.ResponseWriter, r *http.Request, m *member) error {
	if err := s.confirmed(w, r, m, "enable_password"); err != nil {
		return s.rerenderSecurity(w, r, m, err)
	}
	v, err := s.accountEnrollView(r, m)
	if err != nil {
		return s.rerenderSecurity(w, r, m, err)
	}
	return s.show(w, http.StatusOK, v)
}

func (s *Server) accountEnrollView(r *http.Request, m *member) (*EnrollView, error) {
	e, err := s.login.BeginEnroll(r.Context(), visit(r), m.user)
	if err != nil {
		return nil, err
	}
	return &EnrollView{
		Base: m.base(r), Form: Form{Action: "/account/security/totp/confirm"}, Account: m.user.LoginName(), URI: e.URL, Key: e.Secret,
		CancelURL: "/account/security",
	}, nil
}

func (s *Server) postConfirmTOTP(w http.ResponseWriter, r *http.Request, m *member) error {
	if err := s.kit.Allow(w, r, "login", web.Subject{User: string(m.user.ID)}); err != nil {
		return s.rerenderSecurity(w, r, m, err)
	}
	codes, err := s.login.ConfirmEnroll(r.Context(), visit(r), m.user.ID, m.form.Get("code"))
	if err == nil {
		return s.showBackupCodes(w, r, m, codes, "/account/security?done=totp_on")
	}
	if !fault.Is(err, fault.Denied) && !fault.Is(err, fault.Invalid) {
		return s.rerenderSecurity(w, r, m, err)
	}
	v, verr := s.accountEnrollView(r, m)
	if verr != nil {
		return verr
	}
	return s.rerender(w, r, err, v)
}

func (s *Server) showBackupCodes(w http.ResponseWriter, r *http.Request, m *member, codes []string, done string) error {
	return s.show(w, http.StatusOK, &BackupCodesView{Base: m.base(r), Account: m.user.LoginName(), Codes: codes, DoneURL: done})
}

func (s *Server) postDisableTOTP(w http.ResponseWriter, r *http.Request, m *member) error {
	if s.opt.MFARequired(m.user) {
		return s.rerenderSecurity(w, r, m, fault.New(fault.Denied, "Your account must have a second step, so it cannot be switched off."))
	}
	if err := s.confirmed(w, r, m, "disable_password"); err != nil {
		return s.rerenderSecurity(w, r, m, err)
	}
	if err := s.login.DisableTOTP(r.Context(), visit(r), m.user.ID); err != nil {
		return s.rerenderSecurity(w, r, m, err)
	}
	return seeOther(w, r, "/account/security?done=totp_off")
}

func (s *Server) postBackupCodes(w http.ResponseWriter, r *http.Request, m *member) error {
	if err := s.confirmed(w, r, m, "backup_password"); err != nil {
		return s.rerenderSecurity(w, r, m, err)
	}
	codes, err := s.login.NewBackupCodes(r.Context(), visit(r), m.user.ID)
	if err != nil {
		return s.rerenderSecurity(w, r, m, err)
	}
	return s.showBackupCodes(w, r, m, codes, "/account/security")
}
