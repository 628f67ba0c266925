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
	staleFor     = 24 * time.Hour   // how long past its life a document stands in for one that cannot be had
	retryPause   = 2 * time.Second  // after an attempt, before the next
	missingPause = 30 * time.Second // likewise, when a token names a key that is not there: strangers can make such tokens
)

// kept is a document of the issuer's in hand: used while it is fresh, renewed behind the requests, and used on for a day when
// that fails. Any number of callers share one attempt.
type kept[T any] struct {
	load func(context.Context) (T, time.Duration, error)
	now  func() time.Time
	told func(error)
	held atomic.Pointer[held[T]]

	mu     sync.Mutex
	flight chan struct{} // closed when the attempt under way has ended; nil when there is none
	tried  time.Time     // when the last one began
	err    error         // of the last one
}

type held[T any] struct {
	value  T
	fresh  time.Time // until when it need not be renewed
	usable time.Time
}

func newKept[T any](now func() time.Time, told func(error), load func(context.Context) (T, time.Duration, error)) *kept[T] {
	return &kept[T]{load: load, now: now, told: told}
}

// get gives the document in hand, or waits for one.
func (k *kept[T]) get(ctx context.Context, now time.Time) (T, error) {
	h := k.held.Load()
	if h != nil && now.Before(h.usable) {
		if !now.Before(h.fresh) {
			k.start(now, retryPause)
		}
		return h.value, nil
	}
	return k.wait(ctx, k.start(now, retryPause))
}

// again waits for a newer document, for a reader who misses something in the one in hand, unless that was tried a moment ago.
func (k *kept[T]) again(ctx context.Context, now time.Time) (T, error) {
	return k.wait(ctx, k.start(now, missingPause))
}

// start begins an attempt, or joins the one under way. The attempt belongs to no request, so that it outlives the one that came first.
func (k *kept[T]) start(now time.Time, pause time.Duration) <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.flight != nil {
		return k.flight
	}
	if since := now.Sub(k.tried); !k.tried.IsZero() && since >= 0 && since < pause {
		return nil
	}
	landed := make(chan struct{})
	k.flight, k.tried = landed, now
	go k.attempt(landed)
	return landed
}

func (k *kept[T]) attempt(landed chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	value, life, err := k.load(ctx)
	if err != nil {
		var known *toldError
		if !errors.As(err, &known) { // else it comes from a document that this one is found by
			k.told(fmt.Errorf("bearer: %w", err))
		}
		err = &toldError{err}
	} else {
		now := k.now()
		k.held.Store(&held[T]{value, now.Add(life), now.Add(life + staleFor)})
	}
	k.mu.Lock()
	k.flight, k.err = nil, err
	k.mu.Unlock()
	close(landed)
}

// wait waits for an attempt, if there is one, and gives what is in hand then.
func (k *kept[T]) wait(ctx context.Context, landed <-chan struct{}) (T, error) {
	if landed != nil {
		select {
		case <-landed:
		case <-ctx.Done():
		}
	}
	if h := k.held.Load(); h != nil && k.now().Before(h.usable) {
		return h.value, nil
	}
	k.mu.Lock()
	err := k.err
	k.mu.Unlock()
	if err == nil {
		err = context.Cause(ctx)
	}
	var none T
	return none, unavailable("The authorization server cannot be asked at the moment. Try again.", err)
}

// toldError is one that the owner has been told.
type toldError struct{ error }

func (e *toldError) Unwrap() error { return e.error }
