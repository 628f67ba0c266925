package store

import (
	"context"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// where collects the conditions of a list, and their parameters in order of appearance.
type where struct {
	terms []string
	args  []any
}

// add adds a condition that ends in its parameter, if on.
func (w *where) add(term string, arg any, on bool) {
	if on {
		w.terms = append(w.terms, term+w.param(arg))
	}
}

// param adds a parameter and returns its placeholder.
func (w *where) param(arg any) string {
	w.args = append(w.args, arg)
	return placeholder(len(w.args))
}

// String returns the WHERE clause, or "".
func (w *where) String() string {
	if len(w.terms) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.terms, " AND ")
}

// Bounds of a list.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

func limit(n int) int64 {
	if n <= 0 {
		return defaultLimit
	}
	return int64(min(n, maxLimit))
}

// each reads a result to its end and calls f for each row.
func each(
	ctx context.Context, c sqldb.Conn, f func(sqldb.Row) error, sql string, args ...any,
) error {
	rows, err := c.Rows(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// list reads a result to its end.
func list[T any](
	ctx context.Context, c sqldb.Conn, scan func(sqldb.Row) (*T, error), sql string, args ...any,
) ([]T, error) {
	var out []T
	err := each(ctx, c, func(r sqldb.Row) error {
		v, err := scan(r)
		if err == nil {
			out = append(out, *v)
		}
		return err
	}, sql, args...)
	return out, err
}

// listStrings reads a result of one column.
func listStrings[T ~string](
	ctx context.Context, c sqldb.Conn, sql string, args ...any,
) (out []T, err error) {
	err = each(ctx, c, func(r sqldb.Row) error {
		var s string
		err := r.Scan(&s)
		out = append(out, T(s))
		return err
	}, sql, args...)
	return out, err
}

// exists reports whether a query has a result.
func exists(ctx context.Context, c sqldb.Conn, sql string, args ...any) (bool, error) {
	var n int
	switch err := c.Row(ctx, sql, args...).Scan(&n); {
	case err == nil:
		return true, nil
	case fault.Is(err, fault.NotFound):
		return false, nil
	default:
		return false, err
	}
}

// requireOne returns NotFound if a change of a single row changed none.
func requireOne(n int64, err error, what string) error {
	if err == nil && n == 0 {
		return notFound(what)
	}
	return err
}

// asNotFound names in a NotFound error what was not found.
func asNotFound(err error, what string) error {
	if fault.Is(err, fault.NotFound) {
		return notFound(what)
	}
	return err
}

// notFound does not keep its format: hot paths ask for what is not there.
func notFound(what string) error {
	return &fault.Error{Kind: fault.NotFound, Text: "there is no such " + what}
}

func consumed(what string) error {
	return fault.New(fault.Consumed, "this %s has been used before", what)
}
