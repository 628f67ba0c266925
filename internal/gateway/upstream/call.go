package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// call is one request that is being served. The transport may use parts of it after Serve has
// returned, so calls are never reused.
type call struct {
	pool  *Pool
	out   Out
	w     http.ResponseWriter
	in    *http.Request
	ctx   context.Context // of all attempts, with the trace
	path  string          // out.Path, unescaped
	body  requestBody
	trace httptrace.ClientTrace
	proxy httputil.ReverseProxy
	conn  atomic.Pointer[conn] // that the body is sent over, with HTTP/1.1

	cancel   context.CancelCauseFunc
	timer    *time.Timer
	activity activity
	moved    time.Time // when the watch last moved the server's deadlines
	upgrade  bool      // this attempt requests a WebSocket
	target   *target   // of this attempt
	waiting  bool      // this attempt counts among those that wait for the target
	reached  bool      // this attempt has reached the transport
	accepted bool      // the transport has accepted the request and wants a connection
	err      *failure  // of this attempt
	lost     bool      // writing to the caller failed

	mu          sync.Mutex // guards what the watch and interim answers use from other goroutines
	begun       bool       // the answer's header has been passed on
	inRoundTrip bool       // a round trip has begun and not ended
	interims    int
	passed      bool // an interim answer has been passed on
	ended       bool
	tunnel      net.Conn // the caller's connection, once it carries a WebSocket
	events      *events  // the answer, if it is an event stream
}

func (p *Pool) newCall(w http.ResponseWriter, r *http.Request, o Out, path string) *call {
	c := &call{pool: p, out: o, w: w, in: r, path: path}
	c.body.c = c
	ctx, cancel := context.WithCancelCause(r.Context())
	c.cancel = cancel
	c.trace.Got1xxResponse = c.interim
	c.trace.GetConn = c.getConn
	c.ctx = httptrace.WithClientTrace(ctx, &c.trace)
	if webSocket(r) {
		c.in = r.WithContext(c.ctx) // with which the proxy closes the upstream's end of a tunnel
	}
	c.proxy = httputil.ReverseProxy{
		Rewrite:      c.rewrite,
		Transport:    (*roundTripper)(c),
		ErrorHandler: c.handleError,
		ErrorLog:     p.quiet,
		BufferPool:   &p.buffers,
	}
	if c.body.some = r.Body != nil && r.ContentLength != 0; c.body.some && r.ProtoMajor == 1 {
		// an upstream may answer before it has read the whole body
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	if c.body.some {
		c.trace.GotConn = c.gotConn
	}
	c.startWatch()
	return c
}

func (c *call) end() {
	c.stopWatch()
	if k := c.conn.Load(); k != nil {
		k.sender.CompareAndSwap(c, nil)
	}
	c.cancel(nil)
}

// webSocket reports whether the caller requests the one upgrade that is passed on. Any other, h2c
// above all, would open a tunnel past every check of the gateway, so it is removed and the
// request is an ordinary one (RFC 9110 §7.8 allows that).
func webSocket(r *http.Request) bool {
	return r.ProtoMajor == 1 && r.Method == http.MethodGet && r.ContentLength == 0 &&
		len(r.Header["Upgrade"]) == 1 && strings.EqualFold(r.Header["Upgrade"][0], "websocket")
}

// try makes one attempt. c.err is nil if the target answered.
func (c *call) try(t *target) {
	c.target, c.err, c.reached, c.accepted, c.waiting = t, nil, false, false, true
	t.waiting.Add(1)
	finished := false
	defer func() {
		c.stopWaiting()
		switch {
		case !finished:
			c.brokeOff()
		case c.err == nil:
			c.target.breaker.success()
		}
	}()
	// panics when it cannot finish an answer: see Serve
	c.proxy.ServeHTTP((*responseWriter)(c), c.in)
	finished = true
}

// brokeOff reports a failure of the target for an answer that ended early, unless the caller or the
// watch ended it.
func (c *call) brokeOff() {
	if c.lost || c.body.failed.Load() != nil || context.Cause(c.ctx) != nil {
		c.target.breaker.unknown()
		return
	}
	c.report(c.fail(Reset, errors.New("the answer broke off")))
}

// rewrite turns the caller's request into the one for the target. httputil.ReverseProxy has removed
// the hop-by-hop headers.
func (c *call) rewrite(pr *httputil.ProxyRequest) {
	t, out := c.target, pr.Out
	c.address(out.URL)
	out.Host = c.out.Host
	// Nothing has checked the trailer, and a server may merge it with the headers (RFC 9110
	// §6.5.1).
	out.Trailer = nil
	if c.upgrade = webSocket(c.in) && out.Header["Upgrade"] != nil; !c.upgrade {
		delete(out.Header, "Upgrade")
		delete(out.Header, "Connection")
	}
	delete(out.Header, "Http2-Settings")
	if out.Body != nil {
		c.body.source = out.Body // which ends with the attempt, even if something still reads it
		out.Body = &c.body
	}
	if c.out.Header != nil {
		c.out.Header(out.Header, t.url)
	}
}

// address sets the target's address and the request's path. Nothing is escaped or unescaped on the
// way.
func (c *call) address(u *url.URL) {
	t := c.target
	u.Scheme, u.Host = t.scheme, t.url.Host
	u.Path, u.RawPath = t.path+c.path, ""
	if raw := t.rawPath + c.out.Path; raw != u.Path || !plain(raw) {
		u.RawPath = escapeRest(raw)
	}
	u.RawQuery, u.ForceQuery = c.out.RawQuery, false
}

// plain reports whether a path is the same escaped and unescaped, so that net/url need not compare.
func plain(path string) bool {
	for i := range len(path) {
		if b := path[i]; !unreserved(b) && b != '/' {
			return false
		}
	}
	return true
}

// unreserved reports whether a byte needs no escape anywhere (RFC 3986 §2.3).
func unreserved(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' ||
		b == '-' || b == '_' || b == '.' || b == '~'
}

// escapeRest escapes what a path may not contain (RFC 3986 §3.3). With one such byte, net/url would
// escape the whole path its own way.
func escapeRest(raw string) string {
	const more = "!$&'()*+,;=:@/%"
	clean := true
	for i := range len(raw) {
		clean = clean && (unreserved(raw[i]) || strings.IndexByte(more, raw[i]) >= 0)
	}
	if clean {
		return raw
	}
	var b strings.Builder
	for i := range len(raw) {
		if unreserved(raw[i]) || strings.IndexByte(more, raw[i]) >= 0 {
			b.WriteByte(raw[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", raw[i])
		}
	}
	return b.String()
}

// roundTripper is a call as the transport of its proxy.
type roundTripper call

// RoundTrip sends the request to the target. The context is the call's, with its trace and the
// causes by which the watch ends it.
func (t *roundTripper) RoundTrip(out *http.Request) (*http.Response, error) {
	c := (*call)(t)
	c.reached = true
	c.setInRoundTrip(true)
	res, err := c.pool.Transport.forTarget(c.target, c.upgrade).RoundTrip(out.WithContext(c.ctx))
	c.setInRoundTrip(false)
	c.stopWaiting()
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusSwitchingProtocols && !c.upgrade {
		_ = res.Body.Close()
		return nil, errSwitch
	}
	if res.Close && c.body.unread() {
		c.closeAfter()
	}
	c.activity.touch()
	c.maySplit(res)
	if c.target.breaker.begun() {
		c.pool.OnState(c.target.name, true, nil)
	}
	if c.out.Answer != nil {
		c.out.Answer(res.Header, c.target.url)
	}
	return res, nil
}

func (c *call) setInRoundTrip(is bool) {
	c.mu.Lock()
	c.inRoundTrip = is
	c.mu.Unlock()
}

// closeAfter writes that an HTTP/1.1 connection ends with this answer: the rest of the body would
// be read as the next request.
func (c *call) closeAfter() {
	if c.in.ProtoMajor == 1 {
		c.w.Header().Set("Connection", "close")
	}
}

// stopWaiting ends the attempt's wait.
func (c *call) stopWaiting() {
	if c.waiting {
		c.waiting = false
		c.target.waiting.Add(-1)
	}
}

// handleError handles the proxy's errors: no answer has been passed on, or a tunnel broke.
func (c *call) handleError(_ http.ResponseWriter, _ *http.Request, err error) {
	if c.begun {
		return
	}
	cause := c.causeOf(err)
	if cause == Ended {
		err = context.Cause(c.ctx)
	}
	c.err = c.fail(cause, err)
	c.report(c.err)
}

func (c *call) fail(cause Cause, err error) *failure {
	return &failure{Cause: cause, target: c.target.name, err: err}
}

// report records a failure in the target's breaker. A deadline of the caller says nothing about the
// target. A failed dial does not depend on the caller's request.
func (c *call) report(f *failure) {
	if !f.upstreamFault() || errors.Is(context.Cause(c.ctx), context.DeadlineExceeded) {
		c.target.breaker.unknown()
		return
	}
	caller := c.out.Caller
	if f.Cause == Refused {
		caller = 0
	}
	if c.target.breaker.failure(caller, c.pool.Now) {
		c.pool.OnState(c.target.name, false, f)
	}
}
