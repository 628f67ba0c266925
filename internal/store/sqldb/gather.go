package sqldb

import (
	"context"
	"sync"
	"time"
)

// sheetWithin bounds the writing of a sheet, whoever waits for it.
const sheetWithin = 5 * time.Second

// Gather lets callers share the cost of a commit: what they want written is put on the sheet that is open, and whoever first needs
// to know that it is written writes the whole sheet. A caller who is alone pays for one commit, at once; nobody waits for more to come.
type Batcher[T any] struct {
	write func(ctx context.Context, items []T) error
	pens  chan struct{} // one for each sheet that may be written at a time
	most  int

	mu   sync.Mutex
	open *Sheet[T]
}

// Sheet is items that are written together.
type Sheet[T any] struct {
	items []T
	taken bool // somebody writes it; nothing is added any more
	done  chan struct{}
	err   error
}

// NewGather makes a gatherer of sheets of so many items, of which so many are written at a time.
func NewBatcher[T any](most, pens int, write func(ctx context.Context, items []T) error) *Batcher[T] {
	return &Batcher[T]{write: write, pens: make(chan struct{}, pens), most: most, open: newSheet[T]()}
}

func newSheet[T any]() *Sheet[T] { return &Sheet[T]{done: make(chan struct{})} }

// Add puts items on one sheet. They are written when somebody waits for it.
func (g *Batcher[T]) Add(items ...T) *Sheet[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open.taken || len(g.open.items) >= g.most {
		g.open = newSheet[T]()
	}
	g.open.items = append(g.open.items, items...)
	return g.open
}

// Wait returns when a sheet is written, or Unavailable when ctx ends or the sheets before it take too long: then nobody knows.
func (g *Batcher[T]) Wait(ctx context.Context, s *Sheet[T]) error {
	select {
	case g.pens <- struct{}{}:
	default: // only who waits pays for a bound
		turn, cancel := context.WithTimeout(ctx, sheetWithin)
		defer cancel()
		select {
		case <-s.done:
			return s.err
		case <-turn.Done():
			return cancelled(turn.Err())
		case g.pens <- struct{}{}:
		}
	}
	g.mu.Lock()
	mine := !s.taken
	s.taken = true
	g.mu.Unlock()
	if !mine {
		<-g.pens
		select {
		case <-s.done:
			return s.err
		case <-ctx.Done():
			return cancelled(ctx.Err())
		}
	}
	defer close(s.done) // also when write panics: the others must not wait for ever
	defer func() { <-g.pens }()
	// The sheet is that of others, too: it is written whether or not this caller stays.
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), sheetWithin)
	defer cancel()
	s.err = unavailable(nil, "what was to be written got lost; try again in a moment")
	s.err = g.write(within, s.items)
	return s.err
}
