package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/backup"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Backups reads backups without a database, and restores them.
type Backups struct {
	// Missing returns in words what a backup does not hold.
	Missing func(cfg *config.Config) []string
	// Verify reads a backup to its end.
	Verify func(ctx context.Context, cfg *config.Config, in BackupSource) (*VerifiedBackup, error)
	// Restore fills an empty database with a backup.
	Restore func(ctx context.Context, cfg *config.Config, in RestoreInput) (*Restored, error)
}

// BackupSource names a backup: a file, or the newest one in a folder or bucket.
type BackupSource struct {
	From       string
	Identities []string // files with private keys of age
}

// VerifiedBackup is a backup that was read to its end and is whole.
type VerifiedBackup struct {
	Name       string
	Header     backup.Header
	Counts     []backup.Count
	Problems   []backup.Problem
	Ours       bool  // it was written with the SECRET_KEY of the settings
	Unchecked  bool  // there is no SECRET_KEY, so that nothing proves who wrote it
	Restorable error // why this program cannot restore it, or nil
}

// RestoreInput says what to restore, and how.
type RestoreInput struct {
	BackupSource
	Recover bool // and not a move
	Copy    bool
}

// Restored is what a restore has done.
type Restored struct {
	Name   string
	Header backup.Header
	Counts []backup.Count
	Took   time.Duration // of loading the rows
	Keys   int           // signing keys that fit
	Sealed int           // secrets of two-step verification that open
	Tried  []Probe       // sign-ins of people and programs, which left no trace
	Unsure int64         // accounts that changed a password or factor in the week before the backup

	Recovered  bool
	Sessions   int64 // ended
	Tokens     int64 // refresh tokens that are refused
	Links      int64 // codes and links that are dead
	Withdrawn  int64 // signing keys
	Deliveries int64 // messages that are not sent

	Registrations int64 // clients whose registration access tokens are dead

	Epoch int64 // of the audit log
}

// backupCommands make and look at backups.
type backupCommands struct {
	Make backupMake `cmd:"" default:"withargs" hidden:"" help:"Make a backup, or verify one."`
	List backupList `cmd:"" aliases:"ls" help:"List the backups at a place."`

	Status backupStatus `cmd:"" help:"Show what the servers have backed up, and what is next."`
}

// backupMake makes a backup, or verifies one.
type backupMake struct {
	File      string   `arg:"" optional:"" name:"file" help:"A file, a folder, or s3://BUCKET/PREFIX. Default: BACKUP_TO."`
	Verify    bool     `help:"Read a backup to its end instead, and check that it is whole and made with SECRET_KEY. The status is 3 if there is no SECRET_KEY to check that."`
	Recipient []string `placeholder:"KEY" help:"A public key of age (age1…) to encrypt for. May be repeated. Default: BACKUP_RECIPIENTS."`
	Identity  []string `placeholder:"FILE" help:"A file with the private key of age, to verify an encrypted backup. May be repeated."`
}

// backupView is a backup as the command line shows it.
type backupView struct {
	ID        string   `json:"id"`
	Place     string   `json:"place"`
	Name      string   `json:"name"`
	Bytes     int64    `json:"bytes"`
	Rows      int64    `json:"rows"`
	SHA256    string   `json:"sha256"`
	Encrypted bool     `json:"encrypted"`
	Seconds   float64  `json:"seconds"`
	Missing   []string `json:"not_included"`
}

// Run makes the backup and says what it does not hold.
func (f *backupMake) Run(ctx context.Context, c *call) error {
	if f.Verify {
		return f.verify(ctx, c)
	}
	if len(f.Identity) > 0 {
		return wrong("--identity is for --verify; a backup is encrypted for public keys, with --recipient")
	}
	cfg, err := c.config()
	if err != nil {
		return err
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		b, err := ops.WriteBackup(ctx, a, admin.BackupInput{To: f.File, Recipients: f.Recipient})
		if err != nil {
			return err
		}
		if b.State == admin.BackupQueued { // a server elsewhere makes it
			return c.show(viewAttempt(b), func(s *table) {
				s.line("A server is making the backup. To see the result: %s backup status --server …", program)
			})
		}
		v := backupView{
			ID:        b.ID,
			Place:     b.Place,
			Name:      b.Name,
			Bytes:     b.Bytes,
			Rows:      b.Rows,
			SHA256:    b.SHA256,
			Encrypted: b.Encrypted,
			Seconds:   b.FinishedAt.Sub(b.StartedAt).Seconds(),
			Missing:   orEmpty(c.Backups.Missing(cfg)),
		}
		return c.show(v, v.print)
	})
}

func (v backupView) print(s *table) {
	s.pair("name", v.Name)
	s.pair("place", v.Place)
	s.pair("size", byteSize(v.Bytes))
	s.pair("rows", strconv.FormatInt(v.Rows, 10))
	s.pair("sha256", v.SHA256)
	if v.Encrypted {
		s.pair("encrypted", "yes")
	} else {
		s.pair("encrypted", "no; it holds password hashes and personal data: keep it as safe as the database")
	}
	s.line("Not in the backup:")
	for _, m := range v.Missing {
		s.line("  %s", m)
	}
}

// byteSize returns a size for people.
func byteSize(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
	case n >= 10<<20:
		return fmt.Sprintf("%d MB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%d kB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

// verifiedView is a verified backup as the command line shows it.
type verifiedView struct {
	OK         bool             `json:"ok"`
	Name       string           `json:"name"`
	MadeAt     timestamp        `json:"made_at"`
	Program    string           `json:"program"`
	Engine     string           `json:"engine"`
	Schema     string           `json:"schema"`
	Encrypted  bool             `json:"encrypted"`
	Rows       int64            `json:"rows"`
	Ours       bool             `json:"secret_key_fits"`
	Unchecked  bool             `json:"secret_key_not_checked"`
	Restorable bool             `json:"restorable"`
	Why        string           `json:"not_restorable_because,omitempty"`
	Tables     []backup.Count   `json:"tables"`
	Problems   []backup.Problem `json:"problems"`
}

// errUnchecked is that a backup is whole, but that there is no SECRET_KEY to check who wrote it.
var errUnchecked = errors.New("the backup is whole, but not checked: without SECRET_KEY nothing proves who wrote it")

// verify reads a backup to its end. It fails if the backup could not be restored.
func (f *backupMake) verify(ctx context.Context, c *call) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	from := f.File
	if from == "" {
		from = cfg.Backups.To
	}
	b, err := c.Backups.Verify(ctx, cfg, BackupSource{From: from, Identities: f.Identity})
	if err != nil {
		return err
	}
	v := verifiedView{
		OK:         b.Restorable == nil && len(b.Problems) == 0 && b.Ours,
		Name:       b.Name,
		MadeAt:     timestamp{b.Header.MadeAt},
		Program:    b.Header.Program,
		Engine:     b.Header.Engine,
		Schema:     b.Header.SchemaVersion(),
		Encrypted:  b.Header.Encrypted,
		Ours:       b.Ours,
		Unchecked:  b.Unchecked,
		Restorable: b.Restorable == nil,
		Tables:     append([]backup.Count{}, b.Counts...),
		Problems:   append([]backup.Problem{}, b.Problems...),
	}
	for _, t := range b.Counts {
		v.Rows += t.Rows
	}
	if b.Restorable != nil {
		v.Why = b.Restorable.Error()
	}
	if err := c.show(v, v.print); err != nil {
		return err
	}
	if !v.Restorable {
		return b.Restorable
	}
	if len(v.Problems) > 0 {
		return fmt.Errorf("the backup is whole, but PostgreSQL cannot store %d of its values as they are", len(v.Problems))
	}
	switch {
	case v.Unchecked:
		return errUnchecked
	case !v.Ours:
		return fault.New(fault.Invalid, "the backup is not proved and cannot be restored with this SECRET_KEY: "+
			"it was made with another one")
	}
	return nil
}

func (v verifiedView) print(s *table) {
	s.pair("backup", v.Name)
	s.pair("made", v.MadeAt.String()+" by "+v.Program+" on "+v.Engine)
	s.pair("rows", strconv.FormatInt(v.Rows, 10)+" in "+strconv.Itoa(len(v.Tables))+" tables, as they were written")
	switch {
	case v.Ours:
		s.pair("SECRET_KEY", "matches: a server with this key made the backup")
	case v.Unchecked:
		s.pair("SECRET_KEY", "not checked: it is not set, so nothing proves who made the backup")
	default:
		s.pair("SECRET_KEY", "does not match the one that the backup was made with: nothing proves who made the backup")
	}
	for _, p := range v.Problems {
		s.pair("found", fmt.Sprintf("table %s, row %s, column %s: %s", p.Table, p.Row, p.Column, p.Text))
	}
}

// backupList lists the backups at a place.
type backupList struct {
	Place string `arg:"" optional:"" help:"A folder or s3://BUCKET/PREFIX. Default: BACKUP_TO."`
}

// fileView is a file of a place as the command line shows it.
type fileView struct {
	Name      string    `json:"name"`
	MadeAt    timestamp `json:"made_at"`
	Bytes     int64     `json:"bytes"`
	State     string    `json:"state"`
	Encrypted bool      `json:"encrypted"`
	Engine    string    `json:"engine"`
	Program   string    `json:"program"`
}

// Run prints the files, oldest first.
func (f *backupList) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		files, err := ops.BackupFiles(ctx, a, f.Place)
		if err != nil {
			return err
		}
		views := make([]fileView, 0, len(files))
		for i := range files {
			views = append(views, viewFile(&files[i]))
		}
		return showList(c, views, len(views), func(s *table) {
			s.row("NAME", "MADE", "AGE", "SIZE", "STATE", "ENCRYPTED")
			for _, v := range views {
				age, encrypted := "", "no"
				if !v.MadeAt.IsZero() {
					age = c.Now().Sub(v.MadeAt.Time).Truncate(time.Minute).String()
				}
				if v.Encrypted {
					encrypted = "yes"
				}
				s.row(v.Name, v.MadeAt.String(), age, byteSize(v.Bytes), v.State, encrypted)
			}
			if len(views) == 0 {
				s.line("There is no backup yet; make one with %s backup.", program)
			}
		})
	})
}

func viewFile(f *backup.File) fileView {
	v := fileView{Name: f.Name, Bytes: f.Size, State: "damaged"}
	if f.Header == nil {
		return v
	}
	v.MadeAt, v.Encrypted = timestamp{f.Header.MadeAt}, f.Header.Encrypted
	v.Engine, v.Program = f.Header.Engine, f.Header.Program
	if v.State = "incomplete"; f.Whole {
		v.State = "complete"
	}
	return v
}

// restoreCommand fills an empty database with a backup.
type restoreCommand struct {
	File     string   `arg:"" help:"A backup, or a folder or s3://BUCKET/PREFIX for the newest one there."`
	Move     bool     `xor:"kind" help:"For a move: nothing has happened since the backup, and the server that made it is stopped for good. Everything stays as it is."`
	Recover  bool     `xor:"kind" help:"After a loss: an older state comes back. Everybody signs in again, and all earlier tokens, codes and links stop working."`
	Copy     bool     `help:"For a rehearsal: a server on the restored database sends nothing, deletes nothing that has expired, and makes no backups."`
	Identity []string `placeholder:"FILE" help:"A file with the private key of age, for an encrypted backup. May be repeated."`
}

// restoredView is a restore as the command line shows it.
type restoredView struct {
	Backup     string      `json:"backup"`
	MadeAt     timestamp   `json:"made_at"`
	Kind       string      `json:"kind"`
	Rows       int64       `json:"rows"`
	Tables     int         `json:"tables"`
	PerSecond  int64       `json:"rows_per_second"`
	Keys       int         `json:"keys_that_fit"`
	Sealed     int         `json:"secrets_opened"`
	Tried      []probeView `json:"tried"`
	Sessions   int64       `json:"sessions_ended"`
	Tokens     int64       `json:"refresh_tokens_refused"`
	Links      int64       `json:"codes_and_links_dead"`
	Withdrawn  int64       `json:"keys_withdrawn"`
	Deliveries int64       `json:"messages_not_sent"`
	Epoch      int64       `json:"audit_epoch,omitempty"`
	Unsure     int64       `json:"accounts_changed_in_the_week_before"`
	Unknown    []string    `json:"unknown"`
}

// Run restores the backup.
func (f *restoreCommand) Run(ctx context.Context, c *call) error {
	if f.Move == f.Recover {
		return wrong("say which kind of restore this is: --move if nothing has happened since the backup, because the " +
			"server that made it was stopped first; --recover otherwise")
	}
	cfg, err := c.config()
	if err != nil {
		return err
	}
	r, err := c.Backups.Restore(ctx, cfg, RestoreInput{
		BackupSource: BackupSource{From: f.File, Identities: f.Identity},
		Recover:      f.Recover,
		Copy:         f.Copy,
	})
	if err != nil {
		return err
	}
	v := viewRestored(r)
	if err := c.show(v, v.print); err != nil {
		return err
	}
	for _, p := range r.Tried {
		if p.Error != "" {
			return fmt.Errorf("everything is restored, but a trial on it failed: %s: %s", p.Name, p.Error)
		}
	}
	return nil
}

func viewRestored(r *Restored) *restoredView {
	v := &restoredView{
		Backup:     r.Name,
		MadeAt:     timestamp{r.Header.MadeAt},
		Kind:       "move",
		Tables:     len(r.Counts),
		Keys:       r.Keys,
		Sealed:     r.Sealed,
		Sessions:   r.Sessions,
		Tokens:     r.Tokens,
		Links:      r.Links,
		Withdrawn:  r.Withdrawn,
		Deliveries: r.Deliveries,
		Epoch:      r.Epoch,
		Unsure:     r.Unsure,
		Unknown:    []string{},
		Tried:      []probeView{},
	}
	for _, p := range r.Tried {
		result, text := p.outcome()
		v.Tried = append(v.Tried, probeView{p.Name, result, p.Took.Seconds(), text})
	}
	for _, t := range r.Counts {
		v.Rows += t.Rows
	}
	if s := r.Took.Seconds(); s > 0 {
		v.PerSecond = int64(float64(v.Rows) / s)
	}
	if r.Recovered {
		v.Kind = "recover"
		v.Unknown = unknownSince(v.MadeAt.String())
	}
	return v
}

// unknownSince returns in words what nobody knows about the time after a backup.
func unknownSince(at string) []string {
	return []string{
		"Accounts that were created, deleted or disabled since " + at + ": disable those again who had been disabled.",
		"Passwords and second factors that were changed or removed since: the earlier ones work again.",
		"Client secrets, roles, routes and webhooks that were changed since.",
		"Approvals that were given or withdrawn since: the earlier approvals are valid again, without their refresh tokens.",
		"Which APIs still have the withdrawn keys: until they fetch the key set again, they accept earlier tokens.",
		"Events that the audit log recorded since, unless they were delivered elsewhere.",
	}
}

func (v *restoredView) print(s *table) {
	s.pair("backup", v.Backup)
	s.pair("made", v.MadeAt.String())
	s.pair("restored", fmt.Sprintf("%d rows in %d tables (%d rows a second), counted and compared", v.Rows, v.Tables, v.PerSecond))
	s.pair("tried", fmt.Sprintf("%d signing keys fit, %d secrets of two-step verification open", v.Keys, v.Sealed))
	for _, p := range v.Tried {
		s.pair("tried", strings.TrimSuffix(p.Name+": "+p.Result+", "+p.Text, ", "))
	}
	if v.Kind == "move" {
		s.line("Everything is as it was. Do not start the server that made the backup again: two servers with the same " +
			"refresh tokens would each accept what the other revoked.")
		return
	}
	s.pair("ended", fmt.Sprintf("%d sessions, the refresh tokens of %d approvals, %d codes and links", v.Sessions, v.Tokens, v.Links))
	s.pair("withdrawn", fmt.Sprintf("%d signing keys; the next start makes new ones", v.Withdrawn))
	if v.Deliveries > 0 {
		s.pair("not sent", fmt.Sprintf("%d queued messages, which may have been sent before", v.Deliveries))
	}
	if v.Epoch > 0 {
		s.pair("audit log", fmt.Sprintf("goes on as another history, number %d; see docs/guides/audit.md", v.Epoch))
	}
	s.line("What the backup cannot tell you:")
	for _, u := range v.Unknown {
		s.line("  %s", u)
	}
	if v.Unsure > 0 {
		s.line("%d accounts changed a password or factor in the week before the backup; more may have since.", v.Unsure)
	}
}
