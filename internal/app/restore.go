package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/backup"
	"github.com/gatehouse-id/gatehouse/internal/cli"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
)

// unsureDays is for how long before a backup changed passwords and factors are counted.
const unsureDays = 7

// verifyBackup reads a backup to its end, without a database. With the right SECRET_KEY it also
// checks who wrote it.
func verifyBackup(ctx context.Context, e *env, cfg *config.Config, in cli.BackupSource) (*cli.VerifiedBackup, error) {
	keys, noKey := presentKeys(cfg)
	if noKey != nil && cfg.MasterKey() != nil {
		return nil, noKey
	}
	r, name, err := openBackup(ctx, e, in, keys)
	if err != nil {
		return nil, err
	}
	defer r.close()
	out := &cli.VerifiedBackup{Name: name, Header: *r.Header, Unchecked: noKey != nil}
	var key []byte
	if k := keyOf(r.Header, keys); k != nil {
		key, out.Ours = backupKey(k), true
	}
	if err := r.Begin(r.identities); err != nil {
		return nil, err
	}
	if out.Problems, err = r.Verify(key); err != nil {
		return nil, err
	}
	out.Counts = r.Counts()
	out.Restorable = store.CheckSchema(r.Header)
	return out, nil
}

// openedBackup is a backup file that is being read.
type openedBackup struct {
	*backup.Reader
	file       io.ReadCloser
	identities []age.Identity
}

func (b *openedBackup) close() {
	b.Stop()
	_ = b.file.Close()
}

// openBackup opens a backup: in a folder or bucket the newest one that was made with one of the
// keys, or with any if there are none.
func openBackup(
	ctx context.Context, e *env, in cli.BackupSource, keys []*secret.Keys,
) (*openedBackup, string, error) {
	out := &openedBackup{}
	for _, name := range in.Identities {
		raw, err := os.ReadFile(name)
		if err != nil {
			return nil, "", fmt.Errorf("the file of --identity cannot be read: %w", err)
		}
		ids, err := backup.ParseIdentities(raw)
		if err != nil {
			return nil, "", err
		}
		out.identities = append(out.identities, ids...)
	}
	file, name, err := findBackup(ctx, e, in.From, keys)
	if err != nil {
		return nil, "", err
	}
	out.file = file
	if out.Reader, err = backup.NewReader(file); err != nil {
		return nil, "", errors.Join(err, file.Close())
	}
	return out, name, nil
}

// presentKeys returns the keys of SECRET_KEY, or of the key file that is there, and after them the
// other keys of the settings, each of which may be nil. It creates none.
func presentKeys(cfg *config.Config) ([]*secret.Keys, error) {
	master := cfg.MasterKey()
	if master == nil {
		path, ok := strings.CutPrefix(string(cfg.Storage.DatabaseURL), "sqlite:")
		if !ok || path == ":memory:" {
			return nil, fault.New(fault.Invalid, "SECRET_KEY is required")
		}
		name := keyFile(cfg, path)
		raw, err := os.ReadFile(name)
		if err != nil {
			return nil, fault.New(fault.Invalid, "SECRET_KEY is not set, and there is no key in %s; set the SECRET_KEY that "+
				"the backup was made with, or copy that file there", name)
		}
		master = []byte(strings.TrimSpace(string(raw)))
	}
	keys, err := secret.NewKeys(master)
	if err != nil {
		return nil, err
	}
	beside, err := otherKeys(cfg)
	return []*secret.Keys{keys, beside.text, beside.previous, beside.previousText}, err
}

// keyOf returns those of the keys that a backup was made with, or nil.
func keyOf(h *backup.Header, all []*secret.Keys) *secret.Keys {
	for _, k := range all {
		if k != nil && keyName(k) == h.Key {
			return k
		}
	}
	return nil
}

// restoreBackup fills an empty database with a backup.
func restoreBackup(
	ctx context.Context, e *env, cfg *config.Config, in cli.RestoreInput,
) (*cli.Restored, error) {
	keys, err := presentKeys(cfg)
	if err != nil {
		return nil, err
	}
	r, name, err := openBackup(ctx, e, in.BackupSource, keys)
	if err != nil {
		return nil, err
	}
	defer r.close()
	made := keyOf(r.Header, keys)
	if made == nil {
		return nil, &fault.Error{
			Kind:   fault.Invalid,
			Reason: backup.ReasonOtherKey,
			Text: "SECRET_KEY is not the one that the backup was made with, so that nothing in it could be used; " +
				"nothing was changed",
		}
	}
	if err := store.CheckSchema(r.Header); err != nil {
		return nil, err
	}
	t, err := newTarget(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer t.unlock()
	begun := time.Now()
	err = store.LoadBackup(ctx, store.LoadOptions{
		Options: store.Options{URL: t.url, Statements: cfg.Storage.Statements, Schema: cfg.Storage.Schema},
		Mark:    r.Header.ID,
		Key:     backupKey(made),
		IDs:     r.identities,
	}, r.Reader)
	if err != nil {
		return nil, fmt.Errorf("nothing was restored: %w", err)
	}
	f := finish{e: e, cfg: *cfg, keys: keys[0], in: in}
	f.cfg.Storage.DatabaseURL = config.Secret(t.url)
	f.out = &cli.Restored{Name: name, Header: *r.Header, Counts: r.Counts(), Took: time.Since(begun)}
	if err := f.run(ctx); err != nil {
		t.discard()
		return nil, err
	}
	if err := t.place(); err != nil {
		t.discard()
		return nil, err
	}
	return f.out, nil
}

// finish completes a database that has been filled.
type finish struct {
	e    *env
	cfg  config.Config
	keys *secret.Keys // of SECRET_KEY
	in   cli.RestoreInput
	out  *cli.Restored
}

// run opens the database as the server would, tries what is sealed in it, and completes it.
func (f *finish) run(ctx context.Context) (err error) {
	p, err := openWithKeys(ctx, f.e, &f.cfg, store.Options{Restoring: true}, masterKeys{Keys: f.keys}, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if f.out.Keys, f.out.Sealed, err = p.trySealed(ctx); err != nil {
		return err
	}
	since := f.out.Header.MadeAt.AddDate(0, 0, -unsureDays)
	if f.out.Unsure, err = p.db.RecentChanges(ctx, since); err != nil {
		return err
	}
	kind := "move"
	if f.in.Recover {
		kind = "recover"
	}
	now := f.e.now()
	done, err := p.db.FinishRestore(ctx, store.Restore{
		Recover: f.in.Recover,
		Copy:    f.in.Copy,
		Now:     now,
		Backup:  f.out.Header.MadeAt,
		Event:   admin.RestoreEvent(&f.out.Header, kind, f.in.Copy, now),
	})
	if err != nil {
		return err
	}
	f.count(done)
	f.out.Tried = p.tryUndone(ctx, f.e)
	return nil
}

// tryUndone signs people and programs in on a server with these parts, in a transaction that is
// undone: a restored database has no trace of it.
func (p *parts) tryUndone(ctx context.Context, e *env) (out []cli.Probe) {
	err := p.db.Undone(ctx, func(db *store.DB) error {
		q := *p
		cfg := *p.cfg
		withoutOthers(&cfg)
		q.cfg, q.db, q.monitor, q.copied = &cfg, db, nil, true
		q.ring = jose.NewRing(db, q.keys)
		if err := q.ring.Reload(ctx); err != nil {
			return err
		}
		policies, err := LoginConfig(&cfg)
		if err != nil {
			return err
		}
		policies.Places, policies.Administers = p.policies.Places, p.policies.Administers
		policies.MayImpersonate = p.policies.MayImpersonate
		q.policies, q.login = policies, login.New(policies, db, q.keys, q.passwords)
		s, err := newServer(ctx, e, &q, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		defer s.release()
		ops, err := q.operations(e)
		if err != nil {
			return err
		}
		out = newTrial(s, ops, e.now).signsIn(ctx)
		return nil
	})
	if err != nil {
		out = append(out, cli.Probe{Name: "the start", Error: err.Error()})
	}
	return out
}

// count notes what was ended.
func (f *finish) count(done *store.Recovered) {
	f.out.Recovered = f.in.Recover
	for table, n := range done.Ended {
		switch table {
		case "sessions", "app_sessions":
			f.out.Sessions += n
		case "session_tokens", "servers", "idempotent_requests":
		default:
			f.out.Links += n
		}
	}
	f.out.Tokens, f.out.Withdrawn = done.Tokens, done.Keys
	f.out.Deliveries, f.out.Epoch = done.Deliveries, done.Epoch
	f.out.Registrations = done.Registrations
}

// trySealed opens what SECRET_KEY seals: all signing keys, and the secrets of two-step
// verification.
func (p *parts) trySealed(ctx context.Context) (keys, sealed int, err error) {
	if keys, err = p.ring.Try(); err != nil {
		return 0, 0, fmt.Errorf("a signing key of the backup cannot be used: %w", err)
	}
	creds, err := p.db.SomeCredentials(ctx)
	if err != nil {
		return 0, 0, err
	}
	for i := range creds {
		if err := p.login.TryCredential(&creds[i]); err != nil {
			return 0, 0, fmt.Errorf("a secret of two-step verification in the backup cannot be opened: %w", err)
		}
	}
	return keys, len(creds), nil
}

// target is the database that a restore fills.
type target struct {
	url   string // where it is made
	path  string // of SQLite: where it goes in the end
	stage string // of SQLite: where it is made
	lock  *os.File
}

// newTarget returns an empty target, or an error if DATABASE_URL names one with data.
func newTarget(ctx context.Context, cfg *config.Config) (*target, error) {
	url := string(cfg.Storage.DatabaseURL)
	path, ok := strings.CutPrefix(url, "sqlite:")
	if !ok {
		err := store.CheckTarget(ctx, store.Options{
			URL:        url,
			Statements: cfg.Storage.Statements,
			Schema:     cfg.Storage.Schema,
		})
		return &target{url: url}, err
	}
	if path == ":memory:" {
		return nil, fault.New(fault.Invalid, "DATABASE_URL is a database in memory, which would be gone at once")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	t := &target{path: path, stage: path + ".restoring", url: "sqlite:" + path + ".restoring"}
	if t.lock, err = lockFile(path + ".restore-lock"); err != nil {
		return nil, err
	}
	if err := mustBeFree(path); err != nil {
		t.unlock()
		return nil, err
	}
	t.discard() // what a restore that did not end has left
	return t, nil
}

// mustBeFree returns an error if there is a SQLite database under a name, or what belongs to one: a
// write-ahead log is replayed into whatever has its name.
func mustBeFree(path string) error {
	for _, name := range []string{path, path + "-wal", path + "-shm", path + "-journal"} {
		info, err := os.Lstat(name)
		if errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 && name == path {
			continue
		}
		if err != nil {
			return err
		}
		return fault.New(fault.Conflict, "%s is there already, and a restore never replaces data; "+
			"move it away, with the files beside it whose names end in -wal and -shm, "+
			"or restore to another place", name)
	}
	return nil
}

// discard removes a SQLite database that is not complete. One in PostgreSQL has a mark, by which
// the next restore knows that it may be replaced.
func (t *target) discard() {
	if t.stage == "" {
		return
	}
	for _, end := range []string{"", "-wal", "-shm", "-journal"} {
		_ = os.Remove(t.stage + end)
	}
}

// place renames a complete SQLite database to its name, unless a database has appeared there.
func (t *target) place() error {
	if t.stage == "" {
		return nil
	}
	if err := mustBeFree(t.path); err != nil {
		return err
	}
	for _, end := range []string{"-wal", "-journal"} {
		if info, err := os.Stat(t.stage + end); err == nil && info.Size() > 0 {
			return fault.New(fault.Internal, "the restored database was not closed completely; run the restore again")
		}
		_ = os.Remove(t.stage + end)
	}
	_ = os.Remove(t.stage + "-shm")
	// No connection of this process has the file open any more.
	file, err := os.OpenFile(t.stage, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return fault.Wrap(fault.Unavailable, err, "the restored database cannot be written")
	}
	if info, err := os.Lstat(t.path); err == nil && info.Size() == 0 {
		if err := os.Remove(t.path); err != nil {
			return fault.Wrap(fault.Unavailable, err, "the empty file %s cannot be replaced", t.path)
		}
	}
	if err := renameNew(t.stage, t.path); err != nil {
		return fault.Wrap(fault.Unavailable, err, "the restored database cannot get its name")
	}
	return syncDir(filepath.Dir(t.path))
}

func (t *target) unlock() {
	if t.lock != nil {
		_ = os.Remove(t.lock.Name())
		_ = t.lock.Close()
	}
}
