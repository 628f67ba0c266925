package api

import (
	"bufio"
	"context"
	"io"
	"net/http"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/web"
	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
	"github.com/gatehouse-id/gatehouse/management"
)

// Events answers a page of the audit log.
func (s handlers) Events(ctx context.Context, in gen.EventsRequestObject) (gen.EventsResponseObject, error) {
	p := in.Params
	q := admin.AuditQuery{
		Event:      value(p.Event),
		Actor:      value(p.ActorID),
		User:       value(p.UserID),
		Client:     value(p.ClientID),
		TargetType: value(p.ResourceType),
		TargetID:   value(p.ResourceID),
		RequestID:  value(p.RequestID),
		Reason:     value(p.Reason),
		Failures:   value(p.Failed),
		IP:         value(p.IP),
		Text:       value(p.Text),
		Limit:      limit(p.Limit),
		Offset:     value(p.Offset),
		Cursor:     value(p.Cursor),
		Exact:      p.Total != nil,
	}
	if err := auditTimes(ctx, &q, p.Since, p.From, p.To); err != nil {
		return nil, err
	}
	found, err := s.Operations.Events(ctx, actorOf(ctx), q)
	if err != nil {
		return nil, err
	}
	out := gen.Events200JSONResponse{
		Data:    []management.AuditEvent{},
		Total:   found.Total,
		TotalIs: atLeast(found.AtLeast),
		Limit:   q.Limit,
		Offset:  q.Offset,
		Next:    optional(found.Next),
	}
	for i := range found.Events {
		out.Data = append(out.Data, namedEvent(&found.Events[i], found))
	}
	return out, nil
}

// auditTimes reads the range of times of a search.
func auditTimes(ctx context.Context, q *admin.AuditQuery, since, from, to *string) error {
	var errs [2]error
	q.Since, errs[0] = bound("from", from, false)
	q.Until, errs[1] = bound("to", to, true)
	if err := fault.Join(errs[:]...); err != nil {
		return err
	}
	if since == nil {
		return nil
	}
	d, err := field.ParseDuration(*since)
	switch {
	case err != nil:
		return wrong("since", "This is not a duration such as 24h or 7d.")
	case from != nil:
		return wrong("since", "Both since and from say where to begin; leave out one of them.")
	}
	q.Since = web.EventOf(ctx).Now.Add(-d)
	return nil
}

// Event answers one event.
func (s handlers) Event(ctx context.Context, in gen.EventRequestObject) (gen.EventResponseObject, error) {
	page, err := s.Operations.Event(ctx, actorOf(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return gen.Event200JSONResponse(namedEvent(&page.Events[0], page)), nil
}

// namedEvent returns an event of a page with the names that the page has.
func namedEvent(e *audit.Event, page *admin.EventPage) management.AuditEvent {
	out := eventView(e)
	out.UserName, out.ActorName = optional(page.Names[e.User]), optional(page.ActorName(e))
	return out
}

func eventView(e *audit.Event) management.AuditEvent {
	r := e.Record()
	out := management.AuditEvent{
		ID:           r.ID,
		Timestamp:    r.Timestamp,
		Event:        r.Event,
		Type:         string(r.Type),
		ActorID:      r.ActorID,
		ActorType:    r.ActorType,
		ResourceType: r.ResourceType,
		ResourceID:   r.ResourceID,
		UserID:       optional(r.UserID),
		ClientID:     optional(r.ClientID),
		SessionID:    optional(r.SessionID),
		GrantID:      optional(r.GrantID),
		IPAddress:    r.IPAddress,
		UserAgent:    r.UserAgent,
		RequestID:    optional(r.RequestID),
		Reason:       optional(r.Reason),
	}
	if len(r.Metadata) > 0 {
		out.Metadata = &r.Metadata
	}
	if len(r.Changes) > 0 {
		changes := []management.AuditChange{}
		for _, c := range r.Changes {
			changes = append(changes, management.AuditChange{
				Field:  c.Field,
				Before: optional(c.Before),
				After:  optional(c.After),
			})
		}
		out.Changes = &changes
	}
	return out
}

// AuditCheckpoint answers the head of the tree.
func (s handlers) AuditCheckpoint(
	ctx context.Context, _ gen.AuditCheckpointRequestObject,
) (gen.AuditCheckpointResponseObject, error) {
	x, err := s.Operations.AuditCheckpoint(ctx, actorOf(ctx))
	if err != nil {
		return nil, err
	}
	out := gen.AuditCheckpoint200JSONResponse{
		Size:  int(x.Head.Size),
		Root:  x.Head.Root.String(),
		Epoch: int(x.Head.Epoch),
		Keys:  append([]string{}, x.Keys...),
	}
	if x.Checkpoint != nil {
		at := x.Checkpoint.At.UTC()
		out.Note, out.SignedAt = &x.Checkpoint.Note, &at
	}
	return out, nil
}

// ProveEvent answers the proof of an event.
func (s handlers) ProveEvent(
	ctx context.Context, in gen.ProveEventRequestObject,
) (gen.ProveEventResponseObject, error) {
	x, err := s.Operations.ProveEvent(ctx, actorOf(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	p := x.Proof
	out := gen.ProveEvent200JSONResponse{
		Event:      eventView(x.Event),
		RowHash:    p.Row.String(),
		PageID:     p.Page.ID,
		PageWriter: p.Page.Writer,
		PageSeq:    int(p.Page.Seq),
		PageSize:   int(p.Page.N),
		PageRoot:   p.Page.Root.String(),
		Index:      int(p.Index),
		PagePath:   path(p.InPage),
		Pending:    p.Pending,
	}
	if !p.Pending {
		position, size, root, tree := int(p.Page.Position), int(p.Size), p.Root.String(), path(p.InTree)
		out.Position, out.TreeSize, out.TreeRoot, out.TreePath = &position, &size, &root, &tree
	}
	if x.Checkpoint != nil {
		out.Note = &x.Checkpoint.Note
	}
	return out, nil
}

func path(hashes []tlog.Hash) []string {
	out := make([]string, len(hashes))
	for i := range hashes {
		out[i] = hashes[i].String()
	}
	return out
}

// ExportEvents answers a stream of events.
func (s handlers) ExportEvents(
	ctx context.Context, in gen.ExportEventsRequestObject,
) (gen.ExportEventsResponseObject, error) {
	p := in.Params
	q := admin.AuditQuery{
		Event:  value(p.Event),
		Actor:  value(p.ActorID),
		User:   value(p.UserID),
		Client: value(p.ClientID),
		IP:     value(p.IP),
		Text:   value(p.Text),

		TargetType: value(p.ResourceType),
		TargetID:   value(p.ResourceID),
		RequestID:  value(p.RequestID),
		Reason:     value(p.Reason),
		Failures:   value(p.Failed),
	}
	if err := auditTimes(ctx, &q, p.Since, p.From, p.To); err != nil {
		return nil, err
	}
	return &eventStream{ctx: ctx, ops: s.Operations, actor: actorOf(ctx), q: q, format: string(value(p.Format))}, nil
}

// ExportProofs answers a stream of pages with their proofs.
func (s handlers) ExportProofs(
	ctx context.Context, in gen.ExportProofsRequestObject,
) (gen.ExportProofsResponseObject, error) {
	a := actorOf(ctx)
	var q admin.AuditQuery
	if err := auditTimes(ctx, &q, nil, in.Params.From, in.Params.To); err != nil {
		return nil, err
	}
	return streamed(func(w http.ResponseWriter) error {
		long, cancel := withoutDeadline(ctx)
		defer cancel()
		w.Header().Set("Content-Disposition", `attachment; filename="audit-proofs.jsonl"`)
		return stream(w, typeLines, func(out io.Writer) error {
			return s.Operations.ExportProofs(long, a, admin.ProofsInput{Since: q.Since, Until: q.Until}, out)
		})
	}), nil
}

// An eventStream is the answer to an export.
type eventStream struct {
	ctx    context.Context
	ops    *admin.Operations
	actor  admin.Actor
	q      admin.AuditQuery
	format string
}

const streamBuffer = 32 << 10

// VisitExportEventsResponse writes the stream. It ends the connection if the export breaks after it
// has begun: the status has been sent.
func (x *eventStream) VisitExportEventsResponse(w http.ResponseWriter) error {
	kind := "application/x-ndjson"
	if x.format == audit.FormatCSV {
		kind = "text/csv; charset=utf-8"
	}
	// The export may take longer than a request may; a reader who is gone ends it by a failed
	// write.
	ctx := context.WithoutCancel(x.ctx)
	out, begun := bufio.NewWriterSize(web.LongAnswer(w), streamBuffer), false
	export := audit.NewExporter(out, x.format)
	begin := func() error {
		if begun {
			return nil
		}
		begun = true
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Disposition", `attachment; filename="audit-log.`+map[bool]string{true: "csv", false: "jsonl"}[x.format == audit.FormatCSV]+`"`)
		return export.Begin()
	}
	err := x.ops.ExportEvents(ctx, x.actor, x.q, func(e *audit.Event) error {
		if err := begin(); err != nil {
			return err
		}
		return export.Write(e)
	})
	if err != nil && !begun {
		return err
	}
	for _, step := range []func() error{begin, export.End, out.Flush} {
		if err == nil {
			err = step()
		}
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}
