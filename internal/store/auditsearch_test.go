package store_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// TestAuditSearch compares every kind of query, page by page, with a search of all events in
// memory.
func TestAuditSearch(t *testing.T) {
	onBoth(t, func(t *testing.T, url func(testing.TB) string) {
		l := newLedger(t, url(t))
		all := l.various(t, 400)
		for name, q := range map[string]admin.AuditQuery{
			"all":              {},
			"a type":           {Type: audit.LoginFailed},
			"types":            {Types: []audit.Type{audit.LoginFailed, audit.UserUpdated, audit.ScopeUpdated}},
			"a user":           {User: "u1"},
			"an actor":         {Actor: "u1"},
			"a client":         {Client: "c1"},
			"a client acts":    {Actor: "c1"},
			"cli":              {Actor: "cli"},
			"user and type":    {User: "u1", Type: audit.LoginFailed},
			"user by actor":    {User: "u1", Actor: "u2"},
			"actor and client": {Actor: "u2", Client: "c1"},
			"a scope":          {TargetType: audit.TargetScope, TargetID: "s1"},
			"scopes":           {TargetType: audit.TargetScope},
			"user as target":   {TargetType: audit.TargetUser, TargetID: "u1"},
			"an address":       {IP: "192.0.2.1"},
			"a network":        {Network: netip.MustParsePrefix("192.0.2.0/31")},
			"a reason":         {Reason: audit.ReasonWrongPassword, Type: audit.LoginFailed},
			"failures":         {Failures: true},
			"of a client":      {Failures: true, Client: "c1"},
			"of a user":        {Failures: true, User: "u1"},
			"a text":           {Text: "METHOD=pass"},
			"text of a user":   {Text: "browser/2", User: "u1"},
			"a time":           {Since: l.now.Add(-100 * time.Second), Until: l.now.Add(-50 * time.Second)},
			"type and time":    {Type: audit.LoginFailed, Since: l.now.Add(-300 * time.Second)},
			"nothing":          {User: "nobody", Text: "xyz"},
		} {
			var want []string
			for i := len(all) - 1; i >= 0; i-- {
				if matches(&q, &all[i]) {
					want = append(want, all[i].ID)
				}
			}
			var got []string
			var after *admin.Position
			for pages := 0; pages < 500; pages++ {
				rows, err := l.db.SearchAudit(t.Context(), q, admin.Page{Limit: 7}, after)
				testkit.Must(t, err)
				for i := range rows.Items {
					got = append(got, rows.Items[i].ID)
				}
				if rows.AtLeast == (rows.Total == len(want)) && rows.Next == nil {
					t.Errorf("%s: total %d (at least: %v), want %d", name, rows.Total, rows.AtLeast, len(want))
				}
				if after = rows.Next; after == nil {
					break
				}
			}
			testkit.Equal(t, "events of "+name, strings.Join(got, " "), strings.Join(want, " "))
			exact, err := l.db.SearchAudit(t.Context(), q, admin.Page{Limit: 1, Exact: true}, nil)
			testkit.Must(t, err)
			testkit.Equal(t, "total of "+name, exact.Total, len(want))
			n, err := l.db.CountAudit(t.Context(), q)
			testkit.Must(t, err)
			testkit.Equal(t, "count of "+name, n, len(want))
		}
	})
}

// various records n events of different kinds.
func (l *ledger) various(t *testing.T, n int) (all []audit.Event) {
	t.Helper()
	for i := range n {
		l.now = l.now.Add(time.Second)
		e := audit.Event{ID: secret.NewID(l.now), At: l.now, IP: fmt.Sprintf("192.0.2.%d", i%5), Agent: fmt.Sprintf("Browser/%d", i%3)}
		switch i % 6 {
		case 0:
			e.Type, e.User, e.Actor = audit.LoginSucceeded, fmt.Sprintf("u%d", i%4), fmt.Sprintf("u%d", i%4)
			e.Detail = map[string]string{"method": "password"}
		case 1:
			e.Type, e.User, e.Reason = audit.LoginFailed, fmt.Sprintf("u%d", i%4), audit.ReasonWrongPassword
		case 2:
			e.Type, e.Client, e.Actor = audit.ClientCredentialsIssued, fmt.Sprintf("c%d", i%3), fmt.Sprintf("c%d", i%3)
		case 3:
			e.Type, e.Client, e.Actor, e.User = audit.RefreshTokenUsed, fmt.Sprintf("c%d", i%3), fmt.Sprintf("c%d", i%3), fmt.Sprintf("u%d", i%4)
		case 4:
			e.Type, e.Actor, e.User = audit.UserUpdated, "u2", fmt.Sprintf("u%d", i%4)
			if i%5 == 0 {
				e.Type, e.Client, e.Reason = audit.ClientAuthFailed, fmt.Sprintf("c%d", i%3), "wrong_secret"
			}
		case 5:
			e.Type, e.Actor, e.TargetType, e.TargetID = audit.ScopeUpdated, "cli", audit.TargetScope, fmt.Sprintf("s%d", i%2)
		}
		all = append(all, e)
	}
	testkit.Must(t, l.db.Record(t.Context(), all...))
	return all
}

// matches reports whether a query selects an event.
func matches(q *admin.AuditQuery, e *audit.Event) bool {
	types := q.Types
	if q.Type != "" {
		types = append(types, q.Type)
	}
	typed := len(types) == 0
	for _, t := range types {
		typed = typed || t == e.Type
	}
	is := func(want, got string) bool { return want == "" || want == got }
	kind, id := e.Target()
	if q.TargetType == audit.TargetUser {
		kind, id = audit.TargetUser, e.User
	} else if e.TargetType == "" {
		kind, id = "", ""
	}
	a, _ := netip.ParseAddr(e.IP)
	text := strings.ToLower(e.Agent + " method=" + e.Detail["method"])
	return typed && is(q.User, e.User) && is(q.Actor, e.Actor) && is(q.Client, e.Client) &&
		is(q.TargetType, kind) && is(q.TargetID, id) && is(q.IP, e.IP) && is(q.Reason, e.Reason) &&
		(!q.Failures || e.Reason != "") && (!q.Network.IsValid() || q.Network.Contains(a)) && strings.Contains(text, strings.ToLower(q.Text)) &&
		(q.Since.IsZero() || !e.At.Before(q.Since)) && (q.Until.IsZero() || e.At.Before(q.Until))
}

// TestAuditPlans checks that the indexes serve the searches that must be fast.
func TestAuditPlans(t *testing.T) {
	l := newLedger(t, storetest.SQLite(t))
	for what, want := range map[string]string{
		"user_id <> '' AND user_id = 'x'":                         "audit_log_user",
		"client_id <> '' AND client_id = 'x'":                     "audit_log_client",
		"actor <> user_id AND actor <> client_id AND actor = 'x'": "audit_log_actor",
		"type <> 'ACCESS_TOKEN_ISSUED' AND type <> 'CLIENT_CREDENTIALS_TOKEN_ISSUED' AND" +
			" type <> 'REFRESH_TOKEN_USED' AND type <> 'TOKENS_ISSUED' AND type IN ('x', 'y')": "audit_log_rare",
		"target_id <> '' AND target_type = 'x' AND target_id = 'y'": "audit_log_target",
		"reason <> '' AND request_id = 'x'":                         "audit_log_failed_request",
		"reason <> '' AND client_id = 'x'":                          "audit_log_failures",
	} {
		rows, err := l.raw.Rows(t.Context(), "EXPLAIN QUERY PLAN SELECT * FROM audit_log WHERE "+what+
			" AND id >= '' AND id < 'z' ORDER BY id DESC LIMIT 50")
		testkit.Must(t, err)
		plan := ""
		for rows.Next() {
			var a, b, c int64
			var line string
			testkit.Must(t, rows.Scan(&a, &b, &c, &line))
			plan += line + "; "
		}
		if !strings.Contains(plan, want) || strings.Contains(plan, "SCAN") {
			t.Errorf("%s: %s", what, plan)
		}
	}
}
