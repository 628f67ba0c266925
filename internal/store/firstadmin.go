package store

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// firstAdminMark is the name of the mark that the settings have made an administrator, or came too
// late for that.
const firstAdminMark = "first_admin"

// FirstAdminDone reports whether CreateFirstAdmin has been decided in this database.
func (d *DB) FirstAdminDone(ctx context.Context) (bool, error) {
	return exists(ctx, d.sql, "SELECT 1 FROM meta WHERE name = $1", firstAdminMark)
}

// CreateFirstAdmin stores an administrator, once in the life of a database and only while there is
// none. It reports whether it did. Of several callers at once, one does.
func (d *DB) CreateFirstAdmin(
	ctx context.Context, u *identity.User, ev ...audit.Event,
) (created bool, err error) {
	err = d.sql.Write(ctx, func(tx sqldb.Tx) error {
		created = false
		if err := lockAdmins(ctx, tx); err != nil {
			return err
		}
		n, err := tx.Exec(ctx, "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
			firstAdminMark, string(u.ID))
		if err != nil || n == 0 {
			return err
		}
		late, err := exists(ctx, tx, "SELECT 1 FROM users WHERE "+activeAdmin+" LIMIT 1")
		if err != nil || late {
			return err
		}
		created = true
		if err := d.createUser(ctx, tx, u); err != nil {
			return err
		}
		return d.record(ctx, tx, ev)
	})
	return created && err == nil, err
}
