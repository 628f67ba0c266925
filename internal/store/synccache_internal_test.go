package store

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// slowDB is a database in which reading the changes table waits for a gate.
type slowDB struct {
	sqldb.DB
	reads atomic.Int64
	gate  chan struct{}
}

func (s *slowDB) Rows(ctx context.Context, text string, args ...any) (sqldb.Rows, error) {
	if strings.Contains(text, "FROM changes") {
		s.reads.Add(1)
		<-s.gate
	}
	return s.DB.Rows(ctx, text, args...)
}

// Requests can name clients that do not exist, and each makes us look in the database. Any number
// of concurrent callers share one refresh that began after they called.
func TestSyncCacheIsShared(t *testing.T) {
	d, err := Open(t.Context(), Options{URL: "sqlite::memory:"})
	testkit.Must(t, err)
	t.Cleanup(func() { _ = d.Close() })
	_, err = d.Migrate(t.Context())
	testkit.Must(t, err)
	s := &slowDB{DB: d.sql, gate: make(chan struct{})}
	d.sql = s
	const callers = 100
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			if err := d.SyncCache(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	testkit.Eventually(t, "one refresh, and the other callers that wait for it", func() bool {
		return s.reads.Load() == 1 && waitingForSync() == callers-1
	})
	close(s.gate)
	wg.Wait()
	before := s.reads.Load()
	if before > 2 { // one for callers that came before it began, and one for the others
		t.Errorf("%d refreshes for %d callers", before, callers)
	}
	testkit.Must(t, d.SyncCache(t.Context()))
	testkit.Equal(t, "refreshes by another call", s.reads.Load()-before, 1)
}

// waitingForSync returns the number of goroutines that wait for the lock in SyncCache.
func waitingForSync() (n int) {
	buf := make([]byte, 1<<20)
	for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "[sync.Mutex.Lock") && strings.Contains(g, "(*DB).SyncCache(") {
			n++
		}
	}
	return n
}
