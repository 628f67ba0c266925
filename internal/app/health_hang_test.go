package app

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A database that hangs holds neither those that ask nor more than one goroutine.
func TestHangingDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p databaseProbe
		var begun atomic.Int64
		hangs := make(chan struct{})
		ping := func(context.Context) error { begun.Add(1); <-hangs; return nil }
		begin := time.Now()
		for range 50 {
			if err := p.ask(liveTimeout, ping); !errors.Is(err, errHangs) {
				t.Fatalf("got %v", err)
			}
		}
		testkit.Equal(t, "the time of all", time.Since(begin), 50*liveTimeout)
		testkit.Equal(t, "questions", begun.Load(), 1)
		close(hangs)
		synctest.Wait()
		testkit.Must(t, p.ask(liveTimeout, ping))
		testkit.Equal(t, "questions", begun.Load(), 2)
	})
}
