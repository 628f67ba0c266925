package upstream

import (
	"net/http"
	"sync/atomic"
	"time"
)

// A call's watch looks at it every so often, not at every byte: on the way of a small request that costs one timer. It ends a call whose
// upstream does not begin to answer, or whose bodies rest, and moves the server's deadlines along for one that goes on. So a stream may
// last for hours under a server whose own limits for a request are a minute. And it asks whether the call may still go on.
const (
	watchEvery  = 5 * time.Second // well below the deadlines of a server that we stand in
	stillEvery  = 500 * time.Millisecond
	bodyPatient = 30 * time.Second
	graceUnread = 2 * time.Second
)

// motion is when something last moved, in nanoseconds since the call began.
type motion struct {
	start time.Time
	last  atomic.Int64
}

func (m *motion) touch()               { m.last.Store(int64(time.Since(m.start))) }
func (m *motion) since() time.Duration { return time.Since(m.start) - time.Duration(m.last.Load()) }

func (c *call) startWatch() {
	c.motion.start = time.Now()
	c.mu.Lock() // a look that comes at once shall find the timer
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(min(c.pool.Timeout, c.pool.Idle, c.lookEvery()), c.look)
}

// lookEvery is the longest time between two looks.
func (c *call) lookEvery() time.Duration {
	if c.out.Still != nil {
		return stillEvery
	}
	return watchEvery
}

// stopWatch returns when no look will touch the call any more: after it, the deadlines are the server's again.
func (c *call) stopWatch() {
	c.timer.Stop()
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	if c.in.ProtoMajor == 1 && c.sent.unread() {
		// An upload that the upstream did not want to the end: a read that still waits for the caller must not hold its connection.
		_ = http.NewResponseController(c.w).SetReadDeadline(time.Now().Add(graceUnread))
	}
}

// look is the watch's one glance.
func (c *call) look() {
	no := c.may()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended:
		return
	case no != nil:
		c.cancel(endedError{no})
		c.unblock()
		return
	case c.tunnel != nil:
		if c.out.Still != nil {
			c.timer.Reset(stillEvery)
		}
		return
	}
	limit, reason := c.pool.Idle, errIdle
	if !c.begun {
		limit, reason = c.pool.Timeout, errNoAnswer
		if c.sent.reading.Load() { // the caller is waited for, not the upstream
			limit, reason = max(c.patience(), limit), errIdle
		}
	}
	rest := limit - c.motion.since()
	if rest <= 0 {
		c.cancel(reason)
		c.unblock()
		return
	}
	if time.Since(c.moved) >= watchEvery/2 {
		c.extend()
	}
	c.timer.Reset(min(rest, c.lookEvery()))
}

// may asks whether the call may go on, without the lock: the answer may have to be looked for.
func (c *call) may() error {
	c.mu.Lock()
	ended := c.ended
	c.mu.Unlock()
	if ended || c.out.Still == nil {
		return nil
	}
	return c.out.Still()
}

// patience is how long a caller may pause within its body. What has a length is an upload and flows; what has none may be a stream.
func (c *call) patience() time.Duration {
	if c.in.ContentLength > 0 && !c.begun {
		return min(bodyPatient, c.pool.Idle)
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
	if c.sent.reading.Load() {
		_ = rc.SetReadDeadline(now)
	}
}

// hurry ends a read that waits for the caller when the upstream that it is for has gone, so that the failure is known at once.
func (c *call) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended && c.trying && c.sent.reading.Load() {
		if c.ctx.Err() == nil { // else it is we who closed it
			c.sent.closed.Store(true)
			c.sent.hurried.Store(true)
		}
		_ = http.NewResponseController(c.w).SetReadDeadline(time.Now())
	}
}

// extend moves the server's deadlines beyond the next look, so that it is the watch that ends a call and never a race between both. A
// writer without deadlines, as in a test, is left as it is.
func (c *call) extend() {
	c.moved = time.Now()
	rc, from := http.NewResponseController(c.w), c.moved.Add(watchEvery)
	var read time.Time // none: nobody reads any more but the server, to learn that the caller has gone
	if c.sent.unread() {
		read = from.Add(c.patience())
	}
	_ = rc.SetReadDeadline(read)
	_ = rc.SetWriteDeadline(from.Add(c.pool.Idle))
}
