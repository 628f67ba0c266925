package faults_test

import (
	"bufio"
	"database/sql"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// mailSink is a mail server that accepts everything but mail to nobody, after a pause, and counts
// by Message-ID.
type mailSink struct {
	port  int
	pause time.Duration

	mu       sync.Mutex
	received map[string]int
}

func newMailSink(t *testing.T, pause time.Duration) *mailSink {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	testkit.Must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	s := &mailSink{port: l.Addr().(*net.TCPAddr).Port, pause: pause, received: map[string]int{}}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return s
}

var messageID = regexp.MustCompile(`(?i)^Message-ID: <(\S+)@`)

func (s *mailSink) serve(c net.Conn) {
	defer c.Close()
	lines := bufio.NewScanner(c)
	reply := func(text string) { fmt.Fprint(c, text, "\r\n") }
	reply("220 sink")
	id, data := "", false
	for lines.Scan() {
		line := lines.Text()
		switch m := messageID.FindStringSubmatch(line); {
		case data && line == ".":
			time.Sleep(s.pause)
			s.mu.Lock()
			s.received[id]++
			s.mu.Unlock()
			data = false
			reply("250 accepted")
		case data && m != nil:
			id = m[1]
		case data:
		case strings.HasPrefix(line, "RCPT TO:<nobody@"):
			reply("550 no such mailbox")
		case strings.HasPrefix(line, "DATA"):
			data = true
			reply("354 go on")
		case strings.HasPrefix(line, "QUIT"):
			reply("221 bye")
			return
		default:
			reply("250 ok")
		}
	}
}

// counts returns how many different messages came, and how many copies beyond the first.
func (s *mailSink) counts() (messages, copies int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.received {
		messages++
		copies += n - 1
	}
	return messages, copies
}

// queueMail stores messages to different mailboxes.
func queueMail(t *testing.T, h *host, n int) {
	t.Helper()
	keys, err := secret.NewKeys([]byte(h.env["SECRET_KEY"]))
	testkit.Must(t, err)
	db, err := store.Open(t.Context(), store.Options{URL: h.env["DATABASE_URL"]})
	testkit.Must(t, err)
	defer db.Close()
	sealer, now := outbox.NewSealer(keys), time.Now()
	for first := 0; first < n; first += 500 {
		ev := audit.Event{At: now, Type: audit.UserUpdated}
		for i := first; i < min(first+500, n); i++ {
			m := outbox.Mail{To: fmt.Sprintf("p%d@example.com", i), Message: outbox.MessageTest}
			ev.Deliveries = append(ev.Deliveries, sealer.Mail(m, now))
		}
		testkit.Must(t, db.Record(t.Context(), ev))
	}
}

// A server is killed in the middle of sending. The next one sends all that is left, and again at
// most the messages that were under way.
func TestKilledWhileSending(t *testing.T) {
	t.Parallel()
	const messages, connections = 3000, 4
	sink := newMailSink(t, time.Millisecond)
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	h := newHost(t, "sqlite:"+path, map[string]string{
		"SECRET_KEY": strings.Repeat("a key of many letters", 3),
		"SMTP_HOST":  "127.0.0.1", "SMTP_PORT": strconv.Itoa(sink.port), "SMTP_SECURITY": "none",
		"SMTP_FROM": "id@example.com",
	})
	h.run(nil, "", "client", "list") // makes the tables
	queueMail(t, h, messages)
	s := h.serve()
	eventually(t, "some are sent", func() error {
		n, _ := sink.counts()
		return want(n > messages/4, "%d messages", n)
	})
	s.kill()
	n, _ := sink.counts()
	if n >= messages {
		t.Fatalf("all %d messages were sent before the kill", n)
	}

	// Expire the lease of the dead server instead of waiting for it.
	raw, err := sql.Open("sqlite", path)
	testkit.Must(t, err)
	_, err = raw.ExecContext(t.Context(), "UPDATE leases SET until = 1 WHERE name = 'outbox'")
	testkit.Must(t, err)
	testkit.Must(t, raw.Close())
	h.serve()
	eventually(t, "the rest is sent", func() error {
		n, _ := sink.counts()
		return want(n == messages, "%d messages", n)
	})
	if _, copies := sink.counts(); copies > connections {
		t.Errorf("%d messages were sent twice; at most %d were under way", copies, connections)
	}
}
