package ui

import (
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// inactiveAfter is how long unused makes a sign-in or an access inactive.
const inactiveAfter = 30 * 24 * time.Hour

func (s *Server) showSessions(w http.ResponseWriter, r *http.Request, m *member) error {
	ctx, now := r.Context(), web.EventOf(r.Context()).Now
	sessions, err := s.accounts.UserSessions(ctx, m.user.ID, now)
	if err != nil {
		return err
	}
	grants, err := s.accounts.UserGrants(ctx, m.user.ID, now)
	if err != nil {
		return err
	}
	v := &AccountSessionsView{Base: m.base(r), InactiveDays: int(inactiveAfter / day)}
	for _, x := range sessions {
		v.Sessions = append(v.Sessions, SessionView{
			ID: string(x.ID), Agent: x.Agent, IP: x.IP, Current: x.ID == m.session.ID, SignedInAt: x.AuthTime, LastUsedAt: x.LastSeenAt,
		})
	}
	for _, g := range grants {
		v.Grants = append(v.Grants, GrantView{
			ID: string(g.ID), Client: s.namedClient(r, g.Client), Agent: g.Agent, IP: g.IP, AuthorizedAt: g.CreatedAt, LastUsedAt: g.LastUsedAt,
			Scopes: s.scopeViews(g.Scopes), Inactive: now.Sub(g.LastUsedAt) > inactiveAfter,
		})
	}
	return s.show(w, http.StatusOK, v)
}

// namedClient is a client for a list; one that has been deleted is named by its id.
func (s *Server) namedClient(r *http.Request, id client.ID) ClientView {
	cl, err := s.accounts.Client(r.Context(), id)
	if err != nil {
		return ClientView{Name: string(id)}
	}
	return *clientView(cl, "")
}

func (s *Server) postRevoke(w http.ResponseWriter, r *http.Request, m *member) error {
	ctx, now, id := r.Context(), web.EventOf(r.Context()).Now, m.form.Get("id")
	var err error
	switch m.form.Get("kind") {
	case "session":
		ev := m.event(r, audit.SessionRevoked)
		ev.Session = id
		if err = s.accounts.EndUserSession(ctx, m.user.ID, identity.SessionID(id), now, s.cfg.RevokeTokens, ev); err == nil && id == string(m.session.ID) {
			s.kit.ClearCookie(w, web.CookieSession)
		}
	case "grant":
		ev := m.event(r, audit.GrantRevoked)
		ev.Grant = id
		err = s.accounts.EndUserGrant(ctx, m.user.ID, oauth.GrantID(id), now, ev)
	default:
		return fault.New(fault.Invalid, "The form did not say what to revoke. Open the page again.")
	}
	if err != nil && !fault.Is(err, fault.NotFound) { // gone already is what was wanted
		return err
	}
	return seeOther(w, r, "/account/sessions?done=revoked")
}

func (s *Server) postRevokeAll(w http.ResponseWriter, r *http.Request, m *member) error {
	ev := m.event(r, audit.SessionRevoked)
	ev.Detail = map[string]string{"which": "all_but_this"}
	if err := s.accounts.EndUserAccess(r.Context(), m.user.ID, web.EventOf(r.Context()).Now, m.session.ID, ev); err != nil {
		return err
	}
	return seeOther(w, r, "/account/sessions?done=revoked_all")
}

func (s *Server) postRevokeInactive(w http.ResponseWriter, r *http.Request, m *member) error {
	now := web.EventOf(r.Context()).Now
	ev := m.event(r, audit.SessionRevoked)
	ev.Detail = map[string]string{"which": "inactive"}
	if _, err := s.accounts.EndInactiveSessions(r.Context(), m.user.ID, now.Add(-inactiveAfter), now, ev); err != nil {
		return err
	}
	return seeOther(w, r, "/account/sessions?done=revoked_inactive")
}

func (s *Server) showAuthorizations(w http.ResponseWriter, r *http.Request, m *member) error {
	consents, err := s.accounts.UserConsents(r.Context(), m.user.ID)
	if err != nil {
		return err
	}
	v := &AccountAuthorizationsView{Base: m.base(r)}
	for _, c := range consents {
		v.Consents = append(v.Consents, ConsentEntry{
			ClientID: string(c.Client), Client: s.namedClient(r, c.Client), Scopes: s.scopeViews(c.Scopes), Since: c.CreatedAt,
		})
	}
	return s.show(w, http.StatusOK, v)
}

func (s *Server) postRemoveAuthorization(w http.ResponseWriter, r *http.Request, m *member) error {
	id := client.ID(m.form.Get("client_id"))
	ev := m.event(r, audit.GrantRevoked)
	ev.Client, ev.Detail = string(id), map[string]string{"which": "all_of_client"}
	if err := s.accounts.DeleteConsent(r.Context(), m.user.ID, id, web.EventOf(r.Context()).Now, ev); err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	return seeOther(w, r, "/account/authorizations?done=removed")
}
