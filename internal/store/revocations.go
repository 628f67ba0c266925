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

var revocationTable = table[oauth.Revocation]{
	name: "revocations",
	columns: []column[oauth.Revocation]{
		{"seq", func(r *oauth.Revocation) any { return &r.Seq }},
		{"mark", func(r *oauth.Revocation) any { return &r.Mark }},
		{"kind", func(r *oauth.Revocation) any { return &r.Kind }},
		{"target", func(r *oauth.Revocation) any { return &r.ID }},
		{"not_before", func(r *oauth.Revocation) any { return unixMillis{&r.NotBefore} }},
		{"until", func(r *oauth.Revocation) any { return unixMillis{&r.Until} }},
		{"client_id", func(r *oauth.Revocation) any { return (*string)(&r.Client) }},
		{"audience", func(r *oauth.Revocation) any { return spaceList{&r.Audience} }},
	},
}

var (
	insertRevocation  = revocationTable.insert()
	selectRevocations = "SELECT " + revocationTable.list() + " FROM revocations WHERE seq > $1 ORDER BY seq LIMIT $2"
)

// revocationSet is the unexpired revocations in memory. Revoked allocates nothing and reads no
// storage.
type revocationSet struct {
	some   atomic.Bool // false while there are none: the usual case costs one load
	mu     sync.RWMutex
	byKind map[string]map[string]cutoff
	head   oauth.LogHead // the newest entry that has been read in order
	moved  chan struct{} // closed and replaced when head moves
}

// unknownKind stands for all kinds that a newer release writes and this one does not know. What
// such an entry revokes cannot be said, so that everything issued before it counts as revoked.
const unknownKind = ""

// known returns an entry as this release understands it.
func known(e oauth.Revocation) oauth.Revocation {
	switch e.Kind {
	case oauth.RevokeToken, oauth.RevokeGrant, oauth.RevokeSession, oauth.RevokeUser, oauth.RevokeClient:
		return e
	}
	if e.NotBefore.IsZero() {
		e.NotBefore = e.Until
	}
	e.Kind, e.ID = unknownKind, ""
	return e
}

// cutoff is one entry. notBefore counts for users and clients only; after until the entry can go.
// Both are Unix milliseconds.
type cutoff struct{ notBefore, until int64 }

func (r *revocationSet) start() {
	r.byKind, r.moved = make(map[string]map[string]cutoff), make(chan struct{})
	for _, kind := range []string{
		oauth.RevokeToken, oauth.RevokeGrant, oauth.RevokeSession, oauth.RevokeUser, oauth.RevokeClient, unknownKind,
	} {
		r.byKind[kind] = make(map[string]cutoff)
	}
}

// put adds entries; a second one for the same target only ever widens the first.
func (r *revocationSet) put(entries []oauth.Revocation) {
	if len(entries) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range entries {
		e = known(e)
		targets := r.byKind[e.Kind]
		c, n := targets[e.ID], cutoff{unixMilli(e.NotBefore), unixMilli(e.Until)}
		targets[e.ID] = cutoff{max(c.notBefore, n.notBefore), max(c.until, n.until)}
	}
	r.some.Store(true)
}

// move sets the newest entry that has been read in order, and wakes those who wait for it.
func (r *revocationSet) move(head oauth.LogHead) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.head == head {
		return
	}
	r.head = head
	close(r.moved)
	r.moved = make(chan struct{})
}

// sweep deletes the entries that have expired.
func (r *revocationSet) sweep(now time.Time) {
	before := unixMilli(now.Add(-revocationGrace))
	r.mu.Lock()
	defer r.mu.Unlock()
	left := 0
	for _, targets := range r.byKind {
		for id, c := range targets {
			if c.until <= before {
				delete(targets, id)
			}
		}
		left += len(targets)
	}
	r.some.Store(left > 0)
}

// Revoked reports whether a token has been revoked. It asks memory only.
//
// A revocation of a user or a client concerns what was issued before it. Tokens carry whole
// seconds, so that within the second of the revocation a token issued before it looks like one
// issued after it. There a token counts as revoked, unless its grant (whose id holds the
// millisecond of its creation) began after the revocation: a person who signs in again right
// after "revoke all" is not locked out by it.
func (d *DB) Revoked(t *oauth.AccessToken) bool {
	r := &d.memory.revoked
	if !r.some.Load() {
		return false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if _, ok := r.byKind[oauth.RevokeToken][t.ID]; ok {
		return true
	}
	if _, ok := r.byKind[oauth.RevokeGrant][string(t.Grant)]; ok && t.Grant != "" {
		return true
	}
	if _, ok := r.byKind[oauth.RevokeSession][string(t.Session)]; ok && t.Session != "" {
		return true
	}
	if c, ok := r.byKind[oauth.RevokeUser][string(t.User)]; ok && t.User != "" && c.covers(t) {
		return true
	}
	if c, ok := r.byKind[unknownKind][""]; ok && c.covers(t) {
		return true
	}
	c, ok := r.byKind[oauth.RevokeClient][string(t.Client)]
	return ok && c.covers(t)
}

// endedUnknown reports whether a newer release has revoked what this one cannot name, after the
// grant began.
func (d *DB) endedUnknown(g *oauth.Grant) bool {
	r := &d.memory.revoked
	if !r.some.Load() {
		return false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	c, ok := r.byKind[unknownKind][""]
	return ok && unixMilli(g.CreatedAt) <= c.notBefore
}

// covers reports whether a token was issued before the revocation.
func (c cutoff) covers(t *oauth.AccessToken) bool {
	if t.IssuedAt.Unix() > c.notBefore/1000 {
		return false
	}
	createdAt, ok := idTime(string(t.Grant))
	return !ok || createdAt <= c.notBefore
}

// idTime returns the Unix millisecond in which an id was created (UUIDv7, RFC 9562 §5.7), and
// false for an id of another kind.
func idTime(id string) (int64, bool) {
	u, ok := secret.ParseID(id)
	if !ok || u[6]>>4 != 7 {
		return 0, false
	}
	return int64(u[0])<<40 | int64(u[1])<<32 | int64(u[2])<<24 | int64(u[3])<<16 | int64(u[4])<<8 | int64(u[5]), true
}

// Revoke appends to the revocation log. In this process the revocation is in force when Revoke
// returns.
func (d *DB) Revoke(ctx context.Context, r oauth.Revocation, ev ...audit.Event) error {
	return d.withRevocations(ctx, ev, func(sqldb.Tx) ([]oauth.Revocation, error) {
		return []oauth.Revocation{r}, nil
	})
}

// RevocationHead returns the newest entry of the log that this process has read, and a channel that
// is closed when there is a newer one, or another history.
func (d *DB) RevocationHead() (head oauth.LogHead, moved <-chan struct{}) {
	r := &d.memory.revoked
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.head, r.moved
}

// RevocationCount returns the number of revocations in memory.
func (d *DB) RevocationCount() (n int) {
	r := &d.memory.revoked
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, targets := range r.byKind {
		n += len(targets)
	}
	return n
}

// RevocationsSince returns at most max entries of the log after a sequence number, oldest first:
// for a resource server that follows the log.
func (d *DB) RevocationsSince(ctx context.Context, seq int64, max int) ([]oauth.Revocation, error) {
	return list(ctx, d.sql, revocationTable.scan, selectRevocations, seq, limit(max))
}

// loadRevocations reads the new entries of the log. Sequence numbers become visible in order,
// because the row that counts them stays locked until its change has committed.
//
// The newest entry that was read before is read again: if it is not there, or has another mark, the
// log is another one than it was, as after the promotion of a standby that lacked its end. Then all
// of it is read. What the former one revoked stays in force, since none of it was taken back. The
// head moves when all has been read, so that no follower takes a part for the whole.
func (d *DB) loadRevocations(ctx context.Context) error {
	r := &d.memory.revoked
	head, _ := d.RevocationHead()
	for {
		part, err := d.RevocationsSince(ctx, max(head.Seq-1, 0), maxLimit)
		if err != nil {
			return err
		}
		last := len(part) < maxLimit
		if head.Seq > 0 {
			if len(part) == 0 || part[0].Seq != head.Seq || part[0].Mark != head.Mark {
				head = oauth.LogHead{History: head.History + 1}
				continue
			}
			part = part[1:]
		}
		r.put(part)
		if d.o.OnRevocation != nil && d.memory.compared.Load() != nil { // not what was there at the start
			for i := range part {
				d.o.OnRevocation(part[i].NotBefore)
			}
		}
		if n := len(part); n > 0 {
			head.Seq, head.Mark = part[n-1].Seq, part[n-1].Mark
		}
		if last {
			r.move(head)
			return nil
		}
	}
}

// RevocationAt reports whether the log has an entry with this number and mark.
func (d *DB) RevocationAt(ctx context.Context, seq int64, mark string) (bool, error) {
	return exists(ctx, d.sql, "SELECT 1 FROM revocations WHERE seq = $1 AND mark = $2", seq, mark)
}

// withRevocations runs a change and appends the revocations that it returns as its last act, so
// that the log's row is locked briefly, and by all in the same order. Then it puts them in force
// in this process.
func (d *DB) withRevocations(
	ctx context.Context, ev []audit.Event, f func(sqldb.Tx) ([]oauth.Revocation, error),
) error {
	var revoked []oauth.Revocation
	err := d.sql.Write(ctx, func(tx sqldb.Tx) error {
		err := checkGuards(ctx, tx, ev)
		if err != nil {
			return err
		}
		if revoked, err = f(tx); err != nil {
			return err
		}
		broken, err := d.endBroken(ctx, tx, ev)
		if err != nil {
			return err
		}
		revoked = append(revoked, broken...)
		if err := d.record(ctx, tx, ev); err != nil {
			return err
		}
		return appendRevocations(ctx, tx, revoked)
	})
	if err != nil {
		return err
	}
	d.memory.revoked.put(revoked)
	d.wakeFollower()
	return nil
}

func appendRevocations(ctx context.Context, tx sqldb.Tx, revoked []oauth.Revocation) error {
	if t, ok := tx.(*togetherTx); ok {
		t.revoked = append(t.revoked, revoked...)
		return nil
	}
	if len(revoked) == 0 {
		return nil
	}
	ttl, err := tokenTTL(ctx, tx)
	if err != nil {
		return err
	}
	last, err := bumpMarked(ctx, tx, TopicRevocations, len(revoked))
	if err != nil {
		return err
	}
	for i := range revoked {
		r := &revoked[i]
		if r.Until.IsZero() {
			r.Until = r.NotBefore.Add(ttl)
		}
		r.Seq, r.Mark = last.seq-int64(len(revoked)-1-i), last.mark
		if _, err := tx.Exec(ctx, insertRevocation, revocationTable.args(r)...); err != nil {
			return err
		}
	}
	return nil
}

// newRevocation returns a revocation, as of now, of all that was issued for a target. Its Until
// is set when it is appended.
func newRevocation(kind, id string, now time.Time) oauth.Revocation {
	return oauth.Revocation{Kind: kind, ID: id, NotBefore: now}
}
