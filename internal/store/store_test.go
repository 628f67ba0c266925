package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.SQLite)
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Postgres)
}

// Every request with an access token calls Revoked.
func TestRevokedAllocatesNothing(t *testing.T) {
	db := storetest.Memory(t)
	now := time.Now()
	id := secret.NewID(now)
	token := &oauth.AccessToken{
		ID: id, Grant: oauth.GrantID(id), Session: "s", User: "u", Client: "c", IssuedAt: now,
	}
	for _, r := range []oauth.Revocation{
		{Kind: oauth.RevokeUser, ID: "u", NotBefore: now.Add(-time.Millisecond)},
		{Kind: oauth.RevokeClient, ID: "c", NotBefore: now.Add(-time.Millisecond)},
	} {
		if err := db.Revoke(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		if db.Revoked(token) {
			t.Error("a token of a grant that began after the revocation counts as revoked")
		}
	}); n != 0 {
		t.Errorf("Revoked allocates %v times", n)
	}
}

// A server learns that nothing has changed, too: what it knows is not older because the database
// has nothing to do.
func TestKnowledgeOfAnIdleDatabase(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, store.Options{URL: storetest.SQLite(t)})
	before := time.Now()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- db.Follow(ctx) }()
	for range 2 { // the first time is that of the start
		testkit.Eventually(t, "memory is compared", func() bool { return db.KnowledgeAge() < time.Since(before) })
		before = time.Now()
	}
	stop()
	testkit.Must(t, <-done)
	time.Sleep(time.Millisecond)
	if age := db.KnowledgeAge(); age < time.Millisecond {
		t.Errorf("nobody compares any more, but the age is %s", age)
	}
}
