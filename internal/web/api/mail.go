package api

import (
	"context"
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
	"github.com/gatehouse-id/gatehouse/management"
)

// Mail answers a page of messages.
func (s handlers) Mail(ctx context.Context, in gen.MailRequestObject) (gen.MailResponseObject, error) {
	q := admin.DeliveryQuery{
		State: outbox.State(value(in.Params.State)),
		To:    value(in.Params.To),
		Page:  page(in.Params.Limit, in.Params.Offset, in.Params.Cursor, in.Params.Total != nil),
	}
	found, err := s.Operations.Mail(ctx, actorOf(ctx), q)
	if err != nil {
		return nil, err
	}
	out := gen.Mail200JSONResponse{
		Data:    []management.MailDelivery{},
		Total:   found.Total,
		TotalIs: atLeast(found.AtLeast),
		Limit:   q.Page.Limit,
		Offset:  q.Page.Offset,
		Next:    optional(found.Next),
	}
	for i := range found.Items {
		out.Data = append(out.Data, mailView(&found.Items[i]))
	}
	return out, nil
}

// TestMail sends a message now.
func (s handlers) TestMail(ctx context.Context, in gen.TestMailRequestObject) (gen.TestMailResponseObject, error) {
	err := s.Operations.TestMail(ctx, actorOf(ctx), admin.MailTest{
		To:      in.Body.To,
		Message: value(in.Body.Template),
		Locale:  value(in.Body.Locale),
	})
	switch fault.KindOf(err) {
	case fault.Internal, fault.Unavailable:
		if err != nil { // an administrator needs to see what the mail server says
			return nil, &statusError{
				fault.Wrap(fault.Unavailable, err, "The mail server did not take the message: %v", err),
				http.StatusBadGateway, "mail_failed",
			}
		}
	}
	message := "The mail server accepted the message."
	return gen.TestMail200JSONResponse{Success: true, Message: &message}, err
}

// RetryMail queues a message again.
func (s handlers) RetryMail(ctx context.Context, in gen.RetryMailRequestObject) (gen.RetryMailResponseObject, error) {
	d, err := s.Operations.RetryMail(ctx, actorOf(ctx), outbox.ID(in.ID))
	if err != nil {
		return nil, err
	}
	return gen.RetryMail200JSONResponse(mailView(d)), nil
}

func mailView(d *outbox.Delivery) management.MailDelivery {
	out := management.MailDelivery{
		ID:            string(d.ID),
		To:            d.To,
		Kind:          d.About,
		State:         string(d.State),
		Attempts:      d.Attempts,
		CreatedAt:     d.CreatedAt.UTC(),
		NextAttemptAt: moment(d.NextAttemptAt),
		FinishedAt:    moment(d.FinishedAt),
		LastError:     d.LastError,
	}
	if d.State != outbox.Queued {
		out.NextAttemptAt.SetNull()
	}
	return out
}
