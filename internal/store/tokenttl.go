package store

import (
	"context"
	"strconv"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// metaTokenTTL names the longest TTL of an access token in this database so far, in milliseconds.
// It only grows: tokens that were issued before a TTL was shortened are still valid. Revocations
// are stored that long.
const metaTokenTTL = "token_life"

// minTokenTTL is how long revocations are stored at least.
const minTokenTTL = 24 * time.Hour

const raiseTTL = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = " +
	"CASE WHEN CAST(meta.value AS BIGINT) < CAST(excluded.value AS BIGINT) THEN excluded.value ELSE meta.value END"

// RaiseTokenTTL makes sure that revocations are stored at least as long as access tokens with
// this TTL are valid.
func (d *DB) RaiseTokenTTL(ctx context.Context, ttl time.Duration) error {
	text, err := d.Meta(ctx, metaTokenTTL)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil && ms >= ttl.Milliseconds() {
		return nil // a start that changes nothing writes nothing
	}
	return raiseTokenTTL(ctx, d.sql, ttl)
}

func raiseTokenTTL(ctx context.Context, c sqldb.Conn, ttl time.Duration) error {
	if t, ok := c.(*togetherTx); ok {
		t.ttl = max(t.ttl, ttl)
		return nil
	}
	_, err := c.Exec(ctx, raiseTTL, metaTokenTTL, strconv.FormatInt(ttl.Milliseconds(), 10))
	return err
}

// LongestToken returns the longest TTL that an access token of this database has had, or 0.
func (d *DB) LongestToken(ctx context.Context) (time.Duration, error) {
	text, err := d.Meta(ctx, metaTokenTTL)
	if fault.Is(err, fault.NotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	return time.Duration(ms) * time.Millisecond, err
}

// tokenTTL returns how long a revocation made now must be stored.
func tokenTTL(ctx context.Context, c sqldb.Conn) (time.Duration, error) {
	var text string
	err := c.Row(ctx, "SELECT value FROM meta WHERE name = $1", metaTokenTTL).Scan(&text)
	if fault.Is(err, fault.NotFound) {
		return minTokenTTL, nil
	}
	if err != nil {
		return 0, err
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	return max(time.Duration(ms)*time.Millisecond, minTokenTTL), err
}
