package oauth

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Bounds of what strangers can make the audit log record of requests that are refused.
const (
	failuresPerClient = 10  // a minute
	failuresInAll     = 100 // a minute
	maxSentText       = 512 // bytes of the address that was sent
	maxRegisteredText = 2048
)

// failureLimiter bounds the audit events of requests that are refused: anybody who knows a
// client_id can cause them. The zero value is ready.
type failureLimiter struct {
	mu      sync.Mutex
	minute  int64
	total   int
	clients map[client.ID]int
}

// allow reports whether an event of the client may be recorded, and counts it.
func (l *failureLimiter) allow(id client.ID, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if minute := now.Unix() / 60; minute != l.minute || l.clients == nil {
		l.minute, l.total, l.clients = minute, 0, map[client.ID]int{}
	}
	if l.total >= failuresInAll || l.clients[id] >= failuresPerClient {
		return false
	}
	l.total++
	l.clients[id]++
	return true
}

// Mismatch is an address that a request named and that is not registered for its client.
type Mismatch struct {
	Type       audit.Type // of the event
	Reason     string
	Sent       string
	Registered []string
}

// RecordMismatch records what was sent and what is registered, for the operator, a bounded number
// of times. The person is told only that the addresses differ.
func (s *Server) RecordMismatch(
	ctx context.Context, c *Call, cl *client.Client, m Mismatch,
) error {
	return s.recordFailure(ctx, c, cl, audit.Event{
		Type:   m.Type,
		Reason: m.Reason,
		Detail: map[string]string{
			"sent":       clipText(m.Sent, maxSentText),
			"registered": clipText(strings.Join(m.Registered, " "), maxRegisteredText),
		},
	})
}

// recordRedirect records a redirect_uri that is not registered, if that is what err says. It
// returns err, together with an error of the storage.
func (s *Server) recordRedirect(ctx context.Context, c *Call, form url.Values, err error) error {
	if fault.Reason(err) != ReasonRedirectUnknown {
		return err
	}
	cl, lookup := s.clients.Lookup(ctx, client.ID(form.Get("client_id")))
	if lookup != nil {
		return err
	}
	failed := s.RecordMismatch(ctx, c, cl, Mismatch{
		Type:       audit.AuthorizationFailed,
		Reason:     ReasonRedirectUnknown,
		Sent:       form.Get("redirect_uri"),
		Registered: cl.Redirects,
	})
	return errors.Join(err, failed)
}

// recordFailure records why a client's request was refused, with the type, the reason and the
// detail of an event, unless there were too many of them within a minute.
func (s *Server) recordFailure(
	ctx context.Context, c *Call, cl *client.Client, about audit.Event,
) error {
	if !s.failures.allow(cl.ID, c.Now) {
		return nil
	}
	ev := c.Event(about.Type, cl)
	ev.Reason, ev.Detail = about.Reason, about.Detail
	return s.store.Record(ctx, ev)
}

// clipText returns the start of a text, at most that many bytes and an ellipsis.
func clipText(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
