package storetest

import (
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// Postgres returns the URL of an empty schema on a real PostgreSQL server; see
// [testkit.StartPostgres].
func Postgres(t testing.TB) string {
	t.Helper()
	return testkit.StartPostgres(t)
}
