package gateway

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
)

// Bounds of what is stored of denials. Strangers can cause as many as they like: those over the
// bound are counted and dropped.
const (
	denialsPerSecond   = 50
	denialsBatchEvery  = 250 * time.Millisecond
	denialsWriteWithin = 5 * time.Second
)

// denialQueue holds denials until they are written to storage.
type denialQueue struct {
	mu      sync.Mutex
	waiting []*access.DenialRecord
	second  int64 // Unix time of the second that counted belongs to
	counted int
	dropped int
	wake    chan struct{}
}

func (q *denialQueue) start() { q.wake = make(chan struct{}, 1) }

// put adds a denial, or drops it if there are too many. It never waits.
func (q *denialQueue) put(r *access.DenialRecord, now time.Time) {
	q.mu.Lock()
	if s := now.Unix(); s != q.second {
		q.second, q.counted = s, 0
	}
	q.counted++
	if q.counted > denialsPerSecond || len(q.waiting) >= 2*denialsPerSecond {
		q.dropped++
		q.mu.Unlock()
		return
	}
	q.waiting = append(q.waiting, r)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take empties the queue and returns its denials, and how many were dropped since the last call.
func (q *denialQueue) take() (all []*access.DenialRecord, dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	all, dropped = q.waiting, q.dropped
	q.waiting, q.dropped = nil, 0
	return all, dropped
}

// storeDenials writes the queue to storage in batches until ctx ends, and what is left then.
func (g *Gateway) storeDenials(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for ctx.Err() == nil {
		select {
		case <-g.denials.wake:
			g.storeBatch(ctx)
		case <-ctx.Done():
		}
		pause.Reset(denialsBatchEvery) // denials that come meanwhile are written together
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
	g.storeBatch(ctx)
}

func (g *Gateway) storeBatch(ctx context.Context) {
	all, dropped := g.denials.take()
	if dropped > 0 {
		g.Kit.Log.LogAttrs(ctx, slog.LevelWarn, "too many denials to store all of them for "+
			"gatehouse explain",
			slog.Int("dropped", dropped))
	}
	if g.StoreDenials == nil || len(all) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), denialsWriteWithin)
	defer cancel()
	if err := g.StoreDenials(ctx, all); err != nil {
		g.Kit.Log.LogAttrs(ctx, slog.LevelError, "denials could not be stored for gatehouse "+
			"explain",
			slog.Int("dropped", len(all)), slog.String("error", err.Error()))
	}
}
