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

var credentialTable = table[identity.Credential]{
	name: "credentials",
	columns: []column[identity.Credential]{
		{"id", func(c *identity.Credential) any { return (*string)(&c.ID) }},
		{"user_id", func(c *identity.Credential) any { return (*string)(&c.User) }},
		{"kind", func(c *identity.Credential) any { return &c.Kind }},
		{"label", func(c *identity.Credential) any { return cleanText{&c.Label} }},
		{"sealed", func(c *identity.Credential) any { return &c.Sealed }},
		{"last_step", func(c *identity.Credential) any { return &c.Counter }},
		{"created_at", func(c *identity.Credential) any { return unixMillis{&c.CreatedAt} }},
		{"confirmed_at", func(c *identity.Credential) any { return unixMillis{&c.ConfirmedAt} }},
		{"last_used_at", func(c *identity.Credential) any { return unixMillis{&c.LastUsedAt} }},
		{"lookup", func(c *identity.Credential) any { return optional{(*string)(&c.Lookup)} }},
	},
}

var (
	selectCredentials = "SELECT " + credentialTable.list() + " FROM credentials WHERE user_id = $1 ORDER BY created_at, id"
	insertCredential  = credentialTable.insert()
)

// deleteStrayBackupCodes deletes the backup codes of a user who has no second factor.
const deleteStrayBackupCodes = "DELETE FROM backup_codes WHERE user_id = $1" +
	" AND NOT EXISTS (SELECT 1 FROM credentials WHERE user_id = $1 AND confirmed_at <> 0)"

// Credentials returns a user's credentials of all kinds, oldest first.
func (d *DB) Credentials(ctx context.Context, id identity.UserID) ([]identity.Credential, error) {
	return list(ctx, d.sql, credentialTable.scan, selectCredentials, id)
}

// PutCredential adds a credential.
func (d *DB) PutCredential(ctx context.Context, c *identity.Credential, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, insertCredential, credentialTable.args(c)...)
		if err == nil && !c.ConfirmedAt.IsZero() {
			_, err = tx.Exec(ctx, endVerifications, c.User)
		}
		return err
	})
}

// ConfirmCredential marks a credential confirmed, once. It returns Consumed if it is confirmed
// already.
func (d *DB) ConfirmCredential(
	ctx context.Context, id identity.CredentialID, step int64, now time.Time, ev ...audit.Event,
) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE credentials SET confirmed_at = $1, last_used_at = $1, last_step = $2"+
			" WHERE id = $3 AND confirmed_at = 0", unixMilli(now), step, id)
		if err != nil {
			return err
		}
		if n == 0 {
			return credentialError(ctx, tx, id)
		}
		const owner = " (SELECT user_id FROM credentials WHERE id = $1)"
		for _, text := range []string{
			"DELETE FROM trusted_browsers WHERE user_id =" + owner,
			"DELETE FROM confirmations WHERE kind = '" + login.ConfirmAddress + "' AND user_id =" + owner,
		} {
			if _, err := tx.Exec(ctx, text, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// AdvanceCredential moves Counter forward. It returns Consumed if step is not newer than the
// stored one (RFC 6238 §5.2).
func (d *DB) AdvanceCredential(
	ctx context.Context, id identity.CredentialID, step int64, now time.Time,
) error {
	n, err := d.sql.Exec(ctx, "UPDATE credentials SET last_step = $1, last_used_at = $2 WHERE id = $3 AND last_step < $1",
		step, unixMilli(now), id)
	if err != nil || n > 0 {
		return err
	}
	return credentialError(ctx, d.sql, id)
}

// credentialError returns why a conditional change of a credential changed no row.
func credentialError(ctx context.Context, c sqldb.Conn, id identity.CredentialID) error {
	found, err := exists(ctx, c, "SELECT 1 FROM credentials WHERE id = $1", id)
	switch {
	case err != nil:
		return err
	case found:
		return consumed("code")
	}
	return notFound("second factor")
}

// DeleteCredentials deletes a user's credentials of a kind, and with the last confirmed one the
// backup codes.
func (d *DB) DeleteCredentials(
	ctx context.Context, id identity.UserID, kind string, ev ...audit.Event,
) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM credentials WHERE user_id = $1 AND kind = $2", id, kind)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "DELETE FROM backup_codes WHERE user_id = $1"+
			" AND NOT EXISTS (SELECT 1 FROM credentials WHERE user_id = $1 AND confirmed_at <> 0)", id)
		if err != nil {
			return err
		}
		for _, text := range []string{deleteTrust, endVerifications} {
			if _, err := tx.Exec(ctx, text, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// DeleteUnconfirmed deletes a user's credentials of a kind that were never confirmed.
func (d *DB) DeleteUnconfirmed(ctx context.Context, id identity.UserID, kind string) error {
	_, err := d.sql.Exec(ctx, "DELETE FROM credentials WHERE user_id = $1 AND kind = $2 AND confirmed_at = 0", id, kind)
	return err
}

// ResetSecondFactors deletes all of a user's credentials, also those that are not confirmed, with
// the backup codes, and ends the user's sessions as EndSession does. It returns NotFound, and
// changes and records nothing, if the user has none.
func (d *DB) ResetSecondFactors(
	ctx context.Context, id identity.UserID, now time.Time, tokens bool, ev ...audit.Event,
) error {
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		if err := lockUser(ctx, tx, id); err != nil {
			return nil, err
		}
		deleted, err := deleteSecondFactors(ctx, tx, id)
		if err != nil {
			return nil, err
		}
		if deleted == 0 {
			return nil, notFound("second factor")
		}
		return endAllSessions(ctx, tx, id, now, tokens)
	})
}

// PutBackupCodes replaces a user's backup codes.
func (d *DB) PutBackupCodes(
	ctx context.Context, id identity.UserID, codes []secret.Hash, now time.Time, ev ...audit.Event,
) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		// The lock keeps two sets apart that are stored at once: the later one replaces the
		// other.
		if err := lockUser(ctx, tx, id); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "DELETE FROM backup_codes WHERE user_id = $1", id); err != nil {
			return err
		}
		for _, h := range codes {
			_, err := tx.Exec(ctx, "INSERT INTO backup_codes (user_id, hash, created_at, used_at) VALUES ($1, $2, $3, 0)",
				id, h, unixMilli(now))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// ConsumeBackupCode uses a backup code. It returns Consumed if it was used before, and NotFound
// if the user has no such code.
func (d *DB) ConsumeBackupCode(
	ctx context.Context, id identity.UserID, h secret.Hash, now time.Time,
) error {
	n, err := d.sql.Exec(ctx, "UPDATE backup_codes SET used_at = $1 WHERE user_id = $2 AND hash = $3 AND used_at = 0",
		unixMilli(now), id, h)
	if err != nil || n > 0 {
		return err
	}
	found, err := exists(ctx, d.sql, "SELECT 1 FROM backup_codes WHERE user_id = $1 AND hash = $2", id, h)
	switch {
	case err != nil:
		return err
	case found:
		return consumed("backup code")
	}
	return notFound("backup code")
}

// BackupCodesLeft returns the number of a user's unused backup codes.
func (d *DB) BackupCodesLeft(ctx context.Context, id identity.UserID) (n int, err error) {
	err = d.sql.Row(ctx, "SELECT COUNT(*) FROM backup_codes WHERE user_id = $1 AND used_at = 0", id).Scan(&n)
	return n, err
}

// SomeCredentials returns up to a thousand credentials, of different users.
func (d *DB) SomeCredentials(ctx context.Context) ([]identity.Credential, error) {
	return list(ctx, d.sql, credentialTable.scan, "SELECT "+credentialTable.list()+" FROM credentials ORDER BY id LIMIT $1",
		limit(maxLimit))
}
