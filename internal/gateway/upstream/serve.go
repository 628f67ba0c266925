package upstream

import (
	"math/bits"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Out is how a request is sent on.
type Out struct {
	Path      string // escaped, as on the request line, cut and clean; the target's path is put before it
	RawQuery  string
	Host      string                               // "": the target's
	Header    func(h http.Header, target *url.URL) // takes off and puts on headers just before sending, once per attempt; may not keep or change target
	Answer    func(h http.Header, target *url.URL) // the same for the answer's headers before they are passed on, and for a final answer only; may be nil
	BodyLimit int64                                // 0: none
	Still     func() error                         // asked every half second, of a tunnel too: an error ends the call, and is in the chain of Serve's; may be nil
}

// Serve sends r on and passes the answer back. It returns nil when an answer was begun, and otherwise an error whose text is fit for the
// caller and whose Status is the code to answer with; no final answer has been written then.
//
// When an answer that was begun cannot be finished, Serve panics with http.ErrAbortHandler as httputil.ReverseProxy does, so that the caller
// sees the answer end early. The life of r's context is the limit of a stream: it should have no short deadline.
func (p *Pool) Serve(w http.ResponseWriter, r *http.Request, o Out) error {
	if o.BodyLimit > 0 && r.ContentLength > o.BodyLimit {
		return tooLarge(o.BodyLimit)
	}
	path, err := url.PathUnescape(o.Path)
	if err != nil || !passes(r.Method) || (o.Path != "" && o.Path[0] != '/') || !hostLike(o.Host) {
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
		if !c.again() {
			break
		}
	}
	if c.sent.unread() {
		c.closeAfter()
	}
	if c.err == nil {
		return p.none()
	}
	return c.err.fault(0)
}

// again reports whether another target may be asked: this one is at fault, and the caller has heard nothing and still has time.
func (c *call) again() bool {
	return c.err.blames() && !c.passed && c.ctx.Err() == nil
}

// passes leaves out CONNECT, which is no request for a resource, and TRACE: its answer would show the caller what the gateway told
// the upstream about it (RFC 9110 §9.3.8).
func passes(method string) bool { return method != http.MethodConnect && method != http.MethodTrace }

// safe reports whether another target may be asked after one that failed (RFC 9110 §9.2.1, §9.2.2). Of idempotent methods only the safe
// ones qualify: a PUT that failed late may have been overtaken by another one in between.
func safe(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return r.ContentLength == 0
	}
	return false
}

// none says why no target is left.
func (p *Pool) none() error {
	cause, after := NoneHealthy, maxPause
	for _, t := range p.targets {
		if t.busy(p.MaxWaiting) {
			cause = Busy
		}
		after = min(after, t.breaker.wait(p.Now))
	}
	return (&failure{Cause: cause}).fault(max(after, time.Second))
}

// hostLike reports whether a transport would take the host; it is the caller's own where the route keeps it.
func hostLike(host string) bool {
	for i := range len(host) {
		if b := host[i]; b <= ' ' || b > '~' || strings.IndexByte(`/\?#@%"<>`, b) >= 0 {
			return false
		}
	}
	return true
}
