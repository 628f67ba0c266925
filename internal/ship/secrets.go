package ship

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
)

// secretBatch is how many secrets are noticed in one step.
const secretBatch = 100

// SecretStore is what the notices need of storage.
type SecretStore interface {
	People
	// EndingSecrets returns up to limit secrets that expire at a time or before, and have not had a
	// notice yet.
	EndingSecrets(ctx context.Context, at time.Time, n client.Notice, limit int) ([]client.EndingSecret, error)
	// NoticeSecret notes that a secret has had a notice, and records the events unless it had it
	// before.
	NoticeSecret(ctx context.Context, id string, n client.Notice, ev ...audit.Event) error
}

// Secrets tells administrators which secrets of clients expire, each once before and once after.
// The former secret of a rotation expires as it was meant to: only the last one of a client is
// worth a message.
type Secrets struct {
	Store   SecretStore
	Sealer  *outbox.Sealer
	Mail    bool
	Warning time.Duration // how long before
}

// Notice records and mails what is due.
func (s *Secrets) Notice(ctx context.Context, now time.Time) error {
	if err := s.notice(ctx, client.HasExpired, now, now); err != nil || s.Warning <= 0 {
		return err
	}
	return s.notice(ctx, client.ExpiresSoon, now.Add(s.Warning), now)
}

func (s *Secrets) notice(ctx context.Context, n client.Notice, before, now time.Time) error {
	for {
		all, err := s.Store.EndingSecrets(ctx, before, n, secretBatch)
		if err != nil {
			return err
		}
		for i := range all {
			ev, err := s.events(ctx, &all[i], n, now)
			if err != nil {
				return err
			}
			if err := s.Store.NoticeSecret(ctx, all[i].ID, n, ev...); err != nil {
				return err
			}
		}
		if len(all) < secretBatch {
			return nil
		}
	}
}

// events returns what is recorded about a secret.
func (s *Secrets) events(ctx context.Context, x *client.EndingSecret, n client.Notice, now time.Time) ([]audit.Event, error) {
	if n == client.ExpiresSoon && !x.Last {
		return nil, nil
	}
	ev := audit.Event{
		At:     now,
		Type:   audit.ClientSecretExpiring,
		Actor:  audit.ActorSystem,
		Client: string(x.Client),
		Detail: map[string]string{"secret_id": x.ID, "expires_at": audit.Timestamp(x.ExpiresAt)},
	}
	message := outbox.MessageSecretExpires
	if n == client.HasExpired {
		ev.Type, message = audit.ClientSecretExpired, outbox.MessageSecretExpired
	}
	if !s.Mail || !x.Last {
		return []audit.Event{ev}, nil
	}
	admins, err := s.Store.Administrators(ctx, maxAdmins)
	if err != nil {
		return nil, err
	}
	names := &Alerts{People: s.Store}
	ev.Deliveries = toAdmins(s.Sealer, admins, message, map[string]string{
		"client":  names.clientName(ctx, string(x.Client)),
		"expires": x.ExpiresAt.UTC().Format(time.RFC3339),
	}, now)
	return []audit.Event{ev}, nil
}
