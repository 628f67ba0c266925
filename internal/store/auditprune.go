package store

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// pruneChunk is how many pages lose their events in one transaction.
const pruneChunk = 16

// lastingEvents returns the types of events that retention leaves: verification needs them to tell
// what was removed by policy, and who was erased.
func lastingEvents() []audit.Type {
	return []audit.Type{audit.LogPruned, audit.EpochStarted, audit.UserDeleted, audit.AccountErased}
}

// PruneAudit removes the events from before a time: whole pages in their order, and only those that
// every active sink has. It returns how many events it has removed, and records them in the log.
func (d *DB) PruneAudit(ctx context.Context, before, now time.Time, actor string) (removed int64, err error) {
	if removed, err = d.pruneUnproved(ctx, before); err != nil {
		return removed, err
	}
	head, err := d.AuditTree(ctx)
	if err != nil || head.Size == 0 {
		return removed, err
	}
	to, events, err := d.prunable(ctx, head, secret.IDAt(before))
	if err != nil || to <= head.Pruned {
		return removed, err
	}
	// First the record, then the deed: what is missing is always accounted for.
	err = d.Record(ctx, audit.Event{
		At:         now,
		Type:       audit.LogPruned,
		Actor:      actor,
		TargetType: audit.TargetAudit,
		Detail: map[string]string{
			admin.PrunedFrom:   strconv.FormatInt(head.Pruned, 10),
			admin.PrunedTo:     strconv.FormatInt(to, 10),
			admin.PrunedEvents: strconv.FormatInt(events, 10),
			admin.PrunedUntil:  before.UTC().Format(time.RFC3339),
		},
	})
	for from := head.Pruned; from < to && err == nil; {
		var n int64
		next := min(from+pruneChunk, to)
		n, err = d.prunePages(ctx, from, next)
		removed, from = removed+n, next
	}
	return removed, err
}

// prunable returns the position up to which pages may lose their events, and how many these are.
func (d *DB) prunable(ctx context.Context, head *audit.Head, cutoff string) (to, events int64, err error) {
	end, err := d.acknowledged(ctx, head.Size)
	if err != nil {
		return 0, 0, err
	}
	to = head.Pruned
	for to < end {
		pages, err := d.AuditPages(ctx, to, pagesChunk)
		if err != nil || len(pages) == 0 {
			return to, events, err
		}
		for i := range pages {
			p := &pages[i]
			if p.Position >= end || p.Last >= cutoff {
				return to, events, nil
			}
			to, events = p.Position+1, events+p.N
		}
	}
	return to, events, nil
}

// acknowledged returns the position before which every active sink has all events.
func (d *DB) acknowledged(ctx context.Context, size int64) (int64, error) {
	end := size
	sinks, err := d.Sinks(ctx)
	if err != nil {
		return 0, err
	}
	for i := range sinks {
		s := &sinks[i]
		if !s.Active {
			continue
		}
		at := s.Position.Page
		if s.Position.Event == audit.EndOfPage {
			at++
		}
		end = min(end, at)
	}
	var waiting int64
	err = d.sql.Row(ctx, "SELECT COALESCE(MIN(g.position), -1) FROM sink_gaps g JOIN sinks s ON s.name = g.sink"+
		" WHERE g.state = 'waiting' AND s.active = TRUE").Scan(&waiting)
	if err == nil && waiting >= 0 {
		end = min(end, waiting)
	}
	return end, err
}

// prunePages removes the events of pages, but for the lasting ones.
func (d *DB) prunePages(ctx context.Context, from, to int64) (removed int64, err error) {
	pages, err := d.AuditPages(ctx, from, int(to-from))
	if err != nil {
		return 0, err
	}
	lasting := lastingEvents()
	err = d.sql.Write(ctx, func(tx sqldb.Tx) error {
		removed = 0
		for i := range pages {
			p := &pages[i]
			if len(p.Entries) == 0 {
				continue
			}
			w := &where{}
			ids := make([]string, len(p.Entries))
			for j := range p.Entries {
				ids[j] = w.param(p.Entries[j].ID)
			}
			in := " WHERE id IN (" + strings.Join(ids, ", ") + ")"
			types := make([]string, len(lasting))
			for j := range lasting {
				types[j] = w.param(string(lasting[j]))
			}
			n, err := tx.Exec(ctx, "DELETE FROM audit_log"+in+" AND type NOT IN ("+strings.Join(types, ", ")+")", w.args...)
			if err != nil {
				return err
			}
			removed += n
			stay, err := exists(ctx, tx, "SELECT 1 FROM audit_log"+in+" LIMIT 1", w.args[:len(ids)]...)
			if err != nil {
				return err
			}
			if !stay {
				if _, err := tx.Exec(ctx, "UPDATE audit_pages SET entries = '' WHERE position = $1", p.Position); err != nil {
					return err
				}
			}
		}
		_, err := tx.Exec(ctx, "UPDATE audit_tree SET pruned = $1 WHERE name = 'log' AND pruned = $2", to, from)
		return err
	})
	return removed, err
}

// pruneUnproved removes old events from before the tree, or from a log without one.
func (d *DB) pruneUnproved(ctx context.Context, before time.Time) (removed int64, err error) {
	end := secret.IDAt(before)
	if d.o.NoAuditTree {
		var needed string // by an active sink
		err := d.sql.Row(ctx, "SELECT COALESCE(MIN(position_event), '"+audit.EndOfPage+"') FROM sinks"+
			" WHERE active = TRUE").Scan(&needed)
		if err != nil {
			return 0, err
		}
		end = min(end, needed)
	} else {
		pages, err := d.AuditPages(ctx, 0, 1)
		if err != nil {
			return 0, err
		}
		if len(pages) == 0 {
			return 0, nil
		}
		end = min(end, pages[0].First)
	}
	for {
		n, err := d.sql.Exec(ctx, sweepAudit, end, sweepChunk)
		if removed += n; err != nil || n < sweepChunk {
			return removed, err
		}
	}
}
