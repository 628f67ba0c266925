package ship

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

const (
	syslogFacility = 13 // log audit (RFC 5424 §6.2.1)
	syslogTimeout  = 10 * time.Second
	maxDatagram    = 65_000
)

// SyslogOptions configures a Syslog.
type SyslogOptions struct {
	Host     string
	Port     int
	Protocol string         // udp, tcp, tls
	Roots    *x509.CertPool // of tls; nil for those of the system
}

// Syslog sends events to a syslog server (RFC 5424): over UDP (RFC 5426), over TCP with the number
// of bytes before each message (RFC 6587 §3.4.1), or over TLS (RFC 5425).
//
// The protocol has no acknowledgment. Over UDP an event is delivered when it is sent; over TCP and
// TLS when the other machine has acknowledged its bytes and the connection is still open.
type Syslog struct {
	o    SyslogOptions
	host string
	conn net.Conn // of UDP, or nil
	link *link    // of TCP and TLS, or nil
}

// NewSyslog returns a Syslog. It connects when there is something to send.
func NewSyslog(o SyslogOptions) *Syslog {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "-"
	}
	return &Syslog{o: o, host: ascii(host, 255)}
}

// Name returns the name of the sink.
func (s *Syslog) Name() string { return "syslog" }

// Types returns nil: the server gets all events.
func (s *Syslog) Types() []audit.Type { return nil }

// Close ends the connection.
func (s *Syslog) Close() {
	if s.conn != nil {
		_ = s.conn.Close()
		s.conn, s.link = nil, nil
	}
}

// Deliver sends events.
func (s *Syslog) Deliver(ctx context.Context, events []audit.Event) Outcome {
	out, err := s.deliver(ctx, events)
	if err != nil {
		s.Close()
		out.Err = fault.Wrap(fault.Unavailable, err, "the syslog server could not be reached")
	}
	return out
}

func (s *Syslog) deliver(ctx context.Context, events []audit.Event) (Outcome, error) {
	if err := s.connect(ctx); err != nil {
		return Outcome{}, err
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(syslogTimeout)); err != nil {
		return Outcome{}, err
	}
	if s.o.Protocol == "udp" {
		return s.datagrams(events)
	}
	var all bytes.Buffer
	for i := range events {
		m := s.message(&events[i])
		all.WriteString(strconv.Itoa(len(m)) + " ")
		all.Write(m)
	}
	if _, err := s.conn.Write(all.Bytes()); err != nil {
		return Outcome{}, err
	}
	if err := s.link.acknowledged(ctx, syslogTimeout); err != nil {
		return Outcome{}, err
	}
	return Outcome{Done: len(events)}, nil
}

// datagrams sends each event by itself. One that fits into no datagram is refused.
func (s *Syslog) datagrams(events []audit.Event) (out Outcome, err error) {
	for i := range events {
		m := s.message(&events[i])
		if len(m) > maxDatagram {
			out.Refused = append(out.Refused, Rejection{i, "the event is too large for UDP; use SYSLOG_PROTOCOL=tcp"})
			out.Done++
			continue
		}
		if _, err := s.conn.Write(m); err != nil {
			return out, err
		}
		out.Done++
	}
	return out, nil
}

// connect opens the connection unless it is open and the server has not closed it.
func (s *Syslog) connect(ctx context.Context) error {
	if s.conn != nil {
		if s.link == nil || s.link.open() == nil {
			return nil
		}
		s.Close()
	}
	dialer := &net.Dialer{Timeout: syslogTimeout / 2, KeepAlive: 30 * time.Second}
	network := "tcp"
	if s.o.Protocol == "udp" {
		network = "udp"
	}
	address := net.JoinHostPort(s.o.Host, strconv.Itoa(s.o.Port))
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	if s.o.Protocol == "tls" {
		secure := tls.Client(conn, &tls.Config{
			ServerName: s.o.Host,
			RootCAs:    s.o.Roots,
			MinVersion: tls.VersionTLS12,
		})
		if err := secure.HandshakeContext(ctx); err != nil {
			return errors.Join(err, conn.Close())
		}
		conn = secure
	}
	s.conn = conn
	if network == "tcp" {
		s.link = newLink(conn)
	}
	return nil
}

// message returns an event as a syslog message. Its content is JSON in ASCII, so that it needs no
// byte order mark (RFC 5424 §6.4).
func (s *Syslog) message(e *audit.Event) []byte {
	r := e.Record()
	head := fmt.Sprintf("<%d>1 %s %s gatehouse - %s - ", syslogFacility*8+severity(e, r.Event),
		r.Timestamp, s.host, ascii(r.Event, 32))
	return append([]byte(head), asciiJSON(e.JSON())...)
}

// severity returns the severity of an event (RFC 5424 §6.2.1): 2 critical for what only an attack
// or a defect causes, 4 warning for failures, 5 notice for the rest.
func severity(e *audit.Event, name string) int {
	switch {
	case e.Type == audit.RefreshTokenReplayed || e.Type == audit.AuthorizationCodeReplayed ||
		e.Type == audit.AlertRaised:
		return 2
	case e.Reason != "" || strings.HasSuffix(name, "_failed") || strings.HasSuffix(name, ".failed") ||
		strings.HasSuffix(name, ".locked"):
		return 4
	}
	return 5
}

// ascii returns a text for a field of the header: visible ASCII, not empty.
func ascii(s string, size int) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), size)]
}

// asciiJSON returns JSON with escapes in place of all characters that are not ASCII.
func asciiJSON(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for _, r := range string(b) {
		switch {
		case r < 0x80:
			out = append(out, byte(r))
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

func jsonString(s string) string {
	b, err := json.Marshal(s)
	if err != nil { // not for a text
		panic(err)
	}
	return string(b)
}
