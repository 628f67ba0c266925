package accounts

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/account"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/gateway"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// Scope is the scope that an access token must carry to manage its person's account.
const Scope = oauth.ScopeAccounts

// need is what an operation requires of its caller.
type need int

const (
	needNothing need = iota
	needClient       // a client
	needUser         // a client and a signed-in person, or an access token of a person
)

// call is one request.
type call struct {
	r      *http.Request
	ev     *web.Event
	client client.ID
	user   *identity.User // the person on whose behalf the request is made, or nil
	// The session of the person: "" for an access token without one.
	session  identity.SessionID
	authTime time.Time // when the person last proved who they are
	token    string    // the session token, or ""

	access *oauth.AccessToken // that the request was made with, or nil
}

// visit returns the caller's details for the login package.
func (c *call) visit() login.Visit {
	return login.Visit{
		IP:        c.ev.IP,
		Agent:     c.ev.Agent,
		RequestID: c.ev.ID,
		Now:       c.ev.Now,
		Locale:    web.Locale(c.r),
	}
}

// caller returns the person for the account package.
func (c *call) caller() account.Caller {
	return account.Caller{
		Visit:    c.visit(),
		User:     c.user,
		Session:  c.session,
		AuthTime: c.authTime,
	}
}

// authenticate finds out who makes a request, by the credentials in its Authorization header: a
// client's, a session token, or both separated by a comma; or an access token.
func (s *Server) authenticate(c *call, n need) error {
	lines := c.r.Header["Authorization"]
	switch {
	case n == needNothing:
		return nil
	case len(lines) == 0:
		return needsClient()
	case len(lines) > 1:
		return newProblem(http.StatusBadRequest, codeAuthorization,
			"The Authorization header is sent more than once.")
	}
	a, err := gateway.ParseAuthorization(lines[0])
	var d *access.Denial
	if errors.As(err, &d) {
		return newProblem(d.Status, codeAuthorization, d.Public)
	}
	if err != nil {
		return err
	}
	if a.Basic {
		if err := s.authenticateClient(c, a); err != nil {
			return err
		}
	}
	switch {
	case a.Session != "":
		err = s.authenticateSession(c, a.Session)
	case a.Token != "":
		err = s.authenticateToken(c, a)
	}
	if err != nil {
		return err
	}
	if c.client == "" {
		return needsClient()
	}
	if n == needUser && c.user == nil {
		return newProblem(http.StatusUnauthorized, codeSessionRequired,
			"Sign in first, and send the session token as Bearer session:TOKEN.")
	}
	c.ev.Client = string(c.client)
	return nil
}

func needsClient() error {
	return newProblem(http.StatusUnauthorized, codeClientRequired,
		"Send the id of a client, and its secret if it has one, as HTTP Basic.")
}

// authenticateClient proves the client of a request. A public client has no secret.
func (s *Server) authenticateClient(c *call, a gateway.Authorization) error {
	ctx := c.r.Context()
	var cl *client.Client
	var err error
	if a.Secret == "" {
		if cl, err = s.Clients.LookupClient(ctx, a.Client); err == nil && !cl.Public {
			err = fault.New(fault.Denied, "a confidential client without its secret")
		}
	} else {
		cl, err = s.Clients.ProveSecret(ctx, a.Client, a.Secret, c.ev.Now)
	}
	if err != nil {
		return clientProblem(err)
	}
	c.client = cl.ID
	return nil
}

// clientProblem returns the error of a client that is rejected; the reason stays in the log.
func clientProblem(err error) error {
	if fault.Is(err, fault.Denied) {
		return newProblem(http.StatusUnauthorized, codeClientInvalid,
			"The client does not exist, is disabled, or its secret is wrong.")
	}
	return err
}

// authenticateSession resumes the session of a session token. A client beside it must be the one
// that the person signed in with.
func (s *Server) authenticateSession(c *call, token string) error {
	if strings.HasPrefix(token, secret.PrefixRefreshToken) {
		return newProblem(http.StatusBadRequest, codeRefreshPassed,
			"This is a refresh token. Send the session token.")
	}
	sess, err := s.Login.ResumeToken(c.r.Context(), c.visit(), token)
	if err != nil {
		return err
	}
	if c.client != "" && c.client != sess.Tokens.Client {
		return newProblem(http.StatusUnauthorized, codeTokenInvalid,
			"The session belongs to another client.")
	}
	if _, err := s.Clients.LookupClient(c.r.Context(), sess.Tokens.Client); err != nil {
		return clientProblem(err)
	}
	c.client, c.session, c.token = sess.Tokens.Client, sess.ID, token
	c.authTime = sess.AuthTime
	return s.setUser(c, sess.User)
}

// authenticateToken accepts an access token of a person for this server that carries Scope.
func (s *Server) authenticateToken(c *call, a gateway.Authorization) error {
	oc, err := s.Kit.ParseCall(web.WithoutBody(c.r), 0, nil)
	if err != nil {
		return err
	}
	oc.Authorization = a.Scheme + " " + a.Token
	t, err := s.Tokens.Caller(c.r.Context(), oc)
	if err != nil {
		return err
	}
	switch {
	case t.Actor != "":
		return login.ErrImpersonated()
	case c.client != "" && c.client != t.Client:
		return newProblem(http.StatusUnauthorized, codeTokenInvalid,
			"The access token belongs to another client.")
	case t.User == "" || !slices.Contains(t.Scopes, Scope):
		return newProblem(http.StatusForbidden, codeScope,
			"The access token must be a person's, with the scope accounts.")
	}
	c.client, c.session, c.authTime, c.access = t.Client, t.Session, t.AuthTime, t
	return s.setUser(c, t.User)
}

func (s *Server) setUser(c *call, id identity.UserID) error {
	u, err := s.Users.User(c.r.Context(), id)
	if fault.Is(err, fault.NotFound) {
		return newProblem(http.StatusUnauthorized, codeUserDeleted, "The account was deleted.")
	}
	if err != nil {
		return err
	}
	if u.Disabled {
		return newProblem(http.StatusForbidden, codeUserBanned,
			"This account is disabled. Ask your administrator.")
	}
	c.user, c.ev.User = u, string(u.ID)
	return nil
}

// own checks that the user that an address names is the caller: `current`, or the caller's id. All
// others look as if they did not exist.
func (c *call) own() error {
	id := c.r.PathValue("id")
	if id == "" || id == "current" || id == string(c.user.ID) {
		return nil
	}
	return fault.New(fault.NotFound, "There is no such user, or it is not the caller.")
}
