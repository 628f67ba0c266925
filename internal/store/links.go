package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

const linkCols = "kind, COALESCE(user_id, ''), created_at, expires_at"

func scanLink(r sqldb.Row) (*login.Link, error) {
	var l login.Link
	err := r.Scan(&l.Kind, (*string)(&l.User), stamp{&l.CreatedAt}, stamp{&l.ExpiresAt})
	return &l, err
}

// Link reads a one-time link that can still be used, or NotFound.
func (d *DB) Link(ctx context.Context, h secret.Hash, now time.Time) (*login.Link, error) {
	l, err := scanLink(d.sql.Row(ctx, "SELECT "+linkCols+" FROM links WHERE hash = $1 AND used_at = 0 AND expires_at > $2", h, ms(now)))
	return l, named(err, "link")
}

// PutLink stores a one-time link under the hash of its secret.
func (d *DB) PutLink(ctx context.Context, h secret.Hash, l *login.Link, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO links (hash, kind, user_id, created_at, expires_at, used_at) VALUES ($1, $2, $3, $4, $5, 0)",
			h, l.Kind, orNull(string(l.User)), ms(l.CreatedAt), ms(l.ExpiresAt))
		return err
	})
}

// ConsumeLink uses a link up, once: Consumed if it was used before, NotFound if there is none or it has expired.
func (d *DB) ConsumeLink(ctx context.Context, h secret.Hash, now time.Time) error {
	return d.sql.Write(ctx, func(tx sqldb.Tx) error {
		_, err := spendLink(ctx, tx, h, now)
		return err
	})
}

func spendLink(ctx context.Context, tx sqldb.Tx, h secret.Hash, now time.Time) (*login.Link, error) {
	found, err := list(ctx, tx, scanLink, "UPDATE links SET used_at = $1 WHERE hash = $2 AND used_at = 0 AND expires_at > $1 RETURNING "+linkCols,
		ms(now), h)
	if err != nil {
		return nil, err
	}
	if len(found) == 1 {
		return &found[0], nil
	}
	used, err := exists(ctx, tx, "SELECT 1 FROM links WHERE hash = $1 AND used_at <> 0", h)
	switch {
	case err != nil:
		return nil, err
	case used:
		return nil, spent("link")
	}
	return nil, notFound("link")
}

// CompleteSetup spends the set-up link and creates the first administrator. All other set-up links die with
// it: there is one first administrator.
func (d *DB) CompleteSetup(ctx context.Context, h secret.Hash, u *identity.User, now time.Time, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		l, err := spendLink(ctx, tx, h, now)
		if err != nil {
			return err
		}
		if l.Kind != login.LinkSetup {
			return notFound("set-up link")
		}
		if _, err := tx.Exec(ctx, "DELETE FROM links WHERE kind = $1 AND hash <> $2", login.LinkSetup, h); err != nil {
			return err
		}
		return insertUser(ctx, tx, u)
	})
}
