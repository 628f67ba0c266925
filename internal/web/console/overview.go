package console

import (
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/admin"
)

// overviewSection returns the first page.
func (s *Server) overviewSection() section {
	return section{
		name: "Overview",
		icon: "home",
		routes: []route{
			{"GET /admin", []string{"Overview", "Events"}, s.showOverview},
			{"GET /admin/confirm", nil, s.showConfirm},
			{"GET /admin/{$}", nil, func(w http.ResponseWriter, r *http.Request, _ *request) error {
				return seeOther(w, r, Root)
			}},
		},
		views: []View{&OverviewView{}},
	}
}

// OverviewView is the first page.
type OverviewView struct {
	Base
	Attention []Task
	Numbers   []Number
	Periods   []MenuItem
	Charts    []Chart
	Events    Table
	Same      Same
}

// Task is something that needs attention.
type Task struct {
	Text string
	Link Link
}

// Number is how many things there are.
type Number struct{ Value, Text, URL string }

// Page names the template.
func (*OverviewView) Page() string { return "overview" }

func (s *Server) showOverview(w http.ResponseWriter, r *http.Request, q *request) error {
	v := &OverviewView{Base: s.begin(r, q, "Overview")}
	if q.actor.Can(admin.ScopeMetricsRead) {
		x, err := s.ops.Overview(r.Context(), q.actor, q.form.Get("period"))
		if err != nil {
			return err
		}
		v.Periods, v.Charts = periods(x.Period), v.overviewCharts(x)
		v.Numbers, v.Attention = sizeNumbers(&x.Sizes, q.actor), sizeTasks(&x.Sizes, q.actor)
		v.Same = s.same("GET", with("/api/v1/metrics/overview", "period", x.Period), nil,
			"overview", "--period="+x.Period)
	}
	if q.actor.Can(admin.ScopeAuditRead) {
		page, err := s.ops.Events(r.Context(), q.actor, admin.AuditQuery{Limit: fewEvents})
		if err != nil {
			return err
		}
		v.Events = s.eventTable(&v.Base, "Last events", page, true)
	}
	return s.show(w, http.StatusOK, v)
}

// periods returns the links to the periods of the overview.
func periods(current string) []MenuItem {
	var out []MenuItem
	for _, p := range []struct{ period, name string }{
		{admin.PeriodDay, "24 hours"}, {admin.PeriodWeek, "7 days"}, {admin.PeriodMonth, "30 days"},
	} {
		out = append(out, MenuItem{
			Name:    p.name,
			URL:     with(Root, "period", p.period),
			Current: p.period == current,
		})
	}
	return out
}

// overviewCharts draws the series of an overview.
func (b *Base) overviewCharts(x *admin.Overview) []Chart {
	var out []Chart
	for _, c := range []struct {
		id, title, tone string
		numbers         []int
	}{
		{"c-sign-ins", "Sign-ins", "", x.SignIns},
		{"c-failures", "Failed sign-ins", "alarm", x.Failures},
		{"c-locks", "Locked accounts", "alarm", x.Locks},
		{"c-tokens", "Tokens issued", "", x.Tokens},
		{"c-sessions", "Active sessions", "quiet", x.Sessions},
	} {
		chart := newChart(*b, Series{ID: c.id, Title: c.title, From: x.From, Step: x.Step, Numbers: c.numbers})
		if c.id == "c-sessions" {
			chart.Total = grouped(c.numbers[len(c.numbers)-1])
		}
		chart.Tone = c.tone
		out = append(out, chart)
	}
	return out
}

func sizeText(s admin.Size) string {
	if s.AtLeast {
		return grouped(s.N) + "+"
	}
	return grouped(s.N)
}

// sizeNumbers returns how many things there are, with links to those that the actor may see.
func sizeNumbers(s *admin.Sizes, a admin.Actor) []Number {
	out := []Number{
		{sizeText(s.Users), "Users", Root + "/users"},
		{sizeText(s.Sessions), "Active sessions", Root + "/sessions"},
		{sizeText(s.Clients), "Apps", ""},
	}
	if !a.Can(admin.ScopeUsersRead) {
		out[0].URL = ""
	}
	if !a.Can(admin.ScopeSessionsRead) {
		out[1].URL = ""
	}
	return out
}

// sizeTasks returns what needs attention, of what the actor may look at.
func sizeTasks(s *admin.Sizes, a admin.Actor) []Task {
	var out []Task
	x := &s.Attention
	for _, t := range []struct {
		size        admin.Size
		scope       admin.Scope
		thing, text string
		url         string
	}{
		{s.LockedUsers, admin.ScopeUsersRead, "account", " locked after failed attempts to sign in.", "/users?status=locked"},
		{s.DeadMail, admin.ScopeMailRead, "message", " could not be delivered.", "/mail?state=dead"},
		{x.ExpiringSecrets, admin.ScopeClientsRead, "client", " with a secret that expires within 30 days.", "/clients?secrets=expiring"},
		{x.FailingSinks, admin.ScopeAuditRead, "target", " of the audit log cannot be reached.", "/audit/sinks"},
		{x.Gaps, admin.ScopeAuditRead, "gap", " in what a target of the audit log has, of the last 30 days.", "/audit/sinks"},
		{x.EndedWebhooks, admin.ScopeWebhooksRead, "webhook", " switched off because the target is gone.", "/webhooks"},
		{x.OldKeys, admin.ScopeKeysRead, "signing key", " due for rotation after more than a year.", "/keys"},
	} {
		if t.size.N > 0 && a.Can(t.scope) {
			out = append(out, Task{count(t.size.N, t.thing) + t.text, Link{"Show", Root + t.url}})
		}
	}
	return out
}
