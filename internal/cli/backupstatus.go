package cli

import (
	"context"
	"strconv"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
)

// backupStatus shows the state of the backups that servers make.
type backupStatus struct{}

// backupState is the state of the backups as the command line shows it.
type backupState struct {
	Place     string         `json:"place"`
	Every     int64          `json:"every"` // seconds
	Keep      int            `json:"keep"`
	Encrypted bool           `json:"encrypted"`
	Newest    *backupAttempt `json:"newest"`
	Failures  int            `json:"failures"`
	DueAt     timestamp      `json:"due_at"`
	Missing   []string       `json:"not_included"`

	Attempts []backupAttempt `json:"data"`
}

// backupAttempt is a backup or an attempt at one as the command line shows it.
type backupAttempt struct {
	ID         string    `json:"id"`
	Actor      string    `json:"actor"`
	Place      string    `json:"place"`
	Name       string    `json:"name"`
	State      string    `json:"state"`
	Error      string    `json:"error"`
	StartedAt  timestamp `json:"started_at"`
	FinishedAt timestamp `json:"finished_at"`
	Bytes      int64     `json:"bytes"`
	Rows       int64     `json:"rows"`
	SHA256     string    `json:"sha256"`
	Encrypted  bool      `json:"encrypted"`
	DeletedAt  timestamp `json:"deleted_at"`
}

// Run prints the state.
func (*backupStatus) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		b, err := ops.Backups(ctx, a)
		if err != nil {
			return err
		}
		v := backupState{
			Place:     b.Policy.Place,
			Every:     int64(b.Policy.Every / time.Second),
			Keep:      b.Policy.Keep,
			Encrypted: b.Policy.Encrypted,
			Failures:  b.Failures,
			DueAt:     timestamp{b.DueAt},
			Missing:   orEmpty(b.Policy.Missing),
			Attempts:  []backupAttempt{},
		}
		if b.Newest != nil {
			newest := viewAttempt(b.Newest)
			v.Newest = &newest
		}
		for i := range b.List {
			v.Attempts = append(v.Attempts, viewAttempt(&b.List[i]))
		}
		return c.show(v, func(s *table) { v.print(s, c.Now()) })
	})
}

func viewAttempt(b *admin.Backup) backupAttempt {
	return backupAttempt{
		ID:         b.ID,
		Actor:      b.Actor,
		Place:      b.Place,
		Name:       b.Name,
		State:      string(b.State),
		Error:      b.Error,
		StartedAt:  timestamp{b.StartedAt},
		FinishedAt: timestamp{b.FinishedAt},
		Bytes:      b.Bytes,
		Rows:       b.Rows,
		SHA256:     b.SHA256,
		Encrypted:  b.Encrypted,
		DeletedAt:  timestamp{b.DeletedAt},
	}
}

// shownAttempts is how many attempts are shown to people.
const shownAttempts = 10

func (v *backupState) print(s *table, now time.Time) {
	place, every, newest := v.Place, "never; set BACKUP_EVERY", "none"
	if place == "" {
		place = "none; set BACKUP_TO"
	}
	if v.Every > 0 {
		every = (time.Duration(v.Every) * time.Second).String()
	}
	if n := v.Newest; n != nil {
		newest = now.Sub(n.StartedAt.Time).Truncate(time.Minute).String() + " old: " + n.Name + ", " + byteSize(n.Bytes)
	}
	s.pair("newest", newest)
	s.pair("place", place)
	s.pair("every", every)
	if !v.DueAt.IsZero() {
		s.pair("next", v.DueAt.String())
	}
	if v.Failures > 0 {
		s.pair("failures", strconv.Itoa(v.Failures)+" in a row")
	}
	if len(v.Attempts) == 0 {
		return
	}
	s.row("STARTED", "STATE", "SIZE", "NAME", "ERROR")
	for i, a := range v.Attempts {
		if i == shownAttempts {
			break
		}
		state := a.State
		if !a.DeletedAt.IsZero() {
			state = "deleted"
		}
		s.row(a.StartedAt.String(), state, byteSize(a.Bytes), a.Name, a.Error)
	}
}
