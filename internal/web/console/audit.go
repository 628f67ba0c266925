package console

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// auditSection lists what has happened.
func (s *Server) auditSection() section {
	return section{
		path:  "/audit",
		name:  "Audit log",
		icon:  "list",
		group: "Events",
		scope: admin.ScopeAuditRead,
		routes: append([]route{
			{"GET /admin/audit", []string{"Events"}, s.showAudit},
			{"GET /admin/audit/explain", []string{"Explain"}, s.showExplain},
			{"GET /admin/audit/denials", []string{"Denials"}, s.showDenials},
			{"GET /admin/audit/export", []string{"ExportEvents"}, s.exportAudit},
			{"GET /admin/audit/proofs", []string{"ExportProofs"}, s.exportProofs},
			{"GET /admin/audit/sinks", []string{"AuditSinks", "AuditGaps", "AuditCheckpoint"}, s.showSinks},
			{"GET /admin/audit/{event}", []string{"Event", "ProveEvent"}, s.showEvent},
		}, actionRoutes("/admin/audit/sinks", s.cleanupAction(), s.loadSinks)...),
		views: []View{&AuditView{}, &EventView{}, &ExplainView{}, &DenialsView{}, &SinksView{}},
		notes: map[string]string{"cleaned": "The old events were removed."},
	}
}

// AuditView lists events.
type AuditView struct {
	Base
	Search Search
	Table  Table
	Pager  Pager
	Empty  *Empty // instead of the list, or nil
	Links  []Link // further pages of the log
	Same   Same
}

// Page names the template.
func (*AuditView) Page() string { return "audit" }

// auditFilters returns the parameters of the list's address.
func auditFilters() []string {
	return []string{"event", "actor", "user", "client", "target", "failed", "ip", "text", "from", "to"}
}

// auditQuery returns which events a form selects.
func auditQuery(form url.Values) (admin.AuditQuery, error) {
	q := admin.AuditQuery{
		Event:  strings.TrimSpace(form.Get("event")),
		Actor:  strings.TrimSpace(form.Get("actor")),
		Text:   strings.TrimSpace(form.Get("text")),
		User:   strings.TrimSpace(form.Get("user")),
		Client: strings.TrimSpace(form.Get("client")),
		IP:     strings.TrimSpace(form.Get("ip")),
		Limit:  pageSize,
		Cursor: form.Get("cursor"),

		Failures: form.Get("failed") != "",
	}
	q.TargetType, q.TargetID, _ = strings.Cut(strings.TrimSpace(form.Get("target")), ":")
	var err, err2 error
	q.Since, err = dateOf(form, "from", false)
	q.Until, err2 = dateOf(form, "to", true)
	return q, fault.Join(err, err2)
}

// dateOf reads a date or a time of a form. The end of a range includes its day.
func dateOf(form url.Values, name string, end bool) (time.Time, error) {
	value := strings.TrimSpace(form.Get(name))
	if value == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, value); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.DateOnly, value)
	if err != nil {
		return t, fault.InvalidField(name, "%q is not a date such as 2026-05-04, or a time such as "+
			"2026-05-04T10:00:00Z.", value)
	}
	if end {
		t = t.AddDate(0, 0, 1)
	}
	return t, nil
}

func (s *Server) showAudit(w http.ResponseWriter, r *http.Request, q *request) error {
	v := &AuditView{Base: s.begin(r, q, "Audit log")}
	v.Lead = "What people, apps and administrators did, newest first."
	query, err := auditQuery(q.form)
	page := &admin.EventPage{}
	if err == nil {
		var found *admin.EventPage
		if found, err = s.ops.Events(r.Context(), q.actor, query); err == nil {
			page = found
		}
	}
	if err != nil {
		if err := retry(&v.Base, q, err); err != nil {
			return err
		}
	}
	v.Search = auditSearch(q.form)
	v.Table = s.auditTable(&v.Base, page)
	v.Pager = auditPager(q.form, page)
	if len(page.Events) == 0 {
		v.Empty = &Empty{Icon: "list", Title: "No event", Text: "Nothing has happened that the filters select."}
	}
	v.Links = s.auditLinks(q)
	args := []string{"audit", "list", "--type=" + query.Event}
	for _, name := range auditFilters()[1:] {
		switch {
		case name != "failed":
			args = append(args, "--"+name+"="+q.form.Get(name))
		case query.Failures:
			args = append(args, "--failed")
		}
	}
	failed := ""
	if query.Failures {
		failed = "true"
	}
	path := keep("/api/v1/audit-logs", q.form, []string{"event", "ip", "text", "from", "to"}, "failed", failed,
		"actor_id", query.Actor, "user_id", query.User, "client_id", query.Client,
		"resource_type", query.TargetType, "resource_id", query.TargetID)
	v.Same = s.same("GET", path, nil, args...)
	return s.show(w, v.status(), v)
}

// auditLinks returns further pages of the log that the administrator may see.
func (s *Server) auditLinks(q *request) []Link {
	out := []Link{
		{"Explain a request", Root + "/audit/explain"},
		{"Denied by the gateway", Root + "/audit/denials"},
		{"Proof and delivery", Root + "/audit/sinks"},
	}
	if q.actor.Can(admin.ScopeAuditExport) {
		for _, format := range []string{audit.FormatCSV, audit.FormatJSON} {
			out = append(out, Link{
				"Export " + strings.ToUpper(format),
				keep(Root+"/audit/export", q.form, auditFilters(), "format", format),
			})
		}
		out = append(out, Link{
			"Export with proofs", keep(Root+"/audit/proofs", q.form, []string{"from", "to"}),
		})
	}
	return out
}

// exportAudit writes the events that a form selects as a file. An export that breaks off ends the
// connection, so that nobody takes it for whole.
func (s *Server) exportAudit(w http.ResponseWriter, r *http.Request, q *request) error {
	query, err := auditQuery(q.form)
	if err != nil {
		return err
	}
	format, kind, name := audit.FormatJSON, "application/x-ndjson", "audit-log.jsonl"
	if q.form.Get("format") == audit.FormatCSV {
		format, kind, name = audit.FormatCSV, "text/csv; charset=utf-8", "audit-log.csv"
	}
	out := bufio.NewWriterSize(web.LongAnswer(w), exportBuffer)
	x := audit.NewExporter(out, format)
	begun := false
	begin := func() error {
		if begun {
			return nil
		}
		begun = true
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
		return x.Begin()
	}
	// An export may take longer than a request may. A reader who is gone ends it by a failed write.
	err = s.ops.ExportEvents(context.WithoutCancel(r.Context()), q.actor, query, func(e *audit.Event) error {
		return errors.Join(begin(), x.Write(e))
	})
	if err != nil && !begun {
		return err
	}
	if err = errors.Join(err, begin()); err == nil {
		err = errors.Join(x.End(), out.Flush())
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// exportProofs writes whole pages of the log with what proves each line, between the times of a
// form.
func (s *Server) exportProofs(w http.ResponseWriter, r *http.Request, q *request) error {
	query, err := auditQuery(q.form)
	if err != nil {
		return err
	}
	file := newDownload(w, "audit-proofs.jsonl", "application/jsonl")
	in := admin.ProofsInput{Since: query.Since, Until: query.Until}
	out := bufio.NewWriterSize(file, exportBuffer)
	err = s.ops.ExportProofs(persistent(r), q.actor, in, out)
	if err == nil {
		err = out.Flush()
	}
	if err != nil && file.begun {
		panic(http.ErrAbortHandler)
	}
	return err
}

// exportBuffer is how much of an export is sent at once.
const exportBuffer = 32 << 10

// auditSearch returns the form that searches the log.
func auditSearch(form url.Values) Search {
	out := Search{Action: Root + "/audit"}
	for _, x := range []TextFilter{
		{Name: "event", Label: "Event", Hint: "user.login_failed, or user.*"},
		{Name: "actor", Label: "By", Hint: "Email, id, cli or system"},
		{Name: "user", Label: "User", Hint: "Email, username or id"},
		{Name: "client", Label: "Client", Hint: "Client ID"},
		{Name: "target", Label: "Concerns", Hint: "scope:read, role:editor or webhook:ID"},
		{Name: "ip", Label: "Address", Hint: "192.0.2.1 or 192.0.2.0/24"},
		{Name: "text", Label: "Text", Hint: "In any part of the event"},
		{Name: "from", Label: "From", Hint: "2026-05-04"},
		{Name: "to", Label: "To", Hint: "2026-05-04"},
	} {
		x.Value = form.Get(x.Name)
		out.Texts = append(out.Texts, x)
	}
	out.Filters = []Filter{{Label: "Outcome", Name: "failed", Choices: []Choice{
		{Value: "", Text: "All"},
		{Value: "true", Text: "Failures and denials", Chosen: form.Get("failed") != ""},
	}}}
	for _, name := range auditFilters() {
		out.Active = out.Active || form.Get(name) != ""
	}
	return out
}

// auditPager leads to the other pages of the log.
func auditPager(form url.Values, page *admin.EventPage) Pager {
	p := Pager{Total: count(page.Total, "event")}
	if page.AtLeast {
		p.Total = "more than " + p.Total
	}
	if form.Get("cursor") != "" {
		p.First = keep(Root+"/audit", form, auditFilters())
	}
	if page.Next != "" {
		p.Next = keep(Root+"/audit", form, auditFilters(), "cursor", page.Next)
	}
	return p
}

// auditTable lists events with who caused them and what they concern.
func (s *Server) auditTable(b *Base, page *admin.EventPage) Table {
	t := Table{Caption: "Events", Columns: []Column{
		{Name: "Event"}, {Name: "By"}, {Name: "Concerns", Wide: true}, {Name: "From", Wide: true}, {Name: "Time"},
	}}
	for i := range page.Events {
		e := &page.Events[i]
		what := Cell{Text: eventName(e.Type), URL: at("/audit", e.ID), Sub: e.Type.Name()}
		if e.Reason != "" {
			what.Sub = reasonName(e.Reason)
		}
		t.Rows = append(t.Rows, Row{ID: e.ID, Name: what.Text, Cells: []Cell{
			what, actorCell(e, page), targetCell(e, page), s.place(e.IP), b.timeCell(e.At, ""),
		}})
	}
	return t
}

// actorCell names who caused an event.
func actorCell(e *audit.Event, page *admin.EventPage) Cell {
	switch {
	case e.Actor == "":
		return Cell{Never: "Somebody unknown"}
	case e.ActorKind() == audit.ActorCLI:
		return textCell("Command line")
	case e.ActorKind() == audit.ActorSystem:
		return textCell("The server")
	}
	return thingCell(e.ActorKind(), e.Actor, page)
}

// targetCell names what an event concerns.
func targetCell(e *audit.Event, page *admin.EventPage) Cell {
	kind, id := e.Target()
	if kind == "" {
		return Cell{}
	}
	c := thingCell(kind, id, page)
	c.Sub = strings.TrimSpace(fieldLabel(kind) + " " + c.Sub)
	return c
}

// thingCell returns the name of a thing of the audit log, with a link to its page where it has one.
// A client is shown with its id: several may have one name.
func thingCell(kind, id string, page *admin.EventPage) Cell {
	c := Cell{Text: id}
	if name := page.Names[id]; name != "" && kind == audit.TargetUser {
		c.Text = name
	}
	if name := page.Clients[id]; name != "" && kind == audit.TargetClient {
		c.Text, c.Sub = name, id
	}
	pages := map[string]string{
		audit.TargetUser:    "/users",
		audit.TargetClient:  "/clients",
		audit.TargetRole:    "/roles",
		audit.TargetWebhook: "/webhooks",
		audit.TargetScope:   "/scopes",
		audit.TargetRoute:   "/routes",
	}
	switch path := pages[kind]; {
	case id == "":
		return Cell{}
	case path != "":
		c.URL = at(path, id)
	default:
		c.Code = true
	}
	return c
}

// EventView shows one event.
type EventView struct {
	Base
	Facts   []Fact
	Changes []Move
	Detail  []Fact
	Explain *Link // what is known of the request, or nil
	Prove   *Link // shows the proof, or nil where that is shown
	Proof   []Fact
	Same    Same
}

// Page names the template.
func (*EventView) Page() string { return "event" }

func (s *Server) showEvent(w http.ResponseWriter, r *http.Request, q *request) error {
	page, err := s.ops.Event(r.Context(), q.actor, r.PathValue("event"))
	if err != nil {
		return err
	}
	e := &page.Events[0]
	v := &EventView{Base: s.begin(r, q, eventName(e.Type))}
	v.Lead, v.Crumbs = reasonName(e.Reason), []Link{{"Audit log", Root + "/audit"}}
	v.Facts = s.eventFacts(&v.Base, e, page)
	for _, c := range e.Changes {
		v.Changes = append(v.Changes, Move{Name: fieldLabel(c.Field), Entered: c.Before, Stored: c.After})
	}
	for _, name := range sortedKeys(e.Detail) {
		v.Detail = append(v.Detail, Fact{Name: fieldLabel(name), Cell: textCell(e.Detail[name])})
	}
	if e.RequestID != "" {
		v.Explain = &Link{"Explain the request", with(Root+"/audit/explain", "request", e.RequestID)}
	}
	v.Same = s.same("GET", "/api/v1/audit-logs/"+url.PathEscape(e.ID), nil, "audit", "show", e.ID)
	if q.form.Get("proof") == "" {
		v.Prove = &Link{"Prove this event", with(at("/audit", e.ID), "proof", "1")}
		return s.show(w, http.StatusOK, v)
	}
	v.Same = s.same("GET", "/api/v1/audit-logs/"+url.PathEscape(e.ID)+"/proof", nil, "audit", "proof", e.ID)
	if v.Proof, err = s.proofFacts(r.Context(), q, e.ID); err != nil {
		return err
	}
	return s.show(w, http.StatusOK, v)
}

// proofFacts returns what proves an event, or why nothing does.
func (s *Server) proofFacts(ctx context.Context, q *request, id string) ([]Fact, error) {
	x, err := s.ops.ProveEvent(ctx, q.actor, id)
	switch {
	case fault.Is(err, fault.NotFound), fault.Is(err, fault.Conflict):
		return []Fact{{Name: "Result", Cell: Cell{Badge: "bad", Text: "Not proved", Sub: sentence(err.Error())}}}, nil
	case err != nil:
		return nil, err
	}
	p := x.Proof
	facts := []Fact{
		{Name: "Result", Cell: badgeCell("good", "As it was recorded")},
		{Name: "Hash", Cell: codeCell(p.Row.String())},
		{Name: "Page", Cell: codeCell(p.Page.ID)},
	}
	if p.Pending {
		return append(facts, Fact{Name: "Place", Cell: Cell{Never: "Waits for its place in the tree"}}), nil
	}
	facts = append(facts,
		Fact{Name: "Place", Cell: textCell("Page " + grouped(int(p.Page.Position)) + " of " + grouped(int(p.Size)))},
		Fact{Name: "Root", Cell: codeCell(p.Root.String())})
	if x.Checkpoint == nil {
		return append(facts, Fact{Name: "Checkpoint", Cell: Cell{Never: "None is signed that has this event"}}), nil
	}
	return append(facts, Fact{Name: "Checkpoint", Cell: codeCell(x.Checkpoint.Note)}), nil
}

func sortedKeys(m map[string]string) []string {
	var out []string
	for k := range m {
		if k != "" {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

// eventFacts returns what is known of an event, without its changes and details.
func (s *Server) eventFacts(b *Base, e *audit.Event, page *admin.EventPage) []Fact {
	facts := []Fact{
		{Name: "Event", Cell: codeCell(e.Type.Name())},
		{Name: "Type", Cell: codeCell(string(e.Type))},
		{Name: "Time", Cell: Cell{Text: b.When(e.At).Absolute, Sub: b.When(e.At).Relative}},
		{Name: "By", Cell: actorCell(e, page)},
		{Name: "Concerns", Cell: targetCell(e, page)},
	}
	for _, x := range []struct {
		name string
		cell Cell
	}{
		{"User", thingCell(audit.TargetUser, e.User, page)},
		{"Client", thingCell(audit.TargetClient, e.Client, page)},
		{"Session", codeCell(e.Session)},
		{"Authorization", codeCell(e.Grant)},
		{"Address", s.place(e.IP)},
		{"Browser", textCell(e.Agent)},
		{"Request", codeCell(e.RequestID)},
	} {
		if x.cell.Text != "" {
			facts = append(facts, Fact{Name: x.name, Cell: x.cell})
		}
	}
	return append(facts, Fact{Name: "ID", Cell: codeCell(e.ID)})
}
