package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// CreateBulkAction stores an action on many users, of which add gives the ids in parts.
func (d *DB) CreateBulkAction(
	ctx context.Context, b *admin.BulkJob, each func(add func(ids []string) error) error,
) error {
	// It runs when all users are there.
	_, err := d.sql.Exec(ctx, "INSERT INTO bulk_actions"+
		" (id, actor, action, reason, state, total, done, refused, created_at, updated_at)"+
		" VALUES ($1, $2, $3, $4, $5, 0, 0, 0, $6, $6)", b.ID, b.Actor, string(b.Action), b.Reason,
		admin.BulkStopped, unixMilli(b.CreatedAt))
	if err != nil {
		return err
	}
	b.Total = 0
	err = each(func(ids []string) error {
		rows := make([][]any, len(ids))
		for i, id := range ids {
			rows[i] = []any{b.ID, int64(b.Total + i), id, ""}
		}
		b.Total += len(ids)
		return d.sql.Write(ctx, func(tx sqldb.Tx) error {
			return insertMany(ctx, tx, "INSERT INTO bulk_items (action_id, n, user_id, error)", "", rowsOfTerms, rows)
		})
	})
	if err != nil {
		return err
	}
	_, err = d.sql.Exec(ctx, "UPDATE bulk_actions SET state = $1, total = $2 WHERE id = $3",
		admin.BulkRunning, int64(b.Total), b.ID)
	b.State = admin.BulkRunning
	return err
}

const selectBulk = "SELECT id, actor, action, reason, state, total, done, refused, created_at, updated_at FROM bulk_actions"

func scanBulk(r sqldb.Row) (*admin.BulkJob, error) {
	b := new(admin.BulkJob)
	return b, r.Scan(&b.ID, &b.Actor, &b.Action, &b.Reason, &b.State, &b.Total, &b.Done, &b.Refused,
		unixMillis{&b.CreatedAt}, unixMillis{&b.UpdatedAt})
}

// BulkAction returns an action, or NotFound.
func (d *DB) BulkAction(ctx context.Context, id string) (*admin.BulkJob, error) {
	b, err := scanBulk(d.sql.Row(ctx, selectBulk+" WHERE id = $1", clean(id)))
	return b, asNotFound(err, "action")
}

// RunningBulkActions returns the actions that are not done.
func (d *DB) RunningBulkActions(ctx context.Context) ([]admin.BulkJob, error) {
	return list(ctx, d.sql, scanBulk, selectBulk+" WHERE state = 'running' ORDER BY id")
}

// StopBulkAction stops an action that runs. It returns Conflict for one that has ended.
func (d *DB) StopBulkAction(ctx context.Context, id string, now time.Time, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE bulk_actions SET state = $1, updated_at = $2 WHERE id = $3 AND state = 'running'",
			admin.BulkStopped, unixMilli(now), clean(id))
		if err == nil && n == 0 {
			err = fault.New(fault.Conflict, "this action has ended")
		}
		return err
	})
}

// NextBulkUsers returns up to limit users that an action has yet to come to, with their numbers.
// There are none when it is stopped.
func (d *DB) NextBulkUsers(ctx context.Context, id string, limit int) (all []admin.BulkItem, err error) {
	err = each(ctx, d.sql, func(r sqldb.Row) error {
		var x admin.BulkItem
		err := r.Scan(&x.N, (*string)(&x.User))
		all = append(all, x)
		return err
	}, "SELECT i.n, i.user_id FROM bulk_items i JOIN bulk_actions a ON a.id = i.action_id"+
		" WHERE i.action_id = $1 AND i.error = '' AND a.state = 'running' ORDER BY i.n LIMIT $2", id, int64(limit))
	return all, err
}

// FinishBulkUsers stores what became of users of an action: those without an error are done.
func (d *DB) FinishBulkUsers(ctx context.Context, id string, items []admin.BulkItem, now time.Time) error {
	return d.sql.Write(ctx, func(tx sqldb.Tx) error {
		done, refused := 0, 0
		for _, x := range items {
			text, args := "DELETE FROM bulk_items WHERE action_id = $1 AND n = $2", []any{id, x.N}
			if x.Error != "" {
				text = "UPDATE bulk_items SET error = $1 WHERE action_id = $2 AND n = $3"
				args = []any{clean(x.Error), id, x.N}
				refused++
			} else {
				done++
			}
			if _, err := tx.Exec(ctx, text, args...); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, "UPDATE bulk_actions SET done = done + $1, refused = refused + $2, updated_at = $3"+
			" WHERE id = $4", int64(done), int64(refused), unixMilli(now), id)
		return err
	})
}

// EndBulkAction marks an action that has come to its end.
func (d *DB) EndBulkAction(ctx context.Context, id string, now time.Time) error {
	_, err := d.sql.Exec(ctx, "UPDATE bulk_actions SET state = $1, updated_at = $2 WHERE id = $3 AND state = 'running'"+
		" AND NOT EXISTS (SELECT 1 FROM bulk_items WHERE action_id = $3 AND error = '')",
		admin.BulkDone, unixMilli(now), id)
	return err
}

// RefusedBulkUsers returns users of an action that were refused, with the reasons.
func (d *DB) RefusedBulkUsers(ctx context.Context, id string, limit int) (all []admin.BulkItem, err error) {
	err = each(ctx, d.sql, func(r sqldb.Row) error {
		var x admin.BulkItem
		err := r.Scan(&x.N, (*string)(&x.User), &x.Error)
		all = append(all, x)
		return err
	}, "SELECT n, user_id, error FROM bulk_items WHERE action_id = $1 AND error <> '' ORDER BY n LIMIT $2",
		clean(id), int64(limit))
	return all, err
}
