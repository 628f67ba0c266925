package web

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Rate is how often something may happen.
type Rate struct {
	Max    int // 0: without limit
	Window time.Duration
}

// What requests are counted by.
const (
	RateByIP     = "ip"
	RateByClient = "client"
	RateByUser   = "user"
)

// Verdict is a limiter's answer.
type Verdict struct {
	Allowed    bool
	Remaining  int
	Reset      time.Duration // until the full allowance is back
	RetryAfter time.Duration
}

// Limiter counts; it answers for one key and rate, and never fails.
type Limiter interface {
	Take(ctx context.Context, key string, r Rate) Verdict
}

// Subject is who a request is counted for, where limits go by client or user. Empty falls back to the address.
type Subject struct{ Client, User string }

// Allow counts a request against the rate of its name and refuses the one too many. The headers say where the caller stands.
func (k *Kit) Allow(w http.ResponseWriter, r *http.Request, name string, who Subject) error {
	rate, ok := k.Rates[name]
	if k.Limiter == nil || !ok || rate.Max <= 0 {
		return nil
	}
	ev := EventOf(r.Context())
	if ip, err := netip.ParseAddr(ev.IP); err == nil && contains(k.Exempt, ip) {
		return nil
	}
	key := name + ":ip:" + network(ev.IP)
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
	return fault.RetryAfter(fault.Limited, wait, "Too many requests. Please retry after %d seconds.", int(wait/time.Second))
}

// network is the address that limits go by: of IPv6 the /64, which is what one customer has.
func network(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil || a.Is4() {
		return ip
	}
	p, err := a.Prefix(64)
	if err != nil {
		return ip
	}
	return p.String()
}
