package cachetest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A RedisServer is a redis-server of a test's own, on loopback, keeping nothing.
type RedisServer struct {
	t    testing.TB
	port string
	dir  string
	cmd  *exec.Cmd
}

// StartRedis starts a Redis that ends with the test.
func StartRedis(t testing.TB) *RedisServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	s := &RedisServer{t: t, port: port, dir: t.TempDir()}
	t.Cleanup(s.Stop)
	s.Start()
	return s
}

// URL is its address.
func (s *RedisServer) URL() string { return "redis://127.0.0.1:" + s.port }

// Start starts it again, empty, after Stop.
func (s *RedisServer) Start() {
	s.t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		s.t.Fatal("redis-server is missing; install Debian's package redis-server")
	}
	logName := filepath.Join(s.dir, "redis.log")
	s.cmd = exec.Command(path, "--port", s.port, "--bind", "127.0.0.1", "--dir", s.dir,
		"--save", "", "--appendonly", "no", "--logfile", logName)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for range 200 {
		if answers("127.0.0.1:" + s.port) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	said, _ := os.ReadFile(logName)
	s.t.Fatalf("redis-server does not answer on port %s:\n%s", s.port, said)
}

// Stop ends it, as an outage would.
func (s *RedisServer) Stop() {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Kill()
	s.cmd.Wait()
	s.cmd = nil
}

// Freeze stops it in its tracks: connections stay open and nothing is answered. Stop still ends it.
func (s *RedisServer) Freeze() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		s.t.Fatal(err)
	}
}

func answers(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	fmt.Fprint(c, "PING\r\n")
	buf := make([]byte, 16)
	n, _ := c.Read(buf)
	return strings.HasPrefix(string(buf[:n]), "+PONG")
}
