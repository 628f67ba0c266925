package protocol

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

func (s *Server) metadata(http.ResponseWriter, *http.Request) (any, error) {
	doc, err := s.tokens.Discovery()
	return json.RawMessage(doc), err
}

func (s *Server) jwks(_ http.ResponseWriter, r *http.Request) (any, error) {
	doc, err := s.tokens.JWKS(&oauth.Call{Now: web.EventOf(r.Context()).Now})
	return json.RawMessage(doc), err
}

// endpoint returns a handler that parses a request, counts it against a rate, and passes it to a
// function of the core.
func endpoint[T any](
	s *Server, from web.Bodies, rate string, serve func(context.Context, *oauth.Call) (*T, error),
) handler {
	return func(w http.ResponseWriter, r *http.Request) (any, error) {
		c, err := s.parse(w, r, from, rate)
		if err != nil {
			return nil, err
		}
		v, err := serve(r.Context(), c)
		if err != nil {
			return nil, err
		}
		return v, nil
	}
}

// rateToken is the rate of the token endpoint.
const rateToken = "token"

// forTokens marks a request as one for tokens, also if its grant_type never becomes known.
func forTokens(next handler) handler {
	return func(w http.ResponseWriter, r *http.Request) (any, error) {
		web.EventOf(r.Context()).Grant = "none"
		return next(w, r)
	}
}

func (s *Server) revoke(w http.ResponseWriter, r *http.Request) (any, error) {
	c, err := s.parse(w, r, web.FromForm, "revoke")
	if err != nil {
		return nil, err
	}
	return nil, s.tokens.Revoke(r.Context(), c)
}

// parse reads the parameters of a request and counts it against a rate.
func (s *Server) parse(
	w http.ResponseWriter, r *http.Request, from web.Bodies, rate string,
) (*oauth.Call, error) {
	c, err := s.kit.ParseCall(r, from, nil)
	if err != nil {
		return nil, err
	}
	s.sendNonce(w, c)
	id := claimedClient(c)
	ev := web.EventOf(r.Context())
	ev.Client = id
	if ev.Grant != "" {
		ev.Grant = c.Get("grant_type")
	}
	subject := web.Subject{User: c.Get("username"), Claimed: true}
	// Invented ids must not escape the limit of the caller's address.
	if s.tokens.ClientCached(r.Context(), client.ID(id)) {
		subject.Client = id
	}
	if rate == rateToken && subject.Client != "" {
		if own, err := s.ownLimit(w, r, c, client.ID(id)); own || err != nil {
			return c, err
		}
	}
	return c, s.kit.Allow(w, r, rate, subject)
}

// ownLimit counts a token request against the limit of the client that it names, which takes the
// place of the address's limit: at this address while the client has proved nothing, and of a
// client that authenticates in all when it has. It returns false for a client without a limit of
// its own.
func (s *Server) ownLimit(
	w http.ResponseWriter, r *http.Request, c *oauth.Call, id client.ID,
) (bool, error) {
	cl, err := s.tokens.LookupClient(r.Context(), id)
	if err != nil { // the endpoint says what is wrong
		return false, nil
	}
	own := cl.RateLimit(client.RateToken)
	if own.Max == 0 {
		return false, nil
	}
	rate := web.Rate{Max: own.Max, Window: own.Window}
	c.Admit = func(proved *client.Client) error {
		if proved.Public {
			return nil
		}
		return s.kit.AllowClient(w, r, "token:client:"+string(id)+":own", rate)
	}
	ip, _ := netip.ParseAddr(c.IP)
	return true, s.kit.AllowClient(w, r, "token:client:"+string(id)+":"+netaddr.Key(ip), rate)
}

// sendNonce adds the current nonce to every response to a request with a proof, so that clients
// rarely use an old one (RFC 9449 §8.2).
func (s *Server) sendNonce(w http.ResponseWriter, c *oauth.Call) {
	if nonce := s.tokens.Nonce(c.Now); nonce != "" && len(c.DPoP) > 0 {
		w.Header().Set("DPoP-Nonce", nonce)
	}
}

// claimedClient returns the client id that a call claims, for the log and for rate limits. It is
// not authenticated; its length and its characters are bounded.
func claimedClient(c *oauth.Call) string {
	id := c.Get("client_id")
	scheme, rest, _ := strings.Cut(c.Authorization, " ")
	if id == "" && strings.EqualFold(scheme, "Basic") {
		if raw, err := base64.StdEncoding.DecodeString(rest); err == nil {
			id, _, _ = strings.Cut(string(raw), ":")
		}
	}
	if len(id) > 128 {
		id = id[:128]
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return -1
		}
		return r
	}, id)
}

// browserEndpoint returns a handler for an endpoint that people visit: it knows the browser's
// session, and shows errors as pages.
func (s *Server) browserEndpoint(
	serve func(w http.ResponseWriter, r *http.Request, c *oauth.Call) error,
) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		c, err := s.browserCall(r)
		if err == nil {
			err = serve(w, r, c)
		}
		if err != nil {
			s.browser.Fail(w, r, err)
		}
	}
}

func (s *Server) browserCall(r *http.Request) (*oauth.Call, error) {
	sess, err := s.browser.Session(r)
	if err != nil {
		return nil, err
	}
	c, err := s.kit.ParseCall(r, web.FromQuery|web.FromForm, sess)
	if err != nil {
		return nil, err
	}
	c.Accounts, err = s.browser.Accounts(r)
	return c, err
}

// withoutCookie reports whether a request may lack its session cookie because another site sent
// it: browsers send no cookie with such a POST. The same request as a GET of our own brings the
// cookie.
func withoutCookie(r *http.Request, c *oauth.Call) bool {
	return r.Method == http.MethodPost && c.Session == nil
}

// authorize serves the authorization endpoint (RFC 6749 §3.1).
func (s *Server) authorize(w http.ResponseWriter, r *http.Request, c *oauth.Call) error {
	if err := s.kit.Allow(w, r, "authorize", web.Subject{}); err != nil {
		return err
	}
	if withoutCookie(r, c) && c.Get("flow") == "" {
		step, err := s.oauth.Repeat(r.Context(), c)
		if err != nil {
			return err
		}
		if step.Repeat == "" {
			return s.browser.FollowStep(w, r, step)
		}
		http.Redirect(w, r, "/oauth/authorize?flow="+step.Repeat, http.StatusSeeOther)
		return nil
	}
	web.EventOf(r.Context()).Client = claimedClient(c)
	known := s.kit.Cookie(r, web.CookieBrowser)
	if c.Browser = known; known == "" {
		c.Browser = secret.NewToken("")
	}
	step, err := s.oauth.Authorize(r.Context(), c)
	if err != nil {
		return err
	}
	if known == "" && step.Reply == nil { // the browser comes back from a page
		s.kit.SetCookie(w, web.CookieBrowser, c.Browser, 0)
	}
	return s.browser.FollowStep(w, r, step)
}

// logout serves RP-initiated logout.
func (s *Server) logout(w http.ResponseWriter, r *http.Request, c *oauth.Call) error {
	if withoutCookie(r, c) {
		query := logoutParams(c.Form).Encode()
		http.Redirect(w, r, "/oauth/logout?"+query, http.StatusSeeOther)
		return nil
	}
	step, err := s.oauth.Logout(r.Context(), c)
	if err != nil {
		return err
	}
	return s.browser.FollowLogout(w, r, step)
}

// logoutParams returns the parameters of a logout request that RP-Initiated Logout 1.0 §2
// defines.
func logoutParams(form url.Values) url.Values {
	out := url.Values{}
	for _, name := range []string{
		"id_token_hint", "logout_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales",
	} {
		if v := form[name]; len(v) > 0 {
			out[name] = v
		}
	}
	return out
}
