// Package metric holds what a server measures of itself, and serves it to Prometheus.
//
// A *Metrics belongs to one server and has a registry of its own, so that several servers in one
// process do not collide. Labels take their values from lists of this program and from what
// operators configure, never from what callers send: the number of series is bounded. What a
// request touches is resolved beforehand or looked up without an allocation.
package metric

import (
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// other is the value of a label for what is in no list.
const other = "other"

// Kinds of metrics.
const (
	kindCounter   = "counter"
	kindGauge     = "gauge"
	kindHistogram = "histogram"
)

// A Doc describes one metric, for the reference page.
type Doc struct {
	Group  string
	Name   string
	Kind   string
	Help   string
	Labels []string
}

// Build says which program is running.
type Build struct {
	Version   string
	GoVersion string
	Engine    string // of the database
}

// Metrics is what one server measures. It is safe for concurrent use.
type Metrics struct {
	HTTP     *HTTP
	Tokens   *Tokens
	SignIns  *SignIns
	Events   *Events
	Gateway  *Gateway
	Hashing  *Hashing
	Database *Database
	State    *State
	Logs     *Logs
	Jobs     *Jobs
	Backups  *Backups
	Traces   *Traces
	Realms   *Realms

	registry *prometheus.Registry
	group    string
	docs     []Doc
}

// New returns the metrics of a server.
func New(b Build) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	for _, part := range []struct {
		group string
		make  func()
	}{
		{"Requests", func() { m.HTTP = newHTTP(m) }},
		{"Tokens", func() { m.Tokens = newTokens(m) }},
		{"Signing in", func() { m.SignIns = newSignIns(m); m.Hashing = newHashing(m) }},
		{"Audit log", func() { m.Events = newEvents(m) }},
		{"Gateway", func() { m.Gateway = newGateway(m) }},
		{"Database", func() { m.Database = newDatabase(m) }},
		{"State of the server", func() { m.State = newState(m, b) }},
		{"Realms", func() { m.Realms = newRealms(m) }},
		{"Backups", func() { m.Backups = newBackups(m) }},
		{"Background work", func() { m.Jobs = newJobs(m); m.Traces = newTraces(m); m.Logs = newLogs(m) }},
	} {
		m.group = part.group
		part.make()
	}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// Docs returns the descriptions of all metrics of this program, in the order of the reference page.
func (m *Metrics) Docs() []Doc { return slices.Clone(m.docs) }

// Handler serves the metrics, in the format that the scraper prefers.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		EnableOpenMetrics:   true, // exemplars are part of it
		MaxRequestsInFlight: 4,
		ErrorHandling:       promhttp.ContinueOnError,
	})
}

// Gatherer returns the source of the metrics, for tests.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

func (m *Metrics) add(kind, name, help string, labels []string, c prometheus.Collector) {
	m.registry.MustRegister(c)
	m.docs = append(m.docs, Doc{Group: m.group, Name: name, Kind: kind, Help: help, Labels: labels})
}

func (m *Metrics) counters(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.add(kindCounter, name, help, labels, c)
	return c
}

func (m *Metrics) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	m.add(kindCounter, name, help, nil, c)
	return c
}

func (m *Metrics) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	m.add(kindGauge, name, help, labels, g)
	return g
}

func (m *Metrics) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	m.add(kindGauge, name, help, nil, g)
	return g
}

func (m *Metrics) gaugeFunc(name, help string, f func() float64) {
	m.add(kindGauge, name, help, nil,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
}

func (m *Metrics) histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	m.add(kindHistogram, name, help, labels, h)
	return h
}

func (m *Metrics) histogram(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	m.add(kindHistogram, name, help, nil, h)
	return h
}

// Markdown returns the reference page of all metrics.
func Markdown() string {
	var b strings.Builder
	b.WriteString(`# Metrics

This page is generated from the code: ` + "`go test ./internal/metric -update`" + `.

The server serves its metrics at ` + "`/metrics`" + ` on ` + "`METRICS_PORT`" + `, in the text format of
Prometheus or, where the scraper asks for it, as OpenMetrics with exemplars.
[Monitor](guides/monitor.md) says how to collect them, and what to alert on. Beside these there are
the usual metrics of Go programs (` + "`go_*`" + `) and of processes (` + "`process_*`" + `).

Times are in seconds, sizes in bytes, moments in seconds since 1970. Labels never hold what a caller
sends: what is in no list of this program counts as ` + "`other`" + `.
`)
	group := ""
	for _, d := range New(Build{}).docs {
		if d.Group != group {
			group = d.Group
			b.WriteString("\n## " + group + "\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n")
		}
		labels := "–"
		if len(d.Labels) > 0 {
			labels = "`" + strings.Join(d.Labels, "`, `") + "`"
		}
		b.WriteString("| `" + d.Name + "` | " + d.Kind + " | " + labels + " | " + d.Help + " |\n")
	}
	return b.String()
}
