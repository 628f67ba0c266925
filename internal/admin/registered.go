package admin

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// managed is a client whose registration a caller may manage, with what the caller may register.
type managed struct {
	permission
	client *client.Client
	access *registrationAccess // nil: an administrator
}

// manage returns a registration for a caller who has its registration access token, or who is an
// administrator with a scope.
func (r *Registrar) manage(
	ctx context.Context, g Registrant, id client.ID, scope Scope,
) (*managed, error) {
	if g.Administrator {
		if err := r.authorize(g.Actor, scope); err != nil {
			return nil, err
		}
		c, err := r.freshClient(ctx, id)
		return &managed{permission: permission{actor: g.Actor}, client: c}, err
	}
	access, err := r.openRegistration(ctx, g, id)
	if err != nil {
		return nil, err
	}
	out := &managed{client: access.client, access: access}
	c := access.client
	out.permission = permission{
		actor:  access.actor,
		by:     access.state.By,
		policy: r.policyOf(access.state, c),
		has:    c.Scopes,
	}
	return out, nil
}

// freshClient returns a client as it is stored now.
func (r *Registrar) freshClient(ctx context.Context, id client.ID) (*client.Client, error) {
	if err := r.store.SyncCache(ctx); err != nil {
		return nil, err
	}
	return r.store.Client(ctx, id)
}

// policyOf returns what a client may register of itself: what it might when it was registered, and
// what it has now by an administrator.
func (r *Registrar) policyOf(state *client.Registration, c *client.Client) *RegistrationPolicy {
	p := &RegistrationPolicy{}
	if state.By == client.ByAnybody {
		p = r.openPolicy()
	} else if len(state.Policy) > 0 {
		if err := json.Unmarshal(state.Policy, p); err != nil {
			p = &RegistrationPolicy{}
		}
	}
	p.Grants = union(p.Grants, c.Grants)
	p.Scopes = union(p.Scopes, c.Scopes)
	p.Resources = union(p.Resources, c.Resources)
	return p
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// answer returns a client as its own registration requests are answered, with the token to use
// next.
func (r *Registrar) answer(
	ctx context.Context, in *managed, c *client.Client, changed bool,
) (*RegisteredClient, error) {
	out := &RegisteredClient{Client: c}
	if in.access == nil {
		return out, nil
	}
	out.Token = in.access.token
	if !changed {
		return out, nil
	}
	var err error
	out.Token, err = r.offerSuccessor(ctx, c.ID, in.access)
	return out, err
}

// Registered returns a registration (RFC 7592 §2.1).
func (r *Registrar) Registered(
	ctx context.Context, g Registrant, id client.ID,
) (*RegisteredClient, error) {
	in, err := r.manage(ctx, g, id, ScopeClientsRead)
	if err != nil {
		return nil, err
	}
	return r.answer(ctx, in, in.client, false)
}

// Update changes a registration: as a whole, where members that are left out lose their
// value (RFC 7592 §2.2), or with partly only the members that are named.
func (r *Registrar) Update(
	ctx context.Context, g Registrant, id client.ID, m *client.Metadata, partly bool,
) (*RegisteredClient, error) {
	in, err := r.manage(ctx, g, id, ScopeClientsWrite)
	if err != nil {
		return nil, err
	}
	p, err := r.updatePatch(ctx, in, m, partly)
	if err != nil {
		return nil, RegistrationError(err)
	}
	done, err := r.updateClient(ctx, in.actor, string(id), p)
	if err != nil {
		return nil, RegistrationError(err)
	}
	out, err := r.answer(ctx, in, done.Client, true)
	if err != nil {
		return nil, err
	}
	if c := done.Client; c.HasSecret() && c.ActiveSecrets(r.parts.Now()) == 0 {
		added, err := r.addSecret(ctx, in.actor, string(id), 0)
		if err != nil {
			return nil, err
		}
		out.Secret, out.SecretID, out.ExpiresAt = added.Secret, added.ID, added.ExpiresAt
	}
	return out, nil
}

// updatePatch returns the fields that an update sets.
func (r *Registrar) updatePatch(
	ctx context.Context, in *managed, m *client.Metadata, partly bool,
) (ClientPatch, error) {
	if err := r.checkUpdate(in, m, partly); err != nil {
		return ClientPatch{}, err
	}
	if partly {
		m = merged(client.Fields(r.parts.Rules), in.client, m)
	}
	p, err := r.registrationPatch(&in.permission, m)
	if err != nil {
		return p, err
	}
	if p.Values.Name == "" {
		p.Values.Name = defaultName(in.client.ID, &p.Values)
	}
	if in.anybody() && p.Values.Name != in.client.Name {
		return p, r.checkOpenName(ctx, p.Values.Name)
	}
	return p, nil
}

// checkUpdate checks the members that only the server sets. An update repeats the client's id, and
// its secret if it names one (RFC 7592 §2.2).
func (r *Registrar) checkUpdate(in *managed, m *client.Metadata, partly bool) error {
	if err := checkMembers(m, true); err != nil {
		return err
	}
	if m.ID != in.client.ID && (m.Has("client_id") || !partly && in.access != nil) {
		return oauth.InvalidRequest("An update must contain the client_id of the registration.")
	}
	if !m.Has("client_secret") {
		return nil
	}
	hash, now := r.parts.Keys.Hash(m.Secret), r.parts.Now()
	for i := range in.client.Secrets {
		if s := &in.client.Secrets[i]; s.Active(now) && equalHash(s.Hash, hash) {
			return nil
		}
	}
	return oauth.InvalidRequest("A client cannot choose its client_secret. Leave it out, or repeat the one it has.")
}

// merged returns the metadata of a whole registration: a client's fields, and over them the members
// of a request.
func merged(fields []client.Field, c *client.Client, m *client.Metadata) *client.Metadata {
	out := *m
	out.Fields = ClientPatch{}
	for _, f := range fields {
		from := c
		if m.Fields.Has(f.Name) {
			from = &m.Fields.Values
		} else if !slices.Contains(client.SelfServiceFields(), f.Name) {
			continue
		}
		out.Fields.Names = append(out.Fields.Names, f.Name)
		f.Copy(&out.Fields.Values, from)
	}
	return &out
}

// Delete deletes a client (RFC 7592 §2.3).
func (r *Registrar) Delete(ctx context.Context, g Registrant, id client.ID) error {
	in, err := r.manage(ctx, g, id, ScopeClientsWrite)
	if err != nil {
		return err
	}
	_, err = r.deleteClient(ctx, in.actor, string(id), 0)
	if fault.Is(err, fault.NotFound) && in.access != nil {
		return invalidRegistrationToken()
	}
	return err
}

// RenewSecret adds a new secret to a client and ends all others at once.
func (r *Registrar) RenewSecret(
	ctx context.Context, g Registrant, id client.ID,
) (*RegisteredClient, error) {
	in, err := r.manage(ctx, g, id, ScopeClientsWrite)
	if err != nil {
		return nil, err
	}
	done, err := r.rotateSecret(ctx, in.actor, string(id), 0)
	if err != nil {
		return nil, err
	}
	out, err := r.answer(ctx, in, done.Client, true)
	if err != nil {
		return nil, err
	}
	out.Secret = done.Secret
	if c, err := r.freshClient(ctx, id); err == nil && len(c.Secrets) > 0 {
		out.SecretID, out.ExpiresAt = c.Secrets[0].ID, c.Secrets[0].ExpiresAt
	}
	return out, nil
}

// AddOwnSecret adds a secret to a client beside those that it has.
func (r *Registrar) AddOwnSecret(
	ctx context.Context, g Registrant, id client.ID,
) (*RegisteredClient, error) {
	in, err := r.manage(ctx, g, id, ScopeClientsWrite)
	if err != nil {
		return nil, err
	}
	added, err := r.addSecret(ctx, in.actor, string(id), 0)
	if err != nil {
		return nil, err
	}
	out, err := r.answer(ctx, in, added.Client, true)
	if err != nil {
		return nil, err
	}
	out.Secret, out.SecretID, out.ExpiresAt = added.Secret, added.ID, added.ExpiresAt
	return out, nil
}

// RemoveOwnSecret deletes a secret of a client, but never the only active one.
func (r *Registrar) RemoveOwnSecret(
	ctx context.Context, g Registrant, id client.ID, secretID string,
) error {
	in, err := r.manage(ctx, g, id, ScopeClientsWrite)
	if err != nil {
		return err
	}
	_, err = r.removeSecret(ctx, in.actor, string(id), secretID, false)
	return err
}

// DeleteUnused deletes clients that anybody has registered and that nobody uses.
func (r *Registrar) DeleteUnused(ctx context.Context) (int, error) {
	if r.cfg.Registration.Unused <= 0 {
		return 0, nil
	}
	now, after := r.parts.Now(), r.cfg.Registration.Unused
	ids, err := r.store.UnusedClients(ctx, now.Add(-after), now.Add(-min(after, neverUsed)), maxUnused)
	if err != nil {
		return 0, err
	}
	system := Actor{name: "system"}
	for i, id := range ids {
		if _, err := r.deleteClient(ctx, system, string(id), 0); err != nil && !fault.Is(err, fault.NotFound) {
			return i, err
		}
	}
	return len(ids), nil
}

const (
	// maxUnused bounds the clients that DeleteUnused deletes at a time.
	maxUnused = 200
	// neverUsed is how long a client that anybody registered may wait for its first sign-in. As
	// many as may be registered in this time are fewer than may exist, so that nobody can fill the
	// place.
	neverUsed = 24 * time.Hour
)
