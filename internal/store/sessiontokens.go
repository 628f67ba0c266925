package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

var sessionTokenTable = table[login.SessionTokens]{
	name: "session_tokens",
	columns: []column[login.SessionTokens]{
		{"session_id", func(t *login.SessionTokens) any { return (*string)(&t.Session) }},
		{"client_id", func(t *login.SessionTokens) any { return (*string)(&t.Client) }},
		{"token_hash", func(t *login.SessionTokens) any { return (*string)(&t.Token) }},
		{"token_expires", func(t *login.SessionTokens) any { return unixMillis{&t.Expires} }},
		{"refresh_hash", func(t *login.SessionTokens) any { return (*string)(&t.Refresh) }},
	},
}

var (
	insertSessionTokens = sessionTokenTable.insert()
	selectTokenSession  = "SELECT " + sessionTable.qualified() + ", " + sessionTokenTable.qualified() +
		" FROM sessions JOIN session_tokens ON session_tokens.session_id = sessions.id" +
		" WHERE sessions.id = $1 AND sessions.expires_at > $2"
	rotateTokens = "UPDATE session_tokens SET token_hash = $1, token_expires = $2, refresh_hash = $3" +
		" WHERE session_id = $4 AND refresh_hash = $5" +
		" AND EXISTS (SELECT 1 FROM sessions WHERE id = $4 AND expires_at > $6)"
)

// PutTokenSession stores a new session that has tokens instead of a cookie. It returns the errors
// of PutSession.
func (d *DB) PutTokenSession(
	ctx context.Context, s *identity.Session, tokens login.SessionTokens, t identity.SessionTerms,
	ev ...audit.Event,
) error {
	// The hash of a cookie that nobody has.
	none := secret.Hash("none:" + string(s.ID))
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		revoked, err := putSession(ctx, tx, none, s, t)
		if err == nil {
			_, err = tx.Exec(ctx, insertSessionTokens, sessionTokenTable.args(&tokens)...)
		}
		return revoked, err
	})
}

// TokenSession reads a session that has tokens and has not ended, or NotFound.
func (d *DB) TokenSession(
	ctx context.Context, id identity.SessionID, now time.Time,
) (*login.TokenSession, error) {
	s := new(login.TokenSession)
	dest := make([]any, 0, len(sessionTable.columns)+len(sessionTokenTable.columns))
	dest = sessionTokenTable.dest(sessionTable.dest(dest, &s.Session), &s.Tokens)
	err := d.sql.Row(ctx, selectTokenSession, id, unixMilli(now)).Scan(dest...)
	if err != nil {
		return nil, asNotFound(err, "session")
	}
	return s, nil
}

// RotateTokens replaces the tokens of a session, once for each refresh token. It returns Consumed
// if the refresh token is another one by now, or the session has ended; the events are not stored
// then.
func (d *DB) RotateTokens(ctx context.Context, r login.TokenRotation, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, rotateTokens,
			r.Token, unixMilli(r.Expires), r.Refresh, r.Session, r.Old, unixMilli(r.Now))
		if err != nil {
			return err
		}
		if n == 0 {
			return consumed("refresh token")
		}
		_, err = tx.Exec(ctx, touchSession, unixMilli(r.Now), clean(r.IP), clean(r.Agent), r.Session)
		return err
	})
}

// PutLoginState stores what a caller has asked for under the hash of a state.
func (d *DB) PutLoginState(
	ctx context.Context, h secret.Hash, opening string, until time.Time,
) error {
	_, err := d.sql.Exec(ctx, "INSERT INTO login_states (hash, opening, expires_at) VALUES ($1, $2, $3)"+
		" ON CONFLICT (hash) DO UPDATE SET opening = excluded.opening, expires_at = excluded.expires_at",
		h, opening, unixMilli(until))
	return err
}

// LoginState reads what was stored under the hash of a state, or NotFound.
func (d *DB) LoginState(
	ctx context.Context, h secret.Hash, now time.Time,
) (opening string, err error) {
	err = d.sql.Row(ctx, "SELECT opening FROM login_states WHERE hash = $1 AND expires_at > $2",
		h, unixMilli(now)).Scan(&opening)
	return opening, asNotFound(err, "state")
}
