package store

import (
	"context"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// Bounds of the work for one page of a list.
const (
	// smallPosting is how many rows are read and sorted for a page. Where an index finds more, the
	// list is read in the order of an index.
	smallPosting = 1000
	// scanWindow is how many rows are looked at for a page, and for the total, where no index
	// serves the whole filter, and half of them in the order of words. The page may be short then,
	// and the next one goes on.
	scanWindow = 5000
	// wideWindow is the same for rows as wide as those of users. In another order than that of
	// their creation, where each row is in another part of the table, a page looks at half as
	// many, in that of words at a quarter, and where the rows must be looked at one by one, at a
	// tenth.
	wideWindow = 2000
)

// A condition adds its parameters to a statement and returns its text.
type condition func(w *where) string

// equal returns the condition that a column has a value.
func equal(column string, value any) condition {
	return func(w *where) string { return column + " = " + w.param(value) }
}

// literal returns a condition without parameters.
func literal(text string) condition { return func(*where) string { return text } }

// A posting is a condition with an index of its own.
type posting struct {
	ids   condition // a SELECT of the ids that it selects, which may repeat
	match condition // the same as a condition on a row of the table, or nil with keep
	most  int       // how many ids are read and sorted; 0: smallPosting

	// How a list is read where there are more: in the order of the terms, or of a column whose
	// index has match as its predicate or as its range. With neither, rows are filtered.
	prefix string // of terms
	exact  bool   // prefix is the whole term
	column string
	span   bool // match is a range of column

	keep func(any) bool // what match says, for a pointer to a row, where no statement can say it
}

// A listing reads the pages of a list, and counts it, by one set of conditions. T is a row.
type listing[T any] struct {
	table *table[T]
	terms string // the table of terms, or ""
	// count is the name of a counter of all rows, or "".
	count string
	sort  string // a column that is unique with the id, or the id itself
	order string // what callers call it
	desc  bool

	// steady lists are read in an order that does not change while they are: not by the last
	// sign-in, which would list again who signs in meanwhile.
	steady bool

	wide bool // the rows are

	served   []condition // conditions that the index on sort serves
	filters  []condition // other conditions on columns
	postings []posting
	key      func(*T) admin.Position
}

// Plans of reading a list. That of a posting ends in its number.
const (
	planSort   = "s"
	planSmall  = "c"
	planTerms  = "t"
	planColumn = "p"
)

// plan is how a list is read: which posting leads, and the order.
type plan struct {
	name   string
	lead   int // index of the leading posting, or -1
	column string
	terms  bool // the order is that of the terms
}

// read returns a page that follows a position, nil for the first page.
func (l *listing[T]) read(
	ctx context.Context, c sqldb.Conn, p admin.Page, after *admin.Position,
) (out admin.Rows[T], err error) {
	use, err := l.plan(ctx, c, after)
	if err != nil {
		return out, err
	}
	out.Order = l.orderName(use)
	if use.name[:1] == planSmall {
		return out, l.readSmall(ctx, c, use, p, after, &out)
	}
	whole, err := l.walk(ctx, c, use, p, after, &out)
	if err != nil {
		return out, err
	}
	switch {
	case after != nil && !p.Exact:
		out.Total, out.AtLeast = after.Total, after.AtLeast
	case whole && after == nil && p.Offset == 0 && !p.Exact: // what the count would look at
		out.Total, out.AtLeast = len(out.Items), out.Next != nil
	default:
		out.Total, out.AtLeast, err = l.total(ctx, c, use, p.Exact)
	}
	// A page may know of more than the count has looked at.
	if seen := p.Offset + len(out.Items); out.AtLeast && out.Total < seen {
		out.Total = seen
	}
	l.finish(use, &out)
	return out, err
}

// next returns a page as read does, without counting.
func (l *listing[T]) next(
	ctx context.Context, c sqldb.Conn, p admin.Page, after *admin.Position,
) (out admin.Rows[T], err error) {
	use, err := l.plan(ctx, c, after)
	if err != nil {
		return out, err
	}
	if use.name[:1] == planSmall {
		return out, l.readSmall(ctx, c, use, p, after, &out)
	}
	_, err = l.walk(ctx, c, use, p, after, &out)
	l.finish(use, &out)
	return out, err
}

// orderName returns what callers call the order in which a list is read.
func (l *listing[T]) orderName(use plan) string {
	switch {
	case use.terms && l.postings[use.lead].exact: // by the ids, which are in order of time
		return admin.OrderCreated
	case use.terms:
		return admin.OrderMatch
	case use.column == l.sort:
		return l.order
	case use.column == "last_login_at":
		return admin.OrderLastLogin
	}
	return admin.OrderCreated
}

// finish adds to the next position what all positions of a list have in common.
func (l *listing[T]) finish(use plan, out *admin.Rows[T]) {
	if out.Next != nil {
		out.Next.Plan, out.Next.Total, out.Next.AtLeast = use.name, out.Total, out.AtLeast
	}
}

// plan returns how the list is read: as the page before, or by the counts of the postings.
func (l *listing[T]) plan(ctx context.Context, c sqldb.Conn, after *admin.Position) (plan, error) {
	if after != nil {
		return l.planNamed(after.Plan), nil
	}
	lead, least := -1, 0
	for i, p := range l.postings {
		n, err := p.size(ctx, c)
		if err != nil {
			return plan{}, err
		}
		if n <= p.limit() && (lead < 0 || n < least) {
			lead, least = i, n
		}
	}
	if lead >= 0 {
		return l.planNamed(planSmall + string(rune('0'+lead))), nil
	}
	for i, p := range l.postings {
		if p.prefix != "" {
			return l.planNamed(planTerms + string(rune('0'+i))), nil
		}
	}
	for i, p := range l.postings {
		if p.column != "" && !(l.steady && p.column == "last_login_at") {
			return l.planNamed(planColumn + string(rune('0'+i))), nil
		}
	}
	return l.planNamed(planSort), nil
}

func (l *listing[T]) planNamed(name string) plan {
	use := plan{name: name, lead: -1, column: l.sort}
	if len(name) < 2 || len(l.postings) == 0 {
		use.name = planSort
		return use
	}
	use.lead = min(max(int(name[1]-'0'), 0), len(l.postings)-1)
	switch name[:1] {
	case planTerms:
		use.terms, use.column = true, "term"
	case planColumn:
		use.column = l.postings[use.lead].column
	}
	return use
}

func (p *posting) limit() int {
	if p.most > 0 {
		return p.most
	}
	return smallPosting
}

// size returns how many ids a posting selects, up to one more than its limit.
func (p *posting) size(ctx context.Context, c sqldb.Conn) (n int, err error) {
	w := where{}
	text := "SELECT COUNT(*) FROM (" + p.ids(&w) + " LIMIT " + w.param(p.limit()+1) + ") found"
	err = c.Row(ctx, text, w.args...).Scan(&n)
	return n, err
}

// conditions adds the conditions of a list, but those of the leading posting.
func (l *listing[T]) conditions(w *where, lead int) {
	for _, f := range slices.Concat(l.served, l.filters) {
		w.terms = append(w.terms, f(w))
	}
	for i, p := range l.postings {
		if i != lead && p.match != nil {
			w.terms = append(w.terms, p.match(w))
		}
	}
}

// matches reports whether a row satisfies what no statement says.
func (l *listing[T]) matches(use plan, v *T) bool {
	for i, p := range l.postings {
		if i != use.lead && p.keep != nil && !p.keep(v) {
			return false
		}
	}
	return true
}

// keeps reports whether rows must be looked at one by one.
func (l *listing[T]) keeps(use plan) bool {
	for i, p := range l.postings {
		if i != use.lead && p.keep != nil {
			return true
		}
	}
	return false
}

// readSmall reads all rows that a posting selects, in the order that was asked for.
func (l *listing[T]) readSmall(
	ctx context.Context, c sqldb.Conn, use plan, p admin.Page, after *admin.Position, out *admin.Rows[T],
) error {
	places, err := l.smallPlaces(ctx, c, use)
	if err != nil {
		return err
	}
	out.Total = len(places)
	if after != nil {
		places = slices.DeleteFunc(places, func(at admin.Position) bool { return !l.follows(&at, after) })
	}
	places = places[min(p.Offset, len(places)):]
	if n := int(limit(p.Limit)); len(places) > n {
		places = places[:n]
		next := places[n-1]
		out.Next = &next
	}
	out.Items, err = l.rowsAt(ctx, c, places)
	l.finish(use, out)
	return err
}

// smallPlaces returns the places of all rows that a posting selects, in the order that was asked
// for. Only where rows must be looked at one by one it reads them whole.
func (l *listing[T]) smallPlaces(ctx context.Context, c sqldb.Conn, use plan) (out []admin.Position, err error) {
	lead, name := &l.postings[use.lead], l.table.name+"."
	columns := name + l.sort + ", " + name + "id"
	if l.keeps(use) {
		columns = l.table.qualified()
	}
	w := where{}
	text := "SELECT " + columns + " FROM (SELECT DISTINCT id FROM (" + lead.ids(&w) + ") every LIMIT " +
		w.param(lead.limit()+1) + ") few CROSS JOIN " + l.table.name
	w.terms = append(w.terms, name+"id = few.id")
	l.conditions(&w, use.lead)
	w.hideFromIndexes(1)
	text += w.String() + orderBy(l.desc, name+l.sort, name+"id")
	err = each(ctx, c, func(r sqldb.Row) error {
		if !l.keeps(use) {
			at, err := scanPlace(r, l.sort)
			out = append(out, at)
			return err
		}
		v, err := l.table.scan(r)
		if err == nil && l.matches(use, v) {
			out = append(out, l.key(v))
		}
		return err
	}, text, w.args...)
	return out, err
}

// scanPlace reads a place from its column and the id.
func scanPlace(r sqldb.Row, column string) (at admin.Position, err error) {
	switch column {
	case "id":
		err = r.Scan(&at.ID, &at.ID)
	case "term", "name_key":
		err = r.Scan(&at.Text, &at.ID)
	default:
		err = r.Scan(&at.Number, &at.ID)
	}
	return at, err
}

// rowsAt returns the rows at places, in their order. A row that has gone meanwhile is left out.
func (l *listing[T]) rowsAt(ctx context.Context, c sqldb.Conn, places []admin.Position) (out []T, err error) {
	if len(places) == 0 {
		return nil, nil
	}
	w := where{}
	params, order := make([]string, len(places)), make(map[string]int, len(places))
	for i, at := range places {
		params[i], order[at.ID] = w.param(at.ID), i
	}
	out, err = list(ctx, c, l.table.scan, "SELECT "+l.table.qualified()+" FROM "+l.table.name+
		" WHERE "+l.table.name+".id IN ("+strings.Join(params, ", ")+")", w.args...)
	slices.SortFunc(out, func(x, y T) int { return order[l.key(&x).ID] - order[l.key(&y).ID] })
	return out, err
}

// follows reports whether a place comes after another in the order of the list.
func (l *listing[T]) follows(at, after *admin.Position) bool {
	d := strings.Compare(at.Text, after.Text)
	if d == 0 && at.Number != after.Number {
		d = 1
		if at.Number < after.Number {
			d = -1
		}
	}
	if d == 0 {
		d = strings.Compare(at.ID, after.ID)
	}
	return d > 0 && !l.desc || d < 0 && l.desc
}

// driver returns the table that gives the order of a walk.
func (l *listing[T]) driver(use plan) string {
	if use.terms {
		return l.terms
	}
	return l.table.name
}

// bounds adds the conditions that the index of a walk serves, and that rows follow a position.
func (l *listing[T]) bounds(w *where, use plan, after *admin.Position) {
	name := l.driver(use) + "."
	switch {
	case use.terms:
		p := l.postings[use.lead]
		w.add(name+"term = ", p.prefix, p.exact)
		w.add(name+"term >= ", p.prefix, !p.exact)
		w.add(name+"term < ", p.prefix+lastRune, !p.exact)
	default:
		if use.column == l.sort {
			for _, f := range l.served {
				w.terms = append(w.terms, f(w))
			}
		}
		for i, p := range l.postings {
			if l.bounded(use, i) {
				w.terms = append(w.terms, p.match(w))
			}
		}
	}
	if after != nil {
		w.terms = append(w.terms, l.compare(w, use, l.operator(use, ">"), after))
	}
}

// bounded reports whether the index of a walk serves a posting: the leading one, and ranges of the
// column in whose order the list is read.
func (l *listing[T]) bounded(use plan, i int) bool {
	return i == use.lead || !use.terms && l.postings[i].span && l.postings[i].column == use.column
}

// lastRune is greater than every character of a term.
const lastRune = "\U0010FFFF"

// operator returns an operator of an ascending order in the direction of a walk.
func (l *listing[T]) operator(use plan, op string) string {
	if l.descends(use) {
		return strings.NewReplacer(">", "<", "<", ">").Replace(op)
	}
	return op
}

// descends reports whether a walk goes backwards. Things with one whole term come in the order of
// their ids, which is that in which they were created.
func (l *listing[T]) descends(use plan) bool {
	return l.desc && (!use.terms || l.postings[use.lead].exact)
}

// compare returns a comparison of a row's place with a position.
func (l *listing[T]) compare(w *where, use plan, op string, at *admin.Position) string {
	name := l.driver(use) + "."
	if use.column == "id" {
		return name + "id " + op + " " + w.param(at.ID)
	}
	value := any(at.Number)
	if use.terms || use.column == "name_key" {
		value = at.Text
	}
	return "(" + name + use.column + ", " + name + "id) " + op + " (" + w.param(value) + ", " + w.param(at.ID) + ")"
}

func orderBy(desc bool, columns ...string) string {
	columns = slices.Compact(columns)
	if desc {
		for i := range columns {
			columns[i] += " DESC"
		}
	}
	return " ORDER BY " + strings.Join(columns, ", ")
}

func (l *listing[T]) orderOf(use plan) string {
	name := l.driver(use) + "."
	return orderBy(l.descends(use), name+use.column, name+"id")
}

// filtered reports whether a walk meets rows that are not of the list.
func (l *listing[T]) filtered(use plan) bool {
	for i := range l.postings {
		if !l.bounded(use, i) {
			return true
		}
	}
	return len(l.filters) > 0 || use.column != l.sort && len(l.served) > 0
}

// looksAt returns how many rows a walk that filters looks at.
func (l *listing[T]) looksAt(use plan) int {
	switch {
	case !l.wide && use.terms && !l.postings[use.lead].exact:
		return scanWindow / 2
	case !l.wide:
		return scanWindow
	case l.keeps(use):
		return wideWindow / 10
	case use.column == "created_at" || use.column == "id", use.terms && l.postings[use.lead].exact:
		return wideWindow
	case use.terms:
		return wideWindow / 4
	}
	return wideWindow / 2
}
