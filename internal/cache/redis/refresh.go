package redis

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	refreshTimeout = time.Second            // of a round of questions about where the data is
	othersTimeout  = 300 * time.Millisecond // for the views of others, when there is one
)

// A refresher asks where the data is, in one round at a time.
type refresher struct {
	ask func(ctx context.Context) error

	ctx    context.Context
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu     sync.Mutex
	closed bool
	round  *round // in progress, or nil
	epoch  int64  // of the view in use
}

type round struct {
	done chan struct{}
	err  error
}

func (r *refresher) start(ask func(context.Context) error) {
	r.ask = ask
	r.ctx, r.cancel = context.WithCancel(context.Background())
}

// every starts a round at intervals.
func (r *refresher) every(interval time.Duration) {
	r.group.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_ = r.wait(r.ctx) // the next one tries again
			case <-r.ctx.Done():
				return
			}
		}
	})
}

// begin starts a round, or returns the one in progress. It returns nil after close.
func (r *refresher) begin() *round {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.round != nil {
		return r.round
	}
	now := &round{done: make(chan struct{})}
	r.round = now
	r.group.Go(func() {
		ctx, cancel := context.WithTimeout(r.ctx, refreshTimeout)
		defer cancel()
		now.err = r.ask(ctx)
		r.mu.Lock()
		r.round = nil
		r.mu.Unlock()
		close(now.done)
	})
	return now
}

// wait returns the result of a round.
func (r *refresher) wait(ctx context.Context) error {
	now := r.begin()
	if now == nil {
		return errClosed
	}
	select {
	case <-now.done:
		return now.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// accept reports whether a view replaces the one in use. An older one does so only if most servers
// have it.
func (r *refresher) accept(v view) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v.epoch < r.epoch && !v.sure {
		return false
	}
	r.epoch = v.epoch
	return true
}

// close ends the round in progress, and returns when it has ended.
func (r *refresher) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.group.Wait()
}

// A view is what a server knows of where the data is. Views with a higher epoch are newer.
type view struct {
	epoch int64
	sure  bool     // more than half of the servers have answered
	addr  string   // of the primary
	peers []string // further servers that can be asked
	slots []slots  // of a cluster
}

// newest asks all servers at once and returns the newest view. It waits for more than half of the
// servers, so that one that is cut off from the others does not decide, and not much longer than
// for the first, so that those that hang delay nothing.
func newest(ctx context.Context, nodes []*node, ask question) (view, error) {
	type answer struct {
		view
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	answers := make(chan answer, len(nodes))
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	for _, n := range nodes {
		group.Go(func() {
			v, err := ask(ctx, n)
			answers <- answer{v, err}
		})
	}
	var best view
	var because error
	var enough <-chan time.Time // begins with the first view
	got := 0
	for range nodes {
		var a answer
		select {
		case a = <-answers:
		case <-enough:
			return best, nil
		}
		if a.err != nil {
			because = clearer(because, a.err)
			continue
		}
		if got == 0 || a.epoch > best.epoch {
			best = a.view
		}
		if got++; got > len(nodes)/2 {
			best.sure = true
			return best, nil
		}
		if enough == nil {
			enough = time.After(othersTimeout)
		}
	}
	if got == 0 {
		return view{}, because
	}
	return best, nil
}

// A question asks a server where the data is.
type question func(ctx context.Context, n *node) (view, error)

// clearer returns the error that says more: that a server does not answer says least.
func clearer(a, b error) error {
	if a == nil || errors.Is(a, context.DeadlineExceeded) {
		return b
	}
	return a
}
