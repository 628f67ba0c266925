package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

const consentCols = "user_id, client_id, scopes, created_at, updated_at"

func scanConsent(r sqldb.Row) (*oauth.Consent, error) {
	var c oauth.Consent
	err := r.Scan((*string)(&c.User), (*string)(&c.Client), words{&c.Scopes}, stamp{&c.CreatedAt}, stamp{&c.UpdatedAt})
	return &c, err
}

// Consent gives what a user has allowed a client before, or NotFound.
func (d *DB) Consent(ctx context.Context, u identity.UserID, c client.ID) (*oauth.Consent, error) {
	v, err := scanConsent(d.sql.Row(ctx, "SELECT "+consentCols+" FROM consents WHERE user_id = $1 AND client_id = $2", u, c))
	return v, named(err, "consent")
}

// PutConsent stores what a user allows a client, in place of what there was; when it began stays.
func (d *DB) PutConsent(ctx context.Context, c *oauth.Consent, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO consents ("+consentCols+") VALUES ($1, $2, $3, $4, $5) ON CONFLICT (user_id, client_id) DO UPDATE "+
			"SET scopes = excluded.scopes, updated_at = excluded.updated_at", c.User, c.Client, join(c.Scopes), ms(c.CreatedAt), ms(c.UpdatedAt))
		return err
	})
}

// UserConsents gives all that a user has allowed, oldest first.
func (d *DB) UserConsents(ctx context.Context, u identity.UserID) ([]oauth.Consent, error) {
	return list(ctx, d.sql, scanConsent, "SELECT "+consentCols+" FROM consents WHERE user_id = $1 ORDER BY created_at, client_id", u)
}

// DeleteConsent takes back what a user has allowed a client, and ends the client's grants of that user.
func (d *DB) DeleteConsent(ctx context.Context, u identity.UserID, c client.ID, now time.Time, ev ...audit.Event) error {
	return d.end(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		n, err := tx.Exec(ctx, "DELETE FROM consents WHERE user_id = $1 AND client_id = $2", u, c)
		if err != nil {
			return nil, err
		}
		ended, err := idsOf[oauth.GrantID](ctx, tx, "DELETE FROM grants WHERE user_id = $1 AND client_id = $2 RETURNING id", u, c)
		if err == nil {
			err = one(n+int64(len(ended)), nil, "authorization")
		}
		dead := make([]oauth.Revocation, len(ended))
		for i, g := range ended {
			dead[i] = d.entry(oauth.RevokeGrant, string(g), now)
		}
		return dead, err
	})
}
