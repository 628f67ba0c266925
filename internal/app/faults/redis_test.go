package faults_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// sharedLimits returns settings for servers with shared rate limits: at most that many token
// requests an hour for each address. Requests from the loopback address are not counted.
func sharedLimits(redis string, most int) map[string]string {
	return map[string]string{
		"RATE_LIMIT_STORE": "redis", "REDIS_URL": redis, "RATE_LIMIT_TOKEN_MAX": fmt.Sprint(most), "RATE_LIMIT_TOKEN_WINDOW": "3600",
		"TRUSTED_PROXIES": "127.0.0.1", "RATE_LIMIT_WHITELIST": "127.0.0.1",
	}
}

// addresses generates client addresses that were not used before (RFC 2544).
type addresses struct{ n atomic.Int64 }

func (a *addresses) next() string {
	n := a.n.Add(1)
	return fmt.Sprintf("198.18.%d.%d", n/256, n%256)
}

// ask sends n requests from an address, one server after the other, and returns how many were
// within the limit.
func ask(t *testing.T, from string, n int, servers ...*caller) int {
	t.Helper()
	let := 0
	for i := range n {
		c := *servers[i%len(servers)]
		c.from = from
		switch a := c.own(client{"nobody", "x"}); {
		case a.err == nil && a.status == 401:
			let++
		case a.err != nil || a.status != 429 || a.code() != "rate_limit_exceeded" || a.header.Get("Retry-After") == "":
			t.Fatalf("request %d from %s: %v", i+1, from, a)
		}
	}
	return let
}

// shared waits until the servers share their counters, and returns the address whose limit is
// reached.
func (a *addresses) shared(t *testing.T, most int, servers ...*caller) (from string) {
	t.Helper()
	took := eventually(t, "limits are shared", func() error {
		from = a.next()
		n := ask(t, from, most+4, servers...)
		return want(n == most, "%d of %d were let through, want %d", n, most+4, most)
	})
	t.Logf("%d servers share limits after %s", len(servers), took.Round(time.Millisecond))
	return from
}

// Redis stops and restarts. Requests still succeed without it, and each server applies the limit
// alone. Before and after, the limit applies to all servers together.
func TestRedisLost(t *testing.T) {
	t.Parallel()
	const most = 20
	redis := testkit.StartRedis(t)
	h := newHost(t, "sqlite:"+filepath.Join(t.TempDir(), "gatehouse.db"), sharedLimits(redis.URL(), most))
	machine := h.machine("machine", "jwt")
	one, two := newCaller(t, h.serve().url), newCaller(t, h.serveOn(testkit.FreePort(t), nil).url)
	from := addresses{}
	known := from.shared(t, most, one, two)

	redis.Stop()
	for i, c := range []*caller{one, two} {
		named := *c
		named.from = from.next()
		if a := named.own(machine); a.status != 200 {
			t.Errorf("server %d without Redis: %v", i+1, a)
		}
		if n := ask(t, from.next(), most+10, c); n != most {
			t.Errorf("server %d let %d through without Redis, want %d", i+1, n, most)
		}
	}
	for i, c := range []*caller{one, two} {
		if a := c.get("/health"); a.status != 200 || !strings.Contains(a.body, `"unavailable":["redis"]`) {
			t.Errorf("health of server %d without Redis: %v", i+1, a)
		}
		if a := c.get("/readyz"); a.status != 200 {
			t.Errorf("readiness of server %d without Redis: %v", i+1, a)
		}
	}
	if n := ask(t, known, 2, one, two); n != 2 {
		t.Errorf("%d of 2: counters in Redis must not block requests while it is down", n)
	}

	redis.Start()
	from.shared(t, most, one, two)
	if a := one.get("/health"); strings.Contains(a.body, "redis") {
		t.Errorf("health with Redis: %v", a)
	}
}

// The primary of the Sentinels is killed while requests arrive: each is answered, and the limits of
// all servers together hold again once there is a new primary.
func TestRedisFailover(t *testing.T) {
	t.Parallel()
	const most = 20
	redis := testkit.StartSentinels(t)
	h := newHost(t, "sqlite:"+filepath.Join(t.TempDir(), "gatehouse.db"), sharedLimits(redis.URL(), most))
	machine := h.machine("machine", "jwt")
	one, two := newCaller(t, h.serve().url), newCaller(t, h.serveOn(testkit.FreePort(t), nil).url)
	from := addresses{}
	from.shared(t, most, one, two)

	redis.Primary.Stop()
	took := eventually(t, "limits are shared again", func() error {
		for i, c := range []*caller{one, two} {
			named := *c
			named.from = from.next()
			if a := named.own(machine); a.status != 200 {
				t.Fatalf("server %d during the failover: %v", i+1, a)
			}
		}
		n := ask(t, from.next(), most+4, one, two)
		return want(n == most, "%d were let through, want %d", n, most)
	})
	t.Logf("limits are shared %s after the primary was killed", took.Round(time.Millisecond))
}

// Sentinels and their primary are reached over TLS, with an authority that the machine trusts.
func TestRedisTLS(t *testing.T) {
	t.Parallel()
	const most = 10
	url, cert := testkit.StartTLSSentinel(t)
	settings := sharedLimits(url, most)
	settings["SSL_CERT_FILE"] = cert // of Go and OpenSSL: the trusted certificates
	h := newHost(t, "sqlite:"+filepath.Join(t.TempDir(), "gatehouse.db"), settings)
	one, two := newCaller(t, h.serve().url), newCaller(t, h.serveOn(testkit.FreePort(t), nil).url)
	new(addresses).shared(t, most, one, two)
}
