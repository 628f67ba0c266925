package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// How long things are kept after their time: so that a late request is told what happened, and not only that nothing is known.
const (
	keepCode   = 24 * time.Hour  // a code presented again still ends what it gave
	keepDevice = 5 * time.Minute // expired_token, RFC 8628 §3.5
	keepLink   = 24 * time.Hour
	keepLock   = 24 * time.Hour
	// What forbids is kept for longer than what it forbids could live: a clock that was ahead for a while, and is put right, must
	// not have swept away that an assertion was used or a token revoked.
	keepOnce    = time.Hour
	keepRevoked = time.Hour
	sweepChunk  = 500 // rows a statement, so that others get their turn in between
)

const ghosts = "DELETE FROM grants WHERE id IN (SELECT g.id FROM revocations r JOIN grants g ON "

// sweep is one kind of thing that goes when its time is over.
type sweep struct {
	text   string // ends in the placeholders of before, or what stands for it, and the chunk
	before time.Time
	id     string // where ids stand for times
	keep   int64  // where a number of rows does
}

func (d *DB) sweeps(now time.Time) []sweep {
	all := []sweep{
		{text: "DELETE FROM codes WHERE hash IN (SELECT hash FROM codes WHERE expires_at <= $1 LIMIT $2)", before: now.Add(-keepCode)},
		{text: "DELETE FROM devices WHERE hash IN (SELECT hash FROM devices WHERE expires_at <= $1 LIMIT $2)", before: now.Add(-keepDevice)},
		{text: "DELETE FROM opaque_tokens WHERE hash IN (SELECT hash FROM opaque_tokens WHERE expires_at <= $1 LIMIT $2)", before: now},
		{text: "DELETE FROM once WHERE name IN (SELECT name FROM once WHERE expires_at <= $1 LIMIT $2)", before: now.Add(-keepOnce)},
		{text: "DELETE FROM links WHERE hash IN (SELECT hash FROM links WHERE expires_at <= $1 LIMIT $2)", before: now.Add(-keepLink)},
		{text: "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at <= $1 LIMIT $2)", before: now},
		// The tokens of a browser app's session are kept with it alone: when it goes, its grant is nobody's.
		{text: "DELETE FROM grants WHERE id IN (SELECT g.id FROM app_sessions a JOIN grants g ON g.id = a.grant_id WHERE a.expires_at <= $1 LIMIT $2)", before: now},
		{text: "DELETE FROM app_sessions WHERE id IN (SELECT id FROM app_sessions WHERE expires_at <= $1 LIMIT $2)", before: now},
		{text: "DELETE FROM grants WHERE id IN (SELECT id FROM grants WHERE expires_at <= $1 LIMIT $2)", before: now},
		{text: "DELETE FROM locks WHERE name IN (SELECT name FROM locks WHERE last_at <= $1 AND locked_until <= $1 LIMIT $2)", before: now.Add(-keepLock)},
		{text: "DELETE FROM keys WHERE id IN (SELECT id FROM keys WHERE expires_at <> 0 AND expires_at <= $1 LIMIT $2)", before: now.Add(-keepCode)},
		// Grants stored in the moment of their revocation go before the revocation that keeps them dead does.
		{text: ghosts + "r.kind = 'grant' AND g.id = r.target WHERE g.created_at <= $1 LIMIT $2)", before: now},
		{text: ghosts + "r.kind = 'session' AND g.session_id = r.target AND g.offline = FALSE WHERE g.created_at <= $1 LIMIT $2)", before: now},
		{text: ghosts + "r.kind = 'user' AND g.user_id = r.target AND g.created_at < r.not_before WHERE g.created_at <= $1 LIMIT $2)", before: now},
		{text: ghosts + "r.kind = 'client' AND g.client_id = r.target AND g.created_at < r.not_before WHERE g.created_at <= $1 LIMIT $2)", before: now},
		{text: "DELETE FROM revocations WHERE seq IN (SELECT seq FROM revocations WHERE until <= $1 LIMIT $2)", before: now.Add(-keepRevoked)},
		{text: "DELETE FROM refusals WHERE request_id IN (SELECT request_id FROM refusals WHERE at <= $1 LIMIT $2)", before: now.Add(-keepDenialsFor)},
		{text: "DELETE FROM refusals WHERE request_id IN (SELECT request_id FROM refusals" +
			" WHERE at <= (SELECT at FROM refusals ORDER BY at DESC LIMIT 1 OFFSET $1) LIMIT $2)", keep: keepDenials},
	}
	if d.o.AuditRetention > 0 {
		all = append(all, sweep{text: "DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE id <= $1 LIMIT $2)", id: secret.IDAt(now.Add(-d.o.AuditRetention))})
	}
	return all
}

// Sweep deletes what has expired, in the database and in memory, and tells how many rows went.
func (d *DB) Sweep(ctx context.Context, now time.Time) (deleted int64, err error) {
	for _, s := range d.sweeps(now) {
		for {
			var from any = ms(s.before)
			switch {
			case s.id != "":
				from = s.id
			case s.keep > 0:
				from = s.keep
			}
			n, err := d.sql.Exec(ctx, s.text, from, sweepChunk)
			if err != nil {
				return deleted, err
			}
			if deleted += n; n < sweepChunk {
				break
			}
		}
	}
	d.memory.revoked.sweep(now)
	return deleted, nil
}
