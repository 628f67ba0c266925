package doctor

import (
	"fmt"
	"time"
)

// failingLong is for how long a target may be away before that is a problem.
const failingLong = time.Hour

// examineDeliveries looks at the targets of the audit log: log servers, webhooks, checkpoints.
func examineDeliveries(f *Facts, s *findings) {
	d := f.Deliveries
	if d == nil {
		return
	}
	for _, x := range d.Sinks {
		examineSink(&x, f.Now, s)
	}
	for _, address := range d.Webhooks {
		s.warn("webhook", "The server has switched off the webhook at "+address+", which answered that it is gone.",
			"Switch it on again when the target is back, or delete it: gatehouse webhook list")
	}
	if c := d.Checkpoint; c != nil {
		examineCheckpoint(c, f.Now, s)
	}
}

func examineSink(x *Sink, now time.Time, s *findings) {
	healthy := true
	if age := now.Sub(x.FailingSince); !x.FailingSince.IsZero() {
		healthy = false
		level := Warning
		if age > failingLong {
			level = Problem
		}
		s.add("sink", level, fmt.Sprintf("%s has not taken the audit log for %s: %s.", x.Name, days(age), x.Error),
			"Nothing is lost until DELIVERY_GIVE_UP is over. See: gatehouse audit sinks")
	}
	if x.Lost > 0 {
		healthy = false
		s.warn("gap", fmt.Sprintf("%s lacks %d events of the last 30 days, which were given up on.", x.Name, x.Lost),
			"See which: gatehouse audit sinks --gaps")
	}
	if healthy {
		s.good("sink", x.Name+" has the audit log.")
	}
}

func examineCheckpoint(c *CheckpointTarget, now time.Time, s *findings) {
	switch age := now.Sub(c.FailingSince); {
	case !c.FailingSince.IsZero():
		level := Warning
		if age > failingLong {
			level = Problem
		}
		s.add("checkpoint", level, fmt.Sprintf("No checkpoint has reached AUDIT_CHECKPOINT_URL for %s: %s.", days(age), c.Error),
			"It is tried again. Until then, a removal of the newest events could not be noticed by what is kept there.")
	case c.Last.IsZero():
		s.note("checkpoint", "No checkpoint has been sent to AUDIT_CHECKPOINT_URL yet.", "")
	default:
		s.good("checkpoint", "AUDIT_CHECKPOINT_URL takes checkpoints.")
	}
}
