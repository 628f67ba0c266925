package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

var _ outbox.Store = (*DB)(nil)

var deliveryTable = table[outbox.Delivery]{
	name: "outbox",
	columns: []column[outbox.Delivery]{
		{"id", func(d *outbox.Delivery) any { return (*string)(&d.ID) }},
		{"kind", func(d *outbox.Delivery) any { return (*string)(&d.Kind) }},
		{"target", func(d *outbox.Delivery) any { return cleanText{&d.Target} }},
		{"recipient", func(d *outbox.Delivery) any { return cleanText{&d.To} }},
		{"about", func(d *outbox.Delivery) any { return cleanText{&d.About} }},
		{"content", func(d *outbox.Delivery) any { return &d.Content }},
		{"state", func(d *outbox.Delivery) any { return (*string)(&d.State) }},
		{"attempts", func(d *outbox.Delivery) any { return &d.Attempts }},
		{"created_at", func(d *outbox.Delivery) any { return unixMillis{&d.CreatedAt} }},
		{"next_attempt_at", func(d *outbox.Delivery) any { return unixMillis{&d.NextAttemptAt} }},
		{"expires_at", func(d *outbox.Delivery) any { return unixMillis{&d.ExpiresAt} }},
		{"finished_at", func(d *outbox.Delivery) any { return unixMillis{&d.FinishedAt} }},
		{"last_error", func(d *outbox.Delivery) any { return cleanText{&d.LastError} }},
		{"holder", func(d *outbox.Delivery) any { return cleanText{&d.Holder} }},
	},
}

var (
	insertDelivery = deliveryTable.insert()

	selectDue = "SELECT 1 FROM outbox WHERE state = 'queued' AND next_attempt_at <= $1 LIMIT 1"

	// An earlier delivery to the same target that waits for its next attempt holds the later ones
	// back. The lease of the engine ensures that two servers do not claim side by side; without
	// it, the second could claim a later delivery before it sees the claim of the first.
	claimDeliveries = "UPDATE outbox SET attempts = attempts + 1, holder = $1, next_attempt_at = $2" +
		" WHERE state = 'queued' AND id IN (SELECT q.id FROM outbox q" +
		" WHERE q.state = 'queued' AND q.next_attempt_at <= $3 AND NOT EXISTS (SELECT 1 FROM outbox o" +
		" WHERE o.target = q.target AND o.state = 'queued' AND o.id < q.id AND o.next_attempt_at > $3)" +
		" ORDER BY q.next_attempt_at, q.id LIMIT $4)" +
		" RETURNING " + deliveryTable.list()

	releaseDeliveries = "UPDATE outbox SET holder = '', next_attempt_at = $1" +
		" WHERE state = 'queued' AND holder <> '' AND holder <> $2"

	finishedColumns = deliveryTable.set(
		"holder", "content", "state", "attempts", "next_attempt_at", "finished_at", "last_error")
	finishDelivery = "UPDATE outbox SET " + finishedColumns.text +
		" WHERE id = " + finishedColumns.next(1) + " AND state = 'queued'"

	deleteDelivery = "DELETE FROM outbox WHERE id = $1 AND state = 'queued'"

	retryDelivery = "UPDATE outbox SET state = 'queued', next_attempt_at = $1, finished_at = 0" +
		" WHERE id = $2 AND state = 'dead' AND (expires_at = 0 OR expires_at > $1)"
)

// insertDeliveries stores the deliveries of events, in the transaction of the change.
func insertDeliveries(ctx context.Context, c sqldb.Conn, all []outbox.Delivery) error {
	for i := range all {
		if _, err := c.Exec(ctx, insertDelivery, deliveryTable.args(&all[i])...); err != nil {
			return err
		}
	}
	return nil
}

// Queue stores deliveries that belong to no change.
func (d *DB) Queue(ctx context.Context, all ...outbox.Delivery) error {
	return d.sql.Write(ctx, func(tx sqldb.Tx) error { return insertDeliveries(ctx, tx, all) })
}

// DeliveriesDue reports whether a queued delivery is due.
func (d *DB) DeliveriesDue(ctx context.Context, now time.Time) (bool, error) {
	return exists(ctx, d.sql, selectDue, unixMilli(now))
}

// ReleaseDeliveries makes the deliveries due that other servers than holder have claimed.
func (d *DB) ReleaseDeliveries(ctx context.Context, holder string, now time.Time) error {
	_, err := d.sql.Exec(ctx, releaseDeliveries, unixMilli(now), holder)
	return err
}

// ClaimDeliveries returns at most c.Limit queued deliveries that are due, counts an attempt at
// each, and makes them due again at c.Until. It skips a delivery while an earlier one to the same
// target waits for its next attempt.
func (d *DB) ClaimDeliveries(ctx context.Context, c outbox.Claim) (all []outbox.Delivery, err error) {
	err = d.sql.Write(ctx, func(tx sqldb.Tx) error {
		all, err = list(ctx, tx, deliveryTable.scan, claimDeliveries,
			clean(c.Holder), unixMilli(c.Until), unixMilli(c.Now), int64(c.Limit))
		return err
	})
	return all, err
}

// FinishDeliveries stores the outcome of deliveries that are still queued. It deletes the content
// of those that were sent or have expired, and requests that were processed altogether: strangers
// make these.
func (d *DB) FinishDeliveries(ctx context.Context, all []outbox.Delivery) error {
	var finished, processed [][]any
	for i := range all {
		x := all[i]
		x.Holder = ""
		if x.State == outbox.Sent || x.State == outbox.Expired {
			x.Content = ""
		}
		if isRequest(x.Kind) && (x.State == outbox.Sent || x.State == outbox.Expired) {
			processed = append(processed, []any{string(x.ID)})
			continue
		}
		finished = append(finished, finishedColumns.args(&x, string(x.ID)))
	}
	if len(processed) > 0 {
		if err := d.sql.ExecAll(ctx, deleteDelivery, processed); err != nil {
			return err
		}
	}
	if len(finished) == 0 {
		return nil
	}
	if err := d.sql.ExecAll(ctx, finishDelivery, finished); err != nil {
		return err
	}
	return d.clearAddresses(ctx, all)
}

// isRequest reports whether deliveries of a kind are requests that are processed, not sent.
func isRequest(k outbox.Kind) bool {
	return k == outbox.KindResetRequest || k == outbox.KindCodeRequest || k == outbox.KindAddressRequest
}

// Delivery returns a delivery, or NotFound.
func (d *DB) Delivery(ctx context.Context, id outbox.ID) (*outbox.Delivery, error) {
	x, err := deliveryTable.scan(d.sql.Row(ctx,
		"SELECT "+deliveryTable.list()+" FROM outbox WHERE id = $1", string(id)))
	return x, asNotFound(err, "message")
}

// RetryDelivery queues a dead delivery again, due at once. It returns NotFound if there is no such
// delivery, and Conflict if it is not dead or its content has lost its use.
func (d *DB) RetryDelivery(ctx context.Context, id outbox.ID, now time.Time, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, retryDelivery, unixMilli(now), string(id))
		if err != nil || n == 1 {
			return err
		}
		known, err := exists(ctx, tx, "SELECT 1 FROM outbox WHERE id = $1", string(id))
		switch {
		case err != nil:
			return err
		case !known:
			return notFound("message")
		}
		return fault.New(fault.Conflict, "this delivery cannot be retried: "+
			"only a dead one can, while its content is still of use")
	})
}

// CountDeliveries returns how many deliveries a query selects on all pages.
func (d *DB) CountDeliveries(ctx context.Context, q outbox.Query) (n int, err error) {
	w := deliveryWhere(q)
	err = d.sql.Row(ctx, "SELECT COUNT(*) FROM outbox"+w.String(), w.args...).Scan(&n)
	return n, err
}

// countedDeliveries bounds the numbers of OutboxState: more would only cost time.
const countedDeliveries = 10_000

// OutboxState returns how many deliveries are queued and dead, at most 10,000 of each, and when the
// oldest of those queued was stored, or the zero time. With very many, the oldest is that of those
// that have been due for longest.
func (d *DB) OutboxState(ctx context.Context) (queued, dead int, oldest time.Time, err error) {
	err = d.sql.Row(ctx, "SELECT COUNT(*), COALESCE(MIN(created_at), 0) FROM"+
		" (SELECT created_at FROM outbox WHERE state = 'queued' ORDER BY next_attempt_at LIMIT $1) q",
		int64(countedDeliveries)).Scan(&queued, unixMillis{&oldest})
	if err != nil {
		return 0, 0, time.Time{}, err
	}
	err = d.sql.Row(ctx, "SELECT COUNT(*) FROM (SELECT id FROM outbox WHERE state <> 'queued'"+
		" AND state = 'dead' LIMIT $1) q", int64(countedDeliveries)).Scan(&dead)
	return queued, dead, oldest, err
}

// ListDeliveries returns deliveries, newest first, without their contents.
func (d *DB) ListDeliveries(ctx context.Context, q outbox.Query) ([]outbox.Delivery, error) {
	w := deliveryWhere(q)
	text := "SELECT " + deliveryTable.list() + " FROM outbox" + w.String() +
		" ORDER BY id DESC LIMIT " + w.param(limit(q.Limit)) + " OFFSET " + w.param(max(q.Offset, 0))
	all, err := list(ctx, d.sql, deliveryTable.scan, text, w.args...)
	for i := range all {
		all[i].Content = ""
	}
	return all, err
}

// PageDeliveries returns the page of deliveries, newest first and without their contents, that
// follows a position, nil for the first page.
func (d *DB) PageDeliveries(
	ctx context.Context, q admin.DeliveryQuery, after *admin.Position,
) (admin.Rows[outbox.Delivery], error) {
	l := &listing[outbox.Delivery]{
		table: &deliveryTable,
		sort:  "id",
		order: admin.OrderCreated,
		desc:  true,
		key:   func(x *outbox.Delivery) admin.Position { return admin.Position{ID: string(x.ID)} },
	}
	if q.Kind != "" {
		l.served = append(l.served, equal("outbox.kind", string(q.Kind)))
	}
	if q.To != "" {
		to := clean(q.To)
		match := func(w *where) string { return "outbox.recipient <> '' AND outbox.recipient = " + w.param(to) }
		l.postings = append(l.postings, posting{
			match: match,
			ids:   func(w *where) string { return "SELECT id FROM outbox WHERE " + match(w) },
		})
	}
	if q.State != "" {
		match := func(w *where) string {
			if q.State == outbox.Queued {
				return "outbox.state = 'queued'"
			}
			return "outbox.state <> 'queued' AND outbox.state = " + w.param(string(q.State))
		}
		l.postings = append(l.postings, posting{
			match: match,
			ids:   func(w *where) string { return "SELECT id FROM outbox WHERE " + match(w) },
		})
	}
	rows, err := l.read(ctx, d.sql, q.Page, after)
	for i := range rows.Items {
		rows.Items[i].Content = ""
	}
	return rows, err
}

func deliveryWhere(q outbox.Query) *where {
	w := &where{}
	w.add("kind = ", string(q.Kind), q.Kind != "")
	w.add("state = ", string(q.State), q.State != "")
	w.add("recipient = ", clean(q.To), q.To != "")
	return w
}

// OldestDelivery returns when the delivery of a kind was made that has waited longest, or NotFound.
func (d *DB) OldestDelivery(ctx context.Context, kind outbox.Kind) (time.Time, error) {
	var at int64
	err := d.sql.Row(ctx, "SELECT created_at FROM outbox WHERE state = 'queued' AND kind = $1"+
		" ORDER BY created_at LIMIT 1", string(kind)).Scan(&at)
	return fromMilli(at), asNotFound(err, "message")
}
