package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

// webhookCommands manage which addresses receive audit events.
type webhookCommands struct {
	Create       webhookCreate     `cmd:"" help:"Subscribe an address to events; prints the secret that signs them."`
	List         webhookList       `cmd:"" aliases:"ls" help:"List the webhooks."`
	Show         webhookShow       `cmd:"" help:"Show one webhook."`
	Update       webhookUpdate     `cmd:"" help:"Change a webhook. Only what is named changes; lists are replaced."`
	Delete       webhookDelete     `cmd:"" aliases:"rm" help:"Delete a webhook and the record of its deliveries."`
	RotateSecret webhookRotate     `cmd:"" help:"Make a new secret; for a while messages carry both signatures."`
	Deliveries   webhookDeliveries `cmd:"" help:"List what was sent, newest first, and what the target said."`
	Resend       webhookResend     `cmd:"" help:"Send an event once more."`
	Test         webhookTest       `cmd:"" help:"Send a message now and print what the target says."`
}

func newWebhookCommands() *webhookCommands {
	fields := webhook.Fields()
	return &webhookCommands{
		Create: webhookCreate{fieldFlags[webhook.Webhook]{fields: fields, required: []string{"url", "events"}}},
		Update: webhookUpdate{fieldFlags: fieldFlags[webhook.Webhook]{fields: fields}},
	}
}

// webhookMembers returns a webhook as JSON.
func webhookMembers(w *webhook.Webhook) object {
	doc := append(object{{"id", w.ID}}, fieldMembers(webhook.Fields(), w)...)
	return append(doc, object{
		{"ended", w.Ended},
		{"previous_secret_until", timestamp{w.PreviousUntil}},
		{"version", w.Version},
		{"created_at", timestamp{w.CreatedAt}},
		{"updated_at", timestamp{w.UpdatedAt}},
	}...)
}

func printWebhook(s *table, w *webhook.Webhook) {
	s.pair("id", string(w.ID))
	s.pair("url", w.URL)
	s.pair("events", strings.Join(w.Events, " "))
	s.pair("state", webhookState(w))
	s.pair("description", w.Description)
	s.pair("both secrets sign until", timestamp{w.PreviousUntil}.String())
	s.pair("created", timestamp{w.CreatedAt}.String())
}

func webhookState(w *webhook.Webhook) string {
	switch {
	case w.Active:
		return "on"
	case w.Ended == webhook.EndedGone:
		return "off: the target answered 410 Gone"
	}
	return "off"
}

// noWebhook adds where to look to the error for a webhook that does not exist.
func noWebhook(err error) error { return withHint(err, fault.NotFound, "see %s webhook list", program) }

// webhookCreate creates a webhook.
type webhookCreate struct{ fieldFlags[webhook.Webhook] }

// Run stores the webhook and prints its secret.
func (f *webhookCreate) Run(ctx context.Context, c *call) error {
	p, err := f.patch()
	if err != nil {
		return err
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		w, err := ops.CreateWebhook(ctx, a, p)
		if err != nil {
			return f.explain(err)
		}
		return showSecret(c, w)
	})
}

// showSecret prints a webhook with its secret.
func showSecret(c *call, w *admin.CreatedWebhook) error {
	return c.show(append(webhookMembers(w.Webhook), member{"secret", w.Secret}), func(s *table) {
		printWebhook(s, w.Webhook)
		s.pair("secret", w.Secret)
		s.line("The secret is not shown again.")
	})
}

// webhookList lists webhooks.
type webhookList struct{}

// Run prints all webhooks.
func (*webhookList) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		all, err := ops.ListWebhooks(ctx, a)
		if err != nil {
			return err
		}
		docs := make([]object, 0, len(all))
		for i := range all {
			docs = append(docs, webhookMembers(&all[i]))
		}
		return showList(c, docs, len(docs), func(s *table) {
			s.row("ID", "URL", "EVENTS", "STATE", "DESCRIPTION")
			for i := range all {
				w := &all[i]
				s.row(string(w.ID), w.URL, strings.Join(w.Events, " "), webhookState(w), w.Description)
			}
		})
	})
}

// webhookRef names a webhook.
type webhookRef struct {
	Ref string `arg:"" name:"webhook" help:"The webhook's id, or its address if no other webhook has it."`
}

// webhookShow shows one webhook.
type webhookShow struct{ webhookRef }

// Run prints the webhook.
func (f *webhookShow) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		w, err := ops.Webhook(ctx, a, f.Ref)
		if err != nil {
			return noWebhook(err)
		}
		return c.show(webhookMembers(w), func(s *table) { printWebhook(s, w) })
	})
}

// webhookUpdate changes a webhook.
type webhookUpdate struct {
	webhookRef
	Unset []string `sep:"none" placeholder:"FLAG" help:"Clear what a flag sets, as in --unset description. May be repeated."`
	fieldFlags[webhook.Webhook]
}

// Run stores the changed webhook.
func (f *webhookUpdate) Run(ctx context.Context, c *call) error {
	p, err := f.patch()
	if err != nil {
		return err
	}
	if err := f.unset(&p, f.Unset); err != nil {
		return err
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		w, err := ops.UpdateWebhook(ctx, a, f.Ref, p, 0)
		if err != nil {
			return noWebhook(f.explain(err))
		}
		return c.show(webhookMembers(w), func(s *table) { printWebhook(s, w) })
	})
}

// webhookDelete deletes a webhook.
type webhookDelete struct {
	webhookRef
	Yes bool `short:"y" help:"Do not ask for confirmation."`
}

// Run deletes the webhook after confirmation.
func (f *webhookDelete) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		w, err := ops.Webhook(ctx, a, f.Ref)
		if err != nil {
			return noWebhook(err)
		}
		if err := c.confirm(f.Yes, "webhook", w.URL); err != nil {
			return err
		}
		if w, err = ops.DeleteWebhook(ctx, a, string(w.ID), 0); err != nil {
			return noWebhook(err)
		}
		return c.done(map[string]string{"id": string(w.ID), "result": "deleted"}, "Webhook %s is deleted.", w.ID)
	})
}

// webhookRotate makes a new secret.
type webhookRotate struct {
	webhookRef
	Overlap duration `default:"24h" placeholder:"DURATION" help:"For how long the old secret signs, too; 0 ends it at once."`
}

// Run stores the new secret and prints it.
func (f *webhookRotate) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		w, err := ops.RotateWebhookSecret(ctx, a, f.Ref, time.Duration(f.Overlap))
		if err != nil {
			return noWebhook(explainQuery(err))
		}
		return showSecret(c, w)
	})
}

// webhookDeliveryView is a delivery as the command line shows it.
type webhookDeliveryView struct {
	ID            string        `json:"id"`
	EventID       string        `json:"event_id"`
	Event         string        `json:"event"`
	State         webhook.State `json:"state"`
	Attempts      int           `json:"attempts"`
	Status        int           `json:"status"`
	Answer        string        `json:"answer"`
	DurationMS    int64         `json:"duration_ms"`
	CreatedAt     timestamp     `json:"created_at"`
	FinishedAt    timestamp     `json:"finished_at"`
	NextAttemptAt timestamp     `json:"next_attempt_at"`
	Error         string        `json:"error"`
}

func viewWebhookDelivery(d *webhook.Delivery) webhookDeliveryView {
	return webhookDeliveryView{
		ID:            d.ID,
		EventID:       d.Event,
		Event:         d.Type.Name(),
		State:         d.State,
		Attempts:      d.Attempts,
		Status:        d.Status,
		Answer:        d.Answer,
		DurationMS:    d.Duration.Milliseconds(),
		CreatedAt:     timestamp{d.CreatedAt},
		FinishedAt:    timestamp{d.FinishedAt},
		NextAttemptAt: timestamp{d.NextAttemptAt},
		Error:         d.Error,
	}
}

// webhookDeliveries lists deliveries.
type webhookDeliveries struct {
	webhookRef
	State string `placeholder:"STATE" help:"Only queued, sent, dead or resend ones."`
	pageFlags
}

// Run prints a page of deliveries.
func (f *webhookDeliveries) Run(ctx context.Context, c *call) error {
	if err := f.check(); err != nil {
		return err
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		all, total, err := ops.WebhookDeliveries(ctx, a, f.Ref, webhook.Query{
			State:  webhook.State(f.State),
			Limit:  f.Limit,
			Offset: f.Offset,
		})
		if err != nil {
			return noWebhook(explainQuery(err))
		}
		views := make([]webhookDeliveryView, 0, len(all))
		for i := range all {
			views = append(views, viewWebhookDelivery(&all[i]))
		}
		return showList(c, views, total, func(s *table) {
			s.row("ID", "EVENT", "STATE", "ATTEMPTS", "STATUS", "TIME", "LAST ATTEMPT", "ERROR")
			for _, v := range views {
				s.row(v.ID, v.Event, string(v.State), fmt.Sprint(v.Attempts), fmt.Sprint(v.Status),
					fmt.Sprintf("%d ms", v.DurationMS), s.when(v.FinishedAt.Time), v.Error)
			}
			s.more(len(views), f.Offset, total)
		})
	})
}

// webhookResend sends an event once more.
type webhookResend struct {
	webhookRef
	Delivery string `arg:"" help:"The delivery's id, as webhook deliveries shows it."`
}

// Run asks the server for another attempt.
func (f *webhookResend) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		d, err := ops.ResendDelivery(ctx, a, f.Ref, f.Delivery)
		if err != nil {
			return withHint(err, fault.NotFound, "see %s webhook list and webhook deliveries", program)
		}
		return c.done(viewWebhookDelivery(d), "The server sends the event again within a few seconds.")
	})
}

// webhookTest sends a message.
type webhookTest struct{ webhookRef }

// Run sends the message and prints the answer.
func (f *webhookTest) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		d, err := ops.TestWebhook(ctx, a, f.Ref)
		if err != nil {
			return noWebhook(err)
		}
		if err := c.show(viewWebhookDelivery(d), func(s *table) {
			s.pair("status", fmt.Sprint(d.Status))
			s.pair("time", d.Duration.Round(time.Millisecond).String())
			s.pair("answer", d.Answer)
			s.pair("error", d.Error)
		}); err != nil {
			return err
		}
		if d.State != webhook.Sent {
			return fault.New(fault.Unavailable, "the target did not accept the message: %s", d.Error)
		}
		return nil
	})
}
