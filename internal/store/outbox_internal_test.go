package store

import (
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A claim reads what is due by its index, however many deliveries wait: by another one, each claim
// from a backlog of 100,000 would read and sort all of them.
func TestClaimPlan(t *testing.T) {
	ctx := t.Context()
	db, err := Open(ctx, Options{URL: "sqlite::memory:"})
	testkit.Must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	_, err = db.Migrate(ctx)
	testkit.Must(t, err)
	var plan []string
	err = each(ctx, db.sql, func(r sqldb.Row) error {
		var id, parent, unused int64
		var step string
		err := r.Scan(&id, &parent, &unused, &step)
		plan = append(plan, step)
		return err
	}, "EXPLAIN QUERY PLAN "+claimDeliveries, "holder", int64(2), int64(1), int64(100))
	testkit.Must(t, err)
	text := strings.Join(plan, "\n")
	for _, step := range []string{"q USING INDEX outbox_due", "o USING INDEX outbox_target"} {
		if !strings.Contains(text, step) {
			t.Errorf("the plan has no %q:\n%s", step, text)
		}
	}
	if strings.Contains(text, "TEMP B-TREE") {
		t.Errorf("the plan sorts:\n%s", text)
	}
}
