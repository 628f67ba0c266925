package upstream

import (
	"net/http"
	"sync/atomic"
	"time"
)

// The watch checks a call periodically, not at every byte: a small request costs one timer. It
// ends a call whose upstream does not begin to answer, or whose bodies stop moving, and extends
// the server's deadlines for the others. So a stream may last for hours under a server that
// limits ordinary requests to a minute. It also calls Recheck.
const (
	watchEvery   = 5 * time.Second // well below the deadlines of the server around it
	recheckEvery = 500 * time.Millisecond
	uploadIdle   = 30 * time.Second
	graceUnread  = 2 * time.Second
)

// activity is when a byte last moved, in nanoseconds since the call began.
type activity struct {
	start time.Time
	last  atomic.Int64
}

func (m *activity) touch()               { m.last.Store(int64(time.Since(m.start))) }
func (m *activity) since() time.Duration { return time.Since(m.start) - time.Duration(m.last.Load()) }

func (c *call) startWatch() {
	c.activity.start = time.Now()
	c.mu.Lock() // so that a check that comes at once finds the timer
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(min(c.pool.Timeout, c.pool.Idle, c.watchInterval()), c.watch)
}

// watchInterval returns the longest time between two checks.
func (c *call) watchInterval() time.Duration {
	if c.out.Recheck != nil {
		return recheckEvery
	}
	return watchEvery
}

// stopWatch ends the watch. When it returns, no check uses the call any more, and the deadlines
// are the server's again.
func (c *call) stopWatch() {
	c.timer.Stop()
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	if c.in.ProtoMajor == 1 && c.body.unread() {
		// The upstream did not read the whole upload: a read that still waits for the caller must
		// not hold its connection.
		_ = http.NewResponseController(c.w).SetReadDeadline(time.Now().Add(graceUnread))
	}
}

// watch checks the call once.
func (c *call) watch() {
	no := c.recheck()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended:
		return
	case no != nil:
		c.cancel(endedError{no})
		c.unblock()
		return
	case c.events != nil && c.out.Leaving():
		c.events.left.Store(true)
		c.cancel(endedError{errLeaving})
		return
	case c.tunnel != nil:
		if c.out.Recheck != nil {
			c.timer.Reset(recheckEvery)
		}
		return
	}
	limit, reason := c.pool.Idle, errIdle
	if !c.begun {
		limit, reason = c.pool.Timeout, errNoAnswer
		if c.body.reading.Load() { // the caller must send, not the upstream
			limit, reason = max(c.bodyTimeout(), limit), errIdle
		}
	}
	rest := limit - c.activity.since()
	if rest <= 0 {
		c.cancel(reason)
		c.unblock()
		return
	}
	if time.Since(c.moved) >= watchEvery/2 {
		c.extend()
	}
	c.timer.Reset(min(rest, c.watchInterval()))
}

// recheck returns why the call may not go on, or nil. It holds no lock, because Recheck may read
// storage.
func (c *call) recheck() error {
	c.mu.Lock()
	ended := c.ended
	c.mu.Unlock()
	if ended || c.out.Recheck == nil {
		return nil
	}
	return c.out.Recheck()
}

// bodyTimeout returns how long a caller may pause within its body. A body with a length is an
// upload that should not pause; one without may be a stream.
func (c *call) bodyTimeout() time.Duration {
	if c.in.ContentLength > 0 && !c.begun {
		return min(uploadIdle, c.pool.Idle)
	}
	return c.pool.Idle
}

// unblock ends a read or a write that waits for the caller.
func (c *call) unblock() {
	rc, now := http.NewResponseController(c.w), time.Now()
	if c.tunnel != nil {
		_ = c.tunnel.SetDeadline(now)
		return
	}
	if c.begun {
		_ = rc.SetWriteDeadline(now)
	}
	if c.body.reading.Load() {
		_ = rc.SetReadDeadline(now)
	}
}

// interruptRead ends a read that waits for the caller when the upstream is gone, and prevents the
// next one, so that the failure is known at once.
func (c *call) interruptRead() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || !c.inRoundTrip {
		return
	}
	lost := c.ctx.Err() == nil // otherwise this server closed it
	if lost {
		c.body.closed.Store(true)
	}
	c.body.gone.Store(true) // for a read that has not begun
	if c.body.reading.Load() {
		if lost {
			c.body.interrupted.Store(true)
		}
		_ = http.NewResponseController(c.w).SetReadDeadline(time.Now())
	}
}

// extend moves the server's deadlines beyond the next check, so that the watch ends a call and
// not the server. Writers without deadlines, as in tests, are left unchanged.
func (c *call) extend() {
	c.moved = time.Now()
	rc, from := http.NewResponseController(c.w), c.moved.Add(watchEvery)
	var read time.Time // none: only the server reads, to notice that the caller is gone
	if c.body.unread() {
		read = from.Add(c.bodyTimeout())
	}
	_ = rc.SetReadDeadline(read)
	_ = rc.SetWriteDeadline(from.Add(c.pool.Idle))
}
