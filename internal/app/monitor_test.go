package app

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// Watching the hot requests allocates next to nothing: metrics and the sampler's decision cost
// arithmetic only.
func TestWatchingAllocates(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates, too")
	}
	plain := newTestServer(t)
	watched := newTestServer(t, "METRICS_PORT=9464", "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1",
		"OTEL_TRACES_SAMPLER=always_off")
	before, after := plain.work(t), watched.work(t)
	for i, w := range before {
		off, on := testing.AllocsPerRun(200, w.run), testing.AllocsPerRun(200, after[i].run)
		t.Logf("%s: %.0f allocations, %.0f watched", w.name, off, on)
		if on > off+2 {
			t.Errorf("%s: %.0f allocations, and %.0f when it is watched", w.name, off, on)
		}
	}
}

// scrape returns the metrics of a test server as a scraper with an Accept header gets them.
func (h *testServer) scrape(accept string) string {
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	h.parts.monitor.metrics.Handler().ServeHTTP(w, r)
	return w.Body.String()
}

// send sends a request and ignores the answer.
func (h *testServer) send(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	return w
}

const openMetrics = "application/openmetrics-text; version=1.0.0"

// What a server does shows in its metrics, in a form that Prometheus accepts.
func TestMetricsOfServer(t *testing.T) {
	promtool := testkit.Need(t, "promtool")
	c := testkit.StartCollector(t)
	h := newTestServer(t, "METRICS_PORT=9464", "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL)
	for _, w := range h.work(t) {
		w.run()
	}
	h.send(h.request("POST", "/oauth/token", url.Values{"grant_type": {"gth_secret"}}, ""))
	h.send(h.request("POST", "/oauth/token", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {"wrong"},
	}, ""))
	h.server.sampleOnce(t.Context(), h.parts.monitor.metrics, true)
	text := h.scrape("text/plain")
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = strings.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	for _, line := range []string{
		`gatehouse_http_requests_total{code="2xx",route="GET /.well-known/jwks.json"} 1`,
		`gatehouse_tokens_total{grant="refresh_token",outcome="success"} 1`,
		`gatehouse_tokens_total{grant="refresh_token",outcome="invalid_grant"} 1`,
		`gatehouse_tokens_total{grant="authorization_code",outcome="success"} 1`,
		`gatehouse_tokens_total{grant="other",outcome="unsupported_grant_type"} 1`,
		`gatehouse_http_errors_total{error="invalid_grant"} 1`,
		`gatehouse_http_requests_in_flight 0`,
		`gatehouse_database_up 1`,
		`gatehouse_ready 1`,
		`gatehouse_outbox_deliveries{state="queued"} 0`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
	if !strings.Contains(h.scrape(openMetrics), `# {trace_id="`) {
		t.Error("no exemplars")
	}
	if strings.Contains(text, "gth_secret") {
		t.Error("a metric holds what a caller sent")
	}
}

// Strangers make no series, whatever they send.
func TestStrangersMakeNoSeries(t *testing.T) {
	h := newTestServer(t, "METRICS_PORT=9464", "LOG_LEVEL=error", "RATE_LIMIT_ENABLED=false")
	attack := func(word string) {
		for _, method := range []string{"GET", "POST", word} {
			for _, path := range []string{"/" + word, "/oauth/token", "/oauth/authorize?client_id=" + word, "/login", "/healthz"} {
				r := httptest.NewRequest(method, path, strings.NewReader("grant_type="+word+"&client_id="+word))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Host = word + ".example.com"
				h.send(r)
			}
		}
	}
	attack("FIRST")
	attack("SECOND")
	names := func() (n int) {
		for line := range strings.Lines(h.scrape("text/plain")) {
			if strings.HasPrefix(line, "gatehouse_") {
				n++
			}
		}
		return n
	}
	before := names()
	for i := range 200 {
		attack("WORD" + strings.Repeat("X", i%50))
	}
	testkit.Equal(t, "the series", names(), before)
}

// Spans hold nothing that the log does not hold.
func TestTracesHoldNoSecrets(t *testing.T) {
	c := testkit.StartCollector(t)
	h := newTestServer(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL, "RATE_LIMIT_ENABLED=false")
	for _, w := range h.work(t) {
		w.run()
	}
	const marks = "state=STATEMARK&code=CODEMARK&token=TOKENMARK&login_hint=ada%40example.com&nonce=NONCEMARK"
	for _, path := range []string{
		"/oauth/authorize?client_id=web&response_type=code&redirect_uri=https://a.example/cb&scope=openid&" + marks,
		"/oauth/logout?id_token_hint=" + h.access + "&" + marks,
		"/forgot?" + marks, "/reset?" + marks, "/setup?" + marks, "/login?" + marks, "/nothing/PATHMARK?" + marks,
	} {
		h.send(h.request("GET", path, nil, ""))
	}
	for path, form := range map[string]url.Values{
		"/login":  {"username": {"ada@example.com"}, "password": {"PASSWORDMARK"}},
		"/forgot": {"email": {"ada@example.com"}},
	} {
		r := h.request("POST", path, form, "")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Origin", "http://localhost:8080")
		r.Header.Set("Baggage", "user=BAGGAGEMARK")
		r.Header.Set("User-Agent", "AGENTMARK")
		h.send(r)
	}
	if u, err := h.parts.db.UserByLogin(t.Context(), "ada@example.com"); err != nil || u == nil {
		t.Fatal("the person cannot be found by the address")
	}
	h.parts.monitor.close()
	raw := c.Raw()
	for _, secret := range []string{
		"gth_", "eyJ", "ada@example.com", "ada%40", "MARK", "code=", h.secret, "Ada",
	} {
		if at := strings.Index(raw, secret); at >= 0 {
			t.Errorf("%q is in the traces: …%q…", secret, raw[max(0, at-80):min(len(raw), at+60)])
		}
	}
	statements := 0
	for _, s := range c.Spans() {
		if s.Kind == 2 && s.Attributes["gatehouse.request_id"] == "" {
			t.Errorf("a request without its id: %+v", s)
		}
		if s.Attributes["db.query.text"] != "" {
			statements++
			if s.Parent == "" {
				t.Errorf("a statement outside of a request: %+v", s)
			}
		}
	}
	if statements < 10 {
		t.Errorf("only %d statements are traced", statements)
	}
}

// A trace goes from the caller through the gateway to the upstream; baggage ends at the gateway.
func TestTraceThroughGateway(t *testing.T) {
	got := make(chan http.Header, 1)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header
		_, _ = io.WriteString(w, "hello")
	}))
	defer upstream.Close()
	c := testkit.StartCollector(t)
	routes := t.TempDir() + "/routes.yaml"
	testkit.Must(t, os.WriteFile(routes, []byte(`routes:
  - {name: shop, prefix: /shop, upstreams: ["`+upstream.URL+`"], allow_unidentified: true}
`), 0o600))
	h := newTestServer(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL, "METRICS_PORT=9464", "ROUTES_FILE="+routes)
	r := httptest.NewRequest("GET", "/shop/items?code=CODEMARK", nil)
	r.Host, r.RemoteAddr = "localhost:8080", "127.0.0.1:5000"
	r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
	r.Header.Set("Baggage", "user=BAGGAGEMARK")
	w := h.send(r)
	testkit.Equal(t, "the status", w.Code, http.StatusOK)
	header := <-got
	h.parts.monitor.close()
	var request, hop testkit.Span
	for _, s := range c.Spans() {
		switch s.Name {
		case "GET shop":
			request = s
		case "upstream":
			hop = s
		}
	}
	testkit.Equal(t, "the caller's trace", request.Trace, "0af7651916cd43dd8448eb211c80319c")
	testkit.Equal(t, "the parent of the hop", hop.Parent, request.ID)
	testkit.Equal(t, "what the upstream gets", header.Get("Traceparent"), "00-"+hop.Trace+"-"+hop.ID+"-01")
	testkit.Equal(t, "baggage", header.Get("Baggage"), "")
	if !strings.Contains(h.scrape("text/plain"), `gatehouse_gateway_requests_total{decision="allowed",route="shop"} 1`) {
		t.Error("the request is not counted")
	}
	if strings.Contains(c.Raw(), "MARK") {
		t.Error("the query or the baggage is in the trace")
	}
}

// The series of a route that an administrator deletes are deleted.
func TestDeletedRouteHasNoSeries(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer upstream.Close()
	h := newTestServer(t, "METRICS_PORT=9464", "OUTBOUND_ALLOW=127.0.0.0/8")
	route := &access.Route{
		ID:           secret.NewID(h.now),
		Name:         "shop",
		Prefix:       "/shop",
		Upstreams:    []string{upstream.URL},
		Unidentified: true,
		CreatedAt:    h.now,
		UpdatedAt:    h.now,
	}
	testkit.Must(t, h.parts.db.CreateRoute(t.Context(), route, nil))
	h.server.gateway.Reload()
	get := func() {
		r := httptest.NewRequest("GET", "http://localhost:8080/shop/x", nil)
		r.RemoteAddr = "127.0.0.1:5000"
		h.send(r)
		h.server.sampleOnce(t.Context(), h.parts.monitor.metrics, false)
	}
	has := func() bool { return strings.Contains(h.scrape("text/plain"), `route="shop"`) }
	get()
	if text := h.scrape("text/plain"); !strings.Contains(text, `decision="allowed",route="shop"} 1`) ||
		!strings.Contains(text, `gatehouse_gateway_upstream_up{route="shop"`) {
		t.Error("the route is not counted")
	}
	changed := *route
	changed.Prefix = "/store"
	testkit.Must(t, h.parts.db.UpdateRoute(t.Context(), route, &changed, nil))
	h.server.gateway.Reload()
	if !has() {
		t.Error("a route that was changed is not counted any more")
	}
	testkit.Must(t, h.parts.db.DeleteRoute(t.Context(), route.ID))
	h.server.gateway.Reload()
	get()
	if has() {
		t.Errorf("a deleted route has series")
	}
}

// Sign-ins and locks are counted.
func TestSignInsAreCounted(t *testing.T) {
	h := newTestServer(t, "METRICS_PORT=9464", "LOCKOUT_THRESHOLD=2", "RATE_LIMIT_ENABLED=false")
	for range 3 {
		_, err := h.parts.login.Password(t.Context(), login.Visit{Now: time.Now(), IP: "192.0.2.1"},
			login.Attempt{Username: "ada@example.com", Password: "wrong"})
		if err == nil {
			t.Fatal("signed in with a wrong password")
		}
	}
	text := h.scrape("text/plain")
	for _, line := range []string{
		`gatehouse_sign_in_checks_total{method="password",outcome="locked"} 2`,
		`gatehouse_sign_in_checks_total{method="password",outcome="rejected"} 1`,
		`gatehouse_account_locks_total{scope="account"} 1`,
		`gatehouse_password_hash_wait_seconds_count 2`,
		`gatehouse_audit_events_total{type="ACCOUNT_LOCKED"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
}

// METRICS_PORT serves the metrics and nothing else, and no other port serves them. A collector that
// does not answer does not hold the stop.
func TestMetricsPort(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never answers
	testkit.Must(t, err)
	defer silent.Close()
	port, scrapes := testkit.FreePort(t), testkit.FreePort(t)
	var out testLog
	e := &env{stdout: io.Discard, stderr: &out, now: time.Now}
	e.getenv = lookup([]string{"GOGC=100", "GOMAXPROCS=2"}) // the test's own settings stay
	e.environ = []string{
		"DATABASE_URL=sqlite::memory:", "DRAIN_DELAY=0", "JWT_ALGORITHM=ES256", fmt.Sprint("PORT=", port),
		fmt.Sprint("METRICS_PORT=", scrapes), "OTEL_EXPORTER_OTLP_ENDPOINT=http://" + silent.Addr().String(),
		"OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_BSP_SCHEDULE_DELAY=1",
	}
	cfg, err := loadConfig(e, nil, "")
	testkit.Must(t, err)
	ctx, stop := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, e, cfg) }()
	status := func(port int, path string) int {
		res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
		if err != nil {
			return 0
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	testkit.Eventually(t, "the server", func() bool { return status(port, "/readyz") == 200 })
	testkit.Equal(t, "metrics", status(scrapes, "/metrics"), 200)
	testkit.Equal(t, "another path", status(scrapes, "/livez"), 404)
	testkit.Equal(t, "metrics at the public port", status(port, "/metrics"), 404)
	stop(Interrupted{})
	testkit.Must(t, testkit.Receive(t, "the end", ended))
	if _, err := net.DialTimeout("tcp", fmt.Sprint("127.0.0.1:", scrapes), time.Second); err == nil {
		t.Error("METRICS_PORT is still open")
	}
}
