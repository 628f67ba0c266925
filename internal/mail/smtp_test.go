package mail

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/text"
)

var now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func composer(t *testing.T) *Composer {
	t.Helper()
	texts, err := text.Load()
	testkit.Must(t, err)
	c, err := NewComposer(Brand{App: "Gatehouse", Company: "Example Ltd", Address: "1 High St"}, texts, "en", nil)
	testkit.Must(t, err)
	return c
}

func sealer(t *testing.T) *outbox.Sealer {
	t.Helper()
	keys, err := secret.NewKeys([]byte(strings.Repeat("k", 32)))
	testkit.Must(t, err)
	return outbox.NewSealer(keys)
}

// sender returns a Sender that speaks to a sink without TLS, changed by configure.
func sender(t *testing.T, s *sink, configure func(*Options)) *Sender {
	t.Helper()
	host, port := s.start(t)
	o := Options{
		Host: host, Port: port, Security: NoTLS, From: "login@example.com", FromName: "Example",
		Hello: "id.example.com", Sealer: sealer(t), Composer: composer(t),
	}
	if configure != nil {
		configure(&o)
	}
	out, err := NewSender(o)
	testkit.Must(t, err)
	t.Cleanup(out.Close)
	return out
}

func (s *Sender) reset(to string) *outbox.Delivery {
	d := s.o.Sealer.Mail(outbox.Mail{
		To: to, Name: "Ada", Message: outbox.MessagePasswordReset,
		Values: map[string]string{"link": "https://id.example.com/reset-password?token=gth_su_x1", "minutes": "60"},
	}, now)
	return &d
}

// A message as the reader's program sees it.
func TestMessage(t *testing.T) {
	sink := &sink{}
	s := sender(t, sink, nil)
	d := s.reset("ada@example.org")
	testkit.Must(t, s.Send(t.Context(), d))

	got := sink.all()
	testkit.Equal(t, "messages", len(got), 1)
	testkit.Equal(t, "hello", sink.hello, "id.example.com")
	testkit.Equal(t, "from", got[0].from, "login@example.com")
	testkit.Equal(t, "to", got[0].to, "ada@example.org")
	msg, err := mail.ReadMessage(strings.NewReader(got[0].data))
	testkit.Must(t, err)
	for name, want := range map[string]string{
		"Subject":                  "Reset your password",
		"Message-ID":               "<" + string(d.ID) + "@example.com>",
		"Auto-Submitted":           "auto-generated",
		"X-Auto-Response-Suppress": "All",
		"Content-Language":         "en",
		"User-Agent":               "",
		"X-Mailer":                 "",
		"Precedence":               "",
		"List-Unsubscribe":         "",
		"Date":                     "Sat, 28 Nov 2026 12:00:00 +0000",
	} {
		testkit.Equal(t, name, msg.Header.Get(name), want)
	}
	for kind, part := range parts(t, msg) {
		if !strings.Contains(part, "https://id.example.com/reset-password?token=gth_su_x1") {
			t.Errorf("%s has no link: %s", kind, part)
		}
	}
	text := parts(t, msg)["text/plain"]
	alone := regexp.MustCompile(`(?m)^https://id\.example\.com/reset-password\?token=gth_su_x1\r?$`)
	if !alone.MatchString(text) {
		t.Errorf("the link does not stand alone on its line:\n%s", text)
	}
}

// parts returns the parts of a multipart/alternative message, decoded, by their media type.
func parts(t *testing.T, msg *mail.Message) map[string]string {
	t.Helper()
	raw, err := io.ReadAll(msg.Body)
	testkit.Must(t, err)
	msg.Body = strings.NewReader(string(raw))
	_, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	testkit.Must(t, err)
	out := map[string]string{}
	reader := multipart.NewReader(strings.NewReader(string(raw)), params["boundary"])
	for {
		p, err := reader.NextRawPart()
		if err == io.EOF {
			return out
		}
		testkit.Must(t, err)
		kind, _, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
		testkit.Must(t, err)
		body, err := io.ReadAll(quotedprintable.NewReader(p))
		testkit.Must(t, err)
		out[kind] = string(body)
	}
}

// The same message sent twice has the same Message-ID, so that the second copy can be recognized.
func TestSameMessageID(t *testing.T) {
	sink := &sink{data: func(n int) error {
		if n == 1 {
			return smtpError(451, "try later")
		}
		return nil
	}}
	s := sender(t, sink, nil)
	d := s.reset("ada@example.org")
	err := s.Send(t.Context(), d)
	if err == nil || fault.KindOf(err) != fault.Internal {
		t.Fatalf("a temporary rejection is %v", err)
	}
	testkit.Must(t, s.Send(t.Context(), d))
	id := regexp.MustCompile(`(?im)^Message-ID: .*$`)
	all := sink.all()
	testkit.Equal(t, "id", id.FindString(all[1].data), id.FindString(all[0].data))
}

// A server that goes away behind the message may have accepted it: the outcome is unknown, so the
// message is sent again, with the same Message-ID and on another connection.
func TestServerHangsUpAfterTheMessage(t *testing.T) {
	sink := &sink{hangUp: func(n int) bool { return n == 1 }}
	s := sender(t, sink, nil)
	d := s.reset("ada@example.org")
	err := s.Send(t.Context(), d)
	if err == nil || fault.Is(err, fault.Denied) {
		t.Fatalf("a message without an answer is %v", err)
	}
	testkit.Must(t, s.Send(t.Context(), d))
	all := sink.all()
	testkit.Equal(t, "messages", len(all), 2)
	id := regexp.MustCompile(`(?im)^Message-ID: .*$`)
	testkit.Equal(t, "id", id.FindString(all[1].data), id.FindString(all[0].data))
	if all[0].connection == all[1].connection {
		t.Error("the closed connection was used again")
	}
}

// The rate spaces messages out, and a message that waits for it is not sent when the server stops.
func TestRate(t *testing.T) {
	sink := &sink{}
	s := sender(t, sink, func(o *Options) { o.MaxRate = 2 })
	start := time.Now()
	testkit.Must(t, s.Send(t.Context(), s.reset("ada@example.org")))
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		_ = s.wait(stopped)
	}
	if least := start.Add(2 * time.Second); s.next.Before(least) {
		t.Errorf("after four messages the next may be sent %v after the first", s.next.Sub(start))
	}
	s.next = time.Now().Add(time.Hour)
	if err := s.Send(stopped, s.reset("bob@example.org")); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	testkit.Equal(t, "messages", len(sink.all()), 1)
}

// What a server's answers mean, and that the connection serves the next message.
func TestAnswers(t *testing.T) {
	for _, row := range []struct {
		name string
		err  error
		want fault.Kind
		says string
	}{
		{"no such mailbox", smtpError(550, "no such mailbox"), fault.Denied, "the mail server rejected the address: 550 "},
		{"full for now", smtpError(452, "mailbox full"), fault.Internal, "the mail server does not take the address now: 452 "},
		{"greylisted", smtpError(451, "greylisted"), fault.Internal, "greylisted"},
		{"shutting down", smtpError(421, "bye"), fault.Unavailable, "the mail server is closing its connections: 421 "},
	} {
		t.Run(row.name, func(t *testing.T) {
			sink := &sink{rcpt: func(to string) error {
				if to == "bad@example.org" {
					return row.err
				}
				return nil
			}}
			s := sender(t, sink, nil)
			err := s.Send(t.Context(), s.reset("bad@example.org"))
			testkit.Equal(t, "kind", fault.KindOf(err), row.want)
			if err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("the error is %v", err)
			}
			testkit.Must(t, s.Send(t.Context(), s.reset("good@example.org")))
			testkit.Equal(t, "messages", len(sink.all()), 1)
			if row.want != fault.Unavailable {
				testkit.Equal(t, "connections", sink.connections, 1)
			}
		})
	}
}

// One refused recipient stops none of the others on the same connection.
func TestRefusedRecipientStopsNobodyElse(t *testing.T) {
	busy := true
	sink := &sink{rcpt: func(to string) error {
		switch {
		case to == "gone@example.org":
			return smtpError(550, "no such mailbox")
		case to == "busy@example.org" && busy:
			busy = false
			return smtpError(452, "mailbox full")
		}
		return nil
	}}
	s := sender(t, sink, nil)
	testkit.Must(t, s.Send(t.Context(), s.reset("ada@example.org")))
	err := s.Send(t.Context(), s.reset("gone@example.org"))
	testkit.Equal(t, "kind", fault.KindOf(err), fault.Denied)
	if !strings.Contains(err.Error(), "no such mailbox") {
		t.Errorf("the error lacks the words of the server: %v", err)
	}
	if err := s.Send(t.Context(), s.reset("busy@example.org")); err == nil || fault.Is(err, fault.Denied) {
		t.Errorf("a full mailbox is %v", err)
	}
	testkit.Must(t, s.Send(t.Context(), s.reset("busy@example.org")))
	testkit.Equal(t, "messages", len(sink.all()), 2)
	testkit.Equal(t, "connections", sink.connections, 1)
}

// Only an answer that is about the recipient marks the address: one to the message may be about its
// content or its sender, unless it says that there is no such mailbox.
func TestRejectedRecipient(t *testing.T) {
	sink := &sink{
		rcpt: func(to string) error {
			switch to {
			case "gone@example.org":
				return smtpError(550, "no such mailbox")
			case "full@example.org":
				return smtpError(452, "mailbox full")
			}
			return nil
		},
	}
	codes := map[string]smtp.EnhancedCode{
		"spam": smtp.NoEnhancedCode, "moved": {5, 1, 1}, "host": {5, 1, 2}, "null-mx": {5, 1, 10},
		"sender": {5, 1, 8}, "policy": {5, 7, 1}, "quota": {5, 2, 2},
	}
	sink.data = func(n int) error {
		name, _, _ := strings.Cut(sink.messages[n-1].to, "@")
		return &smtp.SMTPError{Code: 554, EnhancedCode: codes[name], Message: "no"}
	}
	s := sender(t, sink, nil)
	for to, want := range map[string]string{
		"gone@example.org": outbox.ReasonRecipient, "full@example.org": "", "spam@example.org": "",
		"moved@example.org": outbox.ReasonRecipient, "host@example.org": outbox.ReasonRecipient,
		"null-mx@example.org": outbox.ReasonRecipient, "sender@example.org": "", "policy@example.org": "",
		"quota@example.org": "",
	} {
		err := s.Send(t.Context(), s.reset(to))
		testkit.Equal(t, to, fault.Reason(err), want)
		if err == nil {
			t.Errorf("%s: sent", to)
		}
	}
}

// Several messages share a connection, which is closed after a number of them.
func TestConnectionsAreReused(t *testing.T) {
	sink := &sink{}
	s := sender(t, sink, nil)
	for i := range maxPerConn + 1 {
		testkit.Must(t, s.Send(t.Context(), s.reset(fmt.Sprintf("p%d@example.org", i))))
	}
	testkit.Equal(t, "connections", sink.connections, 2)
}

// A server that is away, or that accepts the connection and says nothing.
func TestServerAway(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	testkit.Must(t, err)
	defer l.Close()
	for name, port := range map[string]int{"silent": l.Addr().(*net.TCPAddr).Port, "refused": testkit.FreePort(t)} {
		s := sender(t, &sink{}, func(o *Options) { o.Port, o.timeout = port, 200*time.Millisecond })
		err := s.Send(t.Context(), s.reset("ada@example.org"))
		testkit.Equal(t, name, fault.KindOf(err), fault.Unavailable)
		testkit.Equal(t, name, err.Error(), map[string]string{
			"silent":  "the mail server did not answer in time",
			"refused": "the connection to the mail server was refused: check SMTP_HOST and SMTP_PORT",
		}[name])
	}
}

// STARTTLS is never left out: without a trusted certificate nothing is said to the server.
func TestStartTLS(t *testing.T) {
	pair, roots := certificate(t, "127.0.0.1")
	_, others := certificate(t, "127.0.0.1")
	elsewhere, trusted := certificate(t, "127.0.0.2")
	offered := &tls.Config{Certificates: []tls.Certificate{pair}}
	ofAnother := &tls.Config{Certificates: []tls.Certificate{elsewhere}}
	check := func(user, password string) error {
		if user != "mailer" || password != "s3cret" {
			return errUser
		}
		return nil
	}
	for _, row := range []struct {
		name     string
		offered  *tls.Config
		roots    *x509.CertPool
		password string
		says     string // "": it is sent
	}{
		{"trusted", offered, roots, "s3cret", ""},
		{"not offered", nil, roots, "s3cret", "the mail server does not offer STARTTLS on this port"},
		{"not trusted", offered, others, "s3cret", "is from an authority that this machine does not trust"},
		{"of another host", ofAnother, trusted, "s3cret", "is for another name than SMTP_HOST"},
		{"wrong password", offered, roots, "gu3ss-9", "the mail server rejected SMTP_USER or SMTP_PASSWORD: 454 "},
	} {
		t.Run(row.name, func(t *testing.T) {
			sink := &sink{tls: row.offered, auth: check, insecureAuth: true}
			s := sender(t, sink, func(o *Options) {
				o.Security, o.Roots, o.User, o.Password = StartTLS, row.roots, "mailer", row.password
			})
			err := s.Send(t.Context(), s.reset("ada@example.org"))
			if row.says == "" {
				testkit.Must(t, err)
				return
			}
			testkit.Equal(t, "kind", fault.KindOf(err), fault.Unavailable)
			testkit.Equal(t, "MAIL commands", sink.mailFrom, 0)
			if encrypted := row.name == "wrong password"; (sink.auths > 0) != encrypted {
				t.Errorf("%d AUTH commands", sink.auths)
			}
			if strings.Contains(err.Error(), row.password) {
				t.Errorf("the error holds the password: %v", err)
			}
			if !strings.Contains(err.Error(), row.says) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func certificate(t *testing.T, ip string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testkit.Must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.ParseIP(ip)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	testkit.Must(t, err)
	cert, err := x509.ParseCertificate(der)
	testkit.Must(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// Domains are sent in ASCII; a local part beyond ASCII needs a server that takes it.
func TestInternationalAddresses(t *testing.T) {
	plain := &sink{}
	s := sender(t, plain, nil)
	testkit.Must(t, s.Send(t.Context(), s.reset("a@bücher.example")))
	testkit.Equal(t, "to", plain.all()[0].to, "a@xn--bcher-kva.example")
	err := s.Send(t.Context(), s.reset("jürgen@example.net"))
	testkit.Equal(t, "kind", fault.KindOf(err), fault.Denied)
	testkit.Equal(t, "messages", len(plain.all()), 1)

	modern := &sink{utf8: true}
	s = sender(t, modern, nil)
	testkit.Must(t, s.Send(t.Context(), s.reset("jürgen@example.net")))
	testkit.Equal(t, "to", modern.all()[0].to, "jürgen@example.net")
}

// Names of people cannot add headers, lines or recipients.
func TestHostileNames(t *testing.T) {
	sink := &sink{}
	s := sender(t, sink, nil)
	d := s.o.Sealer.Mail(outbox.Mail{
		To: "ada@example.org", Name: "Eve\r\nBcc: all@example.org\r\n\r\n<script>x</script>\u202e",
		Message: outbox.MessagePasswordReset, Values: map[string]string{"link": "https://id.example.com/x"},
	}, now)
	testkit.Must(t, s.Send(t.Context(), &d))
	msg, err := mail.ReadMessage(strings.NewReader(sink.all()[0].data))
	testkit.Must(t, err)
	testkit.Equal(t, "Bcc", msg.Header.Get("Bcc"), "")
	html := parts(t, msg)["text/html"]
	if strings.Contains(html, "<script>") || strings.Contains(html, "\u202e") {
		t.Errorf("the name is not escaped: %s", html)
	}
}

// What the library adds to the server's sentence is left out.
func TestAnswer(t *testing.T) {
	const sentence = `sending SMTP MAIL FROM command: 550 "5.7.1 Sender not allowed"`
	for _, added := range []string{
		"",
		", affected message ID: <1@example.com>",
		", affected recipient(s): a@example.com, affected message ID: <1@example.com>",
	} {
		testkit.Equal(t, added, answer(errors.New(sentence+added)).Error(), sentence)
	}
}
