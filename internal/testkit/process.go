package testkit

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Process is a program that runs beside a test, on a port of 127.0.0.1, and ends with it. It
// keeps its port when it is stopped and started again.
type Process struct {
	t       testing.TB
	port    int
	log     string
	command func() *exec.Cmd
	ready   func(c net.Conn) bool
	cmd     *exec.Cmd
}

// StartMemcached starts a memcached. Without memcached the test is skipped; see [Missing].
func StartMemcached(t testing.TB) *Process {
	t.Helper()
	path := Need(t, "memcached")
	port := FreePort(t)
	return start(&Process{
		t:    t,
		port: port,
		log:  filepath.Join(t.TempDir(), "memcached.log"),
		command: func() *exec.Cmd {
			return exec.Command(path, "-l", "127.0.0.1", "-p", strconv.Itoa(port), "-U", "0",
				"-m", "64", "-u", "nobody")
		},
		ready: func(c net.Conn) bool { return asks(c, "version\r\n", "VERSION") },
	})
}

func start(p *Process) *Process {
	p.t.Helper()
	p.t.Cleanup(p.Stop)
	p.Start()
	return p
}

// Addr returns the process's host and port.
func (p *Process) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }

// URL returns the address as redis://127.0.0.1:port.
func (p *Process) URL() string { return "redis://" + p.Addr() }

// Start starts the process, empty after Stop, and returns once it answers.
func (p *Process) Start() {
	p.t.Helper()
	log, err := os.Create(p.log)
	Must(p.t, err)
	defer log.Close()
	p.cmd = p.command()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	Must(p.t, p.cmd.Start())
	for end := time.Now().Add(HangAfter); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if p.answers() {
			return
		}
	}
	out, _ := os.ReadFile(p.log)
	p.t.Fatalf("%s does not answer at %s:\n%s", filepath.Base(p.cmd.Path), p.Addr(), out)
}

func (p *Process) answers() bool {
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(HangAfter))
	return p.ready(c)
}

// asks reports whether the answer to a request begins as it must.
func asks(c net.Conn, request, want string) bool {
	fmt.Fprint(c, request)
	buf := make([]byte, 64)
	n, _ := c.Read(buf)
	return strings.HasPrefix(string(buf[:n]), want)
}

// converse returns the answer to requests up to and including a text, or what came before a second
// without more.
func converse(c net.Conn, requests, until string) string {
	fmt.Fprint(c, requests)
	var got []byte
	buf := make([]byte, 4096)
	for !strings.Contains(string(got), until) {
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		n, err := c.Read(buf)
		got = append(got, buf[:n]...)
		if err != nil {
			break
		}
	}
	return string(got)
}

// Stop kills the process, as an outage would.
func (p *Process) Stop() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	p.cmd = nil
}

// Freeze suspends the process: its connections stay open and nothing is answered. Stop still ends
// it.
func (p *Process) Freeze() {
	p.t.Helper()
	Must(p.t, p.cmd.Process.Signal(syscall.SIGSTOP))
}

// Thaw lets a process go on that Freeze has suspended.
func (p *Process) Thaw() {
	p.t.Helper()
	Must(p.t, p.cmd.Process.Signal(syscall.SIGCONT))
}
