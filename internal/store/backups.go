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

// backupsStay is how long attempts are listed.
const backupsStay = 365 * 24 * time.Hour

// AddBackup stores a backup that begins or is asked for, unless another one is queued or running.
func (d *DB) AddBackup(ctx context.Context, b *admin.Backup, since time.Time, ev ...audit.Event) error {
	return d.sql.Write(ctx, func(tx sqldb.Tx) error {
		if err := checkGuards(ctx, tx, ev); err != nil {
			return err
		}
		busy, err := exists(ctx, tx, "SELECT 1 FROM backups WHERE state IN ('queued', 'running') AND started_at > $1 LIMIT 1",
			unixMilli(since))
		if err != nil {
			return err
		}
		if busy && b.State == admin.BackupQueued {
			return fault.New(fault.Conflict, "a backup is queued or being made already")
		}
		if _, err := tx.Exec(ctx, "DELETE FROM backups WHERE started_at < $1", unixMilli(b.StartedAt.Add(-backupsStay))); err != nil {
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

// QueuedBackup returns the oldest backup that was asked for, or NotFound.
func (d *DB) QueuedBackup(ctx context.Context) (*admin.Backup, error) {
	b, err := backupTable.scan(d.sql.Row(ctx, selectBackups+" WHERE state = 'queued' ORDER BY started_at, id LIMIT 1"))
	return b, asNotFound(err, "backup")
}

// ListBackups returns the newest backups and attempts.
func (d *DB) ListBackups(ctx context.Context, n int) ([]admin.Backup, error) {
	return list(ctx, d.sql, backupTable.scan, selectBackups+" ORDER BY started_at DESC, id DESC LIMIT $1", limit(n))
}

// NewestBackup returns the newest good backup, or NotFound.
func (d *DB) NewestBackup(ctx context.Context) (*admin.Backup, error) {
	b, err := backupTable.scan(d.sql.Row(ctx, selectBackups+" WHERE state = 'good' AND deleted_at = 0"+
		" ORDER BY started_at DESC, id DESC LIMIT 1"))
	return b, asNotFound(err, "backup")
}

// AbandonBackups marks backups as failed that a server began and did not end.
func (d *DB) AbandonBackups(ctx context.Context, now time.Time) error {
	_, err := d.sql.Exec(ctx, "UPDATE backups SET state = 'failed', finished_at = $1,"+
		" error = 'the server stopped while it made the backup' WHERE state = 'running' AND actor = $2",
		unixMilli(now), audit.ActorSystem)
	return err
}
