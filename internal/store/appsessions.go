package store

import (
	"context"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/bff/session"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

const bffSessionCols = "id, client_id, user_id, grant_id, session_id, tokens, version, busy_until, created_at, last_seen_at, expires_at"

func scanBFFSession(r sqldb.Row) (*session.Session, error) {
	var s session.Session
	err := r.Scan(&s.ID, (*string)(&s.Client), (*string)(&s.User), (*string)(&s.Grant), (*string)(&s.Session), &s.Tokens, &s.Version,
		stamp{&s.BusyUntil}, stamp{&s.CreatedAt}, stamp{&s.LastSeenAt}, stamp{&s.ExpiresAt})
	return &s, err
}

// ClientsAt gives the clients that have registered a redirect URI exactly so, from memory. The values are shared.
func (d *DB) ClientsAt(redirect string) []*client.Client {
	var found []*client.Client
	for _, c := range *d.memory.clients.Load() {
		if !c.Disabled && slices.Contains(c.Redirects, redirect) {
			found = append(found, c)
		}
	}
	return found
}

// putBFFSession stores a session unless what its tokens hang on has been revoked since they were issued.
const putBFFSession = "INSERT INTO app_sessions (" + bffSessionCols + ", hash) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12" +
	" WHERE EXISTS (SELECT 1 FROM grants WHERE id = $4 AND client_id = $2 AND " + notRevoked + ")"

// PutBFFSession stores a browser app's new session under the hash of its cookie, unless its grant has ended meanwhile: then Consumed.
func (d *DB) PutBFFSession(ctx context.Context, h secret.Hash, s *session.Session, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, putBFFSession, s.ID, s.Client, s.User, s.Grant, s.Session, s.Tokens, s.Version, ms(s.BusyUntil),
			ms(s.CreatedAt), ms(s.LastSeenAt), ms(s.ExpiresAt), h)
		if err == nil && n == 0 {
			return fault.New(fault.Consumed, "this approval has been revoked")
		}
		return err
	})
}

// BFFSession reads a browser app's live session by the hash of its cookie, neither past its absolute end nor idle for longer than
// idle, or NotFound.
func (d *DB) BFFSession(ctx context.Context, h secret.Hash, now time.Time, idle time.Duration) (*session.Session, error) {
	s, err := scanBFFSession(d.sql.Row(ctx, "SELECT "+bffSessionCols+" FROM app_sessions WHERE hash = $1 AND expires_at > $2 AND last_seen_at >= $3",
		h, ms(now), since(now, idle)))
	return s, named(err, "session")
}

// ClaimBFFSession lets one server refresh a session's tokens, until a time. Consumed: another one is at it, or has done it since
// that version was read.
func (d *DB) ClaimBFFSession(ctx context.Context, id string, version int64, now, until time.Time) error {
	n, err := d.sql.Exec(ctx, "UPDATE app_sessions SET busy_until = $1 WHERE id = $2 AND version = $3 AND busy_until <= $4 AND expires_at > $4",
		ms(until), id, version, ms(now))
	if err == nil && n == 0 {
		return spent("version of the session")
	}
	return err
}

// ReleaseBFFSession gives up a claim: the refresh did not come about, and another server may try at once.
func (d *DB) ReleaseBFFSession(ctx context.Context, id string, version int64, until time.Time) error {
	_, err := d.sql.Exec(ctx, "UPDATE app_sessions SET busy_until = 0 WHERE id = $1 AND version = $2 AND busy_until = $3", id, version, ms(until))
	return err
}

// RenewBFFSession puts new tokens in the place of those of a version, which ends the claim. Consumed: the version has moved on, or the
// session has ended.
func (d *DB) RenewBFFSession(ctx context.Context, id string, version int64, tokens string) error {
	n, err := d.sql.Exec(ctx, "UPDATE app_sessions SET tokens = $1, version = version + 1, busy_until = 0 WHERE id = $2 AND version = $3",
		tokens, id, version)
	if err == nil && n == 0 {
		return spent("version of the session")
	}
	return err
}

// TouchBFFSession moves LastSeenAt forward, never back.
func (d *DB) TouchBFFSession(ctx context.Context, id string, now time.Time) error {
	_, err := d.sql.Exec(ctx, "UPDATE app_sessions SET last_seen_at = $1 WHERE id = $2 AND last_seen_at < $1", ms(now), id)
	return err
}

// EndBFFSession ends a browser app's session and the grant behind it, in one transaction. NotFound: it has ended before, and
// nothing is recorded again.
func (d *DB) EndBFFSession(ctx context.Context, s *session.Session, now time.Time, ev ...audit.Event) error {
	return d.end(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		n, err := tx.Exec(ctx, "DELETE FROM app_sessions WHERE id = $1", s.ID)
		if err := one(n, err, "session"); err != nil {
			return nil, err
		}
		if _, err := tx.Exec(ctx, "DELETE FROM grants WHERE id = $1", s.Grant); err != nil {
			return nil, err
		}
		ended, err := exists(ctx, tx, "SELECT 1 FROM revocations WHERE kind = 'grant' AND target = $1", s.Grant)
		if err != nil || ended {
			return nil, err
		}
		return []oauth.Revocation{d.entry(oauth.RevokeGrant, string(s.Grant), now)}, nil
	})
}
