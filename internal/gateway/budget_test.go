package gateway_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/access"
)

// sink is a ResponseWriter that discards what is written.
type sink struct {
	h      http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) WriteHeader(code int)        { s.status = code }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }

// warm returns a function that repeats a request whose caller is cached.
func (w *world) warm(r *http.Request) func() {
	s := &sink{h: http.Header{}}
	run := func() {
		clear(s.h)
		w.handler.ServeHTTP(s, r)
	}
	if run(); s.status != http.StatusOK {
		w.t.Fatalf("status %d", s.status)
	}
	return run
}

func (w *world) question() *http.Request {
	r := request(w.t, "GET", "id.example", "/gateway/check", "X-Forwarded-Method: GET", "X-Forwarded-Proto: https", "X-Forwarded-Host: id.example",
		"X-Forwarded-Uri: /shop/v1/items?page=2", "X-Forwarded-For: 192.0.2.7", "Authorization: Bearer "+w.token())
	r.RemoteAddr = "10.0.0.1:1"
	return r
}

// Budgets of allocations, the kit's own included: what is above them costs every request.
func TestBudgetOfCachedForwardAuth(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.Scopes = []string{"read"} }))
	if got := testing.AllocsPerRun(200, w.warm(w.question())); got > 16 {
		t.Errorf("%v allocations for a warm question", got)
	}
}

func TestBudgetOfClaims(t *testing.T) {
	w := newWorld(t, shop())
	for _, path := range []string{"/shop/v1/items", "/oauth/token", "/gateway/check"} {
		r := request(t, "GET", "id.example", path)
		if got := testing.AllocsPerRun(200, func() { w.gw.Claims(r) }); got > 0 {
			t.Errorf("%s: %v allocations", path, got)
		}
	}
}

func BenchmarkCheckWarm(b *testing.B) {
	w := newWorld(b, shop(func(r *access.Route) { r.Scopes = []string{"read"} }))
	run := w.warm(w.question())
	b.ReportAllocs()
	for b.Loop() {
		run()
	}
}

// small answers as the upstream of the comparison.
func small(w http.ResponseWriter, _ *http.Request) {
	w.Header()["Content-Type"] = []string{"application/json"}
	_, _ = io.WriteString(w, `{"ok":true}`)
}

func benchmarkProxy(b *testing.B, front http.Handler, header http.Header) {
	s := httptest.NewServer(front)
	b.Cleanup(s.Close)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, _ := http.NewRequest(http.MethodGet, s.URL+"/shop/v1/items", nil)
			r.Header, r.Host = header.Clone(), "id.example"
			res, err := client.Do(r)
			if err != nil || res.StatusCode != http.StatusOK {
				b.Errorf("%v %v", res, err)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
	})
}

func BenchmarkProxyWarm(b *testing.B) {
	w := newWorld(b, shop(func(r *access.Route) { r.Scopes = []string{"read"} }))
	w.upstream.Config.Handler = http.HandlerFunc(small)
	benchmarkProxy(b, w.handler, http.Header{"Authorization": {"Bearer " + w.token()}})
}

func BenchmarkProxyBare(b *testing.B) {
	w := newWorld(b, shop())
	w.upstream.Config.Handler = http.HandlerFunc(small)
	to, _ := url.Parse(w.upstream.URL)
	bare := &httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) { pr.SetURL(to) }, Transport: &http.Transport{MaxIdleConnsPerHost: 256}, ErrorLog: log.New(io.Discard, "", 0),
	}
	benchmarkProxy(b, bare, http.Header{"Authorization": {"Bearer " + w.token()}})
}
