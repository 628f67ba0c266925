package store

import (
	"context"
	"time"
)

// AcquireLease takes a named lease for a holder, or renews it. It reports whether the holder has
// the lease until now+ttl. Of several processes that ask at once, one gets it.
func (d *DB) AcquireLease(
	ctx context.Context, name, holder string, ttl time.Duration, now time.Time,
) (bool, error) {
	n, err := d.sql.Exec(ctx, "INSERT INTO leases (name, holder, until) VALUES ($1, $2, $3)"+
		" ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until"+
		" WHERE leases.holder = excluded.holder OR leases.until <= $4",
		name, holder, unixMilli(now.Add(ttl)), unixMilli(now))
	return n > 0, err
}

// ReleaseLease ends a lease, if the holder has it.
func (d *DB) ReleaseLease(ctx context.Context, name, holder string) error {
	_, err := d.sql.Exec(ctx, "DELETE FROM leases WHERE name = $1 AND holder = $2", name, holder)
	return err
}
