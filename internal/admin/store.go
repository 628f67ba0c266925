package admin

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
)

// Reasons of conflicts.
const (
	ReasonLastAdministrator = "last_administrator" // the change would leave no administrator
	ReasonStale             = "stale"              // another change came between reading and writing
	ReasonHeld              = "held"               // somebody has what is to be deleted or created
	ReasonTooManySecrets    = "too_many_secrets"   // the client has as many active secrets as it may have
	ReasonLastSecret        = "last_secret"        // the change would leave the client no active secret
)

// Store is what the operations need of storage. Every change commits together with its events,
// and an update writes only the fields in which the new value differs from the old one.
type Store interface {
	UserStore
	ClientStore
	ScopeStore
	RoleStore
	RouteStore
	SessionStore
	DeliveryStore
	AccessStore
	WebhookStore
	OverviewStore

	// RotateKeys stores a new key and sets the end of others that have none.
	RotateKeys(ctx context.Context, k jose.StoredKey, retire []string, retiredAt, expiresAt time.Time,
		ev ...audit.Event) error
	// RetireKeys sets an end of keys earlier than the one they have.
	RetireKeys(ctx context.Context, ids []string, retiredAt, expiresAt time.Time, ev ...audit.Event) error

	// ListAudit returns events, newest first.
	ListAudit(ctx context.Context, q AuditQuery) ([]audit.Event, error)
	// CountAudit returns how many events the query selects on all pages.
	CountAudit(ctx context.Context, q AuditQuery) (int, error)
	// Denial returns why the gateway denied a request, or fault.NotFound.
	Denial(ctx context.Context, requestID string) (*access.DenialRecord, error)
}

// DeliveryStore is what the operations on deliveries need of storage.
type DeliveryStore interface {
	// ListDeliveries returns deliveries, newest first, without their contents.
	ListDeliveries(ctx context.Context, q outbox.Query) ([]outbox.Delivery, error)
	// CountDeliveries returns how many deliveries the query selects on all pages.
	CountDeliveries(ctx context.Context, q outbox.Query) (int, error)
	// Delivery returns a delivery, or fault.NotFound.
	Delivery(ctx context.Context, id outbox.ID) (*outbox.Delivery, error)
	// RetryDelivery queues a dead delivery again. It returns fault.NotFound if there is none, and
	// fault.Conflict if it is not dead or its content has lost its use.
	RetryDelivery(ctx context.Context, id outbox.ID, now time.Time, ev ...audit.Event) error
}

// UserStore is what the operations on users need of storage.
type UserStore interface {
	// User returns the user with that id, or fault.NotFound.
	User(ctx context.Context, id identity.UserID) (*identity.User, error)
	// UserByRef returns the user with that id, email address or username, or fault.NotFound.
	UserByRef(ctx context.Context, ref string) (*identity.User, error)
	// ListUsers returns a page of users, oldest first, and how many match in all.
	ListUsers(ctx context.Context, q UserQuery) (users []identity.User, total int, err error)
	// CountAdmins returns how many active administrators there are.
	CountAdmins(ctx context.Context) (int, error)
	// Admins returns up to limit active administrators.
	Admins(ctx context.Context, limit int) ([]identity.User, error)
	// CreateUser stores a new user, or returns fault.Conflict for a name that is in use.
	CreateUser(ctx context.Context, u *identity.User, ev ...audit.Event) error
	// UpdateUser returns fault.Conflict for a name that is in use, with ReasonLastAdministrator if
	// no active administrator would be left, and with ReasonStale for roles that are not those of
	// old.
	UpdateUser(ctx context.Context, old, new *identity.User, ev ...audit.Event) error
	// Roles returns up to limit different lists of roles that users have, each separated by spaces.
	Roles(ctx context.Context, limit int) ([]string, error)
	// SetUserDisabled and DeleteUser end everything the user has open. They return fault.Conflict
	// with ReasonLastAdministrator rather than leave the server without an active administrator.
	SetUserDisabled(ctx context.Context, id identity.UserID, disabled bool, now time.Time, ev ...audit.Event) error
	DeleteUser(ctx context.Context, id identity.UserID, now time.Time, ev ...audit.Event) error
	// Credentials returns the user's second factors, also those that are not confirmed.
	Credentials(ctx context.Context, id identity.UserID) ([]identity.Credential, error)
	// ResetSecondFactors deletes all of them with the backup codes, and ends the user's sessions;
	// with tokens also what was issued in these. It returns fault.NotFound where there are none.
	ResetSecondFactors(ctx context.Context, id identity.UserID, now time.Time, tokens bool, ev ...audit.Event) error
	// UserGrants returns the grants of a user that have not ended.
	UserGrants(ctx context.Context, id identity.UserID, now time.Time) ([]oauth.Grant, error)
}

// ClientStore is what the operations on clients need of storage.
type ClientStore interface {
	// Client returns a shared value that must not be changed, or fault.NotFound.
	Client(ctx context.Context, id client.ID) (*client.Client, error)
	// ListClients returns a page of clients by name, shared, and how many match in all.
	ListClients(ctx context.Context, q ClientQuery) (clients []*client.Client, total int, err error)
	// ClientAlgorithms returns the algorithms that clients have chosen for their tokens.
	ClientAlgorithms(ctx context.Context) ([]string, error)
	// CreateClient stores a new client, or returns fault.Conflict for an id that is in use.
	CreateClient(ctx context.Context, c *client.Client, ev ...audit.Event) error
	// CreateClientOnce stores a new client unless the database has the mark, and sets it. If a
	// client has the id already, nothing is changed.
	CreateClientOnce(ctx context.Context, mark string, c *client.Client, ev ...audit.Event) error
	UpdateClient(ctx context.Context, old, new *client.Client, ev ...audit.Event) error
	// AddSecret stores a further secret. It returns fault.Conflict with ReasonTooManySecrets if the
	// client has maxSecrets active ones.
	AddSecret(ctx context.Context, id client.ID, s client.Secret, maxSecrets int, ev ...audit.Event) error
	// RemoveSecret returns fault.NotFound if the client has no such secret, and with keepOne
	// fault.Conflict with ReasonLastSecret rather than delete the only active one.
	RemoveSecret(ctx context.Context, id client.ID, secretID string, keepOne bool, now time.Time,
		ev ...audit.Event) error
	// RotateSecret stores a new secret. Of the client's secrets the newest stay, as many as
	// keepNewest says; the older ones among these expire at oldExpires.
	RotateSecret(ctx context.Context, id client.ID, s client.Secret, keepNewest int, oldExpires time.Time,
		ev ...audit.Event) error
	DeleteClient(ctx context.Context, id client.ID, now time.Time, ev ...audit.Event) error
	RevokeClientTokens(ctx context.Context, id client.ID, now time.Time, ev ...audit.Event) error
}

// ScopeStore is what the operations on scopes need of storage.
type ScopeStore interface {
	// Scopes returns all scopes by name, shared.
	Scopes() map[string]*oauth.Scope
	// CreateScope stores a new scope, or returns fault.Conflict for a name that is in use.
	CreateScope(ctx context.Context, s *oauth.Scope, ev ...audit.Event) error
	UpdateScope(ctx context.Context, old, new *oauth.Scope, ev ...audit.Event) error
	DeleteScope(ctx context.Context, name string, ev ...audit.Event) error
}

// RoleStore is what the operations on roles need of storage.
type RoleStore interface {
	// RoleDefinitions returns all roles by name, shared.
	RoleDefinitions() map[string]*identity.Role
	// CreateRole stores a new role. It returns fault.Conflict for a name that is in use, and with
	// ReasonHeld for a role with scopes whose name somebody has.
	CreateRole(ctx context.Context, r *identity.Role, ev ...audit.Event) error
	// UpdateRole returns fault.Conflict with ReasonStale for a role that is not in the state of
	// old.
	UpdateRole(ctx context.Context, old, new *identity.Role, ev ...audit.Event) error
	// DeleteRole returns fault.Conflict with ReasonHeld for a role that somebody has.
	DeleteRole(ctx context.Context, name string, ev ...audit.Event) error
}

// RouteStore is what the operations on routes need of storage.
type RouteStore interface {
	// Routes returns the stored routes, shared.
	Routes() []access.Route
	// CreateRoute and UpdateRoute call check with all routes as they will be; its error undoes
	// the change.
	CreateRoute(ctx context.Context, r *access.Route, check func([]access.Route) error, ev ...audit.Event) error
	UpdateRoute(ctx context.Context, old, new *access.Route, check func([]access.Route) error, ev ...audit.Event) error
	DeleteRoute(ctx context.Context, id string, ev ...audit.Event) error
}

// SessionStore is what the operations on sessions need of storage.
type SessionStore interface {
	Session(ctx context.Context, id identity.SessionID, now time.Time) (*identity.Session, error)
	UserSessions(ctx context.Context, id identity.UserID, now time.Time) ([]identity.Session, error)
	// ListSessions returns a page of active sessions, newest first, and how many match in all.
	ListSessions(ctx context.Context, q SessionQuery) (sessions []identity.Session, total int, err error)
	// SessionAddresses returns the different addresses at which active sessions were last seen.
	SessionAddresses(ctx context.Context, now time.Time) ([]string, error)
	// EndSession and EndOtherSessions also revoke the tokens that the sessions gave, if tokens is
	// true.
	EndSession(ctx context.Context, id identity.SessionID, now time.Time, tokens bool, ev ...audit.Event) error
	// EndSessions ends up to q.Limit of the sessions that a query selects, each with its event, and
	// returns how many it has ended.
	EndSessions(ctx context.Context, q SessionQuery, tokens bool, ev func(*identity.Session) audit.Event) (int, error)
	EndOtherSessions(ctx context.Context, u identity.UserID, keep identity.SessionID, now time.Time, tokens bool,
		ev ...audit.Event) error
	// EndUserAccess ends all sessions but one, and all grants of a user.
	EndUserAccess(ctx context.Context, u identity.UserID, now time.Time, except identity.SessionID,
		ev ...audit.Event) error
}

// UserQuery selects users.
type UserQuery struct {
	Search        string // part of a username, email address or name; "" for all
	Limit, Offset int    // default limit 100
}

// ClientQuery selects clients.
type ClientQuery struct {
	Search        string // part of an id or name; "" for all
	Limit, Offset int    // default limit 100
}

// SessionQuery selects sessions.
type SessionQuery struct {
	User          identity.UserID // "" for all
	IPs           []string        // the addresses last seen; none for all
	Before        time.Time       // only those that began before; zero for all
	Now           time.Time
	Limit, Offset int // default limit 100
}

// AuditQuery selects events.
type AuditQuery struct {
	ID           string
	Type         audit.Type
	User, Client string
	RequestID    string
	IP           string
	Since, Until time.Time // Since inclusive, Until exclusive
	Limit        int       // default 100
	Offset       int
	Before       string // id of the last event of the page before this one
}

// Hasher hashes passwords.
type Hasher interface {
	Hash(ctx context.Context, password string) (string, error)
}

// Accounts is what the operations need of the login.
type Accounts interface {
	RestartGrace(ctx context.Context, old, new *identity.User) error
	AssessPassword(ctx context.Context, u *identity.User, password string) (identity.Assessment, error)
	SetPassword(ctx context.Context, v login.Visit, u *identity.User, password string) error
	PasswordLink(ctx context.Context, v login.Visit, u *identity.User) (token string, err error)
	Invite(ctx context.Context, v login.Visit, u *identity.User) (link string, err error)
	SetupLink(ctx context.Context, now time.Time) (token string, err error)
	Unlock(ctx context.Context, v login.Visit, id identity.UserID) error
	LockOf(ctx context.Context, v login.Visit, id identity.UserID) (login.Lock, error)
	NotifyTwoStepOff(ev *audit.Event, u *identity.User)
	MailPasswordLink(ctx context.Context, v login.Visit, u *identity.User) error
	SendVerification(ctx context.Context, v login.Visit, u *identity.User) error
	PasswordEnd(v login.Visit, u *identity.User) login.PasswordEnd
}
