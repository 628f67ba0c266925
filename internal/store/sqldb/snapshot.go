package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// A Snapshot is a database as it was at one moment: what is committed afterwards is not in it.
type Snapshot interface {
	// Row runs a SELECT with at most one row.
	Row(ctx context.Context, sql string, args ...any) Row
	// Rows runs a SELECT with a few rows.
	Rows(ctx context.Context, sql string, args ...any) (Rows, error)
	// Scan calls f with each row of a SELECT: nil, strings, int64s and bools. The slice is used
	// again for the next row.
	Scan(ctx context.Context, sql string, f func(values []any) error) error
}

// SnapshotOptions configures ReadSnapshot.
type SnapshotOptions struct {
	// Rest is how long the reader rests after each slice of work of sliceTime, so that others get
	// the processor.
	Rest time.Duration
	// MaxLog ends the snapshot with an error once SQLite's write-ahead log is longer, in bytes:
	// while the snapshot is read, the log cannot begin anew. 0: no bound.
	MaxLog int64
}

const (
	sliceTime  = 2 * time.Millisecond
	sliceRows  = 16          // after which the clock is read
	checkEvery = time.Second // of the length of the log
)

// ReadSnapshot calls f with a snapshot of a database, which ends when f returns.
func ReadSnapshot(ctx context.Context, db DB, o SnapshotOptions, f func(Snapshot) error) error {
	switch db := db.(type) {
	case *sqliteDB:
		return db.snapshot(ctx, o, f)
	case *postgresDB:
		return db.snapshot(ctx, o, f)
	case *observed:
		return ReadSnapshot(ctx, db.DB, o, f)
	}
	return errors.New("sqldb: this database has no snapshots")
}

// pace rests after each slice of work, and looks at the log.
type pace struct {
	o       SnapshotOptions
	log     string // the file of the write-ahead log, or ""
	n       int
	began   time.Time
	checked time.Time
}

func (p *pace) step(ctx context.Context) error {
	if p.n++; p.n%sliceRows != 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return cancelled(err)
	}
	now := time.Now()
	if p.log != "" && p.o.MaxLog > 0 && now.Sub(p.checked) > checkEvery {
		p.checked = now
		if info, err := os.Stat(p.log); err == nil && info.Size() > p.o.MaxLog {
			return fault.New(fault.Unavailable, "the database is changed faster than it can be copied: "+
				"its write-ahead log has grown to %d MB; try again when there is less load", info.Size()>>20)
		}
	}
	if p.o.Rest > 0 && now.Sub(p.began) >= sliceTime {
		time.Sleep(p.o.Rest)
		p.began = time.Now()
	}
	return nil
}

// liteSnapshot reads within one transaction of a connection of its own.
type liteSnapshot struct {
	conn *liteConn
	pace pace
}

func (db *sqliteDB) snapshot(ctx context.Context, o SnapshotOptions, f func(Snapshot) error) error {
	l, err := openLite(db.path, busyPragma(), "query_only = ON", "trusted_schema = OFF", "temp_store = MEMORY",
		"foreign_keys = OFF")
	if err != nil {
		return err
	}
	defer l.close() // ends the transaction
	if _, err := l.exec("BEGIN"); err != nil {
		return sqliteError(err)
	}
	// The first read pins the snapshot.
	if _, err := l.query(ctx, 1, "SELECT COUNT(*) FROM sqlite_master", nil); err != nil {
		return sqliteError(err)
	}
	if err := f(&liteSnapshot{l, pace{o: o, log: db.path + "-wal", began: time.Now()}}); err != nil {
		return err
	}
	return db.catchUp(l)
}

// catchUp ends a snapshot and copies what the write-ahead log has grown by meanwhile into the main
// file. This connection does it, so that the writer need not: it goes on in the log.
func (db *sqliteDB) catchUp(l *liteConn) error {
	if _, err := l.exec("COMMIT"); err != nil {
		return sqliteError(err)
	}
	if db.auto == 0 { // the log is somebody else's
		return nil
	}
	_, err := l.query(context.Background(), 1, "PRAGMA wal_checkpoint(PASSIVE)", nil)
	return sqliteError(err)
}

// Row runs a SELECT.
func (s *liteSnapshot) Row(ctx context.Context, text string, args ...any) Row {
	t, err := s.conn.query(ctx, 1, text, args)
	return tableRow{t, sqliteError(err)}
}

// Rows runs a SELECT.
func (s *liteSnapshot) Rows(ctx context.Context, text string, args ...any) (Rows, error) {
	t, err := s.conn.query(ctx, 0, text, args)
	if err != nil {
		return nil, sqliteError(err)
	}
	return t, nil
}

// Scan reads row by row.
func (s *liteSnapshot) Scan(ctx context.Context, text string, f func([]any) error) error {
	return sqliteError(s.conn.scan(text, func(values []any) error {
		if err := s.pace.step(ctx); err != nil {
			return err
		}
		return f(values)
	}))
}

// pgSnapshot reads within one transaction.
type pgSnapshot struct {
	pgConn
	conn *pgConnection
	pace pace
}

func (db *postgresDB) snapshot(ctx context.Context, o SnapshotOptions, f func(Snapshot) error) error {
	conn, err := db.pool.Acquire(ctx)
	if err != nil {
		return postgresError(err)
	}
	defer conn.Release() // closes a connection that is within a transaction
	rollback := func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
		defer cancel()
		_, _ = conn.Exec(end, "ROLLBACK")
	}
	defer rollback()
	for try := 1; ; try++ {
		locked, err := beginSnapshot(ctx, conn)
		if err != nil {
			return err
		}
		if locked {
			break
		}
		rollback() // the snapshot is older than the migration that has the lock
		if try == snapshotTries {
			return fault.New(fault.Unavailable, "the schema of the database is being changed; try again later")
		}
		select {
		case <-ctx.Done():
			return cancelled(ctx.Err())
		case <-time.After(snapshotPause):
		}
	}
	open := true
	err = f(&pgSnapshot{pgConn{&txQuerier{conn, &open}}, conn, pace{o: o, began: time.Now()}})
	open = false
	return err
}

const (
	snapshotPause = time.Second // between two tries to keep migrations out
	snapshotTries = 60
)

// beginSnapshot begins the transaction of a snapshot, and reports whether no migration runs nor can
// begin until it ends.
func beginSnapshot(ctx context.Context, conn *pgConnection) (locked bool, err error) {
	if _, err := conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
		return false, postgresError(err)
	}
	err = conn.QueryRow(ctx, "SELECT CASE WHEN pg_try_advisory_xact_lock_shared("+schemaKeys+")"+
		" THEN pg_try_advisory_xact_lock_shared($2) ELSE FALSE END", SchemaLock, MigrationLock).Scan(&locked)
	return locked, postgresError(err)
}

// Scan reads row by row.
func (s *pgSnapshot) Scan(ctx context.Context, text string, f func([]any) error) error {
	rows, err := s.Query(ctx, text)
	if err != nil {
		return postgresError(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := s.pace.step(ctx); err != nil {
			return err
		}
		values, err := rows.Values()
		if err != nil {
			return postgresError(err)
		}
		if err := f(values); err != nil {
			return err
		}
	}
	return postgresError(rows.Err())
}

// A Table is a table as it is in a database.
type Table struct {
	Name    string
	Columns []Column
	Parents []string // tables that its foreign keys name
}

// A Column is a column of a table.
type Column struct{ Name, Type string }

var createsTable = regexp.MustCompile(`(?m)^CREATE TABLE (\w+)`)

// schema reads the tables of a database.
type schema interface {
	Rows(ctx context.Context, sql string, args ...any) (Rows, error)
}

// Tables returns the tables that migrations have made, as they are in a database: parents come
// before those that refer to them. The table of the migrations themselves is not among them.
func Tables(ctx context.Context, c schema, e Engine, texts []string) ([]Table, error) {
	var names []string
	for _, text := range texts {
		for _, m := range createsTable.FindAllStringSubmatch(text, -1) {
			names = append(names, m[1])
		}
	}
	slices.Sort(names)
	var all []Table
	for _, name := range slices.Compact(names) {
		t := Table{Name: name}
		err := readPairs(ctx, c, columnsOf(e), name, func(column, typ string) {
			t.Columns = append(t.Columns, Column{column, strings.ToUpper(typ)})
		})
		if err != nil {
			return nil, err
		}
		if len(t.Columns) == 0 { // a later migration has dropped it
			continue
		}
		err = readPairs(ctx, c, parentsOf(e), name, func(parent, _ string) { t.Parents = append(t.Parents, parent) })
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return parentsFirst(all), nil
}

func columnsOf(e Engine) string {
	if e == Postgres {
		return "SELECT CAST(column_name AS TEXT), CAST(data_type AS TEXT) FROM information_schema.columns" +
			" WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position"
	}
	return "SELECT name, type FROM pragma_table_info($1) ORDER BY cid"
}

func parentsOf(e Engine) string {
	if e == Postgres {
		return "SELECT DISTINCT CAST(p.relname AS TEXT), '' FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid" +
			" JOIN pg_class p ON p.oid = c.confrelid JOIN pg_namespace n ON n.oid = t.relnamespace" +
			" WHERE c.contype = 'f' AND n.nspname = current_schema() AND t.relname = $1"
	}
	return "SELECT DISTINCT \"table\", '' FROM pragma_foreign_key_list($1)"
}

func readPairs(ctx context.Context, c schema, text, arg string, f func(a, b string)) error {
	rows, err := c.Rows(ctx, text, arg)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var a, b string
		if err := rows.Scan(&a, &b); err != nil {
			return err
		}
		f(a, b)
	}
	return rows.Err()
}

// parentsFirst orders tables so that each comes after its parents.
func parentsFirst(all []Table) []Table {
	out := make([]Table, 0, len(all))
	placed := map[string]bool{}
	for len(out) < len(all) {
		before := len(out)
		for _, t := range all {
			waits := func(parent string) bool { return parent != t.Name && !placed[parent] }
			if placed[t.Name] || slices.ContainsFunc(t.Parents, waits) {
				continue
			}
			placed[t.Name] = true
			out = append(out, t)
		}
		if len(out) == before { // a circle, which the schema does not have
			for _, t := range all {
				if !placed[t.Name] {
					out = append(out, t)
				}
			}
			break
		}
	}
	return out
}

// Copy inserts the rows that next returns, until it returns no values, and returns how many.
func Copy(
	ctx context.Context, tx Tx, table string, columns []string, next func() ([]any, error),
) (int64, error) {
	switch tx := tx.(type) {
	case *observedTx:
		return Copy(ctx, tx.Tx, table, columns, next)
	case *liteTx:
		return tx.copyRows(ctx, table, columns, next)
	case *pgTx:
		q, ok := tx.querier.(*txQuerier)
		if !ok || !*q.open {
			return 0, errTxOver
		}
		source := &copySource{next: next}
		n, err := q.conn.Conn().CopyFrom(ctx, pgx.Identifier{table}, columns, source)
		if source.err != nil { // PostgreSQL repeats only its text
			err = source.err
		}
		return n, postgresError(err)
	}
	return 0, errors.New("sqldb: this transaction cannot copy")
}

func (tx *liteTx) copyRows(
	ctx context.Context, table string, columns []string, next func() ([]any, error),
) (n int64, err error) {
	// Without numbers: the driver looks up the name of each parameter that has one, each time.
	text := "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES (" +
		strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", ") + ")"
	for ; ; n++ {
		if n%1000 == 0 && ctx.Err() != nil {
			return n, cancelled(ctx.Err())
		}
		values, err := next()
		if err != nil || values == nil {
			return n, err
		}
		if _, err := tx.Exec(ctx, text, values...); err != nil {
			return n, err
		}
	}
}

// copySource passes rows on to COPY.
type copySource struct {
	next   func() ([]any, error)
	values []any
	err    error
}

// Next moves to the next row.
func (s *copySource) Next() bool {
	s.values, s.err = s.next()
	return s.err == nil && s.values != nil
}

// Values returns the row.
func (s *copySource) Values() ([]any, error) { return s.values, nil }

// Err returns the error that ended the rows.
func (s *copySource) Err() error { return s.err }

// A Step is one migration of the schema, with its text.
type Step struct {
	Name, Checksum, Text string

	oldest string
}

// ReadSteps returns the migrations of files, in their order.
func ReadSteps(files fs.FS) ([]Step, error) {
	all, err := readMigrations(files)
	out := make([]Step, len(all))
	for i, m := range all {
		out[i] = Step{m.name, m.checksum, m.text, m.oldest}
	}
	return out, err
}

// ApplySteps applies migrations to an empty database, all within a transaction.
func ApplySteps(ctx context.Context, tx Tx, e Engine, all []Step) error {
	if _, err := tx.Exec(ctx, createMigrations); err != nil {
		return err
	}
	for _, step := range all {
		for _, text := range statements(step.Text) {
			if e == Postgres { // which cannot do that within a transaction; nobody uses the table
				text = strings.ReplaceAll(text, clauseConcurrently, " INDEX")
			}
			if _, err := tx.Exec(ctx, forEngine(e, text)); err != nil {
				return fmt.Errorf("migration %s: %w", step.Name, err)
			}
		}
		_, err := tx.Exec(ctx, "INSERT INTO migrations (name, checksum, applied_at, compatible_from) VALUES ($1, $2, $3, $4)",
			step.Name, step.Checksum, time.Now().UnixMilli(), step.oldest)
		if err != nil {
			return err
		}
	}
	return nil
}

// WithoutIndexes drops the indexes of a database, calls f and makes them again: filling a table
// with its indexes takes several times as long.
func WithoutIndexes(ctx context.Context, tx Tx, e Engine, tables []Table, f func() error) error {
	text := "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = $1"
	if e == Postgres {
		text = "SELECT CAST(c.relname AS TEXT), pg_get_indexdef(c.oid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid" +
			" JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace" +
			" WHERE n.nspname = current_schema() AND t.relname = $1" +
			" AND NOT EXISTS (SELECT 1 FROM pg_constraint x WHERE x.conindid = c.oid)"
	}
	var definitions []string
	for _, t := range tables {
		var names []string
		err := readPairs(ctx, tx, text, t.Name, func(name, definition string) {
			names, definitions = append(names, name), append(definitions, definition)
		})
		if err != nil {
			return err
		}
		for _, name := range names {
			if _, err := tx.Exec(ctx, "DROP INDEX "+name); err != nil {
				return err
			}
		}
	}
	if err := f(); err != nil {
		return err
	}
	for _, definition := range definitions {
		if _, err := tx.Exec(ctx, definition); err != nil {
			return err
		}
	}
	return nil
}

// CreateFile makes a SQLite database in a file that does not exist, in one transaction that only
// counts when CreateFile returns nil: a crash may leave anything in the file, so it must not have
// its final name yet.
func CreateFile(path string, f func(Tx) error) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "the database file %s cannot be created", path)
	}
	if err := file.Close(); err != nil {
		return err
	}
	l, err := openLite(path, "journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE",
		fmt.Sprintf("cache_size = -%d", 256<<10), "foreign_keys = OFF", "trusted_schema = OFF", "temp_store = MEMORY")
	if err != nil {
		return err
	}
	defer l.close()
	if _, err := l.exec("BEGIN EXCLUSIVE"); err != nil {
		return sqliteError(err)
	}
	tx := &liteTx{conn: l}
	err = f(tx)
	tx.conn = nil
	if err != nil {
		return sqliteError(err)
	}
	t, err := l.query(context.Background(), 1, "PRAGMA foreign_key_check", nil)
	if err == nil && t.Next() {
		return fault.New(fault.Invalid, "the rows name others that are not there")
	}
	if err == nil {
		_, err = l.exec("COMMIT")
	}
	return sqliteError(err)
}

// DropSchema drops a schema of PostgreSQL with all that is in it.
func DropSchema(ctx context.Context, db DB, name string) error {
	if db.Engine() != Postgres {
		return errors.New("sqldb: this database has no schemas")
	}
	_, err := db.Exec(ctx, "DROP SCHEMA IF EXISTS "+pgx.Identifier{name}.Sanitize()+" CASCADE")
	return err
}
