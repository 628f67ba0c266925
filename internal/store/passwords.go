package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
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

// AskSecond reports whether a user wishes to be asked for the second step after the password, also
// where that is a passkey.
func (d *DB) AskSecond(ctx context.Context, id identity.UserID) (ask bool, err error) {
	err = d.sql.Row(ctx, "SELECT ask_second FROM users WHERE id = $1", id).Scan(&ask)
	return ask, asNotFound(err, "user")
}

// SetAskSecond stores whether a user wishes that. All trusted browsers of the user end.
func (d *DB) SetAskSecond(
	ctx context.Context, id identity.UserID, ask bool, now time.Time, ev ...audit.Event,
) error {
	defer d.users.Invalidate(id)
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE users SET ask_second = $1, updated_at = $2 WHERE id = $3", ask, unixMilli(now), id)
		if err := requireOne(n, err, "user"); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, deleteTrust, id)
		return err
	})
}

// passwordTime is when the password of a user was set.
const passwordTime = "(CASE WHEN password_changed_at = 0 THEN created_at ELSE password_changed_at END)"

var selectOldPasswords = selectUser + " WHERE id > $1 AND " + passwordTime + " <= $2" +
	" AND expiry_notice_for <> " + passwordTime +
	" AND password_hash <> '' AND email <> '' AND disabled = FALSE AND locked_at = 0 ORDER BY id LIMIT $3"

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

// maxReplaced is how many replaced passwords of a user are stored at most. The oldest count.
const maxReplaced = 20

const (
	// That there was no password is of interest only where there never was one.
	insertReplaced = "INSERT INTO replaced_passwords (user_id, ended_at, hash) SELECT $1, $2, $3" +
		" WHERE (SELECT COUNT(*) FROM replaced_passwords WHERE user_id = $1) < $4" +
		" AND ($3 <> '' OR NOT EXISTS (SELECT 1 FROM replaced_passwords WHERE user_id = $1))" +
		" ON CONFLICT (user_id, ended_at) DO NOTHING"
	selectReplaced = "SELECT hash FROM replaced_passwords WHERE user_id = $1 AND ended_at > $2" +
		" ORDER BY ended_at LIMIT 1"
	sweepReplaced = "DELETE FROM replaced_passwords WHERE (user_id, ended_at) IN" +
		" (SELECT user_id, ended_at FROM replaced_passwords WHERE ended_at <= $1 LIMIT $2)"
	replacedGrace = 2 * login.UndoTTL
)

// keepReplaced stores, for some days, a password hash that is replaced now.
func keepReplaced(
	ctx context.Context, tx sqldb.Tx, id identity.UserID, hash string, now time.Time,
) error {
	_, err := tx.Exec(ctx, insertReplaced, id, unixMilli(now), hash, int64(maxReplaced))
	return err
}

// replaceNow stores, for some days, the present password hash of a user, which is replaced now.
func replaceNow(ctx context.Context, tx sqldb.Tx, id identity.UserID, now time.Time) error {
	var hash string
	err := tx.Row(ctx, "SELECT password_hash FROM users WHERE id = $1", id).Scan(&hash)
	if err != nil {
		return asNotFound(err, "user")
	}
	return keepReplaced(ctx, tx, id, hash, now)
}

// PasswordAt returns the hash of the password that a user had at a time of the last days: ok is
// false if the present one was in force then.
func (d *DB) PasswordAt(
	ctx context.Context, id identity.UserID, at time.Time,
) (hash string, ok bool, err error) {
	err = each(ctx, d.sql, func(r sqldb.Row) error {
		ok = true
		return r.Scan(&hash)
	}, selectReplaced, id, unixMilli(at))
	return hash, ok, err
}
