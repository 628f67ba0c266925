package oauth

import (
	"context"
	"sync"
	"time"
)

// Replays remembers the proofs that resources have seen, so that none works twice (RFC 9449 §11.1). The token endpoint does
// not ask it: there the database remembers, for all servers.
type Replays interface {
	// First remembers a key until a time and reports whether it was unknown. Of any number of concurrent callers with one key,
	// exactly one is told true.
	First(ctx context.Context, key string, until, now time.Time) (bool, error)
}

// Bounds of the memory of one process: some 12 MB when it is full.
const (
	replaysAtOnce = 60_000 // in each of two generations
	replaysTurn   = time.Minute
)

// replayMemory is the Replays of one process, in two generations: the elder is forgotten as a whole when it can hold nothing
// live any more, or when the younger is full. Who makes more requests a minute than it holds, or runs several servers, shares a memory
// by Config.Replays.
type replayMemory struct {
	mu           sync.Mutex
	young, elder map[string]int64 // Unix milliseconds of the end
	turned       time.Time
	last         time.Time // the latest end in elder
	end          time.Time // the latest end in young
}

// NewReplays makes a memory of this process alone.
func NewReplays() Replays { return newReplayMemory() }

func newReplayMemory() *replayMemory { return &replayMemory{young: map[string]int64{}} }

// First remembers a key.
func (m *replayMemory) First(_ context.Context, key string, until, now time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now)
	at := now.UnixMilli()
	if end, ok := m.young[key]; ok && end > at {
		return false, nil
	}
	if end, ok := m.elder[key]; ok && end > at {
		return false, nil
	}
	m.young[key] = until.UnixMilli()
	if until.After(m.end) {
		m.end = until
	}
	return true, nil
}

// turn begins a new generation when it is time, or when there is no more room.
func (m *replayMemory) turn(now time.Time) {
	due := now.Sub(m.turned) >= replaysTurn && !m.last.After(now)
	if !due && len(m.young) < replaysAtOnce {
		return
	}
	m.elder, m.young = m.young, make(map[string]int64, len(m.young)/2)
	m.last, m.end, m.turned = m.end, time.Time{}, now
}
