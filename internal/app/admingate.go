package app

import (
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
	denied := &deniedPeers{}
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
		if denied.first(ip, ev.Now) {
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

// maxDeniedPeers bounds how many peers are recorded in a minute.
const maxDeniedPeers = 1000

// deniedPeers remembers which peers have been denied in this minute.
type deniedPeers struct {
	mu     sync.Mutex
	minute time.Time
	peers  map[netip.Addr]bool
}

// first reports whether a peer is to be recorded: once in a minute.
func (d *deniedPeers) first(ip netip.Addr, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m := now.Truncate(time.Minute); !m.Equal(d.minute) {
		d.minute, d.peers = m, map[netip.Addr]bool{}
	}
	if d.peers[ip] || len(d.peers) >= maxDeniedPeers {
		return false
	}
	d.peers[ip] = true
	return true
}
