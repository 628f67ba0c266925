package app

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// mailRequests counts what strangers ask for that leads to messages, from all addresses together,
// each kind of request separately. The zero value counts nothing: commands and rehearsals get no
// requests of strangers.
type mailRequests struct {
	limiter web.Limiter // nil: nothing is counted
	rate    web.Rate
	exempt  []netip.Prefix
	refused func(kind string)                                     // counts a refusal
	begins  func(ctx context.Context, v login.Visit, kind string) // reports that the limit holds

	mu       sync.Mutex
	reported map[string]time.Time // kind → when its limit was last reported
}

// knownBrowserRate bounds the requests of one browser in which somebody has signed in before, as
// long as it is not counted with all others.
func knownBrowserRate() web.Rate { return web.Rate{Max: 20, Window: time.Hour} }

// admit counts a request, and returns Limited beyond RATE_LIMIT_MAIL_REQUESTS.
func (m *mailRequests) admit(ctx context.Context, v login.Visit, r login.Request) error {
	if m.limiter == nil || m.rate.Max <= 0 {
		return nil
	}
	if ip, _ := netip.ParseAddr(v.IP); netaddr.Contains(m.exempt, ip) {
		return nil
	}
	key := "mail_request:" + r.Kind
	if r.Browser != "" && m.limiter.Take(ctx, key+":browser:"+r.Browser, knownBrowserRate()).Allowed {
		return nil
	}
	result := m.limiter.Take(ctx, key, m.rate)
	if result.Allowed {
		return nil
	}
	m.refused(r.Kind)
	if m.first(r.Kind, v.Now) {
		m.begins(ctx, v, r.Kind)
	}
	return web.TooMany(result.RetryAfter)
}

// first reports whether a limit that holds is to be reported: once in a window.
func (m *mailRequests) first(kind string, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if last, ok := m.reported[kind]; ok && now.Sub(last) < m.rate.Window {
		return false
	}
	if m.reported == nil {
		m.reported = map[string]time.Time{}
	}
	m.reported[kind] = now
	return true
}

// boundMailRequests makes a limiter count requests for messages in all, and returns it.
func (s *server) boundMailRequests(limiter web.Limiter) web.Limiter {
	c, m := s.parts.cfg.RateLimits, s.parts.mailRequests
	m.limiter, m.exempt = limiter, c.Whitelist
	m.rate = web.Rate{Max: c.MailRequests, Window: time.Hour}
	m.refused = func(kind string) {
		if w := s.parts.monitor; w != nil && w.metrics != nil {
			w.metrics.SignIns.Refuse(kind)
		}
	}
	m.begins = func(ctx context.Context, v login.Visit, kind string) {
		s.log.Warn("too many requests for messages from everywhere; more are refused for a while",
			"kind", kind, "setting", "RATE_LIMIT_MAIL_REQUESTS")
		if err := s.parts.db.Record(ctx, admin.MailRequestsLimited(v, kind)); err != nil {
			s.parts.report(err)
		}
	}
	return limiter
}
