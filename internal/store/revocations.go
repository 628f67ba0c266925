package store

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// revoked is the memory of unexpired revocations. Asking it allocates nothing and waits for no storage.
type revoked struct {
	some   atomic.Bool // false while there is none at all: the usual case costs one load
	mu     sync.RWMutex
	byKind map[string]map[string]cutoff
	seq    int64         // the newest entry that has been read in order
	moved  chan struct{} // closed and replaced when seq moves
}

// cutoff is one entry. notBefore counts for users and clients only; after until the entry has no more purpose.
type cutoff struct{ notBefore, until int64 } // Unix milliseconds

func (r *revoked) start() {
	r.byKind, r.moved = make(map[string]map[string]cutoff), make(chan struct{})
	for _, kind := range []string{
		oauth.RevokeToken, oauth.RevokeGrant, oauth.RevokeSession, oauth.RevokeUser, oauth.RevokeClient,
	} {
		r.byKind[kind] = make(map[string]cutoff)
	}
}

// put adds entries; a second one for the same target only ever widens the first.
func (r *revoked) put(entries []oauth.Revocation, read bool) {
	if len(entries) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range entries {
		of := r.byKind[e.Kind]
		if of == nil { // written by a newer release
			continue
		}
		c, n := of[e.ID], cutoff{ms(e.NotBefore), ms(e.Until)}
		of[e.ID] = cutoff{max(c.notBefore, n.notBefore), max(c.until, n.until)}
		if read {
			r.seq = max(r.seq, e.Seq)
		}
	}
	r.some.Store(true)
	if read {
		close(r.moved)
		r.moved = make(chan struct{})
	}
}

func (r *revoked) sweep(now time.Time) {
	before := ms(now.Add(-keepRevoked))
	r.mu.Lock()
	defer r.mu.Unlock()
	left := 0
	for _, of := range r.byKind {
		for id, c := range of {
			if c.until <= before {
				delete(of, id)
			}
		}
		left += len(of)
	}
	r.some.Store(left > 0)
}

// Revoked asks the memory of unexpired revocations whether a token is dead.
//
// A revocation of a user or a client concerns what was issued before it. Tokens carry whole seconds, so within
// the second of the revocation before and after look alike; there a token is dead, unless its grant
// (whose identifier holds the millisecond of its making) began after the revocation: someone
// who signs in again right after «revoke all» is not locked out by it.
func (d *DB) Revoked(t *oauth.AccessToken) bool {
	r := &d.memory.revoked
	if !r.some.Load() {
		return false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if _, dead := r.byKind[oauth.RevokeToken][t.ID]; dead {
		return true
	}
	if _, dead := r.byKind[oauth.RevokeGrant][string(t.Grant)]; dead && t.Grant != "" {
		return true
	}
	if _, dead := r.byKind[oauth.RevokeSession][string(t.Session)]; dead && t.Session != "" {
		return true
	}
	if c, ok := r.byKind[oauth.RevokeUser][string(t.User)]; ok && t.User != "" && c.kills(t) {
		return true
	}
	c, ok := r.byKind[oauth.RevokeClient][string(t.Client)]
	return ok && c.kills(t)
}

func (c cutoff) kills(t *oauth.AccessToken) bool {
	if t.IssuedAt.Unix() > c.notBefore/1000 {
		return false
	}
	begun, ok := idTime(string(t.Grant))
	return !ok || begun <= c.notBefore
}

// idTime is the Unix millisecond in which an identifier of ours was made (UUIDv7, RFC 9562 §5.7).
func idTime(id string) (int64, bool) {
	u, ok := secret.ParseID(id)
	if !ok || u[6]>>4 != 7 {
		return 0, false
	}
	return int64(u[0])<<40 | int64(u[1])<<32 | int64(u[2])<<24 | int64(u[3])<<16 | int64(u[4])<<8 | int64(u[5]), true
}

// Revoke appends to the revocation log. In this process it is in force when Revoke returns.
func (d *DB) Revoke(ctx context.Context, r oauth.Revocation, ev ...audit.Event) error {
	return d.end(ctx, ev, func(sqldb.Tx) ([]oauth.Revocation, error) { return []oauth.Revocation{r}, nil })
}

// RevocationHead is the sequence number of the newest entry of the log that this process has read, and a channel
// that is closed when there is a newer one.
func (d *DB) RevocationHead() (seq int64, moved <-chan struct{}) {
	r := &d.memory.revoked
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.seq, r.moved
}

// RevocationsSince gives the entries of the log after a sequence number, oldest first, at most max of them:
// what a resource server asks that follows the log.
func (d *DB) RevocationsSince(ctx context.Context, seq int64, max int) ([]oauth.Revocation, error) {
	return list(ctx, d.sql, scanRevocation,
		"SELECT seq, kind, target, not_before, until FROM revocations WHERE seq > $1 ORDER BY seq LIMIT $2", seq, limit(max))
}

func scanRevocation(r sqldb.Row) (*oauth.Revocation, error) {
	var v oauth.Revocation
	err := r.Scan(&v.Seq, &v.Kind, &v.ID, stamp{&v.NotBefore}, stamp{&v.Until})
	return &v, err
}

// loadRevocations reads the part of the log that is new. Sequence numbers become visible
// in order, because the row that gives them out stays locked until its change has committed.
func (d *DB) loadRevocations(ctx context.Context) error {
	r := &d.memory.revoked
	for {
		r.mu.RLock()
		seq := r.seq
		r.mu.RUnlock()
		part, err := d.RevocationsSince(ctx, seq, maxLimit)
		if err != nil {
			return err
		}
		r.put(part, true)
		if len(part) < maxLimit {
			return nil
		}
	}
}

// end runs a change that ends things, appends the revocations that it returns as its last act (the log's row is
// locked briefly, and by everyone in the same order), and puts them in force here.
func (d *DB) end(ctx context.Context, ev []audit.Event, f func(sqldb.Tx) ([]oauth.Revocation, error)) error {
	var dead []oauth.Revocation
	err := d.sql.Write(ctx, func(tx sqldb.Tx) error {
		var err error
		if dead, err = f(tx); err != nil {
			return err
		}
		if err := record(ctx, tx, ev); err != nil {
			return err
		}
		return appendLog(ctx, tx, dead)
	})
	if err != nil {
		return err
	}
	d.memory.revoked.put(dead, false)
	d.nudge()
	return nil
}

func appendLog(ctx context.Context, tx sqldb.Tx, dead []oauth.Revocation) error {
	if len(dead) == 0 {
		return nil
	}
	life, err := tokenLife(ctx, tx)
	if err != nil {
		return err
	}
	last, err := bump(ctx, tx, TopicRevocations, len(dead))
	if err != nil {
		return err
	}
	for i := range dead {
		r := &dead[i]
		if r.Until.IsZero() {
			r.Until = r.NotBefore.Add(life)
		}
		r.Seq = last - int64(len(dead)-1-i)
		_, err := tx.Exec(ctx, "INSERT INTO revocations (seq, kind, target, not_before, until) VALUES ($1, $2, $3, $4, $5)",
			r.Seq, r.Kind, r.ID, ms(r.NotBefore), ms(r.Until))
		if err != nil {
			return err
		}
	}
	return nil
}

// entry is a revocation of all there is of a kind's target, as of now. Its end is set when it is appended.
func (d *DB) entry(kind, id string, now time.Time) oauth.Revocation {
	return oauth.Revocation{Kind: kind, ID: id, NotBefore: now}
}
