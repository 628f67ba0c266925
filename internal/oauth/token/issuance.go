package token

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
)

// issuanceCounter counts issued tokens that get no audit event of their own. It grows with the
// number of clients, not of tokens.
type issuanceCounter struct {
	mu     sync.Mutex
	since  time.Time
	counts map[issuanceKey]int64
}

type issuanceKey struct {
	client client.ID
	grant  string // the grant type
}

func newIssuanceCounter() *issuanceCounter {
	return &issuanceCounter{counts: map[issuanceKey]int64{}}
}

// add counts one token.
func (c *issuanceCounter) add(cl client.ID, grant string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.counts) == 0 {
		c.since = now
	}
	c.counts[issuanceKey{cl, grant}]++
}

// take resets the counter and returns one event for each client and grant type, and since when
// the counter counted.
func (c *issuanceCounter) take(now time.Time) (evs []audit.Event, since time.Time) {
	c.mu.Lock()
	counts, since := c.counts, c.since
	c.counts = map[issuanceKey]int64{}
	c.mu.Unlock()
	for key, n := range counts {
		evs = append(evs, audit.Event{
			At:     now,
			Type:   audit.TokensIssued,
			Actor:  string(key.client),
			Client: string(key.client),
			Detail: map[string]string{
				"grant_type": key.grant,
				"count":      strconv.FormatInt(n, 10),
				"since":      since.UTC().Format(time.RFC3339),
			},
		})
	}
	slices.SortFunc(evs, func(a, b audit.Event) int {
		return cmp.Or(cmp.Compare(a.Client, b.Client),
			cmp.Compare(a.Detail["grant_type"], b.Detail["grant_type"]))
	})
	return evs, since
}

// restore adds events that could not be stored to what has been counted since.
func (c *issuanceCounter) restore(evs []audit.Event, since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since = since
	for _, ev := range evs {
		n, _ := strconv.ParseInt(ev.Detail["count"], 10, 64) // written by take
		c.counts[issuanceKey{client.ID(ev.Client), ev.Detail["grant_type"]}] += n
	}
}

// RecordIssuances stores audit events of the tokens that were counted since the last call. If
// storage fails, the next call tries again.
func (s *Server) RecordIssuances(ctx context.Context, now time.Time) error {
	evs, since := s.issued.take(now)
	if len(evs) == 0 {
		return nil
	}
	err := s.store.Record(ctx, evs...)
	if err != nil {
		s.issued.restore(evs, since)
	}
	return err
}
