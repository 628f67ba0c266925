package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

var userTable = table[identity.User]{
	name: "users",
	columns: []column[identity.User]{
		{"id", func(u *identity.User) any { return (*string)(&u.ID) }},
		{"username", func(u *identity.User) any { return &u.Username }},
		{"email", func(u *identity.User) any { return &u.Email }},
		{"email_verified", func(u *identity.User) any { return &u.EmailVerified }},
		{"phone", func(u *identity.User) any { return &u.Phone }},
		{"phone_verified", func(u *identity.User) any { return &u.PhoneVerified }},
		{"name", func(u *identity.User) any { return &u.Name }},
		{"given_name", func(u *identity.User) any { return &u.GivenName }},
		{"family_name", func(u *identity.User) any { return &u.FamilyName }},
		{"picture", func(u *identity.User) any { return &u.Picture }},
		{"locale", func(u *identity.User) any { return &u.Locale }},
		{"zoneinfo", func(u *identity.User) any { return &u.Zoneinfo }},
		{"address", func(u *identity.User) any { return addressJSON{&u.Address} }},
		{"roles", func(u *identity.User) any { return spaceList{&u.Roles} }},
		{"disabled", func(u *identity.User) any { return &u.Disabled }},
		{"password_hash", func(u *identity.User) any { return &u.PasswordHash }},
		{"password_changed_at", func(u *identity.User) any { return unixMillis{&u.PasswordChangedAt} }},
		{"must_change", func(u *identity.User) any { return &u.MustChange }},
		{"created_at", func(u *identity.User) any { return unixMillis{&u.CreatedAt} }},
		{"updated_at", func(u *identity.User) any { return unixMillis{&u.UpdatedAt} }},
		{"last_login_at", func(u *identity.User) any { return unixMillis{&u.LastLoginAt} }},
		{"nickname", func(u *identity.User) any { return &u.Nickname }},
		{"middle_name", func(u *identity.User) any { return &u.MiddleName }},
		{"profile", func(u *identity.User) any { return &u.Profile }},
		{"website", func(u *identity.User) any { return &u.Website }},
		{"gender", func(u *identity.User) any { return &u.Gender }},
		{"birthdate", func(u *identity.User) any { return &u.Birthdate }},
		{"must_verify_email", func(u *identity.User) any { return &u.MustVerify }},
		{"invited_at", func(u *identity.User) any { return unixMillis{&u.InvitedAt} }},
		{"locked_at", func(u *identity.User) any { return unixMillis{&u.LockedAt} }},
		{"lock_reason", func(u *identity.User) any { return &u.LockReason }},
		{"version", func(u *identity.User) any { return &u.Version }},
		{"email_verified_at", func(u *identity.User) any { return unixMillis{&u.EmailVerifiedAt} }},
	},
	derived: []column[identity.User]{
		{"username_key", func(u *identity.User) any { return orNull(identity.LoginKey(u.Username)) }},
		{"email_key", func(u *identity.User) any { return orNull(identity.LoginKey(u.Email)) }},
		{"name_key", func(u *identity.User) any { return clean(u.NameKey()) }},
	},
}

var (
	selectUser        = "SELECT " + userTable.list() + " FROM users"
	selectUserByID    = sqldb.NewRowQuery(userTable.qualifiedNames(), "FROM users WHERE id = $1")
	selectUserByLogin = selectUser + " WHERE email_key = $1 OR username_key = $1" +
		" OR id = (SELECT user_id FROM user_emails WHERE email_key = $1)" +
		" ORDER BY CASE WHEN email_key = $1 THEN 0 WHEN username_key = $1 THEN 1 ELSE 2 END LIMIT 1"
	insertUser = userTable.insert()
	lockedUser = "UPDATE users SET updated_at = updated_at WHERE id = $1 RETURNING " + userTable.list()
)

// addressJSON is a postal address, stored as a JSON object.
type addressJSON struct{ a *identity.Address }

// Scan reads a JSON object; an empty text is an empty address.
func (c addressJSON) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("store: an address cannot be read from %T", v)
	}
	*c.a = identity.Address{}
	if s == "" || s == "{}" {
		return nil
	}
	return json.Unmarshal([]byte(s), c.a)
}

func (c addressJSON) stored() any {
	b, err := json.Marshal(c.a)
	if err != nil { // not for a struct of strings
		panic(err)
	}
	return string(b)
}

// User reads a user, or NotFound.
func (d *DB) User(ctx context.Context, id identity.UserID) (*identity.User, error) {
	u := new(identity.User)
	err := d.sql.Read(ctx, userTable.dest(make([]any, 0, len(userTable.columns)), u), selectUserByID, id)
	return u, asNotFound(err, "user")
}

// UsersByID returns the users with ids, in any order, by one statement. Those that are not there
// are missing.
func (d *DB) UsersByID(ctx context.Context, ids []identity.UserID) ([]identity.User, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	w := where{}
	params := make([]string, len(ids))
	for i, id := range ids {
		params[i] = w.param(clean(string(id)))
	}
	return list(ctx, d.sql, userTable.scan, selectUser+" WHERE id IN ("+strings.Join(params, ", ")+")", w.args...)
}

// UserByLogin finds a user by the LoginKey of a username or of any of their addresses, or NotFound.
// Where one person's username is another's address, the address wins.
func (d *DB) UserByLogin(ctx context.Context, key string) (*identity.User, error) {
	if key == "" {
		return nil, notFound("user")
	}
	u, err := userTable.scan(d.sql.Row(ctx, selectUserByLogin, clean(key)))
	return u, asNotFound(err, "user")
}

// UserByRef finds a user by what an operator typed: an id, an email address or a username.
func (d *DB) UserByRef(ctx context.Context, ref string) (*identity.User, error) {
	u, err := d.User(ctx, identity.UserID(clean(strings.TrimSpace(ref))))
	if fault.Is(err, fault.NotFound) {
		return d.UserByLogin(ctx, identity.LoginKey(ref))
	}
	return u, err
}

// CreateUser stores a new user. It returns Conflict, with the field, if the email address or the
// username is taken. With an administrator, it deletes the setup links that are left.
func (d *DB) CreateUser(ctx context.Context, u *identity.User, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		if u.SuperAdmin() {
			if err := lockAdmins(ctx, tx); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "DELETE FROM links WHERE kind = $1", login.LinkSetup); err != nil {
				return err
			}
		}
		return d.createUser(ctx, tx, u)
	})
}

func (d *DB) createUser(ctx context.Context, tx sqldb.Tx, u *identity.User) error {
	if err := namesFree(ctx, tx, u, u.UpdatedAt); err != nil {
		return err
	}
	u.Version = max(u.Version, 1)
	markVerified(&identity.User{}, u)
	if _, err := tx.Exec(ctx, insertUser, userTable.args(u)...); err != nil {
		return nameTaken(err)
	}
	if err := claimEmail(ctx, tx, u.ID, u.Email); err != nil {
		return err
	}
	if err := insertTerms(ctx, tx, "user_terms", string(u.ID), u.Terms()); err != nil {
		return err
	}
	return d.addCount(ctx, tx, countUsers, 1)
}

// namesFree returns Conflict if the email address of a user is a further one of somebody else, or
// if the username was somebody else's until a short while ago.
func namesFree(ctx context.Context, tx sqldb.Tx, u *identity.User, now time.Time) error {
	if u.Email != "" {
		found, err := exists(ctx, tx, "SELECT 1 FROM user_emails WHERE email_key = $1 AND user_id <> $2",
			identity.LoginKey(u.Email), u.ID)
		if err != nil {
			return err
		}
		if found {
			return errEmailTaken(nil)
		}
	}
	if u.Username == "" {
		return nil
	}
	if err := freeUsername(ctx, tx, u.Username); err != nil {
		return err
	}
	found, err := exists(ctx, tx,
		"SELECT 1 FROM held_usernames WHERE username_key = $1 AND user_id <> $2 AND until > $3",
		identity.LoginKey(u.Username), u.ID, unixMilli(now))
	if err == nil && found {
		err = errUsernameTaken(nil)
	}
	return err
}

func errEmailTaken(cause error) error {
	return &fault.Error{
		Kind: fault.Conflict, Field: "email", Text: "this email address belongs to another account", Cause: cause,
	}
}

func errUsernameTaken(cause error) error {
	return &fault.Error{Kind: fault.Conflict, Field: "username", Text: "this username is taken", Cause: cause}
}

// nameTaken returns a Conflict that names the field, where err is that a name is taken.
func nameTaken(err error) error {
	switch sqldb.Violated(err) {
	case "users_email_key":
		return errEmailTaken(err)
	case "users_username_key":
		return errUsernameTaken(err)
	}
	return err
}

// UpdateUser stores the fields in which new differs from old, and the time new.UpdatedAt with them;
// of all other fields the stored values stay, whatever old and new say. The password, CreatedAt and
// LastLoginAt are not updated here. Another email address ends the links that the user was sent.
// Disabling an account does what SetUserDisabled does, and the
// last active administrator keeps the role. A change of roles that are no longer those of old is a
// Conflict with admin.ReasonStale. Where nothing differs, only the events are recorded.
func (d *DB) UpdateUser(ctx context.Context, old, new *identity.User, ev ...audit.Event) error {
	return d.UpdateUserAt(ctx, 0, old, new, ev...)
}

// UpdateUserAt does what UpdateUser does, or returns Stale unless the user has a version; 0 is any.
func (d *DB) UpdateUserAt(
	ctx context.Context, version int64, old, new *identity.User, ev ...audit.Event,
) error {
	changes := userTable.differences(old, new, "id", "password_hash", "password_changed_at",
		"created_at", "updated_at", "last_login_at", "invited_at", "locked_at", "lock_reason", "version")
	if len(changes) == 0 {
		return d.Record(ctx, ev...)
	}
	defer d.users.Invalidate(new.ID)
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		newRoles := !slices.Equal(old.Roles, new.Roles)
		if new.Disabled && !old.Disabled || newRoles && !new.SuperAdmin() {
			if err := keepAdmin(ctx, tx, new.ID); err != nil {
				return nil, err
			}
		}
		current, err := userTable.scan(tx.Row(ctx, lockedUser, new.ID))
		if err != nil {
			return nil, asNotFound(err, "user")
		}
		if err := admin.CheckVersion(version, current.Version, nil); err != nil {
			return nil, err
		}
		if newRoles && !slices.Equal(current.Roles, old.Roles) {
			return nil, staleRoles()
		}
		next := *current
		if err := copyColumns(&next, new, changes); err != nil {
			return nil, err
		}
		next.UpdatedAt = new.UpdatedAt
		defer func() { new.Version = next.Version }()
		if next.Email != current.Email || next.Username != current.Username {
			if err := namesFree(ctx, tx, &next, new.UpdatedAt); err != nil {
				return nil, err
			}
		}
		if next.Email != current.Email {
			if err := claimEmail(ctx, tx, new.ID, next.Email); err != nil {
				return nil, err
			}
		}
		if err := saveUser(ctx, tx, current, &next); err != nil {
			return nil, err
		}
		if err := endFormerMail(ctx, tx, current, &next); err != nil {
			return nil, err
		}
		revoked, err := disableUpdated(ctx, tx, current, &next)
		if err != nil || !newRoles {
			return revoked, err
		}
		acting, err := d.endActorRights(ctx, tx, new.ID, ev)
		return append(revoked, acting...), err
	})
}

// disableUpdated does what else an update means that disables or enables a user.
func disableUpdated(ctx context.Context, tx sqldb.Tx, current, next *identity.User) ([]oauth.Revocation, error) {
	if next.Disabled == current.Disabled {
		return nil, nil
	}
	if err := holdDeletion(ctx, tx, next.ID, next.Disabled); err != nil || !next.Disabled {
		return nil, err
	}
	return endUserAccess(ctx, tx, next.ID, next.UpdatedAt, "")
}

// endFormerMail ends what was mailed to a user before an update: to the former address, and to
// prove an address that is verified now.
func endFormerMail(ctx context.Context, tx sqldb.Tx, current, next *identity.User) error {
	if next.Email != current.Email { // a link may be in the mailbox of the former address
		return fault.Join(releaseEmails(ctx, tx, next.ID), endMailed(ctx, tx, next.ID))
	}
	if next.EmailVerified && !current.EmailVerified {
		_, err := tx.Exec(ctx, endVerifications, next.ID)
		return err
	}
	return nil
}

// staleRoles returns the Conflict of a change that is based on roles which another change has
// replaced: it would give back what that one has taken.
func staleRoles() error {
	return &fault.Error{
		Kind:   fault.Conflict,
		Reason: admin.ReasonStale,
		Field:  "roles",
		Text:   "the roles have changed meanwhile; try again",
	}
}

// Roles returns up to limit different roles that users have, in the order of their names.
func (d *DB) Roles(ctx context.Context, limit int) ([]string, error) {
	// Each step of the recursion finds the next role in the index of the terms.
	return listStrings[string](ctx, d.sql, "WITH RECURSIVE held (term) AS ("+
		"SELECT MIN(term) FROM user_terms WHERE term >= $1 AND term < $2 UNION ALL "+
		"SELECT (SELECT MIN(term) FROM user_terms WHERE term > held.term AND term < $2) FROM held"+
		" WHERE held.term IS NOT NULL) SELECT substr(term, 2) FROM held WHERE term IS NOT NULL LIMIT $3",
		identity.TermRole, identity.TermRole+lastRune, int64(limit))
}

// lockUser locks the user's row for the rest of the transaction, so that a concurrent login
// waits.
func lockUser(ctx context.Context, tx sqldb.Tx, id identity.UserID) error {
	n, err := tx.Exec(ctx, "UPDATE users SET updated_at = updated_at WHERE id = $1", id)
	return requireOne(n, err, "user")
}

// endUserAccess deletes a user's sessions but for except, and all grants. It returns the
// revocation of all tokens issued so far.
func endUserAccess(
	ctx context.Context, tx sqldb.Tx, id identity.UserID, now time.Time, except identity.SessionID,
) ([]oauth.Revocation, error) {
	if _, err := tx.Exec(ctx, "DELETE FROM sessions WHERE user_id = $1 AND id <> $2", id, except); err != nil {
		return nil, err
	}
	return endAllGrants(ctx, tx, id, now)
}

// recentUse is longer than a code or a device authorization waits to be redeemed.
const recentUse = time.Hour

// revokeRecentGrants returns revocations of a user's grants whose tokens may bear a time after
// now: another server's clock is ahead, the clock of this one was set back, or tokens were issued
// while the change waited for the database. The revocation of the user, which covers tokens
// issued up to now, would miss them.
func revokeRecentGrants(
	ctx context.Context, tx sqldb.Tx, id identity.UserID, now time.Time,
) (revoked []oauth.Revocation, err error) {
	err = each(ctx, tx, func(r sqldb.Row) error {
		v := newRevocation(oauth.RevokeGrant, "", now)
		var used time.Time
		err := r.Scan(&v.ID, (*string)(&v.Client), spaceList{&v.Audience}, unixMillis{&used})
		if used.After(now) {
			v.NotBefore = used
		}
		revoked = append(revoked, v)
		return err
	}, "SELECT id, client_id, resources, last_used_at FROM grants WHERE user_id = $1 AND last_used_at > $2",
		id, unixMilli(now.Add(-recentUse)))
	return revoked, err
}

// SetUserDisabled disables or enables an account. Disabling ends its sessions and grants and
// revokes its tokens; the last active administrator cannot be disabled.
func (d *DB) SetUserDisabled(
	ctx context.Context, id identity.UserID, disabled bool, now time.Time, ev ...audit.Event,
) error {
	defer d.users.Invalidate(id)
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		if disabled {
			if err := keepAdmin(ctx, tx, id); err != nil {
				return nil, err
			}
		}
		if err := holdDeletion(ctx, tx, id, disabled); err != nil {
			return nil, err
		}
		n, err := tx.Exec(ctx, "UPDATE users SET disabled = $1, updated_at = $2, version = version + 1 WHERE id = $3",
			disabled, unixMilli(now), id)
		if err := requireOne(n, err, "user"); err != nil || !disabled {
			return nil, err
		}
		return endUserAccess(ctx, tx, id, now, "")
	})
}

// SetUserLocked locks an account for an administrator, with a reason, or ends that lock if the time
// is zero. Locking ends sessions and grants and revokes tokens, as disabling does; the last active
// administrator cannot be locked.
func (d *DB) SetUserLocked(
	ctx context.Context, id identity.UserID, at time.Time, reason string, now time.Time, ev ...audit.Event,
) error {
	defer d.users.Invalidate(id)
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		if !at.IsZero() {
			if err := keepAdmin(ctx, tx, id); err != nil {
				return nil, err
			}
		}
		n, err := tx.Exec(ctx, "UPDATE users SET locked_at = $1, lock_reason = $2, updated_at = $3,"+
			" version = version + 1 WHERE id = $4", unixMilli(at), clean(reason), unixMilli(now), id)
		if err := requireOne(n, err, "user"); err != nil || at.IsZero() {
			return nil, err
		}
		return endUserAccess(ctx, tx, id, now, "")
	})
}

// DeleteUser deletes a user with all that belongs to them, and revokes their tokens. The last
// active administrator cannot be deleted.
func (d *DB) DeleteUser(
	ctx context.Context, id identity.UserID, now time.Time, ev ...audit.Event,
) error {
	return d.DeleteUserAt(ctx, 0, id, now, ev...)
}

// DeleteUserAt does what DeleteUser does, or returns Stale unless the user has a version; 0 is any.
func (d *DB) DeleteUserAt(
	ctx context.Context, version int64, id identity.UserID, now time.Time, ev ...audit.Event,
) error {
	defer d.users.Invalidate(id)
	d.sql.Scrub()
	err := d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		if err := atVersion(ctx, tx, userTable.name, "id", string(id), version); err != nil {
			return nil, err
		}
		if err := keepAdmin(ctx, tx, id); err != nil {
			return nil, err
		}
		revoked, err := revokeRecentGrants(ctx, tx, id, now)
		if err != nil {
			return nil, err
		}
		if err := d.eraseTraces(ctx, tx, id); err != nil {
			return nil, err
		}
		if err := d.deleteUserTerms(ctx, tx, id); err != nil {
			return nil, err
		}
		n, err := tx.Exec(ctx, "DELETE FROM users WHERE id = $1", id)
		if err := requireOne(n, err, "user"); err != nil {
			return nil, err
		}
		return append(revoked, newRevocation(oauth.RevokeUser, string(id), now)), nil
	})
	if err != nil {
		return err
	}
	return d.eraseRest(ctx, id)
}

// UserQuery selects users.
type UserQuery = admin.UserQuery

// SetPassword replaces the password hash, clears MustChange and adds the former hash to the
// history, of which the newest historySize entries stay. Changes of addresses that wait for a
// confirmation end: somebody else may have asked for them.
func (d *DB) SetPassword(
	ctx context.Context, id identity.UserID, hash string, historySize int, now time.Time, ev ...audit.Event,
) error {
	defer d.users.Invalidate(id)
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		if err := lockUser(ctx, tx, id); err != nil {
			return err
		}
		var old string
		if err := tx.Row(ctx, "SELECT password_hash FROM users WHERE id = $1", id).Scan(&old); err != nil {
			return err
		}
		if err := addToHistory(ctx, tx, id, old, historySize, now); err != nil {
			return err
		}
		for _, text := range []string{endRequests, endVerifications} {
			if _, err := tx.Exec(ctx, text, id); err != nil {
				return err
			}
		}
		if err := keepReplaced(ctx, tx, id, old, now); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "UPDATE users SET password_hash = $1, password_changed_at = $2, must_change = FALSE, "+
			"invited_at = 0, updated_at = $2 WHERE id = $3", hash, unixMilli(now), id)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, deleteTrust, id)
		return err
	})
}

// addToHistory adds a former hash to a user's history and deletes all but its newest size
// entries.
func addToHistory(
	ctx context.Context, tx sqldb.Tx, id identity.UserID, hash string, size int, now time.Time,
) error {
	var last int64
	err := tx.Row(ctx, "SELECT COALESCE(MAX(seq), 0) FROM password_history WHERE user_id = $1", id).Scan(&last)
	if err != nil {
		return err
	}
	if hash != "" && size > 0 {
		last++
		_, err := tx.Exec(ctx, "INSERT INTO password_history (user_id, seq, hash, created_at) VALUES ($1, $2, $3, $4)",
			id, last, hash, unixMilli(now))
		if err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, "DELETE FROM password_history WHERE user_id = $1 AND seq <= $2", id, last-int64(max(size, 0)))
	return err
}

// RehashPassword replaces the hash if it still is old.
func (d *DB) RehashPassword(ctx context.Context, id identity.UserID, old, hash string) error {
	defer d.users.Invalidate(id)
	_, err := d.sql.Exec(ctx, "UPDATE users SET password_hash = $1 WHERE id = $2 AND password_hash = $3", hash, id, old)
	return err
}

// PasswordHistory returns the newest n former hashes, newest first.
func (d *DB) PasswordHistory(
	ctx context.Context, id identity.UserID, n int,
) (hashes []string, err error) {
	return listStrings[string](ctx, d.sql,
		"SELECT hash FROM password_history WHERE user_id = $1 ORDER BY seq DESC LIMIT $2", id, max(n, 0))
}

// SetRoles replaces the roles of a user. The last active administrator keeps the role super_admin.
func (d *DB) SetRoles(
	ctx context.Context, id identity.UserID, roles []string, now time.Time, ev ...audit.Event,
) error {
	defer d.users.Invalidate(id)
	for _, r := range roles {
		if r == "" || strings.ContainsAny(r, " \t\r\n") {
			return fault.InvalidField("roles", "a role is one word; %q is not", r)
		}
	}
	roles = slices.Clone(roles)
	slices.Sort(roles)
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		if !slices.Contains(roles, identity.RoleSuperAdmin) {
			if err := keepAdmin(ctx, tx, id); err != nil {
				return nil, err
			}
		}
		current, err := userTable.scan(tx.Row(ctx, lockedUser, id))
		if err != nil {
			return nil, asNotFound(err, fmt.Sprintf("user %s", id))
		}
		next := *current
		next.Roles, next.UpdatedAt = slices.Compact(roles), now
		if err := saveUser(ctx, tx, current, &next); err != nil {
			return nil, err
		}
		return d.endActorRights(ctx, tx, id, ev)
	})
}
