package sqldb

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// batchTimeout bounds the writing of a batch, and the wait for a worker.
const batchTimeout = 5 * time.Second

// A Batcher lets callers share the cost of a commit. Items are added to the open batch, and the
// caller who first waits for a batch writes it as a worker. A caller who is alone pays for one
// commit, at once; no caller waits for more items to come.
type Batcher[T any] struct {
	write   func(ctx context.Context, items []T) error
	workers chan struct{} // one element for each batch being written
	size    int

	mu   sync.Mutex
	open *Batch[T]
}

// A Batch is a number of items that are written together.
type Batch[T any] struct {
	items []T
	taken bool // a worker writes it; no items are added any more
	done  chan struct{}
	err   error
}

// NewBatcher returns a Batcher that writes at most size items together, and as many batches at a
// time as there are workers.
func NewBatcher[T any](
	size, workers int, write func(ctx context.Context, items []T) error,
) *Batcher[T] {
	return &Batcher[T]{
		write:   write,
		workers: make(chan struct{}, workers),
		size:    size,
		open:    newBatch[T](),
	}
}

func newBatch[T any]() *Batch[T] { return &Batch[T]{done: make(chan struct{})} }

// Add adds items to one batch and returns it. They are written when a caller waits for it.
func (b *Batcher[T]) Add(items ...T) *Batch[T] {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open.taken || len(b.open.items) >= b.size {
		b.open = newBatch[T]()
	}
	b.open.items = append(b.open.items, items...)
	return b.open
}

// Wait returns when a batch is written, with the error of writing it. It returns Unavailable when
// ctx ends first, or when the batches before it take too long: then the outcome is unknown.
func (b *Batcher[T]) Wait(ctx context.Context, batch *Batch[T]) error {
	if mine, err := b.acquire(ctx, batch); !mine {
		return err
	}
	defer close(batch.done) // also when write panics: the others must not wait forever
	defer func() { <-b.workers }()
	// The batch has other callers' items, too: it is written even if this caller leaves.
	timeout, cancel := context.WithTimeout(context.WithoutCancel(ctx), batchTimeout)
	defer cancel()
	batch.err = unavailable(nil, "the change was lost; try again in a moment") // unless write returns
	batch.err = b.write(timeout, batch.items)
	return batch.err
}

// acquire makes the caller the worker that writes a batch, and returns true. Where another caller
// writes it, acquire waits until it is written and returns false with the error.
func (b *Batcher[T]) acquire(ctx context.Context, batch *Batch[T]) (mine bool, err error) {
	select {
	case b.workers <- struct{}{}:
	default: // only a caller who must wait pays for a timer
		wait, cancel := context.WithTimeout(ctx, batchTimeout)
		defer cancel()
		select {
		case <-batch.done:
			return false, batch.err
		case <-wait.Done():
			return false, cancelled(wait.Err())
		case b.workers <- struct{}{}:
		}
	}
	runtime.Gosched() // callers who are about to add an item share this batch
	b.mu.Lock()
	mine = !batch.taken
	batch.taken = true
	b.mu.Unlock()
	if mine {
		return true, nil
	}
	<-b.workers
	select {
	case <-batch.done:
		return false, batch.err
	case <-ctx.Done():
		return false, cancelled(ctx.Err())
	}
}
