package oauth

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// PendingDevice is a device authorization request as the person who decides about it sees it.
type PendingDevice struct {
	Device *Device
	Client *client.Client
}

// PendingDevice returns the request that a typed user code stands for. NotFound: no such code
// exists, or it has been answered or has expired.
func (s *Server) PendingDevice(
	ctx context.Context, typed string, now time.Time,
) (*PendingDevice, error) {
	notFound := fault.New(fault.NotFound,
		"That code is not known, or has expired. Check it, or start again on the device.")
	code, ok := ParseUserCode(typed)
	if !ok {
		return nil, notFound
	}
	d, err := s.store.DeviceByUserCode(ctx, code, now)
	if fault.Is(err, fault.NotFound) {
		return nil, notFound
	}
	if err != nil {
		return nil, err
	}
	cl, err := s.clients.Lookup(ctx, d.Client)
	if fault.Is(err, fault.Denied) {
		return nil, notFound
	}
	if err != nil {
		return nil, err
	}
	return &PendingDevice{Device: d, Client: cl}, nil
}

// DecideDevice records the person's decision about a device (RFC 8628 §3.3).
func (s *Server) DecideDevice(
	ctx context.Context, c *Call, typed string, approve bool,
) (*PendingDevice, error) {
	if c.Session == nil {
		return nil, fault.New(fault.Denied, "Sign in before you decide about a device.")
	}
	if c.Session.Impersonated() { // a device stays connected after the session
		return nil, errActing()
	}
	p, err := s.PendingDevice(ctx, typed, c.Now)
	if err != nil {
		return nil, err
	}
	decision := DeviceDecision{UserCode: p.Device.UserCode, Approve: approve, Now: c.Now}
	ev := c.Event(audit.DeviceCodeDenied, p.Client)
	if approve {
		decision.Grant = deviceGrant(p.Device, c.Session, c.Now)
		decision.Grant.Scopes, err = s.scopesFor(ctx, c.Session.User, p.Device.Scopes)
		if err != nil {
			return nil, err
		}
		ev.Type, ev.Grant = audit.DeviceCodeApproved, string(decision.Grant.ID)
	}
	err = s.store.DecideDevice(ctx, decision, ev)
	if fault.Is(err, fault.Consumed) || fault.Is(err, fault.NotFound) {
		return nil, fault.Wrap(fault.NotFound, err,
			"That code has been answered already, or has expired. Start again on the device.")
	}
	return p, err
}

// deviceGrant returns the grant of an approved device. It is not tied to the browser session that
// approved it: the television stays signed in when the phone signs out.
func deviceGrant(d *Device, sess *identity.Session, now time.Time) *Grant {
	return &Grant{
		ID:         GrantID(secret.NewID(now)),
		Client:     d.Client,
		User:       sess.User,
		Kind:       client.GrantTypeDevice,
		Scopes:     d.Scopes,
		Resources:  d.Resources,
		AuthTime:   sess.AuthTime,
		AMR:        sess.AMR,
		ACR:        sess.ACR,
		IP:         d.IP,
		Agent:      d.Agent,
		CreatedAt:  now,
		LastUsedAt: now,
	}
}
