package gateway

import (
	"errors"
	"hash/maphash"
	"net/http"
	"net/url"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/gateway/upstream"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
	"github.com/gatehouse-id/gatehouse/internal/trace"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// forwarding is a request that may pass, on its way to an upstream.
type forwarding struct {
	g       *Gateway
	w       http.ResponseWriter
	req     *Request
	d       Decision
	path    string // the request's, without the route's prefix
	headers *identityHeaders
	guard   *streamGuard // nil until the request has been served for half a second
	span    trace.Span   // of the request to the upstream
}

// forward passes a request to the route's upstream, and its response to the caller.
func (g *Gateway) forward(w http.ResponseWriter, req *Request, d Decision) {
	headers, err := g.identityHeaders(req, d.Route, d.Caller)
	if err != nil {
		d.Denial = unjudged(err)
		g.deny(w, req, d)
		return
	}
	if d.Nonce != "" {
		w.Header()["Dpop-Nonce"] = []string{d.Nonce}
	}
	_, span := trace.Start(req.http.Context(), "upstream", trace.Client)
	defer span.End()
	span.Set("gatehouse.route", d.Route.name())
	f := &forwarding{
		g: g, w: w, req: req, d: d, path: d.Route.Rest(req.Target.Path), headers: headers, span: span,
	}
	out := upstream.Out{
		Path:      f.path,
		RawQuery:  req.Target.Query,
		BodyLimit: d.Route.source.BodyLimit,
		Caller:    g.callerHash(req, d.Caller),
		Header:    f.rewriteRequest,
		Answer:    f.rewriteResponse,
		Recheck:   f.recheck,
		Leaving:   g.leaving.Load,
	}
	if d.Route.source.KeepHost {
		out.Host = req.Authority
	}
	r := req.http
	// a stream outlives the deadline of ordinary requests
	if ctx := web.Persistent(r.Context()); ctx != r.Context() {
		r = r.WithContext(ctx)
	}
	if err := d.Route.pool.Serve(w, r, out); err != nil {
		span.Fail("upstream")
		d.Denial = upstreamDenial(err)
		g.deny(w, req, d)
		return
	}
	g.meterOf(d).Allow()
}

// callerHash returns a number for who makes a request: the same for all requests of one caller, and
// never 0. A caller that has not proved who it is counts as its address.
func (g *Gateway) callerHash(req *Request, c *Caller) uint64 {
	var h maphash.Hash
	h.SetSeed(g.seed)
	switch {
	case c.Proven && c.User != "":
		_, _ = h.WriteString("user\x00" + c.Issuer + "\x00" + c.User)
	case c.Proven && c.Client != "":
		_, _ = h.WriteString("client\x00" + c.Issuer + "\x00" + c.Client)
	default:
		_, _ = h.WriteString(netaddr.Key(req.Target.IP))
	}
	return max(h.Sum64(), 1)
}

// recheck returns why the request may not go on, or nil. Two calls never run at once.
func (f *forwarding) recheck() error {
	if f.guard == nil {
		f.guard = newStreamGuard(f.g, f.req, f.d)
	}
	return f.guard.check()
}

// rewriteRequest replaces the headers that the caller sent by those that the upstream gets.
func (f *forwarding) rewriteRequest(h http.Header, _ *url.URL) {
	forwardHeaders(h, f.req, f.d.Route, f.headers)
	if f.g.Tracing {
		// A trace goes on at the upstream. What callers say beside it ends here: anybody could fill
		// the traces behind the gateway with it.
		f.span.Inject(h)
		delete(h, "Baggage")
	}
	if prefix := f.req.Target.Path[:len(f.req.Target.Path)-len(f.path)]; prefix != "" {
		h["X-Forwarded-Prefix"] = []string{prefix}
	}
}

// rewriteResponse removes what an upstream's response may not say.
func (f *forwarding) rewriteResponse(h http.Header, target *url.URL) {
	f.span.Set("server.address", target.Host)
	if f.d.Route.source.RewriteLocation {
		f.addressMap(target).rewrite(h)
	}
	f.g.filterResponse(f.w.Header(), h, f.req, f.d.Route)
}

// upstreamDenial returns the denial of a request that the upstream did not answer, or whose right
// ended before it did.
func upstreamDenial(err error) *access.Denial {
	var ended *access.Denial
	if errors.As(err, &ended) {
		return ended
	}
	d := &access.Denial{
		Status: upstream.Status(err),
		Code:   access.CodeUpstream,
		Public: fault.Text(err),
		Rule:   "upstream",
		Reason: "The upstream did not answer.",
		Remedy: "Look for the request id in the server's log, which names the upstream.",
		Cause:  err,
	}
	var f *fault.Error
	if errors.As(err, &f) {
		d.RetryAfter = f.After
	}
	switch {
	case d.Status == http.StatusRequestEntityTooLarge:
		d.Code = access.CodeRequestTooLarge
	case d.Status < http.StatusInternalServerError:
		d.Code = access.CodeInvalidRequest
	case d.Status == http.StatusServiceUnavailable && d.RetryAfter == 0:
		d.RetryAfter = time.Second
	}
	return d
}
