// Package apps signs people in to browser apps without any token in the browser: the token handler of OAuth 2.0 for
// Browser-Based Applications. A cookie that scripts cannot read stands for tokens that are kept, and refreshed, on this server.
//
//	/session/login ──► /oauth/authorize ──► /session/callback ──► the app, with a cookie
//	/session/user  who is signed in          /session/logout  no longer
//
// Until somebody has signed in, nothing is stored: state and PKCE verifier are sealed into a cookie, which also ties the answer to
// the browser that asked.
package bff

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/bff/session"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// Names of the cookies, before the prefix that they have under https.
const (
	CookieApp   = "gatehouse-app"       // a browser app's session
	CookieLogin = "gatehouse-app-login" // sign-ins that have been begun
)

// Tokens is the authorization server as this package needs it.
type Tokens interface {
	Issuer() string
	// House redeems codes and refresh tokens for a client whose tokens are kept here.
	RedeemForSession(ctx context.Context, id client.ID, callbackPath string, c *oauth.Call) (*token.Response, error)
	// Access reads an access token that is in force. Denied: it is not. Live asks, of memory alone, whether it still is.
	Access(ctx context.Context, token string, now time.Time) (*oauth.AccessToken, error)
	Active(t *oauth.AccessToken, now time.Time) bool
}

// Store is what this package asks of storage. What says "from memory" costs no round trip.
type Store interface {
	// Client and ClientsAt give clients, from memory; ClientsAt those that have registered a redirect URI exactly so.
	Client(ctx context.Context, id client.ID) (*client.Client, error)
	ClientsAt(redirect string) []*client.Client
	SyncCache(ctx context.Context) error
	User(ctx context.Context, id identity.UserID) (*identity.User, error)

	// PutBFFSession stores a session under its cookie's hash. Consumed: its grant has ended meanwhile.
	PutBFFSession(ctx context.Context, h secret.Hash, s *session.Session, ev ...audit.Event) error
	// BFFSession returns a live session, or NotFound.
	BFFSession(ctx context.Context, h secret.Hash, now time.Time, idle time.Duration) (*session.Session, error)
	// ClaimBFFSession lets one server refresh until a time. Consumed: another is at it, or has done it. ReleaseBFFSession gives the claim up.
	ClaimBFFSession(ctx context.Context, id string, version int64, now, until time.Time) error
	ReleaseBFFSession(ctx context.Context, id string, version int64, until time.Time) error
	// RenewBFFSession replaces the tokens of a version. Consumed: it has moved on.
	RenewBFFSession(ctx context.Context, id string, version int64, tokens string) error
	TouchBFFSession(ctx context.Context, id string, now time.Time) error
	// EndBFFSession ends a session with its grant. NotFound: it has ended before.
	EndBFFSession(ctx context.Context, s *session.Session, now time.Time, ev ...audit.Event) error
}

// Options are what the operator decides, and what other parts lend.
type Options struct {
	TTL  time.Duration // of a session, at most
	Idle time.Duration // a session unused for longer has ended. 0: only Life counts
	// Fail shows an error to a person.
	Fail func(w http.ResponseWriter, r *http.Request, err error)
}

// maxLive bounds how many sessions are remembered, at some 1,500 bytes each.
const maxLive = 50_000

// Server is the token handler. It is safe for concurrent use.
type Server struct {
	kit    *web.Kit
	tokens Tokens
	store  Store
	keys   *secret.Keys
	opt    Options
	login  *secret.Box // seals sign-ins that have been begun
	vault  *secret.Box // seals tokens
	live   *otter.Cache[secret.Hash, *liveSession]
	loads  flights
}

// New makes a token handler.
func New(kit *web.Kit, tokens Tokens, st Store, keys *secret.Keys, opt Options) *Server {
	return &Server{
		kit: kit, tokens: tokens, store: st, keys: keys, opt: opt, login: keys.Box("app-login"), vault: keys.Box("app-tokens"),
		live: otter.Must(&otter.Options[secret.Hash, *liveSession]{MaximumSize: maxLive}),
	}
}

// Routes adds the addresses. They are served on every host: each app has them on its own.
func (s *Server) Routes(mux *http.ServeMux) {
	for _, row := range []struct {
		method, path string
		serve        http.Handler
	}{
		{"GET", "/session/login", s.page(s.showLogin)},
		{"GET", session.CallbackPath, s.page(s.callback)},
		{"GET", "/session/user", s.answer(s.user)},
		{"POST", "/session/logout", s.answer(s.logout)},
	} {
		mux.Handle(row.method+" "+row.path, row.serve)
		mux.Handle(row.path, s.answer(func(w http.ResponseWriter, _ *http.Request) (any, error) {
			w.Header().Set("Allow", row.method)
			return nil, &refusal{http.StatusMethodNotAllowed, "invalid_request", "This address serves " + row.method + " only."}
		}))
	}
	mux.Handle("/session/", s.answer(func(http.ResponseWriter, *http.Request) (any, error) {
		return nil, &refusal{http.StatusNotFound, "not_found", "There is nothing at this address."}
	}))
}

// page serves what a person's browser opens.
func (s *Server) page(h web.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if err := h(w, r); err != nil {
			s.opt.Fail(w, r, err)
		}
	})
}

// refusal is an answer that a script reads.
type refusal struct {
	status      int
	code, words string
}

func (e *refusal) Error() string { return e.code + ": " + e.words }

// answer serves what scripts call: JSON, to be kept by nobody.
func (s *Server) answer(h func(w http.ResponseWriter, r *http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		v, err := h(w, r)
		status := http.StatusOK
		if err != nil {
			status, v = refuse(w, r, err)
		}
		body, err := json.Marshal(v)
		if err != nil {
			body = []byte("{}")
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		_, _ = w.Write(body) // the browser has gone if it fails
	})
}

// wireError is an error on the wire.
type wireError struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	RequestID   string `json:"request_id"`
}

func refuse(w http.ResponseWriter, r *http.Request, err error) (int, *wireError) {
	ev := web.EventOf(r.Context())
	ev.Err = err
	if e, ok := err.(*refusal); ok {
		return e.status, &wireError{e.code, e.words, ev.ID}
	}
	web.RetryAfter(w.Header(), err)
	out := &wireError{Error: "invalid_request", Description: fault.Text(err), RequestID: ev.ID}
	status := web.Status(err)
	switch {
	case status == http.StatusServiceUnavailable:
		out.Error, out.Description = "temporarily_unavailable", "The server cannot answer now. Try again in a moment."
	case status == http.StatusForbidden:
		out.Error = "access_denied"
	case status >= 500:
		out.Error, out.Description = "server_error", "Something went wrong on the server. Tell its operator the request id."
	}
	return status, out
}

// see sends the browser on with a GET, to the letter: http.Redirect would tidy the path.
func see(w http.ResponseWriter, to string) error {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// record begins the record of something that happened to a session.
func record(ctx context.Context, kind audit.Type, a *session.Session) audit.Event {
	ev := web.EventOf(ctx)
	return audit.Event{
		At: ev.Now, Type: kind, Actor: string(a.User), User: string(a.User), Client: string(a.Client), Session: string(a.Session),
		Grant: string(a.Grant), IP: ev.IP, Agent: ev.Agent, RequestID: ev.ID, Detail: map[string]string{"app_session": a.ID},
	}
}
