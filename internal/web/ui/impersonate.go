package ui

import (
	"context"
	"net/http"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// An administrator who acts as another person has the session of that person in the session cookie,
// marked by the cookie's prefix, so that pages, the gateway and apps see the person. The
// administrator's own session waits in a cookie that nothing else reads.

// pageEndImpersonation is where such a session ends.
const pageEndImpersonation = "/impersonate/end"

// impersonationRoutes returns the pages of acting as another person.
func (s *Server) impersonationRoutes() []route {
	return []route{
		{"GET " + login.PageImpersonate, s.showImpersonate},
		{"POST " + login.PageImpersonate, s.postImpersonate},
		{"POST " + pageEndImpersonation, s.postEndImpersonation},
	}
}

// actingPages returns the pages that are open to whoever acts as another person. All others are
// closed, since they are for the person alone: these show things, or change the profile.
func actingPages() []string {
	return []string{
		"GET /{$}",
		"POST /language",
		"GET /account",
		"GET /account/profile",
		"POST /account/profile",
		"POST " + PathPicture,
		"POST " + PathPicture + "/remove",
		"GET /account/security",
		"GET /account/security/sign-ins",
		"GET " + pagePasskeys,
		"GET /account/sessions",
		"GET /account/authorizations",
		"GET /account/data",
		"GET /account/email",
		"GET /account/username",
		"GET /consent",
		"POST /consent",
		"POST /logout/confirm",
		"GET " + login.PageImpersonate,
		"POST " + login.PageImpersonate,
		"POST " + pageEndImpersonation,
	}
}

// actingCookie reports whether the browser has the cookie of a session in which somebody acts as
// another person. The session may have ended.
func (s *Server) actingCookie(r *http.Request) bool {
	return login.ImpersonationCookie(s.kit.Cookie(r, web.CookieSession))
}

// unlessActing serves a page that is only for the person themselves, if it is, to nobody else. A
// browser whose session as another person has ended is led to a page that says so: whatever it
// sends must not be done in another name.
func (s *Server) unlessActing(row route) web.Handler {
	open := slices.Contains(actingPages(), row.pattern)
	return func(w http.ResponseWriter, r *http.Request) error {
		if !s.actingCookie(r) {
			return row.serve(w, r)
		}
		sess, err := s.Session(r)
		if err != nil {
			return err
		}
		switch {
		case row.pattern == "GET "+login.PageImpersonate, row.pattern == "POST "+pageEndImpersonation:
		case sess == nil && row.pattern != "POST /language":
			return seeOther(w, r, login.PageImpersonate)
		case !open:
			return s.refuseActing(r)
		}
		return row.serve(w, r)
	}
}

// refuseActing denies a page to whoever acts as another person, and records what they sent.
func (s *Server) refuseActing(r *http.Request) error {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return login.ErrImpersonated()
	}
	v, sess := s.visit(r), web.EventOf(r.Context()).Acting.Session
	if err := s.login.RecordActingRefused(r.Context(), v, sess, r.URL.Path); err != nil {
		return err
	}
	return login.ErrImpersonated()
}

// noteActing notes that somebody acts as another person, for pages and events.
func (s *Server) noteActing(r *http.Request, sess *identity.Session) error {
	u, err := s.storage.User(r.Context(), sess.User)
	if err != nil {
		return err
	}
	actor, err := s.actorLabel(r.Context(), sess.Impersonator)
	if err != nil {
		return err
	}
	web.EventOf(r.Context()).Acting = &web.Acting{Session: sess, Person: u.Label(), Actor: actor}
	return nil
}

// actorLabel returns what pages call somebody who acts as another person: the name of a person, the
// id of a client, and nothing for the command line.
func (s *Server) actorLabel(ctx context.Context, i identity.Impersonator) (string, error) {
	switch i.Kind {
	case audit.ActorUser:
		u, err := s.storage.User(ctx, identity.UserID(i.ID))
		if fault.Is(err, fault.NotFound) { // deleted: the next request ends the session
			return i.ID, nil
		}
		if err != nil {
			return "", err
		}
		return u.Label(), nil
	case audit.ActorClient:
		return i.ID, nil
	}
	return "", nil
}

// showImpersonate asks before somebody acts as another person; it changes nothing. Without a link,
// it tells that such a session has ended.
func (s *Server) showImpersonate(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(r)
	if err != nil {
		return err
	}
	sess, err := s.Session(r)
	if err != nil {
		return err
	}
	token, done, err := s.mailedToken(w, r, form) // first: whatever follows, it leaves the address
	if done || err != nil {
		return err
	}
	switch {
	case sess != nil && sess.Impersonated() && token != "":
		return login.ErrImpersonated()
	case sess != nil && sess.Impersonated():
		return seeOther(w, r, "/account")
	case s.actingCookie(r):
		return s.show(w, http.StatusOK, &ImpersonateView{
			Base: begin(r),
			Form: Form{Action: pageEndImpersonation},
			Over: true,
		})
	case token == "":
		return fault.New(fault.NotFound, "There is no page at this address. Check it for typing errors.")
	}
	link, err := s.login.ImpersonationLink(r.Context(), s.visit(r), token, sess)
	if err != nil {
		return err
	}
	b := begin(r)
	b.Return = login.PageImpersonate
	return s.show(w, http.StatusOK, &ImpersonateView{
		Base:   b,
		Form:   tokenForm(login.PageImpersonate, token),
		Person: link.Person.Label(),
		Login:  link.Person.LoginName(),
		Reason: link.Reason,
		Until:  link.Until,
	})
}

// postImpersonate opens the session of a link, and keeps the browser's own one for afterwards.
func (s *Server) postImpersonate(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(r)
	if err != nil {
		return err
	}
	own, err := s.Session(r)
	if err != nil {
		return err
	}
	if err := s.kit.Allow(w, r, "login", web.Subject{}); err != nil {
		return err
	}
	token, _, err := s.mailedToken(w, r, form)
	if err != nil {
		return err
	}
	v := s.visit(r)
	cookie, sess, err := s.login.Impersonate(r.Context(), v, token, own)
	if err != nil {
		return err
	}
	s.kit.ClearCookie(w, web.CookieLink)
	if own != nil {
		s.kit.SetCookie(w, web.CookieActor, s.kit.Cookie(r, web.CookieSession), login.CookieTTL(v, own))
	} else {
		s.kit.ClearCookie(w, web.CookieActor)
	}
	s.kit.ClearCookie(w, web.CookieLogin)
	s.kit.SetCookie(w, web.CookieSession, cookie, 0)
	web.EventOf(r.Context()).User = string(sess.User)
	return seeOther(w, r, "/account")
}

// postEndImpersonation ends a session in which somebody acts as another person, and goes back to
// their own.
func (s *Server) postEndImpersonation(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.form(r); err != nil {
		return err
	}
	person := identity.UserID("")
	if acting := web.EventOf(r.Context()).Acting; acting != nil {
		person = acting.Session.User
		if err := s.login.EndImpersonation(r.Context(), s.visit(r), acting.Session); err != nil {
			return err
		}
	}
	if !s.actingCookie(r) { // sent again, or from an old page
		return seeOther(w, r, "/account")
	}
	own, err := s.leaveImpersonation(w, r)
	if err != nil {
		return err
	}
	if own == nil {
		return seeOther(w, r, "/login")
	}
	u, err := s.storage.User(r.Context(), own.User)
	if err != nil {
		return err
	}
	if person != "" && s.administers != nil && s.administers(u) {
		return seeOther(w, r, "/admin/users/"+string(person))
	}
	return seeOther(w, r, "/account")
}

// leaveImpersonation returns the browser to its own session, under a new cookie. It returns the
// session, or nil if there is none any more.
func (s *Server) leaveImpersonation(w http.ResponseWriter, r *http.Request) (*identity.Session, error) {
	ev := web.EventOf(r.Context())
	ev.Acting = nil
	v, own := s.visit(r), s.kit.Cookie(r, web.CookieActor)
	s.kit.ClearCookie(w, web.CookieActor)
	if !secret.WellFormed(secret.PrefixSession, own) {
		s.kit.ClearCookie(w, web.CookieSession)
		return nil, nil
	}
	cookie, sess, err := s.login.Renew(r.Context(), v, own)
	if fault.Is(err, fault.NotFound) {
		s.kit.ClearCookie(w, web.CookieSession)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ev.User = string(sess.User)
	s.kit.SetCookie(w, web.CookieSession, cookie, login.CookieTTL(v, sess))
	return sess, nil
}
