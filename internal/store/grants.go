package store

import (
	"context"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// scopeOffline makes a grant outlive its session (OpenID Connect Core §11).
const scopeOffline = "offline_access"

var grantTable = table[oauth.Grant]{
	name: "grants",
	columns: []column[oauth.Grant]{
		{"id", func(g *oauth.Grant) any { return (*string)(&g.ID) }},
		{"client_id", func(g *oauth.Grant) any { return (*string)(&g.Client) }},
		{"user_id", func(g *oauth.Grant) any { return optional{(*string)(&g.User)} }},
		{"session_id", func(g *oauth.Grant) any { return (*string)(&g.Session) }},
		{"kind", func(g *oauth.Grant) any { return &g.Kind }},
		{"scopes", func(g *oauth.Grant) any { return spaceList{&g.Scopes} }},
		{"resources", func(g *oauth.Grant) any { return spaceList{&g.Resources} }},
		{"claims", func(g *oauth.Grant) any { return jsonText{&g.Claims} }},
		{"auth_time", func(g *oauth.Grant) any { return unixMillis{&g.AuthTime} }},
		{"amr", func(g *oauth.Grant) any { return spaceList{&g.AMR} }},
		{"acr", func(g *oauth.Grant) any { return &g.ACR }},
		{"refresh_hash", func(g *oauth.Grant) any { return (*string)(&g.RefreshHash) }},
		{"prev_hash", func(g *oauth.Grant) any { return (*string)(&g.PrevHash) }},
		{"rotated_at", func(g *oauth.Grant) any { return unixMillis{&g.RotatedAt} }},
		{"expires_at", func(g *oauth.Grant) any { return unixMillis{&g.ExpiresAt} }},
		{"absolute_end", func(g *oauth.Grant) any { return unixMillis{&g.AbsoluteEnd} }},
		{"ip", func(g *oauth.Grant) any { return cleanText{&g.IP} }},
		{"agent", func(g *oauth.Grant) any { return cleanText{&g.Agent} }},
		{"created_at", func(g *oauth.Grant) any { return unixMillis{&g.CreatedAt} }},
		{"last_used_at", func(g *oauth.Grant) any { return unixMillis{&g.LastUsedAt} }},
		{"bound", func(g *oauth.Grant) any { return &g.Bound }},
		{"attempt", func(g *oauth.Grant) any { return &g.Attempt }},
		{"actor", func(g *oauth.Grant) any { return impersonator{&g.Impersonator} }},
	},
	derived: []column[oauth.Grant]{
		{"offline", func(g *oauth.Grant) any { return slices.Contains(g.Scopes, scopeOffline) }},
	},
}

// notRevoked is part of every statement that reads or rotates a grant. On PostgreSQL a grant may
// be stored in the moment in which another transaction revokes it, and neither sees the other;
// such a grant is never used, and Sweep removes it.
const notRevoked = "NOT EXISTS (SELECT 1 FROM revocations r WHERE r.kind = 'grant' AND r.target = grants.id)" +
	" AND (offline OR NOT EXISTS (SELECT 1 FROM revocations r" +
	" WHERE r.kind = 'session' AND r.target = grants.session_id))" +
	" AND NOT EXISTS (SELECT 1 FROM revocations r" +
	" WHERE r.kind = 'user' AND r.target = grants.user_id AND r.not_before > grants.created_at)" +
	" AND NOT EXISTS (SELECT 1 FROM revocations r" +
	" WHERE r.kind = 'client' AND r.target = grants.client_id AND r.not_before > grants.created_at)"

var (
	selectGrant      = "SELECT " + grantTable.qualified() + " FROM grants"
	selectGrantByID  = selectGrant + " WHERE id = $1 AND " + notRevoked
	selectUserGrants = selectGrant + " WHERE user_id = $1 AND expires_at > $2 AND " + notRevoked +
		" ORDER BY last_used_at DESC, id"
	selectGrantAndUser = sqldb.NewRowQuery(slices.Concat(grantTable.qualifiedNames(), userTable.qualifiedNames()),
		"FROM grants JOIN users ON users.id = grants.user_id WHERE grants.id = $1 AND "+notRevoked)
)

// insertGrant stores a grant unless something that it depends on has been revoked. A deleted user
// or client has left a revocation behind, so the foreign keys are not violated.
var insertGrant = grantTable.into() + " SELECT " + grantTable.params() +
	" WHERE NOT EXISTS (SELECT 1 FROM revocations WHERE kind = 'grant' AND target = " + grantTable.param("id") + ")" +
	" AND NOT EXISTS (SELECT 1 FROM revocations" +
	" WHERE kind = 'session' AND target = " + grantTable.param("session_id") + " AND target <> '')" +
	" AND NOT EXISTS (SELECT 1 FROM revocations WHERE kind = 'user'" +
	" AND target = " + grantTable.param("user_id") + " AND not_before > " + grantTable.param("created_at") + ")" +
	" AND NOT EXISTS (SELECT 1 FROM revocations WHERE kind = 'client'" +
	" AND target = " + grantTable.param("client_id") + " AND not_before > " + grantTable.param("created_at") + ")"

// PutGrant stores an approval. It returns Consumed if the grant, its session, its user or its
// client has been revoked meanwhile.
func (d *DB) PutGrant(ctx context.Context, g *oauth.Grant, ev ...audit.Event) error {
	if len(ev) == 0 { // one statement, one round trip
		return putGrant(ctx, d.sql, g)
	}
	return d.write(ctx, ev, func(tx sqldb.Tx) error { return putGrant(ctx, tx, g) })
}

// PutProvedGrant stores an approval that a password stands for. It returns Consumed as PutGrant
// does, and also if the user is disabled or the account's state is no longer the one that was
// proved.
func (d *DB) PutProvedGrant(
	ctx context.Context, g *oauth.Grant, proved identity.AccountState, ev ...audit.Event,
) error {
	w := where{args: grantTable.args(g)}
	text := insertGrant + " AND EXISTS (SELECT 1 FROM users WHERE id = " + w.param(g.User) +
		" AND disabled = FALSE AND locked_at = 0" + w.state(&proved, g.User) + ")"
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, text, w.args...)
		if err == nil && n == 0 {
			return consumed("proof of the account's password")
		}
		return err
	})
}

func putGrant(ctx context.Context, c sqldb.Conn, g *oauth.Grant) error {
	n, err := c.Exec(ctx, insertGrant, grantTable.args(g)...)
	if err == nil && n == 0 {
		return fault.New(fault.Consumed, "this approval has been revoked")
	}
	return err
}

// Grant reads one grant that has not ended, or NotFound.
func (d *DB) Grant(ctx context.Context, id oauth.GrantID) (*oauth.Grant, error) {
	g, err := grantTable.scan(d.sql.Row(ctx, selectGrantByID, id))
	if err == nil && d.endedUnknown(g) {
		return nil, notFound("grant")
	}
	return g, asNotFound(err, "grant")
}

// GrantAndUser reads a grant that has not ended, together with its user, in one round trip: each
// refresh waits for it. The user is nil for a grant of a client that acts for itself.
func (d *DB) GrantAndUser(
	ctx context.Context, id oauth.GrantID,
) (*oauth.Grant, *identity.User, error) {
	var g oauth.Grant
	var u identity.User
	dest := make([]any, 0, len(grantTable.columns)+len(userTable.columns))
	err := d.sql.Read(ctx, userTable.dest(grantTable.dest(dest, &g), &u), selectGrantAndUser, id)
	if fault.Is(err, fault.NotFound) {
		g, err := d.Grant(ctx, id)
		return g, nil, err
	}
	if err != nil {
		return nil, nil, err
	}
	if d.endedUnknown(&g) {
		return nil, nil, notFound("grant")
	}
	return &g, &u, nil
}

// rotateRefresh replaces the hash only if it still is the one presented. Of concurrent callers
// with one token the first replaces it; the others find another hash.
const rotateRefresh = "UPDATE grants SET" +
	" prev_hash = CASE WHEN refresh_hash = $1 THEN prev_hash ELSE refresh_hash END," +
	" rotated_at = CASE WHEN refresh_hash = $1 THEN rotated_at ELSE CAST($2 AS BIGINT) END," +
	" refresh_hash = $1, last_used_at = $2, expires_at = CASE" +
	" WHEN absolute_end <> 0 AND absolute_end < CAST($3 AS BIGINT) THEN absolute_end ELSE CAST($3 AS BIGINT) END," +
	" ip = $4, agent = $5, attempt = $6" +
	" WHERE id = $7 AND client_id = $8 AND refresh_hash = $9 AND refresh_hash <> '' AND expires_at > $2 " +
	"AND " + notRevoked

// rotateAndRecord is rotateRefresh and insertEvent in one statement, for PostgreSQL. The
// arguments of the event follow those of the rotation.
var rotateAndRecord = "WITH rotated AS (" + rotateRefresh + " RETURNING 1) " + eventTable.into() +
	" SELECT " + placeholders(rotateArgs+1, len(eventTable.columns)) + " FROM rotated"

// rotateArgs is the number of arguments of rotateRefresh.
const rotateArgs = 9

// RotateRefresh replaces the refresh hash of an active grant of that client, with the events. If
// nothing was replaced it returns NotFound when the grant is gone, ended, expired or another
// client's, and Consumed when its hash is another one.
func (d *DB) RotateRefresh(ctx context.Context, r oauth.RefreshRotation, ev ...audit.Event) error {
	err := d.rotate(ctx, r, ev)
	if !fault.Is(err, fault.NotFound) {
		return err
	}
	active, other := exists(ctx, d.sql, "SELECT 1 FROM grants WHERE id = $1 AND client_id = $2 AND refresh_hash <> ''"+
		" AND expires_at > $3 AND "+notRevoked, r.Grant, r.Client, unixMilli(r.Now))
	if other != nil {
		return other
	}
	if active {
		return consumed("refresh token")
	}
	return err
}

// rotate runs the statement with its events.
func (d *DB) rotate(ctx context.Context, r oauth.RefreshRotation, ev []audit.Event) error {
	args := []any{ // rotateArgs of them
		r.New, unixMilli(r.Now), unixMilli(r.ExpiresAt), clean(r.IP), clean(r.Agent), r.Attempt,
		r.Grant, r.Client, r.Old,
	}
	n, err := d.changeGrant(ctx, r.Grant, grantChange{rotateRefresh, rotateAndRecord}, args, ev)
	return requireOne(n, err, "grant")
}

// grantChange is a conditional change of one grant.
type grantChange struct {
	text string
	both string // the change and insertEvent in one statement
}

// changeGrant runs a change with its events, in one round trip where there is at most one event.
func (d *DB) changeGrant(
	ctx context.Context, id oauth.GrantID, c grantChange, args []any, ev []audit.Event,
) (n int64, err error) {
	switch len(ev) {
	case 0:
		return d.sql.Exec(ctx, c.text, args...)
	case 1:
		then, entry := d.storable(&ev[0])
		return d.sql.ExecIfChanged(ctx, sqldb.Conditional{
			Key:        string(id),
			Change:     c.text,
			Then:       insertEvent,
			Both:       c.both,
			ChangeArgs: args,
			ThenArgs:   then,
			Attach:     entry,
		})
	}
	err = d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err = tx.Exec(ctx, c.text, args...)
		return requireOne(n, err, "grant")
	})
	if fault.Is(err, fault.NotFound) && n == 0 {
		return 0, nil
	}
	return n, err
}

// EndGrant ends a grant and appends its revocation. For a grant that has ended before it records
// nothing but the events, and returns nil.
func (d *DB) EndGrant(
	ctx context.Context, id oauth.GrantID, now time.Time, ev ...audit.Event,
) error {
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		return endGrant(ctx, tx, id, now)
	})
}

// endGrant deletes a grant, and returns its revocation unless there is one already.
func endGrant(
	ctx context.Context, tx sqldb.Tx, id oauth.GrantID, now time.Time,
) ([]oauth.Revocation, error) {
	revoked, err := endGrants(ctx, tx, now, "id = $1", id)
	if err != nil {
		return nil, err
	}
	ended, err := exists(ctx, tx, "SELECT 1 FROM revocations WHERE kind = 'grant' AND target = $1", id)
	if err != nil || ended {
		return nil, err
	}
	if len(revoked) == 0 { // the row has been swept, or never was; a token may still be out there
		revoked = append(revoked, newRevocation(oauth.RevokeGrant, string(id), now))
	}
	return revoked, nil
}

// endGrants deletes the grants that a condition selects, and returns the revocations of their
// tokens.
func endGrants(
	ctx context.Context, tx sqldb.Tx, now time.Time, where string, args ...any,
) (revoked []oauth.Revocation, err error) {
	err = each(ctx, tx, func(r sqldb.Row) error {
		v := newRevocation(oauth.RevokeGrant, "", now)
		err := r.Scan(&v.ID, (*string)(&v.Client), spaceList{&v.Audience})
		revoked = append(revoked, v)
		return err
	}, "DELETE FROM grants WHERE "+where+" RETURNING id, client_id, resources", args...)
	return revoked, err
}

// UserGrants returns a user's grants that have not ended, the one used last first.
func (d *DB) UserGrants(
	ctx context.Context, user identity.UserID, now time.Time,
) ([]oauth.Grant, error) {
	return list(ctx, d.sql, grantTable.scan, selectUserGrants, user, unixMilli(now))
}

// ClientGrants returns up to limit grants of a client that have not ended, in no order, so that a
// client with millions of them is no harder to read; with a user only those of that person.
func (d *DB) ClientGrants(
	ctx context.Context, id client.ID, user identity.UserID, now time.Time, limit int,
) ([]oauth.Grant, error) {
	if user != "" {
		return list(ctx, d.sql, grantTable.scan, selectGrant+" WHERE user_id = $1 AND client_id = $2 AND expires_at > $3"+
			" AND "+notRevoked+" LIMIT $4", user, id, unixMilli(now), int64(limit))
	}
	return list(ctx, d.sql, grantTable.scan, selectGrant+" WHERE client_id = $1 AND expires_at > $2 AND "+notRevoked+
		" LIMIT $3", id, unixMilli(now), int64(limit))
}

// ClientGrant returns a grant of a client that has not ended, or NotFound.
func (d *DB) ClientGrant(ctx context.Context, c client.ID, id oauth.GrantID, now time.Time) (*oauth.Grant, error) {
	g, err := grantTable.scan(d.sql.Row(ctx, selectGrant+" WHERE id = $1 AND client_id = $2 AND expires_at > $3 AND "+
		notRevoked, clean(string(id)), c, unixMilli(now)))
	return g, asNotFound(err, "grant")
}

// EndClientGrant ends a grant of that client. It returns NotFound if the grant is another client's,
// or has ended.
func (d *DB) EndClientGrant(
	ctx context.Context, c client.ID, id oauth.GrantID, now time.Time, ev ...audit.Event,
) error {
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		revoked, err := endGrants(ctx, tx, now, "id = $1 AND client_id = $2", clean(string(id)), c)
		return revoked, requireOne(int64(len(revoked)), err, "grant")
	})
}

// EndUserGrant ends a grant of that user. It returns NotFound if the grant is another user's, or
// has ended.
func (d *DB) EndUserGrant(
	ctx context.Context, user identity.UserID, id oauth.GrantID, now time.Time, ev ...audit.Event,
) error {
	return d.withRevocations(ctx, ev, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		revoked, err := endGrants(ctx, tx, now, "id = $1 AND user_id = $2", id, user)
		return revoked, requireOne(int64(len(revoked)), err, "authorization")
	})
}
