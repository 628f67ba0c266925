package testkit

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector is an OpenTelemetry collector that keeps the spans it gets.
type Collector struct {
	URL string

	mu       sync.Mutex
	spans    []Span
	raw      strings.Builder
	headers  http.Header
	resource map[string]string
}

// Span is one span that a Collector got.
type Span struct {
	Trace, ID, Parent string // hexadecimal; "" if there is none
	Name              string
	Kind              int
	Failed            bool
	Attributes        map[string]string
	Nanos             uint64 // from its start to its end
}

// StartCollector starts a collector for OTLP over HTTP at the path /v1/traces.
func StartCollector(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{}
	s := httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(s.Close)
	c.URL = s.URL
	return c
}

func (c *Collector) serve(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	raw, err := io.ReadAll(body)
	var in collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(raw, &in)
	}
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, "not an export of traces", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.headers = r.Header
	c.raw.Write(raw)
	for _, rs := range in.ResourceSpans {
		c.resource = attributes(rs.Resource.Attributes)
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				c.spans = append(c.spans, Span{
					Trace:      hex.EncodeToString(s.TraceId),
					ID:         hex.EncodeToString(s.SpanId),
					Parent:     hex.EncodeToString(s.ParentSpanId),
					Name:       s.Name,
					Kind:       int(s.Kind),
					Failed:     s.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR,
					Attributes: attributes(s.Attributes),
					Nanos:      s.EndTimeUnixNano - s.StartTimeUnixNano,
				})
			}
		}
	}
}

func attributes(list []*common.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range list {
		switch v := a.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			all[a.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			all[a.Key] = strconv.FormatInt(v.IntValue, 10)
		default:
			all[a.Key] = a.Value.String()
		}
	}
	return all
}

// Spans returns the spans so far.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Span(nil), c.spans...)
}

// Raw returns everything that was sent so far, as bytes.
func (c *Collector) Raw() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.raw.String()
}

// Last returns the headers and the attributes of the server of the last export.
func (c *Collector) Last() (http.Header, map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.headers, c.resource
}
