package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

var clientTable = table[client.Client]{
	name: "clients",
	columns: []column[client.Client]{
		{"id", func(c *client.Client) any { return (*string)(&c.ID) }},
		{"name", func(c *client.Client) any { return &c.Name }},
		{"description", func(c *client.Client) any { return &c.Description }},
		{"uri", func(c *client.Client) any { return &c.URI }},
		{"logo_uri", func(c *client.Client) any { return &c.LogoURI }},
		{"brand_color", func(c *client.Client) any { return &c.BrandColor }},
		{"public", func(c *client.Client) any { return &c.Public }},
		{"auth_method", func(c *client.Client) any { return &c.AuthMethod }},
		{"jwks", func(c *client.Client) any { return jsonText{&c.JWKS} }},
		{"jwks_uri", func(c *client.Client) any { return &c.JWKSURI }},
		{"grants", func(c *client.Client) any { return spaceList{&c.Grants} }},
		{"redirects", func(c *client.Client) any { return spaceList{&c.Redirects} }},
		{"post_logout", func(c *client.Client) any { return spaceList{&c.PostLogout} }},
		{"scopes", func(c *client.Client) any { return spaceList{&c.Scopes} }},
		{"resources", func(c *client.Client) any { return spaceList{&c.Resources} }},
		{"token_format", func(c *client.Client) any { return &c.TokenFormat }},
		{"alg", func(c *client.Client) any { return &c.Alg }},
		{"first_party", func(c *client.Client) any { return &c.FirstParty }},
		{"plain_pkce", func(c *client.Client) any { return &c.PlainPKCE }},
		{"require_pkce", func(c *client.Client) any { return &c.RequirePKCE }},
		{"rotation", func(c *client.Client) any { return &c.Rotation }},
		{"access_ttl", func(c *client.Client) any { return millis{&c.AccessTTL} }},
		{"id_token_ttl", func(c *client.Client) any { return millis{&c.IDTokenTTL} }},
		{"refresh_ttl", func(c *client.Client) any { return millis{&c.RefreshTTL} }},
		{"disabled", func(c *client.Client) any { return &c.Disabled }},
		{"created_at", func(c *client.Client) any { return unixMillis{&c.CreatedAt} }},
		{"updated_at", func(c *client.Client) any { return unixMillis{&c.UpdatedAt} }},
		{"roles", func(c *client.Client) any { return spaceList{&c.Roles} }},
		{"from_networks", func(c *client.Client) any { return spaceList{&c.Networks} }},
		{"to_hosts", func(c *client.Client) any { return spaceList{&c.Hosts} }},
		{"to_routes", func(c *client.Client) any { return spaceList{&c.Routes} }},
		{"dpop_bound", func(c *client.Client) any { return &c.DPoPBound }},
		{"cert_bound", func(c *client.Client) any { return &c.CertBound }},
		{"keep_refresh", func(c *client.Client) any { return &c.ServerSideRefresh }},
		{"tos_uri", func(c *client.Client) any { return &c.TermsURI }},
		{"policy_uri", func(c *client.Client) any { return &c.PolicyURI }},
		{"contacts", func(c *client.Client) any { return spaceList{&c.Contacts} }},
		{"request_object_alg", func(c *client.Client) any { return &c.RequestAlg }},
		{"auth_signing_alg", func(c *client.Client) any { return &c.AuthAlg }},
		{"token_typ", func(c *client.Client) any { return &c.TokenTyp }},
		{"id_token_profile", func(c *client.Client) any { return &c.IDTokenProfile }},
		{"strict_assertion_aud", func(c *client.Client) any { return &c.StrictAudience }},
		{"custom_schemes", func(c *client.Client) any { return &c.CustomSchemes }},
		{"introspect_any", func(c *client.Client) any { return &c.IntrospectAny }},
		{"from_origins", func(c *client.Client) any { return spaceList{&c.Origins} }},
		{"rate_limits", func(c *client.Client) any { return jsonText{&c.RateLimits} }},
		{"loopback_only", func(c *client.Client) any { return &c.LoopbackOnly }},
		{"registered_by", func(c *client.Client) any { return &c.Registration.By }},
		{"registration_policy", func(c *client.Client) any { return jsonText{&c.Registration.Policy} }},
		{"registration_chain", func(c *client.Client) any { return &c.Registration.Chain }},
		{"registration_hash", func(c *client.Client) any { return (*string)(&c.Registration.Hash) }},
		{"registration_next", func(c *client.Client) any { return (*string)(&c.Registration.Next) }},
		{"used_at", func(c *client.Client) any { return unixMillis{&c.Registration.UsedAt} }},
		{"version", func(c *client.Client) any { return &c.Version }},
	},
	derived: []column[client.Client]{
		{"name_key", func(c *client.Client) any { return clean(identity.SortKey(c.Name)) }},
	},
}

var secretTable = table[client.Secret]{
	name: "client_secrets",
	columns: []column[client.Secret]{
		{"id", func(s *client.Secret) any { return &s.ID }},
		{"hash", func(s *client.Secret) any { return (*string)(&s.Hash) }},
		{"created_at", func(s *client.Secret) any { return unixMillis{&s.CreatedAt} }},
		{"expires_at", func(s *client.Secret) any { return unixMillis{&s.ExpiresAt} }},
	},
}

var (
	insertClient  = clientTable.insert()
	insertSecret  = secretTable.insert("client_id")
	selectSecrets = "SELECT " + secretTable.list() + ", client_id FROM client_secrets"

	// The client, the time and the bound follow the columns of the secret.
	insertSecretBelow = secretTable.into("client_id") +
		" SELECT " + secretTable.params() + ", " + secretTable.next(1) +
		" WHERE (SELECT COUNT(*) FROM client_secrets WHERE client_id = " + secretTable.next(1) +
		" AND (expires_at = 0 OR expires_at > " + secretTable.next(2) + ")) < " + secretTable.next(3)

	deleteExpiredSecrets = "DELETE FROM client_secrets" +
		" WHERE client_id = $1 AND expires_at <> 0 AND expires_at <= $2 AND id NOT IN" +
		" (SELECT id FROM client_secrets WHERE client_id = $1 ORDER BY created_at DESC, id DESC LIMIT $3)"

	// One that has expired, one beside another active one, or any if the third argument is true.
	deleteSecret = "DELETE FROM client_secrets WHERE id = $1 AND client_id = $2 AND ($3" +
		" OR (expires_at <> 0 AND expires_at <= $4) OR EXISTS (SELECT 1 FROM client_secrets o" +
		" WHERE o.client_id = $2 AND o.id <> $1 AND (o.expires_at = 0 OR o.expires_at > $4)))"
)

// Client returns a client from memory, or NotFound. The value is shared and must not be changed.
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
		c, err := clientTable.scan(r)
		all[c.ID] = c
		return err
	}, "SELECT "+clientTable.list()+" FROM clients")
	if err != nil {
		return err
	}
	err = each(ctx, d.sql, func(r sqldb.Row) error {
		var id client.ID
		var s client.Secret
		err := r.Scan(append(secretTable.dest(nil, &s), (*string)(&id))...)
		if c := all[id]; c != nil { // nil: a client created since they were read; its change is yet to be loaded
			c.Secrets = append(c.Secrets, s)
		}
		return err
	}, selectSecrets+" ORDER BY created_at DESC, id DESC")
	if err == nil {
		d.memory.clients.Store(&all)
	}
	return err
}

// changeClients runs a change of clients. It locks the topic's row first, so that such changes
// come one after another.
func (d *DB) changeClients(
	ctx context.Context, ev []audit.Event, f func(tx sqldb.Tx) ([]oauth.Revocation, error),
) error {
	err := d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		if err := bump(ctx, tx, TopicClients); err != nil {
			return nil, err
		}
		return f(tx)
	})
	if err == nil {
		d.committed(ctx)
	}
	return err
}

// CreateClient stores a new client with its secrets. It returns Conflict if the id is taken.
func (d *DB) CreateClient(ctx context.Context, c *client.Client, ev ...audit.Event) error {
	return d.changeClients(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		c.Version = max(c.Version, 1)
		if _, err := tx.Exec(ctx, insertClient, clientTable.args(c)...); err != nil {
			return nil, err
		}
		if err := d.indexNewClient(ctx, tx, c); err != nil {
			return nil, err
		}
		for i := range c.Secrets {
			if _, err := tx.Exec(ctx, insertSecret, secretTable.args(&c.Secrets[i], c.ID)...); err != nil {
				return nil, err
			}
		}
		return nil, raiseTokenTTL(ctx, tx, c.AccessTTL)
	})
}

// CreateClientOnce stores a new client without secrets unless the database has the mark, and sets
// the mark. If a client has the id already, nothing is changed.
func (d *DB) CreateClientOnce(
	ctx context.Context, mark string, c *client.Client, ev ...audit.Event,
) error {
	if _, err := d.Meta(ctx, mark); !fault.Is(err, fault.NotFound) {
		return err
	}
	err := d.changeClients(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		n, err := tx.Exec(ctx,
			"INSERT INTO meta (name, value) VALUES ($1, 'done') ON CONFLICT (name) DO NOTHING", mark)
		if err := requireOne(n, err, "mark"); err != nil {
			return nil, err // another process has set it
		}
		c.Version = max(c.Version, 1)
		n, err = tx.Exec(ctx, insertClient+" ON CONFLICT (id) DO NOTHING", clientTable.args(c)...)
		if err := requireOne(n, err, "free id"); err != nil {
			return nil, err
		}
		if err := d.indexNewClient(ctx, tx, c); err != nil {
			return nil, err
		}
		return nil, raiseTokenTTL(ctx, tx, c.AccessTTL)
	})
	if fault.Is(err, fault.NotFound) { // nothing was changed
		return nil
	}
	return err
}

// UpdateClient stores the fields in which new differs from old, and the time new.UpdatedAt with
// them; of all other fields the stored values stay, whatever old and new say. Secrets and
// CreatedAt are not updated here. Disabling a client revokes its tokens. Where nothing differs,
// only the events are recorded.
func (d *DB) UpdateClient(ctx context.Context, old, new *client.Client, ev ...audit.Event) error {
	return d.UpdateClientAt(ctx, 0, old, new, ev...)
}

// UpdateClientAt does what UpdateClient does, or returns Stale unless the client has a version; 0
// is any.
func (d *DB) UpdateClientAt(
	ctx context.Context, version int64, old, new *client.Client, ev ...audit.Event,
) error {
	if len(clientTable.differences(old, new, "id", "created_at", "updated_at", "version")) == 0 {
		return d.Record(ctx, ev...)
	}
	next := *new
	next.CreatedAt = old.CreatedAt
	return d.changeClients(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		var revoked []oauth.Revocation
		if err := atVersion(ctx, tx, clientTable.name, "id", string(new.ID), version); err != nil {
			return nil, err
		}
		if new.Disabled && !old.Disabled {
			active, err := exists(ctx, tx, "SELECT 1 FROM clients WHERE id = $1 AND disabled = FALSE", new.ID)
			if err != nil {
				return nil, err
			}
			if active {
				revoked = append(revoked, newRevocation(oauth.RevokeClient, string(new.ID), new.UpdatedAt))
			}
		}
		// Changes of clients come one after another: nothing comes between these two statements.
		var name string
		err := tx.Row(ctx, "SELECT name, version FROM clients WHERE id = $1", new.ID).Scan(&name, &next.Version)
		if err != nil {
			return nil, asNotFound(err, "client")
		}
		next.Version++
		n, err := clientTable.update(ctx, tx, old, &next)
		if err := requireOne(n, err, "client"); err != nil {
			return nil, err
		}
		if next.Name != old.Name {
			before, after := clientTerms(name, new.ID), clientTerms(next.Name, new.ID)
			if err := updateTerms(ctx, tx, "client_terms", string(new.ID), before, after); err != nil {
				return nil, err
			}
		}
		new.Version = next.Version
		return revoked, raiseTokenTTL(ctx, tx, new.AccessTTL)
	})
}

// DeleteClient deletes a client with its grants, codes and consents, and revokes its tokens.
func (d *DB) DeleteClient(
	ctx context.Context, id client.ID, now time.Time, ev ...audit.Event,
) error {
	return d.DeleteClientAt(ctx, 0, id, now, ev...)
}

// DeleteClientAt does what DeleteClient does, or returns Stale unless the client has a version; 0
// is any.
func (d *DB) DeleteClientAt(
	ctx context.Context, version int64, id client.ID, now time.Time, ev ...audit.Event,
) error {
	return d.changeClients(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		if err := atVersion(ctx, tx, clientTable.name, "id", string(id), version); err != nil {
			return nil, asNotFound(err, "client")
		}
		var name string
		if err := tx.Row(ctx, "SELECT name FROM clients WHERE id = $1", id).Scan(&name); err != nil {
			return nil, asNotFound(err, "client")
		}
		if err := updateTerms(ctx, tx, "client_terms", string(id), clientTerms(name, id), nil); err != nil {
			return nil, err
		}
		if err := d.addCount(ctx, tx, countClients, -1); err != nil {
			return nil, err
		}
		n, err := tx.Exec(ctx, "DELETE FROM clients WHERE id = $1", id)
		if err := requireOne(n, err, "client"); err != nil {
			return nil, err
		}
		if _, err := tx.Exec(ctx, "DELETE FROM codes WHERE client_id = $1", id); err != nil {
			return nil, err
		}
		return []oauth.Revocation{newRevocation(oauth.RevokeClient, string(id), now)}, nil
	})
}

// RevokeClientTokens ends all approvals of a client, and its tokens with them. The client stays.
func (d *DB) RevokeClientTokens(
	ctx context.Context, id client.ID, now time.Time, ev ...audit.Event,
) error {
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		found, err := exists(ctx, tx, "SELECT 1 FROM clients WHERE id = $1", id)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, fault.New(fault.NotFound, "no such client")
		}
		for _, text := range []string{
			"DELETE FROM codes WHERE client_id = $1",
			"DELETE FROM devices WHERE client_id = $1",
			"DELETE FROM grants WHERE client_id = $1",
		} {
			if _, err := tx.Exec(ctx, text, id); err != nil {
				return nil, err
			}
		}
		return []oauth.Revocation{newRevocation(oauth.RevokeClient, string(id), now)}, nil
	})
}

// AddSecret adds a secret to a client; the others stay as they are. It returns Conflict with
// ReasonTooManySecrets if the client has maxSecrets active ones at the time of s.CreatedAt.
// Expired secrets stay for diagnosis while they are among the newest maxSecrets.
func (d *DB) AddSecret(
	ctx context.Context, id client.ID, s client.Secret, maxSecrets int, ev ...audit.Event,
) error {
	now := unixMilli(s.CreatedAt)
	return d.changeClients(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		n, err := tx.Exec(ctx, "UPDATE clients SET updated_at = $1 WHERE id = $2", now, id)
		if err := requireOne(n, err, "client"); err != nil {
			return nil, err
		}
		n, err = tx.Exec(ctx, insertSecretBelow, secretTable.args(&s, id, now, maxSecrets)...)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, &fault.Error{
				Kind:   fault.Conflict,
				Reason: admin.ReasonTooManySecrets,
				Text:   "the client has too many active secrets",
			}
		}
		_, err = tx.Exec(ctx, deleteExpiredSecrets, id, now, maxSecrets)
		return nil, err
	})
}

// RemoveSecret deletes one secret of a client. With keepOne, it returns Conflict with
// ReasonLastSecret rather than delete the only active one.
func (d *DB) RemoveSecret(
	ctx context.Context, id client.ID, secretID string, keepOne bool, now time.Time, ev ...audit.Event,
) error {
	return d.changeClients(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		n, err := tx.Exec(ctx, deleteSecret, secretID, id, !keepOne, unixMilli(now))
		if err != nil {
			return nil, err
		}
		if n == 0 {
			found, err := exists(ctx, tx,
				"SELECT 1 FROM client_secrets WHERE id = $1 AND client_id = $2", secretID, id)
			if err != nil {
				return nil, err
			}
			if !found {
				return nil, notFound("secret")
			}
			return nil, &fault.Error{
				Kind:   fault.Conflict,
				Reason: admin.ReasonLastSecret,
				Text:   "it is the client's only active secret",
			}
		}
		_, err = tx.Exec(ctx, "UPDATE clients SET updated_at = $1 WHERE id = $2", unixMilli(now), id)
		return nil, err
	})
}

// RotateSecret adds a secret to a client. The newest maxSecrets of its secrets stay, the new one
// included; the former ones among them expire at oldExpires, unless they expire earlier.
func (d *DB) RotateSecret(
	ctx context.Context, id client.ID, s client.Secret, maxSecrets int, oldExpires time.Time, ev ...audit.Event,
) error {
	return d.changeClients(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		n, err := tx.Exec(ctx, "UPDATE clients SET updated_at = $1 WHERE id = $2", unixMilli(s.CreatedAt), id)
		if err := requireOne(n, err, "client"); err != nil {
			return nil, err
		}
		former, err := listStrings[string](ctx, tx,
			"SELECT id FROM client_secrets WHERE client_id = $1 ORDER BY created_at DESC, id DESC", id)
		if err != nil {
			return nil, err
		}
		for i, old := range former {
			text, args := "DELETE FROM client_secrets WHERE id = $1", []any{old}
			if i < maxSecrets-1 {
				text = "UPDATE client_secrets SET expires_at = $1 WHERE id = $2 AND (expires_at = 0 OR expires_at > $1)"
				args = []any{unixMilli(oldExpires), old}
			}
			if _, err := tx.Exec(ctx, text, args...); err != nil {
				return nil, err
			}
		}
		_, err = tx.Exec(ctx, insertSecret, secretTable.args(&s, id)...)
		return nil, err
	})
}

// ClientQuery selects clients.
type ClientQuery = admin.ClientQuery

// OriginRegistered reports whether an enabled client that somebody has checked has registered a
// redirect or post-logout address of this origin, from memory. The origin is as in the addresses,
// such as https://app.example.
func (d *DB) OriginRegistered(origin string) bool {
	below := func(address string) bool {
		rest, ok := strings.CutPrefix(address, origin)
		return ok && (rest == "" || rest[0] == '/' || rest[0] == '?')
	}
	for _, c := range *d.memory.clients.Load() {
		if !c.Disabled && !c.Unverified() && // anybody could register an origin of theirs
			(slices.ContainsFunc(c.Redirects, below) || slices.ContainsFunc(c.PostLogout, below)) {
			return true
		}
	}
	return false
}

// ClientsAt returns the enabled clients that have registered exactly this redirect URI, from
// memory. The values are shared and must not be changed.
func (d *DB) ClientsAt(redirect string) []*client.Client {
	var found []*client.Client
	for _, c := range *d.memory.clients.Load() {
		if !c.Disabled && slices.Contains(c.Redirects, redirect) {
			found = append(found, c)
		}
	}
	return found
}
