package store

import (
	"context"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

const (
	denialCols     = "request_id, at, data"
	denialWidth    = 3
	denialsAtOnce  = 16       // rows of one INSERT, as for audit events
	maxDenial      = 64 << 10 // bytes of one row's data
	keepDenials    = 10_000   // rows
	keepDenialsFor = 24 * time.Hour
)

// denialRow is a denial as the table refusals has it.
type denialRow struct {
	requestID string
	at        time.Time
	data      string // JSON
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
		if len(data) > maxDenial {
			return fault.New(fault.Invalid, "a denial of %d bytes is too long to be stored", len(data))
		}
		rows = append(rows, denialRow{clean(r.RequestID), r.At, string(data)})
	}
	return d.sql.Write(ctx, func(tx sqldb.Tx) error {
		for len(rows) > 0 {
			n := min(len(rows), denialsAtOnce)
			if err := insertDenials(ctx, tx, rows[:n]); err != nil {
				return err
			}
			rows = rows[n:]
		}
		return nil
	})
}

func insertDenials(ctx context.Context, c sqldb.Conn, rows []denialRow) error {
	var text strings.Builder
	text.WriteString("INSERT INTO refusals (" + denialCols + ") VALUES ")
	args := make([]any, 0, len(rows)*denialWidth)
	for i, r := range rows {
		if i > 0 {
			text.WriteString(", ")
		}
		text.WriteString("(" + params(i*denialWidth+1, denialWidth) + ")")
		args = append(args, r.requestID, ms(r.at), r.data)
	}
	text.WriteString(" ON CONFLICT (request_id) DO NOTHING")
	_, err := c.Exec(ctx, text.String(), args...)
	return err
}

// Denial returns the stored denial of a request, or NotFound.
func (d *DB) Denial(ctx context.Context, requestID string) (*access.DenialRecord, error) {
	var data string
	row := d.sql.Row(ctx, "SELECT data FROM refusals WHERE request_id = $1", clean(requestID))
	if err := row.Scan(&data); err != nil {
		return nil, named(err, "denied request")
	}
	return access.ReadDenialRecord([]byte(data))
}
