package ui

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/account"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// One browser may be signed in to several accounts. The session in use has the session cookie, by
// which every page, the gateway and applications know the person; each of the others has a cookie
// of its own, which is read only where accounts are chosen. What is in use changes by a sign-in or
// by a form, never by following a link.

// accountRoutes returns the pages that choose among the accounts of a browser.
func (s *Server) accountRoutes() []route {
	return []route{
		{"GET /chooser", s.showChooser},
		{"POST /chooser", s.postChooser},
		{"POST /chooser/forget", s.postForget},
		{"POST /login/choose", s.postChooser},
	}
}

func otherCookie(i int) string { return web.CookieOther + strconv.Itoa(i) }

// otherCookies returns the cookies of the sessions that are not in use.
func (s *Server) otherCookies(r *http.Request) []string {
	var out []string
	for i := 1; i < s.login.BrowserAccounts(); i++ {
		if cookie := s.kit.Cookie(r, otherCookie(i)); cookie != "" {
			out = append(out, cookie)
		}
	}
	return out
}

// browserSessions returns all sessions of the browser, the one in use first.
func (s *Server) browserSessions(r *http.Request) ([]login.BrowserSession, error) {
	cookies := append([]string{s.kit.Cookie(r, web.CookieSession)}, s.otherCookies(r)...)
	return s.login.BrowserSessions(r.Context(), s.visit(r), cookies)
}

// Accounts returns all sessions of the browser if there are several, else nil.
func (s *Server) Accounts(r *http.Request) ([]oauth.BrowserAccount, error) {
	if len(s.otherCookies(r)) == 0 || s.actingCookie(r) {
		return nil, nil
	}
	all, err := s.browserSessions(r)
	if err != nil {
		return nil, err
	}
	var out []oauth.BrowserAccount
	for _, b := range all {
		u, err := s.storage.User(r.Context(), b.Session.User)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		logins := []string{identity.LoginKey(u.Email), identity.LoginKey(u.Username)}
		out = append(out, oauth.BrowserAccount{Session: b.Session, Logins: logins})
	}
	return out, nil
}

// sessionOf returns the browser's session with an id, with its cookie. It returns the session in
// use for "", and for an id that is none of the browser's.
func (s *Server) sessionOf(
	r *http.Request, id identity.SessionID,
) (login.BrowserSession, error) {
	sess, err := s.Session(r)
	active := login.BrowserSession{Cookie: s.kit.Cookie(r, web.CookieSession), Session: sess}
	if err != nil || id == "" || sess != nil && sess.ID == id || len(s.otherCookies(r)) == 0 || s.actingCookie(r) {
		return active, err
	}
	all, err := s.browserSessions(r)
	for _, b := range all {
		if b.Session.ID == id {
			return b, err
		}
	}
	return active, err
}

// setSessions sets the cookies of the browser's sessions: the first is in use, unless none is.
// Sessions beyond the bound end.
func (s *Server) setSessions(
	w http.ResponseWriter, r *http.Request, active *login.BrowserSession, others []login.BrowserSession,
) error {
	v := s.visit(r)
	if active != nil {
		s.kit.SetCookie(w, web.CookieSession, active.Cookie, login.CookieTTL(v, active.Session))
	} else {
		s.kit.ClearCookie(w, web.CookieSession)
	}
	bound := s.login.BrowserAccounts()
	for i := 1; i < bound; i++ {
		switch {
		case i <= len(others):
			b := others[i-1]
			s.kit.SetCookie(w, otherCookie(i), b.Cookie, login.CookieTTL(v, b.Session))
		case s.kit.Cookie(r, otherCookie(i)) != "":
			s.kit.ClearCookie(w, otherCookie(i))
		}
	}
	for i := bound - 1; i < len(others); i++ {
		if err := s.login.EndForgotten(r.Context(), v, others[i].Session); err != nil {
			return err
		}
	}
	return nil
}

// addSession sets the cookies after a sign-in: its session is in use, and what was in use is the
// first of the others.
func (s *Server) addSession(w http.ResponseWriter, r *http.Request, d *login.Done) error {
	active := &login.BrowserSession{Cookie: d.Cookie, Session: d.Session}
	var others []login.BrowserSession
	if s.login.SeveralAccounts() {
		all, err := s.browserSessions(r)
		if err != nil {
			return err
		}
		for _, b := range all {
			switch {
			case b.Session.User != d.User.ID:
				others = append(others, b)
			case b.Session.ID != d.Session.ID:
				if err := s.login.EndForgotten(r.Context(), s.visit(r), b.Session); err != nil {
					return err
				}
			}
		}
	}
	if err := s.setSessions(w, r, active, others); err != nil {
		return err
	}
	remembered := s.kit.Cookie(r, web.CookieAccounts)
	s.setRemembered(w, r, s.login.RememberAccount(s.visit(r), remembered, d.User, d.Session))
	return nil
}

func (s *Server) setRemembered(w http.ResponseWriter, r *http.Request, sealed string) {
	switch {
	case sealed != "":
		s.kit.SetCookie(w, web.CookieAccounts, sealed, login.RememberTTL)
	case s.kit.Cookie(r, web.CookieAccounts) != "":
		s.kit.ClearCookie(w, web.CookieAccounts)
	}
}

// accountChoices returns the accounts that the browser offers: those that are signed in, the one
// in use first, then those that it remembers.
func (s *Server) accountChoices(r *http.Request) ([]AccountChoice, error) {
	var out []AccountChoice
	if s.actingCookie(r) { // the accounts are those of who acts, not of the person
		return nil, nil
	}
	all, err := s.browserSessions(r)
	if err != nil {
		return nil, err
	}
	active, err := s.Session(r)
	if err != nil {
		return nil, err
	}
	seen := map[identity.UserID]bool{}
	for _, b := range all {
		u, err := s.storage.User(r.Context(), b.Session.User)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		c := AccountChoice{ID: s.login.AccountMark(u.ID), Label: u.Label(), SignedIn: true, user: u.ID}
		if u.Email != c.Label {
			c.Login = u.Email
		}
		if own := s.kit.Origin + account.PicturePath; strings.HasPrefix(u.Picture, own) {
			c.Picture = strings.TrimPrefix(u.Picture, s.kit.Origin)
		}
		c.Current = active != nil && active.ID == b.Session.ID
		seen[u.ID] = true
		out = append(out, c)
	}
	for _, a := range s.login.RememberedAccounts(s.visit(r), s.kit.Cookie(r, web.CookieAccounts)) {
		if seen[a.User] {
			continue
		}
		c := AccountChoice{ID: s.login.AccountMark(a.User), Label: a.Label, user: a.User, typed: a.Login}
		if a.Login != a.Label {
			c.Login = a.Login
		}
		out = append(out, c)
	}
	return out, nil
}

// showChooser lists the accounts of the browser. Without any, it leads to the sign-in page.
func (s *Server) showChooser(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(r)
	if err != nil {
		return err
	}
	lc, err := s.loginContext(r, form)
	if err != nil {
		return err
	}
	choices, err := s.accountChoices(r)
	if err != nil {
		return err
	}
	if len(choices) == 0 {
		return seeOther(w, r, lc.url("/login", "other", "1"))
	}
	return s.showChoices(w, r, lc, choices)
}

func (s *Server) showChoices(
	w http.ResponseWriter, r *http.Request, lc loginContext, choices []AccountChoice,
) error {
	v := &ChooserView{Base: lc.base(r), Form: lc.form(), Accounts: choices}
	return s.show(w, http.StatusOK, v)
}

// postChooser continues with the account that the person chose: it switches to a session, or asks
// for a sign-in.
func (s *Server) postChooser(w http.ResponseWriter, r *http.Request) error {
	form, lc, sess, err := s.loadContext(r)
	if err != nil {
		return err
	}
	choices, err := s.accountChoices(r)
	if err != nil {
		return err
	}
	choice := form.Get("choice")
	i := slices.IndexFunc(choices, func(c AccountChoice) bool {
		return c.ID == choice || c.Current && choice == "continue"
	})
	switch {
	case i < 0:
		return seeOther(w, r, lc.url("/login", "other", "1"))
	case !choices[i].SignedIn:
		return seeOther(w, r, lc.url("/login", "account", choices[i].ID))
	case !choices[i].Current:
		if sess, err = s.switchTo(w, r, choices[i].user); err != nil {
			return err
		}
	}
	if sess == nil {
		return seeOther(w, r, lc.url("/login", "account", choices[i].ID))
	}
	if lc.flow != nil {
		if lc.sealed, err = s.oauth.Choose(lc.flow, sess); err != nil {
			return err
		}
	}
	return seeOther(w, r, lc.nextURL())
}

// switchTo sets the session of another account in use, under a new cookie, so that one that was
// planted in the browser is worthless. It returns nil if the session has ended.
func (s *Server) switchTo(
	w http.ResponseWriter, r *http.Request, id identity.UserID,
) (*identity.Session, error) {
	all, err := s.browserSessions(r)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(b login.BrowserSession) bool { return b.Session.User == id })
	if i < 0 {
		return nil, nil
	}
	cookie, sess, err := s.login.Renew(r.Context(), s.visit(r), all[i].Cookie)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	active := &login.BrowserSession{Cookie: cookie, Session: sess}
	web.EventOf(r.Context()).User = string(sess.User)
	return sess, s.setSessions(w, r, active, slices.Delete(slices.Clone(all), i, i+1))
}

// postForget removes an account from the browser: its session, its entry among the remembered
// accounts, and by what the account knows the browser.
func (s *Server) postForget(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(r)
	if err != nil {
		return err
	}
	lc, err := s.loginContext(r, form)
	if err != nil {
		return err
	}
	choices, err := s.accountChoices(r)
	if err != nil {
		return err
	}
	mark := form.Get("account")
	i := slices.IndexFunc(choices, func(c AccountChoice) bool { return c.ID == mark })
	if i < 0 {
		return seeOther(w, r, lc.url("/chooser"))
	}
	forgotten := choices[i].user
	end := func(u identity.UserID) bool { return u == forgotten }
	if err := s.endSessions(w, r, end); err != nil {
		return err
	}
	if err := s.forgetAccount(w, r, forgotten); err != nil {
		return err
	}
	if len(choices) == 1 {
		return seeOther(w, r, lc.url("/login", "other", "1"))
	}
	return seeOther(w, r, lc.url("/chooser"))
}

// endSessions ends sessions of the browser, by their users.
func (s *Server) endSessions(
	w http.ResponseWriter, r *http.Request, end func(identity.UserID) bool,
) error {
	all, err := s.browserSessions(r)
	if err != nil {
		return err
	}
	inUse, err := s.Session(r)
	if err != nil {
		return err
	}
	var active *login.BrowserSession
	var others []login.BrowserSession
	for _, b := range all {
		switch {
		case end(b.Session.User):
			if err := s.login.EndForgotten(r.Context(), s.visit(r), b.Session); err != nil {
				return err
			}
		case inUse != nil && inUse.ID == b.Session.ID:
			active = &b
		default:
			others = append(others, b)
		}
	}
	return s.setSessions(w, r, active, others)
}

// forgetAccount removes what the browser remembers of an account.
func (s *Server) forgetAccount(w http.ResponseWriter, r *http.Request, id identity.UserID) error {
	v := s.visit(r)
	s.setRemembered(w, r, s.login.ForgetAccount(v, s.kit.Cookie(r, web.CookieAccounts), id))
	device, err := s.login.ForgetDevice(r.Context(), v, id)
	if err != nil {
		return err
	}
	if device == "" {
		s.kit.ClearCookie(w, web.CookieDevice)
	} else {
		s.kit.SetCookie(w, web.CookieDevice, device, login.DeviceTTL)
	}
	return nil
}

// chosenLogin returns what the person of a remembered account types to sign in, by the account's
// mark in the address; without one, that of the only account that the browser remembers.
func (s *Server) chosenLogin(r *http.Request, form url.Values) string {
	all := s.login.RememberedAccounts(s.visit(r), s.kit.Cookie(r, web.CookieAccounts))
	mark := form.Get("account")
	for _, a := range all {
		if s.login.AccountMark(a.User) == mark || mark == "" && len(all) == 1 {
			return a.Login
		}
	}
	return ""
}
