package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// overviewCases returns the tests of what the overview shows.
func overviewCases() []testCase {
	return []testCase{{"Counts by the hour", (*suite).hourly}, {"Changes together", (*suite).together}}
}

// hourly counts events by the hour, once each, however many servers count at once and whenever
// they are asked again.
func (s *suite) hourly(t *testing.T) {
	db := Open(t, store.Options{URL: s.url(t)})
	hour := s.now.UTC().Truncate(time.Hour)
	record := func(at time.Time, typ audit.Type, count string) {
		e := audit.Event{At: at, Type: typ, Actor: "a"}
		if count != "" {
			e.Detail = map[string]string{"count": count}
		}
		testkit.Must(t, db.Record(t.Context(), e))
	}
	for i := range 3 {
		record(hour.Add(time.Duration(i)*time.Second), audit.LoginSucceeded, "")
	}
	record(hour.Add(-time.Hour), audit.LoginSucceeded, "")
	record(hour.Add(time.Second), audit.LoginFailed, "40")
	record(hour.Add(time.Second), audit.TokensIssued, "1000")
	record(hour.Add(time.Second), audit.AccessTokenIssued, "nonsense")
	record(hour.Add(time.Second), audit.UserCreated, "")
	record(hour.Add(-60*24*time.Hour), audit.LoginSucceeded, "") // too long ago
	now := hour.Add(time.Minute)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := db.CountEvents(t.Context(), now); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	record(now.Add(-2*time.Second), audit.AccountLocked, "") // may not be the last of its time yet
	testkit.Must(t, db.CountEvents(t.Context(), now))
	want := map[string]int{
		"-1h0m0s sign_ins": 1,
		"0s sign_ins":      3,
		"0s failures":      40,
		"0s tokens":        1001,
		"0s sessions":      0,
	}
	if diff := cmp.Diff(want, s.hours(t, db, hour)); diff != "" {
		t.Error(diff)
	}
	testkit.Must(t, db.CountEvents(t.Context(), now.Add(time.Minute)))
	want["0s locks"] = 1
	if diff := cmp.Diff(want, s.hours(t, db, hour)); diff != "" {
		t.Error(diff)
	}
	testkit.Must(t, db.CreateUser(t.Context(), &identity.User{ID: "someone", Email: "a@example.com", CreatedAt: s.now}))
	sizes, err := db.Sizes(t.Context(), now)
	testkit.Must(t, err)
	testkit.Equal(t, "users", sizes.Users, admin.Size{N: 1})
}

// hours returns the counts around an hour.
func (s *suite) hours(t *testing.T, db *store.DB, hour time.Time) map[string]int {
	t.Helper()
	counts, err := db.HourlyCounts(t.Context(), hour.Add(-24*time.Hour))
	testkit.Must(t, err)
	out := map[string]int{}
	for _, c := range counts {
		out[fmt.Sprintf("%s %s", c.Hour.Sub(hour), c.Name)] = c.N
	}
	return out
}
