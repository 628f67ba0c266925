package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

var keyTable = table[jose.StoredKey]{
	name: "keys",
	columns: []column[jose.StoredKey]{
		{"id", func(k *jose.StoredKey) any { return &k.ID }},
		{"alg", func(k *jose.StoredKey) any { return &k.Alg }},
		{"public_jwk", func(k *jose.StoredKey) any { return &k.PublicJWK }},
		{"sealed", func(k *jose.StoredKey) any { return &k.Sealed }},
		{"created_at", func(k *jose.StoredKey) any { return unixMillis{&k.CreatedAt} }},
		{"active_at", func(k *jose.StoredKey) any { return unixMillis{&k.ActiveAt} }},
		{"retired_at", func(k *jose.StoredKey) any { return unixMillis{&k.RetiredAt} }},
		{"expires_at", func(k *jose.StoredKey) any { return unixMillis{&k.ExpiresAt} }},
	},
}

var (
	selectKeys = "SELECT " + keyTable.list() + " FROM keys WHERE expires_at = 0 OR expires_at > $1 ORDER BY created_at, id"
	insertKey  = keyTable.insert()
)

// Keys reads all keys that have not expired, oldest first.
func (d *DB) Keys(ctx context.Context) ([]jose.StoredKey, error) {
	return list(ctx, d.sql, keyTable.scan, selectKeys, unixMilli(time.Now()))
}

// ClientAlgorithms returns the algorithms that clients have chosen for their tokens.
func (d *DB) ClientAlgorithms(ctx context.Context) ([]string, error) {
	var algs []string
	err := each(ctx, d.sql, func(r sqldb.Row) error {
		var alg string
		err := r.Scan(&alg)
		algs = append(algs, alg)
		return err
	}, "SELECT DISTINCT alg FROM clients WHERE alg <> '' ORDER BY alg")
	return algs, err
}

// changeKeys runs a change of keys. It locks the topic's row first: such changes come one after
// another, and each statement sees the changes before it.
func (d *DB) changeKeys(ctx context.Context, ev []audit.Event, f func(tx sqldb.Tx) error) error {
	err := d.write(ctx, ev, func(tx sqldb.Tx) error {
		if err := bump(ctx, tx, TopicKeys); err != nil {
			return err
		}
		return f(tx)
	})
	if err == nil {
		d.committed(ctx)
	}
	return err
}

// FirstKey stores a key, or returns Conflict if there is an unretired key of its algorithm. Of
// two servers that start at once, one creates it.
func (d *DB) FirstKey(ctx context.Context, k jose.StoredKey) error {
	return d.changeKeys(ctx, nil, func(tx sqldb.Tx) error {
		found, err := exists(ctx, tx, "SELECT 1 FROM keys WHERE alg = $1 AND retired_at = 0 LIMIT 1", k.Alg)
		if err != nil {
			return err
		}
		if found {
			return fault.New(fault.Conflict, "there is a key for %s already", k.Alg)
		}
		return putKey(ctx, tx, k)
	})
}

func putKey(ctx context.Context, tx sqldb.Tx, k jose.StoredKey) error {
	_, err := tx.Exec(ctx, insertKey, keyTable.args(&k)...)
	return err
}

// AddKey stores a further key.
func (d *DB) AddKey(ctx context.Context, k jose.StoredKey, ev ...audit.Event) error {
	return d.changeKeys(ctx, ev, func(tx sqldb.Tx) error { return putKey(ctx, tx, k) })
}

// RetireKeys ends the signing of keys at retiredAt and their publication at expiresAt. A key that
// has been retired before keeps the earlier times. It returns NotFound if one of the keys does
// not exist; then it changes none.
func (d *DB) RetireKeys(
	ctx context.Context, ids []string, retiredAt, expiresAt time.Time, ev ...audit.Event,
) error {
	return d.changeKeys(ctx, ev, func(tx sqldb.Tx) error {
		for _, id := range ids {
			n, err := tx.Exec(ctx, "UPDATE keys SET retired_at = CASE"+
				" WHEN retired_at = 0 OR retired_at > CAST($1 AS BIGINT) THEN CAST($1 AS BIGINT) ELSE retired_at END,"+
				" expires_at = CASE"+
				" WHEN expires_at = 0 OR expires_at > CAST($2 AS BIGINT) THEN CAST($2 AS BIGINT) ELSE expires_at END"+
				" WHERE id = $3", unixMilli(retiredAt), unixMilli(expiresAt), id)
			if err := requireOne(n, err, "key"); err != nil {
				return err
			}
		}
		return nil
	})
}

// RotateKeys adds a key and retires others in one change. It returns Conflict if one of the
// others has been retired meanwhile.
func (d *DB) RotateKeys(
	ctx context.Context, k jose.StoredKey, retire []string, retiredAt, expiresAt time.Time, ev ...audit.Event,
) error {
	return d.changeKeys(ctx, ev, func(tx sqldb.Tx) error {
		for _, id := range retire {
			n, err := tx.Exec(ctx, "UPDATE keys SET retired_at = $1, expires_at = $2 WHERE id = $3 AND retired_at = 0",
				unixMilli(retiredAt), unixMilli(expiresAt), id)
			if err == nil && n == 0 {
				err = fault.New(fault.Conflict, "key %s has been retired meanwhile", id)
			}
			if err != nil {
				return err
			}
		}
		return putKey(ctx, tx, k)
	})
}
