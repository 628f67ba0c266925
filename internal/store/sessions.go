package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

const sessionCols = "id, user_id, auth_time, amr, acr, created_at, last_seen_at, expires_at, ip, agent"

func scanSession(r sqldb.Row) (*identity.Session, error) {
	var s identity.Session
	err := r.Scan((*string)(&s.ID), (*string)(&s.User), stamp{&s.AuthTime}, words{&s.AMR}, &s.ACR,
		stamp{&s.CreatedAt}, stamp{&s.LastSeenAt}, stamp{&s.ExpiresAt}, &s.IP, &s.Agent)
	return &s, err
}

// PutSession stores a new browser session, and marks its user as logged in now: Denied if the account is disabled
// by then. With single, the user's other sessions end, and with tokens what was issued in them.
func (d *DB) PutSession(ctx context.Context, h secret.Hash, s *identity.Session, single, tokens bool, ev ...audit.Event) error {
	return d.end(ctx, ev, func(tx sqldb.Tx) (dead []oauth.Revocation, err error) {
		// This also locks the row: two logins at once do not overlook each other, nor a simultaneous disabling.
		n, err := tx.Exec(ctx, "UPDATE users SET last_login_at = $1 WHERE id = $2 AND disabled = FALSE", ms(s.CreatedAt), s.User)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, fault.New(fault.Denied, "this account cannot sign in")
		}
		if single {
			others, err := idsOf[identity.SessionID](ctx, tx, "SELECT id FROM sessions WHERE user_id = $1", s.User)
			if err != nil {
				return nil, err
			}
			if dead, err = d.endSessions(ctx, tx, others, s.CreatedAt, tokens); err != nil {
				return nil, err
			}
		}
		_, err = tx.Exec(ctx, "INSERT INTO sessions ("+sessionCols+", hash) VALUES ("+params(1, 11)+")",
			s.ID, s.User, ms(s.AuthTime), join(s.AMR), s.ACR, ms(s.CreatedAt), ms(s.LastSeenAt), ms(s.ExpiresAt),
			clean(s.IP), clean(s.Agent), h)
		return dead, err
	})
}

// idsOf reads identifiers.
func idsOf[T ~string](ctx context.Context, c sqldb.Conn, sql string, args ...any) (ids []T, err error) {
	err = each(ctx, c, func(r sqldb.Row) error {
		var id string
		err := r.Scan(&id)
		ids = append(ids, T(id))
		return err
	}, sql, args...)
	return ids, err
}

// endSessions deletes sessions. With tokens it also ends the grants made in them, but for those with offline access,
// and gives the revocations of what was issued in them.
func (d *DB) endSessions(ctx context.Context, tx sqldb.Tx, ids []identity.SessionID, now time.Time, tokens bool) ([]oauth.Revocation, error) {
	var dead []oauth.Revocation
	for _, id := range ids {
		found, err := tx.Exec(ctx, "DELETE FROM sessions WHERE id = $1", id)
		if err != nil {
			return nil, err
		}
		if !tokens {
			continue
		}
		grants, err := tx.Exec(ctx, "DELETE FROM grants WHERE session_id = $1 AND offline = FALSE", id)
		if err != nil {
			return nil, err
		}
		if found+grants > 0 { // nothing new in the log for ending again what has ended
			dead = append(dead, d.entry(oauth.RevokeSession, string(id), now))
		}
	}
	return dead, nil
}

// SessionByCookie reads a live session, neither past its absolute end nor idle for longer than idle, or NotFound.
func (d *DB) SessionByCookie(ctx context.Context, h secret.Hash, now time.Time, idle time.Duration) (*identity.Session, error) {
	s, err := scanSession(d.sql.Row(ctx, "SELECT "+sessionCols+" FROM sessions WHERE hash = $1 AND expires_at > $2 AND last_seen_at >= $3",
		h, ms(now), since(now, idle)))
	return s, named(err, "session")
}

// since is when a session must have been seen; 0 when idleness does not count.
func since(now time.Time, idle time.Duration) int64 {
	if idle <= 0 {
		return 0
	}
	return ms(now.Add(-idle))
}

// Session reads a browser session that has not ended, or NotFound.
func (d *DB) Session(ctx context.Context, id identity.SessionID, now time.Time) (*identity.Session, error) {
	s, err := scanSession(d.sql.Row(ctx, "SELECT "+sessionCols+" FROM sessions WHERE id = $1 AND expires_at > $2 AND last_seen_at >= $3",
		id, ms(now), since(now, d.o.IdleTimeout)))
	return s, named(err, "session")
}

// UserSessions gives a user's live sessions, the one seen last first.
func (d *DB) UserSessions(ctx context.Context, user identity.UserID, now time.Time) ([]identity.Session, error) {
	return list(ctx, d.sql, scanSession, "SELECT "+sessionCols+" FROM sessions WHERE user_id = $1 AND expires_at > $2 AND last_seen_at >= $3 "+
		"ORDER BY last_seen_at DESC, id", user, ms(now), since(now, d.o.IdleTimeout))
}

// SessionQuery selects live sessions.
type SessionQuery struct {
	User          identity.UserID // "" for all
	Now           time.Time
	Limit, Offset int // default limit 100
}

// ListSessions gives live sessions, the newest first, and how many the query has in all.
func (d *DB) ListSessions(ctx context.Context, q SessionQuery) (sessions []identity.Session, total int, err error) {
	w := where{}
	w.add("user_id = ", string(q.User), q.User != "")
	w.add("expires_at > ", ms(q.Now), true)
	w.add("last_seen_at >= ", since(q.Now, d.o.IdleTimeout), true)
	if err := d.sql.Row(ctx, "SELECT COUNT(*) FROM sessions"+w.String(), w.args...).Scan(&total); err != nil {
		return nil, 0, err
	}
	text := "SELECT " + sessionCols + " FROM sessions" + w.String() + " ORDER BY created_at DESC, id DESC LIMIT " + w.param(limit(q.Limit)) +
		" OFFSET " + w.param(max(q.Offset, 0))
	sessions, err = list(ctx, d.sql, scanSession, text, w.args...)
	return sessions, total, err
}

// TouchSession moves LastSeenAt forward, never back.
func (d *DB) TouchSession(ctx context.Context, id identity.SessionID, now time.Time, ip, agent string) error {
	_, err := d.sql.Exec(ctx, "UPDATE sessions SET last_seen_at = $1, ip = $2, agent = $3 WHERE id = $4 AND last_seen_at <= $1",
		ms(now), clean(ip), clean(agent), id)
	return err
}

// RaiseSession gives a session a new cookie, authentication time, methods and class: Consumed if its cookie has changed meanwhile.
func (d *DB) RaiseSession(ctx context.Context, old, new secret.Hash, s *identity.Session, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE sessions SET hash = $1, auth_time = $2, amr = $3, acr = $4, last_seen_at = $5, ip = $6, agent = $7 "+
			"WHERE id = $8 AND hash = $9",
			new, ms(s.AuthTime), join(s.AMR), s.ACR, ms(s.LastSeenAt), clean(s.IP), clean(s.Agent), s.ID, old)
		if err == nil && n == 0 {
			return spent("session cookie")
		}
		return err
	})
}

// EndSession ends a browser session. With tokens, what was issued in it ends too, but for grants with offline access.
// Ending an ended session again is no error.
func (d *DB) EndSession(ctx context.Context, id identity.SessionID, now time.Time, tokens bool, ev ...audit.Event) error {
	return d.end(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		return d.endSessions(ctx, tx, []identity.SessionID{id}, now, tokens)
	})
}

// EndOtherSessions ends all of a user's sessions but keep ("" keeps none), as EndSession does.
func (d *DB) EndOtherSessions(ctx context.Context, u identity.UserID, keep identity.SessionID, now time.Time, tokens bool, ev ...audit.Event) error {
	return d.end(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		if _, err := lockUser(ctx, tx, u); err != nil {
			return nil, err
		}
		others, err := idsOf[identity.SessionID](ctx, tx, "SELECT id FROM sessions WHERE user_id = $1 AND id <> $2", u, keep)
		if err != nil {
			return nil, err
		}
		return d.endSessions(ctx, tx, others, now, tokens)
	})
}

// EndUserSession ends a session of that user: NotFound if it is another's, or has ended.
func (d *DB) EndUserSession(ctx context.Context, user identity.UserID, id identity.SessionID, now time.Time, tokens bool, ev ...audit.Event) error {
	return d.end(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		found, err := exists(ctx, tx, "SELECT 1 FROM sessions WHERE id = $1 AND user_id = $2", id, user)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, notFound("session")
		}
		return d.endSessions(ctx, tx, []identity.SessionID{id}, now, tokens)
	})
}

// EndUserAccess ends all of a user's sessions but for except (which may be ""), and all grants, and revokes every token issued so
// far, those of the session that stays included: its applications ask for new ones without a new login.
func (d *DB) EndUserAccess(ctx context.Context, user identity.UserID, now time.Time, except identity.SessionID, ev ...audit.Event) error {
	return d.end(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		if _, err := lockUser(ctx, tx, user); err != nil {
			return nil, err
		}
		return d.endUser(ctx, tx, user, now, except)
	})
}

// EndInactiveSessions ends a user's sessions and grants that have not been used since before, and tells how many there were.
func (d *DB) EndInactiveSessions(ctx context.Context, user identity.UserID, before, now time.Time, ev ...audit.Event) (n int, err error) {
	err = d.end(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		sessions, err := idsOf[identity.SessionID](ctx, tx, "SELECT id FROM sessions WHERE user_id = $1 AND last_seen_at < $2", user, ms(before))
		if err != nil {
			return nil, err
		}
		grants, err := idsOf[oauth.GrantID](ctx, tx,
			"DELETE FROM grants WHERE user_id = $1 AND last_used_at < $2 RETURNING id", user, ms(before))
		if err != nil {
			return nil, err
		}
		n = len(sessions) + len(grants)
		dead, err := d.endSessions(ctx, tx, sessions, now, true)
		for _, g := range grants {
			dead = append(dead, d.entry(oauth.RevokeGrant, string(g), now))
		}
		return dead, err
	})
	return n, err
}
