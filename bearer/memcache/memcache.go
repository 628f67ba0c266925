// Package memcache shares what bearer remembers between the servers of one API, through memcached.
package memcache

import (
	"context"
	"errors"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// Cache is a bearer.Cache and a bearer.Once. Who can write to the memcached decides which tokens are good: let nobody else. A
// memcached that is full forgets what is used least, so a bearer.Once in it is as good as its room.
type Cache struct{ client *memcache.Client }

// New makes a cache of a client. Its Timeout, 500 ms by default, is what a request waits for memcached at most.
func New(client *memcache.Client) *Cache { return &Cache{client} }

// Get gives a value, or nil.
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

// Set keeps a value for at most ttl, rounded up to the second, which is memcached's measure.
func (c *Cache) Set(_ context.Context, key string, value []byte, ttl time.Duration) error {
	return c.client.Set(&memcache.Item{Key: key, Value: value, Expiration: seconds(ttl)})
}

// Add reports true to the first who adds a key within ttl.
func (c *Cache) Add(_ context.Context, key string, ttl time.Duration) (bool, error) {
	err := c.client.Add(&memcache.Item{Key: key, Value: []byte("1"), Expiration: seconds(ttl)})
	if errors.Is(err, memcache.ErrNotStored) {
		return false, nil
	}
	return err == nil, err
}

// mostSeconds is the longest life; memcached takes a larger number for a date.
const mostSeconds = 30 * 24 * 60 * 60

// seconds rounds up: 0 would be for ever. One more is added, since memcached counts whole seconds of its own clock, and what is used up must not be
// forgotten early; a bearer.Verifier looks at the age of an answer itself.
func seconds(ttl time.Duration) int32 {
	return int32(min(mostSeconds, (ttl+time.Second-1)/time.Second+1))
}
