package cache_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/cache"
	"github.com/gatehouse-id/gatehouse/internal/cache/cachetest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func open(t testing.TB, url string, opt cache.RedisOptions) *cache.Redis {
	t.Helper()
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Fallback == nil {
		opt.Fallback = failing{}
	}
	r, err := cache.OpenRedis(url, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// failing is a fallback whose error shows that it was asked.
type failing struct{}

func (failing) Take(context.Context, string, cache.Limit) (cache.Result, error) {
	return cache.Result{}, fault.New(fault.Internal, "the fallback was asked")
}

func TestRedis(t *testing.T) {
	url := testkit.StartRedis(t).URL()
	cachetest.Run(t, func(t *testing.T) cachetest.Subject {
		return cachetest.Subject{
			Limiter: open(t, url, cache.RedisOptions{}),
			Wait:    time.Sleep,
			Real:    true,
		}
	})
}

func TestRedisIsShared(t *testing.T) {
	url := testkit.StartRedis(t).URL()
	a, b := open(t, url, cache.RedisOptions{}), open(t, url+"/0", cache.RedisOptions{})
	l := cache.Limit{Max: 2, Window: time.Hour}
	for i, r := range []*cache.Redis{a, b, a, b} {
		res, err := r.Take(t.Context(), "k", l)
		if err != nil || res.Allowed != (i < 2) {
			t.Errorf("request %d: %+v %v", i+1, res, err)
		}
	}
}

func TestRedisOutage(t *testing.T) {
	server := testkit.StartRedis(t)
	c := new(clock)
	var outages, recoveries atomic.Int32
	r := open(t, server.URL(), cache.RedisOptions{
		Now: c.now, Fallback: cache.NewMemory(0, c.now),
		OnOutage:   func(error) { outages.Add(1) },
		OnRecovery: func() { recoveries.Add(1) },
	})
	l := cache.Limit{Max: 2, Window: time.Hour}
	take := func() bool {
		res, err := r.Take(t.Context(), "k", l)
		if err != nil {
			t.Fatal(err)
		}
		return res.Allowed
	}
	take()
	for round := range int32(2) {
		server.Stop()
		for i := range 6 {
			if allowed := take(); round == 0 && allowed != (i < 2) {
				t.Errorf("outage, request %d: allowed is %v", i+1, allowed)
			}
			c.advance(redisPause / 2)
		}
		if outages.Load() != round+1 {
			t.Errorf("%d outages reported, want %d", outages.Load(), round+1)
		}
		server.Start() // empty: Redis holds only what may be lost
		testkit.Eventually(t, "the recovery is reported", func() bool {
			c.advance(redisPause)
			take()
			return recoveries.Load() == round+1
		})
	}
}

// During an outage Redis is tried once a second, however many requests there are.
func TestRedisOutageIsTriedOnceASecond(t *testing.T) {
	p := testkit.StartProxy(t, testkit.StartRedis(t).Addr())
	c := new(clock)
	r := open(t, "redis://"+p.Addr(), cache.RedisOptions{Now: c.now, Fallback: cache.NewMemory(0, c.now)})
	p.Redirect("")
	p.Disconnect()
	take := func() {
		_, err := r.Take(t.Context(), "k", cache.Limit{Max: 1, Window: time.Hour})
		testkit.Must(t, err)
	}
	testkit.Eventually(t, "the outage is noticed", func() bool { take(); return r.Down() })
	for range 5 {
		before := p.Accepted.Load()
		c.advance(redisPause)
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(take)
		}
		wg.Wait()
		if tried := p.Accepted.Load() - before; tried > 1 {
			t.Errorf("%d attempts to connect in a second", tried)
		}
	}
}

// redisPause is longer than the limiter waits between attempts during an outage.
const redisPause = 1100 * time.Millisecond

func TestRedisEndedRequest(t *testing.T) {
	r := open(t, testkit.StartRedis(t).URL(), cache.RedisOptions{OnOutage: func(error) { t.Error("an outage was reported") }})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Take(ctx, "k", cache.Limit{Max: 1, Window: time.Hour}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("%v", err)
	}
}

func TestOpenRedisErrors(t *testing.T) {
	for url, want := range map[string]fault.Kind{
		"redis://:hunter2@127.0.0.1:1": fault.Unavailable,
		"http://hunter2":               fault.Invalid,
	} {
		_, err := cache.OpenRedis(url, cache.RedisOptions{Now: time.Now})
		if !fault.Is(err, want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func BenchmarkRedis(b *testing.B) {
	cachetest.Benchmark(b, open(b, testkit.StartRedis(b).URL(), cache.RedisOptions{}))
}
