package oauth

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// RFC 9449 §11.1: a proof is remembered until it could not be used anyway.
func TestReplayMemory(t *testing.T) {
	m, now := newReplayMemory(), time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
	first := func(key string, at time.Duration) bool {
		fresh, err := m.First(context.Background(), key, now.Add(at+2*time.Minute), now.Add(at))
		if err != nil {
			t.Fatal(err)
		}
		return fresh
	}
	if !first("a", 0) {
		t.Fatal("the first use is refused")
	}
	for at := time.Duration(0); at < 2*time.Minute; at += time.Second {
		if first("a", at) {
			t.Fatalf("used again after %s", at)
		}
		first("other "+at.String(), at)
	}
	if !first("a", 2*time.Minute) {
		t.Error("remembered for longer than it had to be")
	}
	for at := 3 * time.Minute; at < time.Hour; at += time.Minute {
		first("later "+at.String(), at)
	}
	if n := len(m.young) + len(m.elder); n > 10 {
		t.Errorf("%d entries are kept, but 2 minutes' worth were due", n)
	}
}

func TestReplayMemoryIsBounded(t *testing.T) {
	m, now := newReplayMemory(), time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
	for i := range 3*replaysAtOnce + 5 {
		if fresh, _ := m.First(context.Background(), strconv.Itoa(i), now.Add(2*time.Minute), now); !fresh {
			t.Fatalf("%d is refused", i)
		}
	}
	if n := len(m.young) + len(m.elder); n > 2*replaysAtOnce {
		t.Errorf("%d entries", n)
	}
	if fresh, _ := m.First(context.Background(), strconv.Itoa(3*replaysAtOnce), now.Add(2*time.Minute), now); fresh {
		t.Error("a recent one is forgotten")
	}
}

func TestReplayMemoryRace(t *testing.T) {
	m, now := newReplayMemory(), time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
	var wg sync.WaitGroup
	var won atomic.Int32
	for range 64 {
		wg.Go(func() {
			if fresh, _ := m.First(context.Background(), "one", now.Add(time.Minute), now); fresh {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 64 were first", won.Load())
	}
}
