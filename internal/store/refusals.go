package store

import (
	"context"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

const (
	refusalCols     = "request_id, at, data"
	refusalWidth    = 3
	refusalsAtOnce  = 16       // rows an INSERT, as for audit events
	maxRefusal      = 64 << 10 // bytes of one
	keepRefusals    = 10_000   // rows
	keepRefusalTime = 24 * time.Hour
)

// Refused is why the gateway turned a request away, kept for a while for whoever asks about it.
type Refused struct {
	RequestID string
	At        time.Time
	Data      []byte // JSON, of at most 64 KiB
}

// PutRefusals stores refusals in one transaction. Of several with one request id the first stays: a proxy in front of us chooses
// the ids, and may repeat itself.
func (d *DB) PutRefusals(ctx context.Context, all []Refused) error {
	for _, r := range all {
		if len(r.Data) > maxRefusal {
			return fault.New(fault.Invalid, "a refusal of %d bytes is too long to be kept", len(r.Data))
		}
	}
	if len(all) == 0 {
		return nil
	}
	return d.sql.Write(ctx, func(tx sqldb.Tx) error {
		for rest := all; len(rest) > 0; {
			n := min(len(rest), refusalsAtOnce)
			if err := insertRefusals(ctx, tx, rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	})
}

func insertRefusals(ctx context.Context, c sqldb.Conn, some []Refused) error {
	var text strings.Builder
	text.WriteString("INSERT INTO refusals (" + refusalCols + ") VALUES ")
	args := make([]any, 0, len(some)*refusalWidth)
	for i, r := range some {
		if i > 0 {
			text.WriteString(", ")
		}
		text.WriteString("(" + params(i*refusalWidth+1, refusalWidth) + ")")
		args = append(args, clean(r.RequestID), ms(r.At), string(r.Data))
	}
	text.WriteString(" ON CONFLICT (request_id) DO NOTHING")
	_, err := c.Exec(ctx, text.String(), args...)
	return err
}

// Refusal reads why a request was turned away, or NotFound.
func (d *DB) Refusal(ctx context.Context, requestID string) (*Refused, error) {
	var r Refused
	var data string
	err := d.sql.Row(ctx, "SELECT "+refusalCols+" FROM refusals WHERE request_id = $1", clean(requestID)).Scan(&r.RequestID, stamp{&r.At}, &data)
	r.Data = []byte(data)
	return &r, named(err, "refused request")
}
