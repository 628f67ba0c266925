package store

import (
	"context"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// EndUserGrants ends all grants of a user, and revokes every token issued so far. Sessions and
// consents stay.
func (d *DB) EndUserGrants(
	ctx context.Context, user identity.UserID, now time.Time, ev ...audit.Event,
) error {
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		if err := lockUser(ctx, tx, user); err != nil {
			return nil, err
		}
		return endAllGrants(ctx, tx, user, now)
	})
}

// DeleteConsents deletes all consents of a user, ends all grants, and revokes every token issued so
// far. Sessions stay.
func (d *DB) DeleteConsents(
	ctx context.Context, user identity.UserID, now time.Time, ev ...audit.Event,
) error {
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		if err := lockUser(ctx, tx, user); err != nil {
			return nil, err
		}
		if _, err := tx.Exec(ctx, "DELETE FROM consents WHERE user_id = $1", user); err != nil {
			return nil, err
		}
		return endAllGrants(ctx, tx, user, now)
	})
}

// endAllGrants ends all grants of a user. It also ends what the user began with a token of a grant
// that belongs to no session, such as one of the device flow: acting as another person.
func endAllGrants(
	ctx context.Context, tx sqldb.Tx, user identity.UserID, now time.Time,
) ([]oauth.Revocation, error) {
	revoked, err := revokeRecentGrants(ctx, tx, user, now)
	if err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, "DELETE FROM grants WHERE user_id = $1", user); err != nil {
		return nil, err
	}
	if err := endSessionlessActing(ctx, tx, user); err != nil {
		return nil, err
	}
	return append(revoked, newRevocation(oauth.RevokeUser, string(user), now)), nil
}

// SessionMetrics counts active sessions, those of them that began since a time, and their users. It
// looks at the newest sessions, as many as it is told, or at all of them with 0.
func (d *DB) SessionMetrics(
	ctx context.Context, now, since time.Time, newest int,
) (m admin.SessionMetrics, err error) {
	w := where{}
	d.sessionListing(SessionQuery{Now: now}).conditions(&w, -1)
	active := strings.Join(w.terms, " AND ")
	text := "SELECT COUNT(*), COUNT(CASE WHEN " + active + " THEN 1 END), COUNT(CASE WHEN " + active +
		" AND created_at >= " + w.param(unixMilli(since)) + " THEN 1 END), COUNT(DISTINCT CASE WHEN " + active +
		" THEN user_id END) FROM "
	if newest > 0 {
		text += "(SELECT user_id, created_at, last_seen_at, expires_at, stay FROM sessions" +
			" ORDER BY created_at DESC, id DESC LIMIT " + w.param(newest) + ") AS "
	}
	var looked int
	err = d.sql.Row(ctx, text+"sessions", w.args...).Scan(&looked, &m.Active, &m.Today, &m.Users)
	m.AtLeast = newest > 0 && looked == newest
	return m, err
}
