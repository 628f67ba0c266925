// Package api serves the JSON interface below /api/v1, which is answered below /api as well.
package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// Server serves the interface.
type Server struct {
	kit   *web.Kit
	login *login.Server
}

// New returns a Server.
func New(kit *web.Kit, l *login.Server) *Server { return &Server{kit: kit, login: l} }

// operation is one method of the interface.
type operation struct {
	path  string // below /api/v1 and /api
	serve web.Handler
}

func (s *Server) operations() []operation {
	return []operation{
		{"/validate-password", s.validatePassword},
		{"/password-reset", s.requestReset},
		{"/password-reset/complete", s.completeReset},
	}
}

// Routes adds the interface to a mux. All operations are POST; a browser sends them for a page of
// another origin only after it has asked, since the body is JSON.
func (s *Server) Routes(mux *http.ServeMux) {
	for _, op := range s.operations() {
		mux.Handle("POST /api/v1"+op.path, s.handler(op.serve))
		mux.Handle("POST /api"+op.path, s.handler(op.serve))
	}
	mux.Handle("POST /account/password/reset", s.handler(s.requestReset))
	mux.Handle("POST /account/password/confirm", s.handler(s.completeReset))
}

func (s *Server) handler(h web.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if err := h(w, r); err != nil {
			web.EventOf(r.Context()).Err = err
			writeProblem(w, r, problemOf(err))
		}
	})
}

// members reads the body of a request: a JSON object with some of the named members, each a text.
// Others are Invalid.
func (s *Server) members(r *http.Request, names ...string) (url.Values, error) {
	c, err := s.kit.ParseCall(r, web.FromJSON, nil)
	if err != nil {
		return nil, err
	}
	for name := range c.Form {
		if !slices.Contains(names, name) {
			return nil, fault.InvalidField(shorten(name), "This operation has no such member.")
		}
	}
	return c.Form, nil
}

// shorten bounds what a caller sent, for an answer.
func shorten(s string) string {
	if r := []rune(s); len(r) > 64 {
		return string(r[:64])
	}
	return s
}

// visit returns the caller's details for the login package.
func visit(r *http.Request) login.Visit {
	ev := web.EventOf(r.Context())
	return login.Visit{IP: ev.IP, Agent: ev.Agent, RequestID: ev.ID, Now: ev.Now}
}

// write answers with a JSON document.
func write(w http.ResponseWriter, status int, kind string, doc any) {
	body, err := json.Marshal(doc)
	if err != nil { // documents are structs of texts, numbers and lists
		panic(err)
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller is gone if it fails
}
