package sqldb_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// notices collects what an operator is seen.
type notices struct {
	mu   sync.Mutex
	text []string
}

func (n *notices) add(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.text = append(n.text, text)
}

func (n *notices) count(part string) (found int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, text := range n.text {
		if strings.Contains(text, part) {
			found++
		}
	}
	return found
}

// watch runs Watch until the test ends, and counts how often it wakes.
func watch(t *testing.T, db sqldb.DB) *atomic.Int32 {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	wakes, done := new(atomic.Int32), make(chan struct{})
	go func() { defer close(done); db.Watch(ctx, func() { wakes.Add(1) }) }()
	t.Cleanup(func() { cancel(); <-done })
	return wakes
}

// The way to the database decides how statements are sent and changes are noticed.
func TestPooler(t *testing.T) {
	t.Parallel()
	transactions := testkit.StartPgBouncer(t, "transaction", 2)
	pooled, direct := transactions.Database(t)
	sessions, _ := testkit.StartPgBouncer(t, "session", 20).Database(t)
	for name, c := range map[string]struct {
		url    string
		o      sqldb.Options
		want   sqldb.Status
		notice string
	}{
		"direct": {
			url: direct, want: sqldb.Status{Statements: "prepared", Changes: "listen"},
		},
		"direct, statements chosen": {
			url: direct, o: sqldb.Options{Statements: "simple"},
			want: sqldb.Status{Statements: "simple", Changes: "listen"},
		},
		"pooler": {
			url: pooled, want: sqldb.Status{Pooler: true, Statements: "exec", Changes: "poll"},
			notice: "set DATABASE_LISTEN_URL",
		},
		"pooler, statements chosen in the address": {
			url: pooled + "&default_query_exec_mode=simple_protocol", notice: "as DATABASE_STATEMENTS says",
			want: sqldb.Status{Pooler: true, Statements: "simple", Changes: "poll"},
		},
		"pooler, listening past it": {
			url: pooled, o: sqldb.Options{ListenURL: direct}, notice: "connection pooler",
			want: sqldb.Status{Pooler: true, Statements: "exec", Changes: "listen"},
		},
		"pooler, listening through it": {
			url: pooled, o: sqldb.Options{ListenURL: pooled}, notice: "check DATABASE_LISTEN_URL",
			want: sqldb.Status{Pooler: true, Statements: "exec", Changes: "poll"},
		},
		"pooler that keeps sessions": {
			url: sessions, o: sqldb.Options{ListenURL: sessions, Statements: "prepared"}, notice: "connection pooler",
			want: sqldb.Status{Pooler: true, Statements: "prepared", Changes: "listen"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := new(notices)
			c.o.Notice = seen.add
			db := open(t, c.url, c.o)
			wakes := watch(t, db)
			testkit.Eventually(t, "wakes", func() bool { return wakes.Load() > 12 || db.Status().Changes == "listen" })
			if c.want.Changes == "poll" {
				testkit.Eventually(t, "a notice", func() bool { return seen.count("polled every 300ms") == 1 })
			}
			testkit.Equal(t, "the status", db.Status(), c.want)
			if c.notice != "" && seen.count(c.notice) != 1 || c.notice == "" && len(seen.text) > 0 {
				t.Errorf("%q; want %q once", seen.text, c.notice)
			}
			if c.want.Changes == "listen" {
				before := wakes.Load()
				testkit.Must(t, db.Write(t.Context(), func(tx sqldb.Tx) error { return tx.Notify(t.Context()) }))
				testkit.Eventually(t, "a notification", func() bool { return wakes.Load() > before })
			}
			testkit.Must(t, db.Ping(t.Context()))
		})
	}
}

func TestListenURLIsChecked(t *testing.T) {
	t.Parallel()
	direct := testkit.StartPostgres(t)
	_, err := sqldb.Open(t.Context(), direct, sqldb.Options{ListenURL: "postgres://u:hunter2@h:x/db"})
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("%v", err)
	}
	seen := new(notices)
	away := fmt.Sprintf("postgres://u@127.0.0.1:%d/db?sslmode=disable", testkit.FreePort(t))
	db := open(t, direct, sqldb.Options{ListenURL: away, Notice: seen.add})
	wakes := watch(t, db)
	testkit.Eventually(t, "polling", func() bool { return wakes.Load() > 8 })
	if seen.count("check DATABASE_LISTEN_URL") != 1 {
		t.Errorf("%q; want to be seen once", seen.text)
	}
}

// A turnout is a TCP proxy whose target can be changed.
type turnout struct {
	l     net.Listener
	mu    sync.Mutex
	to    string
	conns []net.Conn
}

func newTurnout(t *testing.T, to string) *turnout {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	testkit.Must(t, err)
	p := &turnout{l: l, to: to}
	t.Cleanup(func() { _ = l.Close(); p.redirect("") })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.pass(c)
		}
	}()
	return p
}

func (p *turnout) pass(c net.Conn) {
	p.mu.Lock()
	s, err := net.Dial("tcp", p.to)
	if err == nil {
		p.conns = append(p.conns, s, c)
	}
	p.mu.Unlock()
	if err != nil {
		_ = c.Close()
		return
	}
	go func() { _, _ = io.Copy(s, c); _ = s.Close() }()
	_, _ = io.Copy(c, s)
	_ = c.Close()
}

// redirect leads new connections elsewhere, and closes the others.
func (p *turnout) redirect(to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = to
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// A pooler takes the database's address while the process runs: statements that it loses are sent
// again, and each change happens once.
func TestPoolerWhileRunning(t *testing.T) {
	t.Parallel()
	pooler := testkit.StartPgBouncer(t, "transaction", 2)
	_, direct := pooler.Database(t)
	at, err := url.Parse(direct)
	testkit.Must(t, err)
	way := newTurnout(t, at.Host)
	at.Host = way.l.Addr().String()
	seen := new(notices)
	db := open(t, at.String(), sqldb.Options{Notice: seen.add, Readers: 6})
	mustExec(t, db, "CREATE TABLE n (id BIGINT NOT NULL PRIMARY KEY, v BIGINT NOT NULL)")
	mustExec(t, db, "CREATE TABLE log (v BIGINT NOT NULL)")
	for i := range 4 {
		mustExec(t, db, "INSERT INTO n (id, v) VALUES ($1, 0)", i)
	}
	testkit.Equal(t, "the way before", db.Status().Statements, "prepared")
	way.redirect(pooler.Addr())
	testkit.Eventually(t, "the database is back", func() bool { return db.Ping(t.Context()) == nil })
	const workers, rounds = 6, 40
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				if err := step(t.Context(), db, w, i); err != nil {
					t.Errorf("worker %d, round %d: %v", w, i, err)
				}
			}
		})
	}
	wg.Wait()
	var sum, logged int64
	testkit.Must(t, db.Row(t.Context(), "SELECT CAST(SUM(v) AS BIGINT) FROM n").Scan(&sum))
	testkit.Must(t, db.Row(t.Context(), "SELECT COUNT(*) FROM log").Scan(&logged))
	testkit.Equal(t, "the changes", sum, workers*rounds)
	testkit.Equal(t, "the changes in batches", logged, workers*rounds*3)
	testkit.Equal(t, "the way after", db.Status().Statements, "exec")
	testkit.Equal(t, "notices", seen.count("connection pooler"), 1)
}

// step changes a row once and the log three times, each in a different way.
func step(ctx context.Context, db sqldb.DB, w, i int) error {
	err := db.Write(ctx, func(tx sqldb.Tx) error {
		var v int64
		return tx.Row(ctx, "UPDATE n SET v = v + 1 WHERE id = $1 RETURNING v", w%4).Scan(&v)
	})
	if err != nil {
		return err
	}
	if err := db.ExecAll(ctx, "INSERT INTO log (v) VALUES ($1)", [][]any{{i}, {i}}); err != nil {
		return err
	}
	n, err := db.Exec(ctx, "INSERT INTO log (v) VALUES ($1)", i)
	if err == nil && n != 1 {
		err = fmt.Errorf("%d rows", n)
	}
	if err != nil {
		return err
	}
	var v int64
	if err := db.Read(ctx, []any{&v}, sqldb.NewRowQuery([]string{"v"}, "FROM n WHERE id = $1"), w%4); err != nil {
		return err
	}
	rows, err := db.Rows(ctx, "SELECT v FROM n WHERE id >= $1", 0)
	if err != nil {
		return err
	}
	defer rows.Close()
	seen := 0
	for rows.Next() {
		seen++
	}
	if seen != 4 && rows.Err() == nil {
		return fmt.Errorf("%d rows instead of 4", seen)
	}
	return rows.Err()
}
