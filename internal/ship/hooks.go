package ship

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

const (
	flushAfter = 250 * time.Millisecond // how long outcomes wait to be stored together
	flushCount = 100
)

// A Poster makes one attempt to deliver a message to a webhook.
type Poster interface {
	Post(ctx context.Context, m Message) webhook.Answer
}

// Message is one message to one address.
type Message struct {
	URL    string
	ID     string // stays the same at each attempt
	At     time.Time
	Body   []byte
	Signer webhook.Signer
}

// hookRunner delivers to one webhook, one event after another.
type hookRunner struct {
	stops chan struct{}
	over  chan struct{}

	mu sync.Mutex
	w  *webhook.Webhook // its newest version

	progress
	version int64              // of the webhook when the state was read
	first   *webhook.Delivery  // the event that has failed, or nil
	pending []webhook.Delivery // outcomes that are not stored
	since   time.Time          // of the first of pending
	given   int                // how many events were given up on one after another
}

func newHookRunner(e *Engine, w *webhook.Webhook) *hookRunner {
	return &hookRunner{progress: progress{e: e}, w: w, stops: make(chan struct{}), over: make(chan struct{})}
}

// update replaces the webhook by a newer version.
func (r *hookRunner) update(w *webhook.Webhook) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w.Version > r.w.Version { // what was read before this server changed it comes too late
		r.w = w
	}
}

func (r *hookRunner) current() *webhook.Webhook {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.w
}

// stop ends the runner, and waits until it has ended.
func (r *hookRunner) stop() {
	close(r.stops)
	<-r.over
}

func (r *hookRunner) ended() bool {
	select {
	case <-r.over:
		return true
	default:
		return false
	}
}

// run delivers until ctx ends or the webhook is deleted. After an error of the store it ends, too,
// and the engine starts another one with the stored state.
func (r *hookRunner) run(ctx context.Context) {
	defer close(r.over)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-r.stops:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := r.open(ctx)
	for err == nil {
		var wait time.Duration
		var wake <-chan struct{}
		wait, wake, err = r.step(ctx)
		if err == nil && !pause(ctx, wait, wake) {
			err = r.flush(ctx)
			break
		}
	}
	if err != nil {
		r.e.report(ctx, err)
		pause(ctx, storePause, nil)
	}
}

// open reads the stored state.
func (r *hookRunner) open(ctx context.Context) error {
	w := r.current()
	s, err := r.e.Store.OpenSink(ctx, SinkName(w.ID), r.e.Now())
	if err != nil {
		return err
	}
	r.progress, r.version, r.first = newProgress(r.e, s), w.Version, nil
	all, err := r.e.Store.PendingDeliveries(ctx, w.ID)
	for i := range all {
		if all[i].State == webhook.Queued {
			r.first = &all[i]
		}
	}
	return err
}

// SinkName returns the name of the sink of a webhook.
func SinkName(id webhook.ID) string { return webhook.SinkPrefix + string(id) }

// step delivers what is due, and returns how long to wait, and what ends the waiting early.
func (r *hookRunner) step(ctx context.Context) (wait time.Duration, wake <-chan struct{}, err error) {
	w := r.current()
	if err := r.resend(ctx, w); err != nil {
		return 0, nil, err
	}
	if !w.Active {
		r.first = nil
		return r.e.Poll, nil, r.flush(ctx)
	}
	if r.version != w.Version { // switching it on moves its position
		if err := r.flush(ctx); err != nil {
			return 0, nil, err
		}
		if err := r.open(ctx); err != nil {
			return 0, nil, err
		}
	}
	if r.wait(r.e.Now()) > 0 {
		return r.e.Poll, nil, nil
	}
	b, err := r.e.Store.EventsAfter(ctx, r.sink.Position, w.Types(), batchSize)
	if err != nil {
		return 0, nil, err
	}
	if len(b.Events) == 0 {
		if err := r.idle(b.Next, func() error { return r.flush(ctx) }); err != nil {
			return 0, nil, err
		}
		if err := r.flush(ctx); err != nil || b.More {
			return 0, nil, err
		}
		return r.e.Poll, r.e.grown(r.sink.Position), nil
	}
	return 0, nil, r.deliver(ctx, w, b)
}

// deliver sends the events of a batch in order, until one fails or the webhook has changed.
func (r *hookRunner) deliver(ctx context.Context, w *webhook.Webhook, b audit.Batch) error {
	for i := range b.Events {
		ev := &b.Events[i]
		if ctx.Err() != nil || r.current() != w {
			break
		}
		if own(ev, w) {
			r.sink.Position = b.At[i]
			continue
		}
		longer, cancel := outlive(ctx, stopGrace)
		answer := r.attempt(longer, w, ev)
		cancel()
		if answer.Err != nil && ctx.Err() != nil {
			break
		}
		if answer.Err != nil {
			return r.failed(ctx, w, b.At[i], ev, answer)
		}
		r.succeeded(ev, b.At[i], answer)
		if i == len(b.Events)-1 {
			r.sink.Position = b.Next
		}
		now := r.e.Now()
		if len(r.pending) >= flushCount || now.Sub(r.since) >= flushAfter {
			if err := r.flush(ctx); err != nil {
				return err
			}
		}
	}
	return r.flush(ctx)
}

// own reports whether an event says that deliveries to the webhook itself have failed: such an
// event about each of them would never end.
func own(ev *audit.Event, w *webhook.Webhook) bool {
	return ev.Type == audit.DeliveryDead && ev.Detail["sink"] == SinkName(w.ID)
}

// attempt sends one event.
func (r *hookRunner) attempt(ctx context.Context, w *webhook.Webhook, ev *audit.Event) webhook.Answer {
	now := r.e.Now()
	signer, err := r.e.Keys.Signer(w, now)
	if err != nil {
		return webhook.Answer{Err: fault.Wrap(fault.Internal, err, "the secret of the webhook cannot be decrypted")}
	}
	return r.e.Poster.Post(ctx, Message{
		URL:    w.URL,
		ID:     ev.ID,
		At:     now,
		Body:   webhook.Body(ev),
		Signer: signer,
	})
}

// record returns the record of an attempt at an event.
func (r *hookRunner) record(ev *audit.Event, state webhook.State, answer webhook.Answer) webhook.Delivery {
	now := r.e.Now()
	d := webhook.Delivery{CreatedAt: now}
	if r.first != nil && r.first.Event == ev.ID {
		d = *r.first
	}
	if d.ID == "" {
		d.ID = secret.NewID(now)
	}
	d.Webhook, d.Event, d.Type = r.current().ID, ev.ID, ev.Type
	d.Attempts++
	d.Settle(state, answer, now)
	return d
}

// succeeded notes that the target has an event.
func (r *hookRunner) succeeded(ev *audit.Event, at audit.Position, answer webhook.Answer) {
	now := r.e.Now()
	if len(r.pending) == 0 {
		r.since = now
	}
	r.pending = append(r.pending, r.record(ev, webhook.Sent, answer))
	r.delivered(1, at, now)
	r.first, r.given = nil, 0
}

// failed stores a failed attempt. An event that was tried for too long is given up on; if the next
// one meets a target that is away, too, so are all that have waited for as long.
func (r *hookRunner) failed(
	ctx context.Context, w *webhook.Webhook, at audit.Position, ev *audit.Event, answer webhook.Answer,
) error {
	now := r.e.Now()
	r.progress.failed(answer.Err, now, r.e.FirstPause, longestHook, answer.RetryAfter)
	if answer.Gone() {
		r.pending = append(r.pending, r.record(ev, webhook.Dead, answer))
		r.first = nil
		r.sink.Position = at
		r.sink.Parked++
		if err := r.flush(ctx); err != nil {
			return err
		}
		return r.end(ctx, w, now)
	}
	if !r.overdue(ev.At, now) {
		d := r.record(ev, webhook.Queued, answer)
		d.NextAttemptAt = r.sink.NextAttemptAt
		r.first = &d
		r.pending = append(r.pending, d)
		return r.flush(ctx)
	}
	return r.giveUp(ctx, at, ev, answer, now)
}

// giveUp parks an event, and those behind it if the target is away.
func (r *hookRunner) giveUp(
	ctx context.Context, at audit.Position, ev *audit.Event, answer webhook.Answer, now time.Time,
) error {
	dead := []webhook.Delivery{r.record(ev, webhook.Dead, answer)}
	r.first = nil
	r.given++
	r.sink.Position = at
	r.sink.NextAttemptAt = time.Time{} // the next event has waited for as long
	first, last := ev.ID, ev.ID
	for r.given > 1 && !answer.Refused() && len(dead) < batchSize {
		b, err := r.e.Store.EventsAfter(ctx, r.sink.Position, r.current().Types(), batchSize)
		if err != nil {
			return err
		}
		n := 0
		for i := range b.Events {
			if !r.overdue(b.Events[i].At, now) {
				break
			}
			d := r.record(&b.Events[i], webhook.Dead, answer)
			d.Attempts = 0
			dead = append(dead, d)
			last, n = b.Events[i].ID, n+1
			r.sink.Position = b.At[i]
		}
		if n == 0 || n < len(b.Events) || !b.More {
			break
		}
	}
	r.sink.Parked += int64(len(dead))
	r.pending = append(r.pending, dead...)
	return r.flush(ctx, audit.Event{
		At:    now,
		Type:  audit.DeliveryDead,
		Actor: "system",
		Detail: map[string]string{
			"sink":    r.sink.Name,
			"webhook": string(r.current().ID),
			"host":    r.current().Host(),
			"events":  strconv.Itoa(len(dead)),
			"first":   first,
			"last":    last,
			"error":   r.sink.LastError,
		},
	})
}

// end switches the webhook off, because its target answered 410 Gone.
func (r *hookRunner) end(ctx context.Context, w *webhook.Webhook, now time.Time) error {
	ctx, cancel := saving(ctx)
	defer cancel()
	off := *w
	off.Active, off.Ended, off.Version = false, webhook.EndedGone, w.Version+1
	r.update(&off)
	return r.e.Store.EndWebhook(ctx, w, webhook.EndedGone, now, audit.Event{
		At:         now,
		Type:       audit.WebhookEnded,
		Actor:      "system",
		TargetType: audit.TargetWebhook,
		TargetID:   string(w.ID),
		Reason:     webhook.EndedGone,
		Detail:     map[string]string{"webhook": string(w.ID), "host": w.Host()},
	})
}

// flush stores the outcomes that are not stored yet, and the position.
func (r *hookRunner) flush(ctx context.Context, ev ...audit.Event) error {
	if len(r.pending) == 0 && len(ev) == 0 && r.sink.Position == r.stored {
		return nil
	}
	ctx, cancel := saving(ctx)
	defer cancel()
	err := r.done(r.e.Store.AdvanceWebhook(ctx, r.stored, &r.sink, r.pending, ev...))
	if err == nil {
		r.pending = nil
	}
	return err
}

// resend makes the attempts that administrators asked for.
func (r *hookRunner) resend(ctx context.Context, w *webhook.Webhook) error {
	all, err := r.e.Store.PendingDeliveries(ctx, w.ID)
	if err != nil {
		return err
	}
	for i := range all {
		d := &all[i]
		if d.State != webhook.Resend || ctx.Err() != nil {
			continue
		}
		if err := r.resendOne(ctx, w, d); err != nil {
			return err
		}
	}
	return nil
}

func (r *hookRunner) resendOne(ctx context.Context, w *webhook.Webhook, d *webhook.Delivery) error {
	ev, err := r.e.Store.AuditEvent(ctx, d.Event)
	var answer webhook.Answer
	switch {
	case fault.Is(err, fault.NotFound):
		answer.Err = fault.New(fault.Invalid, "the event is no longer in the audit log")
	case err != nil:
		return err
	default:
		longer, cancel := outlive(ctx, stopGrace)
		answer = r.attempt(longer, w, ev)
		cancel()
		d.Attempts++
	}
	state := webhook.Sent
	if answer.Err != nil {
		state = webhook.Dead
	}
	d.Settle(state, answer, r.e.Now())
	saved, cancel := saving(ctx)
	defer cancel()
	return r.e.Store.SettleResend(saved, d)
}
