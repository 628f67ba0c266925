package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

const (
	eraseChunk = 500
	// eraseAtOnce bounds the rows that are erased in the transaction that deletes their person.
	eraseAtOnce = 2000
	// erasePeriod is for how long after a deletion what is written about its person meanwhile is
	// erased.
	erasePeriod = 48 * time.Hour
	eraseSettle = 2 * time.Minute
)

// eraseTraces removes what the tables that do not refer to users hold of one: messages to them,
// locks, and the personal parts of their audit events.
func (d *DB) eraseTraces(ctx context.Context, tx sqldb.Tx, id identity.UserID) error {
	for _, text := range []string{
		"DELETE FROM outbox WHERE recipient <> '' AND (recipient IN (SELECT email FROM users WHERE id = $1) OR recipient IN" +
			" (SELECT email FROM user_emails WHERE user_id = $1))",
		deleteTrust,
		deleteRecovery,
		"DELETE FROM impersonations WHERE user_id = $1 AND opened_at = 0", // of the others, the end is recorded
	} {
		if _, err := tx.Exec(ctx, text, string(id)); err != nil {
			return err
		}
	}
	if err := clearLocks(ctx, tx, login.LockKey(id)); err != nil {
		return err
	}
	_, err := eraseEvents(ctx, tx, id, eraseAtOnce)
	return err
}

// eraseRest erases the audit events of a deleted user that were too many for one transaction.
func (d *DB) eraseRest(ctx context.Context, id identity.UserID) error {
	for {
		var n int
		err := d.sql.Write(ctx, func(tx sqldb.Tx) (err error) {
			n, err = eraseEvents(ctx, tx, id, eraseChunk)
			return err
		})
		if err != nil || n < eraseChunk {
			return err
		}
	}
}

// eraseEvents replaces up to limit personal parts of events that belong to a user by the
// commitments to them, and returns how many rows it has changed. The hashes of the rows stay as
// they are.
func eraseEvents(ctx context.Context, tx sqldb.Tx, id identity.UserID, limit int) (changed int, err error) {
	const filled = "(ip <> '' OR agent <> '' OR detail <> '' OR changes <> '' OR (salt <> '' AND salt NOT LIKE '~%'))"
	for _, text := range []string{
		"user_id <> '' AND user_id = $1",
		"actor <> user_id AND actor <> client_id AND actor = $1",
	} {
		after := ""
		for changed < limit {
			rows, err := list(ctx, tx, rowTable.scan, "SELECT "+rowTable.list()+" FROM audit_log WHERE "+text+
				" AND id > $2 AND "+filled+" ORDER BY id LIMIT $3", string(id), after, eraseChunk)
			if err != nil {
				return changed, err
			}
			for i := range rows {
				done, err := eraseRow(ctx, tx, &rows[i], string(id))
				if err != nil {
					return changed, err
				}
				if done {
					changed++
				}
			}
			if len(rows) < eraseChunk {
				break
			}
			after = rows[len(rows)-1].ID
		}
	}
	return changed, nil
}

// eraseRow erases the parts of a row that belong to a user, and reports whether there were any.
func eraseRow(ctx context.Context, tx sqldb.Tx, r *audit.Row, user string) (bool, error) {
	before := *r
	for _, part := range []audit.Part{audit.PartOrigin, audit.PartFacts} {
		if r.Owner(part) != user {
			continue
		}
		if r.Salt == "" && r.Erased == "" { // from before the tree, or without it: a commitment could be guessed
			switch part {
			case audit.PartOrigin:
				r.IP, r.Agent = "", ""
			case audit.PartFacts:
				r.Detail, r.Changes = "", ""
			}
			continue
		}
		if err := r.Erase(part); err != nil {
			return false, err
		}
	}
	if *r == before {
		return false, nil
	}
	_, err := tx.Exec(ctx, "UPDATE audit_log SET ip = $1, agent = $2, detail = $3, changes = $4, salt = $5, erased = $6"+
		" WHERE id = $7", r.IP, r.Agent, r.Detail, r.Changes, r.Salt, r.Erased, r.ID)
	return err == nil, err
}

// eraseLate erases what was written about users while they were deleted, and what was left.
func (d *DB) eraseLate(ctx context.Context, now time.Time) error {
	ids, err := listStrings[identity.UserID](ctx, d.sql, "SELECT user_id FROM audit_log"+
		" WHERE type IN ($1, $2) AND id > $3 AND id < $4", string(audit.UserDeleted), string(audit.AccountErased),
		secret.IDAt(now.Add(-erasePeriod)), secret.IDAt(now.Add(-eraseSettle)))
	if err != nil {
		return err
	}
	for _, id := range ids {
		if _, done := d.erased.Load(id); done || id == "" {
			continue
		}
		if err := d.eraseRest(ctx, id); err != nil {
			return err
		}
		d.erased.Store(id, true)
	}
	return nil
}
