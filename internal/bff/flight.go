package bff

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// flightLife bounds how long a session may take to be read and refreshed.
const flightLife = 10 * time.Second

// flights lets one goroutine work for all that want the same session.
type flights struct {
	mu  sync.Mutex
	run map[secret.Hash]*flight
}

// flight is work that is under way.
type flight struct {
	done chan struct{}
	sess *liveSession
	err  error
}

// do gives what work for a key gives. The work does not end with the request that happened to begin it, for others wait for it, too.
func (f *flights) do(ctx context.Context, key secret.Hash, work func(context.Context) (*liveSession, error)) (*liveSession, error) {
	f.mu.Lock()
	mine, ok := f.run[key]
	if !ok {
		if f.run == nil {
			f.run = make(map[secret.Hash]*flight)
		}
		mine = &flight{done: make(chan struct{})}
		f.run[key] = mine
		go f.fly(ctx, key, mine, work)
	}
	f.mu.Unlock()
	select {
	case <-mine.done:
		return mine.sess, mine.err
	case <-ctx.Done():
		return nil, fault.Wrap(fault.Unavailable, ctx.Err(), "the session could not be read in time")
	}
}

func (f *flights) fly(ctx context.Context, key secret.Hash, mine *flight, work func(context.Context) (*liveSession, error)) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flightLife)
	defer cancel()
	defer func() {
		if p := recover(); p != nil { // it would take the whole server along
			mine.err = fault.Wrap(fault.Internal, fmt.Errorf("panic while a session was read: %v\n%s", p, debug.Stack()), "the session could not be read")
		}
		f.mu.Lock()
		delete(f.run, key)
		f.mu.Unlock()
		close(mine.done)
	}()
	mine.sess, mine.err = work(ctx)
}
