package ship

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// link is a TCP connection, with or without TLS, on which the other side has nothing to say.
type link struct {
	net.Conn
	closed chan struct{} // closed when the other side has ended the connection
}

func newLink(c net.Conn) *link {
	l := &link{c, make(chan struct{})}
	go func() {
		defer close(l.closed)
		_, _ = io.Copy(io.Discard, c)
	}()
	return l
}

// open returns an error if the other side has ended the connection.
func (l *link) open() error {
	select {
	case <-l.closed:
		return errors.New("the server has closed the connection")
	default:
		return nil
	}
}

// tcp returns the connection below TLS, or nil.
func (l *link) tcp() *net.TCPConn {
	c := l.Conn
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	tcp, _ := c.(*net.TCPConn)
	return tcp
}

// acknowledged waits until the other machine has acknowledged all bytes that were written. It
// returns an error if it does not, or has ended the connection.
func (l *link) acknowledged(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for wait := 50 * time.Microsecond; ; wait = min(2*wait, 50*time.Millisecond) {
		n, err := unacknowledged(l.tcp())
		if err != nil {
			return err
		}
		if n == 0 {
			return l.open()
		}
		if !pause(ctx, wait, l.closed) {
			return fmt.Errorf("%d bytes were not acknowledged: %w", n, ctx.Err())
		}
		if err := l.open(); err != nil {
			return err
		}
	}
}
