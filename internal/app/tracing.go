package app

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/trace"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// Spans of work for others: mail, Redis, and requests that this server sends by itself. None holds
// an address of a person, a key or a text.

// tracing returns what begins traces, or nil.
func (m *monitor) tracing() *trace.Tracer {
	if m == nil {
		return nil
	}
	return m.tracer
}

// outgoing returns what traces requests of one kind that the server sends by itself, and passes the
// trace on in their headers. It returns nil if there are no traces.
func (m *monitor) outgoing(name, method string) func(http.Header) func(int, error) {
	tracer := m.tracing()
	if tracer == nil {
		return nil
	}
	return func(header http.Header) func(int, error) {
		_, span := tracer.Begin(context.Background(), name, trace.Client)
		if tracer.Propagates() {
			span.Inject(header)
		}
		return func(status int, err error) {
			span.Set("http.request.method", method)
			if status > 0 {
				span.SetInt("http.response.status_code", status)
			}
			if err != nil || status >= http.StatusBadRequest {
				span.Fail("request")
			}
			span.End()
		}
	}
}

// tracedSender traces what is delivered, with the statements that it needs.
type tracedSender struct {
	outbox.Sender
	tracer *trace.Tracer
}

// traceSenders makes the senders of the outbox traced ones, if there are traces.
func traceSenders(tracer *trace.Tracer, senders map[outbox.Kind]outbox.Sender) {
	if tracer == nil {
		return
	}
	for kind, s := range senders {
		senders[kind] = tracedSender{s, tracer}
	}
}

// Send delivers one delivery.
func (s tracedSender) Send(ctx context.Context, d *outbox.Delivery) error {
	ctx, span := s.tracer.Begin(ctx, "deliver "+string(d.Kind), trace.Client)
	span.Set("gatehouse.delivery.id", string(d.ID))
	err := s.Sender.Send(ctx, d)
	if err != nil {
		span.Fail(fault.KindOf(err).String())
	}
	span.End()
	return err
}

// redisSpan begins the span of a command to Redis within the request of ctx.
func redisSpan(ctx context.Context, command string) (context.Context, trace.Span) {
	ctx, span := trace.Start(ctx, command, trace.Client)
	span.Set("db.system.name", "redis")
	span.Set("db.operation.name", command)
	return ctx, span
}

// tracedLimits traces the counting of rate limits in Redis.
type tracedLimits struct{ web.Limiter }

// Take counts one request.
func (l tracedLimits) Take(ctx context.Context, key string, r web.Rate) web.LimitResult {
	ctx, span := redisSpan(ctx, "EVALSHA")
	defer span.End()
	return l.Limiter.Take(ctx, key, r)
}

// tracedReplays traces the recording of proofs in Redis.
type tracedReplays struct{ token.Replays }

// Add records a key.
func (r tracedReplays) Add(ctx context.Context, key string, until, now time.Time) (bool, error) {
	ctx, span := redisSpan(ctx, "SET")
	defer span.End()
	fresh, err := r.Replays.Add(ctx, key, until, now)
	if err != nil {
		span.Fail("error")
	}
	return fresh, err
}
