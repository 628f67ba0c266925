package upstream

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"sync/atomic"
	"time"
)

// maxInterims bounds the interim answers before the final one.
const maxInterims = 16

// interim passes on an interim answer (RFC 9110 §15.2): early hints, and of those only the links.
// It does not pass on 100 Continue, which this server sends itself when the body is read. It runs
// on the connection's goroutine.
func (c *call) interim(code int, h textproto.MIMEHeader) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.interims++; c.interims > maxInterims {
		return errInterim
	}
	if !c.inRoundTrip || c.ended || c.begun || code == http.StatusContinue || !c.in.ProtoAtLeast(1, 1) {
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

// responseWriter is a call as the writer that its proxy writes the answer to.
type responseWriter call

// Header implements http.ResponseWriter.
func (a *responseWriter) Header() http.Header { return a.w.Header() }

// WriteHeader implements http.ResponseWriter.
func (a *responseWriter) WriteHeader(code int) {
	a.mu.Lock()
	a.begun = true
	a.mu.Unlock()
	a.w.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (a *responseWriter) Write(b []byte) (int, error) {
	n, err := a.w.Write(b)
	if err != nil {
		a.lost = true
	}
	a.activity.touch()
	return n, err
}

// Hijack turns the connection into a tunnel. Idle WebSockets are not timed out; only Recheck is
// still called.
func (a *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
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
func (a *responseWriter) Unwrap() http.ResponseWriter { return a.w }

// requestBody is the body of the caller's request: counted, bounded and watched.
type requestBody struct {
	c           *call
	some        bool          // there is a body
	source      io.ReadCloser // the body that the proxy passes on
	n           int64
	reading     atomic.Bool
	whole       atomic.Bool // read to its end
	closed      atomic.Bool // the upstream reads no more of it
	gone        atomic.Bool // its connection is closed: a read would wait for the caller in vain
	interrupted atomic.Bool // a read was ended, or not begun, because of that
	failed      atomic.Pointer[error]
}

// Read implements io.Reader.
func (s *requestBody) Read(b []byte) (int, error) {
	s.reading.Store(true) // before gone is read: interruptRead does these in the other order
	if s.gone.Load() {
		s.reading.Store(false)
		s.interrupted.Store(s.c.ctx.Err() == nil)
		return 0, errGone
	}
	n, err := s.source.Read(b)
	s.reading.Store(false)
	s.c.activity.touch()
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
func (s *requestBody) Close() error {
	s.closed.Store(true)
	s.c.interruptRead()
	return s.source.Close()
}

// unread reports whether the body has not been read to its end.
func (s *requestBody) unread() bool { return s.some && !s.whole.Load() }

// events is the body of an event stream (HTML Standard §9.2), which may end at any time: whoever
// reads it connects again and says what it has seen last.
type events struct {
	io.ReadCloser
	left atomic.Bool // this server stops
}

// Read implements io.Reader. When this server stops, the body ends as one that is whole.
func (e *events) Read(b []byte) (int, error) {
	n, err := e.ReadCloser.Read(b)
	if err != nil && e.left.Load() {
		err = io.EOF
	}
	return n, err
}

// maySplit lets an answer end when this server stops, if it is an event stream.
func (c *call) maySplit(res *http.Response) {
	kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	if c.out.Leaving == nil || !strings.EqualFold(strings.TrimSpace(kind), "text/event-stream") {
		return
	}
	e := &events{ReadCloser: res.Body}
	res.Body = e
	c.mu.Lock()
	c.events = e
	c.mu.Unlock()
}
