package store

import (
	"context"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// edge returns the place n rows after a position, or nil if there are fewer.
func (l *listing[T]) edge(
	ctx context.Context, c sqldb.Conn, use plan, after *admin.Position, n int,
) (*admin.Position, error) {
	w := where{}
	l.bounds(&w, use, after)
	name := l.driver(use) + "."
	text := "SELECT " + name + use.column + ", " + name + "id FROM " + l.driver(use) + w.String() + l.orderOf(use) +
		" LIMIT 1 OFFSET " + w.param(n-1)
	var at *admin.Position
	err := each(ctx, c, func(r sqldb.Row) error {
		place, err := scanPlace(r, use.column)
		at = &place
		return err
	}, text, w.args...)
	return at, err
}

// found is a row of a walk with its place.
type found[T any] struct {
	value *T
	at    admin.Position
}

// walk reads a page in the order of an index. Where rows are filtered it looks at no more of them
// than looksAt says beyond the offset; the page may be short then. Whole reports that it has looked
// at as many, or come to the end.
func (l *listing[T]) walk(
	ctx context.Context, c sqldb.Conn, use plan, p admin.Page, after *admin.Position, out *admin.Rows[T],
) (whole bool, err error) {
	var edge *admin.Position
	if l.filtered(use) {
		if edge, err = l.edge(ctx, c, use, after, l.looksAt(use)+p.Offset); err != nil {
			return false, err
		}
	}
	n, skip := int(limit(p.Limit)), p.Offset
	for {
		want := n - len(out.Items) + 1
		offset := 0
		if !use.terms && !l.keeps(use) {
			offset, skip = skip, 0 // every row counts
		}
		rows, err := l.window(ctx, c, use, span{after, edge, want + skip, offset})
		if err != nil {
			return false, err
		}
		for i, r := range rows {
			after = &rows[i].at
			if use.terms && !l.firstTerm(use, r) || !l.matches(use, r.value) {
				continue
			}
			if skip > 0 {
				skip--
				continue
			}
			if len(out.Items) == n {
				return false, nil // Next is the place of the last item
			}
			out.Items = append(out.Items, *r.value)
			out.Next = &rows[i].at
		}
		if len(rows) < want+skip {
			out.Next = edge // nil: the end
			return true, nil
		}
	}
}

// firstTerm reports whether the term of a row is the first one of the thing that has the prefix: a
// thing with several is listed once.
func (l *listing[T]) firstTerm(use plan, r found[T]) bool {
	t, ok := any(r.value).(interface{ Terms() []string })
	if !ok {
		return true
	}
	p := l.postings[use.lead]
	if p.exact {
		return true
	}
	for _, term := range t.Terms() {
		if strings.HasPrefix(term, p.prefix) && term < r.at.Text {
			return false
		}
	}
	return true
}

// span is a part of a walk: n rows, or fewer, between two places, or from and to the ends.
type span struct {
	after, edge *admin.Position
	n, offset   int
}

// window reads a part of a walk.
func (l *listing[T]) window(ctx context.Context, c sqldb.Conn, use plan, in span) (out []found[T], err error) {
	after, edge, n, offset := in.after, in.edge, in.n, in.offset
	w := where{}
	l.bounds(&w, use, after)
	if edge != nil {
		w.terms = append(w.terms, l.compare(&w, use, l.operator(use, "<="), edge))
	}
	text := "SELECT " + l.table.qualified()
	if use.terms {
		text += ", " + l.terms + ".term FROM " + l.terms + " CROSS JOIN " + l.table.name
		w.terms = append(w.terms, l.table.name+".id = "+l.terms+".id")
	} else {
		text += " FROM " + l.table.name
	}
	rest := l.remaining(&w, use)
	w.hideFromIndexes(len(w.terms) - rest)
	text += w.String() + l.orderOf(use) + " LIMIT " + w.param(n) + " OFFSET " + w.param(offset)
	err = each(ctx, c, func(r sqldb.Row) error {
		v := new(T)
		at := admin.Position{}
		dest := l.table.dest(nil, v)
		if use.terms {
			dest = append(dest, &at.Text)
		}
		if err := r.Scan(dest...); err != nil {
			return err
		}
		place := l.key(v)
		at.ID = place.ID
		if !use.terms {
			at = l.place(use, v)
		}
		out = append(out, found[T]{v, at})
		return nil
	}, text, w.args...)
	return out, err
}

// remaining adds the conditions that bounds has not, and returns how many these are.
func (l *listing[T]) remaining(w *where, use plan) int {
	before, conditions := len(w.terms), l.filters
	if use.column != l.sort {
		conditions = slices.Concat(l.served, l.filters)
	}
	for _, f := range conditions {
		w.terms = append(w.terms, f(w))
	}
	for i, p := range l.postings {
		if !l.bounded(use, i) && p.match != nil {
			w.terms = append(w.terms, p.match(w))
		}
	}
	return len(w.terms) - before
}

// hideFromIndexes makes that an engine checks conditions, from the i-th on, row by row. An index
// that serves one of them would make it leave the order of a walk, and read all that it serves.
func (w *where) hideFromIndexes(i int) {
	for ; i < len(w.terms); i++ {
		w.terms[i] = "CASE WHEN " + w.terms[i] + " THEN 1 ELSE 0 END = 1"
	}
}

// place returns where a row stands in a walk along a column.
func (l *listing[T]) place(use plan, v *T) admin.Position {
	if use.column == l.sort {
		return l.key(v)
	}
	at := l.key(v)
	i := slices.IndexFunc(l.table.columns, func(c column[T]) bool { return c.name == use.column })
	n, _ := stored(l.table.columns[i].field(v)).(int64)
	return admin.Position{Number: n, ID: at.ID}
}

// total counts the list: exactly up to admin.MaxTotal, or all if asked. Where rows are filtered it
// looks at no more of them than looksAt says, unless asked.
func (l *listing[T]) total(
	ctx context.Context, c sqldb.Conn, use plan, exact bool,
) (n int, atLeast bool, err error) {
	filtered := l.filtered(use)
	if l.count != "" && use.lead < 0 && !filtered && len(l.served) == 0 {
		n, err = countOf(ctx, c, l.count)
		return n, false, err
	}
	if l.keeps(use) {
		return l.countMatching(ctx, c, use, exact)
	}
	most, different := admin.MaxTotal+1, "COUNT(*)"
	var edge *admin.Position
	if filtered && !exact {
		if edge, err = l.edge(ctx, c, use, nil, l.looksAt(use)); err != nil {
			return 0, false, err
		}
	}
	w := where{}
	l.bounds(&w, use, nil)
	if edge != nil {
		w.terms = append(w.terms, l.compare(&w, use, l.operator(use, "<="), edge))
	}
	from, rest := " FROM "+l.driver(use), l.remaining(&w, use)
	if !exact {
		w.hideFromIndexes(len(w.terms) - rest)
	}
	if rest > 0 && use.terms { // else the terms alone are counted
		from += " CROSS JOIN " + l.table.name
		w.terms = append(w.terms, l.table.name+".id = "+l.terms+".id")
	}
	if use.terms && !l.postings[use.lead].exact {
		most *= 2 // a thing may have several terms with the prefix
		different = "COUNT(DISTINCT id)"
	}
	text := "SELECT " + l.driver(use) + ".id" + from + w.String()
	if !exact {
		text += l.orderOf(use) + " LIMIT " + w.param(most)
	}
	var rows int
	text = "SELECT COUNT(*), " + different + " FROM (" + text + ") found"
	if err := c.Row(ctx, text, w.args...).Scan(&rows, &n); err != nil {
		return 0, false, err
	}
	if !exact && (n > admin.MaxTotal || rows == most) {
		return min(n, admin.MaxTotal), true, nil
	}
	return n, edge != nil, nil
}

// countMatching counts a list whose rows must be looked at one by one.
func (l *listing[T]) countMatching(
	ctx context.Context, c sqldb.Conn, use plan, exact bool,
) (n int, atLeast bool, err error) {
	var after, edge *admin.Position
	if !exact {
		if edge, err = l.edge(ctx, c, use, nil, l.looksAt(use)); err != nil {
			return 0, false, err
		}
	}
	for {
		rows, err := l.window(ctx, c, use, span{after: after, edge: edge, n: scanWindow})
		if err != nil {
			return n, false, err
		}
		for i, r := range rows {
			after = &rows[i].at
			if l.matches(use, r.value) && (!use.terms || l.firstTerm(use, r)) {
				n++
			}
		}
		if len(rows) < scanWindow || edge != nil {
			return n, edge != nil, nil
		}
	}
}
