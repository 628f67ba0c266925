package admin

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
)

// maxNotified bounds the administrators who get one notice.
const maxNotified = 50

// noticeRotation attaches messages about the rotation of a client's secret to its event: to every
// active administrator with an address, where the operator wishes that and the server has mail.
func (o *Operations) noticeRotation(
	ctx context.Context, a Actor, c *client.Client, ev *audit.Event, now time.Time,
) error {
	if !o.cfg.NotifyRotation {
		return nil
	}
	admins, err := o.store.Admins(ctx, maxNotified)
	if err != nil {
		return err
	}
	by := a.Name()
	for _, u := range admins {
		if a.User != "" && u.ID == a.User {
			by = u.Label()
		}
	}
	name := string(c.ID)
	if c.Name != "" {
		name = c.Name + " (" + name + ")"
	}
	for i := range admins {
		ev.Deliveries = append(ev.Deliveries, o.rotationMail(&admins[i], name, by, now)...)
	}
	return nil
}

func (o *Operations) rotationMail(u *identity.User, app, by string, now time.Time) []outbox.Delivery {
	if u.Email == "" {
		return nil
	}
	return []outbox.Delivery{o.parts.Sealer.Mail(outbox.Mail{
		To:      u.Email,
		Name:    u.Name,
		Locale:  u.Locale,
		Zone:    u.Zoneinfo,
		Message: outbox.MessageSecretRotated,
		Values:  map[string]string{"client": app, "by": by, "time": now.UTC().Format(time.RFC3339)},
	}, now)}
}
