package faults_test

import (
	"context"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// A clock is an HTTP transport that measures the successful responses of endpoints that write.
type clock struct {
	http.RoundTripper
	mu   sync.Mutex
	took []time.Duration
}

func (c *clock) RoundTrip(r *http.Request) (*http.Response, error) {
	start := time.Now()
	a, err := c.RoundTripper.RoundTrip(r)
	if took := time.Since(start); err == nil && a.StatusCode == 200 && (r.URL.Path == "/oauth/token" || r.URL.Path == "/oauth/revoke") {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.took = append(c.took, took)
	}
	return a, err
}

func (c *clock) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.took)
}

// A span is the time that a request took.
type span struct{ begin, end time.Time }

// during returns how many spans lie between two times.
func during(spans []span, begin, end time.Time) (n int) {
	for _, s := range spans {
		if s.begin.After(begin) && s.end.Before(end) {
			n++
		}
	}
	return n
}

// Every sync of the disk takes 300 ms. No response comes before its change is synced, many changes
// share one sync, reads are not delayed, and a shutdown meanwhile loses nothing.
func TestSlowDisk(t *testing.T) {
	t.Parallel()
	const sync = 300 * time.Millisecond
	tr := newTracer(t, "fsync,fdatasync", "-e", "inject=fsync,fdatasync:delay_exit=300000")
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	h := newHost(t, "sqlite:"+path, nil)
	quick := h.serve()
	c := h.workload(quick)
	known := issuedToken{c.opaque, c.call.own(c.opaque).tokens().Access}
	quick.stop()

	slow := h.serveOn(h.port, nil, tr.wrap...)
	writes := &clock{RoundTripper: c.call.http.Transport}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	c.call.http.Transport = writes
	readers := newCaller(t, slow.url)
	begin := time.Now()
	go func() { c.load(ctx); close(done) }()
	var reads []span
	for time.Since(begin) < 2500*time.Millisecond {
		start := time.Now()
		if on, err := readers.active(known.by, known.token); err != nil || !on {
			t.Errorf("a token while the disk is slow: active is %v, %v", on, err)
		}
		reads = append(reads, span{start, time.Now()})
		time.Sleep(5 * time.Millisecond)
	}
	end := time.Now()
	answers := writes.count()
	slow.stop() // with requests in flight
	stop()
	<-done

	syncs, beside := 0, 0
	for _, d := range tr.calls(t) {
		if d.end.After(begin) && d.end.Before(end) {
			syncs++
			beside += during(reads, d.begin, d.begin.Add(sync))
		}
	}
	fastest := slices.Min(writes.took)
	t.Logf("%d answers after %d syncs, the fastest after %s; %d reads, %d of them within a sync",
		answers, syncs, fastest.Round(time.Millisecond), len(reads), beside)
	if fastest < sync {
		t.Errorf("an answer came %s after its request: the sync alone takes %s", fastest, sync)
	}
	if answers < 2*syncs {
		t.Errorf("%d answers after %d syncs: they are not shared", answers, syncs)
	}
	if beside < 3 {
		t.Errorf("%d of %d reads within one of %d syncs: they wait for the writer", beside, len(reads), syncs)
	}
	h.serve()
	c.live = append(c.live, known)
	c.verify(t)
	c.exhaust(t)
	integrity(t, path)
}
