package token

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
)

// Bounds of the failed client authentications that are recorded one by one in a minute. Strangers
// cause them, so further ones are only counted.
const (
	failuresByOne = 10  // of one address, and of one client id that they claim
	failuresByAll = 600 // of all callers
)

// failureCounter decides which failed client authentications are recorded one by one, and counts
// the others. Its memory is bounded by failuresByAll.
type failureCounter struct {
	mu        sync.Mutex
	minute    time.Time
	total     int
	addresses map[string]int // recorded in this minute, by network of the caller
	clients   map[string]int // recorded in this minute, by claimed client id
	since     time.Time
	counts    map[failureKey]int64 // not recorded yet
}

// failureKey is what counted failures have in common; all empty for the rest.
type failureKey struct{ address, client string }

func newFailureCounter() *failureCounter {
	return &failureCounter{counts: map[failureKey]int64{}}
}

// add reports whether a failure is to be recorded by itself. Otherwise it has been counted.
func (f *failureCounter) add(ip, client string, now time.Time) bool {
	a, _ := netip.ParseAddr(ip) // callers without an address are one
	address := netaddr.Key(a)
	f.mu.Lock()
	defer f.mu.Unlock()
	if minute := now.Truncate(time.Minute); !minute.Equal(f.minute) {
		f.minute, f.total = minute, 0
		f.addresses, f.clients = map[string]int{}, map[string]int{}
	}
	var key failureKey
	switch {
	case f.addresses[address] >= failuresByOne:
		key.address = cmp.Or(address, "unknown")
	case f.clients[client] >= failuresByOne:
		key.client = client
	case f.total < failuresByAll:
		f.addresses[address]++
		f.clients[client]++
		f.total++
		return true
	}
	if len(f.counts) == 0 {
		f.since = now
	}
	f.counts[key]++
	return false
}

// take resets the counts and returns one event for each key, and since when they counted.
func (f *failureCounter) take(now time.Time) (evs []audit.Event, since time.Time) {
	f.mu.Lock()
	counts, since := f.counts, f.since
	f.counts = map[failureKey]int64{}
	f.mu.Unlock()
	for key, n := range counts {
		evs = append(evs, audit.Event{
			At:     now,
			Type:   audit.ClientAuthFailed,
			Actor:  cmp.Or(key.client, "system"),
			Client: key.client,
			IP:     key.address,
			Reason: audit.ReasonRepeatedFailures,
			Detail: map[string]string{
				"count": strconv.FormatInt(n, 10),
				"since": since.UTC().Format(time.RFC3339),
			},
		})
	}
	slices.SortFunc(evs, func(a, b audit.Event) int {
		return cmp.Or(cmp.Compare(a.IP, b.IP), cmp.Compare(a.Client, b.Client))
	})
	return evs, since
}

// restore adds events that could not be stored to what has been counted since.
func (f *failureCounter) restore(evs []audit.Event, since time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.since = since
	for _, ev := range evs {
		n, _ := strconv.ParseInt(ev.Detail["count"], 10, 64) // written by take
		f.counts[failureKey{ev.IP, ev.Client}] += n
	}
}

// RecordFailures stores audit events of the failed client authentications that were counted since
// the last call. If storage fails, the next call tries again.
func (s *Server) RecordFailures(ctx context.Context, now time.Time) error {
	evs, since := s.failures.take(now)
	if len(evs) == 0 {
		return nil
	}
	err := s.store.Record(ctx, evs...)
	if err != nil {
		s.failures.restore(evs, since)
	}
	return err
}
