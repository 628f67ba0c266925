package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/admin"
)

// show writes a command's output at once: as one JSON document, or as text.
func (c *call) show(doc any, text func(s *table)) error {
	var b bytes.Buffer
	if l, ok := doc.(names); ok && c.quiet {
		all, err := l.names()
		if err != nil {
			return err
		}
		for _, name := range all {
			fmt.Fprintln(&b, printable(name))
		}
	} else if c.json {
		if err := encode(&b, doc, "  "); err != nil {
			return err
		}
	} else {
		s := newTable(&b, c.width, c.now())
		text(s)
		s.flush()
	}
	_, err := c.stdout.Write(b.Bytes())
	return err
}

// listing is the JSON form of all lists.
type listing[T any] struct {
	Data    []T    `json:"data"`
	Total   int    `json:"total"`
	TotalIs string `json:"total_is,omitempty"` // "at_least"
	Next    string `json:"next,omitempty"`     // the cursor of the next page

	SortedBy string `json:"sorted_by,omitempty"` // where the order is not the one that was asked for
}

// names is a document whose items have names, or ids.
type names interface{ names() ([]string, error) }

// names returns the first member of each item, which is its id, or its name where it has no id.
func (l listing[T]) names() ([]string, error) {
	var out []string
	for _, item := range l.Data {
		raw, err := json.Marshal(item)
		if err != nil {
			return nil, err
		}
		dec := json.NewDecoder(bytes.NewReader(raw))
		for range 3 { // the brace, the name of the member, and its value
			token, err := dec.Token()
			if err != nil {
				return nil, err
			}
			if text, ok := token.(string); ok {
				raw = []byte(text)
			}
		}
		out = append(out, string(raw))
	}
	return out, nil
}

// showList writes a page of a list; total counts the items on all pages.
func showList[T any](c *call, data []T, total int, text func(s *table)) error {
	if data == nil {
		data = []T{}
	}
	return c.show(listing[T]{Data: data, Total: total}, text)
}

// showPage writes a page of a long list. Data has its items as they are shown.
func showPage[T, V any](c *call, f listFlags, l *admin.List[T], data []V, text func(s *table)) error {
	if data == nil {
		data = []V{}
	}
	doc := listing[V]{Data: data, Total: l.Total, Next: l.Next, SortedBy: l.SortedBy}
	if l.SortedBy != "" {
		c.note("too many match to be sorted as --sort asks; they come in the order %q", l.SortedBy)
	}
	total := strconv.Itoa(l.Total)
	if l.AtLeast {
		doc.TotalIs = "at_least"
		total = "at least " + total
	}
	return c.show(doc, func(s *table) {
		text(s)
		switch shown := f.Offset + len(l.Items); {
		case l.Next == "":
		case f.Cursor == "" && shown < l.Total && shown <= admin.MaxOffset:
			s.line("%d of %s shown; continue with --offset %d", len(l.Items), total, shown)
		default:
			s.line("%d of %s shown; continue with --cursor %s", len(l.Items), total, l.Next)
		}
	})
}

// done writes what was done: a document for scripts, a sentence for people.
func (c *call) done(doc any, format string, args ...any) error {
	return c.show(doc, func(s *table) { s.line(format, args...) })
}

// note writes a remark for a person on the error stream, in one line. It may quote a server.
func (c *call) note(format string, args ...any) {
	fmt.Fprintf(c.stderr, "%s: note: %s\n", program, printable(fmt.Sprintf(format, args...)))
}

// encode writes JSON without the escapes that only HTML needs.
func encode(w io.Writer, doc any, indent string) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	return enc.Encode(doc)
}

// table is text output in columns. On a terminal it fits the width, and times are ages; everywhere
// else nothing is cut, and times are exact.
type table struct {
	w     *tabwriter.Writer
	rows  [][]string
	width int // of the terminal in columns, or 0
	now   time.Time
}

// newTable returns a table for a terminal of a width, or for no terminal if it is 0.
func newTable(w io.Writer, width int, now time.Time) *table {
	return &table{w: tabwriter.NewWriter(w, 0, 8, columnGap, ' ', 0), width: width, now: now}
}

// columnGap is the number of spaces between two columns.
const columnGap = 2

// flush writes the rows. It cannot fail, because a buffer takes everything.
func (s *table) flush() {
	if s.width > 0 {
		fit(s.rows, s.width)
	}
	for _, row := range s.rows {
		fmt.Fprintln(s.w, strings.Join(row, "\t"))
	}
	s.rows = nil
	_ = s.w.Flush()
}

// row writes one line of a table. An empty cell is a dash, so that scripts can count columns.
func (s *table) row(cells ...string) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		if row[i] = printable(cell); row[i] == "" {
			row[i] = "-"
		}
	}
	s.rows = append(s.rows, row)
}

// when returns a time for a cell: how long ago on a terminal, or else the time itself.
func (s *table) when(t time.Time) string {
	if s.width == 0 || t.IsZero() {
		return timestamp{t}.String()
	}
	if d := s.now.Sub(t); d >= 0 {
		return age(d) + " ago"
	}
	return "in " + age(t.Sub(s.now))
}

// age returns a duration in its largest unit.
func age(d time.Duration) string {
	const day = 24 * time.Hour
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{365 * day, "y"}, {day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if d >= unit.length {
			return strconv.Itoa(int(d/unit.length)) + unit.name
		}
	}
	return strconv.Itoa(int(d/time.Second)) + "s"
}

// minCell is the width to which a column can be cut.
const minCell = 8

// fit cuts the widest columns of a list until it fits a width, or none can be cut any more. Ids are
// never cut, since they are there to be copied, and neither are names beside their values.
func fit(rows [][]string, width int) {
	if len(rows) == 0 || len(rows[0]) <= 2 ||
		slices.ContainsFunc(rows, func(row []string) bool { return len(row) != len(rows[0]) }) {
		return
	}
	widths := make([]int, len(rows[0]))
	total := columnGap * (len(widths) - 1)
	for i := range widths {
		for _, row := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
		total += widths[i]
	}
	for ; total > width; total-- {
		widest := -1
		for i, w := range widths {
			if w > minCell && !isIDColumn(rows[0][i]) && (widest < 0 || w >= widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	for _, row := range rows {
		for i, cell := range row {
			if r := []rune(cell); len(r) > widths[i] {
				row[i] = string(r[:widths[i]-1]) + "…"
			}
		}
	}
}

// isIDColumn reports whether the head of a column says that it has ids.
func isIDColumn(head string) bool { return head == "ID" || strings.HasSuffix(head, " ID") }

// pair writes a name and its value, or nothing if the value is empty.
func (s *table) pair(name, value string) {
	if value != "" {
		s.row(name, value)
	}
}

// line writes a line of text between tables.
func (s *table) line(format string, args ...any) {
	s.flush()
	fmt.Fprintln(s.w, printable(fmt.Sprintf(format, args...)))
	s.flush()
}

// more reports how many items the page leaves out.
func (s *table) more(shown, offset, total int) {
	if offset+shown < total {
		s.line("%d of %d shown; continue with --offset %d", shown, total, offset+shown)
	}
}

// printable replaces control characters, so that text from strangers cannot control the terminal:
// a User-Agent can contain escape sequences. Line breaks and tabs become a space.
func printable(s string) string {
	s = strings.NewReplacer("\r\n\t", " ", "\n\t", " ", "\r\n", " ", "\n", " ", "\t", " ").Replace(s)
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == zeroWidthJoiner {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// zeroWidthJoiner joins several emoji into one, and letters of some scripts.
const zeroWidthJoiner = '\u200d'

// timestamp is a time that may be missing: null in JSON.
type timestamp struct{ time.Time }

// MarshalJSON writes RFC 3339 in UTC.
func (t timestamp) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return strconv.AppendQuote(nil, t.String()), nil
}

// String returns RFC 3339 in UTC, or "" for a missing time.
func (t timestamp) String() string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// orEmpty returns a list that is [] in JSON even when it has no items.
func orEmpty(list []string) []string {
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
