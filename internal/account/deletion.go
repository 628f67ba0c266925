package account

import (
	"context"
	"net/url"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
)

// RequestDeletion ends all access to the caller's account at once, and has the account erased when
// the days of grace are over. Until then, signing in offers to keep it. The last administrator
// cannot do that. Inputs: current_password, code. It returns when the account is erased.
func (s *Server) RequestDeletion(ctx context.Context, c Caller, in url.Values) (time.Time, error) {
	if err := c.own(); err != nil {
		return time.Time{}, err
	}
	if err := s.reauthenticateFully(ctx, c, in); err != nil {
		return time.Time{}, err
	}
	d := &identity.Deletion{User: c.User.ID, RequestedAt: c.Now, DueAt: s.DeletionDue(c)}
	ev := c.event(audit.DeletionRequested)
	ev.Detail = map[string]string{"due": d.DueAt.UTC().Format(time.RFC3339)}
	s.login.Attach(&ev, c.User, s.deletionMail(&ev, outbox.MessageDeletionRequested, d))
	err := s.store.RequestDeletion(ctx, d, ev)
	if fault.Is(err, fault.Conflict) {
		return time.Time{}, fault.Wrap(fault.Conflict, err, "You are the only administrator, so your account "+
			"cannot be deleted. Make another person an administrator first.")
	}
	return d.DueAt, err
}

// DeletionDue returns when the account is erased if the caller asks for it now.
func (s *Server) DeletionDue(c Caller) time.Time { return c.Now.Add(s.cfg.DeletionGrace) }

func (s *Server) deletionMail(ev *audit.Event, message string, d *identity.Deletion) outbox.Mail {
	return outbox.Mail{
		Message: message,
		Values: map[string]string{
			"until": d.DueAt.UTC().Format(time.RFC3339),
			"ip":    ev.IP,
			"link":  s.cfg.BaseURL + "/login",
		},
	}
}

const (
	// reminderLead is how long before the deletion its owner is reminded of it.
	reminderLead = 48 * time.Hour
	// reminderGap is how long after the wish the reminder comes at the earliest.
	reminderGap = 24 * time.Hour
	eraseBatch  = 100
)

// EraseDue erases the accounts whose days of grace are over, and reminds the owners of those whose
// end is near. It is called from time to time.
func (s *Server) EraseDue(ctx context.Context, now time.Time) error {
	if err := s.remind(ctx, now); err != nil {
		return err
	}
	due, err := s.store.DueDeletions(ctx, now, eraseBatch)
	if err != nil {
		return err
	}
	for _, d := range due {
		if err := s.erase(ctx, d, now); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) erase(ctx context.Context, d identity.Deletion, now time.Time) error {
	u, err := s.store.User(ctx, d.User)
	if err != nil {
		return ignoreNotFound(err)
	}
	ev := audit.Event{At: now, Type: audit.AccountErased, Actor: string(u.ID), User: string(u.ID)}
	s.login.Attach(&ev, u, outbox.Mail{Message: outbox.MessageAccountDeleted})
	return ignoreNotFound(s.store.EraseUser(ctx, u, now, ev))
}

func (s *Server) remind(ctx context.Context, now time.Time) error {
	near, err := s.store.RemindersDue(ctx, now.Add(reminderLead), eraseBatch)
	if err != nil {
		return err
	}
	for _, d := range near {
		if now.Sub(d.RequestedAt) < reminderGap {
			continue // the message about the wish is the reminder
		}
		u, err := s.store.User(ctx, d.User)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		ev := audit.Event{At: now}
		m := s.deletionMail(&ev, outbox.MessageDeletionSoon, &d)
		m.Expires = d.DueAt
		s.login.Attach(&ev, u, m)
		err = s.store.MarkReminded(ctx, u.ID, now, ev.Deliveries...)
		if err != nil && !fault.Is(err, fault.Consumed) {
			return err
		}
	}
	return nil
}
