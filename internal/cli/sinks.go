package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
)

// auditSinks shows where the audit log is delivered to.
type auditSinks struct {
	Gaps bool `help:"List the events that a sink does not have instead."`
}

// sinkView is a sink as the command line shows it.
type sinkView struct {
	Name          string    `json:"name"`
	State         string    `json:"state"`
	Delivered     int64     `json:"delivered"`
	Waiting       int64     `json:"waiting"`
	Parked        int64     `json:"parked"`
	Position      int64     `json:"position"`
	DeliveredAt   timestamp `json:"delivered_at"`
	FailingSince  timestamp `json:"failing_since"`
	NextAttemptAt timestamp `json:"next_attempt_at"`
	LastError     string    `json:"last_error"`
}

func viewSink(s *audit.Sink) sinkView {
	return sinkView{
		Name:          s.Name,
		State:         s.State(),
		Delivered:     s.Delivered,
		Waiting:       s.Waiting,
		Parked:        s.Parked,
		Position:      s.Position.Page,
		DeliveredAt:   timestamp{s.DeliveredAt},
		FailingSince:  timestamp{s.FailingSince},
		NextAttemptAt: timestamp{s.NextAttemptAt},
		LastError:     s.LastError,
	}
}

// gapView is a gap as the command line shows it.
type gapView struct {
	ID            string    `json:"id"`
	Sink          string    `json:"sink"`
	State         string    `json:"state"`
	Reason        string    `json:"reason"`
	Events        int64     `json:"events"`
	First         string    `json:"first_event"`
	Last          string    `json:"last_event"`
	Attempts      int       `json:"attempts"`
	CreatedAt     timestamp `json:"created_at"`
	NextAttemptAt timestamp `json:"next_attempt_at"`
	Error         string    `json:"error"`
}

func viewGap(g *audit.Gap) gapView {
	return gapView{
		ID:            g.ID,
		Sink:          g.Sink,
		State:         g.State(),
		Reason:        g.Reason,
		Events:        g.Events,
		First:         g.First,
		Last:          g.Last,
		Attempts:      g.Attempts,
		CreatedAt:     timestamp{g.CreatedAt},
		NextAttemptAt: timestamp{g.NextAttemptAt},
		Error:         g.Error,
	}
}

// Run prints the sinks, or the gaps.
func (f *auditSinks) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		if f.Gaps {
			return printGaps(ctx, c, ops, a)
		}
		all, err := ops.AuditSinks(ctx, a)
		if err != nil {
			return err
		}
		views := make([]sinkView, 0, len(all))
		for i := range all {
			views = append(views, viewSink(&all[i]))
		}
		return showList(c, views, len(views), func(s *table) {
			s.row("SINK", "STATE", "DELIVERED", "WAITING", "PARKED", "LAST DELIVERY", "NEXT ATTEMPT", "LAST ERROR")
			for _, v := range views {
				s.row(v.Name, v.State, fmt.Sprint(v.Delivered), fmt.Sprint(v.Waiting), fmt.Sprint(v.Parked),
					s.when(v.DeliveredAt.Time), s.when(v.NextAttemptAt.Time), v.LastError)
			}
		})
	})
}

func printGaps(ctx context.Context, c *call, ops operations, a admin.Actor) error {
	all, err := ops.AuditGaps(ctx, a, admin.GapQuery{Limit: admin.MaxPage})
	if err != nil {
		return err
	}
	views := make([]gapView, 0, len(all))
	for i := range all {
		views = append(views, viewGap(&all[i]))
	}
	return showList(c, views, len(views), func(s *table) {
		s.row("SINK", "STATE", "REASON", "EVENTS", "FIRST EVENT", "LAST EVENT", "SINCE", "ERROR")
		for _, v := range views {
			s.row(v.Sink, v.State, v.Reason, fmt.Sprint(v.Events), v.First, v.Last,
				v.CreatedAt.UTC().Format(time.RFC3339), v.Error)
		}
	})
}
