package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

var eventTable = table[audit.Event]{
	name: "audit_log",
	columns: []column[audit.Event]{
		{"id", func(e *audit.Event) any { return &e.ID }},
		{"at", func(e *audit.Event) any { return unixMillis{&e.At} }},
		{"type", func(e *audit.Event) any { return (*string)(&e.Type) }},
		{"actor", func(e *audit.Event) any { return cleanText{&e.Actor} }},
		{"user_id", func(e *audit.Event) any { return cleanText{&e.User} }},
		{"client_id", func(e *audit.Event) any { return cleanText{&e.Client} }},
		{"session_id", func(e *audit.Event) any { return cleanText{&e.Session} }},
		{"grant_id", func(e *audit.Event) any { return cleanText{&e.Grant} }},
		{"ip", func(e *audit.Event) any { return cleanText{&e.IP} }},
		{"agent", func(e *audit.Event) any { return cleanText{&e.Agent} }},
		{"request_id", func(e *audit.Event) any { return cleanText{&e.RequestID} }},
		{"reason", func(e *audit.Event) any { return cleanText{&e.Reason} }},
		{"detail", func(e *audit.Event) any { return detailJSON{&e.Detail} }},
		{"actor_type", func(e *audit.Event) any { return cleanText{&e.ActorType} }},
		{"target_type", func(e *audit.Event) any { return cleanText{&e.TargetType} }},
		{"target_id", func(e *audit.Event) any { return cleanText{&e.TargetID} }},
		{"changes", func(e *audit.Event) any { return changesJSON{&e.Changes} }},
		{"salt", func(e *audit.Event) any { return &e.Salt }},
		{"erased", func(e *audit.Event) any { return &e.Erased }},
	},
}

var insertEvent = eventTable.insert()

// rowsOfEvents is how many events one statement stores.
const rowsOfEvents = 50

// detailJSON is the detail of an event, stored as a JSON object with cleaned names and values. No
// detail is an empty text.
type detailJSON struct{ m *map[string]string }

// Scan reads a JSON object or an empty text.
func (c detailJSON) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("store: the detail of an event cannot be read from %T", v)
	}
	*c.m = nil
	if s == "" {
		return nil
	}
	return json.Unmarshal([]byte(s), c.m)
}

func (c detailJSON) stored() any {
	if len(*c.m) == 0 {
		return ""
	}
	cleaned := make(map[string]string, len(*c.m))
	for name, value := range *c.m {
		cleaned[clean(name)] = clean(value)
	}
	b, err := json.Marshal(cleaned)
	if err != nil { // not for a map of strings
		panic(err)
	}
	return string(b)
}

// changesJSON is the changes of an event, stored as a JSON array with cleaned texts. No changes are
// an empty text.
type changesJSON struct{ list *[]audit.Change }

// Scan reads a JSON array or an empty text.
func (c changesJSON) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("store: the changes of an event cannot be read from %T", v)
	}
	*c.list = nil
	if s == "" {
		return nil
	}
	return json.Unmarshal([]byte(s), c.list)
}

func (c changesJSON) stored() any {
	if len(*c.list) == 0 {
		return ""
	}
	cleaned := make([]audit.Change, len(*c.list))
	for i, x := range *c.list {
		cleaned[i] = audit.Change{Field: clean(x.Field), Before: clean(x.Before), After: clean(x.After)}
	}
	b, err := json.Marshal(cleaned)
	if err != nil { // not for texts
		panic(err)
	}
	return string(b)
}

// storable returns the stored form of an event, and what is attached to its transaction: nil if the
// server keeps no tree. An event without an id gets one of its time, and one that belongs to a user
// a salt.
func (d *DB) storable(e *audit.Event) (args []any, entry any) {
	if d.o.OnEvent != nil {
		d.o.OnEvent(e)
	}
	args = eventTable.args(e)
	if e.ID == "" {
		args[eventID] = secret.NewID(e.At)
	}
	if d.o.NoAuditTree {
		return args, nil
	}
	row := rowOf(args)
	if row.Salt == "" && row.Erased == "" && row.Personal() {
		row.Salt = audit.NewSalt()
		args[eventSalt] = row.Salt
	}
	return args, newEntry(&row)
}

// Record writes audit events that belong to no change, and what must be delivered because of them.
func (d *DB) Record(ctx context.Context, ev ...audit.Event) error {
	for i := range ev {
		if d.nested || len(ev[i].Deliveries) > 0 || ev[i].Guard != nil {
			return d.write(ctx, ev, func(sqldb.Tx) error { return nil })
		}
	}
	return d.RecordAsync(ev...)(ctx)
}

// record writes events, and what must be delivered because of them, with a change.
func (d *DB) record(ctx context.Context, tx sqldb.Tx, ev []audit.Event) error {
	rows := make([][]any, len(ev))
	for i := range ev {
		args, entry := d.storable(&ev[i])
		if rows[i] = args; entry != nil {
			tx.Attach(entry)
		}
	}
	if len(rows) == 1 {
		if _, err := tx.Exec(ctx, insertEvent, rows[0]...); err != nil {
			return err
		}
	} else if err := insertMany(ctx, tx, eventTable.into(), "", rowsOfEvents, rows); err != nil {
		return err
	}
	for i := range ev {
		if err := insertDeliveries(ctx, tx, ev[i].Deliveries); err != nil {
			return err
		}
	}
	return nil
}

// write runs a change and records its events in one transaction.
func (d *DB) write(ctx context.Context, ev []audit.Event, f func(tx sqldb.Tx) error) error {
	return d.sql.Write(ctx, func(tx sqldb.Tx) error {
		if err := checkGuards(ctx, tx, ev); err != nil {
			return err
		}
		if err := f(tx); err != nil {
			return err
		}
		return d.record(ctx, tx, ev)
	})
}

// AuditQuery selects events.
type AuditQuery = admin.AuditQuery

// CountAudit returns how many events a query selects on all pages.
func (d *DB) CountAudit(ctx context.Context, q AuditQuery) (int, error) {
	q.Before = ""
	n, _, err := newAuditSearch(&q).count(ctx, d.sql, 0)
	return n, err
}

// ListAudit returns events, newest first. It looks at as many as it takes to fill the page.
func (d *DB) ListAudit(ctx context.Context, q AuditQuery) ([]audit.Event, error) {
	s := newAuditSearch(&q)
	s.windows = 0
	events, _, err := s.page(ctx, d.sql, q.Before, int(limit(q.Limit)), max(q.Offset, 0))
	return events, err
}

// SearchAudit returns a page of events, newest first. A page may be short where no index serves the
// whole query; then the next one goes on.
func (d *DB) SearchAudit(
	ctx context.Context, q AuditQuery, p admin.Page, after *admin.Position,
) (out admin.Rows[audit.Event], err error) {
	s := newAuditSearch(&q)
	before := ""
	if after != nil {
		before, out.Total, out.AtLeast = after.ID, after.Total, after.AtLeast
	}
	var next string
	if out.Items, next, err = s.page(ctx, d.sql, before, p.Limit, p.Offset); err != nil {
		return out, err
	}
	switch {
	case p.Exact:
		out.Total, out.AtLeast, err = s.count(ctx, d.sql, 0)
	case after == nil && !s.filtered():
		out.Total, out.AtLeast, err = s.count(ctx, d.sql, admin.MaxTotal)
	case s.filtered():
		out.Total += len(out.Items)
		out.AtLeast = next != ""
	}
	if whole := !out.AtLeast && p.Offset+len(out.Items) >= out.Total; after == nil && whole && !s.filtered() {
		next = "" // the page ends with the list
	}
	if next != "" {
		out.Next = &admin.Position{ID: next, Total: out.Total, AtLeast: out.AtLeast}
	}
	return out, err
}

// SignIns returns up to limit attempts to sign in to an account, newest first: those before the
// one with an ID, or the newest if it is "". The index audit_log_sign_ins serves it; both engines
// use it only if the condition has the words of the index.
func (d *DB) SignIns(
	ctx context.Context, id identity.UserID, before string, limit int,
) ([]audit.Event, error) {
	w := &where{}
	w.add("user_id <> '' AND user_id = ", string(id), true)
	w.add("id < ", clean(before), before != "")
	text := "SELECT " + eventTable.list() + " FROM audit_log" + w.String() +
		" AND type IN ('LOGIN_SUCCEEDED', 'LOGIN_FAILED') ORDER BY id DESC LIMIT " + w.param(limit)
	return list(ctx, d.sql, eventTable.scan, text, w.args...)
}

// ActedAs returns up to limit events that somebody began to act as a user, newest first: those
// before the one with an ID, or the newest if it is "". There are few such events, so that the
// index by type serves it.
func (d *DB) ActedAs(
	ctx context.Context, id identity.UserID, before string, limit int,
) ([]audit.Event, error) {
	w := &where{}
	w.add("user_id = ", string(id), true)
	w.add("id < ", clean(before), before != "")
	text := "SELECT " + eventTable.list() + " FROM audit_log" + w.String() +
		" AND type = '" + string(audit.ImpersonationStarted) + "' ORDER BY id DESC LIMIT " + w.param(limit)
	return list(ctx, d.sql, eventTable.scan, text, w.args...)
}
