package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// front is a gateway of one pool: a real server, with the deadlines that the real one has unless
// a test shortens them.
type front struct {
	*httptest.Server
	pool *Pool
	errs chan error // what Serve returned
}

type shape struct {
	out    func(*http.Request) Out
	server func(*httptest.Server)
}

func newFront(t testing.TB, o Options, s shape) *front {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{pool: p, errs: make(chan error, 1000)}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := Out{Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery}
		if s.out != nil {
			out = s.out(r)
		}
		err := p.Serve(w, r, out)
		if err != nil {
			http.Error(w, fault.Text(err), Status(err))
		}
		select {
		case f.errs <- err:
		default:
		}
	}))
	f.Config.ReadTimeout, f.Config.WriteTimeout = 30*time.Second, time.Minute
	if s.server != nil {
		s.server(f.Server)
	}
	f.Start()
	t.Cleanup(func() { f.CloseClientConnections(); f.Close(); p.Close() })
	return f
}

// backend is an upstream.
func backend(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL
}

func named(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }
}

// rude is an upstream that speaks TCP: it reads one request and then does as it likes.
func rude(t testing.TB, do func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				go func() { <-done; _ = c.Close() }()
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					do(c)
				}
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); close(done); wg.Wait() })
	return "http://" + l.Addr().String()
}

// nobody is the address of a port that nothing listens on.
func nobody(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return "http://" + l.Addr().String()
}

func reset(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() }

func get(t testing.TB, addr string) (int, string) {
	t.Helper()
	return do(t, must(http.NewRequest(http.MethodGet, addr, nil)))
}

func do(t testing.TB, r *http.Request) (int, string) {
	t.Helper()
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("status %d, then: %v", res.StatusCode, err)
	}
	return res.StatusCode, string(b)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestNewRefuses(t *testing.T) {
	for name, o := range map[string]Options{
		"no target":               {},
		"too many":                {Targets: make([]string, 65)},
		"another scheme":          {Targets: []string{"ftp://x"}},
		"no scheme":               {Targets: []string{"x:80"}},
		"no host":                 {Targets: []string{"http:///a"}},
		"a query":                 {Targets: []string{"http://x/?a=b"}},
		"a fragment":              {Targets: []string{"http://x/#a"}},
		"a password":              {Targets: []string{"http://u:sesame@x/"}},
		"not a URL":               {Targets: []string{"http://u:sesame@x:port/"}},
		"a health path elsewhere": {Targets: []string{"http://x"}, HealthPath: "http://y/"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(o)
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("err = %v, want Invalid", err)
			}
			if strings.Contains(err.Error(), "sesame") {
				t.Errorf("the message holds the password: %v", err)
			}
		})
	}
}

func TestRoundRobin(t *testing.T) {
	f := newFront(t, Options{Targets: []string{backend(t, named("a")), backend(t, named("b")), backend(t, named("c"))}}, shape{})
	seen := map[string]int{}
	for range 9 {
		_, body := get(t, f.URL)
		seen[body]++
	}
	if seen["a"] != 3 || seen["b"] != 3 || seen["c"] != 3 {
		t.Errorf("seen %v, want each 3 times", seen)
	}
}

// What the upstream sees of a request: path, query, host, headers.
func TestRewrite(t *testing.T) {
	var got *http.Request
	up := backend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		got = r
	})
	host := strings.TrimPrefix(up, "http://")
	for name, c := range map[string]struct {
		base string
		out  Out
		uri  string
		host string
	}{
		"plain":                      {"", Out{Path: "/a/b"}, "/a/b", host},
		"base path":                  {"/v2/", Out{Path: "/a/"}, "/v2/a/", host},
		"nothing left of the path":   {"", Out{}, "/", host},
		"base path and nothing left": {"/v2", Out{}, "/v2", host},
		"escapes are kept as sent":   {"/b%20c", Out{Path: "/a%7Eb%C3%A4(1)|x"}, "/b%20c/a%7Eb%C3%A4(1)%7Cx", host},
		"escaped slash in the base":  {"/b%2Fc", Out{Path: "/a"}, "/b%2Fc/a", host},
		"query as it is":             {"", Out{Path: "/", RawQuery: "a=1;b=%zz&c"}, "/?a=1;b=%zz&c", host},
		"the caller's host":          {"", Out{Path: "/", Host: "shop.example"}, "/", "shop.example"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFront(t, Options{Targets: []string{up + c.base}}, shape{out: func(*http.Request) Out { return c.out }})
			if code, body := get(t, f.URL+"/whatever?x=y"); code != http.StatusOK {
				t.Fatalf("%d %s", code, body)
			}
			if got.RequestURI != c.uri || got.Host != c.host {
				t.Errorf("upstream saw %s of %s, want %s of %s", got.RequestURI, got.Host, c.uri, c.host)
			}
		})
	}
}

// RFC 9110 §7.6.1: what belongs to the caller's connection stays there; trailers, which nobody
// has looked at, stay too (§6.5.1).
func TestHopByHop(t *testing.T) {
	var got *http.Request
	up := backend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); got = r })
	f := newFront(t, Options{Targets: []string{up}}, shape{out: func(r *http.Request) Out {
		return Out{Path: "/", Header: func(h http.Header, target *url.URL) {
			h.Set("X-Auth-Info", "ours for "+target.String())
			h.Del("Authorization")
		}}
	}})
	c := must(net.Dial("tcp", f.Listener.Addr().String()))
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nConnection: X-Auth-Info, X-Mine, Upgrade, HTTP2-Settings, close\r\nX-Mine: 1\r\nX-Auth-Info: forged\r\n"+
		"Authorization: Bearer abc\r\nProxy-Authorization: Basic abc\r\nKeep-Alive: 5\r\nProxy-Connection: keep-alive\r\nTE: trailers, deflate\r\nTrailer: X-Auth-Info\r\n"+
		"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nForwarded: for=1.2.3.4\r\nX-Forwarded-For: 1.2.3.4\r\nX-Other: kept\r\nTransfer-Encoding: chunked\r\n\r\n"+
		"2\r\nhi\r\n0\r\nX-Auth-Info: forged\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", res, err)
	}
	for _, name := range []string{"Connection", "X-Mine", "Authorization", "Proxy-Authorization", "Keep-Alive", "Proxy-Connection", "Trailer", "Upgrade", "Http2-Settings", "Forwarded", "X-Forwarded-For"} {
		if v := got.Header[name]; v != nil {
			t.Errorf("%s reached the upstream: %q", name, v)
		}
	}
	if v := got.Header["X-Auth-Info"]; len(v) != 1 || v[0] != "ours for "+up {
		t.Errorf("X-Auth-Info = %q", v)
	}
	if got.Header.Get("X-Other") != "kept" || got.Header.Get("Te") != "trailers" {
		t.Errorf("headers = %v", got.Header)
	}
	if len(got.Trailer) != 0 {
		t.Errorf("trailers reached the upstream: %v", got.Trailer)
	}
}

// What cannot be sent on is refused before anything is dialled, and does not count against the
// upstream.
func TestRefusesTheRequest(t *testing.T) {
	var requested atomic.Int32
	up := backend(t, func(http.ResponseWriter, *http.Request) { requested.Add(1) })
	for name, c := range map[string]struct {
		method string
		out    Out
		header http.Header
		cause  Cause
		status int
	}{
		"CONNECT":             {method: http.MethodConnect, cause: BadRequest, status: 400},
		"TRACE":               {method: http.MethodTrace, cause: BadRequest, status: 400},
		"broken escape":       {out: Out{Path: "/%zz"}, cause: BadRequest, status: 400},
		"relative path":       {out: Out{Path: "a"}, cause: BadRequest, status: 400},
		"host with a path":    {out: Out{Path: "/", Host: "a/b"}, cause: BadRequest, status: 400},
		"host with a space":   {out: Out{Path: "/", Host: "a b"}, cause: BadRequest, status: 400},
		"unprintable upgrade": {header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"\xff"}}, cause: BadRequest, status: 400},
	} {
		t.Run(name, func(t *testing.T) {
			requested.Store(0)
			p := must(New(Options{Targets: []string{up}, OnState: func(string, bool, error) { t.Error("counted against the upstream") }}))
			defer p.Close()
			for range tripAfter + 1 {
				r := httptest.NewRequest(http.MethodGet, "/", nil)
				if c.method != "" {
					r.Method = c.method
				}
				for k, v := range c.header {
					r.Header[k] = v
				}
				err := p.Serve(httptest.NewRecorder(), r, c.out)
				if !errors.Is(err, c.cause) || Status(err) != c.status || !fault.Is(err, fault.Invalid) {
					t.Fatalf("err = %v (%d), want %v", err, Status(err), c.cause)
				}
			}
			if requested.Load() != 0 {
				t.Error("the upstream was asked")
			}
		})
	}
}

// Every way in which no answer comes has its cause and status, within the time that it may take,
// and tells the caller nothing of the upstream.
func TestNoAnswer(t *testing.T) {
	forever := func(c net.Conn, head, again string) {
		_, err := io.WriteString(c, head)
		for err == nil {
			_, err = io.WriteString(c, again)
		}
	}
	big := strings.Repeat("x", 4000)
	for name, c := range map[string]struct {
		target func(testing.TB) string
		cause  Cause
		status int
	}{
		"nobody listens": {nobody, Refused, 502},
		"no such host":   {func(testing.TB) string { return "http://nowhere.invalid" }, Refused, 502},
		"resets":         {func(t testing.TB) string { return rude(t, reset) }, Reset, 502},
		"closes":         {func(t testing.TB) string { return rude(t, func(net.Conn) {}) }, Reset, 502},
		"hangs":          {func(t testing.TB) string { return rude(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }) }, Timeout, 504},
		"not HTTP": {func(t testing.TB) string {
			return rude(t, func(c net.Conn) { _, _ = io.WriteString(c, "220 ready\r\n") })
		}, Garbled, 502},
		"endless header": {func(t testing.TB) string {
			return rude(t, func(c net.Conn) { forever(c, "HTTP/1.1 200 OK\r\n", "X-A: "+big+"\r\n") })
		}, Garbled, 502},
		"endless line": {func(t testing.TB) string {
			return rude(t, func(c net.Conn) { forever(c, "HTTP/1.1 200 OK\r\nX-A: ", big) })
		}, Garbled, 502},
		"100 for ever": {func(t testing.TB) string {
			return rude(t, func(c net.Conn) { forever(c, "", "HTTP/1.1 100 Continue\r\n\r\n") })
		}, Garbled, 502},
		"103 for ever": {func(t testing.TB) string {
			return rude(t, func(c net.Conn) { forever(c, "", "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n") })
		}, Garbled, 502},
		"half a header": {func(t testing.TB) string {
			return rude(t, func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX-A"); _, _ = c.Read(make([]byte, 1)) })
		}, Timeout, 504},
		"two lengths": {func(t testing.TB) string {
			return rude(t, func(c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")
			})
		}, Garbled, 502},
		"negative length": {func(t testing.TB) string {
			return rude(t, func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nab") })
		}, Garbled, 502},
		"101 unasked": {func(t testing.TB) string {
			return rude(t, func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n") })
		}, Garbled, 502},
		"not TLS": {func(t testing.TB) string { return strings.Replace(backend(t, named("x")), "http:", "https:", 1) }, Garbled, 502},
		"not HTTP/2": {func(t testing.TB) string {
			return strings.Replace(rude(t, func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }), "http:", "h2c:", 1)
		}, Garbled, 502},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := c.target(t)
			o := Options{Targets: []string{target}, Timeout: testkit.HangAfter}
			if c.cause == Timeout { // the others end long before
				o.Timeout = 300 * time.Millisecond
			}
			f := newFront(t, o, shape{})
			code, body := get(t, f.URL)
			err := <-f.errs
			if code != c.status || !errors.Is(err, c.cause) || !fault.Is(err, fault.Unavailable) {
				t.Errorf("%d, %v; want %d, %v", code, err, c.status, c.cause)
			}
			_, host, _ := strings.Cut(target, "://")
			if strings.Contains(body, host) || body == "" {
				t.Errorf("the caller reads %q", body)
			}
			if !strings.Contains(err.Error(), host) {
				t.Errorf("the log does not say which upstream: %v", err)
			}
		})
	}
}

// An answer that has begun and breaks off reaches the caller as one that breaks off, never as a
// whole one; and it counts.
func TestAnswerBreaksOff(t *testing.T) {
	for name, say := range map[string]string{
		"fewer bytes than announced": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
		"chunks without an end":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"a chunk that is none":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			opened := make(chan error, 1)
			f := newFront(t, Options{
				Targets: []string{rude(t, func(c net.Conn) { _, _ = io.WriteString(c, say) })},
				OnState: func(_ string, healthy bool, cause error) { opened <- cause },
			}, shape{})
			for i := range tripAfter {
				if len(opened) > 0 {
					t.Fatalf("opened after %d failures", i)
				}
				r := must(http.NewRequest(http.MethodGet, f.URL, nil))
				r.Close = true // or the client would ask again by itself
				if res, err := http.DefaultTransport.RoundTrip(r); err == nil {
					b, err := io.ReadAll(res.Body)
					if err == nil {
						t.Fatalf("the caller took %q for the whole", b)
					}
					_ = res.Body.Close()
				}
			}
			if err := <-opened; !errors.Is(err, Reset) {
				t.Errorf("opened because of %v", err)
			}
		})
	}
}

// More bytes than announced are not the next answer's.
func TestAnswerLongerThanAnnounced(t *testing.T) {
	up := rude(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
		_, _ = c.Read(make([]byte, 1))
	})
	f := newFront(t, Options{Targets: []string{up}}, shape{})
	for range 3 {
		if code, body := get(t, f.URL); code != http.StatusOK || body != "ok" {
			t.Fatalf("%d %q", code, body)
		}
	}
}

func TestInterimAnswers(t *testing.T) {
	up := backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.Header().Set("Set-Cookie", "a=b")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		_, _ = io.WriteString(w, "done")
	})
	f := newFront(t, Options{Targets: []string{up}}, shape{out: func(*http.Request) Out {
		return Out{Path: "/", Answer: func(h http.Header, _ *url.URL) { h.Del("Set-Cookie") }}
	}})
	c := must(net.Dial("tcp", f.Listener.Addr().String()))
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	all := string(must(io.ReadAll(c)))
	first, rest, _ := strings.Cut(all, "\r\n\r\n")
	if !strings.HasPrefix(first, "HTTP/1.1 103") || !strings.Contains(first, "Link: </a.css>; rel=preload") {
		t.Errorf("no early hints: %s", all)
	}
	if strings.Contains(all, "Set-Cookie") || strings.Contains(rest, "Link") || !strings.HasSuffix(rest, "done") {
		t.Errorf("answer:\n%s", all)
	}
}

// RFC 9110 §9.2.1: only a safe request without a body goes to another target, once to each, and
// to three at most.
func TestRetry(t *testing.T) {
	for name, c := range map[string]struct {
		method, body string
		bad          int
		good         bool
		status       int
		requested    int32
	}{
		"GET":             {method: "GET", bad: 1, good: true, status: 200, requested: 2},
		"HEAD":            {method: "HEAD", bad: 1, good: true, status: 200, requested: 2},
		"OPTIONS":         {method: "OPTIONS", bad: 1, good: true, status: 200, requested: 2},
		"third time":      {method: "GET", bad: 2, good: true, status: 200, requested: 3},
		"not a fourth":    {method: "GET", bad: 5, status: 502, requested: 3},
		"no other target": {method: "GET", bad: 1, status: 502, requested: 1},
		"once to each":    {method: "GET", bad: 2, status: 502, requested: 2},
		"GET with a body": {method: "GET", body: "x", bad: 2, status: 502, requested: 1},
		"POST":            {method: "POST", bad: 2, status: 502, requested: 1},
		"PUT":             {method: "PUT", bad: 2, status: 502, requested: 1},
		"DELETE":          {method: "DELETE", bad: 2, status: 502, requested: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var requested atomic.Int32
			var targets []string
			for range c.bad {
				targets = append(targets, rude(t, func(c net.Conn) { requested.Add(1); reset(c) }))
			}
			if c.good {
				targets = append(targets, backend(t, func(http.ResponseWriter, *http.Request) { requested.Add(1) }))
			}
			headers := 0
			f := newFront(t, Options{Targets: targets}, shape{out: func(*http.Request) Out {
				return Out{Path: "/", Header: func(h http.Header, _ *url.URL) {
					headers++
					h.Add("X-Once", "1")
				}}
			}})
			f.pool.next.Store(uint64(len(targets)) - 1) // so that the bad ones come first
			r := must(http.NewRequest(c.method, f.URL, strings.NewReader(c.body)))
			if code, _ := do(t, r); code != c.status || requested.Load() != c.requested || headers != int(c.requested) {
				t.Errorf("status %d after asking %d, headers made %d times; want %d after %d", code, requested.Load(), headers, c.status, c.requested)
			}
		})
	}
}

// No retry after the caller has read anything, and none after the time is up.
func TestNoRetryTooLate(t *testing.T) {
	for name, c := range map[string]struct {
		first  func(c net.Conn)
		status int
	}{
		"an interim answer was passed on": {func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n") }, 502},
		"it hung":                         {func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }, 504},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFront(t, Options{Targets: []string{rude(t, c.first), backend(t, named("other"))}, Timeout: 200 * time.Millisecond}, shape{})
			f.pool.next.Store(1)
			if code, _ := get(t, f.URL); code != c.status {
				t.Errorf("status %d, want %d", code, c.status)
			}
		})
	}
}

// clock is a time that a test moves.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time       { return time.Unix(0, c.ns.Load()) }
func (c *clock) pass(d time.Duration) { c.ns.Add(int64(d)) }

// Failures in a row make a pool skip a target while it has another one, for longer each time; one
// success ends that.
func TestBreaker(t *testing.T) {
	var clk clock
	var bad atomic.Bool
	var requested atomic.Int32
	bad.Store(true)
	up := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if requested.Add(1); bad.Load() {
			panic(http.ErrAbortHandler)
		}
	})
	var states []bool
	f := newFront(t, Options{
		Targets: []string{up, backend(t, named("other"))},
		Now:     clk.now,
		OnState: func(target string, healthy bool, cause error) {
			states = append(states, healthy)
			if target != up || healthy != (cause == nil) {
				t.Errorf("%s healthy %v because of %v", target, healthy, cause)
			}
		},
	}, shape{})
	step := func(wantRequested int32) { // round-robin: each pair of requests would ask it once
		t.Helper()
		requested.Store(0)
		failed := int32(0)
		for range 2 {
			code, _ := do(t, must(http.NewRequest(http.MethodPost, f.URL, nil)))
			if code != http.StatusOK {
				failed++
			}
		}
		if requested.Load() != wantRequested || bad.Load() && failed != wantRequested || !bad.Load() && failed != 0 {
			t.Fatalf("asked %d times, want %d; %d failed", requested.Load(), wantRequested, failed)
		}
	}
	for range tripAfter {
		step(1)
	}
	step(0)
	for pause := firstPause; pause <= maxPause; pause *= 2 {
		clk.pass(pause - 1)
		step(0)
		clk.pass(1)
		step(1) // one request tries
		step(0)
	}
	clk.pass(maxPause)
	bad.Store(false)
	step(1)
	step(1)
	if fmt.Sprint(states) != "[false true]" {
		t.Errorf("states %v", states)
	}
}

// However often it fails, the last target of a pool is used: what makes it fail may be some
// requests only.
func TestBreakerNeverSkipsTheLastTarget(t *testing.T) {
	up := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/boom") {
			panic(http.ErrAbortHandler)
		}
	})
	for name, targets := range map[string][]string{
		"the only target": {up},
		"all targets":     {up, up + "/"},
		"beside dead":     {up, nobody(t)},
	} {
		t.Run(name, func(t *testing.T) {
			p := must(New(Options{Targets: targets}))
			defer p.Close()
			for range 20 {
				r := httptest.NewRequest(http.MethodPost, "/boom", nil)
				if err := p.Serve(httptest.NewRecorder(), r, Out{Path: "/boom"}); Status(err) != http.StatusBadGateway {
					t.Fatalf("err = %v (%d)", err, Status(err))
				}
				r = httptest.NewRequest(http.MethodGet, "/", nil)
				if err := p.Serve(httptest.NewRecorder(), r, Out{Path: "/"}); err != nil {
					t.Fatalf("another request: %v", err)
				}
			}
			for range 20 { // no success in between
				r := httptest.NewRequest(http.MethodPost, "/boom", nil)
				_ = p.Serve(httptest.NewRecorder(), r, Out{Path: "/boom"})
			}
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			if err := p.Serve(httptest.NewRecorder(), r, Out{Path: "/"}); err != nil {
				t.Fatalf("another request: %v", err)
			}
		})
	}
}

// One caller cannot open a breaker, nor keep one open.
func TestBreakerCountsEachCallerOnce(t *testing.T) {
	var clk clock
	var b breaker
	for range 10 * tripAfter {
		if b.failure(7, clk.now) || !b.allow(clk.now) {
			t.Fatal("one caller opened it")
		}
	}
	for caller := range uint64(tripAfter - 2) {
		if b.failure(100+caller, clk.now) {
			t.Fatal("opened too early")
		}
	}
	if !b.failure(200, clk.now) || b.allow(clk.now) {
		t.Fatal("five callers did not open it")
	}
	clk.pass(firstPause)
	if !b.allow(clk.now) {
		t.Fatal("nobody may try after the pause")
	}
	b.failure(7, clk.now)
	if !b.allow(clk.now) {
		t.Error("a caller that had failed before prolonged the pause")
	}
	b.failure(300, clk.now)
	if b.allow(clk.now) || b.wait(clk.now) != 2*firstPause {
		t.Error("another caller's failure did not prolong the pause")
	}
}

// What the transport rejects by itself counts against no target, over every protocol.
func TestTransportsOwnErrorsBlameNobody(t *testing.T) {
	var requested atomic.Int32
	count := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requested.Add(1) })
	plain := backend(t, count)
	h2 := httptest.NewUnstartedServer(count)
	useH2C(h2, true)
	h2.Start()
	defer h2.Close()
	secure := httptest.NewUnstartedServer(count)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	defer secure.Close()
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	tr := NewTransport(TransportOptions{TLS: &tls.Config{RootCAs: roots}})
	defer tr.Close()
	for _, target := range []string{plain, strings.Replace(h2.URL, "http:", "h2c:", 1), secure.URL} {
		p := must(New(Options{
			Targets: []string{target}, Transport: tr,
			OnState: func(string, bool, error) { t.Error("counted against the upstream") },
		}))
		defer p.Close()
		warm := httptest.NewRequest(http.MethodGet, "/", nil)
		for _, warmed := range []bool{false, true} { // without and with an idle connection
			if warmed {
				if err := p.Serve(httptest.NewRecorder(), warm, Out{Path: "/"}); err != nil {
					t.Fatal(err)
				}
			}
			for name, change := range map[string]func(*http.Request, *Out){
				"method with a comma": func(r *http.Request, _ *Out) { r.Method = "GET," },
				"method with a space": func(r *http.Request, _ *Out) { r.Method = "GET x" },
				"method not in ASCII": func(r *http.Request, _ *Out) { r.Method = "GÉT" },
				"header name":         func(r *http.Request, _ *Out) { r.Header["X y"] = []string{"1"} },
				"empty header name":   func(r *http.Request, _ *Out) { r.Header[""] = []string{"1"} },
				"header value":        func(r *http.Request, _ *Out) { r.Header["X"] = []string{"a\nb"} },
				"query with a space":  func(_ *http.Request, o *Out) { o.RawQuery = "a b" },
				"query with a CR":     func(_ *http.Request, o *Out) { o.RawQuery = "a\rb" },
			} {
				requested.Store(0)
				for caller := range uint64(tripAfter + 1) {
					r, o := httptest.NewRequest(http.MethodGet, "/", nil), Out{Path: "/", Caller: caller + 1}
					change(r, &o)
					err := p.Serve(httptest.NewRecorder(), r, o)
					if !errors.Is(err, BadRequest) || Status(err) != http.StatusBadRequest {
						t.Errorf("%s, %s: %v (%d)", target, name, err, Status(err))
					}
				}
				if requested.Load() != 0 || p.targets[0].breaker.nonzero.Load() {
					t.Errorf("%s, %s: sent, or counted", target, name)
				}
			}
		}
	}
}

// After a pause one request tries; the others do not wait for it. A caller that goes away
// meanwhile has not tried.
func TestBreakerProbe(t *testing.T) {
	var clk clock
	var b breaker
	for range tripAfter {
		if !b.allow(clk.now) {
			t.Fatal("opened too early")
		}
		b.failure(0, clk.now)
	}
	clk.pass(firstPause)
	if !b.allow(clk.now) || b.allow(clk.now) {
		t.Error("want exactly one to try")
	}
	b.unknown()
	if !b.allow(clk.now) {
		t.Error("who went away has not tried: another one may")
	}
	if !b.begun() || !b.allow(clk.now) || !b.allow(clk.now) {
		t.Error("the beginning of an answer closes it")
	}
	if !b.failure(0, clk.now) || b.wait(clk.now) != 2*firstPause {
		t.Error("an answer that breaks off opens it again, for longer")
	}
	if !b.success() || !b.allow(clk.now) || b.wait(clk.now) != 0 {
		t.Error("one success closes it")
	}
	if b.success(); b.failure(0, clk.now) {
		t.Error("failures before a success do not count")
	}
}

// What a caller does never counts against the upstream.
func TestCallerIsNotBlamed(t *testing.T) {
	up := backend(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		if err == nil {
			<-r.Context().Done()
		}
	})
	f := newFront(t, Options{Targets: []string{up}, OnState: func(_ string, _ bool, cause error) { t.Errorf("counted: %v", cause) }}, shape{
		out: func(r *http.Request) Out { return Out{Path: "/", BodyLimit: 1000} },
	})
	for name, c := range map[string]struct {
		send  string
		cause Cause
	}{
		"goes away":              {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Gone},
		"body breaks off":        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc", BadBody},
		"body is no chunk":       {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", BadBody},
		"body is over the limit": {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" + strings.Repeat("x", 2000) + "\r\n", TooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			for range tripAfter + 1 {
				c1 := must(net.Dial("tcp", f.Listener.Addr().String()))
				_, _ = io.WriteString(c1, c.send)
				time.Sleep(10 * time.Millisecond)
				_ = c1.Close()
				if err := <-f.errs; !errors.Is(err, c.cause) && !errors.Is(err, Gone) {
					t.Fatalf("err = %v, want %v", err, c.cause)
				}
			}
		})
	}
}

// Nor does a header that is more than an HTTP/2 upstream takes, nor a deadline of the caller's own.
func TestCallerIsNotBlamedFor(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			<-r.Context().Done()
		}
	}))
	useH2C(s, true)
	s.Config.MaxHeaderBytes = 4 << 10
	s.Start()
	defer s.Close()
	p := must(New(Options{Targets: []string{strings.Replace(s.URL, "http:", "h2c:", 1)}}))
	defer p.Close()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if err := p.Serve(httptest.NewRecorder(), r, Out{Path: "/"}); err != nil {
		t.Fatal(err)
	}
	big := r.Clone(t.Context())
	big.Header.Set("X-Big", strings.Repeat("x", 16<<10))
	if err := p.Serve(httptest.NewRecorder(), big, Out{Path: "/"}); Status(err) != http.StatusBadRequest {
		t.Errorf("large header: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Serve(httptest.NewRecorder(), r.WithContext(ctx), Out{Path: "/hang"}); Status(err) != http.StatusGatewayTimeout {
		t.Errorf("the caller's deadline: %v", err)
	}
	if p.targets[0].breaker.nonzero.Load() {
		t.Error("counted against the upstream")
	}
}

// Active checks leave a target out before any request fails, and take it back.
func TestActiveHealth(t *testing.T) {
	var sick atomic.Bool
	var path atomic.Value
	a := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("User-Agent") != "gatehouse-health" {
			_, _ = io.WriteString(w, "a")
			return
		}
		path.Store(r.RequestURI)
		if sick.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	states := make(chan bool, 10)
	f := newFront(t, Options{
		Targets: []string{a + "/base", backend(t, named("b"))}, HealthPath: "/healthz?deep=1", HealthEvery: 10 * time.Millisecond,
		OnState: func(target string, healthy bool, cause error) {
			if target != a+"/base" || healthy != (cause == nil) {
				t.Errorf("%s healthy %v: %v", target, healthy, cause)
			}
			states <- healthy
		},
	}, shape{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { f.pool.Run(ctx); close(ended) }()
	count := func() (n int) {
		for range 6 {
			if _, body := get(t, f.URL); body == "a" {
				n++
			}
		}
		return n
	}
	if n := count(); n != 3 {
		t.Errorf("healthy: a answered %d of 6", n)
	}
	sick.Store(true)
	if <-states || count() != 0 {
		t.Error("a is sick and was asked")
	}
	sick.Store(false)
	if !<-states || count() != 3 {
		t.Error("a is well and was not asked")
	}
	if path.Load() != "/healthz?deep=1" {
		t.Errorf("checked %v", path.Load())
	}
	cancel()
	<-ended
}

// A good check ends a breaker's pause: it knows better than the clock.
func TestCheckClosesBreaker(t *testing.T) {
	well := make(chan struct{})
	p := must(New(Options{
		Targets: []string{backend(t, named("x"))}, HealthPath: "/", HealthEvery: time.Hour,
		OnState: func(_ string, healthy bool, _ error) {
			if healthy {
				close(well)
			}
		},
	}))
	for range tripAfter {
		p.targets[0].breaker.failure(0, p.Now)
	}
	ended := make(chan struct{})
	go func() { p.Run(t.Context()); close(ended) }()
	<-well
	if tg, _ := p.pick(0); tg == nil {
		t.Error("still left out")
	}
	p.Close()
	<-ended
}

// A hanging upstream holds no more than its share of requests.
func TestMaxWaiting(t *testing.T) {
	release := make(chan struct{})
	up := backend(t, func(_ http.ResponseWriter, r *http.Request) { <-release })
	f := newFront(t, Options{Targets: []string{up}, MaxWaiting: 2}, shape{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { get(t, f.URL) })
	}
	testkit.Eventually(t, "two requests wait", func() bool {
		return f.pool.targets[0].waiting.Load() == 2
	})
	if code, _ := get(t, f.URL); code != http.StatusServiceUnavailable {
		t.Errorf("status %d, want 503", code)
	}
	if err := <-f.errs; !errors.Is(err, Busy) {
		t.Errorf("err = %v, want busy", err)
	}
	close(release)
	wg.Wait()
	if code, _ := get(t, f.URL); code != http.StatusOK {
		t.Errorf("status %d after they were answered", code)
	}
}
