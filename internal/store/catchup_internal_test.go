package store

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// slow is a database whose numbers of changes are read when they are let go.
type slow struct {
	sqldb.DB
	asked atomic.Int64
	gate  chan struct{}
}

func (s *slow) Rows(ctx context.Context, text string, args ...any) (sqldb.Rows, error) {
	if strings.Contains(text, "FROM changes") {
		s.asked.Add(1)
		<-s.gate
	}
	return s.DB.Rows(ctx, text, args...)
}

// Whoever names a client that does not exist makes us look for it in the database. Any number of
// them wait for one reading that began after they asked, not for one each.
func TestCatchUpIsShared(t *testing.T) {
	d, err := Open(t.Context(), Options{URL: "sqlite::memory:"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if _, err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := &slow{DB: d.sql, gate: make(chan struct{})}
	d.sql = s
	const callers = 100
	var wg sync.WaitGroup
	var here atomic.Int64
	for range callers {
		wg.Go(func() {
			here.Add(1)
			if err := d.SyncCache(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	for here.Load() < callers || s.asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond) // until the last of them waits
	close(s.gate)
	wg.Wait()
	if n := s.asked.Load(); n > 5 {
		t.Errorf("%d callers asked the database %d times", callers, n)
	}
	before := s.asked.Load()
	if err := d.SyncCache(t.Context()); err != nil || s.asked.Load() == before {
		t.Errorf("what was read before somebody asked is not news: %v", err)
	}
}
