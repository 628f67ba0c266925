package login

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// Locks of invented names neither lock other names nor tell which names exist: a name that was
// never tried is not locked.
func TestUnknownNamesDoNotLockEachOther(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.LockByIP = false })
	v := h.visit()
	for i := range 20_000 {
		who := h.s.subject(nil, fmt.Sprint("invented-", i))
		for _, c := range h.s.counters(v, who) {
			for range c.Threshold {
				if _, err := h.m.RecordFailure(ctx, c); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for i := range 700 {
		who := h.s.subject(nil, fmt.Sprint("fresh-", i))
		if err := h.s.checkLocked(ctx, v, who); err != nil {
			t.Fatalf("fresh-%d: %v", i, err)
		}
	}
	if err := h.s.checkLocked(ctx, v, h.s.subject(nil, "invented-3")); !fault.Is(err, fault.Limited) {
		t.Errorf("a name that was tried five times is not locked: %v", err)
	}
}

// loginFailures returns how many LOGIN_FAILED events are recorded one by one for a user ("" is
// nobody), and how many by their number.
func (h *harness) loginFailures(id identity.UserID) (single, counted int) {
	for _, ev := range h.m.events {
		if ev.Type != audit.LoginFailed || ev.User != string(id) {
			continue
		}
		n := 0
		if _, err := fmt.Sscan(ev.Detail["count"], &n); err != nil {
			single++
		}
		counted += n
	}
	return single, counted
}

// Strangers must not fill the audit log with failed sign-ins, nor hide those of an account among
// them.
func TestRepeatedSignInFailuresAreCounted(t *testing.T) {
	bob := func(int) string { return "bob" }
	invented := func(i int) string { return fmt.Sprint("invented-", i) }
	one := func(int) string { return "192.0.2.1" }
	many := func(i int) string { return fmt.Sprintf("10.0.%d.%d", i/250, i%250) }
	for name, c := range map[string]struct {
		name, from func(int) string
		single     int
	}{
		"one account from one address":     {bob, one, 10},
		"one account from many addresses":  {bob, many, 10},
		"invented names from one address":  {invented, one, 10},
		"invented names, many addresses":   {invented, many, 600},
		"invented names, unknown address":  {invented, func(int) string { return "" }, 10},
		"invented names, one IPv6 network": {invented, func(i int) string { return fmt.Sprintf("2001:db8::%x", i) }, 10},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			user := identity.UserID("")
			if c.name(0) == "bob" {
				user = h.user("bob", right)
			}
			h.now = h.now.Truncate(time.Minute)
			const all = 2000
			for i := range all {
				h.ip = c.from(i)
				if _, err := h.signIn(c.name(i), "wrong"); err == nil {
					t.Fatal("signed in")
				}
			}
			h.ip = one(0)
			if _, err := h.signIn("alice", "wrong"); err == nil { // not hidden by the others
				t.Fatal("signed in")
			}
			for range 2 { // the second time nothing is left
				if err := h.s.RecordFailures(ctx, h.now); err != nil {
					t.Fatal(err)
				}
			}
			if single, counted := h.loginFailures(user); single != c.single || counted != all-single {
				t.Errorf("%d records and %d counted", single, counted)
			}
			if single, counted := h.loginFailures(h.alice); single != 1 || counted != 0 {
				t.Errorf("of the other account: %d records and %d counted", single, counted)
			}
			if n := len(h.m.events); n > 2*c.single+10 {
				t.Errorf("%d events", n)
			}
			h.now = h.now.Add(time.Minute)
			h.ip = c.from(0)
			if _, err := h.signIn(c.name(0), "wrong"); err == nil {
				t.Fatal("signed in")
			}
			if single, _ := h.loginFailures(user); single != c.single+1 {
				t.Errorf("%d records a minute later", single)
			}
		})
	}
}

// A caller who has failed with so many names that further ones are only counted learns nothing from
// the time of an answer: a failure writes as often for a name that nobody has as for an account.
func TestCountedFailuresWriteAsOften(t *testing.T) {
	h := newHarness(t)
	writes := func(name string) int {
		before := h.m.writes
		_, err := h.signIn(name, "wrong wrong wrong")
		h.wantErr(err, fault.Denied, "")
		return h.m.writes - before
	}
	for i := range 30 {
		testkit.Equal(t, "writes for the name "+strconv.Itoa(i), writes("nobody"+strconv.Itoa(i)), 2)
	}
	testkit.Equal(t, "writes for an account", writes("alice"), 2)
}
