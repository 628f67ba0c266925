package oauth

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Store is what the protocol asks of storage. Methods named Spend, Turn, Poll and Once are
// atomic: of any number of concurrent callers exactly one wins.
//
// Errors carry a fault kind: NotFound, Consumed, Conflict, Limited, Unavailable. Everything
// that reads "from memory" costs no round trip; a change made by any process is seen within a second.
type Store interface {
	// Client gives a client from memory, or NotFound. The value is shared: never change it.
	Client(ctx context.Context, id client.ID) (*client.Client, error)
	// SyncCache brings memory up to date with what other processes have changed by now, at the cost of one short query.
	SyncCache(ctx context.Context) error
	// Scopes gives all defined scopes by name, from memory. Never change it.
	Scopes() map[string]*Scope

	// PutCode stores an authorization code under its hash, with the events, in one transaction.
	PutCode(ctx context.Context, h secret.Hash, c *Code, ev ...audit.Event) error
	// Code reads a code: NotFound if there is none or it has expired; Consumed if it was used before, together with the
	// code, so that what it gave can be ended.
	Code(ctx context.Context, h secret.Hash, now time.Time) (*Code, error)
	// ConsumeCode uses a code up for nothing: Consumed if it was used before, NotFound if there is none or it has expired.
	ConsumeCode(ctx context.Context, h secret.Hash, now time.Time) error
	// RedeemCode uses a code up and stores the grant that it gives, in one transaction. Consumed: the code was used before or
	// has expired, and nothing is stored. Denied: the grant, its session, user or client has been revoked; the code is used up.
	RedeemCode(ctx context.Context, h secret.Hash, g *Grant, now time.Time, ev ...audit.Event) error

	// PutGrant stores an approval and what hangs on it, unless the grant, its session or its
	// user has been revoked meanwhile: then Consumed, and nothing is stored.
	PutGrant(ctx context.Context, g *Grant, ev ...audit.Event) error
	// Grant reads one grant that has not ended, or NotFound. GrantAndUser reads its user, too; nil if the client acts for itself.
	Grant(ctx context.Context, id GrantID) (*Grant, error)
	GrantAndUser(ctx context.Context, id GrantID) (*Grant, *identity.User, error)
	// RotateRefresh replaces the refresh hash of a live grant of that client, in one conditional statement, with the events. If nothing
	// moved: NotFound when the grant is gone, ended, expired or another client's; Consumed when it lives but its hash is another one.
	RotateRefresh(ctx context.Context, t RefreshRotation, ev ...audit.Event) error
	// EndGrant ends a grant and appends its revocation to the log, in one transaction. Ending an ended grant again is no error.
	EndGrant(ctx context.Context, id GrantID, now time.Time, ev ...audit.Event) error

	// PutOpaque stores an opaque access token under its hash; Opaque reads one that has not expired, or NotFound.
	PutOpaque(ctx context.Context, h secret.Hash, t *AccessToken) error
	Opaque(ctx context.Context, h secret.Hash, now time.Time) (*AccessToken, error)

	// Revoke appends to the revocation log. In this process it is in force when Revoke returns.
	Revoke(ctx context.Context, r Revocation, ev ...audit.Event) error
	// Revoked asks the memory of unexpired revocations. It never blocks on storage.
	Revoked(t *AccessToken) bool

	// RevocationHead is the newest entry of the log that this process has read, and a channel that is closed when there is a
	// newer one. RevocationsSince gives the entries after one, oldest first, at most max; those that have no more purpose are left out.
	RevocationHead() (seq int64, moved <-chan struct{})
	RevocationsSince(ctx context.Context, seq int64, max int) ([]Revocation, error)

	// PutDevice stores a pending device authorization: Conflict if the user code is taken,
	// Limited if there are too many pending ones.
	PutDevice(ctx context.Context, d *Device, ev ...audit.Event) error
	// DeviceByUserCode reads a pending, unexpired authorization by the normalised user code, or NotFound.
	DeviceByUserCode(ctx context.Context, userCode string, now time.Time) (*Device, error)
	// DecideDevice approves or denies a pending authorization, once: Consumed if it was decided before, NotFound if unknown or expired.
	DecideDevice(ctx context.Context, d DeviceDecision, ev ...audit.Event) error
	// RedeemDevice takes an approved authorization away and stores its grant, in one transaction: Consumed and Denied as for RedeemCode.
	RedeemDevice(ctx context.Context, h secret.Hash, g *Grant, now time.Time, ev ...audit.Event) error
	// PollDevice is one poll by the device. It brings the grant if the authorization is approved,
	// and reports TooFast if the last poll was less than the interval ago, which then grows by 5 s. NotFound if unknown.
	PollDevice(ctx context.Context, h secret.Hash, client client.ID, now time.Time) (*DevicePoll, error)

	// Once remembers a key until a time; Consumed if it is remembered already (assertion ids, RFC 7523 §3).
	Once(ctx context.Context, key string, until, now time.Time) error

	// Consent gives what a user has allowed a client before, or NotFound. PutConsent replaces it.
	Consent(ctx context.Context, u identity.UserID, c client.ID) (*Consent, error)
	PutConsent(ctx context.Context, c *Consent, ev ...audit.Event) error

	// User reads a user, or NotFound. CachedUser may be a second old: it is for telling about a person, not for deciding.
	User(ctx context.Context, id identity.UserID) (*identity.User, error)
	CachedUser(ctx context.Context, id identity.UserID, now time.Time) (*identity.User, error)
	// Session reads a browser session that has not ended, or NotFound.
	Session(ctx context.Context, id identity.SessionID, now time.Time) (*identity.Session, error)
	// EndSession ends a browser session. With tokens, what was issued in it ends too, but for grants with offline access.
	EndSession(ctx context.Context, id identity.SessionID, now time.Time, tokens bool, ev ...audit.Event) error

	// Record writes audit events that belong to no change. RecordAsync takes them, and they are stored when the function that it
	// returns gives no error: what is done in between costs no time, and many callers' events are stored together.
	Record(ctx context.Context, ev ...audit.Event) error
	RecordAsync(ev ...audit.Event) (stored func(context.Context) error)
}
