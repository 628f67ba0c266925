package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/bff/session"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

var bffSessionTable = table[session.Session]{
	name: "app_sessions",
	columns: []column[session.Session]{
		{"id", func(s *session.Session) any { return &s.ID }},
		{"client_id", func(s *session.Session) any { return (*string)(&s.Client) }},
		{"user_id", func(s *session.Session) any { return (*string)(&s.User) }},
		{"grant_id", func(s *session.Session) any { return (*string)(&s.Grant) }},
		{"session_id", func(s *session.Session) any { return (*string)(&s.Session) }},
		{"tokens", func(s *session.Session) any { return &s.Tokens }},
		{"version", func(s *session.Session) any { return &s.Version }},
		{"busy_until", func(s *session.Session) any { return unixMillis{&s.BusyUntil} }},
		{"created_at", func(s *session.Session) any { return unixMillis{&s.CreatedAt} }},
		{"last_seen_at", func(s *session.Session) any { return unixMillis{&s.LastSeenAt} }},
		{"expires_at", func(s *session.Session) any { return unixMillis{&s.ExpiresAt} }},
	},
}

var (
	selectBFFSession = "SELECT " + bffSessionTable.list() + " FROM app_sessions" +
		" WHERE hash = $1 AND expires_at > $2 AND last_seen_at >= $3"
	// A session is stored only while its grant has not ended.
	insertBFFSession = bffSessionTable.into("hash") +
		" SELECT " + bffSessionTable.params() + ", " + bffSessionTable.next(1) +
		" WHERE EXISTS (SELECT 1 FROM grants WHERE id = " + bffSessionTable.param("grant_id") +
		" AND client_id = " + bffSessionTable.param("client_id") + " AND " + notRevoked + ")"
)

// PutBFFSession stores a browser app's new session under the hash of its cookie. It returns
// Consumed if the session's grant has ended meanwhile.
func (d *DB) PutBFFSession(
	ctx context.Context, h secret.Hash, s *session.Session, ev ...audit.Event,
) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, insertBFFSession, bffSessionTable.args(s, h)...)
		if err == nil && n == 0 {
			return fault.New(fault.Consumed, "this approval has been revoked")
		}
		return err
	})
}

// BFFSession reads a browser app's session by the hash of its cookie, if it is neither past its
// absolute end nor idle for longer than idle, or NotFound.
func (d *DB) BFFSession(
	ctx context.Context, h secret.Hash, now time.Time, idle time.Duration,
) (*session.Session, error) {
	row := d.sql.Row(ctx, selectBFFSession, h, unixMilli(now), seenSince(now, idle))
	s, err := bffSessionTable.scan(row)
	return s, asNotFound(err, "session")
}

// ClaimBFFSession lets one server refresh a session's tokens, until a time. It returns Consumed
// if another one is refreshing them, or has done so since that version was read.
func (d *DB) ClaimBFFSession(
	ctx context.Context, id string, version int64, now, until time.Time,
) error {
	n, err := d.sql.Exec(ctx, "UPDATE app_sessions SET busy_until = $1"+
		" WHERE id = $2 AND version = $3 AND busy_until <= $4 AND expires_at > $4",
		unixMilli(until), id, version, unixMilli(now))
	if err == nil && n == 0 {
		return consumed("version of the session")
	}
	return err
}

// ReleaseBFFSession ends a claim without new tokens, so that another server may try at once.
func (d *DB) ReleaseBFFSession(
	ctx context.Context, id string, version int64, until time.Time,
) error {
	_, err := d.sql.Exec(ctx, "UPDATE app_sessions SET busy_until = 0 WHERE id = $1 AND version = $2 AND busy_until = $3",
		id, version, unixMilli(until))
	return err
}

// RenewBFFSession replaces the tokens of a version of a session, which ends the claim. It returns
// Consumed if the session has another version by now, or has ended.
func (d *DB) RenewBFFSession(ctx context.Context, id string, version int64, tokens string) error {
	n, err := d.sql.Exec(ctx, "UPDATE app_sessions SET tokens = $1, version = version + 1, busy_until = 0"+
		" WHERE id = $2 AND version = $3", tokens, id, version)
	if err == nil && n == 0 {
		return consumed("version of the session")
	}
	return err
}

// TouchBFFSession moves LastSeenAt forward, never back.
func (d *DB) TouchBFFSession(ctx context.Context, id string, now time.Time) error {
	_, err := d.sql.Exec(ctx, "UPDATE app_sessions SET last_seen_at = $1 WHERE id = $2 AND last_seen_at < $1",
		unixMilli(now), id)
	return err
}

// EndBFFSession ends a browser app's session and its grant, in one transaction. It returns
// NotFound if the session has ended before, and records nothing.
func (d *DB) EndBFFSession(
	ctx context.Context, s *session.Session, now time.Time, ev ...audit.Event,
) error {
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		n, err := tx.Exec(ctx, "DELETE FROM app_sessions WHERE id = $1", s.ID)
		if err := requireOne(n, err, "session"); err != nil {
			return nil, err
		}
		return endGrant(ctx, tx, s.Grant, now)
	})
}
