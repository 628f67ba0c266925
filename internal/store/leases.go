package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// ReleaseLease ends a lease, if the holder has it.
func (d *DB) ReleaseLease(ctx context.Context, name, holder string) error {
	_, err := d.sql.Exec(ctx, "DELETE FROM leases WHERE name = $1 AND holder = $2", name, holder)
	return err
}

// AcquireLease takes a named lease for a holder, or renews it. It reports whether the holder has
// the lease for ttl, by the clock of the database: a server whose own clock is wrong neither takes
// another's lease nor keeps one for too long. Of several processes that ask at once, one gets it.
func (d *DB) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	now := sqldb.Clock(d.Engine())
	n, err := d.sql.Exec(ctx, "INSERT INTO leases (name, holder, until) VALUES ($1, $2, "+now+" + $3)"+
		" ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until"+
		" WHERE leases.holder = excluded.holder OR leases.until <= "+now,
		name, holder, ttl.Milliseconds())
	return n > 0, err
}

// Now returns the time by the clock of the database.
func (d *DB) Now(ctx context.Context) (time.Time, error) {
	var millis int64
	err := d.sql.Row(ctx, "SELECT "+sqldb.Clock(d.Engine())).Scan(&millis)
	return time.UnixMilli(millis).UTC(), err
}
