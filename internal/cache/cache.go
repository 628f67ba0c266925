// Package cache keeps short-lived state that may be lost: today the counts
// behind rate limits, in memory or in a Redis that several servers share.
package cache

import (
	"context"
	"time"
)

// A Limit is Max requests in a Window. All of them may come at once; after that
// one more is due every Window/Max. A Limit without a positive Max and Window is no limit.
type Limit struct {
	Max    int
	Window time.Duration
}

// A Result is the answer to one request.
type Result struct {
	Allowed    bool
	Limit      int           // Max, for X-RateLimit-Limit
	Remaining  int           // how many more would be allowed now
	Reset      time.Duration // when all of Limit will be there again
	RetryAfter time.Duration // when the next request will be allowed; 0 if this one was
}

// A Limiter counts requests. One key is counted under one Limit, so the key names
// what is limited as well as whom: "token:192.0.2.1".
//
// The error is not nil only when ctx ended before there was an answer.
type Limiter interface {
	Take(ctx context.Context, key string, l Limit) (Result, error)
}

// maxKey is the longest key in bytes that is kept as it is. Parts of keys come from
// strangers; a longer one is replaced by its hash, so that the bound on the number
// of keys is a bound on memory too.
const maxKey = 128

// pace is a Limit in whole units of a clock (the generic cell rate algorithm,
// ITU-T I.371). What is kept for a key is the time at which it will have paid for
// all it took. A request costs one step, and the key may run ahead by room.
//
// room is step × Max and not the window: the division drops a remainder, and Max
// must be exact.
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

// take says whether a key that is ahead by so much may take one more, and how far ahead it is then.
func (p pace) take(ahead int64) (int64, bool) {
	ahead = min(max(ahead, 0), p.room) // a key that was counted under a longer limit does not wait for that
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
