package sqldb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// migrationLock is an advisory lock that keeps two processes from migrating one PostgreSQL
// database at once. On SQLite the transaction does.
const migrationLock = 0x6761746568 // "gateh"

const createMigrations = `CREATE TABLE IF NOT EXISTS migrations (
    name       TEXT   NOT NULL PRIMARY KEY,
    checksum   TEXT   NOT NULL,
    applied_at BIGINT NOT NULL
)`

// migration is one file: NNNN_name.sql.
type migration struct {
	name, checksum, text string
}

// Migrate applies the .sql files that the database lacks, in the order of their names, each in a
// transaction of its own, and returns the names of those applied. It goes forward only. It
// returns Conflict for a database with a migration that this program does not have, and for one
// whose applied migrations have been edited since.
func Migrate(ctx context.Context, db DB, files fs.FS) (applied []string, err error) {
	all, err := readMigrations(files)
	if err != nil {
		return nil, err
	}
	for {
		name, err := migrateNext(ctx, db, all)
		if err != nil || name == "" {
			return applied, err
		}
		applied = append(applied, name)
	}
}

// Pending returns the names of the migrations that Migrate would apply. It fails where Migrate
// would fail.
func Pending(ctx context.Context, db DB, files fs.FS) ([]string, error) {
	all, err := readMigrations(files)
	if err != nil {
		return nil, err
	}
	done, err := appliedMigrations(ctx, db, db.Engine())
	if err != nil {
		return nil, err
	}
	todo, err := compare(all, done)
	names := make([]string, len(todo))
	for i, m := range todo {
		names[i] = m.name
	}
	return names, err
}

// Newest returns the name of the newest migration, or "".
func Newest(files fs.FS) string {
	names, err := fs.Glob(files, "*.sql")
	if err != nil || len(names) == 0 {
		return ""
	}
	return strings.TrimSuffix(slices.Max(names), ".sql")
}

// migrateNext applies the oldest migration that is missing, and returns its name, or "" when
// there is none. It takes the lock before it reads the list, so that a second process finds the
// migration of the first one applied.
func migrateNext(ctx context.Context, db DB, all []migration) (name string, err error) {
	err = db.Write(ctx, func(tx Tx) error {
		name = ""
		if db.Engine() == Postgres {
			if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", migrationLock); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, createMigrations); err != nil {
			return err
		}
		done, err := appliedMigrations(ctx, tx, db.Engine())
		if err != nil {
			return err
		}
		todo, err := compare(all, done)
		if err != nil || len(todo) == 0 {
			return err
		}
		name = todo[0].name
		return apply(ctx, tx, db.Engine(), todo[0])
	})
	return name, err
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

// forEngine removes from a statement of a migration the clauses that an engine does not know.
func forEngine(e Engine, s string) string {
	if e == Postgres {
		return strings.ReplaceAll(s, clauseNoRowID, "")
	}
	return strings.ReplaceAll(s, clauseByBytes, "")
}

func apply(ctx context.Context, tx Tx, e Engine, m migration) error {
	for _, s := range statements(m.text) {
		if _, err := tx.Exec(ctx, forEngine(e, s)); err != nil {
			kind := fault.KindOf(err)
			return fault.Wrap(kind, err, "migration %s failed and was undone; the database is as it was", m.name)
		}
	}
	_, err := tx.Exec(ctx, "INSERT INTO migrations (name, checksum, applied_at) VALUES ($1, $2, $3)",
		m.name, m.checksum, time.Now().UnixMilli())
	return err
}

// appliedMigrations returns the checksums of the applied migrations by name, and an empty map if
// the table does not exist yet.
func appliedMigrations(ctx context.Context, c Conn, e Engine) (map[string]string, error) {
	exists := "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'migrations'"
	if e == Postgres {
		exists = "SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass('migrations')"
	}
	var n int
	if err := c.Row(ctx, exists).Scan(&n); err != nil {
		return nil, err
	}
	done := make(map[string]string)
	if n == 0 {
		return done, nil
	}
	rows, err := c.Rows(ctx, "SELECT name, checksum FROM migrations")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name, sum string
		if err := rows.Scan(&name, &sum); err != nil {
			return nil, err
		}
		done[name] = sum
	}
	return done, rows.Err()
}

// compare returns the migrations still to apply, or why this program and this database do not
// fit.
func compare(all []migration, done map[string]string) (todo []migration, err error) {
	ours := make(map[string]bool, len(all))
	for _, m := range all {
		ours[m.name] = true
		sum, applied := done[m.name]
		switch {
		case !applied:
			todo = append(todo, m)
		case sum != m.checksum:
			return nil, fault.New(fault.Conflict, "migration %s in this program is not the one that made the database; "+
				"run the release that made it, or restore a backup", m.name)
		case len(todo) > 0:
			return nil, fault.New(fault.Conflict, "the database has migration %s but lacks the earlier %s; "+
				"run an official release, or restore a backup", m.name, todo[0].name)
		}
	}
	for name := range done {
		if !ours[name] {
			return nil, fault.New(fault.Conflict, "the database is newer than this program: it has migration %s; "+
				"run the newer release, or restore the backup made before the upgrade", name)
		}
	}
	return todo, nil
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
		all = append(all, migration{strings.TrimSuffix(path.Base(name), ".sql"), hex.EncodeToString(sum[:]), string(text)})
	}
	return all, nil
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
