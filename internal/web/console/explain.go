package console

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// ExplainView shows why a request was denied.
type ExplainView struct {
	Base
	Search Search
	Denial []Fact // by the gateway
	Remedy string // of that, or ""
	Events Table
	Found  bool
	Same   Same
}

// Page names the template.
func (*ExplainView) Page() string { return "explain" }

func (s *Server) showExplain(w http.ResponseWriter, r *http.Request, q *request) error {
	id := strings.TrimSpace(q.form.Get("request"))
	v := &ExplainView{Base: s.begin(r, q, "Explain a request")}
	v.Lead = "Enter the id that an error page or the header X-Request-Id shows."
	v.Crumbs = []Link{{"Audit log", Root + "/audit"}}
	v.Search = Search{
		Action: Root + "/audit/explain",
		Active: id != "",
		Texts:  []TextFilter{{Name: "request", Label: "Request ID", Value: id}},
	}
	v.Same = s.same("GET", "/api/v1/explain/REQUEST-ID", nil, "explain", "REQUEST-ID")
	if id == "" {
		return s.show(w, http.StatusOK, v)
	}
	v.Same = s.same("GET", "/api/v1/explain/"+url.PathEscape(id), nil, "explain", id)
	if err := s.explain(r.Context(), v, q, id); err != nil {
		if !fault.Is(err, fault.NotFound) {
			return err
		}
		v.Problem, v.code = sentence(err.Error()), http.StatusNotFound
	}
	return s.show(w, v.status(), v)
}

// explain sets what is known of a request.
func (s *Server) explain(ctx context.Context, v *ExplainView, q *request, id string) error {
	x, err := s.ops.Explain(ctx, q.actor, id)
	if err != nil {
		return err
	}
	v.Found = true
	if len(x.Events) > 0 {
		v.Events = s.auditTable(&v.Base, &admin.EventPage{Events: x.Events})
	}
	d := x.Denial
	if d == nil {
		return nil
	}
	v.Remedy = sentence(d.Denial.Remedy)
	v.Denial = []Fact{
		{Name: "Request", Cell: codeCell(d.Method + " " + d.Host + d.Path)},
		{Name: "Time", Cell: v.timeCell(d.At, "")},
		{Name: "Address", Cell: s.place(d.IP)},
		{Name: "Answer", Cell: textCell(grouped(d.Status) + " " + http.StatusText(d.Status))},
		{Name: "Route", Cell: Cell{Text: d.RouteName, Sub: d.Route, Never: "No route has this address"}},
		{Name: "Client", Cell: thingCell(audit.TargetClient, d.Caller.Client, &admin.EventPage{})},
		{Name: "User", Cell: thingCell(audit.TargetUser, d.Caller.User, &admin.EventPage{})},
		{Name: "Rule", Cell: codeCell(d.Denial.Rule)},
		{Name: "Reason", Cell: textCell(sentence(d.Denial.Reason))},
		{Name: "Needed", Cell: textCell(strings.Join(d.Denial.Needed, " "))},
		{Name: "Found", Cell: textCell(strings.Join(d.Denial.Had, " "))},
	}
	switch x.RouteState {
	case admin.RouteChanged:
		v.Denial[4].Note = &Cell{Badge: "warn", Text: "Changed since"}
	case admin.RouteDeleted:
		v.Denial[4].Note = &Cell{Badge: "warn", Text: "Deleted since"}
	}
	return nil
}

// DenialsView lists what the gateway has denied.
type DenialsView struct {
	Base
	Search Search
	Table  Table
	Pager  Pager
	Empty  *Empty // instead of the list, or nil
	Same   Same
}

// Page names the template.
func (*DenialsView) Page() string { return "denials" }

func (s *Server) showDenials(w http.ResponseWriter, r *http.Request, q *request) error {
	client := strings.TrimSpace(q.form.Get("client"))
	v := &DenialsView{Base: s.begin(r, q, "Denied by the gateway")}
	v.Lead = "Requests of the last day, newest first."
	v.Crumbs = []Link{{"Audit log", Root + "/audit"}}
	page, err := s.ops.Denials(r.Context(), q.actor, admin.DenialQuery{Client: client, Page: pageOf(q.form)})
	if err != nil {
		return err
	}
	v.Search = Search{
		Action: Root + "/audit/denials",
		Active: client != "",
		Texts:  []TextFilter{{Name: "client", Label: "Client", Hint: "Client ID", Value: client}},
	}
	v.Table = s.denialTable(&v.Base, page.Items)
	v.Pager = pagerOf(page, Root+"/audit/denials", q.form, []string{"client"}, "request")
	if len(page.Items) == 0 {
		v.Empty = &Empty{Icon: "list", Title: "No denial", Text: "The gateway has denied no such request in the last day."}
	}
	v.Same = s.same("GET", with("/api/v1/denials", "client_id", client), nil, "audit", "denials", "--client="+client)
	return s.show(w, http.StatusOK, v)
}

// denialTable lists denials of the gateway, each with a link to its explanation.
func (s *Server) denialTable(b *Base, all []access.DenialRecord) Table {
	t := Table{Caption: "Denied by the gateway", Columns: []Column{
		{Name: "Request"}, {Name: "Denied by"}, {Name: "Client", Wide: true}, {Name: "From", Wide: true}, {Name: "Time"},
	}}
	for i := range all {
		d := &all[i]
		t.Rows = append(t.Rows, Row{
			ID:   d.RequestID,
			Name: d.Method + " " + d.Path,
			Cells: []Cell{
				{Text: d.Method + " " + d.Path, Sub: d.RouteName, Code: true},
				{Text: d.Denial.Rule, Sub: grouped(d.Status) + " " + http.StatusText(d.Status)},
				thingCell(audit.TargetClient, d.Caller.Client, &admin.EventPage{}),
				s.place(d.IP),
				b.timeCell(d.At, ""),
			},
			Links: []Link{{"Explain", with(Root+"/audit/explain", "request", d.RequestID)}},
		})
	}
	return t
}
