package store

import (
	"context"
	"slices"
	"sort"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// Bounds of one look for events of some types.
const (
	skipPages   = 1024
	skipMatches = 1000
	// typedPages is how many pages are read after a look: further ones may have no such event.
	typedPages = 16
)

// pageRange is a page with the smallest and the largest id of its events.
type pageRange struct {
	position    int64
	first, last string
}

// skipPages moves a position past the pages that cannot have an event of some types, and reports
// whether that is the end of the log. A follower that waits for rare events so reads no others: the
// index audit_log_rare finds them.
func (d *DB) skipPages(ctx context.Context, next *audit.Position, types []audit.Type) (end bool, err error) {
	for range feedReads {
		pages, err := list(ctx, d.sql, scanRange, "SELECT position, first_id, last_id FROM audit_pages"+
			" WHERE position >= $1 ORDER BY position LIMIT $2", next.Page, int64(skipPages))
		if err != nil || len(pages) == 0 {
			return err == nil, err
		}
		ids, err := d.matchingIDs(ctx, pages, types)
		if err != nil {
			return false, err
		}
		for _, p := range pages {
			at := audit.Position{Page: p.position, Event: audit.EndOfPage}
			if !next.Less(at) {
				continue
			}
			if p.mayHave(ids) {
				return false, nil
			}
			*next = at
		}
		if len(pages) < skipPages {
			return true, nil
		}
	}
	return false, nil
}

func scanRange(r sqldb.Row) (*pageRange, error) {
	p := new(pageRange)
	return p, r.Scan(&p.position, &p.first, &p.last)
}

// mayHave reports whether an id of a sorted list can be that of an event of the page. If the list
// was cut, it says nothing about larger ids.
func (p *pageRange) mayHave(ids []string) bool {
	i := sort.SearchStrings(ids, p.first)
	if i < len(ids) && ids[i] <= p.last {
		return true
	}
	return len(ids) == skipMatches && p.last > ids[len(ids)-1]
}

// matchingIDs returns ids of events of some types in the range of pages, sorted, at most
// skipMatches.
func (d *DB) matchingIDs(ctx context.Context, pages []pageRange, types []audit.Type) ([]string, error) {
	first, last := pages[0].first, pages[0].last
	for _, p := range pages {
		first, last = min(first, p.first), max(last, p.last)
	}
	w := &where{}
	w.add("id >= ", first, true)
	w.add("id <= ", last, true)
	text := "SELECT id FROM audit_log" + w.String()
	if !slices.ContainsFunc(types, isFrequent) {
		text += " AND " + indexedTypes
	}
	for i, t := range types {
		text += map[bool]string{true: " AND type IN (", false: ", "}[i == 0] + w.param(string(t))
	}
	scan := func(r sqldb.Row) (*string, error) {
		id := new(string)
		return id, r.Scan(id)
	}
	return list(ctx, d.sql, scan, text+") ORDER BY id LIMIT "+w.param(int64(skipMatches)), w.args...)
}
