package admin

import (
	"context"
	"net/netip"
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
	ReasonVersion           = "version"            // the thing has another version than the change expects
	ReasonTooManySecrets    = "too_many_secrets"   // the client has as many active secrets as it may have
	ReasonLastSecret        = "last_secret"        // the change would leave the client no active secret
)

// Store is what the operations need of storage. Every change commits together with its events,
// and an update writes only the fields in which the new value differs from the old one.
type Store interface {
	UserStore
	ClientStore
	ClientGrantStore
	ScopeStore
	RoleStore
	RouteStore
	SessionStore
	DeliveryStore
	BulkStore
	IdempotencyStore
	AccessStore
	WebhookStore
	OverviewStore
	RegistrationStore
	AuditTreeStore
	BackupStore
	ConfigStore

	// RotateKeys stores a new key and sets the end of others that have none.
	RotateKeys(ctx context.Context, k jose.StoredKey, retire []string, retiredAt, expiresAt time.Time,
		ev ...audit.Event) error
	// RetireKeys sets an end of keys earlier than the one they have.
	RetireKeys(ctx context.Context, ids []string, retiredAt, expiresAt time.Time, ev ...audit.Event) error

	// Decide calls a guard outside of a change, to learn whether a change could be made now.
	Decide(ctx context.Context, g audit.Guard) error
	// Record stores events that belong to no change.
	Record(ctx context.Context, ev ...audit.Event) error
	// ListAudit returns events, newest first.
	ListAudit(ctx context.Context, q AuditQuery) ([]audit.Event, error)
	// SearchAudit returns a page of events, newest first.
	SearchAudit(ctx context.Context, q AuditQuery, p Page, after *Position) (Rows[audit.Event], error)
	// PruneAudit removes the events from before a time that every sink has, and returns how many.
	PruneAudit(ctx context.Context, before, now time.Time, actor string) (int64, error)
	// Denial returns why the gateway denied a request, or fault.NotFound.
	Denial(ctx context.Context, requestID string) (*access.DenialRecord, error)
	Denials(ctx context.Context, q DenialQuery, p Page, after *Position) (Rows[access.DenialRecord], error)
}

// IdempotencyStore is what requests with an Idempotency-Key need of storage.
type IdempotencyStore interface {
	// BeginIdempotent stores that a request has begun and returns nil, or returns what is known of
	// it.
	BeginIdempotent(ctx context.Context, key, body string, now, expires time.Time) (*IdempotentRecord, error)
	// FinishIdempotent stores the answer, DropIdempotent forgets a request without one.
	FinishIdempotent(ctx context.Context, key string, status int, resource, sealed string) error
	DropIdempotent(ctx context.Context, key string) error
}

// BulkStore is what actions on many users need of storage.
type BulkStore interface {
	// CreateBulkAction stores a job, whose users each adds in parts, and sets its total and state.
	CreateBulkAction(ctx context.Context, b *BulkJob, each func(add func(ids []string) error) error) error
	// BulkAction returns a job, or fault.NotFound.
	BulkAction(ctx context.Context, id string) (*BulkJob, error)
	RunningBulkActions(ctx context.Context) ([]BulkJob, error)
	// StopBulkAction returns fault.Conflict for a job that has ended.
	StopBulkAction(ctx context.Context, id string, now time.Time, ev ...audit.Event) error
	// NextBulkUsers returns users that a running job has yet to come to.
	NextBulkUsers(ctx context.Context, id string, limit int) ([]BulkItem, error)
	FinishBulkUsers(ctx context.Context, id string, items []BulkItem, now time.Time) error
	EndBulkAction(ctx context.Context, id string, now time.Time) error
	RefusedBulkUsers(ctx context.Context, id string, limit int) ([]BulkItem, error)
}

// DeliveryStore is what the operations on deliveries need of storage.
type DeliveryStore interface {
	// PageDeliveries returns the page of deliveries, newest first and without their contents, that
	// follows a position, nil for the first.
	PageDeliveries(ctx context.Context, q DeliveryQuery, after *Position) (Rows[outbox.Delivery], error)
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
	// UsersByID returns the users with ids, in any order. Those that are not there are missing.
	UsersByID(ctx context.Context, ids []identity.UserID) ([]identity.User, error)
	// ListUsers returns the page of users that follows a position, nil for the first.
	ListUsers(ctx context.Context, q UserQuery, after *Position) (Rows[identity.User], error)
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
	// KnownUsers returns which users of an import are here already.
	KnownUsers(ctx context.Context, users []*identity.User, now time.Time) (*KnownUsers, error)
	// ImportUsers stores new users, all or none, or returns fault.Conflict for a name that is in
	// use.
	ImportUsers(ctx context.Context, users []*identity.User, ev []audit.Event) error
	// ExportUsers calls f with the users that a query selects, page by page.
	ExportUsers(ctx context.Context, q UserQuery, f func(*identity.User) error) error
	// UpdateUserAt and the other methods in …At return fault.Stale unless the thing has the
	// version; 0 is any.
	UpdateUserAt(ctx context.Context, version int64, old, new *identity.User, ev ...audit.Event) error
	// Roles returns up to limit different roles that users have.
	Roles(ctx context.Context, limit int) ([]string, error)
	// SetUserDisabled and DeleteUserAt end everything the user has open. They return fault.Conflict
	// with ReasonLastAdministrator rather than leave the server without an active administrator.
	SetUserDisabled(ctx context.Context, id identity.UserID, disabled bool, now time.Time, ev ...audit.Event) error
	// SetUserLocked locks an account, or ends the lock if the time is zero. Locking does what
	// disabling does.
	SetUserLocked(ctx context.Context, id identity.UserID, at time.Time, reason string, now time.Time,
		ev ...audit.Event) error
	DeleteUserAt(ctx context.Context, version int64, id identity.UserID, now time.Time, ev ...audit.Event) error
	// Credentials returns the user's second factors, also those that are not confirmed.
	Credentials(ctx context.Context, id identity.UserID) ([]identity.Credential, error)
	// UserEmails returns the proved addresses of a user beside the one of the account.
	UserEmails(ctx context.Context, id identity.UserID) ([]identity.OtherEmail, error)
	// ResetSecondFactors deletes all of them with the backup codes, and ends the user's sessions;
	// with tokens also what was issued in these. It returns fault.NotFound where there are none.
	ResetSecondFactors(ctx context.Context, id identity.UserID, now time.Time, tokens bool, ev ...audit.Event) error
	// Recovery returns the request of a user about a lost second step or lost passkeys that has not
	// expired, or NotFound.
	Recovery(ctx context.Context, id identity.UserID, now time.Time) (*login.Recovery, error)
	// EndUserRecovery ends that request, or NotFound.
	EndUserRecovery(ctx context.Context, id identity.UserID, now time.Time, ev ...audit.Event) error
	// UserGrants returns the grants of a user that have not ended.
	UserGrants(ctx context.Context, id identity.UserID, now time.Time) ([]oauth.Grant, error)
}

// ClientStore is what the operations on clients need of storage.
type ClientStore interface {
	// Client returns a shared value that must not be changed, or fault.NotFound.
	Client(ctx context.Context, id client.ID) (*client.Client, error)
	// ListClients returns the page of clients, shared, that follows a position, nil for the first.
	ListClients(ctx context.Context, q ClientQuery, after *Position) (Rows[*client.Client], error)
	// Clients returns all clients, shared.
	Clients() map[client.ID]*client.Client
	// ClientAlgorithms returns the algorithms that clients have chosen for their tokens.
	ClientAlgorithms(ctx context.Context) ([]string, error)
	// CreateClient stores a new client, or returns fault.Conflict for an id that is in use.
	CreateClient(ctx context.Context, c *client.Client, ev ...audit.Event) error
	// CreateClientOnce stores a new client unless the database has the mark, and sets it. If a
	// client has the id already, nothing is changed.
	CreateClientOnce(ctx context.Context, mark string, c *client.Client, ev ...audit.Event) error
	UpdateClientAt(ctx context.Context, version int64, old, new *client.Client, ev ...audit.Event) error
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
	DeleteClientAt(ctx context.Context, version int64, id client.ID, now time.Time, ev ...audit.Event) error
	RevokeClientTokens(ctx context.Context, id client.ID, now time.Time, ev ...audit.Event) error
}

// ScopeStore is what the operations on scopes need of storage.
type ScopeStore interface {
	// Scopes returns all scopes by name, shared.
	Scopes() map[string]*oauth.Scope
	// CreateScope stores a new scope, or returns fault.Conflict for a name that is in use.
	CreateScope(ctx context.Context, s *oauth.Scope, ev ...audit.Event) error
	UpdateScopeAt(ctx context.Context, version int64, old, new *oauth.Scope, ev ...audit.Event) error
	// ScopeUse returns up to limit clients, roles and scopes each that name a scope, but no routes.
	ScopeUse(ctx context.Context, name string, limit int) (*ScopeUse, error)
	DeleteScopeAt(ctx context.Context, version int64, name string, ev ...audit.Event) error
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
	DeleteRoleAt(ctx context.Context, version int64, name string, ev ...audit.Event) error
	// RoleUse returns how many people have a role, up to MaxTotal and one more, and up to limit
	// clients and scopes each that name it, without routes.
	RoleUse(ctx context.Context, name string, limit int) (*RoleUse, error)
}

// RouteStore is what the operations on routes need of storage.
type RouteStore interface {
	// Routes returns the stored routes, shared.
	Routes() []access.Route
	// CreateRoute and UpdateRouteAt call check with all routes as they will be; its error undoes
	// the change.
	CreateRoute(ctx context.Context, r *access.Route, check func([]access.Route) error, ev ...audit.Event) error
	UpdateRouteAt(ctx context.Context, version int64, old, new *access.Route, check func([]access.Route) error,
		ev ...audit.Event) error
	DeleteRouteAt(ctx context.Context, version int64, id string, ev ...audit.Event) error
}

// SessionStore is what the operations on sessions need of storage.
type SessionStore interface {
	Session(ctx context.Context, id identity.SessionID, now time.Time) (*identity.Session, error)
	UserSessions(ctx context.Context, id identity.UserID, now time.Time) ([]identity.Session, error)
	// ListSessions returns the page of active sessions that follows a position, nil for the first.
	ListSessions(ctx context.Context, q SessionQuery, after *Position) (Rows[identity.Session], error)
	// SessionAddresses returns up to limit different addresses at which sessions were last seen:
	// those from one text up to, but not including, another.
	SessionAddresses(ctx context.Context, from, until string, limit int) ([]string, error)
	// EndSession and EndOtherSessions also revoke the tokens that the sessions gave, if tokens is
	// true.
	EndSession(ctx context.Context, id identity.SessionID, now time.Time, tokens bool, ev ...audit.Event) error
	// EndSessions ends up to q.Limit of the sessions that a query selects, each with its event, if
	// the guard allows it, and returns how many it has ended.
	EndSessions(ctx context.Context, q SessionQuery, tokens bool, guard audit.Guard,
		ev func(*identity.Session) audit.Event) (int, error)
	EndOtherSessions(ctx context.Context, u identity.UserID, keep identity.SessionID, now time.Time, tokens bool,
		ev ...audit.Event) error
	// EndUserAccess ends all sessions but one, and all grants of a user.
	EndUserAccess(ctx context.Context, u identity.UserID, now time.Time, except identity.SessionID,
		ev ...audit.Event) error
}

// States of accounts that a query selects.
const (
	UserActive   = "active" // neither locked nor disabled
	UserLocked   = "locked" // by an administrator, or after failed attempts to sign in
	UserDisabled = "disabled"
)

// UserQuery selects users.
type UserQuery struct {
	// Search has the beginnings of words of the user name, the email address or the name, or the
	// beginning of an address or an id; "" for all.
	Search    string
	Status    string // one of the User… states, or "" for all
	Role      string // "" for all
	Verified  *bool  // whether the email address is; nil for all
	Created   TimeRange
	LastLogin TimeRange
	Sort      Sort // by OrderCreated, OrderName or OrderLastLogin

	Now  time.Time `json:"-"`
	Page Page      `json:"-"`
}

// ClientQuery selects clients.
type ClientQuery struct {
	Search string // beginnings of words of the name or the id; "" for all
	Type   string // ClientPublic, ClientConfidential, or "" for both
	// SecretExpiresBefore selects clients with a secret that expires before a time; zero for all.
	SecretExpiresBefore time.Time
	Sort                Sort // by OrderName or OrderCreated

	Page Page `json:"-"`
}

// Types of clients.
const (
	ClientPublic       = "public"
	ClientConfidential = "confidential"
)

// SessionQuery selects sessions. They are sorted by their beginning.
type SessionQuery struct {
	User   identity.UserID // "" for all
	IPs    []string        // the addresses last seen; none for all
	Before time.Time       `json:"-"` // only those that began before; zero for all

	ExceptRoles []string `json:"-"` // not of people who have one of these roles

	Now  time.Time `json:"-"`
	Page Page      `json:"-"`
}

// DeliveryQuery selects deliveries.
type DeliveryQuery struct {
	Kind  outbox.Kind  // "" for all
	State outbox.State // "" for all
	To    string       // "" for all

	Page Page `json:"-"`
}

// AuditQuery selects events.
type AuditQuery struct {
	ID           string
	Event        string       // what audit.Matching reads: a type, a dotted name, or its beginning; several with commas
	Type         audit.Type   // the same as one of Types
	Types        []audit.Type // none for all
	Actor        string       // who caused it: an id, or the address or name of a user
	User, Client string
	TargetType   string
	TargetID     string
	Session      string
	Grant        string
	RequestID    string
	Failed       string // id of a request: only its failures, which are found at once
	Reason       string
	Failures     bool         // only events with a reason, which are failures and denials
	IP           string       // an address, or a network as in 192.0.2.0/24
	Network      netip.Prefix // of IP, if that is a network
	Text         string       // part of any text of the event, whatever the case
	Since, Until time.Time    // Since inclusive, Until exclusive

	Limit  int    // default 100
	Offset int    // of ListAudit and Events
	Cursor string // of Events: Next of the page before
	Exact  bool   // of Events: count all
	Before string // of ListAudit: id of the last event of the page before
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
	NotifyAddress(ctx context.Context, ev *audit.Event, u *identity.User, email string) error
	MailPasswordLink(ctx context.Context, v login.Visit, u *identity.User) error
	SendVerification(ctx context.Context, v login.Visit, u *identity.User) error
	PasswordEnd(v login.Visit, u *identity.User) login.PasswordEnd
	NewImpersonation(ctx context.Context, v login.Visit, i login.Impersonation) (
		link string, expires time.Time, err error)
}
