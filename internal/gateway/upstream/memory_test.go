package upstream

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
)

// memoryNet connects the clients and servers of one test by pipes. Unlike sockets they belong to a
// bubble of testing/synctest: its clock stands still while a server has something to do, and jumps
// to the next timer when nothing moves. So tests of times depend on no machine.
type memoryNet struct {
	mu        sync.Mutex
	listeners map[string]*memoryListener
}

// inMemory runs a test in a bubble with a network of its own.
func inMemory(t *testing.T, test func(t *testing.T, m *memoryNet)) {
	synctest.Test(t, func(t *testing.T) {
		test(t, &memoryNet{listeners: map[string]*memoryListener{}})
	})
}

// inBubble runs a subtest in a bubble with a network of its own.
func inBubble(t *testing.T, name string, test func(t *testing.T, m *memoryNet)) {
	t.Run(name, func(t *testing.T) { inMemory(t, test) })
}

// front starts a gateway of one pool in the network; server, if not nil, changes it before.
func (m *memoryNet) front(t testing.TB, o Options, server func(*httptest.Server)) *front {
	t.Helper()
	o.Transport = m.transport(t)
	return newFront(t, o, shape{server: func(s *httptest.Server) {
		m.takeOver(t, s, "front")
		if server != nil {
			server(s)
		}
	}})
}

// listen returns a listener at the host name.
func (m *memoryNet) listen(t testing.TB, host string) net.Listener {
	t.Helper()
	l := &memoryListener{
		host:   host,
		accept: make(chan net.Conn),
		closed: make(chan struct{}),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.listeners[host] != nil {
		t.Fatalf("two listeners at %s", host)
	}
	m.listeners[host] = l
	return l
}

// dial connects to the host name of an address.
func (m *memoryNet) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	m.mu.Lock()
	l := m.listeners[host]
	m.mu.Unlock()
	if l == nil {
		return nil, &net.AddrError{Err: "connection refused", Addr: addr}
	}
	near, far := net.Pipe()
	select {
	case l.accept <- far:
		return near, nil
	case <-l.closed:
		return nil, &net.AddrError{Err: "connection refused", Addr: addr}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// transport returns a transport to the network's servers.
func (m *memoryNet) transport(t testing.TB) *Transport {
	tr := NewTransport(TransportOptions{})
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := m.dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &conn{Conn: c}, nil
	}
	tr.plain.DialContext, tr.h2c.DialContext = dial, dial
	t.Cleanup(tr.Close)
	return tr
}

// backend returns the address of a server with HTTP/1.1 and HTTP/2 at a host name.
func (m *memoryNet) backend(t testing.TB, host string, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	m.takeOver(t, s, host)
	useH2C(s, true)
	s.Start()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL
}

// takeOver makes a server that has not started listen in the network.
func (m *memoryNet) takeOver(t testing.TB, s *httptest.Server, host string) {
	t.Helper()
	_ = s.Listener.Close()
	s.Listener = m.listen(t, host)
}

// client returns a client of the network's servers by HTTP/1.1, or HTTP/2 without TLS.
func (m *memoryNet) client(t testing.TB, h2 bool) *http.Client {
	c := client(t, h2)
	c.Transport.(*http.Transport).DialContext = m.dial
	return c
}

// memoryListener is a listener of a memoryNet, and its own address.
type memoryListener struct {
	host   string
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Accept implements net.Listener.
func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *memoryListener) Close() error { l.once.Do(func() { close(l.closed) }); return nil }

// Addr implements net.Listener.
func (l *memoryListener) Addr() net.Addr { return l }

// Network implements net.Addr.
func (l *memoryListener) Network() string { return "memory" }

// String implements net.Addr.
func (l *memoryListener) String() string { return l.host }

// earlyListener accepts connections whose first write does not wait for a reader: gRPC and its
// HTTP/2 client both begin by writing, and a pipe has no buffer.
type earlyListener struct{ net.Listener }

// Accept implements net.Listener.
func (l earlyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &earlyConn{Conn: c, written: make(chan struct{})}, nil
}

type earlyConn struct {
	net.Conn
	first   sync.Once
	written chan struct{} // closed after the first write
}

// Write implements net.Conn.
func (c *earlyConn) Write(b []byte) (int, error) {
	early := false
	c.first.Do(func() {
		early = true
		greeting := bytes.Clone(b)
		go func() {
			defer close(c.written)
			_, _ = c.Conn.Write(greeting)
		}()
	})
	if early {
		return len(b), nil
	}
	<-c.written
	return c.Conn.Write(b)
}
