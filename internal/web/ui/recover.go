package ui

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// recoverRoutes returns the pages for people who have lost their second step, and those that choose
// among accounts.
func (s *Server) recoverRoutes() []route {
	return append(s.accountRoutes(), []route{
		{"GET /recover", s.atStep(login.StepFactor, s.showRecover)},
		{"POST /recover", s.atStep(login.StepFactor, s.postRecover)},
		{"GET /recover/{stage}", s.showRecoverLink},
		{"POST /recover/{stage}", s.postRecoverLink},
		{"POST /account/recovery/refuse", s.member(s.postRefuseRecovery)},
	}...)
}

// linkTTL is how long the browser keeps the token of a link that it has opened.
const linkTTL = 15 * time.Minute

func (s *Server) showRecover(w http.ResponseWriter, r *http.Request, p *pendingSignIn) error {
	v, err := s.recoverView(r, p)
	if err != nil {
		return err
	}
	return s.show(w, http.StatusOK, v)
}

func (s *Server) recoverView(r *http.Request, p *pendingSignIn) (*RecoverView, error) {
	visit := s.visit(r)
	state, err := s.login.RecoveryState(r.Context(), visit, p.sealed)
	if err != nil {
		return nil, err
	}
	v := &RecoverView{
		Base:     p.lc.base(r),
		Form:     p.lc.form(),
		Account:  p.User.LoginName(),
		Possible: state.Possible,
		Passkeys: state.Passkeys,
		Mailbox:  state.Mailbox,
		Wait:     s.login.RecoveryDelay(),
		CodeURL:  p.lc.url("/login/code"),
		DevMail:  s.mailbox != nil,
	}
	if state.Waiting != nil {
		v.ReadyAt, v.Ready = state.Waiting.ReadyAt, !visit.Now.Before(state.Waiting.ReadyAt)
	}
	for _, kind := range p.Others {
		v.Others = append(v.Others, FactorChoice{Kind: kind})
	}
	return v, nil
}

// postRecover sends the link that starts, or after its wait completes, a request.
func (s *Server) postRecover(w http.ResponseWriter, r *http.Request, p *pendingSignIn) error {
	err := s.kit.Allow(w, r, "password_reset", web.Subject{User: string(p.User.ID)})
	if err == nil {
		err = s.login.RequestRecovery(r.Context(), s.visit(r), p.sealed)
	}
	v, viewErr := s.recoverView(r, p)
	if viewErr != nil {
		return viewErr
	}
	if err != nil {
		return s.rerender(w, r, err, v)
	}
	v.Sent = true
	return s.show(w, http.StatusOK, v)
}

// showRecoverLink opens a link of a message. The token moves from the address, which browsers and
// proxies note down, into a cookie; nothing else is changed before the person presses the button.
func (s *Server) showRecoverLink(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(r)
	if err != nil {
		return err
	}
	stage, err := recoverStage(r)
	if err != nil {
		return err
	}
	if token := form.Get("token"); token != "" {
		if len(token) > 200 || strings.ContainsFunc(token, ambiguous) {
			token = "" // not ours
		}
		s.kit.SetCookie(w, web.CookieRecovery, token, linkTTL)
		return seeOther(w, r, "/recover/"+string(stage))
	}
	v, err := s.recoverLinkView(r, stage)
	if err != nil {
		return err
	}
	return s.show(w, http.StatusOK, v)
}

// recoverStage returns the kind of link that a page belongs to.
func recoverStage(r *http.Request) (login.RecoveryLink, error) {
	switch stage := login.RecoveryLink(r.PathValue("stage")); stage {
	case login.RecoveryStart, login.RecoveryFinish, login.RecoveryStop:
		return stage, nil
	}
	return "", fault.New(fault.NotFound, "There is no page at this address. Check it for typing errors.")
}

func (s *Server) recoverLinkView(r *http.Request, stage login.RecoveryLink) (*RecoverLinkView, error) {
	token := s.kit.Cookie(r, web.CookieRecovery)
	found, u, err := s.login.RecoveryByLink(r.Context(), s.visit(r), stage, token)
	if err != nil {
		return nil, err
	}
	v := &RecoverLinkView{
		Base:     begin(r),
		Stage:    string(stage),
		Account:  u.LoginName(),
		Wait:     s.login.RecoveryDelay(),
		Passkeys: found.ByMailbox(),
	}
	if stage == login.RecoveryFinish {
		v.Code, err = s.login.ReplacementAsks(r.Context(), found, u)
	}
	return v, err
}

// postRecoverLink does what a link is for.
func (s *Server) postRecoverLink(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(r)
	if err != nil {
		return err
	}
	stage, err := recoverStage(r)
	if err != nil {
		return err
	}
	page, err := s.recoverLinkView(r, stage)
	if err != nil {
		return err
	}
	ctx, visit, token := r.Context(), s.visit(r), s.kit.Cookie(r, web.CookieRecovery)
	v := &RecoverDoneView{Base: begin(r), Stage: string(stage), Passkeys: page.Passkeys}
	switch stage {
	case login.RecoveryStart:
		started, err := s.login.StartRecovery(ctx, visit, token)
		if err != nil {
			return err
		}
		v.ReadyAt, v.NextURL = started.ReadyAt, "/login"
	case login.RecoveryStop:
		if err := s.login.StopRecovery(ctx, visit, token); err != nil {
			return err
		}
		v.NextURL = "/account/security"
	case login.RecoveryFinish:
		if page.Passkeys {
			return s.postReplacement(w, r, form, page)
		}
		u, err := s.login.FinishRecovery(ctx, visit, token)
		if err != nil {
			return err
		}
		name := base64.RawURLEncoding.EncodeToString([]byte(u.LoginName()))
		s.kit.SetCookie(w, web.CookieName, name, nameTTL)
		s.kit.ClearCookie(w, web.CookieLogin)
		v.NextURL = "/login?done=recovered"
	}
	s.kit.ClearCookie(w, web.CookieRecovery)
	return s.show(w, http.StatusOK, v)
}

// postReplacement leads to the page that makes a passkey in place of those that are lost. The link
// works until the passkey is made.
func (s *Server) postReplacement(
	w http.ResponseWriter, r *http.Request, form url.Values, v *RecoverLinkView,
) error {
	err := s.kit.Allow(w, r, "login", web.Subject{User: v.Account, Claimed: true})
	var st login.Step
	if err == nil {
		token := s.kit.Cookie(r, web.CookieRecovery)
		st, err = s.login.BeginReplacement(r.Context(), s.visit(r), token, form)
	}
	if err != nil {
		return s.rerender(w, r, err, v)
	}
	return s.followStep(w, r, loginContext{}, st)
}

// postRefuseRecovery refuses a request from a session that is signed in.
func (s *Server) postRefuseRecovery(w http.ResponseWriter, r *http.Request, m *member) error {
	if err := s.login.RefuseRecovery(r.Context(), m.caller.Visit, m.caller.User); err != nil {
		return err
	}
	done := "recovery_refused"
	if m.recovery != nil && m.recovery.Passkeys {
		done = "replacement_refused"
	}
	return seeOther(w, r, "/account/security?done="+done)
}
