package mail

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// received is a message that a sink accepted.
type received struct {
	from, to, data string
	connection     int
}

// sink is a mail server that does what a test says.
type sink struct {
	rcpt func(to string) error // nil accepts
	data func(n int) error     // called after the n-th message was read; nil accepts
	auth func(user, password string) error
	tls  *tls.Config // offers STARTTLS
	utf8 bool

	insecureAuth bool             // takes AUTH before TLS
	hangUp       func(n int) bool // closes the connection instead of an answer to the n-th message

	mu          sync.Mutex
	messages    []received
	connections int
	hello       string
	mailFrom    int // MAIL commands
	auths       int // AUTH commands
}

// start listens on a free port of the loopback interface.
func (s *sink) start(t *testing.T) (host string, port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	testkit.Must(t, err)
	server := smtp.NewServer(s)
	server.Domain = "mx.example.com"
	server.TLSConfig = s.tls
	server.EnableSMTPUTF8 = s.utf8
	server.AllowInsecureAuth = s.tls == nil || s.insecureAuth
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return "127.0.0.1", l.Addr().(*net.TCPAddr).Port
}

func (s *sink) NewSession(c *smtp.Conn) (smtp.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connections++
	s.hello = c.Hostname()
	return &session{sink: s, connection: s.connections, conn: c.Conn()}, nil
}

func (s *sink) all() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]received(nil), s.messages...)
}

type session struct {
	sink       *sink
	connection int
	conn       net.Conn
	from, to   string
}

func (s *session) AuthMechanisms() []string {
	if s.sink.auth == nil {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(string) (sasl.Server, error) {
	s.sink.mu.Lock()
	s.sink.auths++
	s.sink.mu.Unlock()
	return sasl.NewPlainServer(func(_, user, password string) error {
		return s.sink.auth(user, password)
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	s.sink.mailFrom++
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	if s.sink.rcpt != nil {
		return s.sink.rcpt(to)
	}
	return nil
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	s.sink.messages = append(s.sink.messages, received{s.from, s.to, string(raw), s.connection})
	if s.sink.hangUp != nil && s.sink.hangUp(len(s.sink.messages)) {
		return s.conn.Close()
	}
	if s.sink.data != nil {
		return s.sink.data(len(s.sink.messages))
	}
	return nil
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }

// answer is an SMTP error of the sink.
func smtpError(code int, text string) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.NoEnhancedCode, Message: text}
}

var errUser = errors.New("wrong user or password")
