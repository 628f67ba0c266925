package ui

import (
	"net/http"
	"net/url"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// pendingSignIn is a request of a browser that is in the middle of signing in.
type pendingSignIn struct {
	*login.Pending
	form   url.Values
	lc     loginContext
	sealed string // the sign-in as the browser carries it
}

// atStep serves a page of one step of signing in. A browser whose sign-in is at another step, has
// expired, or was never started is redirected to the start.
func (s *Server) atStep(
	step string, h func(w http.ResponseWriter, r *http.Request, p *pendingSignIn) error,
) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		form, err := s.form(r)
		if err != nil {
			return err
		}
		lc, err := s.loginContext(r, form)
		if err != nil {
			return err
		}
		p := &pendingSignIn{form: form, lc: lc, sealed: s.kit.Cookie(r, web.CookieLogin)}
		if p.sealed == "" {
			return seeOther(w, r, lc.url("/login"))
		}
		p.Pending, err = s.login.Pending(r.Context(), s.visit(r), p.sealed)
		if err == nil && p.Step == step {
			return h(w, r, p)
		}
		if fault.Reason(err) == audit.ReasonLocked {
			return s.showLocked(w, r, lc, err)
		}
		switch fault.KindOf(err) {
		case fault.Invalid, fault.Consumed, fault.Denied, fault.NotFound:
			err = nil
		}
		if err != nil {
			return err
		}
		s.kit.ClearCookie(w, web.CookieLogin)
		return seeOther(w, r, lc.url("/login"))
	}
}

// showLocked shows the sign-in page while a second step is locked. The sign-in that waited for it
// has ended.
func (s *Server) showLocked(
	w http.ResponseWriter, r *http.Request, lc loginContext, err error,
) error {
	s.kit.ClearCookie(w, web.CookieLogin)
	v, viewErr := s.loginView(r, lc)
	if viewErr != nil {
		return viewErr
	}
	return s.rerender(w, r, err, v)
}

func (s *Server) showCode(w http.ResponseWriter, r *http.Request, p *pendingSignIn) error {
	v, err := s.codeView(r, p)
	if err != nil {
		return err
	}
	return s.show(w, http.StatusOK, v)
}

func (s *Server) codeView(r *http.Request, p *pendingSignIn) (*CodeView, error) {
	c, err := s.login.Challenge(r.Context(), s.visit(r), p.Pending)
	if err != nil {
		return nil, err
	}
	v := &CodeView{
		Base:       p.lc.base(r),
		Form:       p.lc.form(),
		Account:    p.User.LoginName(),
		Kind:       p.Kind,
		SentTo:     c.SentTo,
		Options:    c.Options,
		StartURL:   p.lc.url("/login", "other", "1"),
		RecoverURL: p.lc.url("/recover"),
	}
	if p.Trust {
		v.TrustFor, v.Trust = s.login.TrustFor(), p.form.Get(fieldTrust) != ""
	}
	for _, kind := range p.Others {
		v.Others = append(v.Others, FactorChoice{Kind: kind})
	}
	return v, nil
}

// fieldTrust names the check box by which a person trusts the browser.
const fieldTrust = "trust_browser"

// postCode checks the answer to a second factor, or switches to another one.
func (s *Server) postCode(w http.ResponseWriter, r *http.Request, p *pendingSignIn) error {
	err := s.kit.Allow(w, r, "login", web.Subject{User: string(p.User.ID)})
	var st login.Step
	if kind := p.form.Get("choose"); err == nil && kind != "" {
		st, err = s.login.Choose(r.Context(), s.visit(r), p.sealed, kind)
	} else if err == nil {
		st, err = s.login.Continue(r.Context(), s.visit(r), p.sealed, login.StepFactor, p.form)
	}
	if err == nil {
		return s.followStep(w, r, p.lc, st)
	}
	if fault.Reason(err) == audit.ReasonLocked {
		return s.showLocked(w, r, p.lc, err)
	}
	v, viewErr := s.codeView(r, p)
	if viewErr != nil {
		return viewErr
	}
	return s.rerender(w, r, err, v)
}

func (s *Server) showEnroll(w http.ResponseWriter, r *http.Request, p *pendingSignIn) error {
	v, err := s.loginEnrollView(r, p)
	if err != nil {
		return err
	}
	return s.show(w, http.StatusOK, v)
}

// loginEnrollView returns the page that sets up the factor which the form names, or the first one.
func (s *Server) loginEnrollView(r *http.Request, p *pendingSignIn) (*EnrollView, error) {
	kinds, kind := s.login.EnrollableKinds(), p.form.Get("factor")
	if kind == "" {
		kind = kinds[0]
	}
	e, err := s.login.Enroll(r.Context(), s.visit(r), p.User, kind, p.form.Get("enrollment"))
	if err != nil {
		return nil, err
	}
	v := enrollView(p.lc.base(r), p.User, e)
	v.Form.Flow, v.Form.Next, v.Required = p.lc.sealed, p.lc.next, true
	for _, other := range kinds {
		if other != kind {
			url := p.lc.url("/login/enroll", "factor", other)
			v.Others = append(v.Others, FactorChoice{Kind: other, URL: url})
		}
	}
	if p.Grace > 0 {
		v.CanSkip, v.SkipUntil = true, web.EventOf(r.Context()).Now.Add(p.Grace)
	}
	return v, nil
}

func (s *Server) postEnroll(w http.ResponseWriter, r *http.Request, p *pendingSignIn) error {
	step := login.StepEnroll
	if p.form.Get("skip") != "" {
		step = login.StepSkip
	}
	nameDevice(p.lc.base(r), r, p.form)
	st, err := s.login.Continue(r.Context(), s.visit(r), p.sealed, step, p.form)
	if err == nil {
		return s.followStep(w, r, p.lc, st)
	}
	v, viewErr := s.loginEnrollView(r, p)
	if viewErr != nil {
		return viewErr
	}
	return s.rerender(w, r, err, v)
}

func (s *Server) showNewPassword(w http.ResponseWriter, r *http.Request, p *pendingSignIn) error {
	return s.show(w, http.StatusOK, s.newPasswordView(r, p))
}

func (s *Server) newPasswordView(r *http.Request, p *pendingSignIn) *NewPasswordView {
	b := p.lc.base(r)
	v := &NewPasswordView{
		Base:    b,
		Form:    p.lc.form(),
		Account: p.User.LoginName(),
		Rules:   s.login.PasswordRules(p.User),
		Reason:  b.T("login.new-password.required"),
	}
	switch p.Reason {
	case login.ReasonExpired:
		v.Reason = b.T("password.reason.expired")
	case login.ReasonBreached:
		v.Reason = b.T("password.reason.breached")
	}
	if p.Grace > 0 {
		v.SkipUntil = b.Now.Add(p.Grace)
	}
	return v
}

// skipNewPassword goes on with a password that has expired, in the days of grace.
func (s *Server) skipNewPassword(w http.ResponseWriter, r *http.Request, p *pendingSignIn) error {
	st, err := s.login.Continue(r.Context(), s.visit(r), p.sealed, login.StepSkip, p.form)
	if err != nil {
		return s.rerender(w, r, err, s.newPasswordView(r, p))
	}
	return s.followStep(w, r, p.lc, st)
}

func (s *Server) postNewPassword(w http.ResponseWriter, r *http.Request, p *pendingSignIn) error {
	if p.form.Get("skip") != "" {
		return s.skipNewPassword(w, r, p)
	}
	err := fault.Join(
		s.login.CheckPolicy(r.Context(), p.User, p.form.Get("new_password")),
		identity.CheckRepeated(p.form.Get("new_password"), p.form.Get("confirm_password")),
	)
	if err == nil {
		var st login.Step
		st, err = s.login.Continue(r.Context(), s.visit(r), p.sealed, login.StepNewPassword, p.form)
		if err == nil {
			return s.followStep(w, r, p.lc, st)
		}
	}
	return s.rerender(w, r, err, s.newPasswordView(r, p))
}
