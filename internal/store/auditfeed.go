package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// settling is how long after its time an event may become visible to others, where there is no
// tree.
const settling = 2 * time.Second

// Bounds of one reading of the feed, in pages.
const (
	feedPages = 64
	feedReads = 16
)

// AuditHead returns the end of the log.
func (d *DB) AuditHead(ctx context.Context) (audit.Position, error) {
	if d.o.NoAuditTree {
		return headByTime(), nil
	}
	if err := d.placePages(ctx); err != nil {
		return audit.Position{}, err
	}
	return d.auditHead(ctx, d.sql)
}

// auditHead returns the end of the log as it is, also in a transaction. Pages that wait come after
// it.
func (d *DB) auditHead(ctx context.Context, c sqldb.Conn) (audit.Position, error) {
	if d.o.NoAuditTree {
		return headByTime(), nil
	}
	var size int64
	err := c.Row(ctx, "SELECT COALESCE(MAX(size), 0) FROM audit_tree").Scan(&size)
	if err != nil || size == 0 {
		return audit.Position{}, err
	}
	return audit.Position{Page: size - 1, Event: audit.EndOfPage}, nil
}

// placePages places the pages that wait, so that the feed is up to date. Another server may do so
// at the same time.
func (d *DB) placePages(ctx context.Context) error {
	wait, err := d.AuditPending(ctx)
	if err != nil || !wait {
		return err
	}
	_, err = d.SequenceAudit(ctx, time.Now())
	if fault.Is(err, fault.Conflict) {
		return nil
	}
	return err
}

// EventsAfter returns up to limit events of the given types, nil for all, after a position: in the
// order of the pages of the tree, and in a page of their ids.
func (d *DB) EventsAfter(
	ctx context.Context, after audit.Position, types []audit.Type, limit int,
) (audit.Batch, error) {
	if d.o.NoAuditTree {
		return d.eventsByTime(ctx, after, types, limit)
	}
	b := audit.Batch{Next: after}
	if err := d.placePages(ctx); err != nil {
		return b, err
	}
	size := feedPages
	if len(types) > 0 {
		size = typedPages
	}
	for range feedReads {
		if len(types) > 0 {
			if end, err := d.skipPages(ctx, &b.Next, types); err != nil || end {
				return b, err
			}
		}
		pages, err := d.AuditPages(ctx, b.Next.Page, size)
		if err != nil {
			return b, err
		}
		full, err := d.feed(ctx, &b, pages, types, limit)
		if err != nil || full || len(pages) < size {
			return b, err
		}
	}
	b.More = true
	return b, nil
}

// feed adds the events of pages to a batch, and reports whether the batch is full.
func (d *DB) feed(
	ctx context.Context, b *audit.Batch, pages []audit.Page, types []audit.Type, limit int,
) (full bool, err error) {
	for i := range pages {
		p := &pages[i]
		at := audit.Position{Page: p.Position, Event: audit.EndOfPage}
		if !b.Next.Less(at) {
			continue
		}
		events, err := d.pageEvents(ctx, p)
		if err != nil {
			return false, err
		}
		for j := range events {
			ev := &events[j]
			here := audit.Position{Page: p.Position, Event: ev.ID}
			if !b.Next.Less(here) {
				continue
			}
			if len(types) > 0 && !slices.Contains(types, ev.Type) {
				continue
			}
			if len(b.Events) == limit {
				b.More = true
				return true, nil
			}
			b.Events, b.At, b.Next = append(b.Events, *ev), append(b.At, here), here
		}
		b.Next = at
	}
	return false, nil
}

// pageEvents returns the events of a page, in the order of their ids. Those that were removed are
// missing.
func (d *DB) pageEvents(ctx context.Context, p *audit.Page) ([]audit.Event, error) {
	if len(p.Entries) == 0 {
		return nil, nil
	}
	args := make([]any, len(p.Entries))
	for i := range p.Entries {
		args[i] = p.Entries[i].ID
	}
	events, err := list(ctx, d.sql, eventTable.scan, "SELECT "+eventTable.list()+
		" FROM audit_log WHERE id IN ("+placeholders(1, len(args))+")", args...)
	slices.SortFunc(events, func(a, b audit.Event) int { return strings.Compare(a.ID, b.ID) })
	return events, err
}

// headByTime returns the end of a log without a tree: events that are not visible yet have later
// ids.
func headByTime() audit.Position {
	return audit.Position{Event: secret.IDAt(time.Now().Add(-settling))}
}

// eventsByTime returns events of a log without a tree.
func (d *DB) eventsByTime(
	ctx context.Context, after audit.Position, types []audit.Type, limit int,
) (b audit.Batch, err error) {
	head := headByTime()
	w := &where{}
	w.add("id > ", after.Event, true)
	w.add("id < ", head.Event, true)
	text := "SELECT " + eventTable.list() + " FROM audit_log" + w.String()
	for i, t := range types {
		text += map[bool]string{true: " AND type IN (", false: ", "}[i == 0] + w.param(string(t))
	}
	if len(types) > 0 {
		text += ")"
	}
	b.Events, err = list(ctx, d.sql, eventTable.scan, text+" ORDER BY id LIMIT "+w.param(int64(limit)), w.args...)
	for i := range b.Events {
		b.At = append(b.At, audit.Position{Event: b.Events[i].ID})
	}
	b.Next = head
	if len(b.Events) == limit {
		b.Next, b.More = b.At[limit-1], true
	}
	if b.Next.Less(after) {
		b.Next = after
	}
	return b, err
}
