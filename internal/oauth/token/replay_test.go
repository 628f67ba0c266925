package token

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// RFC 9449 §11.1: a proof is recorded until it has expired.
func TestReplayMemory(t *testing.T) {
	m, now := newReplayMemory(), time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
	first := func(key string, at time.Duration) bool {
		fresh, err := m.Add(context.Background(), key, now.Add(at+2*time.Minute), now.Add(at))
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
	if n := len(m.current) + len(m.previous); n > 10 {
		t.Errorf("%d entries are kept, but 2 minutes' worth were due", n)
	}
}

// Thousands of proofs do not displace those of others: a full memory rejects proofs until entries
// expire.
func TestReplayMemoryIsBounded(t *testing.T) {
	const most, life = 500, 2 * time.Minute
	m, now := newReplayMemory(), time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
	m.limit = most
	victim := func(at time.Duration) bool {
		fresh, _ := m.Add(context.Background(), "victim", now.Add(life), now.Add(at))
		return fresh
	}
	if !victim(0) {
		t.Fatal("the first use is refused")
	}
	refused := 0
	for i := range 5 * most {
		if _, err := m.Add(context.Background(), strconv.Itoa(i), now.Add(life), now.Add(time.Second)); err != nil {
			if !fault.Is(err, fault.Unavailable) {
				t.Fatal(err)
			}
			refused++
		}
	}
	if n := len(m.current) + len(m.previous); n > 2*most || refused == 0 {
		t.Errorf("%d entries, %d refused", n, refused)
	}
	if victim(time.Minute) {
		t.Error("a proof works again while others flood the memory")
	}
	if fresh, err := m.Add(context.Background(), "later", now.Add(2*life), now.Add(life+time.Second)); err != nil ||
		!fresh {
		t.Errorf("there is no room after everything has ended: %v %v", fresh, err)
	}
}

func TestReplayMemoryRace(t *testing.T) {
	m, now := newReplayMemory(), time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
	var wg sync.WaitGroup
	var won atomic.Int32
	for range 64 {
		wg.Go(func() {
			if fresh, _ := m.Add(context.Background(), "one", now.Add(time.Minute), now); fresh {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 64 were first", won.Load())
	}
}
