package sqldb

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	hostTimeout  = time.Second     // to connect, where there are other hosts to try
	silentFor    = 5 * time.Second // in which a host that did not answer is not tried first
	resetEvery   = time.Second     // at most, of the pool
	readOnlyCode = "25006"         // read_only_sql_transaction
)

// Passing reports whether the error of an attempt to use PostgreSQL is one that passes by itself:
// the server is away, starting, or cannot be written at the moment. A wrong password or a missing
// database does not pass.
func Passing(err error) bool {
	if err == nil {
		return false
	}
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		switch {
		case len(pe.Code) != 5:
			return false
		case pe.Code == readOnlyCode, pe.Code == "55P03", pe.Code == "40001", pe.Code == "40P01":
			return true
		}
		switch pe.Code[:2] { // connection, resources, intervention, system
		case "08", "53", "57", "58":
			return true
		}
		return false
	}
	var ce *pgconn.ConnectError
	var ne net.Error
	return errors.As(err, &ce) || errors.As(err, &ne) || errors.As(err, new(*unknownOutcome))
}

// noticeReadOnly resets the pool after a server has refused a change because it is a standby, or
// read-only: its connections look healthy for ever, and new ones may reach the primary.
func (db *postgresDB) noticeReadOnly(err error) error {
	var pe *pgconn.PgError
	if err == nil || !errors.As(err, &pe) || pe.Code != readOnlyCode {
		return err
	}
	db.resets.mu.Lock()
	defer db.resets.mu.Unlock()
	if now := time.Now(); now.Sub(db.resets.last) >= resetEvery {
		db.resets.last = now
		db.pool.Reset()
	}
	return err
}

// resets is when the pool was reset last.
type resets struct {
	mu   sync.Mutex
	last time.Time
}

// hosts remembers which of several addresses did not answer, so that a silent one costs a second
// once, and not with each connection.
type hosts struct {
	mu     sync.Mutex
	silent map[string]time.Time // address → until when
	good   time.Time            // when an address answered last
	dial   pgconn.DialFunc
}

// errSilent is the error of an address that did not answer a moment ago.
var errSilent = errors.New("the host did not answer a moment ago; another one does")

// preferAnswering makes a configuration with several hosts try them quickly, and accept only one
// that can be written unless the URL says otherwise.
func preferAnswering(c *pgx.ConnConfig, url string) {
	if !severalHosts(c) {
		return
	}
	if !strings.Contains(url, "target_session_attrs=") {
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if !strings.Contains(url, "connect_timeout=") {
		c.ConnectTimeout = hostTimeout
	}
	h := &hosts{silent: map[string]time.Time{}, dial: c.DialFunc}
	c.DialFunc = h.connect
}

func severalHosts(c *pgx.ConnConfig) bool {
	for _, f := range c.Fallbacks {
		if f.Host != c.Host || f.Port != c.Port {
			return true
		}
	}
	return false
}

// connect dials an address, unless it did not answer a moment ago while another one did.
func (h *hosts) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	h.mu.Lock()
	until, silent := h.silent[addr]
	skip := silent && time.Now().Before(until) && time.Since(h.good) < silentFor
	h.mu.Unlock()
	if skip {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errSilent}
	}
	conn, err := h.dial(ctx, network, addr)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.silent[addr] = time.Now().Add(silentFor)
		return nil, err
	}
	delete(h.silent, addr)
	h.good = time.Now()
	return conn, nil
}
