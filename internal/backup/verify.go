package backup

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Problem is a value that not every engine can store.
type Problem struct {
	Table  string `json:"table"`
	Column string `json:"column"`
	Row    string `json:"row"` // the first column of its row
	Text   string `json:"text"`
}

// maxProblems bounds how many problems are listed.
const maxProblems = 100

// Check returns what is wrong with a row for some engine.
func (t *Table) Check(values []any) []Problem {
	var found []Problem
	for i, v := range values {
		text := wrong(t.Columns[i].Type, v)
		if text == "" {
			continue
		}
		found = append(found, Problem{t.Name, t.Columns[i].Name, rowName(values[0]), text})
	}
	return found
}

func wrong(typ string, v any) string {
	switch x := v.(type) {
	case string:
		switch {
		case typ != TypeText:
			return "text in a column of another type"
		case strings.IndexByte(x, 0) >= 0:
			return "text with the character U+0000, which PostgreSQL refuses"
		case !utf8.ValidString(x):
			return "text that is not valid UTF-8, which PostgreSQL refuses"
		}
	case int64:
		if typ == TypeText || typ == TypeBool && x != 0 && x != 1 {
			return "a number in a column of another type"
		}
	case bool:
		if typ != TypeBool {
			return "a truth value in a column of another type"
		}
	}
	return ""
}

func rowName(v any) string {
	switch x := v.(type) {
	case string:
		return strings.ToValidUTF8(strings.ReplaceAll(x[:min(len(x), 80)], "\x00", "\\0"), "\\?")
	case int64:
		return strconv.FormatInt(x, 10)
	}
	return ""
}

// Verify reads a file to its end, after Begin, and returns what it would not be able to restore
// into every engine.
func (b *Reader) Verify(key []byte) ([]Problem, error) {
	var found []Problem
	for {
		t, err := b.NextTable()
		if err != nil {
			return found, err
		}
		if t == nil {
			return found, b.Close(key)
		}
		for {
			values, err := b.Row()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return found, err
			}
			if len(found) < maxProblems {
				found = append(found, t.Check(values)...)
			}
		}
	}
}
