package admin

import (
	"context"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
)

// MailTest asks for a message that shows whether mail works.
type MailTest struct {
	To      string
	Message string // one of outbox.Messages; "" means outbox.MessageTest
	Locale  string // a language tag; "" means the default
}

// TestMail sends a message at once, past the queue, so that the answer of the mail server is known.
// It returns fault.Conflict if no mail server is configured.
func (o *Operations) TestMail(ctx context.Context, a Actor, in MailTest) error {
	if err := o.authorize(a, ScopeMailWrite); err != nil {
		return err
	}
	if in.Message == "" {
		in.Message = outbox.MessageTest
	}
	now := o.parts.Now()
	m, err := ExampleMail(o.cfg.Issuer, in.Message, in.Locale, now)
	if err != nil {
		return err
	}
	if !identity.ValidEmail(in.To) {
		return fault.InvalidField("to", "%q is not an email address", in.To)
	}
	if o.parts.Mail == nil {
		return fault.New(fault.Conflict, "no mail server is configured; set SMTP_HOST and SMTP_FROM")
	}
	m.To, m.Name = in.To, ""
	d := o.parts.Sealer.Mail(m, now)
	return o.parts.Mail.Send(ctx, &d)
}

// Mail returns a page of messages, newest first. Their contents are never shown.
func (o *Operations) Mail(ctx context.Context, a Actor, q DeliveryQuery) (*List[outbox.Delivery], error) {
	if err := o.authorize(a, ScopeMailRead); err != nil {
		return nil, err
	}
	if q.State != "" && !slices.Contains(outbox.States(), q.State) {
		return nil, fault.InvalidField("state", "there is no state %q; the states are queued, sent, expired and dead",
			q.State)
	}
	q.Kind = outbox.KindMail
	return listQuery(o, "deliveries", q, q.Page, func(p Page, after *Position) (Rows[outbox.Delivery], error) {
		q.Page = p
		return o.store.PageDeliveries(ctx, q, after)
	})
}

// RetryMail queues a dead message again, due at once.
func (o *Operations) RetryMail(ctx context.Context, a Actor, id outbox.ID) (*outbox.Delivery, error) {
	if err := o.authorize(a, ScopeMailWrite); err != nil {
		return nil, err
	}
	now := o.parts.Now()
	ev := a.event(audit.DeliveryRetried, now)
	ev.TargetType, ev.TargetID = audit.TargetDelivery, string(id)
	ev.Detail = map[string]string{"delivery": string(id)}
	ev.Guard = o.covers(a, ScopeMailWrite)
	if err := o.store.RetryDelivery(ctx, id, now, ev); err != nil {
		return nil, err
	}
	return o.store.Delivery(ctx, id)
}

// DeliveryDead returns the event of a delivery that was given up on.
func DeliveryDead(d *outbox.Delivery) audit.Event {
	return audit.Event{
		At:    d.FinishedAt,
		Type:  audit.DeliveryDead,
		Actor: audit.ActorSystem,

		TargetType: audit.TargetDelivery,
		TargetID:   string(d.ID),
		Detail: map[string]string{
			"delivery": string(d.ID),
			"message":  d.About,
			"error":    d.LastError,
		},
	}
}
