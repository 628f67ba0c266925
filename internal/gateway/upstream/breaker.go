package upstream

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	tripAfter  = 5 // failures in a row, each of another caller
	firstPause = time.Second
	// short: what looks like a failing target may be one caller whose requests fail
	maxPause = 15 * time.Second
)

// breaker skips a target after failures in a row, for a pause that doubles each time. After the
// pause one request tries the target: if it answers, the breaker closes; if it fails, the next
// pause starts. Only a complete answer resets the failures, since a target whose answers always
// break off looks healthy at the beginning of each. Each caller counts once, so that one caller
// whose requests make a target fail does not take it away from the others. The zero value is
// closed.
type breaker struct {
	nonzero atomic.Bool // anything below is not zero; otherwise no lock is taken
	mu      sync.Mutex
	failed  int               // in a row
	callers [tripAfter]uint64 // whose requests failed; 0: a failure without a caller
	open    bool
	trying  bool          // the one request is being served
	pause   time.Duration // the last one
	until   time.Time     // its end
}

// allow reports whether a request may go now. The caller must then call one of success, failure and
// unknown, and may call begun before.
func (b *breaker) allow(now func() time.Time) bool {
	if !b.nonzero.Load() {
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

// begun records the beginning of an answer and reports whether that closed the breaker.
func (b *breaker) begun() (closed bool) {
	if !b.nonzero.Load() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if closed = b.open; closed {
		b.open, b.trying, b.failed = false, false, tripAfter-1
	}
	return closed
}

// success records a complete answer and reports whether that closed the breaker.
func (b *breaker) success() (closed bool) {
	if !b.nonzero.Load() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	closed = b.open
	b.failed, b.open, b.trying, b.pause = 0, false, false, 0
	b.nonzero.Store(false)
	return closed
}

// failure records a failure of a caller's request and reports whether that opened the breaker. The
// caller is 0 if the failure has nothing to do with the request, as when nothing listens.
func (b *breaker) failure(caller uint64, now func() time.Time) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nonzero.Store(true)
	if caller != 0 && slices.Contains(b.callers[:b.failed], caller) {
		b.trying = false // it says nothing new: the next request may try
		return false
	}
	if b.failed < tripAfter {
		b.callers[b.failed] = caller
		b.failed++
	}
	opened = !b.open && b.failed >= tripAfter
	if opened || b.trying { // else not enough yet, or a request from before the pause
		b.open, b.trying = true, false
		b.pause = min(max(2*b.pause, firstPause), maxPause)
		b.until = now().Add(b.pause)
	}
	return opened
}

// isOpen reports whether the target is skipped.
func (b *breaker) isOpen() bool {
	if !b.nonzero.Load() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

// unknown ends a request that says nothing about the target, as when its caller went away.
func (b *breaker) unknown() {
	if b.nonzero.Load() {
		b.mu.Lock()
		b.trying = false
		b.mu.Unlock()
	}
}

// wait returns how long the breaker stays open.
func (b *breaker) wait(now func() time.Time) time.Duration {
	if !b.nonzero.Load() {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return 0
	}
	return max(b.until.Sub(now()), 0)
}
