package bearer

import (
	"context"
	"slices"
	"time"

	"github.com/maypok86/otter/v2"
)

// A Cache stores introspection responses for a while, so that the servers of one API can share
// them. A missing response is requested again. Keys are printable ASCII of at most 100 bytes and
// contain no token; values contain the claims of a token, but not the token. Implementations are
// safe for concurrent use.
type Cache interface {
	// Get returns the value of a key, which must not be modified, or nil if there is none.
	Get(ctx context.Context, key string) ([]byte, error)
	// Set stores a value for at most ttl, which is above zero.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
}

// A ReplayCache records used DPoP proofs for the servers of one API together.
type ReplayCache interface {
	// Add stores a key for ttl and reports whether it was absent. Of concurrent callers with one
	// key exactly one gets true.
	Add(ctx context.Context, key string, ttl time.Duration) (bool, error)
}

// A Memory is a Cache in this process, bounded in bytes. When it is full, the least used values are
// evicted.
type Memory struct {
	entries *otter.Cache[string, memoryEntry]
	now     func() time.Time
}

type memoryEntry struct {
	value   []byte
	expires time.Time
}

// entryOverhead is about how many bytes an entry takes beside its key and value.
const entryOverhead = 200

// NewMemory returns an empty cache of about the given size in bytes.
func NewMemory(bytes int) *Memory {
	return &Memory{now: time.Now, entries: otter.Must(&otter.Options[string, memoryEntry]{
		MaximumWeight: uint64(max(bytes, 1<<10)),
		Weigher: func(k string, e memoryEntry) uint32 {
			return uint32(len(k) + len(e.value) + entryOverhead)
		},
	})}
}

// Get returns the value of a key, or nil if there is none.
func (m *Memory) Get(_ context.Context, key string) ([]byte, error) {
	e, ok := m.entries.GetIfPresent(key)
	if !ok {
		return nil, nil
	}
	if !m.now().Before(e.expires) {
		m.entries.Invalidate(key)
		return nil, nil
	}
	return e.value, nil
}

// Set stores a copy of a value for at most ttl.
func (m *Memory) Set(_ context.Context, key string, value []byte, ttl time.Duration) error {
	m.entries.Set(key, memoryEntry{slices.Clone(value), m.now().Add(ttl)})
	return nil
}
