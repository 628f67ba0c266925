package sqldb_test

import (
	"context"
	"net/url"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A way to PostgreSQL becomes silent without closing anything. The connection that only listens
// would wait for ever: it is checked, given up, and another one hears again.
func TestSilentListener(t *testing.T) {
	t.Parallel()
	at, err := url.Parse(storetest.Postgres(t))
	testkit.Must(t, err)
	front := testkit.StartProxy(t, at.Host)
	at.Host = front.Addr()
	db := open(t, at.String(), sqldb.Options{})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); db.Watch(ctx, func() {}) }()
	t.Cleanup(func() { stop(); <-done })
	hears := func() bool { return db.Status().Changes == sqldb.ChangesListen }
	testkit.Eventually(t, "it listens", hears)
	front.Silence()
	testkit.Eventually(t, "it knows that it hears nothing", func() bool { return !hears() })
	testkit.Eventually(t, "it listens again", hears)
}
