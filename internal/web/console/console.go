// Package console serves the pages at /admin, by which administrators manage the server in a
// browser. Every page works without JavaScript. The pages hold no rule: they parse, call one
// operation of package admin, and show what it returns.
//
// A section is one entry of the navigation with its pages. To add one, write a file with a function
// that returns a section, a template for each of its views, and a line in sections.
package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/visitor"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// Root is the path of the console.
const Root = "/admin"

// Browser knows who is signed in. The pages of signing in implement it.
type Browser interface {
	// Session returns the browser's active session, or nil.
	Session(r *http.Request) (*identity.Session, error)
	// SignInFor redirects the browser to sign in and then to next. With again it must be a new
	// sign-in; acr is the context class that is needed, or "".
	SignInFor(w http.ResponseWriter, r *http.Request, next, acr string, again bool) error
}

// Who returns the administrator of a session: the account, and what it may do now.
type Who func(ctx context.Context, r *http.Request, s *identity.Session) (
	*identity.User, admin.Actor, error)

// Assets holds style sheets and scripts under addresses with a hash of their content.
type Assets interface {
	// Add adds a file under its plain name.
	Add(name string, body []byte) error
	// URL returns the address of a file.
	URL(name string) (string, error)
}

// Banner is a sentence across all pages about something that an administrator must do.
type Banner struct {
	Text string
	Link string // a page of the console, or an https address, where to do it; or ""
	More string // the text of the link
}

// Look is how the pages present the server.
type Look struct {
	Name    string // of the server
	Scheme  string // the color schemes, as the meta element color-scheme has them
	Theme   string // the address of the operator's style sheet, or ""
	Favicon string
}

// Config is what the console is served with.
type Config struct {
	Kit     *web.Kit
	Ops     *admin.Operations
	Browser Browser
	Who     Who
	Assets  Assets
	Look    Look
	Keys    *secret.Keys
	Issuer  string          // the server's base URL
	Places  visitor.Places  // finds places of addresses; or nil
	Banners func() []Banner // what an administrator must do; or nil
	CanMail bool            // messages reach somebody
}

// Server serves the console.
type Server struct {
	cfg      Config
	kit      *web.Kit
	ops      *admin.Operations
	pages    *pages
	sections []section
	drafts   *secret.Box
	imports  imports
}

// New returns a server of the console.
func New(c Config) (*Server, error) {
	s := &Server{cfg: c, kit: c.Kit, ops: c.Ops, drafts: c.Keys.Box("console draft")}
	s.sections = s.allSections()
	if err := addAssets(c.Assets); err != nil {
		return nil, err
	}
	views := []View{&ErrorView{}, &StaleView{}}
	for _, sec := range s.sections {
		views = append(views, sec.views...)
	}
	var err error
	if s.pages, err = newPages(c.Assets, c.Look, views); err != nil {
		return nil, fmt.Errorf("the pages of the console: %w", err)
	}
	return s, nil
}

// Routes adds the pages.
func (s *Server) Routes(mux *http.ServeMux) {
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.kit.Fail(w, r, &fault.Error{
			Kind:   fault.Denied,
			Reason: "cross_site_form",
			Text: "This form was sent from another site, so it was ignored. " +
				"Open the page on this site and try again.",
		})
	}))
	for _, sec := range s.sections {
		for _, row := range sec.routes {
			mux.Handle(row.pattern, guard.Handler(s.page(sec, row)))
		}
	}
	missing := func(http.ResponseWriter, *http.Request, *request) error { return noPage() }
	mux.Handle("GET "+Root+"/", guard.Handler(s.page(section{}, route{serve: missing})))
}

func noPage() error {
	return fault.New(fault.NotFound, "There is no page at this address. Check it for typing errors.")
}

// Operations returns the names of the operations of package admin that the console shows, sorted.
func (s *Server) Operations() []string {
	var all []string
	for _, sec := range s.sections {
		for _, row := range sec.routes {
			all = append(all, row.ops...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// request is one request of an administrator.
type request struct {
	actor   admin.Actor
	user    *identity.User
	session *identity.Session
	section string     // the path of the section
	form    url.Values // of the address, or of the form
	draft   bool       // form was entered before the person proved who they are, and not sent yet
	now     time.Time
}

// handler answers a request of an administrator or returns an error.
type handler func(w http.ResponseWriter, r *http.Request, q *request) error

// page serves a handler to administrators. Other browsers are redirected to sign in first.
func (s *Server) page(sec section, row route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		q, err := s.request(w, r)
		if err != nil {
			s.kit.Fail(w, r, err)
			return
		}
		if q == nil { // the browser is on its way to sign in
			return
		}
		q.section = sec.path
		if err := row.serve(w, r, q); err != nil {
			s.answer(w, r, q, err)
		}
	})
}

// request returns the administrator's request. It returns nil after it has redirected a browser
// that is not signed in.
func (s *Server) request(w http.ResponseWriter, r *http.Request) (*request, error) {
	sess, err := s.cfg.Browser.Session(r)
	if err != nil {
		return nil, err
	}
	if sess == nil {
		next := r.URL.RequestURI()
		if r.Method != http.MethodGet {
			next = Root
		}
		http.Redirect(w, r, with("/login", "next", next), http.StatusSeeOther)
		return nil, nil
	}
	if sess.Impersonated() {
		return nil, login.ErrImpersonated()
	}
	q := &request{session: sess, now: web.EventOf(r.Context()).Now}
	if q.user, q.actor, err = s.cfg.Who(r.Context(), r, sess); err != nil {
		return nil, err
	}
	if !q.actor.Administers() {
		return nil, fault.New(fault.Denied, "This part of the site is for administrators. "+
			"Your account has no role that opens it.")
	}
	if r.Method == http.MethodPost && slices.Contains(PathsOfFiles(), r.URL.Path) {
		q.form = url.Values{} // its handler reads the body
		return q, nil
	}
	c, err := s.kit.ParseCall(r, web.FromQuery|web.FromForm, sess)
	if err != nil {
		return nil, err
	}
	q.form = c.Form
	if r.Method == http.MethodGet && q.form.Has("draft") {
		s.openDraft(w, r, q)
	}
	return q, nil
}

// answer answers a request whose operation failed: it asks for a proof where one is needed, and
// else shows the error.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, q *request, err error) {
	if need := neededProof(err); need != nil {
		if err = s.prove(w, r, q, need); err == nil {
			return
		}
	}
	s.fail(w, r, q, err)
}

// seeOther redirects the browser with a GET.
func seeOther(w http.ResponseWriter, r *http.Request, to string) error {
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// with returns one of our own addresses with parameters; empty ones are left out.
func with(path string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// at returns the address of a thing below a path, whatever its id is.
func at(path, id string, more ...string) string {
	out := Root + path + "/" + url.PathEscape(id)
	for _, m := range more {
		out += "/" + m
	}
	return out
}

// addressName returns what names a thing in an address: its name, or its id where the name has
// another meaning there. No new thing gets such a name.
func addressName(name, id string) string {
	switch name {
	case ".", "..", "new":
		return id
	}
	return name
}
