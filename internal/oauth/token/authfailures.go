package token

import (
	"cmp"
	"context"
	"net/netip"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
)

// recordsFailure reports whether a failed client authentication is to be recorded by itself.
// Otherwise it has been counted, for the address or for the client id that the caller claims.
func (s *Server) recordsFailure(ev *audit.Event) bool {
	a, _ := netip.ParseAddr(ev.IP) // callers without an address are one
	return s.failures.Add(ev.At,
		audit.FailureKey{Address: cmp.Or(netaddr.Key(a), "unknown")},
		audit.FailureKey{Subject: ev.Client},
	)
}

// RecordFailures stores audit events of the failed client authentications that were counted since
// the last call. If storage fails, the next call tries again.
func (s *Server) RecordFailures(ctx context.Context, now time.Time) error {
	counts := s.failures.Take()
	evs := counts.Events(now, func(key audit.FailureKey, ev *audit.Event) {
		ev.Type, ev.Client = audit.ClientAuthFailed, key.Subject
		ev.Actor = cmp.Or(key.Subject, ev.Actor)
	})
	if len(evs) == 0 {
		return nil
	}
	err := s.store.Record(ctx, evs...)
	if err != nil {
		s.failures.Restore(counts)
	}
	return err
}
