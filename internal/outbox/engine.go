package outbox

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

const (
	firstPause  = 30 * time.Second // before the second attempt; doubles with each further one
	longestWait = time.Hour
	// DefaultGiveUp is how long a delivery is tried.
	DefaultGiveUp = 72 * time.Hour

	lease        = "outbox"
	leaseTTL     = 30 * time.Second
	batchSize    = 100
	poll         = time.Second // how late a delivery begins that another process stored
	shortestAway = time.Second // the first pause after a target such as a mail server was away
	longestAway  = 30 * time.Second
	// sendTimeout bounds one attempt. A claim lasts longer than the attempts of a whole batch
	// should take: a delivery whose claim has ended is sent again.
	sendTimeout = 30 * time.Second
	claimTTL    = 5 * time.Minute
)

// Store is what the engine needs of storage.
type Store interface {
	// AcquireLease takes or renews the named lease, and reports whether the holder has it.
	AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error)
	// ReleaseLease ends the named lease, if the holder has it.
	ReleaseLease(ctx context.Context, name, holder string) error
	// DeliveriesDue reports whether a queued delivery is due.
	DeliveriesDue(ctx context.Context, now time.Time) (bool, error)
	// ReleaseDeliveries makes the deliveries due that other servers than holder have claimed.
	ReleaseDeliveries(ctx context.Context, holder string, now time.Time) error
	// ClaimDeliveries returns at most c.Limit queued deliveries that are due, counts an attempt at
	// each, and makes them due again at c.Until, in case this process dies. It skips a delivery
	// while an earlier one to the same target waits for its next attempt.
	ClaimDeliveries(ctx context.Context, c Claim) ([]Delivery, error)
	// FinishDeliveries stores State, Attempts, NextAttemptAt, FinishedAt and LastError of
	// deliveries that are still queued, and deletes the content of those sent or expired.
	FinishDeliveries(ctx context.Context, all []Delivery) error
}

// Claim says which deliveries a server takes.
type Claim struct {
	Holder string // the server
	Now    time.Time
	Until  time.Time // when the claim ends
	Limit  int
}

// A Sender delivers one kind.
type Sender interface {
	// Send delivers one delivery. The kind of its error decides what happens next: Denied and
	// Invalid are final; Unavailable means that nothing of this kind can be sent at the moment,
	// and ends the batch; after any other error the delivery is tried again later.
	Send(ctx context.Context, d *Delivery) error
	// Parallel returns how many deliveries may be under way at a time.
	Parallel() int
}

// Engine sends what is due. Set the fields, then call Run.
type Engine struct {
	Store   Store
	Senders map[Kind]Sender
	Holder  string // names this server in the lease
	Now     func() time.Time
	GiveUp  time.Duration // how long a delivery is tried; 0 means DefaultGiveUp
	OnError func(error)   // receives errors of the store
	// OnDead receives deliveries that were given up on, after they were stored.
	OnDead func(context.Context, *Delivery)
	// OnRejected receives those of them whose recipient the target rejected for good.
	OnRejected func(context.Context, *Delivery)

	away    map[Kind]*outage
	holding bool // the last round had the lease
}

// outage is the state of a kind whose target was away: a mail server that cannot be reached.
type outage struct {
	until time.Time
	pause time.Duration
}

// Run sends deliveries until ctx ends. Deliveries under way are finished, within their time limit.
func (e *Engine) Run(ctx context.Context) {
	e.away = map[Kind]*outage{}
	defer e.release(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		more, err := e.round(ctx)
		if err != nil && ctx.Err() == nil && e.OnError != nil {
			e.OnError(err)
		}
		wait := poll
		if more && err == nil {
			wait = 0
		}
		timer.Reset(wait)
	}
}

// release ends the lease when the server stops, so that another one can go on at once.
func (e *Engine) release(ctx context.Context) {
	if !e.holding {
		return
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseTTL/10)
	defer cancel()
	if err := e.Store.ReleaseLease(last, lease, e.Holder); err != nil && e.OnError != nil {
		e.OnError(err)
	}
}

// round sends one batch, and reports whether there may be more that is due. An idle server only
// reads: the lease is acquired when something is due.
func (e *Engine) round(ctx context.Context) (more bool, err error) {
	now := e.Now()
	due, err := e.Store.DeliveriesDue(ctx, now)
	if err != nil || !due {
		return false, err
	}
	ours, err := e.Store.AcquireLease(ctx, lease, e.Holder, leaseTTL)
	if err != nil || !ours {
		e.holding = false
		return false, err
	}
	if !e.holding { // whoever had the lease before has stopped, perhaps in the middle of a batch
		if err := e.Store.ReleaseDeliveries(ctx, e.Holder, now); err != nil {
			return false, err
		}
		e.holding = true
	}
	batch, err := e.Store.ClaimDeliveries(ctx, Claim{
		Holder: e.Holder,
		Now:    now,
		Until:  now.Add(claimTTL),
		Limit:  batchSize,
	})
	if err != nil {
		return false, err
	}
	finished, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTTL)
	defer cancel()
	stop := e.keepLease(finished)
	untried := e.send(finished, ctx.Done(), batch)
	stop()
	return len(batch) > 0, e.Store.FinishDeliveries(finished, untried)
}

// keepLease renews the lease while a batch takes long, until stop is called.
func (e *Engine) keepLease(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(leaseTTL / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_, err := e.Store.AcquireLease(ctx, lease, e.Holder, leaseTTL)
				if err != nil && ctx.Err() == nil && e.OnError != nil {
					e.OnError(err)
				}
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

// send sends a batch and stores the outcome of each delivery that was tried. It returns the others,
// which are due again. The kinds run side by side.
func (e *Engine) send(ctx context.Context, stopping <-chan struct{}, batch []Delivery) (untried []Delivery) {
	slices.SortFunc(batch, func(a, b Delivery) int { return strings.Compare(string(a.ID), string(b.ID)) })
	byKind := map[Kind]*worklist{}
	for i := range batch {
		d := &batch[i]
		if byKind[d.Kind] == nil {
			byKind[d.Kind] = newWorklist(stopping)
		}
		byKind[d.Kind].add(d)
	}
	var wg sync.WaitGroup
	for kind, l := range byKind {
		if e.away[kind] == nil {
			e.away[kind] = &outage{}
		}
		out := e.away[kind]
		wg.Go(func() { e.sendKind(ctx, kind, l, out) })
	}
	wg.Wait()
	for _, l := range byKind {
		untried = append(untried, l.untried()...)
	}
	return untried
}

// sendKind sends the deliveries of one kind: as many targets side by side as its sender allows.
func (e *Engine) sendKind(ctx context.Context, kind Kind, l *worklist, out *outage) {
	now := e.Now()
	s := e.Senders[kind]
	switch {
	case s == nil: // of a newer version, or not configured on this server
		l.release(now.Add(longestAway))
		return
	case now.Before(out.until):
		l.release(out.until)
		return
	}
	var wg sync.WaitGroup
	for range min(max(s.Parallel(), 1), len(l.targets)) {
		wg.Go(func() {
			for target := l.next(); target != nil; target = l.next() {
				e.sendTarget(ctx, s, target, l)
			}
		})
	}
	wg.Wait()
	now = e.Now()
	switch {
	case l.away:
		out.pause = min(max(2*out.pause, shortestAway), longestAway)
		out.until = now.Add(out.pause)
		now = out.until
	case l.answered:
		*out = outage{}
	}
	l.release(now)
}

// sendTarget sends the deliveries to one target in order, until one has to wait: then those behind
// it wait as well.
func (e *Engine) sendTarget(ctx context.Context, s Sender, target []*item, l *worklist) {
	for i, d := range target {
		if l.stopped() {
			return
		}
		now := e.Now()
		d.tried = true
		if !d.ExpiresAt.IsZero() && !d.ExpiresAt.After(now) {
			d.State, d.FinishedAt = Expired, now
			e.finish(ctx, d)
			continue
		}
		err := e.attempt(ctx, s, d.Delivery)
		d.rejected = fault.Reason(err) == ReasonRecipient
		e.settle(d.Delivery, err, e.Now())
		l.note(err)
		d.away = d.State == Queued && fault.Is(err, fault.Unavailable)
		if !d.away {
			e.finish(ctx, d)
		}
		if d.State == Queued {
			for _, behind := range target[i+1:] {
				behind.notBefore = d.NextAttemptAt
			}
			return
		}
	}
}

// finish stores the outcome of a delivery at once: what a crash makes the next server send again is
// only what is under way. If that fails, the delivery is stored with the rest of the batch.
func (e *Engine) finish(ctx context.Context, d *item) {
	if err := e.Store.FinishDeliveries(ctx, []Delivery{*d.Delivery}); err != nil {
		if e.OnError != nil {
			e.OnError(err)
		}
		return
	}
	d.stored = true
	if d.State != Dead {
		return
	}
	if e.OnDead != nil {
		e.OnDead(ctx, d.Delivery)
	}
	if d.rejected && e.OnRejected != nil {
		e.OnRejected(ctx, d.Delivery)
	}
}

func (e *Engine) attempt(ctx context.Context, s Sender, d *Delivery) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return s.Send(ctx, d)
}

// settle sets the outcome of an attempt.
func (e *Engine) settle(d *Delivery, err error, now time.Time) {
	if err == nil {
		d.State, d.FinishedAt, d.LastError = Sent, now, ""
		return
	}
	d.LastError = shortened(err)
	giveUp := e.GiveUp
	if giveUp <= 0 {
		giveUp = DefaultGiveUp
	}
	final := fault.Is(err, fault.Denied) || fault.Is(err, fault.Invalid)
	if final || now.Sub(d.CreatedAt) >= giveUp {
		d.State, d.FinishedAt = Dead, now
		return
	}
	d.NextAttemptAt = now.Add(Pause(d.Attempts))
}

// Pause returns how long to wait after the n-th attempt has failed: about 30 seconds after the
// first, then double each time up to an hour, and a tenth more or less at random.
func Pause(n int) time.Duration {
	pause := longestWait
	if n < 8 {
		pause = min(firstPause<<max(n-1, 0), longestWait)
	}
	return pause - pause/10 + rand.N(pause/5)
}
