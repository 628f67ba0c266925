// Package rediscache shares what bearer remembers between the servers of one API, through Redis or Valkey.
package rediscache

import (
	"context"
	"time"

	"github.com/redis/rueidis"
)

// patience is what a request waits for Redis at most.
const patience = 250 * time.Millisecond

// Cache is a bearer.Cache and a bearer.Once. Who can write to the Redis decides which tokens are good: let nobody else.
type Cache struct{ client rueidis.Client }

// New makes a cache of a connection, which stays the caller's to close.
func New(client rueidis.Client) *Cache { return &Cache{client} }

// Get gives a value, or nil.
func (c *Cache) Get(ctx context.Context, key string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	value, err := c.client.Do(ctx, c.client.B().Get().Key(key).Build()).AsBytes()
	if rueidis.IsRedisNil(err) {
		return nil, nil
	}
	return value, err
}

// Set keeps a value for at most ttl.
func (c *Cache) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return c.client.Do(ctx, c.client.B().Set().Key(key).Value(rueidis.BinaryString(value)).PxMilliseconds(millis(ttl)).Build()).Error()
}

// Add reports true to the first who adds a key within ttl.
func (c *Cache) Add(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := c.client.Do(ctx, c.client.B().Set().Key(key).Value("1").Nx().PxMilliseconds(millis(ttl)).Build()).Error()
	if rueidis.IsRedisNil(err) {
		return false, nil
	}
	return err == nil, err
}

// millis rounds up: Redis refuses a life of zero.
func millis(ttl time.Duration) int64 { return max(1, int64((ttl+time.Millisecond-1)/time.Millisecond)) }
