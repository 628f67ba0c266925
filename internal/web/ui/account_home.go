package ui

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// member is a request to one's own account.
type member struct {
	user    *identity.User
	session *identity.Session
	form    url.Values
}

// member serves a page to who is signed in, and sends everybody else to sign in first.
func (s *Server) member(h func(w http.ResponseWriter, r *http.Request, m *member) error) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		sess, err := s.Session(r)
		if err != nil {
			return err
		}
		if sess == nil {
			next := r.URL.Path
			if r.Method != http.MethodGet {
				next = "/account"
			}
			return seeOther(w, r, with("/login", "next", next))
		}
		m := &member{session: sess}
		if m.user, err = s.accounts.User(r.Context(), sess.User); err != nil {
			return err
		}
		if m.form, err = s.form(r); err != nil {
			return err
		}
		return h(w, r, m)
	}
}

// base is what every page of the account shows, with a sentence about what was just done.
func (m *member) base(r *http.Request) Base {
	b := begin(r)
	b.setUser(m.user)
	switch m.form.Get("done") {
	case "profile":
		b.Notice = "Your profile has been saved."
	case "password":
		b.Notice = "Your password has been changed. You have been signed out everywhere else."
	case "revoked":
		b.Notice = "Access has been revoked."
	case "revoked_all":
		b.Notice = "Everything but this browser has been signed out."
	case "revoked_inactive":
		b.Notice = "What was not used for 30 days has been signed out."
	case "removed":
		b.Notice = "The permission has been removed, and what it gave has been ended."
	default:
		b.Notice = factorNotice(m.form.Get("done"))
	}
	return b
}

// event begins an audit event about the person's own account.
func (m *member) event(r *http.Request, t audit.Type) audit.Event {
	ev := web.EventOf(r.Context())
	return audit.Event{
		At: ev.Now, Type: t, Actor: string(m.user.ID), User: string(m.user.ID), Session: string(m.session.ID),
		IP: ev.IP, Agent: ev.Agent, RequestID: ev.ID,
	}
}

func (s *Server) showAccount(w http.ResponseWriter, r *http.Request, m *member) error {
	ctx, now := r.Context(), web.EventOf(r.Context()).Now
	v := &AccountView{Base: m.base(r), Email: m.user.Email, EmailVerified: m.user.EmailVerified, PasswordChangedAt: m.user.PasswordChangedAt}
	f, err := s.login.Factors(ctx, m.user.ID)
	if err != nil {
		return err
	}
	v.SecondFactor, v.BackupCodesLeft = f.Enabled(), f.BackupLeft
	sessions, err := s.accounts.UserSessions(ctx, m.user.ID, now)
	if err != nil {
		return err
	}
	grants, err := s.accounts.UserGrants(ctx, m.user.ID, now)
	if err != nil {
		return err
	}
	consents, err := s.accounts.UserConsents(ctx, m.user.ID)
	if err != nil {
		return err
	}
	v.Sessions, v.Grants, v.Consents = len(sessions), len(grants), len(consents)
	return s.show(w, http.StatusOK, v)
}

func profileView(b Base, u *identity.User) *AccountProfileView {
	return &AccountProfileView{
		Base: b, Email: u.Email, EmailVerified: u.EmailVerified, Username: u.Username, Name: u.Name, GivenName: u.GivenName, FamilyName: u.FamilyName,
		Picture: u.Picture, Locale: u.Locale, Zoneinfo: u.Zoneinfo, Phone: u.Phone, StreetAddress: u.Address.StreetAddress, Locality: u.Address.Locality,
		Region: u.Address.Region, PostalCode: u.Address.PostalCode, Country: u.Address.Country,
	}
}

func (s *Server) showProfile(w http.ResponseWriter, r *http.Request, m *member) error {
	return s.show(w, http.StatusOK, profileView(m.base(r), m.user))
}

func (s *Server) postProfile(w http.ResponseWriter, r *http.Request, m *member) error {
	u := *m.user
	get := func(name string) string { return strings.TrimSpace(m.form.Get(name)) }
	u.Name, u.GivenName, u.FamilyName, u.Picture = get("name"), get("given_name"), get("family_name"), get("picture")
	u.Locale, u.Zoneinfo = get("locale"), get("zoneinfo")
	if phone := get("phone_number"); phone != u.Phone {
		u.Phone, u.PhoneVerified = phone, false
	}
	u.Address = identity.Address{
		StreetAddress: get("street_address"), Locality: get("locality"), Region: get("region"), PostalCode: get("postal_code"), Country: get("country"),
	}
	u.UpdatedAt = web.EventOf(r.Context()).Now
	if err := u.ValidateChange(m.user); err != nil {
		return s.rerender(w, r, err, profileView(m.base(r), &u))
	}
	if err := s.accounts.UpdateUser(r.Context(), m.user, &u, m.event(r, audit.UserUpdated)); err != nil {
		return s.rerender(w, r, err, profileView(m.base(r), &u))
	}
	return seeOther(w, r, "/account/profile?done=profile")
}

// ownError moves an error to the field of the form that it belongs to, where a page has several.
func ownError(err error, field string) error {
	if k := fault.KindOf(err); k == fault.Denied || k == fault.Invalid {
		return &fault.Error{Kind: k, Field: field, Text: fault.Text(err), Cause: err}
	}
	return err
}
