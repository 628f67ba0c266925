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
	v := &AccountSecurityView{
		Base:              m.base(r),
		LoginName:         m.user.LoginName(),
		HasPassword:       m.user.PasswordHash != "",
		PasswordChangedAt: m.user.PasswordChangedAt,
		Rules:             s.login.PasswordRules(m.user),
		SecondFactor:      f.Enabled(),
		BackupCodesLeft:   f.BackupLeft,
	}
	for _, x := range f.Second {
		v.Factors = append(v.Factors, FactorView{
			Base:        v.Base,
			Kind:        x.Kind,
			Enabled:     x.Enabled,
			Since:       x.Since,
			LastUsedAt:  x.LastUsedAt,
			Only:        f.Only(x.Kind),
			Required:    f.Only(x.Kind) && s.cfg.MFARequired(m.user),
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

func (s *Server) postEnableFactor(w http.ResponseWriter, r *http.Request, m *member) error {
	kind := r.PathValue("kind")
	if err := s.confirmed(w, r, m, enableKey(kind)); err != nil {
		return s.rerenderSecurity(w, r, m, err)
	}
	v, err := s.accountEnrollView(r, m, kind)
	if err != nil {
		return s.rerenderSecurity(w, r, m, err)
	}
	return s.show(w, http.StatusOK, v)
}

func (s *Server) accountEnrollView(
	r *http.Request, m *member, kind string,
) (*EnrollView, error) {
	e, err := s.login.Enroll(r.Context(), visit(r), m.user, kind, m.form.Get("enrollment"))
	if err != nil {
		return nil, err
	}
	v := enrollView(m.base(r), m.user, e)
	v.Action, v.CancelURL = "/account/security/"+kind+"/confirm", "/account/security"
	return v, nil
}

func (s *Server) postConfirmFactor(w http.ResponseWriter, r *http.Request, m *member) error {
	if err := s.kit.Allow(w, r, "login", web.Subject{User: string(m.user.ID)}); err != nil {
		return s.rerenderSecurity(w, r, m, err)
	}
	kind := r.PathValue("kind")
	codes, err := s.login.ConfirmEnrollment(r.Context(), visit(r), m.user, kind, m.form)
	next := "/account/security?done=" + kind + doneOn
	switch {
	case err == nil && len(codes) == 0:
		return seeOther(w, r, next)
	case err == nil:
		return s.showBackupCodes(w, r, m, codes, next)
	case !fault.Is(err, fault.Denied) && !fault.Is(err, fault.Invalid):
		return s.rerenderSecurity(w, r, m, err)
	}
	v, viewErr := s.accountEnrollView(r, m, kind)
	if viewErr != nil {
		return viewErr
	}
	return s.rerender(w, r, err, v)
}

func (s *Server) showBackupCodes(
	w http.ResponseWriter, r *http.Request, m *member, codes []string, next string,
) error {
	return s.show(w, http.StatusOK, &BackupCodesView{
		Base:    m.base(r),
		Account: m.user.LoginName(),
		Codes:   codes,
		DoneURL: next,
	})
}

func (s *Server) postDisableFactor(w http.ResponseWriter, r *http.Request, m *member) error {
	kind := r.PathValue("kind")
	f, err := s.login.Factors(r.Context(), m.user.ID)
	if err != nil {
		return err
	}
	if f.Only(kind) && s.cfg.MFARequired(m.user) {
		return s.rerenderSecurity(w, r, m, fault.New(fault.Denied,
			"Your account requires two-step verification, so it cannot be turned off."))
	}
	if err := s.confirmed(w, r, m, disableKey(kind)); err != nil {
		return s.rerenderSecurity(w, r, m, err)
	}
	if err := s.login.RemoveFactor(r.Context(), visit(r), m.user.ID, kind); err != nil {
		return s.rerenderSecurity(w, r, m, err)
	}
	ending := doneRemoved
	if f.Only(kind) {
		ending = doneOff
	}
	return seeOther(w, r, "/account/security?done="+kind+ending)
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
