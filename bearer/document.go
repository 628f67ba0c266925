package bearer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	staleFor    = 24 * time.Hour  // how long past its lifetime a document is used if it cannot be reloaded
	retryPause  = 2 * time.Second // after an attempt, before the next
	reloadPause = 30 * time.Second
)

// A cachedDocument caches one document of the issuer, refreshes it in the background, and serves it
// stale for up to a day if that fails. Concurrent callers share one attempt to load it.
type cachedDocument[T any] struct {
	ctx     context.Context // ends with the Verifier
	load    func(context.Context) (T, time.Duration, error)
	now     func() time.Time
	onError func(error)
	current atomic.Pointer[version[T]]

	mu      sync.Mutex
	loading chan struct{} // closed when the attempt in progress ends; nil if there is none
	tried   time.Time     // when the last attempt began
	err     error         // of the last attempt
}

// A version is a document as it was loaded at some time.
type version[T any] struct {
	value  T
	fresh  time.Time // until then it is used without a refresh
	usable time.Time // until then it is used if a refresh fails
}

func newCachedDocument[T any](ctx context.Context, now func() time.Time, onError func(error),
	load func(context.Context) (T, time.Duration, error),
) *cachedDocument[T] {
	return &cachedDocument[T]{ctx: ctx, load: load, now: now, onError: onError}
}

// get returns the cached document, or waits for the first.
func (d *cachedDocument[T]) get(ctx context.Context, now time.Time) (T, error) {
	cur := d.current.Load()
	if cur != nil && now.Before(cur.usable) {
		if !now.Before(cur.fresh) {
			d.begin(now, retryPause)
		}
		return cur.value, nil
	}
	return d.wait(ctx, d.begin(now, retryPause))
}

// reload waits for a newer document, for a caller that misses something in the cached one, unless
// an attempt was made a moment ago: anyone can make tokens that name a missing key.
func (d *cachedDocument[T]) reload(ctx context.Context, now time.Time) (T, error) {
	return d.wait(ctx, d.begin(now, reloadPause))
}

// begin starts an attempt, or joins the one in progress, and returns a channel that is closed when
// it ends. It returns nil within the pause after an attempt. The attempt does not depend on the
// request that started it.
func (d *cachedDocument[T]) begin(now time.Time, pause time.Duration) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.loading != nil {
		return d.loading
	}
	if since := now.Sub(d.tried); !d.tried.IsZero() && since >= 0 && since < pause {
		return nil
	}
	done := make(chan struct{})
	d.loading, d.tried = done, now
	go d.attempt(done)
	return done
}

func (d *cachedDocument[T]) attempt(done chan struct{}) {
	ctx, cancel := context.WithTimeout(d.ctx, 3*requestTimeout)
	defer cancel()
	value, lifetime, err := d.load(ctx)
	if err != nil {
		var reported *reportedError
		if !errors.As(err, &reported) { // otherwise it comes from a document that this one depends on
			d.onError(fmt.Errorf("bearer: %w", err))
		}
		err = &reportedError{err}
	} else {
		now := d.now()
		d.current.Store(&version[T]{value, now.Add(lifetime), now.Add(lifetime + staleFor)})
	}
	d.mu.Lock()
	d.loading, d.err = nil, err
	d.mu.Unlock()
	close(done)
}

// wait waits for an attempt, if there is one, and returns the document that is cached then.
func (d *cachedDocument[T]) wait(ctx context.Context, done <-chan struct{}) (T, error) {
	if done != nil {
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
	if cur := d.current.Load(); cur != nil && d.now().Before(cur.usable) {
		return cur.value, nil
	}
	d.mu.Lock()
	err := d.err
	d.mu.Unlock()
	if err == nil {
		err = context.Cause(ctx)
	}
	var none T
	return none, unavailable("The authorization server cannot be reached at the moment. Try again.", err)
}

// A reportedError has been passed to Config.OnError already.
type reportedError struct{ error }

func (e *reportedError) Unwrap() error { return e.error }
