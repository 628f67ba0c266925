package store

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

var sessionTable = table[identity.Session]{
	name: "sessions",
	columns: []column[identity.Session]{
		{"id", func(s *identity.Session) any { return (*string)(&s.ID) }},
		{"user_id", func(s *identity.Session) any { return (*string)(&s.User) }},
		{"auth_time", func(s *identity.Session) any { return unixMillis{&s.AuthTime} }},
		{"amr", func(s *identity.Session) any { return spaceList{&s.AMR} }},
		{"acr", func(s *identity.Session) any { return &s.ACR }},
		{"created_at", func(s *identity.Session) any { return unixMillis{&s.CreatedAt} }},
		{"last_seen_at", func(s *identity.Session) any { return unixMillis{&s.LastSeenAt} }},
		{"expires_at", func(s *identity.Session) any { return unixMillis{&s.ExpiresAt} }},
		{"ip", func(s *identity.Session) any { return cleanText{&s.IP} }},
		{"agent", func(s *identity.Session) any { return cleanText{&s.Agent} }},
		{"stay", func(s *identity.Session) any { return &s.Stay }},
		{"impersonator", func(s *identity.Session) any { return impersonator{&s.Impersonator} }},
	},
}

var (
	selectSession         = "SELECT " + sessionTable.list() + " FROM sessions"
	activeSession         = " AND expires_at > $2 AND (last_seen_at >= $3 OR stay)"
	selectSessionByID     = selectSession + " WHERE id = $1" + activeSession
	selectSessionByCookie = selectSession + " WHERE hash = $1" + activeSession
	selectUserSessions    = selectSession + " WHERE user_id = $1" + activeSession + " ORDER BY last_seen_at DESC, id"
	insertSession         = sessionTable.insert("hash")
	raisedColumns         = sessionTable.set("auth_time", "amr", "acr", "last_seen_at", "ip", "agent", "stay")
	touchSession          = "UPDATE sessions SET last_seen_at = $1, ip = $2, agent = $3" +
		" WHERE id = $4 AND last_seen_at <= $1"
	raiseSession = "UPDATE sessions SET " + raisedColumns.text + ", hash = " + raisedColumns.next(1) +
		" WHERE id = " + raisedColumns.next(2) + " AND hash = " + raisedColumns.next(3)
)

// PutSession stores a new browser session and sets its user's last login. It returns Denied if
// the account is disabled by then, and Consumed if its state is not the one that was proved.
func (d *DB) PutSession(
	ctx context.Context, h secret.Hash, s *identity.Session, t identity.SessionTerms, ev ...audit.Event,
) error {
	put := func(tx sqldb.Tx) ([]oauth.Revocation, error) { return putSession(ctx, tx, h, s, t) }
	if t.Single {
		return d.withRevocations(ctx, ev, put)
	}
	return d.write(ctx, ev, func(tx sqldb.Tx) error { // which ends nothing
		_, err := put(tx)
		return err
	})
}

func putSession(
	ctx context.Context, tx sqldb.Tx, h secret.Hash, s *identity.Session, t identity.SessionTerms,
) (revoked []oauth.Revocation, err error) {
	// This also locks the row: concurrent sign-ins see each other, and a concurrent change of the
	// password or disabling.
	w := where{}
	text := "UPDATE users SET last_login_at = " + w.param(unixMilli(s.CreatedAt)) +
		" WHERE id = " + w.param(s.User) + " AND disabled = FALSE AND locked_at = 0" + w.state(t.Proved, s.User)
	n, err := tx.Exec(ctx, text, w.args...)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, sessionError(ctx, tx, s.User)
	}
	if t.Single {
		others, err := listStrings[identity.SessionID](ctx, tx, "SELECT id FROM sessions WHERE user_id = $1", s.User)
		if err != nil {
			return nil, err
		}
		if revoked, err = endSessions(ctx, tx, others, s.CreatedAt, t.Tokens); err != nil {
			return nil, err
		}
	}
	_, err = tx.Exec(ctx, insertSession, sessionTable.args(s, h)...)
	return revoked, err
}

// sessionError returns why a session was not stored.
func sessionError(ctx context.Context, tx sqldb.Tx, id identity.UserID) error {
	found, err := exists(ctx, tx, "SELECT 1 FROM users WHERE id = $1 AND disabled = FALSE AND locked_at = 0", id)
	switch {
	case err != nil:
		return err
	case found:
		return consumed("proof of the account's password and factors")
	}
	return fault.New(fault.Denied, "this account cannot sign in")
}

// state adds the condition that the state of an account is still the one that was proved, and
// returns its text, for a statement about a row of users. The text is "" without a state.
func (w *where) state(st *identity.AccountState, id identity.UserID) string {
	if st == nil {
		return ""
	}
	text := " AND password_changed_at = " + w.param(unixMilli(st.PasswordChangedAt))
	confirmed := "(SELECT COUNT(*) FROM credentials WHERE user_id = " + w.param(id) + " AND confirmed_at > 0"
	number := strconv.Itoa(len(st.Factors))
	text += " AND " + confirmed + ") = " + number
	if len(st.Factors) == 0 {
		return text
	}
	var ids []string
	for _, f := range st.Factors {
		ids = append(ids, w.param(f))
	}
	return text + " AND " + confirmed + " AND id IN (" + strings.Join(ids, ", ") + ")) = " + number
}

// endSessions deletes sessions. With tokens it also ends the grants made in them, except those
// with offline access, and returns the revocations of what was issued in them.
func endSessions(
	ctx context.Context, tx sqldb.Tx, ids []identity.SessionID, now time.Time, tokens bool,
) ([]oauth.Revocation, error) {
	var revoked []oauth.Revocation
	for _, id := range ids {
		sessions, err := tx.Exec(ctx, "DELETE FROM sessions WHERE id = $1", id)
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
		if sessions+grants > 0 { // what has ended before has its revocation already
			revoked = append(revoked, newRevocation(oauth.RevokeSession, string(id), now))
		}
	}
	return revoked, nil
}

// SessionByCookie reads a session that is not past its absolute end, and either not idle for longer
// than idle or of a person who stays signed in, or NotFound.
func (d *DB) SessionByCookie(
	ctx context.Context, h secret.Hash, now time.Time, idle time.Duration,
) (*identity.Session, error) {
	s, err := sessionTable.scan(d.sql.Row(ctx, selectSessionByCookie,
		h, unixMilli(now), seenSince(now, idle)))
	return s, asNotFound(err, "session")
}

// seenSince returns the time at which a session that is not idle was seen at the earliest, in
// Unix milliseconds; 0 when idleness does not count.
func seenSince(now time.Time, idle time.Duration) int64 {
	if idle <= 0 {
		return 0
	}
	return unixMilli(now.Add(-idle))
}

// Session reads a browser session that has not ended, or NotFound.
func (d *DB) Session(
	ctx context.Context, id identity.SessionID, now time.Time,
) (*identity.Session, error) {
	s, err := sessionTable.scan(d.sql.Row(ctx, selectSessionByID,
		id, unixMilli(now), seenSince(now, d.o.IdleTimeout)))
	return s, asNotFound(err, "session")
}

// UserSessions returns a user's active sessions, the one seen last first.
func (d *DB) UserSessions(
	ctx context.Context, user identity.UserID, now time.Time,
) ([]identity.Session, error) {
	return list(ctx, d.sql, sessionTable.scan, selectUserSessions,
		user, unixMilli(now), seenSince(now, d.o.IdleTimeout))
}

// SessionQuery selects sessions.
type SessionQuery = admin.SessionQuery

// ListSessions returns the page of active sessions, newest first, that follows a position, nil for
// the first page.
func (d *DB) ListSessions(
	ctx context.Context, q SessionQuery, after *admin.Position,
) (admin.Rows[identity.Session], error) {
	return d.sessionListing(q).read(ctx, d.sql, q.Page, after)
}

// sessionListing returns what a query selects.
func (d *DB) sessionListing(q SessionQuery) *listing[identity.Session] {
	l := &listing[identity.Session]{
		table: &sessionTable,
		sort:  "created_at",
		order: admin.OrderCreated,
		desc:  true,
		key: func(s *identity.Session) admin.Position {
			return admin.Position{Number: unixMilli(s.CreatedAt), ID: string(s.ID)}
		},
		filters: []condition{func(w *where) string {
			return "sessions.expires_at > " + w.param(unixMilli(q.Now)) +
				" AND (sessions.last_seen_at >= " + w.param(seenSince(q.Now, d.o.IdleTimeout)) + " OR sessions.stay)"
		}},
	}
	if len(q.ExceptRoles) > 0 {
		l.filters = append(l.filters, exceptRoles(q.ExceptRoles))
	}
	l.within("created_at", admin.TimeRange{Until: q.Before})
	ip := sqldb.ByBytes(d.Engine(), "sessions.ip")
	switch {
	case q.User != "":
		l.served = append(l.served, equal("sessions.user_id", string(q.User)))
	case len(q.IPs) == 1:
		l.served = append(l.served, equal(ip, q.IPs[0]))
		return l
	}
	if len(q.IPs) > 0 {
		some := func(w *where) string {
			params := make([]string, len(q.IPs))
			for i, ip := range q.IPs {
				params[i] = w.param(ip)
			}
			return ip + " IN (" + strings.Join(params, ", ") + ")"
		}
		l.postings = append(l.postings, posting{
			match: some,
			ids:   func(w *where) string { return "SELECT id FROM sessions WHERE " + some(w) },
		})
	}
	return l
}

// exceptRoles selects sessions of people who have none of the roles.
func exceptRoles(roles []string) condition {
	return func(w *where) string {
		some := make([]string, len(roles))
		for i, role := range roles {
			some[i] = hasRole("u.roles", w.param(role))
		}
		return "NOT EXISTS (SELECT 1 FROM users u WHERE u.id = sessions.user_id AND (" +
			strings.Join(some, " OR ") + "))"
	}
}

// SessionAddresses returns up to limit different addresses at which sessions were last seen, in the
// order of their bytes: those from one text up to, but not including, another.
func (d *DB) SessionAddresses(ctx context.Context, from, until string, limit int) ([]string, error) {
	// Each step of the recursion finds the next address in the index.
	ip := sqldb.ByBytes(d.Engine(), "ip")
	return listStrings[string](ctx, d.sql, "WITH RECURSIVE seen (at) AS ("+
		"SELECT MIN("+ip+") FROM sessions WHERE "+ip+" >= $1 AND "+ip+" < $2 UNION ALL "+
		"SELECT (SELECT MIN("+ip+") FROM sessions WHERE "+ip+" > seen.at AND "+ip+" < $2) FROM seen"+
		" WHERE seen.at IS NOT NULL) SELECT at FROM seen WHERE at IS NOT NULL LIMIT $3", from, until, int64(limit))
}

// EndSessions ends up to q.Limit of the active sessions that a query selects, as EndSession does,
// each with the event that ev returns for it. It returns how many it has ended.
func (d *DB) EndSessions(
	ctx context.Context, q SessionQuery, tokens bool, guard audit.Guard,
	ev func(*identity.Session) audit.Event,
) (n int, err error) {
	w := where{}
	d.sessionListing(q).conditions(&w, -1)
	text := selectSession + w.String() + " ORDER BY created_at, id LIMIT " + w.param(limit(q.Page.Limit))
	err = d.withRevocations(ctx, nil, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		if err := checkGuards(ctx, tx, []audit.Event{{Guard: guard}}); err != nil {
			return nil, err
		}
		found, err := list(ctx, tx, sessionTable.scan, text, w.args...)
		if err != nil {
			return nil, err
		}
		n = len(found)
		ids := make([]identity.SessionID, n)
		events := make([]audit.Event, n)
		for i := range found {
			ids[i], events[i] = found[i].ID, ev(&found[i])
		}
		if err := d.record(ctx, tx, events); err != nil {
			return nil, err
		}
		return endSessions(ctx, tx, ids, q.Now, tokens)
	})
	return n, err
}

// TouchSession moves LastSeenAt forward, never back.
func (d *DB) TouchSession(
	ctx context.Context, id identity.SessionID, now time.Time, ip, agent string,
) error {
	_, err := d.sql.Exec(ctx, touchSession, unixMilli(now), clean(ip), clean(agent), id)
	return err
}

// RaiseSession sets a new cookie, authentication time, methods and class of a session. It returns
// Consumed if the session's cookie, or the account's state that was proved, has changed meanwhile.
func (d *DB) RaiseSession(
	ctx context.Context, old, new secret.Hash, s *identity.Session, proved *identity.AccountState,
	ev ...audit.Event,
) error {
	w := where{args: raisedColumns.args(s, new, s.ID, old)}
	text := raiseSession
	if proved != nil {
		text += " AND EXISTS (SELECT 1 FROM users WHERE id = " + w.param(s.User) + " AND disabled = FALSE AND locked_at = 0" +
			w.state(proved, s.User) + ")"
	}
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, text, w.args...)
		if err == nil && n == 0 {
			return consumed("session cookie")
		}
		return err
	})
}

// EndSession ends a browser session. With tokens, what was issued in it ends too, except grants
// with offline access. For a session that has ended before it returns nil.
func (d *DB) EndSession(
	ctx context.Context, id identity.SessionID, now time.Time, tokens bool, ev ...audit.Event,
) error {
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		return endSessions(ctx, tx, []identity.SessionID{id}, now, tokens)
	})
}

// EndOtherSessions ends all of a user's sessions except keep, as EndSession does. With keep "" it
// ends all.
func (d *DB) EndOtherSessions(
	ctx context.Context, u identity.UserID, keep identity.SessionID, now time.Time, tokens bool,
	ev ...audit.Event,
) error {
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		if err := lockUser(ctx, tx, u); err != nil {
			return nil, err
		}
		others, err := listStrings[identity.SessionID](ctx, tx,
			"SELECT id FROM sessions WHERE user_id = $1 AND id <> $2", u, keep)
		if err != nil {
			return nil, err
		}
		return endSessions(ctx, tx, others, now, tokens)
	})
}

// EndUserSession ends a session of that user. It returns NotFound if the session is another
// user's, or has ended.
func (d *DB) EndUserSession(
	ctx context.Context, user identity.UserID, id identity.SessionID, now time.Time, tokens bool,
	ev ...audit.Event,
) error {
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		found, err := exists(ctx, tx, "SELECT 1 FROM sessions WHERE id = $1 AND user_id = $2", id, user)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, notFound("session")
		}
		return endSessions(ctx, tx, []identity.SessionID{id}, now, tokens)
	})
}

// EndUserAccess ends all of a user's sessions except one (except may be ""), and all grants, and
// revokes every token issued so far. That includes the tokens of the session that stays: its
// applications get new ones without a new login.
func (d *DB) EndUserAccess(
	ctx context.Context, user identity.UserID, now time.Time, except identity.SessionID, ev ...audit.Event,
) error {
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		if err := lockUser(ctx, tx, user); err != nil {
			return nil, err
		}
		return endUserAccess(ctx, tx, user, now, except)
	})
}

// EndInactiveSessions ends a user's sessions and grants that have not been used since before, and
// returns the number of both.
func (d *DB) EndInactiveSessions(
	ctx context.Context, user identity.UserID, before, now time.Time, ev ...audit.Event,
) (n int, err error) {
	err = d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		sessions, err := listStrings[identity.SessionID](ctx, tx,
			"SELECT id FROM sessions WHERE user_id = $1 AND last_seen_at < $2", user, unixMilli(before))
		if err != nil {
			return nil, err
		}
		grants, err := endGrants(ctx, tx, now, "user_id = $1 AND last_used_at < $2", user, unixMilli(before))
		if err != nil {
			return nil, err
		}
		n = len(sessions) + len(grants)
		revoked, err := endSessions(ctx, tx, sessions, now, true)
		return append(revoked, grants...), err
	})
	return n, err
}
