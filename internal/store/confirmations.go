package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

var confirmationTable = table[login.Confirmation]{
	name: "confirmations",
	columns: []column[login.Confirmation]{
		{"id", func(c *login.Confirmation) any { return &c.ID }},
		{"kind", func(c *login.Confirmation) any { return &c.Kind }},
		{"user_id", func(c *login.Confirmation) any { return optional{(*string)(&c.User)} }},
		{"email", func(c *login.Confirmation) any { return &c.Email }},
		{"token_hash", func(c *login.Confirmation) any { return (*string)(&c.Token) }},
		{"code_hash", func(c *login.Confirmation) any { return (*string)(&c.Code) }},
		{"guesses", func(c *login.Confirmation) any { return &c.Guesses }},
		{"sealed", func(c *login.Confirmation) any { return &c.Sealed }},
		{"created_at", func(c *login.Confirmation) any { return unixMillis{&c.CreatedAt} }},
		{"expires_at", func(c *login.Confirmation) any { return unixMillis{&c.ExpiresAt} }},
		{"network", func(c *login.Confirmation) any { return &c.Network }},
	},
	derived: []column[login.Confirmation]{
		{"email_key", func(c *login.Confirmation) any { return identity.LoginKey(c.Email) }},
	},
}

var (
	selectConfirmation = "SELECT " + confirmationTable.list() + " FROM confirmations"
	// The bound and the insertion are one statement.
	insertConfirmation = confirmationTable.into() + " SELECT " + confirmationTable.params() +
		" WHERE (SELECT COUNT(*) FROM confirmations WHERE kind = " + confirmationTable.next(1) + ") < " +
		confirmationTable.next(2)
	endOldestOfNetwork = "DELETE FROM confirmations WHERE id IN (SELECT id FROM confirmations" +
		" WHERE kind = $1 AND network = $2 ORDER BY created_at DESC, id DESC LIMIT 1000 OFFSET $3)"
	endOldest = "DELETE FROM confirmations WHERE id IN (SELECT id FROM confirmations" +
		" WHERE kind = $1 ORDER BY expires_at, id LIMIT $2)"
	guessConfirmation = "UPDATE confirmations SET guesses = guesses + 1" +
		" WHERE id = $1 AND code_hash <> '' AND guesses < $2 AND expires_at > $3 RETURNING " + confirmationTable.list()
	consumeConfirmation = "DELETE FROM confirmations WHERE id = $1 AND kind = $2 AND expires_at > $3" +
		" RETURNING " + confirmationTable.list()

	// What a person has asked for and not confirmed yet.
	endRequests = "DELETE FROM confirmations WHERE user_id = $1 AND kind IN ('" + login.ConfirmAdd + "', '" +
		login.ConfirmChange + "')"
	// What proves the primary address, and sets a password where nobody has proved it.
	endVerifications = "DELETE FROM confirmations WHERE user_id = $1 AND kind = '" + login.ConfirmAddress + "'"
	endLinks         = "DELETE FROM links WHERE user_id = $1 AND used_at = 0"
)

// endMailed ends what was mailed to a user to a former address: links, a request for recovery, and
// confirmations of addresses.
func endMailed(ctx context.Context, tx sqldb.Tx, id identity.UserID) error {
	for _, text := range []string{
		endLinks,
		deleteRecovery,
		"DELETE FROM mail_failures WHERE user_id = $1",
		"DELETE FROM confirmations WHERE user_id = $1",
	} {
		if _, err := tx.Exec(ctx, text, id); err != nil {
			return err
		}
	}
	return nil
}

// PutConfirmation stores an address that waits for its proof, with what must be delivered because
// of it. The user's earlier confirmation of the same kind and address ends; of a change of the
// address, the user has one at a time. It returns Limited if most of its kind wait already. Of
// those that have a network, the oldest end instead, and those of the network if it has as many as
// it may have: whoever fills the table keeps nobody else from signing up.
func (d *DB) PutConfirmation(
	ctx context.Context, c *login.Confirmation, most int, deliver []outbox.Delivery, ev ...audit.Event,
) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		if c.User != "" {
			text := "DELETE FROM confirmations WHERE user_id = $1 AND kind = $2"
			args := []any{c.User, c.Kind}
			if c.Kind != login.ConfirmChange {
				text += " AND email_key = $3"
				args = append(args, identity.LoginKey(c.Email))
			}
			if _, err := tx.Exec(ctx, text, args...); err != nil {
				return err
			}
		}
		if c.Network != "" {
			_, err := tx.Exec(ctx, endOldestOfNetwork, c.Kind, c.Network, int64(login.MaxOfNetwork-1))
			if err != nil {
				return err
			}
		}
		n, err := tx.Exec(ctx, insertConfirmation, confirmationTable.args(c, c.Kind, int64(most))...)
		if err == nil && n == 0 && c.Network != "" {
			if _, err := tx.Exec(ctx, endOldest, c.Kind, int64(most/100+1)); err != nil {
				return err
			}
			n, err = tx.Exec(ctx, insertConfirmation, confirmationTable.args(c, c.Kind, int64(most))...)
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return fault.RetryAfter(fault.Limited, time.Hour, "Too many addresses wait for a confirmation. Try again later.")
		}
		return insertDeliveries(ctx, tx, deliver)
	})
}

// Confirmation returns the confirmation of a mailed link that can still be used, or NotFound.
func (d *DB) Confirmation(ctx context.Context, h secret.Hash, now time.Time) (*login.Confirmation, error) {
	c, err := confirmationTable.scan(d.sql.Row(ctx,
		selectConfirmation+" WHERE token_hash = $1 AND expires_at > $2", h, unixMilli(now)))
	return c, asNotFound(err, "confirmation")
}

// ConfirmationByID returns a confirmation that can still be used, or NotFound.
func (d *DB) ConfirmationByID(ctx context.Context, id string, now time.Time) (*login.Confirmation, error) {
	c, err := confirmationTable.scan(d.sql.Row(ctx,
		selectConfirmation+" WHERE id = $1 AND expires_at > $2", id, unixMilli(now)))
	return c, asNotFound(err, "confirmation")
}

// UserConfirmations returns a user's confirmations that can still be used, oldest first.
func (d *DB) UserConfirmations(
	ctx context.Context, id identity.UserID, now time.Time,
) ([]login.Confirmation, error) {
	return list(ctx, d.sql, confirmationTable.scan,
		selectConfirmation+" WHERE user_id = $1 AND expires_at > $2 ORDER BY created_at, id", id, unixMilli(now))
}

// GuessConfirmation counts a guess at the code of a confirmation and returns the confirmation. It
// returns NotFound if there is none, or if its code was guessed at as often as most.
func (d *DB) GuessConfirmation(
	ctx context.Context, id string, most int, now time.Time,
) (c *login.Confirmation, err error) {
	err = d.sql.Write(ctx, func(tx sqldb.Tx) error {
		found, err := list(ctx, tx, confirmationTable.scan, guessConfirmation, id, int64(most), unixMilli(now))
		if err == nil && len(found) == 0 {
			err = notFound("confirmation")
		}
		if err == nil {
			c = &found[0]
		}
		return err
	})
	return c, err
}

// LatestSignUp returns the latest sign-up with an address that waits, or NotFound.
func (d *DB) LatestSignUp(ctx context.Context, email string, now time.Time) (*login.Confirmation, error) {
	c, err := confirmationTable.scan(d.sql.Row(ctx, selectConfirmation+" WHERE email_key = $1 AND kind = $2"+
		" AND expires_at > $3 ORDER BY created_at DESC, id DESC LIMIT 1",
		identity.LoginKey(email), login.ConfirmSignUp, unixMilli(now)))
	return c, asNotFound(err, "sign-up")
}

// DeleteConfirmation deletes a confirmation, if it is there.
func (d *DB) DeleteConfirmation(ctx context.Context, id string) error {
	_, err := d.sql.Exec(ctx, "DELETE FROM confirmations WHERE id = $1", id)
	return err
}

// useConfirmation consumes a confirmation, once. It returns Consumed if there is none of the kind.
func useConfirmation(
	ctx context.Context, tx sqldb.Tx, id, kind string, now time.Time,
) (*login.Confirmation, error) {
	found, err := list(ctx, tx, confirmationTable.scan, consumeConfirmation, id, kind, unixMilli(now))
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, consumed("confirmation")
	}
	return &found[0], nil
}

// CompleteSignUp consumes the confirmation of a sign-up and creates the account. All other sign-ups
// with the address end. It returns Consumed for a confirmation that was used, and Conflict, with
// the field, for a name that is taken: the confirmation can be used again then.
func (d *DB) CompleteSignUp(
	ctx context.Context, id string, u *identity.User, first *login.FirstPasskey, now time.Time,
	ev ...audit.Event,
) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		c, err := useConfirmation(ctx, tx, id, login.ConfirmSignUp, now)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "DELETE FROM confirmations WHERE email_key = $1 AND kind = $2",
			identity.LoginKey(c.Email), login.ConfirmSignUp)
		if err != nil {
			return err
		}
		if err := d.createUser(ctx, tx, u); err != nil {
			return err
		}
		return putFirstPasskey(ctx, tx, first)
	})
}

// ProveEmail marks the email address of an account verified, and the account claimed. With a
// confirmation it consumes that, once. It returns Consumed if the address is no longer the
// account's. See login.Proven.
func (d *DB) ProveEmail(ctx context.Context, p login.Proven, now time.Time, ev ...audit.Event) error {
	defer d.users.Invalidate(p.User)
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		if p.Confirmation != "" {
			if _, err := useConfirmation(ctx, tx, p.Confirmation, login.ConfirmAddress, now); err != nil {
				return nil, err
			}
		}
		n, err := tx.Exec(ctx, "UPDATE users SET"+
			" email_verified_at = CASE WHEN email_verified THEN email_verified_at ELSE $1 END,"+
			" email_verified = TRUE, must_verify_email = FALSE, invited_at = 0, updated_at = $1, version = version + 1 WHERE id = $2 AND email_key = $3", unixMilli(now), p.User, identity.LoginKey(p.Email))
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, consumed("confirmation")
		}
		if _, err := tx.Exec(ctx, endVerifications, p.User); err != nil {
			return nil, err
		}
		if p.Password != "" {
			if err := replaceNow(ctx, tx, p.User, now); err != nil {
				return nil, err
			}
			_, err := tx.Exec(ctx, "UPDATE users SET password_hash = $1, password_changed_at = $2, must_change = FALSE"+
				" WHERE id = $3", p.Password, unixMilli(now), p.User)
			if err != nil {
				return nil, err
			}
		}
		if p.Factors {
			if err := purgeFactors(ctx, tx, p.User, time.Time{}); err != nil {
				return nil, err
			}
			for _, text := range []string{
				"DELETE FROM password_history WHERE user_id = $1",
				"DELETE FROM replaced_passwords WHERE user_id = $1",
				"DELETE FROM user_emails WHERE user_id = $1",
				"DELETE FROM consents WHERE user_id = $1",
			} {
				if _, err := tx.Exec(ctx, text, p.User); err != nil {
					return nil, err
				}
			}
			if err := releaseEmails(ctx, tx, p.User); err != nil {
				return nil, err
			}
		}
		if !p.Access {
			return nil, nil
		}
		if _, err := tx.Exec(ctx, deleteTrust, p.User); err != nil {
			return nil, err
		}
		if err := endMailed(ctx, tx, p.User); err != nil {
			return nil, err
		}
		return endUserAccess(ctx, tx, p.User, now, "")
	})
}

// purgeFactors deletes the second factors of a user that were set up since a time, and with the
// last one the backup codes.
func purgeFactors(ctx context.Context, tx sqldb.Tx, id identity.UserID, since time.Time) error {
	_, err := tx.Exec(ctx, "DELETE FROM credentials WHERE user_id = $1 AND created_at >= $2", id, unixMilli(since))
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, deleteStrayBackupCodes, id)
	return err
}
