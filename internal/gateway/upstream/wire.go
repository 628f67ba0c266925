package upstream

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"sync/atomic"
	"time"
)

// maxInterims bounds what an upstream may say before it answers.
const maxInterims = 16

// interim passes on an answer that is not the last (RFC 9110 §15.2): early hints, and of those only the links. 100 Continue
// stays here: our server says it itself when the body is read. It runs on the connection's goroutine.
func (c *call) interim(code int, h textproto.MIMEHeader) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.interims++; c.interims > maxInterims {
		return errInterim
	}
	if !c.trying || c.ended || c.begun || code == http.StatusContinue || !c.in.ProtoAtLeast(1, 1) {
		return nil
	}
	head := c.w.Header()
	ours, had := head["Link"]
	if links := h["Link"]; len(links) > 0 {
		head["Link"] = links
	}
	c.w.WriteHeader(code)
	c.passed = true
	if delete(head, "Link"); had {
		head["Link"] = ours
	}
	return nil
}

// answer is a call as the writer that its proxy answers to.
type answer call

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.w.Header() }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(code int) {
	a.mu.Lock()
	a.begun = true
	a.mu.Unlock()
	a.w.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	n, err := a.w.Write(b)
	if err != nil {
		a.lost = true
	}
	a.motion.touch()
	return n, err
}

// Hijack hands the connection over to a tunnel. From here on nothing is timed: what two ends of a WebSocket keep silent about is theirs.
// Only whether it may go on is still asked.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(a.w).Hijack()
	if err == nil {
		a.mu.Lock()
		a.begun, a.tunnel = true, conn
		a.mu.Unlock()
		_ = conn.SetDeadline(time.Time{})
	}
	return conn, rw, err
}

// Unwrap lets http.ResponseController reach the real writer.
func (a *answer) Unwrap() http.ResponseWriter { return a.w }

// sent is the caller's body on its way: counted, bounded, and watched.
type sent struct {
	c       *call
	some    bool          // there is a body
	body    io.ReadCloser // as the proxy hands it on
	n       int64
	reading atomic.Bool
	whole   atomic.Bool // read to its end
	closed  atomic.Bool // the upstream wants no more of it
	hurried atomic.Bool // and the reader that waited for the caller was told so
	failed  atomic.Pointer[error]
}

// Read implements io.Reader.
func (s *sent) Read(b []byte) (int, error) {
	s.reading.Store(true)
	n, err := s.body.Read(b)
	s.reading.Store(false)
	s.c.motion.touch()
	s.n += int64(n)
	if limit := s.c.out.BodyLimit; limit > 0 && s.n > limit {
		n, err = 0, &http.MaxBytesError{Limit: limit}
	}
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		s.whole.Store(true)
	case !s.closed.Load():
		s.failed.CompareAndSwap(nil, &err)
	}
	return n, err
}

// Close implements io.Closer.
func (s *sent) Close() error {
	s.closed.Store(true)
	s.c.hurry()
	return s.body.Close()
}

// unread reports whether there is more of the body to come.
func (s *sent) unread() bool { return s.some && !s.whole.Load() }
