package app

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/gateway"
	"github.com/gatehouse-id/gatehouse/internal/metric"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/trace"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// monitor is how a server is watched: its metrics and traces. Either may be missing; a nil monitor
// has neither.
type monitor struct {
	metrics *metric.Metrics // nil: no METRICS_PORT
	tracer  *trace.Tracer   // nil: no collector
	proxies []netip.Prefix
	static  map[string]string // path of a public document → its route

	realm bool // watches a realm: the state of the process is not its own

	stopMetrics func() // ends the serving of metrics; or nil
}

// newMonitor returns what the settings ask for, or nil if that is nothing.
func newMonitor(cfg *config.Config, log *slog.Logger) *monitor {
	m := &monitor{proxies: cfg.Server.TrustedProxies}
	if cfg.Monitoring.MetricsPort != 0 {
		engine := "sqlite"
		if !strings.HasPrefix(string(cfg.Storage.DatabaseURL), "sqlite:") {
			engine = "postgresql"
		}
		m.metrics = metric.New(metric.Build{
			Version:   version(),
			GoVersion: runtime.Version(),
			Engine:    engine,
		})
		var types []string
		for _, t := range audit.Types() {
			types = append(types, string(t))
		}
		m.metrics.Events.Types(types)
	}
	o, warnings := trace.ParseOptions(cfg.Monitoring.Telemetry(), version())
	for _, w := range warnings {
		log.Warn(w)
	}
	if o.Endpoint != "" {
		o.Report = &spanReport{metrics: m.metrics, log: log}
		m.tracer = trace.New(o)
	}
	if m.metrics == nil && m.tracer == nil {
		return nil
	}
	return m
}

// close ends the serving of metrics, and sends the spans that wait. It has little time: the
// collector may be the one that is away.
func (m *monitor) close() {
	if m == nil {
		return
	}
	if m.stopMetrics != nil {
		m.stopMetrics()
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	m.tracer.Close(ctx)
}

// flushTimeout bounds the sending of the last spans at the stop.
const flushTimeout = 2 * time.Second

// spanReport counts what becomes of spans, and logs when the collector goes away and returns.
type spanReport struct {
	metrics *metric.Metrics // or nil
	log     *slog.Logger
	away    bool
}

// Exported counts spans that the collector has taken.
func (r *spanReport) Exported(n int) {
	if r.metrics != nil {
		r.metrics.Traces.Exported(n)
	}
	if r.away {
		r.away = false
		r.log.Info("the collector takes traces again")
	}
}

// Dropped counts spans that the queue had no room for.
func (r *spanReport) Dropped(n int) {
	if r.metrics != nil {
		r.metrics.Traces.Dropped(n)
	}
}

// Failed counts spans that the collector has not taken.
func (r *spanReport) Failed(n int, err error) {
	if r.metrics != nil {
		r.metrics.Traces.Failed(n)
	}
	if !r.away {
		r.away = true
		r.log.Warn("traces cannot be sent to OTEL_EXPORTER_OTLP_ENDPOINT and are dropped; "+
			"the server goes on without them", "error", err)
	}
}

// storeOptions adds what watches the database.
func (m *monitor) storeOptions(o *store.Options) {
	if m == nil {
		return
	}
	o.Observer = databaseObserver{m}
	if m.metrics != nil {
		o.OnEvent = m.event
		o.OnRevocation = func(at time.Time) { m.metrics.State.Lag(time.Since(at)) }
	}
}

// event counts an entry of the audit log.
func (m *monitor) event(ev *audit.Event) {
	m.metrics.Events.Count(string(ev.Type))
	if ev.Type == audit.AccountLocked {
		m.metrics.SignIns.Lock(ev.Detail["scope"])
	}
}

// check counts the check of a factor.
func (m *monitor) check(kind string, err error) {
	outcome := metric.OutcomeSuccess
	switch {
	case err == nil:
	case fault.Is(err, fault.Limited):
		outcome = metric.OutcomeLocked
	case web.Status(err) >= http.StatusInternalServerError:
		outcome = metric.OutcomeFailed
	default:
		outcome = metric.OutcomeRejected
	}
	m.metrics.SignIns.Count(kind, outcome)
}

// jobRan counts a run of a job.
func (m *monitor) jobRan(name string, err error) {
	if m != nil && m.metrics != nil {
		m.metrics.Jobs.Ran(name, err, time.Now())
	}
}

// backupRan counts a backup that this server made or failed to make.
func (m *monitor) backupRan(err error) {
	if m != nil && m.metrics != nil {
		m.metrics.Backups.Ran(err)
	}
}

// requestObserver returns what watches requests, or nil. static are the public documents.
func (m *monitor) requestObserver(static map[string]web.StaticDoc) web.Observer {
	if m == nil {
		return nil
	}
	m.static = map[string]string{}
	for path := range static {
		m.static[path] = http.MethodGet + " " + path
	}
	return requestObserver{m}
}

// requestObserver measures and traces requests.
type requestObserver struct{ *monitor }

// routeGateway stands for all routes of the gateway: their names are in metrics of their own.
const routeGateway = "gateway"

// Begin counts a request that begins, and begins its span if it is sampled.
func (m requestObserver) Begin(r *http.Request) (context.Context, string) {
	if m.metrics != nil {
		m.metrics.HTTP.Begin()
	}
	ctx := r.Context()
	if m.tracer == nil {
		return ctx, ""
	}
	trusted := len(r.Header["Traceparent"]) > 0 && m.fromProxy(r)
	ctx, span := m.tracer.Request(ctx, methodName(r.Method), r.Header, trusted)
	if !span.Recording() {
		return ctx, ""
	}
	span.Set("http.request.method", methodName(r.Method))
	span.SetInt("network.protocol.version", r.ProtoMajor)
	return ctx, span.TraceID()
}

// fromProxy reports whether a request comes from a proxy in TRUSTED_PROXIES.
func (m *monitor) fromProxy(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && netaddr.Contains(m.proxies, netaddr.Canonical(peer.Addr()))
}

// methodName returns a method of a fixed list: that of a request may be any word.
func methodName(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return method
	}
	return "_OTHER"
}

// End measures a request that has been answered, and ends its span.
func (m requestObserver) End(ctx context.Context, r *http.Request, ev *web.Event, took time.Duration) {
	route := ev.Route
	if ev.Passed {
		route = routeGateway
	}
	code := ""
	if ev.Status >= http.StatusBadRequest && ev.Err != nil {
		code = web.ProblemOf(ev.Err).Code
	}
	if m.metrics != nil {
		m.metrics.HTTP.End()
		m.metrics.HTTP.Observe(route, ev.Status, took, ev.Trace, code)
		if ev.Grant != "" {
			m.countTokens(ev, code)
		}
	}
	if ev.Trace != "" {
		m.endSpan(trace.Of(ctx), r, ev, code)
	}
}

// countTokens counts a request for tokens.
func (m requestObserver) countTokens(ev *web.Event, code string) {
	if code == "" && ev.Status >= http.StatusBadRequest {
		code = "unknown"
	}
	m.metrics.Tokens.Count(ev.Grant, code)
}

func (m requestObserver) endSpan(span trace.Span, r *http.Request, ev *web.Event, code string) {
	name := ev.Route
	if !strings.Contains(name, " ") { // else it begins with the method
		name = methodName(r.Method) + " " + name
	}
	span.Name(name)
	span.Set("http.route", ev.Route)
	span.SetInt("http.response.status_code", ev.Status)
	span.Set("gatehouse.request_id", ev.ID)
	span.Set("gatehouse.error", code)
	if ev.Status >= http.StatusInternalServerError {
		if code == "" {
			code = "server_error"
		}
		span.Fail(code)
	}
	span.End()
}

// Static measures the request for a public document.
func (m requestObserver) Static(path string, took time.Duration) {
	if m.metrics != nil {
		m.metrics.HTTP.Observe(m.static[path], http.StatusOK, took, "", "")
	}
}

// databaseObserver measures and traces operations on the database.
type databaseObserver struct{ *monitor }

// Begin begins the span of an operation of a request that is traced.
func (m databaseObserver) Begin(ctx context.Context, _ bool, text string) (context.Context, bool) {
	if m.tracer == nil {
		return ctx, false
	}
	ctx, span := trace.Start(ctx, sqlName(text), trace.Client)
	if !span.Recording() {
		return ctx, false
	}
	span.Set("db.query.text", text) // with $1 in place of values
	return ctx, true
}

// sqlName returns the first word of a statement.
func sqlName(text string) string {
	word, _, _ := strings.Cut(strings.TrimLeft(text, " \t\r\n("), " ")
	return word
}

// End measures an operation, and ends its span.
func (m databaseObserver) End(ctx context.Context, o store.Operation) {
	id := ""
	outcome := outcomeOf(o.Err)
	if m.tracer != nil {
		if span := trace.Of(ctx); span.Recording() {
			id = span.TraceID()
			switch outcome {
			case metric.Unavailable:
				span.Fail("unavailable")
			case metric.Failed:
				span.Fail("error")
			}
			span.End()
		}
	}
	if m.metrics != nil && !o.Inside {
		m.metrics.Database.Observe(o.Write, o.Took, outcome, id)
	}
}

// outcomeOf returns the outcome of an operation. That nothing was found is none of the database's
// failures, nor that a transaction decided against itself.
func outcomeOf(err error) metric.Outcome {
	if err == nil {
		return metric.Done
	}
	switch fault.KindOf(err) {
	case fault.Conflict:
		return metric.Conflict
	case fault.Unavailable:
		return metric.Unavailable
	case fault.Internal:
		return metric.Failed
	}
	return metric.Done
}

// gatewayMeter adapts the metrics to the gateway.
type gatewayMeter struct{ *metric.Gateway }

// Route returns the counters of a route.
func (m gatewayMeter) Route(name string) gateway.RouteMeter {
	if name == "" {
		return m.None()
	}
	return m.Gateway.Route(name)
}

// gatewayMeter returns what counts decisions of the gateway, or nil.
func (m *monitor) gatewayMeter() gateway.Meter {
	if m == nil || m.metrics == nil {
		return nil
	}
	return gatewayMeter{m.metrics.Gateway}
}
