package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/access"
)

// A request that reaches the upstream requests what follows the prefix, and its path cannot be read
// as another one. All others are rejected or not claimed.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"/shop/v1/x", "/shop/v1/../x", "/shop/v1/%2e%2e", "//shop/v1", "/shop/v1/a%2fb?x", "/shop/v1;a/x", `/shop/v1\x`, "/%73hop/v1/%41", "/shop/v1/#", "/gateway/check/x"} {
		f.Add(s)
	}
	w := newWorld(f, shop(func(r *access.Route) { r.Unidentified, r.Rate, r.Upstreams = true, -1, []string{"http://127.0.0.1:1"} }))
	var path string
	w.upstream.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { path = r.RequestURI })
	w.routes[0].Upstreams = []string{w.upstream.URL}
	w.gw.Reload()
	f.Fuzz(func(t *testing.T, target string) {
		if !strings.HasPrefix(target, "/") || strings.ContainsAny(target, " \r\n\t") {
			return
		}
		r := request(t, http.MethodGet, "id.example", "/shop/v1")
		r.RequestURI = target
		_, r.URL.RawQuery, _ = strings.Cut(target, "?")
		rec := w.do(r)
		switch rec.Code {
		case http.StatusTeapot, http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed:
			return
		case http.StatusOK:
		default:
			t.Fatalf("%q: %d", target, rec.Code)
		}
		got, _, _ := strings.Cut(path, "?")
		if _, err := access.Clean(got); err != nil && got != "" {
			t.Fatalf("%q reached the upstream as %q", target, got)
		}
	})
}

// Every Authorization header gets an answer, and none of them passes.
func FuzzAuthorization(f *testing.F) {
	for _, s := range []string{"Bearer x", "Basic eDp5", "Basic eDp5, Bearer a.b.c", ",", "DPoP a", "Bearer a, DPoP b", "bearer  x ,", "Basic %"} {
		f.Add(s, "x")
	}
	w := newWorld(f, shop())
	f.Fuzz(func(t *testing.T, header, id string) {
		r := request(t, http.MethodGet, "id.example", "/shop/v1")
		r.Header["Authorization"], r.Header["X-Client-Id"] = []string{header}, []string{id}
		if rec := w.do(r); rec.Code != http.StatusBadRequest && rec.Code != http.StatusUnauthorized {
			t.Fatalf("%q: %d", header, rec.Code)
		}
	})
}

// No forward-auth request passes that does not name the route's host and a valid path.
func FuzzForwardedHeaders(f *testing.F) {
	f.Add("GET", "app.example", "/", "")
	f.Add("GET", "app.example:443", "/..", "/x")
	f.Add("G T", "evil.example, app.example", "//", "https://app.example/")
	w := newWorld(f, pages(func(r *access.Route) { r.Unidentified, r.Rate = true, -1 }))
	f.Fuzz(func(t *testing.T, method, host, uri, original string) {
		r := request(t, http.MethodGet, "id.example", "/gateway/check")
		r.RemoteAddr = "10.0.0.1:1"
		r.Header["X-Forwarded-Method"], r.Header["X-Forwarded-Host"], r.Header["X-Forwarded-Uri"] = []string{method}, []string{host}, []string{uri}
		if original != "" {
			r.Header["X-Original-Uri"] = []string{original}
		}
		if rec := w.do(r); rec.Code == http.StatusOK {
			path, _, _ := strings.Cut(uri, "?")
			name, _, _ := strings.Cut(strings.ToLower(host), ":")
			if _, err := access.Clean(path); err != nil || strings.TrimSuffix(name, ".") != "app.example" || original != "" {
				t.Fatalf("passed: %q %q %q %q", method, host, uri, original)
			}
		}
	})
}
