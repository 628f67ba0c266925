package testkit

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// A Proxy passes on TCP connections, and breaks them in ways that networks do.
type Proxy struct {
	Accepted atomic.Int64 // connections so far

	listener net.Listener
	mu       sync.Mutex
	to       string
	conns    []*proxied
	lose     atomic.Bool
}

// proxied is a connection on its way.
type proxied struct {
	client, server net.Conn
	silent         atomic.Bool
}

// StartProxy starts one in front of an address. It ends with the test.
func StartProxy(t testing.TB, to string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Must(t, err)
	p := &Proxy{listener: l, to: to}
	go p.accept()
	t.Cleanup(p.Close)
	return p
}

// Addr returns the host and port at which it listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Redirect passes on later connections to another address; with "" it closes them.
func (p *Proxy) Redirect(to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = to
}

// Silence drops all bytes of the connections there are, which stay open.
func (p *Proxy) Silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.silent.Store(true)
	}
}

// LoseAnswer ends the connection on which the next answer comes, in place of that answer.
func (p *Proxy) LoseAnswer() { p.lose.Store(true) }

// Disconnect ends the connections there are.
func (p *Proxy) Disconnect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.close()
	}
	p.conns = nil
}

// Close ends all connections and the listener.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.Redirect("")
	p.Disconnect()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.Accepted.Add(1)
		p.mu.Lock()
		to := p.to
		p.mu.Unlock()
		server, err := net.Dial("tcp", to)
		if to == "" || err != nil {
			_ = client.Close()
			continue
		}
		c := &proxied{client: client, server: server}
		p.mu.Lock()
		p.conns = append(p.conns, c)
		p.mu.Unlock()
		go p.pass(c, server, client, nil)
		go p.pass(c, client, server, &p.lose)
	}
}

// pass copies from one side to the other, until it loses an answer.
func (p *Proxy) pass(c *proxied, to io.Writer, from io.Reader, lose *atomic.Bool) {
	defer c.close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil || lose != nil && lose.CompareAndSwap(true, false) {
			return
		}
		if c.silent.Load() {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (c *proxied) close() {
	_ = c.client.Close()
	_ = c.server.Close()
}
