// Package trace makes OpenTelemetry traces of a sample of the requests, and sends them to a
// collector in OTLP over HTTP.
//
// Spans hold no query strings, no values of SQL statements, and nothing that callers send but
// methods, statuses and ids. Baggage is neither read nor passed on. A request that is not sampled
// costs a number drawn at random; a collector that is away costs a bounded queue.
package trace

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// scope names the program in its spans.
const scope = "github.com/gatehouse-id/gatehouse"

// Kind is the role of a span.
type Kind int

// The kinds.
const (
	Internal Kind = Kind(oteltrace.SpanKindInternal)
	Server   Kind = Kind(oteltrace.SpanKindServer)
	Client   Kind = Kind(oteltrace.SpanKindClient)
)

// Tracer begins traces. A nil Tracer begins none. It is safe for concurrent use.
type Tracer struct {
	o        Options
	provider *sdktrace.TracerProvider
	tracer   oteltrace.Tracer
	queue    *queue
	bound    uint64 // ids whose last 63 bits are below it are sampled
}

// New returns a Tracer that sends its spans as the options say, or nil if they say that there are
// no traces.
func New(o Options) *Tracer {
	if o.Endpoint == "" {
		return nil
	}
	t := &Tracer{o: o}
	t.bound = uint64(o.Ratio * (1 << 63))
	t.queue = newQueue(o)
	attrs := []attribute.KeyValue{
		attribute.String("service.name", o.Service),
		attribute.String("service.version", o.Version),
		attribute.String("telemetry.sdk.language", "go"),
		attribute.String("telemetry.sdk.name", "opentelemetry"),
	}
	for _, a := range o.Attributes {
		attrs = append(attrs, attribute.String(a.Name, a.Value))
	}
	t.queue.exporter.resource = attrs
	t.provider = sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.AlwaysSample()), // Request and Begin have decided before
		sdktrace.WithIDGenerator(ids{t.bound}),
		sdktrace.WithResource(resource.NewSchemaless(attrs...)),
		sdktrace.WithRawSpanLimits(sdktrace.SpanLimits{
			AttributeValueLengthLimit:   maxValue,
			AttributeCountLimit:         32,
			EventCountLimit:             8,
			LinkCountLimit:              8,
			AttributePerEventCountLimit: 8,
			AttributePerLinkCountLimit:  8,
		}),
		sdktrace.WithSpanProcessor(t.queue),
	)
	t.tracer = t.provider.Tracer(scope)
	return t
}

// Propagates reports whether other servers are to go on with traces of this one.
func (t *Tracer) Propagates() bool { return t != nil && t.o.Propagate }

// maxState bounds the tracestate of a caller, in bytes.
const maxState = 512

// maxValue bounds a value in a span, in characters.
const maxValue = 1024

// Close sends what is queued, until ctx ends.
func (t *Tracer) Close(ctx context.Context) {
	if t != nil {
		t.queue.close(ctx)
	}
}

// Request begins the span of a request that arrives with these headers, if it is sampled: else it
// returns ctx itself. A trace that the caller has begun goes on. Whether it is sampled is the
// decision of a trusted caller, and of nobody else: a stranger would fill the collector.
func (t *Tracer) Request(ctx context.Context, name string, h http.Header, trusted bool) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	var parent oteltrace.SpanContext
	if t.o.Propagate && len(h["Traceparent"]) == 1 {
		in := http.Header{"Traceparent": h["Traceparent"]}
		// What strangers say in tracestate would be kept with every span (W3C Trace Context
		// §3.3.1.5 lets us drop it).
		if state := h["Tracestate"]; trusted && len(state) == 1 && len(state[0]) <= maxState {
			in["Tracestate"] = state
		}
		parent = oteltrace.SpanContextFromContext(propagation.TraceContext{}.Extract(
			context.Background(), propagation.HeaderCarrier(in)))
	}
	if !t.sampled(parent, trusted) {
		return ctx, Span{}
	}
	if parent.IsValid() {
		ctx = oteltrace.ContextWithRemoteSpanContext(ctx, parent)
	}
	return t.start(ctx, name, Server)
}

// Begin begins a trace of work that no request has caused, if it is sampled.
func (t *Tracer) Begin(ctx context.Context, name string, k Kind) (context.Context, Span) {
	if t == nil || !t.sampled(oteltrace.SpanContext{}, false) {
		return ctx, Span{}
	}
	return t.start(ctx, name, k)
}

func (t *Tracer) start(ctx context.Context, name string, k Kind) (context.Context, Span) {
	ctx, s := t.tracer.Start(ctx, name, oteltrace.WithSpanKind(oteltrace.SpanKind(k)))
	return ctx, Span{s}
}

// sampled decides about a trace at its first request here.
func (t *Tracer) sampled(parent oteltrace.SpanContext, trusted bool) bool {
	if parent.IsValid() && trusted && t.o.ParentBased {
		return parent.IsSampled()
	}
	switch {
	case t.o.Ratio >= 1:
		return true
	case t.o.Ratio <= 0:
		return false
	case parent.IsValid() && trusted:
		id := parent.TraceID()
		return binary.BigEndian.Uint64(id[8:])>>1 < t.bound
	}
	return rand.Uint64()>>1 < t.bound // not by the id that a stranger chose
}

// ids makes the ids of spans. Those of traces are ids that a sampler of the same ratio samples,
// wherever the trace goes on.
type ids struct{ bound uint64 }

// NewIDs returns the ids of a trace and of its first span.
func (g ids) NewIDs(ctx context.Context) (t oteltrace.TraceID, s oteltrace.SpanID) {
	low := rand.Uint64()
	if g.bound > 0 && g.bound < 1<<63 {
		low = rand.Uint64N(g.bound)<<1 | low&1
	}
	binary.BigEndian.PutUint64(t[:8], rand.Uint64()|1) // not zero
	binary.BigEndian.PutUint64(t[8:], low)
	return t, g.NewSpanID(ctx, t)
}

// NewSpanID returns the id of a further span.
func (ids) NewSpanID(context.Context, oteltrace.TraceID) (s oteltrace.SpanID) {
	binary.BigEndian.PutUint64(s[:], rand.Uint64()|1)
	return s
}

// Start begins a span within the one of ctx. Without that, it returns ctx itself.
func Start(ctx context.Context, name string, k Kind) (context.Context, Span) {
	parent := oteltrace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, Span{}
	}
	ctx, s := parent.TracerProvider().Tracer(scope).
		Start(ctx, name, oteltrace.WithSpanKind(oteltrace.SpanKind(k)))
	return ctx, Span{s}
}

// Span is one step of a trace. The zero Span is none, and ignores everything.
type Span struct{ s oteltrace.Span }

// Of returns the span of ctx.
func Of(ctx context.Context) Span {
	if s := oteltrace.SpanFromContext(ctx); s.IsRecording() {
		return Span{s}
	}
	return Span{}
}

// Recording reports whether the span is one that is sent.
func (s Span) Recording() bool { return s.s != nil }

// TraceID returns the id of the trace, or "".
func (s Span) TraceID() string {
	if s.s == nil {
		return ""
	}
	return s.s.SpanContext().TraceID().String()
}

// Name replaces the span's name.
func (s Span) Name(name string) {
	if s.s != nil {
		s.s.SetName(name)
	}
}

// Set adds a fact, unless it is "".
func (s Span) Set(name, value string) {
	if s.s != nil && value != "" {
		s.s.SetAttributes(attribute.String(name, value))
	}
}

// SetInt adds a number.
func (s Span) SetInt(name string, value int) {
	if s.s != nil {
		s.s.SetAttributes(attribute.Int(name, value))
	}
}

// Fail marks the span as failed. kind is a word of a fixed list; an error's own text may hold what
// a trace must not.
func (s Span) Fail(kind string) {
	if s.s != nil {
		s.s.SetAttributes(attribute.String("error.type", kind))
		s.s.SetStatus(codes.Error, "")
	}
}

// End ends the span.
func (s Span) End() {
	if s.s != nil {
		s.s.End()
	}
}

// Inject makes a request with these headers part of the trace: the next server goes on with it.
// Without a span it changes nothing.
func (s Span) Inject(h http.Header) {
	if s.s == nil {
		return
	}
	delete(h, "Traceparent")
	delete(h, "Tracestate")
	ctx := oteltrace.ContextWithSpan(context.Background(), s.s)
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(h))
}

// millis returns a duration in milliseconds.
func millis(n int) time.Duration { return time.Duration(n) * time.Millisecond }
