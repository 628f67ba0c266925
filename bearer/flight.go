package bearer

import (
	"context"
	"errors"
	"sync"
)

// maxPending bounds how many different tokens are being introspected or wait for it, so that
// made-up tokens do not pile up while the issuer is slow.
const maxPending = 32 * maxIntrospections

// An introspectionGroup lets concurrent requests with one token share one introspection. Unlike
// golang.org/x/sync/singleflight it is bounded, and cancelling the first caller does not cancel the
// others.
type introspectionGroup struct {
	mu      sync.Mutex
	pending map[tokenHash]*pendingIntrospection
}

type pendingIntrospection struct {
	done   chan struct{}
	result *introspection
	err    error
}

// do calls ask, or waits for the call in progress for the same token.
func (g *introspectionGroup) do(ctx context.Context, hash tokenHash,
	ask func(context.Context) (*introspection, error),
) (*introspection, error) {
	g.mu.Lock()
	p, ok := g.pending[hash]
	if !ok {
		if len(g.pending) >= maxPending {
			g.mu.Unlock()
			return nil, unavailable("Too many access tokens are being checked. Try again.", errors.New("too many introspections are pending"))
		}
		p = &pendingIntrospection{done: make(chan struct{})}
		if g.pending == nil {
			g.pending = map[tokenHash]*pendingIntrospection{}
		}
		g.pending[hash] = p
		go g.run(context.WithoutCancel(ctx), hash, p, ask)
	}
	g.mu.Unlock()
	select {
	case <-p.done:
		return p.result, p.err
	case <-ctx.Done():
		return nil, unavailable("The request ended before its access token was checked.", context.Cause(ctx))
	}
}

func (g *introspectionGroup) run(ctx context.Context, hash tokenHash, p *pendingIntrospection,
	ask func(context.Context) (*introspection, error),
) {
	ctx, cancel := context.WithTimeout(ctx, 2*requestTimeout)
	defer cancel()
	p.result, p.err = ask(ctx)
	g.mu.Lock()
	delete(g.pending, hash)
	g.mu.Unlock()
	close(p.done)
}
