package admin

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// ClientPatch is a change of the fields in client.Fields.
type ClientPatch = field.Patch[client.Client]

// NewClient is a registration to create.
type NewClient struct {
	ID     client.ID // "": a UUIDv7
	Fields ClientPatch

	registration client.Registration
	secret       string // that it has elsewhere, or ""
}

// ChangedClient is a client after it was created, updated or given a secret.
type ChangedClient struct {
	Client   *client.Client
	Secret   string    // a new secret, returned this once; "" if there is none
	Previous time.Time // when the secret before the new one expires; zero if there was none
	Warnings []Warning
}

// Clients returns a page of clients, by name where no other order is asked for. The values are
// shared and must not be changed.
func (o *Operations) Clients(ctx context.Context, a Actor, q ClientQuery) (*List[*client.Client], error) {
	if err := o.authorize(a, ScopeClientsRead); err != nil {
		return nil, err
	}
	requested := q.Sort.By
	q, err := checkClientQuery(q)
	if err != nil {
		return nil, err
	}
	found, err := listQuery(o, "clients", q, q.Page, func(p Page, after *Position) (Rows[*client.Client], error) {
		q.Page = p
		return o.store.ListClients(ctx, q, after)
	})
	if err == nil {
		found.requestedBy(requested)
	}
	return found, err
}

// checkClientQuery returns a query with its order, or what is wrong with it.
func checkClientQuery(q ClientQuery) (ClientQuery, error) {
	var err error
	if q.Sort, err = checkSort(q.Sort, OrderName, OrderCreated); err != nil {
		return q, err
	}
	if q.Type != "" && q.Type != ClientPublic && q.Type != ClientConfidential {
		return q, fault.InvalidField("type", "there is no type %.32q; the types are public and confidential", q.Type)
	}
	q.Search = strings.TrimSpace(q.Search)
	return q, nil
}

// Client returns the client with that id, or with that name if only one client has it.
func (o *Operations) Client(ctx context.Context, a Actor, ref string) (*client.Client, error) {
	if err := o.authorize(a, ScopeClientsRead); err != nil {
		return nil, err
	}
	return o.client(ctx, ref)
}

// client returns a shared value that must not be changed.
func (o *Operations) client(ctx context.Context, ref string) (*client.Client, error) {
	c, err := o.store.Client(ctx, client.ID(ref))
	if fault.Is(err, fault.NotFound) {
		return o.clientByName(ref)
	}
	return c, err
}

func (o *Operations) clientByName(name string) (*client.Client, error) {
	var found []*client.Client
	for _, c := range o.store.Clients() {
		if strings.EqualFold(c.Name, name) {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, fault.New(fault.NotFound, "there is no client %q", name)
	}
	return nil, fault.New(fault.Conflict, "several clients are called %q; use the id of the one you mean", name)
}

// CreateClient registers a client, with a secret if it authenticates by one.
func (o *Operations) CreateClient(ctx context.Context, a Actor, in NewClient) (*ChangedClient, error) {
	if err := o.authorize(a, ScopeClientsWrite); err != nil {
		return nil, err
	}
	if err := o.checkChosenID(ctx, a, in.ID); err != nil {
		return nil, err
	}
	return o.createClient(ctx, a, in)
}

// draftClient returns the client that is to be created, without its secret.
func (o *Operations) draftClient(in NewClient, now time.Time) (*client.Client, error) {
	if err := checkClientID(in.ID); err != nil {
		return nil, err
	}
	c := &client.Client{ID: in.ID, CreatedAt: now, UpdatedAt: now, Registration: in.registration}
	if c.ID == "" {
		c.ID = client.ID(secret.NewID(now))
	}
	in.Fields.Apply(client.Fields(o.parts.Rules), c)
	if err := c.Normalize(o.parts.Rules); err != nil {
		return nil, err
	}
	if !in.Fields.Has("scope") && (c.CanUseGrant(client.GrantTypeCode) || c.CanUseGrant(client.GrantTypeDevice)) {
		c.Scopes = []string{oauth.ScopeOpenID, oauth.ScopeProfile, oauth.ScopeEmail, oauth.ScopeOffline}
	}
	return c, c.Validate(o.parts.Rules)
}

// createClient registers a client for an actor that may do so.
func (o *Operations) createClient(ctx context.Context, a Actor, in NewClient) (*ChangedClient, error) {
	now := o.parts.Now()
	c, err := o.draftClient(in, now)
	if err != nil {
		return nil, err
	}
	out := &ChangedClient{Client: c}
	switch {
	case c.HasSecret() && in.secret != "":
		c.Secrets = []client.Secret{o.newSecret(in.secret, now)}
	case c.HasSecret():
		out.Secret = secret.NewToken(secret.PrefixClientSecret)
		c.Secrets = []client.Secret{o.newSecret(out.Secret, now)}
	}
	ev := o.clientChange(a, audit.ClientCreated, c.ID, now)
	if by := c.Registration.By; by != "" {
		ev.Detail = map[string]string{"registered_by": by}
	}
	ev.Guard = o.covers(a, ScopeClientsWrite, ofScopes(c.Scopes...), ofRoles(c.Roles...))
	fresh, err := o.publishKeyFor(ctx, &ev, c.Alg)
	if err != nil {
		return nil, err
	}
	err = o.store.CreateClient(ctx, c, ev)
	if fault.Is(err, fault.Conflict) {
		return nil, fault.New(fault.Conflict, "there is a client %q already; choose another id, or update it", c.ID)
	}
	out.Warnings = slices.Concat(fresh, o.clientWarnings(c), o.scopeWarnings(a, c.Scopes))
	return out, err
}

// clientChange returns an event of a change of a client, with the guard that nobody changes a
// client that confers more than they have.
func (o *Operations) clientChange(a Actor, t audit.Type, id client.ID, now time.Time) audit.Event {
	ev := clientEvent(a, t, id, now)
	ev.Guard = o.covers(a, ScopeClientsWrite, storedClient(id))
	return ev
}

func clientEvent(a Actor, t audit.Type, id client.ID, now time.Time) audit.Event {
	ev := a.event(t, now)
	ev.Client = string(id)
	return ev
}

func (o *Operations) clientWarnings(c *client.Client) []Warning {
	var out []Warning
	usable := o.cfg.PasswordGrant && slices.Contains(o.cfg.PasswordClients, string(c.ID))
	if c.CanUseGrant(client.GrantTypePassword) && !usable {
		out = append(out, Warning{Code: WarnPasswordGrantOff, Subject: string(c.ID)})
	}
	if c.HasSecret() && len(c.Secrets) == 0 {
		out = append(out, Warning{Code: WarnNoSecret, Subject: string(c.ID)})
	}
	for _, scheme := range c.CustomSchemesUsed() {
		out = append(out, Warning{Code: WarnCustomScheme, Subject: scheme})
	}
	return out
}

// UpdateClient changes fields of a registration and checks it as a whole. Where nothing differs,
// nothing is stored or recorded.
func (o *Operations) UpdateClient(ctx context.Context, a Actor, ref string, p ClientPatch) (*ChangedClient, error) {
	if err := o.authorize(a, ScopeClientsWrite); err != nil {
		return nil, err
	}
	return o.updateClient(ctx, a, ref, p)
}

// updateClient changes a registration for an actor that may do so.
func (o *Operations) updateClient(ctx context.Context, a Actor, ref string, p ClientPatch) (*ChangedClient, error) {
	old, err := o.client(ctx, ref)
	if err != nil {
		return nil, err
	}
	fields := client.Fields(o.parts.Rules)
	c := *old
	p.Apply(fields, &c)
	if !p.Has("token_endpoint_auth_method") && c.Public != old.Public {
		c.AuthMethod = "" // it follows the type of the client unless it is named
	}
	if err := c.Normalize(o.parts.Rules); err != nil {
		return nil, err
	}
	if err := c.ValidateChange(o.parts.Rules, old); err != nil {
		return nil, err
	}
	now := o.parts.Now()
	c.UpdatedAt = now
	changed := field.Differences(fields, old, &c)
	if err := CheckVersion(p.IfVersion, old.Version, changed); err != nil {
		return nil, err
	}
	if len(changed) == 0 {
		return &ChangedClient{Client: old, Warnings: o.clientWarnings(old)}, nil
	}
	ev := o.clientChange(a, audit.ClientUpdated, c.ID, now)
	ev.Guard = o.covers(a, ScopeClientsWrite, storedClient(c.ID), ofScopes(c.Scopes...), ofRoles(c.Roles...))
	var fresh []Warning
	if c.Alg != old.Alg {
		if fresh, err = o.publishKeyFor(ctx, &ev, c.Alg); err != nil {
			return nil, err
		}
	}
	ev.Detail = map[string]string{"changed": strings.Join(changed, " ")}
	ev.Changes = field.Changes(fields, old, &c)
	if err := o.store.UpdateClientAt(ctx, p.IfVersion, old, &c, ev); err != nil {
		return nil, err
	}
	warnings := slices.Concat(fresh, o.clientWarnings(&c), o.scopeWarnings(a, without(c.Scopes, old.Scopes)))
	return &ChangedClient{Client: &c, Warnings: warnings}, nil
}

// RevokeClientTokens revokes all tokens of a client, and what people and devices have approved:
// they have to sign in again. The client, its secrets and people's consent stay.
func (o *Operations) RevokeClientTokens(
	ctx context.Context, a Actor, ref string,
) (*client.Client, error) {
	if err := o.authorize(a, ScopeClientsWrite); err != nil {
		return nil, err
	}
	c, err := o.client(ctx, ref)
	if err != nil {
		return nil, err
	}
	now := o.parts.Now()
	ev := o.clientChange(a, audit.ClientTokensRevoked, c.ID, now)
	return c, o.store.RevokeClientTokens(ctx, c.ID, now, ev)
}

// DeleteClient deletes a client and revokes all its tokens. A version other than 0 is the one that
// the client must have.
func (o *Operations) DeleteClient(ctx context.Context, a Actor, ref string, version int64) (*client.Client, error) {
	if err := o.authorize(a, ScopeClientsWrite); err != nil {
		return nil, err
	}
	return o.deleteClient(ctx, a, ref, version)
}

// deleteClient deletes a client for an actor that may do so.
func (o *Operations) deleteClient(ctx context.Context, a Actor, ref string, version int64) (*client.Client, error) {
	c, err := o.client(ctx, ref)
	if err != nil {
		return nil, err
	}
	now := o.parts.Now()
	ev := o.clientChange(a, audit.ClientDeleted, c.ID, now)
	ev.Detail = map[string]string{"name": c.Name}
	return c, o.store.DeleteClientAt(ctx, version, c.ID, now, ev)
}
