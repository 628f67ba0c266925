package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
)

func TestPathTricks(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.Unidentified, r.Rate = true, -1 }))
	for _, path := range []string{
		"/shop/v1/../../admin", "/shop/v1/..", "/shop/v1/.", "/shop/v1/%2e%2e/x", "/shop/v1/%2E%2e%2fx", "/shop/v1/a%2fb", "/shop/v1/a%2Fb", "/shop/v1/a%5cb",
		`/shop/v1/a\b`, "/shop/v1//x", "//shop/v1/x", "/shop//v1/x", "/./shop/v1", "/x/../shop/v1", "/shop/v1/%00", "/shop/v1/%zz", "/shop/v1/%", "/shop/v1/%0d%0aX-Auth-User:%20eve",
		"/shop/v1/%ff", "/shop/v1/%252e%252e/x", "/shop/v1/..;/x", "/shop/v1/..;a=b/x", "/shop/v1/%7f", "/shop%2fv1/x", "/%2e/shop/v1", "/shop/%2e/v1",
		"/shop/v1/" + strings.Repeat("a", 9000), "/shop/v1/%2e%2e%5c", "/shop/v1/x/%2e",
	} {
		r := request(t, http.MethodGet, "id.example", "/shop/v1")
		r.RequestURI = path // as on the request line, whatever a client's own parser makes of it
		if rec := w.do(r); rec.Code != http.StatusBadRequest {
			t.Errorf("%.60s: %d %.200s", path, rec.Code, rec.Body)
		}
	}
	for _, path := range []string{"/shop/v1/a.b", "/shop/v1/..a", "/shop/v1/a%20b", "/shop/v1/%C3%A4", "/shop/v1/a;v=1", "/shop/v1/a:b@c", "/shop/v1/~a/", "/shop/v1/50%25"} {
		if rec := w.get(path); rec.Code != http.StatusOK {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
	}
}

// A path that no route has, by any reading, is not claimed.
func TestOtherPathsAreNotClaimed(t *testing.T) {
	w := newWorld(t, shop())
	for _, path := range []string{"/", "/login", "/shop", "/shop/v2/x", "/shopping/v1", "/oauth//token", "/a/../b", "/%2e%2e/etc", "/gateway/checks", "/session/login", "/.well-known/openid-configuration", "*"} {
		r := request(t, http.MethodGet, "id.example", "/x")
		r.RequestURI = path
		r.URL.Path = path
		if w.gw.Claims(r) {
			t.Errorf("%s is claimed", path)
		}
	}
	if w.gw.Claims(request(t, http.MethodGet, "evil_host:99:1", "/shop/v1")) {
		t.Error("a host that is no name is claimed")
	}
}

func TestHostRoutes(t *testing.T) {
	w := newWorld(t, []access.Route{
		{ID: "a", Prefix: "/", Host: "app.example", Unidentified: true, Rate: -1},
		{ID: "b", Prefix: "/", Host: "*.wild.example", Unidentified: true, Rate: -1},
	})
	for host, want := range map[string]int{
		"app.example": 200, "APP.example:8443": 200, "app.example.": 200, "x.wild.example": 200, "wild.example": 418, "evil.example": 418, "app.example.evil.example": 418,
	} {
		if rec := w.do(request(t, http.MethodGet, host, "/any/path")); rec.Code != want {
			t.Errorf("%s: %d", host, rec.Code)
		}
	}
}

func TestForgedHeadersNeverReachTheUpstream(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.Unidentified, r.Rate = true, -1 }))
	forged := []string{
		"X-Auth-Info", "X-Auth-User", "X-Auth-Roles", "X-Auth-Anything", "x-auth-info", "X_Auth_Info", "X_AUTH-User", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
		"X-Forwarded-Uri", "X-Forwarded-Method", "X-Forwarded-Prefix", "X-Forwarded-User", "X_Forwarded_For", "Forwarded", "X-Real-Ip", "X_Real_IP", "X-Original-Url", "X-Original-Uri",
		"X-Original-Method", "X-Rewrite-Url", "X-Request-Id", "Proxy-Authorization", "DPoP", "X_Client_Id", "True-Client-Ip",
		"Proxy", "PROXY", "X-Client-IP", "CF-Connecting-IP", "Fastly-Client-IP", "X-Cluster-Client-IP", "Client-IP",
		"Remote-User", "Remote_User", "Remote-Groups", "Remote-Addr", "X-Remote-User", "X-Remote-Group", "X-WEBAUTH-USER",
		"X-SSL-Client-Verify", "X-SSL-Client-Cert", "SSL-Client-S-Dn", "X-Client-Cert", "X-Client-Cert-Dn", "Client-Cert",
		"X-Authenticated-User", "X-Goog-Authenticated-User-Email", "X-MS-CLIENT-PRINCIPAL-NAME", "X-Amzn-Oidc-Data",
		"Tailscale-User-Login", "Cf-Access-Jwt-Assertion", "OIDC-Claim-Sub", "OIDC_CLAIM_email", "X-User",
	}
	for _, name := range forged {
		got := w.received(w.get("/shop/v1", name+": forged"))
		for have, values := range got.Header {
			if strings.Contains(strings.Join(values, ","), "forged") {
				t.Errorf("%s arrived as %s: %v", name, have, values)
			}
		}
	}
}

// Headers that Connection names are removed as headers of one hop (RFC 9110 §7.6.1), but not those
// that the gateway adds.
func TestConnectionHeaderCannotRemoveOwnHeaders(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.Unidentified, r.Rate = true, -1 }))
	got := w.received(w.get("/shop/v1", "Connection: X-Auth-Info, X-Forwarded-For, X-Request-Id, Cookie", "Cookie: a=b"))
	for _, name := range []string{"X-Auth-Info", "X-Forwarded-For", "X-Request-Id"} {
		if got.Header.Get(name) == "" {
			t.Errorf("%s was taken off", name)
		}
	}
}

func TestForwardingHeadersNeedTrustedProxy(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.Networks = []string{"203.0.113.0/24"}; r.Unidentified, r.Rate = true, -1 }))
	if rec := w.get("/shop/v1", "X-Forwarded-For: 203.0.113.9", "Forwarded: for=203.0.113.9", "X-Real-Ip: 203.0.113.9"); rec.Code != http.StatusForbidden {
		t.Errorf("a stranger's word for its address: %d", rec.Code)
	}
	r := request(t, http.MethodGet, "id.example", "/shop/v1", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https")
	r.RemoteAddr = "10.0.0.1:1"
	if got := w.received(w.do(r)); got.Header.Get("X-Forwarded-For") != "203.0.113.9" || got.Header.Get("X-Forwarded-Proto") != "https" {
		t.Errorf("a trusted proxy's: %v", got.Header)
	}
}

// A forwarded address that cannot be read opens no network rule, least of all the proxy's own.
func TestUnreadableForwardedAddress(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) {
		r.Networks = []string{"10.0.0.0/8", "203.0.113.0/24"}
		r.Unidentified, r.Rate = true, -1
	}))
	for header, want := range map[string]int{
		"203.0.113.9:4711":       http.StatusOK,
		`"203.0.113.9"`:          http.StatusOK,
		"198.51.100.9:4711":      http.StatusForbidden,
		"[2001:db8::1]:4711":     http.StatusForbidden,
		"unknown":                http.StatusForbidden,
		"203.0.113.9, garbage":   http.StatusForbidden,
		"203.0.113.9,":           http.StatusForbidden,
		"198.51.100.9, 10.0.0.2": http.StatusForbidden,
	} {
		r := request(t, http.MethodGet, "id.example", "/shop/v1", "X-Forwarded-For: "+header)
		r.RemoteAddr = "10.0.0.1:1"
		if rec := w.do(r); rec.Code != want {
			t.Errorf("X-Forwarded-For %s: %d, want %d", header, rec.Code, want)
		}
	}
}

func TestUnknownAddressReachesUpstreamAsUnknown(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.Unidentified, r.Rate = true, -1 }))
	r := request(t, http.MethodGet, "id.example", "/shop/v1", "X-Forwarded-For: garbage")
	r.RemoteAddr = "10.0.0.1:1"
	if got := w.received(w.do(r)).Header.Get("X-Forwarded-For"); got != "unknown" {
		t.Errorf("X-Forwarded-For %q", got)
	}
}

func TestForwardedProto(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.Unidentified, r.Rate = true, -1 }))
	for header, want := range map[string]string{
		"https":        "https",
		"HTTPS":        "https",
		`"https"`:      "https",
		"https, https": "https",
		"https,http":   "https",
		"http, https":  "http",
		"wss":          "https",
		"ws":           "http",
		"http":         "http",
		"garbage":      "https",
		"":             "https",
	} {
		r := request(t, http.MethodGet, "id.example", "/shop/v1", "X-Forwarded-Proto: "+header)
		r.RemoteAddr = "10.0.0.1:1"
		if got := w.received(w.do(r)).Header.Get("X-Forwarded-Proto"); got != want {
			t.Errorf("X-Forwarded-Proto %q: %q, want %q", header, got, want)
		}
	}
}

// Scheme and host of a Forwarded header count where X-Forwarded-Proto and -Host are missing.
func TestForwardedHeader(t *testing.T) {
	w := newWorld(t, []access.Route{{ID: "a", Prefix: "/", Host: "app.example", Unidentified: true, Rate: -1}})
	for header, want := range map[string]string{
		"for=203.0.113.9;proto=http;host=app.example":                                       "http://app.example",
		`for=203.0.113.9;proto=https;host="app.example:8443"`:                               "https://app.example:8443",
		`For="[2001:db8::1]:1";Proto=HTTP;Host="APP.example:8080",for=10.0.0.7;proto=https`: "http://APP.example:8080",
		"for=203.0.113.9;host=evil.example:8443":                                            "https://app.example",
		"for=203.0.113.9":                                                                   "https://app.example",
		"garbage":                                                                           "https://app.example",
	} {
		for peer, want := range map[string]string{"10.0.0.1:1": want, "192.0.2.7:1": "http://app.example"} {
			r := request(t, http.MethodGet, "app.example", "/x", "Forwarded: "+header)
			r.RemoteAddr = peer
			got := w.received(w.do(r)).Header
			if at := got.Get("X-Forwarded-Proto") + "://" + got.Get("X-Forwarded-Host"); at != want {
				t.Errorf("Forwarded %s from %s: %s, want %s", header, peer, at, want)
			}
			if got.Get("Forwarded") != "" {
				t.Errorf("the upstream got Forwarded: %s", got.Get("Forwarded"))
			}
		}
	}
}

func TestTraceContext(t *testing.T) {
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	w := newWorld(t, shop(func(r *access.Route) { r.Unidentified, r.Rate = true, -1 }))
	for sent, accepted := range map[string]bool{
		good: true, "01" + good[2:] + "-more": true, good + "-more": false, "ff" + good[2:]: false, strings.ToUpper(good): false, good[:54]: false,
		"00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01": false, "00-4bf92f3577b34da6a3ce929d0e0e4736-" + strings.Repeat("0", 16) + "-01": false, "forged": false,
	} {
		got := w.received(w.get("/shop/v1", "Traceparent: "+sent, "Tracestate: a=b")).Header
		if (got.Get("Traceparent") == sent) != accepted || (got.Get("Tracestate") != "") != accepted || len(got.Get("Traceparent")) < 55 {
			t.Errorf("%s became %s with state %q", sent, got.Get("Traceparent"), got.Get("Tracestate"))
		}
	}
}

// This test uses a real connection, because net/http itself rejects some of the requests.
func TestSmuggling(t *testing.T) {
	w := newWorld(t, shop(func(r *access.Route) { r.Unidentified, r.Rate = true, -1 }))
	s := httptest.NewUnstartedServer(w.handler)
	s.Config.MaxHeaderBytes = 48 << 10
	s.Start()
	t.Cleanup(s.Close)
	for name, row := range map[string]struct {
		raw    string
		status int
	}{
		"two lengths":               {"POST /shop/v1 HTTP/1.1\r\nHost: id.example\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400},
		"a header after a space":    {"GET /shop/v1 HTTP/1.1\r\nHost: id.example\r\nX-Auth-Info : forged\r\n\r\n", 400},
		"a header with a line feed": {"GET /shop/v1 HTTP/1.1\r\nHost: id.example\r\nX-A: b\r\n X-Auth-Info: forged\r\n\r\n", 200},
		"two hosts":                 {"GET /shop/v1 HTTP/1.1\r\nHost: id.example\r\nHost: evil.example\r\n\r\n", 400},
		"another encoding":          {"POST /shop/v1 HTTP/1.1\r\nHost: id.example\r\nTransfer-Encoding: xchunked\r\n\r\n", 501},
		"huge headers":              {"GET /shop/v1 HTTP/1.1\r\nHost: id.example\r\nX-A: " + strings.Repeat("a", 60<<10) + "\r\n\r\n", 431},
		"a large but sound one":     {"GET /shop/v1 HTTP/1.1\r\nHost: id.example\r\nX-A: " + strings.Repeat("a", 8<<10) + "\r\n\r\n", 200},
		"a trailer": {
			"POST /shop/v1 HTTP/1.1\r\nHost: id.example\r\nTransfer-Encoding: chunked\r\nTrailer: X-Auth-Info\r\n\r\n1\r\na\r\n0\r\nX-Auth-Info: forged\r\n\r\n", 200,
		},
		"the absolute form":              {"GET http://id.example/shop/v1 HTTP/1.1\r\nHost: evil.example\r\n\r\n", 200},
		"the absolute form, with tricks": {"GET http://id.example/shop/v1/../x HTTP/1.1\r\nHost: evil.example\r\n\r\n", 400},
		"a second request behind a body": {"GET /shop/v1 HTTP/1.1\r\nHost: id.example\r\nContent-Length: 0\r\n\r\n", 200},
	} {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		must(t, err)
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		go fmt.Fprint(conn, row.raw)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		body, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
		conn.Close()
		if res.StatusCode != row.status || strings.Contains(string(body), "\"forged\"") {
			t.Errorf("%s: %d %.300s", name, res.StatusCode, body)
		}
	}
}

// Matching an invalid path must not cost more than matching a valid one.
func TestBadPathsAreCheap(t *testing.T) {
	w := newWorld(t, shop())
	r := request(t, http.MethodGet, "id.example", "/x")
	r.RequestURI = strings.Repeat("/a", 4000) + "/.."
	if got := testing.AllocsPerRun(20, func() { w.gw.Claims(r) }); got > 100 {
		t.Errorf("%v allocations for one", got)
	}
}
