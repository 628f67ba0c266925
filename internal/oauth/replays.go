package oauth

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Replays remembers the proofs that resources have seen, so that none works twice (RFC 9449 §11.1). The token endpoint does
// not ask it: there the database remembers, for all servers.
type Replays interface {
	// First remembers a key until a time and reports whether it was unknown. Of any number of concurrent callers with one key,
	// exactly one is told true.
	Add(ctx context.Context, key string, until, now time.Time) (bool, error)
}

// Bounds of the memory of one process: some 100 MB when it is full, which some 6,000 proofs a second make it.
const (
	replaysAtOnce = 1 << 20 // in each of two generations
	replaysTurn   = time.Minute
	replaysRetry  = 10 * time.Second
)

// replayKey is the hash of a key, cut: parts of keys come from strangers, and may be long.
type replayKey [16]byte

// replayMemory is the Replays of one process, in two generations: the elder is forgotten as a whole when it can hold nothing
// live any more. When there is no room, proofs are refused for a while rather than forgotten: who holds one token could otherwise make us
// forget everybody's. Who runs several servers shares a memory by Config.Replays.
type replayMemory struct {
	mu           sync.Mutex
	most         int
	young, elder map[replayKey]int64 // Unix milliseconds of the end
	turned       time.Time
	last         time.Time // the latest end in elder
	end          time.Time // the latest end in young
}

// NewReplays makes a memory of this process alone.
func NewReplays() Replays { return newReplayMemory() }

func newReplayMemory() *replayMemory {
	return &replayMemory{most: replaysAtOnce, young: map[replayKey]int64{}}
}

// First remembers a key. Unavailable: there is no room for it.
func (m *replayMemory) Add(_ context.Context, key string, until, now time.Time) (bool, error) {
	sum := sha256.Sum256([]byte(key))
	k := replayKey(sum[:len(replayKey{})])
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now)
	at := now.UnixMilli()
	if end, ok := m.young[k]; ok && end > at {
		return false, nil
	}
	if end, ok := m.elder[k]; ok && end > at {
		return false, nil
	}
	if len(m.young) >= m.most {
		return false, fault.RetryAfter(fault.Unavailable, replaysRetry, "Too many DPoP proofs were made in the last minutes. Try again in a moment.")
	}
	m.young[k] = until.UnixMilli()
	if until.After(m.end) {
		m.end = until
	}
	return true, nil
}

// turn begins a new generation when it is time, or when the younger is full and nothing of the elder is needed any more.
func (m *replayMemory) turn(now time.Time) {
	due := now.Sub(m.turned) >= replaysTurn || now.Before(m.turned) || len(m.young) >= m.most
	if !due || m.last.After(now) {
		return
	}
	m.elder, m.young = m.young, make(map[replayKey]int64, len(m.young)/2)
	m.last, m.end, m.turned = m.end, time.Time{}, now
}
