package faults_test

import (
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func (p *postgres) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Port)) }

// A standby takes the place of the primary, at the same address. Connections to the former primary,
// which answers and can be read, look healthy for ever: the server gives them up, serves again
// without a restart, and knows what was revoked at the new primary. Meanwhile what the former one
// says is no news: followers of revocations are told to look elsewhere, and after
// REVOCATION_MAX_AGE no token passes.
func TestDemotedPrimary(t *testing.T) {
	t.Parallel()
	old := newPostgres(t)
	next := old.follower()
	front := testkit.StartProxy(t, old.addr())
	h := newHost(t, strings.Replace(old.url(), old.addr(), front.Addr(), 1), map[string]string{"REVOCATION_MAX_AGE": "10"})
	s := h.serve()
	c := h.workload(s)
	family := c.person.family(t, c.call, c.web)
	own := c.call.own(c.machine).tokens().Access
	feed := events(t, http.DefaultClient, s.url+"/oauth/revocations", c.machine)

	execute(t, old.url(), "ALTER SYSTEM SET default_transaction_read_only = on")
	execute(t, old.url(), "SELECT pg_reload_conf()")
	eventually(t, "readiness says that the database cannot be changed", func() error {
		a := c.call.get("/readyz")
		return want(a.status == http.StatusServiceUnavailable && strings.Contains(a.body, "cannot be changed"), "%v", a)
	})
	if a := c.call.get("/health"); a.status != http.StatusOK || !strings.Contains(a.body, `"unavailable":["database"]`) {
		t.Errorf("health: %v", a)
	}
	if a := c.call.refresh(c.web, family.Refresh); a.unavailable() != nil {
		t.Errorf("a refresh: %v", a)
	}
	testkit.Receive(t, "the end of the stream of revocations", feed)
	eventually(t, "the server does not know any more what is revoked", func() error {
		return c.call.post("/oauth/introspect", c.machine, "token", own).unavailable()
	})

	eventually(t, "the standby has everything", func() error {
		var sent, replayed string
		pgRow(t, old.url(), "SELECT CAST(pg_current_wal_lsn() AS TEXT)", &sent)
		pgRow(t, next.url(), "SELECT CAST(pg_last_wal_replay_lsn() AS TEXT)", &replayed)
		return want(sent == replayed, "%s of %s", replayed, sent)
	})
	execute(t, next.url(), "SELECT pg_promote()")
	front.Redirect(next.addr())
	eventually(t, "the server has found the new primary", func() error {
		a := c.call.refresh(c.web, family.Refresh)
		return want(a.status == http.StatusOK, "%v", a)
	})
	eventually(t, "it knows again", func() error {
		on, err := c.call.active(c.machine, own)
		return errors.Join(err, want(on, "the token is not active"))
	})
	other := newCaller(t, h.at(next.url()).serveOn(testkit.FreePort(t), nil).url)
	if a := other.revoke(c.machine, own); a.status != http.StatusOK {
		t.Errorf("a revocation at another server: %v", a)
	}
	c.dies(t, "a token that was revoked at the new primary", c.machine, own)
	eventually(t, "nobody uses the former primary", func() error {
		var n int
		pgRow(t, old.url(), "SELECT COUNT(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"+
			" AND pid <> pg_backend_pid()", &n)
		return want(n == 0, "%d connections", n)
	})
	eventually(t, "it is ready", func() error {
		a := c.call.get("/readyz")
		return want(a.status == http.StatusOK, "%v", a)
	})
}
