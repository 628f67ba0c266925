package faults_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/cache/cachetest"
)

// allowance is how many requests a client has in the stories about limits.
const allowance = 20

// ask sends requests in turn to servers, as a client of a name that nobody has used before, and counts those that were
// not refused as too many. Limits count what a caller says it is, so the client need not exist.
func ask(t *testing.T, name string, n int, servers ...*caller) int {
	t.Helper()
	let := 0
	for i := range n {
		switch a := servers[i%len(servers)].own(client{name, "x"}); {
		case a.err == nil && a.status == 401:
			let++
		case a.err != nil || a.status != 429 || a.code() != "rate_limit_exceeded" || a.header.Get("Retry-After") == "":
			t.Fatalf("request %d of %s: %v", i+1, name, a)
		}
	}
	return let
}

// Redis goes away and comes back. Requests go on; limits hold on each server while it is away, and over all of them before and after.
func TestRedisLost(t *testing.T) {
	t.Parallel()
	redis := cachetest.StartRedis(t)
	h := newHouse(t, "sqlite:"+filepath.Join(t.TempDir(), "gatehouse.db"), map[string]string{
		"RATE_LIMIT_STORE": "redis", "REDIS_URL": redis.URL(), "RATE_LIMIT_BY": "client",
		"RATE_LIMIT_TOKEN_MAX": fmt.Sprint(allowance), "RATE_LIMIT_TOKEN_WINDOW": "3600",
	})
	real := h.machine("machine", "jwt")
	one, two := newCaller(t, h.serve().url), newCaller(t, h.serveOn(freePort(t), nil).url)
	if n := ask(t, "before", 2*allowance, one, two); n != allowance {
		t.Errorf("two servers let %d through together, want %d", n, allowance)
	}

	redis.Stop()
	for i, c := range []*caller{one, two} {
		start := time.Now()
		if a := c.own(real); a.status != 200 {
			t.Errorf("server %d without Redis: %v", i+1, a)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("server %d without Redis took %s", i+1, took)
		}
		if n := ask(t, "away", allowance+10, c); n != allowance {
			t.Errorf("server %d let %d through without Redis, want %d", i+1, n, allowance)
		}
	}
	if n := ask(t, "before", 2, one, two); n != 2 {
		t.Errorf("%d of 2: what Redis counted is not known while it is away", n)
	}

	redis.Start()
	try := 0
	took := eventually(t, 8*time.Second, "limits are shared again", func() error {
		try++
		n := ask(t, fmt.Sprint("after", try), allowance+4, one, two)
		return want(n == allowance, "%d of %d were let through", n, allowance+4)
	})
	t.Logf("shared again after %s", took.Round(time.Millisecond))
}
