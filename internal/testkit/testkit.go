// Package testkit holds what tests of several packages need: short assertions, waiting without
// fixed sleeps, free ports, and starters for programs that run beside the tests.
//
// A test that needs a program which is not installed is skipped, with one line that says how to get
// it. With GATEHOUSE_TEST_ALL=1 in the environment, as under make test, it fails instead.
package testkit

import (
	"context"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// EnvAll names the environment variable that forbids skipping: with the value 1 a missing program
// fails the tests that need it.
const EnvAll = "GATEHOUSE_TEST_ALL"

// HangAfter bounds how long a test waits for something that happens at once on a quiet machine. It
// is no part of any assertion: it only ends a test that would hang.
const HangAfter = 2 * time.Minute

// Must ends the test if err is not nil.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Value returns v, and panics if err is not nil: for calls that cannot fail in a test, where they
// stand inside an expression.
func Value[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Equal ends the test if got is not want; what names the value in the message. Values are compared
// deeply, unexported fields included, and by an Equal method where their type has one.
func Equal[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	all := cmp.Exporter(func(reflect.Type) bool { return true })
	if cmp.Equal(got, want, all) {
		return
	}
	switch reflect.ValueOf(want).Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice, reflect.Array, reflect.Pointer:
		t.Fatalf("%s differs (- want, + got):\n%s", what, cmp.Diff(want, got, all))
	default:
		t.Fatalf("%s is %v; want %v", what, got, want)
	}
}

// Eventually waits until ok returns true, asking every few milliseconds. It ends the test after
// [HangAfter]. Where there is an event to wait for, use [Receive] instead.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), HangAfter)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("did not happen within %v: %s", HangAfter, what)
		case <-tick.C:
		}
	}
}

// Receive returns the next value from a channel, or the zero value when it is closed. It ends the
// test after [HangAfter].
func Receive[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	hang := time.NewTimer(HangAfter)
	defer hang.Stop()
	select {
	case v := <-from:
		return v
	case <-hang.C:
		t.Fatalf("did not happen within %v: %s", HangAfter, what)
		panic("unreachable")
	}
}

// FreePort returns a TCP port of 127.0.0.1 that was free a moment ago. Another program can take it
// before it is used: prefer to listen on port 0 where the listener can be handed over.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := UnusedPort()
	Must(t, err)
	return port
}

// Ports are taken from here, below those that Linux gives to outgoing connections and to listeners
// on port 0: neither can take a port between its choice and its use, or while a server restarts.
// The tests in JavaScript have a range of their own.
const firstPort, ports = 20_000, 6_000

// portsTried counts the ports that this process has tried, from a place of its own.
var portsTried = sync.OnceValue(func() *atomic.Uint32 {
	var n atomic.Uint32
	n.Store(rand.Uint32N(ports))
	return &n
})

// UnusedPort returns a port like FreePort, for programs that are not tests. It does not return a
// port twice before it has tried all.
func UnusedPort() (int, error) {
	var failed error
	for range ports {
		port := firstPort + int(portsTried().Add(1)%ports)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
		failed = err
	}
	return 0, failed
}

// Need returns the path of a program, or skips the test if it is not installed; see [Missing].
func Need(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		Missing(t, program+" is not installed: run make deps, or install the package "+packageOf(program))
	}
	return path
}

// Missing skips the test because of what this machine lacks; the text says how to get it. With
// GATEHOUSE_TEST_ALL=1 it fails the test instead. It does not return.
func Missing(t testing.TB, text string) {
	t.Helper()
	if os.Getenv(EnvAll) == "1" {
		t.Fatal(text)
	}
	t.Skip(text)
}

// packageOf returns the Debian package that installs a program.
func packageOf(program string) string {
	switch program {
	case "node":
		return "nodejs"
	case "nginx":
		return "nginx-light"
	case "promtool", "prometheus":
		return "prometheus"
	case "prlimit", "runuser", "unshare", "mount", "setpriv":
		return "util-linux"
	case "ip":
		return "iproute2"
	case "systemd-sysusers":
		return "systemd"
	}
	return program
}
