package store

import (
	"strconv"
	"strings"
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

// has adds a substring search of a normalised key column, if text is not empty.
func (w *where) has(column, text string) {
	text = strings.ToLower(strings.TrimSpace(text))
	if text == "" {
		return
	}
	pattern := "%" + strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(text) + "%"
	w.terms = append(w.terms, column+" LIKE "+w.param(pattern)+" ESCAPE '!'")
}

// param adds a parameter and gives its name.
func (w *where) param(arg any) string {
	w.args = append(w.args, arg)
	return "$" + strconv.Itoa(len(w.args))
}

// String is the WHERE clause, or "".
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
