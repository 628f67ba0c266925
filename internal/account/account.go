// Package account holds what people do with their own account: each operation with its rule, its
// validation and its audit event. Pages and the self-service API parse, call one operation, and
// show what it returns.
//
// Errors carry a fault kind. fault.Error.Field names the input at fault, by the names that the
// operations document.
package account

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// InactiveAfter is how long a session or an app's access must be unused to count as inactive.
const InactiveAfter = 30 * 24 * time.Hour

// Store is what the operations need of storage. Events are written in the transaction of the
// change.
type Store interface {
	// User returns a user, or NotFound.
	User(ctx context.Context, id identity.UserID) (*identity.User, error)
	// UpdateUser writes the fields in which old and new differ.
	UpdateUser(ctx context.Context, old, new *identity.User, ev ...audit.Event) error

	// UserSessions returns a user's active browser sessions.
	UserSessions(ctx context.Context, u identity.UserID, now time.Time) ([]identity.Session, error)
	// UserGrants returns the active grants of apps and devices for a user.
	UserGrants(ctx context.Context, u identity.UserID, now time.Time) ([]oauth.Grant, error)
	// UserConsents returns what a user has allowed which apps.
	UserConsents(ctx context.Context, u identity.UserID) ([]oauth.Consent, error)

	// EndUserSession ends a session of the user, and if tokens, the tokens issued in it. NotFound
	// if the user has no such session.
	EndUserSession(ctx context.Context, u identity.UserID, id identity.SessionID, now time.Time,
		tokens bool, ev ...audit.Event) error
	// EndUserGrant ends a grant for the user. NotFound if there is no such grant.
	EndUserGrant(ctx context.Context, u identity.UserID, id oauth.GrantID, now time.Time,
		ev ...audit.Event) error
	// EndUserAccess ends all sessions and grants of the user, except one session.
	EndUserAccess(ctx context.Context, u identity.UserID, now time.Time, except identity.SessionID,
		ev ...audit.Event) error
	// EndInactiveSessions ends the sessions and grants of the user that were not used since before.
	EndInactiveSessions(ctx context.Context, u identity.UserID, before, now time.Time,
		ev ...audit.Event) (int, error)
	// DeleteConsent deletes what the user allowed an app, and ends its grants. NotFound if nothing.
	DeleteConsent(ctx context.Context, u identity.UserID, c client.ID, now time.Time,
		ev ...audit.Event) error
}

// Config is what the operator decides about accounts.
type Config struct {
	RevokeTokens bool // tokens issued in a session end with it
}

// Server performs the operations. It is safe for concurrent use.
type Server struct {
	cfg   Config
	store Store
	login *login.Server
}

// New returns a Server over a store and the sign-in that knows passwords and factors.
func New(cfg Config, st Store, l *login.Server) *Server {
	return &Server{cfg: cfg, store: st, login: l}
}

// Caller is a signed-in person who acts on their own account.
type Caller struct {
	login.Visit
	User    *identity.User
	Session identity.SessionID
}

// event begins an audit event of the caller about their own account.
func (c Caller) event(t audit.Type) audit.Event {
	return audit.Event{
		At:        c.Now,
		Type:      t,
		Actor:     string(c.User.ID),
		User:      string(c.User.ID),
		Session:   string(c.Session),
		IP:        c.IP,
		Agent:     c.Agent,
		RequestID: c.RequestID,
	}
}

// Caller returns the person of a session.
func (s *Server) Caller(
	ctx context.Context, v login.Visit, sess *identity.Session,
) (Caller, error) {
	u, err := s.store.User(ctx, sess.User)
	if err != nil {
		return Caller{}, err
	}
	return Caller{Visit: v, User: u, Session: sess.ID}, nil
}

// Overview is the state of an account in short.
type Overview struct {
	Factors  Factors
	Sessions int // signed-in browsers
	Grants   int // apps and devices with access
	Apps     int // connected apps
}

// Overview returns the state of the caller's account in short.
func (s *Server) Overview(ctx context.Context, c Caller) (Overview, error) {
	f, err := s.Factors(ctx, c)
	if err != nil {
		return Overview{}, err
	}
	access, err := s.Access(ctx, c)
	if err != nil {
		return Overview{}, err
	}
	apps, err := s.Apps(ctx, c)
	return Overview{
		Factors:  f,
		Sessions: len(access.Sessions),
		Grants:   len(access.Grants),
		Apps:     len(apps),
	}, err
}
