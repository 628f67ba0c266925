// Package cachetest is the test suite that every limiter must pass.
package cachetest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/cache"
)

// A Subject is a limiter under test with its clock.
type Subject struct {
	Limiter cache.Limiter
	Wait    func(time.Duration) // waits at least that long
	Real    bool                // the clock runs by itself

	began time.Time // the test, by the machine's clock
}

// rounding is how much shorter than exact a time of a limiter on a real clock may be.
const rounding = 10 * time.Millisecond

// Run tests a limiter. Each call of subject returns a new one, or one that has not been used with
// the keys of the test.
func Run(t *testing.T, subject func(t *testing.T) Subject) {
	for name, test := range map[string]func(*testing.T, Subject){
		"burst":        testBurst,
		"refill":       testRefill,
		"denied free":  testDeniedIsFree,
		"keys":         testKeys,
		"no limit":     testNoLimit,
		"shorter":      testShorterLimit,
		"odd division": testOddDivision,
		"race":         testRace,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := subject(t)
			s.began = time.Now()
			test(t, s)
		})
	}
}

func (s Subject) take(t *testing.T, key string, l cache.Limit) cache.Result {
	t.Helper()
	r, err := s.Limiter.Take(t.Context(), t.Name()+"/"+key, l)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (s Subject) near(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	least := want
	if s.Real { // the clock has run since the first request
		least -= time.Since(s.began) + rounding
	}
	if got > want || got < least {
		t.Errorf("%s = %s, want %s", what, got, want)
	}
}

func testBurst(t *testing.T, s Subject) {
	l := cache.Limit{Max: 5, Window: time.Hour}
	for i := range 5 {
		r := s.take(t, "a", l)
		if !r.Allowed || r.Limit != 5 || r.Remaining != 4-i || r.RetryAfter != 0 {
			t.Fatalf("request %d: %+v", i+1, r)
		}
		s.near(t, "Reset", r.Reset, time.Duration(i+1)*12*time.Minute)
	}
	r := s.take(t, "a", l)
	if r.Allowed || r.Limit != 5 || r.Remaining != 0 {
		t.Fatalf("request 6: %+v", r)
	}
	s.near(t, "Reset", r.Reset, time.Hour)
	s.near(t, "RetryAfter", r.RetryAfter, 12*time.Minute)
}

func testRefill(t *testing.T, s Subject) {
	l := cache.Limit{Max: 2, Window: time.Second}
	s.take(t, "a", l)
	s.take(t, "a", l)
	r := s.take(t, "a", l)
	for s.Real && r.Allowed { // on a busy machine the first has come back already
		r = s.take(t, "a", l)
	}
	if r.Allowed || r.RetryAfter <= 0 || r.RetryAfter > 500*time.Millisecond {
		t.Fatalf("after the burst: %+v", r)
	}
	s.Wait(r.RetryAfter)
	if r = s.take(t, "a", l); !r.Allowed {
		t.Fatalf("after RetryAfter: %+v", r)
	}
	s.Wait(r.Reset)
	if r = s.take(t, "a", l); !r.Allowed || r.Remaining != 1 {
		t.Fatalf("after Reset: %+v", r)
	}
}

// Requests that are denied do not count.
func testDeniedIsFree(t *testing.T, s Subject) {
	l := cache.Limit{Max: 1, Window: time.Minute}
	s.take(t, "a", l)
	for range 100 {
		if r := s.take(t, "a", l); r.Allowed || r.RetryAfter > time.Minute {
			t.Fatalf("%+v", r)
		}
	}
}

func testKeys(t *testing.T, s Subject) {
	l := cache.Limit{Max: 1, Window: time.Hour}
	long := strings.Repeat("x", 4000)
	for _, key := range []string{"", "a", "A", "a ", "a\x00", "ä", "{a}", "\xff", long + "1", long + "2"} {
		if r := s.take(t, key, l); !r.Allowed {
			t.Errorf("%.9q shares its count with another key", key)
		}
		if r := s.take(t, key, l); r.Allowed {
			t.Errorf("%.9q is not counted", key)
		}
	}
}

func testNoLimit(t *testing.T, s Subject) {
	for _, l := range []cache.Limit{{}, {Max: 0, Window: time.Hour}, {Max: 1}, {Max: -1, Window: time.Hour}} {
		for range 3 {
			if r := s.take(t, "a", l); !r.Allowed {
				t.Errorf("%+v: %+v", l, r)
			}
		}
	}
}

// When a window becomes shorter, requests counted with the longer one do not outlast it.
func testShorterLimit(t *testing.T, s Subject) {
	s.take(t, "a", cache.Limit{Max: 1, Window: time.Hour})
	if r := s.take(t, "a", cache.Limit{Max: 1, Window: time.Minute}); r.Allowed || r.RetryAfter > time.Minute {
		t.Errorf("%+v", r)
	}
}

func testOddDivision(t *testing.T, s Subject) {
	l := cache.Limit{Max: 7, Window: time.Hour + time.Microsecond}
	allowed := 0
	for range 20 {
		if s.take(t, "a", l).Allowed {
			allowed++
		}
	}
	if allowed != 7 {
		t.Errorf("%d of 7 allowed", allowed)
	}
}

func testRace(t *testing.T, s Subject) {
	const callers, each = 64, 10
	l := cache.Limit{Max: 100, Window: time.Hour}
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				r, err := s.Limiter.Take(context.Background(), t.Name(), l)
				if err != nil {
					t.Error(err)
				}
				if r.Allowed {
					allowed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if allowed.Load() != 100 {
		t.Errorf("%d of 100 allowed", allowed.Load())
	}
}

// Benchmark measures one hot key, and many, from many goroutines at once.
func Benchmark(b *testing.B, l cache.Limiter) {
	ctx, limit := context.Background(), cache.Limit{Max: 6000, Window: time.Minute}
	keys := make([]string, 10_000)
	for i := range keys {
		keys[i] = fmt.Sprintf("token:10.0.%d.%d", i/256, i%256)
	}
	for name, n := range map[string]int{"one key": 1, "10000 keys": len(keys)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(16) // as under load: a shared connection carries many requests at once
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if _, err := l.Take(ctx, keys[i%n], limit); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
