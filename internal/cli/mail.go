package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
)

// mailCommands test the mail server, and show what became of messages.
type mailCommands struct {
	Test    mailTest    `cmd:"" help:"Send a message now and print what the mail server says."`
	Preview mailPreview `cmd:"" help:"Show a message as people get it, with invented values. Nothing is sent."`
	List    mailList    `cmd:"" aliases:"ls" help:"List messages, newest first, and what became of them."`
	Retry   mailRetry   `cmd:"" help:"Try a message again that was given up on."`
}

// mailPreview shows a message.
type mailPreview struct {
	Message string `arg:"" help:"Which message, such as password-reset."`
	Locale  string `placeholder:"TAG" help:"In which language. Default: DEFAULT_LOCALE."`
	Text    bool   `help:"Show the part in plain text, with the subject, instead of the HTML."`
	Output  string `placeholder:"FILE" help:"Write it to this file instead of stdout."`
}

// PreviewedMail is a message as people get it.
type PreviewedMail struct {
	Message  string `json:"message"`
	Language string `json:"language"`
	Subject  string `json:"subject"`
	HTML     string `json:"html"`
	Text     string `json:"text"`
}

// Run composes the message and prints it.
func (f *mailPreview) Run(_ context.Context, c *call) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	m, err := c.PreviewMail(cfg, f.Message, f.Locale)
	var found *fault.Error
	if errors.As(err, &found) && found.Field != "" { // of what was typed, not of the templates
		return usageError{err}
	}
	if err != nil {
		return err
	}
	body := m.HTML
	if f.Text {
		body = "Subject: " + m.Subject + "\n\n" + m.Text
	}
	switch {
	case f.Output != "":
		if err := os.WriteFile(f.Output, []byte(body), 0o644); err != nil {
			return fmt.Errorf("the message cannot be written: %w", err)
		}
		return c.done(map[string]string{"file": f.Output}, "The message is in %s.", f.Output)
	case c.json:
		return c.show(m, nil)
	}
	_, err = io.WriteString(c.stdout, body)
	return err
}

// mailTest sends a message.
type mailTest struct {
	To       string `required:"" placeholder:"ADDRESS" help:"Where to send it."`
	Template string `placeholder:"NAME" help:"Which message, such as password-reset. Default: test."`
	Locale   string `placeholder:"TAG" help:"In which language. Default: DEFAULT_LOCALE."`
}

// Run sends the message.
func (f *mailTest) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		err := ops.TestMail(ctx, a, admin.MailTest{To: f.To, Message: f.Template, Locale: f.Locale})
		if fault.Is(err, fault.Invalid) {
			return explainQuery(err)
		}
		if err != nil {
			return mailError{err}
		}
		return c.done(map[string]string{"to": f.To}, "The mail server accepted the message to %s.", f.To)
	})
}

// mailError is an error of the mail server, whose words an operator needs to see.
type mailError struct{ error }

// Error returns the whole text.
func (e mailError) Error() string { return "the message was not sent: " + e.error.Error() }

// deliveryView is a message as the command line shows it.
type deliveryView struct {
	ID            outbox.ID    `json:"id"`
	To            string       `json:"to"`
	Message       string       `json:"kind"`
	State         outbox.State `json:"state"`
	Attempts      int          `json:"attempts"`
	CreatedAt     timestamp    `json:"created_at"`
	NextAttemptAt timestamp    `json:"next_attempt_at"`
	FinishedAt    timestamp    `json:"finished_at"`
	LastError     string       `json:"last_error"`
}

func viewDelivery(d *outbox.Delivery) deliveryView {
	v := deliveryView{
		ID:         d.ID,
		To:         d.To,
		Message:    d.About,
		State:      d.State,
		Attempts:   d.Attempts,
		CreatedAt:  timestamp{d.CreatedAt},
		FinishedAt: timestamp{d.FinishedAt},
		LastError:  d.LastError,
	}
	if d.State == outbox.Queued {
		v.NextAttemptAt = timestamp{d.NextAttemptAt}
	}
	return v
}

// mailList lists messages.
type mailList struct {
	State string `placeholder:"STATE" help:"Only queued, sent, expired or dead ones."`
	To    string `placeholder:"ADDRESS" help:"Only those to this address."`
	listFlags
}

// Run prints a page of messages.
func (f *mailList) Run(ctx context.Context, c *call) error {
	if err := f.check(); err != nil {
		return err
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		page, err := ops.Mail(ctx, a, admin.DeliveryQuery{
			State: outbox.State(f.State),
			To:    f.To,
			Page:  f.page(),
		})
		if err != nil {
			return explainQuery(err)
		}
		all := page.Items
		views := make([]deliveryView, 0, len(all))
		for i := range all {
			views = append(views, viewDelivery(&all[i]))
		}
		return showPage(c, f.listFlags, page, views, func(s *table) {
			s.row("ID", "TO", "MESSAGE", "STATE", "ATTEMPTS", "CREATED", "NEXT ATTEMPT", "LAST ERROR")
			for _, v := range views {
				s.row(string(v.ID), v.To, v.Message, string(v.State), fmt.Sprint(v.Attempts),
					s.when(v.CreatedAt.Time), s.when(v.NextAttemptAt.Time), v.LastError)
			}
		})
	})
}

// mailRetry queues a dead message again.
type mailRetry struct {
	ID string `arg:"" help:"The message's id, as mail list shows it."`
}

// Run queues the message.
func (f *mailRetry) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		d, err := ops.RetryMail(ctx, a, outbox.ID(f.ID))
		if err != nil {
			return withHint(err, fault.NotFound, "see %s mail list", program)
		}
		return c.done(viewDelivery(d), "The message to %s is queued again.", d.To)
	})
}
