package ui

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/account"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// Storage is what the pages show besides the results of operations.
type Storage interface {
	User(ctx context.Context, id identity.UserID) (*identity.User, error)
	Client(ctx context.Context, id client.ID) (*client.Client, error)
	Scopes() map[string]*oauth.Scope
	// OriginRegistered reports whether an active client has an address of this origin.
	OriginRegistered(origin string) bool
}

// Config is what the pages are served with.
type Config struct {
	Kit     *web.Kit
	Pages   *Pages
	Login   *login.Server
	OAuth   *oauth.Server
	Account *account.Server
	Storage Storage

	StayChecked    bool     // the check box to stay signed in is checked at first
	RelatedOrigins []string // whose pages may use the same passkeys
}

// Server serves the pages.
type Server struct {
	cfg     Config
	kit     *web.Kit
	pages   *Pages
	login   *login.Server
	oauth   *oauth.Server
	account *account.Server
	storage Storage
	mailbox Mailbox // nil but in development

	administers func(*identity.User) bool // reports whether the console is open to a person
}

// NewServer returns a server of the pages.
func NewServer(c Config) *Server {
	return &Server{
		cfg:     c,
		kit:     c.Kit,
		pages:   c.Pages,
		login:   c.Login,
		oauth:   c.OAuth,
		account: c.Account,
		storage: c.Storage,
	}
}

// ShowConsole offers the pages of administrators to the people for whom f returns true.
func (s *Server) ShowConsole(f func(*identity.User) bool) { s.administers = f }

// Routes adds the pages. Forms are protected against cross-origin requests; endpoints of the
// protocol on the same paths are not affected.
func (s *Server) Routes(mux *http.ServeMux) {
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.kit.Fail(w, r, &fault.Error{
			Kind:   fault.Denied,
			Reason: reasonCrossSite,
			Text: "This form was sent from another site, so it was ignored. " +
				"Open the page on this site and try again.",
		})
	}))
	for _, row := range s.allRoutes() {
		mux.Handle(row.pattern, guard.Handler(s.page(s.unlessActing(row))))
	}
	mux.Handle("/", guard.Handler(s.page(s.notFound(mux))))
	mux.HandleFunc("GET /static/{file}", s.asset)
	mux.HandleFunc("GET "+account.PicturePath+"{id}", s.picture)
	mux.HandleFunc("GET /favicon.ico", s.favicon)
}

func (s *Server) allRoutes() []route {
	return slices.Concat(
		s.routes(),
		s.joiningRoutes(),
		s.recoveryRoutes(),
		s.recoverRoutes(),
		s.passkeyRoutes(),
		s.emailRoutes(),
		s.dataRoutes(),
		s.mailboxRoutes(),
		s.impersonationRoutes(),
	)
}

// route is a page's pattern for http.ServeMux and its handler.
type route struct {
	pattern string
	serve   web.Handler
}

// routes returns the table of pages.
func (s *Server) routes() []route {
	return []route{
		{"GET /{$}", s.root},
		{"POST /language", s.postLanguage},
		{"GET /.well-known/change-password", s.changePassword},
		{"GET /login", s.showLogin},
		{"GET /signin", s.showLogin},
		{"POST /login", s.postLogin},
		{"POST /signin", s.postLogin},
		{"GET /login/code", s.atStep(login.StepFactor, s.showCode)},
		{"POST /login/code", s.atStep(login.StepFactor, s.postCode)},
		{"GET /login/enroll", s.atStep(login.StepEnroll, s.showEnroll)},
		{"POST /login/enroll", s.atStep(login.StepEnroll, s.postEnroll)},
		{"GET /login/password", s.atStep(login.StepNewPassword, s.showNewPassword)},
		{"POST /login/password", s.atStep(login.StepNewPassword, s.postNewPassword)},
		{"GET /setup", s.showSetup},
		{"POST /setup", s.postSetup},
		{"GET /reset-password", s.mailedPage(s.showReset)},
		{"POST /reset-password", s.postReset},
		{"GET /consent", s.showConsent},
		{"POST /consent", s.postConsent},
		{"POST /logout/confirm", s.postLogout},
		{"GET /activate", s.showActivate},
		{"GET /device", s.showActivate},
		{"POST /activate", s.postActivate},
		{"POST /activate/confirm", s.postActivateConfirm},
		{"GET /account", s.member(s.showAccount)},
		{"GET /account/profile", s.member(s.showProfile)},
		{"POST /account/profile", s.member(s.postProfile)},
		{"GET /account/security", s.member(s.showSecurity)},
		{"POST /account/security/password", s.member(s.postPassword)},
		{"POST /account/security/{kind}/enable", s.member(s.postEnableFactor)},
		{"POST /account/security/{kind}/confirm", s.member(s.postConfirmFactor)},
		{"POST /account/security/{kind}/disable", s.member(s.postDisableFactor)},
		{"POST /account/security/ask-second", s.member(s.postAskSecond)},
		{"POST /account/security/backup-codes", s.member(s.postBackupCodes)},
		{"POST /account/security/trusted/remove", s.member(s.postDistrust)},
		{"GET /account/sessions", s.member(s.showSessions)},
		{"GET /account/sessions/revoke", s.member(s.showRevoke)},
		{"POST /account/sessions/revoke", s.member(s.postRevoke)},
		{"GET /account/sessions/revoke-all", s.member(s.showRevokeAll)},
		{"POST /account/sessions/revoke-all", s.member(s.postRevokeAll)},
		{"GET /account/sessions/revoke-inactive", s.member(s.showRevokeInactive)},
		{"POST /account/sessions/revoke-inactive", s.member(s.postRevokeInactive)},
		{"GET /account/authorizations", s.member(s.showAuthorizations)},
		{"GET /account/authorizations/remove", s.member(s.showRemoveAuthorization)},
		{"POST /account/authorizations/remove", s.member(s.postRemoveAuthorization)},
	}
}

// page serves a handler and shows the error that it returns.
func (s *Server) page(h web.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if strings.Contains(r.URL.RawQuery, "ui_locales=") {
			s.readAddress(r)
		} else {
			s.choose(r, "")
		}
		if err := h(w, r); err != nil {
			s.kit.Fail(w, r, err)
		}
	})
}

// visit returns the caller's details for the login package.
func (s *Server) visit(r *http.Request) login.Visit {
	ev := web.EventOf(r.Context())
	locale := ""
	if ev.Texts != nil && ev.Texts != s.pages.fallback {
		locale = ev.Texts.Language() // else that of DEFAULT_LOCALE
	}
	v := login.Visit{
		Locale:    locale,
		IP:        ev.IP,
		Agent:     ev.Agent,
		RequestID: ev.ID,
		Now:       ev.Now,
		Device:    s.kit.Cookie(r, web.CookieDevice),
		Client:    ev.Client,
	}
	if ev.Acting != nil {
		v.Actor, v.ActorType = ev.Acting.Session.Impersonator.ID, ev.Acting.Session.Impersonator.Kind
	}
	return v
}

// Session returns the browser's active session, or nil.
func (s *Server) Session(r *http.Request) (*identity.Session, error) {
	cookie := s.kit.Cookie(r, web.CookieSession)
	if cookie == "" {
		return nil, nil
	}
	ev := web.EventOf(r.Context())
	if ev.Acting != nil {
		return ev.Acting.Session, nil
	}
	sess, err := s.login.Resume(r.Context(), s.visit(r), cookie)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ev.User = string(sess.User)
	if sess.Impersonated() {
		err = s.noteActing(r, sess)
	}
	return sess, err
}

// form returns the fields of a page's form or address.
func (s *Server) form(r *http.Request) (url.Values, error) {
	c, err := s.kit.ParseCall(r, web.FromQuery|web.FromForm, nil)
	if err != nil {
		return nil, err
	}
	s.readLanguage(r, c.Form)
	return c.Form, nil
}

// begin returns what every page shows.
func begin(r *http.Request) Base {
	ev := web.EventOf(r.Context())
	b := Base{
		RequestID: ev.ID,
		Now:       ev.Now,
		UILocales: ev.UILocales,
		Return:    ev.Return,
		texts:     ev.Texts,
		fixed:     ev.LanguageFixed,
	}
	if b.Return == "" {
		b.Return = r.URL.RequestURI()
	}
	if ev.Acting != nil {
		b.Acting = &ActingNotice{
			Person: ev.Acting.Person, Actor: ev.Acting.Actor, Until: ev.Acting.Session.ExpiresAt,
		}
	}
	return b
}

// setUser shows an account as signed in, and times in its time zone.
func (b *Base) setUser(u *identity.User) {
	b.setLanguage(u)
	b.Signed = &Signed{Label: u.Label()}
	if u.Email != b.Signed.Label {
		b.Signed.Email = u.Email
	}
	if zone, err := time.LoadLocation(u.Zoneinfo); err == nil && u.Zoneinfo != "" {
		b.Zone = zone
	}
}

// show writes a page.
func (s *Server) show(w http.ResponseWriter, status int, v View) error {
	buf := s.pages.buffers.Get().(*bytes.Buffer)
	defer s.pages.buffers.Put(buf)
	buf.Reset()
	if err := s.pages.Write(buf, v); err != nil {
		return err
	}
	body := buf.Bytes()
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Content-Security-Policy", s.pages.policy(v.base().Leaves))
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the person has gone if it fails
	return nil
}

// policy returns the content security policy: nothing inline, nothing from other origins except
// logos of apps, and no frames. A form that leaves the site has no form-action: browsers apply it
// to every redirect that follows the form, and where an app redirects to is the app's own business.
func policy(leaves bool) string {
	p := "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' https:; " +
		"connect-src 'self'; manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'"
	if leaves {
		return p
	}
	return p + "; form-action 'self'"
}

// policy returns the content security policy of pages, which may load fonts if the operator serves
// any.
func (p *Pages) policy(leaves bool) string {
	if p.custom.Files == nil {
		return policy(leaves)
	}
	return policy(leaves) + "; font-src 'self'"
}

// root redirects the server's plain address to the account pages.
func (s *Server) root(w http.ResponseWriter, r *http.Request) error {
	return seeOther(w, r, "/account")
}

// changePassword redirects password managers to the page that changes the password (W3C, A
// Well-Known URL for Changing Passwords).
func (s *Server) changePassword(w http.ResponseWriter, r *http.Request) error {
	return seeOther(w, r, "/account/security")
}

// notFound rejects addresses that nothing is served at, or not by the request's method.
func (s *Server) notFound(mux *http.ServeMux) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if s.servePublic(w, r) {
			return nil
		}
		if allow := web.AllowedMethods(mux, r); allow != "" {
			return web.WrongMethod(w.Header(), allow)
		}
		return fault.New(fault.NotFound,
			"There is no page at this address. Check it for typing errors.")
	}
}

// seeOther redirects the browser with a GET.
func seeOther(w http.ResponseWriter, r *http.Request, to string) error {
	http.Redirect(w, r, withLocales(to, web.EventOf(r.Context()).UILocales), http.StatusSeeOther)
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

// maxNext is the longest next, in bytes: the gateway's sign-in with a deep link in base64url.
const maxNext = 4 << 10

// ownPath returns where to continue after signing in without a flow: one of our own pages that may
// follow a sign-in, or "" for every other address (no open redirects, RFC 9700 §4.11).
func ownPath(next string) string {
	u, err := url.Parse(next)
	switch {
	case err != nil, len(next) > maxNext, strings.ContainsAny(next, "\\\r\n\t"):
		return ""
	case u.IsAbs(), u.Host != "", u.User != nil, u.Path != u.EscapedPath():
		return ""
	}
	if u.Path == "/gateway/login" { // the gateway checks the address to return to itself
		q := u.Query()
		return with(u.Path, "back", q.Get("back"), "return_to", q.Get("return_to"))
	}
	if u.Path == pathConsole || strings.HasPrefix(u.Path, pathConsole+"/") && !strings.Contains(u.Path, "..") {
		return keepQuery(u)
	}
	for _, p := range []string{"/account", "/activate", "/device", pathVerify} {
		if u.Path == p || strings.HasPrefix(u.Path, p+"/") && !strings.Contains(u.Path, "..") {
			return with(u.Path, "user_code", u.Query().Get("user_code"))
		}
	}
	return ""
}

// pathConsole is the path of the pages of administrators, which package console serves.
const pathConsole = "/admin"

// keepQuery returns the path and the parameters of an address. Following it changes nothing.
func keepQuery(u *url.URL) string {
	if len(u.Query()) == 0 {
		return u.Path
	}
	return u.Path + "?" + u.Query().Encode()
}

// clientView returns an app as the pages show it, or nil.
func clientView(cl *client.Client, redirect string) *ClientView {
	if cl == nil {
		return nil
	}
	v := &ClientView{
		Name:   cl.Name,
		Home:   cl.URI,
		Logo:   cl.LogoURI,
		Terms:  cl.TermsURI,
		Policy: cl.PolicyURI,
		Color:  cl.BrandColor,

		Contacts:   cl.Contacts,
		Unverified: cl.Unverified(),
	}
	if v.Name == "" {
		v.Name = string(cl.ID)
	}
	if u, err := url.Parse(redirect); err == nil && redirect != "" {
		v.RedirectHost = u.Host
		if u.Scheme != "https" && u.Scheme != "http" { // what follows an app's own scheme is not a host
			v.RedirectHost = u.Scheme + ":"
		}
		v.ThisDevice = u.Scheme == "http" && u.Host != ""
	}
	return v
}

// asset serves a style sheet, script, or image.
func (s *Server) asset(w http.ResponseWriter, r *http.Request) {
	body, gz, kind, immutable, ok := s.pages.Assets.Lookup(r.URL.Path)
	if styles, found := s.pages.clientStylesAt(r.URL.Path); found {
		body, kind, immutable, ok = styles, "text/css; charset=utf-8", true, true
	}
	if !ok {
		s.kit.Fail(w, r, fault.New(fault.NotFound, "There is no file at this address."))
		return
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "public, max-age=300")
	if immutable {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if len(gz) > 0 && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = gz
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}
