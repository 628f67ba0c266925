package gateway_test

import (
	"context"
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

// Five failures leave an upstream out for a while; a route that is loaded again with other rules
// does not forget that.
func TestReloadKeepsUpstreamsHealth(t *testing.T) {
	var asked atomic.Int64
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		conn, _, _ := http.NewResponseController(w).Hijack()
		_ = conn.Close()
	}))
	t.Cleanup(broken.Close)
	w := newWorld(t, shop(func(r *access.Route) { r.Unidentified, r.Rate, r.Upstreams = true, -1, []string{broken.URL} }))
	for range 6 {
		w.get("/shop/v1")
	}
	before := asked.Load()
	w.routes[0].Name = "another name"
	w.gw.Reload()
	if rec := w.get("/shop/v1"); rec.Code != http.StatusServiceUnavailable || asked.Load() != before {
		t.Errorf("it was asked again: %d, %d times", rec.Code, asked.Load()-before)
	}
	w.routes[0].Timeout = access.Duration(time.Second)
	w.gw.Reload()
	if w.get("/shop/v1"); asked.Load() == before {
		t.Error("other upstreams begin anew")
	}
}

func TestRunAsksUpstreamsHowTheyAre(t *testing.T) {
	asked := make(chan string, 8)
	w := newWorld(t, shop(func(r *access.Route) {
		r.Unidentified, r.HealthPath, r.HealthEvery = true, "/healthz", access.Duration(time.Second)
	}))
	w.upstream.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case asked <- r.URL.Path:
		default:
		}
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { w.gw.Run(ctx); close(done) }()
	defer func() { stop(); <-done }()
	next := func() string {
		select {
		case path := <-asked:
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
