package login

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Nobody acts as another person in the tests with a store in memory.

func (m *memory) PutImpersonation(
	context.Context, secret.Hash, *Impersonation, int, ...audit.Event,
) error {
	return nil
}

func (m *memory) ImpersonationByLink(
	context.Context, secret.Hash, time.Time,
) (*Impersonation, error) {
	return nil, fault.New(fault.NotFound, "no such link")
}

func (m *memory) OpenImpersonation(
	context.Context, secret.Hash, secret.Hash, identity.SessionID, *identity.Session, ...audit.Event,
) error {
	return fault.New(fault.Consumed, "no such link")
}

func (m *memory) Impersonation(context.Context, identity.SessionID) (*Impersonation, error) {
	return nil, fault.New(fault.NotFound, "no such session")
}

func (m *memory) Impersonations(
	context.Context, identity.SessionID, int,
) ([]Impersonation, error) {
	return nil, nil
}

func (m *memory) EndImpersonation(context.Context, identity.SessionID, audit.Event) error { return nil }

func (m *memory) Session(
	context.Context, identity.SessionID, time.Time,
) (*identity.Session, error) {
	return nil, fault.New(fault.NotFound, "no such session")
}

func (m *memory) Decide(ctx context.Context, g audit.Guard) error { return g(ctx, nil) }
