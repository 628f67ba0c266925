package store

import (
	"context"
	"strconv"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// recoveryGrace is how long accounts that were about to be deleted have after a recovery, since
// their owners may have signed in again meanwhile.
const recoveryGrace = 7 * 24 * time.Hour

// ended are the tables whose rows end with a recovery: sessions, tokens, codes and links of before.
// Consumed ones among them might be used once more.
var ended = []string{
	"session_tokens", "sessions", "app_sessions", "codes", "devices", "opaque_tokens", "links", "confirmations",
	"recoveries", "email_codes", "login_states", "backup_codes", "initial_tokens", "trusted_browsers",
	"idempotent_requests", "servers", "impersonations",
}

// A Restore is how a restore ends.
type Restore struct {
	Recover bool // the moment of the backup has passed, and what happened since is unknown
	Copy    bool // the database is a copy for trying things out
	Now     time.Time
	Backup  time.Time // when it was made
	Event   audit.Event
}

// Recovered counts what a recovery has ended.
type Recovered struct {
	Ended      map[string]int64 // rows by table
	Tokens     int64            // approvals whose refresh tokens are refused
	Keys       int64            // withdrawn signing keys
	Deliveries int64            // queued messages that are not sent

	Registrations int64 // clients whose registration access tokens are dead

	Epoch int64 // of the audit log
}

// FinishRestore completes a restored database in one transaction: it ends what a recovery ends,
// writes the receipt into the audit log, and removes the mark by which the server refuses to start.
func (d *DB) FinishRestore(ctx context.Context, r Restore) (*Recovered, error) {
	var out *Recovered
	err := d.write(ctx, []audit.Event{r.Event}, func(tx sqldb.Tx) error {
		out = &Recovered{Ended: map[string]int64{}}
		if r.Recover {
			if err := d.recover(ctx, tx, r, out); err != nil {
				return err
			}
		}
		if r.Copy {
			if err := setMeta(ctx, tx, metaCopy, r.Event.Detail["backup"]); err != nil {
				return err
			}
		}
		// The backup contains the record of its own beginning.
		_, err := tx.Exec(ctx, "UPDATE backups SET state = CASE WHEN id = $1 THEN 'good' ELSE 'failed' END, finished_at = $2"+
			" WHERE state IN ('queued', 'running')", r.Event.TargetID, unixMilli(r.Now))
		if err != nil {
			return err
		}
		// Its servers do not run here: no migration may wait for them. What they left unanswered
		// stays known.
		_, err = tx.Exec(ctx, "UPDATE servers SET seen_at = seen_at - $1", (24 * time.Hour).Milliseconds())
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "DELETE FROM meta WHERE name = $1", metaRestoring)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, d.Load(ctx)
}

// recover ends what may have been revoked or consumed since the backup.
func (d *DB) recover(ctx context.Context, tx sqldb.Tx, r Restore, out *Recovered) error {
	for _, table := range ended {
		n, err := tx.Exec(ctx, "DELETE FROM "+table)
		if err != nil {
			return err
		}
		out.Ended[table] = n
	}
	for _, c := range r.changes(out) {
		n, err := tx.Exec(ctx, c.text, c.args...)
		if err != nil {
			return err
		}
		if c.count != nil {
			*c.count = n
		}
	}
	if err := revokeAllClients(ctx, tx, r.Now); err != nil {
		return err
	}
	if err := setMeta(ctx, tx, metaLog, secret.NewID(r.Now)); err != nil {
		return err
	}
	return d.recoverAudit(ctx, tx, r, out)
}

// change is a statement of a recovery.
type change struct {
	text  string
	args  []any
	count *int64 // receives how many rows it changed, if set
}

// changes returns what a recovery changes in rows that stay.
func (r *Restore) changes(out *Recovered) []change {
	now := unixMilli(r.Now)
	return []change{
		// The approvals stand. A refresh token of before is refused, and so is a newer one, which
		// would be taken for a stolen one if there were another hash to compare it with.
		{"UPDATE grants SET refresh_hash = '', prev_hash = '', attempt = '' WHERE refresh_hash <> ''", nil, &out.Tokens},
		// Withdrawn keys stay withdrawn: which ones were is unknown, and no token of before is
		// valid.
		{"UPDATE keys SET retired_at = CASE WHEN retired_at = 0 OR retired_at > $1" +
			" THEN CAST($1 AS BIGINT) ELSE retired_at END," +
			" expires_at = $1 WHERE expires_at = 0 OR expires_at > $1", []any{now}, &out.Keys},
		// Codes of authenticator apps that may have been used.
		{
			"UPDATE credentials SET last_step = CAST($1 AS BIGINT)" +
				" WHERE kind = 'totp' AND last_step < CAST($1 AS BIGINT)",
			[]any{r.Now.Unix()/totpPeriod + 1},
			nil,
		},
		// Registration access tokens, which are replaced when they are used (RFC 7592 §3).
		{"UPDATE clients SET registration_chain = '', registration_hash = '', registration_next = ''" +
			" WHERE registration_chain <> ''", nil, &out.Registrations},
		// Messages that may have been sent, with links that are dead.
		{"UPDATE outbox SET state = 'expired', content = '', finished_at = $1," +
			" last_error = 'the database was restored' WHERE state = 'queued'", []any{now}, &out.Deliveries},
		{"UPDATE bulk_actions SET state = 'stopped', updated_at = $1 WHERE state = 'running'", []any{now}, nil},
		{
			"UPDATE account_deletions SET due_at = CAST($1 AS BIGINT) WHERE due_at < CAST($1 AS BIGINT)",
			[]any{unixMilli(r.Now.Add(recoveryGrace))},
			nil,
		},
	}
}

// totpPeriod is the time step of authenticator apps in seconds.
const totpPeriod = 30

// revokeAllClients revokes everything that was issued to any client until now, for those who check
// tokens by themselves.
func revokeAllClients(ctx context.Context, tx sqldb.Tx, now time.Time) error {
	var revoked []oauth.Revocation
	err := each(ctx, tx, func(r sqldb.Row) error {
		v := newRevocation(oauth.RevokeClient, "", now)
		err := r.Scan(&v.ID)
		revoked = append(revoked, v)
		return err
	}, "SELECT id FROM clients ORDER BY id")
	if err != nil {
		return err
	}
	return appendRevocations(ctx, tx, revoked)
}

// recoverAudit begins another history of the audit log, under a name that no other recovery has:
// the checkpoints that were published since the backup must not get a second history.
func (d *DB) recoverAudit(ctx context.Context, tx sqldb.Tx, r Restore, out *Recovered) error {
	head, err := headTable.scan(tx.Row(ctx, selectHead))
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	out.Epoch = max(head.Epoch+1, r.Now.Unix())
	if _, err := tx.Exec(ctx, "UPDATE audit_tree SET epoch = $1 WHERE name = 'log'", out.Epoch); err != nil {
		return err
	}
	return d.record(ctx, tx, []audit.Event{{
		At:         r.Now,
		Type:       audit.EpochStarted,
		Actor:      r.Event.Actor,
		TargetType: audit.TargetAudit,
		Detail: map[string]string{
			"epoch":        strconv.FormatInt(out.Epoch, 10),
			"former_epoch": strconv.FormatInt(head.Epoch, 10),
			"size":         strconv.FormatInt(head.Size, 10),
			"root":         head.Root.String(),
			"cause":        "restored_from_backup",
		},
	}})
}

// RecentChanges returns how many accounts changed their password or factors in the time before a
// backup: those that are used most, and for which more changes may be missing.
func (d *DB) RecentChanges(ctx context.Context, since time.Time) (n int64, err error) {
	err = d.sql.Row(ctx, "SELECT COUNT(*) FROM users WHERE password_changed_at >= $1 OR id IN"+
		" (SELECT user_id FROM credentials WHERE confirmed_at >= $1)", unixMilli(since)).Scan(&n)
	return n, err
}
