package sqldb

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"modernc.org/sqlite"
)

// maxPrepared is the number of prepared statements that a connection caches. Our texts are fewer.
const maxPrepared = 512

// liteConn is one SQLite connection with its prepared statements. It is used by one goroutine at
// a time.
type liteConn struct {
	conn     driver.Conn
	prepared map[string]driver.Stmt
}

func openLite(path string, pragmas ...string) (*liteConn, error) {
	conn, err := (&sqlite.Driver{}).Open(path)
	if err != nil {
		return nil, sqliteError(err)
	}
	l := &liteConn{conn: conn, prepared: make(map[string]driver.Stmt)}
	for _, p := range pragmas {
		if _, err := l.exec("PRAGMA " + p); err != nil {
			l.close()
			return nil, sqliteError(fmt.Errorf("PRAGMA %s: %w", p, err))
		}
	}
	return l, nil
}

func (l *liteConn) close() {
	for _, s := range l.prepared {
		_ = s.Close()
	}
	_ = l.conn.Close()
}

func (l *liteConn) prepare(text string) (driver.Stmt, error) {
	if s, ok := l.prepared[text]; ok {
		return s, nil
	}
	if len(l.prepared) >= maxPrepared {
		for k, s := range l.prepared {
			_ = s.Close()
			delete(l.prepared, k)
		}
	}
	s, err := l.conn.Prepare(text)
	if err != nil {
		return nil, err
	}
	l.prepared[text] = s
	return s, nil
}

// exec runs a statement and returns the number of rows it changed. Its errors are the driver's.
func (l *liteConn) exec(text string, args ...any) (int64, error) {
	s, err := l.prepare(text)
	if err != nil {
		return 0, err
	}
	ex, ok := s.(driver.StmtExecContext)
	if !ok {
		return 0, errors.New("sqldb: the SQLite driver cannot execute with a context")
	}
	res, err := ex.ExecContext(context.Background(), named(args))
	if err != nil || res == nil {
		return 0, err
	}
	return res.RowsAffected()
}

// query runs a statement and reads its result. Its errors are the driver's.
func (l *liteConn) query(ctx context.Context, limit int, text string, args []any) (*table, error) {
	s, err := l.prepare(text)
	if err != nil {
		return nil, err
	}
	q, ok := s.(driver.StmtQueryContext)
	if !ok {
		return nil, errors.New("sqldb: the SQLite driver cannot query with a context")
	}
	rows, err := q.QueryContext(ctx, named(args))
	if err != nil {
		return nil, err
	}
	t := &table{width: len(rows.Columns()), at: -1}
	err = t.fill(rows, limit)
	if e := rows.Close(); err == nil {
		err = e
	}
	return t, err
}

// table is a result in memory: its connection serves the next caller before this one reads it.
type table struct {
	width int
	cells []driver.Value
	at    int
}

// fill reads rows until they end, and stores the first limit of them, or all if limit is 0. It
// reads the others too, because a change with RETURNING must run to its end.
func (t *table) fill(rows driver.Rows, limit int) error {
	row := make([]driver.Value, t.width)
	for n := 0; ; n++ {
		if err := rows.Next(row); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if limit == 0 || n < limit {
			t.cells = append(t.cells, row...)
		}
	}
}

// Next moves to the next row.
func (t *table) Next() bool {
	if t.width == 0 || (t.at+1)*t.width >= len(t.cells) {
		return false
	}
	t.at++
	return true
}

// Scan copies the current row.
func (t *table) Scan(dest ...any) error {
	if len(dest) != t.width {
		return fmt.Errorf("sqldb: %d columns do not fit %d destinations", t.width, len(dest))
	}
	for i, d := range dest {
		if err := assign(d, t.cells[t.at*t.width+i]); err != nil {
			return fmt.Errorf("column %d: %w", i+1, err)
		}
	}
	return nil
}

// Err returns nil: a result in memory is complete.
func (t *table) Err() error { return nil }

// Close does nothing.
func (t *table) Close() {}

// tableRow is the first row of a result, or the error that came instead.
type tableRow struct {
	t   *table
	err error
}

// Scan copies the row.
func (r tableRow) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	if r.t == nil || !r.t.Next() {
		return noRow()
	}
	return r.t.Scan(dest...)
}

// scan calls f with each row of a SELECT. Its errors are the driver's, or those of f.
func (l *liteConn) scan(text string, f func(values []any) error) (err error) {
	s, err := l.prepare(text)
	if err != nil {
		return err
	}
	q, ok := s.(driver.StmtQueryContext)
	if !ok {
		return errors.New("sqldb: the SQLite driver cannot query with a context")
	}
	rows, err := q.QueryContext(context.Background(), nil)
	if err != nil {
		return err
	}
	defer func() {
		if e := rows.Close(); err == nil {
			err = e
		}
	}()
	row := make([]driver.Value, len(rows.Columns()))
	values := make([]any, len(row))
	for {
		if err := rows.Next(row); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		for i, v := range row {
			values[i] = v
		}
		if err := f(values); err != nil {
			return err
		}
	}
}
