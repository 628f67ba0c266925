package upstream

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// Each event reaches the reader before the next is made, and the stream outlives the server's own
// limits for a request.
func TestServerSentEvents(t *testing.T) {
	for name, header := range map[string]map[string]string{
		"event stream":             {"Content-Type": "text/event-stream"},
		"unknown length":           {"Content-Type": "application/json"},
		"event stream of a length": {"Content-Type": "text/event-stream", "Content-Length": "14"},
	} {
		for _, h2 := range []bool{false, true} {
			if h2 && header["Content-Length"] != "" {
				continue
			}
			inBubble(t, fmt.Sprint(name, " h2=", h2), func(t *testing.T, m *memoryNet) {
				seen := make(chan bool)
				up := m.backend(t, "up", func(w http.ResponseWriter, r *http.Request) {
					for k, v := range header {
						w.Header().Set(k, v)
					}
					for i := range 7 {
						_, _ = fmt.Fprintf(w, "%d\n", i)
						_ = http.NewResponseController(w).Flush()
						select {
						case <-seen:
						case <-r.Context().Done():
							return
						}
					}
				})
				f := m.front(t, Options{
					Targets: []string{up},
					Timeout: time.Second,
					Idle:    400 * time.Millisecond,
				}, func(s *httptest.Server) {
					s.Config.ReadTimeout = 500 * time.Millisecond
					s.Config.WriteTimeout = 500 * time.Millisecond
					useH2C(s, h2)
				})
				res, err := m.client(t, h2).Get(f.URL)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = res.Body.Close() }()
				lines := bufio.NewScanner(res.Body)
				for i := range 7 {
					if !lines.Scan() || lines.Text() != fmt.Sprint(i) {
						t.Fatalf("event %d: %q, %v", i, lines.Text(), lines.Err())
					}
					time.Sleep(100 * time.Millisecond) // 0.7 s in all
					seen <- true
				}
			})
		}
	}
}

func useH2C(s *httptest.Server, on bool) {
	if on {
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Config.Protocols.SetHTTP1(true)
	}
}

// client speaks HTTP/1.1, or HTTP/2 without TLS.
func client(t testing.TB, h2 bool) *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true}
	tr.Protocols.SetHTTP1(!h2)
	tr.Protocols.SetUnencryptedHTTP2(h2)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// A stream in which nothing moves ends, and that is not held against the upstream.
func TestIdleStreamEnds(t *testing.T) {
	inMemory(t, testIdleStreamEnds)
}

func testIdleStreamEnds(t *testing.T, m *memoryNet) {
	ended := make(chan bool, 1)
	up := m.backend(t, "up", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "hello")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		ended <- true
	})
	f := m.front(t, Options{Targets: []string{up}, Idle: 100 * time.Millisecond}, nil)
	res := must(m.client(t, false).Get(f.URL))
	defer func() { _ = res.Body.Close() }()
	if b, err := io.ReadAll(res.Body); string(b) != "hello" || err == nil {
		t.Errorf("read %q, %v; want hello and a break", b, err)
	}
	<-ended
	if f.pool.targets[0].breaker.nonzero.Load() {
		t.Error("a quiet stream counts as a failure")
	}
}

// A reader that does not read ends as well, and does not hold the upstream.
func TestReaderThatDoesNotRead(t *testing.T) {
	t.Parallel()
	ended := make(chan bool, 1)
	up := backend(t, func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 1<<20)
		for {
			if _, err := w.Write(b); err != nil {
				ended <- true
				return
			}
		}
	})
	f := newFront(t, Options{Targets: []string{up}, Idle: 200 * time.Millisecond}, shape{})
	c := must(net.Dial("tcp", f.Listener.Addr().String()))
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	testkit.Receive(t, "the end of writing to a reader that does not read", ended)
}

// Bytes go both ways at once, over each pair of protocols.
func TestBothWays(t *testing.T) {
	for _, front2 := range []bool{false, true} {
		for _, up2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("h2 %v to h2 %v", front2, up2), func(t *testing.T) {
				s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					rc := http.NewResponseController(w)
					_ = rc.EnableFullDuplex()
					lines := bufio.NewScanner(r.Body)
					for lines.Scan() {
						_, _ = fmt.Fprintf(w, "echo %s\n", lines.Text())
						_ = rc.Flush()
					}
				}))
				useH2C(s, up2)
				s.Start()
				defer s.Close()
				addr := s.URL
				if up2 {
					addr = strings.Replace(addr, "http:", "h2c:", 1)
				}
				f := newFront(t, Options{Targets: []string{addr}}, shape{server: func(s *httptest.Server) { useH2C(s, front2) }})
				out, in := io.Pipe()
				r := must(http.NewRequest(http.MethodPost, f.URL, out))
				go func() { _, _ = io.WriteString(in, "first\n") }()
				res, err := client(t, front2).Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = res.Body.Close() }()
				lines := bufio.NewScanner(res.Body)
				for _, say := range []string{"second", "third", ""} {
					if !lines.Scan() || !strings.HasPrefix(lines.Text(), "echo ") {
						t.Fatalf("%q, %v", lines.Text(), lines.Err())
					}
					if say != "" {
						_, _ = io.WriteString(in, say+"\n")
					}
				}
				_ = in.Close()
				if lines.Scan() || lines.Err() != nil {
					t.Errorf("after the end: %q, %v", lines.Text(), lines.Err())
				}
			})
		}
	}
}

// An upload of 100 MB and its echo pass through in the memory of a buffer.
func TestLargeBodies(t *testing.T) {
	const size = 100 << 20
	up := backend(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Length", fmt.Sprint(n))
		block := make([]byte, 64<<10)
		for ; n > 0; n -= int64(len(block)) {
			_, _ = w.Write(block)
		}
	})
	f := newFront(t, Options{Targets: []string{up}}, shape{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := must(http.NewRequest(http.MethodPost, f.URL, io.LimitReader(zeros{}, size)))
	r.ContentLength = size
	res := must(http.DefaultTransport.RoundTrip(r))
	n, err := io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	runtime.ReadMemStats(&after)
	if n != size || err != nil {
		t.Fatalf("came back: %d, %v", n, err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 2<<20 {
		t.Errorf("%d bytes allocated on the way", used)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestBodyLimit(t *testing.T) {
	var read atomic.Int64
	up := backend(t, func(_ http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		read.Store(n)
	})
	f := newFront(t, Options{Targets: []string{up}}, shape{out: func(*http.Request) Out { return Out{Path: "/", BodyLimit: 1000} }})
	for name, c := range map[string]struct {
		size    int
		chunked bool
		status  int
	}{
		"announced, at the limit": {1000, false, 200},
		"announced, over it":      {1001, false, 413},
		"chunked, at the limit":   {1000, true, 200},
		"chunked, over it":        {1 << 20, true, 413},
	} {
		t.Run(name, func(t *testing.T) {
			var body io.Reader = bytes.NewReader(make([]byte, c.size))
			if c.chunked {
				body = io.MultiReader(body)
			}
			if code, _ := do(t, must(http.NewRequest(http.MethodPost, f.URL, body))); code != c.status {
				t.Errorf("status %d, want %d", code, c.status)
			}
			if err := <-f.errs; err != nil {
				var e *http.MaxBytesError
				if !errors.As(err, &e) || e.Limit != 1000 {
					t.Errorf("err = %v, want one that tells the limit", err)
				}
			}
			if read.Load() > 1000 {
				t.Errorf("the upstream read %d", read.Load())
			}
		})
	}
}

// A body that comes slowly is waited for as long as it moves, by a server that would not; one
// that stops is given up.
func TestSlowBody(t *testing.T) {
	inMemory(t, testSlowBody)
}

func testSlowBody(t *testing.T, m *memoryNet) {
	up := m.backend(t, "up", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(b)
	})
	f := m.front(t, Options{
		Targets: []string{up},
		Timeout: 300 * time.Millisecond,
		Idle:    400 * time.Millisecond,
	}, func(s *httptest.Server) {
		s.Config.ReadTimeout, s.Config.WriteTimeout = 500*time.Millisecond, 500*time.Millisecond
	})
	send := func(n int) (int, string) {
		c := must(m.dial(t.Context(), "", f.Listener.Addr().String()))
		defer func() { _ = c.Close() }()
		_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n")
		for range n {
			time.Sleep(150 * time.Millisecond)
			_, _ = io.WriteString(c, "x")
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(must(io.ReadAll(res.Body)))
	}
	if code, body := send(6); code != http.StatusOK || body != "xxxxxx" {
		t.Errorf("slow: %d %q", code, body)
	}
	<-f.errs
	if code, _ := send(2); code != http.StatusRequestTimeout {
		t.Errorf("stopped: %d, want 408", code)
	}
	if err := <-f.errs; !errors.Is(err, Slow) {
		t.Errorf("stopped: %v, want slow", err)
	}
	if f.pool.targets[0].breaker.nonzero.Load() {
		t.Error("a slow caller counts against the upstream")
	}
}

// Two pools share connections; one hangs with many requests, the other does not notice.
func TestOneHangsOtherDoesNot(t *testing.T) {
	tr := NewTransport(TransportOptions{})
	defer tr.Close()
	hang := backend(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does a server notice that its caller has gone
		<-r.Context().Done()
	})
	bad := newFront(t, Options{Targets: []string{hang}, Transport: tr, Timeout: testkit.HangAfter}, shape{})
	good := newFront(t, Options{Targets: []string{backend(t, named("x"))}, Transport: tr}, shape{})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			body, in := io.Pipe() // every other one with a body that never ends
			defer context.AfterFunc(ctx, func() { _ = in.Close() })()
			r := must(http.NewRequestWithContext(ctx, http.MethodPost, bad.URL, body))
			if i%2 == 0 {
				r.Body = nil
			}
			if res, err := http.DefaultClient.Do(r); err == nil {
				_ = res.Body.Close()
			}
		})
	}
	waiting := &bad.pool.targets[0].waiting
	testkit.Eventually(t, "100 requests wait", func() bool { return waiting.Load() == 100 })
	for range 20 {
		if code, _ := get(t, good.URL); code != http.StatusOK {
			t.Fatalf("status %d", code)
		}
	}
	if n := waiting.Load(); n != 100 {
		t.Errorf("the requests of the other pool were answered when %d of 100 still waited", n)
	}
	cancel()
	wg.Wait()
}

// One HTTP/2 connection carries the requests of two pools; a reader of one that does not read is
// not in the other's way.
func TestSlowReaderOnSharedConnection(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 1<<20)
		for i := 0; r.URL.Path == "/endless" && i < 1000; i++ {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	}))
	useH2C(s, true)
	s.Start()
	defer s.Close()
	tr := NewTransport(TransportOptions{})
	defer tr.Close()
	o := Options{Targets: []string{strings.Replace(s.URL, "http:", "h2c:", 1)}, Transport: tr}
	slow, other := newFront(t, o, shape{}), newFront(t, o, shape{})
	c := must(net.Dial("tcp", slow.Listener.Addr().String()))
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
	_, _ = c.Read(make([]byte, 1))
	time.Sleep(50 * time.Millisecond) // until every buffer is full
	done := make(chan bool)
	go func() { get(t, other.URL); close(done) }()
	testkit.Receive(t, "the answer for the other pool", done)
}

// When the caller goes, the upstream learns of it: before the answer, within it, and in the
// middle of a body.
func TestCancellation(t *testing.T) {
	for name, c := range map[string]struct {
		h2, begun, body bool
	}{
		"before the answer":           {},
		"within the answer":           {begun: true},
		"within the body":             {body: true},
		"before the answer by HTTP/2": {h2: true},
		"within the answer by HTTP/2": {h2: true, begun: true},
	} {
		t.Run(name, func(t *testing.T) {
			arrived, gone := make(chan bool, 1), make(chan bool, 1)
			up := backend(t, func(w http.ResponseWriter, r *http.Request) {
				if c.begun {
					_ = http.NewResponseController(w).Flush()
				}
				arrived <- true
				if c.body {
					_, _ = io.Copy(io.Discard, r.Body)
				} else {
					<-r.Context().Done()
				}
				gone <- true
			})
			f := newFront(t, Options{Targets: []string{up}}, shape{server: func(s *httptest.Server) { useH2C(s, c.h2) }})
			ctx, cancel := context.WithCancel(t.Context())
			r := must(http.NewRequestWithContext(ctx, http.MethodGet, f.URL, nil))
			if c.body {
				body, in := io.Pipe()
				defer func() { _ = in.Close() }()
				r = must(http.NewRequestWithContext(ctx, http.MethodPost, f.URL, body))
				go func() { _, _ = in.Write(make([]byte, 8<<10)) }()
			}
			go func() {
				if res, err := client(t, c.h2).Do(r); err == nil {
					_, _ = io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
				}
			}()
			<-arrived
			cancel()
			testkit.Receive(t, "the end at the upstream", gone)
		})
	}
}

// RFC 6455 by another implementation, in both roles: long after the server's deadlines, and with
// a message larger than any buffer. An h2c upstream gets the upgrade by HTTP/1.1, where alone it
// exists.
func TestWebSocket(t *testing.T) {
	for _, scheme := range []string{"http:", "h2c:"} {
		inBubble(t, scheme, func(t *testing.T, m *memoryNet) {
			up := m.backend(t, "up", func(w http.ResponseWriter, r *http.Request) {
				c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"chat"}})
				if err != nil {
					return
				}
				c.SetReadLimit(1 << 20)
				for {
					kind, b, err := c.Read(r.Context())
					if err != nil || c.Write(r.Context(), kind, b) != nil {
						return
					}
				}
			})
			f := m.front(t, Options{
				Targets: []string{strings.Replace(up, "http:", scheme, 1)},
				Timeout: 100 * time.Millisecond,
				Idle:    100 * time.Millisecond,
			}, func(s *httptest.Server) {
				s.Config.ReadTimeout = 150 * time.Millisecond
				s.Config.WriteTimeout = 150 * time.Millisecond
			})
			c, _, err := websocket.Dial(t.Context(), f.URL, &websocket.DialOptions{
				HTTPClient:   m.client(t, false),
				Subprotocols: []string{"chat"},
			})
			if err != nil {
				t.Fatal(err)
			}
			c.SetReadLimit(1 << 20)
			if c.Subprotocol() != "chat" {
				t.Errorf("subprotocol %q", c.Subprotocol())
			}
			for i, size := range []int{1, 500_000, 0} {
				if i > 0 {
					time.Sleep(300 * time.Millisecond)
				}
				msg := bytes.Repeat([]byte("x"), size)
				if err := c.Write(t.Context(), websocket.MessageBinary, msg); err != nil {
					t.Fatal(err)
				}
				if _, b, err := c.Read(t.Context()); err != nil || !bytes.Equal(b, msg) {
					t.Fatalf("came back: %d bytes, %v", len(b), err)
				}
			}
			_ = c.Close(websocket.StatusNormalClosure, "")
			if err := <-f.errs; err != nil {
				t.Errorf("Serve: %v", err)
			}
		})
	}
}

// An upgrade to HTTP/2 would be a tunnel past every check; a refused upgrade is an answer like
// any other; an upstream that switches to something else is stopped.
func TestUpgradeRefused(t *testing.T) {
	handshake := func(to string) *http.Request {
		r := must(http.NewRequest(http.MethodGet, "http://x/", nil))
		r.Header.Set("Connection", "Upgrade, HTTP2-Settings")
		r.Header.Set("Upgrade", to)
		r.Header.Set("Http2-Settings", "AAMAAABkAARAAAAAAAIAAAAA")
		return r
	}
	switches := func(header string) func(t testing.TB) string {
		return func(t testing.TB) string {
			return rude(t, func(c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n"+header+"\r\nTUNNEL")
				_, _ = c.Read(make([]byte, 1))
			})
		}
	}
	for name, c := range map[string]struct {
		to     string
		target func(testing.TB) string
		status int
	}{
		"h2c is an ordinary request": {"h2c", func(t testing.TB) string {
			return backend(t, func(_ http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Upgrade")+r.Header.Get("Connection")+r.Header.Get("Http2-Settings") != "" {
					t.Errorf("headers %v", r.Header)
				}
			})
		}, 200},
		"WebSocket refused": {"websocket", func(t testing.TB) string {
			return backend(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(426) })
		}, 426},
		"switched to h2c unasked":    {"h2c", switches("Connection: Upgrade\r\nUpgrade: h2c\r\n"), 502},
		"switched to something else": {"websocket", switches("Connection: Upgrade\r\nUpgrade: h2c\r\n"), 502},
		"switched to nothing":        {"websocket", switches(""), 502},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFront(t, Options{Targets: []string{c.target(t)}}, shape{})
			r := handshake(c.to)
			r.URL = must(url.Parse(f.URL))
			if code, body := do(t, r); code != c.status || strings.Contains(body, "TUNNEL") {
				t.Errorf("%d %q, want %d", code, body, c.status)
			}
		})
	}
}

// Bare bytes, as RFC 6455 §1.3 shows them: what a client sends behind its handshake is not lost.
func TestTunnelIsTransparent(t *testing.T) {
	up := rude(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello ")
		_, _ = io.Copy(c, c)
	})
	f := newFront(t, Options{Targets: []string{up}}, shape{})
	c := must(net.Dial("tcp", f.Listener.Addr().String()))
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols || res.Header.Get("Sec-Websocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("%v, %v", res, err)
	}
	_, _ = io.WriteString(c, "world")
	got := make([]byte, len("hello world"))
	if _, err := io.ReadFull(br, got); err != nil || string(got) != "hello world" {
		t.Errorf("%q, %v", got, err)
	}
}

// HTTP/2 with TLS to the upstream, WebSocket over the same by HTTP/1.1, and an upstream whose
// certificate nobody vouches for.
func TestHTTPSUpstream(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			if c, err := websocket.Accept(w, r, nil); err == nil {
				_ = c.Write(r.Context(), websocket.MessageText, []byte(r.Proto))
				_ = c.CloseNow()
			}
			return
		}
		_, _ = io.WriteString(w, r.Proto)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	tr := NewTransport(TransportOptions{TLS: s.Client().Transport.(*http.Transport).TLSClientConfig})
	defer tr.Close()
	f := newFront(t, Options{Targets: []string{s.URL}, Transport: tr}, shape{})
	if code, body := get(t, f.URL); code != http.StatusOK || body != "HTTP/2.0" {
		t.Errorf("%d %q", code, body)
	}
	c, _, err := websocket.Dial(t.Context(), f.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, b, err := c.Read(t.Context()); err != nil || string(b) != "HTTP/1.1" {
		t.Errorf("%q, %v", b, err)
	}
	_ = c.CloseNow()
	stranger := newFront(t, Options{Targets: []string{s.URL}}, shape{})
	if code, _ := get(t, stranger.URL); code != http.StatusBadGateway {
		t.Errorf("unknown certificate: %d", code)
	}
}

// raw is a codec without protobuf: messages are strings.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error)      { return []byte(*v.(*string)), nil }
func (raw) Unmarshal(data []byte, v any) error { *v.(*string) = string(data); return nil }
func (raw) Name() string                       { return "raw" }

// echo is a gRPC service written by hand: a call, and a stream both ways.
var echo = grpc.ServiceDesc{
	ServiceName: "Echo", HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Once", Handler: func(_ any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		var in string
		if err := dec(&in); err != nil {
			return nil, err
		}
		md, _ := metadata.FromIncomingContext(ctx)
		_ = grpc.SetTrailer(ctx, metadata.Pairs("x-trailer", "t-"+strings.Join(md["x-auth-info"], ",")))
		if in == "fail" {
			return nil, status.Error(codes.FailedPrecondition, "as you wish")
		}
		return &in, nil
	}}},
	Streams: []grpc.StreamDesc{{StreamName: "Many", ServerStreams: true, ClientStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
		for {
			var in string
			if err := s.RecvMsg(&in); errors.Is(err, io.EOF) {
				return status.Error(codes.Aborted, "the end")
			} else if err != nil {
				return err
			}
			if err := s.SendMsg(&in); err != nil {
				return err
			}
		}
	}}},
}

// gRPC passes: a call with its trailers, an error that is all trailers, a stream whose messages
// take turns.
func TestGRPC(t *testing.T) {
	inMemory(t, testGRPC)
}

func testGRPC(t *testing.T, m *memoryNet) {
	l := m.listen(t, "up")
	gs := grpc.NewServer(grpc.ForceServerCodec(raw{}))
	gs.RegisterService(&echo, struct{}{})
	go func() { _ = gs.Serve(earlyListener{l}) }()
	defer gs.Stop()
	f := newFront(t, Options{
		Targets:   []string{"h2c://up"},
		Timeout:   time.Second,
		Idle:      500 * time.Millisecond,
		Transport: m.transport(t),
	}, shape{
		server: func(s *httptest.Server) {
			m.takeOver(t, s, "front")
			useH2C(s, true)
			s.Config.ReadTimeout, s.Config.WriteTimeout = 600*time.Millisecond, 600*time.Millisecond
		},
		out: func(r *http.Request) Out {
			return Out{Path: r.URL.EscapedPath(), Header: func(h http.Header, _ *url.URL) { h.Set("X-Auth-Info", "us") }}
		},
	})
	cc := must(grpc.NewClient("passthrough:///"+f.Listener.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return m.dial(ctx, "", addr)
		}),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}))))
	defer func() { _ = cc.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // by the clock of the bubble
	defer cancel()

	var trailer metadata.MD
	in, out := "hello", ""
	if err := cc.Invoke(ctx, "/Echo/Once", &in, &out, grpc.Trailer(&trailer)); err != nil || out != "hello" || strings.Join(trailer["x-trailer"], ",") != "t-us" {
		t.Errorf("call: %q, %v, trailers %v", out, err, trailer)
	}
	in = "fail"
	if err := cc.Invoke(ctx, "/Echo/Once", &in, &out, grpc.Trailer(&trailer)); status.Code(err) != codes.FailedPrecondition || len(trailer["x-trailer"]) != 1 {
		t.Errorf("error: %v, trailers %v", err, trailer)
	}
	s, err := cc.NewStream(ctx, &echo.Streams[0], "/Echo/Many")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		say, hear := fmt.Sprint("m", i), ""
		if err := s.SendMsg(&say); err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(&hear); err != nil || hear != say {
			t.Fatalf("message %d: %q, %v", i, hear, err)
		}
		time.Sleep(150 * time.Millisecond) // 0.9 s in all, beyond the server's limits
	}
	_ = s.CloseSend()
	if err := s.RecvMsg(&out); status.Code(err) != codes.Aborted {
		t.Errorf("end: %v", err)
	}
}

// Trailers of HTTP/1.1, announced or not (RFC 9110 §6.5).
func TestTrailers(t *testing.T) {
	up := backend(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Sum", "42")
		w.Header().Set(http.TrailerPrefix+"X-More", "43")
	})
	f := newFront(t, Options{Targets: []string{up}}, shape{})
	res := must(http.Get(f.URL))
	b, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || string(b) != "body" || res.Trailer.Get("X-Sum") != "42" || res.Trailer.Get("X-More") != "43" {
		t.Errorf("%q, %v, trailers %v", b, err, res.Trailer)
	}
}

// An upstream that answers before it has read everything is heard, and the caller's connection
// does not hang on what it still sends.
func TestEarlyAnswer(t *testing.T) {
	up := rude(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
		_, _ = io.Copy(io.Discard, c)
	})
	f := newFront(t, Options{Targets: []string{up}}, shape{})
	body, in := io.Pipe()
	defer func() { _ = in.Close() }()
	go func() { _, _ = in.Write(make([]byte, 4<<10)) }() // and then nothing
	res, err := client(t, false).Do(must(http.NewRequest(http.MethodPost, f.URL, body)))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusForbidden || !res.Close {
		t.Errorf("status %d, connection closes: %v", res.StatusCode, res.Close)
	}
}

// An upstream that goes away while the caller pauses within its body is noticed at once.
func TestResetWhileCallerPauses(t *testing.T) {
	for _, scheme := range []string{"http:", "h2c:"} {
		t.Run(scheme, func(t *testing.T) {
			s := httptest.NewUnstartedServer(nil)
			s.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.ReadFull(r.Body, make([]byte, 5))
				s.CloseClientConnections()
			})
			useH2C(s, true)
			s.Start()
			defer s.Close()
			f := newFront(t, Options{Targets: []string{strings.Replace(s.URL, "http:", scheme, 1)}}, shape{})
			c := must(net.Dial("tcp", f.Listener.Addr().String()))
			defer func() { _ = c.Close() }()
			_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
			_ = c.SetReadDeadline(time.Now().Add(testkit.HangAfter))
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || res.StatusCode != http.StatusBadGateway || !res.Close {
				t.Fatalf("%v, %v", res, err)
			}
			if err := <-f.errs; !errors.Is(err, Reset) {
				t.Errorf("err = %v, want reset", err)
			}
		})
	}
}

// A connection may also close between two reads of the body. The second would wait for a caller
// that pauses, so it does not begin.
func TestNoReadForAClosedConnection(t *testing.T) {
	for name, ended := range map[string]bool{"by the upstream": false, "by this server": true} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if ended {
				cancel()
			}
			c := &call{ctx: ctx, inRoundTrip: true}
			c.body.c, c.body.source = c, io.NopCloser(strings.NewReader("unread"))
			c.interruptRead()
			n, err := c.body.Read(make([]byte, 8))
			if n != 0 || !errors.Is(err, errGone) || c.body.interrupted.Load() == ended || c.body.failed.Load() != nil {
				t.Errorf("%d bytes, %v, interrupted %v", n, err, c.body.interrupted.Load())
			}
		})
	}
}

// 100 Continue is the upstream's to say: a body that it does not want is not sent (RFC 9110
// §10.1.1).
func TestExpectContinue(t *testing.T) {
	for _, want := range []bool{true, false} {
		t.Run(fmt.Sprint("wanted ", want), func(t *testing.T) {
			up := backend(t, func(w http.ResponseWriter, r *http.Request) {
				if !want {
					http.Error(w, "no", http.StatusForbidden)
					return
				}
				_, _ = io.Copy(w, r.Body)
			})
			f := newFront(t, Options{Targets: []string{up}, Transport: NewTransport(TransportOptions{ExpectTimeout: time.Minute})}, shape{})
			c := must(net.Dial("tcp", f.Listener.Addr().String()))
			defer func() { _ = c.Close() }()
			_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
			line := must(bufio.NewReader(c).ReadString('\n'))
			if requested := strings.Contains(line, " 100 "); requested != want {
				t.Errorf("first line %q", line)
			}
		})
	}
}
