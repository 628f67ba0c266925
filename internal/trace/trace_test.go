package trace

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// counts counts what becomes of spans.
type counts struct{ exported, dropped, failed, failures atomic.Int64 }

func (c *counts) Exported(n int)        { c.exported.Add(int64(n)) }
func (c *counts) Dropped(n int)         { c.dropped.Add(int64(n)) }
func (c *counts) Failed(n int, _ error) { c.failed.Add(int64(n)); c.failures.Add(1) }

// options returns those of some settings, which must have no warnings.
func options(t *testing.T, settings ...string) Options {
	t.Helper()
	set := map[string]string{}
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		set[name] = value
	}
	o, warnings := ParseOptions(set, "1.2.3")
	if len(warnings) > 0 {
		t.Fatal(warnings)
	}
	return o
}

const stranger = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// A trace goes on from its caller to what the request causes, and arrives at the collector with the
// settings' headers.
func TestExport(t *testing.T) {
	c := testkit.StartCollector(t)
	for _, compression := range []string{"none", "gzip"} {
		tracer := New(options(t,
			"OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL,
			"OTEL_EXPORTER_OTLP_COMPRESSION="+compression,
			"OTEL_EXPORTER_OTLP_HEADERS=x-key=a%20secret, other=b",
			"OTEL_RESOURCE_ATTRIBUTES=service.name=ignored,deployment.environment.name=test",
			"OTEL_SERVICE_NAME=login",
		))
		ctx, request := tracer.Request(t.Context(), "POST /x", http.Header{
			"Traceparent": {stranger}, "Tracestate": {"vendor=1"},
		}, true)
		_, inner := Start(ctx, "SELECT", Client)
		inner.Set("db.query.text", "SELECT 1")
		inner.SetInt("rows", 3)
		inner.Fail("error")
		out := http.Header{"Traceparent": {"other"}, "Tracestate": {"other=1"}}
		inner.Inject(out)
		inner.End()
		request.End()
		tracer.Close(t.Context())

		spans := c.Spans()[len(c.Spans())-2:]
		first, second := spans[1], spans[0] // the inner one ended first
		testkit.Equal(t, "the caller's trace", first.Trace, stranger[3:35])
		testkit.Equal(t, "the caller's span", first.Parent, stranger[36:52])
		testkit.Equal(t, "the trace", second.Trace, first.Trace)
		testkit.Equal(t, "the parent", second.Parent, first.ID)
		testkit.Equal(t, "the next server's", out.Get("Traceparent"), "00-"+first.Trace+"-"+second.ID+"-01")
		testkit.Equal(t, "the state", out.Get("Tracestate"), "vendor=1")
		if first.Kind != 2 || second.Kind != 3 || first.Failed || !second.Failed ||
			second.Attributes["rows"] != "3" || second.Attributes["db.query.text"] != "SELECT 1" {
			t.Errorf("got %+v and %+v", first, second)
		}
		header, resource := c.Last()
		if header.Get("X-Key") != "a secret" || header.Get("Other") != "b" ||
			resource["service.name"] != "login" || resource["service.version"] != "1.2.3" ||
			resource["deployment.environment.name"] != "test" {
			t.Errorf("headers %v, server %v", header, resource)
		}
	}
}

// What a stranger says in tracestate goes nowhere, nor does a long one.
func TestStateOfStrangers(t *testing.T) {
	c := testkit.StartCollector(t)
	tracer := New(options(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL))
	for _, h := range []http.Header{
		{"Traceparent": {stranger}, "Tracestate": {"k=STATEMARK"}},
		{"Traceparent": {stranger}, "Tracestate": {"k=" + strings.Repeat("STATEMARK", 100)}},
		{"Traceparent": {stranger, stranger}, "Tracestate": {"k=STATEMARK"}},
		{"Traceparent": {"00-STATEMARK"}, "Tracestate": {"k=STATEMARK"}},
	} {
		_, span := tracer.Request(t.Context(), "GET", h, len(h.Get("Tracestate")) > maxState)
		out := http.Header{}
		span.Inject(out)
		span.End()
		testkit.Equal(t, "the state for the next server", out.Get("Tracestate"), "")
	}
	tracer.Close(t.Context())
	if len(c.Spans()) != 4 || strings.Contains(c.Raw(), "STATEMARK") {
		t.Errorf("%d spans, with what callers said: %q", len(c.Spans()), c.Raw())
	}
}

// The decision of a caller counts only if it is trusted.
func TestSampling(t *testing.T) {
	sampled, not := stranger, stranger[:53]+"00"
	const low, high = "00-00000000000000010000000000000001-b7ad6b7169203331-00", "00-0000000000000001ffffffffffffffff-b7ad6b7169203331-01"
	for _, c := range []struct {
		sampler, arg, parent string
		trusted              bool
		want                 float64
	}{
		{"", "", "", false, 1},
		{"parentbased_always_on", "", not, true, 0},
		{"parentbased_always_on", "", not, false, 1}, // nobody hides
		{"parentbased_always_off", "", sampled, true, 1},
		{"parentbased_always_off", "", sampled, false, 0}, // nor fills the collector
		{"always_off", "", sampled, true, 0},
		{"always_on", "", not, true, 1},
		{"parentbased_traceidratio", "0", sampled, false, 0},
		{"parentbased_traceidratio", "0.25", "", false, 0.25},
		{"parentbased_traceidratio", "0.25", low, false, 0.25},
		{"parentbased_traceidratio", "0.25", high, true, 1},
		{"traceidratio", "0.25", low, true, 1},
		{"traceidratio", "0.25", high, true, 0},
		{"traceidratio", "1", "", false, 1},
		{"traceidratio", "", "", false, 1},
	} {
		tracer := New(options(t, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1",
			"OTEL_TRACES_SAMPLER="+c.sampler, "OTEL_TRACES_SAMPLER_ARG="+c.arg, "OTEL_BSP_MAX_QUEUE_SIZE=1"))
		h := http.Header{}
		if c.parent != "" {
			h.Set("Traceparent", c.parent)
		}
		const tries = 4000
		n := 0
		for range tries {
			ctx, span := tracer.Request(t.Context(), "GET", h, c.trusted)
			if !span.Recording() {
				if ctx != t.Context() {
					t.Fatal("a request that is not sampled has another context")
				}
				continue
			}
			n++
			if id := span.TraceID(); c.parent == "" && c.arg == "0.25" && id[16] > '3' {
				t.Fatalf("another server would not sample %s", id)
			}
		}
		if got := float64(n) / tries; got < c.want-0.08 || got > c.want+0.08 {
			t.Errorf("%+v: %.2f of the requests are sampled", c, got)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		tracer.Close(ended)
	}
}

// What is not sampled costs no allocation.
func TestNothingForUnsampled(t *testing.T) {
	tracer := New(options(t, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1",
		"OTEL_TRACES_SAMPLER=parentbased_always_off"))
	defer tracer.Close(t.Context())
	ctx, h := t.Context(), http.Header{}
	if n := testing.AllocsPerRun(100, func() {
		ctx, span := tracer.Request(ctx, "GET", h, false)
		ctx, inner := Start(ctx, "SELECT", Client)
		inner.Set("a", "b")
		inner.Inject(h)
		inner.End()
		Of(ctx).End()
		span.End()
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// A collector that accepts and never answers costs a bounded queue, and little time at the stop.
func TestDeadCollector(t *testing.T) {
	requests := make(chan struct{}, 100)
	dead := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // without it, the server would not notice the end
		requests <- struct{}{}
		<-r.Context().Done()
	}))
	defer dead.Close()
	var n counts
	o := options(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+dead.URL, "OTEL_BSP_MAX_QUEUE_SIZE=100",
		"OTEL_BSP_MAX_EXPORT_BATCH_SIZE=10", "OTEL_BSP_EXPORT_TIMEOUT=600000", "OTEL_EXPORTER_OTLP_TIMEOUT=600000")
	o.Report = &n
	tracer := New(o)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	work := func() {
		_, span := tracer.Begin(t.Context(), "work", Internal)
		span.Set("text", strings.Repeat("x", 10_000))
		span.End()
	}
	for range 10 {
		work()
	}
	<-requests
	before := heap()
	const spans = 20_000
	for range spans {
		work()
	}
	if after := heap(); after > before+(8<<20) {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	if got := n.dropped.Load(); got < spans-100 || n.exported.Load() != 0 {
		t.Errorf("%d spans dropped, %d exported", got, n.exported.Load())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tracer.Close(ctx) // returns although the collector does not
	work()
	if got := n.failed.Load(); got == 0 {
		t.Error("the spans that waited are not counted as failed")
	}
}

// A collector that is busy is requests again when it says so; what it refuses for good is not.
func TestBusyCollector(t *testing.T) {
	for _, c := range []struct {
		status   int
		requests int64
		ok       bool
	}{{503, 2, true}, {429, 2, true}, {400, 1, false}, {307, 1, false}} {
		var requests atomic.Int64
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if requests.Add(1) == 1 {
				w.Header().Set("Location", r.URL.String())
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(c.status)
			}
		}))
		var n counts
		o := options(t, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="+s.URL+"/own/path")
		o.Report = &n
		tracer := New(o)
		_, span := tracer.Begin(t.Context(), "work", Internal)
		span.End()
		tracer.Close(t.Context())
		if requests.Load() != c.requests || (n.exported.Load() == 1) != c.ok || (n.failed.Load() == 1) == c.ok {
			t.Errorf("%d: requests %d times, %d exported, %d failed", c.status, requests.Load(),
				n.exported.Load(), n.failed.Load())
		}
		s.Close()
	}
}

func TestOptions(t *testing.T) {
	const at = "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318"
	for _, c := range []struct {
		set      string
		endpoint string
		warn     string // part of the warning
	}{
		{"", "", ""},
		{at, "http://c:4318/v1/traces", ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=https://c/otlp/", "https://c/otlp/v1/traces", ""},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://c/otlp/", "https://c/otlp/", ""},
		{at + " OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://d/", "http://d/", ""},
		{at + " OTEL_SDK_DISABLED=true", "", ""},
		{at + " OTEL_SDK_DISABLED=false", "http://c:4318/v1/traces", ""},
		{at + " OTEL_TRACES_EXPORTER=none", "", ""},
		{at + " OTEL_TRACES_EXPORTER=zipkin", "", "zipkin"},
		{at + " OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "", "4318"},
		{at + " OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf", "http://c:4318/v1/traces", ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=c:4317", "", "not an http or https address"},
		{at + " OTEL_TRACES_SAMPLER=jaeger_remote", "http://c:4318/v1/traces", "jaeger_remote"},
		{at + " OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=2", "http://c:4318/v1/traces", "from 0 to 1"},
		{at + " OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=NaN", "http://c:4318/v1/traces", "from 0 to 1"},
		{at + " OTEL_BSP_MAX_QUEUE_SIZE=0", "http://c:4318/v1/traces", "whole number"},
		{at + " OTEL_PROPAGATORS=tracecontext,baggage", "http://c:4318/v1/traces", ""},
		{at + " OTEL_PROPAGATORS=b3", "http://c:4318/v1/traces", "b3"},
		{at + " OTEL_EXPORTER_OTLP_HEADERS=topsecret", "http://c:4318/v1/traces", "OTEL_EXPORTER_OTLP_HEADERS"},
	} {
		set := map[string]string{}
		for pair := range strings.FieldsSeq(c.set) {
			name, value, _ := strings.Cut(pair, "=")
			set[name] = value
		}
		o, warnings := ParseOptions(set, "")
		testkit.Equal(t, c.set, o.Endpoint, c.endpoint)
		got := strings.Join(warnings, "; ")
		if (got == "") != (c.warn == "") || !strings.Contains(got, c.warn) || strings.Contains(got, "topsecret") {
			t.Errorf("%s: the warning %q, want one with %q", c.set, got, c.warn)
		}
		if (New(o) != nil) != (c.endpoint != "") {
			t.Errorf("%s: traces are made without an endpoint, or not with one", c.set)
		}
	}
	o := options(t, at, "OTEL_BSP_SCHEDULE_DELAY=10", "OTEL_BSP_MAX_QUEUE_SIZE=5", "OTEL_EXPORTER_OTLP_TIMEOUT=7")
	if o.Delay != 10*time.Millisecond || o.Queue != 5 || o.Batch != 5 || o.Timeout != 7*time.Millisecond {
		t.Errorf("%+v", o)
	}
	var none *Tracer
	none.Close(t.Context())
	if _, span := none.Begin(t.Context(), strconv.Itoa(1), Internal); span.Recording() {
		t.Error("a nil Tracer makes spans")
	}
}
