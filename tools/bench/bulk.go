package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	_ "modernc.org/sqlite" // database/sql driver "sqlite"
)

// A loader fills tables past the slow path: rows are copies of one that the store itself has
// written, so that they hold whatever the schema of the day wants, with a few columns of their own.
type loader struct {
	db     *sql.DB
	engine engine
	fast   bool
}

// Bounds of one statement.
const (
	copyRows   = 100     // rows of an INSERT with values
	cloneChunk = 250_000 // rows of an INSERT … SELECT, which is a transaction
)

// openLoader opens a database on one connection. Fast is for loads that are begun anew after a
// crash: it gives up what makes a commit safe, and needs the database for itself.
func openLoader(ctx context.Context, e engine, url string, fast bool) (*loader, error) {
	driver, source := "pgx", url
	setup := []string{"SET synchronous_commit = off", "SET session_replication_role = replica", "SET maintenance_work_mem = '1GB'"}
	if e == sqlite {
		driver, source = "sqlite", strings.TrimPrefix(url, "sqlite:")
		setup = []string{"PRAGMA busy_timeout = 20000", "PRAGMA synchronous = OFF"}
		if fast {
			setup = append(setup, "PRAGMA journal_mode = OFF", "PRAGMA cache_size = -1000000", "PRAGMA locking_mode = EXCLUSIVE")
		}
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	l := &loader{db, e, fast}
	for _, s := range setup {
		if _, err := db.ExecContext(ctx, s); err != nil {
			_ = db.Close()
			return nil, fmt.Errorf("%s: %w", s, err)
		}
	}
	return l, nil
}

// close leaves the database as a server wants to find it.
func (l *loader) close(ctx context.Context) error {
	defer l.db.Close()
	if !l.fast {
		return nil
	}
	last := []string{"VACUUM ANALYZE", "CHECKPOINT"}
	if l.engine == sqlite {
		last = []string{"PRAGMA locking_mode = NORMAL", "PRAGMA journal_mode = WAL", "PRAGMA wal_checkpoint(PASSIVE)"}
	}
	for _, s := range last {
		if _, err := l.db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// template reads a row by its key.
func (l *loader) template(ctx context.Context, table, key, value string) (columns []string, row []any, err error) {
	rows, err := l.db.QueryContext(ctx, "SELECT * FROM "+table+" WHERE "+key+" = $1", value)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	if columns, err = rows.Columns(); err != nil {
		return nil, nil, err
	}
	if !rows.Next() {
		return nil, nil, fmt.Errorf("no row of %s has %s %q", table, key, value)
	}
	row = make([]any, len(columns))
	into := make([]any, len(columns))
	for i := range row {
		into[i] = &row[i]
	}
	return columns, row, rows.Scan(into...)
}

// copies inserts n copies of a row, with the columns that own gives for each set to its values. It
// is one transaction.
func (l *loader) copies(ctx context.Context, table, key, value string, n int, own func(i int) map[string]any) error {
	columns, row, err := l.template(ctx, table, key, value)
	if err != nil {
		return err
	}
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit it does nothing
	for from := 0; from < n; from += copyRows {
		rows := min(copyRows, n-from)
		args := make([]any, 0, rows*len(columns))
		for i := range rows {
			set := own(from + i)
			for c, name := range columns {
				v, given := set[name]
				if !given {
					v = row[c]
				}
				args = append(args, v)
			}
		}
		if _, err := tx.ExecContext(ctx, insertText(table, columns, rows), args...); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// insertText returns the statement that inserts n rows.
func insertText(table string, columns []string, rows int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "INSERT INTO %s (%s) VALUES ", table, strings.Join(columns, ", "))
	n := 0
	for i := range rows {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('(')
		for c := range columns {
			if c > 0 {
				b.WriteString(", ")
			}
			n++
			fmt.Fprintf(&b, "$%d", n)
		}
		b.WriteByte(')')
	}
	return b.String()
}

// clone inserts n copies of a row within the database. Own gives SQL expressions over seq.n, which
// counts from 0.
func (l *loader) clone(ctx context.Context, table, key, value string, n int, own map[string]string) error {
	columns, _, err := l.template(ctx, table, key, value)
	if err != nil {
		return err
	}
	chosen := make([]string, len(columns))
	for i, name := range columns {
		chosen[i] = "t." + name
		if expr, ok := own[name]; ok {
			chosen[i] = expr
		}
	}
	for from := 0; from < n; from += cloneChunk {
		text := fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s, (SELECT * FROM %s WHERE %s = '%s') t", table, strings.Join(columns, ", "),
			strings.Join(chosen, ", "), l.numbers(from, min(from+cloneChunk, n)), table, key, value)
		if _, err := l.db.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("%s: %w", table, err)
		}
	}
	return nil
}

// numbers returns a table expression of the numbers from a to b, b left out.
func (l *loader) numbers(a, b int) string {
	if l.engine == postgres {
		return fmt.Sprintf("generate_series(CAST(%d AS BIGINT), %d) AS seq (n)", a, b-1)
	}
	return fmt.Sprintf("(WITH RECURSIVE up (n) AS (SELECT %d UNION ALL SELECT n + 1 FROM up WHERE n < %d) SELECT n FROM up) seq", a, b-1)
}

// withoutIndexes runs f while a table has no indexes but that of its primary key, then makes them
// again as they were.
func (l *loader) withoutIndexes(ctx context.Context, table string, f func() error) error {
	query := "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = $1 AND schemaname = current_schema() AND indexname NOT LIKE '%pkey'"
	if l.engine == sqlite {
		query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = $1"
	}
	rows, err := l.db.QueryContext(ctx, query, table)
	if err != nil {
		return err
	}
	defer rows.Close()
	var names, texts []string
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return err
		}
		names, texts = append(names, name), append(texts, text)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, name := range names {
		if _, err := l.db.ExecContext(ctx, "DROP INDEX "+name); err != nil {
			return err
		}
	}
	if err := f(); err != nil {
		return err
	}
	for _, text := range texts {
		if _, err := l.db.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}
