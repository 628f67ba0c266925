package trace

import (
	"context"
	"sync"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// queue holds the spans that have ended until they are sent. When it is full, further ones are
// dropped: a request never waits for the collector.
type queue struct {
	exporter *exporter
	report   Report
	delay    time.Duration
	timeout  time.Duration
	batch    int

	spans   chan sdktrace.ReadOnlySpan
	closing chan struct{}
	once    sync.Once
	stopped chan struct{}
	ctx     context.Context // of all exports
	cancel  context.CancelFunc
}

func newQueue(o Options) *queue {
	q := &queue{
		exporter: newExporter(o),
		report:   o.Report,
		delay:    o.Delay,
		timeout:  o.ExportTimeout,
		batch:    o.Batch,
		spans:    make(chan sdktrace.ReadOnlySpan, o.Queue),
		closing:  make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	if q.report == nil {
		q.report = noReport{}
	}
	q.ctx, q.cancel = context.WithCancel(context.Background())
	go q.run()
	return q
}

type noReport struct{}

func (noReport) Exported(int)      {}
func (noReport) Dropped(int)       {}
func (noReport) Failed(int, error) {}

// OnStart does nothing.
func (q *queue) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd queues a span.
func (q *queue) OnEnd(s sdktrace.ReadOnlySpan) {
	select {
	case <-q.closing:
	case q.spans <- s:
		return
	default:
	}
	q.report.Dropped(1)
}

// Shutdown does nothing: see close.
func (q *queue) Shutdown(context.Context) error { return nil }

// ForceFlush does nothing.
func (q *queue) ForceFlush(context.Context) error { return nil }

// run sends batches: when one is full, or when its first span has waited long enough.
func (q *queue) run() {
	defer close(q.stopped)
	timer := time.NewTimer(q.delay)
	timer.Stop()
	batch := make([]sdktrace.ReadOnlySpan, 0, q.batch)
	send := func() {
		timer.Stop()
		q.send(batch)
		clear(batch)
		batch = batch[:0]
	}
	for {
		select {
		case s := <-q.spans:
			if len(batch) == 0 {
				timer.Reset(q.delay)
			}
			if batch = append(batch, s); len(batch) == q.batch {
				send()
			}
			continue
		case <-timer.C:
			send()
			continue
		case <-q.closing:
		}
		for { // what is left
			select {
			case s := <-q.spans:
				if batch = append(batch, s); len(batch) == q.batch {
					send()
				}
				continue
			default:
			}
			send()
			return
		}
	}
}

func (q *queue) send(batch []sdktrace.ReadOnlySpan) {
	if len(batch) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(q.ctx, q.timeout)
	defer cancel()
	if err := q.exporter.export(ctx, batch); err != nil {
		q.report.Failed(len(batch), err)
		return
	}
	q.report.Exported(len(batch))
}

// close sends what is queued until ctx ends, and gives the rest up.
func (q *queue) close(ctx context.Context) {
	q.once.Do(func() { close(q.closing) })
	defer q.cancel()
	select {
	case <-q.stopped:
	case <-ctx.Done():
		q.cancel()
		<-q.stopped
	}
	q.exporter.client.CloseIdleConnections()
}
