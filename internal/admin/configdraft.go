package admin

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

// draftStore is a store whose changes of what documents describe stay in memory: operations on it
// show what they would do, and a later one sees what an earlier one has done.
type draftStore struct {
	Store
	clients  map[client.ID]*client.Client
	scopes   map[string]*oauth.Scope
	roles    map[string]*identity.Role
	routes   []access.Route
	webhooks []webhook.Webhook
}

func newDraftStore(ctx context.Context, s Store) (*draftStore, error) {
	hooks, err := s.ListWebhooks(ctx)
	return &draftStore{
		Store:    s,
		clients:  maps.Clone(s.Clients()),
		scopes:   maps.Clone(s.Scopes()),
		roles:    maps.Clone(s.RoleDefinitions()),
		routes:   slices.Clone(s.Routes()),
		webhooks: slices.Clone(hooks),
	}, err
}

// Record records nothing.
func (d *draftStore) Record(context.Context, ...audit.Event) error { return nil }

// Clients returns all clients as they would be.
func (d *draftStore) Clients() map[client.ID]*client.Client { return d.clients }

// Client returns a client as it would be, or fault.NotFound.
func (d *draftStore) Client(_ context.Context, id client.ID) (*client.Client, error) {
	if c := d.clients[id]; c != nil {
		return c, nil
	}
	return nil, fault.New(fault.NotFound, "there is no such client")
}

// CreateClient adds a client to the draft.
func (d *draftStore) CreateClient(_ context.Context, c *client.Client, _ ...audit.Event) error {
	if d.clients[c.ID] != nil {
		return fault.New(fault.Conflict, "there is a client %q already", c.ID)
	}
	d.clients[c.ID] = c
	return nil
}

// UpdateClientAt changes a client of the draft.
func (d *draftStore) UpdateClientAt(_ context.Context, _ int64, _, c *client.Client, _ ...audit.Event) error {
	d.clients[c.ID] = c
	return nil
}

// DeleteClientAt removes a client from the draft.
func (d *draftStore) DeleteClientAt(_ context.Context, _ int64, id client.ID, _ time.Time, _ ...audit.Event) error {
	delete(d.clients, id)
	return nil
}

// Scopes returns all scopes as they would be.
func (d *draftStore) Scopes() map[string]*oauth.Scope { return d.scopes }

// CreateScope adds a scope to the draft.
func (d *draftStore) CreateScope(_ context.Context, s *oauth.Scope, _ ...audit.Event) error {
	d.scopes[s.Name] = s
	return nil
}

// UpdateScopeAt changes a scope of the draft.
func (d *draftStore) UpdateScopeAt(_ context.Context, _ int64, _, s *oauth.Scope, _ ...audit.Event) error {
	d.scopes[s.Name] = s
	return nil
}

// DeleteScopeAt removes a scope from the draft.
func (d *draftStore) DeleteScopeAt(_ context.Context, _ int64, name string, _ ...audit.Event) error {
	delete(d.scopes, name)
	return nil
}

// RoleDefinitions returns all roles as they would be.
func (d *draftStore) RoleDefinitions() map[string]*identity.Role { return d.roles }

// CreateRole adds a role to the draft.
func (d *draftStore) CreateRole(_ context.Context, r *identity.Role, _ ...audit.Event) error {
	d.roles[r.Name] = r
	return nil
}

// UpdateRole changes a role of the draft.
func (d *draftStore) UpdateRole(_ context.Context, _, r *identity.Role, _ ...audit.Event) error {
	d.roles[r.Name] = r
	return nil
}

// DeleteRoleAt removes a role from the draft.
func (d *draftStore) DeleteRoleAt(_ context.Context, _ int64, name string, _ ...audit.Event) error {
	delete(d.roles, name)
	return nil
}

// Routes returns the stored routes as they would be.
func (d *draftStore) Routes() []access.Route { return slices.Clone(d.routes) }

// CreateRoute adds a route to the draft.
func (d *draftStore) CreateRoute(
	_ context.Context, r *access.Route, check func([]access.Route) error, _ ...audit.Event,
) error {
	d.routes = append(d.routes, *r)
	return d.checkRoutes(check)
}

func (d *draftStore) checkRoutes(check func([]access.Route) error) error {
	if check == nil {
		return nil
	}
	return check(d.routes)
}

// UpdateRouteAt changes a route of the draft.
func (d *draftStore) UpdateRouteAt(
	_ context.Context, _ int64, _, r *access.Route, check func([]access.Route) error, _ ...audit.Event,
) error {
	for i := range d.routes {
		if d.routes[i].ID == r.ID {
			d.routes[i] = *r
		}
	}
	return d.checkRoutes(check)
}

// DeleteRouteAt removes a route from the draft.
func (d *draftStore) DeleteRouteAt(_ context.Context, _ int64, id string, _ ...audit.Event) error {
	d.routes = slices.DeleteFunc(d.routes, func(r access.Route) bool { return r.ID == id })
	return nil
}

// ListWebhooks returns all webhooks as they would be. Later changes of the draft do not show in
// what it returns.
func (d *draftStore) ListWebhooks(context.Context) ([]webhook.Webhook, error) {
	return slices.Clone(d.webhooks), nil
}

// Webhook returns a webhook as it would be, or fault.NotFound.
func (d *draftStore) Webhook(_ context.Context, id webhook.ID) (*webhook.Webhook, error) {
	for _, w := range d.webhooks {
		if w.ID == id {
			return &w, nil
		}
	}
	return nil, fault.New(fault.NotFound, "there is no such webhook")
}

// CreateWebhook adds a webhook to the draft.
func (d *draftStore) CreateWebhook(_ context.Context, w *webhook.Webhook, _ ...audit.Event) error {
	if len(d.webhooks) >= webhook.Max {
		return fault.New(fault.Conflict, "there would be more than %d webhooks", webhook.Max)
	}
	d.webhooks = append(d.webhooks, *w)
	return nil
}

// UpdateWebhook changes a webhook of the draft.
func (d *draftStore) UpdateWebhook(_ context.Context, _, w *webhook.Webhook, _ ...audit.Event) error {
	for i := range d.webhooks {
		if d.webhooks[i].ID == w.ID {
			d.webhooks[i] = *w
		}
	}
	return nil
}

// DeleteWebhook removes a webhook from the draft.
func (d *draftStore) DeleteWebhook(_ context.Context, id webhook.ID, _ ...audit.Event) error {
	d.webhooks = slices.DeleteFunc(d.webhooks, func(w webhook.Webhook) bool { return w.ID == id })
	return nil
}

// notDrafted returns the error of a change that a draft cannot hold. Without it, the change would
// go to the database.
func notDrafted() error {
	return fault.New(fault.Internal, "a draft cannot hold this change")
}

// CreateClientOnce returns an error.
func (d *draftStore) CreateClientOnce(context.Context, string, *client.Client, ...audit.Event) error {
	return notDrafted()
}

// AddSecret returns an error.
func (d *draftStore) AddSecret(context.Context, client.ID, client.Secret, int, ...audit.Event) error {
	return notDrafted()
}

// RemoveSecret returns an error.
func (d *draftStore) RemoveSecret(
	context.Context, client.ID, string, bool, time.Time, ...audit.Event,
) error {
	return notDrafted()
}

// RotateSecret returns an error.
func (d *draftStore) RotateSecret(
	context.Context, client.ID, client.Secret, int, time.Time, ...audit.Event,
) error {
	return notDrafted()
}

// RevokeClientTokens returns an error.
func (d *draftStore) RevokeClientTokens(context.Context, client.ID, time.Time, ...audit.Event) error {
	return notDrafted()
}

// EndClientGrant returns an error.
func (d *draftStore) EndClientGrant(context.Context, client.ID, oauth.GrantID, time.Time, ...audit.Event) error {
	return notDrafted()
}

// ResendDelivery returns an error.
func (d *draftStore) ResendDelivery(context.Context, webhook.ID, string, ...audit.Event) error {
	return notDrafted()
}

// SaveDelivery returns an error.
func (d *draftStore) SaveDelivery(context.Context, *webhook.Delivery, ...audit.Event) error {
	return notDrafted()
}

// SaveConfig returns an error.
func (d *draftStore) SaveConfig(
	context.Context, *ConfigDocument, map[ConfigMark]string, ...audit.Event,
) error {
	return notDrafted()
}

// Together returns an error.
func (d *draftStore) Together(context.Context, func(Store, func() error) error) error {
	return notDrafted()
}

// RotateKeys returns an error.
func (d *draftStore) RotateKeys(
	context.Context, jose.StoredKey, []string, time.Time, time.Time, ...audit.Event,
) error {
	return notDrafted()
}

// RetireKeys returns an error.
func (d *draftStore) RetireKeys(
	context.Context, []string, time.Time, time.Time, ...audit.Event,
) error {
	return notDrafted()
}
