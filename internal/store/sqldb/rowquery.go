package sqldb

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// A RowQuery is a SELECT of one row with many columns, for DB.Read. SQLite's driver spends more
// time on each column, on its name and its declared type, than SQLite on the row. There, the
// columns are read as one text.
type RowQuery struct {
	text    string // for PostgreSQL, and on SQLite for values that contain the separator
	joined  string // for SQLite
	columns int
}

// separator stands between the columns of a joined row: U+001F, the unit separator of ASCII.
const separator = "\x1f"

// NewRowQuery returns the query "SELECT columns rest". None of the columns may be NULL, be a blob
// or have a fraction.
func NewRowQuery(columns []string, rest string) *RowQuery {
	list := strings.Join(columns, ", ")
	return &RowQuery{
		text:    "SELECT " + list + " " + rest,
		joined:  "SELECT concat_ws(char(31), " + list + ") " + rest,
		columns: len(columns),
	}
}

// String returns the query, for use in a transaction.
func (q *RowQuery) String() string { return q.text }

// An IntegerScanner is a Scanner of a column of integers.
type IntegerScanner interface {
	Scan(v any) error
	// ScansInteger tells the two kinds of scanners apart; it does nothing.
	ScansInteger()
}

// scanJoined stores the columns of a joined row. It reports false, and stores nothing, if the row
// cannot be taken apart, because a value contains the separator.
func scanJoined(dest []any, row string, columns int) (ok bool, err error) {
	if len(dest) != columns {
		return true, fmt.Errorf("sqldb: %d columns do not fit %d destinations", columns, len(dest))
	}
	if strings.Count(row, separator) != columns-1 {
		return false, nil
	}
	for i, d := range dest {
		var value string
		value, row, _ = strings.Cut(row, separator)
		if err := assignText(d, value); err != nil {
			return true, fmt.Errorf("column %d: %w", i+1, err)
		}
	}
	return true, nil
}

// assignText stores the text of a value, which is that of an integer where the destination is one.
func assignText(dest any, text string) error {
	switch d := dest.(type) {
	case *string:
		*d = text
		return nil
	case *int64, *int, *bool, IntegerScanner:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("sqldb: a text does not fit a destination of %T", dest)
		}
		return assign(dest, n)
	case scanner:
		return d.Scan(text)
	}
	if v := reflect.ValueOf(dest); v.Kind() == reflect.Pointer && v.Elem().CanInt() {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("sqldb: a text does not fit a destination of %T", dest)
		}
		return assignKind(dest, n)
	}
	return assignKind(dest, text)
}
