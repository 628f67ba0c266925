package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
	"golang.org/x/net/idna"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
)

// Security is how the connection to the mail server is encrypted.
type Security string

// The ways. StartTLS never falls back to a plain connection (RFC 8314 §3).
const (
	StartTLS Security = "starttls"
	TLS      Security = "tls"
	NoTLS    Security = "none"
)

const (
	dialTimeout    = 15 * time.Second
	commandTimeout = 25 * time.Second // below the engine's bound for one delivery
	parallel       = 4                // connections
	maxPerConn     = 100              // messages on one connection
	idleTimeout    = 30 * time.Second
)

// Options configures a Sender.
type Options struct {
	Host     string
	Port     int
	User     string // "" means no authentication
	Password string
	Security Security
	From     string         // the sender's address
	FromName string         // the sender's name, or ""
	Hello    string         // how this server introduces itself: a public host name
	MaxRate  int            // messages a second; 0 means no limit
	Roots    *x509.CertPool // nil means the system's

	Sealer   *outbox.Sealer
	Composer *Composer

	timeout time.Duration // of tests; 0 means dialTimeout
}

// Sender sends messages by SMTP. It keeps a few connections open between messages.
type Sender struct {
	o      Options
	client *gomail.Client
	domain string // of From, in ASCII

	mu   sync.Mutex
	idle []*conn
	next time.Time // when the rate allows the next message
}

// conn is a connection to the mail server.
type conn struct {
	smtp     *smtp.Client
	sent     int
	lastUsed time.Time
}

// NewSender returns a Sender. It connects when there is something to send.
func NewSender(o Options) (*Sender, error) {
	_, domain, ok := strings.Cut(o.From, "@")
	ascii, err := idna.Lookup.ToASCII(domain)
	if !ok || err != nil {
		return nil, fault.InvalidField("SMTP_FROM", "SMTP_FROM must be an email address")
	}
	timeout := dialTimeout
	if o.timeout > 0 {
		timeout = o.timeout
	}
	options := []gomail.Option{
		gomail.WithPort(o.Port),
		gomail.WithTimeout(timeout),
		gomail.WithHELO(o.Hello),
		gomail.WithoutNoop(),
		gomail.WithTLSConfig(&tls.Config{MinVersion: tls.VersionTLS12, ServerName: o.Host, RootCAs: o.Roots}),
	}
	switch o.Security {
	case TLS:
		options = append(options, gomail.WithSSL())
	case NoTLS:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if o.User != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover),
			gomail.WithUsername(o.User), gomail.WithPassword(o.Password))
	}
	client, err := gomail.NewClient(o.Host, options...)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the mail settings cannot be used")
	}
	return &Sender{o: o, client: client, domain: ascii}, nil
}

// Parallel returns how many messages may be under way at a time.
func (s *Sender) Parallel() int { return parallel }

// Send sends the message of a delivery. See outbox.Sender for the kinds of its errors.
func (s *Sender) Send(ctx context.Context, d *outbox.Delivery) error {
	m, err := s.o.Sealer.OpenMail(d)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "the message cannot be read")
	}
	msg, err := s.message(d, m)
	if err != nil {
		return err
	}
	if err := s.wait(ctx); err != nil {
		return err
	}
	c, err := s.conn(ctx)
	if err != nil {
		return unavailable(err)
	}
	if !isASCII(localPart(m.To)) {
		if ok, _ := c.smtp.Extension("SMTPUTF8"); !ok {
			s.put(c)
			return fault.New(fault.Denied, "this mail server cannot send to addresses with "+
				"characters beyond ASCII before the @ (it does not offer SMTPUTF8)")
		}
	}
	return s.sendOn(ctx, c, msg)
}

// sendOn sends a message on a connection, and returns the connection for the next message if it
// can still be used.
func (s *Sender) sendOn(ctx context.Context, c *conn, msg *gomail.Msg) error {
	limit := commandTimeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline))
	}
	err := c.smtp.UpdateDeadline(limit)
	if err == nil {
		err = s.client.SendWithSMTPClient(c.smtp, msg)
	}
	c.sent++
	var failed *gomail.SendError
	switch {
	case err == nil:
		s.put(c)
		return nil
	case msg.IsDelivered(): // the server accepted it, and failed afterwards
		c.close()
		return nil
	case !errors.As(err, &failed) || failed.ErrorCode() == 0:
		c.close() // no answer: nobody knows whether the message was accepted
		return explained(err)
	case failed.ErrorCode() == 421: // the server closes the connection, RFC 5321 §3.8
		c.close()
		return unavailable(err)
	}
	s.put(c)
	if failed.ErrorCode() >= 500 && (failed.Reason == gomail.ErrSMTPRcptTo || noMailbox(failed)) {
		return &fault.Error{
			Kind:   fault.Denied,
			Reason: outbox.ReasonRecipient,
			Text:   explained(err).Error(),
		}
	}
	if failed.ErrorCode() >= 500 {
		return fault.New(fault.Denied, "%s", explained(err))
	}
	return explained(err)
}

// noMailbox reports whether an answer to the message itself, which has one recipient, says that
// there is no such mailbox (RFC 3463 §3.2): some servers find out only then. Other answers that
// begin with 5.1 are about the sender, and all others may be about the content.
func noMailbox(failed *gomail.SendError) bool {
	switch failed.EnhancedStatusCode() {
	case "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10":
		return true
	}
	return false
}

// unavailable returns the error of a server that cannot be used now.
func unavailable(err error) error {
	return &fault.Error{Kind: fault.Unavailable, Text: explained(err).Error()}
}

// answer returns the server's sentence without what the library adds to it.
func answer(err error) error {
	text, _, _ := strings.Cut(err.Error(), ", affected recipient(s):")
	text, _, _ = strings.Cut(text, ", affected message ID:")
	return errors.New(text)
}

// wait waits until the rate allows another message.
func (s *Sender) wait(ctx context.Context) error {
	if s.o.MaxRate <= 0 {
		return nil
	}
	s.mu.Lock()
	now := time.Now()
	if s.next.Before(now) {
		s.next = now
	}
	pause := s.next.Sub(now)
	s.next = s.next.Add(time.Second / time.Duration(s.o.MaxRate))
	s.mu.Unlock()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// conn returns an idle connection or a new one.
func (s *Sender) conn(ctx context.Context) (*conn, error) {
	now := time.Now()
	s.mu.Lock()
	for len(s.idle) > 0 {
		c := s.idle[len(s.idle)-1]
		s.idle = s.idle[:len(s.idle)-1]
		if now.Sub(c.lastUsed) < idleTimeout {
			s.mu.Unlock()
			return c, nil
		}
		defer c.close()
	}
	s.mu.Unlock()
	dialed, err := s.client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{smtp: dialed}, nil
}

// Check connects to the mail server and signs in, without sending a message.
func (s *Sender) Check(ctx context.Context) error {
	c, err := s.conn(ctx)
	if err != nil {
		return explained(err)
	}
	c.close()
	return nil
}

// put keeps a connection for the next message.
func (s *Sender) put(c *conn) {
	if c.sent >= maxPerConn {
		c.close()
		return
	}
	c.lastUsed = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = append(s.idle, c)
}

// Close closes the idle connections.
func (s *Sender) Close() {
	s.mu.Lock()
	idle := s.idle
	s.idle = nil
	s.mu.Unlock()
	for _, c := range idle {
		c.close()
	}
}

// close ends a connection, politely if the server still answers.
func (c *conn) close() {
	_ = c.smtp.UpdateDeadline(time.Second)
	if c.smtp.Quit() != nil {
		_ = c.smtp.Close()
	}
}

// message composes the message of a delivery. Its Message-ID is that of the delivery, so that a
// receiver recognizes a message that is sent twice (RFC 5322 §3.6.4).
func (s *Sender) message(d *outbox.Delivery, m *outbox.Mail) (*gomail.Msg, error) {
	composed, err := s.o.Composer.Compose(m)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the message cannot be composed")
	}
	to, err := asciiDomain(m.To)
	if err != nil {
		return nil, err
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	err = errors.Join(msg.FromFormat(s.o.FromName, s.o.From), msg.To(to))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the addresses of the message cannot be used")
	}
	msg.SetMessageIDWithValue(fmt.Sprintf("%s@%s", d.ID, s.domain))
	msg.SetDateWithValue(d.CreatedAt)
	msg.Subject(composed.Subject)
	// RFC 3834 §5: other programs must not reply to the message automatically.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetGenHeader("X-Auto-Response-Suppress", "All")
	msg.SetGenHeader("Content-Language", composed.Language)
	msg.SetBodyString(gomail.TypeTextPlain, composed.Text)
	msg.AddAlternativeString(gomail.TypeTextHTML, composed.HTML)
	return msg, nil
}

// asciiDomain returns an address with its domain in ASCII. The part before the @ is never encoded
// (RFC 6531 §3.2).
func asciiDomain(address string) (string, error) {
	i := strings.LastIndexByte(address, '@')
	if i < 0 {
		return "", fault.New(fault.Invalid, "the address has no @")
	}
	domain, err := idna.Lookup.ToASCII(address[i+1:])
	if err != nil {
		return "", fault.Wrap(fault.Invalid, err, "the domain of the address cannot be used")
	}
	return address[:i+1] + domain, nil
}

func localPart(address string) string {
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		return address[:i]
	}
	return address
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
