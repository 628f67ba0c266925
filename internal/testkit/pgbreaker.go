package testkit

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// A PgBreaker is a pooler in front of PostgreSQL that can report the end of a connection in place
// of the outcome of a COMMIT, which PostgreSQL has executed.
type PgBreaker struct {
	URL    string // of the database, through the breaker
	Broken atomic.Int64

	to    string
	left  atomic.Int64
	mu    sync.Mutex
	conns []net.Conn
}

// StartPgBreaker starts one in front of the database of a postgres:// URL. It ends with the test.
func StartPgBreaker(t testing.TB, database string) *PgBreaker {
	t.Helper()
	u, err := url.Parse(database)
	Must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Must(t, err)
	b := &PgBreaker{to: u.Host}
	u.Host = l.Addr().String()
	b.URL = u.String()
	go b.accept(l)
	t.Cleanup(func() {
		_ = l.Close()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, c := range b.conns {
			_ = c.Close()
		}
	})
	return b
}

// Break breaks the next n answers to COMMIT.
func (b *PgBreaker) Break(n int64) { b.left.Store(n) }

func (b *PgBreaker) accept(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", b.to)
		if err != nil {
			_ = client.Close()
			continue
		}
		b.mu.Lock()
		b.conns = append(b.conns, client, server)
		b.mu.Unlock()
		go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
		go func() { b.answers(client, server); _ = client.Close(); _ = server.Close() }()
	}
}

// answers passes the messages of the server on: a byte of type, four of length, the rest.
func (b *PgBreaker) answers(client, server net.Conn) {
	var head [5]byte
	for {
		if _, err := io.ReadFull(server, head[:]); err != nil {
			return
		}
		body := make([]byte, max(0, int(binary.BigEndian.Uint32(head[1:]))-4))
		if _, err := io.ReadFull(server, body); err != nil {
			return
		}
		if head[0] == 'C' && string(body) == "COMMIT\x00" && b.left.Add(-1) >= 0 {
			b.Broken.Add(1)
			fatal := pgproto3.ErrorResponse{
				Severity:            "FATAL",
				SeverityUnlocalized: "FATAL",
				Code:                "08P01",
				Message:             "server conn crashed?",
			}
			if out, err := fatal.Encode(nil); err == nil {
				_, _ = client.Write(out)
			}
			return
		}
		if _, err := client.Write(append(head[:], body...)); err != nil {
			return
		}
	}
}
