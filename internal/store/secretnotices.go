package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

const (
	// The condition has the words of the index client_secrets_expiry.
	endingSecrets = "SELECT client_id, id, expires_at FROM client_secrets" +
		" WHERE expires_at <> 0 AND notice < 2 AND expires_at <= $1 AND notice < $2" +
		" ORDER BY expires_at, id LIMIT $3"
	noticeSecret = "UPDATE client_secrets SET notice = $1 WHERE id = $2 AND notice < $1"
)

// EndingSecrets returns up to limit secrets that expire at a time or before, and have not had a
// notice yet.
func (d *DB) EndingSecrets(
	ctx context.Context, at time.Time, n client.Notice, limit int,
) ([]client.EndingSecret, error) {
	scan := func(r sqldb.Row) (*client.EndingSecret, error) {
		var x client.EndingSecret
		return &x, r.Scan((*string)(&x.Client), &x.ID, unixMillis{&x.ExpiresAt})
	}
	all, err := list(ctx, d.sql, scan, endingSecrets, unixMilli(at), int64(n), int64(limit))
	if err != nil {
		return nil, err
	}
	for i := range all {
		x := &all[i]
		c, err := d.Client(ctx, x.Client)
		if err != nil {
			return nil, err
		}
		x.Last = c.HasSecret() && !c.Disabled && c.ActiveSecrets(x.ExpiresAt) == 0
	}
	return all, nil
}

// NoticeSecret notes that a secret has had a notice, and records the events unless it had it
// before.
func (d *DB) NoticeSecret(ctx context.Context, id string, n client.Notice, ev ...audit.Event) error {
	return d.sql.Write(ctx, func(tx sqldb.Tx) error {
		changed, err := tx.Exec(ctx, noticeSecret, int64(n), id)
		if err != nil || changed == 0 {
			return err
		}
		return d.record(ctx, tx, ev)
	})
}
