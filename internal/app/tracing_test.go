package app

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// failingSender is a sender for which nothing can be delivered.
type failingSender struct{ outbox.Sender }

func (failingSender) Send(context.Context, *outbox.Delivery) error {
	return fault.New(fault.Denied, "no such mailbox: ada@example.com MARK")
}

// What a server asks of others is in its traces: Redis within a request, mail, and documents of
// clients, whose servers can go on with the trace. Nothing that is sent is in them.
func TestTracesOfWorkForOthers(t *testing.T) {
	c := testkit.StartCollector(t)
	headers := make(chan http.Header, 2)
	documents := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers <- r.Header
		w.WriteHeader(http.StatusNotFound)
	}))
	defer documents.Close()
	redis := testkit.StartRedis(t)
	h := newTestServer(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL, "OUTBOUND_ALLOW=127.0.0.0/8",
		"REDIS_URL="+redis.URL(), "RATE_LIMIT_STORE=redis", "RATE_LIMIT_TOKEN_MAX=100")
	h.send(h.request("POST", "/oauth/token", nil, ""))

	_, err := keyFetcher{h.server.fetcher(&env{now: time.Now})}.KeySet(t.Context(), documents.URL+"/keys?MARK", false)
	if err == nil {
		t.Error("a document was found")
	}
	senders := map[outbox.Kind]outbox.Sender{outbox.KindMail: failingSender{}}
	traceSenders(h.parts.monitor.tracing(), senders)
	err = senders[outbox.KindMail].Send(t.Context(), &outbox.Delivery{ID: "d1", Kind: outbox.KindMail, About: "MARK"})
	testkit.Equal(t, "the error of a delivery", fault.Is(err, fault.Denied), true)

	h.parts.monitor.close()
	spans := map[string]testkit.Span{}
	for _, s := range c.Spans() {
		spans[s.Name] = s
	}
	request := spans["POST /oauth/token"]
	testkit.Equal(t, "the parent of what Redis was asked", spans["EVALSHA"].Parent, request.ID)
	testkit.Equal(t, "the system", spans["EVALSHA"].Attributes["db.system.name"], "redis")
	get := spans["GET document"]
	testkit.Equal(t, "the status of the document", get.Attributes["http.response.status_code"], "404")
	testkit.Equal(t, "what its server gets", testkit.Receive(t, "a request", headers).Get("Traceparent"), "00-"+get.Trace+"-"+get.ID+"-01")
	testkit.Equal(t, "the delivery", spans["deliver mail"].Attributes["gatehouse.delivery.id"], "d1")
	testkit.Equal(t, "what became of it", spans["deliver mail"].Attributes["error.type"], fault.Denied.String())
	if raw := c.Raw(); strings.Contains(raw, "MARK") || strings.Contains(raw, "ada@") {
		t.Error("the traces hold what was sent")
	}
}

// Without an endpoint, none of it is there.
func TestNoTracesOfWorkForOthers(t *testing.T) {
	h := newTestServer(t)
	senders := map[outbox.Kind]outbox.Sender{outbox.KindMail: failingSender{}}
	traceSenders(h.parts.monitor.tracing(), senders)
	if _, traced := senders[outbox.KindMail].(tracedSender); traced || h.parts.monitor.outgoing("x", "GET") != nil {
		t.Error("something is traced")
	}
	limits := tracedLimits{noLimits{}}
	if n := testing.AllocsPerRun(100, func() { limits.Take(t.Context(), "k", web.Rate{}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// noLimits allows everything.
type noLimits struct{}

func (noLimits) Take(context.Context, string, web.Rate) web.LimitResult {
	return web.LimitResult{Allowed: true}
}
