package ship

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const (
	// maxWaiting is how many refused events of a sink are tried again at a time. A target that
	// refuses more than that is taken as away: something is wrong with all events.
	maxWaiting   = 1000
	retryWaiting = 50 // refused events tried again in one step
)

// sinkRunner delivers to one sink.
type sinkRunner struct {
	progress
	target  Target
	retried time.Time // when refused events were looked for
}

// run delivers until ctx ends; then it returns nil. It returns an error of the store, after which
// the state of the sink has to be read again.
func (r *sinkRunner) run(ctx context.Context) error {
	for {
		wait, wake, err := r.step(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if !pause(ctx, wait, wake) {
			return nil
		}
	}
}

// step delivers one batch, and returns how long to wait before the next one, and what ends the
// waiting early.
func (r *sinkRunner) step(ctx context.Context) (wait time.Duration, wake <-chan struct{}, err error) {
	if wait := r.wait(r.e.Now()); wait > 0 {
		return wait, nil, nil
	}
	if err := r.retryRefused(ctx); err != nil {
		return 0, nil, err
	}
	b, err := r.e.Store.EventsAfter(ctx, r.sink.Position, r.target.Types(), batchSize)
	if err != nil {
		return 0, nil, err
	}
	if len(b.Events) == 0 {
		if err := r.idle(b.Next, func() error { return r.save(ctx, nil) }); err != nil {
			return 0, nil, err
		}
		if b.More {
			return 0, nil, nil
		}
		return idleSave, r.e.grown(r.sink.Position), nil
	}
	longer, cancel := outlive(ctx, stopGrace)
	out := r.target.Deliver(longer, b.Events)
	cancel()
	return 0, nil, r.settle(ctx, b, out)
}

// settle stores the outcome of a batch.
func (r *sinkRunner) settle(ctx context.Context, b audit.Batch, out Outcome) error {
	now := r.e.Now()
	full, err := r.full(ctx, len(out.Refused))
	if err != nil {
		return err
	}
	if full { // do not park one event after another: all of them are refused
		out.Err = fault.New(fault.Unavailable, "%s", out.Refused[0].Error)
		out.Done, out.Refused = out.Refused[0].Index, nil
	}
	var gaps []audit.Gap
	for _, x := range out.Refused {
		gaps = append(gaps, r.refused(b, x, now))
	}
	if out.Done > 0 {
		to := b.At[out.Done-1]
		if out.Done == len(b.Events) {
			to = b.Next
		}
		r.delivered(out.Done-len(out.Refused), to, now)
	}
	if out.Err == nil {
		return r.save(ctx, gaps, out.Events...)
	}
	if ctx.Err() == nil {
		r.failed(out.Err, now, firstPause, longestSink, out.RetryAfter)
	}
	if err := r.save(ctx, gaps, out.Events...); err != nil || ctx.Err() != nil {
		return err
	}
	if out.Done < len(b.Events) && r.overdue(b.Events[out.Done].At, now) {
		return r.parkOverdue(ctx, now)
	}
	return nil
}

// full reports whether so many events are refused that no further ones can be put aside.
func (r *sinkRunner) full(ctx context.Context, refused int) (bool, error) {
	if refused == 0 {
		return false, nil
	}
	waiting, err := r.e.Store.CountWaiting(ctx, r.sink.Name)
	return waiting+refused > maxWaiting, err
}

// refused returns the gap of an event that the target rejected, to be tried again.
func (r *sinkRunner) refused(b audit.Batch, x Rejection, now time.Time) audit.Gap {
	id := b.Events[x.Index].ID
	return audit.Gap{
		ID:            secret.NewID(now),
		Sink:          r.sink.Name,
		Reason:        audit.GapRefused,
		Position:      b.At[x.Index],
		First:         id,
		Last:          id,
		Events:        1,
		Attempts:      1,
		CreatedAt:     now,
		NextAttemptAt: now.Add(backoff(1, time.Minute, time.Hour, 0)),
		Error:         shortened(x.Error),
	}
}

// parkOverdue moves past the events that have been tried for too long, and records the gap.
func (r *sinkRunner) parkOverdue(ctx context.Context, now time.Time) error {
	gap := audit.Gap{
		ID:        secret.NewID(now),
		Sink:      r.sink.Name,
		Parked:    true,
		Reason:    audit.GapAway,
		Attempts:  r.sink.Attempts,
		CreatedAt: now,
		Error:     r.sink.LastError,
	}
	at := r.sink.Position
	for more := true; more; {
		b, err := r.e.Store.EventsAfter(ctx, at, r.target.Types(), batchSize)
		if err != nil {
			return err
		}
		more = b.More && len(b.Events) > 0
		for i := range b.Events {
			if !r.overdue(b.Events[i].At, now) {
				more = false
				break
			}
			if gap.Events == 0 {
				gap.First, gap.Position = b.Events[i].ID, b.At[i]
			}
			gap.Events++
			gap.Last, at = b.Events[i].ID, b.At[i]
		}
	}
	if gap.Events == 0 {
		return nil
	}
	r.sink.Position = at
	r.sink.Parked += gap.Events
	return r.save(ctx, []audit.Gap{gap}, gap.Event(now))
}

// save stores the state of the sink with what else happened.
func (r *sinkRunner) save(ctx context.Context, gaps []audit.Gap, ev ...audit.Event) error {
	ctx, cancel := saving(ctx)
	defer cancel()
	return r.done(r.e.Store.AdvanceSink(ctx, r.stored, &r.sink, gaps, ev...))
}

// retryRefused tries events again that the target rejected.
func (r *sinkRunner) retryRefused(ctx context.Context) error {
	now := r.e.Now()
	if now.Sub(r.retried) < idleSave/3 {
		return nil
	}
	r.retried = now
	all, err := r.e.Store.WaitingGaps(ctx, r.sink.Name, now, retryWaiting)
	if err != nil {
		return err
	}
	for i := range all {
		if more, err := r.retry(ctx, &all[i], now); err != nil || !more {
			return err
		}
	}
	return nil
}

// retry tries one refused event again. It reports whether the target is there.
func (r *sinkRunner) retry(ctx context.Context, g *audit.Gap, now time.Time) (more bool, err error) {
	ev, err := r.e.Store.AuditEvent(ctx, g.First)
	if fault.Is(err, fault.NotFound) { // its time is over
		g.Parked = true
		return true, r.e.Store.SettleGap(ctx, g, false, g.Event(now))
	}
	if err != nil {
		return false, err
	}
	longer, cancel := outlive(ctx, stopGrace)
	out := r.target.Deliver(longer, []audit.Event{*ev})
	cancel()
	switch {
	case out.Err != nil: // away; the events that follow will show it
		return false, nil
	case len(out.Refused) == 0:
		return true, r.e.Store.SettleGap(ctx, g, true)
	}
	g.Attempts++
	g.Error = shortened(out.Refused[0].Error)
	g.NextAttemptAt = now.Add(backoff(g.Attempts, time.Minute, time.Hour, 0))
	if now.Sub(g.CreatedAt) < r.e.GiveUp {
		return true, r.e.Store.SettleGap(ctx, g, false)
	}
	g.Parked = true
	r.sink.Parked++
	if err := r.e.Store.SettleGap(ctx, g, false, g.Event(now)); err != nil {
		return false, err
	}
	return true, r.save(ctx, nil)
}
