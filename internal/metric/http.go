package metric

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxRoutes bounds the patterns of routes that have series of their own; the program has fewer.
const maxRoutes = 1000

// HTTP measures requests. Routes are the patterns of the server's own endpoints; all requests to
// routes of the gateway are one.
type HTTP struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	errors   fixed
	inFlight atomic.Int64

	mu     sync.Mutex // of changes
	routes atomic.Pointer[map[string]*route]
}

// route is the series of one pattern, resolved when it is first used.
type route struct {
	byClass  [6]prometheus.Counter // 1xx at 1, …, others at 0
	duration prometheus.Observer
}

// errorCodes returns the codes of errors that have series of their own: those of OAuth 2.0 and
// OpenID Connect, and this server's own.
func errorCodes() []string {
	return []string{
		"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client",
		"unsupported_grant_type", "invalid_scope", "invalid_token", "insufficient_scope",
		"insufficient_user_authentication", "invalid_target", "invalid_dpop_proof", "use_dpop_nonce",
		"authorization_pending", "slow_down", "expired_token", "access_denied", "login_required",
		"consent_required", "interaction_required", "account_selection_required",
		"unsupported_response_type", "unsupported_token_type", "invalid_request_uri",
		"invalid_request_object", "request_not_supported", "request_uri_not_supported",
		"invalid_redirect_uri", "invalid_client_metadata", "server_error", "temporarily_unavailable",
		"rate_limit_exceeded", "not_found", "method_not_allowed", "request_too_large",
		"upstream_failed",
	}
}

func newHTTP(m *Metrics) *HTTP {
	h := &HTTP{
		requests: m.counters("gatehouse_http_requests_total",
			"Requests answered, by the pattern of their route and the class of the status (2xx).",
			"route", "code"),
		duration: m.histograms("gatehouse_http_request_duration_seconds",
			"Time from the first byte of a request to the last of its answer.",
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}, "route"),
		errors: newFixed(m.counters("gatehouse_http_errors_total",
			"Requests answered with an error, by its code: why they were refused.", "error"),
			errorCodes()),
	}
	h.routes.Store(&map[string]*route{})
	m.gaugeFunc("gatehouse_http_requests_in_flight", "Requests being answered now.",
		func() float64 { return float64(h.inFlight.Load()) })
	return h
}

// Begin counts a request that begins.
func (h *HTTP) Begin() { h.inFlight.Add(1) }

// End counts a request that has begun as answered.
func (h *HTTP) End() { h.inFlight.Add(-1) }

// Observe counts an answered request. A trace that is not "" becomes the exemplar of its duration;
// code is the code of its error, or "".
func (h *HTTP) Observe(pattern string, status int, took time.Duration, trace, code string) {
	r := h.route(pattern)
	class := status / 100
	if class < 1 || class > 5 {
		class = 0
	}
	r.byClass[class].Inc()
	observe(r.duration, took, trace)
	if code != "" {
		h.errors.inc(code)
	}
}

// route returns the series of a pattern. The map is replaced as a whole, so that requests read it
// without a lock.
func (h *HTTP) route(pattern string) *route {
	if r := (*h.routes.Load())[pattern]; r != nil {
		return r
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	all := *h.routes.Load()
	name := pattern
	if len(all) >= maxRoutes {
		name = other
	}
	if r := all[name]; r != nil {
		return r
	}
	r := &route{duration: h.duration.WithLabelValues(name)}
	for i, class := range []string{other, "1xx", "2xx", "3xx", "4xx", "5xx"} {
		r.byClass[i] = lazy(h.requests, name, class)
	}
	all = maps.Clone(all)
	all[name] = r
	h.routes.Store(&all)
	return r
}

// observe adds a duration to a histogram, with the trace as its exemplar.
func observe(o prometheus.Observer, took time.Duration, trace string) {
	if with, ok := o.(prometheus.ExemplarObserver); ok && trace != "" {
		with.ObserveWithExemplar(took.Seconds(), prometheus.Labels{"trace_id": trace})
		return
	}
	o.Observe(took.Seconds())
}

// lazyCounter is a counter whose series begins with its first event: five classes of each of some
// hundred routes would be series that say nothing.
type lazyCounter struct {
	prometheus.Counter
	once   sync.Once
	of     *prometheus.CounterVec
	labels []string
}

func lazy(of *prometheus.CounterVec, labels ...string) *lazyCounter {
	return &lazyCounter{of: of, labels: labels}
}

// Inc counts one event.
func (c *lazyCounter) Inc() {
	c.once.Do(func() { c.Counter = c.of.WithLabelValues(c.labels...) })
	c.Counter.Inc()
}

// fixed is a family of counters of which one label takes its values from a list. It is not changed
// after it was made.
type fixed map[string]*lazyCounter

func newFixed(of *prometheus.CounterVec, values []string) fixed {
	f := fixed{other: lazy(of, other)}
	for _, v := range values {
		f[v] = lazy(of, v)
	}
	return f
}

func (f fixed) inc(value string) {
	c := f[value]
	if c == nil {
		c = f[other]
	}
	c.Inc()
}
