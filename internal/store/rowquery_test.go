package store_test

import (
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// The columns that are read as one text are never NULL, which that text leaves out. The user of a
// grant may be, but not where the grant is joined with its user.
func TestJoinedColumnsAreNotNull(t *testing.T) {
	l := newLedger(t, storetest.SQLite(t))
	rows, err := l.raw.Rows(t.Context(), "SELECT m.name || '.' || c.name FROM (SELECT 'users' AS name UNION ALL"+
		" SELECT 'grants') AS m, pragma_table_info(m.name) AS c WHERE c.\"notnull\" = 0")
	testkit.Must(t, err)
	for rows.Next() {
		var name string
		testkit.Must(t, rows.Scan(&name))
		switch name {
		case "grants.user_id", "users.username_key", "users.email_key": // the keys are not read
		default:
			t.Errorf("%s may be NULL", name)
		}
	}
}
