// Package audit defines the events of the audit log: their names, their shape, and the reasons of
// failures. Where events are stored is not its concern.
package audit

import (
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/outbox"
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
	UserDeleted  Type = "USER_DELETED"

	ClientCreated       Type = "CLIENT_CREATED"
	ClientUpdated       Type = "CLIENT_UPDATED"
	ClientDeleted       Type = "CLIENT_DELETED"
	ClientSecretAdded   Type = "CLIENT_SECRET_ADDED"
	ClientSecretRemoved Type = "CLIENT_SECRET_REMOVED"
	ClientSecretRotated Type = "CLIENT_SECRET_ROTATED"
	ClientTokensRevoked Type = "CLIENT_TOKENS_REVOKED_ALL"
	ScopeCreated        Type = "SCOPE_CREATED"
	ScopeUpdated        Type = "SCOPE_UPDATED"
	ScopeDeleted        Type = "SCOPE_DELETED"
	RouteCreated        Type = "ROUTE_CREATED"
	RouteUpdated        Type = "ROUTE_UPDATED"
	RouteDeleted        Type = "ROUTE_DELETED"
	KeyCreated          Type = "KEY_CREATED"
	KeyRotated          Type = "KEY_ROTATED"
	KeyRetired          Type = "KEY_RETIRED"
	DeliveryDead        Type = "DELIVERY_DEAD"
	DeliveryRetried     Type = "DELIVERY_RETRIED"

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
)

// Types returns the types of events, in the order above.
func Types() []Type {
	return slices.Concat(accountTypes(), managementTypes(), protocolTypes())
}

// accountTypes returns the types of events of sign-ins and accounts.
func accountTypes() []Type {
	return []Type{
		LoginSucceeded,
		LoginFailed,
		AccountLocked,
		AccountUnlocked,
		Logout,
		LogoutFailed,
		SessionRevoked,
		PasswordChanged,
		MFAEnabled,
		MFADisabled,
		BackupCodesMade,
		BackupCodeUsed,
		LoginCodeSent,
		SetupCompleted,
		SignInDisowned,
		DataExported,
		DeletionRequested,
		DeletionCancelled,
		AccountErased,
		PictureChanged,
		PasswordExpiryNotice,
		PasskeyAdded,
		PasskeyRemoved,
		PasskeyRenamed,
		PasskeyRolledBack,
		BrowserTrusted,
		BrowserDistrusted,
		RecoveryRequested,
		RecoveryStarted,
		RecoveryRefused,
		RecoveryCompleted,
		SetupLinkMade,
		PasswordLinkMade,
		PasswordResetRequested,
		VerificationSent,
		EmailVerified,
		AddressInUse,
		EmailRequested,
		EmailChanged,
		EmailChangeUndone,
		EmailAdded,
		EmailRemoved,
		UsernameChanged,
		InvitationSent,
		InvitationAccepted,
	}
}

// managementTypes returns the types of events of what administrators manage.
func managementTypes() []Type {
	return []Type{
		UserCreated,
		UserUpdated,
		UserDisabled,
		UserEnabled,
		UserDeleted,
		ClientCreated,
		ClientUpdated,
		ClientDeleted,
		ClientSecretAdded,
		ClientSecretRemoved,
		ClientSecretRotated,
		ClientTokensRevoked,
		ScopeCreated,
		ScopeUpdated,
		ScopeDeleted,
		RouteCreated,
		RouteUpdated,
		RouteDeleted,
		KeyCreated,
		KeyRotated,
		KeyRetired,
		DeliveryDead,
		DeliveryRetried,
	}
}

// protocolTypes returns the types of events of OAuth and of the sessions of browser apps.
func protocolTypes() []Type {
	return []Type{
		ConsentGranted,
		ConsentDenied,
		AuthorizationFailed,
		AuthorizationCodeIssued,
		AuthorizationCodeReplayed,
		AccessTokenIssued,
		ClientCredentialsIssued,
		TokensIssued,
		RefreshTokenUsed,
		RefreshTokenReplayed,
		TokenRevoked,
		GrantRevoked,
		AppSessionStarted,
		AppSessionEnded,
		DeviceCodeRequested,
		DeviceCodeApproved,
		DeviceCodeDenied,
		ClientAuthFailed,
	}
}

// Event is one entry of the audit log. No field ever holds a secret.
type Event struct {
	ID        string // UUIDv7
	At        time.Time
	Type      Type
	Actor     string // who caused it: a user id, a client id, "cli" or "system"
	User      string // the user concerned, or ""
	Client    string // the client concerned, or ""
	Session   string // the session concerned, or ""
	Grant     string // the grant concerned, or ""
	IP        string
	Agent     string
	RequestID string
	Reason    string            // of a failure: one of the Reason constants
	Detail    map[string]string // further facts under short, stable names

	// Deliveries are what must be sent because of the event, such as a notice by mail. They are
	// stored in the transaction of the event, and are not part of the log.
	Deliveries []outbox.Delivery
}
