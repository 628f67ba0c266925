package audit

import (
	"strconv"
	"time"
)

// Position is a place in the audit log, in the order in which changes were committed. Whoever has
// read up to a position has missed nothing before it, with any number of servers writing.
type Position struct {
	Page  int64
	Event string // the last event of the page that counts; EndOfPage for all of it
}

// EndOfPage sorts after every id of an event.
const EndOfPage = "~"

// Less reports whether p comes before q.
func (p Position) Less(q Position) bool {
	return p.Page < q.Page || p.Page == q.Page && p.Event < q.Event
}

// Batch is a part of the audit log, in order.
type Batch struct {
	Events []Event
	At     []Position // of each event
	Next   Position   // up to where the log was read
	More   bool       // there may be more at once
}

// Sink is a place where the audit log is delivered to, and how far that has come.
type Sink struct {
	Name      string // such as syslog
	Active    bool
	Position  Position
	Delivered int64 // events
	Parked    int64 // events that were given up on

	Attempts      int       // that have failed one after another
	FailingSince  time.Time // zero: it is not failing
	NextAttemptAt time.Time // while it is failing
	DeliveredAt   time.Time // the last time
	LastError     string
	CreatedAt     time.Time

	Waiting int64     // events that the target refused and that are tried again; for lists
	Oldest  time.Time // when the oldest event happened that is not delivered, or zero; for lists
}

// Why events are in a gap.
const (
	GapRefused = "refused" // the target rejected them
	GapAway    = "away"    // the target could not be reached for too long
	GapOff     = "off"     // retention removed them while the sink was switched off
)

// Gap is a run of events that a sink does not have.
type Gap struct {
	ID            string
	Sink          string
	Parked        bool // it was given up on; otherwise it is tried again
	Reason        string
	Position      Position // of the first event
	First, Last   string   // ids of events
	Events        int64
	Attempts      int
	CreatedAt     time.Time
	NextAttemptAt time.Time
	Error         string
}

// State returns how a sink is, in one word: active, failing, or off.
func (s Sink) State() string {
	switch {
	case !s.Active:
		return "off"
	case !s.FailingSince.IsZero():
		return "failing"
	}
	return "active"
}

// State returns what becomes of the events of a gap, in one word: waiting, or parked.
func (g Gap) State() string {
	if g.Parked {
		return "parked"
	}
	return "waiting"
}

// Event returns the audit event of a gap that was given up on.
func (g Gap) Event(now time.Time) Event {
	return Event{
		At:     now,
		Type:   DeliveryDead,
		Actor:  "system",
		Reason: g.Reason,
		Detail: map[string]string{
			"sink":   g.Sink,
			"events": strconv.FormatInt(g.Events, 10),
			"first":  g.First,
			"last":   g.Last,
			"error":  g.Error,
		},
	}
}
