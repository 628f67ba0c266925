package ui

import (
	"encoding/base64"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// pendingTTL is how long the browser keeps the cookie of a sign-in between two steps. The content
// of the cookie has an expiry of its own.
const pendingTTL = 10 * time.Minute

// showLogin shows the first page of signing in. A browser that is signed in already, as strongly as
// the request asks, is redirected instead.
func (s *Server) showLogin(w http.ResponseWriter, r *http.Request) error {
	form, lc, sess, err := s.loadContext(r)
	if err != nil {
		return err
	}
	other, chosen := form.Get("other") != "", form.Has("account")
	if sess != nil && !other && !chosen {
		if done, err := s.continueSession(w, r, lc); done || err != nil {
			return err
		}
	}
	choosing := !other && !chosen && !form.Has("done") && (lc.flow == nil || !lc.flow.Reauth)
	if choosing && sess == nil {
		choices, err := s.accountChoices(r)
		if err != nil {
			return err
		}
		if len(choices) > 1 || len(choices) == 1 && choices[0].SignedIn {
			return s.showChoices(w, r, lc, choices)
		}
	}
	v, err := s.loginView(r, lc)
	if err != nil {
		return err
	}
	v.Stay = s.cfg.StayChecked
	if lc.flow != nil && !other && !chosen {
		v.Username = lc.flow.Hint
		if lc.flow.Reauth && sess != nil && v.Username == "" {
			if u, err := s.storage.User(r.Context(), sess.User); err == nil {
				v.Username = u.LoginName()
			}
		}
	}
	if v.Username == "" && !other {
		v.Username = s.chosenLogin(r, form)
		v.OtherURL = s.otherURL(lc, v.Username)
	}
	if done := form.Get("done"); (done == "recovered" || done == "undone") && v.Username == "" {
		v.Username = s.rememberedName(r)
	}
	if form.Get("done") == "undone" {
		v.Notice = v.T("joining.undo.done-passkeys")
	}
	if form.Get("done") == "password" {
		if v.Username == "" {
			v.Username = s.rememberedName(r)
		}
		v.Notice = v.T("login.changed")
	}
	return s.show(w, http.StatusOK, v)
}

// fieldStay names the check box by which a person stays signed in.
const fieldStay = "stay_signed_in"

// loginView returns the first page of a sign-in, empty.
func (s *Server) loginView(r *http.Request, lc loginContext) (*LoginView, error) {
	v := &LoginView{
		Base:     lc.base(r),
		Form:     lc.form(),
		Password: s.login.PasswordAllowed(),
		EmailURL: s.emailURL(lc),
		CanStay:  s.login.StayOffered(),
	}
	if s.login.CanSignUp() {
		v.SignUpURL = lc.url(pathSignUp)
		v.Waiting = s.login.SignUpEmail(s.visit(r), s.kit.Cookie(r, web.CookieSignUp))
	}
	if v.Waiting != "" {
		v.WaitingURL = lc.url(pathConfirm)
	}
	var err error
	v.Passkey, err = s.passkeyView(r)
	return v, err
}

// nameTTL is how long the sign-in page fills in the account whose password a link has set.
const nameTTL = 5 * time.Minute

// rememberedName returns the account name that was stored after a password link, or "".
func (s *Server) rememberedName(r *http.Request) string {
	name, err := base64.RawURLEncoding.DecodeString(s.kit.Cookie(r, web.CookieName))
	if err != nil || !utf8.Valid(name) || len(name) > 320 {
		return ""
	}
	return string(name)
}

// otherURL returns the address of the sign-in page without a remembered account, if one is filled
// in.
func (s *Server) otherURL(lc loginContext, login string) string {
	if login == "" {
		return ""
	}
	return lc.url("/login", "other", "1")
}

// continueSession continues with the session of the browser that the request is for, and reports
// false if the request wants the person to sign in again.
func (s *Server) continueSession(
	w http.ResponseWriter, r *http.Request, lc loginContext,
) (done bool, err error) {
	need := oauth.NeedNothing
	current, err := s.sessionOf(r, lc.account())
	if err != nil {
		return true, err
	}
	if lc.flow != nil {
		need = lc.flow.Need(current.Session)
	}
	switch need {
	case oauth.NeedSignIn:
		return false, nil
	case oauth.NeedChoice:
		choices, err := s.accountChoices(r)
		if err != nil {
			return true, err
		}
		return true, s.showChoices(w, r, lc, choices)
	case oauth.NeedStepUp:
		st, err := s.login.BeginStepUp(r.Context(), s.visit(r), current.Cookie, lc.flow.ACR)
		if err != nil {
			return true, err
		}
		if st.Done == nil {
			return true, s.followStep(w, r, lc, st)
		}
		if lc.sealed, err = s.oauth.StepUpImpossible(lc.flow); err != nil {
			return true, err
		}
	}
	return true, seeOther(w, r, lc.nextURL())
}

func (s *Server) postLogin(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(r)
	if err != nil {
		return err
	}
	lc, err := s.loginContext(r, form)
	if err != nil {
		return err
	}
	name := form.Get("username")
	v, err := s.loginView(r, lc)
	if err != nil {
		return err
	}
	v.Username, v.Stay = name, form.Get(fieldStay) != ""
	err = s.kit.Allow(w, r, "login", web.Subject{User: identity.LoginKey(name), Claimed: true})
	var st login.Step
	if err == nil {
		st, err = s.login.Password(r.Context(), s.visit(r), login.Attempt{
			Username: name,
			Password: form.Get("password"),
			NeedACR:  lc.acr(),
			Cookie:   s.kit.Cookie(r, web.CookieSession),
			Others:   s.otherCookies(r),
			Stay:     v.Stay,
		})
	}
	if fault.Is(err, fault.Denied) && v.Waiting != "" && identity.LoginKey(name) == identity.LoginKey(v.Waiting) {
		return seeOther(w, r, v.WaitingURL) // the account exists once the address is confirmed
	}
	if err != nil {
		return s.rerender(w, r, err, v)
	}
	return s.followStep(w, r, lc, st)
}

// rerender shows a form again with what was wrong, or returns an error that no correction can fix.
func (s *Server) rerender(
	w http.ResponseWriter, r *http.Request, err error, v View,
) error {
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind == fault.Internal || f.Kind == fault.NotFound {
		return err
	}
	web.EventOf(r.Context()).Err = err
	b := v.base()
	switch {
	case f.Kind == fault.Unavailable:
		b.Problem = b.texts.Sentence("This can’t be done right now. Try again in a minute.")
	case f.Field == "":
		b.Problem = b.ErrorText(err)
	default: // shown in the summary and at the fields
		for _, input := range f.Inputs() {
			b.Errors = append(b.Errors, FieldError{Field: input.Field, Message: b.ErrorText(input)})
		}
	}
	web.RetryAfter(w.Header(), err)
	if f.Kind == fault.Limited {
		switch page := v.(type) {
		case *LoginView:
			page.Wait = f.After
		case *CodeView:
			page.Wait = f.After
		}
	}
	status := web.Status(err)
	if f.Kind == fault.Consumed || f.Kind == fault.Conflict {
		status = http.StatusBadRequest
	}
	return s.show(w, status, v)
}

// followStep sends the browser to the page of the next step, or finishes the sign-in.
func (s *Server) followStep(
	w http.ResponseWriter, r *http.Request, lc loginContext, st login.Step,
) error {
	if st.Done != nil {
		return s.finishLogin(w, r, lc, st.Done)
	}
	s.kit.SetCookie(w, web.CookieLogin, st.Pending, pendingTTL)
	switch st.Next {
	case login.StepFactor:
		return seeOther(w, r, lc.url("/login/code"))
	case login.StepDeletion:
		return seeOther(w, r, lc.url("/login/deletion"))
	case login.StepNewPassword:
		return seeOther(w, r, lc.url("/login/password"))
	case login.StepEnroll:
		return seeOther(w, r, lc.url("/login/enroll"))
	case login.StepVerifyEmail:
		return seeOther(w, r, lc.url(pathStep))
	case login.StepFirstPasskey:
		return seeOther(w, r, lc.url(pathFirstPasskey))
	}
	return fault.New(fault.Internal, "no page for step %s", st.Next)
}

// finishLogin sets the session cookie and redirects the browser to where the sign-in continues.
func (s *Server) finishLogin(
	w http.ResponseWriter, r *http.Request, lc loginContext, d *login.Done,
) error {
	if err := s.addSession(w, r, d); err != nil {
		return err
	}
	s.kit.SetCookie(w, web.CookieDevice, d.Device, login.DeviceTTL)
	s.kit.ClearCookie(w, web.CookieLogin)
	web.EventOf(r.Context()).User = string(d.User.ID)
	if len(d.Backup) > 0 {
		v := &BackupCodesView{
			Base:    lc.base(r),
			Account: d.User.LoginName(),
			Codes:   d.Backup,
			DoneURL: lc.nextURL(),
		}
		v.setUser(d.User)
		return s.show(w, http.StatusOK, v)
	}
	return seeOther(w, r, lc.nextURL())
}

// atField returns err as a mistake in a field of the form, which is shown there.
func atField(field string, err error) error {
	return &fault.Error{Kind: fault.Invalid, Field: field, Text: fault.Text(err), Cause: err}
}
