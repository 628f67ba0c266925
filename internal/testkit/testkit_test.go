package testkit

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/jackc/pgx/v5"
)

// A recorder is a test that records how it ended.
type recorder struct {
	testing.TB
	ended string
}

func (r *recorder) Helper() {}
func (r *recorder) Skip(args ...any) {
	r.ended = "skip: " + fmt.Sprint(args...)
	runtime.Goexit()
}

func (r *recorder) Fatal(args ...any) {
	r.ended = "fatal: " + fmt.Sprint(args...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.ended = "fatal: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func outcome(f func(t testing.TB)) string {
	r := &recorder{}
	done := make(chan struct{})
	go func() { defer close(done); f(r) }()
	<-done
	return r.ended
}

func TestMissingProgram(t *testing.T) {
	need := func(t testing.TB) { Need(t, "no-such-program") }
	const text = "no-such-program is not installed: run make deps, or install the package no-such-program"
	t.Setenv(EnvAll, "")
	Equal(t, "a test without its program", outcome(need), "skip: "+text)
	t.Setenv(EnvAll, "1")
	Equal(t, "a test that must run", outcome(need), "fatal: "+text)
}

func TestEqual(t *testing.T) {
	type pair struct{ a, b int }
	for _, c := range []struct {
		got, want any
		differ    bool
	}{
		{1, 1, false},
		{1, 2, true},
		{pair{1, 2}, pair{1, 2}, false},
		{pair{1, 2}, pair{1, 3}, true},
		{[]int{1}, []int{1}, false},
		{[]int{1}, []int{2}, true},
		{nil, nil, false},
	} {
		if got := outcome(func(t testing.TB) { Equal(t, "it", c.got, c.want) }); (got != "") != c.differ {
			t.Errorf("Equal(%v, %v): %q", c.got, c.want, got)
		}
	}
}

func TestWaiting(t *testing.T) {
	n := 0
	Eventually(t, "the third try", func() bool { n++; return n == 3 })
	values := make(chan int, 1)
	values <- 7
	Equal(t, "the value", Receive(t, "a value", values), 7)
	if FreePort(t) == 0 {
		t.Error("no port")
	}
}

func TestStartPostgres(t *testing.T) {
	a, b := StartPostgres(t), StartPostgres(t)
	ctx := t.Context()
	for _, u := range []string{a, b} {
		conn, err := pgx.Connect(ctx, u)
		Must(t, err)
		defer conn.Close(context.Background())
		_, err = conn.Exec(ctx, "CREATE TABLE thing (id TEXT)") // each schema is empty
		Must(t, err)
	}
}
