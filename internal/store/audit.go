package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

const auditCols = "id, at, type, actor, user_id, client_id, session_id, grant_id, ip, agent, request_id, reason, detail"

// Record writes audit events that belong to no change.
func (d *DB) Record(ctx context.Context, ev ...audit.Event) error {
	return d.RecordAsync(ev...)(ctx)
}

// record writes events with a change. An event without an id gets one of its time.
func record(ctx context.Context, c sqldb.Conn, ev []audit.Event) error {
	for i := range ev {
		args, err := eventArgs(&ev[i])
		if err != nil {
			return err
		}
		if _, err := c.Exec(ctx, insertEvent, args...); err != nil {
			return err
		}
	}
	return nil
}

// insertEvent is written as a SELECT for sqldb.DB.ExecIfChanged.
const insertEvent = "INSERT INTO audit_log (" + auditCols + ") SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13"

func eventArgs(e *audit.Event) ([]any, error) {
	id := e.ID
	if id == "" {
		id = secret.NewID(e.At)
	}
	detail := ""
	if len(e.Detail) > 0 {
		plain := make(map[string]string, len(e.Detail))
		for name, value := range e.Detail {
			plain[clean(name)] = clean(value)
		}
		b, err := json.Marshal(plain)
		if err != nil {
			return nil, err
		}
		detail = string(b)
	}
	return []any{
		id, ms(e.At), string(e.Type), clean(e.Actor), clean(e.User), clean(e.Client), clean(e.Session),
		clean(e.Grant), clean(e.IP), clean(e.Agent), clean(e.RequestID), clean(e.Reason), detail,
	}, nil
}

// write runs a change and records its events with it.
func (d *DB) write(ctx context.Context, ev []audit.Event, f func(tx sqldb.Tx) error) error {
	return d.sql.Write(ctx, func(tx sqldb.Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		return record(ctx, tx, ev)
	})
}

// AuditQuery selects audit events. Zero fields select all.
type AuditQuery struct {
	Type         audit.Type
	User, Client string
	RequestID    string
	Since, Until time.Time // Since inclusive, Until exclusive
	Limit        int       // default 100
	Before       string    // id of the last event of the page before this one
}

// ListAudit gives events, newest first.
func (d *DB) ListAudit(ctx context.Context, q AuditQuery) ([]audit.Event, error) {
	w := where{}
	w.add("type = ", string(q.Type), q.Type != "")
	w.add("user_id = ", q.User, q.User != "")
	w.add("client_id = ", q.Client, q.Client != "")
	w.add("request_id = ", q.RequestID, q.RequestID != "")
	// The ids are in order of time (RFC 9562 §6.2), so that the primary key serves all three.
	w.add("id >= ", secret.IDAt(q.Since), !q.Since.IsZero())
	w.add("id < ", secret.IDAt(q.Until), !q.Until.IsZero())
	w.add("id < ", q.Before, q.Before != "")
	text := "SELECT " + auditCols + " FROM audit_log" + w.String() + " ORDER BY id DESC LIMIT " + w.param(limit(q.Limit))
	return list(ctx, d.sql, scanEvent, text, w.args...)
}

func scanEvent(r sqldb.Row) (*audit.Event, error) {
	var e audit.Event
	var detail string
	err := r.Scan(&e.ID, stamp{&e.At}, (*string)(&e.Type), &e.Actor, &e.User, &e.Client, &e.Session, &e.Grant,
		&e.IP, &e.Agent, &e.RequestID, &e.Reason, &detail)
	if err == nil && detail != "" {
		err = json.Unmarshal([]byte(detail), &e.Detail)
	}
	return &e, err
}
