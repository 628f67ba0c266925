package upstream

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"
)

const (
	downAfter   = 2 // failed checks in a row; one success is enough to use the target again
	checkAtMost = 5 * time.Second
	checkBody   = 64 << 10
)

// Run checks every target until ctx ends or the pool is closed. Without a health path it only
// waits.
func (p *Pool) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.closed, cancel)()
	if p.HealthPath == "" {
		<-ctx.Done()
		return
	}
	var wg sync.WaitGroup
	for _, t := range p.targets {
		wg.Go(func() { p.watchHealth(ctx, t) })
	}
	wg.Wait()
}

func (p *Pool) watchHealth(ctx context.Context, t *target) {
	failed := 0
	wait := time.NewTimer(0) // the first check is at once
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		err := p.check(ctx, t)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			failed = 0
			if closed := t.breaker.success(); t.down.Swap(false) || closed {
				p.OnState(t.name, true, nil)
			}
		default:
			if failed++; failed >= downAfter && !t.down.Swap(true) {
				p.OnState(t.name, false, err)
			}
		}
		// so that the checks of many routes do not coincide
		wait.Reset(p.HealthEvery*9/10 + rand.N(p.HealthEvery/5+1))
	}
}

// check requests the health path once. A status below 400 is healthy; a redirect is not followed.
func (p *Pool) check(ctx context.Context, t *target) error {
	ctx, cancel := context.WithTimeout(ctx, min(checkAtMost, p.HealthEvery))
	defer cancel()
	at, err := url.ParseRequestURI(p.HealthPath)
	if err != nil {
		return err
	}
	at.Scheme, at.Host = t.scheme, t.url.Host
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "gatehouse-health")
	res, err := p.Transport.forTarget(t, false).RoundTrip(req)
	if err != nil {
		return fmt.Errorf("health check: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.CopyN(io.Discard, res.Body, checkBody) // so that the connection can be reused
	if res.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("health check: status %d", res.StatusCode)
	}
	return nil
}

// State is whether an upstream is in use.
type State struct {
	Address string
	Up      bool // false while it is skipped, because it failed
}

// States returns the states of all upstreams, in their order.
func (p *Pool) States() []State {
	all := make([]State, len(p.targets))
	for i, t := range p.targets {
		all[i] = State{Address: t.name, Up: !t.down.Load() && !t.breaker.isOpen()}
	}
	return all
}
