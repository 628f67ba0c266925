package token

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// deviceGrant is a device's poll for its tokens (RFC 8628 §3.4).
type deviceGrant struct {
	devices DeviceStore
	users   userReader
	keys    *secret.Keys
	issuer  string
}

func (deviceGrant) Describe() client.GrantType {
	return client.GrantType{
		Name:     client.GrantTypeDevice,
		Short:    "device_code",
		Aliases:  []string{"device"},
		Summary:  "A person approves a device without a browser by typing a code elsewhere.",
		Approval: true,
	}
}

func (g deviceGrant) Redeem(ctx context.Context, r *Request) (Redemption, error) {
	raw := r.Get("device_code")
	if raw == "" {
		return nil, oauth.InvalidRequest("device_code is missing.")
	}
	if !secret.WellFormed(secret.PrefixDeviceCode, raw) {
		return nil, oauth.InvalidGrant("The device code was not issued by this server.")
	}
	p, err := g.devices.PollDevice(ctx, g.keys.Hash(raw), r.Client.ID, r.Now)
	if fault.Is(err, fault.NotFound) {
		return nil, deviceRedeemed()
	}
	if err != nil {
		return nil, err
	}
	if err := checkPoll(p); err != nil {
		return nil, err
	}
	grant := p.Grant
	grant.IP, grant.Agent = r.IP, r.Agent // the device's, not those of the browser that approved it
	audience, err := oauth.NarrowResources(g.issuer, grant.Resources, r.Form)
	if err != nil {
		return nil, err
	}
	user, err := activeUser(ctx, g.users, grant.User)
	if err != nil {
		return nil, err
	}
	return &NewGrant{
		Access: Access{
			Grant: grant, User: user, Scopes: grant.Scopes, Audience: audience,
		},
		Consumes:  &deviceCredential{devices: g.devices, hash: p.Device.Hash, now: r.Now},
		Refreshes: r.Client.CanRefresh(),
	}, nil
}

// checkPoll returns the error for a poll that brings no tokens (RFC 8628 §3.5).
func checkPoll(p *oauth.DevicePoll) error {
	switch {
	case p.Expired:
		return oauth.NewError("expired_token", 400,
			"The device code has expired. Request a new one.")
	case p.TooFast:
		return oauth.NewError("slow_down", 400,
			"The device polls too often. Wait %d seconds between two requests.",
			int(p.Device.Interval.Seconds()))
	case p.State == oauth.DeviceDenied:
		return oauth.NewError("access_denied", 400, "The user denied the request.")
	case p.State == oauth.DevicePending || p.Grant == nil:
		return oauth.NewError("authorization_pending", 400, "The user has not answered yet.")
	}
	return nil
}

// deviceRedeemed returns the error for a device code that does not exist, or not any more.
func deviceRedeemed() error {
	return oauth.InvalidGrant("The device code is unknown, or has been redeemed.")
}

// deviceCredential is the device code of an approved device.
type deviceCredential struct {
	devices DeviceStore
	hash    secret.Hash
	now     time.Time
}

// Redeem consumes the device code and stores its grant in one transaction.
func (d *deviceCredential) Redeem(ctx context.Context, g *oauth.Grant, ev audit.Event) error {
	err := d.devices.RedeemDevice(ctx, d.hash, g, d.now, ev)
	if fault.Is(err, fault.Consumed) {
		return deviceRedeemed()
	}
	return err
}
