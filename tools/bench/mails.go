package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/mail"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/text"
)

const (
	factMails  = "messages from a backlog"
	mails      = 5000
	mailsLeast = 300 // messages a second
)

// mailServer counts the messages that it accepts.
type mailServer struct{ got atomic.Int64 }

func (s *mailServer) NewSession(*smtp.Conn) (smtp.Session, error) { return s, nil }
func (s *mailServer) Mail(string, *smtp.MailOptions) error        { return nil }
func (s *mailServer) Rcpt(string, *smtp.RcptOptions) error        { return nil }
func (s *mailServer) Reset()                                      {}
func (s *mailServer) Logout() error                               { return nil }

func (s *mailServer) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	s.got.Add(1)
	return err
}

// drainMails stores messages while nobody sends them, and measures how fast a mail server gets
// them.
func (b *bench) drainMails(ctx context.Context, e engine) (fact, error) {
	url, err := b.fresh(ctx, e, "mails")
	if err != nil {
		return fact{}, err
	}
	keys, err := secret.NewKeys(b.masterKey)
	if err != nil {
		return fact{}, err
	}
	db, err := store.Open(ctx, store.Options{URL: url})
	if err != nil {
		return fact{}, err
	}
	defer db.Close()
	if _, err := db.Migrate(ctx); err != nil {
		return fact{}, err
	}
	sealer := outbox.NewSealer(keys)
	for i := 0; i < mails; i += 50 {
		ev := audit.Event{At: time.Now(), Type: audit.PasswordResetRequested, Actor: "bench"}
		for j := i; j < i+50; j++ {
			ev.Deliveries = append(ev.Deliveries, sealer.Mail(outbox.Mail{
				To: email(j), Message: outbox.MessagePasswordReset,
				Values: map[string]string{"link": "https://id.example.com/reset-password?token=" + secret.NewID(ev.At)},
			}, ev.At))
		}
		if err := db.Record(ctx, ev); err != nil {
			return fact{}, err
		}
	}
	took, err := runMails(ctx, db, sealer)
	if err != nil {
		return fact{}, err
	}
	rate := mails / took.Seconds()
	return fact{
		name: factMails, engine: e,
		value: fmt.Sprintf("%s messages/s: %s in %s", count(rate), count(mails), brief(took)),
		goal:  fmt.Sprintf("at least %d/s", mailsLeast), met: rate >= mailsLeast,
	}, nil
}

// runMails runs the engine until a mail server has every message.
func runMails(ctx context.Context, db *store.DB, sealer *outbox.Sealer) (time.Duration, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	received := &mailServer{}
	server := smtp.NewServer(received)
	server.Domain = "mx.example.com"
	go func() { _ = server.Serve(l) }() // ends with Close
	defer server.Close()
	texts, err := text.Load()
	if err != nil {
		return 0, err
	}
	composer, err := mail.NewComposer(mail.Brand{App: "Gatehouse"}, texts, "en", nil)
	if err != nil {
		return 0, err
	}
	sender, err := mail.NewSender(mail.Options{
		Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, Security: mail.NoTLS, Hello: "localhost",
		From: "id@example.com", Sealer: sealer, Composer: composer,
	})
	if err != nil {
		return 0, err
	}
	defer sender.Close()
	ctx, stop := context.WithTimeout(ctx, hooksLimit)
	defer stop()
	var failed atomic.Pointer[error]
	engine := &outbox.Engine{
		Store: db, Senders: map[outbox.Kind]outbox.Sender{outbox.KindMail: sender}, Holder: "bench", Now: time.Now,
		OnError: func(err error) { failed.Store(&err) },
	}
	begin := time.Now()
	done := make(chan struct{})
	go func() { defer close(done); engine.Run(ctx) }()
	for received.got.Load() < mails && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	took, err := time.Since(begin), ctx.Err()
	stop()
	<-done
	if p := failed.Load(); err != nil && p != nil {
		err = *p
	}
	return took, err
}
