package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

var emailTable = table[identity.OtherEmail]{
	name: "user_emails",
	columns: []column[identity.OtherEmail]{
		{"user_id", func(e *identity.OtherEmail) any { return (*string)(&e.User) }},
		{"email", func(e *identity.OtherEmail) any { return &e.Email }},
		{"verified_at", func(e *identity.OtherEmail) any { return unixMillis{&e.VerifiedAt} }},
		{"created_at", func(e *identity.OtherEmail) any { return unixMillis{&e.CreatedAt} }},
	},
	derived: []column[identity.OtherEmail]{
		{"email_key", func(e *identity.OtherEmail) any { return identity.LoginKey(e.Email) }},
	},
}

var insertEmail = emailTable.insert()

// UserEmails returns the verified addresses of a user beside the primary one, oldest first.
func (d *DB) UserEmails(ctx context.Context, id identity.UserID) ([]identity.OtherEmail, error) {
	return list(ctx, d.sql, emailTable.scan,
		"SELECT "+emailTable.list()+" FROM user_emails WHERE user_id = $1 ORDER BY created_at, email_key", id)
}

// AddEmail consumes the confirmation of a further address and adds it to the account, which may
// have at most that many. It returns Consumed if the confirmation was used, and Conflict if the
// address belongs to an account.
func (d *DB) AddEmail(
	ctx context.Context, id string, most int, now time.Time, ev ...audit.Event,
) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		c, err := useConfirmation(ctx, tx, id, login.ConfirmAdd, now)
		if err != nil {
			return err
		}
		if err := lockUser(ctx, tx, c.User); err != nil {
			return err
		}
		var n int
		err = tx.Row(ctx, "SELECT COUNT(*) FROM user_emails WHERE user_id = $1", c.User).Scan(&n)
		if err != nil {
			return err
		}
		if n >= most {
			return fault.InvalidField("email", "This account has as many addresses as it may have.")
		}
		return addEmail(ctx, tx, &identity.OtherEmail{User: c.User, Email: c.Email, VerifiedAt: now, CreatedAt: now})
	})
}

func addEmail(ctx context.Context, tx sqldb.Tx, e *identity.OtherEmail) error {
	if err := claimEmail(ctx, tx, e.User, e.Email); err != nil {
		return err
	}
	taken, err := exists(ctx, tx, "SELECT 1 FROM users WHERE email_key = $1", identity.LoginKey(e.Email))
	if err != nil {
		return err
	}
	if taken {
		return errEmailTaken(nil)
	}
	_, err = tx.Exec(ctx, insertEmail, emailTable.args(e)...)
	if fault.Is(err, fault.Conflict) {
		err = errEmailTaken(err)
	}
	return err
}

const (
	// An address that the account has already stays its own.
	insertClaim = "INSERT INTO email_claims (email_key, user_id) VALUES ($1, $2)" +
		" ON CONFLICT (email_key) DO UPDATE SET user_id = email_claims.user_id" +
		" WHERE email_claims.user_id = excluded.user_id"
	releaseClaims = "DELETE FROM email_claims WHERE user_id = $1" +
		" AND email_key NOT IN (SELECT email_key FROM users WHERE id = $1 AND email_key IS NOT NULL)" +
		" AND email_key NOT IN (SELECT email_key FROM user_emails WHERE user_id = $1)"
)

// claimEmail makes an address one of a user's, in one statement: of two accounts that claim it at
// the same moment, one gets Conflict. No address is claimed for "".
func claimEmail(ctx context.Context, tx sqldb.Tx, id identity.UserID, email string) error {
	key := identity.LoginKey(email)
	if key == "" {
		return nil
	}
	n, err := tx.Exec(ctx, insertClaim, clean(key), id)
	if err == nil && n == 0 {
		err = errEmailTaken(nil)
	}
	return err
}

// releaseEmails deletes the claims of addresses that a user no longer has.
func releaseEmails(ctx context.Context, tx sqldb.Tx, id identity.UserID) error {
	_, err := tx.Exec(ctx, releaseClaims, id)
	return err
}

// RemoveEmail removes a further address of an account, and ends the links that were mailed to the
// account, with a request for recovery. It returns NotFound if the account has no such address.
func (d *DB) RemoveEmail(
	ctx context.Context, id identity.UserID, email string, ev ...audit.Event,
) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		if err := lockUser(ctx, tx, id); err != nil { // a request for recovery may begin now
			return err
		}
		n, err := tx.Exec(ctx, "DELETE FROM user_emails WHERE user_id = $1 AND email_key = $2",
			id, identity.LoginKey(email))
		if err := requireOne(n, err, "address"); err != nil {
			return err
		}
		if err := releaseEmails(ctx, tx, id); err != nil {
			return err
		}
		for _, text := range []string{endLinks, deleteRecovery} {
			if _, err := tx.Exec(ctx, text, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// ChangeEmail makes another address the primary one of an account: a new one, by consuming the
// confirmation of its change, or with id "" one that the account has, which change.Email names; the
// former then stays as a further one. It stores undo, if there is one, by which the former address
// comes back. Links to the former address end. It returns Consumed if the confirmation was used or
// the address is not the account's, and Conflict if it belongs to another one.
func (d *DB) ChangeEmail(
	ctx context.Context, id string, change login.EmailChange, now time.Time, ev ...audit.Event,
) error {
	defer d.users.Invalidate(change.User)
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		current, err := userTable.scan(tx.Row(ctx, lockedUser, change.User))
		if err != nil {
			return asNotFound(err, "user")
		}
		next := *current
		next.Email, next.EmailVerified, next.MustVerify, next.UpdatedAt = change.Email, true, false, now
		if id != "" {
			if _, err := useConfirmation(ctx, tx, id, login.ConfirmChange, now); err != nil {
				return err
			}
		}
		further, err := list(ctx, tx, emailTable.scan, "DELETE FROM user_emails WHERE user_id = $1 AND email_key = $2"+
			" RETURNING "+emailTable.list(), change.User, identity.LoginKey(change.Email))
		if err != nil {
			return err
		}
		if id == "" {
			if len(further) == 0 {
				return consumed("address")
			}
			next.EmailVerifiedAt = further[0].VerifiedAt
		}
		if err := replaceEmail(ctx, tx, current, &next); err != nil {
			return err
		}
		if id == "" && current.EmailVerified && current.Email != "" {
			e := &identity.OtherEmail{User: change.User, Email: current.Email, VerifiedAt: now, CreatedAt: now}
			if !current.EmailVerifiedAt.IsZero() {
				e.VerifiedAt = current.EmailVerifiedAt
			}
			if err := addEmail(ctx, tx, e); err != nil {
				return err
			}
		}
		if err := releaseEmails(ctx, tx, change.User); err != nil {
			return err
		}
		if change.Undo == nil {
			return nil
		}
		_, err = tx.Exec(ctx, confirmationTable.insert(), confirmationTable.args(change.Undo)...)
		return err
	})
}

// replaceEmail stores another primary address. Links that were mailed, a request for recovery and
// what waits to be confirmed end, but for the links that undo an earlier change.
func replaceEmail(ctx context.Context, tx sqldb.Tx, current, next *identity.User) error {
	if err := namesFree(ctx, tx, next, next.UpdatedAt); err != nil {
		return err
	}
	if err := claimEmail(ctx, tx, next.ID, next.Email); err != nil {
		return err
	}
	if err := saveUser(ctx, tx, current, next); err != nil {
		return err
	}
	for _, text := range []string{endLinks, deleteRecovery, "DELETE FROM mail_failures WHERE user_id = $1"} {
		if _, err := tx.Exec(ctx, text, next.ID); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, "DELETE FROM confirmations WHERE user_id = $1 AND kind <> $2", next.ID, login.ConfirmUndo)
	return err
}

// UndoEmail consumes the link that undoes a change of the address, and restores the account: its
// former address, and the password of x. The addresses and second factors that were added since
// x.Since are deleted. All access ends. It returns Consumed if the link was used, and Conflict if
// the former address belongs to another account now.
func (d *DB) UndoEmail(
	ctx context.Context, id string, x login.Undoing, now time.Time, ev ...audit.Event,
) error {
	var user identity.UserID
	defer func() { d.users.Invalidate(user) }()
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		c, err := useConfirmation(ctx, tx, id, login.ConfirmUndo, now)
		if err != nil {
			return nil, err
		}
		user = c.User
		current, err := userTable.scan(tx.Row(ctx, lockedUser, c.User))
		if err != nil {
			return nil, asNotFound(err, "user")
		}
		since := unixMilli(x.Since)
		_, err = tx.Exec(ctx, "DELETE FROM user_emails WHERE user_id = $1 AND (created_at >= $2 OR email_key = $3)",
			c.User, since, identity.LoginKey(c.Email))
		if err != nil {
			return nil, err
		}
		next := *current
		next.Email, next.EmailVerified, next.MustVerify, next.UpdatedAt = c.Email, true, false, now
		if x.Password != current.PasswordHash {
			next.PasswordHash, next.PasswordChangedAt = x.Password, now
		}
		if err := replaceEmail(ctx, tx, current, &next); err != nil {
			return nil, err
		}
		if err := releaseEmails(ctx, tx, c.User); err != nil {
			return nil, err
		}
		for _, text := range []string{
			"DELETE FROM confirmations WHERE user_id = $1 AND created_at >= $2",
			"DELETE FROM replaced_passwords WHERE user_id = $1 AND ended_at >= $2",
		} {
			if _, err := tx.Exec(ctx, text, c.User, since); err != nil {
				return nil, err
			}
		}
		if err := purgeFactors(ctx, tx, c.User, x.Since); err != nil {
			return nil, err
		}
		if _, err := tx.Exec(ctx, deleteTrust, c.User); err != nil {
			return nil, err
		}
		if _, err := tx.Exec(ctx, endEmailCodes, unixMilli(now), c.User); err != nil {
			return nil, err
		}
		return endUserAccess(ctx, tx, c.User, now, "")
	})
}

// ChangeUsername replaces the username of an account and holds the former one for it until a time.
// It returns Conflict if the name is taken or held for another account, and Limited if the account
// holds most names already.
func (d *DB) ChangeUsername(
	ctx context.Context, id identity.UserID, username string, hold time.Time, most int, now time.Time,
	ev ...audit.Event,
) error {
	defer d.users.Invalidate(id)
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		current, err := userTable.scan(tx.Row(ctx, lockedUser, id))
		if err != nil {
			return asNotFound(err, "user")
		}
		next := *current
		next.Username, next.UpdatedAt = username, now
		if err := namesFree(ctx, tx, &next, now); err != nil {
			return err
		}
		key := identity.LoginKey(username)
		if _, err := tx.Exec(ctx, "DELETE FROM held_usernames WHERE username_key = $1", key); err != nil {
			return err
		}
		if former := identity.LoginKey(current.Username); former != "" && former != key {
			if err := mayHoldUsername(ctx, tx, id, most, now); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "INSERT INTO held_usernames (username_key, user_id, until) VALUES ($1, $2, $3)"+
				" ON CONFLICT (username_key) DO UPDATE SET user_id = excluded.user_id, until = excluded.until",
				former, id, unixMilli(hold))
			if err != nil {
				return err
			}
		}
		return saveUser(ctx, tx, current, &next)
	})
}

// mayHoldUsername returns Limited if as many usernames as most are held for a user.
func mayHoldUsername(ctx context.Context, tx sqldb.Tx, id identity.UserID, most int, now time.Time) error {
	var n int
	err := tx.Row(ctx, "SELECT COUNT(*) FROM held_usernames WHERE user_id = $1 AND until > $2",
		id, unixMilli(now)).Scan(&n)
	if err == nil && n >= most {
		err = fault.RetryAfter(fault.Limited, 24*time.Hour,
			"You have changed your username too often. Try again in some weeks.")
	}
	return err
}

// Invite stores the link of an invitation, and when it was sent, for an account that nobody has
// claimed. All earlier links of the account end. It returns Conflict if the account was claimed.
func (d *DB) Invite(ctx context.Context, h secret.Hash, l *login.Link, ev ...audit.Event) error {
	defer d.users.Invalidate(l.User)
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE users SET invited_at = $1 WHERE id = $2 AND password_hash = ''"+
			" AND last_login_at = 0 AND email_verified = FALSE"+
			" AND NOT EXISTS (SELECT 1 FROM credentials WHERE user_id = $2)", unixMilli(l.CreatedAt), l.User)
		if err != nil {
			return err
		}
		if n == 0 {
			return fault.New(fault.Conflict, "this account is in use; there is nothing to invite to")
		}
		if err := endMailed(ctx, tx, l.User); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, insertLink, linkTable.args(l, h, int64(0))...)
		return err
	})
}

// AcceptInvitation consumes the link of an invitation and hands the account over, with the names
// and the password of u. It returns Consumed if the link was used, and Conflict, with the field,
// for a username that is taken: the link can be used again then.
func (d *DB) AcceptInvitation(
	ctx context.Context, h secret.Hash, u *identity.User, first *login.FirstPasskey, now time.Time,
	ev ...audit.Event,
) error {
	defer d.users.Invalidate(u.ID)
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		l, err := useLink(ctx, tx, h, now)
		if err != nil {
			return nil, err
		}
		if l.Kind != login.LinkInvite || l.User != u.ID {
			return nil, notFound("invitation")
		}
		current, err := userTable.scan(tx.Row(ctx, lockedUser, u.ID))
		if err != nil {
			return nil, asNotFound(err, "user")
		}
		if !current.Unclaimed() || identity.LoginKey(current.Email) != identity.LoginKey(l.Email) {
			return nil, consumed("invitation")
		}
		next := *current
		next.Name, next.Username = u.Name, u.Username
		next.PasswordHash, next.PasswordChangedAt = u.PasswordHash, now
		next.EmailVerified, next.MustVerify, next.InvitedAt, next.UpdatedAt = true, false, time.Time{}, now
		if err := namesFree(ctx, tx, &next, now); err != nil {
			return nil, err
		}
		if err := saveUser(ctx, tx, current, &next); err != nil {
			return nil, err
		}
		if err := putFirstPasskey(ctx, tx, first); err != nil {
			return nil, err
		}
		if err := endMailed(ctx, tx, u.ID); err != nil {
			return nil, err
		}
		return endUserAccess(ctx, tx, u.ID, now, "")
	})
}
