package ship

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

// Notifier sends alerts and notices about client secrets to one address, such as an incoming
// webhook of Slack: each as a JSON object with a sentence under "text".
type Notifier struct {
	URL      string
	Signer   webhook.Signer // the zero value signs nothing
	Poster   Poster
	People   People
	App      string // the product's name
	Rotation bool   // rotations of client secrets, too
	Now      func() time.Time
}

// Name returns the name of the sink.
func (n *Notifier) Name() string { return "notification" }

// Close does nothing.
func (n *Notifier) Close() {}

// Types returns the types of events that are sent.
func (n *Notifier) Types() []audit.Type {
	all := []audit.Type{
		audit.AlertRaised,
		audit.ClientSecretExpiring,
		audit.ClientSecretExpired,
		audit.WebhookEnded,
	}
	if n.Rotation {
		all = append(all, audit.ClientSecretRotated)
	}
	return all
}

// notice is what is sent about an event.
type notice struct {
	Text       string `json:"text"`
	ID         string `json:"id"`
	Event      string `json:"event"`
	At         string `json:"at"`
	Alert      string `json:"alert,omitempty"`
	ClientID   string `json:"client_id,omitempty"`
	ClientName string `json:"client_name,omitempty"`
	UserID     string `json:"user_id,omitempty"`
	Actor      string `json:"actor"`
}

// Deliver sends one message for each event.
func (n *Notifier) Deliver(ctx context.Context, events []audit.Event) (out Outcome) {
	for i := range events {
		ev := &events[i]
		body, err := json.Marshal(n.notice(ctx, ev))
		if err != nil { // not for texts
			panic(err)
		}
		answer := n.Poster.Post(ctx, Message{
			URL:    n.URL,
			ID:     ev.ID,
			At:     n.Now(),
			Body:   body,
			Signer: n.Signer,
		})
		if answer.Err != nil {
			if answer.Body != "" {
				answer.Err = fault.Wrap(fault.KindOf(answer.Err), fmt.Errorf("%s", answer.Body), "%s",
					fault.Text(answer.Err))
			}
			out.Err, out.RetryAfter = answer.Err, answer.RetryAfter
			return out
		}
		out.Done++
	}
	return out
}

func (n *Notifier) notice(ctx context.Context, ev *audit.Event) notice {
	out := notice{
		ID:       ev.ID,
		Event:    ev.Type.Name(),
		At:       audit.Timestamp(ev.At),
		Alert:    ev.Detail["alert"],
		ClientID: ev.Client,
		UserID:   ev.User,
		Actor:    ev.Actor,
	}
	names := &Alerts{People: n.People}
	app := ev.Client
	if ev.Client != "" {
		app = names.clientName(ctx, ev.Client)
		if name, ok := strings.CutSuffix(app, " ("+ev.Client+")"); ok {
			out.ClientName = name
		}
	}
	who := ""
	if ev.User != "" {
		who = names.userName(ctx, ev.User)
	}
	out.Text = plain(n.App + ": " + sentence(ev, app, who))
	return out
}

// sentence returns what happened, for people.
func sentence(ev *audit.Event, app, who string) string {
	d := ev.Detail
	switch ev.Type {
	case audit.ClientSecretRotated:
		return "the secret of " + app + " was rotated."
	case audit.ClientSecretExpiring:
		return "a secret of " + app + " expires at " + d["expires_at"] + "."
	case audit.ClientSecretExpired:
		return "a secret of " + app + " has expired."
	case audit.WebhookEnded:
		return "the webhook to " + d["host"] + " was switched off, since its target answered 410 Gone."
	}
	switch d["alert"] {
	case AlertReplay:
		return "a code or token of " + app + " was used a second time, so its access was ended. It may have been stolen."
	case AlertLockouts:
		return d["count"] + " accounts were locked within 10 minutes. Someone may be guessing passwords."
	case AlertDeliveries:
		return d["count"] + " events could not be delivered to " + d["target"] + "."
	case AlertAdministrator:
		return "the administrator rights of " + who + " were changed."
	}
	return ev.Type.Name()
}

// plain returns a text without the characters by which Slack makes links and mentions: names are
// chosen by others.
func plain(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
