package login

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Store is what signing in needs of storage. Errors carry a fault kind. Events are written in the
// transaction of the change.
type Store interface {
	UserStore
	CredentialStore
	LockStore
	SessionStore
	LinkStore
	EmailCodeStore
	TokenSessionStore
	PasskeyStore
	DeletionStore
	TrustStore
	RecoveryStore
	ConfirmationStore
	ImpersonationStore

	// Queue stores deliveries that belong to no change.
	Queue(ctx context.Context, all ...outbox.Delivery) error
	// Record writes audit events, and what must be delivered because of them.
	Record(ctx context.Context, ev ...audit.Event) error
}

// UserStore holds users and their passwords.
type UserStore interface {
	// UserByLogin returns the user of a username or email address in the form of
	// identity.LoginKey, or NotFound.
	UserByLogin(ctx context.Context, key string) (*identity.User, error)
	// User returns a user, or NotFound.
	User(ctx context.Context, id identity.UserID) (*identity.User, error)
	// SetPassword replaces the password hash, clears MustChange, and keeps the old hash in the
	// history (the newest `keep` of them), in one transaction.
	SetPassword(ctx context.Context, id identity.UserID, hash string, keep int, now time.Time,
		ev ...audit.Event) error
	// RehashPassword replaces the hash only while it still is old; no history, no event.
	RehashPassword(ctx context.Context, id identity.UserID, old, hash string) error
	// PasswordHistory returns the newest n former hashes.
	PasswordHistory(ctx context.Context, id identity.UserID, n int) ([]string, error)
	// MFARequiredSince returns from when an account needs a second factor; zero if it is not
	// stored.
	MFARequiredSince(ctx context.Context, id identity.UserID) (time.Time, error)
	// SetMFARequiredSince stores from when an account needs a second factor, unless a time is
	// stored. The zero time deletes it.
	SetMFARequiredSince(ctx context.Context, id identity.UserID, since time.Time) error
	// AskSecond reports whether a user wishes to be asked for the second step after the password,
	// also where that is a passkey.
	AskSecond(ctx context.Context, id identity.UserID) (bool, error)
	// SetAskSecond stores that wish. All trusted browsers end.
	SetAskSecond(ctx context.Context, id identity.UserID, ask bool, now time.Time,
		ev ...audit.Event) error
	// OldPasswords returns up to limit active users with an email address, after an id, whose
	// passwords were set at a time or before, and who were not told yet that they end.
	OldPasswords(ctx context.Context, after identity.UserID, before time.Time,
		limit int) ([]identity.User, error)
	// MarkExpiryNotice takes note that a user was told of the end of the password that was set at a
	// time, once: Consumed if that was done, or the password is another one.
	MarkExpiryNotice(ctx context.Context, id identity.UserID, set time.Time, ev ...audit.Event) error
}

// CredentialStore holds second factors and backup codes.
type CredentialStore interface {
	// Credentials returns a user's credentials of all kinds, oldest first.
	Credentials(ctx context.Context, id identity.UserID) ([]identity.Credential, error)
	// PutCredential adds a credential.
	PutCredential(ctx context.Context, c *identity.Credential, ev ...audit.Event) error
	// ConfirmCredential marks a credential confirmed and sets its Counter, once: Consumed if it is
	// confirmed already.
	ConfirmCredential(ctx context.Context, id identity.CredentialID, counter int64, now time.Time,
		ev ...audit.Event) error
	// AdvanceCredential moves Counter forward: Consumed if counter is not greater than the stored
	// one, NotFound if the credential was removed.
	AdvanceCredential(ctx context.Context, id identity.CredentialID, counter int64,
		now time.Time) error
	// DeleteCredentials deletes a user's credentials of a kind, and with the last one the backup
	// codes.
	DeleteCredentials(ctx context.Context, id identity.UserID, kind string, ev ...audit.Event) error
	// DeleteUnconfirmed deletes a user's credentials of a kind that were never confirmed.
	DeleteUnconfirmed(ctx context.Context, id identity.UserID, kind string) error

	// PutBackupCodes replaces a user's backup codes.
	PutBackupCodes(ctx context.Context, id identity.UserID, codes []secret.Hash, now time.Time,
		ev ...audit.Event) error
	// ConsumeBackupCode marks a code used, once: Consumed if it was used, NotFound if the user has
	// no such code.
	ConsumeBackupCode(ctx context.Context, id identity.UserID, h secret.Hash, now time.Time) error
	// BackupCodesLeft returns how many codes are unused.
	BackupCodesLeft(ctx context.Context, id identity.UserID) (int, error)
}

// PasskeyStore holds what passkeys need beside the other credentials.
type PasskeyStore interface {
	// CredentialByLookup returns the credential of a name that a browser gave, or NotFound.
	CredentialByLookup(ctx context.Context, h secret.Hash) (*identity.Credential, error)
	// UsePasskey records a use: Consumed if the counter must grow and has not, NotFound if the
	// passkey was removed.
	UsePasskey(ctx context.Context, id identity.CredentialID, use PasskeyUse) error
	// RenameCredential changes the label of a user's credential, or NotFound.
	RenameCredential(ctx context.Context, u identity.UserID, id identity.CredentialID, label string,
		ev ...audit.Event) error
	// DeleteCredential deletes a user's credential if the one that must remain ("" is none) is
	// still there, and with the last confirmed one the backup codes: NotFound, or Consumed if the
	// other one is gone.
	DeleteCredential(ctx context.Context, u identity.UserID, id, remains identity.CredentialID,
		ev ...audit.Event) error
	// UserHandle returns the user's handle, and stores the one offered if there is none.
	UserHandle(ctx context.Context, u identity.UserID, offered string) (string, error)
	// Once stores a key until a time: Consumed if it is stored already.
	Once(ctx context.Context, key string, until, now time.Time) error
}

// PasskeyUse is what a use of a passkey changes.
type PasskeyUse struct {
	Counter int64
	Grows   bool // the counter must be greater than the stored one
	Sealed  string
	Now     time.Time
}

// LockStore counts failures.
type LockStore interface {
	// Lock returns a counter of failures; a zero Lock if there is none.
	Lock(ctx context.Context, key string, now time.Time) (Lock, error)
	// RecordFailure counts one failure in one statement and returns the counter after it. Counting
	// starts again when the last failure was more than Window ago. At Threshold, LockedUntil is set
	// to Now plus Duration, doubled for every further round up to 8 times if Progressive.
	RecordFailure(ctx context.Context, f Failure) (Lock, error)
	// ClearLock deletes a counter.
	ClearLock(ctx context.Context, key string) error
	// ClearLocks deletes a counter, and those whose keys begin with the key and a colon.
	ClearLocks(ctx context.Context, key string, ev ...audit.Event) error
}

// SessionStore holds browser sessions.
type SessionStore interface {
	// PutSession stores a new session under the hash of its cookie, and ends others as the terms
	// say, in one transaction. Denied if the account is disabled, Consumed if its state is no
	// longer the one that was proved.
	PutSession(ctx context.Context, h secret.Hash, s *identity.Session, t identity.SessionTerms,
		ev ...audit.Event) error
	// SessionByCookie returns an active session (not past its absolute end, and unless the person
	// stays signed in not unused for longer than idle), or NotFound.
	SessionByCookie(ctx context.Context, h secret.Hash, now time.Time,
		idle time.Duration) (*identity.Session, error)
	// TouchSession moves LastSeenAt forward.
	TouchSession(ctx context.Context, id identity.SessionID, now time.Time, ip, agent string) error
	// RaiseSession stores a session's new cookie, authentication time, methods and class, in one
	// statement on the condition of the old hash and, unless proved is nil, of the account's state:
	// Consumed if either has changed.
	RaiseSession(ctx context.Context, old, new secret.Hash, s *identity.Session,
		proved *identity.AccountState, ev ...audit.Event) error
	// EndSession ends a session, and if tokens, the tokens issued in it.
	EndSession(ctx context.Context, id identity.SessionID, now time.Time, tokens bool,
		ev ...audit.Event) error
	// EndOtherSessions ends all of a user's sessions but keep ("" ends all), as EndSession does, in
	// one transaction.
	EndOtherSessions(ctx context.Context, u identity.UserID, keep identity.SessionID, now time.Time,
		tokens bool, ev ...audit.Event) error
	// EndUserAccess ends all of a user's sessions but except ("" ends all), and all grants.
	EndUserAccess(ctx context.Context, u identity.UserID, now time.Time, except identity.SessionID,
		ev ...audit.Event) error
}

// ImpersonationStore holds who acts as whom. It ends such a session, with the tokens issued in it
// and with an event, by itself in each change that ends the actor's own session, account or client.
type ImpersonationStore interface {
	// PutImpersonation stores a link; the actor's earlier links to the person end. Limited if the
	// actor has most links and sessions.
	PutImpersonation(ctx context.Context, link secret.Hash, i *Impersonation, most int,
		ev ...audit.Event) error
	// ImpersonationByLink returns what a link opens that can still be used, or NotFound.
	ImpersonationByLink(ctx context.Context, link secret.Hash, now time.Time) (*Impersonation, error)
	// OpenImpersonation uses a link, once, and stores the session that it opens: Consumed, also
	// where the link is for another browser. Denied if the person or the actor cannot be used any
	// more.
	OpenImpersonation(ctx context.Context, link, cookie secret.Hash, browser identity.SessionID,
		s *identity.Session, ev ...audit.Event) error
	// Impersonation returns who acts in a session, or NotFound.
	Impersonation(ctx context.Context, id identity.SessionID) (*Impersonation, error)
	// Impersonations returns up to limit of those that are open, in the order of ids, after an id.
	Impersonations(ctx context.Context, after identity.SessionID, limit int) ([]Impersonation, error)
	// EndImpersonation ends such a session and all that was issued in it, with the event. One that
	// has ended is not an error.
	EndImpersonation(ctx context.Context, id identity.SessionID, ended audit.Event) error
	// Session returns a session that has not ended, or NotFound.
	Session(ctx context.Context, id identity.SessionID, now time.Time) (*identity.Session, error)
	// Decide calls a guard outside of a change.
	Decide(ctx context.Context, g audit.Guard) error
}

// TrustStore holds the browsers in which people skip the second step.
type TrustStore interface {
	// TrustedBrowser returns a browser that a user trusts, or NotFound.
	TrustedBrowser(ctx context.Context, u identity.UserID, id string,
		now time.Time) (*TrustedBrowser, error)
	// TrustedBrowsers returns the browsers that a user trusts, the latest first.
	TrustedBrowsers(ctx context.Context, u identity.UserID, now time.Time) ([]TrustedBrowser, error)
	// PutTrustedBrowser stores a browser in place of what is stored of it, and deletes the user's
	// oldest ones beyond bound.
	PutTrustedBrowser(ctx context.Context, b *TrustedBrowser, bound int, ev ...audit.Event) error
	// TouchTrustedBrowser notes that the trust in a browser was used.
	TouchTrustedBrowser(ctx context.Context, id string, now time.Time, ip, agent string) error
	// DeleteTrustedBrowser ends the trust in one browser of a user, or NotFound.
	DeleteTrustedBrowser(ctx context.Context, u identity.UserID, id string, ev ...audit.Event) error
	// DeleteTrustedBrowsers ends the trust in all browsers of a user but for one.
	DeleteTrustedBrowsers(ctx context.Context, u identity.UserID, except string) error
}

// RecoveryStore holds requests to remove second factors that are lost, at most one of each user.
type RecoveryStore interface {
	// Recovery returns the request of a user that has not expired, or NotFound.
	Recovery(ctx context.Context, u identity.UserID, now time.Time) (*Recovery, error)
	// RecoveryByLink returns the request that a link belongs to, or NotFound.
	RecoveryByLink(ctx context.Context, kind RecoveryLink, h secret.Hash,
		now time.Time) (*Recovery, error)
	// PutRecovery stores a request whose link is mailed to an address of its user. The same
	// request begins anew unless it has started its wait, and one of another state of the account
	// ends. Conflict while there is another one, NotFound if the user does not have the address.
	PutRecovery(ctx context.Context, r *Recovery, to string, start secret.Hash, ev ...audit.Event) error
	// StartRecovery starts the wait of a request, once, by the hash of its link: Consumed.
	StartRecovery(ctx context.Context, r *Recovery, start, stop secret.Hash, ev ...audit.Event) error
	// OfferRecovery stores the hash of the link that completes a request whose wait is over.
	// NotFound if there is none, and unless again if it was sent before.
	OfferRecovery(ctx context.Context, id string, finish secret.Hash, now time.Time, again bool,
		ev ...audit.Event) error
	// EndRecovery ends a request that waits, or NotFound.
	EndRecovery(ctx context.Context, id string, ev ...audit.Event) error
	// FinishReplacement completes a request ByMailbox, once: it stores a passkey in place of those
	// of the account and ends all access, or Consumed as FinishRecovery.
	FinishReplacement(ctx context.Context, r *Recovery, x Replacement, now time.Time,
		ev ...audit.Event) error
	// FinishRecovery completes a request, once, by the hash of its link, while the account's state
	// is the one that was proved: Consumed. It deletes the user's second factors, backup codes and
	// trusted browsers, and ends all sessions.
	FinishRecovery(ctx context.Context, r *Recovery, finish secret.Hash,
		proved *identity.AccountState, now time.Time, tokens bool, ev ...audit.Event) error
}

// LinkStore holds one-time links.
type LinkStore interface {
	// Link returns a link that can still be used, or NotFound.
	Link(ctx context.Context, h secret.Hash, now time.Time) (*Link, error)
	// ConsumeLink marks a link used, once: Consumed or NotFound.
	ConsumeLink(ctx context.Context, h secret.Hash, now time.Time) error
	// PutLink stores a link. The user's earlier links of the same kind end.
	PutLink(ctx context.Context, h secret.Hash, l *Link, ev ...audit.Event) error
	// CompleteSetup consumes the setup link and creates the first administrator, in one
	// transaction. Consumed: there is an administrator.
	CompleteSetup(ctx context.Context, h secret.Hash, u *identity.User, first *FirstPasskey,
		now time.Time, ev ...audit.Event) error
	// ReplacePasskeys consumes a LinkPassword, deletes the passkeys of its user and stores another,
	// and ends all access and trusted browsers: Consumed or NotFound.
	ReplacePasskeys(ctx context.Context, h secret.Hash, first *FirstPasskey, now time.Time,
		ev ...audit.Event) error
}

// DeletionStore holds what ends by the wish of an account's owner.
type DeletionStore interface {
	// Deletion returns the deletion that a user waits for, or NotFound.
	Deletion(ctx context.Context, id identity.UserID) (*identity.Deletion, error)
	// CancelDeletion enables an account that waits for its deletion, once: NotFound if it does not,
	// or if an administrator disabled it meanwhile.
	CancelDeletion(ctx context.Context, id identity.UserID, now time.Time, ev ...audit.Event) error

	// BrowsersSince returns the time before which no browser counts as known to a user; zero if
	// all do.
	BrowsersSince(ctx context.Context, id identity.UserID) (time.Time, error)
	// SignIns returns up to limit attempts to sign in to an account, newest first: those before
	// the one with an ID, or the newest if it is "".
	SignIns(ctx context.Context, id identity.UserID, before string, limit int) ([]audit.Event, error)
	// UsedOnce reports whether a name is stored by an operation that works once.
	UsedOnce(ctx context.Context, name string, now time.Time) (bool, error)
	// Disown ends all access to an account, and if asked its password and what was added to it, in
	// one transaction with the name of the link that works once: Consumed if the name is stored
	// already, Conflict if the account has another address than d.Email. It adds to the details of
	// the events how many addresses and passkeys ended.
	Disown(ctx context.Context, d Disowning, now time.Time, ev ...audit.Event) error
}

// ConfirmationStore holds addresses that wait for a proof by mail, and the addresses of accounts.
type ConfirmationStore interface {
	// PutConfirmation stores a confirmation, with what must be delivered because of it. The user's
	// earlier one of the same kind and address ends; of ConfirmChange there is one at a time.
	// Limited if most of its kind wait already; of those with a Network, the oldest end instead,
	// and the network's own if MaxOfNetwork wait.
	PutConfirmation(ctx context.Context, c *Confirmation, most int, deliver []outbox.Delivery,
		ev ...audit.Event) error
	// Confirmation returns the confirmation of a link that can still be used, or NotFound.
	Confirmation(ctx context.Context, h secret.Hash, now time.Time) (*Confirmation, error)
	// ConfirmationByID returns a confirmation that can still be used, or NotFound.
	ConfirmationByID(ctx context.Context, id string, now time.Time) (*Confirmation, error)
	// UserConfirmations returns those of a user that can still be used, oldest first.
	UserConfirmations(ctx context.Context, id identity.UserID, now time.Time) ([]Confirmation, error)
	// GuessConfirmation counts a guess at the code and returns the confirmation: NotFound if there
	// is none, or if most guesses were counted before.
	GuessConfirmation(ctx context.Context, id string, most int, now time.Time) (*Confirmation, error)
	// LatestSignUp returns the latest sign-up with an address that waits, or NotFound.
	LatestSignUp(ctx context.Context, email string, now time.Time) (*Confirmation, error)
	// DeleteConfirmation deletes a confirmation, if it is there.
	DeleteConfirmation(ctx context.Context, id string) error

	// CompleteSignUp consumes a ConfirmSignUp and creates the account: Consumed, or Conflict with
	// the field for a name that is taken, which consumes nothing.
	// first is the passkey of a person who has no other way in, or nil.
	CompleteSignUp(ctx context.Context, id string, u *identity.User, first *FirstPasskey,
		now time.Time, ev ...audit.Event) error
	// ProveEmail marks the address of an account verified: Consumed if the confirmation was used or
	// the address is no longer the account's.
	ProveEmail(ctx context.Context, p Proven, now time.Time, ev ...audit.Event) error

	// UserEmails returns the verified addresses of a user beside the primary one.
	UserEmails(ctx context.Context, id identity.UserID) ([]identity.OtherEmail, error)
	// AddEmail consumes a ConfirmAdd and adds its address: Consumed, or Conflict if the address
	// belongs to an account.
	AddEmail(ctx context.Context, id string, most int, now time.Time, ev ...audit.Event) error
	// RemoveEmail removes an address beside the primary one, or NotFound.
	RemoveEmail(ctx context.Context, id identity.UserID, email string, ev ...audit.Event) error
	// ChangeEmail makes another address the primary one, by consuming a ConfirmChange, or with id
	// "" one that the account has.
	ChangeEmail(ctx context.Context, id string, change EmailChange, now time.Time, ev ...audit.Event) error
	// UndoEmail consumes a ConfirmUndo and restores the account: Consumed, or Conflict if the
	// former address belongs to another account.
	UndoEmail(ctx context.Context, id string, x Undoing, now time.Time, ev ...audit.Event) error
	// PasswordAt returns the hash of the password that a user had at a time of the last days; ok
	// is false if the present one was in force then.
	PasswordAt(ctx context.Context, id identity.UserID, at time.Time) (hash string, ok bool, err error)
	// ChangeUsername replaces the username and holds the former one for the account.
	ChangeUsername(ctx context.Context, id identity.UserID, username string, hold time.Time, most int,
		now time.Time, ev ...audit.Event) error

	// Invite stores a LinkInvite; all earlier links of the account end. Conflict if the account was
	// claimed.
	Invite(ctx context.Context, h secret.Hash, l *Link, ev ...audit.Event) error
	// AcceptInvitation consumes a LinkInvite and stores the names and the password of u.
	AcceptInvitation(ctx context.Context, h secret.Hash, u *identity.User, first *FirstPasskey,
		now time.Time, ev ...audit.Event) error
}

// Confirmation kinds.
const (
	ConfirmSignUp  = "signup" // makes an account
	ConfirmAddress = "verify" // verifies the primary address of an account
	ConfirmAdd     = "add"    // adds an address to an account
	ConfirmChange  = "change" // replaces the primary address of an account
	ConfirmUndo    = "undo"   // brings the former primary address back
)

// Confirmation is an address that waits for a proof: the link or the code that was mailed to it.
type Confirmation struct {
	ID        string
	Kind      string
	User      identity.UserID // "" for ConfirmSignUp
	Email     string          // what is proved; for ConfirmUndo the former address
	Token     secret.Hash
	Code      secret.Hash // "" for none
	Guesses   int         // at the code
	Sealed    string      // what belongs to it, encrypted
	Network   string      // of a sign-up: names the network that it came from; else ""
	CreatedAt time.Time
	ExpiresAt time.Time
}

// MaxOfNetwork is how many sign-ups from one network wait at most.
const MaxOfNetwork = 500

// Proven is the proof of an account's own address.
type Proven struct {
	User         identity.UserID
	Email        string
	Confirmation string // consumed with it, or ""

	// What was on the account before the proof, and ends with it.
	Access   bool   // sessions, grants, mailed links, and what waits to be confirmed
	Factors  bool   // second factors, former passwords, further addresses, and connected apps
	Password string // the hash of a new password; "" leaves it
}

// EmailChange is another primary address of an account.
type EmailChange struct {
	User  identity.UserID
	Email string
	Undo  *Confirmation // brings the former one back, or nil
}

// Undoing is what becomes of an account whose change of address is undone.
type Undoing struct {
	Password string    // the hash of its password; "" is none
	Since    time.Time // addresses and second factors that were added since then are deleted
}

// Lock is a counter of failures, of a user, an unknown name or an address.
type Lock struct {
	Key         string
	Failures    int
	Rounds      int // how often the threshold has been reached
	LastAt      time.Time
	LockedAt    time.Time // when the lock began; zero with LockedUntil
	LockedUntil time.Time // zero: not locked
}

// Locked reports whether the lock is in force at now.
func (l Lock) Locked(now time.Time) bool { return l.LockedUntil.After(now) }

// Endless reports whether only an administrator ends the lock.
func (l Lock) Endless(now time.Time) bool { return l.LockedUntil.Sub(now) > forever/2 }

// Failure is one failed attempt to count.
type Failure struct {
	Key         string
	Now         time.Time
	Threshold   int
	Duration    time.Duration // a very long one where only an administrator unlocks
	Window      time.Duration
	Progressive bool
}

// EmailCodeStore holds codes that were sent to sign in with.
type EmailCodeStore interface {
	// PutEmailCode stores a code.
	PutEmailCode(ctx context.Context, c *EmailCode, ev ...audit.Event) error
	// EmailCode returns the code that a request has led to if it can still be used, or NotFound.
	EmailCode(ctx context.Context, attempt secret.Hash, now time.Time) (*EmailCode, error)
	// ConsumeEmailCode uses a code, once, and ends the user's others: that of the request, or where
	// the request has led to none, the user's newest. Consumed if the code was used, NotFound if it
	// is another one or has expired.
	ConsumeEmailCode(ctx context.Context, use EmailCodeUse) error
}

// EmailCode is a code that was sent to sign in with.
type EmailCode struct {
	Attempt   secret.Hash // names the request that it was sent because of
	User      identity.UserID
	Code      secret.Hash
	CreatedAt time.Time
	ExpiresAt time.Time
}

// EmailCodeUse is an attempt to sign in with a code.
type EmailCodeUse struct {
	Attempt secret.Hash
	User    identity.UserID // "" for a name that nobody has
	Code    secret.Hash
	Now     time.Time
}

// TokenSessionStore holds the sessions that have tokens instead of a cookie.
type TokenSessionStore interface {
	// PutTokenSession stores a session with its tokens, as PutSession does.
	PutTokenSession(ctx context.Context, s *identity.Session, tokens SessionTokens,
		t identity.SessionTerms, ev ...audit.Event) error
	// TokenSession returns an active session that has tokens, or NotFound.
	TokenSession(ctx context.Context, id identity.SessionID, now time.Time) (*TokenSession, error)
	// RotateTokens replaces the tokens of a session in one statement on the condition of the
	// refresh token: Consumed if that is another one, or the session has ended.
	RotateTokens(ctx context.Context, r TokenRotation, ev ...audit.Event) error
	// PutLoginState stores what a caller has asked for under the hash of a state, in place of what
	// was stored there.
	PutLoginState(ctx context.Context, h secret.Hash, opening string, until time.Time) error
	// LoginState returns what was stored under the hash of a state, or NotFound.
	LoginState(ctx context.Context, h secret.Hash, now time.Time) (opening string, err error)
}

// Replacement is how a request to replace the passkeys of an account is completed.
type Replacement struct {
	Link   secret.Hash            // of the request, which it uses up
	Proved *identity.AccountState // of the account, which must be as it was
	First  *FirstPasskey
}

// Link kinds.
const (
	LinkSetup    = "setup"    // makes the first administrator
	LinkPassword = "password" // sets a user's password
	LinkInvite   = "invite"   // hands an invited person the account
)

// Link is a one-time link that was handed to a person.
type Link struct {
	Kind      string
	User      identity.UserID // "" for LinkSetup
	Email     string          // the address that it was mailed to; "" if it was handed over
	CreatedAt time.Time
	ExpiresAt time.Time
}
