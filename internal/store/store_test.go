package store_test

import (
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
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
