package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

var consentTable = table[oauth.Consent]{
	name: "consents",
	columns: []column[oauth.Consent]{
		{"user_id", func(c *oauth.Consent) any { return (*string)(&c.User) }},
		{"client_id", func(c *oauth.Consent) any { return (*string)(&c.Client) }},
		{"scopes", func(c *oauth.Consent) any { return spaceList{&c.Scopes} }},
		{"created_at", func(c *oauth.Consent) any { return unixMillis{&c.CreatedAt} }},
		{"updated_at", func(c *oauth.Consent) any { return unixMillis{&c.UpdatedAt} }},
	},
}

var (
	selectConsent  = "SELECT " + consentTable.list() + " FROM consents WHERE user_id = $1 AND client_id = $2"
	selectConsents = "SELECT " + consentTable.list() + " FROM consents WHERE user_id = $1 ORDER BY created_at, client_id"
	// The row stays locked until the end of the transaction.
	upsertConsent = consentTable.insert() + " ON CONFLICT (user_id, client_id) DO UPDATE" +
		" SET updated_at = excluded.updated_at RETURNING " + consentTable.list()
)

// Consent returns what a user has allowed a client before, or NotFound.
func (d *DB) Consent(ctx context.Context, u identity.UserID, c client.ID) (*oauth.Consent, error) {
	v, err := consentTable.scan(d.sql.Row(ctx, selectConsent, u, c))
	return v, asNotFound(err, "consent")
}

// AddConsent stores what a user allows a client, in addition to the scopes of a former consent,
// whose CreatedAt stays. The former scopes are those at the time of the change: a consent that has
// been deleted meanwhile does not come back.
func (d *DB) AddConsent(ctx context.Context, c *oauth.Consent, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		current, err := consentTable.scan(tx.Row(ctx, upsertConsent, consentTable.args(c)...))
		if err != nil {
			return err
		}
		next := *current
		for _, scope := range c.Scopes {
			if !slices.Contains(next.Scopes, scope) {
				next.Scopes = append(next.Scopes, scope)
			}
		}
		if len(next.Scopes) == len(current.Scopes) {
			return nil
		}
		_, err = tx.Exec(ctx, "UPDATE consents SET scopes = $1 WHERE user_id = $2 AND client_id = $3",
			strings.Join(next.Scopes, " "), c.User, c.Client)
		return err
	})
}

// UserConsents returns all that a user has allowed, oldest first.
func (d *DB) UserConsents(ctx context.Context, u identity.UserID) ([]oauth.Consent, error) {
	return list(ctx, d.sql, consentTable.scan, selectConsents, u)
}

// DeleteConsent deletes a user's consent to a client, and ends the client's grants of that user.
func (d *DB) DeleteConsent(
	ctx context.Context, u identity.UserID, c client.ID, now time.Time, ev ...audit.Event,
) error {
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		n, err := tx.Exec(ctx, "DELETE FROM consents WHERE user_id = $1 AND client_id = $2", u, c)
		if err != nil {
			return nil, err
		}
		revoked, err := endGrants(ctx, tx, now, "user_id = $1 AND client_id = $2", u, c)
		if err == nil {
			err = requireOne(n+int64(len(revoked)), nil, "authorization")
		}
		return revoked, err
	})
}
