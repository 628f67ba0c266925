package console

import (
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
)

// mailSection lists what became of messages.
func (s *Server) mailSection() section {
	return section{
		path:  "/mail",
		name:  "Mail",
		icon:  "mail",
		group: "System",
		scope: admin.ScopeMailRead,
		routes: []route{
			{"GET /admin/mail", []string{"Mail"}, s.showMail},
			{"POST /admin/mail/{id}/retry", []string{"RetryMail"}, s.postRetryMail},
			{"GET /admin/mail/test", nil, s.showMailTest},
			{"POST /admin/mail/test", []string{"TestMail"}, s.postMailTest},
		},
		views: []View{&MailView{}, &MailTestView{}},
		notes: map[string]string{
			"retried": "The message is queued again and will be sent at once.",
			"tested":  "The mail server has accepted the test message.",
		},
	}
}

// MailView lists messages.
type MailView struct {
	Base
	Search Search
	Table  Table
	Pager  Pager
	Empty  *Empty // instead of the list, or nil
	Same   Same
}

// Page names the template.
func (*MailView) Page() string { return "mail" }

// mailFilters returns the parameters of the list's address.
func mailFilters() []string { return []string{"state", "to"} }

func (s *Server) showMail(w http.ResponseWriter, r *http.Request, q *request) error {
	query := admin.DeliveryQuery{
		State: outbox.State(q.form.Get("state")),
		To:    q.form.Get("to"),
		Page:  pageOf(q.form),
	}
	page, err := s.ops.Mail(r.Context(), q.actor, query)
	if err != nil {
		return err
	}
	all := page.Items
	v := &MailView{Base: s.begin(r, q, "Mail")}
	v.Lead = "Messages to people and what became of them. Their contents are never shown."
	write := q.actor.Can(admin.ScopeMailWrite)
	if write {
		v.Primary = &Link{"Send a test", Root + "/mail/test"}
	}
	v.Search = Search{
		Action: Root + "/mail",
		Active: query.State != "" || query.To != "",
		Texts:  []TextFilter{{Name: "to", Label: "To", Value: query.To, Hint: "Whole address"}},
		Filters: []Filter{newFilter(q.form, "state", "State", "", "All", "queued", "Queued", "sent", "Sent",
			"expired", "Expired", "dead", "Given up")},
	}
	v.Table = v.mailTable(all, write)
	v.Pager = pagerOf(page, Root+"/mail", q.form, mailFilters(), "message")
	if v.Empty = nothingYet(len(all), v.Pager); v.Empty == nil && len(all) == 0 {
		v.Empty = &Empty{Icon: "mail", Title: "No message", Text: "There is no message that the filters select. " +
			"What was sent is listed for a while, what failed until it is sent or expires."}
	}
	v.Same = s.same("GET", keep("/api/v1/mail", q.form, []string{"state", "to"}), nil,
		"mail", "list", "--state="+string(query.State), "--to="+query.To)
	if v.Table.acts() {
		v.Same = v.Same.also("Retry", s.same("POST", "/api/v1/mail/MESSAGE-ID/retry", nil, "mail", "retry", "MESSAGE-ID"))
	}
	return s.show(w, http.StatusOK, v)
}

// mailTable lists messages.
func (b *Base) mailTable(all []outbox.Delivery, write bool) Table {
	t := Table{
		Caption: "Messages",
		Columns: []Column{{Name: "To"}, {Name: "Message", Wide: true}, {Name: "State"}, {Name: "Created", Wide: true}},
	}
	for i := range all {
		d := &all[i]
		state := mailState(d.State)
		if d.State != outbox.Sent && d.LastError != "" {
			state.Sub = d.LastError
		}
		if d.State == outbox.Queued && d.Attempts > 0 {
			state.Sub = count(d.Attempts, "attempt") + ", next " + b.When(d.NextAttemptAt).Relative + ". " + d.LastError
		}
		row := Row{
			ID:    string(d.ID),
			Name:  d.About + " to " + d.To,
			Cells: []Cell{textCell(d.To), textCell(reasonName(d.About)), state, b.timeCell(d.CreatedAt, "")},
		}
		if write && d.State == outbox.Dead {
			row.Do = []Button{{Text: "Retry", Action: at("/mail", string(d.ID), "retry"), Hidden: []Pair{{"page", b.Return}}}}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func mailState(s outbox.State) Cell {
	switch s {
	case outbox.Sent:
		return badgeCell("good", "Sent")
	case outbox.Dead:
		return badgeCell("bad", "Given up")
	case outbox.Expired:
		return badgeCell("plain", "Expired")
	}
	return badgeCell("warn", "Queued")
}

func (s *Server) postRetryMail(w http.ResponseWriter, r *http.Request, q *request) error {
	if _, err := s.ops.RetryMail(r.Context(), q.actor, outbox.ID(r.PathValue("id"))); err != nil {
		return err
	}
	return seeOther(w, r, backTo(q, Root+"/mail", "retried"))
}

// MailTestView sends a test message. The fields are `to` and `template`.
type MailTestView struct {
	Base
	Messages []Choice
	Back     Link
	Same     Same
}

// Page names the template.
func (*MailTestView) Page() string { return "mailtest" }

func (s *Server) mailTestView(r *http.Request, q *request) *MailTestView {
	v := &MailTestView{Base: s.begin(r, q, "Send a test message"), Back: Link{"Mail", Root + "/mail"}}
	v.Crumbs = []Link{v.Back}
	chosen := q.form.Get("template")
	if chosen == "" {
		chosen = outbox.MessageTest
	}
	for _, m := range outbox.Messages() {
		v.Messages = append(v.Messages, Choice{Value: m, Text: reasonName(m), Chosen: m == chosen})
	}
	if q.form.Get("to") == "" && r.Method == http.MethodGet {
		q.form.Set("to", q.user.Email)
	}
	v.Same = s.same("POST", "/api/v1/mail/test", map[string]any{"to": q.form.Get("to"), "template": chosen},
		"mail", "test", "--to="+q.form.Get("to"), "--template="+chosen)
	return v
}

func (s *Server) showMailTest(w http.ResponseWriter, r *http.Request, q *request) error {
	if err := s.mayChange(q, admin.ScopeMailWrite); err != nil {
		return err
	}
	return s.show(w, http.StatusOK, s.mailTestView(r, q))
}

func (s *Server) postMailTest(w http.ResponseWriter, r *http.Request, q *request) error {
	err := s.ops.TestMail(r.Context(), q.actor, admin.MailTest{
		To:      q.form.Get("to"),
		Message: q.form.Get("template"),
	})
	if err == nil {
		return seeOther(w, r, Root+"/mail?done=tested")
	}
	v := s.mailTestView(r, q)
	if fault.KindOf(err) == fault.Internal { // the words of the mail server, which an operator needs
		v.Problem, v.code = sentence("the message was not sent: "+err.Error()), http.StatusBadGateway
	} else if err := retry(&v.Base, q, err); err != nil {
		return err
	}
	return s.show(w, v.status(), v)
}
