package trace

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Attribute is one fact about the server.
type Attribute struct{ Name, Value string }

// Options say what is traced and where it is sent. New makes nothing without an Endpoint.
type Options struct {
	Endpoint    string // complete
	Headers     []Attribute
	Certificate string // a PEM file, or ""
	Gzip        bool
	Timeout     time.Duration // of one request to the collector

	Service    string
	Version    string
	Attributes []Attribute

	ParentBased bool
	Ratio       float64 // of the traces that begin here, 0 to 1
	Propagate   bool

	Delay         time.Duration // the longest time until spans are sent
	ExportTimeout time.Duration // of one batch, with repetitions
	Queue, Batch  int           // spans

	Report Report // or nil
}

// Report receives what becomes of spans. It is called by one goroutine at a time, but for Dropped.
type Report interface {
	Exported(spans int)
	Dropped(spans int)
	// Failed is called when the collector did not take spans.
	Failed(spans int, err error)
}

// ParseOptions reads the settings of the OpenTelemetry specification. As it demands, a value that
// is unknown is ignored with a warning, and the default counts.
func ParseOptions(set map[string]string, version string) (o Options, warnings []string) {
	p := parser{set: set}
	o = Options{Version: version, Service: "gatehouse", ParentBased: true, Ratio: 1}
	o.Endpoint = p.endpoint()
	if o.Endpoint == "" {
		return o, p.warnings
	}
	o.Headers = p.pairs("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
	o.Certificate = p.first("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE")
	o.Timeout = millis(p.number(10_000, "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"))
	switch v := p.first("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"); v {
	case "", "none":
	case "gzip":
		o.Gzip = true
	default:
		p.warn("OTEL_EXPORTER_OTLP_COMPRESSION is %q; nothing is compressed", v)
	}
	o.Attributes = p.pairs("OTEL_RESOURCE_ATTRIBUTES")
	for i, a := range o.Attributes {
		if a.Name == "service.name" {
			o.Service = a.Value
			o.Attributes = append(o.Attributes[:i], o.Attributes[i+1:]...)
			break
		}
	}
	if name := p.first("OTEL_SERVICE_NAME"); name != "" {
		o.Service = name
	}
	p.sampler(&o)
	switch v := p.first("OTEL_PROPAGATORS"); {
	case v == "none":
	case v == "", strings.Contains(v, "tracecontext"):
		o.Propagate = true
	default:
		p.warn("OTEL_PROPAGATORS is %q; only tracecontext is supported, and nothing is propagated", v)
	}
	o.Delay = millis(p.number(5000, "OTEL_BSP_SCHEDULE_DELAY"))
	o.ExportTimeout = millis(p.number(30_000, "OTEL_BSP_EXPORT_TIMEOUT"))
	o.Queue = p.number(2048, "OTEL_BSP_MAX_QUEUE_SIZE")
	o.Batch = min(p.number(512, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"), o.Queue)
	return o, p.warnings
}

type parser struct {
	set      map[string]string
	warnings []string
}

func (p *parser) warn(format string, args ...any) {
	p.warnings = append(p.warnings, fmt.Sprintf(format, args...))
}

// first returns the value of the first name that has one.
func (p *parser) first(names ...string) string {
	for _, name := range names {
		if v := strings.TrimSpace(p.set[name]); v != "" {
			return v
		}
	}
	return ""
}

// number returns a whole number above 0.
func (p *parser) number(otherwise int, names ...string) int {
	text := p.first(names...)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 || n > 1<<20 {
		p.warn("%s is %q, and must be a whole number from 1 to 1048576; %d is used", names[0], text, otherwise)
		return otherwise
	}
	return n
}

// pairs reads a list of name=value with values encoded as in URLs. The values stay out of warnings:
// they may be keys.
func (p *parser) pairs(names ...string) (all []Attribute) {
	for part := range strings.SplitSeq(p.first(names...), ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if name = strings.TrimSpace(name); !ok || name == "" || err != nil {
			p.warn("an entry of %s is not name=value; it is ignored", names[len(names)-1])
			continue
		}
		all = append(all, Attribute{name, value})
	}
	return all
}

// endpoint returns where traces are sent, or "".
func (p *parser) endpoint() string {
	if strings.EqualFold(p.first("OTEL_SDK_DISABLED"), "true") {
		return ""
	}
	address, appended := p.first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), false
	if address == "" {
		address, appended = p.first("OTEL_EXPORTER_OTLP_ENDPOINT"), true
	}
	if address == "" {
		return ""
	}
	switch v := p.first("OTEL_TRACES_EXPORTER"); v {
	case "", "otlp":
	case "none":
		return ""
	default:
		p.warn("OTEL_TRACES_EXPORTER is %q; only otlp and none are supported, and there are no traces", v)
		return ""
	}
	protocol := p.first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
	if protocol != "" && protocol != "http/protobuf" {
		p.warn("OTEL_EXPORTER_OTLP_PROTOCOL is %q, so there are no traces; set http/protobuf, and the "+
			"endpoint to the collector's port for HTTP, usually 4318", protocol)
		return ""
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		p.warn("OTEL_EXPORTER_OTLP_ENDPOINT is not an http or https address, so there are no traces")
		return ""
	}
	if appended {
		u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/")+"/v1/traces", ""
	}
	return u.String()
}

// sampler reads which requests are traced.
func (p *parser) sampler(o *Options) {
	name := p.first("OTEL_TRACES_SAMPLER")
	if name == "" {
		name = "parentbased_always_on"
	}
	root, parentBased := strings.CutPrefix(name, "parentbased_")
	switch root {
	case "always_on":
		o.Ratio = 1
	case "always_off":
		o.Ratio = 0
	case "traceidratio":
		o.Ratio = 1
		if arg := p.first("OTEL_TRACES_SAMPLER_ARG"); arg != "" {
			r, err := strconv.ParseFloat(arg, 64)
			if err != nil || !(r >= 0 && r <= 1) {
				p.warn("OTEL_TRACES_SAMPLER_ARG is %q, and must be a number from 0 to 1; 1 is used", arg)
				r = 1
			}
			o.Ratio = r
		}
	default:
		p.warn("OTEL_TRACES_SAMPLER is %q, which is unknown; parentbased_always_on is used", name)
		parentBased = true
	}
	o.ParentBased = parentBased
}
