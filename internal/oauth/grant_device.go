package oauth

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// grantDevice is a device's poll for its tokens (RFC 8628 §3.4).
type grantDevice struct{}

func (grantDevice) Type() string { return client.GrantTypeDevice }

func (grantDevice) Redeem(ctx context.Context, s *Server, cl *client.Client, c *Call) (*Entitlement, error) {
	raw := c.Get("device_code")
	if raw == "" {
		return nil, invalidRequest("device_code is missing.")
	}
	if !secret.WellFormed(secret.PrefixDeviceCode, raw) {
		return nil, invalidGrant("The device code is not one that this server gave out.")
	}
	p, err := s.store.PollDevice(ctx, s.keys.Hash(raw), cl.ID, c.Now)
	if fault.Is(err, fault.NotFound) {
		return nil, invalidGrant("The device code is unknown, or has been redeemed.")
	}
	if err != nil {
		return nil, err
	}
	if err := p.verdict(); err != nil {
		return nil, err
	}
	g := p.Grant
	e := &Entitlement{Grant: g, New: true, Scopes: g.Scopes, IssueRefresh: cl.CanRefresh(), Device: p.Device.Hash}
	g.IP, g.Agent = c.IP, c.Agent // the device's, not those of the browser that approved it
	if e.Audience, err = s.narrowedResources(g.Resources, c.Form); err != nil {
		return nil, err
	}
	e.User, err = s.liveUser(ctx, g.User)
	return e, err
}

// verdict is what a poll that brings no tokens is told (RFC 8628 §3.5).
func (p *DevicePoll) verdict() error {
	switch {
	case p.Expired:
		return failure("expired_token", 400, "The device code has expired. Ask for a new one.")
	case p.TooFast:
		return failure("slow_down", 400, "The device asks too often. Wait %d seconds between two requests.", int(p.Device.Interval.Seconds()))
	case p.State == DeviceDenied:
		return failure("access_denied", 400, "The user refused.")
	case p.State == DevicePending || p.Grant == nil:
		return failure("authorization_pending", 400, "The user has not answered yet.")
	}
	return nil
}
