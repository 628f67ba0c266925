package protocol

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

func (s *Server) metadata(http.ResponseWriter, *http.Request) (any, error) {
	doc, err := s.oauth.Discovery()
	return json.RawMessage(doc), err
}

func (s *Server) jwks(_ http.ResponseWriter, r *http.Request) (any, error) {
	doc, err := s.oauth.JWKS(&oauth.Call{Now: web.EventOf(r.Context()).Now})
	return json.RawMessage(doc), err
}

// endpoint lifts a request and answers what the protocol says to it.
func endpoint[T any](s *Server, from web.Bodies, rate string, serve func(context.Context, *oauth.Call) (*T, error)) answer {
	return func(w http.ResponseWriter, r *http.Request) (any, error) {
		c, err := s.lift(w, r, from, rate)
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

func (s *Server) revoke(w http.ResponseWriter, r *http.Request) (any, error) {
	c, err := s.lift(w, r, web.FromForm, "revoke")
	if err != nil {
		return nil, err
	}
	return nil, s.oauth.Revoke(r.Context(), c)
}

// lift reads the parameters of a protocol endpoint and counts the request against its rate.
func (s *Server) lift(w http.ResponseWriter, r *http.Request, from web.Bodies, rate string) (*oauth.Call, error) {
	c, err := s.kit.ParseCall(r, from, nil)
	if err != nil {
		return nil, err
	}
	s.giveNonce(w, c)
	id := claimedClient(c)
	web.EventOf(r.Context()).Client = id
	who := web.Subject{User: c.Get("username")}
	if s.oauth.ClientExists(r.Context(), client.ID(id)) { // made-up names must not escape the limit of the address
		who.Client = id
	}
	return c, s.kit.Allow(w, r, rate, who)
}

// giveNonce puts the present nonce into every answer to a request with a proof, so that clients seldom come with an old one (RFC 9449 §8.2).
func (s *Server) giveNonce(w http.ResponseWriter, c *oauth.Call) {
	if nonce := s.oauth.Nonce(c.Now); nonce != "" && len(c.DPoP) > 0 {
		w.Header().Set("DPoP-Nonce", nonce)
	}
}

// claimedClient is who a call says it is from, unproven and bounded: for the record and for rate limits.
func claimedClient(c *oauth.Call) string {
	id := c.Get("client_id")
	if scheme, rest, _ := strings.Cut(c.Authorization, " "); id == "" && strings.EqualFold(scheme, "Basic") {
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

// authorize serves the authorization endpoint (RFC 6749 §3.1).
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	if err := s.tryAuthorize(w, r); err != nil {
		s.browser.Fail(w, r, err)
	}
}

func (s *Server) tryAuthorize(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	sess, err := s.browser.Session(r)
	if err != nil {
		return err
	}
	c, err := s.kit.ParseCall(r, web.FromQuery|web.FromForm, sess)
	if err != nil {
		return err
	}
	// A browser sends no cookie with a POST from another site; the same request as a GET of our own brings it along.
	if r.Method == http.MethodPost && sess == nil && c.Get("flow") == "" {
		sealed, err := s.oauth.ResumeFlow(c)
		if err != nil {
			return err
		}
		http.Redirect(w, r, "/oauth/authorize?flow="+sealed, http.StatusSeeOther)
		return nil
	}
	web.EventOf(r.Context()).Client = claimedClient(c)
	st, err := s.oauth.Authorize(r.Context(), c)
	if err != nil {
		return err
	}
	return s.browser.FollowStep(w, r, st)
}

// logout serves RP-initiated logout.
func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	if err := s.tryLogout(w, r); err != nil {
		s.browser.Fail(w, r, err)
	}
}

func (s *Server) tryLogout(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	sess, err := s.browser.Session(r)
	if err != nil {
		return err
	}
	c, err := s.kit.ParseCall(r, web.FromQuery|web.FromForm, sess)
	if err != nil {
		return err
	}
	if r.Method == http.MethodPost && sess == nil {
		// As at the authorization endpoint: the post of another site comes without the cookie, so nobody would be signed out.
		http.Redirect(w, r, "/oauth/logout?"+logoutParams(c.Form).Encode(), http.StatusSeeOther)
		return nil
	}
	st, err := s.oauth.Logout(r.Context(), c)
	if err != nil {
		return err
	}
	return s.browser.FollowLogout(w, r, st)
}

// logoutParams are the parameters of RP-Initiated Logout 1.0 §2 that we know.
func logoutParams(form url.Values) url.Values {
	out := url.Values{}
	for _, name := range []string{"id_token_hint", "logout_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales"} {
		if v := form[name]; len(v) > 0 {
			out[name] = v
		}
	}
	return out
}
