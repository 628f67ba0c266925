// Package rediscache lets the servers of one API share the caches of package bearer through Redis
// or Valkey.
package rediscache

import (
	"context"
	"time"

	"github.com/redis/rueidis"
)

// DefaultTimeout bounds how long a request waits for Redis where [Cache.Timeout] is zero.
const DefaultTimeout = 250 * time.Millisecond

// A Cache is a bearer.Cache and a bearer.ReplayCache. Whoever can write to the Redis decides which
// tokens are accepted: give access to no one else.
type Cache struct {
	// Timeout bounds each command. Set it before the first use; zero means DefaultTimeout.
	Timeout time.Duration

	client rueidis.Client
}

// New returns a cache that uses a connection. The caller closes the connection.
func New(client rueidis.Client) *Cache { return &Cache{client: client} }

// Get returns the value of a key, or nil if there is none.
func (c *Cache) Get(ctx context.Context, key string) ([]byte, error) {
	ctx, cancel := c.withTimeout(ctx)
	defer cancel()
	value, err := c.client.Do(ctx, c.client.B().Get().Key(key).Build()).AsBytes()
	if rueidis.IsRedisNil(err) {
		return nil, nil
	}
	return value, err
}

// Set stores a value for at most ttl.
func (c *Cache) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	ctx, cancel := c.withTimeout(ctx)
	defer cancel()
	set := c.client.B().Set().Key(key).Value(rueidis.BinaryString(value))
	return c.client.Do(ctx, set.PxMilliseconds(millis(ttl)).Build()).Error()
}

// Add stores a key for ttl and reports whether it was absent. Of concurrent callers exactly one
// gets true.
func (c *Cache) Add(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	ctx, cancel := c.withTimeout(ctx)
	defer cancel()
	set := c.client.B().Set().Key(key).Value("1").Nx()
	err := c.client.Do(ctx, set.PxMilliseconds(millis(ttl)).Build()).Error()
	if rueidis.IsRedisNil(err) {
		return false, nil
	}
	return err == nil, err
}

func (c *Cache) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.Timeout > 0 {
		return context.WithTimeout(ctx, c.Timeout)
	}
	return context.WithTimeout(ctx, DefaultTimeout)
}

// millis rounds up, since Redis rejects a TTL of zero.
func millis(ttl time.Duration) int64 {
	return max(1, int64((ttl+time.Millisecond-1)/time.Millisecond))
}
