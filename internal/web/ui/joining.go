package ui

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

const (
	pathSignUp  = "/signup"
	pathConfirm = "/signup/confirm"
	pathVerify  = "/verify-email"
	pathInvite  = "/invitation"
	pathUndo    = "/undo-email"
	pathStep    = "/login/verify"

	pathFirstPasskey = "/signup/passkey"

	mailedTTL = time.Hour      // of the cookie; the link has an expiry of its own
	signUpTTL = 24 * time.Hour // of the cookie; what it contains has an expiry of its own
)

// joiningRoutes returns the pages by which people join, and those that mailed links open.
func (s *Server) joiningRoutes() []route {
	return []route{
		{"GET " + pathSignUp, s.showSignUp},
		{"POST " + pathSignUp, s.postSignUp},
		{"GET " + pathConfirm, s.showConfirm},
		{"POST " + pathConfirm, s.postConfirm},
		{"GET " + pathVerify, s.mailedPage(s.showVerify)},
		{"POST " + pathVerify, s.postVerify},
		{"GET " + pathStep, s.atStep(login.StepVerifyEmail, s.showVerifyStep)},
		{"POST " + pathStep, s.atStep(login.StepVerifyEmail, s.postVerifyStep)},
		{"GET " + pathFirstPasskey, s.showFirstPasskey},
		{"POST " + pathFirstPasskey, s.postFirstPasskey},
		{"GET " + pathInvite, s.mailedPage(s.showInvitation)},
		{"POST " + pathInvite, s.postInvitation},
		{"GET " + pathUndo, s.mailedPage(s.showUndo)},
		{"POST " + pathUndo, s.postUndo},
		{"GET /account/email", s.member(s.showEmails)},
		{"POST /account/email", s.member(s.postEmails)},
		{"POST /account/email/add", s.member(s.postAddEmail)},
		{"POST /account/email/confirm", s.member(s.postConfirmEmail)},
		{"POST /account/email/send", s.member(s.postSendEmail)},
		{"POST /account/email/manage", s.member(s.postManageEmail)},
		{"POST /account/email/verify", s.verifyEmailJSON},
		{"POST /account/email/resend", s.resendEmailJSON},
		{"GET /account/username", s.member(s.showUsername)},
		{"POST /account/username", s.member(s.postUsername)},
	}
}

// mailedToken returns the token of a mailed link. A link that is opened moves its token to a cookie
// and redirects to the bare address, so that the address line, histories and other sites do not get
// it; then done is true. Nothing but the cookie changes.
func (s *Server) mailedToken(
	w http.ResponseWriter, r *http.Request, form url.Values,
) (token string, done bool, err error) {
	token = form.Get("token")
	if r.Method == http.MethodPost || token == "" {
		if token == "" {
			token = s.kit.Cookie(r, web.CookieLink)
		}
		return token, false, nil
	}
	if !secret.WellFormed(secret.PrefixLink, token) && !login.DisownToken(token) {
		return "", false, errBadLink()
	}
	s.kit.SetCookie(w, web.CookieLink, token, mailedTTL)
	return "", true, seeOther(w, r, with(r.URL.Path, "ui_locales", form.Get("ui_locales")))
}

// mailedPage serves the page that a mailed link opens, once the token has left the address. view
// returns what the page shows, and changes nothing: mail programs open links, too.
func (s *Server) mailedPage(
	view func(r *http.Request, form url.Values, token string) (View, error),
) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		form, err := s.form(r)
		if err != nil {
			return err
		}
		token, done, err := s.mailedToken(w, r, form)
		if done || err != nil {
			return err
		}
		v, err := view(r, form, token)
		if err != nil {
			return err
		}
		return s.show(w, http.StatusOK, v)
	}
}

func errBadLink() error {
	return fault.New(fault.Consumed, "This link was used already or has expired. Ask for a new one.")
}

// tokenForm returns a form that carries the token of a mailed link.
func tokenForm(action, token string) Form {
	return Form{Action: action, Hidden: []Pair{{Name: "token", Value: token}}}
}

// showSignUp asks a new person for what an account needs.
func (s *Server) showSignUp(w http.ResponseWriter, r *http.Request) error {
	form, lc, sess, err := s.loadContext(r)
	if err != nil {
		return err
	}
	if sess != nil && lc.flow == nil && form.Get("other") == "" {
		return seeOther(w, r, lc.nextURL())
	}
	return s.show(w, http.StatusOK, s.signUpView(r, lc, form))
}

func (s *Server) signUpView(r *http.Request, lc loginContext, form url.Values) *SignUpView {
	return &SignUpView{
		Base:     lc.base(r),
		Form:     lc.form(),
		Email:    form.Get("email"),
		Name:     form.Get("name"),
		Username: form.Get("username"),
		Domains:  s.login.SignUpDomains(),
		Rules:    s.passwordRules(nil),
		Closed:   !s.login.CanSignUp(),
	}
}

// passwordRules returns what the first password of a user must be like, or nil where people join
// without one.
func (s *Server) passwordRules(u *identity.User) []identity.Rule {
	if !s.login.PasswordAllowed() {
		return nil
	}
	return s.login.PasswordRules(u)
}

// postSignUp begins an account. The answer is the same whether the address has one or not.
func (s *Server) postSignUp(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(r)
	if err != nil {
		return err
	}
	lc, err := s.loginContext(r, form)
	if err != nil {
		return err
	}
	var cookie string
	// The limit counts by address alone: the caller has proved nothing.
	if err = s.kit.Allow(w, r, "register", web.Subject{}); err == nil {
		cookie, err = s.login.SignUp(r.Context(), s.visit(r), login.SignUpForm{
			Email:    form.Get("email"),
			Name:     form.Get("name"),
			Username: form.Get("username"),
			Password: form.Get("password"),
		})
	}
	if err != nil {
		return s.rerender(w, r, err, s.signUpView(r, lc, form))
	}
	s.kit.SetCookie(w, web.CookieSignUp, cookie, signUpTTL)
	return seeOther(w, r, lc.url(pathConfirm))
}

// confirmContext returns the address whose sign-up waits in the browser, and where the sign-in
// continues afterwards. Without one, the address is "".
func (s *Server) confirmContext(r *http.Request) (url.Values, loginContext, string, error) {
	form, err := s.form(r)
	if err != nil {
		return nil, loginContext{}, "", err
	}
	lc, err := s.loginContext(r, form)
	return form, lc, s.login.SignUpEmail(s.visit(r), s.kit.Cookie(r, web.CookieSignUp)), err
}

func (s *Server) confirmView(r *http.Request, lc loginContext, email string) *ConfirmView {
	v := &ConfirmView{
		Base:     lc.base(r),
		Form:     lc.form(),
		Email:    email,
		Mailbox:  s.mailbox != nil,
		OtherURL: lc.url(pathSignUp),
	}
	v.Form.Action = pathConfirm
	return v
}

// showConfirm asks for the code that was mailed to a new person.
func (s *Server) showConfirm(w http.ResponseWriter, r *http.Request) error {
	form, lc, email, err := s.confirmContext(r)
	if err != nil {
		return err
	}
	if email == "" {
		return seeOther(w, r, lc.url(pathSignUp))
	}
	v := s.confirmView(r, lc, email)
	if form.Get("sent") != "" {
		v.Notice = v.T("joining.confirm.sent")
	}
	return s.show(w, http.StatusOK, v)
}

// postConfirm makes the account, or sends the message again.
func (s *Server) postConfirm(w http.ResponseWriter, r *http.Request) error {
	form, lc, email, err := s.confirmContext(r)
	if err != nil {
		return err
	}
	if email == "" {
		return seeOther(w, r, lc.url(pathSignUp))
	}
	cookie := s.kit.Cookie(r, web.CookieSignUp)
	v := s.confirmView(r, lc, email)
	if form.Get("again") != "" {
		if err = s.kit.Allow(w, r, "register", web.Subject{}); err == nil {
			cookie, err = s.login.ResendSignUp(r.Context(), s.visit(r), cookie)
		}
		if err != nil {
			return s.rerender(w, r, err, v)
		}
		s.kit.SetCookie(w, web.CookieSignUp, cookie, signUpTTL)
		return seeOther(w, r, lc.url(pathConfirm, "sent", "1"))
	}
	var st login.Step
	if err = s.kit.Allow(w, r, "login", web.Subject{}); err == nil {
		st, err = s.login.ConfirmSignUp(r.Context(), s.visit(r), login.SignUpProof{
			Code:     form.Get("code"),
			Cookie:   cookie,
			Username: form.Get("username"),
		})
	}
	if err != nil {
		if fault.Is(err, fault.Invalid) && concerns(err, "username") {
			v.NameTaken, v.Username = true, form.Get("username")
			v.Hidden = append(v.Hidden, Pair{Name: "code", Value: form.Get("code")})
		}
		return s.rerender(w, r, err, v)
	}
	return s.joined(w, r, lc, st)
}

// joined signs in a person who has just got an account.
func (s *Server) joined(w http.ResponseWriter, r *http.Request, lc loginContext, st login.Step) error {
	if st.Next != login.StepFirstPasskey { // else the link works until the passkey is made
		s.kit.ClearCookie(w, web.CookieSignUp)
		s.kit.ClearCookie(w, web.CookieLink)
	}
	return s.followStep(w, r, lc, st)
}

// firstPasskeyView returns the page on which a person makes the first passkey of an account.
func (s *Server) firstPasskeyView(
	r *http.Request,
) (*EnrollView, url.Values, loginContext, error) {
	form, err := s.form(r)
	if err != nil {
		return nil, nil, loginContext{}, err
	}
	lc, err := s.loginContext(r, form)
	if err != nil {
		return nil, nil, lc, err
	}
	e, u, err := s.login.FirstPasskey(s.visit(r), s.kit.Cookie(r, web.CookieLogin))
	if err != nil {
		return nil, nil, lc, err
	}
	v := enrollView(lc.base(r), u, e)
	v.Form.Action, v.Form.Flow, v.Form.Next = pathFirstPasskey, lc.sealed, lc.next
	return v, form, lc, nil
}

func (s *Server) showFirstPasskey(w http.ResponseWriter, r *http.Request) error {
	v, _, _, err := s.firstPasskeyView(r)
	if err != nil {
		return err
	}
	return s.show(w, http.StatusOK, v)
}

func (s *Server) postFirstPasskey(w http.ResponseWriter, r *http.Request) error {
	v, form, lc, err := s.firstPasskeyView(r)
	if err != nil {
		return err
	}
	nameDevice(v.Base, r, form)
	var st login.Step
	if err = s.kit.Allow(w, r, "login", web.Subject{}); err == nil {
		st, err = s.login.Join(r.Context(), s.visit(r), s.kit.Cookie(r, web.CookieLogin), form)
	}
	if fault.Is(err, fault.Consumed) { // the account was made, or the link used, meanwhile
		return err
	}
	if err != nil {
		return s.rerender(w, r, problem(err), v)
	}
	return s.joined(w, r, lc, st)
}

// showVerify shows what a mailed link that proves an address would do. It changes nothing: mail
// programs open links, too.
func (s *Server) showVerify(r *http.Request, form url.Values, token string) (View, error) {
	v, _, err := s.verifyView(r, form, token)
	return v, err
}

// verifyView returns the page of a mailed link for this browser, and whom the browser is signed in
// as: nil unless that is the link's account.
func (s *Server) verifyView(
	r *http.Request, form url.Values, token string,
) (*VerifyView, *identity.User, error) {
	link, err := s.login.OpenLink(r.Context(), s.visit(r), token, s.kit.Cookie(r, web.CookieSignUp))
	if err != nil {
		return nil, nil, err
	}
	if link.Kind == login.ConfirmUndo {
		return nil, nil, errBadLink()
	}
	v := &VerifyView{
		Base:     begin(r),
		Form:     tokenForm(pathVerify, token),
		Email:    link.Email,
		Name:     form.Get("name"),
		Username: form.Get("username"),
	}
	v.Next = pathVerify
	if link.User != nil {
		sess, err := s.Session(r)
		if err != nil {
			return nil, nil, err
		}
		if sess != nil && sess.User == link.User.ID {
			v.setUser(link.User)
			return v, link.User, nil
		}
		v.setLanguage(link.User)
	}
	fresh := form.Get("new") != ""
	switch {
	case link.Kind == login.ConfirmSignUp && link.Own && !link.Blank:
	case link.Kind == login.ConfirmSignUp && (fresh || link.Blank):
		v.Fresh, v.Profile = true, true
	case link.Kind == login.ConfirmSignUp:
		v.Password, v.FreshURL = true, with(pathVerify, "new", "1")
	case link.Kind == login.ConfirmAddress && fresh:
		v.Fresh = true
	default:
		v.SignIn = true
		if link.Kind == login.ConfirmAddress {
			v.FreshURL = with(pathVerify, "new", "1")
		}
	}
	if v.Fresh {
		v.Hidden = append(v.Hidden, Pair{Name: "new", Value: "1"})
		v.Rules = s.passwordRules(link.User)
	}
	return v, nil, nil
}

// postVerify proves the address of a mailed link.
func (s *Server) postVerify(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(r)
	if err != nil {
		return err
	}
	token, _, err := s.mailedToken(w, r, form)
	if err != nil {
		return err
	}
	v, u, err := s.verifyView(r, form, token)
	if err != nil {
		return err
	}
	if err := s.kit.Allow(w, r, "login", web.Subject{}); err != nil {
		return s.rerender(w, r, err, v)
	}
	switch {
	case u != nil:
		if err := s.login.ConfirmByLink(r.Context(), s.visit(r), u, token); err != nil {
			return err
		}
		s.kit.ClearCookie(w, web.CookieLink)
		return seeOther(w, r, "/account/email?done=confirmed")
	case v.SignIn:
		return seeOther(w, r, v.SignInURL())
	case v.Fresh && !v.Profile:
		u, err := s.login.ClaimByLink(r.Context(), s.visit(r), token, form.Get("new_password"))
		if err != nil {
			return s.rerender(w, r, err, v)
		}
		return s.passwordSet(w, r, u)
	}
	st, err := s.login.ConfirmSignUp(r.Context(), s.visit(r), login.SignUpProof{
		Token:       token,
		Cookie:      s.kit.Cookie(r, web.CookieSignUp),
		Password:    form.Get("password"),
		NewPassword: form.Get("new_password"),
		Name:        form.Get("name"),
		Username:    form.Get("username"),
	})
	if err != nil {
		v.NameTaken = !v.Profile && concerns(err, "username")
		return s.rerender(w, r, err, v)
	}
	return s.joined(w, r, loginContext{}, st)
}

// verifyStepView returns the page of a sign-in that waits for the proof of the person's address.
func (s *Server) verifyStepView(r *http.Request, p *pendingSignIn) *ConfirmView {
	v := s.confirmView(r, p.lc, p.User.Email)
	v.setLanguage(p.User)
	v.Form.Action, v.OtherURL = pathStep, p.lc.url("/login", "other", "1")
	token := s.kit.Cookie(r, web.CookieLink)
	link, err := s.login.OpenLink(r.Context(), s.visit(r), token, "")
	if err == nil && link.Kind == login.ConfirmAddress && link.User.ID == p.User.ID {
		v.Linked = true
		v.Hidden = append(v.Hidden, Pair{Name: "token", Value: token})
	}
	return v
}

func (s *Server) showVerifyStep(w http.ResponseWriter, r *http.Request, p *pendingSignIn) error {
	v := s.verifyStepView(r, p)
	if p.form.Get("sent") != "" {
		v.Notice = v.T("joining.confirm.sent")
	}
	return s.show(w, http.StatusOK, v)
}

func (s *Server) postVerifyStep(w http.ResponseWriter, r *http.Request, p *pendingSignIn) error {
	v := s.verifyStepView(r, p)
	if err := s.kit.Allow(w, r, "login", web.Subject{User: string(p.User.ID)}); err != nil {
		return s.rerender(w, r, err, v)
	}
	if p.form.Get("again") != "" {
		if err := s.login.ResendVerification(r.Context(), s.visit(r), p.sealed); err != nil {
			return s.rerender(w, r, err, v)
		}
		return seeOther(w, r, p.lc.url(pathStep, "sent", "1"))
	}
	st, err := s.login.Continue(r.Context(), s.visit(r), p.sealed, login.StepVerifyEmail, p.form)
	if err != nil {
		return s.rerender(w, r, err, v)
	}
	s.kit.ClearCookie(w, web.CookieLink)
	return s.followStep(w, r, p.lc, st)
}

// showInvitation opens the link of an invitation.
func (s *Server) showInvitation(r *http.Request, form url.Values, token string) (View, error) {
	return s.invitationView(r, form, token)
}

// invitationView returns the page of an invitation. A browser that is signed in to another account
// is told so, and its invitation stays.
func (s *Server) invitationView(
	r *http.Request, form url.Values, token string,
) (*InvitationView, error) {
	u, err := s.login.InvitedUser(r.Context(), s.visit(r), token)
	if err != nil {
		return nil, err
	}
	v := &InvitationView{
		Base:     begin(r),
		Form:     tokenForm(pathInvite, token),
		Email:    u.Email,
		Name:     u.Name,
		Username: u.Username,
		Rules:    s.passwordRules(u),
	}
	if r.Method == http.MethodPost {
		v.Name, v.Username = form.Get("name"), form.Get("username")
	}
	sess, err := s.Session(r)
	if err != nil || sess == nil {
		return v, err
	}
	other, err := s.storage.User(r.Context(), sess.User)
	if err != nil {
		return nil, err
	}
	v.setUser(other)
	v.Rules = nil
	return v, nil
}

func (s *Server) postInvitation(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(r)
	if err != nil {
		return err
	}
	token, _, err := s.mailedToken(w, r, form)
	if err != nil {
		return err
	}
	v, err := s.invitationView(r, form, token)
	if err != nil {
		return err
	}
	if v.Signed != nil {
		return s.show(w, http.StatusForbidden, v)
	}
	var st login.Step
	if err = s.kit.Allow(w, r, "login", web.Subject{}); err == nil {
		st, err = s.login.AcceptInvitation(r.Context(), s.visit(r), token, login.AcceptForm{
			Name: form.Get("name"), Username: form.Get("username"), Password: form.Get("password"),
		})
	}
	if err != nil {
		return s.rerender(w, r, err, v)
	}
	return s.joined(w, r, loginContext{}, st)
}

// showUndo opens the link that undoes a change of the address.
func (s *Server) showUndo(r *http.Request, _ url.Values, token string) (View, error) {
	return s.undoView(r, token)
}

func (s *Server) undoView(r *http.Request, token string) (*UndoEmailView, error) {
	link, err := s.login.OpenLink(r.Context(), s.visit(r), token, "")
	if err != nil {
		return nil, err
	}
	if link.Kind != login.ConfirmUndo {
		return nil, errBadLink()
	}
	b := begin(r)
	b.setLanguage(link.User)
	v := &UndoEmailView{Base: b, Form: tokenForm(pathUndo, token), Email: link.Email}
	o, err := s.login.OpenUndo(r.Context(), s.visit(r), token)
	if err == nil && o != nil {
		v.Passkey = &PasskeyView{Options: o.Challenge.Options, Token: o.Token}
	}
	return v, err
}

func (s *Server) postUndo(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(r)
	if err != nil {
		return err
	}
	token, _, err := s.mailedToken(w, r, form)
	if err != nil {
		return err
	}
	v, err := s.undoView(r, token)
	if err != nil {
		return err
	}
	var u *identity.User
	if err = s.kit.Allow(w, r, "login", web.Subject{}); err == nil {
		u, err = s.login.UndoEmail(r.Context(), s.visit(r), token, form)
	}
	if form.Get("passkey") != "" {
		err = problem(err)
	}
	if err != nil {
		return s.rerender(w, r, err, v)
	}
	s.kit.ClearCookie(w, web.CookieLink)
	s.kit.ClearCookie(w, web.CookieSession)
	if !s.login.PasswordAllowed() || u.PasswordHash == "" {
		name := base64.RawURLEncoding.EncodeToString([]byte(u.LoginName()))
		s.kit.SetCookie(w, web.CookieName, name, nameTTL)
		return seeOther(w, r, "/login?done=undone")
	}
	return seeOther(w, r, with("/forgot-password", "email", u.Email, "done", "undone"))
}

// concerns reports whether an error is about an input.
func concerns(err error, input string) bool {
	var f *fault.Error
	if !errors.As(err, &f) {
		return false
	}
	return slices.ContainsFunc(f.Inputs(), func(x *fault.Error) bool { return x.Field == input })
}
