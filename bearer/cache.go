package bearer

import (
	"context"
	"slices"
	"time"

	"github.com/maypok86/otter/v2"
)

// Cache keeps answers of introspection for a while, so that servers of one API can share them. What it forgets is asked again. Keys are
// printable ASCII of at most 100 bytes and hold no token; values are what a token says, but not the token. Implementations are safe
// for concurrent use.
type Cache interface {
	// Get gives a value that must not be changed, or nil if there is none.
	Get(ctx context.Context, key string) ([]byte, error)
	// Set keeps a value for at most ttl, which is above zero.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
}

// Once remembers what has been used up, for the servers of one API together.
type Once interface {
	// Add reports true to exactly one of all who add a key within ttl.
	Add(ctx context.Context, key string, ttl time.Duration) (fresh bool, err error)
}

// Memory is a Cache in this process, bounded in bytes. What has been used least makes room.
type Memory struct {
	entries *otter.Cache[string, entryInMemory]
	now     func() time.Time
}

type entryInMemory struct {
	value []byte
	until time.Time
}

// entryOverhead is about what an entry costs beside its key and value.
const entryOverhead = 200

// NewMemory makes a cache of about so many bytes.
func NewMemory(bytes int) *Memory {
	return &Memory{now: time.Now, entries: otter.Must(&otter.Options[string, entryInMemory]{
		MaximumWeight: uint64(max(bytes, 1<<10)),
		Weigher:       func(k string, e entryInMemory) uint32 { return uint32(len(k) + len(e.value) + entryOverhead) },
	})}
}

// Get gives a value, or nil.
func (m *Memory) Get(_ context.Context, key string) ([]byte, error) {
	e, ok := m.entries.GetIfPresent(key)
	if !ok {
		return nil, nil
	}
	if !m.now().Before(e.until) {
		m.entries.Invalidate(key)
		return nil, nil
	}
	return e.value, nil
}

// Set keeps a copy of a value.
func (m *Memory) Set(_ context.Context, key string, value []byte, ttl time.Duration) error {
	m.entries.Set(key, entryInMemory{slices.Clone(value), m.now().Add(ttl)})
	return nil
}
