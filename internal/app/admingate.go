package app

import (
	"context"
	"net/http"
	"net/netip"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// adminGate denies what manages the server to callers outside of ADMIN_ALLOWED_IPS, before it is
// known who they are. The operations check the address once more, also those that are called by
// other ways, such as registration.
func (s *server) adminGate(kit *web.Kit, next http.Handler) http.Handler {
	allowed := s.parts.cfg.Administration.AllowedIPs
	if len(allowed) == 0 {
		return next
	}
	denied := &callers{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !managementPath(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		ev := web.EventOf(r.Context())
		ip, err := netip.ParseAddr(ev.IP)
		if err == nil && netaddr.Contains(allowed, netaddr.Canonical(ip)) {
			next.ServeHTTP(w, r)
			return
		}
		if denied.first(ip.String(), ev.Now) {
			v := login.Visit{Now: ev.Now, IP: ev.IP, Agent: ev.Agent, RequestID: ev.ID}
			if err := s.parts.db.Record(r.Context(), admin.AddressDenied(v, r.URL.Path)); err != nil {
				kit.Fail(w, r, err)
				return
			}
		}
		kit.Fail(w, r, fault.New(fault.Denied, "This address may not manage the server."))
	})
}

// managementPath reports whether a path is one of the console or of the management API. A few
// addresses below /api are for everybody.
func managementPath(p string) bool {
	switch p {
	case "/api/v1/token", "/api/token", "/api/v1/validate-password", "/api/validate-password",
		"/api/v1/password-reset", "/api/password-reset",
		"/api/v1/password-reset/complete", "/api/password-reset/complete":
		return false
	}
	p = path.Clean("/" + p)
	for _, root := range []string{"/admin", "/api"} {
		if p == root || strings.HasPrefix(p, root+"/") {
			return true
		}
	}
	return false
}

// maxCallers bounds how many callers are recorded in a minute.
const maxCallers = 1000

// callers remembers which callers have been recorded in this minute.
type callers struct {
	mu     sync.Mutex
	minute time.Time
	names  map[string]bool
}

// first reports whether a caller is to be recorded: once in a minute.
func (c *callers) first(name string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := now.Truncate(time.Minute); !m.Equal(c.minute) {
		c.minute, c.names = m, map[string]bool{}
	}
	if c.names[name] || len(c.names) >= maxCallers {
		return false
	}
	c.names[name] = true
	return true
}

// recordLimited returns what records requests that a rate refuses, once for each caller and minute:
// a client that has proved itself, or the network of an address. The answer
// is the same if it cannot be recorded.
func (s *server) recordLimited() func(ctx context.Context, rate, client string) {
	recorded := &callers{}
	return func(ctx context.Context, rate, client string) {
		ev, caller := web.EventOf(ctx), "client:"+client
		if client == "" {
			ip, _ := netip.ParseAddr(ev.IP) // callers without an address are one
			caller = netaddr.Key(ip)
		}
		if !recorded.first(caller, ev.Now) {
			return
		}
		v := login.Visit{Now: ev.Now, IP: ev.IP, Agent: ev.Agent, RequestID: ev.ID, Client: client}
		if err := s.parts.db.Record(ctx, admin.RateExceeded(v, rate)); err != nil {
			s.parts.report(err)
		}
	}
}
