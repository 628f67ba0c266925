package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

const keyCols = "id, alg, public_jwk, sealed, created_at, active_at, retired_at, expires_at"

func scanKey(r sqldb.Row) (*jose.StoredKey, error) {
	var k jose.StoredKey
	err := r.Scan(&k.ID, &k.Alg, &k.PublicJWK, &k.Sealed, stamp{&k.CreatedAt}, stamp{&k.ActiveAt}, stamp{&k.RetiredAt}, stamp{&k.ExpiresAt})
	return &k, err
}

// Keys reads all keys that have not expired, oldest first.
func (d *DB) Keys(ctx context.Context) ([]jose.StoredKey, error) {
	return list(ctx, d.sql, scanKey, "SELECT "+keyCols+" FROM keys WHERE expires_at = 0 OR expires_at > $1 ORDER BY created_at, id", ms(time.Now()))
}

// changeKeys runs a change of keys. The topic's row is locked first: such changes come one after another,
// and each statement sees what the ones before it did.
func (d *DB) changeKeys(ctx context.Context, ev []audit.Event, f func(tx sqldb.Tx) error) error {
	err := d.write(ctx, ev, func(tx sqldb.Tx) error {
		if _, err := bump(ctx, tx, TopicKeys, 1); err != nil {
			return err
		}
		return f(tx)
	})
	if err == nil {
		d.committed(ctx)
	}
	return err
}

// FirstKey stores a key if no unretired key of its algorithm exists, or Conflict: of two servers that start at once one makes it.
func (d *DB) FirstKey(ctx context.Context, k jose.StoredKey) error {
	return d.changeKeys(ctx, nil, func(tx sqldb.Tx) error {
		found, err := exists(ctx, tx, "SELECT 1 FROM keys WHERE alg = $1 AND retired_at = 0 LIMIT 1", k.Alg)
		if err != nil {
			return err
		}
		if found {
			return fault.New(fault.Conflict, "there is a key for %s already", k.Alg)
		}
		return insertKey(ctx, tx, k)
	})
}

func insertKey(ctx context.Context, tx sqldb.Tx, k jose.StoredKey) error {
	_, err := tx.Exec(ctx, "INSERT INTO keys ("+keyCols+") VALUES ("+params(1, 8)+")",
		k.ID, k.Alg, k.PublicJWK, k.Sealed, ms(k.CreatedAt), ms(k.ActiveAt), ms(k.RetiredAt), ms(k.ExpiresAt))
	return err
}

// AddKey stores a further key.
func (d *DB) AddKey(ctx context.Context, k jose.StoredKey, ev ...audit.Event) error {
	return d.changeKeys(ctx, ev, func(tx sqldb.Tx) error { return insertKey(ctx, tx, k) })
}

// RetireKeys ends the signing of keys at retiredAt and their publication at expiresAt. A key that has been
// retired before keeps the earlier times. NotFound if one of them does not exist; then none is changed.
func (d *DB) RetireKeys(ctx context.Context, ids []string, retiredAt, expiresAt time.Time, ev ...audit.Event) error {
	return d.changeKeys(ctx, ev, func(tx sqldb.Tx) error {
		for _, id := range ids {
			n, err := tx.Exec(ctx, "UPDATE keys SET retired_at = CASE WHEN retired_at = 0 OR retired_at > CAST($1 AS BIGINT) THEN CAST($1 AS BIGINT) ELSE retired_at END, "+
				"expires_at = CASE WHEN expires_at = 0 OR expires_at > CAST($2 AS BIGINT) THEN CAST($2 AS BIGINT) ELSE expires_at END WHERE id = $3",
				ms(retiredAt), ms(expiresAt), id)
			if err := one(n, err, "key"); err != nil {
				return err
			}
		}
		return nil
	})
}

// UpdateKeyTimes stores when a key signs and is published.
func (d *DB) UpdateKeyTimes(ctx context.Context, k jose.StoredKey, ev ...audit.Event) error {
	return d.changeKeys(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE keys SET active_at = $1, retired_at = $2, expires_at = $3 WHERE id = $4",
			ms(k.ActiveAt), ms(k.RetiredAt), ms(k.ExpiresAt), k.ID)
		return one(n, err, "key")
	})
}

// RotateKeys adds a key and retires others in one change.
func (d *DB) RotateKeys(ctx context.Context, k jose.StoredKey, retire []string, retiredAt, expiresAt time.Time, ev ...audit.Event) error {
	return d.changeKeys(ctx, ev, func(tx sqldb.Tx) error {
		for _, id := range retire {
			n, err := tx.Exec(ctx, "UPDATE keys SET retired_at = $1, expires_at = $2 WHERE id = $3 AND retired_at = 0", ms(retiredAt), ms(expiresAt), id)
			if err == nil && n == 0 {
				err = fault.New(fault.Conflict, "key %s has been retired meanwhile", id)
			}
			if err != nil {
				return err
			}
		}
		return insertKey(ctx, tx, k)
	})
}
