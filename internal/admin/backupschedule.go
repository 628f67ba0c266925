package admin

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const (
	// countedAttempts is how many attempts at backups are looked at.
	countedAttempts = 50

	firstRetry = time.Minute // after a failure; each further failure doubles it
	lastRetry  = time.Hour

	// maxAhead is how far the start of an attempt may be in the future: one that is later was
	// written by a clock that was wrong.
	maxAhead = time.Hour
)

// NextBackup returns when the next backup is due by itself: an interval after the start of the last
// good one, or after a failure sooner, with growing pauses. list are the newest attempts at the
// place, newest first. The zero time means never.
func NextBackup(p BackupPolicy, list []Backup, now time.Time) time.Time {
	if p.Every <= 0 || p.Place == "" {
		return time.Time{}
	}
	var due, failed time.Time
	failures := 0
	for i := range list {
		b := &list[i]
		if b.StartedAt.After(now.Add(maxAhead)) {
			continue
		}
		if b.State == BackupGood {
			due = b.StartedAt.Add(p.Every)
			break
		}
		if b.State == BackupFailed {
			if failures == 0 {
				failed = b.FinishedAt
			}
			failures++
		}
	}
	if failures > 0 && !failed.After(now.Add(maxAhead)) {
		if retry := failed.Add(retryPause(failures, p.Every)); retry.After(due) {
			due = retry
		}
	}
	if due.IsZero() {
		return now
	}
	return due
}

// retryPause returns how long a server waits after so many failures in a row.
func retryPause(failures int, every time.Duration) time.Duration {
	pause := lastRetry
	if doublings := failures - 1; doublings < 6 {
		pause = firstRetry << doublings
	}
	return min(pause, every)
}

// failuresInARow returns how many attempts failed since the last good one.
func failuresInARow(list []Backup) int {
	n := 0
	for i := range list {
		switch list[i].State {
		case BackupGood:
			return n
		case BackupFailed:
			n++
		}
	}
	return n
}

// MakeDueBackup makes the backup that is due or asked for, if no other program is at it, and
// returns it. holder names this program.
func (o *Operations) MakeDueBackup(ctx context.Context, holder string) (*Backup, error) {
	b, err := o.dueBackup(ctx)
	if err != nil || b == nil {
		return nil, err
	}
	b = nil
	_, err = o.parts.Backups.Exclusive(ctx, holder, func(ctx context.Context) error {
		// With the lease, look again: another program may just have made it.
		if b, err = o.dueBackup(ctx); err != nil || b == nil {
			return err
		}
		if err := o.beginBackup(ctx, b); err != nil {
			return err
		}
		return o.runBackup(ctx, b, BackupInput{})
	})
	return b, err
}

// dueBackup returns the backup that is to be made now, or nil: one that was asked for, or the next
// of the schedule.
func (o *Operations) dueBackup(ctx context.Context) (*Backup, error) {
	now, err := o.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	p := o.backupPolicy()
	b, err := o.store.QueuedBackup(ctx, p.Place, now.Add(-backupTimeout))
	if !fault.Is(err, fault.NotFound) {
		return b, err
	}
	list, err := o.store.ListBackups(ctx, p.Place, countedAttempts)
	if err != nil {
		return nil, err
	}
	if due := NextBackup(p, list, now); due.IsZero() || due.After(now) {
		return nil, nil
	}
	return &Backup{
		ID:        secret.NewID(now),
		Actor:     audit.ActorSystem,
		Place:     p.Place,
		State:     BackupRunning,
		StartedAt: now,
	}, nil
}

// beginBackup records that a backup begins, by the holder of the lease. What still counts as
// running has stopped.
func (o *Operations) beginBackup(ctx context.Context, b *Backup) error {
	err := o.store.AbandonBackups(ctx, b.Place, b.StartedAt, b.StartedAt.Add(-backupTimeout))
	if err != nil {
		return err
	}
	if b.State != BackupQueued {
		return o.store.AddBackup(ctx, b, b.StartedAt)
	}
	b.State = BackupRunning
	return o.store.SetBackup(ctx, b)
}
