package ui

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// pendingLife is how long the browser keeps a sign-in between two factors; what is in the cookie ends by itself.
const pendingLife = 10 * time.Minute

// journey is where a sign-in comes from and goes on to.
type journey struct {
	sealed string      // the flow as the browser carries it, or ""
	flow   *oauth.Flow // opened, or nil
	next   string      // one of our own pages, or ""
}

// journey reads `flow` and `next`.
func (s *Server) journey(r *http.Request, form url.Values) (journey, error) {
	j := journey{sealed: form.Get("flow"), next: ownPath(form.Get("next"))}
	if j.sealed == "" {
		return j, nil
	}
	var err error
	j.flow, err = s.oauth.OpenFlow(r.Context(), j.sealed, oauth.StepLogin, web.EventOf(r.Context()).Now)
	return j, err
}

func (j journey) form() Form { return Form{Flow: j.sealed, Next: j.next} }

// onward is where the browser goes when the person has signed in.
func (j journey) onward() string {
	switch {
	case j.sealed != "":
		return with("/oauth/authorize", "flow", j.sealed)
	case j.next != "":
		return j.next
	}
	return "/account"
}

// at is another page of the same journey.
func (j journey) at(path string, pairs ...string) string {
	return with(path, append([]string{"flow", j.sealed, "next", j.next}, pairs...)...)
}

// origins are where forms of the journey may lead in the end.
func (j journey) origins() []string {
	if j.flow == nil {
		return nil
	}
	return []string{client.Origin(j.redirect())}
}

func (j journey) redirect() string {
	if uri := j.flow.Form.Get("redirect_uri"); uri != "" {
		return uri
	}
	if len(j.flow.Client.Redirects) == 1 {
		return j.flow.Client.Redirects[0]
	}
	return ""
}

func (j journey) base(r *http.Request) Base {
	b := begin(r)
	if j.flow != nil {
		b.Client = clientView(j.flow.Client, j.redirect())
	}
	return b
}

func (j journey) acr() string {
	if j.flow == nil {
		return ""
	}
	return j.flow.ACR
}

// arrive reads what a page of signing in needs: its fields, where the person comes from, and the session, or nil.
func (s *Server) arrive(r *http.Request) (form url.Values, j journey, sess *identity.Session, err error) {
	if form, err = s.form(r); err != nil {
		return nil, j, nil, err
	}
	if j, err = s.journey(r, form); err != nil {
		return nil, j, nil, err
	}
	sess, err = s.Session(r)
	return form, j, sess, err
}

// showLogin is the first page of signing in. Who is signed in already as the request asks is sent on.
func (s *Server) showLogin(w http.ResponseWriter, r *http.Request) error {
	form, j, sess, err := s.arrive(r)
	if err != nil {
		return err
	}
	other := form.Get("other") != ""
	if sess != nil && !other {
		if done, err := s.signedInAlready(w, r, j, sess); done || err != nil {
			return err
		}
	}
	v := &LoginView{Base: j.base(r), Form: j.form()}
	if j.flow != nil && !other {
		v.Username = j.flow.Hint
		if j.flow.Reauth && sess != nil && v.Username == "" {
			if u, err := s.accounts.User(r.Context(), sess.User); err == nil {
				v.Username = u.LoginName()
			}
		}
	}
	if form.Get("done") == "password" {
		v.Notice = "Your new password is set. Sign in with it."
	}
	return s.show(w, http.StatusOK, v, j.origins()...)
}

// signedInAlready goes on with the session that is there, unless the request wants the person to prove more.
func (s *Server) signedInAlready(w http.ResponseWriter, r *http.Request, j journey, sess *identity.Session) (done bool, err error) {
	switch {
	case j.flow == nil:
		return true, see(w, r, j.onward())
	case j.flow.Reauth:
		return false, nil
	case j.flow.Choose:
		u, err := s.accounts.User(r.Context(), sess.User)
		if err != nil {
			return true, err
		}
		b := j.base(r)
		b.Signed = signedIn(u)
		return true, s.show(w, http.StatusOK, &ChooserView{Base: b, Form: j.form()}, j.origins()...)
	case identity.ACRRank(j.flow.ACR) > identity.ACRRank(sess.ACR):
		st, err := s.login.BeginStepUp(r.Context(), visit(r), s.kit.Cookie(r, web.CookieSession), j.flow.ACR)
		if err != nil {
			return true, err
		}
		if st.Done == nil {
			return true, s.obey(w, r, j, st)
		}
		if j.sealed, err = s.oauth.Unraisable(j.flow); err != nil {
			return true, err
		}
	}
	return true, see(w, r, j.onward())
}

func (s *Server) postLogin(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(r)
	if err != nil {
		return err
	}
	j, err := s.journey(r, form)
	if err != nil {
		return err
	}
	name := form.Get("username")
	v := &LoginView{Base: j.base(r), Form: j.form(), Username: name}
	err = s.kit.Allow(w, r, "login", web.Subject{User: identity.LoginKey(name)})
	var st login.Step
	if err == nil {
		st, err = s.login.Password(r.Context(), visit(r), login.Attempt{
			Username: name, Password: form.Get("password"), NeedACR: j.acr(), Cookie: s.kit.Cookie(r, web.CookieSession),
		})
	}
	if err != nil {
		return s.again(w, r, err, v, j.origins()...)
	}
	return s.obey(w, r, j, st)
}

// again shows a form once more with what was wrong, or passes an error on that no correction mends.
func (s *Server) again(w http.ResponseWriter, r *http.Request, err error, v View, origins ...string) error {
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind == fault.Internal || f.Kind == fault.NotFound {
		return err
	}
	web.EventOf(r.Context()).Err = err
	b := v.base()
	if f.Field == "" {
		b.Problem = f.Text
	} else { // said in the summary and at the field
		b.Errors = []FieldError{{Field: f.Field, Message: f.Text}}
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
	return s.show(w, status, v, origins...)
}

// obey carries out a step of signing in.
func (s *Server) obey(w http.ResponseWriter, r *http.Request, j journey, st login.Step) error {
	if st.Done != nil {
		return s.welcome(w, r, j, st.Done)
	}
	s.kit.SetCookie(w, web.CookieLogin, st.Pending, pendingLife)
	switch st.Next {
	case login.StepTOTP:
		return see(w, r, j.at("/login/code"))
	case login.StepNewPassword:
		return see(w, r, j.at("/login/password"))
	case login.StepEnroll:
		return see(w, r, j.at("/login/enroll"))
	}
	return fault.New(fault.Internal, "no page for step %s", st.Next)
}

// welcome gives the browser its session and sends it on.
func (s *Server) welcome(w http.ResponseWriter, r *http.Request, j journey, d *login.Done) error {
	s.kit.SetCookie(w, web.CookieSession, d.Cookie, s.opt.SessionTTL)
	s.kit.ClearCookie(w, web.CookieLogin)
	web.EventOf(r.Context()).User = string(d.User.ID)
	if len(d.Backup) > 0 {
		b := j.base(r)
		b.Signed = signedIn(d.User)
		return s.show(w, http.StatusOK, &BackupCodesView{Base: b, Account: d.User.LoginName(), Codes: d.Backup, DoneURL: j.onward()}, j.origins()...)
	}
	return see(w, r, j.onward())
}

// pending reads the form and the sign-in that the browser is in the middle of, which must be at a step.
func (s *Server) pending(w http.ResponseWriter, r *http.Request, step string) (form url.Values, j journey, sealed string, u *identity.User, err error) {
	if form, err = s.form(r); err != nil {
		return
	}
	if j, err = s.journey(r, form); err != nil {
		return
	}
	sealed = s.kit.Cookie(r, web.CookieLogin)
	if sealed == "" {
		return form, j, "", nil, nil
	}
	u, next, err := s.login.PendingUser(r.Context(), visit(r), sealed)
	if err == nil && next == step {
		return form, j, sealed, u, nil
	}
	if err == nil || fault.Is(err, fault.Invalid) || fault.Is(err, fault.Consumed) || fault.Is(err, fault.Denied) || fault.Is(err, fault.NotFound) {
		s.kit.ClearCookie(w, web.CookieLogin)
		return form, j, "", nil, nil
	}
	return form, j, "", nil, err
}

func (s *Server) showCode(w http.ResponseWriter, r *http.Request) error {
	_, j, _, u, err := s.pending(w, r, login.StepTOTP)
	if err != nil {
		return err
	}
	if u == nil {
		return see(w, r, j.at("/login"))
	}
	return s.show(w, http.StatusOK, codeView(r, j, u), j.origins()...)
}

func codeView(r *http.Request, j journey, u *identity.User) *CodeView {
	return &CodeView{Base: j.base(r), Form: j.form(), Account: u.LoginName(), StartURL: j.at("/login", "other", "1")}
}

func (s *Server) postCode(w http.ResponseWriter, r *http.Request) error {
	form, j, sealed, u, err := s.pending(w, r, login.StepTOTP)
	if err != nil {
		return err
	}
	if u == nil {
		return see(w, r, j.at("/login"))
	}
	if err = s.kit.Allow(w, r, "login", web.Subject{User: string(u.ID)}); err == nil {
		var st login.Step
		if st, err = s.login.Continue(r.Context(), visit(r), sealed, login.StepTOTP, url.Values{"code": {form.Get("code")}}); err == nil {
			return s.obey(w, r, j, st)
		}
	}
	return s.again(w, r, err, codeView(r, j, u), j.origins()...)
}

func (s *Server) showEnroll(w http.ResponseWriter, r *http.Request) error {
	_, j, _, u, err := s.pending(w, r, login.StepEnroll)
	if err != nil {
		return err
	}
	if u == nil {
		return see(w, r, j.at("/login"))
	}
	v, err := s.enrollView(r, j, u)
	if err != nil {
		return err
	}
	return s.show(w, http.StatusOK, v, j.origins()...)
}

func (s *Server) enrollView(r *http.Request, j journey, u *identity.User) (*EnrollView, error) {
	e, err := s.login.BeginEnroll(r.Context(), visit(r), u)
	if err != nil {
		return nil, err
	}
	v := &EnrollView{Base: j.base(r), Form: j.form(), Account: u.LoginName(), URI: e.URL, Key: e.Secret, Required: true}
	if left := s.login.Grace(visit(r), u); left > 0 {
		v.CanSkip, v.SkipUntil = true, web.EventOf(r.Context()).Now.Add(left)
	}
	return v, nil
}

func (s *Server) postEnroll(w http.ResponseWriter, r *http.Request) error {
	form, j, sealed, u, err := s.pending(w, r, login.StepEnroll)
	if err != nil {
		return err
	}
	if u == nil {
		return see(w, r, j.at("/login"))
	}
	step := login.StepEnroll
	if form.Get("skip") != "" {
		step = login.StepSkip
	}
	st, err := s.login.Continue(r.Context(), visit(r), sealed, step, url.Values{"code": {form.Get("code")}})
	if err == nil {
		return s.obey(w, r, j, st)
	}
	v, verr := s.enrollView(r, j, u)
	if verr != nil {
		return verr
	}
	return s.again(w, r, err, v, j.origins()...)
}

func (s *Server) showNewPassword(w http.ResponseWriter, r *http.Request) error {
	_, j, _, u, err := s.pending(w, r, login.StepNewPassword)
	if err != nil {
		return err
	}
	if u == nil {
		return see(w, r, j.at("/login"))
	}
	return s.show(w, http.StatusOK, s.newPasswordView(r, j, u), j.origins()...)
}

func (s *Server) newPasswordView(r *http.Request, j journey, u *identity.User) *NewPasswordView {
	return &NewPasswordView{
		Base: j.base(r), Form: j.form(), Account: u.LoginName(), Rules: s.login.PasswordRules(u),
		Reason: "Your password has to be replaced before you can go on.",
	}
}

func (s *Server) postNewPassword(w http.ResponseWriter, r *http.Request) error {
	form, j, sealed, u, err := s.pending(w, r, login.StepNewPassword)
	if err != nil {
		return err
	}
	if u == nil {
		return see(w, r, j.at("/login"))
	}
	if err = sameTwice(form); err == nil {
		var st login.Step
		st, err = s.login.Continue(r.Context(), visit(r), sealed, login.StepNewPassword, url.Values{"new_password": {form.Get("new_password")}})
		if err == nil {
			return s.obey(w, r, j, st)
		}
	}
	return s.again(w, r, err, s.newPasswordView(r, j, u), j.origins()...)
}

// sameTwice compares a new password with its repetition.
func sameTwice(form url.Values) error {
	if form.Get("new_password") != form.Get("confirm_password") {
		return fault.InvalidField("confirm_password", "The two passwords are not the same.")
	}
	return nil
}

// postChoose takes the answer to prompt=select_account.
func (s *Server) postChoose(w http.ResponseWriter, r *http.Request) error {
	form, j, sess, err := s.arrive(r)
	if err != nil {
		return err
	}
	if j.flow == nil || sess == nil || form.Get("choice") != "continue" {
		return see(w, r, j.at("/login", "other", "1"))
	}
	if j.sealed, err = s.oauth.Choose(j.flow, sess); err != nil {
		return err
	}
	return see(w, r, j.onward())
}
