package oauth

import (
	"context"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/audit"
)

// tally counts issued tokens that get no record of their own. It grows with clients, not with tokens.
type tally struct {
	mu     sync.Mutex
	since  time.Time
	counts map[tallied]int64
}

type tallied struct {
	client client.ID
	grant  string // the grant type
}

func newTally() *tally { return &tally{counts: map[tallied]int64{}} }

func (t *tally) add(cl client.ID, grant string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.counts) == 0 {
		t.since = now
	}
	t.counts[tallied{cl, grant}]++
}

// take empties the tally into one event for each client and grant type.
func (t *tally) take(now time.Time) []audit.Event {
	t.mu.Lock()
	counts, since := t.counts, t.since
	t.counts = map[tallied]int64{}
	t.mu.Unlock()
	var out []audit.Event
	for who, n := range counts {
		out = append(out, audit.Event{
			At: now, Type: audit.TokensIssued, Actor: string(who.client), Client: string(who.client), Detail: map[string]string{
				"grant_type": who.grant, "count": strconv.FormatInt(n, 10), "since": since.UTC().Format(time.RFC3339),
			},
		})
	}
	sort.Slice(out, func(i, k int) bool {
		return out[i].Client+out[i].Detail["grant_type"] < out[k].Client+out[k].Detail["grant_type"]
	})
	return out
}

// giveBack adds what could not be recorded to what has been counted since.
func (t *tally) giveBack(evs []audit.Event, since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.since = since
	for _, ev := range evs {
		n, _ := strconv.ParseInt(ev.Detail["count"], 10, 64) // written by take
		t.counts[tallied{client.ID(ev.Client), ev.Detail["grant_type"]}] += n
	}
}

// RecordIssuances writes what has been counted since the last call. What storage refuses is kept for the next one.
func (s *Server) RecordIssuances(ctx context.Context, now time.Time) error {
	s.tally.mu.Lock()
	since := s.tally.since
	s.tally.mu.Unlock()
	evs := s.tally.take(now)
	if len(evs) == 0 {
		return nil
	}
	err := s.store.Record(ctx, evs...)
	if err != nil {
		s.tally.giveBack(evs, since)
	}
	return err
}
