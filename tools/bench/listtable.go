package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/store"
)

// A choice is one value of a filter of a list of type Q.
type choice[Q any] struct {
	name string
	set  func(q *Q, i int)
}

// combined returns no choice, each choice alone, and every two choices of different filters.
func combined[Q any](filters [][]choice[Q]) [][]choice[Q] {
	all := [][]choice[Q]{nil}
	for i, filter := range filters {
		for _, one := range filter {
			all = append(all, []choice[Q]{one})
			for _, other := range filters[i+1:] {
				for _, two := range other {
					all = append(all, []choice[Q]{one, two})
				}
			}
		}
	}
	return all
}

// named returns the name of choices.
func named[Q any](of string, choices []choice[Q]) string {
	names := []string{of}
	for _, c := range choices {
		names = append(names, c.name)
	}
	return strings.Join(names, ", ")
}

// userChoices returns the filters of the list of users.
func (m *listMeter) userChoices() [][]choice[store.UserQuery] {
	type Q = store.UserQuery
	yes, no := true, false
	last := m.w.begin.Add(time.Duration(m.w.size) * m.w.pace)
	week := admin.TimeRange{From: last.Add(-7 * 24 * time.Hour), Until: last}
	most := admin.TimeRange{From: m.w.begin.Add(time.Hour)}
	search := func(name, format string, numbers ...int) choice[Q] {
		return choice[Q]{name, func(q *Q, i int) {
			args := make([]any, len(numbers))
			for k, factor := range numbers {
				args[k] = i * factor
			}
			q.Search = fmt.Sprintf(format, args...)
		}}
	}
	role := func(name string) choice[Q] { return choice[Q]{"role " + name, func(q *Q, _ int) { q.Role = name }} }
	status := func(name string) choice[Q] { return choice[Q]{name, func(q *Q, _ int) { q.Status = name }} }
	return [][]choice[Q]{
		{
			search("a common word", "ad"), search("a rare word", "family%d", 101),
			search("two words", "ada family%d", 101), search("two common words", "ada famil"),
			search("an address", "listed%d@ex", 97), search("nothing", "zzz%d", 1),
		},
		{role("staff"), role("medium"), role("rare"), role("nobody")},
		{status(admin.UserDisabled), status(admin.UserLocked), status(admin.UserActive)},
		{{"verified", func(q *Q, _ int) { q.Verified = &yes }}, {"unverified", func(q *Q, _ int) { q.Verified = &no }}},
		{{"created last week", func(q *Q, _ int) { q.Created = week }}, {"created since", func(q *Q, _ int) { q.Created = most }}},
		{{"seen last week", func(q *Q, _ int) { q.LastLogin = week }}, {"seen since", func(q *Q, _ int) { q.LastLogin = most }}},
	}
}

// users measures lists of users: every filter and every two of them, in each order, and pages far
// from the first one.
func (m *listMeter) users() error {
	orders := []admin.Sort{
		{By: admin.OrderCreated, Desc: true},
		{By: admin.OrderName},
		{By: admin.OrderLastLogin, Desc: true},
		{By: admin.OrderCreated},
		{By: admin.OrderName, Desc: true},
		{By: admin.OrderLastLogin},
	}
	for n, choices := range combined(m.userChoices()) {
		for k, order := range orders {
			if len(choices) > 1 && k != n%len(orders) {
				continue // two filters: in one order each
			}
			name := named("users", choices) + ", by " + order.By
			if order.Desc {
				name += " down"
			}
			query := func(i int) store.UserQuery {
				q := store.UserQuery{Now: time.Now(), Sort: order, Page: admin.Page{Limit: 50}}
				for _, c := range choices {
					c.set(&q, i)
				}
				return q
			}
			if err := readPages(m, name, listGoal, query, m.db.ListUsers); err != nil {
				return err
			}
		}
	}
	return nil
}

// readPages measures the first page of a list, the page behind it, and the page behind the 10,000th
// item. Query returns the i-th query; where all are the same, pages are read by turns.
func readPages[Q, T any](
	m *listMeter, name string, goal time.Duration, query func(i int) Q,
	list func(context.Context, Q, *admin.Position) (admin.Rows[T], error),
) error {
	var after *admin.Position
	steady := fmt.Sprintf("%+v", pageless(query(1))) == fmt.Sprintf("%+v", pageless(query(2)))
	err := m.read(name, goal, func(i int) error {
		rows, err := list(m.ctx, query(i), after)
		if after = nil; steady && i%2 == 0 {
			after = rows.Next
		}
		return err
	})
	if err != nil || !steady {
		return err
	}
	far := query(0)
	setOffset(&far, min(admin.MaxOffset, m.w.size/2))
	rows, err := list(m.ctx, far, nil)
	if err != nil || rows.Next == nil {
		return err
	}
	return m.read(name+", far", goal, func(i int) error {
		_, err := list(m.ctx, query(i), rows.Next)
		return err
	})
}

// pageless returns a query of users without the time at which it is asked.
func pageless(q any) any {
	switch q := q.(type) {
	case store.UserQuery:
		q.Now = time.Time{}
		return q
	case store.SessionQuery:
		q.Now = time.Time{}
		return q
	}
	return q
}

// setOffset makes a query one of a later page.
func setOffset(q any, n int) {
	switch q := q.(type) {
	case *store.UserQuery:
		q.Page.Offset = n
	case *store.SessionQuery:
		q.Page.Offset = n
	case *store.ClientQuery:
		q.Page.Offset = n
	}
}

// sessions measures lists of sessions, and their number.
func (m *listMeter) sessions() error {
	type Q = store.SessionQuery
	hourAgo := time.Now().Add(-time.Hour)
	network := func(i int) string { return fmt.Sprintf("192.0.2.%d", i%listedNetworks) }
	filters := [][]choice[Q]{
		{
			{"an address", func(q *Q, _ int) { q.IPs = []string{network(7)} }},
			{"addresses", func(q *Q, _ int) { q.IPs = []string{network(7), network(8), network(9)} }},
			{"a user", func(q *Q, i int) { q.User = identity.UserID(m.w.id(kindListed, i*97%m.w.size)) }},
		},
		{
			{"old", func(q *Q, _ int) { q.Before = m.w.begin.Add(24 * time.Hour) }},
			{"all but new", func(q *Q, _ int) { q.Before = hourAgo }},
		},
		{{"not of administrators", func(q *Q, _ int) { q.ExceptRoles = []string{"super_admin", "admin"} }}},
	}
	for _, choices := range combined(filters) {
		err := readPages(m, named("sessions", choices), listGoal, func(i int) Q {
			q := Q{Now: time.Now(), Page: admin.Page{Limit: 50}}
			for _, c := range choices {
				c.set(&q, i)
			}
			return q
		}, m.db.ListSessions)
		if err != nil {
			return err
		}
	}
	return m.read("sessions, their number", listGoal, func(int) error {
		now := time.Now()
		_, err := m.db.SessionMetrics(m.ctx, now, now.Truncate(24*time.Hour), admin.MaxTotal)
		return err
	})
}

// clients measures lists of clients.
func (m *listMeter) clients() error {
	type Q = store.ClientQuery
	filters := [][]choice[Q]{
		{
			{"a common word", func(q *Q, _ int) { q.Search = "appl" }},
			{"a rare word", func(q *Q, i int) { q.Search = fmt.Sprintf("number%d", i*101) }},
		},
		{
			{"public", func(q *Q, _ int) { q.Type = admin.ClientPublic }},
			{"confidential", func(q *Q, _ int) { q.Type = admin.ClientConfidential }},
		},
		{{"secret ends", func(q *Q, _ int) { q.SecretExpiresBefore = time.Now().Add(365 * 24 * time.Hour) }}},
	}
	for n, choices := range combined(filters) {
		order := admin.Sort{By: []string{admin.OrderName, admin.OrderCreated}[n%2], Desc: n%4 > 1}
		err := readPages(m, named("clients", choices)+", by "+order.By, listGoal, func(i int) Q {
			q := Q{Sort: order, Page: admin.Page{Limit: 50}}
			for _, c := range choices {
				c.set(&q, i)
			}
			return q
		}, m.db.ListClients)
		if err != nil {
			return err
		}
	}
	return nil
}

// eventChoices returns the filters of the search of the audit log.
func (m *listMeter) eventChoices() [][]choice[admin.AuditQuery] {
	type Q = admin.AuditQuery
	day := 24 * time.Hour
	at := func(i int) time.Time { return m.w.begin.Add(time.Duration(i%290) * day) }
	types := func(name string, all ...audit.Type) choice[Q] {
		return choice[Q]{name, func(q *Q, _ int) { q.Types = all }}
	}
	spread := func(i int) string { return m.w.id(kindListed, i*max(m.w.size/listReads, 1)%m.w.size) }
	return [][]choice[Q]{
		{
			types("a common event", audit.LoginFailed), types("a rare event", audit.ClientCreated),
			types("no such event", audit.KeyRetired), types("an event of each token", audit.RefreshTokenUsed),
			types("several events", audit.LoginFailed, audit.LoginSucceeded, audit.UserCreated),
		},
		{
			{"a user", func(q *Q, i int) { q.User = spread(i) }},
			{"an actor", func(q *Q, i int) { q.Actor = spread(i) }},
			{"a client", func(q *Q, i int) { q.Client = fmt.Sprintf("app%d", i%listedClients) }},
			{"a thing", func(q *Q, _ int) { q.TargetType, q.TargetID = audit.TargetScope, "read" }},
		},
		{
			{"an address", func(q *Q, i int) { q.IP = fmt.Sprintf("192.0.2.%d", i%listedNetworks) }},
			{"a reason", func(q *Q, _ int) { q.Reason = "wrong_password" }},
			{"a text", func(q *Q, _ int) { q.Text = "no such text" }},
		},
		{
			{"a day", func(q *Q, i int) { q.Since, q.Until = at(i), at(i).Add(day) }},
			{"a week", func(q *Q, i int) { q.Since, q.Until = at(i), at(i).Add(7*day) }},
			{"most of the time", func(q *Q, _ int) { q.Since = m.w.begin.Add(day) }},
		},
	}
}

// events measures searches of the audit log: every filter, and every two of them.
func (m *listMeter) events() error {
	for _, choices := range combined(m.eventChoices()) {
		var after *admin.Position
		err := m.read(named("audit", choices), searchGoal, func(i int) error {
			q := admin.AuditQuery{Limit: 50}
			for _, c := range choices {
				c.set(&q, i/2)
			}
			rows, err := m.db.SearchAudit(m.ctx, q, admin.Page{Limit: 50}, after)
			if after = nil; i%2 == 0 {
				after = rows.Next
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// summary prints how many queries were slower than their goals, and the slowest.
func (m *listMeter) summary() {
	over := 0
	for _, r := range m.reads {
		if r.p99 > r.goal {
			over++
		}
	}
	fmt.Printf("%s: %d queries, %d of them over their goal. The slowest:\n", m.engine, len(m.reads), over)
	slices.SortFunc(m.reads, func(a, b readTime) int { return int(b.p99 - a.p99) })
	for _, r := range m.reads[:min(len(m.reads), 25)] {
		fmt.Printf("  p50 %-9s p99 %-9s %s\n", brief(r.p50), brief(r.p99), r.name)
	}
}

// readTime is how long a query took.
type readTime struct {
	name           string
	p50, p99, goal time.Duration
}
