package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fetch"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/ship"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

const (
	factHooks  = "webhooks from a backlog, one target dead"
	goodHooks  = 4
	hookEvents = 5000
	hooksLeast = 500 // deliveries a second
	hooksLimit = 5 * time.Minute
)

// hookTargets are the receivers: one that answers, and one that never does.
type hookTargets struct {
	got        atomic.Int64
	good, dead net.Listener
	server     *http.Server
}

func newHookTargets() (*hookTargets, error) {
	t := &hookTargets{}
	var err error
	if t.good, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	if t.dead, err = net.Listen("tcp", "127.0.0.1:0"); err != nil { // nobody accepts
		return nil, errors.Join(err, t.good.Close())
	}
	t.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(
		func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			t.got.Add(1)
		})}
	go func() { _ = t.server.Serve(t.good) }()
	return t, nil
}

func (t *hookTargets) close() {
	_ = t.server.Close()
	_ = t.dead.Close()
}

// drainHooks fills the audit log while nobody delivers it, and measures how fast webhooks get it
// while one of their targets hangs.
func (b *bench) drainHooks(ctx context.Context, e engine) (fact, error) {
	url, err := b.fresh(ctx, e, "hooks")
	if err != nil {
		return fact{}, err
	}
	keys, err := secret.NewKeys(b.masterKey)
	if err != nil {
		return fact{}, err
	}
	db, err := store.Open(ctx, store.Options{URL: url})
	if err != nil {
		return fact{}, err
	}
	defer db.Close()
	if _, err := db.Migrate(ctx); err != nil {
		return fact{}, err
	}
	t, err := newHookTargets()
	if err != nil {
		return fact{}, err
	}
	defer t.close()
	hooks := webhook.NewKeys(keys)
	for i := range goodHooks + 1 {
		address := t.good.Addr()
		if i == 0 {
			address = t.dead.Addr()
		}
		if err := putHook(ctx, db, hooks, "http://"+address.String()+"/"); err != nil {
			return fact{}, err
		}
	}
	for range hookEvents / 50 {
		events := make([]audit.Event, 50)
		for i := range events {
			events[i] = audit.Event{At: time.Now(), Type: audit.LoginSucceeded, Actor: "bench", IP: address4, Agent: userAgent}
		}
		if err := db.Record(ctx, events...); err != nil {
			return fact{}, err
		}
	}
	took, err := runHooks(ctx, db, hooks, t)
	if err != nil {
		return fact{}, err
	}
	rate := goodHooks * hookEvents / took.Seconds()
	return fact{
		name:   factHooks,
		engine: e,
		value: fmt.Sprintf("%s deliveries/s: %s events to each of %d targets in %s", count(rate), count(hookEvents), goodHooks,
			brief(took)),
		goal: fmt.Sprintf("at least %d/s", hooksLeast),
		met:  rate >= hooksLeast,
	}, nil
}

func putHook(ctx context.Context, db *store.DB, keys *webhook.Keys, url string) error {
	now := time.Now()
	w := &webhook.Webhook{
		ID: webhook.ID(secret.NewID(now)), URL: url, Events: []string{webhook.All}, Active: true, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	_, w.Secret = keys.New(w.ID)
	return db.CreateWebhook(ctx, w)
}

// runHooks runs the engine until the good targets have everything.
func runHooks(ctx context.Context, db *store.DB, keys *webhook.Keys, t *hookTargets) (time.Duration, error) {
	client := fetch.NewPoster(fetch.Options{AllowPrivate: fetch.Allowed(nil, true)})
	defer client.Close()
	ctx, stop := context.WithTimeout(ctx, hooksLimit)
	defer stop()
	var failed atomic.Pointer[error]
	engine := &ship.Engine{
		Store: db, Poster: ship.HTTPPoster{Client: client, Now: time.Now}, Keys: keys, Holder: "bench", Now: time.Now, GiveUp: time.Hour,
		OnError: func(err error) { failed.Store(&err) },
	}
	begin := time.Now()
	done := make(chan struct{})
	go func() { defer close(done); engine.Run(ctx) }()
	for t.got.Load() < goodHooks*hookEvents && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	took, err := time.Since(begin), ctx.Err()
	stop()
	<-done
	if p := failed.Load(); err != nil && p != nil {
		err = *p
	}
	return took, err
}
