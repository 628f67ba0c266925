package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A login is what a connection says before it is used.
type login struct {
	user, password string
	database       int
	name           string // of this client, for CLIENT LIST
	primary        bool   // the server must be one; others refuse to write
}

// A node is one server, with a connection that is opened when it is needed.
type node struct {
	network, addr string
	tls           *tls.Config // or nil; without the name of the server
	login         login
	dialTimeout   time.Duration
	timeout       time.Duration // of an answer

	ctx    context.Context // ends with the node
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	conn    *conn    // or nil
	attempt *attempt // to connect, or nil
}

// An attempt is one to connect. All that need the connection meanwhile wait for it.
type attempt struct {
	done chan struct{}
	conn *conn
	err  error
}

func (n *node) start() *node {
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n
}

// do sends a command and returns its answer.
func (n *node) do(ctx context.Context, asking bool, args []string) (Reply, error) {
	c, err := n.connection(ctx)
	if err != nil {
		return Reply{}, unsentError{err}
	}
	reply, err := c.do(ctx, asking, args)
	if unsent(err) && c.ended() { // just now: servers end connections that they consider idle
		if c, err = n.connection(ctx); err != nil {
			return Reply{}, unsentError{err}
		}
		reply, err = c.do(ctx, asking, args)
	}
	if code(err) == "READONLY" { // a primary no more: the next connection may lead to the new one
		c.end(errClosed)
	}
	return reply, err
}

// connection returns a connection. An attempt to open one goes on when ctx ends, so that a server
// that needs longer is reached later.
func (n *node) connection(ctx context.Context) (*conn, error) {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil, errClosed
	}
	if n.conn != nil && !n.conn.ended() {
		defer n.mu.Unlock()
		return n.conn, nil
	}
	a := n.attempt
	if a == nil {
		a = &attempt{done: make(chan struct{})}
		n.attempt = a
		n.group.Go(func() { n.connect(a) })
	}
	n.mu.Unlock()
	select {
	case <-a.done:
		return a.conn, a.err
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, lateError{}
		}
		return nil, ctx.Err()
	}
}

// connect makes one attempt.
func (n *node) connect(a *attempt) {
	ctx, cancel := context.WithTimeout(n.ctx, n.dialTimeout)
	defer cancel()
	c, err := n.open(ctx)
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil && n.closed {
		err = errClosed
		c.end(err)
	}
	if a.conn, a.err = c, err; err == nil {
		n.conn = c
	}
	n.attempt = nil
	close(a.done)
}

// open connects and signs in.
func (n *node) open(ctx context.Context) (*conn, error) {
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 3,
	}}
	raw, err := dialer.DialContext(ctx, n.network, n.addr)
	if err != nil {
		return nil, err
	}
	secured := raw
	if n.tls != nil {
		if secured, err = n.handshake(ctx, raw); err != nil {
			_ = raw.Close()
			return nil, err
		}
	}
	c := startConn(raw, secured, n.dialTimeout, &n.group)
	if err := n.greet(ctx, c); err != nil {
		c.end(errClosed)
		return nil, err
	}
	c.setTimeout(n.timeout)
	return c, nil
}

// handshake verifies the certificate for the host connected to.
func (n *node) handshake(ctx context.Context, raw net.Conn) (net.Conn, error) {
	host, _, err := net.SplitHostPort(n.addr)
	if err != nil {
		return nil, err
	}
	config := n.tls.Clone()
	config.ServerName = host
	secured := tls.Client(raw, config)
	return secured, secured.HandshakeContext(ctx)
}

// greet signs in, and checks that the server is what it must be.
func (n *node) greet(ctx context.Context, c *conn) error {
	l := n.login
	if l.user != "" || l.password != "" {
		if err := signIn(ctx, c, l); err != nil {
			return err
		}
	}
	if _, err := c.do(ctx, false, []string{"PING"}); !usable(err) {
		return err
	}
	if l.name != "" {
		if _, err := c.do(ctx, false, []string{"CLIENT", "SETNAME", l.name}); err != nil && code(err) == "" {
			return err // where it is not allowed, a name is not needed
		}
	}
	if l.database != 0 {
		if _, err := c.do(ctx, false, []string{"SELECT", strconv.Itoa(l.database)}); err != nil {
			return err
		}
	}
	if !l.primary {
		return nil
	}
	role, err := c.do(ctx, false, []string{"ROLE"})
	switch {
	case code(err) != "": // not for this user; a replica answers READONLY
		return nil
	case err == nil && (len(role.Items) == 0 || role.Items[0].Text != "master"):
		return fmt.Errorf("the Redis server at %s is not a primary", n.addr)
	}
	return err
}

// signIn sends the user name and the password. The error does not repeat that of the server:
// servers that do not know the command quote its arguments.
func signIn(ctx context.Context, c *conn, l login) error {
	args := []string{"AUTH", l.user, l.password}
	if l.user == "" {
		args = []string{"AUTH", l.password}
	}
	_, err := c.do(ctx, false, args)
	var e Error
	switch {
	case !errors.As(err, &e):
		return err
	case l.user == "" && (strings.Contains(string(e), "without any password") ||
		strings.Contains(string(e), "no password is set")):
		return nil // the server needs none
	case e.Code() == "WRONGPASS":
		return errors.New("the Redis server rejects the user name or password")
	}
	return errors.New("the Redis server rejects the sign-in")
}

// usable reports whether a connection is usable whose first command got an error: the user may lack
// that command only, or the server may still start.
func usable(err error) bool {
	return err == nil || slices.Contains([]string{"NOPERM", "LOADING", "BUSY", "MASTERDOWN"}, code(err))
}

// close ends the connection, and any attempt to open one.
func (n *node) close() {
	n.mu.Lock()
	n.closed = true
	if n.conn != nil {
		n.conn.end(errClosed)
	}
	n.mu.Unlock()
	n.cancel()
	n.group.Wait()
}
