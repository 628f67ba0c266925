package storetest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func attemptCases() []testCase {
	return []testCase{
		{"Unanswered rotations", (*suite).unanswered},
		{"Rotations of a dead server", (*suite).deadServer},
		{"Servers", (*suite).servers},
		{"Revocations of newer releases", (*suite).newerRevocations},
		{"Revocations after a promotion", (*suite).promotedRevocations},
	}
}

// server makes a database known as that of a running server, and returns what ends it.
func (s *suite) server(t *testing.T, db *store.DB) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		db.Serve(ctx, store.Server{Version: "v1", Schema: store.Schema(), KeyID: "k"})
	}()
	testkit.Eventually(t, "the server names attempts", func() bool {
		var r oauth.RefreshRotation
		db.BeginRotation(&r)
		db.EndRotation(&r, false)
		return r.Attempt != ""
	})
	return func() { cancel(); <-done }
}

// rotations makes a grant and returns its first rotation.
func (s *suite) firstRotation(t *testing.T) (*identity.User, oauth.RefreshRotation) {
	t.Helper()
	u, c := s.user(t), s.client(t)
	g := s.grant(u, c)
	g.RefreshHash = secret.Hash(s.name("first-refresh-hash-"))
	testkit.Must(t, s.db.PutGrant(t.Context(), g))
	return u, s.rotation(g.ID, c.ID, g.RefreshHash)
}

func (s *suite) rotation(id oauth.GrantID, c client.ID, old secret.Hash) oauth.RefreshRotation {
	return oauth.RefreshRotation{
		Grant:     id,
		Client:    c,
		Old:       old,
		New:       secret.Hash(s.name("next-refresh-hash-")),
		Now:       s.now.Add(time.Minute),
		ExpiresAt: s.now.Add(3 * time.Hour),
	}
}

// A repeater is two servers on one database, and a person whose client refreshes there.
type repeater struct {
	*suite
	t          *testing.T
	one, other *store.DB
	person     *identity.User
}

// rotate stores a rotation, which is answered or not.
func (r repeater) rotate(db *store.DB, rot oauth.RefreshRotation, unanswered bool) {
	r.t.Helper()
	db.BeginRotation(&rot)
	testkit.Must(r.t, db.RotateRefresh(r.t.Context(), rot, event(audit.RefreshTokenUsed, r.person, r.now)))
	db.EndRotation(&rot, unanswered)
}

// repeat repeats a rotation an hour later.
func (r repeater) repeat(db *store.DB, rot oauth.RefreshRotation, recent bool) error {
	r.t.Helper()
	rot.Now = r.now.Add(time.Hour)
	db.BeginRotation(&rot)
	err := db.RepeatRotation(r.t.Context(), rot, recent, event(audit.RefreshTokenUsed, r.person, r.now))
	db.EndRotation(&rot, false)
	return err
}

// outcome repeats a rotation until it is known whether it was answered.
func (r repeater) outcome(db *store.DB, rot oauth.RefreshRotation) (err error) {
	r.t.Helper()
	testkit.Eventually(r.t, "the outcome is known", func() bool {
		err = r.repeat(db, rot, false)
		return !fault.Is(err, fault.Unavailable)
	})
	return err
}

// answeredAt checks when the rotation of a grant was answered.
func (r repeater) answeredAt(id oauth.GrantID, when time.Time) {
	r.t.Helper()
	g, err := r.one.Grant(r.t.Context(), id)
	testkit.Must(r.t, err)
	testkit.Equal(r.t, "time of the answer", g.RotatedAt, when)
}

// A rotation whose answer nobody got can be repeated once, at any time, by any server, while its
// successor has not been used. One that was answered cannot.
func (s *suite) unanswered(t *testing.T) {
	stop := s.server(t, s.db)
	defer stop()
	other := Open(t, store.Options{URL: s.sharedURL})
	stopOther := s.server(t, other)
	defer stopOther()
	u, first := s.firstRotation(t)
	r := repeater{s, t, s.db, other, u}
	next := func(after oauth.RefreshRotation) oauth.RefreshRotation {
		return s.rotation(first.Grant, first.Client, after.New)
	}
	r.rotate(s.db, first, false)
	want(t, r.repeat(s.db, first, false), fault.Consumed)
	want(t, r.outcome(other, first), fault.Consumed)

	second := next(first)
	r.rotate(s.db, second, true)
	testkit.Must(t, r.outcome(other, second))
	r.answeredAt(first.Grant, s.now.Add(time.Hour))
	want(t, r.outcome(s.db, second), fault.Consumed) // it has been answered now
	testkit.Must(t, r.repeat(s.db, second, true))    // that answer may be lost on its way
	r.answeredAt(first.Grant, s.now.Add(time.Hour))

	third := next(second)
	r.rotate(other, third, true)
	fourth := next(third)
	r.rotate(s.db, fourth, false)
	want(t, r.outcome(other, third), fault.Consumed)      // its successor has been used
	want(t, r.repeat(other, third, true), fault.Consumed) // however early
	r.earlierRelease(next(fourth))
}

// earlierRelease stores an unanswered rotation, after which a release that names no attempts stores
// another one: that one was answered.
func (r repeater) earlierRelease(rot oauth.RefreshRotation) {
	r.t.Helper()
	r.rotate(r.one, rot, true)
	testkit.Eventually(r.t, "the rotation is written as unanswered", func() bool {
		g, err := r.one.Grant(r.t.Context(), rot.Grant)
		testkit.Must(r.t, err)
		return strings.HasPrefix(g.Attempt, "unanswered")
	})
	next := r.rotation(rot.Grant, rot.Client, rot.New)
	r.exec(r.t, "UPDATE grants SET prev_hash = refresh_hash, refresh_hash = $1 WHERE id = $2",
		next.New, string(next.Grant))
	want(r.t, r.repeat(r.one, next, false), fault.Consumed)
}

// Of the last rotations of a server that died nobody knows whether they were answered: they count
// as not answered once the server is dead. What was settled before stands.
func (s *suite) deadServer(t *testing.T) {
	ctx := t.Context()
	stop := s.server(t, s.db)
	defer stop()
	_, r := s.firstRotation(t)
	_, settled := s.firstRotation(t)
	for n, r := range map[string]oauth.RefreshRotation{"8": r, "7": settled} {
		r.Attempt = "dead." + n + "." + string(r.New[len(r.New)-12:])
		testkit.Must(t, s.db.RotateRefresh(ctx, r))
	}
	row := func(quiet time.Duration) {
		s.exec(t, "DELETE FROM servers WHERE id = 'dead'")
		s.exec(t, "INSERT INTO servers (id, settled, seen_at) SELECT 'dead', 7, "+
			sqldb.Clock(s.db.Engine())+" - CAST($1 AS BIGINT)", quiet.Milliseconds())
	}
	repeat := func(r oauth.RefreshRotation) error {
		s.db.BeginRotation(&r)
		defer s.db.EndRotation(&r, false)
		return s.db.RepeatRotation(ctx, r, false)
	}
	row(0)
	want(t, repeat(r), fault.Unavailable)
	want(t, repeat(settled), fault.Consumed)
	row(time.Minute)
	want(t, repeat(settled), fault.Consumed)
	testkit.Must(t, repeat(r))
	want(t, repeat(r), fault.Consumed)
}

// A server is listed while it runs, and leaves nothing behind.
func (s *suite) servers(t *testing.T) {
	db := s.newDB(t, store.Options{})
	stop := s.server(t, db)
	all, err := db.Servers(t.Context())
	testkit.Must(t, err)
	if len(all) != 1 || !all[0].Active() || all[0].Version != "v1" || all[0].Schema != store.Schema() {
		t.Fatalf("%+v", all)
	}
	stop()
	all, err = db.Servers(t.Context())
	testkit.Must(t, err)
	testkit.Equal(t, "servers", len(all), 0)
}

// exec runs a statement on the shared database, past the store.
func (s *suite) exec(t *testing.T, text string, args ...any) {
	t.Helper()
	db, err := sqldb.Open(t.Context(), s.sharedURL, sqldb.Options{Readers: 1})
	testkit.Must(t, err)
	defer db.Close()
	_, err = db.Exec(t.Context(), text, args...)
	testkit.Must(t, err)
}

// A newer release has revoked what this one cannot name: everything from before counts as revoked,
// at a server that was running and at one that starts then.
func (s *suite) newerRevocations(t *testing.T) {
	ctx, when := t.Context(), s.now.Add(time.Minute)
	url := s.url(t)
	db := Open(t, store.Options{URL: url})
	on := &suite{url: s.url, db: db, sharedURL: url, now: s.now}
	u, c := on.user(t), on.client(t)
	before, after := on.grant(u, c), on.grant(u, c)
	after.ID, after.CreatedAt = oauth.GrantID(secret.NewID(when.Add(time.Second))), when.Add(time.Second)
	for _, g := range []*oauth.Grant{before, after} {
		testkit.Must(t, db.PutGrant(ctx, g))
	}
	on.exec(t, "INSERT INTO revocations (seq, kind, target, not_before, until, client_id, audience)"+
		" VALUES (1, 'planet', 'x', $1, $2, '', '')", when.UnixMilli(), when.Add(time.Hour).UnixMilli())
	on.exec(t, "UPDATE changes SET seq = 1 WHERE topic = 'revocations'")
	testkit.Must(t, db.SyncCache(ctx))
	for name, db := range map[string]*store.DB{"running": db, "started": Open(t, store.Options{URL: url})} {
		head, _ := db.RevocationHead()
		testkit.Equal(t, name+": head", head.Seq, int64(1))
		for g, ended := range map[*oauth.Grant]bool{before: true, after: false} {
			testkit.Equal(t, name+": revoked", db.Revoked(token(g, g.CreatedAt)), ended)
			_, err := db.Grant(ctx, g.ID)
			testkit.Equal(t, name+": grant has ended", fault.Is(err, fault.NotFound), ended)
			_, _, err = db.GrantAndUser(ctx, g.ID)
			testkit.Equal(t, name+": grant and user have ended", fault.Is(err, fault.NotFound), ended)
		}
	}
}

// A standby that lacked the end of the log is promoted, and more is revoked before a running server
// looks: what is new is in force, and so is what was lost. A follower cannot go on in the other
// log.
func (s *suite) promotedRevocations(t *testing.T) {
	const before, lost, more = 10, 24, 30
	ctx := t.Context()
	url := s.url(t)
	running, other := Open(t, store.Options{URL: url}), Open(t, store.Options{URL: url})
	on := &suite{url: s.url, db: other, sharedURL: url, now: s.now}
	revoke := func(name string, n int) {
		t.Helper()
		for i := range n {
			testkit.Must(t, other.Revoke(ctx, oauth.Revocation{
				Kind:      oauth.RevokeToken,
				ID:        fmt.Sprintf("%s-%d", name, i),
				NotBefore: s.now,
			}))
		}
		testkit.Must(t, other.SyncCache(ctx))
	}
	revoke("old", before)
	standby, _ := other.RevocationHead()
	revoke("lost", lost)
	testkit.Must(t, running.SyncCache(ctx))
	follower, moved := running.RevocationHead()

	on.exec(t, "DELETE FROM revocations WHERE seq > $1", standby.Seq)
	on.exec(t, "UPDATE changes SET seq = $1, mark = $2 WHERE topic = 'revocations'", standby.Seq, standby.Mark)
	testkit.Must(t, other.SyncCache(ctx))
	revoke("new", more)
	testkit.Must(t, running.SyncCache(ctx))

	head, _ := running.RevocationHead()
	testkit.Equal(t, "newest entry", head.Seq, standby.Seq+more)
	if head.History == follower.History {
		t.Error("the server took the log for the one of before")
	}
	select {
	case <-moved:
	default:
		t.Error("streams were not woken")
	}
	for name, n := range map[string]int{"old": before, "lost": lost, "new": more} {
		for i := range n {
			if id := fmt.Sprintf("%s-%d", name, i); !running.Revoked(&oauth.AccessToken{ID: id}) {
				t.Errorf("%s is not in force", id)
			}
		}
	}
	for _, c := range []struct {
		at   oauth.LogHead
		want bool
	}{{follower, false}, {standby, true}, {head, true}, {oauth.LogHead{Seq: head.Seq}, false}} {
		known, err := running.RevocationAt(ctx, c.at.Seq, c.at.Mark)
		testkit.Must(t, err)
		testkit.Equal(t, fmt.Sprintf("entry %d is known", c.at.Seq), known, c.want)
	}
}
