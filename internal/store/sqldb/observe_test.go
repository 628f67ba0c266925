package sqldb_test

import (
	"context"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// curious is an observer that asks for all there is.
type curious struct{}

func (curious) Begin(ctx context.Context, _ bool, _ string) (context.Context, bool) { return ctx, true }
func (curious) End(context.Context, sqldb.Operation)                                {}

// What depends on the engine works on an observed database, too: a server with metrics makes
// backups of its database.
func TestObservedDatabase(t *testing.T) {
	on(t, func(t *testing.T, _ string, plain sqldb.DB) {
		db := sqldb.Observe(plain, curious{})
		rows := [][]any{{int64(1), "one", true, nil}, {int64(2), "two", false, nil}}
		err := db.Write(t.Context(), func(tx sqldb.Tx) error {
			n, err := sqldb.Copy(t.Context(), tx, "things", []string{"id", "name", "done", "parent"}, func() ([]any, error) {
				if len(rows) == 0 {
					return nil, nil
				}
				next := rows[0]
				rows = rows[1:]
				return next, nil
			})
			testkit.Equal(t, "rows that were copied", n, 2)
			return err
		})
		testkit.Must(t, err)
		err = sqldb.ReadSnapshot(t.Context(), db, sqldb.SnapshotOptions{}, func(s sqldb.Snapshot) error {
			var n int
			err := s.Row(t.Context(), "SELECT COUNT(*) FROM things").Scan(&n)
			testkit.Equal(t, "rows in the snapshot", n, 2)
			return err
		})
		testkit.Must(t, err)
	})
}
