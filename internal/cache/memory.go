package cache

import (
	"context"
	"crypto/sha256"
	"hash/maphash"
	"strings"
	"sync"
	"time"
)

const (
	shardCount  = 64 // power of two
	defaultKeys = 1 << 18
	sampleSize  = 8 // how many of the least recently used keys are candidates for eviction
)

// Memory is a Limiter in this process. It is safe for concurrent use.
type Memory struct {
	now    func() time.Time
	start  time.Time
	seed   maphash.Seed
	shards [shardCount]shard
}

// NewMemory returns a limiter that stores at most that many keys (0: about 260,000, some 50 MB
// when all are in use). A further key replaces one that has expired, or one of those unused for
// longest.
func NewMemory(keys int, now func() time.Time) *Memory {
	if keys <= 0 {
		keys = defaultKeys
	}
	m := &Memory{now: now, start: now(), seed: maphash.MakeSeed()}
	for i := range m.shards {
		m.shards[i].init(max(keys/shardCount, 1))
	}
	return m
}

// Take counts one request.
func (m *Memory) Take(_ context.Context, key string, l Limit) (Result, error) {
	p, limited := newPace(l, time.Nanosecond)
	if !limited {
		return Result{Allowed: true}, nil
	}
	if len(key) > maxKey {
		key = shorten(key)
	}
	now := int64(m.now().Sub(m.start)) // monotonic where the clock is
	s := &m.shards[maphash.String(m.seed, key)&(shardCount-1)]
	s.mu.Lock()
	e := s.find(key, now)
	ahead, ok := p.take(e.due - now)
	e.due = now + ahead
	s.mu.Unlock()
	return p.result(ahead, ok), nil
}

// Len returns the number of keys stored.
func (m *Memory) Len() int {
	n := 0
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		n += len(s.index)
		s.mu.Unlock()
	}
	return n
}

// A shard is a part of the keys under one lock: a slab of entries, linked in the order of their
// last use. Entry 0 is the anchor of the ring: its next is the most, its prev the least recently
// used.
type shard struct {
	mu    sync.Mutex
	index map[string]int32
	slab  []entry
	limit int
	_     [24]byte // keeps the locks of two shards off one cache line
}

type entry struct {
	key        string
	due        int64 // theoretical arrival time, in nanoseconds since start
	prev, next int32
}

func (s *shard) init(limit int) {
	s.index, s.slab, s.limit = map[string]int32{}, make([]entry, 1), limit
}

// find returns the entry of a key, which it creates if necessary, as the most recently used one.
// The pointer is valid until the shard is unlocked.
func (s *shard) find(key string, now int64) *entry {
	i, ok := s.index[key]
	if !ok {
		i = s.add(strings.Clone(key), now) // the caller's key may be part of a large string
	}
	if s.slab[0].next != i {
		s.unlink(i)
		s.link(i)
	}
	return &s.slab[i]
}

// add stores a new key in a free entry, or in that of a key that it evicts.
func (s *shard) add(key string, now int64) int32 {
	i := int32(len(s.slab))
	if len(s.index) < s.limit {
		s.slab = append(s.slab, entry{})
		s.slab[i].prev, s.slab[i].next = i, i
	} else {
		i = s.victim()
		delete(s.index, s.slab[i].key)
	}
	s.slab[i].key, s.slab[i].due = key, now
	s.index[key] = i
	return i
}

// victim returns the entry to evict: among the least recently used, the one that is due first. It
// has expired, or its loss allows the fewest further requests.
func (s *shard) victim() int32 {
	best := s.slab[0].prev
	for i, n := best, 0; i != 0 && n < sampleSize; i, n = s.slab[i].prev, n+1 {
		if s.slab[i].due < s.slab[best].due {
			best = i
		}
	}
	return best
}

func (s *shard) unlink(i int32) {
	e := &s.slab[i]
	s.slab[e.prev].next, s.slab[e.next].prev = e.next, e.prev
}

func (s *shard) link(i int32) {
	first := s.slab[0].next
	s.slab[i].prev, s.slab[i].next = 0, first
	s.slab[first].prev, s.slab[0].next = i, i
}

func shorten(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + string(sum[:])
}
