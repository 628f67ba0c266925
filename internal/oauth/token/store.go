package token

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Store is the storage that this package's endpoints use. ConsumeCode, RedeemCode, RedeemDevice,
// RotateRefresh, PollDevice and Once are atomic: of any number of concurrent callers exactly one
// succeeds.
//
// Errors carry a fault kind: NotFound, Consumed, Conflict, Limited or Unavailable. Reads "from
// memory" cost no round trip; memory sees a change made by any process within a second.
type Store interface {
	oauth.ClientStore

	// Scopes returns all defined scopes by name, from memory. Never change the map.
	Scopes() map[string]*oauth.Scope
	// RoleDefinitions returns all roles by name, from memory. Never change the map.
	RoleDefinitions() map[string]*identity.Role

	CodeStore
	GrantStore
	DeviceStore
	RevocationStore

	// PutOpaque stores an opaque access token under its hash. Opaque returns one that has not
	// expired, or NotFound.
	PutOpaque(ctx context.Context, h secret.Hash, t *oauth.AccessToken) error
	Opaque(ctx context.Context, h secret.Hash, now time.Time) (*oauth.AccessToken, error)

	// Once records a key until a time. Consumed: it is recorded already.
	Once(ctx context.Context, key string, until, now time.Time) error

	// User returns a user, or NotFound. CachedUser may return one that is a second old: good
	// enough to describe a person, not to decide about them.
	User(ctx context.Context, id identity.UserID) (*identity.User, error)
	CachedUser(ctx context.Context, id identity.UserID, now time.Time) (*identity.User, error)

	// Record stores audit events that belong to no change. RecordAsync begins to store events
	// and returns a function that waits until they are stored, so that many callers' events are
	// stored together while their callers do other work.
	Record(ctx context.Context, ev ...audit.Event) error
	RecordAsync(ev ...audit.Event) (wait func(context.Context) error)
}

// CodeStore stores authorization codes.
type CodeStore interface {
	// Code returns a code. NotFound: there is none, or it has expired. Consumed: it was used
	// before; the code is returned all the same, so that its grant can be ended.
	Code(ctx context.Context, h secret.Hash, now time.Time) (*oauth.Code, error)
	// ConsumeCode invalidates a code without a grant. Consumed: it was used before. NotFound:
	// there is none, or it has expired.
	ConsumeCode(ctx context.Context, h secret.Hash, now time.Time) error
	// RedeemCode consumes a code and stores its grant, in one transaction. Consumed: the code
	// was used before or has expired, and nothing is stored. Denied: the grant, its session,
	// user or client has been revoked; the code is consumed.
	RedeemCode(
		ctx context.Context, h secret.Hash, g *oauth.Grant, now time.Time, ev ...audit.Event,
	) error
}

// GrantStore stores grants with their refresh tokens.
type GrantStore interface {
	// PutGrant stores a grant. Consumed: the grant, its session or its user has been revoked
	// meanwhile, and nothing is stored.
	PutGrant(ctx context.Context, g *oauth.Grant, ev ...audit.Event) error
	// PutProvedGrant stores a grant on the condition that its user is not disabled and that the
	// account's state is still the one that was proved: Consumed otherwise.
	PutProvedGrant(ctx context.Context, g *oauth.Grant, proved identity.AccountState,
		ev ...audit.Event) error
	// Grant returns a grant that has not ended, or NotFound. GrantAndUser returns its user as
	// well, nil if the client acts for itself.
	Grant(ctx context.Context, id oauth.GrantID) (*oauth.Grant, error)
	GrantAndUser(ctx context.Context, id oauth.GrantID) (*oauth.Grant, *identity.User, error)
	// RotateRefresh replaces the refresh hash of a client's active grant, in one conditional
	// statement, with the events. NotFound: the grant is gone, ended, expired or another
	// client's. Consumed: it is active, but has another refresh hash.
	RotateRefresh(ctx context.Context, r oauth.RefreshRotation, ev ...audit.Event) error
	// BeginRotation names an attempt to rotate or repeat. EndRotation reports its end: whether
	// the caller may be left without an answer although the rotation may have been stored, so
	// that the client may repeat its request at any time.
	BeginRotation(r *oauth.RefreshRotation)
	EndRotation(r *oauth.RefreshRotation, unanswered bool)
	// RepeatRotation makes this attempt the one that answers a rotation which is stored, and
	// whose successor has not been used. Consumed: it was answered before, or the grant has
	// another refresh hash. Unavailable: whether it was answered is not known yet. With recent,
	// a rotation that was answered may be repeated, too, and its time stays.
	RepeatRotation(ctx context.Context, r oauth.RefreshRotation, recent bool, ev ...audit.Event) error
	// EndGrant ends a grant and appends its revocation to the log, in one transaction. It is not
	// an error to end a grant twice.
	EndGrant(ctx context.Context, id oauth.GrantID, now time.Time, ev ...audit.Event) error
}

// DeviceStore stores device authorizations.
type DeviceStore interface {
	// PutDevice stores a pending device authorization. Conflict: the user code is taken.
	// Limited: too many are pending.
	PutDevice(ctx context.Context, d *oauth.Device, ev ...audit.Event) error
	// PollDevice records one poll by the device and returns what it finds, with the grant if the
	// authorization is approved. TooFast is set if the last poll was less than the interval ago,
	// which then grows by 5 seconds. NotFound: the device code is unknown.
	PollDevice(
		ctx context.Context, h secret.Hash, client client.ID, now time.Time,
	) (*oauth.DevicePoll, error)
	// RedeemDevice removes an approved authorization and stores its grant, in one transaction. It
	// fails as RedeemCode does.
	RedeemDevice(
		ctx context.Context, h secret.Hash, g *oauth.Grant, now time.Time, ev ...audit.Event,
	) error
}

// RevocationStore stores the ordered log of revocations.
type RevocationStore interface {
	// Revoke appends to the log. In this process it takes effect before Revoke returns.
	Revoke(ctx context.Context, r oauth.Revocation, ev ...audit.Event) error
	// Revoked reports whether an access token has been revoked, from memory.
	Revoked(t *oauth.AccessToken) bool
	// KnowledgeAge returns how long ago this process last asked for revocations by others.
	KnowledgeAge() time.Duration
	// RevocationHead returns the newest entry that this process has read, and a channel that is
	// closed when there is a newer one, or another history.
	RevocationHead() (head oauth.LogHead, moved <-chan struct{})
	// RevocationAt reports whether the log has an entry with this number and mark.
	RevocationAt(ctx context.Context, seq int64, mark string) (bool, error)
	// RevocationsSince returns at most max entries after seq, oldest first, without those that
	// concern only expired tokens.
	RevocationsSince(ctx context.Context, seq int64, max int) ([]oauth.Revocation, error)
}
