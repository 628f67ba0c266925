package audit

import (
	"slices"
	"strings"
)

// Type is the name of an event. Names are stable, since alerts depend on them.
type Type string

// The types of events.
const (
	LoginSucceeded  Type = "LOGIN_SUCCEEDED"
	LoginFailed     Type = "LOGIN_FAILED"
	AccountLocked   Type = "ACCOUNT_LOCKED"
	AccountUnlocked Type = "ACCOUNT_UNLOCKED"
	Logout          Type = "LOGOUT"
	LogoutFailed    Type = "LOGOUT_FAILED"
	SessionRevoked  Type = "SESSION_REVOKED"
	PasswordChanged Type = "PASSWORD_CHANGED"
	MFAEnabled      Type = "MFA_ENABLED"
	MFADisabled     Type = "MFA_DISABLED"
	BackupCodesMade Type = "BACKUP_CODES_GENERATED"
	BackupCodeUsed  Type = "BACKUP_CODE_USED"
	LoginCodeSent   Type = "LOGIN_CODE_SENT"
	SetupCompleted  Type = "SETUP_COMPLETED"
	SignInDisowned  Type = "SIGN_IN_DISOWNED"

	DataExported      Type = "ACCOUNT_DATA_EXPORTED"
	DeletionRequested Type = "ACCOUNT_DELETION_REQUESTED"
	DeletionCancelled Type = "ACCOUNT_DELETION_CANCELLED"
	AccountErased     Type = "ACCOUNT_ERASED"
	PictureChanged    Type = "PICTURE_CHANGED"
	// The person was told by mail when the password expires.
	PasswordExpiryNotice Type = "PASSWORD_EXPIRY_NOTICE"

	PasskeyAdded      Type = "PASSKEY_ADDED"
	PasskeyRemoved    Type = "PASSKEY_REMOVED"
	PasskeyRenamed    Type = "PASSKEY_RENAMED"
	PasskeyRolledBack Type = "PASSKEY_COUNTER_ROLLED_BACK"
	BrowserTrusted    Type = "BROWSER_TRUSTED"
	BrowserDistrusted Type = "BROWSER_DISTRUSTED"
	RecoveryRequested Type = "RECOVERY_REQUESTED"
	RecoveryStarted   Type = "RECOVERY_STARTED"
	RecoveryRefused   Type = "RECOVERY_REFUSED"
	RecoveryCompleted Type = "RECOVERY_COMPLETED"

	PasswordResetCompleted Type = "PASSWORD_RESET_COMPLETED"
	PasswordResetFailed    Type = "PASSWORD_RESET_FAILED"
	SessionCreated         Type = "SESSION_CREATED"
	SessionRefreshed       Type = "SESSION_REFRESHED" // of a session with tokens in place of a cookie
	SessionExpired         Type = "SESSION_EXPIRED"
	AdminLogin             Type = "ADMIN_LOGIN"

	// Of sessions in which an administrator acts as another person.
	ImpersonationLinkMade Type = "IMPERSONATION_LINK_CREATED"
	ImpersonationStarted  Type = "IMPERSONATION_STARTED"
	ImpersonationEnded    Type = "IMPERSONATION_ENDED"
	ImpersonationRefused  Type = "IMPERSONATION_REFUSED"

	SetupLinkMade          Type = "SETUP_LINK_CREATED"
	PasswordLinkMade       Type = "PASSWORD_LINK_CREATED"
	PasswordResetRequested Type = "PASSWORD_RESET_REQUESTED"
	VerificationSent       Type = "EMAIL_VERIFICATION_SENT"
	EmailVerified          Type = "EMAIL_VERIFIED"
	AddressInUse           Type = "EMAIL_IN_USE"
	EmailRequested         Type = "EMAIL_CHANGE_REQUESTED"
	EmailChanged           Type = "EMAIL_CHANGED"
	EmailChangeUndone      Type = "EMAIL_CHANGE_UNDONE"
	EmailAdded             Type = "EMAIL_ADDED"
	EmailRemoved           Type = "EMAIL_REMOVED"
	UsernameChanged        Type = "USERNAME_CHANGED"
	InvitationSent         Type = "INVITATION_SENT"
	InvitationAccepted     Type = "INVITATION_ACCEPTED"

	UserCreated  Type = "USER_CREATED"
	UserUpdated  Type = "USER_UPDATED"
	UserDisabled Type = "USER_DISABLED"
	UserEnabled  Type = "USER_ENABLED"
	UserLocked   Type = "USER_LOCKED" // by an administrator
	// UsersExported is the export of accounts.
	UsersExported Type = "USERS_EXPORTED"
	// An administrator has stopped an action on many users.
	BulkActionStopped Type = "USERS_BULK_STOPPED"
	UserDeleted       Type = "USER_DELETED"

	ClientCreated       Type = "CLIENT_CREATED"
	ClientUpdated       Type = "CLIENT_UPDATED"
	ClientDeleted       Type = "CLIENT_DELETED"
	ClientSecretAdded   Type = "CLIENT_SECRET_ADDED"
	ClientSecretRemoved Type = "CLIENT_SECRET_REMOVED"
	ClientSecretRotated Type = "CLIENT_SECRET_ROTATED"
	ClientTokensRevoked Type = "CLIENT_TOKENS_REVOKED_ALL"
	ClientsExported     Type = "CLIENTS_EXPORTED"
	SignInTested        Type = "CLIENT_SIGN_IN_TESTED" // by an administrator, for themselves
	// Of dynamic registration.
	InitialTokenCreated       Type = "INITIAL_TOKEN_CREATED"
	InitialTokenRevoked       Type = "INITIAL_TOKEN_REVOKED"
	RegistrationTokenReplayed Type = "REGISTRATION_TOKEN_REPLAYED"

	ScopeCreated    Type = "SCOPE_CREATED"
	ScopeUpdated    Type = "SCOPE_UPDATED"
	ScopeDeleted    Type = "SCOPE_DELETED"
	RoleCreated     Type = "ROLE_CREATED"
	RoleUpdated     Type = "ROLE_UPDATED"
	RoleDeleted     Type = "ROLE_DELETED"
	RouteCreated    Type = "ROUTE_CREATED"
	RouteUpdated    Type = "ROUTE_UPDATED"
	RouteDeleted    Type = "ROUTE_DELETED"
	KeyCreated      Type = "KEY_CREATED"
	KeyRotated      Type = "KEY_ROTATED"
	KeyRetired      Type = "KEY_RETIRED"
	DeliveryDead    Type = "DELIVERY_DEAD"
	DeliveryRetried Type = "DELIVERY_RETRIED"

	AdminCreated       Type = "ADMIN_CREATED"
	AdminRoleChanged   Type = "ADMIN_ROLE_CHANGED"
	AdminAddressDenied Type = "ADMIN_ADDRESS_DENIED"

	// Of backups.
	BackupRequested Type = "BACKUP_REQUESTED"
	BackupMade      Type = "BACKUP_MADE"
	BackupFailed    Type = "BACKUP_FAILED"
	BackupDeleted   Type = "BACKUP_DELETED" // by the policy of retention
	BackupRestored  Type = "BACKUP_RESTORED"

	ClientSecretExpired Type = "CLIENT_SECRET_EXPIRED"
	SettingsChanged     Type = "SETTINGS_CHANGED"
	ConfigApplied       Type = "CONFIG_APPLIED"

	// Of webhooks, alerts and notices.
	WebhookCreated       Type = "WEBHOOK_CREATED"
	WebhookUpdated       Type = "WEBHOOK_UPDATED"
	WebhookDeleted       Type = "WEBHOOK_DELETED"
	WebhookSecretRotated Type = "WEBHOOK_SECRET_ROTATED"
	WebhookTested        Type = "WEBHOOK_TESTED"
	WebhookEnded         Type = "WEBHOOK_ENDED" // the server switched it off: its target is gone
	ClientSecretExpiring Type = "CLIENT_SECRET_EXPIRING"
	AlertRaised          Type = "ALERT_RAISED" // something that administrators should look at

	// Of the log itself.
	LogViewed    Type = "AUDIT_LOG_VIEWED"
	LogExported  Type = "AUDIT_LOG_EXPORTED"
	LogPruned    Type = "AUDIT_PRUNED"
	EpochStarted Type = "AUDIT_EPOCH_STARTED"

	ConsentGranted            Type = "CONSENT_GRANTED"
	ConsentDenied             Type = "CONSENT_DENIED"
	AuthorizationFailed       Type = "AUTHORIZATION_FAILED"
	AuthorizationCodeIssued   Type = "AUTHORIZATION_CODE_ISSUED"
	AuthorizationCodeReplayed Type = "AUTHORIZATION_CODE_REPLAYED"
	AccessTokenIssued         Type = "ACCESS_TOKEN_ISSUED"
	ClientCredentialsIssued   Type = "CLIENT_CREDENTIALS_TOKEN_ISSUED"
	TokensIssued              Type = "TOKENS_ISSUED"
	RefreshTokenUsed          Type = "REFRESH_TOKEN_USED"
	RefreshTokenReplayed      Type = "REFRESH_TOKEN_REPLAYED"
	TokenRevoked              Type = "TOKEN_REVOKED"
	GrantRevoked              Type = "GRANT_REVOKED"
	AppSessionStarted         Type = "APP_SESSION_STARTED"
	AppSessionEnded           Type = "APP_SESSION_ENDED"
	DeviceCodeRequested       Type = "DEVICE_CODE_REQUESTED"
	DeviceCodeApproved        Type = "DEVICE_CODE_APPROVED"
	DeviceCodeDenied          Type = "DEVICE_CODE_DENIED"
	ClientAuthFailed          Type = "CLIENT_AUTHENTICATION_FAILED"
	RateLimitExceeded         Type = "RATE_LIMIT_EXCEEDED"
	MailRequestsLimited       Type = "MAIL_REQUESTS_LIMITED"
)

// A named is a type with the dotted name that the management API, exports and shipped lines show
// beside it. Several types may share a dotted name.
type named struct {
	typ  Type
	name string
}

// catalogue returns all types with their names, in the order above.
func catalogue() []named {
	return slices.Concat(accountTypes(), linkTypes(), managementTypes(), deliveryTypes(), logTypes(), protocolTypes())
}

// Types returns the types of events, in the order above.
func Types() []Type {
	all := catalogue()
	types := make([]Type, len(all))
	for i, n := range all {
		types[i] = n.typ
	}
	return types
}

// names holds the dotted name of each type. It is read only.
var names = func() map[Type]string {
	m := map[Type]string{}
	for _, n := range catalogue() {
		m[n.typ] = n.name
	}
	return m
}()

// Name returns the dotted name of the type, such as user.login, or "" for a type that is not in the
// catalogue.
func (t Type) Name() string { return names[t] }

// Names returns the dotted names, each once, in alphabetical order.
func Names() []string {
	var all []string
	for _, n := range catalogue() {
		all = append(all, n.name)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Matching returns the types that a text names: a type in capitals or small letters, a dotted name,
// or the beginning of dotted names up to a dot, as in "user.", "user.*" or "user". None: the text
// names nothing.
func Matching(text string) []Type {
	text = strings.TrimSpace(text)
	upper := Type(strings.ToUpper(text))
	if _, ok := names[upper]; ok {
		return []Type{upper}
	}
	name := strings.ToLower(text)
	prefix := strings.TrimSuffix(strings.TrimSuffix(name, "*"), ".") + "."
	var found []Type
	for _, n := range catalogue() {
		if n.name == name || strings.HasPrefix(n.name, prefix) && prefix != "." {
			found = append(found, n.typ)
		}
	}
	return found
}

// accountTypes returns the types of events of sign-ins and accounts.
func accountTypes() []named {
	return []named{
		{LoginSucceeded, "user.login"},
		{LoginFailed, "user.login_failed"},
		{AccountLocked, "user.locked"},
		{AccountUnlocked, "user.unlocked"},
		{Logout, "user.logout"},
		{LogoutFailed, "user.logout_failed"},
		{SessionRevoked, "session.revoked"},
		{PasswordChanged, "password.changed"},
		{MFAEnabled, "mfa.enabled"},
		{MFADisabled, "mfa.disabled"},
		{BackupCodesMade, "mfa.backup_codes_generated"},
		{BackupCodeUsed, "mfa.backup_code_used"},
		{LoginCodeSent, "user.login_code_sent"},
		{SetupCompleted, "setup.completed"},
		{SignInDisowned, "user.login_disowned"},
		{DataExported, "user.data_exported"},
		{DeletionRequested, "user.deletion_requested"},
		{DeletionCancelled, "user.deletion_cancelled"},
		{AccountErased, "user.erased"},
		{PictureChanged, "user.picture_changed"},
		{PasswordExpiryNotice, "password.expiry_notice"},
		{PasskeyAdded, "passkey.added"},
		{PasskeyRemoved, "passkey.removed"},
		{PasskeyRenamed, "passkey.renamed"},
		{PasskeyRolledBack, "passkey.counter_rolled_back"},
		{BrowserTrusted, "browser.trusted"},
		{BrowserDistrusted, "browser.distrusted"},
		{RecoveryRequested, "recovery.requested"},
		{RecoveryStarted, "recovery.started"},
		{RecoveryRefused, "recovery.refused"},
		{RecoveryCompleted, "recovery.completed"},
		{PasswordResetCompleted, "password.reset_completed"},
		{PasswordResetFailed, "password.reset_failed"},
		{SessionCreated, "session.created"},
		{SessionRefreshed, "session.refreshed"},
		{SessionExpired, "session.expired"},
		{AdminLogin, "admin.login"},
		{ImpersonationLinkMade, "user.impersonation_link_created"},
		{ImpersonationStarted, "user.impersonation_started"},
		{ImpersonationEnded, "user.impersonation_ended"},
		{ImpersonationRefused, "user.impersonation_refused"},
	}
}

// linkTypes returns the types of events of links, addresses and invitations.
func linkTypes() []named {
	return []named{
		{SetupLinkMade, "setup.link_created"},
		{PasswordLinkMade, "password.reset_sent"},
		{PasswordResetRequested, "password.reset_requested"},
		{VerificationSent, "email.verification_sent"},
		{EmailVerified, "email.verified"},
		{AddressInUse, "email.in_use"},
		{EmailRequested, "email.change_requested"},
		{EmailChanged, "email.changed"},
		{EmailChangeUndone, "email.change_undone"},
		{EmailAdded, "email.added"},
		{EmailRemoved, "email.removed"},
		{UsernameChanged, "user.username_changed"},
		{InvitationSent, "invitation.sent"},
		{InvitationAccepted, "invitation.accepted"},
	}
}

// managementTypes returns the types of events of what administrators manage.
func managementTypes() []named {
	return []named{
		{UserCreated, "user.created"},
		{UserUpdated, "user.updated"},
		{UserDisabled, "user.disabled"},
		{UserEnabled, "user.enabled"},
		{UserLocked, "user.locked_by_admin"},
		{UsersExported, "users.exported"},
		{BulkActionStopped, "users.bulk_stopped"},
		{UserDeleted, "user.deleted"},
		{ClientCreated, "client.created"},
		{ClientUpdated, "client.updated"},
		{ClientDeleted, "client.deleted"},
		{ClientSecretAdded, "client.secret_added"},
		{ClientSecretRemoved, "client.secret_removed"},
		{ClientSecretRotated, "client.secret_rotated"},
		{ClientTokensRevoked, "client.tokens_revoked_all"},
		{ClientsExported, "clients.exported"},
		{SignInTested, "client.sign_in_tested"},
		{InitialTokenCreated, "registration.token_created"},
		{InitialTokenRevoked, "registration.token_revoked"},
		{RegistrationTokenReplayed, "registration.token_replayed"},
		{ScopeCreated, "scope.created"},
		{ScopeUpdated, "scope.updated"},
		{ScopeDeleted, "scope.deleted"},
		{RoleCreated, "role.created"},
		{RoleUpdated, "role.updated"},
		{RoleDeleted, "role.deleted"},
		{RouteCreated, "route.created"},
		{RouteUpdated, "route.updated"},
		{RouteDeleted, "route.deleted"},
		{KeyCreated, "key.created"},
		{KeyRotated, "key.rotated"},
		{KeyRetired, "key.retired"},
		{DeliveryDead, "delivery.dead"},
		{DeliveryRetried, "delivery.retried"},
		{AdminCreated, "admin.created"},
		{AdminRoleChanged, "admin.role_changed"},
		{AdminAddressDenied, "admin.address_denied"},
		{BackupRequested, "backup.requested"},
		{BackupMade, "backup.made"},
		{BackupFailed, "backup.failed"},
		{BackupDeleted, "backup.deleted"},
		{BackupRestored, "backup.restored"},
		{ClientSecretExpired, "client.secret_expired"},
		{SettingsChanged, "settings.changed"},
		{ConfigApplied, "config.applied"},
	}
}

// deliveryTypes returns the types of events of webhooks, alerts and notices.
func deliveryTypes() []named {
	return []named{
		{WebhookCreated, "webhook.created"},
		{WebhookUpdated, "webhook.updated"},
		{WebhookDeleted, "webhook.deleted"},
		{WebhookSecretRotated, "webhook.secret_rotated"},
		{WebhookTested, "webhook.tested"},
		{WebhookEnded, "webhook.ended"},
		{ClientSecretExpiring, "client.secret_expiring"},
		{AlertRaised, "alert.raised"},
	}
}

// logTypes returns the types of events of the log itself.
func logTypes() []named {
	return []named{
		{LogViewed, "audit.viewed"},
		{LogExported, "audit.exported"},
		{LogPruned, "audit.pruned"},
		{EpochStarted, "audit.epoch_started"},
	}
}

// protocolTypes returns the types of events of OAuth, of browser apps' sessions, and of callers.
func protocolTypes() []named {
	return []named{
		{ConsentGranted, "authorization.granted"},
		{ConsentDenied, "authorization.denied"},
		{AuthorizationFailed, "authorization.failed"},
		{AuthorizationCodeIssued, "authorization.code_issued"},
		{AuthorizationCodeReplayed, "authorization.code_replayed"},
		{AccessTokenIssued, "token.issued"},
		{ClientCredentialsIssued, "token.issued"},
		{TokensIssued, "token.issued"},
		{RefreshTokenUsed, "token.refreshed"},
		{RefreshTokenReplayed, "token.replayed"},
		{TokenRevoked, "token.revoked"},
		{GrantRevoked, "authorization.revoked"},
		{AppSessionStarted, "app_session.created"},
		{AppSessionEnded, "app_session.ended"},
		{DeviceCodeRequested, "device.code_requested"},
		{DeviceCodeApproved, "device.code_approved"},
		{DeviceCodeDenied, "device.code_denied"},
		{ClientAuthFailed, "client.authentication_failed"},
		{RateLimitExceeded, "rate_limit.exceeded"},
		{MailRequestsLimited, "rate_limit.mail_requests"},
	}
}
