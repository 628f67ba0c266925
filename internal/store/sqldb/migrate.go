package sqldb

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// MigrationLock is an advisory lock of a PostgreSQL database that earlier releases hold while they
// migrate one of its schemas, and hold shared while they back one up. Migrations and backups hold
// it shared, so that they exclude an earlier release's migration, and not one another: what keeps
// two of them apart is the lock of their schema.
const MigrationLock = 0x6761746568 // "gateh"

// SchemaLock is the first key of the advisory lock of a schema, which keeps two processes from
// migrating it at once. A backup holds it shared, so that no migration waits for it with a lock
// that all requests need. It is taken before MigrationLock: a program that holds that one alone is
// an earlier release. On SQLite the transaction does all that.
const SchemaLock = 0x67617465 // "gate"

// schemaKeys are the keys of the lock of the schema in use. Two schemas whose names have the same
// hash wait for each other.
const schemaKeys = "CAST($1 AS INTEGER), hashtext(COALESCE(CAST(current_schema() AS TEXT), ''))"

const (
	// setLockTimeout bounds how long a statement of a migration waits for a lock on PostgreSQL:
	// all who come later to the table wait behind it.
	setLockTimeout = "SET LOCAL lock_timeout = '2s'"

	lockPause = 3 * time.Second // between two tries
	lockTries = 120             // of a lock that others have, such as a backup
	waitTries = 15              // of what Allow does not allow: a dead server counts for a while
)

const createMigrations = `CREATE TABLE IF NOT EXISTS migrations (
    name            TEXT   NOT NULL PRIMARY KEY,
    checksum        TEXT   NOT NULL,
    applied_at      BIGINT NOT NULL,
    compatible_from TEXT   NOT NULL DEFAULT ''
)`

// addCompatible brings the table of an earlier release up to date.
const addCompatible = "ALTER TABLE migrations ADD COLUMN compatible_from TEXT NOT NULL DEFAULT ''"

// migration is one file: NNNN_name.sql.
type migration struct {
	name, checksum, text string
	// oldest is the number of the oldest migration whose program may use the schema afterwards.
	oldest string
	apart  bool // its statements run one after another outside of a transaction, on PostgreSQL
}

// Lines at the beginning of a migration that say how it may be applied.
const (
	headCompatible = "-- compatible-from: "
	headApart      = "-- outside-transaction"
)

// A Migration is one that is to be applied.
type Migration struct {
	Name string
	// Oldest is the number of the oldest migration whose program may use the schema afterwards:
	// programs that do not have it refuse the database.
	Oldest string
}

// A Migrator brings the schema of a database up to date.
type Migrator struct {
	DB    DB
	Files fs.FS
	// Allow returns an error while a migration must wait, as while programs run that could not
	// use the schema afterwards; nil allows all. It runs under the lock.
	Allow func(ctx context.Context, c Conn, m Migration) error
	// Notice receives why a migration waits, if set.
	Notice func(text string)
	// Applied receives what each migration took, if set.
	Applied func(a AppliedMigration)
	// Pause is the pause between two tries. Default lockPause.
	Pause time.Duration
}

// AppliedMigration is what a migration took.
type AppliedMigration struct {
	Migration
	Took  time.Duration // for which it held its locks, unless it built an index beside others
	Locks []Lock        // of existing tables, by which others wait
}

// Lock is a lock that a migration took.
type Lock struct {
	Table string // "": all tables
	Mode  string // as PostgreSQL names it, or "write" for the lock of SQLite's one writer
}

// Migrate applies the .sql files that the database lacks; see Migrator.Run.
func Migrate(ctx context.Context, db DB, files fs.FS) (applied []string, err error) {
	return (&Migrator{DB: db, Files: files}).Run(ctx)
}

// Run applies the .sql files that the database lacks, in the order of their names, each in a
// transaction of its own, and returns the names of those applied. An empty database, which nobody
// uses yet, gets all of them in one transaction. It goes forward only. It returns Conflict for a
// database with a migration after which this program must not use it, and for one whose applied
// migrations have been edited since.
func (m *Migrator) Run(ctx context.Context) (applied []string, err error) {
	all, err := readMigrations(m.Files)
	if err != nil {
		return nil, err
	}
	if todo, _, err := m.state(ctx, all); err != nil || len(todo) == 0 {
		return nil, err // a start that changes nothing writes nothing
	}
	for {
		names, err := m.patiently(ctx, all)
		if err != nil || len(names) == 0 {
			return applied, err
		}
		applied = append(applied, names...)
	}
}

// state returns what is to be applied, and whether the database has migrations of a newer program.
func (m *Migrator) state(ctx context.Context, all []migration) (todo []migration, newer bool, err error) {
	done, err := appliedMigrations(ctx, m.DB, m.DB.Engine())
	if err != nil {
		return nil, false, err
	}
	return compare(all, done)
}

// patiently applies the oldest migration that is missing, and again while others have locks that
// it needs. In between, they and all requests go on.
func (m *Migrator) patiently(ctx context.Context, all []migration) (names []string, err error) {
	pause := m.Pause
	if pause <= 0 {
		pause = lockPause
	}
	for try := 1; ; try++ {
		names, err = m.next(ctx, all)
		var wait *mustWait
		tries := lockTries
		if errors.As(err, &wait) {
			tries = wait.tries
		}
		if err == nil || wait == nil && !lockTimedOut(err) || try >= tries {
			return names, err
		}
		if m.Notice != nil && try == 1 {
			m.Notice("a migration waits, and is tried again: " + err.Error())
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

// mustWait is the error of a migration that is not allowed now, and how often it is tried.
type mustWait struct {
	cause error
	tries int
}

func (w *mustWait) Error() string { return w.cause.Error() }
func (w *mustWait) Unwrap() error { return w.cause }

// Pending returns the migrations that Migrate would apply. It fails where Migrate would fail.
func Pending(ctx context.Context, db DB, files fs.FS) ([]Migration, error) {
	all, err := readMigrations(files)
	if err != nil {
		return nil, err
	}
	todo, _, err := (&Migrator{DB: db}).state(ctx, all)
	out := make([]Migration, len(todo))
	for i, m := range todo {
		out[i] = Migration{m.name, m.oldest}
	}
	return out, err
}

// IsNewer reports whether the database has migrations that this program does not have. It may use
// the database, but leaves to the newer one what only that may change.
func IsNewer(ctx context.Context, db DB, files fs.FS) (bool, error) {
	all, err := readMigrations(files)
	if err != nil {
		return false, err
	}
	_, newer, err := (&Migrator{DB: db}).state(ctx, all)
	return newer, err
}

// Newest returns the name of the newest migration, or "".
func Newest(files fs.FS) string {
	names, err := fs.Glob(files, "*.sql")
	if err != nil || len(names) == 0 {
		return ""
	}
	return strings.TrimSuffix(slices.Max(names), ".sql")
}

// next applies the oldest migration that is missing, or all to an empty database, and returns their
// names. It takes the lock before it reads the list, so that a second process finds the migration
// of the first one applied.
func (m *Migrator) next(ctx context.Context, all []migration) (names []string, err error) {
	var took []AppliedMigration
	err = m.DB.Write(ctx, func(tx Tx) error {
		names, took = nil, nil
		if err := m.lock(ctx, tx); err != nil {
			return err
		}
		done, err := appliedMigrations(ctx, tx, m.DB.Engine())
		if err != nil {
			return err
		}
		todo, _, err := compare(all, done)
		if err != nil || len(todo) == 0 {
			return err
		}
		if m.Allow != nil {
			if err := m.Allow(ctx, tx, Migration{todo[0].name, todo[0].oldest}); err != nil {
				return &mustWait{err, waitTries}
			}
		}
		if empty := len(done) == 0; empty {
			for i := range todo {
				todo[i] = todo[i].atOnce()
			}
		} else {
			todo = todo[:1]
		}
		for _, one := range todo {
			a, err := m.timed(ctx, tx, one)
			if err != nil {
				return err
			}
			names, took = append(names, one.name), append(took, a)
		}
		return nil
	})
	if err == nil && m.Applied != nil {
		for _, a := range took {
			m.Applied(a)
		}
	}
	return names, err
}

// atOnce returns a migration as it is applied to an empty database: nobody waits for its locks.
func (m migration) atOnce() migration {
	m.apart = false
	m.text = strings.ReplaceAll(m.text, clauseConcurrently, " INDEX")
	return m
}

// timed applies a migration, and returns what it took if somebody asks.
func (m *Migrator) timed(ctx context.Context, tx Tx, one migration) (AppliedMigration, error) {
	begun := time.Now()
	if err := m.apply(ctx, tx, one); err != nil || m.Applied == nil {
		return AppliedMigration{}, err
	}
	out := AppliedMigration{Migration: Migration{one.name, one.oldest}, Took: time.Since(begun)}
	var err error
	out.Locks, err = m.locks(ctx, tx, one)
	return out, err
}

// buildsIndex finds the table in a statement that builds an index beside others.
var buildsIndex = regexp.MustCompile(`(?i)INDEX CONCURRENTLY IF NOT EXISTS \w+ ON (\w+)`)

// locks returns the locks of existing tables that a migration has at its end.
func (m *Migrator) locks(ctx context.Context, tx Tx, one migration) (out []Lock, err error) {
	if m.DB.Engine() != Postgres {
		return []Lock{{Mode: "write"}}, nil
	}
	if one.apart {
		for _, found := range buildsIndex.FindAllStringSubmatch(one.text, -1) {
			out = append(out, Lock{found[1], "ShareUpdateExclusiveLock"})
		}
		return out, nil
	}
	made := map[string]bool{"migrations": true}
	for _, found := range createsTable.FindAllStringSubmatch(one.text, -1) {
		made[found[1]] = true
	}
	err = readPairs(ctx, tx, "SELECT CAST(c.relname AS TEXT), l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"+
		" JOIN pg_namespace n ON n.oid = c.relnamespace WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation'"+
		" AND c.relkind = 'r' AND n.nspname = current_schema()"+
		" AND l.mode NOT IN ($1, 'RowShareLock', 'RowExclusiveLock') ORDER BY 1, 2", "AccessShareLock",
		func(table, mode string) {
			if !made[table] {
				out = append(out, Lock{table, mode})
			}
		})
	return out, err
}

// lock takes the locks, and brings the table of migrations up to date.
func (m *Migrator) lock(ctx context.Context, tx Tx) error {
	if m.DB.Engine() == Postgres {
		if err := lockSchema(ctx, tx); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, createMigrations); err != nil {
		return err
	}
	if has, err := hasCompatible(ctx, tx, m.DB.Engine()); err != nil || has {
		return err
	}
	_, err := tx.Exec(ctx, addCompatible)
	return err
}

// lockSchema keeps others from migrating the schema, and earlier releases from migrating any of
// the database, until a transaction ends. It returns mustWait while an earlier release makes a
// backup, which the lock that both hold shared does not keep away.
func lockSchema(ctx context.Context, tx Tx) error {
	if _, err := tx.Exec(ctx, setLockTimeout); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock("+schemaKeys+")", SchemaLock); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock_shared($1)", MigrationLock); err != nil {
		return err
	}
	var earlier bool
	err := tx.Row(ctx, "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted"+
		" AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"+
		" GROUP BY pid"+
		" HAVING BOOL_OR(objsubid = 1 AND CAST(classid AS BIGINT) = $1 AND CAST(objid AS BIGINT) = $2)"+
		" AND NOT BOOL_OR(objsubid = 2 AND CAST(classid AS BIGINT) = $3))",
		MigrationLock>>32, MigrationLock&0xffffffff, SchemaLock).Scan(&earlier)
	if err != nil || !earlier {
		return err
	}
	return &mustWait{fault.New(fault.Unavailable, "an earlier release makes a backup of the database"), lockTries}
}

// Clauses of migrations that one of the engines does not know. With them, both sort a column by
// bytes, which SQLite does anyway, and neither keeps a table beside its only index, which
// PostgreSQL cannot do.
const (
	clauseByBytes = ` COLLATE "C"`
	clauseNoRowID = " WITHOUT ROWID"
)

// ByBytes returns a column of text as a term that sorts and compares by bytes.
func ByBytes(e Engine, column string) string {
	if e == Postgres {
		return column + clauseByBytes
	}
	return column
}

// clauseConcurrently builds an index while others write to its table, on PostgreSQL.
const clauseConcurrently = " INDEX CONCURRENTLY"

// forEngine removes from a statement of a migration the clauses that an engine does not know.
func forEngine(e Engine, s string) string {
	if e == Postgres {
		return strings.ReplaceAll(s, clauseNoRowID, "")
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, clauseByBytes, ""), clauseConcurrently, " INDEX")
}

func (m *Migrator) apply(ctx context.Context, tx Tx, one migration) error {
	e := m.DB.Engine()
	var c Conn = tx
	undone := "was undone; the database is as it was"
	if one.apart && e == Postgres {
		c, undone = m.DB, "can be applied again"
		// The last SELECT keeps its snapshot until another statement takes its place, and whoever
		// builds an index waits for all snapshots.
		if _, err := tx.Exec(ctx, setLockTimeout); err != nil {
			return err
		}
	}
	for _, s := range statements(one.text) {
		if err := m.dropInvalid(ctx, c, one, s); err != nil {
			return err
		}
		if _, err := c.Exec(ctx, forEngine(e, s)); err != nil {
			kind := fault.KindOf(err)
			return fault.Wrap(kind, err, "migration %s failed and %s", one.name, undone)
		}
	}
	_, err := tx.Exec(ctx, "INSERT INTO migrations (name, checksum, applied_at, compatible_from) VALUES "+
		"($1, $2, $3, $4)",
		one.name, one.checksum, time.Now().UnixMilli(), one.oldest)
	return err
}

// indexName finds the name in a statement that builds an index concurrently.
var indexName = regexp.MustCompile(`(?i)INDEX CONCURRENTLY IF NOT EXISTS (\w+)`)

// dropInvalid drops the index that a statement builds if an earlier try was broken off: PostgreSQL
// leaves an invalid one behind, which IF NOT EXISTS would take for the whole.
func (m *Migrator) dropInvalid(ctx context.Context, c Conn, one migration, s string) error {
	found := indexName.FindStringSubmatch(s)
	if !one.apart || found == nil || m.DB.Engine() != Postgres {
		return nil
	}
	var n int
	err := c.Row(ctx, "SELECT COUNT(*) FROM pg_index WHERE indexrelid = to_regclass($1) AND NOT indisvalid", found[1]).Scan(&n)
	if err != nil || n == 0 {
		return err
	}
	_, err = c.Exec(ctx, "DROP INDEX CONCURRENTLY "+found[1])
	return err
}

// recordedMigration is what the database says of a migration that it has.
type recordedMigration struct{ checksum, oldest string }

// hasCompatible reports whether the table of migrations is that of this release.
func hasCompatible(ctx context.Context, c Conn, e Engine) (bool, error) {
	text := "SELECT COUNT(*) FROM pragma_table_info('migrations') WHERE name = 'compatible_from'"
	if e == Postgres {
		text = "SELECT COUNT(*) FROM pg_attribute WHERE attrelid = to_regclass('migrations')" +
			" AND attname = 'compatible_from' AND NOT attisdropped"
	}
	var n int
	err := c.Row(ctx, text).Scan(&n)
	return n > 0, err
}

// appliedMigrations returns the applied migrations by name, and an empty map if the table does not
// exist yet.
func appliedMigrations(ctx context.Context, c Conn, e Engine) (map[string]recordedMigration, error) {
	exists := "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'migrations'"
	if e == Postgres {
		exists = "SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass('migrations')"
	}
	var n int
	if err := c.Row(ctx, exists).Scan(&n); err != nil {
		return nil, err
	}
	done := make(map[string]recordedMigration)
	if n == 0 {
		return done, nil
	}
	columns := "name, checksum, ''"
	if has, err := hasCompatible(ctx, c, e); err != nil {
		return nil, err
	} else if has {
		columns = "name, checksum, compatible_from"
	}
	rows, err := c.Rows(ctx, "SELECT "+columns+" FROM migrations")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var a recordedMigration
		if err := rows.Scan(&name, &a.checksum, &a.oldest); err != nil {
			return nil, err
		}
		done[name] = a
	}
	return done, rows.Err()
}

// compare returns the migrations still to apply, and whether a newer program has applied further
// ones; or why this program and this database do not fit.
func compare(all []migration, done map[string]recordedMigration) (todo []migration, newer bool, err error) {
	ours := make(map[string]bool, len(all))
	for _, m := range all {
		ours[m.name] = true
		has, applied := done[m.name]
		switch {
		case !applied:
			todo = append(todo, m)
		case has.checksum != m.checksum:
			return nil, false, fault.New(fault.Conflict, "migration %s in this program is not the one "+
				"that made the database; "+
				"run the release that made it, or restore a backup", m.name)
		case len(todo) > 0:
			return nil, false, fault.New(fault.Conflict, "the database has migration %s but lacks the earlier %s; "+
				"run an official release, or restore a backup", m.name, todo[0].name)
		}
	}
	newest := ""
	if len(all) > 0 {
		newest = Number(all[len(all)-1].name)
	}
	for _, name := range slices.Sorted(maps.Keys(done)) {
		if ours[name] {
			continue
		}
		newer = true
		if oldest := done[name].oldest; oldest == "" || oldest > newest {
			return nil, true, fault.New(fault.Conflict, "the database is newer than this program: it has "+
				"migration %s, "+
				"and programs that know less than migration %s must not use it; "+
				"run the newer release, or restore the backup made before the upgrade", name, cmp.Or(oldest, Number(name)))
		}
	}
	if newer && len(todo) > 0 {
		return nil, true, fault.New(fault.Conflict, "the database is newer than this program, but lacks "+
			"its migration %s; "+
			"run an official release, or restore a backup", todo[0].name)
	}
	return todo, newer, nil
}

// Number returns the number of a migration, by which programs are compared with it.
func Number(name string) string {
	number, _, _ := strings.Cut(name, "_")
	return number
}

func readMigrations(files fs.FS) ([]migration, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	all := make([]migration, 0, len(names))
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(text)
		all = append(all, newMigration(strings.TrimSuffix(path.Base(name), ".sql"), hex.EncodeToString(sum[:]), string(text)))
	}
	return all, nil
}

// newMigration reads the lines at the beginning of a migration. One that says nothing ends the use
// of the schema by all earlier programs.
func newMigration(name, checksum, text string) migration {
	m := migration{name: name, checksum: checksum, text: text, oldest: Number(name)}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "--") {
			break
		}
		if oldest, ok := strings.CutPrefix(line, headCompatible); ok {
			m.oldest = strings.TrimSpace(oldest)
		}
		m.apart = m.apart || line == headApart
	}
	return m
}

// statements splits a script at the semicolons outside of comments and quotes.
func statements(script string) []string {
	var out []string
	var cur strings.Builder
	flush := func() {
		if s := strings.TrimSpace(cur.String()); s != "" {
			out = append(out, s)
		}
		cur.Reset()
	}
	for i := 0; i < len(script); {
		switch c := script[i]; {
		case strings.HasPrefix(script[i:], "--"):
			i += lengthTo(script[i:], "\n", 2)
			cur.WriteByte('\n')
		case strings.HasPrefix(script[i:], "/*"):
			i += lengthTo(script[i:], "*/", 2)
			cur.WriteByte(' ')
		case c == '\'' || c == '"': // a doubled quote is read as two quoted parts: the result is the same
			n := lengthTo(script[i:], string(c), 1)
			cur.WriteString(script[i : i+n])
			i += n
		case c == ';':
			flush()
			i++
		default:
			cur.WriteByte(c)
			i++
		}
	}
	flush()
	return out
}

// lengthTo returns the length of s up to and including the first end at or after from, or of all
// of s.
func lengthTo(s, end string, from int) int {
	if from > len(s) {
		return len(s)
	}
	if i := strings.Index(s[from:], end); i >= 0 {
		return from + i + len(end)
	}
	return len(s)
}
