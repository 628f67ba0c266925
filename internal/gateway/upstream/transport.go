package upstream

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"syscall"
	"time"
)

// TransportOptions shape the connections to upstreams; every zero is a default.
type TransportOptions struct {
	TLS            *tls.Config   // roots and certificates for https; nil: the system's
	DialTimeout    time.Duration // to connect, and again for TLS; 0: 5 s
	IdlePerHost    int           // idle connections to one host; 0: 256
	IdleFor        time.Duration // how long; 0: 90 s
	MaxHeaderBytes int64         // of an answer, all interim ones included; 0: 128 KiB
	// how long a body waits for 100 Continue when the caller does; 0: 1 s
	ExpectTimeout time.Duration
	// Control may reject the address of a connection after its name was resolved; nil: all are
	// accepted. It is a net.Dialer's Control.
	Control func(network, address string, c syscall.RawConn) error
}

// Transport holds the connections to all upstreams. Pools share it.
type Transport struct {
	// http by HTTP/1.1, https by HTTP/2 where the server has it, else HTTP/1.1
	plain *http.Transport
	h2c   *http.Transport // HTTP/2 without TLS, by prior knowledge
}

// A slow reader of one stream holds at most this much of an HTTP/2 answer in our memory.
const streamBuffer = 512 << 10

// NewTransport returns a transport without connections.
func NewTransport(o TransportOptions) *Transport {
	setDefault(&o.DialTimeout, 5*time.Second)
	setDefault(&o.IdlePerHost, 256)
	setDefault(&o.IdleFor, 90*time.Second)
	setDefault(&o.MaxHeaderBytes, 128<<10)
	setDefault(&o.ExpectTimeout, time.Second)
	dialer := &net.Dialer{Timeout: o.DialTimeout, KeepAlive: 30 * time.Second, Control: o.Control}
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dialer.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &conn{Conn: c}, nil
	}
	build := func(use func(*http.Protocols)) *http.Transport {
		protocols := new(http.Protocols)
		use(protocols)
		return &http.Transport{ // no Proxy: HTTP_PROXY does not apply to upstreams
			DialContext:            dial,
			TLSClientConfig:        o.TLS.Clone(),
			TLSHandshakeTimeout:    o.DialTimeout,
			DisableCompression:     true, // a body passes as it is
			MaxIdleConnsPerHost:    o.IdlePerHost,
			IdleConnTimeout:        o.IdleFor,
			ExpectContinueTimeout:  o.ExpectTimeout,
			MaxResponseHeaderBytes: o.MaxHeaderBytes,
			Protocols:              protocols,
			// A dead HTTP/2 connection would hold every request of its host; a ping finds it.
			HTTP2: &http.HTTP2Config{
				SendPingTimeout:           15 * time.Second,
				PingTimeout:               10 * time.Second,
				MaxReceiveBufferPerStream: streamBuffer,
			},
		}
	}
	return &Transport{
		plain: build(func(p *http.Protocols) { p.SetHTTP1(true); p.SetHTTP2(true) }),
		h2c:   build(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }),
	}
}

// setDefault sets *v if it is not positive.
func setDefault[T int | int64 | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// Close closes the connections that no request uses.
func (t *Transport) Close() {
	t.plain.CloseIdleConnections()
	t.h2c.CloseIdleConnections()
}

// forTarget returns the transport for a request. Only HTTP/1.1 has protocol upgrades.
func (t *Transport) forTarget(to *target, upgrade bool) *http.Transport {
	if to.h2c && !upgrade {
		return t.h2c
	}
	return t.plain
}

// conn notifies the call that sends a body over it when it closes. net/http waits for the reader of
// the body before it reports a broken connection, and that reader may wait for a caller that sends
// nothing.
type conn struct {
	net.Conn
	sender atomic.Pointer[call]
}

// Close implements net.Conn.
func (k *conn) Close() error {
	if c := k.sender.Swap(nil); c != nil {
		c.interruptRead()
	}
	return k.Conn.Close()
}

// getConn records that the transport has accepted the request: everything that it rejects by
// itself, such as a malformed method or header, it rejects before.
func (c *call) getConn(string) { c.accepted = true }

// gotConn records the connection that the body is sent over. An HTTP/2 connection has many senders;
// there the transport closes the body itself.
func (c *call) gotConn(info httptrace.GotConnInfo) {
	under := info.Conn
	if t, ok := under.(*tls.Conn); ok {
		if t.ConnectionState().NegotiatedProtocol == "h2" {
			return
		}
		under = t.NetConn()
	}
	if k, ok := under.(*conn); ok && (!c.target.h2c || c.upgrade) {
		k.sender.Store(c)
		c.conn.Store(k)
	}
}
