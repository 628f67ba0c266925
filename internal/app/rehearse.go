package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/backup"
	"github.com/gatehouse-id/gatehouse/internal/cli"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// rehearsalLeft is after how long what a rehearsal has left, because it was killed, is removed by
// the next one.
const rehearsalLeft = 24 * time.Hour

// rehearsal tries an upgrade of one database on a copy of it.
type rehearsal struct {
	e     *env
	cfg   *config.Config // of the database
	keys  []*secret.Keys
	stage *rehearsalStage
	out   *cli.Rehearsal
}

// rehearse copies a database, or takes a backup of it, migrates the copy, starts this program on it
// and signs in. It removes the copy, and changes nothing else.
func rehearse(ctx context.Context, e *env, cfg *config.Config, in cli.RehearseInput) (_ *cli.Rehearsal, err error) {
	r := &rehearsal{e: e, cfg: cfg, out: &cli.Rehearsal{Program: version(), Realm: cfg.Realm}}
	if path, ok := strings.CutPrefix(string(cfg.Storage.DatabaseURL), "sqlite:"); ok && in.From == "" {
		if err := mustHaveData(path); err != nil {
			return nil, err
		}
	}
	if r.keys, err = presentKeys(cfg); err != nil {
		return nil, err
	}
	if r.stage, err = newStage(ctx, cfg, in); err != nil {
		return nil, err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, r.stage.remove(end))
	}()
	header, err := r.fill(ctx, in)
	if err != nil {
		return nil, err
	}
	if err := r.migrate(ctx); err != nil {
		r.out.Failed = append(r.out.Failed, "migrations: "+err.Error())
		return r.out, nil
	}
	r.run(ctx, header)
	return r.out, nil
}

// fill copies the database, or a backup, into the stage, and says what the upgrade means for the
// servers that run now.
func (r *rehearsal) fill(ctx context.Context, in cli.RehearseInput) (*backup.Header, error) {
	begun := time.Now()
	var header backup.Header
	var counts []backup.Count
	var err error
	if in.From == "" {
		header, counts, err = r.copyDatabase(ctx)
	} else {
		header, counts, err = r.loadBackup(ctx, in.BackupSource)
	}
	if err != nil {
		return nil, err
	}
	r.out.CopyTook, r.out.SchemaBefore = time.Since(begun), header.SchemaVersion()
	for _, c := range counts {
		r.out.Rows += c.Rows
	}
	r.out.Engine, r.out.SchemaAfter = r.stage.engine(), store.Schema()
	return &header, nil
}

// copyDatabase copies the database of the settings, while its servers run.
func (r *rehearsal) copyDatabase(ctx context.Context) (h backup.Header, counts []backup.Count, err error) {
	db, err := store.Open(ctx, store.Options{
		URL:        string(r.cfg.Storage.DatabaseURL),
		Readers:    4,
		Statements: r.cfg.Storage.Statements,
		Schema:     r.cfg.Storage.Schema,

		SchemaExists:       true,
		ExternalCheckpoint: r.cfg.Storage.Checkpoint == "external",
	})
	if fault.Is(err, fault.NotFound) {
		return h, nil, noData("its schema does not exist: there is nothing to rehearse")
	}
	if err != nil {
		return h, nil, explainOwner(err, string(r.cfg.Storage.DatabaseURL))
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	found, err := db.Upgrade(ctx)
	if err != nil {
		return h, nil, err
	}
	if found.Schema == "" {
		return h, nil, noData("the database is empty: there is nothing to rehearse")
	}
	if err := db.Restoring(ctx); err != nil {
		return h, nil, err
	}
	if _, _, err := findDataKey(ctx, db, r.cfg, r.keys[0]); err != nil {
		return h, nil, err
	}
	for _, s := range found.Servers {
		r.out.Servers = append(r.out.Servers, cli.RunningServer{Version: s.Version, Schema: s.Schema})
	}
	maxLog, err := r.askRoom(ctx, db)
	if err != nil {
		return h, nil, err
	}
	r.out.Source = "the database"
	now := r.e.now()
	copied, err := db.CopyTo(ctx, backup.Header{
		ID:      secret.NewID(now),
		MadeAt:  now.UTC().Truncate(time.Second),
		Program: version(),
		Key:     keyName(r.keys[0]),
	}, store.BackupOptions{Rest: backupRest, MaxLog: maxLog}, r.stage.options())
	if err != nil {
		return h, nil, err
	}
	return copied.Header, copied.Counts, nil
}

// mustHaveData returns an error if there is no SQLite database under a name: opening it would make
// one.
func mustHaveData(path string) error {
	if path == ":memory:" {
		return fault.New(fault.Invalid, "DATABASE_URL is a database in memory, which has nothing to rehearse with")
	}
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		return noData("there is no database at " + path + "; run the command with the settings of the server")
	}
	return nil
}

// reasonNoData is the reason of errors that say that a database holds nothing yet.
const reasonNoData = "no_data"

func noData(text string) error {
	return &fault.Error{Kind: fault.NotFound, Reason: reasonNoData, Text: text}
}

// askRoom returns an error unless the disk has room for a copy, and how far the write-ahead log of
// the original may grow meanwhile.
func (r *rehearsal) askRoom(ctx context.Context, db *store.DB) (maxLog int64, err error) {
	size, _, err := db.Size(ctx)
	if err != nil {
		return 0, err
	}
	if r.stage.folder != "" {
		if free := freeSpace(r.stage.folder); free >= 0 && free < size+size/2+minRoom {
			return 0, fault.New(fault.Unavailable, "%s has %d MB free, and a copy of the database with room to migrate "+
				"it needs %d MB; name a folder on another disk with --in", filepath.Dir(r.stage.folder), free>>20,
				(size+size/2+minRoom)>>20)
		}
	}
	if db.Engine() == sqldb.SQLite {
		maxLog = max(minMaxLog, size)
	}
	return maxLog, nil
}

// loadBackup fills the stage with a backup.
func (r *rehearsal) loadBackup(
	ctx context.Context, in cli.BackupSource,
) (h backup.Header, counts []backup.Count, err error) {
	opened, name, err := openBackup(ctx, r.e, in, r.keys)
	if err != nil {
		return h, nil, err
	}
	defer opened.close()
	made := keyOf(opened.Header, r.keys)
	if made == nil {
		return h, nil, &fault.Error{
			Kind:   fault.Invalid,
			Reason: backup.ReasonOtherKey,
			Text:   "SECRET_KEY is not the one that the backup was made with, so that nothing in it could be used",
		}
	}
	r.out.Source = name
	err = store.LoadBackup(ctx, store.LoadOptions{
		Options: r.stage.options(),
		Mark:    opened.Header.ID,
		Key:     backupKey(made),
		IDs:     opened.identities,
	}, opened.Reader)
	return *opened.Header, opened.Counts(), err
}

// migrate brings the schema of the copy up to date, and notes what each step takes.
func (r *rehearsal) migrate(ctx context.Context) error {
	o := r.stage.options()
	o.Restoring = true
	o.OnMigration = func(a sqldb.AppliedMigration) {
		m := cli.RehearsedMigration{Migration: cli.Migration{Name: a.Name, Oldest: a.Oldest}, Took: a.Took}
		for _, l := range a.Locks {
			m.Locks = append(m.Locks, cli.TakenLock(l))
		}
		r.out.Migrations = append(r.out.Migrations, m)
	}
	begun := time.Now()
	db, err := store.Open(ctx, o)
	if err != nil {
		return err
	}
	_, err = db.Migrate(ctx)
	r.out.MigrateTook = time.Since(begun)
	return errors.Join(err, db.Close())
}

// run starts this program on the copy and tries it.
func (r *rehearsal) run(ctx context.Context, h *backup.Header) {
	err := func() (err error) {
		begun := time.Now()
		p, err := r.open(ctx, h)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.Close()) }()
		e := *r.e
		e.limits, e.passwords = nil, nil
		s, err := newServer(ctx, &e, p, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		defer s.release()
		r.out.StartTook = time.Since(begun)
		ops, err := p.operations(&e)
		if err != nil {
			return err
		}
		t := newTrial(s, ops, e.now)
		r.out.Probes = t.all(ctx)
		return nil
	}()
	if err != nil {
		r.out.Failed = append(r.out.Failed, "the start: "+err.Error())
	}
	for _, p := range r.out.Probes {
		if p.Error != "" {
			r.out.Failed = append(r.out.Failed, p.Name+": "+p.Error)
		}
	}
}

// open opens the copy as a server of this program would, and marks it as a copy, whose server
// sends, sweeps and renews nothing.
func (r *rehearsal) open(ctx context.Context, h *backup.Header) (*parts, error) {
	cfg := r.stage.settings(r.cfg)
	open := func(restoring bool) (*parts, error) {
		return openWithKeys(ctx, r.e, cfg, store.Options{Restoring: restoring}, masterKeys{Keys: r.keys[0]}, nil)
	}
	p, err := open(true)
	if err != nil {
		return nil, err
	}
	_, _, err = p.trySealed(ctx)
	if err == nil {
		now := r.e.now()
		_, err = p.db.FinishRestore(ctx, store.Restore{
			Copy:   true,
			Now:    now,
			Backup: h.MadeAt,
			Event:  admin.RestoreEvent(h, "move", true, now),
		})
	}
	if err := errors.Join(err, p.Close()); err != nil {
		return nil, err
	}
	return open(false)
}

// rehearsalStage is where the copy is: a folder for SQLite, or a schema of PostgreSQL.
type rehearsalStage struct {
	folder  string // of SQLite
	url     string // of the copy
	server  string // of PostgreSQL: the address without the schema
	schema  string
	options func() store.Options
}

// newStage makes a place for the copy, and removes what earlier rehearsals have left.
func newStage(ctx context.Context, cfg *config.Config, in cli.RehearseInput) (*rehearsalStage, error) {
	s := &rehearsalStage{}
	s.options = func() store.Options {
		return store.Options{URL: s.url, Schema: s.schema, Readers: 4, Statements: cfg.Storage.Statements}
	}
	path, ok := strings.CutPrefix(string(cfg.Storage.DatabaseURL), "sqlite:")
	if ok {
		return s, s.makeFolder(path, in.In)
	}
	if in.In != "" {
		return nil, fault.New(fault.Invalid, "--in is for SQLite; on PostgreSQL the copy is a schema of the same database")
	}
	return s, s.nameSchema(ctx, string(cfg.Storage.DatabaseURL))
}

// stageName is the pattern of the folders of copies.
const stageName = ".gatehouse-rehearsal-*"

// makeFolder makes a folder that nobody else can read beside the database, or in another one.
func (s *rehearsalStage) makeFolder(database, in string) error {
	if in == "" {
		in = filepath.Dir(database)
	}
	old, _ := filepath.Glob(filepath.Join(in, stageName))
	for _, name := range old {
		if info, err := os.Lstat(name); err == nil && info.IsDir() && time.Since(info.ModTime()) > rehearsalLeft {
			_ = os.RemoveAll(name)
		}
	}
	var err error
	if s.folder, err = os.MkdirTemp(in, stageName); err != nil {
		return fault.Wrap(fault.Unavailable, err, "there is no place for a copy in %s; name a folder with --in", in)
	}
	s.url = "sqlite:" + filepath.Join(s.folder, "gatehouse.db")
	return nil
}

// nameSchema chooses a schema, which is made when it is filled.
func (s *rehearsalStage) nameSchema(ctx context.Context, database string) error {
	u, err := url.Parse(database)
	if err != nil { // the error would show the password
		return fault.New(fault.Invalid, "DATABASE_URL must be a URL for a rehearsal")
	}
	s.server = database
	old, err := store.Rehearsals(ctx, database)
	if err != nil {
		return err
	}
	now := time.Now()
	for _, name := range old {
		made, _, _ := strings.Cut(strings.TrimPrefix(name, store.RehearsalSchema), "_")
		if at, err := strconv.ParseInt(made, 10, 64); err == nil && now.Sub(time.Unix(at, 0)) > rehearsalLeft {
			// One that belongs to another role stays, and hinders nobody.
			_ = store.DropRehearsal(ctx, database, name)
		}
	}
	s.schema = fmt.Sprintf("%s%d_%s", store.RehearsalSchema, now.Unix(),
		strings.ToLower(strings.ReplaceAll(secret.NewID(now)[24:], "-", "")))
	query := u.Query()
	query.Set("search_path", s.schema)
	query.Set("pool_max_conns", "8")
	query.Del("pool_min_conns")
	u.RawQuery = query.Encode()
	s.url = u.String()
	return nil
}

func (s *rehearsalStage) engine() string {
	if s.folder != "" {
		return string(sqldb.SQLite)
	}
	return string(sqldb.Postgres)
}

// remove removes the copy.
func (s *rehearsalStage) remove(ctx context.Context) error {
	if s.folder != "" {
		return os.RemoveAll(s.folder)
	}
	if err := store.DropRehearsal(ctx, s.server, s.schema); err != nil {
		return fmt.Errorf("the copy cannot be removed; drop the schema %s by hand: %w", s.schema, err)
	}
	return nil
}

// settings returns those of the server, without all by which others could notice the copy.
func (s *rehearsalStage) settings(from *config.Config) *config.Config {
	c := *from
	c.Storage.DatabaseURL, c.Storage.Schema = config.Secret(s.url), s.schema
	withoutOthers(&c)
	return &c
}

// withoutOthers removes from the settings of a trial all by which others could notice it.
func withoutOthers(c *config.Config) {
	c.Storage.ListenURL, c.Storage.RedisURL = "", ""
	c.RateLimits.Enabled = false
	c.Audit.CheckpointFile, c.Audit.CheckpointURL, c.Audit.CheckpointKey = "", "", ""
	c.Backups.To = ""
	// The person of the trial has a password alone, and an address that gets no mail.
	c.MFA.Require = false
	c.MFA.Roles = nil
}
