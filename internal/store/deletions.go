package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strconv"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

var deletionTable = table[identity.Deletion]{
	name: "account_deletions",
	columns: []column[identity.Deletion]{
		{"user_id", func(d *identity.Deletion) any { return (*string)(&d.User) }},
		{"requested_at", func(d *identity.Deletion) any { return unixMillis{&d.RequestedAt} }},
		{"due_at", func(d *identity.Deletion) any { return unixMillis{&d.DueAt} }},
		{"held", func(d *identity.Deletion) any { return &d.Held }},
	},
}

var (
	insertDeletion = deletionTable.insert("reminded_at")
	selectDeletion = "SELECT " + deletionTable.list() + " FROM account_deletions WHERE user_id = $1"
)

// Deletion returns the deletion that a user waits for, or NotFound.
func (d *DB) Deletion(ctx context.Context, id identity.UserID) (*identity.Deletion, error) {
	x, err := deletionTable.scan(d.sql.Row(ctx, selectDeletion, id))
	return x, asNotFound(err, "deletion")
}

// RequestDeletion disables an account until it is erased: its sessions, grants and links end, and
// its tokens are revoked. The last active administrator cannot be deleted. Conflict if the account
// is disabled already.
func (d *DB) RequestDeletion(ctx context.Context, x *identity.Deletion, ev ...audit.Event) error {
	defer d.users.Invalidate(x.User)
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		if err := keepAdmin(ctx, tx, x.User); err != nil {
			return nil, err
		}
		n, err := tx.Exec(ctx, "UPDATE users SET disabled = TRUE, updated_at = $1, version = version + 1 WHERE id = $2 AND disabled = FALSE",
			unixMilli(x.RequestedAt), x.User)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, fault.New(fault.Conflict, "this account is disabled already")
		}
		if _, err := tx.Exec(ctx, insertDeletion, deletionTable.args(x, int64(0))...); err != nil {
			return nil, err
		}
		if _, err := tx.Exec(ctx, "DELETE FROM links WHERE user_id = $1", x.User); err != nil {
			return nil, err
		}
		return endUserAccess(ctx, tx, x.User, x.RequestedAt, "")
	})
}

// CancelDeletion enables an account that waits for its deletion, once. NotFound if it does not
// wait, or if an administrator disabled it meanwhile.
func (d *DB) CancelDeletion(ctx context.Context, id identity.UserID, now time.Time, ev ...audit.Event) error {
	defer d.users.Invalidate(id)
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "DELETE FROM account_deletions WHERE user_id = $1 AND held = FALSE", id)
		if err := requireOne(n, err, "deletion"); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE users SET disabled = FALSE, updated_at = $1, version = version + 1 WHERE id = $2", unixMilli(now), id)
		return err
	})
}

// holdDeletion takes the wish to be deleted from the hands of the owner of an account that an
// administrator disables, or ends it for one that an administrator enables.
func holdDeletion(ctx context.Context, tx sqldb.Tx, id identity.UserID, disabled bool) error {
	text := "DELETE FROM account_deletions WHERE user_id = $1"
	if disabled {
		text = "UPDATE account_deletions SET held = TRUE WHERE user_id = $1"
	}
	_, err := tx.Exec(ctx, text, id)
	return err
}

// DueDeletions returns up to limit accounts that are to be erased by now.
func (d *DB) DueDeletions(ctx context.Context, now time.Time, limit int) ([]identity.Deletion, error) {
	return list(ctx, d.sql, deletionTable.scan, "SELECT "+deletionTable.list()+
		" FROM account_deletions WHERE due_at <= $1 ORDER BY due_at LIMIT $2", unixMilli(now), limit)
}

// RemindersDue returns up to limit accounts that are to be erased before a time, and whose owners
// were not reminded of it.
func (d *DB) RemindersDue(ctx context.Context, before time.Time, limit int) ([]identity.Deletion, error) {
	return list(ctx, d.sql, deletionTable.scan, "SELECT "+deletionTable.list()+
		" FROM account_deletions WHERE due_at <= $1 AND reminded_at = 0 ORDER BY due_at LIMIT $2",
		unixMilli(before), limit)
}

// MarkReminded records a reminder, once: Consumed if there was one.
func (d *DB) MarkReminded(ctx context.Context, id identity.UserID, now time.Time, all ...outbox.Delivery) error {
	return d.sql.Write(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE account_deletions SET reminded_at = $1 WHERE user_id = $2 AND reminded_at = 0",
			unixMilli(now), id)
		if err != nil {
			return err
		}
		if n == 0 {
			return consumed("reminder")
		}
		return insertDeliveries(ctx, tx, all)
	})
}

// EraseUser erases an account whose deletion is due, with everything that belongs to it: NotFound
// if its owner has kept it. Nobody else gets its user name. What the audit log says about the
// account stays without addresses, devices and details; messages to it leave the outbox, but for
// those of the events.
func (d *DB) EraseUser(ctx context.Context, u *identity.User, now time.Time, ev ...audit.Event) error {
	defer d.users.Invalidate(u.ID)
	d.sql.Scrub()
	err := d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		n, err := tx.Exec(ctx, "DELETE FROM account_deletions WHERE user_id = $1 AND due_at <= $2", u.ID, unixMilli(now))
		if err := requireOne(n, err, "deletion"); err != nil {
			return nil, err
		}
		if err := keepAdmin(ctx, tx, u.ID); err != nil {
			return nil, err
		}
		if err := d.eraseUser(ctx, tx, u, now); err != nil {
			return nil, err
		}
		return []oauth.Revocation{newRevocation(oauth.RevokeUser, string(u.ID), now)}, nil
	})
	if err != nil {
		return err
	}
	return d.eraseRest(ctx, u.ID)
}

func (d *DB) eraseUser(ctx context.Context, tx sqldb.Tx, u *identity.User, now time.Time) error {
	if hash := usernameHash(u.Username); hash != "" {
		_, err := tx.Exec(ctx, "INSERT INTO former_usernames (hash, deleted_at) VALUES ($1, $2)"+
			" ON CONFLICT (hash) DO NOTHING", hash, unixMilli(now))
		if err != nil {
			return err
		}
	}
	if err := d.eraseTraces(ctx, tx, u.ID); err != nil {
		return err
	}
	if err := d.deleteUserTerms(ctx, tx, u.ID); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "DELETE FROM users WHERE id = $1", u.ID)
	return err
}

// usernameHash returns what is kept of the user name of an account that its owner deleted, or "".
func usernameHash(username string) string {
	key := identity.LoginKey(username)
	if key == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("gatehouse username:" + key))
	return hex.EncodeToString(sum[:])
}

// freeUsername returns a Conflict, with the field, if a user name was that of an account which its
// owner deleted.
func freeUsername(ctx context.Context, tx sqldb.Tx, username string) error {
	if username == "" {
		return nil
	}
	taken, err := exists(ctx, tx, "SELECT 1 FROM former_usernames WHERE hash = $1", usernameHash(username))
	if err == nil && taken {
		return &fault.Error{Kind: fault.Conflict, Field: "username", Text: "this username is taken"}
	}
	return err
}

// BrowsersSince returns the time before which no browser counts as known to a user; zero if all do.
func (d *DB) BrowsersSince(ctx context.Context, id identity.UserID) (time.Time, error) {
	var at time.Time
	err := d.sql.Row(ctx, "SELECT COALESCE(MAX(before), 0) FROM distrusted_browsers WHERE user_id = $1", id).
		Scan(unixMillis{&at})
	return at, err
}

// UsedOnce reports whether a name is stored by an operation that works once.
func (d *DB) UsedOnce(ctx context.Context, name string, now time.Time) (bool, error) {
	return exists(ctx, d.sql, "SELECT 1 FROM once WHERE name = $1 AND expires_at > $2", name, unixMilli(now))
}

// Disown ends all access to an account, and if asked its password and what was added to it. No
// browser counts as known afterwards. Consumed if the link was used before.
func (d *DB) Disown(ctx context.Context, x login.Disowning, now time.Time, ev ...audit.Event) error {
	defer d.users.Invalidate(x.User)
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		if err := once(ctx, tx, x.Once, x.Until, now); err != nil {
			return nil, err
		}
		current, err := userTable.scan(tx.Row(ctx, lockedUser, x.User))
		if err != nil {
			return nil, asNotFound(err, "user")
		}
		if identity.LoginKey(current.Email) != identity.LoginKey(x.Email) {
			return nil, fault.New(fault.Conflict, "the address of the account has changed meanwhile")
		}
		_, err = tx.Exec(ctx, "INSERT INTO distrusted_browsers (user_id, before) VALUES ($1, $2)"+
			" ON CONFLICT (user_id) DO UPDATE SET before = excluded.before", x.User, unixMilli(now))
		if err != nil {
			return nil, err
		}
		if x.ClearPassword {
			if err := replaceNow(ctx, tx, x.User, now); err != nil {
				return nil, err
			}
			_, err := tx.Exec(ctx, "UPDATE users SET password_hash = '', password_changed_at = $1, updated_at = $1"+
				" WHERE id = $2", unixMilli(now), x.User)
			if err != nil {
				return nil, err
			}
		}
		for _, text := range []string{deleteTrust, deleteRecovery} {
			if _, err := tx.Exec(ctx, text, x.User); err != nil {
				return nil, err
			}
		}
		if !x.Since.IsZero() {
			if err := endAdditions(ctx, tx, x, now, ev); err != nil {
				return nil, err
			}
		}
		return endUserAccess(ctx, tx, x.User, now, "")
	})
}

// endAdditions ends the ways into an account that were added to it since a sign-in which its owner
// disowns, and writes their numbers into the events.
func endAdditions(
	ctx context.Context, tx sqldb.Tx, x login.Disowning, now time.Time, ev []audit.Event,
) error {
	since := unixMilli(x.Since)
	emails, err := tx.Exec(ctx, "DELETE FROM user_emails WHERE user_id = $1 AND created_at >= $2", x.User, since)
	if err != nil {
		return err
	}
	// What was mailed may have gone to such an address. A link that undoes a change since then
	// would bring back an address which is not the owner's: the account has the owner's now.
	if err := releaseEmails(ctx, tx, x.User); err != nil {
		return err
	}
	for _, text := range []string{endRequests, endVerifications, endLinks} {
		if _, err := tx.Exec(ctx, text, x.User); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, "DELETE FROM confirmations WHERE user_id = $1 AND kind = $2 AND created_at >= $3",
		x.User, login.ConfirmUndo, since)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, endEmailCodes, unixMilli(now), x.User); err != nil {
		return err
	}
	passkeys, err := endPasskeys(ctx, tx, x)
	if err != nil {
		return err
	}
	for i := range ev {
		detail := map[string]string{}
		maps.Copy(detail, ev[i].Detail)
		detail[login.DetailEmailsRemoved] = strconv.FormatInt(emails, 10)
		detail[login.DetailPasskeysRemoved] = strconv.Itoa(passkeys)
		ev[i].Detail = detail
	}
	return nil
}

// endPasskeys deletes the credentials that a disowned sign-in takes with it, and with the last
// confirmed one the backup codes. It returns how many it deleted.
func endPasskeys(ctx context.Context, tx sqldb.Tx, x login.Disowning) (int, error) {
	if x.Passkeys == nil {
		return 0, nil
	}
	all, err := list(ctx, tx, credentialTable.scan, selectCredentials, x.User)
	if err != nil {
		return 0, err
	}
	ended := x.Passkeys(all)
	if len(ended) == 0 {
		return 0, nil
	}
	for _, id := range ended {
		_, err := tx.Exec(ctx, "DELETE FROM credentials WHERE id = $1 AND user_id = $2", id, x.User)
		if err != nil {
			return 0, err
		}
	}
	_, err = tx.Exec(ctx, deleteStrayBackupCodes, x.User)
	return len(ended), err
}
