package token

import (
	"cmp"
	"context"
	"net/url"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// deviceInterval is how long a device must wait between two polls (RFC 8628 §3.5).
const deviceInterval = 5 * time.Second

// DeviceResponse is the response of the device authorization endpoint (RFC 8628 §3.2).
type DeviceResponse struct {
	DeviceCode      string `json:"device_code"`
	UserCode        string `json:"user_code"`
	VerificationURI string `json:"verification_uri"`
	Complete        string `json:"verification_uri_complete"`
	ExpiresIn       int64  `json:"expires_in"` // seconds
	Interval        int64  `json:"interval"`   // seconds
	Audience        string `json:"audience"`   // the client's name, to show beside the code
}

// Device serves the device authorization endpoint (RFC 8628 §3.1).
func (s *Server) Device(ctx context.Context, c *oauth.Call) (*DeviceResponse, error) {
	cl, err := s.Authenticate(ctx, c)
	if err != nil {
		return nil, err
	}
	if !cl.CanUseGrant(client.GrantTypeDevice) {
		return nil, oauth.UnauthorizedClient(
			"The client may not use the device grant. Its operator can allow it.")
	}
	code := secret.NewToken(secret.PrefixDeviceCode)
	d := &oauth.Device{
		Hash:      s.keys.Hash(code),
		Client:    cl.ID,
		State:     oauth.DevicePending,
		Interval:  deviceInterval,
		IP:        c.IP,
		Agent:     truncate(c.Agent, 512),
		CreatedAt: c.Now,
		ExpiresAt: c.Now.Add(s.cfg.DeviceTTL),
	}
	if d.Scopes, err = s.scopes.ForUser(cl, c.Get("scope")); err != nil {
		return nil, err
	}
	if d.Resources, err = oauth.RequestedResources(s.cfg.Issuer, cl, c.Form); err != nil {
		return nil, err
	}
	if err := s.putDevice(ctx, c, cl, d); err != nil {
		return nil, err
	}
	userCode := oauth.FormatUserCode(d.UserCode)
	page := s.cfg.Issuer + "/activate"
	return &DeviceResponse{
		DeviceCode:      code,
		UserCode:        userCode,
		VerificationURI: page,
		Complete:        page + "?" + url.Values{"user_code": {userCode}}.Encode(),
		ExpiresIn:       int64(s.cfg.DeviceTTL.Seconds()),
		Interval:        int64(deviceInterval.Seconds()),
		Audience:        cmp.Or(cl.Name, string(cl.ID)),
	}, nil
}

// putDevice stores the request under a user code that is not in use.
func (s *Server) putDevice(
	ctx context.Context, c *oauth.Call, cl *client.Client, d *oauth.Device,
) error {
	ev := c.Event(audit.DeviceCodeRequested, cl)
	ev.Actor = string(cl.ID)
	for range 5 {
		d.UserCode = oauth.NewUserCode()
		err := s.store.PutDevice(ctx, d, ev)
		if !fault.Is(err, fault.Conflict) {
			return err
		}
	}
	return fault.RetryAfter(fault.Unavailable, deviceInterval,
		"no user code is free; try again in a moment")
}
