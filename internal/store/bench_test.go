package store_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
)

// BenchmarkStore measures what token requests write and what a refresh costs, with many callers.
func BenchmarkStore(b *testing.B) {
	for name, url := range map[string]func(testing.TB) string{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		db := storetest.Open(b, store.Options{URL: url(b)})
		now := time.Now()
		if err := db.CreateClient(b.Context(), &client.Client{ID: "c", CreatedAt: now}); err != nil {
			b.Fatal(err)
		}
		var n atomic.Int64
		grant := func() *oauth.Grant {
			return &oauth.Grant{
				ID:          oauth.GrantID(fmt.Sprint(n.Add(1))),
				Client:      "c",
				Kind:        "client_credentials",
				CreatedAt:   now,
				LastUsedAt:  now,
				RefreshHash: "r",
				ExpiresAt:   now.Add(time.Hour),
				AbsoluteEnd: now.Add(time.Hour),
			}
		}
		b.Run(name+"/PutGrant", func(b *testing.B) {
			parallel(b, func() error {
				return db.PutGrant(b.Context(), grant(), audit.Event{
					At:     now,
					Type:   audit.AccessTokenIssued,
					Client: "c",
				})
			})
		})
		b.Run(name+"/RotateRefresh", func(b *testing.B) {
			g := grant()
			if err := db.PutGrant(b.Context(), g); err != nil {
				b.Fatal(err)
			}
			parallel(b, func() error {
				err := db.RotateRefresh(b.Context(), oauth.RefreshRotation{
					Grant:     g.ID,
					Client:    "c",
					Old:       "r",
					New:       "r",
					Now:       now,
					ExpiresAt: now.Add(time.Hour),
				})
				return err
			})
		})
		b.Run(name+"/Grant", func(b *testing.B) {
			g := grant()
			if err := db.PutGrant(b.Context(), g); err != nil {
				b.Fatal(err)
			}
			parallel(b, func() error { _, err := db.Grant(b.Context(), g.ID); return err })
		})
	}
}

func parallel(b *testing.B, f func() error) {
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := f(); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
