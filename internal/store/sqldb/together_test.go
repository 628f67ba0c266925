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

// change and then as the store uses them: a conditional update of one row, and a row that records it.
func execThen(ctx context.Context, db sqldb.DB, row int, from, to string, record int) (int64, error) {
	return db.ExecIfChanged(ctx, fmt.Sprint(row),
		sqldb.Statement{Text: "UPDATE things SET name = $1 WHERE id = $2 AND name = $3", Args: []any{to, row, from}},
		sqldb.Statement{Text: "INSERT INTO things (id, name, done) SELECT $1, $2, $3", Args: []any{record, fmt.Sprint("record ", record), true}})
}

func TestExecThenIsBothOrNeither(t *testing.T) {
	on(t, func(t *testing.T, _ string, db sqldb.DB) {
		mustExec(t, db, insert, 1, "one", true)
		for _, c := range []struct {
			name     string
			from, to string
			record   int
			moved    int64
			kind     fault.Kind
			rows     int
		}{
			{"the row is as expected", "one", "two", 101, 1, 0, 2},
			{"it is not", "one", "three", 102, 0, 0, 2},
			{"the record cannot be written", "two", "three", 101, 0, fault.Conflict, 2},
			{"the row is as it was before that", "two", "three", 103, 1, 0, 3},
		} {
			n, err := execThen(t.Context(), db, 1, c.from, c.to, c.record)
			if c.kind != 0 {
				wantKind(t, err, c.kind)
			} else if err != nil || n != c.moved {
				t.Errorf("%s: %d rows, %v; want %d", c.name, n, err, c.moved)
			}
			if got := count(t, db); got != c.rows {
				t.Errorf("%s: %d rows in all; want %d", c.name, got, c.rows)
			}
		}
	})
}

// Of many callers who turn the same rows at once, in opposite orders and on two connections' worth of servers, exactly one moves each
// value, and one whose record is refused takes nobody along.
func TestExecThenTogether(t *testing.T) {
	on(t, func(t *testing.T, url string, db sqldb.DB) {
		const rows, racers = 8, 64
		other := open(t, url, sqldb.Options{})
		for i := range rows {
			mustExec(t, db, insert, i, fmt.Sprint("old ", i), true)
		}
		mustExec(t, db, insert, 5000, "taken", true)
		var moved, refused atomic.Int64
		var wg sync.WaitGroup
		for r := range racers {
			wg.Go(func() {
				on := []sqldb.DB{db, other}[r%2]
				for k := range rows {
					row := k
					if r%4 < 2 {
						row = rows - 1 - k
					}
					n, err := execThen(t.Context(), on, row, fmt.Sprint("old ", row), fmt.Sprintf("new %d", row), 1000+r*rows+row)
					if err != nil {
						t.Error(err)
					}
					moved.Add(n)
				}
				if _, err := execThen(t.Context(), on, 0, "new 0", "new 0", 5000); fault.Is(err, fault.Conflict) {
					refused.Add(1)
				}
			})
		}
		wg.Wait()
		if moved.Load() != rows || refused.Load() == 0 {
			t.Errorf("%d changes moved a row; want %d; %d were refused", moved.Load(), rows, refused.Load())
		}
		if n := count(t, db); n != rows+1+rows {
			t.Errorf("%d rows; want a record of each change and no other", n)
		}
	})
}

// A change whose caller was told that it cannot be made now, before anybody began with it, is never made: it could be minutes until
// the next one comes, and a refresh token turned then would be answered for by nobody.
func TestExecThenThatWasGivenUpIsNotMade(t *testing.T) {
	on(t, func(t *testing.T, _ string, db sqldb.DB) {
		for i := range 4 {
			mustExec(t, db, insert, i, fmt.Sprint("old ", i), true)
		}
		locked, release, done := make(chan struct{}), make(chan struct{}), make(chan error, 3)
		go func() {
			done <- db.Write(t.Context(), func(tx sqldb.Tx) error {
				if _, err := tx.Exec(t.Context(), "UPDATE things SET done = TRUE WHERE id < 2"); err != nil {
					return err
				}
				close(locked)
				<-release
				return nil
			})
		}()
		<-locked
		for row := range 2 { // as many as are sent at a time
			go func() {
				_, err := execThen(t.Context(), db, row, fmt.Sprint("old ", row), fmt.Sprint("new ", row), 100+row)
				done <- err
			}()
			time.Sleep(50 * time.Millisecond)
		}
		hurried, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := execThen(hurried, db, 2, "old 2", "new 2", 102)
		wantKind(t, err, fault.Unavailable)
		close(release)
		for range 3 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if n, err := execThen(t.Context(), db, 3, "old 3", "new 3", 103); n != 1 || err != nil {
			t.Errorf("the next change: %d rows, %v", n, err)
		}
		var name string
		if err := db.Row(t.Context(), "SELECT name FROM things WHERE id = 2").Scan(&name); err != nil || name != "old 2" {
			t.Errorf("the row is %q, %v: the change was made after its caller had been told that it was not", name, err)
		}
	})
}

func TestReadTogether(t *testing.T) {
	on(t, func(t *testing.T, _ string, db sqldb.DB) {
		for i := range 20 {
			mustExec(t, db, insert, i, fmt.Sprint("name ", i), true)
		}
		const text = "SELECT name FROM things WHERE id = $1"
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				var name string
				switch err := db.Read(t.Context(), []any{&name}, text, i%40); {
				case i%40 >= 20:
					if !fault.Is(err, fault.NotFound) {
						t.Errorf("no row %d: %v", i%40, err)
					}
				case i == 3: // a statement that cannot be run harms nobody else
					if err := db.Read(t.Context(), []any{&name}, "SELECT nothing FROM things WHERE id = $1", 1); err == nil {
						t.Error("a wrong statement gave no error")
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
		wantKind(t, db.Read(gone, []any{&name}, text, 1), fault.Unavailable)
	})
}

func TestGather(t *testing.T) {
	t.Run("what waits is written together, and by one of those who wait", func(t *testing.T) {
		release, sizes := make(chan struct{}), make(chan int, 10)
		g := sqldb.NewBatcher(3, 1, func(_ context.Context, items []int) error {
			sizes <- len(items)
			<-release
			return nil
		})
		var wg sync.WaitGroup
		first := g.Add(1)
		wg.Go(func() { _ = g.Wait(t.Context(), first) })
		<-sizes // the first is being written; the others come on sheets of three
		for i := range 5 {
			s := g.Add(i)
			wg.Go(func() {
				if err := g.Wait(t.Context(), s); err != nil {
					t.Error(err)
				}
			})
		}
		close(release)
		wg.Wait()
		if a, b := <-sizes, <-sizes; a+b != 5 || max(a, b) != 3 {
			t.Errorf("sheets of %d and %d", a, b)
		}
	})
	t.Run("an error is everybody's", func(t *testing.T) {
		wrong := fault.New(fault.Unavailable, "full")
		g := sqldb.NewBatcher(3, 1, func(context.Context, []int) error { return wrong })
		a, b := g.Add(1), g.Add(2)
		if err := g.Wait(t.Context(), a); err != wrong {
			t.Error(err)
		}
		if err := g.Wait(t.Context(), b); err != wrong {
			t.Error(err)
		}
	})
	t.Run("who leaves stops nobody", func(t *testing.T) {
		begun, release := make(chan struct{}), make(chan struct{})
		g := sqldb.NewBatcher(3, 1, func(ctx context.Context, _ []int) error {
			close(begun)
			<-release
			return ctx.Err()
		})
		leaving, leave := context.WithCancel(t.Context())
		s := g.Add(1)
		writer := make(chan error, 1)
		go func() { writer <- g.Wait(leaving, s) }()
		<-begun
		waiting, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer stop()
		wantKind(t, g.Wait(waiting, s), fault.Unavailable)
		leave()
		close(release)
		if err := <-writer; err != nil {
			t.Errorf("the sheet was given up with the caller who wrote it: %v", err)
		}
	})
}
