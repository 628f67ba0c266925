package store

import (
	"context"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// activeAdmin selects the active users who may do everything. The role is one word of a list.
var activeAdmin = "disabled = FALSE AND locked_at = 0 AND " + hasRole("roles", "'"+identity.RoleSuperAdmin+"'")

// foundAdmin selects the same users by the index of the terms. Where nobody is found, activeAdmin
// decides: what is open to the first administrator must not depend on the terms.
var foundAdmin = "disabled = FALSE AND locked_at = 0 AND " + holds(identity.RoleSuperAdmin)

// activeAdministrator selects the active users with one of the roles of administrators.
var activeAdministrator = "disabled = FALSE AND " + holds(identity.RoleSuperAdmin, identity.RoleAdmin)

// holds returns the condition that a user has one of the roles: the terms find the users, and the
// list of words decides.
func holds(roles ...string) string {
	terms, words := make([]string, len(roles)), make([]string, len(roles))
	for i, role := range roles {
		terms[i], words[i] = "'"+identity.RoleTerm(role)+"'", hasRole("roles", "'"+role+"'")
	}
	return "users.id IN (SELECT id FROM user_terms WHERE term IN (" + strings.Join(terms, ", ") + "))" +
		" AND (" + strings.Join(words, " OR ") + ")"
}

// ableAdmin selects the active administrators who can sign in: with a password or a passkey, or in
// the way in which they have done so before, and not locked for good.
var ableAdmin = foundAdmin + " AND (password_hash <> '' OR last_login_at > 0 OR EXISTS (SELECT 1 FROM credentials" +
	" WHERE credentials.user_id = users.id AND credentials.kind = 'passkey' AND credentials.confirmed_at > 0))" +
	" AND locked_at = 0"

// CountAdmins returns how many active administrators there are.
func (d *DB) CountAdmins(ctx context.Context) (n int, err error) {
	err = d.sql.Row(ctx, "SELECT COUNT(*) FROM users WHERE "+foundAdmin).Scan(&n)
	if err == nil && n == 0 {
		err = d.sql.Row(ctx, "SELECT COUNT(*) FROM users WHERE "+activeAdmin).Scan(&n)
	}
	return n, err
}

// Admins returns up to limit active administrators, those first who have been here longest.
func (d *DB) Admins(ctx context.Context, limit int) ([]identity.User, error) {
	return list(ctx, d.sql, userTable.scan, selectUser+" WHERE "+foundAdmin+" ORDER BY created_at, id LIMIT $1", limit)
}

// Administrators returns up to limit active users with an administrator's role, those first who
// have been here longest.
func (d *DB) Administrators(ctx context.Context, limit int) ([]identity.User, error) {
	return list(ctx, d.sql, userTable.scan, selectUser+" WHERE "+activeAdministrator+
		" ORDER BY created_at, id LIMIT $1", limit)
}

// keepAdmin returns a Conflict with admin.ReasonLastAdministrator if the user, whom the
// transaction disables, deletes or takes the role from, is the last active administrator. It locks
// a row until the transaction ends, so that two administrators cannot be removed at once.
func keepAdmin(ctx context.Context, tx sqldb.Tx, id identity.UserID) error {
	if err := lockAdmins(ctx, tx); err != nil {
		return err
	}
	last, err := exists(ctx, tx, "SELECT 1 FROM users WHERE id = $1 AND "+activeAdmin+
		" AND NOT EXISTS (SELECT 1 FROM users WHERE id <> $1 AND "+ableAdmin+")", id)
	if err == nil && last {
		err = &fault.Error{
			Kind:   fault.Conflict,
			Reason: admin.ReasonLastAdministrator,
			Text:   "the last administrator can neither be disabled or deleted nor lose the role",
		}
	}
	return err
}

// lockAdmins locks a row until the transaction ends, so that decisions about who administers the
// server are made one after another.
func lockAdmins(ctx context.Context, tx sqldb.Tx) error {
	if t, ok := tx.(*togetherTx); ok && !t.first("administrators") {
		return nil
	}
	const lock = "INSERT INTO meta (name, value) VALUES ('administrators', '') " +
		"ON CONFLICT (name) DO UPDATE SET value = meta.value"
	_, err := tx.Exec(ctx, lock)
	return err
}
