package app

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/fetch"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/ship"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

const megabyte = 1 << 20

// newPoster returns what sends to webhooks.
func newPoster(e *env, c *config.Config) *fetch.Poster {
	return fetch.NewPoster(fetch.Options{AllowPrivate: outboundAllow(c), Now: e.now})
}

// outboundAllow returns the networks besides public ones that the server may connect to: in
// development, the servers of others may be on this machine.
func outboundAllow(c *config.Config) []netip.Prefix {
	networks, loopback := c.OutboundAllow()
	return fetch.Allowed(networks, loopback)
}

// webhookRules returns what webhooks are checked against.
func webhookRules(c *config.Config) webhook.Rules {
	return webhook.Rules{Plain: len(outboundAllow(c)) > 0}
}

// webhookSender sends tests of webhooks.
type webhookSender struct {
	ship.Poster
	keys *webhook.Keys
}

// SendTest sends one message at once.
func (s webhookSender) SendTest(
	ctx context.Context, w *webhook.Webhook, id string, body []byte, now time.Time,
) webhook.Answer {
	signer, err := s.keys.Signer(w, now)
	if err != nil {
		return webhook.Answer{Err: err}
	}
	return s.Post(ctx, ship.Message{
		URL:    w.URL,
		ID:     id,
		At:     now,
		Body:   body,
		Signer: signer,
	})
}

// startShipping adds the delivery of the audit log to the background tasks.
func (s *server) startShipping(e *env) error {
	p := s.parts
	client := newPoster(e, p.cfg)
	s.close = append(s.close, client.Close)
	poster := ship.HTTPPoster{Client: client, Now: e.now, Trace: p.monitor.outgoing("POST webhook", http.MethodPost)}
	targets, err := s.shipTargets(poster)
	if err != nil {
		return err
	}
	targets = append(targets, &ship.Alerts{
		People: p.db,
		Sealer: outbox.NewSealer(p.keys),
		Mail:   p.cfg.Notices.Alerts && canMail(p.cfg),
		Now:    e.now,
	})
	engine := &ship.Engine{
		Store:   p.db,
		Targets: targets,
		Poster:  poster,
		Keys:    webhook.NewKeys(p.keys),
		Holder:  secret.NewID(e.now()),
		Now:     e.now,
		GiveUp:  p.cfg.Mail.GiveUp,
		OnError: func(err error) { s.log.Error("the audit log could not be delivered", "error", err) },
	}
	s.outward(engine.Run)
	return nil
}

// shipTargets returns where the settings say that the audit log is delivered to.
func (s *server) shipTargets(poster ship.Poster) (all []ship.Target, err error) {
	c := s.parts.cfg.Shipping
	if c.File != "" {
		file := ship.NewFile(ship.FileOptions{
			Path:    c.File,
			Format:  ship.Format(c.Format),
			MaxSize: int64(c.FileSize) * megabyte,
			Keep:    c.FileKeep,
		})
		s.behind = append(s.behind, func(ctx context.Context) { onHangUp(ctx, file.Reopen) })
		all = append(all, file)
	}
	if c.Syslog {
		roots, err := readAuthorities("SYSLOG_CA", c.SyslogCA)
		if err != nil {
			return nil, err
		}
		all = append(all, ship.NewSyslog(ship.SyslogOptions{
			Host:     c.SyslogHost,
			Port:     c.SyslogPort,
			Protocol: c.SyslogProtocol,
			Roots:    roots,
		}))
	}
	servers, err := logServers(c)
	if err != nil {
		return nil, err
	}
	all = append(all, servers...)
	if address := string(s.parts.cfg.Notices.Webhook); address != "" {
		n, err := s.notifier(address, poster)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}

// logServers returns the HTTP interfaces of log servers.
func logServers(c config.Shipping) (all []ship.Target, err error) {
	roots, err := readAuthorities("AUDIT_LOG_CA", c.CA)
	if err != nil {
		return nil, err
	}
	if c.SplunkURL != "" {
		all = append(all, ship.NewSplunk(ship.SplunkOptions{
			URL:   c.SplunkURL,
			Token: string(c.SplunkToken),
			Roots: roots,
		}))
	}
	if c.ElasticURL != "" {
		all = append(all, ship.NewElastic(ship.ElasticOptions{
			URL:      c.ElasticURL,
			Index:    c.ElasticIndex,
			APIKey:   string(c.ElasticAPIKey),
			User:     c.ElasticUser,
			Password: string(c.ElasticPassword),
			Roots:    roots,
		}))
	}
	return all, nil
}

// notifier returns what sends to NOTIFICATION_WEBHOOK.
func (s *server) notifier(address string, poster ship.Poster) (*ship.Notifier, error) {
	cfg := s.parts.cfg
	n := &ship.Notifier{
		URL:      address,
		Poster:   poster,
		People:   s.parts.db,
		App:      cfg.Branding.AppName,
		Rotation: cfg.Mail.NotifyRotation,
		Now:      time.Now,
	}
	if shared := string(cfg.Notices.WebhookSecret); shared != "" {
		signer, err := webhook.ParseSecret(shared)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "NOTIFICATION_WEBHOOK_SECRET cannot be used")
		}
		n.Signer = signer
	}
	return n, nil
}

// readAuthorities returns the certificates of a PEM file, or nil where the setting names none.
func readAuthorities(setting, path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the file of %s cannot be read", setting)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(raw) {
		return nil, fault.New(fault.Invalid, "the file of %s has no certificate in PEM form", setting)
	}
	return roots, nil
}

// onHangUp calls f at each SIGHUP until ctx ends.
func onHangUp(ctx context.Context, f func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	defer signal.Stop(signals)
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
			f()
		}
	}
}

// secretNotices returns what tells administrators about secrets of clients that expire.
func (s *server) secretNotices() *ship.Secrets {
	p := s.parts
	return &ship.Secrets{
		Store:   p.db,
		Sealer:  outbox.NewSealer(p.keys),
		Mail:    canMail(p.cfg),
		Warning: p.cfg.Notices.SecretWarning,
	}
}
