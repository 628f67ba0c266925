package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

var backupTable = table[admin.Backup]{
	name: "backups",
	columns: []column[admin.Backup]{
		{"id", func(b *admin.Backup) any { return &b.ID }},
		{"actor", func(b *admin.Backup) any { return &b.Actor }},
		{"place", func(b *admin.Backup) any { return cleanText{&b.Place} }},
		{"name", func(b *admin.Backup) any { return cleanText{&b.Name} }},
		{"state", func(b *admin.Backup) any { return (*string)(&b.State) }},
		{"error", func(b *admin.Backup) any { return cleanText{&b.Error} }},
		{"started_at", func(b *admin.Backup) any { return unixMillis{&b.StartedAt} }},
		{"finished_at", func(b *admin.Backup) any { return unixMillis{&b.FinishedAt} }},
		{"bytes", func(b *admin.Backup) any { return &b.Bytes }},
		{"row_count", func(b *admin.Backup) any { return &b.Rows }},
		{"sha256", func(b *admin.Backup) any { return &b.SHA256 }},
		{"encrypted", func(b *admin.Backup) any { return &b.Encrypted }},
		{"deleted_at", func(b *admin.Backup) any { return unixMillis{&b.DeletedAt} }},
	},
}

var (
	insertBackup  = backupTable.insert()
	selectBackups = "SELECT " + backupTable.list() + " FROM backups"
	// setBackup writes what the outcome is.
	setBackup = backupTable.set("state", "name", "place", "error", "finished_at", "bytes", "row_count", "sha256", "encrypted")
)

// backupsStay is how long attempts are listed. Good backups that were not deleted stay: the policy
// of retention counts only those that are recorded.
const backupsStay = 365 * 24 * time.Hour

// AddBackup stores a backup that begins or is asked for. One that is asked for is refused with
// Conflict while another one to the same place is queued, or runs since then.
func (d *DB) AddBackup(ctx context.Context, b *admin.Backup, since time.Time, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		busy, err := exists(ctx, tx, "SELECT 1 FROM backups WHERE state IN ('queued', 'running')"+
			" AND place = $1 AND started_at > $2 LIMIT 1", b.Place, unixMilli(since))
		if err != nil {
			return err
		}
		if busy && b.State == admin.BackupQueued {
			return fault.New(fault.Conflict, "a backup is queued or being made already")
		}
		if _, err := tx.Exec(ctx, "DELETE FROM backups WHERE started_at < $1 AND (state <> 'good' OR deleted_at <> 0)",
			unixMilli(b.StartedAt.Add(-backupsStay))); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, insertBackup, backupTable.args(b)...)
		return err
	})
}

// SetBackup writes what became of a backup, with the events.
func (d *DB) SetBackup(ctx context.Context, b *admin.Backup, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE backups SET "+setBackup.text+" WHERE id = "+setBackup.next(1), setBackup.args(b, b.ID)...)
		return err
	})
}

// BackupsDeleted notes that files were deleted by the policy of retention, with the events.
func (d *DB) BackupsDeleted(ctx context.Context, place string, names []string, now time.Time, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		for _, name := range names {
			if _, err := tx.Exec(ctx, "UPDATE backups SET deleted_at = $1 WHERE place = $2 AND name = $3",
				unixMilli(now), place, name); err != nil {
				return err
			}
		}
		return nil
	})
}

// QueuedBackup returns the oldest backup to a place that was asked for since then, or NotFound.
func (d *DB) QueuedBackup(ctx context.Context, place string, since time.Time) (*admin.Backup, error) {
	b, err := backupTable.scan(d.sql.Row(ctx, selectBackups+" WHERE state = 'queued' AND place = $1"+
		" AND started_at > $2 ORDER BY started_at, id LIMIT 1", place, unixMilli(since)))
	return b, asNotFound(err, "backup")
}

// ListBackups returns the newest backups and attempts, at a place unless it is "".
func (d *DB) ListBackups(ctx context.Context, place string, n int) ([]admin.Backup, error) {
	return list(ctx, d.sql, backupTable.scan, selectBackups+" WHERE ($1 = '' OR place = $1)"+
		" ORDER BY started_at DESC, id DESC LIMIT $2", place, limit(n))
}

// NewestBackup returns the newest good backup that was not deleted, at a place unless it is "", or
// NotFound.
func (d *DB) NewestBackup(ctx context.Context, place string) (*admin.Backup, error) {
	b, err := backupTable.scan(d.sql.Row(ctx, selectBackups+" WHERE state = 'good' AND deleted_at = 0"+
		" AND ($1 = '' OR place = $1) ORDER BY started_at DESC, id DESC LIMIT 1", place))
	return b, asNotFound(err, "backup")
}

// GoodBackups returns the good backups at a place that were not deleted.
func (d *DB) GoodBackups(ctx context.Context, place string) ([]admin.Backup, error) {
	return list(ctx, d.sql, backupTable.scan,
		selectBackups+" WHERE state = 'good' AND deleted_at = 0 AND place = $1", place)
}

// AbandonBackups marks as failed what did not end: backups to a place, of which the caller holds
// the lease, and all that began or were asked for before.
func (d *DB) AbandonBackups(ctx context.Context, place string, now, before time.Time) error {
	_, err := d.sql.Exec(ctx, "UPDATE backups SET state = 'failed', finished_at = $1,"+
		" error = 'the program stopped while it made the backup'"+
		" WHERE state = 'running' AND place = $2 OR state IN ('queued', 'running') AND started_at < $3",
		unixMilli(now), place, unixMilli(before))
	return err
}
