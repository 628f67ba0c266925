package cache_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/cache"
	"github.com/gatehouse-id/gatehouse/internal/cache/cachetest"
)

// clock is a clock that stands still until it is advanced.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time              { return time.Unix(1_700_000_000, c.ns.Load()) }
func (c *clock) advance(d time.Duration)     { c.ns.Add(int64(d)) }
func (c *clock) limiter(n int) *cache.Memory { return cache.NewMemory(n, c.now) }

func TestMemory(t *testing.T) {
	cachetest.Run(t, func(*testing.T) cachetest.Subject {
		c := new(clock)
		return cachetest.Subject{Limiter: c.limiter(0), Wait: c.advance}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	c := new(clock)
	m := c.limiter(640)
	l := cache.Limit{Max: 1, Window: time.Hour}
	for i := range 50_000 {
		m.Take(t.Context(), fmt.Sprint("flood", i), l)
		c.advance(time.Millisecond)
	}
	if n := m.Len(); n > 640 {
		t.Errorf("%d keys are stored", n)
	}
}

// The counter of a client that is limited and continues to ask is not evicted for those of
// others.
func TestMemoryKeepsActiveKeys(t *testing.T) {
	c := new(clock)
	m := c.limiter(64 * 16)
	l := cache.Limit{Max: 1, Window: time.Hour}
	m.Take(t.Context(), "guesser", l)
	for i := range 20_000 {
		m.Take(t.Context(), fmt.Sprint("other", i), l)
		if i%10 == 0 {
			if r, _ := m.Take(t.Context(), "guesser", l); r.Allowed {
				t.Fatalf("evicted after %d other keys", i)
			}
		}
	}
}

// Of keys that are equally unused, those that have expired are evicted first.
func TestMemoryEvictsExpiredFirst(t *testing.T) {
	c := new(clock)
	m := c.limiter(64 * 4) // four keys a shard
	long, short := cache.Limit{Max: 1, Window: time.Hour}, cache.Limit{Max: 1, Window: time.Second}
	var limited []string
	for i := range 64 {
		limited = append(limited, fmt.Sprint("limited", i))
		m.Take(t.Context(), limited[i], long)
	}
	for i := range 1000 {
		m.Take(t.Context(), fmt.Sprint("expired", i), short)
		c.advance(2 * time.Second)
	}
	stored := 0
	for _, k := range limited {
		if r, _ := m.Take(t.Context(), k, long); !r.Allowed {
			stored++
		}
	}
	// A shard may have more than four of them; most do not.
	if stored < 50 {
		t.Errorf("%d of 64 limited keys are stored", stored)
	}
}

func TestMemoryAllocates(t *testing.T) {
	m := cache.NewMemory(0, time.Now)
	ctx, l := t.Context(), cache.Limit{Max: 10, Window: time.Minute}
	m.Take(ctx, "token:192.0.2.1", l)
	if n := testing.AllocsPerRun(1000, func() { m.Take(ctx, "token:192.0.2.1", l) }); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

func BenchmarkMemory(b *testing.B) { cachetest.Benchmark(b, cache.NewMemory(0, time.Now)) }
