package gateway

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// rate counts a request that may pass, and refuses the one too many.
func (g *Gateway) rate(w http.ResponseWriter, a *asked) *access.Denial {
	limit := g.limit(a)
	if limit.Max <= 0 || g.Kit.Limiter == nil || within(g.Kit.Exempt, a.target.IP) {
		return nil
	}
	v := g.Kit.Limiter.Take(a.r.Context(), "route:"+a.entry.Route().ID+":"+a.countedBy(), limit)
	h := w.Header()
	h["X-Ratelimit-Limit"] = []string{itoa(int64(limit.Max))}
	h["X-Ratelimit-Remaining"] = []string{itoa(int64(max(v.Remaining, 0)))}
	h["X-Ratelimit-Reset"] = []string{itoa(a.target.Now.Add(v.Reset + time.Second - 1).Unix())}
	if v.Allowed {
		return nil
	}
	wait := time.Duration(seconds(v.RetryAfter)) * time.Second
	return &access.Denial{
		Status:     http.StatusTooManyRequests,
		Code:       access.CodeRate,
		Public:     "Too many requests. Please retry after " + itoa(seconds(wait)) + " seconds.",
		Rule:       "rate",
		Reason:     "The caller made more than " + itoa(int64(limit.Max)) + " requests in " + limit.Window.String() + ".",
		Remedy:     "Wait, or raise the route's rate.",
		RetryAfter: wait,
	}
}

// limit is how many requests of this caller the route takes. Where it says nothing, who does not say who they are may ask once a second.
func (g *Gateway) limit(a *asked) web.Rate {
	r := &a.entry.source
	switch {
	case r.Rate > 0:
		per := r.RatePer.D()
		if per <= 0 {
			per = time.Minute
		}
		return web.Rate{Max: r.Rate, Window: per}
	case r.Rate == 0 && r.Unidentified && a.caller.caller.By == access.ByNothing: // nobody else is nobody, but a preflight
		return web.Rate{Max: 1, Window: time.Second}
	}
	return web.Rate{}
}

// countedBy names what a request is counted for. A client that has not proved itself is counted at each address: nobody can use up
// what another may ask.
func (a *asked) countedBy() string {
	c, by := &a.caller.caller, a.entry.source.RateBy
	user := "user:" + c.Issuer + ":" + c.User
	switch {
	case by == access.RateByAddress || c.Client == "" && c.User == "":
		return "ip:" + network(a.target.IP)
	case c.Client == "" || by == access.RateByUser && c.User != "":
		return user
	case !c.Proven:
		return "client:" + c.Client + ":" + network(a.target.IP)
	}
	return "client:" + c.Issuer + ":" + c.Client
}

// network is the address that is counted by: of IPv6 the /64, which is what one customer has.
func network(ip netip.Addr) string {
	if !ip.Is6() {
		return ip.String()
	}
	p, err := ip.Prefix(64)
	if err != nil {
		return ip.String()
	}
	return p.String()
}
