package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

const credentialCols = "id, user_id, kind, label, sealed, last_step, created_at, confirmed_at, last_used_at"

func scanCredential(r sqldb.Row) (*identity.Credential, error) {
	var c identity.Credential
	err := r.Scan((*string)(&c.ID), (*string)(&c.User), &c.Kind, &c.Label, &c.Sealed, &c.LastStep,
		stamp{&c.CreatedAt}, stamp{&c.ConfirmedAt}, stamp{&c.LastUsedAt})
	return &c, err
}

// Credentials gives a user's credentials of all kinds, oldest first.
func (d *DB) Credentials(ctx context.Context, id identity.UserID) ([]identity.Credential, error) {
	return list(ctx, d.sql, scanCredential, "SELECT "+credentialCols+" FROM credentials WHERE user_id = $1 ORDER BY created_at, id", id)
}

// PutCredential adds a credential.
func (d *DB) PutCredential(ctx context.Context, c *identity.Credential, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO credentials ("+credentialCols+") VALUES ("+params(1, 9)+")",
			c.ID, c.User, c.Kind, clean(c.Label), c.Sealed, c.LastStep, ms(c.CreatedAt), ms(c.ConfirmedAt), ms(c.LastUsedAt))
		return err
	})
}

// ConfirmCredential marks a credential confirmed, once: Consumed if it is confirmed already.
func (d *DB) ConfirmCredential(ctx context.Context, id identity.CredentialID, step int64, now time.Time, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE credentials SET confirmed_at = $1, last_used_at = $1, last_step = $2 WHERE id = $3 AND confirmed_at = 0",
			ms(now), step, id)
		if err != nil || n > 0 {
			return err
		}
		return credentialSpent(ctx, tx, id)
	})
}

// AdvanceCredential moves LastStep forward: Consumed if step is not newer than the stored one (RFC 6238 §5.2).
func (d *DB) AdvanceCredential(ctx context.Context, id identity.CredentialID, step int64, now time.Time) error {
	n, err := d.sql.Exec(ctx, "UPDATE credentials SET last_step = $1, last_used_at = $2 WHERE id = $3 AND last_step < $1", step, ms(now), id)
	if err != nil || n > 0 {
		return err
	}
	return credentialSpent(ctx, d.sql, id)
}

// credentialSpent says why a conditional change found nothing.
func credentialSpent(ctx context.Context, c sqldb.Conn, id identity.CredentialID) error {
	found, err := exists(ctx, c, "SELECT 1 FROM credentials WHERE id = $1", id)
	switch {
	case err != nil:
		return err
	case found:
		return spent("code")
	}
	return notFound("second factor")
}

// DeleteCredentials deletes a user's credentials of a kind, and with the last one the backup codes.
func (d *DB) DeleteCredentials(ctx context.Context, id identity.UserID, kind string, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		if _, err := tx.Exec(ctx, "DELETE FROM credentials WHERE user_id = $1 AND kind = $2", id, kind); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "DELETE FROM backup_codes WHERE user_id = $1 AND NOT EXISTS (SELECT 1 FROM credentials WHERE user_id = $1 AND confirmed_at <> 0)", id)
		return err
	})
}

// DeleteUnconfirmed deletes a user's credentials of a kind that were never confirmed.
func (d *DB) DeleteUnconfirmed(ctx context.Context, id identity.UserID, kind string) error {
	_, err := d.sql.Exec(ctx, "DELETE FROM credentials WHERE user_id = $1 AND kind = $2 AND confirmed_at = 0", id, kind)
	return err
}

// PutBackupCodes replaces a user's backup codes.
func (d *DB) PutBackupCodes(ctx context.Context, id identity.UserID, codes []secret.Hash, now time.Time, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		if _, err := lockUser(ctx, tx, id); err != nil { // of two sets made at once the later one stays, whole
			return err
		}
		if _, err := tx.Exec(ctx, "DELETE FROM backup_codes WHERE user_id = $1", id); err != nil {
			return err
		}
		for _, h := range codes {
			_, err := tx.Exec(ctx, "INSERT INTO backup_codes (user_id, hash, created_at, used_at) VALUES ($1, $2, $3, 0)", id, h, ms(now))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// ConsumeBackupCode uses a code up: Consumed if it was used, NotFound if it is none.
func (d *DB) ConsumeBackupCode(ctx context.Context, id identity.UserID, h secret.Hash, now time.Time) error {
	n, err := d.sql.Exec(ctx, "UPDATE backup_codes SET used_at = $1 WHERE user_id = $2 AND hash = $3 AND used_at = 0", ms(now), id, h)
	if err != nil || n > 0 {
		return err
	}
	found, err := exists(ctx, d.sql, "SELECT 1 FROM backup_codes WHERE user_id = $1 AND hash = $2", id, h)
	switch {
	case err != nil:
		return err
	case found:
		return spent("backup code")
	}
	return notFound("backup code")
}

// BackupCodesLeft counts the unused ones.
func (d *DB) BackupCodesLeft(ctx context.Context, id identity.UserID) (n int, err error) {
	err = d.sql.Row(ctx, "SELECT COUNT(*) FROM backup_codes WHERE user_id = $1 AND used_at = 0", id).Scan(&n)
	return n, err
}
