package ui

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/gatehouse-id/gatehouse/internal/account"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/visitor"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

func (s *Server) showSessions(w http.ResponseWriter, r *http.Request, m *member) error {
	access, err := s.account.Access(r.Context(), m.caller)
	if err != nil {
		return err
	}
	v := &AccountSessionsView{
		Base:         m.base(r),
		InactiveDays: int(account.InactiveAfter / day),
		HasPassword:  m.caller.User.PasswordHash != "",
	}
	unfamiliar, err := s.account.Unfamiliar(r.Context(), m.caller)
	if err != nil {
		return err
	}
	for _, x := range access.Sessions {
		view := SessionView{
			ID:         string(x.ID),
			Agent:      x.Agent,
			IP:         x.IP,
			Place:      s.account.Place(x.IP),
			Current:    x.Current,
			Stay:       x.Stay,
			SignedInAt: x.AuthTime,
			LastUsedAt: x.LastSeenAt,
			NewDevice:  !x.Current && unfamiliar[x.ID].NewDevice,
			NewCountry: !x.Current && unfamiliar[x.ID].NewCountry,
		}
		if x.Impersonated() { // where from is not the person's business
			view.Acting, view.IP, view.Place, view.SignedInAt = true, "", visitor.Place{}, x.CreatedAt
		}
		v.addSession(view)
	}
	for _, g := range access.Grants {
		v.Grants = append(v.Grants, GrantView{
			ID:           string(g.ID),
			Client:       s.namedClient(r, g.Client),
			Agent:        g.Agent,
			IP:           g.IP,
			AuthorizedAt: g.CreatedAt,
			LastUsedAt:   g.LastUsedAt,
			Scopes:       s.scopeViews(v.Base, g.Scopes),
			Inactive:     g.Inactive,
		})
	}
	return s.show(w, http.StatusOK, v)
}

// addSession adds a session to the device that it is on. Browsers do not say which device they are
// on, so devices are of one kind: a browser on a system. The one in use is the first.
func (v *AccountSessionsView) addSession(x SessionView) {
	d := visitor.Describe(x.Agent)
	i := slices.IndexFunc(v.Devices, func(g DeviceView) bool { return visitor.Describe(g.Agent) == d })
	if i < 0 {
		i = len(v.Devices)
		v.Devices = append(v.Devices, DeviceView{Agent: x.Agent})
	}
	v.Devices[i].Sessions = append(v.Devices[i].Sessions, x)
	if x.Current && i > 0 {
		here := v.Devices[i] // Delete clears its place
		v.Devices = slices.Insert(slices.Delete(v.Devices, i, i+1), 0, here)
	}
}

// namedClient returns a client for a list. A client that was deleted has its id as its name.
func (s *Server) namedClient(r *http.Request, id client.ID) ClientView {
	cl, err := s.storage.Client(r.Context(), id)
	if err != nil {
		return ClientView{Name: string(id)}
	}
	return *clientView(cl, "")
}

// postRevoke signs one browser out, or ends the access of one app.
func (s *Server) postRevoke(w http.ResponseWriter, r *http.Request, m *member) error {
	ctx, id := r.Context(), m.form.Get("id")
	switch m.form.Get("kind") {
	case "session":
		current, err := s.account.EndSession(ctx, m.caller, identity.SessionID(id))
		if err != nil {
			return err
		}
		if current {
			s.kit.ClearCookie(w, web.CookieSession)
		}
		return seeOther(w, r, "/account/sessions?done=signed_out")
	case "grant":
		if err := s.account.EndGrant(ctx, m.caller, oauth.GrantID(id)); err != nil {
			return err
		}
		return seeOther(w, r, "/account/sessions?done=removed")
	}
	return fault.New(fault.Invalid, "The form is incomplete. Open the Devices page again.")
}

func (s *Server) postRevokeAll(w http.ResponseWriter, r *http.Request, m *member) error {
	if err := s.account.SignOutEverywhere(r.Context(), m.caller); err != nil {
		return err
	}
	return seeOther(w, r, "/account/sessions?done=revoked_all")
}

func (s *Server) postRevokeInactive(w http.ResponseWriter, r *http.Request, m *member) error {
	n, err := s.account.EndInactive(r.Context(), m.caller)
	if err != nil {
		return err
	}
	to := with("/account/sessions", "done", "revoked_inactive", "count", strconv.Itoa(n))
	return seeOther(w, r, to)
}

func (s *Server) showAuthorizations(w http.ResponseWriter, r *http.Request, m *member) error {
	apps, err := s.account.Apps(r.Context(), m.caller)
	if err != nil {
		return err
	}
	v := &AccountAuthorizationsView{Base: m.base(r)}
	for _, c := range apps {
		v.Consents = append(v.Consents, ConsentEntry{
			ClientID: string(c.Client),
			Client:   s.namedClient(r, c.Client),
			Scopes:   s.scopeViews(v.Base, c.Scopes),
			Since:    c.CreatedAt,
		})
	}
	return s.show(w, http.StatusOK, v)
}

func (s *Server) postRemoveAuthorization(
	w http.ResponseWriter, r *http.Request, m *member,
) error {
	id := client.ID(m.form.Get("client_id"))
	if err := s.account.DisconnectApp(r.Context(), m.caller, id); err != nil {
		return err
	}
	return seeOther(w, r, "/account/authorizations?done=removed")
}
