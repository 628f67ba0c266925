package ui

import (
	"net/http"
	"slices"
	"sort"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// FollowStep sends the browser where the authorization endpoint decided: to a page, or back to the
// client.
func (s *Server) FollowStep(w http.ResponseWriter, r *http.Request, st *oauth.Step) error {
	switch {
	case st.Login != nil:
		sealed, err := s.oauth.SealFlow(st.Login)
		if err != nil {
			return err
		}
		return seeOther(w, r, with("/login", "flow", sealed))
	case st.Consent != nil:
		sealed, err := s.oauth.SealFlow(st.Consent)
		if err != nil {
			return err
		}
		return seeOther(w, r, with("/consent", "flow", sealed))
	}
	return s.reply(w, r, st.Reply)
}

// reply returns the browser to the client with the response of the authorization endpoint.
func (s *Server) reply(w http.ResponseWriter, r *http.Request, reply *oauth.Reply) error {
	if reply.Mode != oauth.ModeFormPost {
		// http.Redirect would write a page that repeats the code.
		w.Header().Set("Location", reply.Location())
		w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	s.readAddress(r)
	v := &FormPostView{Base: begin(r), Action: reply.RedirectURI}
	v.Leaves, v.Client = true, clientView(reply.Client, reply.RedirectURI)
	for name, values := range reply.Params {
		v.Params = append(v.Params, Pair{Name: name, Value: values[0]})
	}
	sort.Slice(v.Params, func(i, k int) bool { return v.Params[i].Name < v.Params[k].Name })
	return s.show(w, http.StatusOK, v)
}

// scopeViews returns scopes with their descriptions.
func (s *Server) scopeViews(b Base, names []string) []ScopeView {
	defined := s.storage.Scopes()
	out := make([]ScopeView, 0, len(names))
	for _, name := range names {
		v := ScopeView{Name: name}
		if d := defined[name]; d != nil {
			v.Words, v.Symbol = b.scopeWords(d), d.Icon
		}
		out = append(out, v)
	}
	return out
}

// scopeWords returns the description of a scope: that of a scope of our own in the page's language,
// unless the operator has changed it.
func (b Base) scopeWords(s *oauth.Scope) string {
	id := "scope." + s.Name
	if english := b.texts.Catalogues().All()[0]; !english.Has(id) || english.Get(id) != s.Description {
		return s.Description
	}
	return b.T(id)
}

// showConsent asks the person whether the app may have the access that it requests.
func (s *Server) showConsent(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(r)
	if err != nil {
		return err
	}
	sealed, now := form.Get("flow"), web.EventOf(r.Context()).Now
	current, err := s.sessionOf(r, s.oauth.FlowSession(sealed, now))
	if err != nil {
		return err
	}
	sess := current.Session
	cr, err := s.oauth.ConsentRequest(r.Context(), sealed, sess, now)
	if err != nil {
		return err
	}
	u, err := s.storage.User(r.Context(), sess.User)
	if err != nil {
		return err
	}
	lc := loginContext{flow: cr.Flow}
	v := &ConsentView{
		Base:      lc.base(r),
		Form:      Form{Flow: sealed},
		SwitchURL: with("/login", "flow", cr.Switch, "other", "1"),
	}
	v.setUser(u)
	v.Scopes = s.scopeViews(v.Base, cr.Flow.Scopes)
	for i := range v.Scopes {
		if slices.Contains(cr.Added, v.Scopes[i].Name) {
			v.Scopes[i].Badge = v.T("common.new")
		}
	}
	return s.show(w, http.StatusOK, v)
}

func (s *Server) postConsent(w http.ResponseWriter, r *http.Request) error {
	sess, err := s.Session(r)
	if err != nil {
		return err
	}
	c, err := s.kit.ParseCall(r, web.FromForm, sess)
	if err != nil {
		return err
	}
	current, err := s.sessionOf(r, s.oauth.FlowSession(c.Get("flow"), c.Now))
	if err != nil {
		return err
	}
	c.Session = current.Session
	action := c.Get("consent_action")
	if action != "approve" && action != "deny" {
		return fault.New(fault.Invalid, "Your decision is missing. Go back and select Allow or Cancel.")
	}
	st, err := s.oauth.Consent(r.Context(), c, c.Get("flow"), action == "approve")
	if err != nil {
		return err
	}
	return s.FollowStep(w, r, st)
}

// FollowLogout carries out what the logout endpoint decided.
func (s *Server) FollowLogout(w http.ResponseWriter, r *http.Request, st *oauth.LogoutStep) error {
	s.readAddress(r)
	if st.Confirm != nil {
		sealed, err := s.oauth.SealFlow(st.Confirm)
		if err != nil {
			return err
		}
		u, err := s.storage.User(r.Context(), st.User)
		if err != nil {
			return err
		}
		v := &LogoutView{Base: begin(r), Form: Form{Action: "/logout/confirm", Flow: sealed}}
		v.setUser(u)
		v.Leaves, v.Client = true, clientView(st.Client, "")
		if err := s.offerForget(r, v, st.User); err != nil {
			return err
		}
		return s.show(w, http.StatusOK, v)
	}
	others := false
	if st.Ended {
		var err error
		if s.actingCookie(r) {
			_, err = s.leaveImpersonation(w, r)
		} else {
			others, err = s.clearEnded(w, r, st.Session)
		}
		if err != nil {
			return err
		}
		s.kit.ClearCookie(w, web.CookieLogin)
	}
	if st.Redirect != "" {
		return seeOther(w, r, st.Redirect)
	}
	v := &LoggedOutView{Base: begin(r), Others: others}
	v.Client = clientView(st.Client, "")
	return s.show(w, http.StatusOK, v)
}

// offerForget fills in what the page that signs out offers beside that.
func (s *Server) offerForget(r *http.Request, v *LogoutView, id identity.UserID) error {
	choices, err := s.accountChoices(r)
	for _, c := range choices {
		v.Several = v.Several || c.SignedIn && c.user != id
	}
	if s.actingCookie(r) {
		return err
	}
	for _, a := range s.login.RememberedAccounts(s.visit(r), s.kit.Cookie(r, web.CookieAccounts)) {
		v.Remembered = v.Remembered || a.User == id
	}
	return err
}

// clearEnded removes the cookie of a session that has ended, and reports whether others remain.
func (s *Server) clearEnded(
	w http.ResponseWriter, r *http.Request, ended identity.SessionID,
) (others bool, err error) {
	if len(s.otherCookies(r)) == 0 {
		s.kit.ClearCookie(w, web.CookieSession)
		return false, nil
	}
	rest, err := s.browserSessions(r) // without those that have ended
	if err != nil {
		return false, err
	}
	inUse := s.kit.Cookie(r, web.CookieSession)
	var active *login.BrowserSession
	rest = slices.DeleteFunc(rest, func(b login.BrowserSession) bool {
		if b.Cookie == inUse && b.Session.ID != ended {
			active = &b
		}
		return b.Cookie == inUse || b.Session.ID == ended
	})
	return len(rest) > 0, s.setSessions(w, r, active, rest)
}

func (s *Server) postLogout(w http.ResponseWriter, r *http.Request) error {
	sess, err := s.Session(r)
	if err != nil {
		return err
	}
	c, err := s.kit.ParseCall(r, web.FromForm, sess)
	if err != nil {
		return err
	}
	if c.Get("choice") == "stay" {
		return seeOther(w, r, "/account")
	}
	acting := s.actingCookie(r) // the browser's accounts are not the person's
	if c.Get("forget") != "" && sess != nil && !acting {
		if err := s.forgetAccount(w, r, sess.User); err != nil {
			return err
		}
	}
	if c.Get("choice") == "all" && !acting {
		others := func(u identity.UserID) bool { return sess == nil || u != sess.User }
		if err := s.endSessions(w, r, others); err != nil {
			return err
		}
	}
	st, err := s.oauth.ConfirmLogout(r.Context(), c, c.Get("flow"))
	if err != nil {
		return err
	}
	return s.FollowLogout(w, r, st)
}
