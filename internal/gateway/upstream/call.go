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

// call is one request under way. The transport may hold on to parts of it after Serve has returned, so it is never used again.
type call struct {
	pool  *Pool
	out   Out
	w     http.ResponseWriter
	in    *http.Request
	ctx   context.Context //nolint:containedctx // of all attempts, with the trace
	path  string          // out.Path, unescaped
	sent  sent
	trace httptrace.ClientTrace
	proxy httputil.ReverseProxy
	conn  atomic.Pointer[conn] // that carries the body, by HTTP/1.1

	cancel  context.CancelCauseFunc
	timer   *time.Timer
	motion  motion
	moved   time.Time // when the watch last moved the server's deadlines
	upgrade bool      // this attempt asks for a WebSocket
	target  *target   // of this attempt
	waiting bool      // this attempt counts among those that wait for the target
	asked   bool      // this attempt has reached the transport
	err     *failure  // of this attempt
	lost    bool      // the caller could not be written to

	mu       sync.Mutex // the watch and interim answers come from other goroutines
	begun    bool       // the answer's header has been passed on
	trying   bool       // a round trip is under way
	interims int
	passed   bool // an interim answer has been passed on
	ended    bool
	tunnel   net.Conn // the caller's connection, once it carries a WebSocket
}

func (p *Pool) newCall(w http.ResponseWriter, r *http.Request, o Out, path string) *call {
	c := &call{pool: p, out: o, w: w, in: r, path: path}
	c.sent.c = c
	ctx, cancel := context.WithCancelCause(r.Context())
	c.cancel = cancel
	c.trace.Got1xxResponse = c.interim
	c.ctx = httptrace.WithClientTrace(ctx, &c.trace)
	if webSocket(r) {
		c.in = r.WithContext(c.ctx) // by which the proxy closes the upstream's end of a tunnel
	}
	c.proxy = httputil.ReverseProxy{
		Rewrite: c.rewrite, Transport: (*trip)(c), ErrorHandler: c.failed, ErrorLog: p.quiet, BufferPool: &p.buffers,
	}
	if c.sent.some = r.Body != nil && r.ContentLength != 0; c.sent.some && r.ProtoMajor == 1 {
		_ = http.NewResponseController(w).EnableFullDuplex() // an upstream may answer before it has read everything
	}
	if c.sent.some {
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

// webSocket reports whether the caller asks for the one upgrade that is passed on. Any other, h2c above all, would open a
// tunnel past every check of this gateway, so it is left out and the request is an ordinary one (RFC 9110 §7.8 allows that).
func webSocket(r *http.Request) bool {
	return r.ProtoMajor == 1 && r.Method == http.MethodGet && r.ContentLength == 0 &&
		len(r.Header["Upgrade"]) == 1 && strings.EqualFold(r.Header["Upgrade"][0], "websocket")
}

// try makes one attempt; c.err is what became of it.
func (c *call) try(t *target) {
	c.target, c.err, c.asked, c.waiting = t, nil, false, true
	t.waiting.Add(1)
	finished := false
	defer func() {
		c.answered()
		switch {
		case !finished:
			c.broken()
		case c.err == nil:
			c.target.breaker.success()
		}
	}()
	c.proxy.ServeHTTP((*answer)(c), c.in) // panics when it cannot finish an answer: see Serve
	finished = true
}

// broken blames the target for an answer that ended early, where nobody else is to blame. A stream that rested is no failure.
func (c *call) broken() {
	if c.lost || c.sent.failed.Load() != nil || context.Cause(c.ctx) != nil {
		c.target.breaker.unknown()
		return
	}
	c.report(c.fail(Reset, errors.New("the answer broke off")))
}

// rewrite makes the request for the target out of the caller's, which httputil.ReverseProxy has freed of hop-by-hop headers.
func (c *call) rewrite(pr *httputil.ProxyRequest) {
	t, out := c.target, pr.Out
	c.address(out.URL)
	out.Host = c.out.Host
	// What a trailer would add has not been looked at by anybody, and a server may merge it with the headers. RFC 9110 §6.5.1.
	out.Trailer = nil
	if c.upgrade = webSocket(c.in) && out.Header["Upgrade"] != nil; !c.upgrade {
		delete(out.Header, "Upgrade")
		delete(out.Header, "Connection")
	}
	delete(out.Header, "Http2-Settings")
	if out.Body != nil {
		c.sent.body = out.Body // which ends with the attempt, whoever still reads it
		out.Body = &c.sent
	}
	if c.out.Header != nil {
		c.out.Header(out.Header, t.url)
	}
}

// address puts the target's address and the request's path together. What was escaped stays escaped, and what was not stays so.
func (c *call) address(u *url.URL) {
	t := c.target
	u.Scheme, u.Host = t.scheme, t.url.Host
	u.Path, u.RawPath = t.path+c.path, ""
	if raw := t.rawPath + c.out.Path; raw != u.Path || !plain(raw) {
		u.RawPath = escapeRest(raw)
	}
	u.RawQuery, u.ForceQuery = c.out.RawQuery, false
}

// plain reports whether a path means the same escaped and unescaped, so that net/url need not look again.
func plain(path string) bool {
	for i := range len(path) {
		if b := path[i]; !unreserved(b) && b != '/' {
			return false
		}
	}
	return true
}

// unreserved is RFC 3986 §2.3.
func unreserved(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '-' || b == '_' || b == '.' || b == '~'
}

// escapeRest escapes what may not stand in a path (RFC 3986 §3.3). One such byte would make net/url escape the whole path its own way.
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

// trip is a call as the transport that its proxy uses.
type trip call

// RoundTrip asks the target. The context is the call's: it carries the watch, and our own view of interim answers.
func (t *trip) RoundTrip(out *http.Request) (*http.Response, error) {
	c := (*call)(t)
	c.asked = true
	c.setTrying(true)
	res, err := c.pool.Transport.of(c.target, c.upgrade).RoundTrip(out.WithContext(c.ctx))
	c.setTrying(false)
	c.answered()
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusSwitchingProtocols && !c.upgrade {
		_ = res.Body.Close()
		return nil, errSwitch
	}
	if res.Close && c.sent.unread() {
		c.closeAfter()
	}
	c.motion.touch()
	if c.target.breaker.begun() {
		c.pool.OnState(c.target.name, true, nil)
	}
	if c.out.Answer != nil {
		c.out.Answer(res.Header, c.target.url)
	}
	return res, nil
}

func (c *call) setTrying(is bool) {
	c.mu.Lock()
	c.trying = is
	c.mu.Unlock()
}

// closeAfter tells an HTTP/1.1 caller that its connection ends with this answer: the rest of its body is in the way of another request.
func (c *call) closeAfter() {
	if c.in.ProtoMajor == 1 {
		c.w.Header().Set("Connection", "close")
	}
}

// answered ends the attempt's wait.
func (c *call) answered() {
	if c.waiting {
		c.waiting = false
		c.target.waiting.Add(-1)
	}
}

// failed is the proxy's error handler: no answer has been passed on, or a tunnel broke.
func (c *call) failed(_ http.ResponseWriter, _ *http.Request, err error) {
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

// report lets the target's breaker know. A caller's own deadline says nothing of the target.
func (c *call) report(f *failure) {
	if !f.blames() || errors.Is(context.Cause(c.ctx), context.DeadlineExceeded) {
		c.target.breaker.unknown()
		return
	}
	if c.target.breaker.failure(c.pool.Now) {
		c.pool.OnState(c.target.name, false, f)
	}
}
