package store

import (
	"context"
	"strconv"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// metaTokenLife is the longest life that any access token of this database was ever given, in milliseconds. A revocation
// is kept that long. It only grows: tokens issued before a setting was lowered are still about.
const metaTokenLife = "token_life"

const raiseTokenLife = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = " +
	"CASE WHEN CAST(meta.value AS BIGINT) < CAST(excluded.value AS BIGINT) THEN excluded.value ELSE meta.value END"

// RaiseTokenTTL makes sure that revocations are kept for at least a life of access tokens.
func (d *DB) RaiseTokenTTL(ctx context.Context, life time.Duration) error {
	return raiseLife(ctx, d.sql, life)
}

func raiseLife(ctx context.Context, c sqldb.Conn, life time.Duration) error {
	_, err := c.Exec(ctx, raiseTokenLife, metaTokenLife, strconv.FormatInt(life.Milliseconds(), 10))
	return err
}

// tokenLife is how long a revocation made now must be kept.
func tokenLife(ctx context.Context, c sqldb.Conn) (time.Duration, error) {
	var text string
	err := c.Row(ctx, "SELECT value FROM meta WHERE name = $1", metaTokenLife).Scan(&text)
	if fault.Is(err, fault.NotFound) {
		return leastTokenLife, nil
	}
	if err != nil {
		return 0, err
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	return max(time.Duration(ms)*time.Millisecond, leastTokenLife), err
}

// leastTokenLife is how long revocations are kept at least.
const leastTokenLife = 24 * time.Hour
