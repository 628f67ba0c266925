package rediscache_test

import (
	"bytes"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/gatehouse-id/gatehouse/bearer"
	"github.com/gatehouse-id/gatehouse/bearer/bearertest"
	"github.com/gatehouse-id/gatehouse/bearer/rediscache"
)

var (
	_ bearer.Cache = (*rediscache.Cache)(nil)
	_ bearer.Once  = (*rediscache.Cache)(nil)
)

// start runs a redis-server of the test's own until the test ends.
func start(t *testing.T) (client rueidis.Client, stop func()) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("redis-server is missing; install Debian's package redis-server")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	l.Close()
	cmd := exec.Command(path, "--port", port, "--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", "", "--appendonly", "no")
	var said bytes.Buffer
	cmd.Stdout = &said
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
	for range 200 {
		if client, err = rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, DisableCache: true}); err == nil {
			t.Cleanup(client.Close)
			return client, stop
		}
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	t.Fatalf("redis-server does not answer: %v\n%s", err, said.String())
	return nil, nil
}

func TestRedis(t *testing.T) {
	client, stop := start(t)
	c := rediscache.New(client)
	t.Run("cache", func(t *testing.T) { bearertest.RunCache(t, c) })
	t.Run("once", func(t *testing.T) { bearertest.RunOnce(t, c) })
	stop()
	began := time.Now()
	if _, err := c.Get(t.Context(), "a"); err == nil {
		t.Error("no error from a Redis that is gone")
	}
	if fresh, err := c.Add(t.Context(), "a", time.Minute); err == nil || fresh {
		t.Errorf("Add at a Redis that is gone: %v %v", fresh, err)
	}
	if err := c.Set(t.Context(), "a", nil, time.Minute); err == nil {
		t.Error("no error from Set")
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("an outage costs a request %s", took/3)
	}
}
