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

// recordMismatch records what was sent and what is registered, for the operator, where err is that
// the redirect address is not registered. It returns err, which tells the person only that the
// addresses differ, together with an error of the storage.
func (s *Server) recordMismatch(ctx context.Context, c *Call, form url.Values, err error) error {
	if fault.Reason(err) != ReasonRedirectUnknown {
		return err
	}
	cl, lookup := s.clients.Lookup(ctx, client.ID(form.Get("client_id")))
	if lookup != nil {
		return err
	}
	failed := s.recordFailure(ctx, c, cl, audit.Event{
		Reason: ReasonRedirectUnknown,
		Detail: map[string]string{
			"sent":       clipText(form.Get("redirect_uri"), maxSentText),
			"registered": clipText(strings.Join(cl.Redirects, " "), maxRegisteredText),
		},
	})
	if failed != nil {
		return errors.Join(err, failed)
	}
	return err
}

// recordFailure records why a client's request was refused, with the reason and the detail of an
// event, unless there were too many of them within a minute.
func (s *Server) recordFailure(
	ctx context.Context, c *Call, cl *client.Client, about audit.Event,
) error {
	if !s.failures.allow(cl.ID, c.Now) {
		return nil
	}
	ev := c.Event(audit.AuthorizationFailed, cl)
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
