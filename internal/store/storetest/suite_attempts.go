package storetest

import (
	"context"
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

// A rotation whose answer nobody got can be repeated once, at any time, by any server, while its
// successor has not been used. One that was answered cannot.
func (s *suite) unanswered(t *testing.T) {
	ctx := t.Context()
	stop := s.server(t, s.db)
	defer stop()
	other := Open(t, store.Options{URL: s.sharedURL})
	stopOther := s.server(t, other)
	defer stopOther()
	u, first := s.firstRotation(t)
	used := func() audit.Event { return event(audit.RefreshTokenUsed, u, s.now) }

	rotate := func(db *store.DB, r oauth.RefreshRotation, unanswered bool) {
		t.Helper()
		db.BeginRotation(&r)
		testkit.Must(t, db.RotateRefresh(ctx, r, used()))
		db.EndRotation(&r, unanswered)
	}
	repeat := func(db *store.DB, r oauth.RefreshRotation, recent bool) error {
		t.Helper()
		r.Now = s.now.Add(time.Hour)
		db.BeginRotation(&r)
		err := db.RepeatRotation(ctx, r, recent, used())
		db.EndRotation(&r, false)
		return err
	}
	known := func(db *store.DB, r oauth.RefreshRotation) (err error) {
		t.Helper()
		testkit.Eventually(t, "the outcome is known", func() bool {
			err = repeat(db, r, false)
			return !fault.Is(err, fault.Unavailable)
		})
		return err
	}
	rotate(s.db, first, false)
	want(t, repeat(s.db, first, false), fault.Consumed)
	want(t, known(other, first), fault.Consumed)

	second := s.rotation(first.Grant, first.Client, first.New)
	rotate(s.db, second, true)
	testkit.Must(t, known(other, second))
	g, err := s.db.Grant(ctx, second.Grant)
	testkit.Must(t, err)
	testkit.Equal(t, "time of the answer", g.RotatedAt, s.now.Add(time.Hour))
	want(t, known(s.db, second), fault.Consumed) // it has been answered now
	testkit.Must(t, repeat(s.db, second, true))  // that answer may be lost on its way
	g, err = s.db.Grant(ctx, second.Grant)
	testkit.Must(t, err)
	testkit.Equal(t, "time of the answer", g.RotatedAt, s.now.Add(time.Hour))

	third := s.rotation(first.Grant, first.Client, second.New)
	rotate(other, third, true)
	fourth := s.rotation(first.Grant, first.Client, third.New)
	rotate(s.db, fourth, false)
	want(t, known(other, third), fault.Consumed)        // its successor has been used
	want(t, repeat(other, third, true), fault.Consumed) // however early

	// A release that names no attempts has rotated after the mark.
	fifth, sixth := s.rotation(first.Grant, first.Client, fourth.New), oauth.RefreshRotation{}
	rotate(s.db, fifth, true)
	testkit.Eventually(t, "the rotation is written as unanswered", func() bool {
		g, err := s.db.Grant(ctx, fifth.Grant)
		testkit.Must(t, err)
		return len(g.Attempt) > 10 && g.Attempt[:10] == "unanswered"
	})
	sixth = s.rotation(first.Grant, first.Client, fifth.New)
	s.exec(t, "UPDATE grants SET prev_hash = refresh_hash, refresh_hash = $1 WHERE id = $2",
		sixth.New, string(sixth.Grant))
	want(t, repeat(s.db, sixth, false), fault.Consumed)
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
