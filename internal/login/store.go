package login

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Store is what signing in asks of storage. Errors carry a fault kind.
type Store interface {
	// UserByLogin finds a user by the LoginKey of a user name or e-mail address, or NotFound.
	UserByLogin(ctx context.Context, key string) (*identity.User, error)
	User(ctx context.Context, id identity.UserID) (*identity.User, error)

	// SetPassword replaces the password hash, clears MustChange, keeps the old hash in the history (the newest `keep`
	// of them), and writes the events, in one transaction.
	SetPassword(ctx context.Context, id identity.UserID, hash string, keep int, now time.Time, ev ...audit.Event) error
	// RehashPassword replaces the hash only while it still is old; no history, no event.
	RehashPassword(ctx context.Context, id identity.UserID, old, hash string) error
	// PasswordHistory gives the newest n former hashes.
	PasswordHistory(ctx context.Context, id identity.UserID, n int) ([]string, error)

	// Credentials gives a user's credentials of all kinds, oldest first.
	Credentials(ctx context.Context, id identity.UserID) ([]identity.Credential, error)
	// PutCredential adds one. ConfirmCredential marks it confirmed and sets its LastStep, once: Consumed if it is confirmed already.
	PutCredential(ctx context.Context, c *identity.Credential, ev ...audit.Event) error
	ConfirmCredential(ctx context.Context, id identity.CredentialID, step int64, now time.Time, ev ...audit.Event) error
	// AdvanceCredential moves LastStep forward: Consumed if step is not newer than the stored one (RFC 6238 §5.2).
	AdvanceCredential(ctx context.Context, id identity.CredentialID, step int64, now time.Time) error
	// DeleteCredentials deletes a user's credentials of a kind, and with the last one the backup codes.
	DeleteCredentials(ctx context.Context, id identity.UserID, kind string, ev ...audit.Event) error
	// DeleteUnconfirmed deletes a user's credentials of a kind that were never confirmed.
	DeleteUnconfirmed(ctx context.Context, id identity.UserID, kind string) error
	// PutBackupCodes replaces a user's backup codes. ConsumeBackupCode uses one up: Consumed if it was used, NotFound if it is none.
	PutBackupCodes(ctx context.Context, id identity.UserID, codes []secret.Hash, now time.Time, ev ...audit.Event) error
	ConsumeBackupCode(ctx context.Context, id identity.UserID, h secret.Hash, now time.Time) error
	// BackupCodesLeft counts the unused ones.
	BackupCodesLeft(ctx context.Context, id identity.UserID) (int, error)

	// Lock reads a lockout counter; a zero Lock if there is none.
	Lock(ctx context.Context, key string, now time.Time) (Lock, error)
	// Fail counts one failure in one statement and returns the counter after it. Counting starts anew when the last
	// failure was more than window ago. At the threshold LockedUntil is set to now+duration, doubled for every
	// further round when progressive.
	RecordFailure(ctx context.Context, f Failure) (Lock, error)
	// ClearLock forgets a counter.
	ClearLock(ctx context.Context, key string, ev ...audit.Event) error

	// PutSession stores a new browser session under the hash of its cookie; with single, the user's other sessions end
	// (and their tokens when tokens is set), in the same transaction.
	PutSession(ctx context.Context, h secret.Hash, s *identity.Session, single, tokens bool, ev ...audit.Event) error
	// SessionByCookie reads a live session (neither past its absolute end nor idle for longer than idle), or NotFound.
	SessionByCookie(ctx context.Context, h secret.Hash, now time.Time, idle time.Duration) (*identity.Session, error)
	// TouchSession moves LastSeenAt forward.
	TouchSession(ctx context.Context, id identity.SessionID, now time.Time, ip, agent string) error
	// RaiseSession gives a session a new cookie, authentication time, methods and class, in one conditional statement on the old hash: Consumed if it has changed.
	RaiseSession(ctx context.Context, old, new secret.Hash, s *identity.Session, ev ...audit.Event) error
	EndSession(ctx context.Context, id identity.SessionID, now time.Time, tokens bool, ev ...audit.Event) error
	// EndOtherSessions ends all of a user's sessions but keep ("" keeps none), as EndSession does, in one transaction.
	EndOtherSessions(ctx context.Context, u identity.UserID, keep identity.SessionID, now time.Time, tokens bool, ev ...audit.Event) error

	// Link reads a one-time link that can still be used, or NotFound. ConsumeLink uses it up, once: Consumed or NotFound.
	Link(ctx context.Context, h secret.Hash, now time.Time) (*Link, error)
	ConsumeLink(ctx context.Context, h secret.Hash, now time.Time) error
	PutLink(ctx context.Context, h secret.Hash, l *Link, ev ...audit.Event) error
	// CompleteSetup spends the set-up link and creates the first administrator, in one transaction.
	CompleteSetup(ctx context.Context, h secret.Hash, u *identity.User, now time.Time, ev ...audit.Event) error

	Record(ctx context.Context, ev ...audit.Event) error
}

// Lock is a counter of failures, of a user, an unknown name or an address.
type Lock struct {
	Key         string
	Failures    int
	Rounds      int // how often the threshold has been reached
	LastAt      time.Time
	LockedUntil time.Time // zero: not locked
}

// Locked reports whether the lock holds at now.
func (l Lock) Locked(now time.Time) bool { return l.LockedUntil.After(now) }

// Failure is one failed attempt to count.
type Failure struct {
	Key         string
	Now         time.Time
	Threshold   int
	Duration    time.Duration // a very long one where only an administrator unlocks
	Window      time.Duration
	Progressive bool
}

// Link kinds.
const (
	LinkSetup    = "setup"    // makes the first administrator
	LinkPassword = "password" // sets a user's password
)

// Link is a one-time link that was handed to a person.
type Link struct {
	Kind      string
	User      identity.UserID // "" for LinkSetup
	CreatedAt time.Time
	ExpiresAt time.Time
}
