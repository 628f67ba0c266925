package admin

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const (
	// maxSecrets is how many active secrets a client has at most.
	maxSecrets = 5
	// rotatedSecrets is how many secrets a rotation leaves: the new one and the one before it.
	rotatedSecrets = 2
)

// AddedSecret is a secret that was added to a client.
type AddedSecret struct {
	Client    *client.Client
	ID        string
	Secret    string    // returned this once
	ExpiresAt time.Time // zero: never
}

// newSecret returns a secret that expires after the time of the settings, or never.
func (o *Operations) newSecret(plain string, now time.Time) client.Secret {
	s := client.Secret{ID: secret.NewID(now), Hash: o.parts.Keys.Hash(plain), CreatedAt: now}
	if o.cfg.SecretLifetime > 0 {
		s.ExpiresAt = now.Add(o.cfg.SecretLifetime)
	}
	return s
}

// clientWithSecret returns a client that authenticates by a secret, or a denial.
func (o *Operations) clientWithSecret(ctx context.Context, ref string) (*client.Client, error) {
	c, err := o.client(ctx, ref)
	if err != nil {
		return nil, err
	}
	if !c.HasSecret() {
		return nil, fault.New(fault.Denied,
			"client %s authenticates by %s and has no secret", c.ID, c.AuthMethod)
	}
	return c, nil
}

// AddSecret adds a secret to a client beside those that it has. It expires after ttl; 0 means
// the lifetime of the settings.
func (o *Operations) AddSecret(
	ctx context.Context, a Actor, ref string, ttl time.Duration,
) (*AddedSecret, error) {
	if err := o.authorize(a, ScopeClientsWrite); err != nil {
		return nil, err
	}
	return o.addSecret(ctx, a, ref, ttl)
}

// addSecret adds a secret for an actor that may do so.
func (o *Operations) addSecret(
	ctx context.Context, a Actor, ref string, ttl time.Duration,
) (*AddedSecret, error) {
	c, err := o.clientWithSecret(ctx, ref)
	if err != nil {
		return nil, err
	}
	now := o.parts.Now()
	out := &AddedSecret{Client: c, Secret: secret.NewToken(secret.PrefixClientSecret)}
	s := o.newSecret(out.Secret, now)
	ev := o.clientChange(a, audit.ClientSecretAdded, c.ID, now)
	ev.Detail = map[string]string{"secret_id": s.ID}
	if ttl > 0 {
		s.ExpiresAt = now.Add(ttl)
	}
	if !s.ExpiresAt.IsZero() {
		ev.Detail["expires_at"] = s.ExpiresAt.UTC().Format(time.RFC3339)
	}
	out.ID, out.ExpiresAt = s.ID, s.ExpiresAt
	err = o.store.AddSecret(ctx, c.ID, s, maxSecrets, ev)
	if fault.Reason(err) == ReasonTooManySecrets {
		return nil, &fault.Error{
			Kind:   fault.Conflict,
			Reason: ReasonTooManySecrets,
			Text: "client " + string(c.ID) +
				" has as many active secrets as a client may have; remove one first",
		}
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// RemoveSecret deletes a secret of a client, which can no longer authenticate by it. Tokens that
// it got stay. The only active secret of a client that authenticates by one is deleted with force
// only; without it the error is fault.Conflict with ReasonLastSecret.
func (o *Operations) RemoveSecret(
	ctx context.Context, a Actor, ref, secretID string, force bool,
) (*ChangedClient, error) {
	if err := o.authorize(a, ScopeClientsWrite); err != nil {
		return nil, err
	}
	return o.removeSecret(ctx, a, ref, secretID, force)
}

// removeSecret deletes a secret for an actor that may do so.
func (o *Operations) removeSecret(
	ctx context.Context, a Actor, ref, secretID string, force bool,
) (*ChangedClient, error) {
	c, err := o.client(ctx, ref)
	if err != nil {
		return nil, err
	}
	now := o.parts.Now()
	ev := o.clientChange(a, audit.ClientSecretRemoved, c.ID, now)
	ev.Detail = map[string]string{"secret_id": secretID}
	err = o.store.RemoveSecret(ctx, c.ID, secretID, c.HasSecret() && !force, now, ev)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, fault.New(fault.NotFound, "client %s has no secret with the id %.64q", c.ID, secretID)
	case fault.Reason(err) == ReasonLastSecret:
		return nil, &fault.Error{
			Kind:   fault.Conflict,
			Reason: ReasonLastSecret,
			Text: "this is the only active secret of client " + string(c.ID) +
				", which could no longer authenticate; add another one first",
		}
	case err != nil:
		return nil, err
	}
	if c, err = o.store.Client(ctx, c.ID); err != nil {
		return nil, err
	}
	out := &ChangedClient{Client: c}
	if c.HasSecret() && c.ActiveSecrets(now) == 0 {
		out.Warnings = []Warning{{Code: WarnNoActiveSecret, Subject: string(c.ID)}}
	}
	return out, nil
}

// RemoveOldSecrets deletes all secrets of a client but the newest active one, and returns how many.
func (o *Operations) RemoveOldSecrets(ctx context.Context, a Actor, ref string) (int, error) {
	if err := o.authorize(a, ScopeClientsWrite); err != nil {
		return 0, err
	}
	c, err := o.client(ctx, ref)
	if err != nil {
		return 0, err
	}
	now, removed, keeps := o.parts.Now(), 0, false
	for i := range c.Secrets {
		s := &c.Secrets[i]
		if !keeps && s.Active(now) {
			keeps = true
			continue
		}
		_, err := o.RemoveSecret(ctx, a, string(c.ID), s.ID, false)
		switch {
		case fault.Is(err, fault.NotFound): // removed by somebody else
		case err != nil:
			return removed, err
		default:
			removed++
		}
	}
	return removed, nil
}

// RotateSecret adds a new secret to a client. The one before it expires after the grace period,
// which may be 0; older ones end at once.
func (o *Operations) RotateSecret(ctx context.Context, a Actor, ref string, grace time.Duration,
) (*ChangedClient, error) {
	if err := o.authorize(a, ScopeClientsWrite); err != nil {
		return nil, err
	}
	return o.rotateSecret(ctx, a, ref, grace)
}

// rotateSecret adds a new secret and ends the others for an actor that may do so.
func (o *Operations) rotateSecret(ctx context.Context, a Actor, ref string, grace time.Duration,
) (*ChangedClient, error) {
	return o.replaceSecret(ctx, a, ref, secret.NewToken(secret.PrefixClientSecret), grace)
}

// replaceSecret adds a given secret and ends the others for an actor that may do so.
func (o *Operations) replaceSecret(
	ctx context.Context, a Actor, ref, plain string, grace time.Duration,
) (*ChangedClient, error) {
	c, err := o.clientWithSecret(ctx, ref)
	if err != nil {
		return nil, err
	}
	now := o.parts.Now()
	out := &ChangedClient{Client: c, Secret: plain}
	ends := now.Add(grace)
	if len(c.Secrets) > 0 {
		out.Previous = ends
	}
	if grace > 0 {
		out.Warnings = rotationWarnings(c, ends)
	}
	ev := o.clientChange(a, audit.ClientSecretRotated, c.ID, now)
	ev.Detail = map[string]string{"grace": grace.String()}
	if err := o.noticeRotation(ctx, a, c, &ev, now); err != nil {
		return nil, err
	}
	return out, o.store.RotateSecret(ctx, c.ID, o.newSecret(out.Secret, now), rotatedSecrets, ends, ev)
}

// rotationWarnings names the secrets that end by a rotation although they would have outlived its
// grace period.
func rotationWarnings(c *client.Client, ends time.Time) []Warning {
	var out []Warning
	for i := rotatedSecrets - 1; i < len(c.Secrets); i++ {
		if s := &c.Secrets[i]; s.Active(ends) {
			out = append(out, Warning{Code: WarnSecretEnded, Subject: s.ID})
		}
	}
	return out
}
