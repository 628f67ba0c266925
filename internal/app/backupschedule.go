package app

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
)

// Times of the worker that makes backups.
const (
	backupLook  = 10 * time.Second // between two looks whether one is due
	backupLease = 2 * time.Minute
	backupRenew = 30 * time.Second
)

// backupLeaseName is the name of the lease without which no program writes to BACKUP_TO.
const backupLeaseName = "backup"

// startBackups adds the worker that makes backups.
func (s *server) startBackups(e *env) error {
	if s.parts.cfg.Backups.To == "" {
		return nil
	}
	ops, err := s.parts.operations(e)
	if err != nil {
		return err
	}
	holder := s.jobs.Holder
	s.outward(func(ctx context.Context) { s.makeBackups(ctx, ops, holder) })
	return nil
}

// makeBackups makes the backups that are due or asked for, on one server at a time, until ctx ends.
func (s *server) makeBackups(ctx context.Context, ops *admin.Operations, holder string) {
	tick := time.NewTicker(backupLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		made, err := ops.MakeDueBackup(ctx, holder)
		s.backupRan(ctx, made, err)
	}
}

// backupRan logs and counts what became of a backup.
func (s *server) backupRan(ctx context.Context, x *admin.Backup, err error) {
	var late *admin.PruneError
	switch {
	case err != nil && ctx.Err() != nil: // the server stops
	case errors.As(err, &late):
		s.log.Error("older backups are not deleted; the next backup will try again", "error", late.Unwrap())
	case err != nil:
		s.log.Error("a backup failed; the server tries again", "error", err)
		s.parts.monitor.backupRan(err)
	case x != nil:
		s.log.Info("a backup is made", "place", x.Place, "name", x.Name, "size_bytes", x.Bytes,
			"rows", x.Rows, "duration_seconds", x.FinishedAt.Sub(x.StartedAt).Seconds())
		s.parts.monitor.backupRan(nil)
	}
}

// Exclusive calls f if no other program holds the lease of BACKUP_TO, and reports whether it did.
// The context of f ends when another program takes over, or may.
func (b backups) Exclusive(ctx context.Context, holder string, f func(context.Context) error) (bool, error) {
	db := b.p.db
	acquired, err := db.AcquireLease(ctx, backupLeaseName, holder, backupLease)
	if err != nil || !acquired {
		return false, err
	}
	held, cancel := context.WithCancel(ctx)
	var renewal sync.WaitGroup
	renewal.Go(func() {
		b.renew(held, holder)
		cancel()
	})
	defer func() {
		cancel()
		renewal.Wait()
		last, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer stop()
		_ = db.ReleaseLease(last, backupLeaseName, holder) // else it expires
	}()
	return true, f(held)
}

// renew renews the lease until ctx ends, or until it is lost.
func (b backups) renew(ctx context.Context, holder string) {
	tick := time.NewTicker(backupRenew)
	defer tick.Stop()
	renewed := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		sent := time.Now()
		bounded, cancel := context.WithTimeout(ctx, backupRenew)
		ok, err := b.p.db.AcquireLease(bounded, backupLeaseName, holder, backupLease)
		cancel()
		switch {
		case err == nil && !ok:
			return
		case err == nil:
			renewed = sent
		case time.Since(renewed) > backupLease-backupRenew:
			return // the database is away, and the lease expires soon
		}
	}
}
