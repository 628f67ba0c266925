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
	denial := g.check(a)
	if a.entry != nil {
		r.Pattern = a.entry.Route().Name // for the record of requests
		a.allowOrigin(w.Header())
	}
	if denial == nil {
		denial = g.rate(w, a)
	}
	if denial != nil {
		g.refuse(w, a, denial)
		return
	}
	g.send(w, a)
}

// send passes a request that may pass to the route's upstream.
func (g *Gateway) send(w http.ResponseWriter, a *asked) {
	p, err := g.pass(a)
	if err != nil {
		g.refuse(w, a, unjudged(err))
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
func unserved(err error) *access.Denial {
	var ended *access.Denial
	if errors.As(err, &ended) {
		return ended
	}
	r := &access.Denial{
		Status: upstream.Status(err),
		Code:   access.CodeUpstream,
		Public: fault.Text(err),
		Rule:   "upstream",
		Reason: "The upstream gave no answer.",
		Remedy: "Look for the request id in the server's log, which names the upstream.",
		Cause:  err,
	}
	var f *fault.Error
	if errors.As(err, &f) {
		r.RetryAfter = f.After
	}
	switch {
	case r.Status == http.StatusRequestEntityTooLarge:
		r.Code = access.CodeRequestTooLarge
	case r.Status < http.StatusInternalServerError:
		r.Code = access.CodeInvalidRequest
	case r.Status == http.StatusServiceUnavailable && r.RetryAfter == 0:
		r.RetryAfter = time.Second
	}
	return r
}
