package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
)

// BenchmarkRecord measures an event of a client and one of a user, with the tree and without it,
// for one caller and for many at a time.
func BenchmarkRecord(b *testing.B) {
	for _, engine := range []struct {
		name string
		url  func(testing.TB) string
	}{{"sqlite", storetest.SQLite}, {"postgres", storetest.Postgres}} {
		for _, off := range []bool{true, false} {
			db := storetest.Open(b, store.Options{URL: engine.url(b), NoAuditTree: off})
			for name, ev := range map[string]audit.Event{
				"client": {Type: audit.ClientCredentialsIssued, Actor: "c", Client: "c"},
				"user":   {Type: audit.RefreshTokenUsed, Actor: "c", Client: "c", User: "u"},
			} {
				ev.IP, ev.Agent, ev.RequestID = "192.0.2.1", "Browser/1", "R"
				ev.Detail = map[string]string{"grant_type": "x", "scope": "a b"}
				ev.At = time.Now()
				for _, callers := range []int{1, 32} {
					b.Run(fmt.Sprintf("%s/tree=%v/%s/%d", engine.name, !off, name, callers), func(b *testing.B) {
						b.ReportAllocs()
						b.SetParallelism(callers)
						b.RunParallel(func(p *testing.PB) {
							for p.Next() {
								if err := db.Record(b.Context(), ev); err != nil {
									b.Error(err)
								}
							}
						})
					})
				}
			}
		}
	}
}
