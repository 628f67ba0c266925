package memcache_test

import (
	"testing"
	"time"

	gomemcache "github.com/bradfitz/gomemcache/memcache"

	"github.com/gatehouse-id/gatehouse/bearer"
	"github.com/gatehouse-id/gatehouse/bearer/bearertest"
	"github.com/gatehouse-id/gatehouse/bearer/memcache"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

var (
	_ bearer.Cache       = (*memcache.Cache)(nil)
	_ bearer.ReplayCache = (*memcache.Cache)(nil)
)

func TestMemcached(t *testing.T) {
	server := testkit.StartMemcached(t)
	client := gomemcache.New(server.Addr())
	client.Timeout = testkit.HangAfter
	c := memcache.New(client)
	t.Run("cache", func(t *testing.T) { bearertest.RunCache(t, c) })
	t.Run("once", func(t *testing.T) { bearertest.RunReplayCache(t, c) })
	server.Stop()
	if _, err := c.Get(t.Context(), "a"); err == nil {
		t.Error("no error from a memcached that is gone")
	}
	if first, err := c.Add(t.Context(), "a", time.Minute); err == nil || first {
		t.Errorf("Add at a memcached that is gone: %v %v", first, err)
	}
	if err := c.Set(t.Context(), "a", nil, time.Minute); err == nil {
		t.Error("no error from Set")
	}
}
