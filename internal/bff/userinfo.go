package bff

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/bff/session"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// headerOwn must be sent with a logout where the browser does not say which page caused the
// request: forms cannot set it, and scripts of other origins are not allowed to.
const headerOwn = "X-Requested-With"

// userInfo is what a browser app learns about the person. Name and email address depend on the
// granted scopes.
type userInfo struct {
	Subject string   `json:"sub"`
	Name    string   `json:"name,omitempty"`
	Email   string   `json:"email,omitempty"`
	Roles   []string `json:"roles"`
	Scopes  []string `json:"scopes"`
	Expires int64    `json:"expires"` // Unix seconds: when the session ends at the latest
	Actor   *actor   `json:"act,omitempty"`
}

// actor is who acts as the person (RFC 8693 §4.1).
type actor struct {
	Subject string `json:"sub"`
}

// user returns who is signed in.
func (s *Server) user(_ http.ResponseWriter, r *http.Request) (any, error) {
	if crossOrigin(r.Header, s.origin(r)) {
		return nil, errCrossOrigin()
	}
	none := denied(http.StatusUnauthorized, access.CodeLoginRequired,
		"No user is signed in. Open /session/login.")
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
	ev := web.EventOf(r.Context())
	ev.User, ev.Client = string(v.row.User), string(v.row.Client)
	out := userInfo{
		Subject: v.token.Subject,
		Roles:   slices.Concat([]string{}, v.token.Roles),
		Scopes:  slices.Concat([]string{}, v.token.Scopes),
		Expires: v.row.ExpiresAt.Unix(),
	}
	if v.token.Actor != "" {
		out.Actor = &actor{Subject: v.token.Actor}
	}
	if slices.Contains(v.token.Scopes, oauth.ScopeProfile) {
		out.Name = v.name
	}
	if slices.Contains(v.token.Scopes, oauth.ScopeEmail) {
		out.Email = v.email
	}
	return &out, nil
}

// logoutResponse is the response to a logout.
type logoutResponse struct {
	Ended bool   `json:"ended"`                // there was a session, and it has ended
	SSO   string `json:"logout_url,omitempty"` // open it to end the sign-in at the server as well
}

// logout ends the app's session and its grant. The sign-in at the server itself, which other apps
// may share, goes on until the browser opens the address in the response.
func (s *Server) logout(w http.ResponseWriter, r *http.Request) (any, error) {
	h := r.Header
	if crossOrigin(h, s.origin(r)) {
		return nil, errCrossOrigin()
	}
	if h.Get("Sec-Fetch-Site") == "" && h.Get("Origin") == "" && h.Get(headerOwn) == "" {
		return nil, fault.New(fault.Denied, "It is unknown which page sends this request, so "+
			"nothing was done. Send it with the header %s.", headerOwn)
	}
	out := &logoutResponse{SSO: s.tokens.Issuer() + "/oauth/logout"}
	hash, ok := s.cookie(r)
	if !ok {
		s.kit.ClearCookie(w, CookieApp)
		return out, nil
	}
	a, err := s.store.BFFSession(r.Context(), hash, web.EventOf(r.Context()).Now, 0)
	if err == nil {
		web.EventOf(r.Context()).User = string(a.User)
		out.SSO += "?" + s.logoutParams(r, a).Encode()
		err = s.end(r, hash, a, "logout")
		out.Ended = err == nil
	}
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	s.kit.ClearCookie(w, CookieApp)
	return out, nil
}

// logoutParams returns the parameters for ending the sign-in at the server (OpenID Connect
// RP-Initiated Logout 1.0 §2): the browser returns to this app, if it has registered an address for
// that.
func (s *Server) logoutParams(r *http.Request, a *session.Session) url.Values {
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

// end ends a session because its owner wants it: here at once, and on other servers as soon as they
// receive the revocation.
func (s *Server) end(r *http.Request, h secret.Hash, a *session.Session, why string) error {
	ev := newEvent(r.Context(), audit.AppSessionEnded, a)
	if actor := s.actorOf(r.Context(), a); actor != "" {
		if err := s.noteActor(r.Context(), &ev, a, actor); err != nil {
			return err
		}
	}
	ev.Detail["because"] = why
	err := s.store.EndBFFSession(r.Context(), a, ev.At, ev)
	if err == nil || fault.Is(err, fault.NotFound) {
		s.cache.Invalidate(h)
	}
	return err
}
