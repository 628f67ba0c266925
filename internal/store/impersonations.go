package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// impersonator is who acts as a person, stored as a text.
type impersonator struct{ i *identity.Impersonator }

// Scan reads the text.
func (c impersonator) Scan(v any) error {
	s, ok := v.(string)
	if ok {
		*c.i, ok = identity.ParseImpersonator(s)
	}
	if !ok {
		return fmt.Errorf("store: an impersonator cannot be read from a %T", v)
	}
	return nil
}

func (c impersonator) stored() any { return c.i.String() }

var impersonationTable = table[login.Impersonation]{
	name: "impersonations",
	columns: []column[login.Impersonation]{
		{"id", func(i *login.Impersonation) any { return (*string)(&i.Session) }},
		{"user_id", func(i *login.Impersonation) any { return (*string)(&i.User) }},
		{"actor", func(i *login.Impersonation) any { return &i.Actor.ID }},
		{"actor_type", func(i *login.Impersonation) any { return &i.Actor.Kind }},
		{"actor_session", func(i *login.Impersonation) any { return (*string)(&i.ActorSession) }},
		{"bound", func(i *login.Impersonation) any { return &i.Bound }},
		{"reason", func(i *login.Impersonation) any { return cleanText{&i.Reason} }},
		{"created_at", func(i *login.Impersonation) any { return unixMillis{&i.CreatedAt} }},
		{"expires_at", func(i *login.Impersonation) any { return unixMillis{&i.ExpiresAt} }},
		{"opened_at", func(i *login.Impersonation) any { return unixMillis{&i.OpenedAt} }},
	},
}

var (
	insertImpersonation = impersonationTable.insert("link_hash")
	selectImpersonation = "SELECT " + impersonationTable.list() + " FROM impersonations"

	// openImpersonation uses the link: of any number of browsers exactly one succeeds.
	openImpersonation = "UPDATE impersonations SET opened_at = $1 WHERE link_hash = $2 AND opened_at = 0" +
		" AND expires_at > $1 AND (bound = FALSE OR actor_session = $3) RETURNING " + impersonationTable.list()

	// brokenImpersonations selects those whose session has ended, or whose actor has: with the
	// session in which they asked for it, their account or their client.
	brokenImpersonations = selectImpersonation + " WHERE opened_at > 0 AND (" +
		"NOT EXISTS (SELECT 1 FROM sessions s WHERE s.id = impersonations.id)" +
		" OR actor_session <> '' AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.id = impersonations.actor_session)" +
		" OR actor_type = '" + audit.ActorUser + "' AND NOT EXISTS (SELECT 1 FROM users u" +
		" WHERE u.id = impersonations.actor AND u.disabled = FALSE AND u.locked_at = 0)" +
		" OR actor_type = '" + audit.ActorClient + "' AND NOT EXISTS (SELECT 1 FROM clients c" +
		" WHERE c.id = impersonations.actor AND c.disabled = FALSE))"
)

// PutImpersonation stores the one-time link by which somebody becomes another person. Their earlier
// links to the person end. Limited if they have most links and sessions of this kind already.
func (d *DB) PutImpersonation(
	ctx context.Context, link secret.Hash, i *login.Impersonation, most int, ev ...audit.Event,
) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM impersonations WHERE opened_at = 0"+
			" AND (expires_at <= $1 OR user_id = $2 AND actor = $3)", unixMilli(i.CreatedAt), i.User, i.Actor.ID)
		if err != nil {
			return err
		}
		var n int
		err = tx.Row(ctx, "SELECT COUNT(*) FROM impersonations WHERE actor = $1 AND actor_type = $2",
			i.Actor.ID, i.Actor.Kind).Scan(&n)
		if err != nil {
			return err
		}
		if n >= most {
			return fault.New(fault.Limited, "you act as %d people already; end some of these sessions first", n)
		}
		_, err = tx.Exec(ctx, insertImpersonation, impersonationTable.args(i, link)...)
		return err
	})
}

// ImpersonationByLink reads what a link opens that can still be used, or NotFound.
func (d *DB) ImpersonationByLink(
	ctx context.Context, link secret.Hash, now time.Time,
) (*login.Impersonation, error) {
	i, err := impersonationTable.scan(d.sql.Row(ctx, selectImpersonation+
		" WHERE link_hash = $1 AND opened_at = 0 AND expires_at > $2", link, unixMilli(now)))
	return i, asNotFound(err, "link")
}

// Impersonation reads who acts in a session and why, or NotFound.
func (d *DB) Impersonation(ctx context.Context, id identity.SessionID) (*login.Impersonation, error) {
	i, err := impersonationTable.scan(d.sql.Row(ctx, selectImpersonation+" WHERE id = $1 AND opened_at > 0", id))
	return i, asNotFound(err, "impersonation")
}

// Impersonations returns up to limit sessions in which somebody acts as another person, after an
// id, in the order of ids.
func (d *DB) Impersonations(
	ctx context.Context, after identity.SessionID, limit int,
) ([]login.Impersonation, error) {
	return list(ctx, d.sql, impersonationTable.scan, selectImpersonation+
		" WHERE opened_at > 0 AND id > $1 ORDER BY id LIMIT $2", after, limit)
}

// OpenImpersonation uses a link, once, and stores the session that it opens, under the hash of its
// cookie. Consumed: the link was used before, has expired, or is for another browser than the one
// with this session. Denied: the person cannot sign in, or the actor's own session has ended.
func (d *DB) OpenImpersonation(
	ctx context.Context, link, cookie secret.Hash, browser identity.SessionID, s *identity.Session,
	ev ...audit.Event,
) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		found, err := list(ctx, tx, impersonationTable.scan, openImpersonation, unixMilli(s.CreatedAt), link, browser)
		if err != nil {
			return err
		}
		if len(found) == 0 || found[0].Session != s.ID || found[0].User != s.User {
			return consumed("link")
		}
		// This also locks the row: a change that disables the account is seen, or sees the session.
		n, err := tx.Exec(ctx, "UPDATE users SET updated_at = updated_at"+
			" WHERE id = $1 AND disabled = FALSE AND locked_at = 0", s.User)
		if err != nil {
			return err
		}
		if n == 0 {
			return fault.New(fault.Denied, "this account cannot sign in")
		}
		if _, err := tx.Exec(ctx, insertSession, sessionTable.args(s, cookie)...); err != nil {
			return err
		}
		broken, err := list(ctx, tx, impersonationTable.scan, brokenImpersonations)
		if err == nil && slices.ContainsFunc(broken, func(i login.Impersonation) bool { return i.Session == s.ID }) {
			err = fault.New(fault.Denied, "you have signed out, or your account cannot be used, since the link was made")
		}
		return err
	})
}

// EndImpersonation ends a session in which somebody acts as another person, with all that was
// issued in it, and records the event if this ended it.
func (d *DB) EndImpersonation(ctx context.Context, id identity.SessionID, ended audit.Event) error {
	return d.withRevocations(ctx, nil, func(tx sqldb.Tx) ([]oauth.Revocation, error) {
		found, err := list(ctx, tx, impersonationTable.scan, selectImpersonation+" WHERE id = $1 AND opened_at > 0", id)
		if err != nil || len(found) == 0 {
			return nil, err
		}
		return d.endImpersonations(ctx, tx, found, ended)
	})
}

// endBroken ends the sessions in which somebody acts as another person and must not any more after
// a change. Every change that may end sessions, accounts or clients calls it in its transaction,
// with its events.
func (d *DB) endBroken(ctx context.Context, tx sqldb.Tx, ev []audit.Event) ([]oauth.Revocation, error) {
	found, err := list(ctx, tx, impersonationTable.scan, brokenImpersonations)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return d.endImpersonations(ctx, tx, found, endedBecause(ev))
}

// endedBecause returns the event that a session ended by a change with its events. It has neither
// the address nor the device of whoever made the change: the event belongs to others.
func endedBecause(ev []audit.Event) audit.Event {
	out := audit.Event{At: time.Now(), Detail: map[string]string{}}
	if len(ev) > 0 {
		out.At, out.RequestID = ev[0].At, ev[0].RequestID
		out.Detail[login.DetailBecause] = ev[0].Type.Name()
		if ev[0].Actor != "" {
			out.Detail[login.DetailEndedBy] = ev[0].Actor
		}
	}
	return out
}

// endActorRights ends the sessions in which a user acts as somebody else, and those in which others
// act as the user: the roles have changed by which that was allowed.
func (d *DB) endActorRights(
	ctx context.Context, tx sqldb.Tx, id identity.UserID, ev []audit.Event,
) ([]oauth.Revocation, error) {
	found, err := list(ctx, tx, impersonationTable.scan, selectImpersonation+
		" WHERE opened_at > 0 AND (user_id = $1 OR actor = $1 AND actor_type = '"+audit.ActorUser+"')", id)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return d.endImpersonations(ctx, tx, found, endedBecause(ev))
}

// endSessionlessActing ends the sessions in which a user acts as somebody else and which the user
// began outside of a session, and deletes the unused links to such sessions. endBroken, in the same
// transaction, ends what was issued in them and records it.
func endSessionlessActing(ctx context.Context, tx sqldb.Tx, id identity.UserID) error {
	const begun = " actor = $1 AND actor_type = '" + audit.ActorUser + "' AND actor_session = ''"
	_, err := tx.Exec(ctx, "DELETE FROM impersonations WHERE opened_at = 0 AND"+begun, id)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "DELETE FROM sessions WHERE id IN"+
		" (SELECT id FROM impersonations WHERE opened_at > 0 AND"+begun+")", id)
	return err
}

// endImpersonations ends sessions, with all that was issued in them, and records for each the event
// as it is given, with who acted as whom and why. It returns the revocations.
func (d *DB) endImpersonations(
	ctx context.Context, tx sqldb.Tx, all []login.Impersonation, ended audit.Event,
) (revoked []oauth.Revocation, err error) {
	var events []audit.Event
	for i := range all {
		x := &all[i]
		n, err := tx.Exec(ctx, "DELETE FROM impersonations WHERE id = $1", x.Session)
		if err != nil {
			return nil, err
		}
		for _, text := range []string{
			"DELETE FROM sessions WHERE id = $1",
			"DELETE FROM grants WHERE session_id = $1",
		} {
			if _, err := tx.Exec(ctx, text, x.Session); err != nil {
				return nil, err
			}
		}
		if n == 0 { // another transaction has ended it
			continue
		}
		revoked = append(revoked, newRevocation(oauth.RevokeSession, string(x.Session), ended.At))
		exists, err := exists(ctx, tx, "SELECT 1 FROM users WHERE id = $1", x.User)
		if err != nil {
			return nil, err
		}
		events = append(events, x.Ended(ended, exists))
	}
	return revoked, d.record(ctx, tx, events)
}

// Decide calls a guard outside of a change, to learn whether a change could be made now.
func (d *DB) Decide(ctx context.Context, g audit.Guard) error { return g(ctx, guardRows{d.sql}) }
