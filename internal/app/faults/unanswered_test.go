package faults_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A repeatable is a refresh that was answered 503, although its rotation was or may be stored.
type repeatable struct {
	old  string
	call *caller
	web  client
}

// repeats presents the old token until it is known what became of it, which must give a successor.
func (r repeatable) repeats(t *testing.T) tokens {
	t.Helper()
	var last answer
	eventually(t, "the repeated request is answered", func() error {
		last = r.call.refresh(r.web, r.old)
		return want(last.status != http.StatusServiceUnavailable, "%v", last)
	})
	if last.status != http.StatusOK || last.tokens().Refresh == "" || last.tokens().Refresh == r.old {
		t.Fatalf("an honest client repeats what was answered 503: %v", last)
	}
	return last.tokens()
}

// settledBy checks what follows: the successor works, and once it has been used, or the repeated
// request has been answered, the old token counts as stolen.
func settledBy(t *testing.T, used, answered repeatable) {
	t.Helper()
	next := used.repeats(t)
	if on, err := used.call.active(used.web, next.Access); err != nil || !on {
		t.Errorf("the access token of the repeated answer: active is %v, %v", on, err)
	}
	newest := used.call.refresh(used.web, next.Refresh)
	if newest.status != http.StatusOK {
		t.Fatalf("the successor: %v", newest)
	}
	ends(t, used.call, used.web, used.old, newest.tokens())

	once := answered.repeats(t)
	ends(t, answered.call, answered.web, answered.old, once)
}

// The only synchronous standby is away: a COMMIT is executed and waits. A refresh is answered 503,
// and its rotation stands when the standby is back. The client repeats its request, later than
// the reuse interval, and keeps its sign-in, at this server and at another one.
func TestStandbyAway(t *testing.T) {
	t.Parallel()
	p := newPostgres(t)
	h := newHost(t, p.url(), map[string]string{"REFRESH_TOKEN_REUSE_INTERVAL": "0"})
	s := h.serve()
	c := h.workload(s)
	other := newCaller(t, h.serveOn(testkit.FreePort(t), nil).url)
	first := c.person.family(t, c.call, c.web).Refresh
	second := c.person.family(t, c.call, c.web).Refresh
	p.standby("gone")
	done := make(chan answer)
	for _, old := range []string{first, second} {
		go func() { done <- c.call.refresh(c.web, old) }()
	}
	for range 2 {
		if a := <-done; a.status != http.StatusServiceUnavailable {
			t.Fatalf("while the standby is away: %v", a)
		}
	}
	p.standby("")
	settledBy(t, repeatable{first, c.call, c.web}, repeatable{second, other, c.web})
}

// standby sets the name of the synchronous standby without which no COMMIT ends, or none.
func (p *postgres) standby(name string) {
	p.t.Helper()
	for _, text := range []string{
		"ALTER SYSTEM SET synchronous_standby_names = '" + name + "'",
		"SELECT pg_reload_conf()",
	} {
		execute(p.t, p.url(), text)
	}
	eventually(p.t, "the setting is in force", func() error {
		var now string
		pgRow(p.t, p.url(), "SELECT current_setting('synchronous_standby_names')", &now)
		return want(now == name, "%q", now)
	})
}

// A pooler reports the end of its connection in place of the outcome of a COMMIT. That is neither
// taken for an undone change nor sent again; the client repeats its request.
func TestPoolerReportsTheEnd(t *testing.T) {
	t.Parallel()
	b := testkit.StartPgBreaker(t, testkit.StartPostgres(t))
	h := newHost(t, b.URL, map[string]string{"REFRESH_TOKEN_REUSE_INTERVAL": "0"})
	s := h.serve()
	c := h.workload(s)
	lost := func() string {
		t.Helper()
		for range 20 {
			old := c.person.family(t, c.call, c.web).Refresh
			b.Break(1)
			a := c.call.refresh(c.web, old)
			if a.status == http.StatusServiceUnavailable {
				return old
			}
			if a.status != http.StatusOK { // where it is, a job of the server met the break
				t.Fatalf("while the pooler breaks: %v; %d broken", a, b.Broken.Load())
			}
		}
		t.Fatal("of 20 breaks the refresh met none")
		return ""
	}
	settledBy(t, repeatable{lost(), c.call, c.web}, repeatable{lost(), c.call, c.web})
}

// A server is killed with requests on their way. Another one cannot know whether their answers
// arrived; it says so, and lets their clients repeat them once the first one counts as dead.
func TestKilledBeforeAnswering(t *testing.T) {
	t.Parallel()
	p := newPostgres(t)
	h := newHost(t, p.url(), map[string]string{"REFRESH_TOKEN_REUSE_INTERVAL": "0"})
	s := h.serve()
	c := h.workload(s)
	other := newCaller(t, h.serveOn(testkit.FreePort(t), nil).url)
	old := c.person.family(t, c.call, c.web).Refresh
	p.standby("gone")
	done := make(chan answer)
	go func() { done <- c.call.refresh(c.web, old) }()
	eventually(t, "the rotation waits for the standby", func() error {
		var n int
		pgRow(t, p.url(), "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'", &n)
		return want(n > 0, "%d wait", n)
	})
	s.kill()
	<-done
	p.standby("")
	execute(t, p.url(), "UPDATE servers SET seen_at = seen_at - 60000") // time passes; the other server signs again
	repeatable{old, other, c.web}.repeats(t)
}

func execute(t testing.TB, url, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testkit.HangAfter)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	testkit.Must(t, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, text)
	testkit.Must(t, err)
}
