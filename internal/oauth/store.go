package oauth

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Store is the storage that the browser's endpoints use. Package token lists what its own need.
//
// Errors carry a fault kind: NotFound, Consumed, Conflict, Limited or Unavailable. Reads "from
// memory" cost no round trip; memory sees a change made by any process within a second.
type Store interface {
	ClientStore

	// Scopes returns all defined scopes by name, from memory. Never change the map.
	Scopes() map[string]*Scope
	// RoleDefinitions returns all roles by name, from memory. Never change the map.
	RoleDefinitions() map[string]*identity.Role

	// User returns a user, or NotFound.
	User(ctx context.Context, id identity.UserID) (*identity.User, error)

	// PutCode stores an authorization code under its hash, with the events, in one transaction.
	PutCode(ctx context.Context, h secret.Hash, c *Code, ev ...audit.Event) error

	// PutFlowCode does the same for the code of a flow. Consumed: the flow has a code already.
	PutFlowCode(
		ctx context.Context, h secret.Hash, c *Code, use FlowUse, ev ...audit.Event,
	) error

	// DeviceByUserCode returns a pending, unexpired device authorization by its normalized user
	// code, or NotFound.
	DeviceByUserCode(ctx context.Context, userCode string, now time.Time) (*Device, error)
	// DecideDevice approves or denies a pending authorization, once. Consumed: it was decided
	// before. NotFound: it is unknown or has expired.
	DecideDevice(ctx context.Context, d DeviceDecision, ev ...audit.Event) error

	// Consent returns what a user has allowed a client before, or NotFound. AddConsent adds scopes
	// to it, in the transaction that stores them.
	Consent(ctx context.Context, u identity.UserID, c client.ID) (*Consent, error)
	AddConsent(ctx context.Context, c *Consent, ev ...audit.Event) error

	// EndSession ends a browser session. With tokens, it also ends what was issued in the
	// session, except for grants with offline access.
	EndSession(
		ctx context.Context, id identity.SessionID, now time.Time, tokens bool, ev ...audit.Event,
	) error

	// Record stores audit events that belong to no change.
	Record(ctx context.Context, ev ...audit.Event) error
}
