package web

import (
	"context"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
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
type Subject struct {
	Client, User string

	// Claimed says that the caller has not proved the names. A claimed client, which must be a
	// registered one, is counted at each address separately, so that nobody uses up its limit from
	// elsewhere. A claimed user counts for the address, since inventing names must gain nothing.
	Claimed bool

	each string // what is counted separately at each address, or ""
}

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
	v := k.Limiter.Take(r.Context(), k.rateKey(name, ip, who), rate)
	setRateHeaders(w.Header(), rate, v, ev.Now)
	if v.Allowed {
		return nil
	}
	known := who.Client
	if who.Claimed {
		known = ""
	}
	return k.refuse(r.Context(), name, known, v)
}

// refuse calls Limited, and returns the error of a request beyond a rate.
func (k *Kit) refuse(ctx context.Context, rate, client string, v LimitResult) error {
	if k.Limited != nil {
		k.Limited(ctx, rate, client)
	}
	return TooMany(v.RetryAfter)
}

// AllowEach counts a request against the named rate for one thing that the caller names, such as
// an account, at the caller's address. Others at other addresses do not count.
func (k *Kit) AllowEach(w http.ResponseWriter, r *http.Request, name, thing string) error {
	return k.Allow(w, r, name, Subject{each: thing})
}

// AllowInAll counts a request of anybody against the named rate.
func (k *Kit) AllowInAll(r *http.Request, name string) error {
	rate, ok := k.Rates[name]
	if k.Limiter == nil || !ok || rate.Max <= 0 {
		return nil
	}
	v := k.Limiter.Take(r.Context(), name+":all", rate)
	if v.Allowed {
		return nil
	}
	return k.refuse(r.Context(), name, "", v)
}

// AllowClient counts a request against a rate of one client's own, under a key that names the
// client and begins with the name of the rate.
func (k *Kit) AllowClient(w http.ResponseWriter, r *http.Request, key string, rate Rate) error {
	if k.Limiter == nil || rate.Max <= 0 {
		return nil
	}
	ev := EventOf(r.Context())
	if ip, _ := netip.ParseAddr(ev.IP); netaddr.Contains(k.Exempt, ip) {
		return nil
	}
	v := k.Limiter.Take(r.Context(), key, rate)
	setRateHeaders(w.Header(), rate, v, ev.Now)
	if v.Allowed {
		return nil
	}
	name, _, _ := strings.Cut(key, ":")
	return k.refuse(r.Context(), name, "", v)
}

// TooMany returns the error of a request beyond a rate.
func TooMany(after time.Duration) error {
	wait := max((after + time.Second - 1).Truncate(time.Second), time.Second)
	if wait > 2*time.Minute {
		return fault.RetryAfter(fault.Limited, wait, "Too many requests. Try again in %d minutes.",
			int((wait+time.Minute-1)/time.Minute))
	}
	return fault.RetryAfter(fault.Limited, wait,
		"Too many requests. Please retry after %d seconds.", int(wait/time.Second))
}

// setRateHeaders reports a rate and what is left of it.
func setRateHeaders(h http.Header, rate Rate, v LimitResult, now time.Time) {
	var buf [64]byte // one text holds the three numbers: every request comes here
	b := strconv.AppendInt(buf[:0], int64(rate.Max), 10)
	first := len(b)
	b = strconv.AppendInt(b, int64(max(v.Remaining, 0)), 10)
	second := len(b)
	b = strconv.AppendInt(b, now.Add(v.Reset+time.Second-1).Unix(), 10)
	text := string(b)
	values := [...]string{text[:first], text[first:second], text[second:]}
	h["X-Ratelimit-Limit"] = values[0:1:1]
	h["X-Ratelimit-Remaining"] = values[1:2:2]
	h["X-Ratelimit-Reset"] = values[2:3:3]
}

// rateKey returns the name that a request is counted under.
func (k *Kit) rateKey(name string, ip netip.Addr, who Subject) string {
	var buf [128]byte
	b := append(buf[:0], name...)
	switch {
	case who.each != "":
		b = append(append(b, ":each:"...), clean(who.each, 320)...)
		b = netaddr.AppendKey(append(b, ':'), ip)
	case k.RateBy == RateByClient && who.Client != "":
		b = append(append(b, ":client:"...), clean(who.Client, 128)...)
		if who.Claimed {
			b = netaddr.AppendKey(append(b, ':'), ip)
		}
	case k.RateBy == RateByUser && who.User != "" && !who.Claimed:
		b = append(append(b, ":user:"...), clean(who.User, 320)...)
	default:
		b = netaddr.AppendKey(append(b, ":ip:"...), ip)
	}
	return string(b)
}
