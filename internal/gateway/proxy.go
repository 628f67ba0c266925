package gateway

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/gateway/upstream"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// proxy decides a request and sends it on.
func (g *Gateway) proxy(w http.ResponseWriter, r *http.Request) {
	a := g.direct(r)
	if g.preflights(a) {
		a.permit(w)
		return
	}
	ref := g.check(a)
	if a.entry != nil {
		r.Pattern = a.entry.Route().Name // for the record of requests
		a.allowOrigin(w.Header())
	}
	if ref == nil {
		ref = g.rate(w, a)
	}
	if ref != nil {
		g.refuse(w, a, ref)
		return
	}
	g.send(w, a)
}

// send passes a request that may pass to the route's upstream.
func (g *Gateway) send(w http.ResponseWriter, a *asked) {
	p, err := g.pass(a)
	if err != nil {
		g.refuse(w, a, broken(err))
		return
	}
	if a.nonce != "" {
		w.Header()["Dpop-Nonce"] = []string{a.nonce}
	}
	out := upstream.Out{
		Path: a.rest, RawQuery: a.target.Query, BodyLimit: a.entry.source.BodyLimit,
		Header: func(h http.Header, _ *url.URL) { g.forward(h, a, p) },
		Answer: func(h http.Header, _ *url.URL) { g.answered(w.Header(), h, a) },
		Still:  func() error { return g.still(a) },
	}
	if a.entry.source.KeepHost {
		out.Host = a.authority
	}
	r := a.r
	if lasting := web.Persistent(r.Context()); lasting != r.Context() { // a stream outlives the deadline of an ordinary request
		r = r.WithContext(lasting)
	}
	if err := a.entry.pool.Serve(w, r, out); err != nil {
		g.refuse(w, a, unserved(err))
	}
}

// unserved is a request that the upstream did not answer.
func unserved(err error) *refused {
	var ended *endedError
	if errors.As(err, &ended) {
		return ended.ref
	}
	r := &refused{
		status: upstream.Status(err), code: codeUpstream, text: fault.Text(err), err: err,
		why: access.Refusal{Rule: "upstream", Reason: "The upstream gave no answer.", Remedy: "Look for the request id in the server's log, which names the upstream."},
	}
	var f *fault.Error
	if errors.As(err, &f) {
		r.after = f.After
	}
	switch {
	case r.status == http.StatusRequestEntityTooLarge:
		r.code = codeTooLarge
	case r.status < http.StatusInternalServerError:
		r.code = codeInvalidRequest
	case r.status == http.StatusServiceUnavailable && r.after == 0:
		r.after = time.Second
	}
	return r
}
