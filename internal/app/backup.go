package app

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/backup"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
)

const (
	backupRest = 2 * time.Millisecond // of each four, so that requests find a processor

	minRoom   = 64 << 20 // bytes that stay free on the disk of the database
	minMaxLog = 1 << 30  // to which the write-ahead log may grow at least
)

// backups makes backups of the opened database.
type backups struct {
	e *env
	p *parts
}

// Policy returns what the settings say. The place has no secrets in it.
func (b backups) Policy() admin.BackupPolicy { return backupPolicy(b.p.cfg, b.p.copied) }

func backupPolicy(cfg *config.Config, copied bool) admin.BackupPolicy {
	c := cfg.Backups
	return admin.BackupPolicy{
		Place:     placeName(c.To),
		Every:     c.Every,
		Keep:      c.Keep,
		Encrypted: len(c.Recipients) > 0,
		Missing:   missing(cfg),
		Copy:      copied,
	}
}

// placeName returns BACKUP_TO as a place names itself.
func placeName(to string) string {
	rest, ok := strings.CutPrefix(to, "s3://")
	if !ok {
		if to == "" {
			return ""
		}
		return filepath.Clean(to)
	}
	name, prefix, _ := strings.Cut(rest, "/")
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	return "s3://" + name + "/" + prefix
}

// Files returns the files at a place, or at BACKUP_TO.
func (b backups) Files(ctx context.Context, place string) ([]backup.File, error) {
	at, err := b.place(place)
	if err != nil {
		return nil, err
	}
	return at.List(ctx)
}

func (b backups) place(text string) (backupPlace, error) {
	if text == "" {
		return openTarget(b.e, b.p.cfg.Backups.To)
	}
	at, _, err := openPlace(b.e, text)
	return at, err
}

// Check returns the mistake in an input by which no backup can be begun.
func (b backups) Check(in admin.BackupInput) error {
	x := &admin.Backup{}
	at, err := b.target(x, in)
	if err != nil {
		return err
	}
	if _, err := backup.ParseRecipients(b.recipients(in)); err != nil {
		return err
	}
	if f, ok := at.(*folder); ok && x.Name != "" {
		_, err = f.replaces(filepath.Join(f.path, x.Name))
	}
	return err
}

// recipients returns whom a backup is encrypted for: those of the input, or of the settings.
func (b backups) recipients(in admin.BackupInput) []string {
	if in.Recipients != nil {
		return in.Recipients
	}
	return b.p.cfg.Backups.Recipients
}

// Write makes a backup, and completes x with where it is and what is in it.
func (b backups) Write(ctx context.Context, x *admin.Backup, in admin.BackupInput) error {
	at, err := b.target(x, in)
	if err != nil {
		return err
	}
	recipients, err := backup.ParseRecipients(b.recipients(in))
	if err != nil {
		return err
	}
	maxLog, err := b.askRoom(at)
	if err != nil {
		return err
	}
	h := &backup.Header{
		ID:      x.ID,
		MadeAt:  x.StartedAt.UTC().Truncate(time.Second),
		Program: version(),
		Key:     keyName(b.p.master),
	}
	if x.Name == "" {
		x.Name = h.Name()
	}
	var w *backup.Writer
	err = at.Put(ctx, x.Name, func(out io.Writer) error {
		var err error
		w, err = b.p.db.WriteBackup(ctx, h, store.BackupOptions{
			Rest:   backupRest,
			MaxLog: maxLog,
			Begin: func(h *backup.Header) (*backup.Writer, error) {
				return backup.NewWriter(out, h, backupKey(b.p.master), recipients)
			},
		})
		return err
	}, func() string { return w.Sum() })
	if err != nil {
		return err
	}
	x.Bytes, x.SHA256, x.Encrypted = w.Size(), w.Sum(), h.Encrypted
	for _, c := range w.Counts() {
		x.Rows += c.Rows
	}
	return nil
}

// target opens the place of a backup, and completes x with it and with the name of a file.
func (b backups) target(x *admin.Backup, in admin.BackupInput) (at backupPlace, err error) {
	if in.To == "" {
		x.Place = placeName(b.p.cfg.Backups.To)
		at, err = openTarget(b.e, b.p.cfg.Backups.To)
	} else {
		at, x.Name, err = openPlace(b.e, in.To)
	}
	if err == nil {
		x.Place = at.String()
	}
	return at, err
}

// askRoom returns an error unless there is room for a backup, and how far the write-ahead log may
// grow meanwhile.
func (b backups) askRoom(at backupPlace) (maxLog int64, err error) {
	path, ok := strings.CutPrefix(string(b.p.cfg.Storage.DatabaseURL), "sqlite:")
	if !ok || path == ":memory:" {
		return 0, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	maxLog = max(minMaxLog, info.Size())
	if free := freeSpace(filepath.Dir(path)); free >= 0 {
		if free < minRoom {
			return 0, fault.New(fault.Unavailable, "the disk of the database has only %d MB left, and the write-ahead log "+
				"grows while a backup is made; make room first", free>>20)
		}
		maxLog = min(maxLog, free-minRoom/2)
	}
	// Indexes are left out and the rest is compressed.
	if room := at.Room(); room >= 0 && room < info.Size()/2 {
		return 0, fault.New(fault.Unavailable, "%s has only %d MB left, and a backup of this database may need %d MB",
			at, room>>20, info.Size()>>21)
	}
	return maxLog, nil
}

// Prune deletes older backups beside x by the policy of retention, and returns their names.
func (b backups) Prune(ctx context.Context, x *admin.Backup) (names []string, err error) {
	keep := b.p.cfg.Backups.Keep
	if keep <= 0 {
		return nil, nil
	}
	at, err := openTarget(b.e, b.p.cfg.Backups.To)
	if err != nil {
		return nil, err
	}
	files, err := at.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("they cannot be listed: %w", err)
	}
	if err := b.countFiles(ctx, files); err != nil {
		return nil, err
	}
	database, err := b.p.db.DatabaseID(ctx)
	if err != nil {
		return nil, err
	}
	for _, f := range backup.Surplus(files, database, keep, x.Name, x.FinishedAt) {
		if err := at.Delete(ctx, f.Name); err != nil {
			return names, fmt.Errorf("%s: %w", f.Name, err)
		}
		names = append(names, f.Name)
	}
	return names, nil
}

// countFiles marks the files of BACKUP_TO that the policy of retention counts: those that this
// database has recorded, and that were made by the schedule or on the command line. Whoever can
// only put files there or ask for backups must not be able to push the good ones out.
func (b backups) countFiles(ctx context.Context, files []backup.File) error {
	made, err := b.p.db.GoodBackups(ctx, placeName(b.p.cfg.Backups.To))
	if err != nil {
		return err
	}
	sizes := make(map[string]int64, len(made))
	for i := range made {
		if !made[i].Requested() {
			sizes[made[i].Name] = made[i].Bytes
		}
	}
	for i := range files {
		size, ok := sizes[files[i].Name]
		files[i].Counted = ok && size == files[i].Size
	}
	return nil
}

// backupKey returns the key of the HMAC at the end of backup files, of SECRET_KEY itself: the data
// key is in the file.
func backupKey(k *secret.Keys) []byte { return k.Derive("backup files") }

// missing returns in words what a backup does not hold.
func missing(c *config.Config) []string {
	var out []string
	switch path, ok := strings.CutPrefix(string(c.Storage.DatabaseURL), "sqlite:"); {
	case c.MasterKey() == nil && ok && path != ":memory:":
		out = append(out, "the key in "+keyFile(c, path)+
			", without which the backup cannot be restored: keep a copy elsewhere")
	default:
		out = append(out, "SECRET_KEY, without which the backup cannot be restored: keep it elsewhere")
	}
	for _, f := range []struct{ setting, name string }{
		{"ROUTES_FILE", c.Gateway.RoutesFile},
		{"SSL_CERT", c.Server.CertFile},
		{"SSL_KEY", c.Server.KeyFile},
		{"TEMPLATES_PATH", c.Branding.TemplatesPath},
		{"AUDIT_CHECKPOINT_FILE", c.Audit.CheckpointFile},
	} {
		if f.name != "" {
			out = append(out, f.setting+" ("+f.name+")")
		}
	}
	return append(out, "the settings of the server")
}
