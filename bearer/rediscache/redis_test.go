package rediscache_test

import (
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/gatehouse-id/gatehouse/bearer"
	"github.com/gatehouse-id/gatehouse/bearer/bearertest"
	"github.com/gatehouse-id/gatehouse/bearer/rediscache"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

var (
	_ bearer.Cache       = (*rediscache.Cache)(nil)
	_ bearer.ReplayCache = (*rediscache.Cache)(nil)
)

func TestRedis(t *testing.T) {
	server := testkit.StartRedis(t)
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress:  []string{server.Addr()},
		DisableCache: true,
	})
	testkit.Must(t, err)
	t.Cleanup(client.Close)
	c := rediscache.New(client)
	c.Timeout = testkit.HangAfter
	t.Run("cache", func(t *testing.T) { bearertest.RunCache(t, c) })
	t.Run("once", func(t *testing.T) { bearertest.RunReplayCache(t, c) })
	server.Stop()
	c.Timeout = 0 // the default bounds each command; without a bound the client retries for ever
	if _, err := c.Get(t.Context(), "a"); err == nil {
		t.Error("no error from a Redis that is gone")
	}
	if first, err := c.Add(t.Context(), "a", time.Minute); err == nil || first {
		t.Errorf("Add at a Redis that is gone: %v %v", first, err)
	}
	if err := c.Set(t.Context(), "a", nil, time.Minute); err == nil {
		t.Error("no error from Set")
	}
}
