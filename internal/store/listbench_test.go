package store_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
)

// BenchmarkManyUsers measures imports, exports and lists with as many users as
// GATEHOUSE_BENCH_USERS says, 20,000 without it:
//
//	GATEHOUSE_BENCH_USERS=1000000 go test ./internal/store -run '^$' -bench ManyUsers -timeout 0
//
// The database of GATEHOUSE_BENCH_DATABASE is filled up to that number and stays, so that a second
// run measures lists at once.
func BenchmarkManyUsers(b *testing.B) {
	n := 20_000
	if text := os.Getenv("GATEHOUSE_BENCH_USERS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	url := os.Getenv("GATEHOUSE_BENCH_DATABASE")
	if url == "" {
		url = "sqlite:" + filepath.Join(b.TempDir(), "many.db")
	}
	db := storetest.Open(b, store.Options{URL: url})
	fillMany(b, db, n)
	b.Run("Export", func(b *testing.B) {
		for range min(b.N, 1) {
			out, begun, rows := bufio.NewWriter(discard{}), time.Now(), 0
			err := db.ExportUsers(b.Context(), store.UserQuery{}, func(u *identity.User) error {
				rows++
				_, err := fmt.Fprintln(out, u.Email)
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(rows)/time.Since(begun).Seconds(), "rows/s")
		}
	})
	yes := true
	for name, q := range map[string]store.UserQuery{
		"first page":   {},
		"by name":      {Sort: admin.Sort{By: admin.OrderName}},
		"rare word":    {Search: "family1234"},
		"many words":   {Search: "anna fam"},
		"common word":  {Search: "an"},
		"address":      {Search: "u77@ex"},
		"role":         {Role: "role7"},
		"disabled":     {Status: admin.UserDisabled},
		"active":       {Status: admin.UserActive},
		"verified":     {Verified: &yes},
		"offset 10000": {Page: admin.Page{Offset: min(admin.MaxOffset, n/2)}},
	} {
		b.Run("List/"+name, func(b *testing.B) { listMany(b, db, q) })
	}
}

type discard struct{}

// Write does nothing.
func (discard) Write(p []byte) (int, error) { return len(p), nil }

// listMany reads first and following pages by turns and reports the slowest of a hundred.
func listMany(b *testing.B, db *store.DB, q store.UserQuery) {
	q.Now, q.Page.Limit = time.Now(), 50
	var times []time.Duration
	var after *admin.Position
	for b.Loop() {
		begun := time.Now()
		rows, err := db.ListUsers(b.Context(), q, after)
		if err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(begun))
		if after == nil {
			after = rows.Next
		} else {
			after = nil
		}
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
}

// fillMany imports users up to a number, and reports the rate at the beginning and at the end.
func fillMany(b *testing.B, db *store.DB, n int) {
	b.Helper()
	rows, err := db.ListUsers(b.Context(), store.UserQuery{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	const chunk = 500
	first := []string{"Anna", "Bernd", "Chloé", "Dörte", "Emil", "Fatima", "George", "Hana"}
	begun := time.Now()
	var steps []time.Duration
	for at := rows.Total; at < n; at += chunk {
		step := time.Now()
		users, events := make([]*identity.User, 0, chunk), make([]audit.Event, 0, chunk)
		for i := at; i < min(at+chunk, n); i++ {
			u := &identity.User{
				ID:        identity.UserID(secret.NewID(step)),
				Email:     fmt.Sprintf("u%d@example%d.com", i, i%1000),
				Username:  fmt.Sprintf("user%d", i),
				Name:      fmt.Sprintf("%s Family%d", first[i%len(first)], i*7919%50_000),
				Roles:     []string{fmt.Sprintf("role%d", i%100)},
				Disabled:  i%1000 == 0,
				CreatedAt: step,
			}
			users = append(users, u)
			events = append(events, audit.Event{At: step, Type: audit.UserCreated, User: string(u.ID)})
		}
		known, err := db.KnownUsers(b.Context(), users, step)
		if err != nil || len(known.ByID) > 0 {
			b.Fatal(err)
		}
		if err := db.ImportUsers(b.Context(), users, events); err != nil {
			b.Fatal(err)
		}
		steps = append(steps, time.Since(step))
	}
	if len(steps) < 40 {
		return
	}
	per := func(steps []time.Duration) (sum time.Duration) {
		for _, s := range steps {
			sum += s
		}
		return sum
	}
	b.Logf("imported %d users in %v, %.0f rows/s; the last 10,000 took %.2f times as long as the first",
		n-rows.Total, time.Since(begun).Round(time.Millisecond), float64(n-rows.Total)/time.Since(begun).Seconds(),
		per(steps[len(steps)-20:]).Seconds()/per(steps[:20]).Seconds())
}
