package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// SetMFARequiredSince takes note that an account needs a second factor from now on. A time that is
// stored stays. The zero time deletes it.
func (d *DB) SetMFARequiredSince(ctx context.Context, id identity.UserID, since time.Time) error {
	defer d.users.Invalidate(id)
	if since.IsZero() {
		_, err := d.sql.Exec(ctx, "UPDATE users SET mfa_required_since = 0 WHERE id = $1", id)
		return err
	}
	_, err := d.sql.Exec(ctx,
		"UPDATE users SET mfa_required_since = $1 WHERE id = $2 AND mfa_required_since = 0", unixMilli(since), id)
	return err
}

// MFARequiredSince returns from when an account needs a second factor; zero if it is not stored.
func (d *DB) MFARequiredSince(ctx context.Context, id identity.UserID) (since time.Time, err error) {
	err = d.sql.Row(ctx, "SELECT mfa_required_since FROM users WHERE id = $1", id).Scan(unixMillis{&since})
	return since, asNotFound(err, "user")
}

// passwordTime is when the password of a user was set.
const passwordTime = "(CASE WHEN password_changed_at = 0 THEN created_at ELSE password_changed_at END)"

var selectOldPasswords = selectUser + " WHERE id > $1 AND " + passwordTime + " <= $2" +
	" AND expiry_notice_for <> " + passwordTime +
	" AND password_hash <> '' AND email <> '' AND disabled = FALSE ORDER BY id LIMIT $3"

// OldPasswords returns up to limit active users with an email address, after an id, whose passwords
// were set at a time or before, and who were not told yet that they end.
func (d *DB) OldPasswords(
	ctx context.Context, after identity.UserID, before time.Time, limit int,
) ([]identity.User, error) {
	return list(ctx, d.sql, userTable.scan, selectOldPasswords, after, unixMilli(before), limit)
}

// MarkExpiryNotice takes note that a user was told of the end of the password that was set at a
// time, once: Consumed if that was done, or the password is another one.
func (d *DB) MarkExpiryNotice(
	ctx context.Context, id identity.UserID, set time.Time, ev ...audit.Event,
) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE users SET expiry_notice_for = $1 WHERE id = $2 AND expiry_notice_for <> $1 AND "+
			passwordTime+" = $1", unixMilli(set), id)
		if err == nil && n == 0 {
			return consumed("notice")
		}
		return err
	})
}
