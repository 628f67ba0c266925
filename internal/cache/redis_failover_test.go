package cache_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/cache"
	"github.com/gatehouse-id/gatehouse/internal/cache/cachetest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A cluster passes the suite: each script and command needs the server of one key only.
func TestRedisCluster(t *testing.T) {
	t.Parallel()
	url := testkit.StartRedisCluster(t)
	cachetest.Run(t, func(t *testing.T) cachetest.Subject {
		return cachetest.Subject{
			Limiter: open(t, url, cache.RedisOptions{}),
			Wait:    time.Sleep,
			Real:    true,
		}
	})
	one := open(t, url, cache.RedisOptions{}).Replays(token.NewReplays())
	two := open(t, url, cache.RedisOptions{}).Replays(token.NewReplays())
	now := time.Now()
	for _, key := range []string{"a", "b", "c", "d", "e", "f"} { // of different servers
		for i, r := range []*cache.Replays{one, two} {
			first, err := r.Add(t.Context(), key, now.Add(time.Minute), now)
			testkit.Must(t, err)
			testkit.Equal(t, "the key is new", first, i == 0)
		}
	}
}

// The primary is killed: requests are answered all the time, meanwhile with this process's counter,
// and afterwards the new primary counts for all.
func TestRedisFailover(t *testing.T) {
	t.Parallel()
	s := testkit.StartSentinels(t)
	var lost, back atomic.Int32
	opt := cache.RedisOptions{
		Fallback:   cache.NewMemory(0, time.Now),
		OnOutage:   func(error) { lost.Add(1) },
		OnRecovery: func() { back.Add(1) },
	}
	one, two := open(t, s.URL(), opt), open(t, s.URL(), opt)
	l := cache.Limit{Max: 4, Window: time.Hour}
	take := func(r *cache.Redis, key string) bool {
		res, err := r.Take(t.Context(), key, l)
		testkit.Must(t, err)
		return res.Allowed
	}
	shared := func(key string) error {
		for i := range 6 {
			r := []*cache.Redis{one, two}[i%2]
			if allowed := take(r, key); allowed != (i < 4) {
				return errors.New("not shared")
			}
		}
		return nil
	}
	testkit.Must(t, shared("before"))
	s.Primary.Stop()
	for i := range 6 { // counted alone
		if allowed := take(one, "meanwhile"); allowed != (i < 4) {
			t.Errorf("request %d without a primary: allowed is %v", i+1, allowed)
		}
	}
	tries := 0
	testkit.Eventually(t, "the new primary counts", func() bool {
		tries++
		take(one, "ask")
		take(two, "ask")
		return back.Load() == 2 && shared("after"+string(rune(tries))) == nil
	})
	testkit.Equal(t, "outages", lost.Load(), 2)
	if take(one, "before") {
		t.Log("the replica did not have the counter yet")
	}
}

// The certificates of the Sentinels are verified.
func TestRedisUnknownAuthority(t *testing.T) {
	url, _ := testkit.StartTLSSentinel(t)
	_, err := cache.OpenRedis(url, cache.RedisOptions{Now: time.Now})
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(fmt.Sprint(errors.Unwrap(err)), "certificate") {
		t.Errorf("%v, because of %v", err, errors.Unwrap(err))
	}
}
