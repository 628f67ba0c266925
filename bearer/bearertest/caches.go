package bearertest

import (
	"bytes"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/bearer"
)

// hangAfter bounds how long a test waits for an expiry; it is no part of any assertion.
const hangAfter = 2 * time.Minute

// RunCache tests an implementation of bearer.Cache. It waits for a real expiry, up to two seconds.
func RunCache(t *testing.T, c bearer.Cache) {
	t.Helper()
	key := func(name string) string { return "test:" + t.Name() + ":" + name }
	get := func(t *testing.T, name string) []byte {
		t.Helper()
		v, err := c.Get(t.Context(), key(name))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	set := func(t *testing.T, name string, v []byte, ttl time.Duration) {
		t.Helper()
		if err := c.Set(t.Context(), key(name), v, ttl); err != nil {
			t.Fatal(err)
		}
	}
	if v := get(t, "never-set"); v != nil {
		t.Errorf("a key that was never set has the value %q", v)
	}
	every := make([]byte, 256) // also the bytes that end a line or a string in text protocols
	for i := range every {
		every[i] = byte(i)
	}
	for name, v := range map[string][]byte{
		"short":      []byte("x"),
		"every byte": every,
		"64 KiB":     bytes.Repeat([]byte("y"), 64<<10),
	} {
		set(t, name[:2], v, time.Minute)
		if got := get(t, name[:2]); !bytes.Equal(got, v) {
			t.Errorf("%s: got %d bytes, want %d", name, len(got), len(v))
		}
	}
	set(t, "again", []byte("old"), time.Minute)
	set(t, "again", []byte("new"), time.Minute)
	if got := get(t, "again"); string(got) != "new" {
		t.Errorf("after a second Set: %q", got)
	}
	set(t, "brief", []byte("x"), time.Millisecond)
	within(t, "a value with a TTL of a millisecond expires", func() bool { return get(t, "brief") == nil })
}

// RunReplayCache tests an implementation of bearer.ReplayCache. It waits for a real expiry, up to
// two seconds.
func RunReplayCache(t *testing.T, o bearer.ReplayCache) {
	add := func(name string, ttl time.Duration) bool {
		absent, err := o.Add(t.Context(), "test:"+t.Name()+":"+name, ttl)
		if err != nil {
			t.Error(err)
		}
		return absent
	}
	if !add("a", time.Minute) || add("a", time.Minute) || !add("b", time.Minute) {
		t.Error("Add does not return true exactly once for a key")
	}
	var absent atomic.Int32
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if add("race", time.Minute) {
				absent.Add(1)
			}
		})
	}
	wg.Wait()
	if n := absent.Load(); n != 1 {
		t.Errorf("of 64 concurrent callers, %d got true; want 1", n)
	}
	add("brief", time.Millisecond)
	within(t, "a key with a TTL of a millisecond expires", func() bool { return add("brief", time.Millisecond) })
}

func within(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(hangAfter); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("did not happen within %v: %s", hangAfter, what)
		}
	}
}
