package cache_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/cache"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

var _ token.Replays = (*cache.Replays)(nil)

// proofs returns the replay cache of a server.
func proofs(t testing.TB, url string, opt cache.RedisOptions) *cache.Replays {
	t.Helper()
	return open(t, url, opt).Replays(token.NewReplays())
}

func first(t *testing.T, r *cache.Replays, key string, now time.Time) bool {
	t.Helper()
	is, err := r.Add(t.Context(), key, now.Add(time.Minute), now)
	if err != nil {
		t.Fatal(err)
	}
	return is
}

// RFC 9449 §11.1, over several servers.
func TestProofWorksOnceAtAllServers(t *testing.T) {
	url := testkit.StartRedis(t).URL()
	a, b := proofs(t, url, cache.RedisOptions{}), proofs(t, url, cache.RedisOptions{})
	now := time.Now()
	for i, row := range []struct {
		at   *cache.Replays
		key  string
		want bool
	}{
		{a, "k", true},
		{a, "k", false},
		{b, "k", false},
		{b, "other", true},
		{a, "other", false},
		{a, "", true},
		{b, "", false},
		{a, "k\x00", true},
	} {
		if got := first(t, row.at, row.key, now); got != row.want {
			t.Errorf("%d. %q: %v", i+1, row.key, got)
		}
	}
}

// A server whose clock is behind accepts a proof longer than the others.
func TestProofOutlivesDifferenceOfClocks(t *testing.T) {
	url := testkit.StartRedis(t).URL()
	a, b := proofs(t, url, cache.RedisOptions{}), proofs(t, url, cache.RedisOptions{})
	now := time.Now()
	if is, err := a.Add(t.Context(), "k", now, now); !is || err != nil {
		t.Fatal(is, err)
	}
	time.Sleep(50 * time.Millisecond)
	if first(t, b, "k", now.Add(-30*time.Second)) {
		t.Error("a proof that has just expired works at the other server")
	}
}

func TestRaceOfAProofOverTwoServers(t *testing.T) {
	url := testkit.StartRedis(t).URL()
	servers := []*cache.Replays{proofs(t, url, cache.RedisOptions{}), proofs(t, url, cache.RedisOptions{})}
	for round := range 10 {
		var added atomic.Int32
		var wg sync.WaitGroup
		begin := make(chan bool)
		for i := range 64 {
			wg.Go(func() {
				<-begin
				now := time.Now()
				is, err := servers[i%2].Add(context.Background(), fmt.Sprint(round), now.Add(time.Minute), now)
				if err != nil {
					t.Error(err)
				}
				if is {
					added.Add(1)
				}
			})
		}
		close(begin)
		if wg.Wait(); added.Load() != 1 {
			t.Errorf("round %d: %d of 64 added it", round, added.Load())
		}
	}
}

// During an outage of Redis each server stores proofs alone, and reports the outage once; proofs
// that it stored before still count as used.
func TestProofsWithoutRedis(t *testing.T) {
	server := testkit.StartRedis(t)
	c := new(clock)
	var outages, recoveries atomic.Int32
	opt := cache.RedisOptions{
		Now:        c.now,
		OnOutage:   func(error) { outages.Add(1) },
		OnRecovery: func() { recoveries.Add(1) },
	}
	r := proofs(t, server.URL(), opt)
	if !first(t, r, "before", c.now()) {
		t.Fatal("a new proof counts as used")
	}
	server.Stop()
	for _, row := range []struct {
		key  string
		want bool
	}{{"before", false}, {"during", true}, {"during", false}, {"more", true}, {"more", false}} {
		if got := first(t, r, row.key, c.now()); got != row.want {
			t.Errorf("without Redis, %s: %v", row.key, got)
		}
	}
	if outages.Load() != 1 {
		t.Errorf("%d outages reported", outages.Load())
	}
	server.Start() // empty
	tries := 0
	testkit.Eventually(t, "the recovery is reported", func() bool {
		c.advance(redisPause)
		tries++
		first(t, r, fmt.Sprint(tries), c.now())
		return recoveries.Load() > 0
	})
	if recoveries.Load() != 1 {
		t.Fatalf("%d recoveries reported", recoveries.Load())
	}
	if first(t, r, "during", c.now()) {
		t.Error("a proof of the outage works again")
	}
	other := proofs(t, server.URL(), cache.RedisOptions{})
	for i := range 10 { // another connection may still be broken
		c.advance(redisPause)
		key := fmt.Sprint("after ", i)
		if first(t, r, key, c.now()) && !first(t, other, key, c.now()) {
			return
		}
	}
	t.Error("after the outage, proofs are not shared")
}

// A Redis that accepts commands and does not answer delays requests only briefly.
func TestProofsWithSilentRedis(t *testing.T) {
	server := testkit.StartRedis(t)
	r := proofs(t, server.URL(), cache.RedisOptions{})
	server.Freeze()
	began := time.Now()
	if !first(t, r, "k", began) || first(t, r, "k", began) {
		t.Error("the cache of this process is not used instead")
	}
}

func TestProofOfEndedRequest(t *testing.T) {
	r := proofs(t, testkit.StartRedis(t).URL(), cache.RedisOptions{OnOutage: func(error) { t.Error("an outage was reported") }})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	now := time.Now()
	if is, err := r.Add(ctx, "k", now.Add(time.Minute), now); is || !fault.Is(err, fault.Unavailable) {
		t.Errorf("%v %v", is, err)
	}
}

// The answer to SET is lost: the proof was stored and counts as new, since nothing stores it again.
func TestProofWithLostAnswer(t *testing.T) {
	server := testkit.StartRedis(t)
	p := testkit.StartProxy(t, server.Addr())
	c := new(clock)
	var outages atomic.Int32
	r := proofs(t, "redis://"+p.Addr(), cache.RedisOptions{Now: c.now, OnOutage: func(error) { outages.Add(1) }})
	other := proofs(t, server.URL(), cache.RedisOptions{})
	p.LoseAnswer()
	if !first(t, r, "k", c.now()) {
		t.Error("a proof that was used once counts as replayed")
	}
	if outages.Load() != 1 {
		t.Errorf("%d outages reported", outages.Load())
	}
	if first(t, other, "k", c.now()) {
		t.Error("the proof works again at another server")
	}
}

// Redis hangs and goes on, or its packets are dropped and nobody says so: an outage, after which
// proofs are shared again.
func TestProofsAfterSilence(t *testing.T) {
	server := testkit.StartRedis(t)
	p := testkit.StartProxy(t, server.Addr())
	c := new(clock)
	r := proofs(t, "redis://"+p.Addr(), cache.RedisOptions{Now: c.now})
	other := proofs(t, server.URL(), cache.RedisOptions{Now: c.now})
	n := 0
	shared := func() bool {
		c.advance(redisPause)
		n++
		key := fmt.Sprint("after ", n)
		return first(t, r, key, c.now()) && !first(t, other, key, c.now())
	}
	for name, outage := range map[string]struct{ begin, end func() }{
		"hangs":   {server.Freeze, server.Thaw},
		"dropped": {p.Silence, func() {}},
		"refused": {func() { p.Redirect(""); p.Disconnect() }, func() { p.Redirect(server.Addr()) }},
	} {
		testkit.Eventually(t, name+": proofs are shared before", shared)
		outage.begin()
		for i := range 3 {
			if key := fmt.Sprint(name, i); !first(t, r, key, c.now()) || first(t, r, key, c.now()) {
				t.Errorf("%s: the cache of this process is not used instead", name)
			}
			c.advance(redisPause)
		}
		outage.end()
		testkit.Eventually(t, name+": proofs are shared again", shared)
	}
}
