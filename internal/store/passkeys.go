package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

var selectCredentialByLookup = "SELECT " + credentialTable.list() + " FROM credentials WHERE lookup = $1"

// CredentialByLookup returns the credential of a name that a browser gave, or NotFound.
func (d *DB) CredentialByLookup(ctx context.Context, h secret.Hash) (*identity.Credential, error) {
	c, err := credentialTable.scan(d.sql.Row(ctx, selectCredentialByLookup, h))
	return c, asNotFound(err, "passkey")
}

// UsePasskey records a use of a passkey. It returns Consumed if the counter must grow and has not,
// and NotFound if the passkey was removed.
func (d *DB) UsePasskey(ctx context.Context, id identity.CredentialID, u login.PasskeyUse) error {
	query := "UPDATE credentials SET last_step = $1, last_used_at = $2, sealed = $3 WHERE id = $4"
	if u.Grows {
		query += " AND last_step < $1"
	}
	n, err := d.sql.Exec(ctx, query, u.Counter, unixMilli(u.Now), u.Sealed, id)
	if err != nil || n > 0 {
		return err
	}
	return credentialError(ctx, d.sql, id)
}

// RenameCredential changes the label of a user's credential. It returns NotFound if the user has no
// such credential.
func (d *DB) RenameCredential(
	ctx context.Context, u identity.UserID, id identity.CredentialID, label string, ev ...audit.Event,
) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE credentials SET label = $1 WHERE id = $2 AND user_id = $3",
			clean(label), id, u)
		return requireOne(n, err, "passkey")
	})
}

// DeleteCredential deletes a user's credential if the user still has the one that must remain, and
// with the last confirmed one the backup codes. It returns NotFound if the user has no such
// credential, and Consumed if that other one is gone.
func (d *DB) DeleteCredential(
	ctx context.Context, u identity.UserID, id, remains identity.CredentialID, ev ...audit.Event,
) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		// The lock keeps two removals apart, each of which relies on what the other removes.
		if err := lockUser(ctx, tx, u); err != nil {
			return err
		}
		if remains != "" {
			found, err := exists(ctx, tx, "SELECT 1 FROM credentials WHERE id = $1 AND user_id = $2", remains, u)
			if err != nil {
				return err
			}
			if !found {
				return consumed("passkey")
			}
		}
		n, err := tx.Exec(ctx, "DELETE FROM credentials WHERE id = $1 AND user_id = $2", id, u)
		if err := requireOne(n, err, "passkey"); err != nil {
			return err
		}
		for _, text := range []string{deleteStrayBackupCodes, deleteTrust, endVerifications} {
			if _, err := tx.Exec(ctx, text, u); err != nil {
				return err
			}
		}
		return nil
	})
}

// UserHandle returns what the authenticators of a user are told instead of the user's id. It stores
// the handle offered if the user has none yet.
func (d *DB) UserHandle(ctx context.Context, u identity.UserID, offered string) (handle string, err error) {
	err = d.sql.Row(ctx, "INSERT INTO passkey_handles (user_id, handle) VALUES ($1, $2)"+
		" ON CONFLICT (user_id) DO UPDATE SET handle = passkey_handles.handle RETURNING handle",
		u, offered).Scan(&handle)
	return handle, err
}

// putFirstPasskey stores the passkey with which a person joins, and the handle that authenticators
// know the account by. It does nothing without one.
func putFirstPasskey(ctx context.Context, tx sqldb.Tx, first *login.FirstPasskey) error {
	if first == nil {
		return nil
	}
	c := first.Credential
	_, err := tx.Exec(ctx, "INSERT INTO passkey_handles (user_id, handle) VALUES ($1, $2)"+
		" ON CONFLICT (user_id) DO UPDATE SET handle = excluded.handle", c.User, first.Handle)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, insertCredential, credentialTable.args(c)...)
	return err
}

// ReplacePasskeys consumes a link and stores a passkey in place of all that its user has. All
// access to the account, and what was mailed to it, ends. It returns Consumed if the link was used.
func (d *DB) ReplacePasskeys(
	ctx context.Context, h secret.Hash, first *login.FirstPasskey, now time.Time, ev ...audit.Event,
) error {
	u := first.Credential.User
	defer d.users.Invalidate(u)
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		l, err := useLink(ctx, tx, h, now)
		if err != nil {
			return nil, err
		}
		if l.Kind != login.LinkPassword || l.User != u {
			return nil, notFound("link")
		}
		if err := lockUser(ctx, tx, u); err != nil {
			return nil, err
		}
		return replacePasskeys(ctx, tx, first, now)
	})
}

// replacePasskeys stores a passkey in place of all that its user has, and ends all access.
func replacePasskeys(
	ctx context.Context, tx sqldb.Tx, first *login.FirstPasskey, now time.Time,
) ([]oauth.Revocation, error) {
	u := first.Credential.User
	_, err := tx.Exec(ctx, "DELETE FROM credentials WHERE user_id = $1 AND kind = $2", u, first.Credential.Kind)
	if err != nil {
		return nil, err
	}
	if err := putFirstPasskey(ctx, tx, first); err != nil {
		return nil, err
	}
	for _, text := range []string{deleteTrust, deleteRecovery} {
		if _, err := tx.Exec(ctx, text, u); err != nil {
			return nil, err
		}
	}
	if err := endMailed(ctx, tx, u); err != nil {
		return nil, err
	}
	return endUserAccess(ctx, tx, u, now, "")
}
