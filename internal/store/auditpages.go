package store

import (
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// rowTable reads events as they are stored, for their hashes. Its columns are those of eventTable,
// in that order.
var rowTable = table[audit.Row]{
	name: "audit_log",
	columns: []column[audit.Row]{
		{"id", func(r *audit.Row) any { return &r.ID }},
		{"at", func(r *audit.Row) any { return &r.At }},
		{"type", func(r *audit.Row) any { return &r.Type }},
		{"actor", func(r *audit.Row) any { return &r.Actor }},
		{"user_id", func(r *audit.Row) any { return &r.User }},
		{"client_id", func(r *audit.Row) any { return &r.Client }},
		{"session_id", func(r *audit.Row) any { return &r.Session }},
		{"grant_id", func(r *audit.Row) any { return &r.Grant }},
		{"ip", func(r *audit.Row) any { return &r.IP }},
		{"agent", func(r *audit.Row) any { return &r.Agent }},
		{"request_id", func(r *audit.Row) any { return &r.RequestID }},
		{"reason", func(r *audit.Row) any { return &r.Reason }},
		{"detail", func(r *audit.Row) any { return &r.Detail }},
		{"actor_type", func(r *audit.Row) any { return &r.ActorType }},
		{"target_type", func(r *audit.Row) any { return &r.TargetType }},
		{"target_id", func(r *audit.Row) any { return &r.TargetID }},
		{"changes", func(r *audit.Row) any { return &r.Changes }},
		{"salt", func(r *audit.Row) any { return &r.Salt }},
		{"erased", func(r *audit.Row) any { return &r.Erased }},
	},
}

// Places of columns among the arguments of an event.
const (
	eventID   = 0
	eventSalt = 17
)

// rowOf returns the row of an event's arguments.
func rowOf(args []any) audit.Row {
	text := func(i int) string { s, _ := args[i].(string); return s }
	at, _ := args[1].(int64)
	return audit.Row{
		ID:         text(eventID),
		At:         at,
		Type:       text(2),
		Actor:      text(3),
		User:       text(4),
		Client:     text(5),
		Session:    text(6),
		Grant:      text(7),
		IP:         text(8),
		Agent:      text(9),
		RequestID:  text(10),
		Reason:     text(11),
		Detail:     text(12),
		ActorType:  text(13),
		TargetType: text(14),
		TargetID:   text(15),
		Changes:    text(16),
		Salt:       text(eventSalt),
		Erased:     text(18),
	}
}

// newEntry returns the entry of a row in its page.
func newEntry(row *audit.Row) *audit.Entry {
	hash, err := row.Hash()
	if err != nil { // a caller passed a salt that is none: the row is stored, and verification names it
		hash = tlog.Hash{}
	}
	return &audit.Entry{ID: row.ID, Hash: hash}
}

// pageTime returns the time, or a later one where a page of this process has it: pages are placed
// in the order of their ids, and so stay in the order in which they were written.
func (d *DB) pageTime() time.Time {
	for {
		last := d.lastPage.Load()
		ms := max(time.Now().UnixMilli(), last+1)
		if d.lastPage.CompareAndSwap(last, ms) {
			return time.UnixMilli(ms)
		}
	}
}

// seal returns the statement that stores the page of a transaction: of the events that it has
// stored.
func (d *DB) seal(attached []any) sqldb.Statement {
	s, _ := d.sealers.Get().(*audit.Sealer)
	if s == nil {
		s = audit.NewSealer(d.o.AuditKey)
	}
	defer d.sealers.Put(s)
	seq := d.pages.Add(1)
	p := s.Seal(secret.NewID(d.pageTime()), d.writer, seq, func(yield func(*audit.Entry) bool) {
		for _, v := range attached {
			if e, ok := v.(*audit.Entry); ok && !yield(e) {
				return
			}
		}
	})
	return sqldb.Statement{Text: insertPending, Args: []any{
		p.ID, d.writer, seq, p.N, p.First, p.Last, p.Root, p.Entries, p.MAC, // as in pendingTable
	}}
}
