package admin

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

const (
	// defaultOverlap is how long the former secret of a webhook signs beside a new one.
	defaultOverlap = 24 * time.Hour
	maxOverlap     = 7 * 24 * time.Hour
)

// WebhookStore is what the operations on webhooks and sinks need of storage.
type WebhookStore interface {
	// ListWebhooks returns all webhooks, oldest first.
	ListWebhooks(ctx context.Context) ([]webhook.Webhook, error)
	// Webhook returns a webhook, or fault.NotFound.
	Webhook(ctx context.Context, id webhook.ID) (*webhook.Webhook, error)
	CreateWebhook(ctx context.Context, w *webhook.Webhook, ev ...audit.Event) error
	// UpdateWebhook stores the fields in which new differs from old, and raises the version. It
	// returns fault.Stale if the stored version is another one.
	UpdateWebhook(ctx context.Context, old, new *webhook.Webhook, ev ...audit.Event) error
	// DeleteWebhook deletes a webhook with its deliveries.
	DeleteWebhook(ctx context.Context, id webhook.ID, ev ...audit.Event) error
	// WebhookDeliveries returns deliveries of a webhook, newest first.
	WebhookDeliveries(ctx context.Context, q webhook.Query) ([]webhook.Delivery, error)
	// CountWebhookDeliveries returns how many deliveries the query selects on all pages.
	CountWebhookDeliveries(ctx context.Context, q webhook.Query) (int, error)
	// WebhookDelivery returns a delivery of a webhook, or fault.NotFound.
	WebhookDelivery(ctx context.Context, id webhook.ID, delivery string) (*webhook.Delivery, error)
	// ResendDelivery asks for another attempt at a delivery that has ended. It returns
	// fault.NotFound if there is none, and fault.Conflict if it is being tried.
	ResendDelivery(ctx context.Context, id webhook.ID, delivery string, ev ...audit.Event) error
	// SaveDelivery stores a delivery that has ended.
	SaveDelivery(ctx context.Context, d *webhook.Delivery, ev ...audit.Event) error

	// Sinks returns all sinks by name.
	Sinks(ctx context.Context) ([]audit.Sink, error)
	// Gaps returns gaps of sinks, newest first.
	Gaps(ctx context.Context, q GapQuery) ([]audit.Gap, error)
}

// WebhookSender sends one message to a webhook at once.
type WebhookSender interface {
	SendTest(ctx context.Context, w *webhook.Webhook, id string, body []byte, now time.Time) webhook.Answer
}

// GapQuery selects gaps.
type GapQuery struct {
	Sink   string // "" for all
	Before string // id of the last gap of the page before
	Limit  int
}

// ListWebhooks returns all webhooks, oldest first.
func (o *Operations) ListWebhooks(ctx context.Context, a Actor) ([]webhook.Webhook, error) {
	if err := o.authorize(a, ScopeWebhooksRead); err != nil {
		return nil, err
	}
	return o.store.ListWebhooks(ctx)
}

// Webhook returns the webhook with that id, or with that address if it is the only one.
func (o *Operations) Webhook(ctx context.Context, a Actor, ref string) (*webhook.Webhook, error) {
	if err := o.authorize(a, ScopeWebhooksRead); err != nil {
		return nil, err
	}
	return o.webhook(ctx, ref)
}

func (o *Operations) webhook(ctx context.Context, ref string) (*webhook.Webhook, error) {
	all, err := o.store.ListWebhooks(ctx)
	if err != nil {
		return nil, err
	}
	var found []*webhook.Webhook
	for i := range all {
		if string(all[i].ID) == ref {
			return &all[i], nil
		}
		if all[i].URL == ref {
			found = append(found, &all[i])
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, fault.New(fault.NotFound, "there is no webhook %.64q", ref)
	}
	return nil, fault.New(fault.Conflict, "%d webhooks have this address; use the id of the one you mean", len(found))
}

// showsLog returns a denial unless the actor may read the audit log: whoever chooses the address or
// the secret of a webhook reads there what happens.
func showsLog(a Actor) error {
	if !a.Can(ScopeAuditRead) {
		return insufficientScope(ScopeAuditRead, "a webhook shows the audit log to its target, "+
			"which needs the scope "+string(ScopeAuditRead))
	}
	return nil
}

// CreatedWebhook is a webhook with its secret, which is returned this once.
type CreatedWebhook struct {
	Webhook *webhook.Webhook
	Secret  string
}

// CreateWebhook subscribes an address to audit events. It receives what happens from now on.
func (o *Operations) CreateWebhook(ctx context.Context, a Actor, p webhook.Patch) (*CreatedWebhook, error) {
	if err := o.authorize(a, ScopeWebhooksWrite); err != nil {
		return nil, err
	}
	return o.createWebhook(ctx, a, p, "")
}

// createWebhook creates a webhook for an actor that may do so, with a secret that its owner has
// chosen, or with a random one.
func (o *Operations) createWebhook(
	ctx context.Context, a Actor, p webhook.Patch, chosen string,
) (*CreatedWebhook, error) {
	now := o.parts.Now()
	w := &webhook.Webhook{
		ID:        webhook.ID(secret.NewID(now)),
		Active:    true,
		Version:   1,
		CreatedAt: now,
		UpdatedAt: now,
	}
	p.Apply(webhook.Fields(), w)
	if err := w.Validate(o.cfg.Webhooks); err != nil {
		return nil, err
	}
	if err := showsLog(a); err != nil {
		return nil, err
	}
	out := &CreatedWebhook{Webhook: w}
	if err := o.sealSecret(out, chosen); err != nil {
		return nil, err
	}
	ev := o.webhookEvent(a, audit.WebhookCreated, w, now)
	ev.Detail["events"] = strings.Join(w.Events, " ")
	return out, o.store.CreateWebhook(ctx, w, ev)
}

// sealSecret sets the secret of a webhook: the one that its owner has chosen, or a random one for
// "".
func (o *Operations) sealSecret(c *CreatedWebhook, chosen string) (err error) {
	if c.Secret = chosen; chosen == "" {
		c.Secret, c.Webhook.Secret = o.parts.WebhookKeys.New(c.Webhook.ID)
		return nil
	}
	c.Webhook.Secret, err = o.parts.WebhookKeys.Seal(c.Webhook.ID, chosen)
	return err
}

// UpdateWebhook changes fields of a webhook, if its version is still the given one; 0 means any.
func (o *Operations) UpdateWebhook(
	ctx context.Context, a Actor, ref string, p webhook.Patch, ifVersion int64,
) (*webhook.Webhook, error) {
	if err := o.authorize(a, ScopeWebhooksWrite); err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		w, err := o.updateWebhook(ctx, a, ref, p, ifVersion)
		if ifVersion != 0 || !fault.Is(err, fault.Stale) || try == staleTries {
			return w, err
		}
	}
}

func (o *Operations) updateWebhook(
	ctx context.Context, a Actor, ref string, p webhook.Patch, ifVersion int64,
) (*webhook.Webhook, error) {
	old, err := o.webhook(ctx, ref)
	if err != nil {
		return nil, err
	}
	if err := CheckVersion(ifVersion, old.Version, nil); err != nil {
		return nil, err
	}
	now := o.parts.Now()
	w := *old
	p.Apply(webhook.Fields(), &w)
	if err := w.Validate(o.cfg.Webhooks); err != nil {
		return nil, err
	}
	changed := field.Differences(webhook.Fields(), old, &w)
	if len(changed) == 0 {
		return old, nil
	}
	if err := showsLog(a); err != nil {
		return nil, err
	}
	if w.Active {
		w.Ended = ""
	}
	w.UpdatedAt = now
	ev := o.webhookEvent(a, audit.WebhookUpdated, &w, now)
	ev.Changes = field.Changes(webhook.Fields(), old, &w)
	return &w, o.store.UpdateWebhook(ctx, old, &w, ev)
}

// DeleteWebhook deletes a webhook with the record of its deliveries.
func (o *Operations) DeleteWebhook(ctx context.Context, a Actor, ref string, ifVersion int64) (*webhook.Webhook, error) {
	if err := o.authorize(a, ScopeWebhooksWrite); err != nil {
		return nil, err
	}
	w, err := o.webhook(ctx, ref)
	if err != nil {
		return nil, err
	}
	if err := CheckVersion(ifVersion, w.Version, nil); err != nil {
		return nil, err
	}
	if err := showsLog(a); err != nil { // an actor who cannot give the log away cannot take it away
		return nil, err
	}
	return w, o.store.DeleteWebhook(ctx, w.ID, o.webhookEvent(a, audit.WebhookDeleted, w, o.parts.Now()))
}

// RotateWebhookSecret makes a new secret. For the overlap, messages carry the signatures of both
// secrets; 0 ends the former one at once, and a negative overlap means the default of a day.
func (o *Operations) RotateWebhookSecret(
	ctx context.Context, a Actor, ref string, overlap time.Duration,
) (*CreatedWebhook, error) {
	if err := o.authorize(a, ScopeWebhooksWrite); err != nil {
		return nil, err
	}
	if overlap < 0 {
		overlap = defaultOverlap
	}
	if overlap > maxOverlap {
		return nil, fault.InvalidField("overlap", "the former secret can sign for at most 7 days more")
	}
	return o.replaceWebhookSecret(ctx, a, ref, "", overlap)
}

// replaceWebhookSecret sets another secret of a webhook for an actor that may do so: one that its
// owner has chosen, or a random one.
func (o *Operations) replaceWebhookSecret(
	ctx context.Context, a Actor, ref, chosen string, overlap time.Duration,
) (*CreatedWebhook, error) {
	old, err := o.webhook(ctx, ref)
	if err != nil {
		return nil, err
	}
	if err := showsLog(a); err != nil {
		return nil, err
	}
	now := o.parts.Now()
	w := *old
	out := &CreatedWebhook{Webhook: &w}
	w.Previous, w.PreviousUntil = "", time.Time{}
	if overlap > 0 {
		w.Previous, w.PreviousUntil = old.Secret, now.Add(overlap)
	}
	if err := o.sealSecret(out, chosen); err != nil {
		return nil, err
	}
	w.UpdatedAt = now
	ev := o.webhookEvent(a, audit.WebhookSecretRotated, &w, now)
	ev.Detail["overlap"] = overlap.String()
	return out, o.store.UpdateWebhook(ctx, old, &w, ev)
}

// WebhookDeliveries returns a page of the deliveries of a webhook, newest first, and how many there
// are on all pages.
func (o *Operations) WebhookDeliveries(
	ctx context.Context, a Actor, ref string, q webhook.Query,
) ([]webhook.Delivery, int, error) {
	if err := o.authorize(a, ScopeWebhooksRead); err != nil {
		return nil, 0, err
	}
	if q.State != "" && !slices.Contains(webhook.States(), q.State) {
		return nil, 0, fault.InvalidField("state", "there is no state %.32q; the states are queued, sent, dead and resend",
			string(q.State))
	}
	w, err := o.webhook(ctx, ref)
	if err != nil {
		return nil, 0, err
	}
	q.Webhook = w.ID
	total, err := o.store.CountWebhookDeliveries(ctx, q)
	if err != nil {
		return nil, 0, err
	}
	all, err := o.store.WebhookDeliveries(ctx, q)
	return all, total, err
}

// ResendDelivery asks for one more attempt at a delivery that was sent or given up on. It is made
// within a few seconds, with the id that the message had before.
func (o *Operations) ResendDelivery(ctx context.Context, a Actor, ref, delivery string) (*webhook.Delivery, error) {
	if err := o.authorize(a, ScopeWebhooksWrite); err != nil {
		return nil, err
	}
	w, err := o.webhook(ctx, ref)
	if err != nil {
		return nil, err
	}
	ev := o.webhookEvent(a, audit.DeliveryRetried, w, o.parts.Now())
	ev.Detail["delivery"] = delivery
	if err := o.store.ResendDelivery(ctx, w.ID, delivery, ev); err != nil {
		return nil, err
	}
	return o.store.WebhookDelivery(ctx, w.ID, delivery)
}

// TestWebhook sends a message at once, so that the answer of the target is known. Its type is
// webhook.tested; it is also sent while the webhook is switched off.
func (o *Operations) TestWebhook(ctx context.Context, a Actor, ref string) (*webhook.Delivery, error) {
	if err := o.authorize(a, ScopeWebhooksWrite); err != nil {
		return nil, err
	}
	w, err := o.webhook(ctx, ref)
	if err != nil {
		return nil, err
	}
	now := o.parts.Now()
	ev := o.webhookEvent(a, audit.WebhookTested, w, now)
	ev.ID = secret.NewID(now)
	d := &webhook.Delivery{
		ID:        secret.NewID(now),
		Webhook:   w.ID,
		Event:     ev.ID,
		Type:      audit.WebhookTested,
		Attempts:  1,
		CreatedAt: now,
	}
	answer := o.parts.Webhooks.SendTest(ctx, w, ev.ID, webhook.Body(&ev), now)
	state := webhook.Sent
	if answer.Err != nil {
		state = webhook.Dead
		ev.Reason = "delivery_failed"
	}
	ev.Detail["status"] = strconv.Itoa(answer.Status)
	d.Settle(state, answer, o.parts.Now())
	return d, o.store.SaveDelivery(context.WithoutCancel(ctx), d, ev)
}

// webhookEvent returns an event about a webhook. It names the host only: the rest of the address
// may be a secret. Its guard decides again, in the transaction, by the scopes of the operation and
// of the log that a webhook shows.
func (o *Operations) webhookEvent(a Actor, t audit.Type, w *webhook.Webhook, now time.Time) audit.Event {
	ev := a.event(t, now)
	ev.TargetType, ev.TargetID = audit.TargetWebhook, string(w.ID)
	ev.Guard = o.covers(a, ScopeWebhooksWrite)
	if t != audit.DeliveryRetried && t != audit.WebhookTested {
		ev.Guard = o.covers(a, ScopeWebhooksWrite, ofScopes(string(ScopeAuditRead)))
	}
	ev.Detail = map[string]string{"webhook": string(w.ID), "host": w.Host()}
	return ev
}

// AuditSinks returns where the audit log is delivered to, and how far each has come.
func (o *Operations) AuditSinks(ctx context.Context, a Actor) ([]audit.Sink, error) {
	if err := o.authorize(a, ScopeAuditRead); err != nil {
		return nil, err
	}
	return o.store.Sinks(ctx)
}

// AuditGaps returns the events that a sink does not have, newest first.
func (o *Operations) AuditGaps(ctx context.Context, a Actor, q GapQuery) ([]audit.Gap, error) {
	if err := o.authorize(a, ScopeAuditRead); err != nil {
		return nil, err
	}
	return o.store.Gaps(ctx, q)
}
