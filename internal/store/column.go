package store

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// maxText is the most bytes that a text from a request may take up in a row.
const maxText = 512

// A codec is a field whose stored form is another type. Scan sets the field from its stored form,
// and stored returns that form: nil, a string, an int64 or a bool.
//
// Every codec is a struct of one pointer, so that turning it into an interface allocates nothing.
type codec interface {
	Scan(v any) error
	stored() any
}

// stored returns the stored form of what a column's field function returned: of a codec or of a
// pointer to a string, bool, int or int64.
func stored(field any) any {
	switch p := field.(type) {
	case *string:
		return *p
	case *bool:
		return *p
	case *int:
		return int64(*p)
	case *int64:
		return *p
	case codec:
		return p.stored()
	}
	panic(fmt.Sprintf("store: a column cannot hold a %T", field))
}

// restore sets a field from its stored form.
func restore(field, v any) error {
	switch p := field.(type) {
	case *string:
		*p = v.(string)
	case *bool:
		*p = v.(bool)
	case *int:
		*p = int(v.(int64))
	case *int64:
		*p = v.(int64)
	case codec:
		return p.Scan(v)
	}
	return nil
}

// unixMilli returns the stored form of a time: Unix milliseconds, 0 for the zero time.
func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// fromMilli returns the time of Unix milliseconds in UTC, and the zero time for 0.
func fromMilli(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// unixMillis is a time, stored as Unix milliseconds; 0 is the zero time.
type unixMillis struct{ t *time.Time }

// Scan reads Unix milliseconds.
func (c unixMillis) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("store: a time cannot be read from %T", v)
	}
	*c.t = fromMilli(n)
	return nil
}

// ScansInteger marks the column as one of integers.
func (c unixMillis) ScansInteger() {}

func (c unixMillis) stored() any { return unixMilli(*c.t) }

// millis is a duration, stored in milliseconds.
type millis struct{ d *time.Duration }

// Scan reads milliseconds.
func (c millis) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("store: a duration cannot be read from %T", v)
	}
	*c.d = time.Duration(n) * time.Millisecond
	return nil
}

// ScansInteger marks the column as one of integers.
func (c millis) ScansInteger() {}

func (c millis) stored() any { return c.d.Milliseconds() }

// spaceList is a list of words, stored with spaces between them. An empty text is a nil list.
type spaceList struct{ list *[]string }

// Scan splits the text at its spaces.
func (c spaceList) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("store: a list cannot be read from %T", v)
	}
	*c.list = nil
	if s != "" {
		*c.list = strings.Fields(s)
	}
	return nil
}

func (c spaceList) stored() any { return strings.Join(*c.list, " ") }

// jsonText is JSON, stored as it is. An empty text is nil.
type jsonText struct{ raw *json.RawMessage }

// Scan copies the text.
func (c jsonText) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("store: JSON cannot be read from %T", v)
	}
	*c.raw = nil
	if s != "" {
		*c.raw = json.RawMessage(s)
	}
	return nil
}

func (c jsonText) stored() any { return string(*c.raw) }

// optional is a string that is stored as NULL when it is empty: where a column refers to another
// table.
type optional struct{ s *string }

// Scan reads a text or NULL.
func (c optional) Scan(v any) error {
	s, ok := v.(string)
	if !ok && v != nil {
		return fmt.Errorf("store: a text cannot be read from %T", v)
	}
	*c.s = s
	return nil
}

func (c optional) stored() any { return orNull(*c.s) }

// cleanText is a string that came with a request, such as a User-Agent. It is cleaned when it is
// stored.
type cleanText struct{ s *string }

// Scan reads a text.
func (c cleanText) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("store: a text cannot be read from %T", v)
	}
	*c.s = s
	return nil
}

func (c cleanText) stored() any { return clean(*c.s) }

// orNull returns nil for "": for a column that refers to another table or must be unique.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// clean returns a text that every engine can store: valid UTF-8 without NUL, at most maxText
// bytes.
func clean(s string) string {
	if len(s) <= maxText && utf8.ValidString(s) && !strings.ContainsRune(s, 0) {
		return s
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
	for len(s) > maxText {
		_, size := utf8.DecodeLastRuneInString(s[:maxText])
		s = s[:maxText-size]
	}
	return s
}
