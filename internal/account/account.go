// Package account holds what people do with their own account: each operation with its rule, its
// validation and its audit event. Pages and the self-service API parse, call one operation, and
// show what it returns.
//
// Errors carry a fault kind. fault.Error.Field names the input at fault, by the names that the
// operations document.
package account

import (
	"cmp"
	"context"
	"net/url"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/picture"
	"github.com/gatehouse-id/gatehouse/internal/visitor"
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

	// UserEmails returns the verified addresses of a user beside the primary one.
	UserEmails(ctx context.Context, id identity.UserID) ([]identity.OtherEmail, error)
	// UserConfirmations returns the user's addresses and changes of address that wait to be
	// confirmed by mail, oldest first.
	UserConfirmations(ctx context.Context, id identity.UserID, now time.Time) ([]login.Confirmation, error)

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

	DataStore
}

// DataStore holds what an account knows about itself.
type DataStore interface {
	// SignIns returns up to limit attempts to sign in to an account, newest first: those before
	// the one with an ID, or the newest if it is "".
	SignIns(ctx context.Context, u identity.UserID, before string, limit int) ([]audit.Event, error)
	// ActedAs does the same for the events that somebody began to act as the user.
	ActedAs(ctx context.Context, u identity.UserID, before string, limit int) ([]audit.Event, error)
	// Credentials returns a user's credentials of all kinds, oldest first.
	Credentials(ctx context.Context, u identity.UserID) ([]identity.Credential, error)
	// Record writes audit events, and what must be delivered because of them.
	Record(ctx context.Context, ev ...audit.Event) error
	// MailFailure returns when mail to a user's present address was rejected for good, and what
	// the server said; zero and "" if it was not.
	MailFailure(ctx context.Context, u *identity.User) (at time.Time, answer string, err error)

	// RejectedEmails returns which addresses of a user, by their identity.LoginKey, rejected mail
	// for good.
	RejectedEmails(ctx context.Context, u identity.UserID) ([]string, error)

	// Picture returns the picture with an ID, or NotFound.
	Picture(ctx context.Context, id string) (*Picture, error)
	// SetPicture replaces the picture of a user, and its address in the user's profile. If p is
	// nil, the picture is deleted.
	SetPicture(ctx context.Context, u identity.UserID, p *Picture, address string, now time.Time,
		ev ...audit.Event) error

	// RequestDeletion disables an account until it is erased, and ends all access to it. Conflict
	// for the last active administrator, and for an account that is disabled.
	RequestDeletion(ctx context.Context, d *identity.Deletion, ev ...audit.Event) error
	// DueDeletions returns up to limit accounts that are to be erased by now.
	DueDeletions(ctx context.Context, now time.Time, limit int) ([]identity.Deletion, error)
	// EraseUser erases an account whose deletion is due, or returns NotFound.
	EraseUser(ctx context.Context, u *identity.User, now time.Time, ev ...audit.Event) error
	// RemindersDue returns up to limit accounts that are to be erased before a time, and whose
	// owners were not reminded of it.
	RemindersDue(ctx context.Context, before time.Time, limit int) ([]identity.Deletion, error)
	// MarkReminded records a reminder and stores its deliveries, once: Consumed if there was one.
	MarkReminded(ctx context.Context, u identity.UserID, now time.Time, all ...outbox.Delivery) error
}

// Config is what the operator decides about accounts.
type Config struct {
	RevokeTokens  bool           // tokens issued in a session end with it
	BaseURL       string         // of pictures and of links in messages, without a slash at the end
	DeletionGrace time.Duration  // between the wish to delete an account and its end
	Places        visitor.Places // finds places of addresses; or nil
}

// Server performs the operations. It is safe for concurrent use.
type Server struct {
	cfg       Config
	store     Store
	login     *login.Server
	portraits *picture.Maker
}

// New returns a Server over a store and the sign-in that knows passwords and factors.
func New(cfg Config, st Store, l *login.Server) *Server {
	return &Server{cfg: cfg, store: st, login: l, portraits: picture.NewMaker()}
}

// Caller is a signed-in person who acts on their own account.
type Caller struct {
	login.Visit
	User     *identity.User
	Session  identity.SessionID
	AuthTime time.Time  // when the session's person last proved who they are
	AMR      []string   // how
	Proof    url.Values // an answer of a passkey in place of the password, or nil

	// Impersonated is set if somebody else acts as the person: Visit.Actor. They may look at
	// everything and change the profile, and nothing else.
	Impersonated bool
}

// own returns a denial unless the person acts: for what somebody else may not do in their place.
func (c Caller) own() error {
	if c.Impersonated {
		return login.ErrImpersonated()
	}
	return nil
}

// event begins an audit event of the caller about their own account.
func (c Caller) event(t audit.Type) audit.Event {
	return audit.Event{
		At:        c.Now,
		Type:      t,
		Actor:     cmp.Or(c.Actor, string(c.User.ID)),
		ActorType: c.ActorType,
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
	c := Caller{Visit: v, User: u, Session: sess.ID, AuthTime: sess.AuthTime, AMR: sess.AMR}
	if sess.Impersonated() {
		c.Impersonated, c.Actor, c.ActorType = true, sess.Impersonator.ID, sess.Impersonator.Kind
	}
	return c, nil
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
