// Package memcache lets the servers of one API share the caches of package bearer through
// memcached.
package memcache

import (
	"context"
	"errors"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// A Cache is a bearer.Cache and a bearer.ReplayCache. Whoever can write to the memcached decides
// which tokens are accepted: give access to no one else. A memcached that is full evicts what was
// used least recently, so a bearer.ReplayCache detects every replay only while there is room.
type Cache struct{ client *memcache.Client }

// New returns a cache that uses a client. The client's Timeout, 500 ms by default, bounds how long
// a request waits for memcached.
func New(client *memcache.Client) *Cache { return &Cache{client} }

// Get returns the value of a key, or nil if there is none.
func (c *Cache) Get(_ context.Context, key string) ([]byte, error) {
	item, err := c.client.Get(key)
	if errors.Is(err, memcache.ErrCacheMiss) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return item.Value, nil
}

// Set stores a value for at most ttl, rounded up to whole seconds, the unit of memcached.
func (c *Cache) Set(_ context.Context, key string, value []byte, ttl time.Duration) error {
	return c.client.Set(&memcache.Item{Key: key, Value: value, Expiration: seconds(ttl)})
}

// Add stores a key for ttl and reports whether it was absent. Of concurrent callers exactly one
// gets true.
func (c *Cache) Add(_ context.Context, key string, ttl time.Duration) (bool, error) {
	err := c.client.Add(&memcache.Item{Key: key, Value: []byte("1"), Expiration: seconds(ttl)})
	if errors.Is(err, memcache.ErrNotStored) {
		return false, nil
	}
	return err == nil, err
}

// maxSeconds is the longest TTL; memcached reads a larger number as a date.
const maxSeconds = 30 * 24 * 60 * 60

// seconds rounds up, since 0 would mean without expiry, and adds one: memcached counts whole
// seconds of its own clock, and a used key must not be forgotten early. A bearer.Verifier checks
// the age of a cached introspection response itself.
func seconds(ttl time.Duration) int32 {
	return int32(min(maxSeconds, (ttl+time.Second-1)/time.Second+1))
}
