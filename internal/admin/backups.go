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

// Requested reports whether somebody asked for the backup over the API: neither the schedule nor
// the command line did.
func (b *Backup) Requested() bool {
	return b.Actor != audit.ActorSystem && b.Actor != CommandLine().Name()
}

// maxBackupError is the number of bytes of an error text that are recorded.
const maxBackupError = 1000

// Finish sets the outcome of a backup that was made or failed with an error, and returns its event.
func (b *Backup) Finish(now time.Time, err error) audit.Event {
	b.FinishedAt, b.State = now, BackupGood
	ev := audit.Event{
		At:         now,
		Type:       audit.BackupMade,
		Actor:      b.Actor,
		TargetType: audit.TargetBackup,
		TargetID:   b.ID,
	}
	if err == nil {
		ev.Detail = map[string]string{
			"place":     b.Place,
			"name":      b.Name,
			"bytes":     strconv.FormatInt(b.Bytes, 10),
			"rows":      strconv.FormatInt(b.Rows, 10),
			"sha256":    b.SHA256,
			"encrypted": strconv.FormatBool(b.Encrypted),
		}
		return ev
	}
	text := err.Error()
	if errors.Is(err, context.Canceled) {
		text = "it was broken off: the program was stopped, or another one took over"
	}
	if len(text) > maxBackupError {
		text = strings.ToValidUTF8(text[:maxBackupError], "") + "…"
	}
	b.State, b.Error, ev.Type = BackupFailed, text, audit.BackupFailed
	ev.Detail = map[string]string{"place": b.Place, "error": b.Error}
	return ev
}

// Pruned returns the event that older backups were deleted after this one was made.
func (b *Backup) Pruned(names []string, keep int) audit.Event {
	return audit.Event{
		At:         b.FinishedAt,
		Type:       audit.BackupDeleted,
		Actor:      audit.ActorSystem,
		TargetType: audit.TargetBackup,
		TargetID:   b.ID,
		Detail: map[string]string{
			"place": b.Place,
			"names": strings.Join(names, " "),
			"keep":  strconv.Itoa(keep),
		},
	}
}

// BackupPolicy is what the settings say about backups.
type BackupPolicy struct {
	Place     string        // without secrets; "": none is configured
	Every     time.Duration // 0: never by itself
	Keep      int           // 0: all
	Encrypted bool
	Missing   []string // what a backup does not hold, in words
	Copy      bool     // the database is a copy for trying things out: the server makes no backups
}

// BackupOverview is the state of the backups of an installation.
type BackupOverview struct {
	Policy   BackupPolicy
	Newest   *Backup   // the newest good one where the settings say, or anywhere if they do not; or nil
	Failures int       // attempts in a row that failed since the last good one there
	DueAt    time.Time // when a server makes the next one by itself; zero: never
	List     []Backup  // of all places, newest first
}

// BackupStore is what the operations on backups need of storage.
type BackupStore interface {
	// AddBackup stores a backup that begins or is asked for. One that is asked for is refused with
	// fault.Conflict while another one to the same place is queued, or runs since then.
	AddBackup(ctx context.Context, b *Backup, since time.Time, ev ...audit.Event) error
	// SetBackup writes what became of a backup.
	SetBackup(ctx context.Context, b *Backup, ev ...audit.Event) error
	// BackupsDeleted notes that files at a place were deleted by the policy of retention.
	BackupsDeleted(ctx context.Context, place string, names []string, now time.Time, ev ...audit.Event) error
	// QueuedBackup returns the oldest backup to a place that was asked for since then, or
	// fault.NotFound.
	QueuedBackup(ctx context.Context, place string, since time.Time) (*Backup, error)
	// AbandonBackups marks as failed what did not end: backups to a place, of which the caller
	// holds the lease, and all that began or were asked for before.
	AbandonBackups(ctx context.Context, place string, now, before time.Time) error
	// ListBackups returns the newest backups and attempts, at a place unless it is "".
	ListBackups(ctx context.Context, place string, limit int) ([]Backup, error)
	// NewestBackup returns the newest good backup that was not deleted, at a place unless it is "",
	// or fault.NotFound.
	NewestBackup(ctx context.Context, place string) (*Backup, error)
	// Now returns the time by the clock of the database, which all servers share.
	Now(ctx context.Context) (time.Time, error)
}

// A BackupWriter makes backup files.
type BackupWriter interface {
	// Policy returns what the settings say.
	Policy() BackupPolicy
	// Check returns the mistake in an input by which no backup can be begun: of the place, of the
	// name of the file, of a key to encrypt for. It writes nothing.
	Check(in BackupInput) error
	// Write makes a backup now, at a place or where the settings say, and completes b with where
	// it is and what is in it. After an error, no file with that name is left.
	Write(ctx context.Context, b *Backup, in BackupInput) error
	// Prune deletes the older files beside a backup that the policy of retention does not keep, and
	// returns their names.
	Prune(ctx context.Context, b *Backup) ([]string, error)
	// Exclusive calls f if no other program writes where the settings say, and reports whether it
	// did. The context of f ends when another program takes over, or may.
	Exclusive(ctx context.Context, holder string, f func(context.Context) error) (bool, error)
	// Files returns the files at a place, or where the settings say.
	Files(ctx context.Context, place string) ([]backup.File, error)
}

// BackupInput says where a backup goes.
type BackupInput struct {
	To         string   // a file, a folder or s3://…; "": where the settings say
	Recipients []string // public keys of age; nil: those of the settings
}

const (
	// backupTimeout is how long a backup may take. One that has not ended by then does not keep
	// others from beginning.
	backupTimeout = 24 * time.Hour
	// recordTimeout bounds how long the outcome of a backup may take to be recorded.
	recordTimeout = 10 * time.Second
)

// shownBackups is how many backups a list has.
const shownBackups = 100

// Backups returns the state of the backups. It needs the scope of settings: only who makes a backup
// can take everything away.
func (o *Operations) Backups(ctx context.Context, a Actor) (*BackupOverview, error) {
	if err := o.authorize(a, ScopeSettingsRead); err != nil {
		return nil, err
	}
	return ReadBackups(ctx, o.store, o.backupPolicy(), o.parts.Now())
}

func (o *Operations) backupPolicy() BackupPolicy {
	if o.parts.Backups == nil {
		return BackupPolicy{}
	}
	return o.parts.Backups.Policy()
}

// ReadBackups returns the state of the backups by a policy.
func ReadBackups(ctx context.Context, db BackupStore, p BackupPolicy, now time.Time) (*BackupOverview, error) {
	out := &BackupOverview{Policy: p}
	var err error
	if out.List, err = db.ListBackups(ctx, "", shownBackups); err != nil {
		return nil, err
	}
	out.Newest, err = db.NewestBackup(ctx, p.Place)
	if fault.Is(err, fault.NotFound) {
		out.Newest, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	at, err := db.ListBackups(ctx, p.Place, countedAttempts)
	if err != nil {
		return nil, err
	}
	out.Failures = failuresInARow(at)
	if !p.Copy {
		out.DueAt = NextBackup(p, at, now)
	}
	return out, nil
}

// errCopy is that the database is a copy, whose settings may name the place of the original.
var errCopy = fault.New(fault.Conflict, "this database is a copy for trying things out, of which no backups are made "+
	"to BACKUP_TO; on the command line name another place")

// MakeBackup asks the servers for a backup at the place of the settings: one of them makes it
// within seconds.
func (o *Operations) MakeBackup(ctx context.Context, a Actor) (*Backup, error) {
	if err := o.authorize(a, ScopeBackup); err != nil {
		return nil, err
	}
	p, now := o.backupPolicy(), o.parts.Now()
	switch {
	case p.Place == "":
		return nil, fault.New(fault.Conflict, "the server does not know where backups go; set BACKUP_TO to "+
			"a folder or to s3://BUCKET/PREFIX")
	case p.Copy:
		return nil, errCopy
	}
	b := &Backup{
		ID:        secret.NewID(now),
		Actor:     a.Name(),
		Place:     p.Place,
		State:     BackupQueued,
		StartedAt: now,
		Encrypted: p.Encrypted,
	}
	if !a.trusted() && !b.Requested() { // a client's id may be any name
		b.Actor = "client:" + b.Actor
	}
	ev := a.event(audit.BackupRequested, now)
	ev.TargetType, ev.TargetID = audit.TargetBackup, b.ID
	ev.Detail = map[string]string{"place": p.Place}
	ev.Guard = o.covers(a, ScopeBackup)
	return b, o.store.AddBackup(ctx, b, now.Add(-backupTimeout), ev)
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
	if in.To == "" && o.backupPolicy().Copy {
		return nil, errCopy
	}
	if err := o.parts.Backups.Check(in); err != nil { // a mistake of the caller is no failed attempt
		return nil, err
	}
	now, err := o.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	b := &Backup{
		ID:        secret.NewID(now),
		Actor:     a.Name(),
		State:     BackupRunning,
		StartedAt: now,
	}
	if in.To != "" {
		if err := o.store.AddBackup(ctx, b, now); err != nil {
			return nil, err
		}
		return b, o.runBackup(ctx, b, in)
	}
	b.Place = o.backupPolicy().Place
	ran, err := o.parts.Backups.Exclusive(ctx, "cli "+b.ID, func(ctx context.Context) error {
		if err := o.beginBackup(ctx, b); err != nil {
			return err
		}
		return o.runBackup(ctx, b, in)
	})
	if err == nil && !ran {
		err = fault.New(fault.Conflict, "another program makes a backup to %s; wait until it has ended, "+
			"or name another place", b.Place)
	}
	return b, err
}

// runBackup makes a backup that is stored as running, and records the outcome. Where the settings
// say where it goes, older ones are deleted by the policy of retention afterwards.
func (o *Operations) runBackup(ctx context.Context, b *Backup, in BackupInput) error {
	bounded, cancelRun := context.WithTimeout(ctx, backupTimeout)
	failed := o.parts.Backups.Write(bounded, b, in)
	cancelRun()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	now, err := o.store.Now(end)
	if err != nil {
		return errors.Join(failed, err)
	}
	if err := o.store.SetBackup(end, b, b.Finish(now, failed)); err != nil || failed != nil {
		return errors.Join(failed, err)
	}
	if in.To != "" {
		return nil
	}
	return o.pruneBackups(ctx, b)
}

// A PruneError is that older backups could not be deleted. The new one is made all the same.
type PruneError struct{ cause error }

// Error returns the text.
func (e *PruneError) Error() string {
	return "the backup is made, but older ones are not deleted: " + e.cause.Error()
}

// Unwrap returns the cause.
func (e *PruneError) Unwrap() error { return e.cause }

// pruneBackups deletes older backups by the policy of retention, and records which ones.
func (o *Operations) pruneBackups(ctx context.Context, b *Backup) error {
	names, err := o.parts.Backups.Prune(ctx, b)
	if len(names) > 0 {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
		defer cancel()
		ev := b.Pruned(names, o.backupPolicy().Keep)
		err = errors.Join(err, o.store.BackupsDeleted(end, b.Place, names, b.FinishedAt, ev))
	}
	if err != nil {
		return &PruneError{err}
	}
	return nil
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
