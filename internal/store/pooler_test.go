package store_test

import (
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// The whole suite, with few server connections that change hands at each transaction.
func TestPgBouncer(t *testing.T) {
	t.Parallel()
	pooler := testkit.StartPgBouncer(t, "transaction", 3)
	storetest.Run(t, func(t testing.TB) string {
		pooled, _ := pooler.Database(t)
		return pooled
	})
}
