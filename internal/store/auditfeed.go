package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// settling is how long after its time an event may become visible to others.
const settling = 2 * time.Second

// AuditHead returns the end of the log.
func (d *DB) AuditHead(ctx context.Context) (audit.Position, error) { return auditHead(ctx, d.sql) }

func auditHead(context.Context, sqldb.Conn) (audit.Position, error) {
	return audit.Position{Event: secret.IDAt(time.Now().Add(-settling))}, nil
}

// EventsAfter returns up to limit events of the given types, nil for all, after a position.
func (d *DB) EventsAfter(
	ctx context.Context, after audit.Position, types []audit.Type, limit int,
) (b audit.Batch, err error) {
	head, err := auditHead(ctx, d.sql)
	if err != nil {
		return b, err
	}
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
