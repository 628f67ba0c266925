package job

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// leases is Leases in memory.
type leases struct {
	mu      sync.Mutex
	granted map[string]lease
	err     error
}

type lease struct {
	holder string
	until  time.Time
}

func (l *leases) AcquireLease(_ context.Context, name, holder string, ttl time.Duration) (bool, error) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return false, l.err
	}
	if h, ok := l.granted[name]; ok && h.holder != holder && now.Before(h.until) {
		return false, nil
	}
	if l.granted == nil {
		l.granted = map[string]lease{}
	}
	l.granted[name] = lease{holder, now.Add(ttl)}
	return true, nil
}

// count is a job that stores the times of its runs.
type count struct {
	mu   sync.Mutex
	runs []time.Time
}

func (c *count) run(_ context.Context, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs = append(c.runs, now)
	return nil
}

func (c *count) n() int { c.mu.Lock(); defer c.mu.Unlock(); return len(c.runs) }

// during runs runners for some time of the fake clock, and stops them.
func during(t *testing.T, d time.Duration, runners ...*Runner) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, r := range runners {
		wg.Go(func() { r.Run(ctx) })
	}
	time.Sleep(d)
	cancel()
	wg.Wait()
}

func TestRunsPeriodically(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Runner{Leases: &leases{}, Holder: "a"}
		var c count
		r.Add(Job{"sweep", time.Hour, c.run})
		during(t, 24*time.Hour, r)
		if n := c.n(); n < 22 || n > 27 {
			t.Errorf("%d runs in a day", n)
		}
		uneven := false
		for i := 1; i < len(c.runs); i++ {
			gap := c.runs[i].Sub(c.runs[i-1])
			if gap < 54*time.Minute || gap > 66*time.Minute {
				t.Errorf("%s between two runs", gap)
			}
			uneven = uneven || gap != time.Hour
		}
		if !uneven {
			t.Error("there is no jitter")
		}
	})
}

func TestOneServerAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &leases{}
		var c count
		var runners []*Runner
		for _, name := range []string{"a", "b", "c", "d"} {
			r := &Runner{Leases: shared, Holder: name}
			r.Add(Job{"sweep", time.Hour, c.run})
			runners = append(runners, r)
		}
		during(t, 24*time.Hour, runners...)
		if n := c.n(); n < 20 || n > 30 {
			t.Errorf("%d runs in a day by four servers", n)
		}
	})
}

func TestAnotherServerTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &leases{}
		var a, b count
		first, second := &Runner{Leases: shared, Holder: "a"}, &Runner{Leases: shared, Holder: "b"}
		first.Add(Job{"sweep", 5 * time.Second, a.run})
		second.Add(Job{"sweep", 5 * time.Second, b.run})
		during(t, time.Minute, first)
		if a.n() < 10 {
			t.Errorf("%d runs in a minute", a.n())
		}
		during(t, 40*time.Second, second)
		if b.n() != 0 {
			t.Error("a lease was taken from its holder")
		}
		during(t, time.Minute, second)
		if b.n() == 0 {
			t.Error("the other server did not take over")
		}
	})
}

func TestFailuresAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var reported []error
		r := &Runner{Leases: &leases{}, Holder: "a", OnError: func(name string, err error) {
			mu.Lock()
			defer mu.Unlock()
			if name != "shaky" {
				t.Errorf("an error of %s", name)
			}
			reported = append(reported, err)
		}}
		var c count
		runs, broken := 0, errors.New("disk full")
		r.Add(Job{"shaky", time.Minute, func(context.Context, time.Time) error {
			if runs++; runs%2 == 0 {
				return broken
			}
			panic("oh")
		}})
		r.Add(Job{"steady", time.Minute, c.run})
		during(t, 10*time.Minute, r)
		if len(reported) != runs || runs < 8 || c.n() < 8 {
			t.Fatalf("%d reports of %d runs; %d runs of the other job", len(reported), runs, c.n())
		}
		var p *PanicError
		if !errors.As(reported[0], &p) || p.Value != "oh" || p.Error() != "panic: oh" ||
			!strings.Contains(string(p.Stack), "job_test.go") {
			t.Errorf("%v", reported[0])
		}
		if !errors.Is(reported[1], broken) {
			t.Errorf("%v", reported[1])
		}
	})
}

func TestLeaseErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reported []error
		down := errors.New("no database")
		r := &Runner{
			Leases:  &leases{err: down},
			Holder:  "a",
			OnError: func(_ string, err error) { reported = append(reported, err) },
		}
		var c count
		r.Add(Job{"sweep", time.Minute, c.run})
		during(t, 3*time.Minute, r)
		if c.n() != 0 || len(reported) == 0 || !errors.Is(reported[0], down) {
			t.Errorf("%d runs without a lease; %v", c.n(), reported)
		}
	})
}

func TestRunEndsBeforeTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reported error
		r := &Runner{Leases: &leases{}, Holder: "a", OnError: func(_ string, err error) { reported = err }}
		r.Add(Job{"slow", time.Second, func(ctx context.Context, _ time.Time) error {
			<-ctx.Done()
			return ctx.Err()
		}})
		during(t, 90*time.Second, r)
		if !errors.Is(reported, context.DeadlineExceeded) || !strings.Contains(reported.Error(), "did not end within 1m0s") {
			t.Errorf("%v", reported)
		}
	})
}

func TestStopsCleanly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Runner{
			Leases:  &leases{},
			Holder:  "a",
			OnError: func(_ string, err error) { t.Errorf("reported: %v", err) },
		}
		ended := false
		r.Add(Job{"long", time.Minute, func(ctx context.Context, _ time.Time) error {
			<-ctx.Done()
			time.Sleep(time.Second) // of cleaning up
			ended = true
			return ctx.Err()
		}})
		during(t, 20*time.Second, r)
		if !ended {
			t.Error("Run returned before the job did")
		}
	})
}

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		then := time.Unix(1, 0)
		r := &Runner{Leases: &leases{}, Holder: "a", Now: func() time.Time { return then }}
		var c count
		r.Add(Job{"sweep", time.Nanosecond, func(ctx context.Context, now time.Time) error {
			time.Sleep(time.Second)
			return c.run(ctx, now)
		}})
		during(t, 5*time.Second, r)
		if c.n() == 0 || !c.runs[0].Equal(then) {
			t.Errorf("%v", c.runs)
		}
	})
}

func TestAddPanics(t *testing.T) {
	run := func(context.Context, time.Time) error { return nil }
	for name, j := range map[string]Job{
		"name":   {"", time.Hour, run},
		"period": {"x", 0, run},
		"run":    {"x", time.Hour, nil},
		"twice":  {"sweep", time.Hour, run},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			var r Runner
			r.Add(Job{"sweep", time.Hour, run})
			r.Add(j)
		}()
	}
}
