package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// A column is one column of the table in which values of type T are stored.
type column[T any] struct {
	name string
	// field returns where the column's value is within a T: a pointer to a string, bool, int or
	// int64, or a codec. For a derived column it returns the value itself, in its stored form.
	field func(*T) any
}

// A table lists the columns of an entity once. The texts of its statements, their arguments and
// the destinations of a scan all derive from that list, so that they cannot disagree.
//
// Tables are package-level values, and the texts that derive from them too: each is built once.
type table[T any] struct {
	name    string
	columns []column[T] // written and read; the first is the key
	derived []column[T] // written only: computed from other fields, for searching and joining
}

// list returns the names of the columns that are read, as in "id, name".
func (t *table[T]) list() string { return strings.Join(t.names(t.columns, ""), ", ") }

// qualified returns list with the name of the table before each column.
func (t *table[T]) qualified() string { return strings.Join(t.qualifiedNames(), ", ") }

func (t *table[T]) qualifiedNames() []string { return t.names(t.columns, t.name+".") }

func (t *table[T]) names(columns []column[T], prefix string) []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = prefix + c.name
	}
	return names
}

// written returns all columns, in the order of args.
func (t *table[T]) written() []column[T] { return slices.Concat(t.columns, t.derived) }

// into returns "INSERT INTO name (columns)". The columns of extra, which belong to no field, are
// added at the end.
func (t *table[T]) into(extra ...string) string {
	names := append(t.names(t.written(), ""), extra...)
	return "INSERT INTO " + t.name + " (" + strings.Join(names, ", ") + ")"
}

// insert returns the statement that inserts one row. Its arguments are those of args, followed by
// one for each column of extra.
func (t *table[T]) insert(extra ...string) string {
	n := len(t.written()) + len(extra)
	return t.into(extra...) + " VALUES (" + placeholders(1, n) + ")"
}

// params returns the placeholders of args: "$1, $2, …".
func (t *table[T]) params() string { return placeholders(1, len(t.written())) }

// param returns the placeholder of one column in args, such as "$3".
func (t *table[T]) param(name string) string {
	i := slices.IndexFunc(t.written(), func(c column[T]) bool { return c.name == name })
	if i < 0 {
		panic("store: the table " + t.name + " has no column " + name)
	}
	return placeholder(i + 1)
}

// next returns the placeholder of the i-th argument after args, beginning with 1.
func (t *table[T]) next(i int) string { return placeholder(len(t.written()) + i) }

// args returns the values of all columns, with the given ones at the end.
func (t *table[T]) args(v *T, extra ...any) []any {
	args := make([]any, 0, len(t.columns)+len(t.derived)+len(extra))
	for _, c := range t.columns {
		args = append(args, stored(c.field(v)))
	}
	for _, c := range t.derived {
		args = append(args, c.field(v))
	}
	return append(args, extra...)
}

// dest appends the destinations of the columns that list names.
func (t *table[T]) dest(to []any, v *T) []any {
	for i := range t.columns {
		to = append(to, t.columns[i].field(v))
	}
	return to
}

// scan reads a row of the columns that list names.
func (t *table[T]) scan(r sqldb.Row) (*T, error) {
	v := new(T)
	return v, r.Scan(t.dest(make([]any, 0, len(t.columns)), v)...)
}

// A setList is the columns that an UPDATE assigns from the fields of a T.
type setList[T any] struct {
	text    string // "a = $1, b = $2"
	columns []column[T]
}

// set returns the assignment of the named columns.
func (t *table[T]) set(names ...string) setList[T] {
	var s setList[T]
	for _, name := range names {
		i := slices.IndexFunc(t.columns, func(c column[T]) bool { return c.name == name })
		if i < 0 {
			panic("store: the table " + t.name + " has no column " + name)
		}
		s.columns = append(s.columns, t.columns[i])
	}
	s.text = assignments(s.columns)
	return s
}

// next returns the placeholder of the i-th argument after those of the assignment.
func (s setList[T]) next(i int) string { return placeholder(len(s.columns) + i) }

// args returns the values that are assigned, with the given ones at the end.
func (s setList[T]) args(v *T, extra ...any) []any {
	args := make([]any, 0, len(s.columns)+len(extra))
	for _, c := range s.columns {
		args = append(args, stored(c.field(v)))
	}
	return append(args, extra...)
}

// differences returns the columns in which two values of T differ, but for the excepted ones.
func (t *table[T]) differences(old, new *T, except ...string) []column[T] {
	var differ []column[T]
	for _, c := range t.columns {
		if !slices.Contains(except, c.name) && stored(c.field(old)) != stored(c.field(new)) {
			differ = append(differ, c)
		}
	}
	return differ
}

// update writes the columns in which two values of T differ, derived ones included, to the row
// with the key of old. It returns the number of rows changed; where nothing differs, that is 0.
func (t *table[T]) update(ctx context.Context, tx sqldb.Tx, old, new *T) (int64, error) {
	var s setList[T]
	var args []any
	for _, c := range t.differences(old, new, t.columns[0].name) {
		s.columns, args = append(s.columns, c), append(args, stored(c.field(new)))
	}
	for _, c := range t.derived {
		if v := c.field(new); v != c.field(old) {
			s.columns, args = append(s.columns, c), append(args, v)
		}
	}
	if len(args) == 0 {
		return 0, nil
	}
	key := t.columns[0]
	text := "UPDATE " + t.name + " SET " + assignments(s.columns) + " WHERE " + key.name + " = " + s.next(1)
	return tx.Exec(ctx, text, append(args, stored(key.field(old)))...)
}

// atVersion returns Stale unless a row has a version, and locks it until the transaction ends. A
// version of 0 is any.
func atVersion(ctx context.Context, tx sqldb.Tx, table, key, value string, version int64) error {
	if version == 0 {
		return nil
	}
	var current int64
	err := tx.Row(ctx, "UPDATE "+table+" SET version = version WHERE "+key+" = $1 RETURNING version", value).Scan(&current)
	if err != nil {
		return err
	}
	return admin.CheckVersion(version, current, nil)
}

// copyColumns sets fields of one value of T to those of another.
func copyColumns[T any](to, from *T, columns []column[T]) error {
	for _, c := range columns {
		if err := restore(c.field(to), stored(c.field(from))); err != nil {
			return fmt.Errorf("column %s: %w", c.name, err)
		}
	}
	return nil
}

// assignments returns "a = $1, b = $2".
func assignments[T any](columns []column[T]) string {
	terms := make([]string, len(columns))
	for i, c := range columns {
		terms[i] = c.name + " = " + placeholder(i+1)
	}
	return strings.Join(terms, ", ")
}

// placeholder returns "$n".
func placeholder(n int) string { return "$" + strconv.Itoa(n) }

// placeholders returns n placeholders: "$first, $first+1, …".
func placeholders(first, n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = placeholder(first + i)
	}
	return strings.Join(all, ", ")
}
