package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// BeginIdempotent stores that a request has begun, in one statement, and returns nil. Of a request
// that is known it returns the record. One that has expired begins anew.
func (d *DB) BeginIdempotent(
	ctx context.Context, key, body string, now, expires time.Time,
) (known *admin.IdempotentRecord, err error) {
	err = d.sql.Write(ctx, func(tx sqldb.Tx) error {
		known = nil
		n, err := tx.Exec(ctx, "INSERT INTO idempotent_requests"+
			" (key_hash, body_hash, status, resource, sealed, created_at, expires_at)"+
			" VALUES ($1, $2, 0, '', '', $3, $4) ON CONFLICT (key_hash) DO UPDATE SET body_hash = excluded.body_hash,"+
			" status = 0, resource = '', sealed = '', created_at = excluded.created_at, expires_at = excluded.expires_at"+
			" WHERE idempotent_requests.expires_at <= excluded.created_at", key, body, unixMilli(now), unixMilli(expires))
		if err != nil || n == 1 {
			return err
		}
		known = new(admin.IdempotentRecord)
		return tx.Row(ctx, "SELECT body_hash, status, sealed, created_at FROM idempotent_requests WHERE key_hash = $1",
			key).Scan(&known.BodyHash, &known.Status, &known.Sealed, unixMillis{&known.CreatedAt})
	})
	return known, err
}

// FinishIdempotent stores the answer to a request that has begun.
func (d *DB) FinishIdempotent(ctx context.Context, key string, status int, resource, sealed string) error {
	n, err := d.sql.Exec(ctx, "UPDATE idempotent_requests SET status = $1, resource = $2, sealed = $3"+
		" WHERE key_hash = $4 AND status = 0", int64(status), clean(resource), sealed, key)
	return requireOne(n, err, "request")
}

// DropIdempotent forgets a request that has no answer.
func (d *DB) DropIdempotent(ctx context.Context, key string) error {
	_, err := d.sql.Exec(ctx, "DELETE FROM idempotent_requests WHERE key_hash = $1 AND status = 0", key)
	return err
}
