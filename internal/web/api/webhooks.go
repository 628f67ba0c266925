package api

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
	"github.com/gatehouse-id/gatehouse/management"
)

// ListWebhooks answers all webhooks.
func (s handlers) ListWebhooks(
	ctx context.Context, _ gen.ListWebhooksRequestObject,
) (gen.ListWebhooksResponseObject, error) {
	all, err := s.Operations.ListWebhooks(ctx, actorOf(ctx))
	if err != nil {
		return nil, err
	}
	out := gen.ListWebhooks200JSONResponse{Data: []management.Webhook{}, Total: len(all), Limit: webhook.Max}
	for i := range all {
		out.Data = append(out.Data, webhookView(&all[i]))
	}
	return out, nil
}

// Webhook answers one webhook.
func (s handlers) Webhook(ctx context.Context, in gen.WebhookRequestObject) (gen.WebhookResponseObject, error) {
	w, err := s.Operations.Webhook(ctx, actorOf(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return gen.Webhook200JSONResponse{
		Body:    webhookView(w),
		Headers: gen.Webhook200ResponseHeaders{ETag: etag(w.Version)},
	}, nil
}

// CreateWebhook subscribes an address, and answers its secret.
func (s handlers) CreateWebhook(
	ctx context.Context, _ gen.CreateWebhookRequestObject,
) (gen.CreateWebhookResponseObject, error) {
	p, err := patchOf(webhook.Fields(), exchangeOf(ctx).body)
	if err != nil {
		return nil, err
	}
	out, err := s.Operations.CreateWebhook(ctx, actorOf(ctx), p)
	if err != nil {
		return nil, err
	}
	return gen.CreateWebhook201JSONResponse{
		Body: webhookSecret(out),
		Headers: gen.CreateWebhook201ResponseHeaders{
			ETag:     etag(out.Webhook.Version),
			Location: address(ctx, "webhooks", string(out.Webhook.ID)),
		},
	}, nil
}

// UpdateWebhook changes the members that the body names.
func (s handlers) UpdateWebhook(
	ctx context.Context, in gen.UpdateWebhookRequestObject,
) (gen.UpdateWebhookResponseObject, error) {
	x := exchangeOf(ctx)
	if x.sendsReadOnly() {
		old, err := s.Operations.Webhook(ctx, x.actor, in.ID)
		if err != nil {
			return nil, err
		}
		if err := unchanged(x.body, webhookView(old), x.op.readOnly()); err != nil {
			return nil, err
		}
	}
	p, err := patchOf(webhook.Fields(), x.body)
	if err != nil {
		return nil, err
	}
	w, err := s.Operations.UpdateWebhook(ctx, x.actor, in.ID, p, ifVersion(in.Params.IfMatch))
	if err != nil {
		return nil, err
	}
	return gen.UpdateWebhook200JSONResponse{
		Body:    webhookView(w),
		Headers: gen.UpdateWebhook200ResponseHeaders{ETag: etag(w.Version)},
	}, nil
}

// DeleteWebhook deletes a webhook.
func (s handlers) DeleteWebhook(
	ctx context.Context, in gen.DeleteWebhookRequestObject,
) (gen.DeleteWebhookResponseObject, error) {
	_, err := s.Operations.DeleteWebhook(ctx, actorOf(ctx), in.ID, ifVersion(in.Params.IfMatch))
	if err != nil {
		return nil, err
	}
	return gen.DeleteWebhook204Response{}, nil
}

// RotateWebhookSecret makes a new secret.
func (s handlers) RotateWebhookSecret(
	ctx context.Context, in gen.RotateWebhookSecretRequestObject,
) (gen.RotateWebhookSecretResponseObject, error) {
	overlap := time.Duration(-1) // the default
	if in.Body != nil && in.Body.Overlap != nil {
		overlap = time.Duration(*in.Body.Overlap) * time.Second
	}
	out, err := s.Operations.RotateWebhookSecret(ctx, actorOf(ctx), in.ID, overlap)
	if err != nil {
		return nil, err
	}
	return gen.RotateWebhookSecret200JSONResponse{
		Body:    webhookSecret(out),
		Headers: gen.RotateWebhookSecret200ResponseHeaders{ETag: etag(out.Webhook.Version)},
	}, nil
}

// TestWebhook sends a message, and answers what the target said.
func (s handlers) TestWebhook(
	ctx context.Context, in gen.TestWebhookRequestObject,
) (gen.TestWebhookResponseObject, error) {
	d, err := s.Operations.TestWebhook(ctx, actorOf(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return gen.TestWebhook200JSONResponse(webhookDeliveryView(d)), nil
}

// WebhookDeliveries answers a page of deliveries.
func (s handlers) WebhookDeliveries(
	ctx context.Context, in gen.WebhookDeliveriesRequestObject,
) (gen.WebhookDeliveriesResponseObject, error) {
	q := webhook.Query{Limit: limit(in.Params.Limit), Offset: value(in.Params.Offset)}
	if in.Params.State != nil {
		q.State = webhook.State(*in.Params.State)
	}
	all, total, err := s.Operations.WebhookDeliveries(ctx, actorOf(ctx), in.ID, q)
	if err != nil {
		return nil, err
	}
	out := gen.WebhookDeliveries200JSONResponse{
		Data:   []management.WebhookDelivery{},
		Total:  total,
		Limit:  q.Limit,
		Offset: q.Offset,
	}
	for i := range all {
		out.Data = append(out.Data, webhookDeliveryView(&all[i]))
	}
	return out, nil
}

// ResendDelivery asks for one more attempt.
func (s handlers) ResendDelivery(
	ctx context.Context, in gen.ResendDeliveryRequestObject,
) (gen.ResendDeliveryResponseObject, error) {
	d, err := s.Operations.ResendDelivery(ctx, actorOf(ctx), in.ID, in.Delivery)
	if err != nil {
		return nil, err
	}
	return gen.ResendDelivery202JSONResponse(webhookDeliveryView(d)), nil
}

// AuditSinks answers where the audit log is delivered to.
func (s handlers) AuditSinks(
	ctx context.Context, _ gen.AuditSinksRequestObject,
) (gen.AuditSinksResponseObject, error) {
	all, err := s.Operations.AuditSinks(ctx, actorOf(ctx))
	if err != nil {
		return nil, err
	}
	out := gen.AuditSinks200JSONResponse{Data: []management.AuditSink{}}
	for i := range all {
		out.Data = append(out.Data, sinkView(&all[i]))
	}
	return out, nil
}

// AuditGaps answers what sinks do not have.
func (s handlers) AuditGaps(ctx context.Context, in gen.AuditGapsRequestObject) (gen.AuditGapsResponseObject, error) {
	all, err := s.Operations.AuditGaps(ctx, actorOf(ctx), admin.GapQuery{
		Sink:  value(in.Params.Sink),
		Limit: limit(in.Params.Limit),
	})
	if err != nil {
		return nil, err
	}
	out := gen.AuditGaps200JSONResponse{Data: []management.AuditGap{}}
	for i := range all {
		out.Data = append(out.Data, gapView(&all[i]))
	}
	return out, nil
}

func webhookView(w *webhook.Webhook) management.Webhook {
	return management.Webhook{
		ID:                  string(w.ID),
		URL:                 w.URL,
		Events:              append([]string{}, w.Events...),
		Active:              w.Active,
		Description:         w.Description,
		Ended:               w.Ended,
		PreviousSecretUntil: moment(w.PreviousUntil),
		Version:             int(w.Version),
		CreatedAt:           w.CreatedAt.UTC(),
		UpdatedAt:           w.UpdatedAt.UTC(),
	}
}

func webhookSecret(w *admin.CreatedWebhook) management.WebhookSecret {
	v := webhookView(w.Webhook)
	return management.WebhookSecret{
		Secret:              w.Secret,
		ID:                  v.ID,
		URL:                 v.URL,
		Events:              v.Events,
		Active:              v.Active,
		Description:         v.Description,
		Ended:               v.Ended,
		PreviousSecretUntil: v.PreviousSecretUntil,
		Version:             v.Version,
		CreatedAt:           v.CreatedAt,
		UpdatedAt:           v.UpdatedAt,
	}
}

func webhookDeliveryView(d *webhook.Delivery) management.WebhookDelivery {
	return management.WebhookDelivery{
		ID:            d.ID,
		EventID:       d.Event,
		Event:         d.Type.Name(),
		State:         management.WebhookDeliveryState(d.State),
		Attempts:      d.Attempts,
		Status:        d.Status,
		Answer:        d.Answer,
		DurationMs:    int(d.Duration.Milliseconds()),
		CreatedAt:     d.CreatedAt.UTC(),
		FinishedAt:    moment(d.FinishedAt),
		NextAttemptAt: moment(d.NextAttemptAt),
		Error:         d.Error,
	}
}

func sinkView(x *audit.Sink) management.AuditSink {
	return management.AuditSink{
		Name:          x.Name,
		State:         management.AuditSinkState(x.State()),
		Delivered:     int(x.Delivered),
		Waiting:       int(x.Waiting),
		Parked:        int(x.Parked),
		Position:      x.Position.Page,
		DeliveredAt:   moment(x.DeliveredAt),
		FailingSince:  moment(x.FailingSince),
		NextAttemptAt: moment(x.NextAttemptAt),
		LastError:     x.LastError,
	}
}

func gapView(g *audit.Gap) management.AuditGap {
	return management.AuditGap{
		ID:            g.ID,
		Sink:          g.Sink,
		State:         management.AuditGapState(g.State()),
		Reason:        management.AuditGapReason(g.Reason),
		Events:        int(g.Events),
		FirstEvent:    g.First,
		LastEvent:     g.Last,
		Attempts:      g.Attempts,
		CreatedAt:     g.CreatedAt.UTC(),
		NextAttemptAt: moment(g.NextAttemptAt),
		Error:         g.Error,
	}
}
