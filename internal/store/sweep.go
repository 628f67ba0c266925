package store

import (
	"cmp"
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// How long rows stay after they have expired, so that a late request can be answered with what
// happened, not only with "unknown".
const (
	codeGrace   = 24 * time.Hour  // a code that is used again still ends its grant
	deviceGrace = 5 * time.Minute // expired_token, RFC 8628 §3.5
	linkGrace   = 24 * time.Hour
	lockGrace   = 24 * time.Hour
	keyGrace    = 24 * time.Hour
	// Used ids and revocations stay an hour longer than the tokens they concern are valid: a
	// clock that was ahead for a while, and is corrected, must not have deleted them too early.
	onceGrace       = time.Hour
	revocationGrace = time.Hour
	bulkGrace       = 7 * 24 * time.Hour // in which what an action did to many users can be read
	denialGrace     = 24 * time.Hour
	gapRetention    = 365 * 24 * time.Hour // of what a sink does not have
	maxDenials      = 10_000               // rows
	maxUnknownNames = 250_000              // rows, of names that nobody has
	sweepChunk      = 500                  // rows a statement, so that other changes run in between
)

// A sweep is one kind of row that expires.
type sweep struct {
	text   string // ends in the placeholders of before, or what takes its place, and of the chunk
	before time.Time
	max    int64 // in place of before, where a number of rows stays
}

// from returns the first argument of the statement.
func (s *sweep) from() any {
	switch {
	case s.max > 0:
		return s.max
	}
	return unixMilli(s.before)
}

const (
	sweepCodes   = "DELETE FROM codes WHERE hash IN (SELECT hash FROM codes WHERE expires_at <= $1 LIMIT $2)"
	sweepDevices = "DELETE FROM devices WHERE hash IN (SELECT hash FROM devices WHERE expires_at <= $1 LIMIT $2)"
	sweepOpaque  = "DELETE FROM opaque_tokens WHERE hash IN (SELECT hash FROM opaque_tokens" +
		" WHERE expires_at <= $1 LIMIT $2)"
	sweepOnce           = "DELETE FROM once WHERE name IN (SELECT name FROM once WHERE expires_at <= $1 LIMIT $2)"
	sweepLinks          = "DELETE FROM links WHERE hash IN (SELECT hash FROM links WHERE expires_at <= $1 LIMIT $2)"
	sweepImpersonations = "DELETE FROM impersonations WHERE opened_at = 0 AND id IN (" +
		"SELECT id FROM impersonations WHERE opened_at = 0 AND expires_at <= $1 LIMIT $2)"
	sweepEmailCodes = "DELETE FROM email_codes WHERE attempt IN (" +
		"SELECT attempt FROM email_codes WHERE expires_at <= $1 LIMIT $2)"
	sweepLoginStates = "DELETE FROM login_states WHERE hash IN (" +
		"SELECT hash FROM login_states WHERE expires_at <= $1 LIMIT $2)"
	sweepConfirmations = "DELETE FROM confirmations WHERE id IN (SELECT id FROM confirmations" +
		" WHERE expires_at <= $1 LIMIT $2)"
	sweepUsernames = "DELETE FROM held_usernames WHERE username_key IN (SELECT username_key FROM held_usernames" +
		" WHERE until <= $1 LIMIT $2)"
	sweepIdempotent = "DELETE FROM idempotent_requests WHERE key_hash IN (SELECT key_hash FROM idempotent_requests" +
		" WHERE expires_at <= $1 LIMIT $2)"
	sweepBulk = "DELETE FROM bulk_actions WHERE id IN (SELECT id FROM bulk_actions WHERE created_at <= $1" +
		" AND state <> 'running' LIMIT $2)"
	sweepSessions = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at <= $1 LIMIT $2)" +
		" RETURNING id, user_id, last_seen_at"
	sweepTrust = "DELETE FROM trusted_browsers WHERE id IN (SELECT id FROM trusted_browsers" +
		" WHERE expires_at <= $1 LIMIT $2)"
	sweepRecoveries  = "DELETE FROM recoveries WHERE id IN (SELECT id FROM recoveries WHERE expires_at <= $1 LIMIT $2)"
	sweepAppSessions = "DELETE FROM app_sessions WHERE id IN (SELECT id FROM app_sessions WHERE " +
		"expires_at <= $1 LIMIT $2)"
	sweepGrants = "DELETE FROM grants WHERE id IN (SELECT id FROM grants WHERE expires_at <= $1 LIMIT $2)"
	// The newest entry stays: by its mark servers and followers know that the log is the same.
	sweepRevocations = "DELETE FROM revocations WHERE seq IN (SELECT seq FROM revocations WHERE until <= $1" +
		" AND seq < (SELECT MAX(seq) FROM revocations) LIMIT $2)"
	sweepAudit = "DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE id <= $1 LIMIT $2)"
	sweepLocks = "DELETE FROM locks WHERE name IN (SELECT name FROM locks" +
		" WHERE last_at <= $1 AND locked_until <= $1 LIMIT $2)"
	// Names with fewer failures go first: to make the server forget a name that it has counted a
	// few times, a stranger must fail at all these other names as often.
	sweepSurplusNames = "WITH bound AS (SELECT CAST($1 AS BIGINT) AS n)" +
		" DELETE FROM locks WHERE name IN (SELECT name FROM locks" +
		" WHERE name LIKE '" + login.UnknownPrefix + "%'" +
		" ORDER BY locked_until DESC, failures DESC, last_at DESC, name" +
		" LIMIT CAST($2 AS BIGINT) OFFSET (SELECT n FROM bound))"
	sweepKeys = "DELETE FROM keys WHERE id IN (SELECT id FROM keys" +
		" WHERE expires_at <> 0 AND expires_at <= $1 LIMIT $2)"
	sweepSentDeliveries = "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox" +
		" WHERE state <> 'queued' AND state IN ('sent', 'expired') AND finished_at <= $1 LIMIT $2)"
	sweepDeadDeliveries = "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox" +
		" WHERE state <> 'queued' AND state = 'dead' AND finished_at <= $1 LIMIT $2)"
	sweepGaps = "DELETE FROM sink_gaps WHERE id IN (SELECT id FROM sink_gaps" +
		" WHERE state = 'parked' AND created_at <= $1 LIMIT $2)"
	sweepDenials = "DELETE FROM refusals WHERE request_id IN (SELECT request_id FROM refusals" +
		" WHERE at <= $1 LIMIT $2)"
	sweepSurplusDenials = "DELETE FROM refusals WHERE request_id IN (SELECT request_id FROM refusals" +
		" WHERE at <= (SELECT at FROM refusals ORDER BY at DESC LIMIT 1 OFFSET $1) LIMIT $2)"

	// The tokens of a browser app's session are in its row only: without it, nobody can use its
	// grant.
	sweepAppGrants = "DELETE FROM grants WHERE id IN (SELECT g.id FROM app_sessions a" +
		" JOIN grants g ON g.id = a.grant_id WHERE a.expires_at <= $1 LIMIT $2)"

	// Grants that were stored in the moment of their revocation: see notRevoked.
	sweepRevoked        = "DELETE FROM grants WHERE id IN (SELECT g.id FROM revocations r JOIN grants g ON "
	sweepRevokedGrants  = sweepRevoked + "r.kind = 'grant' AND g.id = r.target WHERE g.created_at <= $1 LIMIT $2)"
	sweepRevokedSession = sweepRevoked + "r.kind = 'session' AND g.session_id = r.target AND g.offline = FALSE" +
		" WHERE g.created_at <= $1 LIMIT $2)"
	sweepRevokedUser = sweepRevoked + "r.kind = 'user' AND g.user_id = r.target AND g.created_at < r.not_before" +
		" WHERE g.created_at <= $1 LIMIT $2)"
	sweepRevokedClient = sweepRevoked + "r.kind = 'client' AND g.client_id = r.target AND g.created_at < r.not_before" +
		" WHERE g.created_at <= $1 LIMIT $2)"
)

func (d *DB) sweeps(now time.Time) []sweep {
	all := []sweep{
		{text: sweepCodes, before: now.Add(-codeGrace)},
		{text: sweepDevices, before: now.Add(-deviceGrace)},
		{text: sweepOpaque, before: now},
		{text: sweepOnce, before: now.Add(-onceGrace)},
		{text: sweepLinks, before: now.Add(-linkGrace)},
		{text: sweepImpersonations, before: now},
		{text: sweepEmailCodes, before: now},
		{text: sweepLoginStates, before: now},
		{text: sweepConfirmations, before: now},
		{text: sweepUsernames, before: now},
		{text: sweepReplaced, before: now.Add(-replacedGrace)},
		{text: sweepIdempotent, before: now},
		{text: sweepBulk, before: now.Add(-bulkGrace)},
		{text: sweepTrust, before: now},
		{text: sweepRecoveries, before: now},
		{text: sweepAppGrants, before: now}, // before the sessions by which it finds them
		{text: sweepAppSessions, before: now},
		{text: sweepGrants, before: now},
		{text: sweepLocks, before: now.Add(-lockGrace)},
		{text: sweepSurplusNames, max: int64(cmp.Or(d.o.UnknownNames, maxUnknownNames))},
		{text: sweepKeys, before: now.Add(-keyGrace)},
		{text: sweepRevokedGrants, before: now}, // before the revocations that disable them
		{text: sweepRevokedSession, before: now},
		{text: sweepRevokedUser, before: now},
		{text: sweepRevokedClient, before: now},
		{text: sweepRevocations, before: now.Add(-revocationGrace)},
		{text: sweepSentDeliveries, before: now.Add(-outbox.SentRetention)},
		{text: sweepDeadDeliveries, before: now.Add(-outbox.DeadRetention)},
		{text: sweepSentHooks, before: now.Add(-outbox.SentRetention)},
		{text: sweepDeadHooks, before: now.Add(-outbox.DeadRetention)},
		{text: sweepGaps, before: now.Add(-gapRetention)},
		{text: sweepDenials, before: now.Add(-denialGrace)},
		{text: sweepSurplusDenials, max: maxDenials},
	}
	return all
}

// Sweep deletes what has expired, in the database and in memory, and returns the number of rows
// deleted.
func (d *DB) Sweep(ctx context.Context, now time.Time) (deleted int64, err error) {
	for _, s := range d.sweeps(now) {
		for {
			n, err := d.sql.Exec(ctx, s.text, s.from(), sweepChunk)
			if err != nil {
				return deleted, err
			}
			if deleted += n; n < sweepChunk {
				break
			}
		}
	}
	if err := d.forgetServers(ctx); err != nil {
		return deleted, err
	}
	n, err := d.sweepSessions(ctx, now)
	if deleted += n; err != nil {
		return deleted, err
	}
	d.memory.revoked.sweep(now)
	return deleted, d.eraseLate(ctx, now)
}

// sweepSessions deletes the sessions that are past their end, and records that they have ended.
func (d *DB) sweepSessions(ctx context.Context, now time.Time) (deleted int64, err error) {
	for {
		var ended []audit.Event
		err := d.withRevocations(ctx, nil, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
			ended = ended[:0]
			err := each(ctx, tx, func(r sqldb.Row) error {
				var seen time.Time
				ev := audit.Event{At: now, Type: audit.SessionExpired, Actor: audit.ActorSystem}
				err := r.Scan(&ev.Session, &ev.User, unixMillis{&seen})
				ev.Detail = map[string]string{"last_seen": audit.Timestamp(seen)}
				ended = append(ended, ev)
				return err
			}, sweepSessions, unixMilli(now), sweepChunk)
			if err != nil {
				return nil, err
			}
			return nil, d.record(ctx, tx, ended)
		})
		if err != nil {
			return deleted, err
		}
		if deleted += int64(len(ended)); len(ended) < sweepChunk {
			return deleted, nil
		}
	}
}
