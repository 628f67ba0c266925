package cli

import (
	"context"
	"io"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/backup"
	"github.com/gatehouse-id/gatehouse/internal/cli/remote"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/doctor"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/plan"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

// operations are the operations of administrators that commands call: on the database of this
// machine, or on a server elsewhere.
type operations interface {
	userOperations
	accessOperations
	clientOperations
	auditOperations
	serverOperations
	configOperations
}

// configOperations are about configuration as code.
type configOperations interface {
	ApplyConfig(ctx context.Context, a admin.Actor, in admin.ConfigInput) (*admin.AppliedConfig, error)
	ExportConfig(ctx context.Context, a admin.Actor, q admin.ConfigExport) ([]byte, error)
	PlanConfig(ctx context.Context, a admin.Actor, in admin.ConfigInput) (*plan.Plan, error)
}

var (
	_ operations = (*admin.Operations)(nil)
	_ operations = (*remote.Server)(nil)
)

// userOperations are about people.
type userOperations interface {
	BulkAction(ctx context.Context, a admin.Actor, id string) (*admin.BulkJob, error)
	BulkUsers(ctx context.Context, a admin.Actor, in admin.BulkRequest) (*admin.BulkJob, error)
	CreatePasswordLink(ctx context.Context, a admin.Actor, ref string) (*admin.CreatedUser, error)
	CreateUser(ctx context.Context, a admin.Actor, in admin.NewUser) (*admin.CreatedUser, error)
	DeleteUser(ctx context.Context, a admin.Actor, ref string, version int64) (*identity.User, error)
	DisableUser(ctx context.Context, a admin.Actor, ref string) (*identity.User, error)
	EnableUser(ctx context.Context, a admin.Actor, ref string) (*identity.User, error)
	ExportUsers(
		ctx context.Context, a admin.Actor, in admin.ExportOptions, w io.Writer,
	) (n int, err error)
	ImportClients(
		ctx context.Context, a admin.Actor, in admin.ClientImport, open func() (io.Reader, error),
		report func(admin.ClientResult) error,
	) (admin.ImportSummary, error)
	ImpersonateUser(
		ctx context.Context, a admin.Actor, ref, reason string,
	) (*admin.ImpersonationLink, error)
	ImportUsers(
		ctx context.Context, a admin.Actor, in admin.ImportOptions, open func() (io.Reader, error), report func(admin.LineResult) error,
	) (admin.ImportSummary, error)
	InviteUser(ctx context.Context, a admin.Actor, in admin.NewUser) (*admin.CreatedUser, error)
	LockUser(ctx context.Context, a admin.Actor, ref, reason string) (*identity.User, error)
	Locks(
		ctx context.Context, a admin.Actor, ids []identity.UserID,
	) (map[identity.UserID]time.Time, error)
	PasswordStatus(ctx context.Context, a admin.Actor, ref string) (*admin.PasswordStatus, error)
	RemoveFactor(ctx context.Context, a admin.Actor, ref string, id identity.CredentialID) error
	ResetTwoStep(ctx context.Context, a admin.Actor, ref string) (*identity.User, error)
	RevokeUserAuthorizations(ctx context.Context, a admin.Actor, user, ref string) (int, error)
	RevokeUserTokens(ctx context.Context, a admin.Actor, ref string) (*identity.User, error)
	SendPasswordReset(ctx context.Context, a admin.Actor, ref string) (*identity.User, error)
	SendVerification(ctx context.Context, a admin.Actor, ref string) (*identity.User, error)
	SetPassword(ctx context.Context, a admin.Actor, ref, password string) (*identity.User, error)
	StopBulkAction(ctx context.Context, a admin.Actor, id string) (*admin.BulkJob, error)
	StopRecovery(ctx context.Context, a admin.Actor, ref string) (*identity.User, error)
	UnlockUser(ctx context.Context, a admin.Actor, ref string) (*identity.User, error)
	UpdateUser(
		ctx context.Context, a admin.Actor, ref string, in admin.UserUpdate,
	) (*admin.UpdatedUser, error)
	User(ctx context.Context, a admin.Actor, ref string) (*identity.User, error)
	UserAuthorizations(ctx context.Context, a admin.Actor, ref string) ([]admin.Authorization, error)
	UserDetail(ctx context.Context, a admin.Actor, ref string) (*admin.UserDetail, error)
	UserFactors(ctx context.Context, a admin.Actor, ref string) ([]identity.Credential, error)
	UserNames(
		ctx context.Context, a admin.Actor, ids []identity.UserID,
	) (map[identity.UserID]string, error)
	Users(ctx context.Context, a admin.Actor, q admin.UserQuery) (*admin.List[identity.User], error)
}

// accessOperations are about roles, scopes, routes and what they deny.
type accessOperations interface {
	CanDeleteRole(_ context.Context, a admin.Actor, ref string) error
	CanDeleteScope(_ context.Context, a admin.Actor, name string) error
	CreateRole(
		ctx context.Context, a admin.Actor, name string, p admin.RolePatch,
	) (*identity.Role, error)
	CreateRoute(ctx context.Context, a admin.Actor, p admin.RoutePatch) (*admin.Route, error)
	CreateScope(
		ctx context.Context, a admin.Actor, name string, p admin.ScopePatch,
	) (*oauth.Scope, error)
	DeleteRole(ctx context.Context, a admin.Actor, ref string, version int64) (*identity.Role, error)
	DeleteRoute(ctx context.Context, a admin.Actor, ref string, version int64) (*admin.Route, error)
	DeleteScope(ctx context.Context, a admin.Actor, name string, version int64) (*oauth.Scope, error)
	Denials(ctx context.Context, a admin.Actor, q admin.DenialQuery) (*admin.List[access.DenialRecord], error)
	Explain(ctx context.Context, a admin.Actor, requestID string) (*admin.Explanation, error)
	ListRoles(_ context.Context, a admin.Actor) ([]identity.Role, error)
	Role(_ context.Context, a admin.Actor, ref string) (*identity.Role, error)
	Route(_ context.Context, a admin.Actor, ref string) (*admin.Route, error)
	Routes(_ context.Context, a admin.Actor, q admin.RouteQuery) ([]*admin.Route, int, error)
	Scope(_ context.Context, a admin.Actor, name string) (*oauth.Scope, error)
	Scopes(_ context.Context, a admin.Actor) ([]oauth.Scope, error)
	StoredRoute(_ context.Context, a admin.Actor, ref string) (*admin.Route, error)
	UpdateRole(
		ctx context.Context, a admin.Actor, ref string, p admin.RolePatch,
	) (*identity.Role, error)
	UpdateRoute(
		ctx context.Context, a admin.Actor, ref string, p admin.RoutePatch,
	) (*admin.Route, error)
	UpdateScope(
		ctx context.Context, a admin.Actor, name string, p admin.ScopePatch,
	) (*oauth.Scope, error)
}

// clientOperations are about applications and how they register.
type clientOperations interface {
	AddSecret(
		ctx context.Context, a admin.Actor, ref string, ttl time.Duration,
	) (*admin.AddedSecret, error)
	Client(ctx context.Context, a admin.Actor, ref string) (*client.Client, error)
	Clients(
		ctx context.Context, a admin.Actor, q admin.ClientQuery,
	) (*admin.List[*client.Client], error)
	CreateClient(
		ctx context.Context, a admin.Actor, in admin.NewClient,
	) (*admin.ChangedClient, error)
	CreateInitialToken(
		ctx context.Context, a admin.Actor, in admin.NewInitialToken,
	) (*admin.InitialToken, string, error)
	ClientGrants(ctx context.Context, a admin.Actor, ref, user string) (*admin.ClientGrants, error)
	ExportClients(ctx context.Context, a admin.Actor, in admin.ClientExport, w io.Writer) (int, error)
	DeleteClients(ctx context.Context, a admin.Actor, ids []client.ID) (*admin.DeletedClients, error)
	RevokeClientGrant(ctx context.Context, a admin.Actor, ref string, id oauth.GrantID) error
	DeleteClient(
		ctx context.Context, a admin.Actor, ref string, version int64,
	) (*client.Client, error)
	ListInitialTokens(
		ctx context.Context, a admin.Actor, limit, offset int,
	) ([]admin.InitialToken, int, error)
	RemoveOldSecrets(ctx context.Context, a admin.Actor, ref string) (int, error)
	RemoveSecret(
		ctx context.Context, a admin.Actor, ref, secretID string, force bool,
	) (*admin.ChangedClient, error)
	RevokeClientTokens(ctx context.Context, a admin.Actor, ref string) (*client.Client, error)
	RevokeInitialToken(ctx context.Context, a admin.Actor, id string) error
	RotateSecret(
		ctx context.Context, a admin.Actor, ref string, grace time.Duration,
	) (*admin.ChangedClient, error)
	UpdateClient(
		ctx context.Context, a admin.Actor, ref string, p admin.ClientPatch,
	) (*admin.ChangedClient, error)
}

// auditOperations are about the audit log.
type auditOperations interface {
	AuditCheckpoint(ctx context.Context, a admin.Actor) (*admin.AuditState, error)
	AuditGaps(ctx context.Context, a admin.Actor, q admin.GapQuery) ([]audit.Gap, error)
	AuditSinks(ctx context.Context, a admin.Actor) ([]audit.Sink, error)
	CleanupAudit(ctx context.Context, a admin.Actor) (int64, error)
	Event(ctx context.Context, a admin.Actor, id string) (*admin.EventPage, error)
	Events(ctx context.Context, a admin.Actor, q admin.AuditQuery) (*admin.EventPage, error)
	ExportEvents(
		ctx context.Context, a admin.Actor, q admin.AuditQuery, write func(*audit.Event) error,
	) error
	ExportProofs(ctx context.Context, a admin.Actor, in admin.ProofsInput, w io.Writer) error
	ProveEvent(ctx context.Context, a admin.Actor, id string) (*admin.AuditProof, error)
	VerifyAudit(
		ctx context.Context, a admin.Actor, in admin.VerifyInput,
	) (*admin.Verification, error)
}

// serverOperations are about sessions, keys, mail and webhooks.
type serverOperations interface {
	Examine(ctx context.Context, a admin.Actor) (*doctor.Report, error)
	CreateWebhook(ctx context.Context, a admin.Actor, p webhook.Patch) (*admin.CreatedWebhook, error)
	DeleteWebhook(
		ctx context.Context, a admin.Actor, ref string, ifVersion int64,
	) (*webhook.Webhook, error)
	Keys(_ context.Context, a admin.Actor) ([]jose.StoredKey, error)
	ListWebhooks(ctx context.Context, a admin.Actor) ([]webhook.Webhook, error)
	Mail(
		ctx context.Context, a admin.Actor, q admin.DeliveryQuery,
	) (*admin.List[outbox.Delivery], error)
	Overview(ctx context.Context, a admin.Actor, period string) (*admin.Overview, error)
	ResendDelivery(
		ctx context.Context, a admin.Actor, ref, delivery string,
	) (*webhook.Delivery, error)
	RetirableKey(ctx context.Context, a admin.Actor, id string) (admin.KeyUse, error)
	RetireKey(ctx context.Context, a admin.Actor, id string) (jose.StoredKey, error)
	RetryMail(ctx context.Context, a admin.Actor, id outbox.ID) (*outbox.Delivery, error)
	RevokeSession(
		ctx context.Context, a admin.Actor, id identity.SessionID,
	) (*identity.Session, error)
	RevokeSessions(ctx context.Context, a admin.Actor, sel admin.SessionSelection) (int, error)
	RevokeUserAccess(ctx context.Context, a admin.Actor, user string) (*admin.EndedAccess, error)
	RevokeUserSessions(ctx context.Context, a admin.Actor, user string) (*admin.EndedAccess, error)
	RotateKey(ctx context.Context, a admin.Actor, in admin.KeyRotation) (*admin.RotatedKey, error)
	RotateWebhookSecret(
		ctx context.Context, a admin.Actor, ref string, overlap time.Duration,
	) (*admin.CreatedWebhook, error)
	Session(ctx context.Context, a admin.Actor, id identity.SessionID) (*identity.Session, error)
	SessionMetrics(ctx context.Context, a admin.Actor, all bool) (admin.SessionMetrics, error)
	Sessions(
		ctx context.Context, a admin.Actor, user string, sel admin.SessionSelection, p admin.Page,
	) (*admin.List[identity.Session], error)
	Settings(ctx context.Context, a admin.Actor) ([]admin.Setting, error)
	SetupLink(ctx context.Context, a admin.Actor) (string, error)
	BackupFiles(ctx context.Context, a admin.Actor, place string) ([]backup.File, error)
	Backups(ctx context.Context, a admin.Actor) (*admin.BackupOverview, error)
	WriteBackup(ctx context.Context, a admin.Actor, in admin.BackupInput) (*admin.Backup, error)
	TestMail(ctx context.Context, a admin.Actor, in admin.MailTest) error
	TestWebhook(ctx context.Context, a admin.Actor, ref string) (*webhook.Delivery, error)
	UpdateWebhook(
		ctx context.Context, a admin.Actor, ref string, p webhook.Patch, ifVersion int64,
	) (*webhook.Webhook, error)
	Webhook(ctx context.Context, a admin.Actor, ref string) (*webhook.Webhook, error)
	WebhookDeliveries(
		ctx context.Context, a admin.Actor, ref string, q webhook.Query,
	) ([]webhook.Delivery, int, error)
}
