package gateway

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
)

// Refusal is why a request was turned away, as it is stored: `gatehouse explain` reads it.
type Refusal struct {
	RequestID string
	At        time.Time
	Data      []byte // an access.Refused, encoded
}

// What is kept of refusals. Strangers cause them, as many as they like: those over the bound are counted and forgotten.
const (
	refusalsPerSecond = 50
	refusalsEvery     = 250 * time.Millisecond
	refusalsTimeout   = 5 * time.Second
)

// queue is refusals on their way to storage.
type queue struct {
	mu      sync.Mutex
	waiting []*access.Refused
	second  int64 // the one that counted belongs to
	counted int
	lost    int
	wake    chan struct{}
}

func (q *queue) start() { q.wake = make(chan struct{}, 1) }

// put never waits.
func (q *queue) put(r *access.Refused, now time.Time) {
	q.mu.Lock()
	if s := now.Unix(); s != q.second {
		q.second, q.counted = s, 0
	}
	q.counted++
	if q.counted > refusalsPerSecond || len(q.waiting) >= 2*refusalsPerSecond {
		q.lost++
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

func (q *queue) take() (all []*access.Refused, lost int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	all, lost = q.waiting, q.lost
	q.waiting, q.lost = nil, 0
	return all, lost
}

// keepRefusals writes refusals in batches, behind the answers, until ctx ends and nothing is left.
func (g *Gateway) keepRefusals(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for ctx.Err() == nil {
		select {
		case <-g.refusals.wake:
			g.writeRefusals(ctx)
		case <-ctx.Done():
		}
		pause.Reset(refusalsEvery) // what comes now is written together
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
	g.writeRefusals(ctx)
}

func (g *Gateway) writeRefusals(ctx context.Context) {
	all, lost := g.refusals.take()
	if lost > 0 {
		g.Kit.Log.LogAttrs(ctx, slog.LevelWarn, "more requests were refused than are kept for explain", slog.Int("forgotten", lost))
	}
	if g.Refusals == nil || len(all) == 0 {
		return
	}
	rows := make([]Refusal, 0, len(all))
	for _, r := range all {
		data, err := r.Encode()
		if err != nil {
			g.Kit.Log.LogAttrs(ctx, slog.LevelError, "a refusal cannot be kept", slog.String("error", err.Error()))
			continue
		}
		rows = append(rows, Refusal{RequestID: r.RequestID, At: r.At, Data: data})
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refusalsTimeout)
	defer cancel()
	if err := g.Refusals(ctx, rows); err != nil {
		g.Kit.Log.LogAttrs(ctx, slog.LevelError, "refusals cannot be kept for explain", slog.Int("forgotten", len(rows)), slog.String("error", err.Error()))
	}
}
