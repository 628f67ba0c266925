package faults_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// Two servers and all commands work through PgBouncer in transaction mode with three connections
// while many callers refresh, redeem and revoke. Each acknowledged change stands, and reaches the
// other server.
func TestPgBouncer(t *testing.T) {
	t.Parallel()
	pooler := testkit.StartPgBouncer(t, "transaction", 3)
	pooled, direct := pooler.Database(t)
	h := newHost(t, pooled, nil)
	h.run(nil, "", "migrate")
	one := h.serve()
	two := newCaller(t, h.serveOn(testkit.FreePort(t), nil).url)
	past := newCaller(t, h.serveOn(testkit.FreePort(t), map[string]string{"DATABASE_LISTEN_URL": direct}).url)
	load := h.workload(one)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { load.load(ctx) })
	load.progress(t)
	h.run(nil, "", "client", "list")
	h.run(nil, "", "key", "list")
	stop()
	wg.Wait()
	load.verify(t)

	for other, c := range map[string]*caller{"polls": two, "listens": past} {
		issued := load.call.own(load.machine).tokens().Access
		on, err := c.active(load.machine, issued)
		testkit.Must(t, err)
		if !on {
			t.Error("a token is not active at the other server")
		}
		if a := load.call.revoke(load.machine, issued); a.status != 200 {
			t.Fatalf("revoking: %v", a)
		}
		took := eventually(t, "the token is revoked at the other server", func() error {
			on, err := c.active(load.machine, issued)
			return want(err == nil && !on, "active is %v, %v", on, err)
		})
		t.Logf("the server that %s knows of the revocation after %s", other, took.Round(time.Millisecond))
	}
	for c, changes := range map[*caller]string{load.call: "poll", two: "poll", past: "listen"} {
		shown := fmt.Sprintf(`"database":{"pooler":true,"statements":"exec","changes":%q}`, changes)
		eventually(t, "readiness shows the pooler", func() error {
			a := c.get("/readyz")
			return want(a.status == http.StatusOK && strings.Contains(a.body, shown), "%v; want %s", a, shown)
		})
	}
	if n := strings.Count(one.logTail(), "connection pooler; statements"); n > 1 {
		t.Errorf("the log names the pooler %d times", n)
	}
}
