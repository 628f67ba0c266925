package store

import (
	"context"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

const (
	maxDenialRows = 16       // rows of one INSERT, as for audit events
	maxDenialSize = 64 << 10 // bytes of one row's data
)

// denialRow is a denial as the table refusals has it.
type denialRow struct {
	requestID string
	at        time.Time
	data      string // JSON
	client    string // or ""
}

var denialTable = table[denialRow]{
	name: "refusals",
	columns: []column[denialRow]{
		{"request_id", func(r *denialRow) any { return cleanText{&r.requestID} }},
		{"at", func(r *denialRow) any { return unixMillis{&r.at} }},
		{"data", func(r *denialRow) any { return &r.data }},
		{"client_id", func(r *denialRow) any { return cleanText{&r.client} }},
	},
}

// PutDenials stores denials in one transaction. Of several with one request id the first stays,
// because a proxy in front of the server chooses the ids and may repeat them.
func (d *DB) PutDenials(ctx context.Context, all []*access.DenialRecord) error {
	if len(all) == 0 {
		return nil
	}
	rows := make([]denialRow, 0, len(all))
	for _, r := range all {
		data, err := r.Encode()
		if err != nil {
			return fault.Wrap(fault.Invalid, err, "a denial cannot be stored")
		}
		if len(data) > maxDenialSize {
			return fault.New(fault.Invalid, "a denial of %d bytes is too long to be stored", len(data))
		}
		rows = append(rows, denialRow{r.RequestID, r.At, string(data), shortClient(r.Caller.Client)})
	}
	return d.sql.Write(ctx, func(tx sqldb.Tx) error {
		for rest := rows; len(rest) > 0; {
			n := min(len(rest), maxDenialRows)
			if err := insertDenials(ctx, tx, rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	})
}

// shortClient returns the id of a client, or "" for what is longer than an id can be: strangers may
// have sent it.
func shortClient(id string) string {
	if len(id) > maxClientID {
		return ""
	}
	return id
}

// maxClientID is the length of the longest id of a client.
const maxClientID = 200

func insertDenials(ctx context.Context, c sqldb.Conn, rows []denialRow) error {
	width := len(denialTable.columns)
	values := make([]string, len(rows))
	args := make([]any, 0, len(rows)*width)
	for i := range rows {
		values[i] = "(" + placeholders(i*width+1, width) + ")"
		args = append(args, denialTable.args(&rows[i])...)
	}
	text := denialTable.into() + " VALUES " + strings.Join(values, ", ") + " ON CONFLICT (request_id) DO NOTHING"
	_, err := c.Exec(ctx, text, args...)
	return err
}

// Denial returns the stored denial of a request, or NotFound.
func (d *DB) Denial(ctx context.Context, requestID string) (*access.DenialRecord, error) {
	var data string
	row := d.sql.Row(ctx, "SELECT data FROM refusals WHERE request_id = $1", clean(requestID))
	if err := row.Scan(&data); err != nil {
		return nil, asNotFound(err, "denied request")
	}
	return access.ReadDenialRecord([]byte(data))
}

// Denials returns the page of denials of the gateway that follows a position, nil for the first
// page, newest first.
func (d *DB) Denials(
	ctx context.Context, q admin.DenialQuery, p admin.Page, after *admin.Position,
) (out admin.Rows[access.DenialRecord], err error) {
	w := where{}
	if q.Client != "" {
		w.terms = append(w.terms, "client_id <> ''")
		w.add("client_id = ", clean(q.Client), true)
	}
	if err := d.sql.Row(ctx, "SELECT COUNT(*) FROM refusals"+w.String(), w.args...).Scan(&out.Total); err != nil {
		return out, err
	}
	if after != nil {
		w.terms = append(w.terms, "(at, request_id) < ("+w.param(after.Number)+", "+w.param(after.ID)+")")
	}
	n := int(limit(p.Limit))
	text := "SELECT at, request_id, data FROM refusals" + w.String() + " ORDER BY at DESC, request_id DESC LIMIT " +
		w.param(int64(n+1)) + " OFFSET " + w.param(int64(p.Offset))
	var last admin.Position
	err = each(ctx, d.sql, func(r sqldb.Row) error {
		var at admin.Position
		var data string
		if err := r.Scan(&at.Number, &at.ID, &data); err != nil {
			return err
		}
		if len(out.Items) == n {
			next := last
			out.Next = &next
			return nil
		}
		record, err := access.ReadDenialRecord([]byte(data))
		if err != nil {
			return err
		}
		out.Items, last = append(out.Items, *record), at
		return nil
	}, text, w.args...)
	return out, err
}
