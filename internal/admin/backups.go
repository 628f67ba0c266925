package admin

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/backup"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// A BackupState is what became of a backup.
type BackupState string

// The states of backups.
const (
	BackupQueued  BackupState = "queued" // a server makes it soon
	BackupRunning BackupState = "running"
	BackupGood    BackupState = "good" // written, and read again
	BackupFailed  BackupState = "failed"
)

// A Backup is a backup that was made, or an attempt at one.
type Backup struct {
	ID         string
	Actor      string // who asked for it
	Place      string // without secrets
	Name       string // of the file
	State      BackupState
	Error      string // why it failed
	StartedAt  time.Time
	FinishedAt time.Time // zero: not yet
	Bytes      int64
	Rows       int64
	SHA256     string // of the file
	Encrypted  bool
	DeletedAt  time.Time // by the policy of retention; zero: not deleted
}

// BackupPolicy is what the settings say about backups.
type BackupPolicy struct {
	Place     string // without secrets; "": none is configured
	Every     time.Duration
	Keep      int
	Encrypted bool
}

// Backups are the backups of a server.
type Backups struct {
	Policy BackupPolicy
	Newest *Backup // that is good, or nil
	DueAt  time.Time
	List   []Backup // newest first
}

// BackupStore is what the operations on backups need of storage.
type BackupStore interface {
	// AddBackup stores a backup that begins or is asked for. It returns fault.Conflict if another
	// one is queued or running since a time after since.
	AddBackup(ctx context.Context, b *Backup, since time.Time, ev ...audit.Event) error
	// SetBackup writes what became of a backup.
	SetBackup(ctx context.Context, b *Backup, ev ...audit.Event) error
	// BackupsDeleted notes that files at a place were deleted by the policy of retention.
	BackupsDeleted(ctx context.Context, place string, names []string, now time.Time, ev ...audit.Event) error
	// ListBackups returns the newest backups and attempts.
	ListBackups(ctx context.Context, limit int) ([]Backup, error)
	// NewestBackup returns the newest good backup, or fault.NotFound.
	NewestBackup(ctx context.Context) (*Backup, error)
}

// A BackupWriter makes backup files.
type BackupWriter interface {
	// Policy returns what the settings say.
	Policy() BackupPolicy
	// Write makes a backup now, at a place or where the settings say, and completes b with where
	// it is and what is in it. After an error there is no file of it.
	Write(ctx context.Context, b *Backup, in BackupInput) error
	// Prune deletes the older files beside a backup that the policy of retention does not keep, and
	// returns their names.
	Prune(ctx context.Context, b *Backup) ([]string, error)
	// Files returns the files at a place, or where the settings say.
	Files(ctx context.Context, place string) ([]backup.File, error)
}

// BackupInput says where a backup goes.
type BackupInput struct {
	To         string   // a file, a folder or s3://…; "": where the settings say
	Recipients []string // public keys of age; nil: those of the settings
}

const (
	// backupTimeout is how long a backup that does not end keeps others from beginning.
	backupTimeout = 24 * time.Hour
	// recordTimeout bounds how long the outcome of a backup may take to be recorded.
	recordTimeout = 10 * time.Second
)

// shownBackups is how many backups a list has.
const shownBackups = 100

// Backups returns the backups and attempts, newest first.
func (o *Operations) Backups(ctx context.Context, a Actor) (*Backups, error) {
	if err := o.authorize(a, ScopeBackup); err != nil {
		return nil, err
	}
	out := &Backups{}
	if o.parts.Backups != nil {
		out.Policy = o.parts.Backups.Policy()
	}
	var err error
	if out.List, err = o.store.ListBackups(ctx, shownBackups); err != nil {
		return nil, err
	}
	out.Newest, err = o.store.NewestBackup(ctx)
	if fault.Is(err, fault.NotFound) {
		out.Newest, err = nil, nil
	}
	if out.Policy.Every > 0 && out.Newest != nil {
		out.DueAt = out.Newest.StartedAt.Add(out.Policy.Every)
	}
	return out, err
}

// MakeBackup asks the servers for a backup at the place of the settings: one of them makes it
// within seconds.
func (o *Operations) MakeBackup(ctx context.Context, a Actor) (*Backup, error) {
	if err := o.authorize(a, ScopeBackup); err != nil {
		return nil, err
	}
	now := o.parts.Now()
	b := &Backup{
		ID:        secret.NewID(now),
		Actor:     a.Name(),
		State:     BackupQueued,
		StartedAt: now,
	}
	if o.parts.Backups != nil {
		p := o.parts.Backups.Policy()
		b.Place, b.Encrypted = p.Place, p.Encrypted
	}
	if b.Place == "" {
		return nil, fault.New(fault.Conflict, "the server does not know where backups go; set BACKUP_TO to a folder "+
			"or to s3://BUCKET/PREFIX")
	}
	guard := audit.Event{At: now, Guard: o.covers(a, ScopeBackup)}
	return b, o.store.AddBackup(ctx, b, now.Add(-backupTimeout), guard)
}

// WriteBackup makes a backup now. Only the command line on the database may name the place, which
// is a file of the machine.
func (o *Operations) WriteBackup(ctx context.Context, a Actor, in BackupInput) (*Backup, error) {
	if err := o.authorize(a, ScopeBackup); err != nil {
		return nil, err
	}
	if !a.trusted() || o.parts.Backups == nil {
		return nil, fault.New(fault.Denied, "only the command line on the database may choose where a backup goes")
	}
	now := o.parts.Now()
	b := &Backup{
		ID:        secret.NewID(now),
		Actor:     a.Name(),
		State:     BackupRunning,
		StartedAt: now,
	}
	if err := o.store.AddBackup(ctx, b, now); err != nil {
		return nil, err
	}
	return b, o.RunBackup(ctx, b, in)
}

// RunBackup makes a backup that is stored as running, and records the outcome. Where the settings
// say where it goes, older ones are deleted by the policy of retention afterwards.
func (o *Operations) RunBackup(ctx context.Context, b *Backup, in BackupInput) error {
	failed := o.parts.Backups.Write(ctx, b, in)
	b.FinishedAt, b.State = o.parts.Now(), BackupGood
	ev := b.event()
	if failed != nil {
		b.State, b.Error = BackupFailed, failed.Error()
		ev.Type = audit.BackupFailed
		ev.Detail = map[string]string{"place": b.Place, "error": b.Error}
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err := o.store.SetBackup(end, b, ev); err != nil || failed != nil {
		return errors.Join(failed, err)
	}
	if in.To != "" {
		return nil
	}
	return o.pruneBackups(ctx, b)
}

// event returns the event of a backup that was made.
func (b *Backup) event() audit.Event {
	return audit.Event{
		At:         b.FinishedAt,
		Type:       audit.BackupMade,
		Actor:      b.Actor,
		TargetType: audit.TargetBackup,
		TargetID:   b.ID,
		Detail: map[string]string{
			"place":     b.Place,
			"name":      b.Name,
			"bytes":     strconv.FormatInt(b.Bytes, 10),
			"rows":      strconv.FormatInt(b.Rows, 10),
			"sha256":    b.SHA256,
			"encrypted": strconv.FormatBool(b.Encrypted),
		},
	}
}

// pruneBackups deletes older backups by the policy of retention, and records which ones.
func (o *Operations) pruneBackups(ctx context.Context, b *Backup) error {
	names, failed := o.parts.Backups.Prune(ctx, b)
	if len(names) == 0 {
		return failed
	}
	now := o.parts.Now()
	err := o.store.BackupsDeleted(context.WithoutCancel(ctx), b.Place, names, now, audit.Event{
		At:         now,
		Type:       audit.BackupDeleted,
		Actor:      audit.ActorSystem,
		TargetType: audit.TargetBackup,
		TargetID:   b.ID,
		Detail:     map[string]string{"place": b.Place, "names": strings.Join(names, " ")},
	})
	return errors.Join(failed, err)
}

// RestoreEvent returns the event of a restore, which the restored database records.
func RestoreEvent(h *backup.Header, kind string, isCopy bool, now time.Time) audit.Event {
	return audit.Event{
		At:         now,
		Type:       audit.BackupRestored,
		Actor:      CommandLine().Name(),
		TargetType: audit.TargetBackup,
		TargetID:   h.ID,
		Detail: map[string]string{
			"kind":    kind,
			"backup":  h.ID,
			"made_at": h.MadeAt.UTC().Format(time.RFC3339),
			"program": h.Program,
			"engine":  h.Engine,
			"copy":    strconv.FormatBool(isCopy),
		},
	}
}

// BackupFiles returns the files at a place, for the command line on the database.
func (o *Operations) BackupFiles(ctx context.Context, a Actor, place string) ([]backup.File, error) {
	if err := o.authorize(a, ScopeBackup); err != nil {
		return nil, err
	}
	if !a.trusted() || o.parts.Backups == nil {
		return nil, fault.New(fault.Denied, "only the command line on the database may read a place of backups")
	}
	return o.parts.Backups.Files(ctx, place)
}
