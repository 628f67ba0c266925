// Package protocol serves the OAuth and OpenID Connect endpoints over HTTP: it lifts a request off the wire,
// asks the oauth package, and writes what it answers. No decision is made here.
package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// Browser is the part of the pages that the authorization endpoint needs: who is signed in, where to send the person,
// and what to show.
type Browser interface {
	// Session is the browser's session, or nil.
	Session(r *http.Request) (*identity.Session, error)
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
	browser Browser

	followers chan struct{} // one for each open stream of revocations
	draining  chan struct{} // closed when the server stops
	drain     sync.Once
}

// Instant lists the documents that are in memory.
func StaticDocs(o *oauth.Server) map[string]web.StaticDoc {
	discovery := func(time.Time) ([]byte, error) { return o.Discovery() }
	keys := func(now time.Time) ([]byte, error) { return o.JWKS(&oauth.Call{Now: now}) }
	return map[string]web.StaticDoc{
		"/.well-known/openid-configuration": discovery, "/.well-known/oauth-authorization-server": discovery,
		"/.well-known/jwks.json": keys, "/oauth/jwks": keys,
	}
}

// Drain ends the streams, which would never end by themselves.
func (s *Server) Drain() { s.drain.Do(func() { close(s.draining) }) }

// New makes the endpoints.
func New(kit *web.Kit, o *oauth.Server, b Browser) *Server {
	return &Server{kit: kit, oauth: o, browser: b, followers: make(chan struct{}, maxFollowers), draining: make(chan struct{})}
}

// Routes adds the endpoints at their canonical addresses and at those that older clients use.
func (s *Server) Routes(mux *http.ServeMux) {
	table := []struct {
		methods string // of the request, space-separated
		paths   []string
		serve   http.HandlerFunc
	}{
		{"GET", []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"}, s.public(s.metadata)},
		{"GET", []string{"/.well-known/jwks.json", "/oauth/jwks"}, s.public(s.jwks)},
		{"GET POST", []string{"/oauth/authorize", "/authorize"}, s.authorize},
		{"POST", []string{"/oauth/token", "/token", "/api/v1/token"}, s.open(endpoint(s, web.FromForm|web.FromJSON, "token", s.oauth.Token))},
		{"POST", []string{"/oauth/introspect", "/token/introspect"}, s.closed(endpoint(s, web.FromForm, "introspect", s.oauth.Introspect))},
		{"POST", []string{"/oauth/revoke", "/token/revoke"}, s.open(s.revoke)},
		{"GET POST", []string{"/oauth/userinfo", "/userinfo", "/oauth2/userinfo"}, s.open(endpoint(s, web.FromQuery|web.FromForm, "userinfo", s.oauth.UserInfo))},
		{"GET", []string{"/oauth/tokeninfo"}, s.open(endpoint(s, web.FromQuery, "tokeninfo", s.oauth.TokenInfo))},
		{"POST", []string{"/oauth/device/code", "/device/code", "/device"}, s.open(endpoint(s, web.FromForm|web.FromJSON, "device", s.oauth.Device))},
		{"GET POST", []string{"/oauth/logout", "/logout"}, s.logout},
		{"GET", []string{"/oauth/revocations"}, s.feed},
	}
	for _, row := range table {
		for _, path := range row.paths {
			for method := range strings.FieldsSeq(row.methods) {
				mux.HandleFunc(method+" "+path, row.serve)
			}
			mux.HandleFunc("OPTIONS "+path, preflight)
			mux.HandleFunc(path, s.wrongMethod(allowed(row.methods, path)))
		}
	}
	for _, prefix := range []string{"/oauth/", "/.well-known/", "/api/"} {
		mux.HandleFunc(prefix, s.notFound)
	}
}

// notFound answers an address that is not served below the protocol's own prefixes.
func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	s.kit.Fail(w, r, fault.New(fault.NotFound,
		"There is no endpoint at this address. See /.well-known/openid-configuration."))
}

// pagePath is the one path that a page shares with an endpoint: people open it, devices post to it.
const pagePath = "/device"

// allowed is the Allow header of a path (RFC 9110 §10.2.1).
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

// wrongMethod answers a method that a path does not serve (RFC 9110 §15.5.6), in the form of all its other errors.
func (s *Server) wrongMethod(allow string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allow)
		s.fail(w, r, &oauth.Error{
			Code: "invalid_request", Status: http.StatusMethodNotAllowed, Description: "This address does not serve that method. Use one of " + allow + ".",
		})
	}
}

// answer is an endpoint that answers JSON, or nothing for a nil value.
type answer func(w http.ResponseWriter, r *http.Request) (any, error)

// public serves what anyone may read and keep for a while.
func (s *Server) public(h answer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=300")
		w.Header().Set("Access-Control-Allow-Origin", "*")
		s.write(w, r, h)
	}
}

// open serves what scripts of any origin may call: no cookie takes part, so no origin has a power of its own.
func (s *Server) open(h answer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Expose-Headers", "WWW-Authenticate, Retry-After, X-Request-Id, DPoP-Nonce")
		s.closed(h)(w, r)
	}
}

// closed serves what is for servers only. Nothing of it is kept by any cache (RFC 6749 §5.1).
func (s *Server) closed(h answer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Pragma", "no-cache")
		s.write(w, r, h)
	}
}

func (s *Server) write(w http.ResponseWriter, r *http.Request, h answer) {
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
	_, _ = w.Write(body) // the client has gone if it fails; the record has the status
}

// wireError is an error on the wire.
type wireError struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
	RequestID   string `json:"request_id,omitempty"`
	RetryAfter  int64  `json:"retry_after,omitempty"`
}

// fail is the one place that turns an error into a wire answer.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	ev := web.EventOf(r.Context())
	ev.Err = err
	e := oauth.Wire(err)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	web.RetryAfter(h, err)
	if e.Challenge != "" {
		h["Www-Authenticate"] = challenges(r, e, s.oauth.Issuer())
	}
	if e.Code == "" { // no credentials at all: RFC 6750 §3.1 wants a challenge without an error
		w.WriteHeader(e.Status)
		return
	}
	status := e.Status
	if tooLarge(err) {
		status = http.StatusRequestEntityTooLarge
	}
	out := wireError{Error: e.Code, Description: e.Description}
	if status >= 500 {
		out.RequestID = ev.ID
	}
	var f *fault.Error
	if errors.As(err, &f) && f.Kind == fault.Limited {
		out.RetryAfter = int64(f.After.Seconds())
	}
	body, _ := json.Marshal(out) // strings and a number always marshal
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func tooLarge(err error) bool {
	var big *http.MaxBytesError
	return errors.As(err, &big)
}

// challenges are the WWW-Authenticate headers of an error. Who sent nothing is told both ways to present a token, and who came as
// DPoP is answered so, whatever went wrong (RFC 9449 §7.1).
func challenges(r *http.Request, e *oauth.Error, issuer string) []string {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case e.Challenge == "Bearer" && e.Code == "":
		return []string{challenge("Bearer", e, issuer), challenge("DPoP", e, issuer)}
	case e.Challenge == "Bearer" && strings.EqualFold(scheme, "DPoP"):
		return []string{challenge("DPoP", e, issuer)}
	}
	return []string{challenge(e.Challenge, e, issuer)}
}

// challenge writes one challenge (RFC 6749 §5.2, RFC 6750 §3, RFC 9449 §7.1).
func challenge(scheme string, e *oauth.Error, issuer string) string {
	out := fmt.Sprintf(`%s realm="%s"`, scheme, issuer)
	if scheme == "DPoP" {
		out += fmt.Sprintf(`, algs="%s"`, strings.Join(oauth.ProofAlgorithms(), " "))
	}
	if scheme != "Basic" && e.Code != "" {
		out += fmt.Sprintf(`, error="%s", error_description="%s"`, e.Code, e.Description)
		if e.Scope != "" {
			out += fmt.Sprintf(`, scope="%s"`, e.Scope)
		}
	}
	return out
}

// preflight answers what a browser asks before it lets a script of another origin call (Fetch Standard, CORS protocol).
func preflight(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", "GET, POST")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, DPoP")
	h.Set("Access-Control-Max-Age", "3600")
	w.WriteHeader(http.StatusNoContent)
}
