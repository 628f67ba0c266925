package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// executor is what runs a statement: the database, or a transaction.
type executor interface {
	Exec(ctx context.Context, query string, args ...any) (int64, error)
}

// Once stores a key until a time. It returns Consumed if the key is stored already.
func (d *DB) Once(ctx context.Context, key string, until, now time.Time) error {
	return once(ctx, d.sql, key, until, now)
}

// once stores a key until a time. It returns Consumed if the key is stored already.
func once(ctx context.Context, on executor, key string, until, now time.Time) error {
	n, err := on.Exec(ctx, "INSERT INTO once (name, expires_at) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE"+
		" SET expires_at = excluded.expires_at WHERE once.expires_at <= $3", key, unixMilli(until), unixMilli(now))
	if err == nil && n == 0 {
		return fault.New(fault.Consumed, "this has been used before")
	}
	return err
}
