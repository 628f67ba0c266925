package memcache_test

import (
	"net"
	"os/exec"
	"testing"
	"time"

	gomemcache "github.com/bradfitz/gomemcache/memcache"

	"github.com/gatehouse-id/gatehouse/bearer"
	"github.com/gatehouse-id/gatehouse/bearer/bearertest"
	"github.com/gatehouse-id/gatehouse/bearer/memcache"
)

var (
	_ bearer.Cache = (*memcache.Cache)(nil)
	_ bearer.Once  = (*memcache.Cache)(nil)
)

// start runs a memcached of the test's own until the test ends.
func start(t *testing.T) (client *gomemcache.Client, stop func()) {
	t.Helper()
	path, err := exec.LookPath("memcached")
	if err != nil {
		t.Fatal("memcached is missing; install Debian's package memcached")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	l.Close()
	cmd := exec.Command(path, "-l", "127.0.0.1", "-p", port, "-U", "0", "-m", "64", "-u", "nobody")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	stop = func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(stop)
	client = gomemcache.New(addr)
	for range 200 {
		if client.Ping() == nil {
			return client, stop
		}
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	t.Fatal("memcached does not answer")
	return nil, nil
}

func TestMemcached(t *testing.T) {
	client, stop := start(t)
	c := memcache.New(client)
	t.Run("cache", func(t *testing.T) { bearertest.RunCache(t, c) })
	t.Run("once", func(t *testing.T) { bearertest.RunOnce(t, c) })
	stop()
	if _, err := c.Get(t.Context(), "a"); err == nil {
		t.Error("no error from a memcached that is gone")
	}
	if fresh, err := c.Add(t.Context(), "a", time.Minute); err == nil || fresh {
		t.Errorf("Add at a memcached that is gone: %v %v", fresh, err)
	}
	if err := c.Set(t.Context(), "a", nil, time.Minute); err == nil {
		t.Error("no error from Set")
	}
}
