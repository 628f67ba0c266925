package ui

import (
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/account"
	"github.com/gatehouse-id/gatehouse/internal/client"
)

// The pages below ask before something is signed out. Their forms post to the address of the page.

// confirmView returns a page that asks before the form of the same address is sent.
func (m *member) confirmView(r *http.Request, cancel string, hidden ...string) *AccountConfirmView {
	v := &AccountConfirmView{
		Base:      m.base(r),
		Form:      Form{Action: r.URL.Path},
		CancelURL: cancel,
	}
	for _, name := range hidden {
		v.Hidden = append(v.Hidden, Pair{Name: name, Value: m.form.Get(name)})
	}
	return v
}

// showRevoke asks before a browser is signed out or the access of an app ends. What has ended
// already leads back to the list.
func (s *Server) showRevoke(w http.ResponseWriter, r *http.Request, m *member) error {
	access, err := s.account.Access(r.Context(), m.caller)
	if err != nil {
		return err
	}
	v := m.confirmView(r, "/account/sessions", "kind", "id")
	switch m.form.Get("kind") {
	case "session":
		v.describeSession(access.Sessions, m.form.Get("id"))
	case "grant":
		s.describeGrant(r, v, access.Grants, m.form.Get("id"))
	}
	if v.Heading == "" {
		return seeOther(w, r, "/account/sessions")
	}
	return s.show(w, http.StatusOK, v)
}

func (v *AccountConfirmView) describeSession(sessions []account.Session, id string) {
	for _, x := range sessions {
		if string(x.ID) != id {
			continue
		}
		v.Heading = v.T("account.confirm.sign-out", "Device", v.Device(x.Agent).Words)
		v.Text, v.Button = v.T("account.confirm.sign-out-text"), v.T("common.sign-out")
		if x.Current {
			v.Heading, v.Text = v.T("account.confirm.this"), v.T("account.confirm.this-text")
		}
	}
}

func (s *Server) describeGrant(
	r *http.Request, v *AccountConfirmView, grants []account.Grant, id string,
) {
	for _, g := range grants {
		if string(g.ID) != id {
			continue
		}
		v.Heading = v.T("account.confirm.grant", "App", s.namedClient(r, g.Client).Name)
		v.Text, v.Button = v.T("account.confirm.grant-text"), v.T("account.devices.remove")
	}
}

func (s *Server) showRevokeAll(w http.ResponseWriter, r *http.Request, m *member) error {
	v := m.confirmView(r, "/account/sessions")
	v.Heading, v.Button = v.T("account.confirm.all"), v.T("account.devices.out-all")
	v.Text = v.T("account.confirm.all-text")
	return s.show(w, http.StatusOK, v)
}

// showRevokeInactive asks before inactive devices and apps are signed out, and names their number.
func (s *Server) showRevokeInactive(w http.ResponseWriter, r *http.Request, m *member) error {
	access, err := s.account.Access(r.Context(), m.caller)
	if err != nil {
		return err
	}
	n := access.Inactive()
	if n == 0 {
		return seeOther(w, r, "/account/sessions?done=revoked_inactive")
	}
	v := m.confirmView(r, "/account/sessions")
	v.Heading, v.Button = v.N("account.confirm.inactive", n), v.T("account.devices.out-inactive")
	v.Text = v.N("account.confirm.inactive-text", int(account.InactiveAfter/day))
	return s.show(w, http.StatusOK, v)
}

// showRemoveAuthorization asks before an app is disconnected. An app that is not connected leads
// back to the list.
func (s *Server) showRemoveAuthorization(
	w http.ResponseWriter, r *http.Request, m *member,
) error {
	apps, err := s.account.Apps(r.Context(), m.caller)
	if err != nil {
		return err
	}
	id := client.ID(m.form.Get("client_id"))
	for _, c := range apps {
		if c.Client != id {
			continue
		}
		v := m.confirmView(r, "/account/authorizations", "client_id")
		v.Heading = v.T("account.confirm.app", "App", s.namedClient(r, id).Name)
		v.Text, v.Button = v.T("account.confirm.app-text"), v.T("account.apps.remove")
		return s.show(w, http.StatusOK, v)
	}
	return seeOther(w, r, "/account/authorizations")
}
