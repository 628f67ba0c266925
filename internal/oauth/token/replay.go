package token

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Replays records the DPoP proofs that resources have accepted, so that none works twice (RFC
// 9449 §11.1). The token endpoint does not use it: there the database records proofs, for all
// servers.
type Replays interface {
	// Add records a key until a time and reports whether it was new. Of any number of concurrent
	// callers with one key, exactly one gets true. Unavailable: the proof can be neither
	// accepted nor rejected.
	Add(ctx context.Context, key string, until, now time.Time) (bool, error)
}

// Bounds of a replay memory: some 100 MB when it is full, which takes some 6,000 proofs a second.
const (
	maxReplays       = 1 << 20 // in each of two generations
	replayGeneration = time.Minute
	replayRetryAfter = 10 * time.Second
)

// replayKey is a truncated hash of a key: strangers choose parts of keys, which may be long.
type replayKey [16]byte

// replayMemory is the Replays of one process, in two generations. The old generation is dropped
// as a whole once all its entries have expired. When there is no room, proofs are rejected for a
// while rather than forgotten; otherwise the holder of one token could make the memory forget
// the proofs of all others. Several servers share a memory by Parts.Replays.
type replayMemory struct {
	mu       sync.Mutex
	limit    int                 // entries in each generation
	current  map[replayKey]int64 // Unix milliseconds of the expiry
	previous map[replayKey]int64
	started  time.Time // when the current generation began
	expiry   time.Time // the latest in current
	lastEnd  time.Time // the latest in previous
}

// NewReplays returns a memory of this process alone.
func NewReplays() Replays { return newReplayMemory() }

func newReplayMemory() *replayMemory {
	return &replayMemory{limit: maxReplays, current: map[replayKey]int64{}}
}

// Add records a key. Unavailable: there is no room for it.
func (m *replayMemory) Add(_ context.Context, key string, until, now time.Time) (bool, error) {
	sum := sha256.Sum256([]byte(key))
	k := replayKey(sum[:len(replayKey{})])
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(now)
	ms := now.UnixMilli()
	if expiry, ok := m.current[k]; ok && expiry > ms {
		return false, nil
	}
	if expiry, ok := m.previous[k]; ok && expiry > ms {
		return false, nil
	}
	if len(m.current) >= m.limit {
		return false, fault.RetryAfter(fault.Unavailable, replayRetryAfter,
			"Too many DPoP proofs were used in the last minutes. Try again in a moment.")
	}
	m.current[k] = until.UnixMilli()
	if until.After(m.expiry) {
		m.expiry = until
	}
	return true, nil
}

// advance begins a new generation when it is time or the current one is full, unless the
// previous one still has entries that have not expired.
func (m *replayMemory) advance(now time.Time) {
	due := now.Sub(m.started) >= replayGeneration || now.Before(m.started) ||
		len(m.current) >= m.limit
	if !due || m.lastEnd.After(now) {
		return
	}
	m.previous, m.current = m.current, make(map[replayKey]int64, len(m.current)/2)
	m.lastEnd, m.expiry, m.started = m.expiry, time.Time{}, now
}
