package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

var recoveryTable = table[login.Recovery]{
	name: "recoveries",
	columns: []column[login.Recovery]{
		{"id", func(r *login.Recovery) any { return &r.ID }},
		{"user_id", func(r *login.Recovery) any { return (*string)(&r.User) }},
		{"state", func(r *login.Recovery) any { return &r.State }},
		{"ip", func(r *login.Recovery) any { return cleanText{&r.IP} }},
		{"agent", func(r *login.Recovery) any { return cleanText{&r.Agent} }},
		{"created_at", func(r *login.Recovery) any { return unixMillis{&r.CreatedAt} }},
		{"started_at", func(r *login.Recovery) any { return unixMillis{&r.StartedAt} }},
		{"ready_at", func(r *login.Recovery) any { return unixMillis{&r.ReadyAt} }},
		{"expires_at", func(r *login.Recovery) any { return unixMillis{&r.ExpiresAt} }},
	},
}

var (
	selectRecovery = "SELECT " + recoveryTable.list() + " FROM recoveries WHERE expires_at > $1 AND "
	// A request stays until it ends, and one that has not started its wait can be asked for again.
	// If the account has changed since, it has ended.
	insertRecovery = recoveryTable.insert("start_hash", "stop_hash", "finish_hash") +
		" ON CONFLICT (user_id) DO UPDATE SET id = excluded.id, state = excluded.state, ip = excluded.ip," +
		" agent = excluded.agent, created_at = excluded.created_at, started_at = 0, ready_at = 0," +
		" expires_at = excluded.expires_at, start_hash = excluded.start_hash, stop_hash = '', finish_hash = ''" +
		" WHERE recoveries.started_at = 0 AND recoveries.id = excluded.id" +
		" OR recoveries.expires_at <= excluded.created_at OR recoveries.state <> excluded.state"
)

// linkColumn returns the column of the hash of a link.
func linkColumn(kind login.RecoveryLink) string {
	switch kind {
	case login.RecoveryStart:
		return "start_hash"
	case login.RecoveryStop:
		return "stop_hash"
	}
	return "finish_hash"
}

// deleteRecovery ends a user's request, after it has lost its use.
const deleteRecovery = "DELETE FROM recoveries WHERE user_id = $1"

// Recovery reads the request of a user that has not expired, or NotFound.
func (d *DB) Recovery(
	ctx context.Context, u identity.UserID, now time.Time,
) (*login.Recovery, error) {
	r, err := recoveryTable.scan(d.sql.Row(ctx, selectRecovery+"user_id = $2", unixMilli(now), u))
	return r, asNotFound(err, "request")
}

// RecoveryByLink reads the request that a link belongs to, or NotFound.
func (d *DB) RecoveryByLink(
	ctx context.Context, kind login.RecoveryLink, h secret.Hash, now time.Time,
) (*login.Recovery, error) {
	if h == "" {
		return nil, notFound("request")
	}
	r, err := recoveryTable.scan(d.sql.Row(ctx, selectRecovery+linkColumn(kind)+" = $2", unixMilli(now), h))
	return r, asNotFound(err, "request")
}

// PutRecovery stores a request under the hash of the link that starts its wait and is mailed to an
// address of its user. The same request begins anew unless it has started; one of another state of
// the account ends. It returns Conflict while there is another one, and NotFound if the user does
// not have the address: a change of the addresses, which ends requests, waits for it or is seen.
func (d *DB) PutRecovery(
	ctx context.Context, r *login.Recovery, to string, start secret.Hash, ev ...audit.Event,
) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		if err := lockUser(ctx, tx, r.User); err != nil {
			return err
		}
		has, err := exists(ctx, tx, "SELECT 1 FROM email_claims WHERE email_key = $1 AND user_id = $2",
			clean(identity.LoginKey(to)), r.User)
		if err != nil {
			return err
		}
		if !has {
			return notFound("address")
		}
		n, err := tx.Exec(ctx, insertRecovery, recoveryTable.args(r, start, "", "")...)
		if err == nil && n == 0 {
			return fault.New(fault.Conflict, "there is another request")
		}
		return err
	})
}

// StartRecovery starts the wait of a request, once, by the hash of its link. r holds the times, and
// stop is the hash of the link that refuses it. It returns Consumed if the link was used
// before, or has expired.
func (d *DB) StartRecovery(
	ctx context.Context, r *login.Recovery, start, stop secret.Hash, ev ...audit.Event,
) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE recoveries SET started_at = $1, ready_at = $2, expires_at = $3, start_hash = '',"+
			" stop_hash = $4 WHERE id = $5 AND start_hash = $6 AND started_at = 0 AND expires_at > $1",
			unixMilli(r.StartedAt), unixMilli(r.ReadyAt), unixMilli(r.ExpiresAt), stop, r.ID, start)
		if err == nil && n == 0 {
			return consumed("link")
		}
		return err
	})
}

// OfferRecovery stores the hash of the link that completes a request whose wait is over. It returns
// NotFound if there is none, and unless again if it has such a link.
func (d *DB) OfferRecovery(
	ctx context.Context, id string, finish secret.Hash, now time.Time, again bool, ev ...audit.Event,
) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		text := "UPDATE recoveries SET finish_hash = $1 WHERE id = $2 AND started_at > 0 AND ready_at <= $3" +
			" AND expires_at > $3"
		if !again {
			text += " AND finish_hash = ''"
		}
		n, err := tx.Exec(ctx, text, finish, id, unixMilli(now))
		return requireOne(n, err, "request")
	})
}

// EndRecovery ends a request that waits, or NotFound.
func (d *DB) EndRecovery(ctx context.Context, id string, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "DELETE FROM recoveries WHERE id = $1 AND started_at > 0", id)
		return requireOne(n, err, "request")
	})
}

// EndUserRecovery ends the request of a user, whether it waits already or not, or NotFound.
func (d *DB) EndUserRecovery(
	ctx context.Context, u identity.UserID, now time.Time, ev ...audit.Event,
) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "DELETE FROM recoveries WHERE user_id = $1 AND expires_at > $2", u, unixMilli(now))
		return requireOne(n, err, "request")
	})
}

// FinishRecovery completes a request, once, by the hash of its link: it deletes the user's second
// factors, backup codes and trusted browsers, and ends all sessions. It returns Consumed, and
// changes nothing, if it has ended, is not ready, or the account's state is not the one that
// was proved.
func (d *DB) FinishRecovery(
	ctx context.Context, r *login.Recovery, finish secret.Hash, proved *identity.AccountState, now time.Time,
	tokens bool, ev ...audit.Event,
) error {
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		c := completion{finish, proved, now, " AND password_hash <> ''"}
		if err := c.use(ctx, tx, r); err != nil {
			return nil, err
		}
		if _, err := deleteSecondFactors(ctx, tx, r.User); err != nil {
			return nil, err
		}
		return endAllSessions(ctx, tx, r.User, now, tokens)
	})
}

// FinishReplacement completes a request, once, by the hash of its link: it stores a passkey in
// place of those of the account, and ends all access and the trust in browsers. Other second
// factors stay. It returns Consumed as FinishRecovery.
func (d *DB) FinishReplacement(
	ctx context.Context, r *login.Recovery, x login.Replacement, now time.Time, ev ...audit.Event,
) error {
	defer d.users.Invalidate(r.User)
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		c := completion{link: x.Link, proved: x.Proved, now: now}
		if err := c.use(ctx, tx, r); err != nil {
			return nil, err
		}
		return replacePasskeys(ctx, tx, x.First, now)
	})
}

// completion is under which conditions a request is completed.
type completion struct {
	link    secret.Hash
	proved  *identity.AccountState
	now     time.Time
	further string // condition on the user, or ""
}

// use deletes a request that can be completed, in a lock of its user. It returns Consumed as
// FinishRecovery.
func (c completion) use(ctx context.Context, tx sqldb.Tx, r *login.Recovery) error {
	if err := lockUser(ctx, tx, r.User); err != nil {
		return err
	}
	w := &where{}
	text := "DELETE FROM recoveries WHERE id = " + w.param(r.ID) + " AND finish_hash = " + w.param(c.link) +
		" AND ready_at <= " + w.param(unixMilli(c.now)) + " AND expires_at > " + w.param(unixMilli(c.now)) +
		" AND EXISTS (SELECT 1 FROM users WHERE id = " + w.param(r.User) +
		" AND disabled = FALSE AND locked_at = 0" + c.further + w.state(c.proved, r.User) + ")"
	n, err := tx.Exec(ctx, text, w.args...)
	if err == nil && n == 0 {
		return consumed("request")
	}
	return err
}

// deleteSecondFactors deletes all of a user's credentials, also those that are not confirmed, with
// the backup codes, the trust in browsers and a request for recovery. It returns how many
// credentials and codes there were.
func deleteSecondFactors(ctx context.Context, tx sqldb.Tx, id identity.UserID) (deleted int64, err error) {
	for _, table := range []string{"credentials", "backup_codes"} {
		n, err := tx.Exec(ctx, "DELETE FROM "+table+" WHERE user_id = $1", id)
		if err != nil {
			return 0, err
		}
		deleted += n
	}
	for _, text := range []string{deleteTrust, deleteRecovery, endVerifications} {
		if _, err := tx.Exec(ctx, text, id); err != nil {
			return 0, err
		}
	}
	return deleted, nil
}

// endAllSessions ends a user's sessions as EndSession does.
func endAllSessions(
	ctx context.Context, tx sqldb.Tx, id identity.UserID, now time.Time, tokens bool,
) ([]oauth.Revocation, error) {
	sessions, err := listStrings[identity.SessionID](ctx, tx, "SELECT id FROM sessions WHERE user_id = $1", id)
	if err != nil {
		return nil, err
	}
	return endSessions(ctx, tx, sessions, now, tokens)
}
