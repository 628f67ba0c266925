package store

import (
	"context"
	"encoding/base64"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/account"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// Picture returns the picture at an address, or NotFound.
func (d *DB) Picture(ctx context.Context, id string) (*account.Picture, error) {
	p := &account.Picture{ID: id}
	var data string
	err := d.sql.Row(ctx, "SELECT kind, data, created_at FROM pictures WHERE id = $1", clean(id)).
		Scan(&p.Kind, &data, unixMillis{&p.CreatedAt})
	if err != nil {
		return nil, asNotFound(err, "picture")
	}
	p.Data, err = base64.StdEncoding.DecodeString(data)
	return p, err
}

// SetPicture replaces the picture of a user, and the address of it in the user's profile. Without a
// picture, p is nil, the former one is deleted.
func (d *DB) SetPicture(
	ctx context.Context, id identity.UserID, p *account.Picture, address string, now time.Time, ev ...audit.Event,
) error {
	defer d.users.Invalidate(id)
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE users SET picture = $1, updated_at = $2, version = version + 1 WHERE id = $3", address, unixMilli(now), id)
		if err := requireOne(n, err, "user"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "DELETE FROM pictures WHERE user_id = $1", id); err != nil || p == nil {
			return err
		}
		_, err = tx.Exec(ctx, "INSERT INTO pictures (id, user_id, kind, data, created_at) VALUES ($1, $2, $3, $4, $5)",
			p.ID, id, p.Kind, base64.StdEncoding.EncodeToString(p.Data), unixMilli(p.CreatedAt))
		return err
	})
}
