package store

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

const clientCols = "id, name, description, uri, logo_uri, public, auth_method, jwks, jwks_uri, grants, redirects, post_logout, scopes, " +
	"resources, token_format, alg, first_party, plain_pkce, require_pkce, rotation, access_ttl, id_token_ttl, refresh_ttl, disabled, " +
	"created_at, updated_at, roles, from_networks, to_hosts, to_routes, dpop_bound, cert_bound, keep_refresh"

func scanClient(r sqldb.Row) (*client.Client, error) {
	var c client.Client
	err := r.Scan((*string)(&c.ID), &c.Name, &c.Description, &c.URI, &c.LogoURI, &c.Public, &c.AuthMethod, raw{&c.JWKS}, &c.JWKSURI,
		words{&c.Grants}, words{&c.Redirects}, words{&c.PostLogout}, words{&c.Scopes}, words{&c.Resources}, &c.TokenFormat, &c.Alg,
		&c.FirstParty, &c.PlainPKCE, &c.RequirePKCE, &c.Rotation, span{&c.AccessTTL}, span{&c.IDTokenTTL}, span{&c.RefreshTTL},
		&c.Disabled, stamp{&c.CreatedAt}, stamp{&c.UpdatedAt}, words{&c.Roles}, words{&c.Networks}, words{&c.Hosts}, words{&c.Routes},
		&c.DPoPBound, &c.CertBound, &c.ServerSideRefresh)
	return &c, err
}

func clientArgs(c *client.Client) []any {
	return []any{
		c.ID, c.Name, c.Description, c.URI, c.LogoURI, c.Public, c.AuthMethod, string(c.JWKS), c.JWKSURI,
		join(c.Grants), join(c.Redirects), join(c.PostLogout), join(c.Scopes), join(c.Resources), c.TokenFormat, c.Alg,
		c.FirstParty, c.PlainPKCE, c.RequirePKCE, c.Rotation, c.AccessTTL.Milliseconds(), c.IDTokenTTL.Milliseconds(),
		c.RefreshTTL.Milliseconds(), c.Disabled, ms(c.CreatedAt), ms(c.UpdatedAt), join(c.Roles), join(c.Networks), join(c.Hosts),
		join(c.Routes), c.DPoPBound, c.CertBound, c.ServerSideRefresh,
	}
}

// Client gives a client from memory, or NotFound. The value is shared: never change it.
func (d *DB) Client(_ context.Context, id client.ID) (*client.Client, error) {
	if c := (*d.memory.clients.Load())[id]; c != nil {
		return c, nil
	}
	return nil, notFound("client")
}

// loadClients replaces the clients in memory by those in the database.
func (d *DB) loadClients(ctx context.Context) error {
	all := make(map[client.ID]*client.Client)
	err := each(ctx, d.sql, func(r sqldb.Row) error {
		c, err := scanClient(r)
		all[c.ID] = c
		return err
	}, "SELECT "+clientCols+" FROM clients")
	if err != nil {
		return err
	}
	err = each(ctx, d.sql, func(r sqldb.Row) error {
		var id client.ID
		var s client.Secret
		err := r.Scan((*string)(&id), &s.ID, (*string)(&s.Hash), stamp{&s.CreatedAt}, stamp{&s.ExpiresAt})
		if c := all[id]; c != nil { // nil: made after the clients were read; its number has moved, too
			c.Secrets = append(c.Secrets, s)
		}
		return err
	}, "SELECT client_id, id, hash, created_at, expires_at FROM client_secrets ORDER BY created_at DESC, id DESC")
	if err == nil {
		d.memory.clients.Store(&all)
	}
	return err
}

// changeClients runs a change of clients. The topic's row is locked first, so that
// such changes come one after another.
func (d *DB) changeClients(ctx context.Context, ev []audit.Event, f func(tx sqldb.Tx) ([]oauth.Revocation, error)) error {
	err := d.end(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		if _, err := bump(ctx, tx, TopicClients, 1); err != nil {
			return nil, err
		}
		return f(tx)
	})
	if err == nil {
		d.committed(ctx)
	}
	return err
}

// CreateClient stores a new client with its secrets: Conflict if the id is taken.
func (d *DB) CreateClient(ctx context.Context, c *client.Client, ev ...audit.Event) error {
	return d.changeClients(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		if _, err := tx.Exec(ctx, "INSERT INTO clients ("+clientCols+") VALUES ("+params(1, 33)+")", clientArgs(c)...); err != nil {
			return nil, err
		}
		for _, s := range c.Secrets {
			if err := insertSecret(ctx, tx, c.ID, s); err != nil {
				return nil, err
			}
		}
		return nil, raiseLife(ctx, tx, c.AccessTTL)
	})
}

func insertSecret(ctx context.Context, tx sqldb.Tx, id client.ID, s client.Secret) error {
	_, err := tx.Exec(ctx, "INSERT INTO client_secrets (id, client_id, hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
		s.ID, id, s.Hash, ms(s.CreatedAt), ms(s.ExpiresAt))
	return err
}

// UpdateClient stores a client's registration; not its secrets, and not when it was made. Disabling it revokes its tokens.
func (d *DB) UpdateClient(ctx context.Context, c *client.Client, ev ...audit.Event) error {
	return d.changeClients(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		var dead []oauth.Revocation
		if c.Disabled {
			live, err := exists(ctx, tx, "SELECT 1 FROM clients WHERE id = $1 AND disabled = FALSE", c.ID)
			if err != nil {
				return nil, err
			}
			if live {
				dead = append(dead, d.entry(oauth.RevokeClient, string(c.ID), c.UpdatedAt))
			}
		}
		n, err := tx.Exec(ctx, `UPDATE clients SET name = $1, description = $2, uri = $3, logo_uri = $4, public = $5, auth_method = $6,
			jwks = $7, jwks_uri = $8, grants = $9, redirects = $10, post_logout = $11, scopes = $12, resources = $13, token_format = $14,
			alg = $15, first_party = $16, plain_pkce = $17, require_pkce = $18, rotation = $19, access_ttl = $20, id_token_ttl = $21,
			refresh_ttl = $22, disabled = $23, updated_at = $24, roles = $25, from_networks = $26, to_hosts = $27, to_routes = $28,
			dpop_bound = $29, cert_bound = $30, keep_refresh = $31 WHERE id = $32`,
			c.Name, c.Description, c.URI, c.LogoURI, c.Public, c.AuthMethod, string(c.JWKS), c.JWKSURI, join(c.Grants), join(c.Redirects),
			join(c.PostLogout), join(c.Scopes), join(c.Resources), c.TokenFormat, c.Alg, c.FirstParty, c.PlainPKCE, c.RequirePKCE,
			c.Rotation, c.AccessTTL.Milliseconds(), c.IDTokenTTL.Milliseconds(), c.RefreshTTL.Milliseconds(), c.Disabled, ms(c.UpdatedAt),
			join(c.Roles), join(c.Networks), join(c.Hosts), join(c.Routes), c.DPoPBound, c.CertBound, c.ServerSideRefresh, c.ID)
		if err := one(n, err, "client"); err != nil {
			return nil, err
		}
		return dead, raiseLife(ctx, tx, c.AccessTTL)
	})
}

// DeleteClient deletes a client with its grants, codes and consents, and revokes its tokens.
func (d *DB) DeleteClient(ctx context.Context, id client.ID, now time.Time, ev ...audit.Event) error {
	return d.changeClients(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		n, err := tx.Exec(ctx, "DELETE FROM clients WHERE id = $1", id)
		if err := one(n, err, "client"); err != nil {
			return nil, err
		}
		if _, err := tx.Exec(ctx, "DELETE FROM codes WHERE client_id = $1", id); err != nil {
			return nil, err
		}
		return []oauth.Revocation{d.entry(oauth.RevokeClient, string(id), now)}, nil
	})
}

// AddSecret gives a client a new secret. Of its secrets the newest keepNewest stay, the new one counted; the
// former ones among them expire at oldExpires, unless they do so earlier.
func (d *DB) AddSecret(ctx context.Context, id client.ID, s client.Secret, keepNewest int, oldExpires time.Time, ev ...audit.Event) error {
	return d.changeClients(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		n, err := tx.Exec(ctx, "UPDATE clients SET updated_at = $1 WHERE id = $2", ms(s.CreatedAt), id)
		if err := one(n, err, "client"); err != nil {
			return nil, err
		}
		former, err := idsOf[string](ctx, tx, "SELECT id FROM client_secrets WHERE client_id = $1 ORDER BY created_at DESC, id DESC", id)
		if err != nil {
			return nil, err
		}
		for i, old := range former {
			text, args := "DELETE FROM client_secrets WHERE id = $1", []any{old}
			if i < keepNewest-1 {
				text = "UPDATE client_secrets SET expires_at = $1 WHERE id = $2 AND (expires_at = 0 OR expires_at > $1)"
				args = []any{ms(oldExpires), old}
			}
			if _, err := tx.Exec(ctx, text, args...); err != nil {
				return nil, err
			}
		}
		return nil, insertSecret(ctx, tx, id, s)
	})
}

// ClientQuery selects clients.
type ClientQuery struct {
	Search        string // part of an id or name; "" for all
	Limit, Offset int    // default limit 100
}

// ListClients gives clients by name, from memory, and how many the query has in all. The values are shared.
func (d *DB) ListClients(_ context.Context, q ClientQuery) (clients []*client.Client, total int, err error) {
	search := strings.ToLower(strings.TrimSpace(q.Search))
	for _, c := range *d.memory.clients.Load() {
		if strings.Contains(strings.ToLower(c.Name), search) || strings.Contains(strings.ToLower(string(c.ID)), search) {
			clients = append(clients, c)
		}
	}
	slices.SortFunc(clients, func(a, b *client.Client) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), strings.Compare(string(a.ID), string(b.ID)))
	})
	total = len(clients)
	from := min(max(q.Offset, 0), total)
	to := min(from+int(limit(q.Limit)), total)
	return clients[from:to], total, nil
}
