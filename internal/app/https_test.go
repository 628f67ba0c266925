package app

import (
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/realm"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// The plain port leads to https at our own names only, and takes nothing that is sent.
func TestPlainPort(t *testing.T) {
	c := &config.Config{
		Server: config.Server{BaseURL: "https://id.example.com:8443"},
		HTTPS:  config.HTTPS{Domains: []string{"id.example.com", "app.example.com"}},
	}
	x := &realms{main: &server{parts: &parts{cfg: c}}}
	shop := &config.Config{Server: config.Server{BaseURL: "https://shop.example:9443"}}
	router, err := realm.NewRouter([]realm.Site{
		{BaseURL: c.Server.BaseURL, Hosts: []string{"gateway.example.com"}},
		{Name: "shop", BaseURL: shop.Server.BaseURL, Hosts: []string{"api.shop.example", "*.apps.shop.example", "::1"}},
	})
	testkit.Must(t, err)
	x.now.Store(&routing{router, []*openRealm{{starter: starter{cfg: shop}}}})
	for _, row := range []struct {
		method, host, target string
		status               int
		location             string
	}{
		{"GET", "id.example.com", "/login?a=b%20c", 308, "https://id.example.com:8443/login?a=b%20c"},
		{"HEAD", "id.example.com:80", "/", 308, "https://id.example.com:8443/"},
		{"GET", "APP.example.com:80", "/x%2Fy", 308, "https://app.example.com:8443/x%2Fy"},
		{"GET", "evil.example", "/login", 308, "https://id.example.com:8443/login"},
		{"GET", "id.example.com", "//evil.example/", 308, "https://id.example.com:8443//evil.example/"},
		{"GET", "id.example.com", "http://evil.example/login", 308, "https://id.example.com:8443/login"},
		{"POST", "id.example.com", "/oauth/token", 403, ""},
		{"GET", "shop.example:80", "/login", 308, "https://shop.example:9443/login"},
		{"GET", "API.shop.example.", "/v1?x=1", 308, "https://api.shop.example:9443/v1?x=1"},
		{"GET", "a.apps.shop.example", "/", 308, "https://a.apps.shop.example:9443/"},
		{"GET", "[::1]:80", "/", 308, "https://[::1]:9443/"},
		{"GET", "gateway.example.com", "/x", 308, "https://gateway.example.com:8443/x"},
		{"GET", "x.shop.example", "/", 308, "https://id.example.com:8443/"},
		{"GET", "shop.example@evil.example", "/", 308, "https://id.example.com:8443/"},
		{"GET", "shop.example", "//evil.example/", 308, "https://shop.example:9443//evil.example/"},
	} {
		r := httptest.NewRequest(row.method, row.target, http.NoBody)
		r.Host = row.host
		w := httptest.NewRecorder()
		plainHandler(c, nil, x.origin).ServeHTTP(w, r)
		testkit.Equal(t, row.method+" "+row.host+row.target, w.Code, row.status)
		testkit.Equal(t, row.method+" "+row.host+row.target, w.Header().Get("Location"), row.location)
	}
}

// The service manager hears when the server is ready, and when it stops.
func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	testkit.Must(t, err)
	defer l.Close()
	for _, name := range []string{path, filepath.Join(t.TempDir(), "nobody"), ""} {
		notify(&env{getenv: func(string) string { return name }}, "READY=1")
	}
	testkit.Must(t, l.SetReadDeadline(time.Now().Add(testkit.HangAfter)))
	buf := make([]byte, 64)
	n, err := l.Read(buf)
	testkit.Must(t, err)
	testkit.Equal(t, "message", string(buf[:n]), "READY=1")
}
