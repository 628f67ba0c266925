package admin

import (
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Bounds of lists.
const (
	MaxPage     = 1000   // the longest page, in items
	DefaultPage = 50     // the length of a page where none is named
	MaxOffset   = 10_000 // where a page may begin by number; a cursor goes further
	MaxTotal    = 10_000 // up to here totals are exact without being asked for
)

// Page selects a part of a list. The zero value is the first page.
type Page struct {
	Limit  int    // 0: DefaultPage
	Offset int    // at most MaxOffset; ignored with a cursor
	Cursor string // List.Next of the page before, or ""
	Exact  bool   // count all, however long it takes
}

// List is a page of things.
type List[T any] struct {
	Items   []T
	Total   int    // how many the query selects on all pages
	AtLeast bool   // Total is a lower bound
	Next    string // the cursor of the next page, or "" at the end
	// Order is what the items are sorted by. It is OrderMatch, whatever was asked for, where a
	// search finds more than can be sorted.
	Order string
	// SortedBy is Order where another one was asked for, or "".
	SortedBy string
}

// requestedBy notes in which order a list was requested, "" for any.
func (l *List[T]) requestedBy(by string) {
	if by != "" && l.Order != by {
		l.SortedBy = l.Order
	}
}

// Orders of lists.
const (
	OrderCreated   = "created"
	OrderName      = "name"
	OrderLastLogin = "last_login"
	OrderMatch     = "match" // by the word that was found
)

// Sort is the order that a list is asked for in.
type Sort struct {
	By   string // one of the Order constants, or "" for the usual one of the list
	Desc bool
}

// TimeRange selects times from From up to, but not including, Until. A zero time is no bound.
type TimeRange struct{ From, Until time.Time }

// IsZero reports whether the range has no bound.
func (r TimeRange) IsZero() bool { return r.From.IsZero() && r.Until.IsZero() }

// Position is where a page of a list ended. A cursor is a sealed Position.
type Position struct {
	Plan    string `json:"p,omitempty"` // how the list was read
	Text    string `json:"t,omitempty"` // the last item's value of the sort column, if that is a text
	Number  int64  `json:"n,omitempty"` // the same, if it is a number
	ID      string `json:"i"`           // the last item's id
	Total   int    `json:"c"`
	AtLeast bool   `json:"l,omitempty"`
}

// Rows is what storage returns of a list.
type Rows[T any] struct {
	Items   []T
	Total   int
	AtLeast bool
	Next    *Position // nil at the end
	Order   string
}

// listQuery reads a page of a list. The hash of filter, a value that JSON can encode, binds the
// cursor to the query.
func listQuery[T any](o *Operations, kind string, filter any, p Page,
	read func(p Page, after *Position) (Rows[T], error),
) (*List[T], error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if p.Limit == 0 {
		p.Limit = DefaultPage
	}
	seal := cursorSeal{o, kind + "\x00" + filterHash(filter)}
	var after *Position
	if p.Cursor != "" {
		var err error
		if after, err = seal.open(p.Cursor); err != nil {
			return nil, err
		}
		p.Offset = 0
	}
	rows, err := read(p, after)
	if err != nil {
		return nil, err
	}
	out := &List[T]{Items: rows.Items, Total: rows.Total, AtLeast: rows.AtLeast, Order: rows.Order}
	if rows.Next != nil {
		out.Next = seal.seal(rows.Next)
	}
	return out, nil
}

func (p Page) check() error {
	switch {
	case p.Limit < 0 || p.Limit > MaxPage:
		return fault.InvalidField("limit", "a page has at most %d items", MaxPage)
	case p.Offset < 0 || p.Offset > MaxOffset:
		return fault.InvalidField("offset", "an offset is at most %d; go further with the cursor of the page before",
			MaxOffset)
	}
	return nil
}

// filterHash returns a hash of a query without its page.
func filterHash(filter any) string {
	text, err := json.Marshal(filter)
	if err != nil { // not for the queries of this package
		panic(err)
	}
	sum := sha256.Sum256(text)
	return string(sum[:])
}

// cursorSeal seals the positions of one query.
type cursorSeal struct {
	o       *Operations
	context string
}

func (c cursorSeal) seal(p *Position) string {
	text, err := json.Marshal(p)
	if err != nil { // not for texts and numbers
		panic(err)
	}
	return c.o.parts.Keys.Box("list").Seal(text, c.context)
}

func (c cursorSeal) open(cursor string) (*Position, error) {
	text, err := c.o.parts.Keys.Box("list").Open(cursor, c.context)
	p := new(Position)
	if err == nil {
		err = json.Unmarshal(text, p)
	}
	if err != nil {
		return nil, fault.InvalidField("cursor", "the cursor belongs to another list, filter or order; begin without it")
	}
	return p, nil
}

// checkSort returns the order of a list, or what is wrong with it. The first of the orders is the
// usual one.
func checkSort(s Sort, orders ...string) (Sort, error) {
	if s.By == "" {
		s.By = orders[0]
	}
	if !slices.Contains(orders, s.By) {
		return s, fault.InvalidField("sort", "there is no order %q; the orders are %s", s.By, strings.Join(orders, ", "))
	}
	return s, nil
}

// CheckVersion returns fault.Stale if a change expects another version of a thing than it has. The
// names are those of the requested fields that differ. An expected version of 0 accepts any.
func CheckVersion(expected, current int64, differ []string) error {
	if expected == 0 || expected == current {
		return nil
	}
	return &fault.Error{
		Kind:   fault.Stale,
		Reason: ReasonVersion,
		Text:   "it has been changed meanwhile; read it again, and repeat the change if it is still wanted",
		At:     current,
		Fields: differ,
	}
}
