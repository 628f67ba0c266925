package ship

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
)

// progress is how far a sink has come: in memory, and in the database.
type progress struct {
	e      *Engine
	sink   audit.Sink
	stored audit.Position
	saved  time.Time // when the sink was stored
}

func newProgress(e *Engine, s *audit.Sink) progress {
	return progress{e: e, sink: *s, stored: s.Position, saved: e.Now()}
}

// idle notes that nothing of interest lies before a position. It stores that now and then, since
// the log is kept as long as a sink may need it.
func (p *progress) idle(next audit.Position, save func() error) error {
	if p.sink.Position.Less(next) {
		p.sink.Position = next
	}
	if p.sink.Position == p.stored || p.e.Now().Sub(p.saved) < idleSave {
		return nil
	}
	return save()
}

// delivered notes that the target has n further events, and everything up to a position.
func (p *progress) delivered(n int, to audit.Position, now time.Time) {
	p.sink.Position = to
	p.sink.Delivered += int64(n)
	if n > 0 {
		p.sink.DeliveredAt = now
	}
	p.sink.Attempts, p.sink.LastError = 0, ""
	p.sink.FailingSince, p.sink.NextAttemptAt = time.Time{}, time.Time{}
}

// failed notes a failed attempt.
func (p *progress) failed(err error, now time.Time, first, longest, requested time.Duration) {
	if p.sink.FailingSince.IsZero() {
		p.sink.FailingSince = now
	}
	p.sink.Attempts++
	p.sink.LastError = shortened(err.Error())
	p.sink.NextAttemptAt = now.Add(backoff(p.sink.Attempts, first, longest, requested))
}

// overdue reports whether an event has been tried for too long: since it happened, or since the
// target began to fail, if that is later.
func (p *progress) overdue(at, now time.Time) bool {
	since := at
	if p.sink.FailingSince.After(since) {
		since = p.sink.FailingSince
	}
	return !p.sink.FailingSince.IsZero() && now.Sub(since) >= p.e.GiveUp
}

// wait returns how long the next attempt has to wait.
func (p *progress) wait(now time.Time) time.Duration {
	if p.sink.NextAttemptAt.IsZero() {
		return 0
	}
	return p.sink.NextAttemptAt.Sub(now)
}

// done marks what was stored.
func (p *progress) done(err error) error {
	if err == nil {
		p.stored, p.saved = p.sink.Position, p.e.Now()
	}
	return err
}

// saving returns a context for storing an outcome, which the end of ctx does not end at once.
func saving(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 2*storePause)
}

// maxError bounds stored texts of errors, in bytes.
const maxError = 300

func shortened(s string) string { return excerpt([]byte(s), maxError) }
