// Package bff is the token handler of OAuth 2.0 for Browser-Based Applications: it signs people in
// to browser apps without a token in the browser. A cookie that scripts cannot read stands for
// tokens that stay on this server and are refreshed here.
//
//	/session/login ──► /oauth/authorize ──► /session/callback ──► the app, with a cookie
//	/session/user   who is signed in         /session/logout  sign out
//
// Nothing is stored until a person has signed in: state and PKCE verifier are sealed into a cookie,
// which also binds the response to the browser that sent the request. The address to return to
// travels in the state, sealed, so that the cookie stays small.
package bff

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/bff/session"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// Names of the cookies, before the prefix that they have under https.
const (
	CookieApp   = "gatehouse-app"       // a browser app's session
	CookieLogin = "gatehouse-app-login" // sign-ins that have begun
)

// Tokens is the authorization server as this package needs it.
type Tokens interface {
	Issuer() string
	// RedeemForSession redeems codes and refresh tokens for a session-managed client.
	RedeemForSession(
		ctx context.Context, id client.ID, callbackPath string, c *oauth.Call,
	) (*token.Response, error)
	// Access returns an active access token. Denied: it is not active.
	Access(ctx context.Context, token string, now time.Time) (*oauth.AccessToken, error)
	// Active reports, from memory alone, whether a token that Access returned is still active.
	Active(t *oauth.AccessToken, now time.Time) bool
	// Current returns Unavailable while it is not known which tokens have been revoked.
	Current() error
}

// Store is what this package asks of storage.
type Store interface {
	// Client returns a client, and ClientsAt those that have registered exactly this redirect URI,
	// both from memory.
	Client(ctx context.Context, id client.ID) (*client.Client, error)
	ClientsAt(redirect string) []*client.Client
	SyncCache(ctx context.Context) error
	User(ctx context.Context, id identity.UserID) (*identity.User, error)
	// Impersonation returns the session in which somebody acts as another person, or NotFound.
	Impersonation(ctx context.Context, id identity.SessionID) (*login.Impersonation, error)

	// PutBFFSession stores a session under its cookie's hash. Consumed: its grant has ended
	// meanwhile.
	PutBFFSession(ctx context.Context, h secret.Hash, s *session.Session, ev ...audit.Event) error
	// BFFSession returns an active session, or NotFound.
	BFFSession(
		ctx context.Context, h secret.Hash, now time.Time, idle time.Duration,
	) (*session.Session, error)
	// ClaimBFFSession lets one server refresh the tokens until a time. Consumed: another server is
	// doing it, or has done it. ReleaseBFFSession gives the claim up.
	ClaimBFFSession(ctx context.Context, id string, version int64, now, until time.Time) error
	ReleaseBFFSession(ctx context.Context, id string, version int64, until time.Time) error
	// RenewBFFSession replaces the tokens of a version. Consumed: there is a later version.
	RenewBFFSession(ctx context.Context, id string, version int64, tokens string) error
	TouchBFFSession(ctx context.Context, id string, now time.Time) error
	// EndBFFSession ends a session with its grant. NotFound: it has ended before.
	EndBFFSession(ctx context.Context, s *session.Session, now time.Time, ev ...audit.Event) error
}

// Options are the operator's settings, and what other parts provide.
type Options struct {
	TTL  time.Duration // of a session, at most
	Idle time.Duration // a session that is unused for longer has ended; 0: only TTL counts
	// Fail shows an error to a person.
	Fail func(w http.ResponseWriter, r *http.Request, err error)
	// Mismatch records an address that is not registered, for the operator; nil: nothing does.
	Mismatch func(ctx context.Context, c *oauth.Call, cl *client.Client, m oauth.Mismatch) error
}

// maxCached bounds how many sessions are cached, at some 1,500 bytes each.
const maxCached = 50_000

// Server is the token handler. It is safe for concurrent use.
type Server struct {
	kit     *web.Kit
	tokens  Tokens
	store   Store
	keys    *secret.Keys
	opt     Options
	pending *secret.Box // seals sign-ins that have begun
	vault   *secret.Box // seals tokens
	cache   *otter.Cache[secret.Hash, *cachedSession]
	loads   singleflight.Group // by hash of the cookie
}

// New returns a token handler.
func New(kit *web.Kit, tokens Tokens, st Store, keys *secret.Keys, opt Options) *Server {
	return &Server{
		kit:     kit,
		tokens:  tokens,
		store:   st,
		keys:    keys,
		opt:     opt,
		pending: keys.Box("app-login"),
		vault:   keys.Box("app-tokens"),
		cache:   otter.Must(&otter.Options[secret.Hash, *cachedSession]{MaximumSize: maxCached}),
	}
}

// Routes adds the endpoints. They are served at every host: each app has them at its own.
func (s *Server) Routes(mux *http.ServeMux) {
	for _, row := range []struct {
		method, path string
		serve        http.Handler
	}{
		{"GET", "/session/login", s.page(s.showLogin)},
		{"GET", session.CallbackPath, s.page(s.callback)},
		{"GET", "/session/user", s.endpoint(s.user)},
		{"POST", "/session/logout", s.endpoint(s.logout)},
	} {
		mux.Handle(row.method+" "+row.path, row.serve)
		mux.Handle(row.path, s.endpoint(func(w http.ResponseWriter, _ *http.Request) (any, error) {
			w.Header().Set("Allow", row.method)
			return nil, denied(http.StatusMethodNotAllowed, access.CodeInvalidRequest,
				"This address serves only "+row.method+".")
		}))
	}
	mux.Handle("/session/", s.endpoint(func(http.ResponseWriter, *http.Request) (any, error) {
		return nil, denied(http.StatusNotFound, access.CodeNotFound,
			"There is nothing at this address.")
	}))
}

// denied returns an error with its answer.
func denied(status int, code, text string) error {
	return &access.Denial{Status: status, Code: code, Public: text, Rule: "session", Reason: text}
}

// page serves an address that a person's browser opens.
func (s *Server) page(h web.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if err := h(w, r); err != nil {
			s.opt.Fail(w, r, err)
		}
	})
}

// endpoint serves an address that scripts call. It answers with JSON that is not cached, and with
// a page where a person opens it and something is wrong.
func (s *Server) endpoint(h func(http.ResponseWriter, *http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		v, err := h(w, r)
		var body []byte
		if err == nil {
			body, err = json.Marshal(v)
		}
		if err != nil {
			s.fail(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body) // the browser is gone if it fails
	})
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if web.WantsPage(r) {
		s.opt.Fail(w, r, err)
		return
	}
	ev := web.EventOf(r.Context())
	ev.Err = err
	p := web.ProblemOf(err)
	p.RequestID = ev.ID
	web.WriteProblem(w, r, p)
}

// seeOther redirects the browser with a GET to exactly this address, which http.Redirect would
// clean.
func seeOther(w http.ResponseWriter, to string) error {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// newEvent returns the audit event of something that happened to a session.
func newEvent(ctx context.Context, kind audit.Type, s *session.Session) audit.Event {
	ev := web.EventOf(ctx)
	return audit.Event{
		At:        ev.Now,
		Type:      kind,
		Actor:     string(s.User),
		User:      string(s.User),
		Client:    string(s.Client),
		Session:   string(s.Session),
		Grant:     string(s.Grant),
		IP:        ev.IP,
		Agent:     ev.Agent,
		RequestID: ev.ID,
		Detail:    map[string]string{"app_session": s.ID},
	}
}
