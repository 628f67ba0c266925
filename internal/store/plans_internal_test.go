package store

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// No list of users, clients, sessions or messages reads a table from one end to the other, or sorts
// what an index has found, whatever it is filtered by and in whatever order it is asked for.
func TestListsUseIndexes(t *testing.T) {
	for engine, url := range map[string]func() string{
		"sqlite": func() string { return "sqlite:" + filepath.Join(t.TempDir(), "plans.db") },
		// Without sequential scans and sorts, these are in a plan only where no index serves.
		"postgres": func() string {
			return withOption(testkit.StartPostgres(t), "-c enable_seqscan=off -c enable_sort=off")
		},
	} {
		t.Run(engine, func(t *testing.T) {
			d, err := Open(t.Context(), Options{URL: url()})
			testkit.Must(t, err)
			t.Cleanup(func() { _ = d.Close() })
			_, err = d.Migrate(t.Context())
			testkit.Must(t, err)
			now := time.UnixMilli(1_790_000_000_000)
			fillForPlans(t, d, now)
			spy := &planSpy{DB: d.sql, t: t, known: map[string]bool{}}
			d.sql = spy
			listUsers(t, d, spy, now)
			listEverything(t, d, spy, now)
			if len(spy.known) < 200 {
				t.Errorf("only %d statements were looked at", len(spy.known))
			}
		})
	}
}

func withOption(url, option string) string {
	mark := "?"
	if strings.Contains(url, "?") {
		mark = "&"
	}
	return url + mark + "options=" + strings.NewReplacer(" ", "%20", "=", "%3D").Replace(option)
}

// fillForPlans stores so many users that an engine prefers its indexes.
func fillForPlans(t *testing.T, d *DB, now time.Time) {
	t.Helper()
	var users []*identity.User
	for i := range 2000 {
		users = append(users, &identity.User{
			ID:          identity.UserID(secret.NewID(now.Add(time.Duration(i) * time.Second))),
			Email:       fmt.Sprintf("u%d@example%d.com", i, i%50),
			Name:        fmt.Sprintf("Name%d Family%d", i%700, i%900),
			Roles:       rolesForPlans(i),
			Disabled:    i%100 == 0,
			CreatedAt:   now.Add(time.Duration(i-4000) * time.Second),
			LastLoginAt: now.Add(time.Duration(i-4000) * time.Second),
		})
	}
	testkit.Must(t, d.ImportUsers(t.Context(), users, nil))
	_, err := d.sql.Exec(t.Context(), "ANALYZE")
	testkit.Must(t, err)
}

// rolesForPlans returns the roles of the i-th user: one that few have, one that most have, and one
// of many.
func rolesForPlans(i int) []string {
	roles := []string{fmt.Sprintf("role%d", i%300)}
	if i%3 > 0 {
		roles = append(roles, "common")
	}
	if i < 3 {
		roles = append(roles, "rare")
	}
	return roles
}

// userFilters are the filters of the list of users, by what they filter.
func userFilters(now time.Time) [][]func(*UserQuery) {
	yes, no := true, false
	hour := admin.TimeRange{From: now.Add(-time.Hour), Until: now}
	year := admin.TimeRange{From: now.Add(-365 * 24 * time.Hour)}
	search := func(text string) func(*UserQuery) { return func(q *UserQuery) { q.Search = text } }
	role := func(name string) func(*UserQuery) { return func(q *UserQuery) { q.Role = name } }
	status := func(name string) func(*UserQuery) { return func(q *UserQuery) { q.Status = name } }
	return [][]func(*UserQuery){
		{search("mül"), search("name"), search("name family"), search("u1@ex"), search(secret.NewID(now))},
		{role("rare"), role("common"), role("nobody")},
		{status(admin.UserDisabled), status(admin.UserLocked), status(admin.UserActive)},
		{func(q *UserQuery) { q.Verified = &yes }, func(q *UserQuery) { q.Verified = &no }},
		{func(q *UserQuery) { q.Created = hour }, func(q *UserQuery) { q.Created = year }},
		{func(q *UserQuery) { q.LastLogin = hour }, func(q *UserQuery) { q.LastLogin = year }},
	}
}

// listUsers reads lists of users with every filter, every two filters, and many at once.
func listUsers(t *testing.T, d *DB, spy *planSpy, now time.Time) {
	t.Helper()
	axes := userFilters(now)
	combined := [][]func(*UserQuery){nil}
	for i, axis := range axes {
		for _, f := range axis {
			combined = append(combined, []func(*UserQuery){f})
			for _, other := range axes[i+1:] {
				for _, g := range other {
					combined = append(combined, []func(*UserQuery){f, g})
				}
			}
		}
	}
	for i := range 30 {
		var all []func(*UserQuery)
		for _, axis := range axes {
			all = append(all, axis[i%len(axis)])
		}
		combined = append(combined, all)
	}
	for i, filters := range combined {
		for j, by := range []string{admin.OrderCreated, admin.OrderName, admin.OrderLastLogin} {
			if len(filters) > 1 && j != i%3 {
				continue
			}
			q := UserQuery{Now: now, Sort: admin.Sort{By: by, Desc: i%2 == 1}, Page: admin.Page{Limit: 50}}
			for _, f := range filters {
				f(&q)
			}
			spy.query = fmt.Sprintf("users: %+v", q)
			rows, err := d.ListUsers(t.Context(), q, nil)
			testkit.Must(t, err)
			if rows.Next != nil {
				_, err = d.ListUsers(t.Context(), q, rows.Next)
				testkit.Must(t, err)
			}
		}
	}
}

// listEverything reads the first and a further page of other lists, and what is read beside lists.
func listEverything(t *testing.T, d *DB, spy *planSpy, now time.Time) {
	ctx := t.Context()
	for what, f := range map[string]func() error{
		"roles":            func() error { _, err := d.Roles(ctx, 100); return err },
		"users by id":      func() error { _, err := d.UsersByID(ctx, []identity.UserID{"a", "b"}); return err },
		"administrators":   func() error { _, err := d.Administrators(ctx, 10); return err },
		"numbers, newest":  func() error { _, err := d.SessionMetrics(ctx, now, now, 100); return err },
		"administrators 2": func() error { _, err := d.Admins(ctx, 10); return err },
	} {
		spy.query = what
		testkit.Must(t, f())
	}
	for _, plan := range []string{planSort, planTerms + "0", planSmall + "0", planTerms + "1"} {
		spy.query = "users: plan " + plan
		q := UserQuery{Search: "name family", Now: now, Page: admin.Page{Limit: 50}}
		_, err := d.ListUsers(ctx, q, &admin.Position{Plan: plan, Text: "m", ID: "m"})
		testkit.Must(t, err)
	}
	for name, q := range map[string]ClientQuery{
		"all": {}, "word": {Search: "shop"}, "by creation": {Sort: admin.Sort{By: admin.OrderCreated, Desc: true}},
		"secrets": {SecretExpiresBefore: now},
	} {
		spy.query = "clients: " + name
		_, err := d.ListClients(ctx, q, nil)
		testkit.Must(t, err)
	}
	for name, q := range map[string]SessionQuery{
		"all": {}, "user": {User: "u"}, "address": {IPs: []string{"192.0.2.1"}}, "addresses": {IPs: []string{"192.0.2.1", "192.0.2.2"}},
		"old": {Before: now},
	} {
		spy.query, q.Now = "sessions: "+name, now
		for _, after := range []*admin.Position{nil, {Plan: planSort, Number: now.UnixMilli(), ID: "m"}} {
			_, err := d.ListSessions(ctx, q, after)
			testkit.Must(t, err)
		}
	}
	spy.query = "sessions: network"
	_, err := d.SessionAddresses(ctx, "192.0.", "192.0."+lastRune, 10)
	testkit.Must(t, err)
	for name, q := range map[string]admin.DeliveryQuery{
		"all": {Kind: outbox.KindMail}, "state": {Kind: outbox.KindMail, State: outbox.Dead},
		"queued": {State: outbox.Queued}, "recipient": {To: "a@example.com"},
	} {
		spy.query = "messages: " + name
		_, err := d.PageDeliveries(ctx, q, nil)
		testkit.Must(t, err)
	}
}

// planSpy explains each statement that reads a list, once, and reports those that scan a table.
type planSpy struct {
	sqldb.DB
	t     *testing.T
	query string
	known map[string]bool // the texts that were explained
}

var (
	listedTables = "(users|clients|user_terms|client_terms|sessions|outbox|locks)"
	scanOfSQLite = regexp.MustCompile(`SCAN ` + listedTables + `\b`)
	ofSome       = regexp.MustCompile(`INDEX (users_(disabled|locked|verified|unverified)|outbox_due)$`)
	scanOfPG     = regexp.MustCompile(`Seq Scan on ` + listedTables + `\b`)
	sortOfPG     = regexp.MustCompile(`^\s*(->\s+)?(Incremental )?Sort\b`)
)

func (s *planSpy) Row(ctx context.Context, text string, args ...any) sqldb.Row {
	s.explain(ctx, text, args)
	return s.DB.Row(ctx, text, args...)
}

func (s *planSpy) Rows(ctx context.Context, text string, args ...any) (sqldb.Rows, error) {
	s.explain(ctx, text, args)
	return s.DB.Rows(ctx, text, args...)
}

func (s *planSpy) explain(ctx context.Context, text string, args []any) {
	s.t.Helper()
	if s.known[text] {
		return
	}
	s.known[text] = true
	command := "EXPLAIN QUERY PLAN "
	if s.Engine() == sqldb.Postgres {
		command = "EXPLAIN "
	}
	rows, err := s.DB.Rows(ctx, command+text, args...)
	testkit.Must(s.t, err)
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var line string
		if s.Engine() == sqldb.Postgres {
			testkit.Must(s.t, rows.Scan(&line))
		} else {
			var id, parent, unused int64
			testkit.Must(s.t, rows.Scan(&id, &parent, &unused, &line))
		}
		plan = append(plan, line)
	}
	testkit.Must(s.t, rows.Err())
	for _, line := range plan {
		if s.bad(line, text, plan) {
			s.t.Errorf("%s: %s\n%s\n%s", s.query, line, text, strings.Join(plan, "\n"))
			return
		}
	}
}

// bad reports whether a step reads a table, or an index, from one end to the other, or sorts what
// it has read. Along an index and with a LIMIT it ends in time, unless the rows are sorted. Few
// rows, which an index has found, may be sorted.
func (s *planSpy) bad(line, text string, plan []string) bool {
	few := slices.ContainsFunc([]string{
		") few CROSS JOIN", "COUNT(DISTINCT", "user_terms WHERE term IN",
		"sessions.ip IN", // between the places that bound a walk
	}, func(mark string) bool { return strings.Contains(text, mark) })
	if s.Engine() == sqldb.Postgres {
		return scanOfPG.MatchString(line) || sortOfPG.MatchString(line) && !few
	}
	whole := strings.Join(plan, "\n")
	switch {
	case strings.Contains(whole, "TEMP B-TREE FOR") && !few:
		return true
	case !scanOfSQLite.MatchString(line) || ofSome.MatchString(line):
		return false
	case line == "SCAN sessions" && strings.Contains(whole, "CO-ROUTINE sessions"): // of a part of them
		return false
	}
	return !strings.Contains(line, "INDEX") || !strings.Contains(text, "LIMIT")
}
