package store

import (
	"context"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// scopeOffline makes a grant outlive its session (OpenID Connect Core §11).
const scopeOffline = "offline_access"

const (
	grantCols = "id, client_id, user_id, session_id, offline, kind, scopes, resources, claims, auth_time, amr, acr, refresh_hash, prev_hash, " +
		"rotated_at, expires_at, absolute_end, ip, agent, created_at, last_used_at, bound"
	grantRead = "grants.id, grants.client_id, COALESCE(grants.user_id, ''), grants.session_id, grants.kind, grants.scopes, grants.resources, " +
		"grants.claims, grants.auth_time, grants.amr, grants.acr, grants.refresh_hash, grants.prev_hash, grants.rotated_at, grants.expires_at, " +
		"grants.absolute_end, grants.ip, grants.agent, grants.created_at, grants.last_used_at, grants.bound"

	// notRevoked is part of every reading and turning of a grant: on PostgreSQL a grant may be stored in the very moment in
	// which another transaction revokes it and neither sees the other; such a grant never comes to life, and Sweep removes it.
	notRevoked = "NOT EXISTS (SELECT 1 FROM revocations r WHERE r.kind = 'grant' AND r.target = grants.id)" +
		" AND (offline OR NOT EXISTS (SELECT 1 FROM revocations r WHERE r.kind = 'session' AND r.target = grants.session_id))" +
		" AND NOT EXISTS (SELECT 1 FROM revocations r WHERE r.kind = 'user' AND r.target = grants.user_id AND r.not_before > grants.created_at)" +
		" AND NOT EXISTS (SELECT 1 FROM revocations r WHERE r.kind = 'client' AND r.target = grants.client_id AND r.not_before > grants.created_at)"
)

func scanGrant(r sqldb.Row) (*oauth.Grant, error) {
	var g oauth.Grant
	return &g, r.Scan(grantDest(&g)...)
}

// grantDest is where grantRead is scanned to.
func grantDest(g *oauth.Grant) []any {
	return []any{
		(*string)(&g.ID), (*string)(&g.Client), (*string)(&g.User), (*string)(&g.Session), &g.Kind,
		words{&g.Scopes},
		words{&g.Resources},
		raw{&g.Claims},
		stamp{&g.AuthTime},
		words{&g.AMR},
		&g.ACR, (*string)(&g.RefreshHash), (*string)(&g.PrevHash),
		stamp{&g.RotatedAt},
		stamp{&g.ExpiresAt},
		stamp{&g.AbsoluteEnd},
		&g.IP, &g.Agent,
		stamp{&g.CreatedAt},
		stamp{&g.LastUsedAt},
		&g.Bound,
	}
}

// putGrant stores a grant unless something it hangs on has been revoked. A user or client that is gone
// has left a revocation behind, so the foreign keys do not come to speak.
const putGrant = "INSERT INTO grants (" + grantCols + ") SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22" +
	" WHERE NOT EXISTS (SELECT 1 FROM revocations WHERE kind = 'grant' AND target = $1)" +
	" AND NOT EXISTS (SELECT 1 FROM revocations WHERE kind = 'session' AND target = $4 AND target <> '')" +
	" AND NOT EXISTS (SELECT 1 FROM revocations WHERE kind = 'user' AND target = $3 AND not_before > $20)" +
	" AND NOT EXISTS (SELECT 1 FROM revocations WHERE kind = 'client' AND target = $2 AND not_before > $20)"

// PutGrant stores an approval, unless the grant, its session, its user or its client has been revoked meanwhile: then Consumed.
func (d *DB) PutGrant(ctx context.Context, g *oauth.Grant, ev ...audit.Event) error {
	if len(ev) == 0 { // one statement, one round trip
		return insertGrant(ctx, d.sql, g)
	}
	return d.write(ctx, ev, func(tx sqldb.Tx) error { return insertGrant(ctx, tx, g) })
}

func insertGrant(ctx context.Context, c sqldb.Conn, g *oauth.Grant) error {
	n, err := c.Exec(ctx, putGrant, g.ID, g.Client, orNull(string(g.User)), g.Session, slices.Contains(g.Scopes, scopeOffline),
		g.Kind, join(g.Scopes), join(g.Resources), string(g.Claims), ms(g.AuthTime), join(g.AMR), g.ACR, g.RefreshHash, g.PrevHash,
		ms(g.RotatedAt), ms(g.ExpiresAt), ms(g.AbsoluteEnd), clean(g.IP), clean(g.Agent), ms(g.CreatedAt), ms(g.LastUsedAt), g.Bound)
	if err == nil && n == 0 {
		return fault.New(fault.Consumed, "this approval has been revoked")
	}
	return err
}

// Grant reads one grant that has not ended, or NotFound.
func (d *DB) Grant(ctx context.Context, id oauth.GrantID) (*oauth.Grant, error) {
	g, err := scanGrant(d.sql.Row(ctx, "SELECT "+grantRead+" FROM grants WHERE id = $1 AND "+notRevoked, id))
	return g, named(err, "grant")
}

// GrantAndUser reads a grant that has not ended, together with its user: in one round trip, which a refresh pays for. A grant of
// a client that acts for itself has no user.
func (d *DB) GrantAndUser(ctx context.Context, id oauth.GrantID) (*oauth.Grant, *identity.User, error) {
	var g oauth.Grant
	var u identity.User
	var address string
	err := d.sql.Read(ctx, append(grantDest(&g), userDest(&u, &address)...),
		"SELECT "+grantRead+", "+userRead+" FROM grants JOIN users ON users.id = grants.user_id WHERE grants.id = $1 AND "+notRevoked, id)
	if fault.Is(err, fault.NotFound) {
		g, err := d.Grant(ctx, id)
		return g, nil, err
	}
	if err != nil {
		return nil, nil, err
	}
	return &g, &u, readAddress(&u, address)
}

// turnRefresh replaces the hash only where it still is the one presented. Of concurrent callers with one
// token the first moves it; the others find another hash.
const turnRefresh = "UPDATE grants SET prev_hash = CASE WHEN refresh_hash = $1 THEN prev_hash ELSE refresh_hash END," +
	" rotated_at = CASE WHEN refresh_hash = $1 THEN rotated_at ELSE CAST($2 AS BIGINT) END, refresh_hash = $1, last_used_at = $2," +
	" expires_at = CASE WHEN absolute_end <> 0 AND absolute_end < CAST($3 AS BIGINT) THEN absolute_end ELSE CAST($3 AS BIGINT) END," +
	" ip = $4, agent = $5" +
	" WHERE id = $6 AND client_id = $7 AND refresh_hash = $8 AND refresh_hash <> '' AND expires_at > $2 AND " + notRevoked

// RotateRefresh replaces the refresh hash of a live grant of that client, with the events. If nothing moved: NotFound when the
// grant is gone, ended, expired or another client's; Consumed when its hash is another one.
func (d *DB) RotateRefresh(ctx context.Context, t oauth.RefreshRotation, ev ...audit.Event) error {
	err := d.turn(ctx, t, ev)
	if !fault.Is(err, fault.NotFound) {
		return err
	}
	alive, other := exists(ctx, d.sql, "SELECT 1 FROM grants WHERE id = $1 AND client_id = $2 AND refresh_hash <> '' AND expires_at > $3 AND "+
		notRevoked, t.Grant, t.Client, ms(t.Now))
	if other != nil {
		return other
	}
	if alive {
		return spent("refresh token")
	}
	return err
}

// turn runs the statement with its events, in one round trip where there is one event at most.
func (d *DB) turn(ctx context.Context, t oauth.RefreshRotation, ev []audit.Event) error {
	turn := sqldb.Statement{Text: turnRefresh, Args: []any{t.New, ms(t.Now), ms(t.ExpiresAt), clean(t.IP), clean(t.Agent), t.Grant, t.Client, t.Old}}
	switch len(ev) {
	case 0:
		n, err := d.sql.Exec(ctx, turn.Text, turn.Args...)
		return one(n, err, "grant")
	case 1:
		args, err := eventArgs(&ev[0])
		if err != nil {
			return err
		}
		n, err := d.sql.ExecIfChanged(ctx, string(t.Grant), turn, sqldb.Statement{Text: insertEvent, Args: args})
		return one(n, err, "grant")
	}
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, turn.Text, turn.Args...)
		return one(n, err, "grant")
	})
}

// EndGrant ends a grant and appends its revocation. Ending an ended grant again is no error and adds nothing but the events.
func (d *DB) EndGrant(ctx context.Context, id oauth.GrantID, now time.Time, ev ...audit.Event) error {
	return d.end(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		if _, err := tx.Exec(ctx, "DELETE FROM grants WHERE id = $1", id); err != nil {
			return nil, err
		}
		ended, err := exists(ctx, tx, "SELECT 1 FROM revocations WHERE kind = 'grant' AND target = $1", id)
		if err != nil || ended {
			return nil, err
		}
		return []oauth.Revocation{d.entry(oauth.RevokeGrant, string(id), now)}, nil
	})
}

// UserGrants gives a user's grants that have not ended, the one used last first.
func (d *DB) UserGrants(ctx context.Context, user identity.UserID, now time.Time) ([]oauth.Grant, error) {
	return list(ctx, d.sql, scanGrant, "SELECT "+grantRead+" FROM grants WHERE user_id = $1 AND expires_at > $2 AND "+notRevoked+
		" ORDER BY last_used_at DESC, id", user, ms(now))
}

// EndUserGrant ends a grant of that user: NotFound if it is another's, or has ended.
func (d *DB) EndUserGrant(ctx context.Context, user identity.UserID, id oauth.GrantID, now time.Time, ev ...audit.Event) error {
	return d.end(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		n, err := tx.Exec(ctx, "DELETE FROM grants WHERE id = $1 AND user_id = $2", id, user)
		if err := one(n, err, "authorization"); err != nil {
			return nil, err
		}
		return []oauth.Revocation{d.entry(oauth.RevokeGrant, string(id), now)}, nil
	})
}
