package ui

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

const (
	kindPasskey  = "passkey"
	pagePasskeys = "/account/security/passkeys"
)

// passkeyRoutes returns the pages of passkeys, and what browsers ask about them.
func (s *Server) passkeyRoutes() []route {
	return []route{
		{"GET /login/passkey", s.showLoginQuestion},
		{"POST /login/passkey", s.postLoginPasskey},
		{"GET " + pagePasskeys, s.member(s.showPasskeys)},
		{"POST " + pagePasskeys + "/add", s.member(s.postAddPasskey)},
		{"POST " + pagePasskeys + "/confirm", s.member(s.postConfirmPasskey)},
		{"GET " + pagePasskeys + "/rename", s.member(s.showRenamePasskey)},
		{"POST " + pagePasskeys + "/rename", s.member(s.postRenamePasskey)},
		{"GET " + pagePasskeys + "/remove", s.member(s.showRemovePasskey)},
		{"POST " + pagePasskeys + "/remove", s.member(s.postRemovePasskey)},
		{"POST " + pagePasskeys + "/later", s.member(s.postLater)},
		{"GET " + pagePasskeys + "/proof", s.member(s.showProof)},
		{"GET /.well-known/passkey-endpoints", s.passkeyEndpoints},
		{"GET /.well-known/webauthn", s.relatedOrigins},
	}
}

// passkeyView returns the question of a sign-in page, or nil if no sign-in begins with a passkey.
// It is sealed into the page, so that nothing is stored for whoever opens one.
func (s *Server) passkeyView(r *http.Request) (*PasskeyView, error) {
	if !s.login.Begins(kindPasskey) {
		return nil, nil
	}
	o, err := s.login.Open(r.Context(), s.visit(r), kindPasskey, "")
	if err != nil {
		return nil, err
	}
	return &PasskeyView{Options: o.Challenge.Options, Token: o.Token}, nil
}

// question is a question to an authenticator for a script.
type question struct {
	Options string `json:"options"`
	Token   string `json:"token"`
}

// showLoginQuestion returns a new question for a sign-in page that stays open.
func (s *Server) showLoginQuestion(w http.ResponseWriter, r *http.Request) error {
	v, err := s.passkeyView(r)
	if err != nil {
		return err
	}
	if v == nil {
		return fault.New(fault.NotFound, "This server does not use passkeys.")
	}
	return writeJSON(w, question{v.Options, v.Token})
}

// showProof returns a question by which a person proves in place of the password who they are; it
// is empty for people without a passkey that can.
func (s *Server) showProof(w http.ResponseWriter, r *http.Request, m *member) error {
	o, err := s.account.ProofByPasskey(r.Context(), m.caller)
	if fault.Is(err, fault.NotFound) {
		return writeJSON(w, question{})
	}
	if err != nil {
		return err
	}
	return writeJSON(w, question{o.Challenge.Options, o.Token})
}

func writeJSON(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // the browser has gone if it fails
	return nil
}

// postLoginPasskey signs in with the answer of an authenticator.
func (s *Server) postLoginPasskey(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(r)
	if err != nil {
		return err
	}
	lc, err := s.loginContext(r, form)
	if err != nil {
		return err
	}
	stay := form.Get(fieldStay) != ""
	var st login.Step
	if err = s.kit.Allow(w, r, "login", web.Subject{}); err == nil {
		st, err = s.login.SignIn(r.Context(), s.visit(r), login.Attempt{
			Kind:    kindPasskey,
			Token:   form.Get("passkey_token"),
			Input:   url.Values{"passkey": {form.Get("passkey")}},
			NeedACR: lc.acr(),
			Cookie:  s.kit.Cookie(r, web.CookieSession),
			Others:  s.otherCookies(r),
			Stay:    stay,
		})
	}
	if err == nil {
		return s.followStep(w, r, lc, st)
	}
	v, viewErr := s.loginView(r, lc)
	if viewErr != nil {
		return viewErr
	}
	v.Stay = stay
	// Only this reason is certain: a device that is told to forget a passkey deletes it for good.
	if fault.Reason(err) == audit.ReasonUnknownPasskey {
		v.Forget = s.forget(form.Get("passkey"))
	}
	return s.rerender(w, r, problem(err), v)
}

// problem returns an error about the answer of an authenticator as one about the page: there is no
// field that a person could correct.
func problem(err error) error {
	if fault.Is(err, fault.Invalid) || fault.Is(err, fault.Consumed) {
		return &fault.Error{Kind: fault.Denied, Text: fault.Text(err), Cause: err}
	}
	return err
}

// forget returns what tells the device that a passkey is unknown (Web Authentication §5.1.10).
func (s *Server) forget(answer string) string {
	var a struct {
		ID string `json:"id"`
	}
	if json.Unmarshal([]byte(answer), &a) != nil || a.ID == "" {
		return ""
	}
	return jsonText(map[string]any{"rpId": s.login.PasskeyServer(), "credentialId": a.ID})
}

func jsonText(v any) string {
	out, err := json.Marshal(v)
	if err != nil { // strings always encode
		panic(err)
	}
	return string(out)
}

// nameDevice adds the name of the browser to a form, in the language of the page, for a passkey of
// an unknown model.
func nameDevice(b Base, r *http.Request, form url.Values) {
	form.Set("passkey_device", b.Device(web.EventOf(r.Context()).Agent).Words)
}

func (s *Server) passkeysView(r *http.Request, m *member) (*AccountPasskeysView, error) {
	all, err := s.account.Passkeys(r.Context(), m.caller)
	if err != nil {
		return nil, err
	}
	v := &AccountPasskeysView{
		Base:        m.base(r),
		HasPassword: m.caller.User.PasswordHash != "",
		Fresh:       m.caller.Fresh(),
	}
	ids := []string{}
	for _, p := range all {
		ids = append(ids, p.External)
		v.Passkeys = append(v.Passkeys, PasskeyLine{
			ID:         string(p.ID),
			Name:       p.Name,
			CreatedAt:  p.CreatedAt,
			LastUsedAt: p.LastUsedAt,
			Synced:     p.Synced,
			Second:     !p.Verifies,
		})
	}
	switch m.form.Get("done") {
	case "added":
		v.Notice = v.T("passkey.done.added")
	case "renamed":
		v.Notice = v.T("passkey.done.renamed")
	case doneRemovedPasskey:
		v.Notice = v.T("passkey.done.removed")
		handle, err := s.login.PasskeyHandle(r.Context(), m.caller.User)
		if err != nil {
			return nil, err
		}
		v.Accepted = jsonText(map[string]any{
			"rpId":                     s.login.PasskeyServer(),
			"userId":                   handle,
			"allAcceptedCredentialIds": ids,
		})
	}
	return v, nil
}

const doneRemovedPasskey = "gone"

func (s *Server) showPasskeys(w http.ResponseWriter, r *http.Request, m *member) error {
	if s.login.PasskeyServer() == "" {
		return fault.New(fault.NotFound, "This server does not use passkeys.")
	}
	v, err := s.passkeysView(r, m)
	if err != nil {
		return err
	}
	return s.show(w, http.StatusOK, v)
}

// rerenderPasskeys shows the list again with what was wrong.
func (s *Server) rerenderPasskeys(w http.ResponseWriter, r *http.Request, m *member, err error) error {
	v, viewErr := s.passkeysView(r, m)
	if viewErr != nil {
		return viewErr
	}
	return s.rerender(w, r, err, v)
}

// postAddPasskey shows the page that makes a passkey, after the person has proved who they are.
func (s *Server) postAddPasskey(w http.ResponseWriter, r *http.Request, m *member) error {
	if err := s.allow(w, r, m); err != nil {
		return s.rerenderPasskeys(w, r, m, err)
	}
	e, err := s.account.AddPasskey(r.Context(), m.caller, m.form.Get("current_password"))
	if err != nil {
		return s.rerenderPasskeys(w, r, m, err)
	}
	return s.show(w, http.StatusOK, addPasskeyView(m.base(r), m.caller.User, e))
}

func addPasskeyView(b Base, u *identity.User, e *login.Enrollment) *EnrollView {
	v := enrollView(b, u, e)
	v.Action, v.CancelURL = pagePasskeys+"/confirm", pagePasskeys
	return v
}

func (s *Server) postConfirmPasskey(w http.ResponseWriter, r *http.Request, m *member) error {
	if err := s.allow(w, r, m); err != nil {
		return s.rerenderPasskeys(w, r, m, err)
	}
	nameDevice(m.base(r), r, m.form)
	codes, err := s.account.ConfirmPasskey(r.Context(), m.caller, m.form)
	next := pagePasskeys + "?done=added"
	if err == nil {
		if err := s.renewSession(w, r, m); err != nil {
			return err
		}
	}
	switch {
	case err == nil && len(codes) == 0:
		return seeOther(w, r, next)
	case err == nil:
		return s.showBackupCodes(w, r, m, codes, next)
	case fault.Is(err, fault.Denied), fault.Is(err, fault.Invalid):
		e, resumeErr := s.account.ResumeEnrollment(r.Context(), m.caller, kindPasskey, m.form.Get("enrollment"))
		if resumeErr != nil {
			return s.rerenderPasskeys(w, r, m, resumeErr)
		}
		return s.rerender(w, r, err, addPasskeyView(m.base(r), m.caller.User, e))
	}
	return s.rerenderPasskeys(w, r, m, problem(err))
}

// line returns the passkey that a request names, or nil.
func (s *Server) line(r *http.Request, m *member) (*login.PasskeyStatus, error) {
	all, err := s.account.Passkeys(r.Context(), m.caller)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		if string(p.ID) == m.form.Get("id") {
			return &p, nil
		}
	}
	return nil, nil
}

// ownForm returns a form that posts to the page's own address and names a passkey.
func ownForm(r *http.Request, id identity.CredentialID) Form {
	return Form{Action: r.URL.Path, Hidden: []Pair{{Name: "id", Value: string(id)}}}
}

func (s *Server) showRenamePasskey(w http.ResponseWriter, r *http.Request, m *member) error {
	p, err := s.line(r, m)
	if err != nil {
		return err
	}
	if p == nil {
		return seeOther(w, r, pagePasskeys)
	}
	return s.show(w, http.StatusOK, &AccountPasskeyRenameView{
		Base: m.base(r),
		Form: ownForm(r, p.ID),
		Name: p.Name,
	})
}

func (s *Server) postRenamePasskey(w http.ResponseWriter, r *http.Request, m *member) error {
	id, name := identity.CredentialID(m.form.Get("id")), m.form.Get("passkey_name")
	err := s.account.RenamePasskey(r.Context(), m.caller, id, name)
	switch {
	case fault.Is(err, fault.NotFound):
		return seeOther(w, r, pagePasskeys)
	case err != nil:
		v := &AccountPasskeyRenameView{Base: m.base(r), Form: ownForm(r, id), Name: name}
		return s.rerender(w, r, err, v)
	}
	return seeOther(w, r, pagePasskeys+"?done=renamed")
}

// removeView returns the page that asks before a passkey is removed, or nil if there is none.
func (s *Server) removeView(r *http.Request, m *member) (*AccountPasskeyRemoveView, error) {
	p, err := s.line(r, m)
	if err != nil || p == nil {
		return nil, err
	}
	f, err := s.account.Factors(r.Context(), m.caller)
	if err != nil {
		return nil, err
	}
	return &AccountPasskeyRemoveView{
		Base:        m.base(r),
		Form:        ownForm(r, p.ID),
		Name:        p.Name,
		HasPassword: m.caller.User.PasswordHash != "",
		TwoStep:     f.Enabled(),
	}, nil
}

func (s *Server) showRemovePasskey(w http.ResponseWriter, r *http.Request, m *member) error {
	v, err := s.removeView(r, m)
	if err != nil {
		return err
	}
	if v == nil {
		return seeOther(w, r, pagePasskeys)
	}
	return s.show(w, http.StatusOK, v)
}

func (s *Server) postRemovePasskey(w http.ResponseWriter, r *http.Request, m *member) error {
	err := s.allow(w, r, m)
	if err == nil {
		id := identity.CredentialID(m.form.Get("id"))
		err = s.account.RemovePasskey(r.Context(), m.caller, id, m.form)
	}
	if err == nil {
		if err := s.renewSession(w, r, m); err != nil {
			return err
		}
		return seeOther(w, r, with(pagePasskeys, "done", doneRemovedPasskey))
	}
	v, viewErr := s.removeView(r, m)
	if viewErr != nil {
		return viewErr
	}
	if v == nil { // another page was faster
		return seeOther(w, r, pagePasskeys)
	}
	return s.rerender(w, r, err, v)
}

// offerTTL is how long a browser remembers that its person wants no passkey.
const offerTTL = 365 * 24 * time.Hour

// offersPasskey reports whether a person without a passkey is offered one after a sign-in with the
// password.
func (s *Server) offersPasskey(r *http.Request, m *member) bool {
	return s.login.Begins(kindPasskey) && slices.Contains(m.caller.AMR, "pwd") &&
		s.kit.Cookie(r, web.CookieOffer) == ""
}

// postLater remembers that the person wants no passkey on this browser.
func (s *Server) postLater(w http.ResponseWriter, r *http.Request, _ *member) error {
	s.kit.SetCookie(w, web.CookieOffer, "later", offerTTL)
	return seeOther(w, r, "/account")
}

// details returns what tells the device how the account is called now, or "" for people without
// passkeys.
func (s *Server) details(r *http.Request, m *member) (string, error) {
	all, err := s.account.Passkeys(r.Context(), m.caller)
	if err != nil || len(all) == 0 || s.login.PasskeyServer() == "" {
		return "", err
	}
	u := m.caller.User
	handle, err := s.login.PasskeyHandle(r.Context(), u)
	return jsonText(map[string]string{
		"rpId":        s.login.PasskeyServer(),
		"userId":      handle,
		"name":        u.LoginName(),
		"displayName": u.Label(),
	}), err
}

// passkeyEndpoints returns where people add and manage passkeys, for programs that store them (W3C,
// A Well-Known URL for Relying Party Passkey Endpoints).
func (s *Server) passkeyEndpoints(w http.ResponseWriter, _ *http.Request) error {
	if s.login.PasskeyServer() == "" {
		return fault.New(fault.NotFound, "This server does not use passkeys.")
	}
	page := s.kit.Origin + pagePasskeys
	return writeJSON(w, map[string]string{"enroll": page, "manage": page})
}

// relatedOrigins lists the origins that may use the passkeys of this server (Web Authentication
// §5.11).
func (s *Server) relatedOrigins(w http.ResponseWriter, _ *http.Request) error {
	if s.login.PasskeyServer() == "" || len(s.cfg.RelatedOrigins) == 0 {
		return fault.New(fault.NotFound, "This server has no related origins.")
	}
	return writeJSON(w, map[string][]string{"origins": append([]string{s.kit.Origin}, s.cfg.RelatedOrigins...)})
}
