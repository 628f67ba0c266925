package bearertest

import (
	"bytes"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/bearer"
)

// RunCache tests a cache. Lives are tested with real time, about two seconds.
func RunCache(t *testing.T, c bearer.Cache) {
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
		t.Errorf("what was never set is %q", v)
	}
	every := make([]byte, 256) // each byte, also those that protocols of text stumble over
	for i := range every {
		every[i] = byte(i)
	}
	for name, v := range map[string][]byte{"short": []byte("x"), "every byte": every, "64 KiB": bytes.Repeat([]byte("y"), 64<<10)} {
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
	within(t, "the value of a millisecond is forgotten", func() bool { return get(t, "brief") == nil })
}

// RunOnce tests a memory of what is used up.
func RunOnce(t *testing.T, o bearer.Once) {
	add := func(name string, ttl time.Duration) bool {
		fresh, err := o.Add(t.Context(), "test:"+t.Name()+":"+name, ttl)
		if err != nil {
			t.Error(err)
		}
		return fresh
	}
	if !add("a", time.Minute) || add("a", time.Minute) || !add("b", time.Minute) {
		t.Error("a key is not fresh exactly once")
	}
	var fresh atomic.Int32
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if add("race", time.Minute) {
				fresh.Add(1)
			}
		})
	}
	wg.Wait()
	if n := fresh.Load(); n != 1 {
		t.Errorf("of 64 at once, %d were told that the key is fresh", n)
	}
	add("brief", time.Millisecond)
	within(t, "a key of a millisecond is fresh again", func() bool { return add("brief", time.Millisecond) })
}

func within(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 80 {
		if done() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("not within four seconds: %s", what)
}
