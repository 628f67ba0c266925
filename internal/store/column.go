package store

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// maxText bounds what a stranger's header may put into a row.
const maxText = 512

// ms is a time as it is stored: Unix milliseconds, 0 for none.
func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func at(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// stamp scans a stored time.
type stamp struct{ t *time.Time }

// Scan reads Unix milliseconds.
func (s stamp) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("store: a time cannot be read from %T", v)
	}
	*s.t = at(n)
	return nil
}

// span scans a stored duration.
type span struct{ d *time.Duration }

// Scan reads milliseconds.
func (s span) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("store: a duration cannot be read from %T", v)
	}
	*s.d = time.Duration(n) * time.Millisecond
	return nil
}

// words scans a space-separated list.
type words struct{ list *[]string }

// Scan splits; an empty text is no list at all.
func (w words) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("store: a list cannot be read from %T", v)
	}
	*w.list = nil
	if s != "" {
		*w.list = strings.Fields(s)
	}
	return nil
}

// raw scans stored JSON.
type raw struct{ json *json.RawMessage }

// Scan copies; an empty text is no JSON at all.
func (r raw) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("store: JSON cannot be read from %T", v)
	}
	*r.json = nil
	if s != "" {
		*r.json = json.RawMessage(s)
	}
	return nil
}

func join(list []string) string { return strings.Join(list, " ") }

// orNull is NULL for "", where a column points to another table or must be unique.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// clean makes a stranger's text storable on every engine: valid UTF-8 without NUL, of bounded length.
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

// params writes $from … $(from+n-1).
func params(from, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", from+i)
	}
	return b.String()
}
