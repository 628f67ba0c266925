package outbox

import (
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// item is a delivery of a batch that is being sent.
type item struct {
	*Delivery
	tried     bool
	rejected  bool      // the target rejected its recipient
	away      bool      // it was tried, and nothing of its kind could be sent
	stored    bool      // its outcome is
	notBefore time.Time // of one that waits behind another to the same target
}

// worklist is the deliveries of one kind in a batch, by target. Workers take one target at a time.
type worklist struct {
	stopping <-chan struct{} // closed when the server stops
	byTarget map[string]int

	mu       sync.Mutex
	targets  [][]*item
	taken    int
	away     bool // nothing of this kind can be sent at the moment
	answered bool // something was sent, or rejected by a target that answers
}

func newWorklist(stopping <-chan struct{}) *worklist {
	return &worklist{stopping: stopping, byTarget: map[string]int{}}
}

// add appends a delivery to those of its target.
func (l *worklist) add(d *Delivery) {
	i, ok := l.byTarget[d.Target]
	if !ok {
		i = len(l.targets)
		l.byTarget[d.Target] = i
		l.targets = append(l.targets, nil)
	}
	l.targets[i] = append(l.targets[i], &item{Delivery: d})
}

// next returns the deliveries to the next target, or nil when there is none or sending has ended.
func (l *worklist) next() []*item {
	if l.stopped() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.taken == len(l.targets) {
		return nil
	}
	l.taken++
	return l.targets[l.taken-1]
}

// stopped reports whether no further delivery may begin.
func (l *worklist) stopped() bool {
	select {
	case <-l.stopping:
		return true
	default:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.away
}

// note records what the outcome of an attempt says about the kind.
func (l *worklist) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if fault.Is(err, fault.Unavailable) {
		l.away = true
		return
	}
	l.answered = true
}

// untried returns the deliveries whose outcome is not stored.
func (l *worklist) untried() (all []Delivery) {
	for _, target := range l.targets {
		for _, d := range target {
			if !d.stored {
				all = append(all, *d.Delivery)
			}
		}
	}
	return all
}

// release sets when the deliveries that were not sent for a reason that is not theirs are due
// again. An attempt counts only at those that were tried.
func (l *worklist) release(due time.Time) {
	for _, target := range l.targets {
		for _, d := range target {
			if d.tried && !d.away {
				continue
			}
			if !d.tried {
				d.Attempts--
			}
			d.NextAttemptAt = due
			if d.notBefore.After(due) {
				d.NextAttemptAt = d.notBefore
			}
		}
	}
}
