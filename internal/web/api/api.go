// Package api serves the management API below /api/v1, which is answered below /api as well. The
// document that spec/ is merged into describes it: routing, parameters and bodies are checked
// against the document, the handlers implement the interface that is generated from it, and each of
// them calls one operation of admin.
package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/visitor"
	"github.com/gatehouse-id/gatehouse/internal/web"
	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
)

// Tokens checks access tokens for this server.
type Tokens interface {
	Caller(ctx context.Context, c *oauth.Call) (*oauth.AccessToken, error)
}

// Config holds what the interface works with.
type Config struct {
	Kit        *web.Kit
	Login      *login.Server
	Operations *admin.Operations
	Tokens     Tokens

	Places visitor.Places // finds the places of sessions; or nil

	// Browser returns who has signed in to the console in the browser of a request, or false. Only
	// GET /admin/audit/api, and /stats below it, take a session in place of a token.
	Browser func(r *http.Request) (a admin.Actor, ok bool, err error)
}

// embedded returns the document of the interface, which is part of the program. It is read once for
// all servers of the process, at the first request: a start does not wait for it.
var embedded = sync.OnceValues(func() (*document, error) {
	doc, err := readDocument(gen.Document)
	if err != nil {
		return nil, fmt.Errorf("the document of the management API: %w", err)
	}
	return doc, nil
})

// bindable returns a copy whose operations can have handlers of their own.
func (d *document) bindable() *document {
	own := *d
	own.operations = make([]*operation, len(d.operations))
	for i, op := range d.operations {
		bound := *op
		own.operations[i] = &bound
	}
	return &own
}

// Server serves the interface.
type Server struct {
	Config
	doc  *document                  // with the handlers, once open has returned nil
	open func() error               // reads the document, once
	docs func() (*published, error) // rendered when they are first read
}

// New returns a Server.
func New(c Config) *Server {
	s := &Server{Config: c}
	s.open = sync.OnceValue(s.bind)
	s.docs = sync.OnceValues(s.publish)
	return s
}

// bind connects the operations of the document with the generated server. The error is about what
// is part of the program.
func (s *Server) bind() error {
	doc, err := embedded()
	if err != nil {
		return err
	}
	s.doc = doc.bindable()
	bound := binder{}
	strict := gen.NewStrictHandlerWithOptions(handlers{s}, nil, gen.StrictHTTPServerOptions{
		RequestErrorHandlerFunc:  s.rejected,
		ResponseErrorHandlerFunc: s.fail,
	})
	gen.HandlerWithOptions(strict, gen.StdHTTPServerOptions{
		BaseRouter:       bound,
		ErrorHandlerFunc: s.rejected,
	})
	for _, op := range s.doc.operations {
		if op.serve = bound[op.method+" "+op.path]; op.serve == nil {
			return fmt.Errorf("%s %s has no handler; run: go generate ./internal/web/api", op.method, op.path)
		}
	}
	return nil
}

// binder collects the generated handlers by method and path.
type binder map[string]http.HandlerFunc

// HandleFunc adds a handler.
func (b binder) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	b[pattern] = h
}

// ServeHTTP answers 404. The generated code never calls it.
func (b binder) ServeHTTP(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }

// handlers implements the generated interface.
type handlers struct{ *Server }

// Where the interface is.
const (
	root      = "/api/"
	versioned = "/api/v1/"
)

// Routes adds the interface to a mux.
func (s *Server) Routes(mux *http.ServeMux) {
	mux.Handle(root, s)
	for alias, path := range map[string]string{
		"POST /account/password/reset":   "/password-reset",
		"POST /account/password/confirm": "/password-reset/complete",
	} {
		mux.HandleFunc(alias, func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, path) })
	}
	for alias, path := range map[string]string{
		"GET /admin/audit/api":       "/audit-logs",
		"GET /admin/audit/api/stats": "/audit-logs/stats",
	} {
		mux.HandleFunc(alias, func(w http.ResponseWriter, r *http.Request) {
			s.answerTo(&exchange{w: w, browser: true}, r, path)
		})
	}
}

// ServeHTTP serves a request below /api.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	path, ok := strings.CutPrefix(path, versioned)
	if !ok {
		path = strings.TrimPrefix(path, root)
	}
	s.answer(w, r, alias("/"+path))
}

// alias returns the path of the document for one that is answered for old scripts.
func alias(path string) string {
	if user, ok := strings.CutSuffix(path, "/mfa"); ok && strings.HasPrefix(path, "/users/") {
		return user + "/factors"
	}
	return path
}

// answer serves a request for an escaped path below the root of the interface.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, path string) {
	s.answerTo(&exchange{w: w}, r, path)
}

// answerTo serves an exchange that has begun.
func (s *Server) answerTo(x *exchange, r *http.Request, path string) {
	w := x.w
	w.Header().Set("Cache-Control", "no-store, no-transform")
	if err := s.open(); err != nil {
		s.fail(w, r, err)
		return
	}
	if isDocument(r, path) {
		docs, err := s.docs()
		if err != nil {
			s.fail(w, r, err)
			return
		}
		docs.serve(w, r, path)
		return
	}
	err := s.prepare(x, r, path)
	if x.r != nil {
		r = x.r
	}
	if err == nil {
		err = s.serve(x, path)
	}
	if err != nil {
		s.fail(w, r, err)
	}
}

// shorten bounds what a caller sent, for an answer.
func shorten(s string) string {
	if r := []rune(s); len(r) > 64 {
		return string(r[:64])
	}
	return s
}

// visit returns the caller's details for the login package.
func visit(ctx context.Context) login.Visit {
	ev := web.EventOf(ctx)
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
