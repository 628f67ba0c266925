package ui

import (
	"net/http"
	"net/url"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

const (
	pathEmail     = "/login/email"
	pathEmailLink = "/login/email/link"

	emailTTL = 10 * time.Minute // of the cookies; what they contain has an expiry of its own
	// maxEmailContext bounds the sign-in that a link goes on with, which a cookie carries, in
	// bytes. What is longer goes on in the tab that asked.
	maxEmailContext = 2500
)

// emailRoutes returns the pages of signing in with a message by mail.
func (s *Server) emailRoutes() []route {
	return []route{
		{"GET " + pathEmail, s.showEmail},
		{"POST " + pathEmail, s.postEmail},
		{"GET " + pathEmailLink, s.showEmailLink},
	}
}

// emailURL returns the page that sends a message to sign in with, or "" if the server sends none.
func (s *Server) emailURL(lc loginContext) string {
	if s.login.EmailKind() == "" {
		return ""
	}
	return lc.url(pathEmail)
}

// emailContext reads the fields of a request. It returns NotFound if nobody signs in by mail.
func (s *Server) emailContext(r *http.Request) (url.Values, loginContext, error) {
	if s.login.EmailKind() == "" {
		return nil, loginContext{}, fault.New(fault.NotFound, "Nobody signs in by mail here.")
	}
	form, err := s.form(r)
	if err != nil {
		return nil, loginContext{}, err
	}
	lc, err := s.loginContext(r, form)
	return form, lc, err
}

// showEmail asks for the address, and in a browser that was sent a message for the code. The token
// of a link moves to a cookie, so that the address line, histories and logs do not keep it.
func (s *Server) showEmail(w http.ResponseWriter, r *http.Request) error {
	form, lc, err := s.emailContext(r)
	if err != nil {
		return err
	}
	if token := form.Get("token"); token != "" {
		if len(token) > maxNext {
			return fault.New(fault.Invalid, "This is not a link that was sent by this server.")
		}
		s.kit.SetCookie(w, web.CookieEmailLink, url.QueryEscape(token), emailTTL)
		return seeOther(w, r, pathEmailLink)
	}
	if form.Get("other") == "" {
		if name, err := s.openedEmail(r); err == nil {
			return s.show(w, http.StatusOK, s.emailCodeView(r, lc, name))
		}
	}
	v := s.emailView(r, lc, form.Get("email"))
	if v.Email == "" && lc.flow != nil {
		v.Email = lc.flow.Hint
	}
	return s.show(w, http.StatusOK, v)
}

// openedEmail returns the name for which the browser has asked for a message, or Consumed.
func (s *Server) openedEmail(r *http.Request) (string, error) {
	token := s.kit.Cookie(r, web.CookieEmail)
	return s.login.OpenedFor(s.visit(r), s.login.EmailKind(), token)
}

func (s *Server) emailView(r *http.Request, lc loginContext, email string) *EmailView {
	return &EmailView{Base: lc.base(r), Form: lc.form(), Email: email}
}

func (s *Server) emailCodeView(r *http.Request, lc loginContext, email string) *EmailCodeView {
	return &EmailCodeView{
		Base:     lc.base(r),
		Form:     lc.form(),
		Email:    email,
		HasCode:  s.login.Begins("email_code"),
		HasLink:  s.login.Begins("magic_link"),
		CanStay:  s.login.StayOffered(),
		Mailbox:  s.mailbox != nil,
		OtherURL: lc.url(pathEmail, "other", "1"),
	}
}

// postEmail sends a message, or signs in with the code or the link of one.
func (s *Server) postEmail(w http.ResponseWriter, r *http.Request) error {
	form, lc, err := s.emailContext(r)
	if err != nil {
		return err
	}
	switch {
	case form.Get("link") != "":
		return s.postEmailAnswer(w, r, lc, form, "link")
	case form.Get("code") != "" || form.Get("step") == "code":
		return s.postEmailAnswer(w, r, lc, form, "code")
	}
	return s.sendEmail(w, r, lc, form)
}

// sendEmail asks for a message. The answer is the same whether the account exists or not.
func (s *Server) sendEmail(
	w http.ResponseWriter, r *http.Request, lc loginContext, form url.Values,
) error {
	email := form.Get("email")
	who := web.Subject{User: identity.LoginKey(email), Claimed: true}
	err := s.kit.Allow(w, r, "login", who)
	var o *login.Opening
	if err == nil {
		o, err = s.login.Open(r.Context(), s.visit(r), s.login.EmailKind(), email)
	}
	if err != nil {
		return s.rerender(w, r, err, s.emailView(r, lc, email))
	}
	s.kit.SetCookie(w, web.CookieEmail, o.Token, emailTTL)
	context := url.Values{"flow": {lc.sealed}, "next": {lc.next}}.Encode()
	if len(context) <= maxEmailContext {
		s.kit.SetCookie(w, web.CookieEmailContext, context, emailTTL)
	} else {
		s.kit.ClearCookie(w, web.CookieEmailContext)
	}
	return seeOther(w, r, lc.url(pathEmail))
}

// postEmailAnswer signs in with the code or the link of a message. A lock ends the sign-in.
func (s *Server) postEmailAnswer(
	w http.ResponseWriter, r *http.Request, lc loginContext, form url.Values, field string,
) error {
	email, err := s.openedEmail(r)
	if err != nil {
		s.clearEmail(w)
		return s.rerender(w, r, err, s.emailView(r, lc, ""))
	}
	err = s.kit.Allow(w, r, "login", web.Subject{User: email, Claimed: true})
	var st login.Step
	if err == nil {
		st, err = s.login.SignIn(r.Context(), s.visit(r), login.Attempt{
			Kind:     s.login.EmailKind(),
			Username: email,
			Token:    s.kit.Cookie(r, web.CookieEmail),
			Input:    url.Values{field: {form.Get(field)}},
			NeedACR:  lc.acr(),
			Cookie:   s.kit.Cookie(r, web.CookieSession),
			Others:   s.otherCookies(r),
			Stay:     form.Get(fieldStay) != "",
		})
		if err == nil || fault.Is(err, fault.Limited) {
			s.clearEmail(w)
		}
	}
	if err != nil {
		return s.rerender(w, r, err, s.emailCodeView(r, lc, email))
	}
	return s.followStep(w, r, lc, st)
}

// clearEmail forgets what a browser has asked for.
func (s *Server) clearEmail(w http.ResponseWriter) {
	for _, name := range []string{web.CookieEmail, web.CookieEmailLink, web.CookieEmailContext} {
		s.kit.ClearCookie(w, name)
	}
}

// showEmailLink shows what the link of a message is good for: in the browser that asked, to sign in
// to the account that the page names; in any other, the code to type there. Opening it changes
// nothing.
func (s *Server) showEmailLink(w http.ResponseWriter, r *http.Request) error {
	if _, _, err := s.emailContext(r); err != nil {
		return err
	}
	token, err := url.QueryUnescape(s.kit.Cookie(r, web.CookieEmailLink))
	if err != nil {
		token = ""
	}
	opening := s.kit.Cookie(r, web.CookieEmail)
	l, err := s.login.EmailLink(r.Context(), s.visit(r), token, opening)
	if err != nil {
		return err
	}
	var lc loginContext
	if l.Own {
		if lc, err = s.storedContext(r); err != nil {
			return err
		}
	}
	v := &EmailLinkView{Base: lc.base(r), Form: lc.form(), Account: l.User.LoginName()}
	v.setLanguage(l.User)
	if l.Own {
		v.Hidden, v.CanStay = []Pair{{Name: "link", Value: token}}, s.login.StayOffered()
	} else {
		v.Code = l.Code
	}
	return s.show(w, http.StatusOK, v)
}

// storedContext returns the sign-in in which the browser asked for a message. One that cannot be
// opened any more is left out: the person is signed in all the same.
func (s *Server) storedContext(r *http.Request) (loginContext, error) {
	stored, err := url.ParseQuery(s.kit.Cookie(r, web.CookieEmailContext))
	if err != nil {
		return loginContext{}, nil
	}
	lc, err := s.loginContext(r, stored)
	switch fault.KindOf(err) {
	case fault.Invalid, fault.Denied, fault.Consumed, fault.NotFound:
		return loginContext{}, nil
	}
	return lc, err
}
