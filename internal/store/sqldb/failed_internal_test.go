package sqldb

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// The result of a statement that was not sent says why, whatever is read of it.
func TestRowsOfAStatementThatWasNotSent(t *testing.T) {
	t.Parallel()
	why := errors.New("the pool is closed")
	var rows pgx.Rows = failedRows{why}
	_, values := rows.Values()
	for _, err := range []error{rows.Err(), rows.Scan(nil), values} {
		testkit.Equal(t, "error", err, why)
	}
	if rows.Next() || rows.RawValues() != nil || rows.FieldDescriptions() != nil || rows.Conn() != nil ||
		rows.TypeMap() != nil || rows.CommandTag().RowsAffected() != 0 {
		t.Error("there are rows")
	}
	rows.Close()
	rows, err := failedResults{why}.Query()
	testkit.Equal(t, "error of a batch", err, why)
	_, err = pgx.CollectRows(rows, pgx.RowTo[int])
	testkit.Equal(t, "error of its rows", err, why)
}
