package oauth_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// failures returns how many failed client authentications the audit log records one by one, and
// how many more by their number.
func (w *world) failures() (single, counted int) {
	w.t.Helper()
	query := store.AuditQuery{Type: audit.ClientAuthFailed, Limit: 10000}
	events, err := w.db.ListAudit(w.t.Context(), query)
	testkit.Must(w.t, err)
	for _, ev := range events {
		n := 0
		if _, err := fmt.Sscan(ev.Detail["count"], &n); err != nil {
			single++
		}
		counted += n
	}
	return single, counted
}

// Strangers must not fill the audit log: what one address or one claimed client repeats becomes a
// number.
func TestRepeatedFailuresAreCounted(t *testing.T) {
	for name, c := range map[string]struct {
		claim, from func(i int) string
		single      int
	}{
		"one address, invented clients": {
			func(i int) string { return fmt.Sprintf("invented-%d", i) },
			func(int) string { return "192.0.2.1" },
			10,
		},
		"one IPv6 network": {
			func(i int) string { return fmt.Sprintf("invented-%d", i) },
			func(i int) string { return fmt.Sprintf("2001:db8::%x", i) },
			10,
		},
		"one client, many addresses": {
			func(int) string { return "robot" },
			func(i int) string { return fmt.Sprintf("10.0.%d.%d", i/250, i%250) },
			10,
		},
		"no address": {
			func(i int) string { return fmt.Sprintf("invented-%d", i) },
			func(int) string { return "" },
			10,
		},
		"everything invented": {
			func(i int) string { return fmt.Sprintf("invented-%d", i) },
			func(i int) string { return fmt.Sprintf("10.0.%d.%d", i/250, i%250) },
			600,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.now = w.now.Truncate(time.Minute)
			before, countedBefore := w.failures() // the tests of this package share a database
			const all = 2000
			for i := range all {
				call := w.call()
				call.IP, call.Authorization = c.from(i), basic(c.claim(i), "wrong")
				wantError(t, w.authenticate(call), "invalid_client", 401)
			}
			testkit.Must(t, w.srv.RecordFailures(t.Context(), w.now))
			testkit.Must(t, w.srv.RecordFailures(t.Context(), w.now)) // nothing is left
			single, counted := w.failures()
			testkit.Equal(t, "single records", single-before, c.single)
			testkit.Equal(t, "counted", counted-countedBefore, all-c.single)

			w.advance(time.Minute)
			call := w.call()
			call.IP, call.Authorization = c.from(0), basic(c.claim(0), "wrong")
			wantError(t, w.authenticate(call), "invalid_client", 401)
			single, _ = w.failures()
			testkit.Equal(t, "single records a minute later", single-before, c.single+1)
		})
	}
}
