package sqldb_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

func TestExecAllIsAllOrNothing(t *testing.T) {
	on(t, func(t *testing.T, _ string, db sqldb.DB) {
		if err := db.ExecAll(t.Context(), insert, [][]any{{1, "a", true}, {2, "b", true}}); err != nil {
			t.Fatal(err)
		}
		wantKind(t, db.ExecAll(t.Context(), insert, [][]any{{3, "c", true}, {1, "d", true}, {4, "e", true}}), fault.Conflict)
		if n := count(t, db); n != 2 {
			t.Errorf("%d rows; want the 2 of the first call", n)
		}
	})
}

// rename is a conditional change as the store uses it: an update of one row, and a row that
// records it.
func rename(ctx context.Context, db sqldb.DB, row int, from, to string, record int) (int64, error) {
	const change = "UPDATE things SET name = $1 WHERE id = $2 AND name = $3"
	return db.ExecIfChanged(ctx, sqldb.Conditional{
		Key:    fmt.Sprint(row),
		Change: change,
		Then:   "INSERT INTO things (id, name, done) VALUES ($1, $2, $3)",
		Both: "WITH changed AS (" + change + " RETURNING 1) " +
			"INSERT INTO things (id, name, done) SELECT $4, $5, $6 FROM changed",
		ChangeArgs: []any{to, row, from},
		ThenArgs:   []any{record, fmt.Sprint("record ", record), true},
	})
}

func TestExecIfChangedIsBothOrNeither(t *testing.T) {
	on(t, func(t *testing.T, _ string, db sqldb.DB) {
		mustExec(t, db, insert, 1, "one", true)
		for _, c := range []struct {
			name     string
			from, to string
			record   int
			changed  int64
			kind     fault.Kind
			rows     int
		}{
			{"the row is as expected", "one", "two", 101, 1, 0, 2},
			{"it is not", "one", "three", 102, 0, 0, 2},
			{"the record cannot be written", "two", "three", 101, 0, fault.Conflict, 2},
			{"the row is as it was before that", "two", "three", 103, 1, 0, 3},
		} {
			n, err := rename(t.Context(), db, 1, c.from, c.to, c.record)
			if c.kind != 0 {
				wantKind(t, err, c.kind)
			} else if err != nil || n != c.changed {
				t.Errorf("%s: %d rows, %v; want %d", c.name, n, err, c.changed)
			}
			if got := count(t, db); got != c.rows {
				t.Errorf("%s: %d rows in all; want %d", c.name, got, c.rows)
			}
		}
	})
}

// Of many callers who change the same rows at once, in opposite orders and through two servers,
// exactly one changes each value, and a change whose record cannot be written fails alone.
func TestExecIfChangedConcurrently(t *testing.T) {
	on(t, func(t *testing.T, url string, db sqldb.DB) {
		const rows, racers = 8, 64
		other := open(t, url, sqldb.Options{})
		for i := range rows {
			mustExec(t, db, insert, i, fmt.Sprint("old ", i), true)
		}
		mustExec(t, db, insert, 5000, "taken", true)
		var changed, failed atomic.Int64
		var wg sync.WaitGroup
		for r := range racers {
			wg.Go(func() {
				on := []sqldb.DB{db, other}[r%2]
				for k := range rows {
					row := k
					if r%4 < 2 {
						row = rows - 1 - k
					}
					n, err := rename(t.Context(), on, row, fmt.Sprint("old ", row), fmt.Sprintf("new %d", row), 1000+r*rows+row)
					if err != nil {
						t.Error(err)
					}
					changed.Add(n)
				}
				if _, err := rename(t.Context(), on, 0, "new 0", "new 0", 5000); fault.Is(err, fault.Conflict) {
					failed.Add(1)
				}
			})
		}
		wg.Wait()
		if changed.Load() != rows || failed.Load() == 0 {
			t.Errorf("%d rows changed; want %d; %d changes failed", changed.Load(), rows, failed.Load())
		}
		if n := count(t, db); n != rows+1+rows {
			t.Errorf("%d rows; want one record of each change", n)
		}
	})
}

func TestConcurrentReads(t *testing.T) {
	on(t, func(t *testing.T, _ string, db sqldb.DB) {
		for i := range 20 {
			mustExec(t, db, insert, i, fmt.Sprint("name ", i), true)
		}
		query := sqldb.NewRowQuery([]string{"name"}, "FROM things WHERE id = $1")
		invalid := sqldb.NewRowQuery([]string{"nothing"}, "FROM things WHERE id = $1")
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				var name string
				switch err := db.Read(t.Context(), []any{&name}, query, i%40); {
				case i%40 >= 20:
					if !fault.Is(err, fault.NotFound) {
						t.Errorf("no row %d: %v", i%40, err)
					}
				case i == 3: // an invalid statement fails alone
					if err := db.Read(t.Context(), []any{&name}, invalid, 1); err == nil {
						t.Error("an invalid statement returned no error")
					}
				case err != nil || name != fmt.Sprint("name ", i%40):
					t.Errorf("row %d is %q, %v", i%40, name, err)
				}
			})
		}
		wg.Wait()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		var name string
		wantKind(t, db.Read(gone, []any{&name}, query, 1), fault.Unavailable)
	})
}

func TestBatcher(t *testing.T) {
	t.Run("items are written together, by one of the callers who wait", func(t *testing.T) {
		release, sizes := make(chan struct{}), make(chan int, 10)
		b := sqldb.NewBatcher(3, 1, func(_ context.Context, items []int) error {
			sizes <- len(items)
			<-release
			return nil
		})
		var wg sync.WaitGroup
		first := b.Add(1)
		wg.Go(func() { _ = b.Wait(t.Context(), first) })
		<-sizes // the first is being written; the others come in batches of three
		for i := range 5 {
			batch := b.Add(i)
			wg.Go(func() {
				if err := b.Wait(t.Context(), batch); err != nil {
					t.Error(err)
				}
			})
		}
		close(release)
		wg.Wait()
		if m, n := <-sizes, <-sizes; m+n != 5 || max(m, n) != 3 {
			t.Errorf("batches of %d and %d", m, n)
		}
	})
	t.Run("all callers get the error of their batch", func(t *testing.T) {
		wrong := fault.New(fault.Unavailable, "full")
		b := sqldb.NewBatcher(3, 1, func(context.Context, []int) error { return wrong })
		first, second := b.Add(1), b.Add(2)
		if err := b.Wait(t.Context(), first); err != wrong {
			t.Error(err)
		}
		if err := b.Wait(t.Context(), second); err != wrong {
			t.Error(err)
		}
	})
	t.Run("a caller who leaves does not stop the others", func(t *testing.T) {
		begun, release := make(chan struct{}), make(chan struct{})
		b := sqldb.NewBatcher(3, 1, func(ctx context.Context, _ []int) error {
			close(begun)
			<-release
			return ctx.Err()
		})
		leaving, leave := context.WithCancel(t.Context())
		batch := b.Add(1)
		writer := make(chan error, 1)
		go func() { writer <- b.Wait(leaving, batch) }()
		<-begun
		waiting, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer stop()
		wantKind(t, b.Wait(waiting, batch), fault.Unavailable)
		leave()
		close(release)
		if err := <-writer; err != nil {
			t.Errorf("the batch ended with the caller who wrote it: %v", err)
		}
	})
}
