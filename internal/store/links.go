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

var linkTable = table[login.Link]{
	name: "links",
	columns: []column[login.Link]{
		{"kind", func(l *login.Link) any { return &l.Kind }},
		{"user_id", func(l *login.Link) any { return optional{(*string)(&l.User)} }},
		{"created_at", func(l *login.Link) any { return unixMillis{&l.CreatedAt} }},
		{"expires_at", func(l *login.Link) any { return unixMillis{&l.ExpiresAt} }},
		{"email", func(l *login.Link) any { return &l.Email }},
	},
}

var (
	insertLink  = linkTable.insert("hash", "used_at")
	selectLink  = "SELECT " + linkTable.list() + " FROM links WHERE hash = $1 AND used_at = 0 AND expires_at > $2"
	consumeLink = "UPDATE links SET used_at = $1 WHERE hash = $2 AND used_at = 0 AND expires_at > $1" +
		" RETURNING " + linkTable.list()
)

// Link reads a one-time link that can still be used, or NotFound.
func (d *DB) Link(ctx context.Context, h secret.Hash, now time.Time) (*login.Link, error) {
	l, err := linkTable.scan(d.sql.Row(ctx, selectLink, h, unixMilli(now)))
	return l, asNotFound(err, "link")
}

// PutLink stores a one-time link under the hash of its secret. It deletes the user's earlier links
// of the same kind.
func (d *DB) PutLink(ctx context.Context, h secret.Hash, l *login.Link, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM links WHERE user_id = $1 AND kind = $2 AND used_at = 0", l.User, l.Kind)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, insertLink, linkTable.args(l, h, int64(0))...)
		return err
	})
}

// ConsumeLink uses a link, once. It returns Consumed if the link was used before, and NotFound if
// there is none or it has expired.
func (d *DB) ConsumeLink(ctx context.Context, h secret.Hash, now time.Time) error {
	return d.sql.Write(ctx, func(tx sqldb.Tx) error {
		_, err := useLink(ctx, tx, h, now)
		return err
	})
}

func useLink(ctx context.Context, tx sqldb.Tx, h secret.Hash, now time.Time) (*login.Link, error) {
	found, err := list(ctx, tx, linkTable.scan, consumeLink, unixMilli(now), h)
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
		return nil, consumed("link")
	}
	return nil, notFound("link")
}

// CompleteSetup uses the set-up link and creates the first administrator. It deletes all other
// set-up links: there is one first administrator. It returns Consumed, and creates nobody, while
// there is an active administrator.
func (d *DB) CompleteSetup(
	ctx context.Context, h secret.Hash, u *identity.User, first *login.FirstPasskey, now time.Time,
	ev ...audit.Event,
) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		if err := lockAdmins(ctx, tx); err != nil {
			return err
		}
		l, err := useLink(ctx, tx, h, now)
		if err != nil {
			return err
		}
		if l.Kind != login.LinkSetup {
			return notFound("set-up link")
		}
		late, err := exists(ctx, tx, "SELECT 1 FROM users WHERE "+activeAdmin+" LIMIT 1")
		if err != nil {
			return err
		}
		if late {
			return consumed("set-up link")
		}
		if _, err := tx.Exec(ctx, "DELETE FROM links WHERE kind = $1 AND hash <> $2", login.LinkSetup, h); err != nil {
			return err
		}
		if err := d.createUser(ctx, tx, u); err != nil {
			return err
		}
		return putFirstPasskey(ctx, tx, first)
	})
}
