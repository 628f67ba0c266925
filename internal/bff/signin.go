package bff

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/bff/session"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

const (
	pendingTTL = time.Hour // as long as a person may take at the login page
	maxPending = 10        // sign-ins at once in one browser, as when tabs are restored together
	maxCookie  = 3800      // bytes that browsers store
)

// pendingSignIn is a sign-in that has begun.
type pendingSignIn struct {
	ID       string    `json:"s"` // the first part of the state
	Verifier string    `json:"v"` // of PKCE (RFC 7636)
	Client   client.ID `json:"c"`
	Started  int64     `json:"t"` // Unix seconds
}

// forwardedParams returns the parameters of the authorization request that an app may set when it
// sends a person to sign in.
func forwardedParams() []string {
	return []string{"acr_values", "max_age", "prompt", "login_hint", "ui_locales"}
}

// showLogin begins a sign-in: it sends the browser to the authorization endpoint with PKCE, for the
// app of this host.
func (s *Server) showLogin(w http.ResponseWriter, r *http.Request) error {
	if !opened(r.Method, r.Header) {
		return fault.New(fault.Denied, "Signing in must be opened as a page, not fetched by a "+
			"script or shown in a frame.")
	}
	c, err := s.kit.ParseCall(r, web.FromQuery, nil)
	if err != nil {
		return err
	}
	if strings.HasSuffix(r.Host, ".") || strings.Contains(r.Host, ".:") {
		// to browsers this is another host, with cookies of its own
		return seeOther(w, s.origin(r)+r.URL.RequestURI())
	}
	callback := s.origin(r) + session.CallbackPath
	cl, err := s.clientAt(r.Context(), callback, client.ID(c.Get("client_id")))
	if err != nil {
		return err
	}
	web.EventOf(r.Context()).Client = string(cl.ID)
	back, err := parseReturnTo(cl, c.Get("return_to"))
	if err != nil {
		return s.recordReturn(r.Context(), c, cl, err)
	}
	p := pendingSignIn{
		ID:       secret.NewToken(""),
		Verifier: secret.NewToken(""),
		Client:   cl.ID,
		Started:  c.Now.Unix(),
	}
	s.setPending(w, callback, append(s.pendingSignIns(r, callback, c.Now), p))
	query := authorizationRequest(cl, p, callback, c.Form)
	query.Set("state", s.sealState(p.ID, callback, back))
	return seeOther(w, s.tokens.Issuer()+"/oauth/authorize?"+query.Encode())
}

// recordReturn records a return_to that is not registered, and returns err, which says so, together
// with an error of the storage.
func (s *Server) recordReturn(
	ctx context.Context, c *oauth.Call, cl *client.Client, err error,
) error {
	if s.opt.Mismatch == nil {
		return err
	}
	return errors.Join(err, s.opt.Mismatch(ctx, c, cl, oauth.Mismatch{
		Type:       audit.AuthorizationFailed,
		Reason:     audit.ReasonReturnUnknown,
		Sent:       c.Get("return_to"),
		Registered: slices.Concat(cl.Redirects, cl.PostLogout),
	}))
}

// sealState returns the state of a sign-in: its id, and where the browser returns to.
func (s *Server) sealState(id, callback, back string) string {
	return id + "." + s.pending.Seal([]byte(back), callback+" "+id)
}

// openState returns where the browser returns to after the sign-in with an id.
func (s *Server) openState(id, callback, state string) (back string, err error) {
	raw, err := s.pending.Open(strings.TrimPrefix(state, id+"."), callback+" "+id)
	return string(raw), err
}

// authorizationRequest returns the parameters, without the state, of the authorization request (RFC
// 6749 §4.1.1, RFC 7636 §4.3): all scopes that the app may use while the person is signed in, and
// none that would outlast the sign-in.
func authorizationRequest(
	cl *client.Client, p pendingSignIn, callback string, given url.Values,
) url.Values {
	offline := func(name string) bool { return name == oauth.ScopeOffline }
	scopes := slices.DeleteFunc(slices.Clone(cl.Scopes), offline)
	sum := sha256.Sum256([]byte(p.Verifier))
	q := url.Values{
		"response_type":         {"code"},
		"client_id":             {string(cl.ID)},
		"redirect_uri":          {callback},
		"code_challenge":        {base64.RawURLEncoding.EncodeToString(sum[:])},
		"code_challenge_method": {oauth.PKCES256},
	}
	if len(scopes) > 0 {
		q.Set("scope", strings.Join(scopes, " "))
	}
	for _, name := range forwardedParams() {
		if v := given.Get(name); v != "" {
			q.Set(name, v)
		}
	}
	return q
}

// clientAt returns the client of the app at a callback: the one with this id, or else the only one.
func (s *Server) clientAt(
	ctx context.Context, callback string, id client.ID,
) (*client.Client, error) {
	found := s.store.ClientsAt(callback)
	named := func(cl *client.Client) bool { return cl.ID == id }
	// it may have been created a moment ago
	if len(found) == 0 || (id != "" && !slices.ContainsFunc(found, named)) {
		if err := s.store.SyncCache(ctx); err != nil {
			return nil, err
		}
		found = s.store.ClientsAt(callback)
	}
	if id != "" {
		found = slices.DeleteFunc(found, func(cl *client.Client) bool { return !named(cl) })
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return nil, fault.InvalidField("client_id", "Several apps sign in at this "+
			"address. If you run it: add client_id to the link.")
	case id != "":
		return nil, fault.InvalidField("client_id", "The app has not registered this "+
			"address. If you run it: register the redirect URI %s for the client that client_id "+
			"names.", callback)
	}
	return nil, fault.New(fault.Invalid, "No app signs in at this address. If you run "+
		"it: register the redirect URI %s for its client.", callback)
}

// pendingSignIns returns the sign-ins that this browser has begun here and that are not too old.
func (s *Server) pendingSignIns(r *http.Request, callback string, now time.Time) []pendingSignIn {
	var list []pendingSignIn
	raw, err := s.pending.Open(s.kit.Cookie(r, CookieLogin), callback)
	if err != nil || json.Unmarshal(raw, &list) != nil {
		return nil
	}
	return slices.DeleteFunc(list, func(p pendingSignIn) bool {
		return now.Sub(time.Unix(p.Started, 0)).Abs() > pendingTTL
	})
}

// setPending seals sign-ins into the cookie: the newest ones if there are too many.
func (s *Server) setPending(w http.ResponseWriter, callback string, list []pendingSignIn) {
	list = list[max(0, len(list)-maxPending):]
	for ; len(list) > 0; list = list[1:] {
		raw, _ := json.Marshal(list) // strings and numbers always marshal
		if sealed := s.pending.Seal(raw, callback); len(sealed) <= maxCookie {
			s.kit.SetCookie(w, CookieLogin, sealed, pendingTTL)
			return
		}
	}
	s.kit.ClearCookie(w, CookieLogin)
}

// callback receives the response to an authorization request, and begins a session.
func (s *Server) callback(w http.ResponseWriter, r *http.Request) error {
	if !opened(r.Method, r.Header) {
		return errCrossOrigin()
	}
	c, err := s.kit.ParseCall(r, web.FromQuery, nil)
	if err != nil {
		return err
	}
	callback := s.origin(r) + session.CallbackPath
	list := s.pendingSignIns(r, callback, c.Now)
	id, _, _ := strings.Cut(c.Get("state"), ".")
	i := slices.IndexFunc(list, func(p pendingSignIn) bool { return secret.Equal(p.ID, id) })
	foreign := fault.New(fault.Invalid, "This sign-in did not begin in this browser, is already "+
		"complete, or took longer than an hour. Go back to the app and sign in again.")
	if i < 0 {
		return foreign
	}
	back, err := s.openState(id, callback, c.Get("state"))
	if err != nil {
		return foreign
	}
	p := list[i]
	s.setPending(w, callback, slices.Delete(list, i, i+1))
	if c.Get("iss") != s.tokens.Issuer() { // RFC 9207 §2.4
		return fault.New(fault.Invalid, "The response to this sign-in comes from a different "+
			"server. Go back to the app and sign in again.")
	}
	if code := c.Get("error"); code != "" {
		return authorizationError(code)
	}
	if err := s.kit.Allow(w, r, "token", web.Subject{Client: string(p.Client), Claimed: true}); err != nil {
		return err
	}
	got, err := s.redeem(r, p, callback, c)
	if err != nil {
		return err
	}
	k := tokenSet{Access: got.AccessToken, Refresh: got.RefreshToken, Callback: callback}
	if err := s.begin(w, r, p.Client, k); err != nil {
		return err
	}
	return s.redirectBack(w, r, back)
}

// redeem exchanges the code of a callback for tokens.
func (s *Server) redeem(
	r *http.Request, p pendingSignIn, callback string, c *oauth.Call,
) (*token.Response, error) {
	got, err := s.tokens.RedeemForSession(r.Context(), p.Client, session.CallbackPath, &oauth.Call{
		Form: url.Values{
			"grant_type":    {client.GrantTypeCode},
			"code":          {c.Get("code")},
			"redirect_uri":  {callback},
			"code_verifier": {p.Verifier},
		},
		Method:    http.MethodPost,
		IP:        c.IP,
		Agent:     c.Agent,
		RequestID: c.RequestID,
		Now:       c.Now,
	})
	var rejected *oauth.Error
	if errors.As(err, &rejected) {
		return nil, fault.Wrap(fault.Invalid, err, "The sign-in could not be completed: %s Go "+
			"back to the app and sign in again.", rejected.Description)
	}
	return got, err
}

// redirectBack sends the browser to where the sign-in began. To another origin it sends a page
// instead of a redirect, so that a content security policy of the page whose form began the chain
// (form-action) does not stop it.
func (s *Server) redirectBack(w http.ResponseWriter, r *http.Request, to string) error {
	own := s.origin(r)
	if strings.HasPrefix(to, "/") || to == own || strings.HasPrefix(to, own+"/") {
		return seeOther(w, to)
	}
	h := w.Header()
	h.Set("Refresh", "0; url="+to)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
	_, err := fmt.Fprintf(w, "<!doctype html><html lang=en><title>Signed in</title>"+
		"<p><a href=\"%s\">You are signed in. Continue.</a></html>\n", html.EscapeString(to))
	return err
}

// authorizationError returns the error for a rejected authorization request, with a text for a
// person.
func authorizationError(code string) error {
	switch code {
	case "access_denied":
		return fault.New(fault.Denied, "You did not allow the app to sign you in.")
	case "login_required", "consent_required", "interaction_required", "account_selection_required":
		return fault.New(fault.Denied, "The app tried to sign you in without showing a "+
			"page, which is not possible now. Go back to the app and sign in.")
	case "temporarily_unavailable", "server_error":
		return fault.New(fault.Unavailable, "Signing in is not possible at the moment. Try "+
			"again later.")
	}
	return fault.New(fault.Invalid, "The app's sign-in request was rejected. If you run "+
		"it: look up the request in the audit log, and compare its scopes and grant types with "+
		"those of its client.")
}

// begin begins a session for tokens that have just been issued, with a new cookie.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, id client.ID, k tokenSet) error {
	ctx, now := r.Context(), web.EventOf(r.Context()).Now
	t, err := s.tokens.Access(ctx, k.Access, now)
	if err != nil {
		return err
	}
	web.EventOf(ctx).User = string(t.User)
	if err := s.replace(r); err != nil {
		return err
	}
	a := &session.Session{
		ID:         secret.NewID(now),
		Client:     id,
		User:       t.User,
		Grant:      t.Grant,
		Session:    t.Session,
		Version:    1,
		CreatedAt:  now,
		LastSeenAt: now,
		ExpiresAt:  now.Add(s.opt.TTL),
	}
	ev := newEvent(ctx, audit.AppSessionStarted, a)
	if t.Actor != "" { // somebody acts as the person, for as long as the token says
		a.ExpiresAt = t.Expires
		if err := s.noteActor(ctx, &ev, a, t.Actor); err != nil {
			return err
		}
	}
	a.Tokens = s.seal(a.ID, k)
	cookie := secret.NewToken(secret.PrefixAppSession)
	err = s.store.PutBFFSession(ctx, s.keys.Hash(cookie), a, ev)
	if fault.Is(err, fault.Consumed) {
		return fault.Wrap(fault.Invalid, err, "The sign-in has ended meanwhile. Go back to the "+
			"app and sign in again.")
	}
	if err == nil {
		s.kit.SetCookie(w, CookieApp, cookie, s.opt.TTL)
	}
	return err
}

// replace ends the session that the browser came with: its cookie is about to be overwritten, so no
// browser could use its tokens.
func (s *Server) replace(r *http.Request) error {
	h, ok := s.cookie(r)
	if !ok {
		return nil
	}
	a, err := s.store.BFFSession(r.Context(), h, web.EventOf(r.Context()).Now, 0)
	if err == nil {
		err = s.end(r, h, a, "replaced")
	}
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}
