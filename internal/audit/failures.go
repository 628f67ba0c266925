package audit

import (
	"cmp"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Bounds of the failures that are recorded one by one in a minute. Strangers cause them, so further
// ones are only counted.
const (
	failuresByOne = 10  // of one address, and of one subject
	failuresByAll = 600 // of all callers
)

// FailureKey is what counted failures have in common; both are empty for the rest.
type FailureKey struct {
	Address string // the network of the caller
	Subject string // whom the failures are about: a client or a user
}

// FailureCounter decides which failures are recorded one by one, and counts the others. Its memory
// is bounded by failuresByAll. It is safe for concurrent use.
type FailureCounter struct {
	mu       sync.Mutex
	minute   time.Time
	total    int
	recorded map[FailureKey]int // in this minute
	since    time.Time
	counts   map[FailureKey]int64 // not recorded yet
}

// NewFailureCounter returns a FailureCounter that has counted nothing.
func NewFailureCounter() *FailureCounter {
	return &FailureCounter{recorded: map[FailureKey]int{}, counts: map[FailureKey]int64{}}
}

// Add reports whether a failure is to be recorded by itself. Otherwise it has been counted, for the
// first of the keys that has failed too often in this minute.
func (f *FailureCounter) Add(now time.Time, keys ...FailureKey) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if minute := now.Truncate(time.Minute); !minute.Equal(f.minute) {
		f.minute, f.total, f.recorded = minute, 0, map[FailureKey]int{}
	}
	frequent := slices.IndexFunc(keys, func(k FailureKey) bool {
		return f.recorded[k] >= failuresByOne
	})
	var key FailureKey
	switch {
	case frequent >= 0:
		key = keys[frequent]
	case f.total < failuresByAll:
		for _, k := range keys {
			f.recorded[k]++
		}
		f.total++
		return true
	}
	if len(f.counts) == 0 {
		f.since = now
	}
	f.counts[key]++
	return false
}

// Counts are failures that were counted instead of being recorded.
type Counts struct {
	since  time.Time
	counts map[FailureKey]int64
}

// Take returns what was counted since the last call.
func (f *FailureCounter) Take() Counts {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := Counts{since: f.since, counts: f.counts}
	f.counts = map[FailureKey]int64{}
	return c
}

// Restore adds counts that could not be stored to what has been counted since.
func (f *FailureCounter) Restore(c Counts) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.since = c.since
	for key, n := range c.counts {
		f.counts[key] += n
	}
}

// Events returns one event for each key, in the order of the keys. fill sets what the event says of
// its key.
func (c Counts) Events(now time.Time, fill func(FailureKey, *Event)) []Event {
	keys := make([]FailureKey, 0, len(c.counts))
	for key := range c.counts {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b FailureKey) int {
		return cmp.Or(cmp.Compare(a.Address, b.Address), cmp.Compare(a.Subject, b.Subject))
	})
	var evs []Event
	for _, key := range keys {
		ev := Event{
			At:     now,
			Actor:  "system",
			IP:     key.Address,
			Reason: ReasonRepeatedFailures,
			Detail: map[string]string{
				"count": strconv.FormatInt(c.counts[key], 10),
				"since": c.since.UTC().Format(time.RFC3339),
			},
		}
		fill(key, &ev)
		evs = append(evs, ev)
	}
	return evs
}
