package ui

import (
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// showActivate asks for the code that a device shows (RFC 8628 §3.3). A code in the address is
// filled in, but never submitted by itself.
func (s *Server) showActivate(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(r)
	if err != nil {
		return err
	}
	typed := form.Get("user_code")
	if typed == "" {
		typed = form.Get("code")
	}
	if code, ok := oauth.ParseUserCode(typed); ok {
		typed = oauth.FormatUserCode(code)
	} else {
		typed = ""
	}
	sess, err := s.Session(r)
	if err != nil {
		return err
	}
	if sess == nil {
		return seeOther(w, r, with("/login", "next", with("/activate", "user_code", typed)))
	}
	v, err := s.activateView(r, sess)
	if err != nil {
		return err
	}
	if v.UserCode = typed; typed != "" {
		v.PhoneURL = s.oauth.Issuer() + with("/activate", "user_code", typed)
	}
	return s.show(w, http.StatusOK, v)
}

func (s *Server) activateView(r *http.Request, sess *identity.Session) (*ActivateView, error) {
	u, err := s.storage.User(r.Context(), sess.User)
	if err != nil {
		return nil, err
	}
	v := &ActivateView{Base: begin(r)}
	v.setUser(u)
	return v, nil
}

// postActivate looks up the code and asks for the decision. The rate limit bounds guessing (RFC
// 8628 §5.1).
func (s *Server) postActivate(w http.ResponseWriter, r *http.Request) error {
	c, err := s.deviceCall(r)
	if err != nil || c == nil {
		return orLogin(w, r, err)
	}
	v, err := s.activateView(r, c.Session)
	if err != nil {
		return err
	}
	v.UserCode = c.Get("user_code")
	if err := s.kit.Allow(w, r, "device", web.Subject{User: string(c.Session.User)}); err != nil {
		return s.rerender(w, r, err, v)
	}
	p, err := s.oauth.PendingDevice(r.Context(), c.Get("user_code"), c.Now)
	if fault.Is(err, fault.NotFound) {
		return s.rerender(w, r, atField("user_code", err), v)
	}
	if err != nil {
		return err
	}
	confirm := &ActivateConfirmView{
		Base:        v.Base,
		UserCode:    oauth.FormatUserCode(p.Device.UserCode),
		Scopes:      s.scopeViews(v.Base, p.Device.Scopes),
		IP:          p.Device.IP,
		Agent:       p.Device.Agent,
		RequestedAt: p.Device.CreatedAt,
	}
	confirm.Client = clientView(p.Client, "")
	return s.show(w, http.StatusOK, confirm)
}

func (s *Server) postActivateConfirm(w http.ResponseWriter, r *http.Request) error {
	c, err := s.deviceCall(r)
	if err != nil || c == nil {
		return orLogin(w, r, err)
	}
	action := c.Get("consent_action")
	if action != "approve" && action != "deny" {
		return fault.New(fault.Invalid, "Your decision is missing. Go back and select Allow or Cancel.")
	}
	v, err := s.activateView(r, c.Session)
	if err != nil {
		return err
	}
	if err := s.kit.Allow(w, r, "device", web.Subject{User: string(c.Session.User)}); err != nil {
		return err
	}
	p, err := s.oauth.DecideDevice(r.Context(), c, c.Get("user_code"), action == "approve")
	if fault.Is(err, fault.NotFound) {
		return s.rerender(w, r, atField("user_code", err), v)
	}
	if err != nil {
		return err
	}
	done := &ActivateDoneView{Base: v.Base, Approved: action == "approve"}
	done.Client = clientView(p.Client, "")
	return s.show(w, http.StatusOK, done)
}

// deviceCall parses a form of the device pages. It returns nil if the browser is not signed in.
func (s *Server) deviceCall(r *http.Request) (*oauth.Call, error) {
	sess, err := s.Session(r)
	if err != nil || sess == nil {
		return nil, err
	}
	return s.kit.ParseCall(r, web.FromForm, sess)
}

// orLogin returns an error, or redirects a browser that is not signed in to the sign-in page.
func orLogin(w http.ResponseWriter, r *http.Request, err error) error {
	if err != nil {
		return err
	}
	return seeOther(w, r, with("/login", "next", "/activate"))
}
