package app

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/cli"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/mail"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/text"
	"github.com/gatehouse-id/gatehouse/internal/web/ui"
)

// canMail reports whether messages reach somebody: through a mail server, or through the mailbox at
// /dev/mail.
func canMail(c *config.Config) bool { return c.Mail.Host != "" || showsMail(c) }

// showsMail reports whether messages are shown at /dev/mail: in development, without a mail server,
// on a server that is used on its own machine only. Where others use the server, a request of
// theirs may look like a local one: a proxy need not add a header or change Host.
func showsMail(c *config.Config) bool {
	return c.Mail.Host == "" && !c.Production() && c.Local()
}

// newComposer returns the composer of messages in all languages.
func newComposer(c *config.Config, texts *text.Catalogues) (*mail.Composer, error) {
	if texts == nil {
		var err error
		if texts, err = text.Load(); err != nil {
			return nil, err
		}
	}
	if !texts.Supports(c.Accounts.DefaultLocale) {
		return nil, fault.New(fault.Invalid, "DEFAULT_LOCALE is %q; there is no such language: the languages are %s",
			c.Accounts.DefaultLocale, strings.Join(texts.Languages(), ", "))
	}
	custom, err := customFiles(c)
	if err != nil {
		return nil, err
	}
	composer, err := mail.NewComposer(mailBrand(c, custom), texts, c.Accounts.DefaultLocale, custom)
	if err != nil {
		return nil, inTemplates(c, err)
	}
	if !c.Production() {
		composer.Reload(custom)
	}
	return composer, nil
}

// previewMail composes a message with invented values, by the operator's templates where there are.
func previewMail(
	c *config.Config, texts *text.Catalogues, message, locale string, now time.Time,
) (*cli.PreviewedMail, error) {
	m, err := admin.ExampleMail(c.Server.BaseURL, message, locale, now)
	if err != nil {
		return nil, err
	}
	composer, err := newComposer(c, texts)
	if err != nil {
		return nil, err
	}
	out, err := composer.Preview(&m)
	if err != nil {
		return nil, err
	}
	return &cli.PreviewedMail{
		Message:  message,
		Language: out.Language,
		Subject:  out.Subject,
		HTML:     out.HTML,
		Text:     out.Text,
	}, nil
}

// mailDomains returns domains as they are stored in addresses: in lower case, with A-labels.
func mailDomains(domains []string) []string {
	var all []string
	for _, d := range domains {
		if address, ok := identity.NormalAddress("a@" + d); ok {
			all = append(all, strings.TrimPrefix(address, "a@"))
		}
	}
	return all
}

// smtpSender returns the sender of messages, or nil if no mail server is configured.
func smtpSender(c *config.Config, keys *secret.Keys, composer *mail.Composer) (*mail.Sender, error) {
	if c.Mail.Host == "" {
		return nil, nil
	}
	name := c.Mail.FromName
	if name == "" {
		name = c.Branding.AppName
	}
	hello := "localhost"
	if u, err := url.Parse(c.Server.BaseURL); err == nil && u.Hostname() != "" {
		hello = u.Hostname()
	}
	return mail.NewSender(mail.Options{
		Host:     c.Mail.Host,
		Port:     c.Mail.Port,
		User:     c.Mail.User,
		Password: string(c.Mail.Password),
		Security: mail.Security(c.Mail.Security),
		From:     c.Mail.From,
		FromName: name,
		Hello:    hello,
		MaxRate:  c.Mail.MaxRate,
		Sealer:   outbox.NewSealer(keys),
		Composer: composer,
	})
}

// letters adapts the mailbox to the pages.
type letters struct{ *mail.Mailbox }

func (b letters) Letters() (all []ui.Letter) {
	for _, l := range b.Mailbox.Letters() {
		all = append(all, letter(&l))
	}
	return all
}

func (b letters) Letter(id string) (*ui.Letter, error) {
	l, err := b.Mailbox.Letter(id)
	if err != nil {
		return nil, err
	}
	out := letter(l)
	return &out, nil
}

func letter(l *mail.Letter) ui.Letter {
	return ui.Letter{ID: l.ID, To: l.To, Subject: l.Subject, Text: l.Text, HTML: l.HTML, At: l.At}
}

// startMail adds the delivery of messages to the background tasks, and returns the mailbox that
// takes them in development where no mail server is configured.
func (s *server) startMail(e *env) (*mail.Mailbox, error) {
	p := s.parts
	composer, err := newComposer(p.cfg, e.texts)
	if err != nil {
		return nil, err
	}
	senders := map[outbox.Kind]outbox.Sender{
		outbox.KindResetRequest:   p.login.ResetSender(e.now),
		outbox.KindCodeRequest:    p.login.EmailCodeSender(e.now),
		outbox.KindRecovery:       p.login.RecoverySender(e.now),
		outbox.KindAddressRequest: p.login.AddressSender(e.now),
	}
	sender, err := smtpSender(p.cfg, p.keys, composer)
	if err != nil {
		return nil, err
	}
	var mailbox *mail.Mailbox
	switch {
	case sender != nil:
		senders[outbox.KindMail] = sender
		s.close = append(s.close, sender.Close)
	case showsMail(p.cfg):
		mailbox = mail.NewMailbox(outbox.NewSealer(p.keys), composer)
		senders[outbox.KindMail] = mailbox
	default:
		s.log.Warn("SMTP_HOST is not set: people cannot reset their passwords, and nobody is notified by mail")
	}
	traceSenders(p.monitor.tracing(), senders)
	engine := &outbox.Engine{
		Store:   p.db,
		Senders: senders,
		Holder:  secret.NewID(e.now()),
		Now:     e.now,
		GiveUp:  p.cfg.Mail.GiveUp,
		OnError: func(err error) { s.log.Error("messages could not be delivered", "error", err) },
		OnDead: func(ctx context.Context, d *outbox.Delivery) {
			s.log.Warn("a delivery was given up on", "id", d.ID, "kind", d.Kind, "message", d.About, "error", d.LastError)
			if err := p.db.Record(ctx, admin.DeliveryDead(d)); err != nil {
				s.log.Error("an event could not be recorded", "error", err)
			}
		},
	}
	engine.OnRejected = func(ctx context.Context, d *outbox.Delivery) {
		if err := p.db.MarkAddress(ctx, d); err != nil {
			s.log.Error("an address could not be marked as rejected", "error", err)
		}
	}
	s.outward(engine.Run)
	return mailbox, nil
}
