// Package accounts serves the self-service interface below /accounts/v1: programs sign people in
// step by step, and people manage their own account through programs.
//
// It holds no rules: each handler reads a request, calls one operation of login or account, and
// writes what it returns. There are no cookies, and no page of another origin may read an answer.
package accounts

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/account"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

const prefix = "/accounts/v1"

// Rate returns how often one caller may try to sign in to one account.
func Rate() web.Rate { return web.Rate{Max: 10, Window: 5 * time.Minute} }

// RateName is the name of Rate among the rates of the server.
const RateName = "accounts_login"

// Clients proves who calls.
type Clients interface {
	// ProveSecret returns the client that an id and a secret authenticate, or Denied.
	ProveSecret(ctx context.Context, id client.ID, secret string, now time.Time) (*client.Client,
		error)
	// LookupClient returns an active client, or Denied.
	LookupClient(ctx context.Context, id client.ID) (*client.Client, error)
}

// Tokens reads access tokens.
type Tokens interface {
	// Caller returns the access token of a request to one of the server's own resources, after all
	// checks.
	Caller(ctx context.Context, c *oauth.Call) (*oauth.AccessToken, error)
}

// Users reads accounts.
type Users interface {
	// User returns a user, or NotFound.
	User(ctx context.Context, id identity.UserID) (*identity.User, error)
	// UserEmails returns the addresses of a user beside the primary one.
	UserEmails(ctx context.Context, id identity.UserID) ([]identity.OtherEmail, error)
}

// Administration is what administrators do to accounts.
type Administration interface {
	// AllowAddress returns Denied where the server may not be managed from an address.
	AllowAddress(ip netip.Addr) error
	// ActorOf returns who acts by an access token, and what they may do.
	ActorOf(ctx context.Context, t *oauth.AccessToken, v login.Visit) (admin.Actor, error)
	// UpdateUser changes an account.
	UpdateUser(ctx context.Context, a admin.Actor, ref string, in admin.UserUpdate) (*admin.UpdatedUser,
		error)
}

// Config is what the interface is served with.
type Config struct {
	Kit     *web.Kit
	Login   *login.Server
	Account *account.Server
	Clients Clients
	Tokens  Tokens
	Users   Users

	Administration Administration
}

// Server serves the interface.
type Server struct {
	Config
}

// New returns a Server.
func New(c Config) *Server { return &Server{c} }

// handler answers a call or returns an error; it never does both.
type handler func(w http.ResponseWriter, c *call) error

// operation is one method of the interface.
type operation struct {
	pattern string // for http.ServeMux, without the prefix
	need    need
	serve   handler
}

func (s *Server) operations() []operation {
	return []operation{
		{"POST /sessions/login/email", needClient, s.loginEmail},
		{"POST /sessions/login/password", needClient, s.loginPassword},
		{"POST /sessions/login/code", needClient, s.loginCode},
		{"POST /sessions/login/totp", needClient, s.loginTOTP},
		{"POST /sessions/login/passkey", needClient, s.loginPasskey},
		{"POST /sessions/login/passkey/options", needClient, s.passkeyOptions},
		{"POST /sessions/refresh", needClient, s.refresh},
		{"POST /sessions/logout", needClient, s.logout},
		{"GET /sessions", needUser, s.listSessions},
		{"GET /users/{id}/sessions", needUser, s.listSessions},
		{"GET /users", needUser, s.listUsers},
		{"GET /users/{id}", needUser, s.getUser},
		{"PATCH /users/{id}", needUser, s.patchUser},
		{"GET /users/{id}/roles", needUser, s.listRoles},
		{"POST /users/{id}/roles", needUser, s.addRole},
		{"DELETE /users/{id}/roles/{role}", needUser, s.removeRole},
		{"POST /users", needClient, s.createUser},
		{"DELETE /users/{id}", needUser, s.deleteUser},
		{"GET /users/{id}/emails", needUser, s.listEmails},
		{"POST /users/{id}/emails", needUser, s.addEmail},
		{"DELETE /users/{id}/emails/{email}", needUser, s.removeEmail},
		{"POST /users/{id}/emails/{email}/generate-verification", needUser, s.sendVerification},
		{"POST /users/{id}/emails/{email}/verify", needUser, s.verifyEmail},
		{"POST /users/{id}/change-password", needClient, s.changePassword},
	}
}

// Routes adds the interface to a mux. Addresses below the prefix that nothing is served at are
// answered as JSON, too.
func (s *Server) Routes(mux *http.ServeMux) {
	for _, op := range s.operations() {
		method, path, _ := cutPattern(op.pattern)
		mux.HandleFunc(method+" "+prefix+path, s.serve(op.need, op.serve))
	}
	mux.HandleFunc(prefix+"/", s.serve(needNothing, func(w http.ResponseWriter, c *call) error {
		if allow := web.AllowedMethods(mux, c.r); allow != "" {
			w.Header().Set("Allow", allow)
			return newProblem(http.StatusMethodNotAllowed, codeMethod,
				"This address does not take the method of the request.")
		}
		return fault.New(fault.NotFound, "There is nothing at this address.")
	}))
}

// serve returns the handler of an operation for callers of a kind.
func (s *Server) serve(n need, h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		c := &call{r: r, ev: web.EventOf(r.Context())}
		err := s.authenticate(c, n)
		if err == nil {
			err = h(w, c)
		}
		if err != nil {
			c.ev.Err = err
			writeError(w, r, err)
		}
	}
}
