package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

var trustTable = table[login.TrustedBrowser]{
	name: "trusted_browsers",
	columns: []column[login.TrustedBrowser]{
		{"id", func(b *login.TrustedBrowser) any { return &b.ID }},
		{"user_id", func(b *login.TrustedBrowser) any { return (*string)(&b.User) }},
		{"state", func(b *login.TrustedBrowser) any { return &b.State }},
		{"ip", func(b *login.TrustedBrowser) any { return cleanText{&b.IP} }},
		{"agent", func(b *login.TrustedBrowser) any { return cleanText{&b.Agent} }},
		{"created_at", func(b *login.TrustedBrowser) any { return unixMillis{&b.CreatedAt} }},
		{"last_used_at", func(b *login.TrustedBrowser) any { return unixMillis{&b.LastUsedAt} }},
		{"expires_at", func(b *login.TrustedBrowser) any { return unixMillis{&b.ExpiresAt} }},
	},
}

var (
	selectTrust = "SELECT " + trustTable.list() + " FROM trusted_browsers WHERE user_id = $1 AND expires_at > $2"
	insertTrust = trustTable.insert()
)

// deleteTrust ends the trust in all browsers of a user, after a change of what protects the
// account.
const deleteTrust = "DELETE FROM trusted_browsers WHERE user_id = $1"

// TrustedBrowser reads a browser that a user trusts, or NotFound.
func (d *DB) TrustedBrowser(
	ctx context.Context, u identity.UserID, id string, now time.Time,
) (*login.TrustedBrowser, error) {
	b, err := trustTable.scan(d.sql.Row(ctx, selectTrust+" AND id = $3", u, unixMilli(now), id))
	return b, asNotFound(err, "trusted browser")
}

// TrustedBrowsers returns the browsers that a user trusts, the latest first.
func (d *DB) TrustedBrowsers(
	ctx context.Context, u identity.UserID, now time.Time,
) ([]login.TrustedBrowser, error) {
	return list(ctx, d.sql, trustTable.scan, selectTrust+" ORDER BY created_at DESC, id", u, unixMilli(now))
}

// PutTrustedBrowser stores a browser that its user trusts, in place of what is stored of it. Of the
// user's browsers, the latest stay, as many as bound says.
func (d *DB) PutTrustedBrowser(
	ctx context.Context, b *login.TrustedBrowser, bound int, ev ...audit.Event,
) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		if err := lockUser(ctx, tx, b.User); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "DELETE FROM trusted_browsers WHERE id = $1", b.ID); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, insertTrust, trustTable.args(b)...); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, deleteTrust+" AND id NOT IN (SELECT id FROM trusted_browsers"+
			" WHERE user_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2)", b.User, bound)
		return err
	})
}

// TouchTrustedBrowser notes that the trust in a browser was used.
func (d *DB) TouchTrustedBrowser(ctx context.Context, id string, now time.Time, ip, agent string) error {
	_, err := d.sql.Exec(ctx, "UPDATE trusted_browsers SET last_used_at = $1, ip = $2, agent = $3 WHERE id = $4",
		unixMilli(now), clean(ip), clean(agent), id)
	return err
}

// DeleteTrustedBrowser ends the trust in one browser of a user, or NotFound.
func (d *DB) DeleteTrustedBrowser(
	ctx context.Context, u identity.UserID, id string, ev ...audit.Event,
) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, deleteTrust+" AND id = $2", u, id)
		return requireOne(n, err, "trusted browser")
	})
}

// DeleteTrustedBrowsers ends the trust in all browsers of a user but for one.
func (d *DB) DeleteTrustedBrowsers(ctx context.Context, u identity.UserID, except string) error {
	_, err := d.sql.Exec(ctx, deleteTrust+" AND id <> $2", u, except)
	return err
}
