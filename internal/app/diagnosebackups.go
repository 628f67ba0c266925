package app

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/doctor"
	"github.com/gatehouse-id/gatehouse/internal/store"
)

// backups gathers what is known of backups, and asks where they go.
func (d *diagnosis) backups(ctx context.Context, db *store.DB) {
	if len(d.out.Migrations) > 0 { // there may be no table of backups yet
		return
	}
	copied, err := db.IsCopy(ctx)
	if err != nil {
		return
	}
	state, err := admin.ReadBackups(ctx, db, backupPolicy(d.cfg, copied), d.out.Now)
	if err != nil {
		return
	}
	p := state.Policy
	out := &doctor.Backups{
		Place:     p.Place,
		Every:     p.Every,
		Bucket:    strings.HasPrefix(p.Place, "s3://"),
		Encrypted: p.Encrypted,
		Copy:      p.Copy,
		Failures:  state.Failures,
	}
	if n := state.Newest; n != nil {
		out.Newest, out.Size = n.StartedAt, n.Bytes
	}
	for i := range state.List {
		if b := &state.List[i]; b.State == admin.BackupFailed && b.Place == p.Place {
			out.LastError = b.Error
			break
		}
	}
	d.out.Backups = out
	if p.Place == "" || p.Copy {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	place, err := openTarget(d.e, d.cfg.Backups.To)
	if err == nil {
		err = place.Check(bounded)
	}
	if err != nil {
		out.Err = err.Error()
	}
	if at, ok := place.(*bucket); ok && err == nil {
		if err := at.CheckUploads(bounded); err != nil {
			out.UploadsErr = err.Error()
		}
	}
	if file := sqliteFile(d.cfg); file != "" && !out.Bucket {
		out.SameDisk = sameDisk(filepath.Dir(file), p.Place)
	}
}
