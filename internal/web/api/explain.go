package api

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
	"github.com/gatehouse-id/gatehouse/management"
)

// Explain answers why a request was denied.
func (s handlers) Explain(ctx context.Context, in gen.ExplainRequestObject) (gen.ExplainResponseObject, error) {
	x, err := s.Operations.Explain(ctx, actorOf(ctx), in.RequestID)
	if err != nil {
		return nil, err
	}
	out := gen.Explain200JSONResponse{
		RequestID:  x.RequestID,
		RouteState: string(x.RouteState),
		Events:     []management.AuditEvent{},
	}
	if x.Denial != nil {
		out.Denial = denialView(x.Denial)
	}
	for i := range x.Events {
		out.Events = append(out.Events, eventView(&x.Events[i]))
	}
	return out, nil
}

// Denials answers a page of what the gateway has denied.
func (s handlers) Denials(ctx context.Context, in gen.DenialsRequestObject) (gen.DenialsResponseObject, error) {
	q := admin.DenialQuery{
		Client: value(in.Params.ClientID),
		Page:   page(in.Params.Limit, in.Params.Offset, in.Params.Cursor, false),
	}
	found, err := s.Operations.Denials(ctx, actorOf(ctx), q)
	if err != nil {
		return nil, err
	}
	out := gen.Denials200JSONResponse{
		Data:   []management.GatewayDenial{},
		Total:  found.Total,
		Limit:  q.Page.Limit,
		Offset: q.Page.Offset,
		Next:   optional(found.Next),
	}
	for i := range found.Items {
		out.Data = append(out.Data, *denialView(&found.Items[i]))
	}
	return out, nil
}

func denialView(r *access.DenialRecord) *management.GatewayDenial {
	return &management.GatewayDenial{
		RequestID:    r.RequestID,
		At:           r.At.UTC(),
		Method:       r.Method,
		Host:         r.Host,
		Path:         r.Path,
		IPAddress:    r.IP,
		Status:       r.Status,
		RouteID:      optional(r.Route),
		RouteName:    optional(r.RouteName),
		ClientID:     optional(r.Caller.Client),
		UserID:       optional(r.Caller.User),
		IdentifiedBy: optional(r.Caller.By),
		Rule:         r.Denial.Rule,
		Reason:       r.Denial.Reason,
		Remedy:       r.Denial.Remedy,
		Needed:       append([]string{}, r.Denial.Needed...),
		Found:        append([]string{}, r.Denial.Had...),
		Code:         optional(r.Denial.Code),
		Scope:        listOf(r.Denial.Scope),
		ACR:          optional(r.Denial.ACR),
		MaxAge:       optional(int(time.Duration(r.Denial.MaxAge) / time.Second)),
	}
}

// CleanupAudit removes old events from the audit log.
func (s handlers) CleanupAudit(
	ctx context.Context, _ gen.CleanupAuditRequestObject,
) (gen.CleanupAuditResponseObject, error) {
	n, err := s.Operations.CleanupAudit(ctx, actorOf(ctx))
	return gen.CleanupAudit200JSONResponse{Removed: int(n)}, err
}
