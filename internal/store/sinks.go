package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

var sinkTable = table[audit.Sink]{
	name: "sinks",
	columns: []column[audit.Sink]{
		{"name", func(s *audit.Sink) any { return &s.Name }},
		{"active", func(s *audit.Sink) any { return &s.Active }},
		{"position", func(s *audit.Sink) any { return &s.Position.Page }},
		{"position_event", func(s *audit.Sink) any { return &s.Position.Event }},
		{"delivered", func(s *audit.Sink) any { return &s.Delivered }},
		{"parked", func(s *audit.Sink) any { return &s.Parked }},
		{"attempts", func(s *audit.Sink) any { return &s.Attempts }},
		{"failing_since", func(s *audit.Sink) any { return unixMillis{&s.FailingSince} }},
		{"next_attempt_at", func(s *audit.Sink) any { return unixMillis{&s.NextAttemptAt} }},
		{"delivered_at", func(s *audit.Sink) any { return unixMillis{&s.DeliveredAt} }},
		{"last_error", func(s *audit.Sink) any { return cleanText{&s.LastError} }},
		{"created_at", func(s *audit.Sink) any { return unixMillis{&s.CreatedAt} }},
	},
}

var gapTable = table[audit.Gap]{
	name: "sink_gaps",
	columns: []column[audit.Gap]{
		{"id", func(g *audit.Gap) any { return &g.ID }},
		{"sink", func(g *audit.Gap) any { return &g.Sink }},
		{"state", func(g *audit.Gap) any { return gapState{&g.Parked} }},
		{"reason", func(g *audit.Gap) any { return &g.Reason }},
		{"position", func(g *audit.Gap) any { return &g.Position.Page }},
		{"first_event", func(g *audit.Gap) any { return &g.First }},
		{"last_event", func(g *audit.Gap) any { return &g.Last }},
		{"events", func(g *audit.Gap) any { return &g.Events }},
		{"attempts", func(g *audit.Gap) any { return &g.Attempts }},
		{"created_at", func(g *audit.Gap) any { return unixMillis{&g.CreatedAt} }},
		{"next_attempt_at", func(g *audit.Gap) any { return unixMillis{&g.NextAttemptAt} }},
		{"error", func(g *audit.Gap) any { return cleanText{&g.Error} }},
	},
}

// gapState stores whether a gap was given up on as a word.
type gapState struct{ parked *bool }

// Scan reads a state.
func (c gapState) Scan(v any) error {
	*c.parked = v == "parked"
	return nil
}

func (c gapState) stored() any {
	if *c.parked {
		return "parked"
	}
	return "waiting"
}

var (
	insertSink = sinkTable.insert() + " ON CONFLICT (name) DO UPDATE SET active = TRUE"
	selectSink = "SELECT " + sinkTable.list() + " FROM sinks"

	advancedSink = sinkTable.set("position", "position_event", "delivered", "parked", "attempts",
		"failing_since", "next_attempt_at", "delivered_at", "last_error")
	advanceSink = "UPDATE sinks SET " + advancedSink.text + " WHERE name = " + advancedSink.next(1) +
		" AND position = " + advancedSink.next(2) + " AND position_event = " + advancedSink.next(3)

	insertGap  = gapTable.insert()
	settledGap = gapTable.set("state", "attempts", "next_attempt_at", "error")
	settleGap  = "UPDATE sink_gaps SET " + settledGap.text + " WHERE id = " + settledGap.next(1) +
		" AND state = 'waiting'"
	deleteGap   = "DELETE FROM sink_gaps WHERE id = $1 AND state = 'waiting'"
	selectGap   = "SELECT " + gapTable.list() + " FROM sink_gaps"
	waitingGaps = selectGap + " WHERE state = 'waiting' AND sink = $1 AND next_attempt_at <= $2" +
		" ORDER BY next_attempt_at, id LIMIT $3"
)

// OpenSink returns a sink and marks it as active. If there is none with that name, it creates one
// that has everything up to the end of the log.
func (d *DB) OpenSink(ctx context.Context, name string, now time.Time) (s *audit.Sink, err error) {
	err = d.sql.Write(ctx, func(tx sqldb.Tx) error {
		s, err = d.openSink(ctx, tx, name, now)
		return err
	})
	return s, err
}

func (d *DB) openSink(
	ctx context.Context, tx sqldb.Tx, name string, now time.Time,
) (*audit.Sink, error) {
	head, err := d.auditHead(ctx, tx)
	if err != nil {
		return nil, err
	}
	s := &audit.Sink{Name: name, Active: true, Position: head, CreatedAt: now}
	if _, err := tx.Exec(ctx, insertSink, sinkTable.args(s)...); err != nil {
		return nil, err
	}
	s, err = sinkTable.scan(tx.Row(ctx, selectSink+" WHERE name = $1", name))
	if err == nil && !d.o.NoAuditTree {
		err = d.missedWhileOff(ctx, tx, s, now)
	}
	return s, err
}

// missedWhileOff moves a sink past the events that retention removed while it was switched off, and
// records them as a gap. Events that retention leaves are in the gap, too.
func (d *DB) missedWhileOff(ctx context.Context, tx sqldb.Tx, s *audit.Sink, now time.Time) error {
	var pruned int64
	err := tx.Row(ctx, "SELECT COALESCE(MAX(pruned), 0) FROM audit_tree").Scan(&pruned)
	first := s.Position.Page
	if s.Position.Event == audit.EndOfPage {
		first++
	}
	if err != nil || first >= pruned {
		return err
	}
	g := &audit.Gap{
		ID:        secret.NewID(now),
		Sink:      s.Name,
		Parked:    true,
		Reason:    audit.GapOff,
		Position:  audit.Position{Page: first},
		CreatedAt: now,
		Error:     "the events were removed by retention while the sink was off",
	}
	err = tx.Row(ctx, "SELECT COALESCE(MIN(first_id), ''), COALESCE(MAX(last_id), ''), COALESCE(SUM(n), 0)"+
		" FROM audit_pages WHERE position >= $1 AND position < $2", first, pruned).Scan(&g.First, &g.Last, &g.Events)
	if err != nil {
		return err
	}
	old := s.Position
	s.Position = audit.Position{Page: pruned - 1, Event: audit.EndOfPage}
	s.Parked += g.Events
	if err := moveSink(ctx, tx, old, s); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, insertGap, gapTable.args(g)...); err != nil {
		return err
	}
	return d.record(ctx, tx, []audit.Event{g.Event(now)})
}

// KeepSinks marks all sinks but those named and those of webhooks as not active. Retention does not
// wait for them.
func (d *DB) KeepSinks(ctx context.Context, names []string) error {
	w := &where{}
	w.add("active = ", true, true)
	text := "UPDATE sinks SET active = FALSE" + w.String() + " AND name NOT LIKE '" + webhook.SinkPrefix + "%'"
	for _, name := range names {
		text += " AND name <> " + w.param(name)
	}
	_, err := d.sql.Exec(ctx, text, w.args...)
	return err
}

// AdvanceSink stores the state of a sink, gaps and events in one transaction. It returns Conflict
// if the stored position is not old: then another server delivers.
func (d *DB) AdvanceSink(
	ctx context.Context, old audit.Position, s *audit.Sink, gaps []audit.Gap, ev ...audit.Event,
) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		if err := moveSink(ctx, tx, old, s); err != nil {
			return err
		}
		for i := range gaps {
			if _, err := tx.Exec(ctx, insertGap, gapTable.args(&gaps[i])...); err != nil {
				return err
			}
		}
		return nil
	})
}

func moveSink(ctx context.Context, tx sqldb.Tx, old audit.Position, s *audit.Sink) error {
	n, err := tx.Exec(ctx, advanceSink, advancedSink.args(s, s.Name, old.Page, old.Event)...)
	if err == nil && n != 1 {
		err = fault.New(fault.Conflict, "another server delivers to %s", s.Name)
	}
	return err
}

// WaitingGaps returns up to limit gaps of a sink whose next attempt is due.
func (d *DB) WaitingGaps(ctx context.Context, sink string, now time.Time, limit int) ([]audit.Gap, error) {
	return list(ctx, d.sql, gapTable.scan, waitingGaps, sink, unixMilli(now), int64(limit))
}

// CountWaiting returns how many gaps of a sink are tried again.
func (d *DB) CountWaiting(ctx context.Context, sink string) (n int, err error) {
	err = d.sql.Row(ctx, "SELECT COUNT(*) FROM sink_gaps WHERE state = 'waiting' AND sink = $1", sink).Scan(&n)
	return n, err
}

// SettleGap stores the outcome of an attempt at a waiting gap, or deletes it once delivered.
func (d *DB) SettleGap(ctx context.Context, g *audit.Gap, delivered bool, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		if delivered {
			_, err := tx.Exec(ctx, deleteGap, g.ID)
			return err
		}
		_, err := tx.Exec(ctx, settleGap, settledGap.args(g, g.ID)...)
		return err
	})
}

// Sinks returns all sinks by name, with the number of events that they refuse and that are tried
// again.
func (d *DB) Sinks(ctx context.Context) ([]audit.Sink, error) {
	all, err := list(ctx, d.sql, sinkTable.scan, selectSink+" ORDER BY name")
	if err != nil {
		return nil, err
	}
	for i := range all {
		s := &all[i]
		waiting, err := d.CountWaiting(ctx, s.Name)
		if err != nil {
			return nil, err
		}
		s.Waiting = int64(waiting)
	}
	return all, nil
}

// Gaps returns gaps, newest first.
func (d *DB) Gaps(ctx context.Context, q admin.GapQuery) ([]audit.Gap, error) {
	w := &where{}
	w.add("sink = ", clean(q.Sink), q.Sink != "")
	w.add("id < ", clean(q.Before), q.Before != "")
	text := selectGap + w.String() + " ORDER BY id DESC LIMIT " + w.param(limit(q.Limit))
	return list(ctx, d.sql, gapTable.scan, text, w.args...)
}

// RecentEvents returns the newest events of a type since a time, newest first, up to limit.
func (d *DB) RecentEvents(ctx context.Context, t audit.Type, since time.Time, limit int) ([]audit.Event, error) {
	return list(ctx, d.sql, eventTable.scan, "SELECT "+eventTable.list()+" FROM audit_log"+
		" WHERE type = $1 AND id >= $2 ORDER BY id DESC LIMIT $3", string(t), secret.IDAt(since), int64(limit))
}

// AuditEvent returns an event, or NotFound.
func (d *DB) AuditEvent(ctx context.Context, id string) (*audit.Event, error) {
	ev, err := eventTable.scan(d.sql.Row(ctx, "SELECT "+eventTable.list()+" FROM audit_log WHERE id = $1", id))
	return ev, asNotFound(err, "event")
}
