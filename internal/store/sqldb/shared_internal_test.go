package sqldb

import (
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// Addresses that differ only in the schema and the number of connections share connections.
func TestAddressWithoutSchema(t *testing.T) {
	t.Parallel()
	const base = "postgres://u:p@h/db"
	same := withoutSchema(base + "?pool_max_conns=4&search_path=realm_a&sslmode=disable")
	testkit.Equal(t, "another schema", withoutSchema(base+"?search_path=realm_b&sslmode=disable&pool_max_conns=4"), same)
	for _, other := range []string{base, base + "?sslmode=require", "postgres://v:p@h/db?sslmode=disable"} {
		if withoutSchema(other) == same {
			t.Errorf("%s shares connections with another database", other)
		}
	}
}

// Nobody gets a shared connection without saying for which schema.
func TestSharedConnectionWithoutSchema(t *testing.T) {
	t.Parallel()
	if ok, err := setSchema(t.Context(), nil); ok || err == nil {
		t.Error("a connection was handed out without a schema")
	}
}

// A notification concerns the schema that it names, and all if it names none.
func TestNotificationsNameSchemas(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		payload, schema string
		want            bool
	}{
		{"", "", true},
		{"", "realm_a", true},
		{"schema=realm_a", "realm_a", true},
		{"schema=realm_a", "realm_b", false},
		{"schema=realm_a", "", false},
		{"schema=", "", true},
		{"schema=", "realm_a", false},
		{"a probe of another server", "realm_a", true},
	} {
		testkit.Equal(t, row.payload+" for "+row.schema, concerns(row.payload, row.schema), row.want)
	}
}
