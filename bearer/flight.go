package bearer

import (
	"context"
	"errors"
	"sync"
)

// maxFlights is how many tokens may be asked about or wait for it, so that made-up ones do not pile up while the issuer is slow.
const maxFlights = 32 * maxAsking

// flights lets any number of requests with one token share one question about it.
type flights struct {
	mu    sync.Mutex
	under map[tokenHash]*flight
}

type flight struct {
	landed chan struct{}
	answer *answered
	err    error
}

// do asks, or waits for who is asking already. The question belongs to no request: that the first caller goes away is nothing to the others.
func (f *flights) do(ctx context.Context, hash tokenHash, ask func(context.Context) (*answered, error)) (*answered, error) {
	f.mu.Lock()
	one, ok := f.under[hash]
	if !ok {
		if len(f.under) >= maxFlights {
			f.mu.Unlock()
			return nil, unavailable("Too many access tokens are being checked. Try again.", errors.New("too many introspections wait"))
		}
		one = &flight{landed: make(chan struct{})}
		if f.under == nil {
			f.under = map[tokenHash]*flight{}
		}
		f.under[hash] = one
		go f.run(context.WithoutCancel(ctx), hash, one, ask)
	}
	f.mu.Unlock()
	select {
	case <-one.landed:
		return one.answer, one.err
	case <-ctx.Done():
		return nil, unavailable("The request ended before its access token was checked.", context.Cause(ctx))
	}
}

func (f *flights) run(ctx context.Context, hash tokenHash, one *flight, ask func(context.Context) (*answered, error)) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	one.answer, one.err = ask(ctx)
	f.mu.Lock()
	delete(f.under, hash)
	f.mu.Unlock()
	close(one.landed)
}
