// Package protocol serves the OAuth and OpenID Connect endpoints over HTTP: it parses a request,
// passes it to package oauth or package token, and writes the response. It makes no decision.
package protocol

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// Browser is the part of the pages that the browser's endpoints need.
type Browser interface {
	// Session returns the browser's session, or nil.
	Session(r *http.Request) (*identity.Session, error)
	// Accounts returns all sessions of the browser if there are several, else nil.
	Accounts(r *http.Request) ([]oauth.BrowserAccount, error)
	// FollowStep carries out a Step: on to a page, or back to the client.
	FollowStep(w http.ResponseWriter, r *http.Request, st *oauth.Step) error
	// FollowLogout carries out a LogoutStep.
	FollowLogout(w http.ResponseWriter, r *http.Request, st *oauth.LogoutStep) error
	// Fail shows an error to a person.
	Fail(w http.ResponseWriter, r *http.Request, err error)
}

// Server serves the endpoints of one authorization server.
type Server struct {
	kit     *web.Kit
	oauth   *oauth.Server
	tokens  *token.Server
	browser Browser

	followers followerPlaces
	draining  chan struct{} // closed when the server stops
	drain     sync.Once
}

// New returns the endpoints.
func New(kit *web.Kit, o *oauth.Server, t *token.Server, b Browser) *Server {
	return &Server{
		kit:      kit,
		oauth:    o,
		tokens:   t,
		browser:  b,
		draining: make(chan struct{}),
	}
}

// StaticDocs returns the documents that are served from memory, by their paths.
func StaticDocs(t *token.Server) map[string]web.StaticDoc {
	discovery := func(time.Time) ([]byte, error) { return t.Discovery() }
	keys := func(now time.Time) ([]byte, error) { return t.JWKS(&oauth.Call{Now: now}) }
	return map[string]web.StaticDoc{
		"/.well-known/openid-configuration":       discovery,
		"/.well-known/oauth-authorization-server": discovery,
		"/.well-known/jwks.json":                  keys,
		"/oauth/jwks":                             keys,
	}
}

// Drain ends the streams of revocations, which would not end on their own.
func (s *Server) Drain() { s.drain.Do(func() { close(s.draining) }) }

// route is one endpoint.
type route struct {
	methods string // separated by spaces
	paths   []string
	serve   http.HandlerFunc
	cors    bool // scripts of any origin may call it
}

// routes returns the table of endpoints: each with its canonical path first, then those that
// older clients use.
func (s *Server) routes() []route {
	return slices.Concat(s.discoveryRoutes(), s.clientRoutes(), s.tokenRoutes())
}

func (s *Server) discoveryRoutes() []route {
	return []route{
		{
			"GET",
			[]string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"},
			s.cacheable(s.metadata),
			true,
		},
		{
			"GET",
			[]string{"/.well-known/jwks.json", "/oauth/jwks"},
			s.cacheable(s.jwks),
			true,
		},
	}
}

// clientRoutes returns the endpoints that clients use to get and to end tokens.
func (s *Server) clientRoutes() []route {
	t := s.tokens
	return []route{
		{
			"GET POST",
			[]string{"/oauth/authorize", "/authorize"},
			s.browserEndpoint(s.authorize),
			false,
		},
		{
			"POST",
			[]string{"/oauth/token", "/token", "/api/v1/token"},
			s.anyOrigin(forTokens(endpoint(s, web.FromForm|web.FromJSON, rateToken, t.Token))),
			true,
		},
		{
			"POST",
			[]string{"/oauth/introspect", "/token/introspect"},
			s.sameOrigin(endpoint(s, web.FromForm, "introspect", t.Introspect)),
			false,
		},
		{
			"POST",
			[]string{"/oauth/revoke", "/token/revoke"},
			s.anyOrigin(s.revoke),
			true,
		},
	}
}

// tokenRoutes returns the endpoints that take an access token, and those about sessions.
func (s *Server) tokenRoutes() []route {
	t := s.tokens
	return []route{
		{
			"GET POST",
			[]string{"/oauth/userinfo", "/userinfo", "/oauth2/userinfo"},
			s.anyOrigin(endpoint(s, web.FromQuery|web.FromForm, "userinfo", t.UserInfo)),
			true,
		},
		{
			"GET",
			[]string{"/oauth/tokeninfo"},
			s.anyOrigin(endpoint(s, web.FromQuery, "tokeninfo", t.TokenInfo)),
			true,
		},
		{
			"POST",
			[]string{"/oauth/device/code", "/device/code", "/device"},
			s.anyOrigin(endpoint(s, web.FromForm|web.FromJSON, "device", t.Device)),
			true,
		},
		{
			"GET POST",
			[]string{"/oauth/logout", "/logout"},
			s.browserEndpoint(s.logout),
			false,
		},
		{
			"GET",
			[]string{"/oauth/revocations"},
			s.feed,
			false,
		},
	}
}

// Routes adds the endpoints to a mux.
func (s *Server) Routes(mux *http.ServeMux) {
	for _, row := range s.routes() {
		for _, path := range row.paths {
			for method := range strings.FieldsSeq(row.methods) {
				mux.HandleFunc(method+" "+path, row.serve)
			}
			mux.HandleFunc("OPTIONS "+path, options(row, path))
			mux.HandleFunc(path, s.wrongMethod(row, path))
		}
	}
	for _, prefix := range []string{"/oauth/", "/.well-known/"} {
		mux.HandleFunc(prefix, s.notFound(mux))
	}
}

// notFound responds to an address below the protocol's own prefixes that is not served, or not by
// the request's method.
func (s *Server) notFound(mux *http.ServeMux) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if allow := web.AllowedMethods(mux, r); allow != "" {
			s.kit.Fail(w, r, web.WrongMethod(w.Header(), allow))
			return
		}
		s.kit.Fail(w, r, fault.New(fault.NotFound,
			"There is no endpoint at this address. See /.well-known/openid-configuration."))
	}
}

// pagePath is the one path that a page shares with an endpoint: people open it, devices post to
// it.
const pagePath = "/device"

// allowed returns the Allow header of a path (RFC 9110 §10.2.1).
func allowed(methods, path string) string {
	if path == pagePath {
		methods = "GET " + methods
	}
	out := strings.Fields(methods + " OPTIONS")
	if out[0] == http.MethodGet {
		out = slices.Insert(out, 1, http.MethodHead)
	}
	return strings.Join(out, ", ")
}

// wrongMethod returns a handler for methods that a path does not serve (RFC 9110 §15.5.6).
func (s *Server) wrongMethod(row route, path string) http.HandlerFunc {
	allow := allowed(row.methods, path)
	return func(w http.ResponseWriter, r *http.Request) {
		if row.cors {
			web.OpenToScripts(w.Header())
		}
		s.kit.Fail(w, r, web.WrongMethod(w.Header(), allow))
	}
}

// handler serves an endpoint that responds with JSON, or with an empty body for a nil value.
type handler func(w http.ResponseWriter, r *http.Request) (any, error)

// cacheable serves what anyone may read and cache for a while.
func (s *Server) cacheable(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=300")
		web.OpenToScripts(w.Header())
		s.write(w, r, h)
	}
}

// anyOrigin serves what scripts of any origin may call: no cookie takes part, so no origin has a
// power of its own.
func (s *Server) anyOrigin(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		web.OpenToScripts(w.Header())
		s.sameOrigin(h)(w, r)
	}
}

// sameOrigin serves what is for servers only. No cache may store the response (RFC 6749 §5.1).
func (s *Server) sameOrigin(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Pragma", "no-cache")
		s.write(w, r, h)
	}
}

// write calls a handler and writes its value as JSON.
func (s *Server) write(w http.ResponseWriter, r *http.Request, h handler) {
	v, err := h(w, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if v == nil {
		w.WriteHeader(http.StatusOK)
		return
	}
	body, ok := v.(json.RawMessage)
	if !ok {
		if body, err = json.Marshal(v); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client is gone if it fails; the log has the status
}

// fail responds to a program with an error, and with the challenge that belongs to it.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	web.EventOf(r.Context()).Err = err
	p := web.ProblemOf(err)
	if p.Challenge != "" {
		w.Header()["Www-Authenticate"] = challenges(r, p, s.tokens.Issuer())
	}
	web.WriteProblem(w, r, p)
}

// options returns a handler for OPTIONS. Browsers send such a request before they let a script of
// another origin call an endpoint (Fetch Standard, CORS protocol); only endpoints that are open
// to scripts say so (RFC 9700 §2.6).
func options(row route, path string) http.HandlerFunc {
	allow := allowed(row.methods, path)
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allow)
		if row.cors {
			web.AnswerPreflight(w, r, strings.ReplaceAll(row.methods, " ", ", "))
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}
