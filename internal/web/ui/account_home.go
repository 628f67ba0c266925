package ui

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/gatehouse-id/gatehouse/internal/account"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// member is a request to one's own account.
type member struct {
	caller   account.Caller
	recovery *RecoveryNotice // or nil
	several  bool            // the browser may be signed in to several accounts
	form     url.Values
	rejected *MailRejectedView
}

// member serves a page to a person who is signed in. Other browsers are redirected to sign in
// first.
func (s *Server) member(
	h func(w http.ResponseWriter, r *http.Request, m *member) error,
) web.Handler {
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
		m := &member{several: s.login.SeveralAccounts() && !sess.Impersonated()}
		if m.caller, err = s.account.Caller(r.Context(), s.visit(r), sess); err != nil {
			return err
		}
		if m.form, err = s.form(r); err != nil {
			return err
		}
		if answer := m.form.Get("passkey"); answer != "" && m.form.Get("passkey_token") != "" {
			m.caller.Proof = url.Values{"passkey": {answer}, "passkey_token": {m.form.Get("passkey_token")}}
		}
		waiting, err := s.login.WaitingRecovery(r.Context(), m.caller.Visit, m.caller.User)
		if err != nil {
			return err
		}
		if waiting != nil {
			ready := !m.caller.Now.Before(waiting.ReadyAt)
			m.recovery = &RecoveryNotice{ReadyAt: waiting.ReadyAt, Ready: ready, Passkeys: waiting.ByMailbox()}
		}
		if r.Method == http.MethodGet {
			if m.rejected, err = s.mailRejected(r, m.caller); err != nil {
				return err
			}
		}
		return h(w, r, m)
	}
}

// base returns what every page of the account shows, with a notice about what has just been done.
func (m *member) base(r *http.Request) Base {
	b := begin(r)
	b.setUser(m.caller.User)
	b.Notice, b.Recovery, b.MailRejected = m.notice(&b), m.recovery, m.rejected
	b.Switch = m.several
	return b
}

// notice returns a sentence about what the form of the page has just done, or "".
func (m *member) notice(b *Base) string {
	switch done := m.form.Get("done"); done {
	case "profile":
		return b.T("account.profile.saved")
	case "password":
		return b.T("account.done.password")
	case "signed_out":
		return b.T("account.done.signed-out")
	case "username":
		return b.T("joining.username.done")
	case "email_sent":
		return b.T("joining.emails.sent")
	case "confirmed":
		return b.T("joining.emails.confirmed")
	case "email_primary":
		return b.T("joining.emails.primary-done")
	case "email_removed":
		return b.T("joining.emails.removed")
	case "removed":
		return b.T("account.done.removed")
	case "recovery_refused":
		return b.T("recovery.banner.done")
	case "replacement_refused":
		return b.T("recovery.passkey.refused")
	case "asks":
		return b.T("passkey.ask.done-on")
	case "asks_not":
		return b.T("passkey.ask.done-off")
	case "distrusted":
		return b.T("browsers.trusted.removed")
	case "picture":
		return b.T("data.picture.saved")
	case "picture_removed":
		return b.T("data.picture.removed")
	case "revoked_all":
		return b.T("account.done.all")
	case "revoked_inactive":
		n, _ := strconv.Atoi(m.form.Get("count"))
		if n <= 0 {
			return b.T("account.done.no-inactive")
		}
		return b.N("account.done.inactive", n)
	default:
		return b.factorNotice(done)
	}
}

func (s *Server) showAccount(w http.ResponseWriter, r *http.Request, m *member) error {
	o, err := s.account.Overview(r.Context(), m.caller)
	if err != nil {
		return err
	}
	u := m.caller.User
	ends, must := s.account.PasswordEnd(m.caller)
	passkeys := o.Factors.Passkeys
	if u.PasswordHash != "" && s.login.PasswordAllowed() {
		passkeys = 0
	}
	return s.show(w, http.StatusOK, &AccountView{
		Base:              m.base(r),
		Email:             u.Email,
		EmailVerified:     u.EmailVerified,
		PasswordChangedAt: u.PasswordChangedAt,
		PasswordEnd:       ends,
		PasswordMust:      must,
		SecondFactor:      o.Factors.Enabled(),
		BackupCodesLeft:   o.Factors.BackupLeft,
		Required:          o.Factors.Required,
		RequiredBy:        o.Factors.RequiredBy,
		Sessions:          o.Sessions,
		Grants:            o.Grants,
		Consents:          o.Apps,
		OnlyPasskeys:      passkeys,
		Offer:             o.Factors.Passkeys == 0 && !m.caller.Impersonated && s.offersPasskey(r, m),
		Administers:       s.administers != nil && s.administers(u),
	})
}

func profileView(b Base, u *identity.User) *AccountProfileView {
	return &AccountProfileView{
		Base:          b,
		Email:         u.Email,
		EmailVerified: u.EmailVerified,
		Username:      u.Username,
		Name:          u.Name,
		GivenName:     u.GivenName,
		MiddleName:    u.MiddleName,
		FamilyName:    u.FamilyName,
		Nickname:      u.Nickname,
		Birthdate:     u.Birthdate,
		Gender:        u.Gender,
		Picture:       u.Picture,
		Profile:       u.Profile,
		Website:       u.Website,
		Locale:        u.Locale,
		Zoneinfo:      u.Zoneinfo,
		Phone:         u.Phone,
		StreetAddress: u.Address.StreetAddress,
		Locality:      u.Address.Locality,
		Region:        u.Address.Region,
		PostalCode:    u.Address.PostalCode,
		Country:       u.Address.Country,
	}
}

func (s *Server) showProfile(w http.ResponseWriter, r *http.Request, m *member) error {
	v := profileView(m.base(r), m.caller.User)
	if m.form.Get("done") == "profile" {
		var err error
		if v.Details, err = s.details(r, m); err != nil {
			return err
		}
	}
	return s.show(w, http.StatusOK, v)
}

func (s *Server) postProfile(w http.ResponseWriter, r *http.Request, m *member) error {
	u, err := s.account.ChangeProfile(r.Context(), m.caller, m.form.Get)
	if err != nil {
		return s.rerender(w, r, err, profileView(m.base(r), u))
	}
	return seeOther(w, r, "/account/profile?done=profile")
}
