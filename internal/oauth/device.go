package oauth

import (
	"context"
	"crypto/rand"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const (
	// userCodeAlphabet has no vowels, so no words, and nothing that is misread (RFC 8628 §6.1): 20^8 codes, 34 bits.
	userCodeAlphabet = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLen      = 8
	deviceInterval   = 5 * time.Second
)

// DeviceResponse is the answer of the device authorization endpoint (RFC 8628 §3.2).
type DeviceResponse struct {
	DeviceCode      string `json:"device_code"`
	UserCode        string `json:"user_code"`
	VerificationURI string `json:"verification_uri"`
	Complete        string `json:"verification_uri_complete"`
	ExpiresIn       int64  `json:"expires_in"`
	Interval        int64  `json:"interval"`
}

// Device answers the device authorization endpoint (RFC 8628 §3.1).
func (s *Server) Device(ctx context.Context, c *Call) (*DeviceResponse, error) {
	cl, err := s.Authenticate(ctx, c)
	if err != nil {
		return nil, err
	}
	if !cl.CanUseGrant(client.GrantTypeDevice) {
		return nil, unauthorizedClient("The client may not use the device grant. Its operator can allow it.")
	}
	d := &Device{
		Client: cl.ID, State: DevicePending, Interval: deviceInterval, IP: c.IP, Agent: clip(c.Agent, 512),
		CreatedAt: c.Now, ExpiresAt: c.Now.Add(s.cfg.DeviceTTL),
	}
	if d.Scopes, err = s.userScope(cl, c.Get("scope")); err != nil {
		return nil, err
	}
	if d.Resources, err = s.resources(cl, c.Form); err != nil {
		return nil, err
	}
	code := secret.NewToken(secret.PrefixDeviceCode)
	d.Hash = s.keys.Hash(code)
	if err := s.putDevice(ctx, c, cl, d); err != nil {
		return nil, err
	}
	shown := FormatUserCode(d.UserCode)
	return &DeviceResponse{
		DeviceCode: code, UserCode: shown, VerificationURI: s.cfg.Issuer + "/activate",
		Complete:  s.cfg.Issuer + "/activate?" + url.Values{"user_code": {shown}}.Encode(),
		ExpiresIn: int64(s.cfg.DeviceTTL.Seconds()), Interval: int64(deviceInterval.Seconds()),
	}, nil
}

// putDevice stores the request under a user code that nobody else has at the moment.
func (s *Server) putDevice(ctx context.Context, c *Call, cl *client.Client, d *Device) error {
	ev := s.event(c, audit.DeviceCodeRequested, cl)
	ev.Actor = string(cl.ID)
	for range 5 {
		d.UserCode = newUserCode()
		err := s.store.PutDevice(ctx, d, ev)
		if !fault.Is(err, fault.Conflict) {
			return err
		}
	}
	return fault.RetryAfter(fault.Unavailable, deviceInterval, "no user code is free; try again in a moment")
}

// newUserCode draws a code without bias: bytes past the last whole multiple of 20 are thrown away.
func newUserCode() string {
	out := make([]byte, 0, userCodeLen)
	var b [16]byte
	for len(out) < userCodeLen {
		rand.Read(b[:])
		for _, v := range b {
			if v < 240 && len(out) < userCodeLen {
				out = append(out, userCodeAlphabet[int(v)%len(userCodeAlphabet)])
			}
		}
	}
	return string(out)
}

// ParseUserCode normalises what a person typed: case, spaces and dashes do not count (RFC 8628 §6.1). False if it cannot be a code.
func ParseUserCode(s string) (string, bool) {
	if len(s) > 64 {
		return "", false
	}
	var b strings.Builder
	for _, r := range strings.ToUpper(s) {
		switch {
		case strings.ContainsRune(userCodeAlphabet, r):
			b.WriteRune(r)
		case r == '-' || r == ' ' || r == '\t' || r == '\u2013' || r == '\u2014' || r == '.':
		default:
			return "", false
		}
	}
	return b.String(), b.Len() == userCodeLen
}

// FormatUserCode writes a normalised code as people read it: WDJB-MJHT.
func FormatUserCode(code string) string {
	if len(code) != userCodeLen {
		return code
	}
	return code[:userCodeLen/2] + "-" + code[userCodeLen/2:]
}

// Pending is a device's request as the person who decides sees it.
type Pending struct {
	Device *Device
	Client *client.Client
}

// PendingDevice finds the request that a typed user code stands for. NotFound: there is none, or it was answered, or it has expired.
func (s *Server) PendingDevice(ctx context.Context, typed string, now time.Time) (*Pending, error) {
	none := fault.New(fault.NotFound, "That code is not known, or has expired. Check it, or start again on the device.")
	code, ok := ParseUserCode(typed)
	if !ok {
		return nil, none
	}
	d, err := s.store.DeviceByUserCode(ctx, code, now)
	if fault.Is(err, fault.NotFound) {
		return nil, none
	}
	if err != nil {
		return nil, err
	}
	cl, err := s.client(ctx, d.Client)
	if err != nil {
		return nil, none
	}
	return &Pending{Device: d, Client: cl}, nil
}

// DecideDevice takes the person's answer (RFC 8628 §3.3).
func (s *Server) DecideDevice(ctx context.Context, c *Call, typed string, approve bool) (*Pending, error) {
	if c.Session == nil {
		return nil, fault.New(fault.Denied, "Sign in before you answer for a device.")
	}
	p, err := s.PendingDevice(ctx, typed, c.Now)
	if err != nil {
		return nil, err
	}
	d, sess := p.Device, c.Session
	dec := DeviceDecision{UserCode: d.UserCode, Approve: approve, Now: c.Now}
	ev := s.event(c, audit.DeviceCodeDenied, p.Client)
	if approve {
		dec.Grant = deviceGrant(d, sess, c.Now)
		ev.Type, ev.Grant = audit.DeviceCodeApproved, string(dec.Grant.ID)
	}
	err = s.store.DecideDevice(ctx, dec, ev)
	if fault.Is(err, fault.Consumed) || fault.Is(err, fault.NotFound) {
		return nil, fault.Wrap(fault.NotFound, err, "That code has been answered already, or has expired. Start again on the device.")
	}
	return p, err
}

// deviceGrant is what an approved device gets. It is not bound to the browser session that approved it: the television
// stays signed in when the phone signs out.
func deviceGrant(d *Device, sess *identity.Session, now time.Time) *Grant {
	return &Grant{
		ID: GrantID(secret.NewID(now)), Client: d.Client, User: sess.User, Kind: client.GrantTypeDevice, Scopes: d.Scopes, Resources: d.Resources,
		AuthTime: sess.AuthTime, AMR: sess.AMR, ACR: sess.ACR, IP: d.IP, Agent: d.Agent, CreatedAt: now, LastUsedAt: now,
	}
}
