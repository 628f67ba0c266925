// Package ship delivers the audit log: to log servers, to webhooks, and to administrators as
// alerts.
//
// Nothing of it happens in a request. The Engine of one server at a time reads the log in the order
// of commits and remembers, for each sink, the position up to which the sink has everything. A
// delivery whose outcome was not stored, because the process died, is repeated: every message
// carries the id of its event, by which a target recognizes it.
package ship

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

const (
	lease      = "sinks"
	leaseTTL   = 15 * time.Second
	renewEvery = leaseTTL / 3
	pollEvery  = time.Second      // how late the engine notices new events
	idleSave   = 30 * time.Second // how often positions are stored that moved past nothing of interest
	storePause = 5 * time.Second  // after an error of the database
	stopGrace  = 3 * time.Second  // how long a delivery under way may take when the server stops
	batchSize  = 500              // events read at a time

	firstPause  = time.Second // after the first failure of a sink; doubles with each further one
	longestSink = time.Minute
	firstHook   = 5 * time.Second
	longestHook = 15 * time.Minute
	// longestRequested bounds how long a target can ask for a pause (Retry-After).
	longestRequested = 24 * time.Hour
)

// Store is what the engine needs of storage.
type Store interface {
	// AcquireLease takes or renews the named lease, and reports whether the holder has it.
	AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error)
	// ReleaseLease ends the named lease, if the holder has it.
	ReleaseLease(ctx context.Context, name, holder string) error
	// EventsAfter returns up to limit events of the given types, nil for all, after a position.
	EventsAfter(ctx context.Context, after audit.Position, types []audit.Type, limit int) (audit.Batch, error)
	// AuditHead returns the end of the log.
	AuditHead(ctx context.Context) (audit.Position, error)
	// AuditEvent returns an event, or fault.NotFound.
	AuditEvent(ctx context.Context, id string) (*audit.Event, error)
	SinkStore
	WebhookStore
}

// SinkStore is what the engine needs of storage about sinks.
type SinkStore interface {
	// OpenSink returns a sink and marks it as active. If there is none with that name, it creates
	// one that has everything up to the end of the log.
	OpenSink(ctx context.Context, name string, now time.Time) (*audit.Sink, error)
	// KeepSinks marks all sinks but those named and those of webhooks as not active.
	KeepSinks(ctx context.Context, names []string) error
	// AdvanceSink stores the state of a sink, gaps and events in one transaction. It returns
	// fault.Conflict if the stored position is not old: then another server delivers.
	AdvanceSink(ctx context.Context, old audit.Position, s *audit.Sink, gaps []audit.Gap, ev ...audit.Event) error
	// WaitingGaps returns up to limit gaps of a sink whose next attempt is due.
	WaitingGaps(ctx context.Context, sink string, now time.Time, limit int) ([]audit.Gap, error)
	// CountWaiting returns how many gaps of a sink are tried again.
	CountWaiting(ctx context.Context, sink string) (int, error)
	// SettleGap stores the outcome of an attempt at a waiting gap, or deletes it once delivered.
	SettleGap(ctx context.Context, g *audit.Gap, delivered bool, ev ...audit.Event) error
}

// WebhookStore is what the engine needs of storage about webhooks.
type WebhookStore interface {
	// ListWebhooks returns all webhooks.
	ListWebhooks(ctx context.Context) ([]webhook.Webhook, error)
	// PendingDeliveries returns the deliveries of a webhook that are to be tried again.
	PendingDeliveries(ctx context.Context, id webhook.ID) ([]webhook.Delivery, error)
	// AdvanceWebhook stores the state of a webhook's sink, deliveries and events in one
	// transaction. It returns fault.Conflict if the stored position is not old.
	AdvanceWebhook(ctx context.Context, old audit.Position, s *audit.Sink, all []webhook.Delivery,
		ev ...audit.Event) error
	// SettleResend stores the outcome of an attempt that an administrator asked for.
	SettleResend(ctx context.Context, d *webhook.Delivery) error
	// EndWebhook switches a webhook off, if it is still the version that was tried.
	EndWebhook(ctx context.Context, w *webhook.Webhook, why string, now time.Time, ev ...audit.Event) error
}

// A Target takes events: a log server, a file.
type Target interface {
	// Name returns the name of the sink.
	Name() string
	// Types returns the types of events that the target takes, or nil for all.
	Types() []audit.Type
	// Deliver delivers events in order.
	Deliver(ctx context.Context, events []audit.Event) Outcome
	// Close ends connections and closes files.
	Close()
}

// Outcome is what became of events.
type Outcome struct {
	Done       int           // how many of them, from the first, the target has or has refused
	Refused    []Rejection   // those of the first Done that it refused, in order
	Err        error         // why the others were not delivered
	RetryAfter time.Duration // how long the target asks to be left alone; 0 if it does not
	Events     []audit.Event // what to record with the progress
}

// Rejection is an event that a target rejects.
type Rejection struct {
	Index int
	Error string
}

// Engine delivers the log. Set the fields, then call Run.
type Engine struct {
	Store   Store
	Targets []Target
	Poster  Poster // sends to webhooks; nil: this server sends none
	Keys    *webhook.Keys
	Holder  string // names this server in the lease
	Now     func() time.Time
	GiveUp  time.Duration // how long an event is tried
	OnError func(error)   // receives errors of the store
	Poll    time.Duration // how late new events are noticed; 0 means pollEvery
	// FirstPause is how long a webhook waits after the first failure; 0 means firstHook.
	FirstPause time.Duration

	mu   sync.Mutex
	head audit.Position
	wake chan struct{} // closed when the log has grown
}

// Run delivers until ctx ends.
func (e *Engine) Run(ctx context.Context) {
	e.wake = make(chan struct{})
	if e.Poll <= 0 {
		e.Poll = pollEvery
	}
	if e.FirstPause <= 0 {
		e.FirstPause = firstHook
	}
	defer func() {
		for _, t := range e.Targets {
			t.Close()
		}
	}()
	for ctx.Err() == nil {
		ours, err := e.Store.AcquireLease(ctx, lease, e.Holder, leaseTTL)
		if err != nil {
			e.report(ctx, err)
		}
		if ours {
			e.lead(ctx)
		}
		pause(ctx, renewEvery, nil)
	}
}

// lead delivers while this server has the lease.
func (e *Engine) lead(ctx context.Context) {
	leading, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { e.follow(leading) })
	for _, t := range e.Targets {
		wg.Go(func() { e.runTarget(leading, t) })
	}
	wg.Go(func() { e.keepSinks(leading) })
	if e.Poster != nil {
		wg.Go(func() { e.runWebhooks(leading) })
	}
	until := e.Now().Add(leaseTTL)
	for pause(ctx, renewEvery, nil) {
		now := e.Now()
		ours, err := e.Store.AcquireLease(ctx, lease, e.Holder, leaseTTL)
		if err != nil {
			e.report(ctx, err)
		}
		if ours {
			until = now.Add(leaseTTL)
		}
		if err == nil && !ours || !now.Before(until) {
			break
		}
	}
	stop()
	wg.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseTTL/10)
	defer cancel()
	if err := e.Store.ReleaseLease(last, lease, e.Holder); err != nil {
		e.report(ctx, err)
	}
}

// keepSinks marks the sinks as off that the settings no longer name.
func (e *Engine) keepSinks(ctx context.Context) {
	var names []string
	for _, t := range e.Targets {
		names = append(names, t.Name())
	}
	for {
		err := e.Store.KeepSinks(ctx, names)
		if err == nil {
			return
		}
		e.report(ctx, err)
		if !pause(ctx, storePause, nil) {
			return
		}
	}
}

// follow wakes the runners when the log has grown.
func (e *Engine) follow(ctx context.Context) {
	for {
		head, err := e.Store.AuditHead(ctx)
		if err != nil {
			e.report(ctx, err)
		} else {
			e.grow(head)
		}
		if !pause(ctx, e.Poll, nil) {
			return
		}
	}
}

func (e *Engine) grow(head audit.Position) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.head.Less(head) {
		e.head = head
		close(e.wake)
		e.wake = make(chan struct{})
	}
}

// grown returns a channel that is closed when the log has grown past a position.
func (e *Engine) grown(past audit.Position) <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if past.Less(e.head) {
		done := make(chan struct{})
		close(done)
		return done
	}
	return e.wake
}

func (e *Engine) report(ctx context.Context, err error) {
	if ctx.Err() == nil && e.OnError != nil {
		e.OnError(err)
	}
}

// runTarget opens the sink of a target and runs it until ctx ends.
func (e *Engine) runTarget(ctx context.Context, t Target) {
	for ctx.Err() == nil {
		s, err := e.Store.OpenSink(ctx, t.Name(), e.Now())
		if err == nil {
			r := &sinkRunner{progress: newProgress(e, s), target: t}
			if err = r.run(ctx); err == nil {
				return
			}
		}
		e.report(ctx, err)
		t.Close()
		pause(ctx, storePause, nil)
	}
}

// runWebhooks runs a goroutine for each active webhook, and follows changes of webhooks.
func (e *Engine) runWebhooks(ctx context.Context) {
	running := map[webhook.ID]*hookRunner{}
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		all, err := e.Store.ListWebhooks(ctx)
		if err != nil {
			e.report(ctx, err)
		} else {
			e.adjust(ctx, &wg, running, all)
		}
		if !pause(ctx, e.Poll, nil) {
			return
		}
	}
}

// adjust starts what is missing of the runners, tells the others what has changed, and stops those
// of webhooks that are gone.
func (e *Engine) adjust(
	ctx context.Context, wg *sync.WaitGroup, running map[webhook.ID]*hookRunner, all []webhook.Webhook,
) {
	for i := range all {
		w := &all[i]
		r := running[w.ID]
		if r != nil && r.ended() {
			delete(running, w.ID)
			r = nil
		}
		if r != nil {
			r.update(w)
			continue
		}
		r = newHookRunner(e, w)
		running[w.ID] = r
		wg.Go(func() { r.run(ctx) })
	}
	for id, r := range running {
		if !slices.ContainsFunc(all, func(w webhook.Webhook) bool { return w.ID == id }) {
			r.stop()
			delete(running, id)
		}
	}
}

// pause waits, until woken or ctx ends, and reports whether ctx has not ended.
func pause(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-wake:
	}
	return true
}

// backoff returns how long to wait after the n-th failure in a row: first after the first, then
// double each time up to longest, a tenth more or less at random, and not less than the target asks
// for.
func backoff(n int, first, longest, requested time.Duration) time.Duration {
	p := longest
	if n < 20 {
		p = min(first<<max(n-1, 0), longest)
	}
	p = p - p/10 + rand.N(p/5)
	return max(p, min(requested, longestRequested))
}

// outlive returns a context that ends some time after ctx does, so that what is under way can end.
func outlive(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-longer.Done():
		}
		cancel()
	})
	return longer, func() { stop(); cancel() }
}
