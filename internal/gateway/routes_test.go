package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/bff"
	"github.com/gatehouse-id/gatehouse/internal/gateway"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

type gatewayOptions = gateway.Options

// The parts that stand behind the gateway are what it needs.
var (
	_ gateway.Tokens  = (*token.Server)(nil)
	_ gateway.Clients = (*token.Server)(nil)
	_ gateway.Users   = (*store.DB)(nil)
	_ gateway.Signer  = (*jose.Ring)(nil)
	_ gateway.Apps    = (*bff.Server)(nil)
)

// noApps is a token handler nobody has signed in to.
type noApps struct{}

func (*noApps) CallerAt(context.Context, *http.Request, string, string, string) (*access.Caller, error) {
	return nil, nil
}

func TestReloadBringsRoutesIntoForce(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.Unidentified, r.Rate = true, -1 }))
	if rec := w.get("/shop/v1"); rec.Code != http.StatusOK {
		t.Fatalf("%d", rec.Code)
	}
	w.routes[0].Version = "v2"
	w.gw.Reload()
	if rec := w.get("/shop/v1"); rec.Code != http.StatusTeapot {
		t.Errorf("the old address: %d", rec.Code)
	}
	if rec := w.get("/shop/v2"); rec.Code != http.StatusOK {
		t.Errorf("the new address: %d", rec.Code)
	}
	w.routes[0].Inactive = true
	w.gw.Reload()
	if rec := w.get("/shop/v2"); rec.Code != http.StatusTeapot {
		t.Errorf("inactive: %d", rec.Code)
	}
}

func TestBadRouteIsLeftOutAndTheOthersLive(t *testing.T) {
	w := newWorld(t, []access.Route{
		{ID: "own", Domain: "oauth", Version: "v1", Unidentified: true},
		{ID: "good", Domain: "shop", Version: "v1", Unidentified: true, Rate: -1},
		{ID: "twin", Prefix: "/shop/v1", Unidentified: true},
		{ID: "net", Domain: "net", Version: "v1", Networks: []string{"nonsense"}},
	})
	if rec := w.get("/shop/v1"); rec.Code != http.StatusOK {
		t.Errorf("the good one: %d", rec.Code)
	}
	if rec := w.get("/oauth/v1"); rec.Code != http.StatusTeapot {
		t.Errorf("a route over our own path: %d", rec.Code)
	}
	for _, id := range []string{"route=own", "route=twin", "route=net"} {
		if !strings.Contains(w.log.String(), id) {
			t.Errorf("the log says nothing of %s:\n%s", id, w.log)
		}
	}
}

// Failures of five callers leave an upstream out for a while; a route that is loaded again with
// other rules does not forget that.
func TestReloadKeepsUpstreamsHealth(t *testing.T) {
	var requested atomic.Int64
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requested.Add(1)
		conn, _, _ := http.NewResponseController(w).Hijack()
		_ = conn.Close()
	}))
	t.Cleanup(broken.Close)
	w := newWorld(t, shop(func(r *access.Route) { r.Unidentified, r.Rate = true, -1 }))
	w.routes[0].Upstreams = []string{broken.URL, w.upstream.URL}
	w.gw.Reload()
	post := func(from string) int {
		r := request(t, http.MethodPost, "id.example", "/shop/v1")
		r.RemoteAddr = from + ":4711"
		return w.do(r).Code
	}
	for range 20 {
		post("192.0.2.1")
	}
	if requested.Load() != 10 {
		t.Errorf("after one caller's failures it was asked %d times, want 10", requested.Load())
	}
	for i := range 10 { // every other request reaches it
		post(fmt.Sprintf("192.0.2.%d", 10+i))
	}
	before := requested.Load()
	w.routes[0].Name = "another name"
	w.gw.Reload()
	for range 2 {
		if code := post("192.0.2.1"); code != http.StatusOK || requested.Load() != before {
			t.Errorf("it was asked again: %d, %d times", code, requested.Load()-before)
		}
	}
	w.routes[0].Timeout = access.Duration(time.Second)
	w.gw.Reload()
	for range 2 {
		post("192.0.2.1")
	}
	if requested.Load() == before {
		t.Error("other upstreams begin anew")
	}
}

// A malformed method reaches no upstream and counts against none, over HTTP/2 too.
func TestMalformedMethodsAreRejected(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.Unidentified, r.Rate = true, -1 }))
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	front := httptest.NewUnstartedServer(w.handler)
	front.Config.Protocols = &protocols
	front.Start()
	t.Cleanup(front.Close)
	address := front.Listener.Addr().String()
	for _, method := range []string{"GET,", "GET x", "G\xc3\x89T", "(GET)", "GET\tx", "{}", "GET@"} {
		for range 6 {
			if got := rawH2(t, address, method, "/shop/v1/x"); got != "400" {
				t.Fatalf("%q: status %s, want 400", method, got)
			}
		}
		if got := rawH2(t, address, "GET", "/shop/v1/x"); got != "200" {
			t.Fatalf("after %q: status %s", method, got)
		}
		r := request(t, http.MethodGet, "id.example", "/shop/v1/x")
		r.Method = method
		if rec := w.do(r); rec.Code != http.StatusBadRequest {
			t.Errorf("%q: status %d, want 400", method, rec.Code)
		}
		checked := request(t, http.MethodGet, "id.example", "/gateway/check",
			"X-Forwarded-Uri: /shop/v1/x", "X-Forwarded-Host: id.example", "X-Forwarded-Method: "+method)
		checked.RemoteAddr = "10.0.0.1:1"
		if rec := w.do(checked); rec.Code != http.StatusBadRequest {
			t.Errorf("forward-auth with %q: status %d, want 400", method, rec.Code)
		}
	}
}

func TestRunAsksUpstreamsHowTheyAre(t *testing.T) {
	requested := make(chan string, 8)
	w := newWorld(t, shop(func(r *access.Route) {
		r.Unidentified, r.HealthPath, r.HealthEvery = true, "/healthz", access.Duration(time.Second)
	}))
	w.upstream.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case requested <- r.URL.Path:
		default:
		}
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { w.gw.Run(ctx); close(done) }()
	defer func() { stop(); <-done }()
	next := func() string {
		select {
		case path := <-requested:
			return path
		case <-time.After(testkit.HangAfter):
			return "nothing"
		}
	}
	if got := next(); got != "/healthz" {
		t.Fatalf("asked for %s", got)
	}
	w.routes[0].HealthPath = "/ready" // a route that comes while it runs
	w.gw.Reload()
	for range 3 {
		if next() == "/ready" {
			return
		}
	}
	t.Error("the new path was not asked for")
}

func TestDenialsAreStoredInBatchesAndBounded(t *testing.T) {
	w := newWorld(t, shop())
	for range 200 {
		w.get("/shop/v1?secret=value", "Authorization: Bearer very-secret-token")
	}
	w.lastDenial()
	if n := len(w.denials); n != 50 {
		t.Errorf("%d of 200 denials within one second were stored", n)
	}
	for _, r := range w.denials {
		data, err := r.Encode()
		if err != nil || strings.Contains(string(data), "secret") || r.RequestID == "" {
			t.Fatalf("%s, %v", data, err)
		}
	}
	w.wait(time.Second)
	rec := w.get("/shop/v1")
	k := w.lastDenial()
	if k.RequestID != rec.Header().Get("X-Request-Id") || k.Path != "/shop/v1" || k.Host != "id.example" || k.Method != "GET" || k.Status != 401 ||
		k.Route != w.routes[0].ID || k.RouteName != "shop/v1" || k.Denial.Rule != "credential" || k.Denial.Remedy == "" || k.IP != "192.0.2.7" {
		t.Errorf("%+v", k)
	}
}

// rawH2 sends a request over HTTP/2 as no client library would, and returns the status.
func rawH2(t *testing.T, address, method, path string) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	must(t, err)
	defer func() { _ = c.Close() }()
	text := func(index byte, s string) []byte { // RFC 7541 §6.2.2, without Huffman
		return append([]byte{index, byte(len(s))}, s...)
	}
	block := append([]byte{0x86}, text(1, "id.example")...) // :scheme http, :authority
	block = append(append(block, text(2, method)...), text(4, path)...)
	frame := func(kind, flags, stream byte, payload []byte) []byte {
		return append([]byte{0, 0, byte(len(payload)), kind, flags, 0, 0, 0, stream}, payload...)
	}
	out := append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0, nil)...)
	_, err = c.Write(append(out, frame(1, 5, 1, block)...)) // HEADERS, the end of both
	must(t, err)
	for head := make([]byte, 9); ; {
		_, err := io.ReadFull(c, head)
		must(t, err)
		payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
		_, err = io.ReadFull(c, payload)
		must(t, err)
		switch head[3] {
		case 1:
			statuses := map[byte]string{0x88: "200", 0x8c: "400", 0x8e: "500"} // RFC 7541 App. A
			if s := statuses[payload[0]]; s != "" {
				return s
			}
			return fmt.Sprintf("%x", payload[:min(len(payload), 6)])
		case 3, 7:
			return "reset"
		}
	}
}
