package bff

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/bff/session"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// headerOwn must come with a logout where the browser says nothing of where the request comes from: a form cannot set it, and
// scripts of other origins are not allowed to.
const headerOwn = "X-Requested-With"

// userInfo is what a browser app learns of the person. Name and e-mail address go by the scopes that were granted.
type userInfo struct {
	Subject string   `json:"sub"`
	Name    string   `json:"name,omitempty"`
	Email   string   `json:"email,omitempty"`
	Roles   []string `json:"roles"`
	Scopes  []string `json:"scopes"`
	Expires int64    `json:"expires"` // Unix seconds: when the session ends at the latest
}

// user says who is signed in.
func (s *Server) user(_ http.ResponseWriter, r *http.Request) (any, error) {
	if foreign(r.Header, s.origin(r)) {
		return nil, notOurs()
	}
	none := &refusal{http.StatusUnauthorized, "login_required", "Nobody is signed in. Open /session/login."}
	h, ok := s.cookie(r)
	if !ok {
		return nil, none
	}
	v, err := s.useSession(r.Context(), h)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, none
	}
	web.EventOf(r.Context()).User, web.EventOf(r.Context()).Client = string(v.row.User), string(v.row.Client)
	out := userInfo{
		Subject: v.token.Subject, Roles: slices.Concat([]string{}, v.token.Roles), Scopes: slices.Concat([]string{}, v.token.Scopes),
		Expires: v.row.ExpiresAt.Unix(),
	}
	if slices.Contains(v.token.Scopes, oauth.ScopeProfile) {
		out.Name = v.name
	}
	if slices.Contains(v.token.Scopes, oauth.ScopeEmail) {
		out.Email = v.email
	}
	return &out, nil
}

// signedOut is the answer to a logout.
type signedOut struct {
	Ended bool   `json:"ended"`                // there was a session, and it has been ended
	SSO   string `json:"logout_url,omitempty"` // open it to end the sign-in at the server as well
}

// logout ends the app's session and its grant. The sign-in at the server itself, which other apps may share, goes on until the browser
// is sent to the address in the answer.
func (s *Server) logout(w http.ResponseWriter, r *http.Request) (any, error) {
	h := r.Header
	if foreign(h, s.origin(r)) {
		return nil, notOurs()
	}
	if h.Get("Sec-Fetch-Site") == "" && h.Get("Origin") == "" && h.Get(headerOwn) == "" {
		return nil, fault.New(fault.Denied, "It cannot be told whose page sends this request, so nothing was done. Send it with the header %s.", headerOwn)
	}
	out := &signedOut{SSO: s.tokens.Issuer() + "/oauth/logout"}
	hash, ok := s.cookie(r)
	if !ok {
		s.kit.ClearCookie(w, CookieApp)
		return out, nil
	}
	a, err := s.store.BFFSession(r.Context(), hash, web.EventOf(r.Context()).Now, 0)
	if err == nil {
		web.EventOf(r.Context()).User = string(a.User)
		out.SSO += "?" + s.afterwards(r, a).Encode()
		err = s.end(r, hash, a, "logout")
		out.Ended = err == nil
	}
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	s.kit.ClearCookie(w, CookieApp)
	return out, nil
}

// afterwards are the parameters of the end of the SSO session (OpenID Connect RP-Initiated Logout 1.0 §2): back to this very app, if it
// has registered an address for that.
func (s *Server) afterwards(r *http.Request, a *session.Session) url.Values {
	q := url.Values{"client_id": {string(a.Client)}}
	cl, err := s.store.Client(r.Context(), a.Client)
	if err != nil {
		return q
	}
	for _, to := range cl.PostLogout {
		if client.Origin(to) == s.origin(r) {
			q.Set("post_logout_redirect_uri", to)
			break
		}
	}
	return q
}

// end ends a session at its owner's wish, here at once, and on other servers as soon as they hear of the revocation.
func (s *Server) end(r *http.Request, h secret.Hash, a *session.Session, why string) error {
	ev := record(r.Context(), audit.AppSessionEnded, a)
	ev.Detail["because"] = why
	err := s.store.EndBFFSession(r.Context(), a, ev.At, ev)
	if err == nil || fault.Is(err, fault.NotFound) {
		s.live.Invalidate(h)
	}
	return err
}
