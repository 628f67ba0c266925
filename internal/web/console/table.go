package console

import (
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
)

// Table is a list of things: one row each, with a link to its page.
type Table struct {
	Caption string // what the table lists, for assistive technology
	Columns []Column
	Rows    []Row
	Picks   bool // each row has a check box, for the forms of bulk actions
}

// Column is a column of a table.
type Column struct {
	Name string
	Wide bool // hidden where the page is narrow
	Num  bool // numbers, which stand at the end
	Sort Sort
}

// Sort is what the heading of a column does.
type Sort struct {
	URL     string // sorts by the column, or turns the order around; "" where it cannot
	Current string // ascending or descending, or ""
}

// Row is one thing of a table.
type Row struct {
	ID    string // in the name of the check box
	Name  string // what assistive technology calls the row
	Cells []Cell
	Do    []Button // what can be done with the thing at once
	Links []Link   // pages that ask before they do something with the thing
}

// Cell is what a row says in a column.
type Cell struct {
	Text  string
	Sub   string // a second line
	URL   string // of our own; Text is a link
	Code  bool   // Text is an identifier
	Badge string // tone of a badge: good, bad, warn or plain; "" for plain text
	Time  Moment // instead of Text
	Mark  string // initials before the text
	Never string // stands for a time that is not known
}

// cells of a table.
func textCell(s string) Cell             { return Cell{Text: s} }
func codeCell(s string) Cell             { return Cell{Text: s, Code: true} }
func badgeCell(tone, text string) Cell   { return Cell{Badge: tone, Text: text} }
func linkCell(text, address string) Cell { return Cell{Text: text, URL: address} }

// timeCell returns a time, or never for a time that is not known.
func (b Base) timeCell(t time.Time, never string) Cell {
	return Cell{Time: b.When(t), Never: never}
}

// acts reports whether a row has a button.
func (t *Table) acts() bool {
	for i := range t.Rows {
		if len(t.Rows[i].Do) > 0 {
			return true
		}
	}
	return false
}

// Search is the form that searches and filters a list. It is sent with GET, so that its address can
// be shared.
type Search struct {
	Action  string
	Label   string // of the search box; "" where there is none
	Text    string
	Hint    string // in the empty box
	Texts   []TextFilter
	Filters []Filter // lists to choose from
	Keep    []Pair   // further parameters of the address
	Active  bool     // something is searched or filtered
}

// TextFilter is an input of a filter.
type TextFilter struct{ Name, Label, Value, Hint string }

// Filter is a list of one filter's values; the first means all.
type Filter struct {
	Name, Label string
	Choices     []Choice
}

// newFilter returns a filter with the chosen value: pairs of a value and its text.
func newFilter(form url.Values, name, label string, choices ...string) Filter {
	f := Filter{Name: name, Label: label}
	for i := 0; i+1 < len(choices); i += 2 {
		f.Choices = append(f.Choices, Choice{
			Value:  choices[i],
			Text:   choices[i+1],
			Chosen: form.Get(name) == choices[i],
		})
	}
	return f
}

// Pager leads to the other pages of a list.
type Pager struct {
	Total string // "1,204 users" or "more than 10,000 users", or ""
	First string // address of the first page; "" on it
	Next  string // "" on the last page
}

// pageSize is how many things a page lists.
const pageSize = 50

// pageOf returns the page that an address names by a cursor.
func pageOf(form url.Values) admin.Page {
	return admin.Page{Limit: pageSize, Cursor: form.Get("cursor")}
}

// pagerOf leads to the other pages of a list, with the parameters of its address.
func pagerOf[T any](l *admin.List[T], path string, form url.Values, names []string, noun string) Pager {
	p := Pager{Total: count(l.Total, noun)}
	switch {
	case l.AtLeast && l.Total >= admin.MaxTotal:
		p.Total = "more than " + p.Total
	case l.AtLeast: // counted in a part of the list
		p.Total = "at least " + p.Total
	}
	switch l.SortedBy {
	case admin.OrderMatch:
		p.Total += ", too many to sort; by the word that was found"
	case admin.OrderCreated:
		p.Total += ", too many to sort; by creation"
	case admin.OrderLastLogin:
		p.Total += ", too many to sort; by last sign-in"
	}
	if form.Get("cursor") != "" {
		p.First = keep(path, form, names)
	}
	if l.Next != "" {
		p.Next = keep(path, form, names, "cursor", l.Next)
	}
	return p
}

// nothingYet stands for an empty page of a list that goes on, or returns nil: no index serves all
// of its filters, and a page looks at a part of the list.
func nothingYet(n int, p Pager) *Empty {
	if n > 0 || p.Next == "" {
		return nil
	}
	return &Empty{
		Icon:  "search",
		Title: "Nothing found so far",
		Text: "The list is too long to be searched with these filters at once. What was searched so far has no match. " +
			"Search on, or use fewer filters.",
		Link: &Link{"Search on", p.Next},
	}
}

// sortOf returns the order that an address names: that of a column, with a dash before it from the
// greatest on.
func sortOf(form url.Values) admin.Sort {
	by, desc := strings.CutPrefix(form.Get("sort"), "-")
	return admin.Sort{By: by, Desc: desc}
}

// sortBy returns what the heading of a column does: it sorts by the column, and turns the order
// around where the list is sorted by it.
func sortBy(path string, form url.Values, names []string, by string) Sort {
	now := sortOf(form)
	switch {
	case now.By != by:
		return Sort{URL: keep(path, form, names, "sort", by)}
	case now.Desc:
		return Sort{URL: keep(path, form, names, "sort", by), Current: "descending"}
	}
	return Sort{URL: keep(path, form, names, "sort", "-"+by), Current: "ascending"}
}

// keep returns an address with the parameters of the form that are named, and others in their
// place.
func keep(path string, form url.Values, names []string, change ...string) string {
	q := url.Values{}
	for _, n := range names {
		if v := form.Get(n); v != "" {
			q.Set(n, v)
		}
	}
	for i := 0; i+1 < len(change); i += 2 {
		if change[i+1] == "" {
			q.Del(change[i])
		} else {
			q.Set(change[i], change[i+1])
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// Acts reports whether something can be done with a row.
func (t Table) Acts() bool {
	for _, r := range t.Rows {
		if len(r.Do) > 0 || len(r.Links) > 0 {
			return true
		}
	}
	return false
}

// Fact is one line about a thing.
type Fact struct {
	Name string
	Cell Cell
	Note *Cell // a badge after it, or nil
}

// Empty teaches what a list will hold, in the place of a list without rows.
type Empty struct {
	Icon, Title, Text string
	Command           string // makes the first thing, or ""
	Link              *Link  // or nil
}
