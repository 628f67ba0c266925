package upstream

import (
	"math/bits"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Out is how a request is forwarded.
type Out struct {
	Path      string // escaped, as on the request line, clean and without the route's prefix
	RawQuery  string
	Host      string // "": the target's
	BodyLimit int64  // bytes; 0: none
	// a hash of the caller, whose failures count once against a target; 0 means unknown
	Caller uint64

	// Header changes the request's headers just before it is sent, once per attempt. It must not
	// keep or change target.
	Header func(h http.Header, target *url.URL)
	// Answer changes the headers of a final answer before it is passed on. It may be nil.
	Answer func(h http.Header, target *url.URL)
	// Recheck is called every half second, for tunnels too. An error ends the call, and is in the
	// chain of Serve's error. It may be nil.
	Recheck func() error
	// Leaving reports whether this server stops. Then an event stream ends as if the upstream had
	// ended it, and its reader connects again; any other answer goes on. It is asked whenever
	// Recheck is called, and may be nil.
	Leaving func() bool
}

// Serve forwards r and passes the answer back. It returns nil once an answer has begun, and
// otherwise an error whose text may be shown to the caller and whose Status is the status code to
// answer with; then no final answer has been written.
//
// If an answer that has begun cannot be finished, Serve panics with http.ErrAbortHandler as
// httputil.ReverseProxy does, so that the caller sees the answer end early. A stream ends with
// the context of r, which should have no short deadline.
func (p *Pool) Serve(w http.ResponseWriter, r *http.Request, o Out) error {
	if o.BodyLimit > 0 && r.ContentLength > o.BodyLimit {
		return tooLarge(o.BodyLimit)
	}
	path, err := url.PathUnescape(o.Path)
	if err != nil || !forwardable(r.Method) || (o.Path != "" && o.Path[0] != '/') ||
		!queryLike(o.RawQuery) || !hostLike(o.Host) {
		return (&failure{Cause: BadRequest, err: err}).fault(0)
	}
	c := p.newCall(w, r, o, path)
	defer c.end()
	attempts := 1
	if safe(r) {
		attempts = min(maxAttempts, len(p.targets))
	}
	var tried uint64
	for bits.OnesCount64(tried) < attempts {
		t, at := p.pick(tried)
		if t == nil {
			break
		}
		tried |= 1 << at
		if c.try(t); c.err == nil || c.begun {
			return nil
		}
		if !c.canRetry() {
			break
		}
	}
	if c.body.unread() {
		c.closeAfter()
	}
	if c.err == nil {
		return p.unavailable()
	}
	return c.err.fault(0)
}

// canRetry reports whether another target may be tried: this one is at fault, and the caller has
// received nothing and is still there.
func (c *call) canRetry() bool {
	return c.err.upstreamFault() && !c.passed && c.ctx.Err() == nil
}

// MethodToken reports whether a request's method is a token (RFC 9110 §9.1, §5.6.2). HTTP/2
// servers do not check that, nor does a transport that has an HTTP/2 connection already.
func MethodToken(method string) bool {
	for i := 0; i < len(method); i++ {
		c := method[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') &&
			strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return method != ""
}

// forwardable reports whether a method can be forwarded. CONNECT does not request a resource, and
// the answer to TRACE would show the caller the headers that the gateway added (RFC 9110 §9.3.8).
func forwardable(method string) bool {
	return method != http.MethodConnect && method != http.MethodTrace && MethodToken(method)
}

// safe reports whether another target may be tried after one that failed (RFC 9110 §9.2.1, §9.2.2).
// Of idempotent methods only the safe ones qualify: another PUT may have come between a PUT that
// failed late and its repetition.
func safe(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return r.ContentLength == 0
	}
	return false
}

// unavailable returns the error of a request for which no target is left.
func (p *Pool) unavailable() error {
	cause, after := NoneHealthy, maxPause
	for _, t := range p.targets {
		if t.busy(p.MaxWaiting) {
			cause = Busy
		}
		after = min(after, t.breaker.wait(p.Now))
	}
	return (&failure{Cause: cause}).fault(max(after, time.Second))
}

// queryLike reports whether a query fits on a request line: HTTP/2 has none, and would let a space
// pass.
func queryLike(query string) bool {
	for i := range len(query) {
		if query[i] <= ' ' || query[i] == 0x7f {
			return false
		}
	}
	return true
}

// hostLike reports whether a transport would accept the host, which is the caller's where the route
// keeps it.
func hostLike(host string) bool {
	for i := range len(host) {
		if b := host[i]; b <= ' ' || b > '~' || strings.IndexByte(`/\?#@%"<>`, b) >= 0 {
			return false
		}
	}
	return true
}
