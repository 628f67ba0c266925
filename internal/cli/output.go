package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// show writes a command's answer at once: as one JSON document, or as text.
func (c *call) show(doc any, text func(s *sheet)) error {
	var b bytes.Buffer
	if c.json {
		if err := encode(&b, doc, "  "); err != nil {
			return err
		}
	} else {
		s := newSheet(&b)
		text(s)
		s.flush()
	}
	_, err := c.stdout.Write(b.Bytes())
	return err
}

// page is the form of all lists.
type page[T any] struct {
	Data  []T `json:"data"`
	Total int `json:"total"`
}

// showList writes a list; total counts what there is beyond this page, too.
func showList[T any](c *call, data []T, total int, text func(s *sheet)) error {
	if data == nil {
		data = []T{}
	}
	return c.show(page[T]{data, total}, text)
}

// done writes what was done to something, in a word for scripts and in a sentence for people.
func (c *call) done(doc any, format string, args ...any) error {
	return c.show(doc, func(s *sheet) { s.line(format, args...) })
}

// note tells a person something besides the answer.
func (c *call) note(format string, args ...any) {
	fmt.Fprintf(c.stderr, program+": note: "+format+"\n", args...)
}

// encode writes JSON as it is, without the escapes that only HTML needs.
func encode(w io.Writer, doc any, indent string) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	return enc.Encode(doc)
}

// sheet is text in columns.
type sheet struct{ w *tabwriter.Writer }

func newSheet(w io.Writer) *sheet { return &sheet{tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)} }

func (s *sheet) flush() { _ = s.w.Flush() } // into a buffer, which takes everything

// row writes one line of a table; what is empty shows as a dash, so that columns can be counted.
func (s *sheet) row(cells ...string) {
	for i, cell := range cells {
		if cell = printable(cell); cell == "" {
			cell = "-"
		}
		if i > 0 {
			fmt.Fprint(s.w, "\t")
		}
		fmt.Fprint(s.w, cell)
	}
	fmt.Fprintln(s.w)
}

// pair writes a name and its value, unless that is empty.
func (s *sheet) pair(name, value string) {
	if value != "" {
		s.row(name, value)
	}
}

// line writes a sentence between tables.
func (s *sheet) line(format string, args ...any) {
	s.flush()
	fmt.Fprintln(s.w, printable(fmt.Sprintf(format, args...)))
	s.flush()
}

// more says what the page leaves out.
func (s *sheet) more(shown, offset, total int) {
	if offset+shown < total {
		s.line("%d of %d shown; go on with --offset %d", shown, total, offset+shown)
	}
}

// printable keeps what strangers typed from steering the terminal: a User-Agent can hold escape sequences.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == ' ' {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// when is a time that may be missing: null in JSON.
type when struct{ time.Time }

// MarshalJSON writes RFC 3339 in UTC.
func (w when) MarshalJSON() ([]byte, error) {
	if w.IsZero() {
		return []byte("null"), nil
	}
	return strconv.AppendQuote(nil, w.String()), nil
}

// String is RFC 3339 in UTC, or "".
func (w when) String() string {
	if w.IsZero() {
		return ""
	}
	return w.UTC().Format(time.RFC3339)
}

// life is a duration in seconds; null in JSON where the server's setting counts.
type life time.Duration

// MarshalJSON writes seconds.
func (l life) MarshalJSON() ([]byte, error) {
	if l == 0 {
		return []byte("null"), nil
	}
	return strconv.AppendInt(nil, int64(time.Duration(l)/time.Second), 10), nil
}

// String is a form like 1h30m, or "".
func (l life) String() string {
	if l == 0 {
		return ""
	}
	s := time.Duration(l).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// words gives a list that is [] in JSON even when it is empty.
func words(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
