package upstream

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	tripAfter  = 5 // failures in a row
	firstPause = time.Second
	maxPause   = 15 * time.Second // short: what looks like a failing target may be one caller whose requests fail
)

// breaker leaves a target out after failures in a row, for a pause that doubles each time. After the pause one request tries: when it is
// answered the breaker closes, when it fails the next pause starts. Only an answer that came in full clears the past: a target whose
// answers always break off would look well at the beginning of each. The zero value is closed.
type breaker struct {
	uneasy atomic.Bool // anything below is not zero; while it is not set, nobody takes the lock
	mu     sync.Mutex
	failed int // in a row
	open   bool
	trying bool          // the one request is under way
	pause  time.Duration // the last one
	until  time.Time     // its end
}

// allow reports whether a request may go now. Who was allowed must call one of success, failure and unknown, and may call begun before.
func (b *breaker) allow(now func() time.Time) bool {
	if !b.uneasy.Load() {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return true
	}
	if b.trying || now().Before(b.until) {
		return false
	}
	b.trying = true
	return true
}

// begun notes the beginning of an answer and reports whether it closed the breaker.
func (b *breaker) begun() (closed bool) {
	if !b.uneasy.Load() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if closed = b.open; closed {
		b.open, b.trying, b.failed = false, false, tripAfter-1
	}
	return closed
}

// success notes an answer in full and reports whether it closed the breaker.
func (b *breaker) success() (closed bool) {
	if !b.uneasy.Load() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	closed = b.open
	b.failed, b.open, b.trying, b.pause = 0, false, false, 0
	b.uneasy.Store(false)
	return closed
}

// failure reports whether it opened the breaker, which had been closed.
func (b *breaker) failure(now func() time.Time) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.uneasy.Store(true)
	b.failed++
	opened = !b.open && b.failed >= tripAfter
	if opened || b.trying { // else not enough yet, or a request from before the pause
		b.open, b.trying = true, false
		b.pause = min(max(2*b.pause, firstPause), maxPause)
		b.until = now().Add(b.pause)
	}
	return opened
}

// unknown ends a request that says nothing of the target: its caller went away.
func (b *breaker) unknown() {
	if b.uneasy.Load() {
		b.mu.Lock()
		b.trying = false
		b.mu.Unlock()
	}
}

// wait is how long the breaker stays open.
func (b *breaker) wait(now func() time.Time) time.Duration {
	if !b.uneasy.Load() {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return 0
	}
	return max(b.until.Sub(now()), 0)
}
