package upstream

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
)

// fixed is an upstream without a network: what is measured is the proxying alone.
type fixed struct{}

func (fixed) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"text/plain"}, "Content-Length": {"0"}},
		Body: http.NoBody, Request: r,
	}, nil
}

func request(b *testing.B) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/shop/v1/items?id=7", nil)
	for _, name := range []string{"Accept", "Authorization", "User-Agent", "X-Request-Id"} {
		r.Header.Set(name, "abcdefgh")
	}
	return r.WithContext(b.Context())
}

type sink struct{ h http.Header }

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(int)             {}

func bare(target string) *httputil.ReverseProxy {
	u, _ := url.Parse(target)
	return &httputil.ReverseProxy{Rewrite: func(pr *httputil.ProxyRequest) { pr.SetURL(u) }, BufferPool: &buffers{}, Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}}
}

// BenchmarkOverheadBare and BenchmarkOverheadPool differ by what a pool adds to
// httputil.ReverseProxy, which has the same buffers here.
func BenchmarkOverheadBare(b *testing.B) {
	p := bare("http://x")
	p.Transport = fixed{}
	r := request(b)
	b.ReportAllocs()
	for b.Loop() {
		p.ServeHTTP(&sink{http.Header{}}, r)
	}
}

func BenchmarkOverheadPool(b *testing.B) {
	p := must(New(Options{Targets: []string{"http://x"}}))
	defer p.Close()
	p.Transport.plain = &http.Transport{}
	p.Transport.plain.RegisterProtocol("http", fixed{})
	r := request(b)
	b.ReportAllocs()
	for b.Loop() {
		_ = p.Serve(&sink{http.Header{}}, r, Out{Path: "/items", RawQuery: "id=7"})
	}
}

func overNetwork(b *testing.B, h http.Handler, up *httptest.Server) {
	defer up.Close()
	s := httptest.NewServer(h)
	defer s.Close()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		tr := &http.Transport{}
		defer tr.CloseIdleConnections()
		r := must(http.NewRequest(http.MethodGet, s.URL+"/items", nil))
		for pb.Next() {
			res, err := tr.RoundTrip(r)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
	})
}

func BenchmarkNetworkBare(b *testing.B) {
	up := httptest.NewServer(named("hello"))
	overNetwork(b, bare(up.URL), up)
}

func BenchmarkNetworkPool(b *testing.B) {
	up := httptest.NewServer(named("hello"))
	p := must(New(Options{Targets: []string{up.URL}}))
	defer p.Close()
	overNetwork(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := p.Serve(w, r, Out{Path: r.URL.Path}); err != nil {
			b.Error(err)
		}
	}), up)
}
