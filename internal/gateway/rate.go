package gateway

import (
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// limited counts a request that may pass, and returns the decision with a denial if the caller has
// made too many.
func (g *Gateway) limited(w http.ResponseWriter, req *Request, d Decision) Decision {
	if d.Denial != nil {
		return d
	}
	if d = g.limitedClient(w, req, d); d.Denial != nil {
		return d
	}
	limit := d.Route.limit(d.Caller)
	if limit.Max <= 0 || g.Kit.Limiter == nil || netaddr.Contains(g.Kit.Exempt, req.Target.IP) {
		return d
	}
	return g.take(w, req, d, "route:"+d.Route.id()+":"+d.Route.rateKey(req, d.Caller), limit)
}

// limitedClient counts a request against the client's own limit, on all routes together. A client
// that has not proved itself is counted at each address.
func (g *Gateway) limitedClient(w http.ResponseWriter, req *Request, d Decision) Decision {
	c := d.Caller
	if c.Rate.Max <= 0 || g.Kit.Limiter == nil || netaddr.Contains(g.Kit.Exempt, req.Target.IP) {
		return d
	}
	key := "gateway:client:" + c.Client
	if !c.Proven {
		key += ":" + netaddr.Key(req.Target.IP)
	}
	d = g.take(w, req, d, key, web.Rate{Max: c.Rate.Max, Window: c.Rate.Window})
	if d.Denial != nil {
		d.Denial.Remedy = "Wait, or raise the client's rate limit gateway."
	}
	return d
}

// take counts a request under a key, and returns the decision with a denial beyond the limit.
func (g *Gateway) take(w http.ResponseWriter, req *Request, d Decision, key string, limit web.Rate) Decision {
	v := g.Kit.Limiter.Take(req.Context(), key, limit)
	h := w.Header()
	h["X-Ratelimit-Limit"] = []string{itoa(int64(limit.Max))}
	h["X-Ratelimit-Remaining"] = []string{itoa(int64(max(v.Remaining, 0)))}
	h["X-Ratelimit-Reset"] = []string{itoa(req.Target.Now.Add(v.Reset + time.Second - 1).Unix())}
	if !v.Allowed {
		d.Denial = tooMany(limit, v.RetryAfter)
		if g.Kit.Limited != nil {
			client := ""
			if d.Caller.Proven {
				client = d.Caller.Client
			}
			g.Kit.Limited(req.Context(), "gateway", client)
		}
	}
	return d
}

// tooMany returns the denial of a request over a limit.
func tooMany(limit web.Rate, wait time.Duration) *access.Denial {
	whole := seconds(wait)
	return &access.Denial{
		Status: http.StatusTooManyRequests,
		Code:   access.CodeRate,
		Public: "Too many requests. Please retry after " + itoa(whole) + " seconds.",
		Rule:   "rate",
		Reason: "The caller made more than " + itoa(int64(limit.Max)) + " requests in " +
			limit.Window.String() + ".",
		Remedy:     "Wait, or raise the route's rate.",
		RetryAfter: time.Duration(whole) * time.Second,
	}
}

// limit returns how many requests the route accepts of a caller. Without a rate of the route,
// callers that prove nothing may make one per second.
func (rt *Route) limit(c *Caller) web.Rate {
	r := &rt.source
	switch {
	case r.Rate > 0:
		per := r.RatePer.D()
		if per <= 0 {
			per = time.Minute
		}
		return web.Rate{Max: r.Rate, Window: per}
	case r.Rate == 0 && r.Unidentified && (c.By == access.ByNothing || c.By == access.ByClientID):
		return web.Rate{Max: 1, Window: time.Second}
	}
	return web.Rate{}
}

// rateKey returns the name that a request is counted under. A client that has not proved itself is
// counted at each address, so that one cannot exhaust another's limit.
func (rt *Route) rateKey(req *Request, c *Caller) string {
	by := rt.source.RateBy
	switch {
	case rt.source.Rate == 0: // the limit of callers that prove nothing
		return "ip:" + netaddr.Key(req.Target.IP)
	case by == access.RateByAddress || c.Client == "" && c.User == "":
		return "ip:" + netaddr.Key(req.Target.IP)
	case c.Client == "" || by == access.RateByUser && c.User != "":
		return "user:" + c.Issuer + ":" + c.User
	case !c.Proven:
		return "client:" + c.Client + ":" + netaddr.Key(req.Target.IP)
	}
	return "client:" + c.Issuer + ":" + c.Client
}
