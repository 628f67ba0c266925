package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

const (
	userCols = "id, username, email, email_verified, phone, phone_verified, name, given_name, family_name, picture, " +
		"locale, zoneinfo, address, roles, disabled, password_hash, password_changed_at, must_change, created_at, updated_at, last_login_at"
	userRead = "users.id, users.username, users.email, users.email_verified, users.phone, users.phone_verified, users.name, users.given_name, " +
		"users.family_name, users.picture, users.locale, users.zoneinfo, users.address, users.roles, users.disabled, users.password_hash, " +
		"users.password_changed_at, users.must_change, users.created_at, users.updated_at, users.last_login_at"
)

func scanUser(r sqldb.Row) (*identity.User, error) {
	var u identity.User
	var address string
	err := r.Scan(userDest(&u, &address)...)
	if err == nil {
		err = readAddress(&u, address)
	}
	return &u, err
}

// userDest is where userRead is scanned to.
func userDest(u *identity.User, address *string) []any {
	return []any{
		(*string)(&u.ID), &u.Username, &u.Email, &u.EmailVerified, &u.Phone, &u.PhoneVerified, &u.Name, &u.GivenName,
		&u.FamilyName, &u.Picture, &u.Locale, &u.Zoneinfo, address,
		words{&u.Roles},
		&u.Disabled, &u.PasswordHash,
		stamp{&u.PasswordChangedAt},
		&u.MustChange,
		stamp{&u.CreatedAt},
		stamp{&u.UpdatedAt},
		stamp{&u.LastLoginAt},
	}
}

func readAddress(u *identity.User, address string) error {
	if address == "" || address == "{}" {
		return nil
	}
	return json.Unmarshal([]byte(address), &u.Address)
}

// User reads a user, or NotFound.
func (d *DB) User(ctx context.Context, id identity.UserID) (*identity.User, error) {
	u, err := scanUser(d.sql.Row(ctx, "SELECT "+userCols+" FROM users WHERE id = $1", id))
	return u, named(err, "user")
}

// UserByLogin finds a user by the LoginKey of a user name or e-mail address, or NotFound. Where one
// person's user name is another's address, the address wins.
func (d *DB) UserByLogin(ctx context.Context, key string) (*identity.User, error) {
	if key == "" {
		return nil, notFound("user")
	}
	u, err := scanUser(d.sql.Row(ctx, "SELECT "+userCols+" FROM users WHERE email_key = $1 OR username_key = $1 "+
		"ORDER BY CASE WHEN email_key = $1 THEN 0 ELSE 1 END LIMIT 1", clean(key)))
	return u, named(err, "user")
}

// UserByRef finds a user by what an operator typed: an id, an email address or a user name.
func (d *DB) UserByRef(ctx context.Context, ref string) (*identity.User, error) {
	u, err := d.User(ctx, identity.UserID(clean(strings.TrimSpace(ref))))
	if fault.Is(err, fault.NotFound) {
		return d.UserByLogin(ctx, identity.LoginKey(ref))
	}
	return u, err
}

// CreateUser stores a new user: Conflict, with the field, if the e-mail address or user name is taken.
func (d *DB) CreateUser(ctx context.Context, u *identity.User, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error { return insertUser(ctx, tx, u) })
}

func insertUser(ctx context.Context, tx sqldb.Tx, u *identity.User) error {
	address, err := json.Marshal(u.Address)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO users ("+userCols+", username_key, email_key, search_key) VALUES ("+params(1, 24)+")",
		u.ID, u.Username, u.Email, u.EmailVerified, u.Phone, u.PhoneVerified, u.Name, u.GivenName, u.FamilyName, u.Picture,
		u.Locale, u.Zoneinfo, string(address), join(u.Roles), u.Disabled, u.PasswordHash, ms(u.PasswordChangedAt), u.MustChange,
		ms(u.CreatedAt), ms(u.UpdatedAt), ms(u.LastLoginAt),
		orNull(identity.LoginKey(u.Username)), orNull(identity.LoginKey(u.Email)), searchKey(u))
	return taken(err)
}

func searchKey(u *identity.User) string {
	return strings.ToLower(strings.Join([]string{u.Username, u.Email, u.Name}, " "))
}

// taken says which name it was that a new or changed user shares with another.
func taken(err error) error {
	switch sqldb.Violated(err) {
	case "users_email_key":
		return &fault.Error{Kind: fault.Conflict, Field: "email", Text: "this email address belongs to another account", Cause: err}
	case "users_username_key":
		return &fault.Error{Kind: fault.Conflict, Field: "username", Text: "this user name is taken", Cause: err}
	}
	return err
}

// UpdateUser stores a user's profile, names, roles and whether the account is disabled; not the password. Disabling
// ends everything as SetUserDisabled does. UpdatedAt is the time of the change.
func (d *DB) UpdateUser(ctx context.Context, u *identity.User, ev ...audit.Event) error {
	defer d.users.Invalidate(u.ID)
	address, err := json.Marshal(u.Address)
	if err != nil {
		return err
	}
	return d.end(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		was, err := lockUser(ctx, tx, u.ID)
		if err != nil {
			return nil, err
		}
		_, err = tx.Exec(ctx, `UPDATE users SET username = $1, username_key = $2, email = $3, email_key = $4, email_verified = $5,
			phone = $6, phone_verified = $7, name = $8, given_name = $9, family_name = $10, picture = $11, locale = $12, zoneinfo = $13,
			address = $14, roles = $15, disabled = $16, must_change = $17, updated_at = $18, search_key = $19 WHERE id = $20`,
			u.Username, orNull(identity.LoginKey(u.Username)), u.Email, orNull(identity.LoginKey(u.Email)), u.EmailVerified,
			u.Phone, u.PhoneVerified, u.Name, u.GivenName, u.FamilyName, u.Picture, u.Locale, u.Zoneinfo,
			string(address), join(u.Roles), u.Disabled, u.MustChange, ms(u.UpdatedAt), searchKey(u), u.ID)
		if err != nil || !u.Disabled || was {
			return nil, taken(err)
		}
		return d.endUser(ctx, tx, u.ID, u.UpdatedAt, "")
	})
}

// lockUser takes the user's row for the rest of the change, so that a login does not slip in between, and tells
// whether the account is disabled.
func lockUser(ctx context.Context, tx sqldb.Tx, id identity.UserID) (disabled bool, err error) {
	err = tx.Row(ctx, "UPDATE users SET updated_at = updated_at WHERE id = $1 RETURNING disabled", id).Scan(&disabled)
	return disabled, named(err, "user")
}

// endUser ends a user's sessions but for except, and all grants, and gives the revocation of all tokens so far.
func (d *DB) endUser(ctx context.Context, tx sqldb.Tx, id identity.UserID, now time.Time, except identity.SessionID) ([]oauth.Revocation, error) {
	if _, err := tx.Exec(ctx, "DELETE FROM sessions WHERE user_id = $1 AND id <> $2", id, except); err != nil {
		return nil, err
	}
	dead, err := d.fresh(ctx, tx, id, now)
	if err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, "DELETE FROM grants WHERE user_id = $1", id); err != nil {
		return nil, err
	}
	return append(dead, d.entry(oauth.RevokeUser, string(id), now)), nil
}

// recently is longer than any code or device authorization waits to be redeemed.
const recently = time.Hour

// fresh gives revocations of a user's approvals that may have tokens from after now: another server's clock is ahead, this
// one was put back, or tokens were given while the change waited for its turn. The revocation of the user, which counts from now,
// does not reach those.
func (d *DB) fresh(ctx context.Context, tx sqldb.Tx, id identity.UserID, now time.Time) (dead []oauth.Revocation, err error) {
	err = each(ctx, tx, func(r sqldb.Row) error {
		var grant string
		var used time.Time
		if err := r.Scan(&grant, stamp{&used}); err != nil {
			return err
		}
		if used.Before(now) {
			used = now
		}
		dead = append(dead, d.entry(oauth.RevokeGrant, grant, used))
		return nil
	}, "SELECT id, last_used_at FROM grants WHERE user_id = $1 AND last_used_at > $2", id, ms(now.Add(-recently)))
	return dead, err
}

// SetUserDisabled disables or enables an account. Disabling ends its sessions and grants and revokes its tokens.
func (d *DB) SetUserDisabled(ctx context.Context, id identity.UserID, disabled bool, now time.Time, ev ...audit.Event) error {
	defer d.users.Invalidate(id)
	return d.end(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		n, err := tx.Exec(ctx, "UPDATE users SET disabled = $1, updated_at = $2 WHERE id = $3", disabled, ms(now), id)
		if err := one(n, err, "user"); err != nil || !disabled {
			return nil, err
		}
		return d.endUser(ctx, tx, id, now, "")
	})
}

// DeleteUser deletes a user with all that belongs to them, and revokes their tokens.
func (d *DB) DeleteUser(ctx context.Context, id identity.UserID, now time.Time, ev ...audit.Event) error {
	defer d.users.Invalidate(id)
	return d.end(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		dead, err := d.fresh(ctx, tx, id, now)
		if err != nil {
			return nil, err
		}
		n, err := tx.Exec(ctx, "DELETE FROM users WHERE id = $1", id)
		if err := one(n, err, "user"); err != nil {
			return nil, err
		}
		return append(dead, d.entry(oauth.RevokeUser, string(id), now)), nil
	})
}

// UnlockUser clears the lockout counters kept under the given keys.
func (d *DB) UnlockUser(ctx context.Context, keys []string, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		for _, k := range keys {
			if _, err := tx.Exec(ctx, "DELETE FROM locks WHERE name = $1", clean(k)); err != nil {
				return err
			}
		}
		return nil
	})
}

// CountAdmins counts the enabled accounts with the administrator's role.
func (d *DB) CountAdmins(ctx context.Context) (n int, err error) {
	err = d.sql.Row(ctx, "SELECT COUNT(*) FROM users WHERE disabled = FALSE AND ' ' || roles || ' ' LIKE '% "+identity.RoleAdmin+" %'").Scan(&n)
	return n, err
}

// UserQuery selects users.
type UserQuery struct {
	Search        string // part of a user name, e-mail address or name; "" for all
	Limit, Offset int    // default limit 100
}

// ListUsers gives users by age, oldest first, and how many the query has in all.
func (d *DB) ListUsers(ctx context.Context, q UserQuery) (users []identity.User, total int, err error) {
	w := where{}
	w.has("search_key", clean(q.Search))
	if err := d.sql.Row(ctx, "SELECT COUNT(*) FROM users"+w.String(), w.args...).Scan(&total); err != nil {
		return nil, 0, err
	}
	text := "SELECT " + userCols + " FROM users" + w.String() + " ORDER BY created_at, id LIMIT " + w.param(limit(q.Limit)) +
		" OFFSET " + w.param(max(q.Offset, 0))
	users, err = list(ctx, d.sql, scanUser, text, w.args...)
	return users, total, err
}

// SetPassword replaces the password hash, clears MustChange and keeps the former hash in the history, whose newest keep
// entries stay.
func (d *DB) SetPassword(ctx context.Context, id identity.UserID, hash string, keep int, now time.Time, ev ...audit.Event) error {
	defer d.users.Invalidate(id)
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		if _, err := lockUser(ctx, tx, id); err != nil {
			return err
		}
		var old string
		if err := tx.Row(ctx, "SELECT password_hash FROM users WHERE id = $1", id).Scan(&old); err != nil {
			return err
		}
		if err := keepHash(ctx, tx, id, old, keep, now); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "UPDATE users SET password_hash = $1, password_changed_at = $2, must_change = FALSE, updated_at = $2 WHERE id = $3",
			hash, ms(now), id)
		return err
	})
}

func keepHash(ctx context.Context, tx sqldb.Tx, id identity.UserID, old string, keep int, now time.Time) error {
	var last int64
	if err := tx.Row(ctx, "SELECT COALESCE(MAX(seq), 0) FROM password_history WHERE user_id = $1", id).Scan(&last); err != nil {
		return err
	}
	if old != "" && keep > 0 {
		last++
		_, err := tx.Exec(ctx, "INSERT INTO password_history (user_id, seq, hash, created_at) VALUES ($1, $2, $3, $4)", id, last, old, ms(now))
		if err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, "DELETE FROM password_history WHERE user_id = $1 AND seq <= $2", id, last-int64(max(keep, 0)))
	return err
}

// RehashPassword replaces the hash only while it still is old.
func (d *DB) RehashPassword(ctx context.Context, id identity.UserID, old, hash string) error {
	defer d.users.Invalidate(id)
	_, err := d.sql.Exec(ctx, "UPDATE users SET password_hash = $1 WHERE id = $2 AND password_hash = $3", hash, id, old)
	return err
}

// PasswordHistory gives the newest n former hashes, newest first.
func (d *DB) PasswordHistory(ctx context.Context, id identity.UserID, n int) (hashes []string, err error) {
	err = each(ctx, d.sql, func(r sqldb.Row) error {
		var h string
		err := r.Scan(&h)
		hashes = append(hashes, h)
		return err
	}, "SELECT hash FROM password_history WHERE user_id = $1 ORDER BY seq DESC LIMIT $2", id, max(n, 0))
	return hashes, err
}

// SetRoles gives a user exactly these roles.
func (d *DB) SetRoles(ctx context.Context, id identity.UserID, roles []string, now time.Time, ev ...audit.Event) error {
	defer d.users.Invalidate(id)
	for _, r := range roles {
		if r == "" || strings.ContainsAny(r, " \t\r\n") {
			return fault.InvalidField("roles", "a role is one word; %q is not", r)
		}
	}
	roles = slices.Clone(roles)
	slices.Sort(roles)
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE users SET roles = $1, updated_at = $2 WHERE id = $3", join(slices.Compact(roles)), ms(now), id)
		return one(n, err, fmt.Sprintf("user %s", id))
	})
}
