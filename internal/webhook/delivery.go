package webhook

import (
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
)

// State is how far the delivery of one event to one webhook has come.
type State string

// The states. An event that waits behind another one has no delivery yet.
const (
	Queued State = "queued" // it failed and is tried again
	Sent   State = "sent"
	Dead   State = "dead"   // it was given up on
	Resend State = "resend" // an administrator asked for another attempt
)

// States returns the states, in the order above.
func States() []State { return []State{Queued, Sent, Dead, Resend} }

// Delivery is the record of what became of one event at one webhook.
type Delivery struct {
	ID            string // a UUIDv7
	Webhook       ID
	Event         string // the id of the event, which is the id of the message, too
	Type          audit.Type
	State         State
	Attempts      int
	CreatedAt     time.Time // of the first attempt
	NextAttemptAt time.Time // while it is queued
	FinishedAt    time.Time // of the last attempt
	Status        int       // of the last answer; 0 if there was none
	Answer        string    // the beginning of its body
	Duration      time.Duration
	Error         string // why the last attempt failed, in words for the operator
}

// Settle sets the outcome of an attempt.
func (d *Delivery) Settle(state State, a Answer, now time.Time) {
	d.State, d.FinishedAt, d.NextAttemptAt = state, now, time.Time{}
	d.Status, d.Answer, d.Duration, d.Error = a.Status, a.Body, a.Duration, ""
	if a.Err != nil {
		d.Error = a.Err.Error()
	}
}

// Answer is what a target said to one attempt.
type Answer struct {
	Status     int           // 0 if there was none
	Body       string        // the beginning, at most MaxAnswer bytes
	Duration   time.Duration // of the attempt
	RetryAfter time.Duration // how long the target asks to be left alone; 0 if it does not
	Err        error         // why the attempt failed, or nil for a status of 200 to 299
}

// MaxAnswer bounds how much of an answer is stored, in bytes.
const MaxAnswer = 500

// Gone reports whether the target wants no more messages (410 Gone).
func (a *Answer) Gone() bool { return a.Status == 410 }

// Refused reports whether the target is there and refuses this message: another one may pass.
func (a *Answer) Refused() bool { return a.Status >= 400 && a.Status < 500 && !a.Busy() }

// Busy reports whether the target asks for a pause.
func (a *Answer) Busy() bool { return a.Status == 429 || a.Status == 503 || a.Status == 408 }

// Query selects deliveries of a webhook.
type Query struct {
	Webhook       ID
	State         State // "" for all
	Before        string
	Limit, Offset int
}
