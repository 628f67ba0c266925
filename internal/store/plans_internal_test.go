package store

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
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

// No list of users, clients, sessions or messages reads a table from one end to the other, whatever
// it is filtered by.
func TestListsUseIndexes(t *testing.T) {
	for engine, url := range map[string]func() string{
		"sqlite": func() string { return "sqlite:" + filepath.Join(t.TempDir(), "plans.db") },
		// Without sequential scans, one is in a plan only where no index serves.
		"postgres": func() string { return withOption(testkit.StartPostgres(t), "-c enable_seqscan=off") },
	} {
		t.Run(engine, func(t *testing.T) {
			d, err := Open(t.Context(), Options{URL: url()})
			testkit.Must(t, err)
			t.Cleanup(func() { _ = d.Close() })
			_, err = d.Migrate(t.Context())
			testkit.Must(t, err)
			now := time.UnixMilli(1_790_000_000_000)
			fillForPlans(t, d, now)
			spy := &planSpy{DB: d.sql, t: t}
			d.sql = spy
			listEverything(t, d, spy, now)
			if spy.statements < 60 {
				t.Errorf("only %d statements were looked at", spy.statements)
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
			Roles:       []string{fmt.Sprintf("role%d", i%300)},
			Disabled:    i%100 == 0,
			CreatedAt:   now.Add(time.Duration(i-4000) * time.Second),
			LastLoginAt: now.Add(time.Duration(i-4000) * time.Second),
		})
	}
	testkit.Must(t, d.ImportUsers(t.Context(), users, nil))
	_, err := d.sql.Exec(t.Context(), "ANALYZE")
	testkit.Must(t, err)
}

// listEverything reads the first and a further page of lists with all filters.
func listEverything(t *testing.T, d *DB, spy *planSpy, now time.Time) {
	ctx, yes := t.Context(), true
	hour := admin.TimeRange{From: now.Add(-time.Hour), Until: now}
	for name, q := range map[string]UserQuery{
		"all":              {},
		"by name":          {Sort: admin.Sort{By: admin.OrderName}},
		"by last sign-in":  {Sort: admin.Sort{By: admin.OrderLastLogin, Desc: true}},
		"word":             {Search: "mül"},
		"many words":       {Search: "name family"},
		"address":          {Search: "u1@ex"},
		"id":               {Search: secret.NewID(now)},
		"role":             {Role: "role1"},
		"disabled":         {Status: admin.UserDisabled},
		"locked":           {Status: admin.UserLocked},
		"active":           {Status: admin.UserActive},
		"verified":         {Verified: &yes},
		"created":          {Created: hour},
		"last sign-in":     {LastLogin: hour, Sort: admin.Sort{By: admin.OrderLastLogin}},
		"everything":       {Search: "name", Role: "role1", Status: admin.UserDisabled, Verified: &yes, Created: hour, LastLogin: hour},
		"created, by name": {Created: hour, Sort: admin.Sort{By: admin.OrderName}},
	} {
		spy.query, q.Now, q.Page.Limit = "users: "+name, now, 50
		rows, err := d.ListUsers(ctx, q, nil)
		testkit.Must(t, err)
		if rows.Next != nil {
			_, err = d.ListUsers(ctx, q, rows.Next)
			testkit.Must(t, err)
		}
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

// planSpy explains each statement that reads a list, and reports those that scan a table.
type planSpy struct {
	sqldb.DB
	t          *testing.T
	query      string
	statements int
}

var (
	listedTables = "(users|clients|user_terms|client_terms|sessions|outbox|locks)"
	scanOfSQLite = regexp.MustCompile(`SCAN ` + listedTables + `\b`)
	ofSome       = regexp.MustCompile(`INDEX (users_(disabled|locked|verified|unverified)|outbox_due)$`)
	scanOfPG     = regexp.MustCompile(`Seq Scan on ` + listedTables + `\b`)
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
	s.statements++
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

// bad reports whether a step reads a table, or an index, from one end to the other. Along an index
// and with a LIMIT it ends in time, unless the rows are sorted.
func (s *planSpy) bad(line, text string, plan []string) bool {
	if s.Engine() == sqldb.Postgres {
		return scanOfPG.MatchString(line)
	}
	if !scanOfSQLite.MatchString(line) {
		return false
	}
	if ofSome.MatchString(line) {
		return false
	}
	sorts := strings.Contains(strings.Join(plan, "\n"), "TEMP B-TREE FOR ORDER BY")
	return !strings.Contains(line, "INDEX") || !strings.Contains(text, "LIMIT") || sorts
}
