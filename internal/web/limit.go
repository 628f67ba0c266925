package web

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
)

// Rate bounds how often something may happen.
type Rate struct {
	Max    int // per window; 0 means no limit
	Window time.Duration
}

// Values of RATE_LIMIT_BY: what requests are counted by.
const (
	RateByIP     = "ip"
	RateByClient = "client"
	RateByUser   = "user"
)

// LimitResult is the answer of a Limiter.
type LimitResult struct {
	Allowed    bool
	Remaining  int
	Reset      time.Duration // until the whole rate is available again
	RetryAfter time.Duration
}

// Limiter counts requests. Take counts one request for a key and never fails.
type Limiter interface {
	Take(ctx context.Context, key string, r Rate) LimitResult
}

// Subject names the client or the user that a request is counted for, where limits go by client or
// user. Without a name the address counts.
type Subject struct{ Client, User string }

// Allow counts a request against the named rate and returns a Limited error beyond it. The headers
// X-RateLimit-* report what is left.
func (k *Kit) Allow(w http.ResponseWriter, r *http.Request, name string, who Subject) error {
	rate, ok := k.Rates[name]
	if k.Limiter == nil || !ok || rate.Max <= 0 {
		return nil
	}
	ev := EventOf(r.Context())
	ip, _ := netip.ParseAddr(ev.IP) // an unknown address is in no network and has the key ""
	if netaddr.Contains(k.Exempt, ip) {
		return nil
	}
	key := name + ":ip:" + netaddr.Key(ip)
	switch {
	case k.RateBy == RateByClient && who.Client != "":
		key = name + ":client:" + clean(who.Client, 128)
	case k.RateBy == RateByUser && who.User != "":
		key = name + ":user:" + clean(who.User, 320)
	}
	v := k.Limiter.Take(r.Context(), key, rate)
	h := w.Header()
	h.Set("X-RateLimit-Limit", fmt.Sprint(rate.Max))
	h.Set("X-RateLimit-Remaining", fmt.Sprint(max(v.Remaining, 0)))
	h.Set("X-RateLimit-Reset", fmt.Sprint(ev.Now.Add(v.Reset+time.Second-1).Unix()))
	if v.Allowed {
		return nil
	}
	wait := max((v.RetryAfter + time.Second - 1).Truncate(time.Second), time.Second)
	return fault.RetryAfter(fault.Limited, wait,
		"Too many requests. Please retry after %d seconds.", int(wait/time.Second))
}
