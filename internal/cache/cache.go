// Package cache stores short-lived state that may be lost: the counters of rate limits and used
// proofs, in memory or in a Redis that several servers share.
package cache

import (
	"context"
	"time"
)

// A Limit is Max requests in a Window. All of them may come at once; after that one more is
// allowed every Window/Max. A Limit without a positive Max and Window allows all requests.
type Limit struct {
	Max    int
	Window time.Duration
}

// A Result says whether one request is allowed.
type Result struct {
	Allowed    bool
	Limit      int           // Max, for X-RateLimit-Limit
	Remaining  int           // how many more are allowed now
	Reset      time.Duration // until all of Limit is available again
	RetryAfter time.Duration // until the next request is allowed; 0 if this one was
}

// A Limiter counts requests. A key is always counted with the same Limit, so it names both what
// is limited and the client: "token:192.0.2.1".
//
// The error is not nil only when ctx ended before there was a result.
type Limiter interface {
	Take(ctx context.Context, key string, l Limit) (Result, error)
}

// maxKey is the length in bytes up to which a key is stored as it is. A longer one is replaced by
// its hash: parts of keys come with requests, and the bound on the number of keys must bound
// memory, too.
const maxKey = 128

// pace is a Limit in whole units of a clock (the generic cell rate algorithm, ITU-T I.371). For a
// key the theoretical arrival time is stored. A request adds one step to it, and it may be ahead
// of the clock by room.
//
// room is step × Max and not the window: the division drops a remainder, and Max must be exact.
type pace struct {
	step, room int64
	unit       time.Duration
	max        int
}

func newPace(l Limit, unit time.Duration) (pace, bool) {
	if l.Max <= 0 || l.Window <= 0 {
		return pace{}, false
	}
	step := max(int64(l.Window/unit)/int64(l.Max), 1)
	return pace{step: step, room: step * int64(l.Max), unit: unit, max: l.Max}, true
}

// take reports whether a key that is ahead of the clock by so much may make one more request, and
// returns how far it is ahead then.
func (p pace) take(ahead int64) (int64, bool) {
	ahead = min(max(ahead, 0), p.room) // the limit may have been longer before
	if ahead+p.step > p.room {
		return ahead, false
	}
	return ahead + p.step, true
}

func (p pace) result(ahead int64, allowed bool) Result {
	r := Result{
		Allowed:   allowed,
		Limit:     p.max,
		Remaining: int((p.room - ahead) / p.step),
		Reset:     time.Duration(ahead) * p.unit,
	}
	if !allowed {
		r.RetryAfter = time.Duration(ahead+p.step-p.room) * p.unit
	}
	return r
}
