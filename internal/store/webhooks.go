package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

var webhookTable = table[webhook.Webhook]{
	name: "webhooks",
	columns: []column[webhook.Webhook]{
		{"id", func(w *webhook.Webhook) any { return (*string)(&w.ID) }},
		{"url", func(w *webhook.Webhook) any { return &w.URL }},
		{"events", func(w *webhook.Webhook) any { return spaceList{&w.Events} }},
		{"active", func(w *webhook.Webhook) any { return &w.Active }},
		{"description", func(w *webhook.Webhook) any { return &w.Description }},
		{"ended", func(w *webhook.Webhook) any { return &w.Ended }},
		{"secret", func(w *webhook.Webhook) any { return &w.Secret }},
		{"previous", func(w *webhook.Webhook) any { return &w.Previous }},
		{"previous_until", func(w *webhook.Webhook) any { return unixMillis{&w.PreviousUntil} }},
		{"version", func(w *webhook.Webhook) any { return &w.Version }},
		{"created_at", func(w *webhook.Webhook) any { return unixMillis{&w.CreatedAt} }},
		{"updated_at", func(w *webhook.Webhook) any { return unixMillis{&w.UpdatedAt} }},
	},
}

var hookDeliveryTable = table[webhook.Delivery]{
	name: "webhook_deliveries",
	columns: []column[webhook.Delivery]{
		{"id", func(d *webhook.Delivery) any { return &d.ID }},
		{"webhook_id", func(d *webhook.Delivery) any { return (*string)(&d.Webhook) }},
		{"event_id", func(d *webhook.Delivery) any { return &d.Event }},
		{"type", func(d *webhook.Delivery) any { return (*string)(&d.Type) }},
		{"state", func(d *webhook.Delivery) any { return (*string)(&d.State) }},
		{"attempts", func(d *webhook.Delivery) any { return &d.Attempts }},
		{"created_at", func(d *webhook.Delivery) any { return unixMillis{&d.CreatedAt} }},
		{"next_attempt_at", func(d *webhook.Delivery) any { return unixMillis{&d.NextAttemptAt} }},
		{"finished_at", func(d *webhook.Delivery) any { return unixMillis{&d.FinishedAt} }},
		{"status", func(d *webhook.Delivery) any { return &d.Status }},
		{"answer", func(d *webhook.Delivery) any { return cleanText{&d.Answer} }},
		{"duration", func(d *webhook.Delivery) any { return millis{&d.Duration} }},
		{"error", func(d *webhook.Delivery) any { return cleanText{&d.Error} }},
	},
}

var (
	selectWebhook = "SELECT " + webhookTable.list() + " FROM webhooks"
	// There are at most as many as the last argument says.
	insertWebhook = webhookTable.into() + " SELECT " + webhookTable.params() +
		" WHERE (SELECT COUNT(*) FROM webhooks) < " + webhookTable.next(1)

	selectHookDelivery = "SELECT " + hookDeliveryTable.list() + " FROM webhook_deliveries"
	settledDelivery    = hookDeliveryTable.set("state", "attempts", "next_attempt_at", "finished_at", "status",
		"answer", "duration", "error")
	// A delivery that has failed before is there already.
	saveHookDelivery = hookDeliveryTable.insert() + " ON CONFLICT (id) DO UPDATE SET " +
		"state = excluded.state, attempts = excluded.attempts, next_attempt_at = excluded.next_attempt_at, " +
		"finished_at = excluded.finished_at, status = excluded.status, answer = excluded.answer, " +
		"duration = excluded.duration, error = excluded.error"
	settleHookDelivery = "UPDATE webhook_deliveries SET " + settledDelivery.text +
		" WHERE id = " + settledDelivery.next(1) + " AND state = 'resend'"
	resendHookDelivery = "UPDATE webhook_deliveries SET state = 'resend'" +
		" WHERE id = $1 AND webhook_id = $2 AND state IN ('sent', 'dead')"

	endWebhook = "UPDATE webhooks SET active = FALSE, ended = $1, updated_at = $2, version = version + 1" +
		" WHERE id = $3 AND version = $4 AND active = TRUE"

	sweepSentHooks = "DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM webhook_deliveries" +
		" WHERE state = 'sent' AND finished_at <= $1 LIMIT $2)"
	sweepDeadHooks = "DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM webhook_deliveries" +
		" WHERE state = 'dead' AND finished_at <= $1 LIMIT $2)"
)

// ListWebhooks returns all webhooks, oldest first. There are not many.
func (d *DB) ListWebhooks(ctx context.Context) ([]webhook.Webhook, error) {
	return list(ctx, d.sql, webhookTable.scan, selectWebhook+" ORDER BY id")
}

// Webhook returns a webhook, or NotFound.
func (d *DB) Webhook(ctx context.Context, id webhook.ID) (*webhook.Webhook, error) {
	w, err := webhookTable.scan(d.sql.Row(ctx, selectWebhook+" WHERE id = $1", string(id)))
	return w, asNotFound(err, "webhook")
}

// CreateWebhook stores a new webhook, which receives what happens from now on. It returns Limited
// if there are webhook.Max already.
func (d *DB) CreateWebhook(ctx context.Context, w *webhook.Webhook, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, insertWebhook, webhookTable.args(w, int64(webhook.Max))...)
		if err != nil {
			return err
		}
		if n == 0 {
			return fault.New(fault.Conflict, "there are %d webhooks, and there may not be more; delete one first", webhook.Max)
		}
		_, err = d.openSink(ctx, tx, webhook.SinkPrefix+string(w.ID), w.CreatedAt)
		return err
	})
}

// UpdateWebhook stores the fields in which new differs from old, if the stored version is still
// that of old; otherwise it returns Stale. One that is switched on receives what happens from
// now on.
func (d *DB) UpdateWebhook(ctx context.Context, old, new *webhook.Webhook, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		current, err := webhookTable.scan(tx.Row(ctx, selectWebhook+" WHERE id = $1", string(old.ID)))
		if err != nil {
			return asNotFound(err, "webhook")
		}
		if err := admin.CheckVersion(old.Version, current.Version, nil); err != nil {
			return err
		}
		next := *new
		next.Version = old.Version + 1
		if _, err := webhookTable.update(ctx, tx, current, &next); err != nil {
			return err
		}
		new.Version = next.Version
		if current.Active || !new.Active {
			return nil
		}
		head, err := d.auditHead(ctx, tx)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE sinks SET active = TRUE, position = $1, position_event = $2, attempts = 0,"+
			" failing_since = 0, next_attempt_at = 0, last_error = '' WHERE name = $3",
			head.Page, head.Event, webhook.SinkPrefix+string(old.ID))
		return err
	})
}

// DeleteWebhook deletes a webhook with its deliveries.
func (d *DB) DeleteWebhook(ctx context.Context, id webhook.ID, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "DELETE FROM webhooks WHERE id = $1", string(id))
		if err := requireOne(n, err, "webhook"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "DELETE FROM webhook_deliveries WHERE webhook_id = $1", string(id)); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "DELETE FROM sinks WHERE name = $1", webhook.SinkPrefix+string(id))
		return err
	})
}

// EndWebhook switches a webhook off, if it is still the version that was tried.
func (d *DB) EndWebhook(
	ctx context.Context, w *webhook.Webhook, why string, now time.Time, ev ...audit.Event,
) error {
	return d.sql.Write(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, endWebhook, why, unixMilli(now), string(w.ID), w.Version)
		if err != nil || n == 0 {
			return err
		}
		return d.record(ctx, tx, ev)
	})
}

// AdvanceWebhook stores the state of a webhook's sink, deliveries and events in one transaction. It
// returns Conflict if the stored position is not old, or the webhook is deleted.
func (d *DB) AdvanceWebhook(
	ctx context.Context, old audit.Position, s *audit.Sink, all []webhook.Delivery, ev ...audit.Event,
) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		if err := moveSink(ctx, tx, old, s); err != nil {
			return err
		}
		for i := range all {
			if _, err := tx.Exec(ctx, saveHookDelivery, hookDeliveryTable.args(&all[i])...); err != nil {
				return err
			}
		}
		return nil
	})
}

// PendingDeliveries returns the deliveries of a webhook that are to be tried again.
func (d *DB) PendingDeliveries(ctx context.Context, id webhook.ID) ([]webhook.Delivery, error) {
	return list(ctx, d.sql, hookDeliveryTable.scan, selectHookDelivery+
		" WHERE webhook_id = $1 AND state IN ('queued', 'resend') ORDER BY id LIMIT 100", string(id))
}

// SettleResend stores the outcome of an attempt that an administrator asked for.
func (d *DB) SettleResend(ctx context.Context, x *webhook.Delivery) error {
	_, err := d.sql.Exec(ctx, settleHookDelivery, settledDelivery.args(x, x.ID)...)
	return err
}

// ResendDelivery asks for another attempt at a delivery that has ended. It returns NotFound if the
// webhook has no such delivery, and Conflict if it is being tried.
func (d *DB) ResendDelivery(ctx context.Context, id webhook.ID, delivery string, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, resendHookDelivery, clean(delivery), string(id))
		if err != nil || n == 1 {
			return err
		}
		known, err := exists(ctx, tx, "SELECT 1 FROM webhook_deliveries WHERE id = $1 AND webhook_id = $2",
			clean(delivery), string(id))
		switch {
		case err != nil:
			return err
		case !known:
			return notFound("delivery")
		}
		return fault.New(fault.Conflict, "this delivery is being tried already")
	})
}

// SaveDelivery stores a delivery that is finished, such as a test.
func (d *DB) SaveDelivery(ctx context.Context, x *webhook.Delivery, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, saveHookDelivery, hookDeliveryTable.args(x)...)
		return err
	})
}

// WebhookDelivery returns a delivery of a webhook, or NotFound.
func (d *DB) WebhookDelivery(ctx context.Context, id webhook.ID, delivery string) (*webhook.Delivery, error) {
	x, err := hookDeliveryTable.scan(d.sql.Row(ctx, selectHookDelivery+" WHERE id = $1 AND webhook_id = $2",
		clean(delivery), string(id)))
	return x, asNotFound(err, "delivery")
}

// WebhookDeliveries returns deliveries of a webhook, newest first.
func (d *DB) WebhookDeliveries(ctx context.Context, q webhook.Query) ([]webhook.Delivery, error) {
	w := hookDeliveryWhere(q)
	w.add("id < ", clean(q.Before), q.Before != "")
	text := selectHookDelivery + w.String() + " ORDER BY id DESC LIMIT " + w.param(limit(q.Limit)) +
		" OFFSET " + w.param(max(q.Offset, 0))
	return list(ctx, d.sql, hookDeliveryTable.scan, text, w.args...)
}

// CountWebhookDeliveries returns how many deliveries a query selects on all pages.
func (d *DB) CountWebhookDeliveries(ctx context.Context, q webhook.Query) (n int, err error) {
	w := hookDeliveryWhere(q)
	err = d.sql.Row(ctx, "SELECT COUNT(*) FROM webhook_deliveries"+w.String(), w.args...).Scan(&n)
	return n, err
}

func hookDeliveryWhere(q webhook.Query) *where {
	w := &where{}
	w.add("webhook_id = ", string(q.Webhook), true)
	w.add("state = ", string(q.State), q.State != "")
	return w
}
